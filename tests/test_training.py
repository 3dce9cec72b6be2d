"""What surrounds a call of `fit`: sizes, clock, learning rate, and taking a long run up where it was cut."""

import dataclasses
import math

import numpy as np
import pytest

from helpers import networks, profiles, records, training
from helpers.backend import keras
from helpers.batches import Batches
from helpers.errors import CourseError
from helpers.training import Training

layers = keras.layers


def begun(folder, **changes):
    """A lesson on the embedded photographs, as small as they get."""
    settings = dataclasses.asdict(profiles.PROFILES["tiny"]) | {"size": 16, "first_size": 16} | changes
    return profiles.Lesson(**settings, name="tiny", seed=0, out=folder)


@pytest.fixture
def by_the_clock(tmp_path):
    """Two sizes, 8 and 16 px, a quarter and the rest of a hundred seconds of the clock below."""
    return begun(tmp_path, first_size=8, first_share=0.25, minutes=100 / 60, epochs=1000)


@pytest.fixture
def clock(monkeypatch):
    """A clock that moves on by a second whenever it is looked at."""

    class Clock:
        seconds = 0.0

        def perf_counter(self):
            self.seconds += 1
            return self.seconds

    made = Clock()
    monkeypatch.setattr(training, "time", made)
    return made


def small(name="baseline"):
    keras.utils.set_random_seed(0)
    L = keras.Input((None, None, 1), name="L")
    x = layers.Conv2D(4, 3, 2, padding="same", activation="relu")(L)
    x = layers.UpSampling2D(interpolation="bilinear")(x)
    return keras.Model(L, layers.Conv2D(2, 3, padding="same", name="ab")(x), name=name)


class Watch(keras.callbacks.Callback):
    """The learning rate of every step."""

    def __init__(self):
        super().__init__()
        self.rates = []

    def on_train_batch_end(self, batch, logs=None):
        self.rates.append(float(self.model.optimizer.learning_rate))


def train(lesson, network=None, rate=0.01):
    """Train as the lessons do; return the training, the sizes that it gave, and the learning rates."""
    network = network or small()
    network.compile(keras.optimizers.Adam(rate), "mse")
    of_network, sizes, watch = Training(lesson, network), [], Watch()
    for photos in of_network:
        sizes.append(photos.size)
        network.fit(
            Batches(photos.train, 16, contrast=()),
            validation_data=Batches(photos.validation, 16, augment=False),
            epochs=lesson.epochs,
            callbacks=[of_network, watch],
            verbose=0,
        )
    return of_network, sizes, watch.rates


def test_early_stopping_takes_the_best_weights_at_each_size(by_the_clock, clock):
    """As the lessons have it; the weights that it puts back are those that are kept."""
    network = small()
    network.compile(keras.optimizers.Adam(0.05), "mse")
    of_network = Training(by_the_clock, network)
    for photos in of_network:
        L, ab = next(iter(Batches(photos.validation, 6, augment=False)))
        stop = keras.callbacks.EarlyStopping(patience=15, restore_best_weights=True)
        network.fit(
            Batches(photos.train, 16, contrast=()),
            validation_data=(L, ab),
            epochs=by_the_clock.epochs,
            callbacks=[of_network, stop],
            verbose=0,
        )
        assert network.evaluate(L, ab, verbose=0) == pytest.approx(stop.best, rel=1e-4)
    kept = networks.load(by_the_clock.models / "baseline.keras")
    kept.compile(loss="mse")
    assert kept.evaluate(L, ab, verbose=0) == pytest.approx(stop.best, rel=1e-2)


def test_without_minutes_there_is_one_size_and_the_epochs_end_it(tmp_path):
    of_network, sizes, rates = train(begun(tmp_path, epochs=3))
    assert sizes == [16]
    assert {name: len(values) for name, values in of_network.history.items()} == {"loss": 3, "val_loss": 3}
    assert rates == [pytest.approx(0.01)] * 9  # 40 photographs by 16: 3 steps an epoch
    assert of_network.minutes > 0


def test_by_the_clock_each_size_gets_its_share(by_the_clock, clock):
    of_network, sizes, _ = train(by_the_clock)
    assert sizes == [8, 16]
    # The clock moves by one at every step and at the end of every epoch.
    assert 100 <= of_network.minutes * 60 <= 104
    assert len(of_network.history["loss"]) == len(of_network.history["val_loss"]) > 10


def test_by_the_clock_the_learning_rate_falls_along_a_cosine(by_the_clock, clock):
    _, _, rates = train(by_the_clock)
    assert rates[0] == pytest.approx(0.01)
    assert (np.diff(rates) <= 0).all()
    assert rates[-1] < 1e-4
    middle = [rate for rate in rates if 0.004 < rate < 0.006]
    assert 0.4 < rates.index(middle[len(middle) // 2]) / len(rates) < 0.6


def test_the_end_of_the_time_ends_an_epoch_in_its_middle(tmp_path, clock):
    lesson = begun(tmp_path, first_size=16, minutes=5 / 60, epochs=1000)
    _, sizes, rates = train(lesson)
    assert sizes == [16]
    assert 3 < len(rates) < 6


def test_the_network_and_its_record_are_kept(tmp_path):
    lesson, network = begun(tmp_path, epochs=2), small()
    train(lesson, network)
    kept = networks.load(lesson.models / "baseline.keras")
    for now, then in zip(network.get_weights(), kept.get_weights(), strict=True):
        np.testing.assert_array_equal(now, then)
    assert records.finished(lesson, network)["epochs"] == 2


def test_a_long_run_takes_a_finished_network_up_again(by_the_clock, clock):
    first, network = train(by_the_clock)[0], small()
    again, sizes, _ = train(by_the_clock, network)
    assert sizes == []
    assert again.history["loss"] == pytest.approx(first.history["loss"], rel=1e-3)
    assert again.minutes == pytest.approx(first.minutes, abs=0.01)
    trained = networks.load(by_the_clock.models / "baseline.keras").get_weights()
    for now, then in zip(network.get_weights(), trained, strict=True):
        np.testing.assert_array_equal(now, then)


@pytest.mark.parametrize("change", [{"seed": 1}, {"width": 0.5}, {"minutes": 101 / 60}])
def test_other_settings_train_anew(by_the_clock, clock, change):
    train(by_the_clock)
    _, sizes, _ = train(dataclasses.replace(by_the_clock, **change))
    assert sizes == [8, 16]


def test_other_code_trains_anew(by_the_clock, clock, monkeypatch):
    train(by_the_clock)
    monkeypatch.setattr(records, "code_of", lambda name: "changed")
    assert train(by_the_clock)[1] == [8, 16]


def test_a_short_run_always_trains(tmp_path):
    lesson = begun(tmp_path, epochs=1)
    train(lesson)
    assert train(lesson)[1] == [16]


def test_a_cut_run_leaves_no_record(by_the_clock, clock):
    network = small()
    network.compile(keras.optimizers.Adam(0.01), "mse")
    loop = iter(Training(by_the_clock, network))
    next(loop)
    loop.close()
    assert list(by_the_clock.models.iterdir()) == []


def test_a_loop_that_trains_nothing_is_told_so(tmp_path):
    loop = iter(Training(begun(tmp_path), small()))
    next(loop)
    with pytest.raises(CourseError, match=r"^nothing was trained: call `fit` in the loop"):
        next(loop)


def test_the_clock_stands_still_between_two_calls_of_fit(tmp_path, clock):
    lesson, network = begun(tmp_path, epochs=1), small()
    network.compile(keras.optimizers.Adam(0.01), "mse")
    of_network = Training(lesson, network)
    for photos in of_network:
        batches = Batches(photos.train, 64, contrast=())
        network.fit(batches, callbacks=[of_network], verbose=0)
        before = of_network.minutes
        clock.seconds += 1000
        network.fit(batches, callbacks=[of_network], verbose=0)
        assert math.isclose(of_network.minutes - before, before, abs_tol=1 / 60)
