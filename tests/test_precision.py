"""Half of the digits: where they are used, what stays float32, and what they change."""

import numpy as np
import pytest

from helpers import metrics, networks, photographs, precision, profiles
from helpers.backend import keras
from helpers.errors import CourseError
from helpers.lab import rgb_to_lab
from helpers.places import MODELS


@pytest.fixture(autouse=True)
def float32_again():
    yield
    keras.config.set_dtype_policy("float32")


@pytest.mark.parametrize("name", precision.MIXED)
def test_it_is_used_where_the_device_is_made_for_it(name, monkeypatch, capsys):
    monkeypatch.setattr(precision, "is_fast", lambda asked: asked == name)
    precision.use(name)
    assert keras.config.dtype_policy().name == name
    assert capsys.readouterr().out == ""
    precision.use(None)
    assert keras.config.dtype_policy().name == "float32"


@pytest.mark.parametrize("name", precision.MIXED)
def test_a_processor_that_is_not_made_for_it_computes_in_float32_and_a_line_says_so(
    name, monkeypatch, capsys
):
    monkeypatch.setattr(precision, "is_fast", lambda asked: False)
    precision.use(name)
    assert keras.config.dtype_policy().name == "float32"
    line = f"PRECISION: no device here is made for {name}, so networks compute in float32\n"
    assert capsys.readouterr().out == line


@pytest.mark.parametrize("wrong", ["float16", "bfloat16", "", 16, ["mixed_float16"]])
def test_what_is_no_precision_is_one_line(wrong, tmp_path, capsys):
    with pytest.raises(CourseError, match=r"^PRECISION is .*; it must be 'mixed_bfloat16' or"):
        profiles.begin("tiny", 0, str(tmp_path), precision=wrong)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("words", "gpus", "expected"),
    [
        ("flags : fpu sse2 avx512_bf16", [], ["mixed_bfloat16"]),
        ("flags : fpu sse2 avx512f", [], []),
        ("Features : fp asimd bf16", [], ["mixed_bfloat16"]),
        (None, [], []),
        (None, ["gpu:0"], list(precision.MIXED)),
    ],
)
def test_what_is_made_for_it_is_asked_of_the_system(words, gpus, expected, monkeypatch, tmp_path):
    told = tmp_path / "cpuinfo"
    if words:
        told.write_text(words)
    monkeypatch.setattr(precision, "Path", lambda name: told)
    monkeypatch.setattr(precision, "accelerators", lambda: gpus)
    monkeypatch.setattr(precision.platform, "system", lambda: "Linux")
    assert [name for name in precision.MIXED if precision.is_fast(name)] == expected


def small(name):
    keras.config.set_dtype_policy(name)
    keras.utils.set_random_seed(0)
    L = keras.Input((None, None, 1))
    x = keras.layers.Conv2D(8, 3, padding="same", activation="relu")(L)
    x = keras.layers.BatchNormalization()(x)
    network = keras.Model(L, keras.layers.Conv2D(2, 3, padding="same", activation="tanh")(x))
    network.compile(keras.optimizers.Adam(1e-2), "mse")
    return network


def test_weights_and_losses_stay_float32_and_so_does_what_is_saved(tmp_path):
    network = small("mixed_bfloat16")
    L = np.random.default_rng(0).random((4, 16, 16, 1), "float32")
    ab = np.concatenate([L, -L], axis=-1)
    given = network(L)
    assert keras.backend.standardize_dtype(given.dtype) == "bfloat16"
    loss = network.compute_loss(x=L, y=keras.ops.convert_to_tensor(ab), y_pred=given)
    assert keras.backend.standardize_dtype(loss.dtype) == "float32"
    assert {keras.backend.standardize_dtype(each.dtype) for each in network.weights} == {"float32"}
    network.fit(L, ab, epochs=1, verbose=0)
    keras.config.set_dtype_policy("float32")
    networks.save(network, tmp_path / "one.keras")
    loaded = networks.load(tmp_path / "one.keras")
    assert {layer.compute_dtype for layer in loaded.layers} == {"float32"}
    assert keras.backend.standardize_dtype(loaded(L).dtype) == "float32"
    for one, other in zip(network.get_weights(), loaded.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_float16_scales_its_loss():
    assert type(small("mixed_float16").optimizer).__name__ == "LossScaleOptimizer"


@pytest.mark.parametrize("name", precision.MIXED)
def test_a_recorded_network_scores_the_same(name):
    """Prediction alone; a training's own noise is larger than what is asked for here."""
    test = photographs.load("sample", 64).test
    L = rgb_to_lab(test.rgb)[..., :1] / 100
    full = networks.load(MODELS / "baseline.keras")
    half = precision.rebuilt(full, name)
    scores = [
        metrics.measure(test.rgb, networks.color(network, np.asarray(L, "float32"), test.rgb))["psnr"].mean()
        for network in (full, half)
    ]
    assert keras.backend.standardize_dtype(half(L[:1]).dtype) == name.removeprefix("mixed_")
    assert scores[0] != scores[1]
    assert abs(scores[0] - scores[1]) < 0.05
