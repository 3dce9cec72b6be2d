"""A picture that somebody looks at as it is colored: within limits, and in a size that is quick to color."""

import io
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image

from helpers import colorize
from helpers.colorize import Original
from helpers.errors import CourseError
from helpers.lab import to_gamut
from helpers.photographs import decode

PAGE = Path(__file__).with_name("page")  # the page that the app serves, and what it shares with the notebook
LONGEST = 640  # pixels, of the side of what is shown


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
