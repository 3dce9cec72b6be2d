"""Hints: single colors that somebody gives a colorizer, which then finds out how far each of them reaches."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from numbers import Real

import numpy as np
from PIL import ImageColor

from helpers.errors import CourseError
from helpers.lab import AB_SCALE, rgb_to_lab

STRIDE = 4  # pixels of L, a side, for which the colorizer gives one color, and takes one hint
_RANGES = {"x": (0, 1), "y": (0, 1), "a": (-AB_SCALE, AB_SCALE - 1), "b": (-AB_SCALE, AB_SCALE - 1)}


@dataclass(frozen=True)
class Hint:
    """A color that somebody gives for a place of a picture.

    Attributes
    ----------
    x, y : float
        The place: shares of the picture's width and height, 0 to 1, from its upper left corner.
    a, b : float
        The color in CIE units, -128 to 127. The lightness stays the picture's own.

    Raises
    ------
    CourseError
        If one of them is no number in its range.
    """

    x: float
    y: float
    a: float
    b: float

    def __post_init__(self) -> None:
        for name, (least, most) in _RANGES.items():
            value = getattr(self, name)
            if not (isinstance(value, Real) and least <= value <= most):
                raise CourseError(f"a hint's {name} is a number from {least} to {most}, not {value!r}")


def parse(text: str) -> Callable[[int, int], Hint]:
    """Read a hint that somebody has typed.

    Parameters
    ----------
    text : str
        ``X,Y=COLOR``. X and Y are pixels, the first of which is 0, or shares such as ``25%``. The color is
        ``#rrggbb``, one of the names of CSS, such as ``grey``, or a and b in CIE units, such as ``40,-20``;
        of a color of sRGB the lightness is not looked at.

    Returns
    -------
    callable
        Takes the picture's width and height in pixels, and gives the hint; raises a `CourseError` if it lies
        outside of the picture.

    Raises
    ------
    CourseError
        If it is no such text.
    """
    where, _, color = text.partition("=")
    try:
        x, y = (_length(part) for part in where.split(","))
    except ValueError:
        raise CourseError(
            f"{text!r} is no hint: write X,Y=COLOR, such as 120,80=green or 50%,25%=#3060a0"
        ) from None
    a, b = _color(color)
    Hint(0, 0, a, b)

    def of(width: int, height: int) -> Hint:
        shares = [
            # The middle of the pixel.
            number / 100 if percent else (number + 0.5) / length
            for (number, percent), length in ((x, width), (y, height))
        ]
        if not all(0 <= share <= 1 for share in shares):
            raise CourseError(
                f"the hint {text} lies outside of the picture, which has {width} × {height} pixels"
            )
        return Hint(*shares, a, b)

    return of


def _length(text: str) -> tuple[float, bool]:
    """Read pixels or percent: the number, and whether it is percent."""
    number = text.strip()
    return float(number.removesuffix("%")), number.endswith("%")


def _color(text: str) -> tuple[float, float]:
    """Read a color's a and b."""
    try:
        a, b = (float(part) for part in text.split(","))
    except ValueError:
        try:
            red, green, blue = ImageColor.getrgb(text.strip())  # transparency would be a fourth number
        except ValueError:
            raise CourseError(
                f"{text!r} is no color: write #rrggbb, a name such as green or grey, or a and b as in 40,-20"
            ) from None
        a, b = rgb_to_lab(np.array([red, green, blue], np.uint8))[1:].tolist()
    return a, b


def place(hints: Sequence[Hint], rows: int, columns: int) -> np.ndarray:
    """Put hints where a network reads them.

    Parameters
    ----------
    hints : sequence of Hint
        Of two in one place the later one counts.
    rows, columns : int
        The network's places: height and width of its L, in units of `STRIDE` pixels.

    Returns
    -------
    (1, rows, columns, 3) ndarray of float32
        At a hint its ab / 128, and 1; elsewhere 0.
    """
    placed = np.zeros((1, rows, columns, 3), np.float32)
    for hint in hints:
        row, column = cell(hint.x, hint.y, rows, columns)
        placed[0, row, column] = hint.a / AB_SCALE, hint.b / AB_SCALE, 1
    return placed


def cell(x: float, y: float, rows: int, columns: int) -> tuple[int, int]:
    """Find the place of a network in which a point of the picture lies.

    Parameters
    ----------
    x, y : float
        The point, as `Hint` has it.
    rows, columns : int
        As for `place`.

    Returns
    -------
    tuple of int
        Row and column.
    """
    return min(int(y * rows), rows - 1), min(int(x * columns), columns - 1)


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
