"""What a file is that gives no photograph, told by its content."""

import io
from contextlib import suppress

from PIL import TiffImagePlugin

_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_RAW = "a camera's raw file: export it as JPEG or TIFF"
_NOT_READ = "{}: export it as JPEG or PNG".format
_RAW_SIGNS = (
    (0, b"IIU\0"),  # Panasonic
    (0, b"IIRO"),  # Olympus
    (0, b"IIRS"),
    (0, b"MMOR"),
    (0, b"FUJIFILMCCD-RAW"),
    (0, b"FOVb"),  # Sigma
    (0, b"\0MRM"),  # Minolta
    (6, b"HEAPCCDR"),  # Canon
    (8, b"CR\2"),
    (4, b"ftypcrx "),
    (8, b"IIII"),  # Phase One
)
_SIGNS = (
    (0, b"%PDF", _NOT_READ("a PDF")),
    (0, b"8BPS", _NOT_READ("a Photoshop file")),
    (0, b"gimp xcf", _NOT_READ("a GIMP file")),
    (0, b"%!PS", _NOT_READ("PostScript")),
    (0, b"\xc5\xd0\xd3\xc6", _NOT_READ("PostScript")),
    (0, b"\xff\x0a", _NOT_READ("JPEG XL")),
    (4, b"JXL ", _NOT_READ("JPEG XL")),
    (0, b"\x76\x2f\x31\x01", _NOT_READ("OpenEXR")),
    (0, b"\x1a\x45\xdf\xa3", "a video, not a picture"),
    (8, b"AVI ", "a video, not a picture"),
    *((4, b"ftyp" + brand, _NOT_READ("HEIC")) for brand in (b"hei", b"hev", b"mif1", b"msf1")),
    *((4, b"ftyp" + brand, _NOT_READ("AVIF of a kind that is not read")) for brand in (b"avif", b"avis")),
    *((4, atom, "a video, not a picture") for atom in (b"ftyp", b"moov", b"mdat", b"wide", b"free")),
    *((0, sign, "damaged or cut off") for sign in (b"\x89PNG", b"\xff\xd8\xff", b"GIF8")),
    *((0, sign, "damaged, or a TIFF of a kind that is not read") for sign in _TIFF),
    (8, b"WEBP", "damaged or cut off"),
    (0, b"PK\3\4", "an archive: unpack it"),
    (0, b"Rar!", "an archive: unpack it"),
    (0, b"7z\xbc\xaf\x27\x1c", "an archive: unpack it"),
    (0, b"\x1f\x8b", "an archive: unpack it"),
)
# What TIFF's tags of color and of compression are in cameras' raw files alone.
_RAW_COLORS = {32803, 34892}
_RAW_COMPRESSIONS = {32767, 32769, 32770, 34713, 34892, 65535}
_DNG_VERSION, _SUBFILE_TYPE, _MAKE = 50706, 254, 271
# Pictures of one TIFF, below the first and after it, whose tags are read.
_LOOKED_AT = 8
_Tags = TiffImagePlugin.ImageFileDirectory_v2


def thumbnail_alone(data: bytes) -> str:
    """Recognize a file of which Pillow would take the thumbnail for the picture.

    Parameters
    ----------
    data : bytes
        The file's content.

    Returns
    -------
    str
        What it is and what to do, or '' if it is no such file.
    """
    if any(data.startswith(sign, at) for at, sign in _RAW_SIGNS):
        return _RAW
    if data[:4] not in _TIFF:
        return ""
    with suppress(Exception):  # whatever is wrong with the tags, Pillow says it better
        first, below, after = _directories(data)
        every = [first, *below, *after]
        colors = {each.get(TiffImagePlugin.PHOTOMETRIC_INTERPRETATION) for each in every}
        compressions = {each.get(TiffImagePlugin.COMPRESSION) for each in every}
        if _DNG_VERSION in first or colors & _RAW_COLORS or compressions & _RAW_COMPRESSIONS:
            return _RAW
        reduced = first.get(_SUBFILE_TYPE, 0) & 1
        widths = [each.get(TiffImagePlugin.IMAGEWIDTH, 0) for each in below + after * reduced]
        if max(widths, default=0) > first[TiffImagePlugin.IMAGEWIDTH]:
            return _RAW if _MAKE in first else "a TIFF whose first picture is a thumbnail: export it as JPEG"
    return ""


def _directories(data: bytes) -> tuple[_Tags, list[_Tags], list[_Tags]]:
    """Read the tags of a TIFF's first picture, of those below it, and of those after it."""
    file = io.BytesIO(data)

    def read(offset: int) -> _Tags:
        tags = TiffImagePlugin.ImageFileDirectory_v2(data[:16])
        file.seek(offset)
        tags.load(file)
        return tags

    first = read(TiffImagePlugin.ImageFileDirectory_v2(data[:16]).next)
    below = first.get(TiffImagePlugin.SUBIFD, ())
    after = []
    while len(after) < _LOOKED_AT and (after[-1] if after else first).next:
        after.append(read((after[-1] if after else first).next))
    offsets = (below,) if isinstance(below, int) else below
    return first, [read(offset) for offset in offsets[:_LOOKED_AT]], after


def no_picture(data: bytes) -> str:
    """Say what a file is that Pillow cannot open.

    Parameters
    ----------
    data : bytes
        The file's content.

    Returns
    -------
    str
        What it is, and what to do where something can be done.
    """
    for at, sign, reason in _SIGNS:
        if data.startswith(sign, at):
            return reason
    start = data[:1024].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if start.startswith((b"<!doctype html", b"<html")):
        return "a web page, not a picture"
    if start.startswith(b"<") and b"<svg" in start:
        return _NOT_READ("SVG")
    if b"\0" not in data[:512]:
        return "text, not a picture"
    return "not a picture in a format that can be read"
