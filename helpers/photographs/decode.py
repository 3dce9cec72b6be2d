"""Any picture that a person has, as a square of sRGB pixels.

Pillow does the reading. This room decides the rest: which formats, how large,
which way up, in which color space, over which background.
"""

import io
import warnings
from contextlib import suppress
from pathlib import Path

import numpy as np
from PIL import Image, ImageChops, ImageCms, ImageOps

from helpers.errors import CourseError

# Loading the readers now keeps threads from doing so at the same time. What Pillow could open
# beyond these formats (PostScript, for one, by running another program) is no photograph.
Image.init()
FORMATS = [
    name
    for name in ("JPEG", "MPO", "PNG", "WEBP", "TIFF", "GIF", "BMP", "PPM", "JPEG2000", "AVIF")
    if name in Image.OPEN
]
MOST_PIXELS = 200_000_000
# The least side of a JPEG that is decoded at a part of its size. At sizes up to half of this, a photograph's
# thumbnail does not depend on the size that it is prepared at.
LEAST_SCALE = 512

# Pillow raises above twice this number of pixels; between the two it only warns.
Image.MAX_IMAGE_PIXELS = MOST_PIXELS // 2
# Odd metadata is no fault of the reader's: a picture decodes, or it is named with the reason.
warnings.filterwarnings("ignore", module=r"PIL\.|helpers\.photographs\.decode")

_SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
_MODE_OF_SPACE = {"GRAY": "L", "RGB": "RGB", "CMYK": "CMYK", "Lab": "LAB"}


class DecodeError(CourseError):
    """A file that cannot be decoded; the message is the reason in a few words."""


def open_picture(picture: bytes | str | Path, size: int | None = None) -> Image.Image:
    """Read a picture: the right way up, in sRGB, eight bits a channel, without transparency.

    The format is recognized by content, never by name. The EXIF orientation is applied, an
    embedded ICC profile is converted to sRGB, transparency becomes white, 16-bit grey keeps
    its upper eight bits, and of a moving picture the first frame is taken.

    Parameters
    ----------
    picture : bytes or path
        The file's content, or where it is.
    size : int, optional
        The side in pixels of the square that will be cut from it. A JPEG is then decoded at
        1/2, 1/4 or 1/8 of its size as long as both sides keep twice this many pixels (and at
        least 512), which saves most of the time and memory that a camera's photograph costs.

    Returns
    -------
    PIL.Image.Image
        In mode RGB; `info["size"]` is the width and height that the file states.

    Raises
    ------
    DecodeError
        If there is nothing to decode, with the reason in one line.
    """
    try:
        data = picture if isinstance(picture, bytes) else Path(picture).read_bytes()
    except OSError as error:
        raise DecodeError(f"{picture} cannot be read ({error.strerror})") from None
    if not data:
        raise DecodeError("the file is empty")
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            stated = image.size
            if size:
                image.draft(None, (max(LEAST_SCALE, 2 * size),) * 2)
            image.load()
            rgb = _to_srgb(_over_white(_eight_bits(_upright(_ink(image)))))
    except DecodeError:
        raise
    except Image.DecompressionBombError:
        raise DecodeError(f"more than {MOST_PIXELS // 10**6} megapixels") from None
    except Image.UnidentifiedImageError:
        raise DecodeError(_what_it_is_instead(data)) from None
    except MemoryError:
        raise DecodeError("too large for this machine's memory") from None
    except Exception as error:  # Pillow's readers raise a dozen kinds on damaged files
        raise DecodeError(f"damaged or cut off ({_one_line(error)})") from None
    rgb.info = {"size": stated}
    return rgb


def square(image: Image.Image, size: int) -> np.ndarray:
    """Crop the middle square of a picture and resize it with antialiasing.

    Parameters
    ----------
    image : PIL.Image.Image
        In mode RGB, of any width and height.
    size : int
        The square's side in pixels.

    Returns
    -------
    (size, size, 3) ndarray of uint8
        0 to 255.
    """
    return np.asarray(ImageOps.fit(image, (size, size), Image.Resampling.LANCZOS))


def decode(picture: bytes | str | Path, size: int) -> np.ndarray:
    """Read a picture and return its middle square.

    Parameters
    ----------
    picture : bytes or path
        The file's content, or where it is.
    size : int
        The square's side in pixels.

    Returns
    -------
    (size, size, 3) ndarray of uint8
        0 to 255.

    Raises
    ------
    DecodeError
        If there is nothing to decode, with the reason in one line.
    """
    return square(open_picture(picture, size), size)


def _ink(image: Image.Image) -> Image.Image:
    # Pillow takes every CMYK JPEG for inverted, as Adobe's are; without Adobe's marker it is not.
    straight = image.format == "JPEG" and image.mode == "CMYK" and "adobe" not in image.info
    return ImageChops.invert(image) if straight else image


def _upright(image: Image.Image) -> Image.Image:
    with suppress(Exception):  # damaged EXIF data says nothing about the pixels
        ImageOps.exif_transpose(image, in_place=True)
    return image


def _eight_bits(image: Image.Image) -> Image.Image:
    if image.mode == "F":
        raise DecodeError("floating-point pixels, for which white is not defined")
    if not image.mode.startswith("I"):
        return image
    levels = np.asarray(image).astype(np.int64) // 256
    return Image.fromarray(levels.clip(0, 255).astype(np.uint8))


def _over_white(image: Image.Image) -> Image.Image:
    if not image.has_transparency_data:
        return image
    profile = image.info.get("icc_profile")
    image = image.convert("RGBA")
    paper = Image.new("RGBA", image.size, "white")
    paper.alpha_composite(image)
    opaque = paper.convert("RGB")
    opaque.info["icc_profile"] = profile
    return opaque


def _to_srgb(image: Image.Image) -> Image.Image:
    try:
        profile = _profile(image)
        if profile is None:
            return image if image.mode == "RGB" else image.convert("RGB")
        mode = _MODE_OF_SPACE[profile.profile.xcolor_space.strip()]
        source = image if image.mode == mode else image.convert(mode)
        return ImageCms.profileToProfile(source, profile, _SRGB, outputMode="RGB")
    except (ImageCms.PyCMSError, KeyError, OSError):  # a damaged profile says nothing about the pixels
        return image.convert("RGB")


def _profile(image: Image.Image) -> ImageCms.ImageCmsProfile | None:
    if image.mode == "LAB":
        return ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB"))
    embedded = image.info.get("icc_profile")
    return ImageCms.ImageCmsProfile(io.BytesIO(embedded)) if embedded else None


def _what_it_is_instead(data: bytes) -> str:
    start = data[:512].lstrip().lower()
    if start.startswith((b"<!doctype html", b"<html")):
        return "a web page, not a picture"
    if b"\0" not in data[:512]:
        return "text, not a picture"
    return "not a picture in a format that can be read"


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:80] or type(error).__name__
