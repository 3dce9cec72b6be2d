"""Pictures of one's own come back in color, with everything else as it was."""

import io
import json
import sys

import numpy as np
import pytest
import tifffile
from PIL import Image, ImageCms, ImageOps, features

from helpers import colorize, networks, places
from helpers.__main__ import main
from helpers.backend import keras
from helpers.colorize import Colorizer
from helpers.errors import CourseError
from helpers.lab import rgb_to_lab, to_gamut
from helpers.photographs.decode import open_picture

AB = (0.15, 0.2)  # what the network below answers everywhere, / 128


@pytest.fixture(scope="module")
def colorizer():
    """A network with two heads that gives one color: its ab, or grey if it is told to be vivid."""
    L = keras.Input((None, None, 1))
    x = keras.layers.AveragePooling2D(4)(L)
    heads = [keras.layers.Conv2D(n, 1, kernel_initializer="zeros", name=f"head{n}")(x) for n in (2, 260)]
    network = keras.Model(L, heads, name="one_color")
    network.get_layer("head2").bias.assign(AB)
    return Colorizer(network, 64)


def picture(width=90, height=60):
    """Soft grey shapes, none black or white, so that every pixel can take the network's color."""
    coarse = np.random.default_rng(0).integers(70, 190, (5, 7), np.uint8)
    return Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)


def saved(image, form, **options):
    target = io.BytesIO()
    image.save(target, form, **options)
    return target.getvalue()


def colored(data, colorizer):
    original = colorize.read(data)
    image = Image.open(io.BytesIO(colorize.encode(original, colorize.colorize([original], colorizer)[0])))
    assert image.format == colorize.result_format(original)
    return image


def assert_only_the_color_is_new(image, grey, tolerance=1.0):
    lab = rgb_to_lab(np.asarray(image.convert("RGB")))
    truth = rgb_to_lab(np.asarray(grey.convert("RGB")))[..., 0]
    assert image.size == grey.size
    assert np.abs(lab[..., 0] - truth).max() <= tolerance
    assert np.abs(lab[..., 1:] - np.multiply(AB, 128)).mean() < 2


FORMS = {
    "JPEG": ("L", "JPEG", "JPEG"),
    "JPEG in RGB": ("RGB", "JPEG", "JPEG"),
    "PNG": ("L", "PNG", "PNG"),
    "PNG with a palette": ("P", "PNG", "PNG"),
    "TIFF": ("L", "TIFF", "TIFF"),
    "WebP": ("RGB", "WEBP", "WEBP"),
    "BMP": ("L", "BMP", "BMP"),
    "GIF": ("P", "GIF", "PNG"),
    "JPEG 2000": ("L", "JPEG2000", "JPEG2000"),
    "PGM": ("L", "PPM", "PPM"),
    "MPO": ("RGB", "MPO", "JPEG"),
}
if features.check("avif"):
    FORMS["AVIF"] = ("RGB", "AVIF", "AVIF")


@pytest.mark.parametrize(("mode", "form", "wanted"), FORMS.values(), ids=FORMS)
def test_a_format_that_can_hold_color_stays(mode, form, wanted, colorizer):
    lossless = {"lossless": True} if form == "WEBP" else {"quality": 100} if form in ("JPEG", "AVIF") else {}
    image = colored(saved(picture().convert(mode), form, **lossless), colorizer)
    assert (image.format, image.mode) == (wanted, "RGB")
    # What is not exact here, the formats lose in writing.
    exact = wanted in ("PNG", "TIFF", "BMP", "PPM") and form != "MPO"
    assert_only_the_color_is_new(image, picture(), 1.0 if exact else 6.0)


def test_a_picture_of_one_bit_becomes_color(colorizer):
    image = colored(saved(picture().convert("1"), "PNG"), colorizer)
    assert image.mode == "RGB"
    assert set(np.unique(rgb_to_lab(np.asarray(image))[..., 0].round())) == {0, 100}


@pytest.mark.parametrize("size", [(1, 1), (1, 300), (700, 3), (33, 31), (2000, 1)])
def test_any_size(size, colorizer):
    grey = picture(*size)
    assert_only_the_color_is_new(colored(saved(grey, "PNG"), colorizer), grey)


def test_pictures_of_several_shapes_are_colored_each_as_if_alone(colorizer):
    originals = [
        colorize.read(saved(picture(*size), "PNG")) for size in [(90, 60), (60, 90), (90, 60), (9, 1)]
    ]
    together = colorize.colorize(originals, colorizer)
    for original, rgb in zip(originals, together, strict=True):
        np.testing.assert_array_equal(rgb, colorize.colorize([original], colorizer)[0])


def test_strips_leave_no_seam(colorizer, monkeypatch):
    data = saved(picture(), "PNG")
    original = colorize.read(data)
    whole = colorize.colorize([original], colorizer)[0]
    monkeypatch.setattr(colorize, "STRIP", 200)
    parts = colorize.colorize([original], colorizer)[0]
    assert np.abs(whole.astype(int) - parts).max() <= 1


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_orientation_is_applied_once_and_the_rest_of_exif_stays(orientation, colorizer):
    exif = Image.Exif()
    exif[0x0112], exif[0x0132], exif[0x013B] = orientation, "1931:05:04 12:00:00", "Ada"
    exif.get_ifd(0x8769)[0x9003] = "1931:05:04 12:00:00"
    data = saved(picture(), "JPEG", quality=100, exif=exif)
    image = colored(data, colorizer)
    found = image.getexif()
    assert found.get(0x0112, 1) == 1
    assert (found[0x0132], found[0x013B]) == ("1931:05:04 12:00:00", "Ada")
    assert found.get_ifd(0x8769)[0x9003] == "1931:05:04 12:00:00"
    assert_only_the_color_is_new(image, ImageOps.exif_transpose(Image.open(io.BytesIO(data))), 6.0)


@pytest.mark.parametrize("kind", ["transparent", "sixteen bits"])
def test_the_orientation_is_applied_to_every_kind_of_picture(kind, colorizer):
    exif = Image.Exif()
    exif[0x0112] = 6
    image = picture().convert("RGBA")
    image.putalpha(Image.linear_gradient("L").resize(image.size))
    if kind == "sixteen bits":
        image = Image.fromarray(np.asarray(picture()).astype(np.uint16) * 257)
    data = saved(image, "PNG", exif=exif)
    original = colorize.read(data)
    truth = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(data))))
    assert original.pixels.shape[:2] == truth.shape[:2] == (90, 60)
    if kind == "transparent":
        assert np.array_equal(np.asarray(original.alpha), truth[..., 3])
        assert np.array_equal(original.pixels, truth[..., :3])
    else:
        assert np.array_equal(original.pixels, truth)
    assert colored(data, colorizer).getexif().get(0x0112, 1) == 1


@pytest.mark.parametrize("form", ["JPEG", "PNG", "TIFF", "WEBP"])
def test_a_layout_that_exif_describes_is_not_copied(form, colorizer):
    data = saved(picture(), "TIFF", description="grandmother", compression="tiff_lzw")
    if form != "TIFF":
        data = saved(picture(), form, exif=Image.open(io.BytesIO(data)).getexif())
    image = colored(data, colorizer)
    assert image.getexif()[0x010E] == "grandmother"
    assert open_picture(saved(image, "PNG")).size == (90, 60)


def test_transparency_stays(colorizer):
    image = picture().convert("RGB")
    alpha = Image.linear_gradient("L").resize(image.size)
    image.putalpha(alpha)
    for form in ("PNG", "TIFF"):
        found = colored(saved(image, form), colorizer)
        assert found.mode == "RGBA"
        assert np.array_equal(np.asarray(found.getchannel("A")), np.asarray(alpha))
        assert_only_the_color_is_new(found, picture())


@pytest.mark.parametrize("form", ["PNG", "TIFF"])
def test_sixteen_bits_stay(form, colorizer):
    ramp = np.linspace(20000, 45000, 90 * 60).astype(np.uint16).reshape(60, 90)
    original = colorize.read(saved(Image.fromarray(ramp), form))
    content = colorize.encode(original, colorize.colorize([original], colorizer)[0])
    assert colorize.result_format(original) == form
    if form == "TIFF":
        rgb = tifffile.imread(io.BytesIO(content))
        assert (rgb.dtype, rgb.shape) == (np.uint16, (60, 90, 3))
        assert len(np.unique(rgb[..., 1])) > 1000
    else:
        assert content[24:26] == bytes([16, 2]), "sixteen bits a channel, in RGB"
    image = Image.open(io.BytesIO(content)) if form == "PNG" else Image.fromarray((rgb >> 8).astype(np.uint8))
    assert_only_the_color_is_new(image, Image.fromarray((ramp >> 8).astype(np.uint8)))


def deep_scan(form, pixels, **options):
    """A file of sixteen bits a channel, which Pillow does not write."""
    if form == "PNG":
        return colorize._deep_png(pixels, options.get("exif", b""))
    target = io.BytesIO()
    tifffile.imwrite(target, pixels, photometric="rgb", **options)
    return target.getvalue()


@pytest.fixture
def toned():
    """A toned print, scanned at sixteen bits: more levels than eight bits hold."""
    ramp = np.linspace(20000, 45000, 90 * 60).reshape(60, 90, 1)
    return np.rint(ramp * [1, 0.9, 0.8]).astype(np.uint16)


@pytest.mark.parametrize(
    ("form", "options"),
    [
        ("PNG", {}),
        ("TIFF", {}),
        ("TIFF", {"byteorder": ">"}),
        ("TIFF", {"compression": "zlib"}),
        ("TIFF", {"compression": "zlib", "predictor": True, "byteorder": ">"}),
    ],
)
def test_sixteen_bits_stay_in_a_scan_with_color_too(form, options, toned, colorizer):
    original = colorize.read(deep_scan(form, toned, **options))
    np.testing.assert_array_equal(original.pixels, toned)
    assert original.notes == ()
    (rgb,) = colorize.colorize([original], colorizer)
    assert rgb.dtype == np.uint16
    L = [rgb_to_lab(each.astype(np.float32) / 65535)[..., 0] for each in (rgb, toned)]
    np.testing.assert_allclose(L[0], L[1], atol=0.02)
    content = colorize.encode(original, rgb)
    np.testing.assert_array_equal(colorize.read(content).pixels, rgb)


def test_a_scan_of_sixteen_bits_is_turned_upright(toned):
    exif = Image.Exif()
    exif[0x0112] = 6
    original = colorize.read(deep_scan("PNG", toned, exif=exif.tobytes()))
    np.testing.assert_array_equal(original.pixels, np.rot90(toned, -1))


@pytest.mark.parametrize("kind", ["transparent", "another color space"])
def test_where_sixteen_bits_cannot_stay_it_is_said(kind, toned, tmp_path, network, capsys):
    path = tmp_path / "scan.tif"
    if kind == "transparent":
        pixels = np.concatenate([toned, np.full((60, 90, 1), 30000, np.uint16)], axis=-1)
        path.write_bytes(deep_scan("TIFF", pixels, extrasamples=["unassalpha"]))
    else:
        wide = ImageCms.ImageCmsProfile(ImageCms.createProfile("XYZ")).tobytes()
        path.write_bytes(deep_scan("TIFF", toned, iccprofile=wide))
    assert main(["colorize", str(path), "--network", network]) == 0
    assert f"scan.tif {colorize.LESS_DEEP}\n" in capsys.readouterr().err
    assert Image.open(tmp_path / "scan-colored.tif").mode == ("RGBA" if kind == "transparent" else "RGB")


def sepia(rgb):
    return rgb * [1, 0.87, 0.68]


def scratched(rgb):
    rgb = rgb.copy()
    rgb[:, 20], rgb[:, 61], rgb[10:13, 40:43] = 245, 10, 245
    return rgb


def lined(rgb):
    """The lines of a print or of an old screen: every other row darker."""
    rgb = rgb.copy()
    rgb[::2] *= 0.7
    return rgb


DAMAGES = {
    "sepia": [sepia],
    "scratches": [scratched],
    "lines": [lined],
    "all of it": [lined, scratched, sepia],
}


@pytest.mark.parametrize("damages", DAMAGES.values(), ids=DAMAGES)
def test_an_old_print_keeps_its_lightness_and_loses_its_tone(damages, colorizer):
    rgb = np.asarray(picture().convert("RGB")).astype(float)
    for damage in damages:
        rgb = damage(rgb)
    print_ = Image.fromarray(np.rint(rgb).astype(np.uint8))
    data = saved(print_, "PNG")
    assert colorize.read(data).notes == (), "a tone is no color that somebody gave by mistake"
    image = colored(data, colorizer)
    found, given = (rgb_to_lab(np.asarray(each)) for each in (image, print_))
    assert np.abs(found[..., 0] - given[..., 0]).max() <= 1
    room = (given[..., 0] > 20) & (given[..., 0] < 80)  # in black and white there is none for color
    np.testing.assert_allclose(np.median(found[room][:, 1:], axis=0), np.multiply(AB, 128), atol=1)


def test_the_result_says_that_it_is_srgb(colorizer):
    profile = colored(saved(picture(), "PNG"), colorizer).info["icc_profile"]
    assert "sRGB" in ImageCms.getProfileDescription(ImageCms.ImageCmsProfile(io.BytesIO(profile)))


def test_what_no_screen_shows_loses_chroma_alone():
    lab = np.array(
        [[50, 90, 90], [80, -100, 20], [30, 20, -100], [99, 40, 40], [0, 30, 0], [60, 10, 10]], float
    )
    found = rgb_to_lab(to_gamut(lab))
    np.testing.assert_allclose(found[:, 0], lab[:, 0], atol=0.05)
    np.testing.assert_allclose(found[-1], lab[-1], atol=0.05)
    hue, true_hue = (np.arctan2(each[:-2, 2], each[:-2, 1]) for each in (found, lab))
    np.testing.assert_allclose(hue, true_hue, atol=0.02)
    assert (np.linalg.norm(found[:-1, 1:], axis=1) < np.linalg.norm(lab[:-1, 1:], axis=1)).all()


# The command ------------------------------------------------------------------------------------------


@pytest.fixture
def network(tmp_path, colorizer):
    """The network as a file of a run, with its record."""
    path = tmp_path / "models" / "one_color.keras"
    networks.save(colorizer.network, path)
    record = {"resolution": 64, "settings": {"backbone": "efficientnet_lite0"}, "vivid": {"vividness": 0.25}}
    path.with_suffix(".json").write_text(json.dumps(record))
    return str(path)


@pytest.mark.parametrize(
    ("given", "seen"),
    [(1, 32), (64, 128), (96, 160), (128, 160), (160, 160), (192, 192), (224, 224), (1000, 224)],
)
def test_a_small_picture_is_enlarged_as_little_as_does_it_good(given, seen, colorizer, monkeypatch):
    shapes = []

    def predict_ends(network, L):
        shapes.append(L.shape)
        return [np.zeros((1, *L.shape[1:3], 2), "float32")]

    monkeypatch.setattr(networks, "predict_ends", predict_ends)
    picture = colorize.Original(np.full((given, given), 90, np.uint8), None, "PNG")
    colorize.predict([picture], Colorizer(colorizer.network, 224))
    assert shapes == [(1, seen, seen, 1)]


def test_a_file_is_colored_beside_itself_and_never_replaced(network, tmp_path, capsys):
    grandmother = tmp_path / "grandmother.jpg"
    picture().save(grandmother, quality=100)
    before = grandmother.read_bytes()
    assert main(["colorize", str(grandmother), "--network", network, "--vividness", "0"]) == 0
    result = tmp_path / "grandmother-colored.jpg"
    assert_only_the_color_is_new(Image.open(result), picture(), 6.0)
    result.write_bytes(b"mine")
    assert main(["colorize", str(grandmother), "--network", network]) == 1
    assert result.read_bytes() == b"mine"
    assert "grandmother-colored.jpg is there already: give --force" in capsys.readouterr().err
    assert main(["colorize", str(grandmother), "--network", network, "--force"]) == 0
    assert Image.open(result).size == (90, 60)
    assert main(["colorize", str(grandmother), "--network", network, "--force", "-o", str(grandmother)]) == 1
    assert "would replace the original" in capsys.readouterr().err
    assert grandmother.read_bytes() == before


def test_a_folder_keeps_its_structure_and_what_fails_is_named(network, tmp_path, capsys):
    home = tmp_path / "album"
    (home / "1931" / "May").mkdir(parents=True)
    picture().save(home / "a.gif")
    picture().save(home / "1931" / "May" / "b.png")
    (home / "1931" / "notes.txt").write_text("remember the milk")
    assert main(["colorize", str(home), "--network", network]) == 1
    found = sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.glob("album-colored/**/*.*"))
    assert found == ["album-colored/1931/May/b.png", "album-colored/a.png"]
    assert "notes.txt: text, not a picture" in capsys.readouterr().err
    assert (
        main(
            [
                "colorize",
                str(home / "a.gif"),
                str(home / "1931"),
                "-o",
                str(tmp_path / "out"),
                "--network",
                network,
            ]
        )
        == 1
    )
    found = sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.glob("out/**/*.*"))
    assert found == ["out/May/b.png", "out/a.png"]


def test_results_within_the_folder_are_not_colored_again(network, tmp_path):
    home = tmp_path / "album"
    home.mkdir()
    picture().save(home / "a.png")
    for _ in range(2):
        main(["colorize", str(home), "-o", str(home / "colored"), "--force", "--network", network])
    assert sorted(path.name for path in home.rglob("*")) == ["a.png", "a.png", "colored"]


def test_standard_input_goes_to_standard_output(network, monkeypatch, colorizer):
    given, taken = io.TextIOWrapper(io.BytesIO(saved(picture(), "PNG"))), io.TextIOWrapper(io.BytesIO())
    monkeypatch.setattr(sys, "stdin", given)
    monkeypatch.setattr(sys, "stdout", taken)
    assert main(["colorize", "-", "--network", network, "--vividness", "0"]) == 0
    assert_only_the_color_is_new(Image.open(io.BytesIO(taken.buffer.getvalue())), picture())


def test_a_picture_with_color_is_said_to_have_it(network, tmp_path, capsys):
    halves = np.zeros((40, 40, 3), np.uint8)
    halves[:20], halves[20:] = (200, 60, 40), (40, 90, 180)
    Image.fromarray(halves).save(tmp_path / "new.png")
    sepia = (np.asarray(picture())[..., None] * [1, 0.85, 0.65]).astype(np.uint8)
    Image.fromarray(sepia).save(tmp_path / "old.png")
    assert main(["colorize", str(tmp_path / "new.png"), str(tmp_path / "old.png"), "--network", network]) == 0
    said = capsys.readouterr().err
    assert "new.png has color already: its lightness alone is used" in said
    assert "old.png" not in said


def test_the_vividness_is_what_is_asked_for_or_what_the_record_chose(network):
    assert colorize.load(network).vividness == 0.25
    assert colorize.load(network, 0.7).vividness == 0.7


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nowhere.jpg"], "there is no nowhere.jpg"),
        (["~no one/a.png"], "there is no home folder ~no one"),
        (["-", "a.png"], "`-` stands for standard input, alone"),
        (
            [".", "--network", "nobody"],
            "no network 'nobody': give a .keras file, or one of memorize, baseline",
        ),
        ([".", "--network", "baseline", "--vividness", "1"], "baseline has one answer alone"),
    ],
)
def test_what_cannot_be_done_is_refused_in_one_line(words, message, capsys):
    assert main(["colorize", *words]) == 2
    said = capsys.readouterr().err
    assert message in said
    assert said.count("\n") == 1


def test_a_network_without_its_record_is_refused(network, tmp_path):
    (tmp_path / "models" / "one_color.json").unlink()
    with pytest.raises(CourseError, match=r"has no record beside it, one_color\.json"):
        colorize.load(network)


@pytest.mark.parametrize("name", ["baseline", "fusion"])
def test_the_networks_of_the_story_color_any_picture(name):
    original = colorize.read((places.SAMPLE / "animal_chameleon.jpg").read_bytes())
    (rgb,) = colorize.colorize([original], colorize.load(name))
    assert rgb.shape == original.pixels.shape
    assert np.abs(rgb_to_lab(rgb)[..., 0] - rgb_to_lab(original.pixels)[..., 0]).mean() < 0.5
    assert np.linalg.norm(rgb_to_lab(rgb)[..., 1:], axis=-1).mean() > 2
