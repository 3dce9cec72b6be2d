"""Colors as classes: the plane of a and b cut into squares, of which one class each is a likely color."""

from functools import cache

import numpy as np

from helpers.backend import keras
from helpers.lab import rgb_to_lab

ops = keras.ops

WIDTH = 10  # CIE units of a and of b
TEMPERATURE = 0.38


@cache
def centers() -> np.ndarray:
    """List the bins that hold a color of sRGB.

    Returns
    -------
    (bins, 2) ndarray of float32
        The a and b in the middle of each, CIE units, multiples of 10, in ascending order.

    References
    ----------
    Zhang, Isola and Efros, "Colorful image colorization", 2016, https://arxiv.org/abs/1603.08511.
    """
    levels = np.arange(0, 256, 5, dtype=np.uint8)
    cube = np.stack(np.meshgrid(levels, levels, levels), axis=-1).reshape(-1, 3)
    found = np.unique(np.rint(rgb_to_lab(cube)[:, 1:] / WIDTH), axis=0)
    return (found * WIDTH).astype(np.float32)


def annealed_mean(logits, temperature: float = TEMPERATURE):
    """Take one color from each distribution over the bins: the mean, after it was sharpened.

    Parameters
    ----------
    logits : (..., bins) tensor or ndarray of float32
        What a softmax makes a distribution of.
    temperature : float
        Above 0. At 1 it is the plain mean, which is dull where several colors are likely; toward 0 it
        becomes the most likely bin, which is bold, and jumps from pixel to pixel.

    Returns
    -------
    (..., 2) tensor of float32
        a and b in CIE units.

    References
    ----------
    Zhang, Isola and Efros, 2016, equation 5; 0.38 is theirs.
    """
    return ops.matmul(ops.softmax(logits / temperature), centers())
