"""What a file is that gives no photograph, told by its content."""

import struct
from contextlib import suppress

_BIG_TIFF = (b"II+\0", b"MM\0+")
_TIFF = (b"II*\0", b"MM\0*", *_BIG_TIFF)
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
_SUBFILE_TYPE, _WIDTH, _COMPRESSION, _PHOTOMETRIC, _MAKE, _SUB_IFDS = 254, 256, 259, 262, 271, 330
_DNG_VERSION = 50706
# TIFF's kinds of whole numbers, as `struct` calls them.
_INTEGERS = {1: "B", 3: "H", 4: "I", 13: "I", 16: "Q", 18: "Q"}
# Pictures of one TIFF, below the first and after it, whose tags are read.
_LOOKED_AT = 8
_Tags = dict[int, tuple[int, ...]]


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
        colors = {each.get(_PHOTOMETRIC, (0,))[0] for each in every}
        compressions = {each.get(_COMPRESSION, (0,))[0] for each in every}
        if _DNG_VERSION in first or colors & _RAW_COLORS or compressions & _RAW_COMPRESSIONS:
            return _RAW
        reduced = first.get(_SUBFILE_TYPE, (0,))[0] & 1
        widths = [each.get(_WIDTH, (0,))[0] for each in below + after * reduced]
        if max(widths, default=0) > first[_WIDTH][0]:
            return _RAW if _MAKE in first else "a TIFF whose first picture is a thumbnail: export it as JPEG"
    return ""


def _directories(data: bytes) -> tuple[_Tags, list[_Tags], list[_Tags]]:
    """Read the tags of a TIFF's first picture, of those below it, and of those after it."""
    order, big = "<" if data[:1] == b"I" else ">", data[:4] in _BIG_TIFF
    # How long offsets and counts are, and how an entry is laid out.
    offset, length, entry = ("Q", "Q", "HHQ") if big else ("I", "H", "HHI")

    def read(at: int) -> tuple[_Tags, int]:
        (count,) = struct.unpack_from(order + length, data, at)
        at += struct.calcsize(order + length)
        tags = {}
        for _ in range(count):
            tag, kind, values = struct.unpack_from(order + entry, data, at)
            at += struct.calcsize(order + entry)
            form = f"{order}{min(values, _LOOKED_AT)}{_INTEGERS.get(kind, 'B')}"
            fits = values * struct.calcsize(form[-1]) <= struct.calcsize(order + offset)
            place = at if fits else struct.unpack_from(order + offset, data, at)[0]
            if kind in _INTEGERS and values and place + struct.calcsize(form) <= len(data):
                tags[tag] = struct.unpack_from(form, data, place)
            else:
                tags[tag] = (0,)
            at += struct.calcsize(order + offset)
        return tags, struct.unpack_from(order + offset, data, at)[0]

    first, following = read(struct.unpack_from(order + offset, data, 8 if big else 4)[0])
    below = [read(at)[0] for at in first.get(_SUB_IFDS, ())]
    after = []
    while following and len(after) < _LOOKED_AT:
        tags, following = read(following)
        after.append(tags)
    return first, below, after


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
