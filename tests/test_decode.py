"""Every kind of picture that a person may have, made here and decoded."""

import io
import random
import struct
import zlib

import numpy as np
import pytest
import tifffile
from PIL import Image, ImageChops, ImageCms

from helpers.errors import CourseError
from helpers.photographs import decode
from helpers.photographs.decode import DecodeError, open_picture, square

pytestmark = pytest.mark.quick

RED, GREEN, BLUE, YELLOW = (200, 40, 30), (30, 160, 60), (40, 60, 190), (230, 220, 40)


@pytest.fixture
def photograph():
    """A picture whose four quarters differ, so that every turn and mix-up of channels shows."""
    quarters = np.zeros((96, 128, 3), np.uint8)
    for rows, columns, color in (
        (slice(0, 48), slice(0, 64), RED),
        (slice(0, 48), slice(64, 128), GREEN),
        (slice(48, 96), slice(0, 64), BLUE),
        (slice(48, 96), slice(64, 128), YELLOW),
    ):
        quarters[rows, columns] = color
    return Image.fromarray(quarters)


def saved(image, form, **options):
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def png(width, height, depth, kind, rows, *chunks):
    """Write a PNG by hand, for what Pillow reads but does not write."""

    def chunk(name, body):
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, 0))
    body = b"".join(b"\0" + row for row in rows)
    return (
        b"\x89PNG\r\n\x1a\n"
        + header
        + b"".join(chunk(*each) for each in chunks)
        + chunk(b"IDAT", zlib.compress(body))
        + chunk(b"IEND", b"")
    )


def without_adobe_marker(jpeg):
    at = jpeg.index(b"\xff\xee")
    length = struct.unpack(">H", jpeg[at + 2 : at + 4])[0]
    return jpeg[:at] + jpeg[at + 2 + length :]


def profile_with_red_and_blue_swapped():
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    return profile.replace(b"rXYZ", b"_XYZ").replace(b"bXYZ", b"rXYZ").replace(b"_XYZ", b"bXYZ")


def assert_same_colors(data, photograph, tolerance=12):
    found = np.asarray(open_picture(data)).astype(int)
    assert found.shape == (96, 128, 3)
    for row, column in ((24, 32), (24, 96), (72, 32), (72, 96)):
        assert np.abs(found[row, column] - photograph.getpixel((column, row))).max() <= tolerance


WRITTEN = {
    "baseline JPEG": ("RGB", "JPEG", {"quality": 95}),
    "progressive JPEG": ("RGB", "JPEG", {"quality": 95, "progressive": True}),
    "Adobe-inverted CMYK JPEG": ("CMYK", "JPEG", {"quality": 95}),
    "CMYK TIFF": ("CMYK", "TIFF", {}),
    "PNG": ("RGB", "PNG", {}),
    "palette PNG": ("P", "PNG", {}),
    "PNG with alpha": ("RGBA", "PNG", {}),
    "lossy WebP": ("RGB", "WEBP", {"quality": 95}),
    "lossless WebP": ("RGB", "WEBP", {"lossless": True}),
    "TIFF": ("RGB", "TIFF", {"compression": "tiff_lzw"}),
    "GIF": ("P", "GIF", {}),
    "BMP": ("RGB", "BMP", {}),
    "JPEG 2000": ("RGB", "JPEG2000", {}),
    "PPM": ("RGB", "PPM", {}),
}


@pytest.mark.parametrize("kind", WRITTEN)
def test_formats_keep_their_colors(kind, photograph):
    mode, form, options = WRITTEN[kind]
    image = photograph.quantize(64) if mode == "P" else photograph.convert(mode)
    assert_same_colors(saved(image, form, **options), photograph)


def test_cmyk_jpeg_that_is_not_inverted(photograph):
    # Pillow stores CMYK inverted, as Adobe does, and says so in a marker: take back both.
    inverted = ImageChops.invert(photograph.convert("CMYK"))
    assert_same_colors(without_adobe_marker(saved(inverted, "JPEG", quality=95)), photograph)


def test_sixteen_bits_a_channel(photograph):
    deep = np.asarray(photograph).astype(np.uint16) * 257
    assert_same_colors(png(128, 96, 16, 2, [row.astype(">u2").tobytes() for row in deep]), photograph, 1)
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, deep, photometric="rgb")
    assert_same_colors(buffer.getvalue(), photograph, 1)


@pytest.mark.parametrize("form", ["PNG", "TIFF"])
def test_sixteen_bit_grey_keeps_its_levels(form):
    ramp = np.linspace(0, 65535, 256).astype(np.uint16).reshape(16, 16)
    found = np.asarray(open_picture(saved(Image.fromarray(ramp), form)))
    assert np.array_equal(found[..., 0], ramp >> 8)
    assert np.array_equal(found[..., 0], found[..., 2])


def test_one_bit_and_grey_pictures():
    checks = Image.fromarray((np.indices((8, 8)).sum(0) % 2 * 255).astype(np.uint8))
    for image in (checks, checks.convert("1")):
        found = np.asarray(open_picture(saved(image, "PNG")))
        assert np.array_equal(found[..., 1], np.asarray(checks))


def test_transparency_becomes_white(photograph):
    veiled = photograph.convert("RGBA")
    veiled.paste((0, 0, 0, 0), (0, 0, 64, 48))
    opaque = photograph.copy()
    opaque.paste("white", (0, 0, 64, 48))
    assert_same_colors(saved(veiled, "PNG"), opaque, 1)
    assert_same_colors(saved(veiled, "WEBP", lossless=True), opaque, 1)
    # A palette's transparent color, and a grey level declared transparent.
    named = Image.new("P", (128, 96), 1)
    named.putpalette([0, 0, 0, *BLUE])
    named.paste(0, (0, 0, 64, 48))
    assert open_picture(saved(named, "GIF", transparency=0)).getpixel((10, 10)) == (255, 255, 255)
    assert open_picture(saved(named, "PNG", transparency=0)).getpixel((100, 10)) == BLUE
    level = png(2, 1, 8, 0, [bytes([7, 80])], (b"tRNS", struct.pack(">H", 7)))
    assert np.asarray(open_picture(level))[0, :, 0].tolist() == [255, 80]


def test_moving_picture_gives_its_first_frame(photograph):
    frames = [photograph.quantize(64), Image.new("P", photograph.size)]
    assert_same_colors(
        saved(frames[0], "GIF", save_all=True, append_images=frames[1:], duration=50), photograph
    )


TURNED_BACK = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", TURNED_BACK)
def test_exif_orientation_is_honored(form, orientation, photograph):
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = photograph.transpose(TURNED_BACK[orientation])
    assert_same_colors(saved(stored, form, exif=exif), photograph, 40)


@pytest.mark.filterwarnings("ignore")
def test_damaged_exif_data_costs_nothing(photograph):
    assert_same_colors(
        saved(photograph, "JPEG", quality=95, exif=b"Exif\0\0MM\0*\xff\xff\xff\xff"), photograph
    )


@pytest.mark.parametrize("form", ["JPEG", "PNG", "TIFF", "WEBP"])
def test_color_profile_is_converted(form, photograph):
    red, green, blue = photograph.split()
    profile = profile_with_red_and_blue_swapped()
    swapped = Image.merge("RGB", (blue, green, red))
    assert_same_colors(saved(swapped, form, icc_profile=profile, quality=98), photograph)
    veiled = swapped.convert("RGBA")
    if form in ("PNG", "WEBP"):
        assert_same_colors(saved(veiled, form, icc_profile=profile, quality=98), photograph)


def test_damaged_color_profile_costs_nothing(photograph):
    assert_same_colors(saved(photograph, "PNG", icc_profile=b"no profile at all"), photograph, 1)
    grey_profile_expected = saved(
        photograph.convert("L"), "PNG", icc_profile=profile_with_red_and_blue_swapped()
    )
    assert open_picture(grey_profile_expected).mode == "RGB"


NO_PICTURES = {
    "the file is empty": b"",
    "a web page, not a picture": b"\n<!DOCTYPE html><html><body>Not found</body></html>",
    "text, not a picture": "Grüße aus dem Urlaub\n".encode(),
    "not a picture in a format that can be read": b"\0\1\2\3" * 100,
}


@pytest.mark.parametrize("reason", NO_PICTURES)
def test_what_is_no_picture_says_so(reason):
    with pytest.raises(DecodeError, match=reason):
        open_picture(NO_PICTURES[reason])


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "TIFF", "GIF", "BMP"])
def test_cut_off_pictures_are_refused(form, photograph):
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (96, 128, 3), np.uint8))
    whole = saved(noise, form)
    with pytest.raises(DecodeError) as refusal:
        open_picture(whole[: len(whole) // 2])
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("width, height", [(20_000, 10_001), (10_001, 20_000), (60_000, 60_000)])
def test_decompression_bomb_is_refused_before_it_unpacks(width, height):
    with pytest.raises(DecodeError, match="more than 200 megapixels"):
        open_picture(png(width, height, 1, 0, [b"\0"]))


def test_floating_point_pixels_are_refused():
    with pytest.raises(DecodeError, match="white is not defined"):
        open_picture(saved(Image.new("F", (8, 8), 0.5), "TIFF"))


@pytest.mark.filterwarnings("ignore")
def test_damage_of_any_kind_gives_one_line(photograph):
    rng = random.Random(0)
    for kind, (mode, form, options) in WRITTEN.items():
        image = photograph.quantize(64) if mode == "P" else photograph.convert(mode)
        whole = saved(image, form, **options)
        for _ in range(25):
            damaged = bytearray(whole)
            for _ in range(rng.randint(1, 20)):
                damaged[rng.randrange(len(damaged))] = rng.randrange(256)
            try:
                assert open_picture(bytes(damaged), 16).mode == "RGB", kind
            except DecodeError as refusal:
                assert "\n" not in str(refusal)
                assert len(str(refusal)) < 120


def test_refusal_is_an_error_that_the_course_prints():
    assert issubclass(DecodeError, CourseError)


@pytest.mark.parametrize("name", ["picture", "UPPER.JPG", "falsely.txt", "Grüße aus 東京 🌄.jpeg"])
def test_names_do_not_matter(name, photograph, tmp_path):
    (tmp_path / name).write_bytes(saved(photograph, "JPEG", quality=95))
    assert_same_colors(tmp_path / name, photograph)
    assert decode.decode(str(tmp_path / name), 16).shape == (16, 16, 3)


@pytest.mark.parametrize("shape", [(1, 1), (1, 500), (500, 1), (37, 53), (64, 64)])
def test_any_shape_gives_a_square(shape):
    image = Image.new("RGB", shape, RED)
    found = square(image, 24)
    assert found.dtype == np.uint8
    assert found.shape == (24, 24, 3)
    assert np.all(found == RED)


def test_square_is_the_middle_of_the_picture():
    wide = np.zeros((10, 30, 3), np.uint8)
    wide[:, 10:20] = 255
    assert square(Image.fromarray(wide), 10).min() == 255


def test_reduction_is_antialiased():
    stripes = np.zeros((256, 256, 3), np.uint8)
    stripes[:, ::2] = 255
    reduced = square(Image.fromarray(stripes), 32)[4:-4, 4:-4]
    assert np.abs(reduced - 127.5).max() <= 4


def test_reduction_is_lanczos():
    """An edge overshoots on either side, more than with any other of Pillow's filters."""
    edge = np.full((64, 64, 3), 60, np.uint8)
    edge[:, 34:] = 200
    row = square(Image.fromarray(edge), 16)[8, :, 0]
    assert row.tolist() == [60] * 6 + [62, 49, 130, 211, 198] + [200] * 5


def test_large_jpeg_is_decoded_small_and_looks_the_same():
    rows, columns = np.mgrid[0:1200, 0:1600]
    scene = np.stack([rows % 256, columns % 256, (rows + columns) // 11], -1).astype(np.uint8)
    data = saved(Image.fromarray(scene), "JPEG", quality=92)
    small = open_picture(data, 64)
    assert small.info["size"] == (1600, 1200)
    full = square(open_picture(data), 64).astype(int)
    assert np.abs(square(small, 64) - full).mean() < 2


@pytest.mark.parametrize(
    ("stated", "wanted", "decoded"),
    [
        ((1600, 1200), 64, (800, 600)),
        ((1600, 1200), 300, (800, 600)),
        ((1600, 1200), 301, (1600, 1200)),
        ((1023, 1200), 64, (1023, 1200)),
        ((1024, 1200), 64, (512, 600)),
        ((5000, 4096), 64, (625, 512)),
    ],
)
def test_a_jpeg_is_decoded_with_twice_the_wanted_pixels_and_at_least_512(stated, wanted, decoded):
    data = saved(Image.new("RGB", stated, RED), "JPEG")
    assert open_picture(data, wanted).size == decoded


def test_a_thumbnail_does_not_depend_on_the_size_of_preparation():
    noise = np.random.default_rng(1).integers(0, 256, (1100, 1100, 3), np.uint8)
    data = saved(Image.fromarray(noise), "JPEG")
    thumbnails = [square(open_picture(data, size), 64) for size in (64, 96, 224, 256)]
    assert all(np.array_equal(thumbnails[0], each) for each in thumbnails[1:])
