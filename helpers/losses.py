"""Structural similarity, on one scale and on several, as Keras operations.

Both functions return one number a picture, 1 for equal pictures. A loss is made
in the lesson: `1 - ssim(truth, predicted)`.
"""

import numpy as np

from helpers.backend import accelerators, keras
from helpers.errors import CourseError

ops = keras.ops

WINDOW = 11
SIGMA = 1.5
K1, K2 = 0.01, 0.03
# Wang, Simoncelli & Bovik 2003: the exponents of the five scales, finest first.
SCALE_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
# A negative contrast term has no real power; from here down the gradient is 0.
SMALLEST_TERM = 1e-4


def ssim(truth, predicted, data_range=1.0):
    """Measure the structural similarity of pictures (Wang et al. 2004).

    Parameters
    ----------
    truth, predicted : (n, height, width, channels) tensor of float
        In 0..`data_range`; height and width at least 11, and known.
    data_range : float
        The span of values that are possible.

    Returns
    -------
    (n,) tensor of float32
        The mean over pixels and channels, at most 1.

    Raises
    ------
    CourseError
        If the shapes differ, or a side is shorter than the window.

    Notes
    -----
    A Gaussian window of 11 pixels with sigma 1.5; only pixels where the whole
    window fits count. Equals `skimage.metrics.structural_similarity` with
    `gaussian_weights=True, use_sample_covariance=False`, and `tf.image.ssim`.
    """
    truth, predicted = _checked(truth, predicted)
    luminance, contrast = _terms(truth, predicted, data_range)
    return ops.mean(luminance * contrast, axis=(1, 2, 3))


def ms_ssim(truth, predicted, data_range=1.0):
    """Measure the structural similarity on several scales (Wang et al. 2003).

    Parameters
    ----------
    truth, predicted : (n, height, width, channels) tensor of float
        In 0..`data_range`; height and width at least 11, and known.
    data_range : float
        The span of values that are possible.

    Returns
    -------
    (n,) tensor of float32
        In 0..1.

    Raises
    ------
    CourseError
        If the shapes differ, or a side is shorter than the window.

    Notes
    -----
    Each scale halves the picture. There are as many scales, at most five, as leave
    the smallest picture no smaller than the window: 3 at 64 px, 4 at 96 and 128, 5
    from 161 on. With fewer than five, their weights are scaled to the sum of the
    five. With five it equals `tf.image.ssim_multiscale`, but for a finite gradient everywhere:
    contrast terms below 1e-4 count as 1e-4.
    """
    truth, predicted = _checked(truth, predicted)
    weights = scale_weights(min(truth.shape[1:3]))
    product = 1.0
    for scale, weight in enumerate(weights):
        if scale:
            # Stated strides: Keras' default for them fails on JAX.
            truth, predicted = (ops.average_pool(x, 2, strides=2, padding="same") for x in (truth, predicted))
        luminance, contrast = _terms(truth, predicted, data_range)
        term = luminance * contrast if scale == len(weights) - 1 else contrast
        product = product * ops.maximum(ops.mean(term, axis=(1, 2)), SMALLEST_TERM) ** weight
    return ops.mean(product, axis=-1)


def scale_weights(side):
    """Return the weights of the scales that a picture of this side has room for.

    Parameters
    ----------
    side : int
        The shorter side, in pixels, at least 11.

    Returns
    -------
    list of float
        One to five weights, the finest scale first, with the sum of the five: 1.0001 as published.
    """
    count = 1
    while count < len(SCALE_WEIGHTS) and -(-side // 2**count) >= WINDOW:
        count += 1
    kept = SCALE_WEIGHTS[:count]
    return [weight * sum(SCALE_WEIGHTS) / sum(kept) for weight in kept]


def _checked(truth, predicted):
    truth, predicted = (ops.cast(ops.convert_to_tensor(x), "float32") for x in (truth, predicted))
    if len(truth.shape) != 4 or tuple(truth.shape)[1:] != tuple(predicted.shape)[1:]:
        raise CourseError(
            "expected two batches of pictures of one shape (n, height, width, channels), got "
            f"{tuple(truth.shape)} and {tuple(predicted.shape)}."
        )
    if min(truth.shape[1:3]) < WINDOW:
        raise CourseError(f"SSIM needs pictures of at least {WINDOW} pixels a side, got {truth.shape[1:3]}.")
    return truth, predicted


def _terms(truth, predicted, data_range):
    """Return the luminance and the contrast-structure maps where the window fits."""
    c1, c2 = (K1 * data_range) ** 2, (K2 * data_range) ** 2
    channels = truth.shape[-1]
    moments = ops.concatenate(
        [truth, predicted, truth * predicted, truth * truth + predicted * predicted], axis=-1
    )
    smooth = _blur(moments)
    mean_t, mean_p, mean_tp, mean_squares = (smooth[..., k * channels : (k + 1) * channels] for k in range(4))
    product, squares = mean_t * mean_p, mean_t * mean_t + mean_p * mean_p
    luminance = (2 * product + c1) / (squares + c1)
    contrast = (2 * (mean_tp - product) + c2) / (mean_squares - squares + c2)
    return luminance, contrast


def _blur(x):
    """Average with the Gaussian window, first down the columns, then along the rows."""
    # JAX's compiler has no fast way for a convolution of each channel by itself on a processor: lesson 5's
    # steps took twice as long. On a GPU, where a matrix product may round to ten bits, it has.
    by_products = keras.backend.backend() == "jax" and not accelerators()
    return _blur_by_products(x) if by_products else _blur_by_convolution(x)


def _blur_by_convolution(x):
    channels = x.shape[-1]
    for shape in ((WINDOW, 1), (1, WINDOW)):
        kernel = np.broadcast_to(_window().reshape(*shape, 1, 1), (*shape, channels, 1))
        x = ops.depthwise_conv(x, ops.convert_to_tensor(kernel.copy()), padding="valid")
    return x


def _blur_by_products(x):
    down, along = (_averages(side) for side in x.shape[1:3])
    planes = ops.matmul(ops.matmul(down, ops.moveaxis(x, -1, 1)), along.T)
    return ops.moveaxis(planes, 1, -1)


def _averages(side):
    """Return the matrix that takes `side` pixels to their averages where the window fits."""
    inside = side - WINDOW + 1
    return sum(weight * np.eye(inside, side, shift, "float32") for shift, weight in enumerate(_window()))


def _window():
    offsets = np.arange(WINDOW) - (WINDOW - 1) / 2
    window = np.exp(-(offsets**2) / (2 * SIGMA**2))
    return (window / window.sum()).astype("float32")
