"""The callbacks around a call of `fit`: the clock, the learning rate, and photographs that grow."""

import json
import math

import numpy as np
import pytest

from helpers import training
from helpers.backend import keras
from helpers.batches import Batches
from helpers.training import Clock, CosineByClock, GoOn, TraceAnew, WarmHoldCool

layers = keras.layers
MINUTES = 100 / 60


@pytest.fixture
def clock_of_steps(monkeypatch):
    """A clock that moves on by a second whenever it is looked at."""

    class Time:
        seconds = 0.0

        def perf_counter(self):
            self.seconds += 1
            return self.seconds

    made = Time()
    monkeypatch.setattr(training, "time", made)
    return made


def small():
    keras.utils.set_random_seed(0)
    L = keras.Input((None, None, 1), name="L")
    x = layers.Conv2D(4, 3, 2, padding="same", activation="relu")(L)
    x = layers.UpSampling2D(interpolation="bilinear")(x)
    network = keras.Model(L, layers.Conv2D(2, 3, padding="same", name="ab")(x), name="small")
    network.compile(keras.optimizers.Adam(0.01), "mse")
    return network


class Watch(keras.callbacks.Callback):
    """The learning rate, and the size of the clock's share that has passed, at every step."""

    def __init__(self):
        super().__init__()
        self.rates = []

    def on_train_batch_end(self, batch, logs=None):
        self.rates.append(float(self.model.optimizer.learning_rate))


def arrays(side, count=40):
    random = np.random.default_rng(0)
    return [random.random((count, side, side, channels), np.float32) for channels in (1, 2)]


def train(sizes, minutes, epochs=1000, **options):
    """Fit once for each size, as the lessons do; return the clock, the history, the rates of each size."""
    network = small()
    clock, history = Clock(minutes), keras.callbacks.History()
    around, rates = [clock, CosineByClock(clock), TraceAnew(), history], []
    for side, share in sizes.items():
        clock.until(share)
        watch = Watch()
        validation = arrays(side, 6)
        network.fit(
            *arrays(side),
            batch_size=16,
            validation_data=validation,
            epochs=epochs,
            callbacks=[*around, watch],
            verbose=0,
            **options,
        )
        rates.append(watch.rates)
    return clock, history.history, rates


def test_without_minutes_the_epochs_end_it_and_the_rate_stays():
    clock, history, rates = train({16: 1.0}, 0.0, epochs=3)
    assert {name: len(values) for name, values in history.items()} == {"loss": 3, "val_loss": 3}
    assert rates == [[pytest.approx(0.01)] * 9]  # 40 photographs by 16: 3 steps an epoch
    assert clock.minutes > 0
    assert clock.passed == 0


@pytest.mark.parametrize("share", [0.25, 0.6])
def test_each_size_gets_its_share_of_the_minutes(clock_of_steps, share):
    clock, history, (small_ones, large_ones) = train({8: share, 16: 1.0}, MINUTES)
    # The clock moves by one at every step and at the end of every epoch.
    assert 100 <= clock.minutes * 60 <= 104
    assert len(small_ones) / (len(small_ones) + len(large_ones)) == pytest.approx(share, abs=0.04)
    assert len(history["loss"]) == len(history["val_loss"]) > 10


def test_the_learning_rate_is_a_cosine_of_the_time_that_has_passed(clock_of_steps):
    _, _, rates = train({8: 0.25, 16: 1.0}, MINUTES)
    rates = np.concatenate(rates)
    assert rates[0] == pytest.approx(0.01)
    assert rates[-1] < 1e-4
    assert (np.diff(rates) <= 0).all()
    # A step a second, but for the ends of epochs: what a straight line would be is far from this.
    at = np.linspace(0, 1, len(rates))
    cosine = 0.01 * (1 + np.cos(math.pi * at)) / 2
    assert np.abs(rates - cosine).max() < 4e-4
    assert np.abs(0.01 * (1 - at) - cosine).max() > 1e-3


def test_the_end_of_the_time_ends_an_epoch_in_its_middle(clock_of_steps):
    _, _, (rates,) = train({16: 1.0}, 5 / 60)
    assert 3 < len(rates) < 6


def test_the_clock_stands_still_between_two_calls_of_fit(clock_of_steps):
    network, clock = small(), Clock()
    network.fit(*arrays(16), batch_size=64, callbacks=[clock], verbose=0)
    before = clock.minutes
    clock_of_steps.seconds += 1000
    network.fit(*arrays(16), batch_size=64, callbacks=[clock], verbose=0)
    assert math.isclose(clock.minutes - before, before, abs_tol=1 / 60)


def test_early_stopping_takes_the_best_weights_at_each_size(clock_of_steps):
    """As the lessons have it, one callback for all sizes: at the second it remembers nothing of the first."""
    network, clock = small(), Clock(MINUTES)
    stop = keras.callbacks.EarlyStopping(patience=15, restore_best_weights=True)
    for side, share in {8: 0.25, 16: 1.0}.items():
        clock.until(share)
        L, ab = arrays(side, 6)
        callbacks = [clock, CosineByClock(clock), TraceAnew(), stop]
        network.fit(*arrays(side), 16, epochs=1000, validation_data=(L, ab), callbacks=callbacks, verbose=0)
        assert network.evaluate(L, ab, verbose=0) == pytest.approx(stop.best, rel=1e-4)


def test_without_tracing_anew_a_second_size_fails_on_tensorflow():
    """What `TraceAnew` is for; if Keras mends it, the callback can go."""
    if keras.backend.backend() != "tensorflow":
        pytest.skip("the other backends trace each size by themselves")
    network = small()
    network.fit(*arrays(8), verbose=0)
    with pytest.raises(TypeError, match=r"UpSampling2D\.call"):
        network.fit(*arrays(16), verbose=0)
    network.fit(*arrays(16), callbacks=[TraceAnew()], verbose=0)


def test_the_rate_rises_holds_and_falls_to_nothing():
    schedule = WarmHoldCool(0.5, 100, warm=0.1, cool=0.25)
    rates = np.array([float(schedule(step)) for step in range(101)])
    assert np.allclose(rates[:10], 0.05 * np.arange(1, 11))
    assert np.allclose(rates[10:76], 0.5)
    assert np.allclose(np.diff(rates[75:]), -0.5 / 25)
    assert rates[100] == 0
    same = WarmHoldCool.from_config(schedule.get_config())
    assert [float(same(step)) for step in (3, 50, 90)] == pytest.approx(rates[[3, 50, 90]])


def test_a_longer_training_is_the_same_until_the_shorter_one_cools():
    short, long = WarmHoldCool(1.0, 4000), WarmHoldCool(1.0, 40_000)
    assert [float(short(step)) for step in range(0, 3000, 50)] == [
        float(long(step)) for step in range(0, 3000, 50)
    ]
    assert float(short(3500)) < float(long(3500))


def photographs_of_noise():
    return np.random.default_rng(0).integers(0, 256, (12, 16, 16, 3), np.uint8)


def go_on(folder, epochs, watch=()):
    """Train in two stages of two sizes, as the colorizer is trained."""
    network = small()
    network.compile(keras.optimizers.AdamW(WarmHoldCool(0.01, 6 * 3)), "mse")
    for last, crop in ((2, 8), (epochs, 16)):
        batches = Batches(photographs_of_noise(), 4, seed=1, contrast=(), crop=crop)
        keep = GoOn(folder, batches)
        network.fit(
            batches,
            epochs=min(last, epochs),
            shuffle=False,
            verbose=0,
            callbacks=[TraceAnew(), keep, *watch],
        )
    return network, keep


@pytest.mark.parametrize("broken_after", [1, 2, 4])
def test_a_training_that_goes_on_gives_what_one_without_a_break_gives(tmp_path, broken_after):
    whole, kept = go_on(tmp_path / "whole", 6)
    go_on(tmp_path / "broken", broken_after)
    again, taken_up = go_on(tmp_path / "broken", 6)
    for one, other in zip(whole.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)
    assert taken_up.curve["loss"] == pytest.approx(kept.curve["loss"], rel=1e-4)
    assert len(kept.curve["loss"]) == 6


def test_each_epoch_draws_by_its_own_number_after_a_break_too(tmp_path):
    drawn = []
    for epochs in (2, 4):
        batches = Batches(photographs_of_noise(), 4, seed=1, contrast=())

        def note(_epoch, _logs=None, batches=batches):
            drawn.append(batches.epoch)

        watch = keras.callbacks.LambdaCallback(on_epoch_begin=note)
        around = [GoOn(tmp_path, batches), watch]
        small().fit(batches, epochs=epochs, shuffle=False, callbacks=around, verbose=0)
    assert drawn == [0, 1, 2, 3]


def test_what_was_done_is_not_done_again(tmp_path):
    go_on(tmp_path, 6)
    seen = []
    watch = keras.callbacks.LambdaCallback(on_epoch_begin=lambda epoch, logs: seen.append(epoch))
    _, keep = go_on(tmp_path, 6, [watch])
    assert seen == []
    assert len(keep.curve["loss"]) == 6
    assert keep.minutes == json.loads((tmp_path / "curve.json").read_text())["minutes"] > 0


def test_an_optimizer_goes_on_with_its_own_memory(tmp_path):
    """Weights alone are not enough: Adam remembers how far each has moved."""
    go_on(tmp_path / "kept", 4)
    whole, _ = go_on(tmp_path / "whole", 5)
    again, _ = go_on(tmp_path / "kept", 5)
    assert int(again.optimizer.iterations) == int(whole.optimizer.iterations) == 15
    moments = [keras.ops.convert_to_numpy(each) for each in again.optimizer.variables]
    expected = [keras.ops.convert_to_numpy(each) for each in whole.optimizer.variables]
    for one, other in zip(moments, expected, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)
