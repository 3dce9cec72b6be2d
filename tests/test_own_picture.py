"""A learner's picture comes over in parts, is colored as by the command, and goes back in full size."""

import io

import numpy as np
import pytest
from PIL import Image, ImageColor

from helpers import colorize, display, own_picture, places, preview
from helpers.hints import Hint
from helpers.lab import rgb_to_lab

SAMPLE = places.SAMPLE / "animal_lemur.jpg"


@pytest.fixture(scope="module")
def colorizer():
    return colorize.load()


@pytest.fixture
def page(colorizer):
    """The widget, and a front end that asks it."""
    return Page(own_picture.OwnPicture(colorizer, {"a square": png(np.full((40, 40), 120, np.uint8))}))


@pytest.fixture(scope="module")
def hinted():
    return colorize.load(hints=True)


class Page:
    def __init__(self, widget):
        self.widget, self.sent, self.asked = widget, [], 0
        widget.send = lambda content, buffers=None: self.sent.append((content, buffers))

    def ask(self, kind, part=None, **question):
        self.asked += 1
        message = {"asked": self.asked, "kind": kind, **question}
        self.widget._handle_custom_msg(message, [] if part is None else [memoryview(part)])
        (answer, buffers) = self.sent.pop()
        assert self.sent == []
        assert answer.pop("asked") == self.asked
        return answer, *buffers

    def upload(self, data, name="grandmother.jpg", number=1):
        self.ask("part", data, upload=number)
        return self.ask("upload", upload=number, name=name)


def png(pixels):
    return saved(Image.fromarray(pixels), "PNG")


def saved(image, form, **options):
    target = io.BytesIO()
    image.save(target, form, **options)
    return target.getvalue()


def pixels(data):
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


def chroma(rgb):
    return np.linalg.norm(rgb_to_lab(rgb)[..., 1:], axis=-1).mean()


def test_an_upload_is_shown_grey_and_then_in_color(page):
    answer, before = page.upload(saved(Image.open(SAMPLE).convert("L"), "JPEG"))
    assert answer == {"notes": [], "type": "image/jpeg"}
    assert chroma(pixels(before)) < 1
    _, after = page.ask("color", vividness=0.5)
    assert chroma(pixels(after)) > 4
    difference = rgb_to_lab(pixels(after))[..., 0] - rgb_to_lab(pixels(before))[..., 0]
    assert np.abs(difference).mean() < 1


def test_the_vividness_is_heeded(page):
    page.upload(SAMPLE.read_bytes())
    careful, between, bold = (chroma(pixels(page.ask("color", vividness=share)[1])) for share in (0, 0.5, 1))
    assert careful < between < bold


def test_the_download_is_what_the_command_gives(page, colorizer):
    data = saved(Image.open(SAMPLE).convert("L").resize((1300, 900)), "TIFF")
    page.upload(data, "old.print.tif")
    answer, content = page.ask("download", vividness=0.3)
    assert answer == {"type": "image/tiff", "name": "old.print-colored.tif"}
    original = colorize.read(data)
    (wanted,) = colorize.colorize([original], colorize.replace(colorizer, vividness=0.3))
    assert Image.open(io.BytesIO(content)).format == "TIFF"
    assert np.abs(pixels(content).astype(int) - wanted).max() <= 1


def test_what_is_shown_is_small_whatever_was_uploaded(page):
    _, before = page.upload(saved(Image.new("L", (5000, 2500), 90), "PNG"))
    assert Image.open(io.BytesIO(before)).size == (preview.LONGEST, preview.LONGEST // 2)
    _, after = page.ask("color", vividness=0)
    assert Image.open(io.BytesIO(after)).size == (preview.LONGEST, preview.LONGEST // 2)


def test_a_file_comes_in_parts_and_two_files_do_not_mix(page):
    first, second = png(np.full((10, 20), 90, np.uint8)), png(np.full((30, 10), 90, np.uint8))
    for start in range(0, max(len(first), len(second)), 25):
        page.ask("part", first[start : start + 25], upload=1)
        page.ask("part", second[start : start + 25], upload=2)
    assert pixels(page.ask("upload", upload=1, name="a.png")[1]).shape == (10, 20, 3)
    assert pixels(page.ask("upload", upload=2, name="b.png")[1]).shape == (30, 10, 3)


@pytest.mark.parametrize(
    ("data", "line"),
    [
        (b"", "the file is empty"),
        (b"remember the milk", "text, not a picture"),
        (SAMPLE.read_bytes()[:3000], "damaged or cut off"),
        (saved(Image.new("1", (20000, 10000)), "PNG"), "200 megapixels are too many. At most 200 MB and 100"),
    ],
    ids=["empty", "text", "cut off", "too large"],
)
def test_a_bad_upload_is_a_line_and_the_picture_before_it_stays(page, data, line):
    page.upload(saved(Image.new("L", (50, 20), 90), "PNG"), "good.png")
    (answer,) = page.upload(data, number=2)
    assert list(answer) == ["error"]
    assert answer["error"].startswith(line)
    assert "\n" not in answer["error"]
    assert page.ask("download", vividness=0)[0]["name"] == "good-colored.png"


def test_color_that_is_there_already_is_said(page):
    answer, before = page.upload(SAMPLE.read_bytes())
    assert answer["notes"] == [colorize.HAS_COLOR]
    assert chroma(pixels(before)) < 1


def test_a_network_with_one_answer_ignores_the_vividness():
    page = Page(own_picture.OwnPicture(colorize.load("baseline"), {"a square": SAMPLE.read_bytes()}))
    (network,) = page.widget.offered["networks"]
    assert not network["vivid"]
    page.ask("example", name="a square")
    assert page.ask("color", vividness=None) == page.ask("color", vividness=None)


HINTS = "25%,50%=60,-60;75%,50%=#ff4020"


def test_hints_are_heeded_at_every_vividness_and_in_the_download(hinted):
    page = Page(own_picture.OwnPicture(hinted, {}))
    (network,) = page.widget.offered["networks"]
    assert network["hints"]
    data = saved(Image.open(SAMPLE).convert("L"), "PNG")
    page.upload(data)
    original = colorize.read(data)
    _, untold = page.ask("color", vividness=0.3, hints=None)
    for vividness in (0.3, 1):
        told = colorize.colorize(
            [original], colorize.replace(hinted, vividness=vividness), [preview.hints(HINTS)]
        )[0].astype(int)
        _, content = page.ask("download", vividness=vividness, hints=HINTS)
        assert np.abs(pixels(content) - told).max() <= 1
    _, shown = page.ask("color", vividness=0.3, hints=HINTS)
    assert np.abs(pixels(shown).astype(int) - pixels(untold)).mean() > 0.1
    # Taken away they leave nothing; a new picture has none.
    assert page.ask("color", vividness=0.3, hints=None)[1] == untold
    page.ask("color", vividness=0.3, hints=HINTS)
    page.upload(data, number=2)
    assert page.ask("color", vividness=0.3, hints=None)[1] == untold


def test_the_likely_colors_of_a_place_heed_the_hints(hinted):
    page = Page(own_picture.OwnPicture(hinted, {"a lemur": SAMPLE.read_bytes()}))
    page.ask("example", name="a lemur")
    shown = preview.small(colorize.read(SAMPLE.read_bytes()))
    (answer,) = page.ask("likely", network="", x=0.3, y=0.8, hints="31%,80%=60,-60")
    wanted = colorize.likely(shown, hinted, 0.3, 0.8, [Hint(0.31, 0.8, 60, -60)])
    found = [(each["a"], each["b"], each["probability"]) for each in answer["colors"]]
    np.testing.assert_allclose(found, [(hint.a, hint.b, odds) for hint, odds in wanted], 1e-4)


def test_a_wrong_hint_is_a_line_and_the_colors_before_it_stay(hinted):
    page = Page(own_picture.OwnPicture(hinted, {"a lemur": SAMPLE.read_bytes()}))
    page.ask("example", name="a lemur")
    before = page.ask("color", vividness=0, hints=HINTS)
    for kind, asked in (("color", {"vividness": 0}), ("likely", {"x": 0.5, "y": 0.5})):
        (answer,) = page.ask(kind, hints="50%,50%=200,0", **asked)
        assert answer == {"error": "a hint's a is a number from -128 to 127, not 200.0"}
    assert page.ask("color", vividness=0, hints=HINTS) == before


@pytest.mark.parametrize("level", [0, 255])
def test_some_color_is_likely_even_in_black_and_white(hinted, level):
    (first, *_) = preview.likely(colorize.read(png(np.full((64, 64), level, np.uint8))), hinted, 0, 1)
    assert first["color"] == f"#{3 * f'{level:02x}'}"


NAMED = {
    "grey": "#808080",
    "vivid pink": "#ff60b0",
    "vivid red": "#e02020",
    "vivid orange": "#ff9020",
    "brown": "#804010",
    "vivid yellow": "#ffe020",
    "vivid green": "#20a020",
    "turquoise": "#20c0c0",
    "vivid blue": "#2040ff",
    "vivid purple": "#b020e0",
    "pale blue": "#90a0b8",
    "blue": "#6080b0",
    "pale brown": "#988878",
}


@pytest.mark.parametrize(("name", "color"), NAMED.items(), ids=NAMED)
def test_a_color_has_the_name_that_people_give_it(name, color):
    L, a, b = rgb_to_lab(np.array(ImageColor.getrgb(color), np.uint8))
    assert preview.color_name(L, a, b) == name


def test_each_example_is_one_that_has_no_color(page):
    for data in own_picture.examples().values():
        assert colorize.read(data).notes == ()
    page.ask("example", name="a square")
    assert page.ask("download", vividness=0)[0]["name"] == "a square-colored.png"


def test_an_aged_photograph_keeps_its_lightness_and_none_of_its_color():
    rgb = pixels(SAMPLE.read_bytes())
    old = own_picture.aged(rgb)
    assert np.corrcoef(rgb_to_lab(old)[..., 0].ravel(), rgb_to_lab(rgb)[..., 0].ravel())[0, 1] > 0.8
    grey = preview.grey(colorize.read(SAMPLE.read_bytes()))
    assert np.abs(own_picture.aged(grey).astype(int) - old).max() <= 2


def test_without_a_kernel_a_line_stands_for_the_controls(colorizer, monkeypatch):
    shown = []
    monkeypatch.setattr(display, "display", lambda data, **_: shown.append(data))
    own_picture.show(colorizer)
    (data,) = shown
    assert data["text/plain"] == "Your own picture: run this cell in JupyterLab to color one."
    assert data["application/vnd.jupyter.widget-view+json"]["model_id"]
