"""Trained networks: what is saved comes back, and coloring keeps the photograph's own lightness."""

import json
import subprocess
import sys
import zipfile

import numpy as np
import pytest

from helpers import ab_bins, networks
from helpers.backend import keras
from helpers.errors import CourseError
from helpers.lab import AB_SCALE, rgb_to_lab

layers = keras.layers


def build(dropout=0.0):
    """A network of the kinds of layers that the lessons use, its two outputs well away from zero."""
    keras.utils.set_random_seed(0)
    L = keras.Input((None, None, 1), name="L")
    x = layers.Conv2D(4, 3, 2, padding="same", activation="relu")(L)
    x = layers.Dropout(dropout)(layers.BatchNormalization(momentum=0.5)(x))
    x = layers.UpSampling2D(interpolation="bilinear")(x)
    return keras.Model(L, layers.Conv2D(2, 3, padding="same", activation="tanh", name="ab")(x), name="small")


@pytest.fixture(scope="module")
def trained():
    """A network after a step of training: with an optimizer, and with moved averages to normalize by."""
    network = build(dropout=0.5)
    network.compile(keras.optimizers.Adam(1e-2), "mse")
    random = np.random.default_rng(0)
    L, ab = (random.random((4, 16, 16, channels), np.float32) for channels in (1, 2))
    network.train_on_batch(L, ab)
    return network


@pytest.fixture(scope="module")
def L():
    return np.random.default_rng(1).random((3, 16, 16, 1), np.float32)


# Saved and loaded ------------------------------------------------------------------------------------


def test_a_saved_network_predicts_as_before(trained, L, tmp_path):
    path = tmp_path / "made" / "small.keras"
    networks.save(trained, path)
    loaded = networks.load(path)
    before, after = (network.predict(L, verbose=0) for network in (trained, loaded))
    assert np.abs(before).max() > 0.01
    np.testing.assert_allclose(after, before, atol=1e-6)
    assert loaded.name == "small"
    assert [file.name for file in path.parent.iterdir()] == ["small.keras"]


SAVE_MANY = """
import json
import sys
from pathlib import Path
from helpers import networks, records
from helpers.backend import keras

path = Path(sys.argv[1])
network = networks.load(path)
for number in range(25):
    networks.save(network, path)
    networks.load(path)
    records.write(path.with_suffix(".json"), {"number": number})
    records.read(path.with_suffix(".json"))
"""


def test_two_processes_can_save_one_network_at_once(trained, tmp_path):
    path = tmp_path / "small.keras"
    networks.save(trained, path)
    processes = [subprocess.Popen([sys.executable, "-c", SAVE_MANY, path]) for _ in range(2)]
    assert [process.wait() for process in processes] == [0, 0]
    assert sorted(file.name for file in tmp_path.iterdir()) == ["small.json", "small.keras"]


def test_saving_rounds_the_weights_to_half_precision(L, tmp_path):
    network = build()
    exact, before = network.get_weights(), network.predict(L, verbose=0)
    networks.save(network, tmp_path / "small.keras")
    for rounded, weight in zip(network.get_weights(), exact, strict=True):
        np.testing.assert_array_equal(rounded, weight.astype(np.float16).astype(np.float32))
    assert any(
        (rounded != weight).any() for rounded, weight in zip(network.get_weights(), exact, strict=True)
    )
    np.testing.assert_allclose(network.predict(L, verbose=0), before, atol=1e-3)


@pytest.mark.parametrize(
    ("value", "rounded"),
    [
        (-1.5, -1.5),
        (1 + 2**-11, 1),  # a tie goes to the even number
        (1 + 3 * 2**-11, 1 + 2**-9),
        (1 + 1.1 * 2**-11, 1 + 2**-10),
        (2 - 2**-12, 2),
        (0, 0),
        (np.inf, np.inf),
        (3 * 2**-120, 3 * 2**-120),  # out of the range of half precision
        (2**100 * (1 + 2**-20), 2**100),
    ],
)
def test_weights_are_rounded_to_the_nearest_of_eleven_bits(value, rounded):
    for sign in (1, -1):
        given = networks._half(np.array([sign * value], np.float32))
        assert (given.dtype, given[0]) == (np.float32, sign * rounded)


def test_the_file_is_little_more_than_half_as_large(tmp_path):
    L = keras.Input((None, None, 1))
    network = keras.Model(L, layers.Conv2D(2, 3)(layers.Conv2D(256, 3)(layers.Conv2D(256, 3)(L))))
    networks.save(network, tmp_path / "large.keras")
    assert (tmp_path / "large.keras").stat().st_size < 0.62 * 4 * network.count_params()


def test_the_file_holds_no_optimizer_and_the_network_keeps_its_own(trained, tmp_path):
    path = tmp_path / "small.keras"
    networks.save(trained, path)
    with zipfile.ZipFile(path) as archive:
        assert json.loads(archive.read("config.json")).get("compile_config") in (None, {})
    assert not networks.load(path).compiled
    assert trained.compiled
    assert trained.optimizer.iterations == 1


def test_saving_again_replaces_the_file(trained, L, tmp_path):
    path = tmp_path / "small.keras"
    networks.save(build(), path)
    networks.save(trained, path)
    np.testing.assert_allclose(
        networks.load(path).predict(L, verbose=0), trained.predict(L, verbose=0), atol=1e-6
    )


def test_a_network_that_is_not_there_is_named_in_one_line(tmp_path):
    with pytest.raises(CourseError, match=r"no network baseline\.keras yet: run lessons") as error:
        networks.load(tmp_path / "baseline.keras")
    assert len(str(error.value).splitlines()) == 1
    assert str(tmp_path) not in str(error.value)


# Coloring --------------------------------------------------------------------------------------------


def painter(a, b):
    """A network that answers every pixel with one color, given in CIE units."""
    L = keras.Input((None, None, 1))
    ab = layers.Conv2D(2, 1, kernel_initializer="zeros")
    network = keras.Model(L, ab(L))
    ab.bias.assign([a / 128, b / 128])
    return network


@pytest.mark.parametrize("side", [(16, 16), (16, 24), (40, 56), (41, 33)])
def test_the_colors_are_the_networks_and_the_lightness_the_photographs(L, side):
    """Whatever the size of the photographs beside that which the network sees."""
    random = np.random.default_rng(2)
    rgb = random.integers(100, 156, (3, *side, 3), dtype=np.uint8)  # far enough from black and white
    colored = networks.color(painter(12, -9), L, rgb)
    assert (colored.shape, colored.dtype) == (rgb.shape, np.uint8)
    before, after = rgb_to_lab(rgb), rgb_to_lab(colored)
    # One of 256 levels is half a unit of LAB or so.
    assert np.abs(after[..., 0] - before[..., 0]).max() < 0.5
    assert np.abs(after[..., 1:] - [12, -9]).max() < 1.5


def test_each_photograph_gets_its_own_colors_where_the_network_put_them():
    """The network's upper half is red and its lower half green, in the second photograph the reverse."""
    L = np.zeros((2, 8, 8, 1), np.float32)
    L[0, :4] = L[1, 4:] = 1
    inputs = keras.Input((None, None, 1))
    toward_red = layers.Conv2D(2, 1)
    network = keras.Model(inputs, toward_red(inputs))
    toward_red.set_weights([np.array([[[[0.4, 0]]]], np.float32), np.array([-0.2, 0], np.float32)])
    rgb = np.full((2, 32, 48, 3), 128, np.uint8)
    a = rgb_to_lab(networks.color(network, L, rgb))[..., 1]
    for photograph, sign in zip(a, (1, -1), strict=True):
        assert (sign * photograph[:12] > 20).all()
        assert (sign * photograph[-12:] < -20).all()


def test_coloring_is_in_inference_mode(trained, L):
    rgb = np.full((3, 16, 16, 3), 128, np.uint8)
    first, second = (networks.color(trained, L, rgb) for _ in range(2))
    np.testing.assert_array_equal(first, second)
    # Alone or with others: no statistics of the batch.
    alone = [networks.color(trained, L[i : i + 1], rgb[i : i + 1])[0] for i in range(3)]
    assert np.abs(first.astype(int) - np.stack(alone)).max() <= 1
    # In training mode this network does differ from call to call.
    noisy = [keras.ops.convert_to_numpy(trained(L, training=True)) for _ in range(2)]
    assert np.abs(noisy[0] - noisy[1]).max() > 0.01


@pytest.mark.parametrize("batch_size", [1, 2, 16])
def test_the_batch_size_changes_nothing(trained, L, batch_size, monkeypatch):
    monkeypatch.setattr(networks, "BATCH", batch_size)
    ab = networks.predict_ab(trained, L)
    assert ab.shape == (3, 16, 16, 2)
    np.testing.assert_allclose(ab, 128 * trained.predict(L, verbose=0), atol=1e-3)


def test_of_a_network_that_gives_rgb_the_ab_is_taken(L):
    inputs = keras.Input((None, None, 1))
    rgb = layers.Conv2D(3, 1, kernel_initializer="zeros")
    network = keras.Model(inputs, rgb(inputs))
    rgb.bias.assign([0.5, -0.25, 0.0])
    level = np.array([0.75, 0.375, 0.5], np.float32)
    expected = rgb_to_lab(level)[1:]
    np.testing.assert_allclose(
        networks.predict_ab(network, L), np.broadcast_to(expected, (3, 16, 16, 2)), atol=1e-3
    )
    photographs = np.full((3, 32, 32, 3), 128, np.uint8)
    colored = rgb_to_lab(networks.color(network, L, photographs))
    np.testing.assert_allclose(colored[..., 1:].mean((0, 1, 2)), expected, atol=1)
    # Its own lightness is not: that of the photograph stays.
    np.testing.assert_allclose(colored[..., 0], rgb_to_lab(photographs)[..., 0], atol=0.5)


def test_vividness_mixes_the_two_maps_of_a_colorizer():
    centers = ab_bins.centers()
    inputs = keras.Input((None, None, 1), name="L")
    quarter = layers.AveragePooling2D(4)(inputs)
    ab = layers.Conv2D(2, 1, bias_initializer="ones", kernel_initializer="zeros")(quarter)
    logits = layers.Conv2D(len(centers), 1, kernel_initializer="zeros")(quarter)
    network = keras.Model(inputs, [ab, logits])
    likely = np.zeros(len(centers), np.float32)
    likely[7] = 50
    network.layers[-1].set_weights([np.zeros((1, 1, 1, len(centers)), np.float32), likely])
    L = np.zeros((3, 16, 8, 1), np.float32)
    for vividness in (0.0, 0.25, 1.0):
        given = networks.predict_ab(network, L, vividness)
        assert given.shape == (3, 4, 2, 2)
        expected = (1 - vividness) * AB_SCALE + vividness * centers[7]
        assert np.allclose(given, expected, atol=1e-3)
    rgb = np.full((3, 16, 8, 3), 128, np.uint8)
    assert not np.array_equal(networks.color(network, L, rgb), networks.color(network, L, rgb, 1.0))


def lopsided(extra=()):
    """A network with two answers that looks to the left of each place; each of `extra` is added to its ab."""
    L = keras.Input((None, None, 1))
    quarter = layers.AveragePooling2D(4)(L)
    kernel = np.zeros((1, 3, 1, 2), np.float32)
    kernel[0, 0] = 0.2, -0.1
    ab = layers.Conv2D(2, (1, 3), padding="same", use_bias=False, name="ab")
    given = layers.Add()([ab(quarter), *(each[..., :2] for each in extra)]) if extra else ab(quarter)
    logits = layers.Conv2D(len(ab_bins.centers()), 1, kernel_initializer="zeros")(quarter)
    network = keras.Model([L, *extra] if extra else L, [given, logits])
    ab.set_weights([kernel])
    return network


def test_a_network_with_two_answers_sees_the_mirror_image_too():
    network = lopsided()
    L = np.random.default_rng(0).random((5, 8, 16, 1), np.float32)
    given, in_the_mirror = (networks.predict_ab(network, seen) for seen in (L, L[:, :, ::-1]))
    np.testing.assert_allclose(given, in_the_mirror[:, :, ::-1], atol=1e-5)
    seen = np.pad(L.reshape(5, 2, 4, 4, 4).mean((2, 4)), ((0, 0), (0, 0), (1, 1)))
    both_sides = (seen[..., :-2] + seen[..., 2:])[..., None] / 2 * (0.2, -0.1) * AB_SCALE
    np.testing.assert_allclose(given, both_sides, atol=1e-4)


def test_the_mirror_image_has_mirrored_hints():
    hints = keras.Input((None, None, 3))
    given = np.random.default_rng(1).random((1, 2, 4, 3), np.float32)
    L = np.zeros((1, 8, 16, 1), np.float32)
    ab = networks.predict_ab(lopsided([hints]), [L, given])
    np.testing.assert_allclose(ab, AB_SCALE * given[..., :2], atol=1e-4)


def test_a_fusion_network_takes_its_two_inputs(L):
    lightness, vector = keras.Input((None, None, 1)), keras.Input((2,))
    ab = layers.Conv2D(2, 1, kernel_initializer="zeros")(lightness)
    network = keras.Model([lightness, vector], layers.Add()([ab, layers.Reshape((1, 1, 2))(vector)]))
    vectors = np.array([[12, 0], [0, 12], [-12, 0]], np.float32) / 128
    colored = networks.color(network, [L, vectors], np.full((3, 16, 16, 3), 128, np.uint8))
    np.testing.assert_allclose(rgb_to_lab(colored)[..., 1:].mean((1, 2)), vectors * 128, atol=1.5)


def test_one_network_colors_small_and_then_larger_inputs():
    """A function traced at the first size cannot enlarge maps of an open size later."""
    L = keras.Input((None, None, 1))
    x = layers.UpSampling2D(interpolation="bilinear")(layers.Conv2D(4, 3, 2, padding="same")(L))
    network = keras.Model(L, layers.Conv2D(2, 3, padding="same")(x))
    for side in (16, 32, 24):
        rgb = np.full((2, side, side, 3), 100, np.uint8)
        assert networks.color(network, np.zeros((2, side, side, 1), np.float32), rgb).shape == rgb.shape
