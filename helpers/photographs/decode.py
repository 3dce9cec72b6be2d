"""Any picture that a person has, as a square of sRGB pixels.

Pillow does the reading. This room decides the rest: which formats, how large,
which way up, in which color space, over which background, in how much memory.
"""

import ctypes
import io
import math
import struct
import sys
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

import numpy as np
from PIL import ExifTags, Image, ImageChops, ImageCms, ImageOps, PngImagePlugin, TiffImagePlugin

from helpers.errors import CourseError
from helpers.photographs import recognize

# Loading the readers now keeps threads from doing so at the same time. What Pillow could open
# beyond these formats (PostScript, for one, by running another program) is no photograph.
Image.init()
FORMATS = [
    name
    for name in ("JPEG", "MPO", "PNG", "WEBP", "TIFF", "GIF", "BMP", "PPM", "JPEG2000", "AVIF")
    if name in Image.OPEN
]
MOST_PIXELS = 200_000_000
# Bytes that all pictures take that are being decoded at one time, in all threads together.
MOST_MEMORY = 900 * 10**6
# The least side of a JPEG that is decoded at a part of its size. At sizes up to half of this, a photograph's
# thumbnail does not depend on the size that it is prepared at.
LEAST_SCALE = 512

# Pillow raises above twice this number of pixels; between the two it only warns.
Image.MAX_IMAGE_PIXELS = MOST_PIXELS // 2
# What a PNG's color profile or text may unpack to. Some printers' profiles are larger than Pillow's own 1 MB.
PngImagePlugin.MAX_TEXT_CHUNK = PngImagePlugin.MAX_TEXT_MEMORY = 8 * 2**20
# Odd metadata is no fault of the reader's: a picture decodes, or it is named with the reason.
warnings.filterwarnings("ignore", module=r"PIL\.|helpers\.photographs\.decode")

_FILTER = Image.Resampling.LANCZOS
_SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
_MODE_OF_SPACE = {"GRAY": "L", "RGB": "RGB", "CMYK": "CMYK"}
# A picture of more pixels than the first is converted in strips of the second; bytes a pixel takes for that.
_WHOLE, _STRIP = 2**22, 2**20
_CONVERTING = 32
# Linux' C library keeps freed memory for the thread that had it, which adds up over threads. After a picture
# that takes more bytes than this it is told to give it back.
_LARGE = 64 * 10**6
_trim = getattr(ctypes.CDLL(None), "malloc_trim", int) if sys.platform == "linux" else int
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
Made = TypeVar("Made")


class DecodeError(CourseError):
    """A file that cannot be decoded; the message is the reason in a few words."""


class Budget:
    """Bytes to lend to threads: who wants more than is left waits.

    Parameters
    ----------
    most : int
        How many bytes there are.
    """

    def __init__(self, most: int) -> None:
        self.most = self.left = most
        self._changed = threading.Condition()

    @contextmanager
    def lend(self, count: int) -> Iterator[None]:
        """Wait until so many bytes are left, and hold them for a while.

        Parameters
        ----------
        count : int
            At most as many as there are.
        """
        with self._changed:
            self._changed.wait_for(lambda: count <= self.left)
            self.left -= count
        try:
            yield
        finally:
            with self._changed:
                self.left += count
                self._changed.notify_all()


_memory = Budget(MOST_MEMORY)


def open_picture(picture: bytes | str | Path, size: int | None = None) -> Image.Image:
    """Read a picture: the right way up, in sRGB, eight bits a channel, without transparency.

    The format is recognized by content, never by name. The EXIF orientation is applied, an
    embedded ICC profile is converted to sRGB if it is one for the picture's kind of color,
    transparency becomes white, 16-bit grey keeps its upper eight bits, and of a moving picture
    the first frame is taken.

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
    rgb, stated = _read(picture, size, _whole)
    rgb.info = {"size": stated}
    return rgb


def squares(picture: bytes | str | Path, sizes: Sequence[int]) -> tuple[list[np.ndarray], tuple[int, int]]:
    """Read a picture, and give its middle square at several sizes.

    It gives what `square` gives of `open_picture`. Of a large picture the pixels are converted strip by
    strip, which takes less memory and may round a tall one differently.

    Parameters
    ----------
    picture : bytes or path
        The file's content, or where it is.
    sizes : sequence of int
        The squares' sides in pixels. A JPEG is decoded as the largest of them needs it.

    Returns
    -------
    squares : list of (size, size, 3) ndarray of uint8
        0 to 255.
    stated : tuple of int
        The width and height that the file states.

    Raises
    ------
    DecodeError
        If there is nothing to decode, with the reason in one line.
    """
    return _read(picture, max(sizes), lambda upright: _squares(upright, sizes))


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
    return np.asarray(ImageOps.fit(image, (size, size), _FILTER))


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
    (found,), _ = squares(picture, [size])
    return found


class _Upright:
    """A loaded picture of any kind, of which any strip can be had upright and in sRGB."""

    def __init__(self, image: Image.Image, kind: str) -> None:
        self._image = image
        self._turn = None
        with suppress(Exception):  # damaged EXIF data says nothing about the pixels
            self._turn = _TURNS.get(image.getexif().get(ExifTags.Base.Orientation))
        self._across = self._turn in (_TURNS[5], _TURNS[6], _TURNS[7], _TURNS[8])
        self.width, self.height = image.size[::-1] if self._across else image.size
        # Pillow takes every CMYK JPEG for inverted, as Adobe's are; without Adobe's marker it is not.
        self._inverted = image.format == "JPEG" and image.mode == "CMYK" and "adobe" not in image.info
        self._colors = _colors(image, kind)

    def strips(self, top: int, bottom: int) -> Iterator[tuple[int, Image.Image]]:
        """Give the rows from `top` up to `bottom` strip by strip, each with its first row's number."""
        rows = max(1, _STRIP // self.width)
        for first in range(top, bottom, rows):
            yield first, self.strip(first, min(first + rows, bottom))

    def strip(self, top: int, bottom: int) -> Image.Image:
        """Give the rows from `top` up to `bottom` in mode RGB."""
        first, last = top, bottom
        # An upright row is a row or a column of the file, from either end.
        if self._turn in (_TURNS[3], _TURNS[4], _TURNS[7], _TURNS[8]):
            first, last = self.height - bottom, self.height - top
        width, height = self._image.size
        strip = self._image.crop((first, 0, last, height) if self._across else (0, first, width, last))
        if self._turn is not None:
            strip = strip.transpose(self._turn)
        if self._inverted:
            strip = ImageChops.invert(strip)
        strip = _over_white(_eight_bits(strip))
        if self._colors:
            mode, transform = self._colors
            return ImageCms.applyTransform(strip if strip.mode == mode else strip.convert(mode), transform)
        return strip if strip.mode == "RGB" else strip.convert("RGB")


def _read(
    picture: bytes | str | Path, size: int | None, make: Callable[[_Upright], Made]
) -> tuple[Made, tuple[int, int]]:
    """Load a picture, make something of it while its memory is set aside, and let go of it."""
    try:
        data = picture if isinstance(picture, bytes) else Path(picture).read_bytes()
    except OSError as error:
        raise DecodeError(f"{picture} cannot be read ({error.strerror})") from None
    if not data:
        raise DecodeError("the file is empty")
    try:
        if reason := recognize.thumbnail_alone(data):
            raise DecodeError(reason)
        sound = sound_png(data)
        with Image.open(io.BytesIO(sound), formats=FORMATS) as image:
            stated = image.size
            if size:
                image.draft(None, (max(LEAST_SCALE, 2 * size),) * 2)
            kind = _kind_of_color(image)
            copied = 0 if sound is data else len(sound)
            needed = copied + _bytes_needed(image, stated, data, size or 0)
            with _memory.lend(needed):
                try:
                    image.load()
                    return make(_Upright(image, kind)), stated
                finally:
                    # An error's traceback would keep the pixels for longer than their memory is lent.
                    image.close()
                    if needed > _LARGE:
                        _trim(0)
    except DecodeError:
        raise
    except Image.DecompressionBombError:
        raise DecodeError(f"more than {MOST_PIXELS // 10**6} megapixels") from None
    except Image.UnidentifiedImageError:
        raise DecodeError(recognize.no_picture(data)) from None
    except MemoryError:
        raise DecodeError("too large for this machine's memory") from None
    except Exception as error:  # Pillow's readers raise a dozen kinds on damaged files
        if "MAX_TEXT_CHUNK" in str(error):
            most = PngImagePlugin.MAX_TEXT_CHUNK // 2**20
            raise DecodeError(f"its color profile is larger than {most} MB") from None
        raise DecodeError(f"damaged or cut off ({_one_line(error)})") from None


def _whole(upright: _Upright) -> Image.Image:
    if upright.width * upright.height <= _WHOLE:
        return upright.strip(0, upright.height)
    whole = Image.new("RGB", (upright.width, upright.height))
    for top, strip in upright.strips(0, upright.height):
        whole.paste(strip, (0, top))
    return whole


def _squares(upright: _Upright, sizes: Sequence[int]) -> list[np.ndarray]:
    if upright.width * upright.height <= _WHOLE:
        rgb = _whole(upright)
        return [square(rgb, size) for size in sizes]
    # In two passes, as Pillow does: each strip to the square's width, then all of them to its height.
    side = min(upright.width, upright.height)
    left, top = (upright.width - side) * 0.5, (upright.height - side) * 0.5
    # Lanczos looks at three pixels of the result to either side.
    margin = 3 * max(1, side / min(sizes)) + 1
    first = max(0, math.floor(top - margin))
    last = min(upright.height, math.ceil(top + side + margin))
    # Rows keep their numbers, for Pillow's rounding.
    narrow = [Image.new("RGB", (size, upright.height)) for size in sizes]
    for row, strip in upright.strips(first, last):
        for target, size in zip(narrow, sizes, strict=True):
            box = (left, 0, left + side, strip.height)
            target.paste(strip.resize((size, strip.height), _FILTER, box), (0, row))
    return [
        np.asarray(each.resize((size, size), _FILTER, (0, top, size, top + side)))
        for each, size in zip(narrow, sizes, strict=True)
    ]


def _bytes_needed(image: Image.Image, stated: tuple[int, int], data: bytes, size: int) -> int:
    """Estimate from above what decoding takes, before the first pixel is unpacked."""
    in_pillow = {"1": 1, "L": 1, "P": 1}.get(image.mode, 2 if image.mode.startswith("I;16") else 4)
    pixels = math.prod(image.size)
    needed = in_pillow * pixels + _unpacking(image, stated, data, in_pillow)
    # A strip has one row at least; what it is resized to is as wide as the square.
    converted = pixels if pixels <= _WHOLE else max(_STRIP, *image.size)
    needed += _CONVERTING * converted + 8 * size * max(image.size)
    if needed > _memory.most:
        raise DecodeError(
            f"{math.prod(stated) / 1e6:.0f} megapixels as {image.format} need more than "
            f"{_memory.most // 10**6} MB: save it smaller"
        )
    return math.ceil(needed)


def _unpacking(image: Image.Image, stated: tuple[int, int], data: bytes, in_pillow: int) -> float:
    """Estimate what the library behind Pillow takes to unpack a picture, beside the pixels; as measured."""
    pixels = math.prod(image.size)
    bands = len(image.getbands())
    codec = image.tile[0].codec_name if image.tile else ""
    if image.format in ("JPEG", "MPO"):
        return _coefficients(image, data) * math.prod(stated)
    if image.format == "WEBP":
        return 16 * pixels
    if image.format == "AVIF":
        return 14 * pixels
    if image.format == "JPEG2000":
        return 7 * bands * _pixels_of_tile(data, pixels)
    if image.format == "PPM" and codec != "raw":
        return 10 * pixels
    if image.format == "TIFF":
        turned = image.tag_v2.get(ExifTags.Base.Orientation, 1) != 1
        return turned * in_pillow * pixels + (codec == "libtiff") * _bytes_of_strip(image.tag_v2)
    return 0


def _coefficients(image: Image.Image, data: bytes) -> float:
    """Count the bytes for each pixel that a JPEG in several scans holds until it has read the last."""
    sampled = [across * down for _, across, down, _ in image.layer]
    first_scan = data.rfind(b"\xff\xda", 0, image.fp.tell())
    if not image.info.get("progressive") and data[first_scan + 4] == len(sampled):
        return 0
    return 2 * sum(sampled) / max(sampled)


def _pixels_of_tile(data: bytes, pixels: int) -> int:
    header = data.find(b"\xff\x4f\xff\x51")
    if header < 0 or header + 32 > len(data):
        return pixels
    width, height, _, _, tile_width, tile_height = struct.unpack_from(">6I", data, header + 8)
    return min(width, tile_width) * min(height, tile_height)


def _bytes_of_strip(tags: TiffImagePlugin.ImageFileDirectory_v2) -> float:
    width = tags.get(TiffImagePlugin.TILEWIDTH) or tags[TiffImagePlugin.IMAGEWIDTH]
    height = tags.get(TiffImagePlugin.TILELENGTH) or min(
        tags.get(TiffImagePlugin.ROWSPERSTRIP, math.inf), tags[TiffImagePlugin.IMAGELENGTH]
    )
    bits = max(tags.get(TiffImagePlugin.BITSPERSAMPLE, (1,))) * tags.get(TiffImagePlugin.SAMPLESPERPIXEL, 1)
    return width * height * bits / 8


def sound_png(data: bytes) -> bytes:
    """Take out of a PNG what says nothing about its pixels, as it may be damaged or very long.

    Parameters
    ----------
    data : bytes
        The content of any file.

    Returns
    -------
    bytes
        The same, if it is no PNG or has nothing of that kind.
    """
    if not data.startswith(b"\x89PNG\r\n\x1a\n"):
        return data
    at, kept = 8, [data[:8]]
    stream = PngImagePlugin.PngStream(io.BytesIO(data))
    while at + 12 <= len(data):
        length, name = struct.unpack_from(">I4s", data, at)
        end = at + 12 + length
        # What is cut off stays, so that it is noticed.
        if end > len(data) or _matters(stream, name, at, data):
            kept.append(data[at:end])
        at = end
        if name == b"IEND":
            break
    return data if sum(map(len, kept)) == len(data) else b"".join(kept)


def _matters(stream: PngImagePlugin.PngStream, name: bytes, at: int, data: bytes) -> bool:
    if name[:1].isupper() or name in (b"tRNS", b"iCCP"):
        return True
    keyword = data[at + 8 : at + 88].partition(b"\0")[0]
    if name != b"eXIf" and keyword not in (b"XML:com.adobe.xmp", b"Raw profile type exif"):
        return False
    # These may say which way is up. One that is damaged says nothing.
    with suppress(Exception):
        stream.fp.seek(at)
        stream.crc(name, stream.call(*stream.read()))
        return True
    return False


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
    image = image.convert("RGBA")
    paper = Image.new("RGBA", image.size, "white")
    paper.alpha_composite(image)
    return paper.convert("RGB")


def _colors(image: Image.Image, kind: str) -> tuple[str, ImageCms.ImageCmsTransform] | None:
    """Find the mode and the transform by which pixels become sRGB; None if there is no profile for them."""
    try:
        if image.mode == "LAB":
            profile, mode = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")), "LAB"
        else:
            embedded = image.info.get("icc_profile")
            if not embedded:
                return None
            profile = ImageCms.ImageCmsProfile(io.BytesIO(embedded))
            mode = _MODE_OF_SPACE.get(profile.profile.xcolor_space.strip())
            # A profile for another kind of color says nothing about these pixels.
            if mode != kind:
                return None
        return mode, ImageCms.buildTransform(profile, _SRGB, mode, "RGB")
    except (ImageCms.PyCMSError, OSError):  # a damaged profile says nothing about the pixels
        return None


def _kind_of_color(image: Image.Image) -> str:
    if image.mode == "CMYK":
        return "CMYK"
    # Pillow unpacks grey of 16 bits with transparency to RGBA.
    unpacked = image.tile and image.tile[0].args == "LA;16B"
    grey = image.mode in ("1", "L", "LA", "La") or image.mode.startswith("I") or unpacked
    return "L" if grey else "RGB"


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:80] or type(error).__name__
