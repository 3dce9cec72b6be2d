"""Every kind of picture that a person may have, made here and decoded."""

import io
import os
import random
import struct
import subprocess
import sys
import threading
import zlib
from contextlib import suppress
from types import SimpleNamespace

import numpy as np
import pytest
import tifffile
from PIL import Image, ImageChops, ImageCms

from helpers.errors import CourseError
from helpers.photographs import decode, prepare
from helpers.photographs.decode import Budget, DecodeError, open_picture, square, squares
from helpers.places import ROOT

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


def chunk(name, body, damage=0):
    checksum = zlib.crc32(name + body) ^ damage
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", checksum)


def png(width, height, depth, kind, rows, *chunks):
    """Write a PNG by hand, for what Pillow reads but does not write."""
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


def profile(space, pcs, **tags):
    """Write a color profile by hand."""
    at, table, bodies = 132 + 12 * len(tags), b"", b""
    for name, body in tags.items():
        table += struct.pack(">4sII", name.encode(), at + len(bodies), len(body))
        bodies += body
    header = struct.pack(">I4sI4s4s4s", at + len(bodies), b"", 0x02400000, b"prtr", space, pcs)
    header = header.ljust(36, b"\0") + b"acsp"
    white = struct.pack(">3i", 63190, 65536, 54061)
    return (header.ljust(68, b"\0") + white).ljust(128, b"\0") + struct.pack(">I", len(tags)) + table + bodies


def grey_profile():
    """Say that grey is stored with gamma 1."""
    return profile(b"GRAY", b"XYZ ", kTRC=b"curv" + bytes(8))


def cmyk_profile():
    """Say that every ink gives one and the same grey."""
    ramp = bytes(range(256))
    lut = (
        b"mft1"
        + bytes(4)
        + bytes([4, 3, 2, 0])
        + struct.pack(">9i", *(65536 * (i % 4 == 0) for i in range(9)))
    )
    return profile(b"CMYK", b"Lab ", A2B0=lut + 4 * ramp + 16 * bytes([128, 128, 128]) + 3 * ramp)


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


PROFILES = {"L": grey_profile, "RGB": profile_with_red_and_blue_swapped, "CMYK": cmyk_profile}
KINDS_OF_COLOR = {
    "L": [("L", "JPEG"), ("L", "PNG"), ("L", "TIFF"), ("LA", "PNG"), ("1", "PNG")],
    "RGB": [
        *(("RGB", form) for form in ("JPEG", "PNG", "TIFF", "WEBP", "AVIF")),
        *(("RGBA", form) for form in ("PNG", "WEBP", "AVIF", "TIFF")),
        ("P", "PNG"),
        ("P", "TIFF"),
    ],
    "CMYK": [("CMYK", "JPEG"), ("CMYK", "TIFF")],
}


@pytest.mark.parametrize("profiled", PROFILES)
@pytest.mark.parametrize("kind", KINDS_OF_COLOR)
def test_a_profile_counts_for_its_own_kind_of_color_alone(kind, profiled, photograph):
    for mode, form in KINDS_OF_COLOR[kind]:
        image = photograph.quantize(64) if mode == "P" else photograph.convert(mode)
        without = open_picture(saved(image, form))
        found = open_picture(saved(image, form, icc_profile=PROFILES[profiled]()))
        # Black and white are what they are with any curve.
        changed = kind == profiled and mode != "1"
        assert (np.asarray(without) != np.asarray(found)).any() == changed, (mode, form)


def test_a_grey_profile_counts_for_sixteen_bits_with_transparency():
    rows = [struct.pack(">HH", 20_000, 65_535)]
    assert open_picture(png(1, 1, 16, 4, rows)).getpixel((0, 0)) == (78, 78, 78)
    light = open_picture(png(1, 1, 16, 4, rows, (b"iCCP", b"grey\0\0" + zlib.compress(grey_profile()))))
    assert min(light.getpixel((0, 0))) > 140


# What says nothing about a PNG's pixels ---------------------------------------------------------------


def with_chunks(data, *chunks):
    """Put chunks before the pixels of a PNG, and after them."""
    start, end = data.index(b"IDAT") - 4, data.index(b"IEND") - 4
    return data[:start] + b"".join(chunks) + data[start:end] + b"".join(chunks) + data[end:]


LONG = b"a word or two " * 2**18
ODD_CHUNKS = {
    "long text": chunk(b"tEXt", b"Comment\0" + LONG),
    "long compressed text": chunk(b"zTXt", b"Comment\0\0" + zlib.compress(LONG)),
    "long XMP": chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + zlib.compress(LONG)),
    "a bomb of XMP": chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + zlib.compress(8 * LONG)),
    "a bomb of EXIF": chunk(b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(8 * LONG)),
    "text in an unknown compression": chunk(b"zTXt", b"Raw profile type exif\0\7" + b"x"),
    "a damaged time": chunk(b"tIME", b"\7\xea\1\1\1\1\1", damage=1),
    "a damaged resolution": chunk(b"pHYs", bytes(9), damage=1),
    "a short resolution": chunk(b"pHYs", b"\0"),
    "a short gamma": chunk(b"gAMA", b"\0"),
    "a short chromaticity": chunk(b"cHRM", b"\0"),
    "an empty intent": chunk(b"sRGB", b""),
    "damaged EXIF": chunk(b"eXIf", b"MM\0*\xff\xff\xff\xff", damage=1),
    "broken EXIF": chunk(b"eXIf", b"MM\0*\xff\xff\xff\xff"),
    "a broken animation": chunk(b"acTL", b"\0") + chunk(b"fcTL", b"\0"),
    "a private chunk": chunk(b"prVt", b"\xff" * 100, damage=1),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("odd", ODD_CHUNKS)
def test_a_chunk_that_says_nothing_about_the_pixels_costs_nothing(odd, photograph):
    data = with_chunks(saved(photograph, "PNG"), ODD_CHUNKS[odd])
    assert np.array_equal(open_picture(data), photograph)


@pytest.mark.parametrize("name", [b"IHDR", b"PLTE", b"tRNS", b"iCCP"])
def test_a_damaged_chunk_that_matters_is_refused(name, photograph):
    image = photograph.quantize(16)
    options = {"transparency": 0, "icc_profile": profile_with_red_and_blue_swapped()}
    data = bytearray(saved(image, "PNG", **options))
    open_picture(bytes(data))
    at = data.index(name)
    data[at + 4 + struct.unpack(">I", data[at - 4 : at])[0]] ^= 1  # its checksum
    with pytest.raises(DecodeError, match="damaged or cut off"):
        open_picture(bytes(data))


def test_a_long_color_profile_is_converted(photograph):
    red, green, blue = photograph.split()
    long = profile_with_red_and_blue_swapped() + random.Random(0).randbytes(3 * 2**20)
    assert_same_colors(saved(Image.merge("RGB", (blue, green, red)), "PNG", icc_profile=long), photograph, 1)
    with pytest.raises(DecodeError, match=r"^its color profile is larger than 8 MB$"):
        open_picture(saved(photograph, "PNG", icc_profile=long + bytes(6 * 2**20)))


def test_orientation_is_honored_between_odd_chunks(photograph):
    turned = photograph.transpose(Image.Transpose.ROTATE_90)
    text = b'<x tiff:Orientation="6"/>' + LONG
    xmp = chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + zlib.compress(text))
    exif = Image.Exif()
    exif[0x0112] = 6
    odd = ODD_CHUNKS["a short resolution"] + ODD_CHUNKS["long text"]
    assert_same_colors(with_chunks(saved(turned, "PNG"), odd, xmp), photograph, 1)
    assert_same_colors(with_chunks(saved(turned, "PNG", exif=exif), odd), photograph, 1)


def test_a_moving_png_gives_its_first_frame(photograph):
    frames = [Image.new("RGB", photograph.size), photograph.rotate(180)]
    assert_same_colors(saved(photograph, "PNG", save_all=True, append_images=frames), photograph, 1)
    apart = saved(photograph, "PNG", save_all=True, append_images=frames, default_image=True)
    assert_same_colors(apart, photograph, 1)


# What says nothing about the pixels elsewhere ---------------------------------------------------------


@pytest.mark.parametrize("form", ["JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF"])
def test_what_follows_a_picture_costs_nothing(form, photograph):
    data = saved(photograph.quantize(64) if form == "GIF" else photograph, form)
    for rest in (b"\0", b"more" * 10_000, data):
        assert np.array_equal(open_picture(data + rest), open_picture(data))


def test_long_metadata_in_a_jpeg_costs_nothing(photograph):
    whole = saved(photograph, "JPEG", quality=95)
    segments = b"".join(
        marker + struct.pack(">H", 65_535) + (start + b"x" * 65_533)[:65_533]
        for marker, start in [
            (b"\xff\xed", b"Photoshop 3.0\0"),
            (b"\xff\xe1", b"http://ns.adobe.com/xap/1.0/\0"),
        ]
        for _ in range(60)
    )
    assert np.array_equal(open_picture(whole[:2] + segments + whole[2:]), open_picture(whole))


@pytest.mark.parametrize("cut", [1.0, 0.75])
def test_a_jpeg_of_several_pictures_gives_its_first(cut, photograph):
    several = saved(photograph, "MPO", save_all=True, append_images=[photograph.rotate(180)], quality=95)
    assert_same_colors(several[: int(cut * len(several))], photograph)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("form", ["JPEG", "WEBP", "AVIF"])
def test_broken_exif_costs_nothing(form, photograph):
    exif = Image.Exif()
    exif[0x0110] = "a camera"
    exif.get_ifd(0x8769)[0x9003] = "2026:01:01 00:00:00"
    whole = saved(photograph, form, exif=exif, quality=95)
    date = whole.index(b"2026:01:01")
    at = max(whole.rfind(b"\x69\x87", 0, date), whole.rfind(b"\x87\x69", 0, date))
    assert at > 0
    broken = whole[: at + 8] + b"\xf0\xff\xff\xf0" + whole[at + 12 :]
    assert_same_colors(broken, photograph, 20)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("tag", [330, 34665, 34853, 40965])
def test_tags_of_a_tiff_that_lead_nowhere_cost_nothing(tag, photograph):
    for offset in (1, 0x7FFFFFF0):
        buffer = io.BytesIO()
        extra = [(tag, "I", 1, offset, False)]
        tifffile.imwrite(buffer, np.asarray(photograph), photometric="rgb", extratags=extra)
        assert np.array_equal(open_picture(buffer.getvalue()), photograph)


# Memory -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("orientation", range(1, 9))
def test_strips_give_what_the_whole_picture_gives(orientation, monkeypatch):
    noise = Image.fromarray(np.random.default_rng(2).integers(0, 256, (70, 53, 4), np.uint8))
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = [
        saved(noise.convert("RGB"), "JPEG", exif=exif, icc_profile=profile_with_red_and_blue_swapped()),
        saved(noise.convert("CMYK"), "JPEG", exif=exif),
        saved(noise, "PNG", exif=exif),
        saved(Image.fromarray(np.asarray(noise)[..., 0].astype(np.uint16) * 250), "PNG", exif=exif),
        saved(noise.convert("RGB").quantize(16), "PNG", exif=exif, transparency=3),
    ]
    for data in stored:
        whole = open_picture(data)
        expected = [square(whole, size) for size in (7, 16)]
        assert all(map(np.array_equal, squares(data, (7, 16))[0], expected))
        for pixels in (1, 200, 10**6):
            with monkeypatch.context() as patch:
                patch.setattr(decode, "_WHOLE", 0)
                patch.setattr(decode, "_STRIP", pixels)
                found, stated = squares(data, (7, 16))
                assert np.array_equal(open_picture(data), whole)
            assert all(map(np.array_equal, found, expected))
            assert stated == (53, 70)


@pytest.fixture
def hasty_threads():
    """Let threads take turns as often as they can."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval)


def test_a_budget_lends_no_more_than_there_is(hasty_threads):
    budget, lent, most = Budget(10), {}, []
    started = threading.Barrier(8)

    def borrow(number, count):
        started.wait()
        for _ in range(100):
            with budget.lend(count):
                lent[number] = count
                most.append(max(sum(list(lent.values())) for _ in range(10)))
                lent[number] = 0

    counts = (10, 7, 5, 5, 3, 3, 2, 1)
    threads = [threading.Thread(target=borrow, args=each, daemon=True) for each in enumerate(counts)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(most) == 800
    assert max(most) == 10
    assert budget.left == 10


def test_what_was_lent_is_given_back_whatever_happens(photograph):
    data = saved(photograph, "PNG")
    for each in (data, data[:-40], b"no picture", saved(Image.new("F", (8, 8)), "TIFF")):
        with suppress(DecodeError):
            squares(each, [16])
        assert decode._memory.left == decode.MOST_MEMORY


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF", "JPEG2000", "GIF"])
def test_a_picture_that_needs_more_memory_than_there_is_is_named(form, photograph, monkeypatch):
    monkeypatch.setattr(decode, "_memory", Budget(10**5))
    with pytest.raises(DecodeError, match=rf"^0 megapixels as {form} need more than 0 MB: save it smaller$"):
        open_picture(saved(photograph, form))


PEAK = """
import sys
from pathlib import Path
from helpers.photographs import decode, prepare

def memory(what):
    return next(int(line.split()[1]) for line in Path("/proc/self/status").open() if what in line) * 1024

def peak(work):
    Path("/proc/self/clear_refs").write_text("5")  # forget the peak so far
    before = memory("VmRSS")
    work()
    return memory("VmHWM") - before
"""
ON_LINUX = pytest.mark.skipif(
    not os.access("/proc/self/clear_refs", os.W_OK), reason="Linux alone tells its peaks"
)


def measured(script, *arguments):
    command = [sys.executable, "-c", PEAK + script, *map(str, arguments)]
    return subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT).stdout.splitlines()


# Four threads, and each picture in a batch of its own.
FOUR_AT_ONCE = """
prepare.os.cpu_count = lambda: 4
prepare._BATCH = 1
decode._memory = decode.Budget(int(sys.argv[2]))
part = prepare.Part("x", Path(sys.argv[1]), {})
places = [Path(sys.argv[1], name) for name in (".decoded", ".lightness")]
print(peak(lambda: prepare._decode_all(part, 224, *places)))
"""


@ON_LINUX
def test_large_pictures_in_several_threads_take_no_more_memory_than_is_set_aside(tmp_path):
    large = saved(Image.new("RGBA", (5000, 4000), (*RED, 128)), "PNG", compress_level=1)
    for number in range(5):
        (tmp_path / f"{number}.png").write_bytes(large + bytes([number]))
    (taken,) = measured(FOUR_AT_ONCE, tmp_path, 240 * 10**6)
    assert (tmp_path / ".decoded").stat().st_size == 5 * 224 * 224 * 3
    assert 100e6 < int(taken) < 260e6


def test_files_that_wait_to_be_decoded_are_few_if_they_are_large(tmp_path, monkeypatch):
    sizes = [700, 10, 900, 10, 10, 400, 1500, 10, 10, 600]
    for number, size in enumerate(sizes):
        (tmp_path / f"{number}.txt").write_bytes(b"x" * size)
    waiting, most = [], []

    class Pool(prepare.ThreadPoolExecutor):
        def submit(self, work, batch, size):
            waiting.append(len(batch[0].data))
            most.append(list(waiting))

            def done(*_):
                waiting.remove(len(batch[0].data))

            future = super().submit(work, batch, size)
            future.result()
            return SimpleNamespace(result=lambda: done() or future.result())

    monkeypatch.setattr(prepare, "ThreadPoolExecutor", Pool)
    monkeypatch.setattr(prepare, "_BATCH", 1)
    monkeypatch.setattr(prepare, "_WAITING_BYTES", 1000)
    monkeypatch.setattr(prepare.os, "cpu_count", lambda: 4)
    places = tmp_path / ".decoded", tmp_path / ".lightness"
    found = prepare._decode_all(prepare.Part("x", tmp_path, {}), 16, *places)
    assert len(found.skipped) == len(sizes)
    assert all(sum(each) <= 1000 or len(each) == 1 for each in most)
    assert max(map(len, most)) > 1


ONE_BY_ONE = """
lend = decode._memory.lend
decode._STRIP = 2**16  # with little beside what unpacking takes
for file in sys.argv[1:]:
    data = Path(file).read_bytes()
    decode._memory.lend = lambda count: print(count) or lend(count)
    print(peak(lambda: decode.squares(data, [501])))
"""
LARGE = [
    ("JPEG", "RGB", {}),
    ("JPEG", "RGB", {"progressive": True, "subsampling": 0}),
    ("JPEG", "CMYK", {"progressive": True}),
    ("PNG", "RGBA", {"compress_level": 1}),
    ("WEBP", "RGBA", {"method": 0, "lossless": True, "quality": 0}),
    ("AVIF", "RGBA", {"speed": 10, "subsampling": "4:4:4"}),
    ("JPEG2000", "RGBA", {"irreversible": True, "quality_layers": [40]}),
    ("TIFF", "RGB", {"compression": "tiff_lzw", "tiffinfo": {278: 2000}}),
]


@ON_LINUX
def test_what_is_set_aside_for_a_picture_is_enough_and_not_far_too_much(tmp_path):
    noise = np.random.default_rng(3).integers(0, 256, (200, 250, 4), np.uint8)
    large = Image.fromarray(noise).resize((2500, 2000))
    for number, (form, mode, options) in enumerate(LARGE):
        (tmp_path / f"{number}").write_bytes(saved(large.convert(mode), form, **options))
    figures = list(map(int, measured(ONE_BY_ONE, *(tmp_path / f"{number}" for number in range(len(LARGE))))))
    for kind, aside, taken in zip(LARGE, figures[::2], figures[1::2], strict=True):
        assert 0.4 * aside < taken < aside, kind


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
