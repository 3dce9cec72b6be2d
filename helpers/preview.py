"""A picture that somebody looks at as it is colored: within limits, and in a size that is quick to color."""

import io
import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image

from helpers import colorize
from helpers.colorize import Colorizer, Original
from helpers.errors import CourseError
from helpers.hints import Hint, parse
from helpers.lab import to_gamut, to_uint8
from helpers.photographs import decode

PAGE = Path(__file__).with_name("page")  # the page that the app serves, and what it shares with the notebook
LONGEST = 640  # pixels, of the side of what is shown
MOST_HINTS = 100
_NUMBER = r"-?\d{1,3}(?:\.\d{1,4})?"
_HINT = re.compile(rf"{_NUMBER}%,{_NUMBER}%=(?:#[0-9a-f]{{6}}|{_NUMBER},{_NUMBER})", re.ASCII)
# Up to which angle of the plane of a and b, in degrees, a hue bears a name.
HUES = {20: "pink", 50: "red", 85: "orange", 112: "yellow", 170: "green", 225: "turquoise", 309: "blue"}
HUES |= {335: "purple", 360: "pink"}
GREY, PALE, VIVID = 6, 20, 50  # up to which chroma a color is called the first two, and from which the third
BROWN = 65  # up to which lightness an orange is called so


@dataclass(frozen=True)
class Limits:
    """How large a picture may be.

    Attributes
    ----------
    megabytes : int
        Of the file.
    megapixels : int
        Of the picture.
    """

    megabytes: int
    megapixels: int

    def __str__(self) -> str:
        return f"At most {self.megabytes} MB and {self.megapixels} megapixels."


def read(data: bytes, limits: Limits) -> Original:
    """Read a picture, unless it is too large; its size is known before its pixels are unpacked.

    Parameters
    ----------
    data : bytes
        The file's content.
    limits : Limits
        How large it may be.

    Returns
    -------
    Original
        As `helpers.colorize.read` gives it.

    Raises
    ------
    CourseError
        If it is too large, or cannot be decoded, with the reason in one line.
    """
    if len(data) > limits.megabytes * 10**6:
        raise CourseError(f"{len(data) / 1e6:.0f} MB are too many. {limits}")
    pixels = 0
    with suppress(Exception), Image.open(io.BytesIO(data), formats=decode.FORMATS) as image:
        pixels = image.width * image.height
    if pixels > limits.megapixels * 10**6:
        raise CourseError(f"{pixels / 1e6:.0f} megapixels are too many. {limits}")
    return colorize.read(data)


def small(original: Original) -> Original:
    """Reduce a picture to what is shown.

    Parameters
    ----------
    original : Original
        The picture.

    Returns
    -------
    Original
        A JPEG of eight bits, at most `LONGEST` pixels wide and high, without transparency and EXIF data.
    """
    height, width = original.pixels.shape[:2]
    scale = min(1, LONGEST / max(height, width))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return replace(
        original, pixels=colorize.reduced(original.pixels, size), alpha=None, format="JPEG", exif=b""
    )


def grey(original: Original) -> np.ndarray:
    """Take the color from a picture: what is left is what a network sees.

    Parameters
    ----------
    original : Original
        The picture.

    Returns
    -------
    (height, width, 3) ndarray of uint8
        sRGB, of the same lightness.
    """
    L = colorize.lightness(original.pixels)
    zero = np.zeros_like(L)
    return np.rint(to_gamut(np.stack([L, zero, zero], axis=-1)) * 255).astype(np.uint8)


def script() -> str:
    """Give the code of the controls, which the app's page and the notebook share.

    Returns
    -------
    str
        A module of JavaScript that exports `build`.
    """
    return "".join((PAGE / name).read_text("utf-8") for name in ("hints.js", "picture.js"))


def hints(text: str | None) -> list[Hint]:
    """Read the hints that the controls send.

    Parameters
    ----------
    text : str or None
        As `helpers.hints.parse` takes them, with places in percent, and ``#rrggbb`` or a and b as colors; a
        semicolon between two of them. None, or nothing, is no hint.

    Returns
    -------
    list of Hint
        At most `MOST_HINTS`.

    Raises
    ------
    CourseError
        If there are more, or one is no such text, or is out of range.
    """
    parts = text.split(";") if text else []
    if len(parts) > MOST_HINTS:
        raise CourseError(f"{len(parts)} hints are too many: {MOST_HINTS} are the most")
    if not all(map(_HINT.fullmatch, parts)):
        raise CourseError(
            "a hint is a place in percent and a color, such as 50%,25%=#3060a0 or 50%,25%=40,-20"
        )
    return [parse(part)(1, 1) for part in parts]


def likely(
    original: Original, colorizer: Colorizer, x: float, y: float, hints: Sequence[Hint] = ()
) -> list[dict]:
    """Find the likely colors of a place, as they are shown.

    Parameters
    ----------
    original, colorizer, x, y, hints
        As `helpers.colorize.likely` takes them.

    Returns
    -------
    list of dict
        Each a `color`, #rrggbb at the lightness of the pixel there, its `name`, `a` and `b` in CIE units, and
        the `probability`, 0 to 1; the likeliest first.

    Raises
    ------
    CourseError
        As from `helpers.colorize.likely`.
    """
    found = colorize.likely(original, colorizer, x, y, hints)
    height, width = original.pixels.shape[:2]
    row, column = min(int(y * height), height - 1), min(int(x * width), width - 1)
    L = float(colorize.lightness(original.pixels[row : row + 1, column : column + 1])[0, 0])
    shown = to_uint8(to_gamut(np.array([[L, hint.a, hint.b] for hint, _ in found], np.float32)))
    return [
        {
            "color": f"#{bytes(rgb).hex()}",
            "name": color_name(L, hint.a, hint.b),
            "a": hint.a,
            "b": hint.b,
            "probability": probability,
        }
        for rgb, (hint, probability) in zip(shown, found, strict=True)
    ]


def color_name(L: float, a: float, b: float) -> str:
    """Name a color for whoever cannot see it.

    Parameters
    ----------
    L : float
        Its lightness, 0 to 100.
    a, b : float
        CIE units.

    Returns
    -------
    str
        Roughly what it is called, such as "pale blue".
    """
    chroma, angle = np.hypot(a, b), np.degrees(np.arctan2(b, a)) % 360
    if chroma < GREY:
        return "grey"
    hue = next(name for most, name in HUES.items() if angle < most)
    if hue == "orange" and L < BROWN:
        hue = "brown"
    return f"pale {hue}" if chroma < PALE else f"vivid {hue}" if chroma > VIVID else hue
