"""Files that give no photograph, each with what to do."""

import io
import struct

import numpy as np
import pytest
import tifffile
from PIL import Image, features

from helpers.photographs.decode import DecodeError, open_picture, squares

pytestmark = [pytest.mark.quick, pytest.mark.filterwarnings("ignore")]

RAW = "a camera's raw file: export it as JPEG or TIFF"
THUMBNAIL = np.full((120, 160, 3), 90, np.uint8)
SENSOR = np.full((600, 800), 90, np.uint16)
CFA, LINEAR_RAW = 32803, 34892


def tiff(*pictures, **options):
    """Write a TIFF: pixels and how they are stored, of which `subifds` counts those that lie below."""
    buffer = io.BytesIO()
    with tifffile.TiffWriter(buffer, **options) as writer:
        for pixels, how in pictures:
            writer.write(pixels, **({"photometric": "rgb" if pixels.ndim == 3 else "minisblack"} | how))
    return buffer.getvalue()


def with_compression(data, number):
    """Say that all that is compressed with Deflate is compressed in a camera's way."""
    return data.replace(struct.pack("<HHIHH", 259, 3, 1, 8, 0), struct.pack("<HHIHH", 259, 3, 1, number, 0))


def make(name):
    return (271, "s", 0, name, False)


BELOW = {"subifds": 1, "subfiletype": 1}
DNG = {"extratags": [(50706, "B", 4, bytes([1, 4, 0, 0]), False)]}
SMALL, LARGE = (THUMBNAIL, BELOW), (SENSOR, {})
RAWS = {
    "NEF, CFA below": tiff(SMALL, (SENSOR, {"photometric": CFA})),
    "NEF, by its compression": with_compression(tiff(SMALL, (SENSOR, {"compression": "zlib"})), 34713),
    "ARW, by its compression": with_compression(tiff(SMALL, (SENSOR, {"compression": "zlib"})), 32767),
    "PEF, the thumbnail after it": with_compression(
        tiff((SENSOR, {"compression": "zlib"}), (THUMBNAIL, {"subfiletype": 1})), 65535
    ),
    "DNG": tiff((THUMBNAIL, BELOW | DNG), (SENSOR, {"photometric": CFA})),
    "DNG without a thumbnail": tiff((SENSOR, {"photometric": CFA} | DNG)),
    "a linear DNG": tiff(SMALL, (np.full((600, 800, 3), 9, np.uint16), {"photometric": LINEAR_RAW})),
    "a DNG by its version alone": tiff((THUMBNAIL, DNG)),
    "big-endian": tiff(SMALL, (SENSOR, {"photometric": CFA}), byteorder=">"),
    "BigTIFF": tiff(SMALL, (SENSOR, {"photometric": CFA}), bigtiff=True),
    "of a kind unknown, by its maker": tiff((THUMBNAIL, BELOW | {"extratags": [make("NIKON")]}), LARGE),
    "a thumbnail that does not say so": tiff((THUMBNAIL, {"subifds": 1, "extratags": [make("X")]}), LARGE),
    "the sensor's picture after the thumbnail": tiff(
        (THUMBNAIL, {"subfiletype": 1, "extratags": [make("KODAK")]}), LARGE
    ),
    "CR2": b"II*\0\x10\0\0\0CR\2\0" + tiff((THUMBNAIL, {}))[12:],
    "ORF": b"IIRO" + tiff((THUMBNAIL, {}))[4:],
    "ORF, older": b"IIRS" + tiff((THUMBNAIL, {}))[4:],
    "RW2": b"IIU\0" + tiff((THUMBNAIL, {}))[4:],
    "RAF": b"FUJIFILMCCD-RAW 0201" + bytes(600),
    "CR3": struct.pack(">I4s4sI", 24, b"ftyp", b"crx ", 1) + bytes(600),
    "CRW": b"II\x1a\0\0\0HEAPCCDR" + bytes(600),
    "X3F": b"FOVb" + bytes(600),
    "MRW": b"\0MRM" + bytes(600),
}


@pytest.mark.parametrize("kind", RAWS)
def test_a_raw_file_is_no_photograph_of_its_thumbnail_s_size(kind):
    for read in (open_picture, lambda data: squares(data, [16])):
        with pytest.raises(DecodeError, match=f"^{RAW}$"):
            read(RAWS[kind])


def test_a_first_picture_that_is_a_thumbnail_is_not_taken_for_the_photograph():
    with pytest.raises(DecodeError, match="a TIFF whose first picture is a thumbnail: export it as JPEG"):
        open_picture(tiff(SMALL, (np.full((600, 800, 3), 9, np.uint8), {})))


PHOTOGRAPH = np.full((600, 800, 3), 90, np.uint8)
TIFFS = {
    "one picture": tiff((PHOTOGRAPH, {})),
    "with its camera's name": tiff((PHOTOGRAPH, {"extratags": [make("NIKON")]})),
    "BigTIFF": tiff((PHOTOGRAPH, {}), bigtiff=True),
    "big-endian": tiff((PHOTOGRAPH, {}), byteorder=">"),
    "a pyramid below": tiff((PHOTOGRAPH, {"subifds": 2}), (PHOTOGRAPH[::2, ::2], {}), (THUMBNAIL, {})),
    "a thumbnail after it": tiff((PHOTOGRAPH, {}), (THUMBNAIL, {"subfiletype": 1})),
    "a larger page after it": tiff((PHOTOGRAPH, {}), (np.repeat(PHOTOGRAPH, 2, 1), {})),
    "many pages": tiff(*[(PHOTOGRAPH, {})] * 12),
    "reduced, and nothing else": tiff((PHOTOGRAPH, {"subfiletype": 1})),
    "compressed": tiff((PHOTOGRAPH, {"compression": "zlib", "predictor": True})),
    "in tiles": tiff((PHOTOGRAPH, {"tile": (128, 128)})),
}


@pytest.mark.parametrize("kind", TIFFS)
def test_a_tiff_whose_first_picture_is_the_photograph_is_read(kind):
    found = open_picture(TIFFS[kind])
    assert found.size == (800, 600)
    assert found.getpixel((5, 5)) == (90, 90, 90)


def test_a_tiff_whose_pages_lead_in_a_circle_is_read():
    data = bytearray(tiff((PHOTOGRAPH, {})))
    first = struct.unpack_from("<I", data, 4)[0]
    count = struct.unpack_from("<H", data, first)[0]
    struct.pack_into("<I", data, first + 2 + 12 * count, first)
    assert open_picture(bytes(data)).size == (800, 600)


def boxes(brand):
    return struct.pack(">I4s4sI4s4s", 24, b"ftyp", brand, 0, b"mif1", brand) + bytes(600)


OTHERS = {
    "HEIC: export it as JPEG or PNG": [
        boxes(b"heic"),
        boxes(b"heix"),
        boxes(b"hevc"),
        boxes(b"mif1"),
        boxes(b"msf1"),
    ],
    "a video, not a picture": [
        *(boxes(brand) for brand in (b"qt  ", b"isom", b"mp42", b"M4V ", b"3gp4")),
        b"\0\0\0\x08wide\0\0\0\0mdat" + bytes(600),
        b"\x1a\x45\xdf\xa3" + bytes(600),
        b"RIFF\0\0\0\0AVI LIST" + bytes(600),
    ],
    "a PDF: export it as JPEG or PNG": [b"%PDF-1.7\n1 0 obj", b"%PDF-1.4\n\0\0"],
    "SVG: export it as JPEG or PNG": [
        b'<svg xmlns="http://www.w3.org/2000/svg"/>',
        b'\xef\xbb\xbf<?xml version="1.0"?>\n<!-- x -->\n<!DOCTYPE svg>\n<svg/>',
    ],
    "a Photoshop file: export it as JPEG or PNG": [b"8BPS\0\1" + bytes(600)],
    "a GIMP file: export it as JPEG or PNG": [b"gimp xcf v011\0" + bytes(600)],
    "PostScript: export it as JPEG or PNG": [b"%!PS-Adobe-3.0 EPSF-3.0\n", b"\xc5\xd0\xd3\xc6" + bytes(600)],
    "JPEG XL: export it as JPEG or PNG": [b"\xff\x0a" + bytes(600), b"\0\0\0\x0cJXL \r\n\x87\n" + bytes(600)],
    "OpenEXR: export it as JPEG or PNG": [b"\x76\x2f\x31\x01" + bytes(600)],
    "an archive: unpack it": [b"PK\3\4" + bytes(600), b"Rar!\x1a\7" + bytes(600), b"\x1f\x8b" + bytes(600)],
    "a web page, not a picture": [b"\xef\xbb\xbf \n<!DOCTYPE html><svg>"],
    "damaged or cut off": [b"\x89PNG\r\n\x1a\n" + bytes(600), b"\xff\xd8\xff" + bytes(600), b"GIF89a"],
    "damaged, or a TIFF of a kind that is not read": [
        tiff((np.zeros((9, 9, 7), np.uint16), {"photometric": 2}))
    ],
}


@pytest.mark.parametrize("reason", OTHERS)
def test_what_is_no_picture_that_can_be_read_is_named(reason):
    for data in OTHERS[reason]:
        with pytest.raises(DecodeError, match=f"^{reason}$"):
            open_picture(data)


@pytest.mark.skipif(not features.check("avif"), reason="this Pillow reads no AVIF")
def test_avif_is_read_under_its_general_brand_too():
    buffer = io.BytesIO()
    Image.fromarray(PHOTOGRAPH).save(buffer, "AVIF")
    data = buffer.getvalue()
    assert open_picture(data).size == (800, 600)
    assert data[8:12] == b"avif"
    assert open_picture(data[:8] + b"mif1" + data[12:]).size == (800, 600)
