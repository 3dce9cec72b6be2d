"""Colorings of photographs: by given colors, and by what needs no network.

Each takes photographs as uint8 RGB and gives uint8 RGB of the same lightness.
One photograph, a batch, and a list of photographs of several sizes are all
welcome.
"""

from collections.abc import Sequence

import numpy as np
from skimage.transform import resize

from helpers import lab
from helpers.errors import CourseError
from helpers.threads import on_threads

# One photograph, photographs of one size, or of several.
Pictures = np.ndarray | Sequence[np.ndarray]


def recolor(rgb: Pictures, ab: Pictures) -> Pictures:
    """Give photographs other colors, and keep their own lightness.

    Parameters
    ----------
    rgb : (height, width, 3) or (n, height, width, 3) ndarray of uint8, or a sequence of photographs
        Only the lightness L of these is used.
    ab : (h, w, 2) or (n, h, w, 2) ndarray of float, or a sequence of such
        The colors in CIE units. Where their size differs from the
        photograph's, they are resized bilinearly.

    Returns
    -------
    ndarray of uint8, of the shape of `rgb`, or a list where the photographs differ in size
        Colors that no screen can show are clipped, which moves L a little.

    Raises
    ------
    CourseError
        If the numbers do not match, or an array is not of the stated kind.
    """
    if _is_one(rgb):
        return _recolor(rgb, ab)
    if len(rgb) != len(ab):
        raise CourseError(f"{len(rgb)} photographs but {len(ab)} arrays of ab: give one for each")
    return _stack(on_threads(_recolor, rgb, ab))


def one_color(rgb: Pictures, ab: Sequence[float]) -> Pictures:
    """Give every pixel the same color.

    Parameters
    ----------
    rgb : ndarray of uint8, or a sequence of photographs
        As for `recolor`.
    ab : two floats
        The color, CIE units; often the `mean_ab` of the training photographs.

    Returns
    -------
    ndarray of uint8 or list
        As from `recolor`.
    """
    pixel = np.reshape(ab, (1, 1, 2))
    return recolor(rgb, pixel if _is_one(rgb) else [pixel] * len(rgb))


def grey(rgb: Pictures) -> Pictures:
    """Take all color away: ab = 0 everywhere.

    Parameters
    ----------
    rgb : ndarray of uint8, or a sequence of photographs
        As for `recolor`.

    Returns
    -------
    ndarray of uint8 or list
        As from `recolor`. Rounding lets a channel be off by one level in about
        0.6 % of the pixels, so that the colorfulness is 0.1 rather than 0.
    """
    return one_color(rgb, (0, 0))


def shuffled(rgb: Pictures, seed: int = 0) -> Pictures:
    """Give each photograph the colors of another one, drawn at random.

    Parameters
    ----------
    rgb : (n, height, width, 3) ndarray of uint8, or a sequence of photographs
        At least two.
    seed : int
        Seed of the draw: a random cycle through all photographs, so that
        none keeps its own colors and each is used once.

    Returns
    -------
    ndarray of uint8 or list
        As from `recolor`.

    Raises
    ------
    CourseError
        If there are fewer than two photographs.
    """
    if len(rgb) < 2:
        raise CourseError("another photograph's colors need at least two photographs")
    cycle = np.random.default_rng(seed).permutation(len(rgb))
    donor = np.empty_like(cycle)
    donor[cycle] = np.roll(cycle, 1)
    return _stack(on_threads(lambda picture, index: _recolor(picture, ab_of(rgb[index])), rgb, donor))


def scaled(rgb: Pictures, ab: Pictures, factor: float) -> Pictures:
    """Give photographs colors that are multiplied by one number.

    Parameters
    ----------
    rgb, ab
        As for `recolor`.
    factor : float
        Above 1 for more saturated colors; often from `helpers.metrics.best_scale`.

    Returns
    -------
    ndarray of uint8 or list
        As from `recolor`.
    """
    return recolor(rgb, [np.asarray(one) * factor for one in ab])


def trivial(rgb: Pictures, train: Pictures, seed: int = 0) -> dict[str, Pictures]:
    """Color photographs in the three ways that need no network.

    Parameters
    ----------
    rgb : (n, height, width, 3) ndarray of uint8, or a sequence of photographs
        The photographs to color, at least two.
    train : ndarray of uint8, or a sequence of photographs
        The training photographs, whose mean color is used.
    seed : int
        Seed of `shuffled`.

    Returns
    -------
    dict of str to ndarray of uint8 or list
        ``grey``, ``mean color`` and ``another's color``.

    Raises
    ------
    CourseError
        If there are fewer than two photographs to color, or none in `train`.
    """
    return {
        "grey": grey(rgb),
        "mean color": one_color(rgb, mean_ab(train)),
        "another's color": shuffled(rgb, seed),
    }


def mean_ab(rgb: Pictures) -> np.ndarray:
    """Average the color of photographs, each weighing the same.

    Parameters
    ----------
    rgb : (n, height, width, 3) ndarray of uint8, or a sequence of photographs

    Returns
    -------
    (2,) ndarray of float64
        Mean a and b, CIE units.

    Raises
    ------
    CourseError
        If there is no photograph, or one is not uint8 RGB.
    """
    if len(rgb) == 0:
        raise CourseError("no photograph to average: give at least one")
    means = on_threads(lambda picture: ab_of(picture).mean(axis=(0, 1), dtype=np.float64), rgb)
    return np.mean(means, axis=0)


def ab_of(picture: np.ndarray) -> np.ndarray:
    """Take the colors of a photograph.

    Parameters
    ----------
    picture : (height, width, 3) ndarray of uint8

    Returns
    -------
    (height, width, 2) ndarray of float32
        a and b, CIE units.

    Raises
    ------
    CourseError
        If it is not uint8 RGB.
    """
    return lab.rgb_to_lab(check_picture(picture))[..., 1:]


def check_picture(picture: np.ndarray, name: str = "the photograph") -> np.ndarray:
    """Refuse what is not one uint8 RGB photograph.

    Parameters
    ----------
    picture : ndarray
        What was given.
    name : str
        What the message calls it.

    Returns
    -------
    (height, width, 3) ndarray of uint8
        The same.

    Raises
    ------
    CourseError
        If it is anything else.
    """
    picture = np.asarray(picture)
    if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[-1] != 3:
        raise CourseError(
            f"{name} must be uint8 RGB of shape (height, width, 3), not {picture.dtype} {picture.shape}"
        )
    return picture


def _is_one(rgb: Pictures) -> bool:
    return isinstance(rgb, np.ndarray) and rgb.ndim == 3


def _recolor(rgb: np.ndarray, ab: np.ndarray) -> np.ndarray:
    rgb, ab = check_picture(rgb), np.asarray(ab, np.float32)
    if ab.ndim != 3 or ab.shape[-1] != 2:
        raise CourseError(f"ab must be of shape (height, width, 2), not {ab.shape}")
    lightness = lab.rgb_to_lab(rgb)[..., :1]
    if ab.shape[:2] != rgb.shape[:2]:
        ab = resize(ab, rgb.shape[:2], order=1, mode="edge")
    return lab.to_uint8(lab.lab_to_rgb(np.concatenate([lightness, ab], axis=-1)))


def _stack(pictures: list[np.ndarray]) -> Pictures:
    return np.stack(pictures) if len({picture.shape for picture in pictures}) == 1 else pictures
