"""What a lesson shows: a text that never changes for nbval, and the measured values for the reader."""

import io
import os
import re
import subprocess
import sys
from base64 import b64decode
from html.parser import HTMLParser
from types import SimpleNamespace

import ipywidgets
import numpy as np
import pytest
from IPython.core.formatters import DisplayFormatter
from matplotlib import pyplot
from PIL import Image
from skimage import data

from helpers import display, metrics
from helpers.errors import CourseError
from helpers.places import ROOT


@pytest.fixture
def outputs(monkeypatch):
    """What was displayed, as the pairs of data and metadata that a notebook stores."""
    stored = []

    def record(*objects, raw=False, metadata=None):
        for shown in objects:
            data, of_data = (shown, {}) if raw else DisplayFormatter().format(shown)
            stored.append((data, metadata or of_data))

    monkeypatch.setattr(display, "display", record)
    monkeypatch.setattr(display, "_relaxed", [])
    return stored


def line(*heights):
    figure, axes = pyplot.subplots(figsize=(2, 1))
    axes.plot(heights or (1, 2))
    return figure


# Claims and the headline -----------------------------------------------------------------------------


def test_a_claim_prints_its_bound_and_stores_what_was_measured(outputs):
    display.claim("red < blue", np.float32(0.1875), at_least=0.1, at_most=0.5)
    [(bundle, metadata)] = outputs
    assert bundle["text/plain"] == "✔ red < blue: at least 0.1 and at most 0.5"
    assert "red &lt; blue" in bundle["text/html"]
    assert "0.188" in bundle["text/html"]
    stored = metadata["course"]["claim"]
    assert stored == {"text": "red < blue", "measured": 0.1875, "at_least": 0.1, "at_most": 0.5}
    assert type(stored["measured"]) is float  # JSON takes no NumPy number


def test_another_measurement_leaves_the_text_of_a_claim_as_it_is(outputs):
    for measured in (0.2, 0.3):
        display.claim("it learns", measured, at_least=0.1)
    first, second = (bundle for bundle, _ in outputs)
    assert first["text/plain"] == second["text/plain"]
    assert first["text/html"] != second["text/html"]


@pytest.mark.parametrize(
    ("measured", "bounds"),
    [
        (0.9, {"at_least": 1}),
        (1.1, {"at_most": 1}),
        (3, {"at_least": 1, "at_most": 2}),
        (0, {"at_least": 1, "at_most": 2}),
        (float("nan"), {"at_least": 0}),
        (float("nan"), {"at_most": 0}),
        (float("inf"), {"at_least": 0}),
        (float("-inf"), {"at_most": 0}),
    ],
)
def test_a_false_claim_stops_the_lesson(outputs, measured, bounds):
    with pytest.raises(AssertionError, match=r"it learns: measured .*, but it should be"):
        display.claim("it learns", measured, **bounds)
    assert outputs == []


@pytest.mark.parametrize("measured", [0.5, float("nan")])
def test_a_relaxed_claim_that_does_not_hold_is_shown_as_such(outputs, measured):
    display.relax_claims("the course's own photographs")
    display.claim("it learns", measured, at_least=1)
    display.claim("it sees", 2, at_least=1)
    (failed, metadata), (held, _) = outputs
    assert failed["text/plain"] == "✘ it learns: not at least 1, as in the course's own photographs"
    assert held["text/plain"] == "✔ it sees: at least 1"
    assert metadata["course"]["claim"]["at_least"] == 1


def test_a_bound_itself_is_allowed(outputs):
    display.claim("nothing changes", 0, at_least=0, at_most=0)
    assert outputs[0][0]["text/plain"].endswith("at least 0 and at most 0")


def test_a_claim_without_a_bound_is_refused(outputs):
    with pytest.raises(CourseError, match="at_least, at_most, or both"):
        display.claim("it learns", 1)


def test_the_headline_shows_its_number_and_stores_it_in_the_metadata(outputs):
    display.headline("ΔE 9.3 < 9.7")
    [(bundle, metadata)] = outputs
    assert not any(character.isdigit() for character in bundle["text/plain"])
    assert "ΔE 9.3 &lt; 9.7" in bundle["text/html"]
    assert metadata == {"course": {"headline": "ΔE 9.3 < 9.7"}}


# Tables ----------------------------------------------------------------------------------------------


def test_a_table_has_its_shape_in_the_text_and_its_values_in_the_page(outputs):
    display.table({"a < b": {"PSNR": "24.1", "SSIM": "<b>"}, "b": {"PSNR": "25.7", "SSIM": "0.9"}}, "Scores.")
    [(bundle, _)] = outputs
    assert bundle["text/plain"] == "Table: Scores. Rows: a < b, b. Columns: PSNR, SSIM."
    for text in ("24.1", "25.7", "0.9", "&lt;b&gt;", "a &lt; b", "Scores."):
        assert text in bundle["text/html"]


def test_another_text_may_stand_for_a_table_of_what_the_reader_has(outputs):
    display.table({"a": {"votes": "32"}}, "1 game.", plain="The votes of a class.")
    [(bundle, _)] = outputs
    assert bundle["text/plain"] == "The votes of a class."
    assert "1 game." in bundle["text/html"]
    assert "32" in bundle["text/html"]


def test_the_cells_of_a_column_stand_on_one_side(outputs):
    """Numbers to the right, and all to the left if one holds words; the header with them."""
    numbers = {"n": "9,294", "Δ": "−1.5", "mean": "24.1\n23.9 to 24.3", "none": ""}
    words = {"n": "12", "Δ": "×2", "mean": "8.0\n7 to 9", "none": "", "size": "99 MB"}
    display.table({"a": numbers | {"size": "comes with the course"}, "b": words}, "Sizes.")
    shown = outputs[0][0]["text/html"]
    cells = re.findall(r'<(?:td|th scope="col") style="text-align:(\w+)[^>]*>([^<]*)', shown)
    sides = {text: side for side, text in cells}
    assert [sides[text] for text in ("n", "9,294", "12", "Δ", "−1.5", "×2", "mean", "24.1", "8.0")] == [
        "right"
    ] * 9
    assert [sides[text] for text in ("size", "comes with the course", "99 MB")] == ["left"] * 3


@pytest.mark.parametrize("rows", [{}, {"a": {"x": "1"}, "b": {"y": "1"}}, {"a": {"x": "1"}, "b": {}}])
def test_a_ragged_table_is_refused(outputs, rows):
    with pytest.raises(CourseError, match=r"at least one row|same columns"):
        display.table(rows, "Scores.")
    assert outputs == []


def test_the_table_of_metrics_shows_what_summarize_found(outputs):
    random = np.random.default_rng(0)
    truth = random.integers(0, 256, (3, 16, 16, 3), dtype=np.uint8)
    for _ in range(2):
        predicted = random.integers(0, 256, truth.shape, dtype=np.uint8)
        summary = metrics.summarize(metrics.measure(truth, predicted))
        display.metric_table({"noise": summary}, "Means over photographs.")
        shown = outputs[-1][0]["text/html"]
        psnr = summary["psnr"]
        assert f"{psnr['mean']:.1f}<br><small>{psnr['low']:.1f} to {psnr['high']:.1f}</small>" in shown
        assert all(metric.title in shown for metric in metrics.METRICS.values())
    (first, _), (second, _) = outputs
    assert first["text/plain"] == second["text/plain"]
    assert first["text/html"] != second["text/html"]


# Pictures --------------------------------------------------------------------------------------------


def test_a_picture_comes_over_its_caption_and_is_shown_once(outputs):
    figure = line()
    display.show(figure, "A line that goes up: *L\\**.")
    (picture, metadata), (caption, _) = outputs
    assert "image/png" in picture
    assert "A line that goes up: *L\\**." in caption["text/markdown"]
    shown = metadata["image/png"]
    assert shown["alt"] == "A line that goes up: L*."
    # Two pixels are stored for each that the page shows.
    assert Image.open(io.BytesIO(b64decode(picture["image/png"]))).width == pytest.approx(
        2 * shown["width"], abs=1
    )
    assert shown["width"] == pytest.approx(2 * 90, abs=20)
    # nbval compares this text; an address of an object in it would differ in every run.
    assert picture["text/plain"] == "<IPython.core.display.Image object>"
    assert not pyplot.fignum_exists(figure.number)


@pytest.mark.parametrize("caption", ["", "  \n"])
def test_a_picture_without_a_caption_is_refused(outputs, caption):
    figure = line()
    with pytest.raises(CourseError, match="caption"):
        display.show(figure, caption)
    assert outputs == []
    pyplot.close(figure)


def test_photographs_are_stored_as_jpeg_and_lines_as_png(outputs):
    display.show(display.photograph_grid([[data.chelsea()]]), "A cat.")
    display.show(line(), "A line.")
    assert "image/jpeg" in outputs[0][0]
    assert "image/png" in outputs[2][0]


def test_a_picture_looks_as_it_was_drawn(outputs):
    """Neither fewer colors for lines nor a JPEG's may be seen."""
    for figure in (line(), display.photograph_grid([[data.chelsea()]], ["cat"], height=2)):
        kind = "jpeg" if figure.axes[0].images else "png"
        figure.savefig(drawn := io.BytesIO(), format="png", dpi=90 * display.DENSITY)
        display.show(figure, "A picture.")
        stored = Image.open(io.BytesIO(b64decode(outputs[-2][0][f"image/{kind}"]))).convert("RGB")
        wanted = np.asarray(Image.open(drawn).convert("RGB"), float)
        assert np.abs(np.asarray(stored, float) - wanted).mean() < (1 if kind == "png" else 4)


def test_a_photograph_that_is_made_smaller_loses_no_line():
    """Every second column black: its nearest pixels would be stripes of another width."""
    photograph = np.repeat(np.tile(np.uint8([0, 255]), 112)[None, :, None], 224, axis=0).repeat(3, axis=-1)
    figure = display.photograph_grid([[photograph]], height=0.8)
    figure.savefig(drawn := io.BytesIO(), format="png", dpi=90)
    pyplot.close(figure)
    pixels = np.asarray(Image.open(drawn).convert("L"), float)
    assert pixels[20:-20, 20:-20].std() < 20


def test_the_grid_has_a_place_for_each_photograph_and_leaves_the_others_empty():
    photograph = np.zeros((8, 8, 3), np.uint8)
    plane = np.full((8, 8), 0.5, np.float32)
    figure = display.photograph_grid(
        [[photograph, plane], [photograph]], ["left", "right"], ["top", "bottom"]
    )
    axes = figure.axes
    assert [len(axis.images) for axis in axes] == [1, 1, 1, 0]
    assert [axis.get_title() for axis in axes] == ["left", "right", "", ""]
    assert [axis.get_ylabel() for axis in axes] == ["top", "", "bottom", ""]
    # A plane is grey, and its grey does not depend on what else the plane holds.
    assert axes[1].images[0].get_cmap().name == "gray"
    assert axes[1].images[0].get_clim() == (0, 1)
    pyplot.close(figure)


def test_a_small_picture_averages_the_pixels_that_it_has_no_room_for():
    lines = np.ones((600, 600))
    lines[::12] = 0
    figure = display.photograph_grid([[lines]], height=0.6)
    figure.canvas.draw()
    drawn = np.asarray(figure.canvas.buffer_rgba())[..., 0]
    column = drawn[:, drawn.shape[1] // 2]
    assert ((column > 20) & (column < 235)).any()
    pyplot.close(figure)


def test_curves_count_epochs_from_one_and_name_what_they_show():
    figure = display.curves({"A": {"loss": [3, 2, 1], "val_loss": [4, 3, 2]}, "B": {"loss": [1]}}, "error")
    first, second = figure.axes
    assert [list(each.get_xdata()) for each in first.lines] == [[1, 2, 3]] * 2
    assert [text.get_text() for text in first.get_legend().get_texts()] == ["loss", "validation loss"]
    assert second.get_legend() is None
    assert all(tick == int(tick) for axis in (first, second) for tick in axis.get_xticks())
    assert (first.get_title(), second.get_title(), first.get_ylabel()) == ("A", "B", "error")
    pyplot.close(figure)


# Controls --------------------------------------------------------------------------------------------


def test_the_picture_follows_the_controls_and_a_page_without_them_says_so(outputs):
    drawn = []

    def draw(height, shape):
        drawn.append((height, shape))
        return line(0, height)

    height = ipywidgets.IntSlider(1, 0, 9)
    display.play(draw, height=height, shape=ipywidgets.Dropdown(options=["line", "dot"]))
    [(bundle, _)] = outputs
    assert bundle["text/plain"] == "Controls (height, shape): run this cell in JupyterLab to move them."
    view = bundle["application/vnd.jupyter.widget-view+json"]["model_id"]
    picture = ipywidgets.widgets.widget._instances[view].children[-1]
    before = picture.value
    assert 'alt="The picture at height 1, shape line"' in before
    drawn_as = re.search('src="data:image/png;base64,([^"]*)"', before)[1]
    assert Image.open(io.BytesIO(b64decode(drawn_as))).width >= 400

    height.value = 7
    assert 'alt="The picture at height 7, shape line"' in picture.value
    assert drawn == [(1, "line"), (7, "line")]
    assert picture.value != before
    assert height.description == "height"
    assert not pyplot.get_fignums()


@pytest.mark.parametrize(("seconds", "follows"), [([0.05], True), ([0.2], False), ([0.2, 0.05, 0.2], True)])
def test_a_picture_follows_while_a_slider_is_dragged_if_it_can_be_drawn_at_once(
    seconds, follows, outputs, monkeypatch
):
    ticks = iter([tick for each in seconds for tick in (0, each)])
    monkeypatch.setattr(display, "time", SimpleNamespace(perf_counter=lambda: next(ticks)))
    height = ipywidgets.IntSlider(0, 0, 9, continuous_update=not follows)
    display.play(lambda height: line(0, height), height=height)
    for value in range(1, len(seconds)):
        height.value = value
    assert height.continuous_update == follows


def test_a_table_names_its_rows_and_columns_to_who_hears_it(outputs):
    display.table({"baseline": {"PSNR": "24.1"}}, "Scores.")
    shown = outputs[0][0]["text/html"]
    assert "<th>" not in shown
    assert re.search(r'<th scope="col"[^>]*>PSNR</th>', shown)
    assert re.search(r'<th scope="row"[^>]*>baseline</th>', shown)


# Credits ---------------------------------------------------------------------------------------------


def test_credits_are_named_once_in_the_order_of_the_photographs():
    photographs = SimpleNamespace(credits=["Ann, CC0", "", "Ben, CC BY 4.0", "Ann, CC0", "Eve"])
    assert display.credits_of(photographs, [2, 0, 1, 3]) == ["Ben, CC BY 4.0", "Ann, CC0"]
    assert display.credits_of(photographs) == ["Ann, CC0", "Ben, CC BY 4.0", "Eve"]
    assert display.credits_of(photographs, [1]) == []


def test_credits_stand_folded_under_the_caption_and_are_not_compared(outputs):
    """Which photographs a trained network ranks first differs between machines."""
    for credit in ("Ann <b>, CC0, https://example.org/a?b=1&c=2", "Ben"):
        display.show(line(), "The best.", [credit])
    (first, _), (second, _) = outputs[2], outputs[5]
    assert first["text/plain"] == second["text/plain"]
    assert first["text/html"].startswith("<details>")
    assert "Ann &lt;b&gt;, CC0" in first["text/html"]
    assert '<a href="https://example.org/a?b=1&amp;c=2">' in first["text/html"]


class Tags(HTMLParser):
    """The tags of a text in HTML with their attributes, and what stands between them, tag by tag."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.texts = [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_data(self, data):
        self.texts.append(data)


HOSTILE = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "</li></ul></details><h1>",
    "&lt;script&gt; &#60;b>",
    "[x](javascript:alert(1)) javascript:alert(1) data:text/html,x",
    "*a* _b_ **c** `d` # e | f ![g](h)",
    r"$x^2$ $$y$$ \(z\) \[w\] \begin{align}v\end{align}",
    'a"b onmouseover="alert(1)',
    'https://example.org/"onmouseover=alert(1)',
    "https://example.org/<script>",
    "https://example.org/$x$?a=1&b='2'",
]


@pytest.mark.parametrize("credit", HOSTILE)
def test_a_credit_is_shown_as_it_is_written_whatever_it_holds(credit, outputs):
    display.show(line(), "A line.", [credit, credit + "\n\r\t\u2028" + credit])
    shown = Tags(outputs[2][0]["text/html"])
    assert "".join(shown.texts).removeprefix("Whose photographs these are") == f"{credit}{credit} {credit}"
    assert {tag for tag, _ in shown.tags} <= {"details", "summary", "ul", "li", "a", "span"}
    for tag, attributes in shown.tags:
        assert list(attributes) == (["href"] if tag == "a" else [])
        assert attributes.get("href", "https://example.org/").startswith("https://example.org/")
    # MathJax sees a formula only where one text holds both of its ends.
    assert all(text in ("$", "\\") or not re.search(r"[$\\]", text) for text in shown.texts)


def test_a_link_in_a_credit_is_one_for_the_web_alone(outputs):
    given = (
        "http://a.org/x, https://b.org/File:O'Neill_(1).jpg ftp://c.org file:///d javascript:e mailto:f@g.org"
    )
    display.show(line(), "A line.", [given])
    links = [attributes["href"] for tag, attributes in Tags(outputs[2][0]["text/html"]).tags if tag == "a"]
    assert links == ["http://a.org/x,", "https://b.org/File:O'Neill_(1).jpg"]


def test_a_credit_is_one_line_of_readable_length_in_its_own_direction(outputs):
    turned = "Ann \u202egpj.exe\u202c \u2066b\u2069\x00\x1b[31m\ud800 می\u200cشد 👩\u200d🎨"
    display.show(line(), "A line.", [turned, "x" * 10_000, "by Ben https://example.org/" + "y" * 10_000])
    html = outputs[2][0]["text/html"]
    assert "<li>Ann gpj.exe b [31m می\u200cشد 👩\u200d🎨</li>" in html
    assert "x" * 499 + "…</li>" in html
    assert "<li>by Ben https://example.org/yyy" in html
    assert "href" not in html
    assert len(html) < 1500
    html.encode("utf-8")


def test_tables_claims_and_headlines_hold_no_formula_and_no_tags(outputs):
    for text in HOSTILE:
        display.table({text: {text + "2": text}}, text)
        display.headline(text)
        display.relax_claims(text)
        display.claim(text, 0, at_least=1)
    known = {"table", "caption", "thead", "tbody", "tr", "td", "th", "span", "b"}
    for bundle, _ in outputs:
        shown = Tags(bundle["text/html"])
        assert {tag for tag, _ in shown.tags} <= known
        assert all(text in ("$", "\\") or not re.search(r"[$\\]", text) for text in shown.texts)


def test_without_credits_nothing_stands_under_the_caption(outputs):
    display.show(line(), "A line.", [])
    assert len(outputs) == 2


def test_a_plane_with_one_channel_is_shown_in_grey_from_black_to_white():
    figure = display.photograph_grid([[np.zeros((4, 4, 1)), np.full((4, 4), 0.5), np.ones((4, 4, 3))]])
    one, two = (axis.images[0] for axis in figure.axes[:2])
    for image in (one, two):
        assert image.get_clim() == (0, 1)
        assert image.get_cmap().name == "gray"
    pyplot.close(figure)


# The reader's own settings ---------------------------------------------------------------------------

DRAW = """
import hashlib
import numpy
from helpers import display

figure = display.photograph_grid([[numpy.arange(12).reshape(3, 4) / 11]], ["a title"])
data, kind, _ = display._encode(figure)
print(kind, hashlib.sha256(data).hexdigest())
"""
THEIRS = """
image.origin: lower
image.interpolation: bicubic
text.usetex: True
savefig.dpi: 20
savefig.facecolor: red
figure.figsize: 1, 1
figure.constrained_layout.use: False
font.family: monospace
axes.titlelocation: right
"""


def drawn(folder, **environment):
    kept = {name: value for name, value in os.environ.items() if not name.startswith("M")}
    return subprocess.run(
        [sys.executable, "-c", DRAW],
        cwd=folder,
        env=kept | {"PYTHONPATH": str(ROOT)} | environment,
        capture_output=True,
        text=True,
        check=True,
    ).stdout


def test_the_reader_s_settings_for_matplotlib_change_no_picture(tmp_path):
    (tmp_path / "plain").mkdir()
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs" / "matplotlibrc").write_text(THEIRS)
    plain = drawn(tmp_path / "plain")
    assert plain.startswith(("png", "jpeg"))
    assert drawn(tmp_path / "theirs", MPLBACKEND="TkAgg") == plain
