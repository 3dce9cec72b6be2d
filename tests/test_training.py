"""What stands around a call of `fit`: the clock, the learning rate, and a training that survives a break."""

import json
import math

import numpy as np
import pytest

from helpers import training
from helpers.backend import keras
from helpers.batches import Batches
from helpers.errors import CourseError
from helpers.training import Clock, GoOn, InRounds, TraceAnew, WarmHoldCool

layers = keras.layers


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


def arrays(side, count=40):
    random = np.random.default_rng(0)
    return [random.random((count, side, side, channels), np.float32) for channels in (1, 2)]


def test_the_clock_counts_every_epoch_with_its_validation(clock_of_steps):
    clock, validation = Clock(), arrays(16, 6)
    slow = keras.callbacks.LambdaCallback(on_test_end=lambda logs: setattr(clock_of_steps, "seconds", 600))
    small().fit(*arrays(16), validation_data=validation, callbacks=[clock, slow], verbose=0)
    assert 10 <= clock.minutes < 11


def test_the_clock_stands_still_between_two_calls_of_fit(clock_of_steps):
    network, clock = small(), Clock()
    network.fit(*arrays(16), batch_size=64, callbacks=[clock], verbose=0)
    before = clock.minutes
    clock_of_steps.seconds += 1000
    network.fit(*arrays(16), batch_size=64, callbacks=[clock], verbose=0)
    assert math.isclose(clock.minutes - before, before, abs_tol=1 / 60)


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


def test_each_round_warms_up_holds_and_cools_from_its_own_start():
    rounds = [WarmHoldCool(1.0, 40), WarmHoldCool(0.5, 20), WarmHoldCool(0.25, 80)]
    schedule = InRounds(rounds)
    rates = [float(schedule(step)) for step in range(140)]
    wanted = [float(one(step)) for one in rounds for step in range(one.steps)]
    assert rates == pytest.approx(wanted)
    network = small()
    network.compile(keras.optimizers.AdamW(schedule), "mse")
    same = keras.optimizers.AdamW.from_config(network.optimizer.get_config())._learning_rate
    assert [float(same(step)) for step in (3, 50, 100)] == pytest.approx([rates[3], rates[50], rates[100]])


def test_a_round_without_steps_is_passed_over():
    whole, cut = WarmHoldCool(1.0, 40), InRounds([WarmHoldCool(1.0, 40), WarmHoldCool(0.5, 0)])
    assert [float(cut(step)) for step in range(40)] == [float(whole(step)) for step in range(40)]


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
    assert keep.minutes == json.loads((tmp_path / "epochs.json").read_text())[-1]["minutes"] > 0


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


class Pair(keras.Model):
    """Two networks under one `fit`, as lesson 5 has them, with dropout and with averages of their own."""

    def __init__(self):
        super().__init__()
        L, maps = keras.Input((None, None, 1)), keras.Input((None, None, 4))
        self.first = keras.Sequential([L, layers.Conv2D(4, 3, padding="same"), layers.Dropout(0.5)])
        self.second = keras.Sequential([maps, layers.BatchNormalization(), layers.Conv2D(2, 1)])

    def call(self, L, training=False):
        return self.second(self.first(L, training=training), training=training)

    def compute_loss(self, x, y, y_pred, sample_weight=None, training=True):
        self.second(self.first(x, training=training), training=training)  # as a judge is asked again
        return keras.ops.mean((y - y_pred) ** 2)


def go_on_as_a_pair(folder, epochs):
    keras.utils.set_random_seed(0)
    batches, pair = Batches(photographs_of_noise(), 4, seed=1, contrast=()), Pair()
    pair.compile(keras.optimizers.Adam(0.01))
    pair.build(batches[0][0].shape)
    keep = GoOn(folder, batches)
    pair.fit(batches, epochs=epochs, shuffle=False, callbacks=[keep], verbose=0)
    return pair, keep


def test_two_networks_with_dropout_go_on_as_if_there_had_been_no_break(tmp_path):
    whole, _ = go_on_as_a_pair(tmp_path / "whole", 5)
    go_on_as_a_pair(tmp_path / "broken", 2)
    again, keep = go_on_as_a_pair(tmp_path / "broken", 5)
    assert len(keep.curve["loss"]) == 5
    for one, other in zip(whole.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)


def test_asking_what_a_training_is_changes_nothing_of_it(tmp_path):
    kept, _ = go_on_as_a_pair(tmp_path, 3)
    plain, _ = go_on_as_a_pair(None, 3)
    for one, other in zip(kept.get_weights(), plain.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_without_a_folder_nothing_is_kept(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    _, keep = go_on_as_a_pair(None, 2)
    assert len(keep.curve["loss"]) == 2
    assert keep.minutes > 0
    assert list(tmp_path.iterdir()) == []


CHANGES = {
    "network": {"filters": 8},
    "optimizer": {"rate": 0.02},
    "loss": {"loss": "mae"},
    "photographs": {"checksum": "others"},
    "batches": {"flips": ("left-right",)},
}


def fit_small(folder, filters=4, rate=0.01, loss="mse", checksum="these", flips=()):
    keras.utils.set_random_seed(0)
    batches = Batches(photographs_of_noise(), 4, seed=1, flips=flips, contrast=())
    batches.checksum = checksum
    L = keras.Input((None, None, 1))
    network = keras.Model(L, layers.Conv2D(2, 1)(layers.Conv2D(filters, 3, padding="same")(L)))
    network.compile(keras.optimizers.Adam(rate), loss)
    network.fit(batches, epochs=1, shuffle=False, callbacks=[GoOn(folder, batches)], verbose=0)


@pytest.mark.parametrize("what", CHANGES)
def test_a_training_of_another_kind_is_not_gone_on_with(what, tmp_path):
    folder = tmp_path / "kept"
    fit_small(folder)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(
        CourseError, match=rf"holds a training that differs in .*\b{what}\b.*: move that folder"
    ):
        fit_small(folder, **CHANGES[what])
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    fit_small(folder)  # the one that it was


@pytest.mark.parametrize("lost", [1, 2])
def test_a_kill_between_two_files_is_told_by_the_steps(lost, tmp_path):
    """Before the weights were written, or before the number of the epoch was."""
    whole, _ = go_on_as_a_pair(tmp_path / "whole", 4)
    folder = tmp_path / "killed"
    go_on_as_a_pair(folder, 2)
    names = ("latest.weights.h5", "training_metadata.json")[2 - lost :]
    before = {name: (folder / name).read_bytes() for name in names}
    go_on_as_a_pair(folder, 3)
    for name, content in before.items():
        (folder / name).write_bytes(content)
    again, keep = go_on_as_a_pair(folder, 4)
    assert len(keep.curve["loss"]) == 4
    for one, other in zip(whole.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)


def test_a_state_that_was_cut_while_it_was_written_falls_back_on_the_one_before(tmp_path):
    whole, _ = go_on_as_a_pair(tmp_path / "whole", 4)
    go_on_as_a_pair(tmp_path / "cut", 3)
    weights = tmp_path / "cut" / "latest.weights.h5"
    weights.write_bytes(weights.read_bytes()[:1000])
    again, keep = go_on_as_a_pair(tmp_path / "cut", 4)
    assert len(keep.curve["loss"]) == 4
    for one, other in zip(whole.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)
