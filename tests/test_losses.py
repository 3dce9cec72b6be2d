"""Structural similarity: equal to skimage's and to TensorFlow's, with gradients that stay finite."""

import numpy as np
import pytest
from skimage.metrics import structural_similarity

from helpers.backend import keras
from helpers.errors import CourseError
from helpers.losses import (
    SCALE_WEIGHTS,
    WINDOW,
    _blur_by_convolution,
    _blur_by_products,
    ms_ssim,
    scale_weights,
    ssim,
)

ops = keras.ops
MEASURES = pytest.mark.parametrize("measure", [ssim, ms_ssim])


def pictures(side, noise=0.1, count=2, channels=3, width=None):
    """Smooth pictures, and the same with noise."""
    random = np.random.default_rng(0)
    coarse = random.random((count, 4, 4, channels), dtype=np.float32)
    truth = ops.convert_to_numpy(ops.image.resize(coarse, (side, width or side)))
    predicted = np.clip(truth + noise * random.standard_normal(truth.shape), 0, 1)
    return truth, predicted.astype(np.float32)


def numbers(measured):
    return ops.convert_to_numpy(measured)


@pytest.mark.parametrize(("side", "width"), [(11, 11), (64, 64), (61, 83)])
@pytest.mark.parametrize("channels", [1, 2, 3])
@pytest.mark.parametrize("data_range", [1.0, 2.0])
def test_ssim_is_that_of_skimage(side, width, channels, data_range):
    truth, predicted = pictures(side, channels=channels, width=width)
    expected = [
        structural_similarity(
            t.astype(np.float64),
            p.astype(np.float64),
            data_range=data_range,
            channel_axis=-1,
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
        )
        for t, p in zip(truth, predicted, strict=True)
    ]
    assert np.allclose(numbers(ssim(truth, predicted, data_range)), expected, atol=2e-5)


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="compares with tf.image")
@pytest.mark.parametrize(("side", "width"), [(176, 176), (192, 180), (177, 201)])
def test_five_scales_are_those_of_tensorflow(side, width):
    import tensorflow as tf

    truth, predicted = pictures(side, width=width)
    expected = tf.image.ssim_multiscale(truth, predicted, 1.0)
    assert np.allclose(numbers(ms_ssim(truth, predicted)), expected, atol=2e-5)


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="compares with tf.image")
@pytest.mark.parametrize("side", [64, 96, 128, 75])
def test_fewer_scales_are_those_of_tensorflow_with_the_same_weights(side):
    import tensorflow as tf

    truth, predicted = pictures(side)
    expected = tf.image.ssim_multiscale(truth, predicted, 1.0, power_factors=scale_weights(side))
    assert np.allclose(numbers(ms_ssim(truth, predicted)), expected, atol=2e-5)


def waves(height, width):
    y, x = np.mgrid[:height, :width].astype(np.float64)
    truth = 0.5 + 0.25 * np.sin(x / 5) + 0.25 * np.cos(y / 7 + x / 31)
    predicted = np.clip(truth + 0.2 * np.sin(x * y / 3) + 0.05, 0, 1)
    return (np.stack([t, t**2], axis=-1)[None].astype(np.float32) for t in (truth, predicted))


@pytest.mark.parametrize(
    ("sides", "expected"), [((177, 201), 0.89628), ((61, 83), 0.83837), ((64, 64), 0.83505)]
)
def test_every_backend_gives_the_numbers_of_tensorflow(sides, expected):
    """The numbers are those of tf.image.ssim_multiscale with the weights of `scale_weights`."""
    assert numbers(ms_ssim(*waves(*sides)))[0] == pytest.approx(expected, abs=2e-5)


@pytest.mark.parametrize(("height", "width", "channels"), [(11, 11, 1), (40, 25, 3), (64, 64, 8)])
def test_both_ways_to_blur_agree(height, width, channels):
    x = np.random.default_rng(0).random((2, height, width, channels), dtype=np.float32)
    one, other = (numbers(blur(x)) for blur in (_blur_by_convolution, _blur_by_products))
    assert one.shape == other.shape == (2, height - WINDOW + 1, width - WINDOW + 1, channels)
    assert np.allclose(one, other, atol=1e-6)


@pytest.mark.parametrize(
    ("side", "count"), [(11, 1), (20, 1), (21, 2), (64, 3), (96, 4), (128, 4), (160, 4), (161, 5), (512, 5)]
)
def test_the_smallest_scale_holds_the_window(side, count):
    weights = scale_weights(side)
    assert len(weights) == count
    assert sum(weights) == pytest.approx(sum(SCALE_WEIGHTS))
    for _ in weights[1:]:
        side = -(-side // 2)
    assert side >= WINDOW


@MEASURES
@pytest.mark.parametrize("side", [11, 33, 64])
def test_equal_pictures_score_one_and_worse_ones_less(measure, side):
    truth, _ = pictures(side)
    scores = [numbers(measure(truth, pictures(side, noise)[1])) for noise in (0, 0.05, 0.2)]
    assert np.allclose(scores[0], 1, atol=1e-5)
    assert (scores[0] > scores[1]).all() and (scores[1] > scores[2]).all()


@MEASURES
def test_every_picture_is_measured_by_itself(measure):
    truth, predicted = pictures(64, count=3)
    together = numbers(measure(truth, predicted))
    alone = [numbers(measure(t[None], p[None]))[0] for t, p in zip(truth, predicted, strict=True)]
    assert together.shape == (3,)
    assert np.allclose(together, alone, atol=1e-6)


def flat(value):
    return np.full((2, 64, 64, 1), value, np.float32)


@MEASURES
@pytest.mark.parametrize(
    ("truth", "start"),
    [
        (flat(0.5), flat(0.5)),
        (flat(0.0), flat(0.0)),
        (flat(1.0), flat(0.0)),
        # The negative: the contrast terms are negative, and a power of them has no gradient.
        (pictures(64, channels=1)[0], 1 - pictures(64, channels=1)[0]),
    ],
    ids=["equal", "black", "black for white", "negative"],
)
def test_gradients_are_finite(measure, truth, start):
    """One step of gradient descent on the picture itself leaves numbers."""
    layer = keras.layers.Dense(1, kernel_initializer="ones")
    inputs = keras.Input((64, 64, 1))
    network = keras.Model(inputs, layer(inputs))
    network.compile(keras.optimizers.SGD(0.01), loss=lambda t, p: 1 - measure(t, p))
    network.fit(start, truth, epochs=2, verbose=0)
    assert np.isfinite(np.concatenate([w.ravel() for w in layer.get_weights()])).all()


@MEASURES
def test_a_network_learns_from_it(measure):
    truth, _ = pictures(32, channels=1)
    network = keras.Sequential([keras.Input((32, 32, 1)), keras.layers.Dense(1, kernel_initializer="ones")])
    network.compile(keras.optimizers.Adam(0.02), loss=lambda t, p: 1 - measure(t, p))
    losses = network.fit(0.3 * truth, truth, epochs=30, verbose=0).history["loss"]
    assert losses[-1] < 0.8 * losses[0]


@MEASURES
def test_bad_shapes_are_named(measure):
    with pytest.raises(CourseError, match=r"\(2, 64, 64, 3\) and \(2, 64, 64, 1\)"):
        measure(pictures(64)[0], pictures(64, channels=1)[0])
    with pytest.raises(CourseError, match="at least 11 pixels"):
        measure(*pictures(10))
    with pytest.raises(CourseError, match="one shape"):
        measure(*(batch[0] for batch in pictures(64)))
