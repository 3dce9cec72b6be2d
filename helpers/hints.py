"""Hints: single colors that somebody gives a colorizer, which then finds out how far each of them reaches."""

import numpy as np

STRIDE = 4  # pixels of L, a side, for which the colorizer gives one color, and takes one hint


def reveal(ab: np.ndarray, counts: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Reveal the true colors of some random places, as hints.

    Parameters
    ----------
    ab : (n, height, width, 2) ndarray of float32
        True colors, ab / 128; height and width are multiples of `STRIDE`.
    counts : (n,) ndarray of int
        How many hints each photograph gets; at most as many as it has places.
    random : numpy.random.Generator
        Decides where.

    Returns
    -------
    (n, height / STRIDE, width / STRIDE, 3) ndarray of float32
        At a hint the mean ab / 128 of its place, and 1; elsewhere 0.

    References
    ----------
    Zhang et al., "Real-time user-guided image colorization with learned deep priors", 2017,
    https://arxiv.org/abs/1705.02999.
    """
    n, height, width, _ = ab.shape
    rows, columns = height // STRIDE, width // STRIDE
    hints = np.zeros((n, rows, columns, 3), np.float32)
    for i, count in enumerate(counts):
        chosen = random.choice(rows * columns, min(count, rows * columns), replace=False)
        y, x = np.divmod(chosen, columns)
        places = ab[i].reshape(rows, STRIDE, columns, STRIDE, 2)[y, :, x]
        hints[i, y, x, :2] = places.mean(axis=(1, 2))
        hints[i, y, x, 2] = 1
    return hints
