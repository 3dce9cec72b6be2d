"""RGB and LAB: as accurate as skimage.color, exact there and back, and loud about bad input."""

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from skimage import color

from helpers.backend import keras
from helpers.errors import CourseError
from helpers.lab import colorfulness, denormalize, lab_to_rgb, normalize, rgb_to_lab, to_uint8

ops = keras.ops
TOLERANCE = 0.01


def as_tensor(array):
    return ops.convert_to_tensor(array)


def as_array(array):
    return array


FORMS = pytest.mark.parametrize("form", [as_array, as_tensor])


def numpy_of(x):
    return x if isinstance(x, np.ndarray) else ops.convert_to_numpy(x)


def random_colors():
    return np.random.default_rng(0).integers(0, 256, (1000, 1000, 3), dtype=np.uint8)


def gridded_colors():
    """Every fourth value of each channel: 2^24 / 64 colors, with 255 among them."""
    values = np.arange(3, 256, 4, dtype=np.uint8)
    return np.stack(np.meshgrid(values, values, values, indexing="ij"), axis=-1)


@FORMS
@pytest.mark.parametrize("colors", [random_colors, gridded_colors])
def test_lab_is_that_of_skimage(form, colors):
    rgb = colors()
    lab = rgb_to_lab(form(rgb))
    assert keras.backend.standardize_dtype(lab.dtype) == "float32"
    assert np.abs(numpy_of(lab) - color.rgb2lab(rgb)).max() <= TOLERANCE


@FORMS
def test_lab_of_floats_is_that_of_skimage(form):
    rgb = np.random.default_rng(1).random((1000, 1000, 3), dtype=np.float32)
    assert np.abs(numpy_of(rgb_to_lab(form(rgb))) - color.rgb2lab(rgb)).max() <= TOLERANCE


def test_every_color_comes_back():
    green, blue = np.meshgrid(np.arange(256, dtype=np.uint8), np.arange(256, dtype=np.uint8))
    for red in range(0, 256, 16):
        shades = np.arange(red, red + 16, dtype=np.uint8)[:, None, None]
        rgb = np.stack(np.broadcast_arrays(shades, green, blue), axis=-1)
        assert np.array_equal(to_uint8(lab_to_rgb(rgb_to_lab(rgb))), rgb), f"red from {red} on"


def test_every_fourth_color_comes_back_as_a_tensor():
    rgb = gridded_colors()
    back = numpy_of(lab_to_rgb(rgb_to_lab(as_tensor(rgb))))
    assert np.array_equal(np.rint(back * 255).astype(np.uint8), rgb)


@FORMS
def test_rgb_of_lab_is_that_of_skimage(form):
    lab = color.rgb2lab(np.random.default_rng(2).random((300, 300, 3))).astype(np.float32)
    assert np.abs(numpy_of(lab_to_rgb(form(lab))) - color.lab2rgb(lab)).max() <= 1e-4


@FORMS
@pytest.mark.parametrize("shape", [(3,), (5, 3), (7, 5, 3), (2, 3, 5, 3)])
def test_one_photograph_and_a_batch_are_the_same(form, shape):
    rgb = np.random.default_rng(3).integers(0, 256, shape, dtype=np.uint8)
    lab = numpy_of(rgb_to_lab(form(rgb)))
    one_by_one = [rgb_to_lab(pixel) for pixel in rgb.reshape(-1, 3)]
    assert lab.shape == shape
    assert np.allclose(lab.reshape(-1, 3), one_by_one, atol=1e-3)


@FORMS
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_floats_of_any_width_give_float32(form, dtype):
    lab = rgb_to_lab(form(np.full((4, 4, 3), 0.5, dtype)))
    assert keras.backend.standardize_dtype(lab.dtype) == "float32"
    assert np.allclose(numpy_of(lab), color.rgb2lab([0.5, 0.5, 0.5]), atol=TOLERANCE)


@FORMS
def test_colors_that_no_screen_shows_are_clipped(form):
    rgb = numpy_of(lab_to_rgb(form(np.array([[50, 120, 0], [50, 0, -120]], np.float32))))
    assert rgb.min() == 0 and rgb.max() == 1


@FORMS
def test_normalized_and_back(form):
    lab = rgb_to_lab(random_colors()[:50])
    L, ab = normalize(form(lab))
    assert tuple(L.shape) == (50, 1000, 1) and tuple(ab.shape) == (50, 1000, 2)
    assert numpy_of(L).min() >= 0 and numpy_of(L).max() <= 1 + 1e-6
    assert np.allclose(numpy_of(L)[..., 0], lab[..., 0] / 100)
    assert np.allclose(numpy_of(ab), lab[..., 1:] / 128, atol=1e-7)
    assert np.allclose(numpy_of(denormalize(L, ab)), lab, atol=1e-4)


def test_a_network_can_learn_through_lab():
    """The gradient of LAB -> RGB -> LAB is finite everywhere, black and white included."""
    layer = keras.layers.Dense(3, use_bias=False, kernel_initializer="identity")
    inputs = keras.Input((3,))
    outputs = keras.layers.Lambda(lambda x: rgb_to_lab(lab_to_rgb(x)), output_shape=(3,))(layer(inputs))
    network = keras.Model(inputs, outputs)
    network.compile(keras.optimizers.SGD(1e-6), "mse")
    lab = rgb_to_lab(np.array([[0, 0, 0], [255, 255, 255], [200, 30, 90], [0, 0, 255]], np.uint8))
    network.fit(lab, lab + 1, epochs=1, verbose=0)
    kernel = layer.get_weights()[0]
    assert np.isfinite(kernel).all() and not np.array_equal(kernel, np.eye(3))


def test_a_network_may_leave_the_range_of_rgb_while_it_learns():
    layer = keras.layers.Dense(3, use_bias=False, kernel_initializer="identity")
    inputs = keras.Input((3,))
    network = keras.Model(inputs, keras.layers.Lambda(rgb_to_lab, output_shape=(3,))(layer(inputs)))
    network.compile(keras.optimizers.SGD(1e-6), "mse")
    rgb = np.array([[-0.5, 0, 1], [1.5, -1, 0.02]], np.float32)
    network.fit(rgb, np.zeros((2, 3)), epochs=1, verbose=0)
    assert np.isfinite(layer.get_weights()[0]).all()


@given(
    hnp.arrays(
        np.float32,
        hnp.array_shapes(min_dims=1, max_dims=3, max_side=7).map(lambda shape: (*shape, 3)),
        elements=st.floats(0, 1, width=32),
    )
)
@settings(max_examples=50, deadline=None)
def test_lab_stays_in_its_range_and_comes_back(rgb):
    lab = rgb_to_lab(rgb)
    assert lab.shape == rgb.shape
    assert lab[..., 0].min() >= -1e-3 and lab[..., 0].max() <= 100.001
    assert np.abs(lab[..., 1:]).max() < 128
    assert np.allclose(lab_to_rgb(lab), rgb, atol=1e-4)


@pytest.mark.parametrize(
    ("rgb", "message"),
    [
        (np.full((4, 4, 3), 200.0), r"got 200\.\.200: divide by 255, or pass uint8"),
        (np.full((4, 4, 3), 1.01), r"0\.\.1"),
        (np.full((4, 4, 3), -0.1), r"0\.\.1"),
        (np.full((4, 4, 3), np.nan), "NaN"),
        (np.zeros((4, 4)), r"3 channels on the last axis, got shape \(4, 4\)"),
        (np.zeros((4, 4, 4)), "3 channels"),
        (np.zeros((3, 4, 5), np.uint8), "3 channels"),
        (np.zeros((4, 4, 3), np.int64), "int64"),
        (np.zeros((4, 4, 3), bool), "bool"),
    ],
)
def test_bad_rgb_is_named(rgb, message):
    with pytest.raises(CourseError, match=message):
        rgb_to_lab(rgb)


def test_one_value_out_of_range_is_enough():
    rgb = np.zeros((4, 4, 3))
    rgb[1, 2, 0] = 17
    with pytest.raises(CourseError, match=r"0\.\.17"):
        rgb_to_lab(rgb)


@pytest.mark.parametrize(
    ("lab", "message"),
    [
        (np.full((4, 4, 3), np.nan), "NaN"),
        (np.full((4, 4, 3), np.inf), "NaN or infinity"),
        (np.full((4, 4, 3), 120.0), r"L must lie in 0\.\.100, got 120"),
        (np.zeros((4, 4, 2)), "3 channels"),
        (np.zeros((4, 4, 3), np.uint8), "uint8"),
    ],
)
def test_bad_lab_is_named(lab, message):
    with pytest.raises(CourseError, match=message):
        lab_to_rgb(lab)


def test_tensors_are_checked_for_channels_and_dtype():
    with pytest.raises(CourseError, match="3 channels"):
        rgb_to_lab(as_tensor(np.zeros((4, 4, 1), np.float32)))
    with pytest.raises(CourseError, match="int32"):
        rgb_to_lab(as_tensor(np.zeros((4, 4, 3), np.int32)))
    with pytest.raises(CourseError, match="list"):
        rgb_to_lab([[0.0, 0.0, 0.0]])


def test_rounding_to_bytes_refuses_what_it_cannot_hold():
    assert np.array_equal(to_uint8(np.array([0, 0.5, 1])), [0, 128, 255])
    for bad in (np.full(3, 1.2), np.full(3, np.nan), np.zeros(2)):
        with pytest.raises(CourseError):
            to_uint8(bad)


def test_mismatched_planes_are_named():
    with pytest.raises(CourseError, match=r"\(4, 4\) and \(4, 4, 2\)"):
        denormalize(np.zeros((4, 4)), np.zeros((4, 4, 2)))


def test_arrays_need_no_keras():
    code = (
        "import sys, numpy; from helpers.lab import rgb_to_lab; rgb_to_lab(numpy.zeros((2, 3), 'uint8')); "
        "sys.exit('keras' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_colorfulness_of_one_and_of_many():
    halves = np.zeros((8, 8, 3), np.uint8)
    halves[:4, :, 0] = 255
    halves[4:, :, 2] = 255
    expected = np.hypot(127.5, 191.25) + 0.3 * np.hypot(127.5, 63.75)
    assert colorfulness(halves) == pytest.approx(expected)
    many = np.stack([halves, np.full_like(halves, 90)])
    np.testing.assert_allclose(colorfulness(many), [expected, 0])
    np.testing.assert_allclose(colorfulness(many[None]), [[expected, 0]])
    for wrong in (many / 255, many[..., :2], halves[0]):
        with pytest.raises(CourseError, match="uint8 array of shape"):
            colorfulness(wrong)
