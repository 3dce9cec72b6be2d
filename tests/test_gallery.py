"""The gallery of a run: what is written, by which rule, and what a stranger's text can do in it."""

import hashlib
import json
import re
import shutil
from base64 import b64decode, b64encode
from dataclasses import replace
from html.parser import HTMLParser
from io import BytesIO
from itertools import chain
from pathlib import Path

import gallery_example
import numpy as np
import pytest
from conftest import write_lesson
from PIL import Image

from helpers import display, gallery, metrics, pairs, profiles, recorded, records, votes
from helpers.places import GALLERY, MODELS
from helpers.runner import pages

HOSTILE = '</script><!--<script><img src=x onerror=alert(1)>"&\u202e\n$x$'


class Elements(HTMLParser):
    """The tags of a page with their attributes, and the text of its scripts."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.inside = [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag in ("script", "style"):
            self.inside.append([tag, dict(attributes), ""])

    def handle_data(self, data):
        if self.cdata_elem:
            self.inside[-1][2] += data

    def of(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]

    @property
    def data(self):
        return next(json.loads(text) for tag, given, text in self.inside if given.get("id") == "data")


@pytest.fixture(scope="module")
def example():
    return Elements(gallery_example.page())


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run whose networks are the recorded ones."""
    lesson = profiles.begin("tiny", 0, str(tmp_path_factory.mktemp("run")))
    for path in MODELS.glob("*.json"):
        shutil.copy(path, lesson.models)
    return lesson


def test_every_picture_is_in_the_page_and_nothing_is_fetched(example):
    loaded = [
        given.get("src") or given.get("href")
        for tag, given in example.tags
        if tag in ("img", "script", "link")
    ]
    assert {each for each in loaded if each} == {"data:,"}
    (policy,) = [given["content"] for given in example.of("meta") if "http-equiv" in given]
    assert policy.startswith("default-src 'none'; img-src data:;")
    assert "unsafe" not in policy
    for entry in example.data["colorings"]:
        assert len(entry["pictures"]) == 5
        assert all(picture.startswith("data:image/webp;base64,") for picture in entry["pictures"])


def test_styles_and_scripts_are_allowed_by_their_hash_alone(example):
    (policy,) = [given["content"] for given in example.of("meta") if "http-equiv" in given]
    running = [text for tag, given, text in example.inside if given.get("type") != "application/json"]
    assert len(running) == 2
    assert sorted(re.findall(r"'sha256-[^']+'", policy)) == sorted(
        f"'sha256-{b64encode(hashlib.sha256(text.encode()).digest()).decode()}'" for text in running
    )
    assert not any(name == "style" or name.startswith("on") for _, given in example.tags for name in given)


def test_recorded_networks_come_first_and_numbers_are_those_of_the_metrics(example):
    shown = gallery_example.photographs()
    assert [entry["name"] for entry in example.data["colorings"]] == [
        "grey",
        "truth",
        *(f"{title} (recorded)" for title in gallery_example.NETWORKS),
        "pale (this run)",
    ]
    for entry, coloring in zip(
        example.data["colorings"][2:], chain(*gallery_example.groups(shown).values()), strict=True
    ):
        measured = metrics.measure(shown.rgb, coloring.rgb)
        np.testing.assert_allclose(entry["delta_e"], measured["delta_e"], atol=6e-5)
        np.testing.assert_allclose(entry["psnr"], measured["psnr"], atol=6e-5)


def test_it_begins_with_the_recorded_network_that_is_nearest_to_the_truth(example):
    entries = example.data["colorings"]
    nearest = min(range(2, 5), key=lambda place: sum(entries[place]["delta_e"]))
    assert [given["value"] for given in example.of("option") if "selected" in given] == ["0", str(nearest)]


def test_the_name_of_a_photograph_and_its_credit_stay_text():
    page = gallery_example.page(
        gallery_example.photographs((HOSTILE, "b", "c"), [f"{HOSTILE} https://example.org/{HOSTILE}", "", ""])
    )
    read, plain = Elements(page), Elements(gallery_example.page(gallery_example.photographs("abc")))
    assert [tag for tag, _ in read.tags if tag != "li" and tag != "a"] == [
        tag for tag, _ in plain.tags if tag != "li" and tag != "a"
    ]
    assert {name for _, given in read.tags for name in given} == {
        name for _, given in plain.tags for name in given
    }
    assert read.data["names"][0] == display.one_line(Path(HOSTILE).name)
    assert "\u202e" not in page


def test_pictures_and_controls_say_what_they_are(example):
    assert all("width" in given and "height" in given and "alt" in given for given in example.of("img"))
    assert dict(example.of("html")[0]) == {"lang": "en"}
    drawn = [given["aria-label"] for given in example.of("svg") if "aria-label" in given]
    assert drawn == ["pale: loss, validation loss over 3 epochs, between 1 and 4"]


def test_colors_that_are_to_be_caught_are_those_that_fit_worst():
    shown = gallery_example.photographs()
    game = Elements(gallery_example.page(shown)).data["game"]
    wrong = metrics.measure(shown.rgb, gallery.colorings.shuffled(shown.rgb, 1))["delta_e"]
    assert sorted(map(int, game["wrong"])) == sorted(np.argsort(wrong)[2:])
    assert (game["rounds"], game["catches"], game["mostMissed"]) == (40, 8, votes.MOST_MISSED)


def test_a_set_of_networks_has_its_own_name():
    shown = gallery_example.photographs()

    def ids(shown):
        return [each["id"] for each in Elements(gallery_example.page(shown)).data["game"]["sets"]]

    assert ids(shown) == ids(shown)
    assert len({*ids(shown), *ids(replace(shown, checksum="6" * 64))}) == 4


def test_one_photograph_can_be_compared_but_is_no_game():
    page = gallery_example.page(gallery_example.photographs(("only",)))
    assert Elements(page).data["game"] is None
    assert "The game needs at least two photographs." in page


def test_a_curve_is_logarithmic_where_it_can_be_and_leaves_out_what_is_no_number():
    drawn = gallery.draw_curve(
        {"loss": [100.0, 10.0, 1.0], "val_loss": [float("nan"), 10.0, float("inf")]}, 3
    )
    assert drawn["lines"] == {"loss": "0.0,0.0 150.0,75.0 300.0,150.0", "validation loss": "150.0,75.0"}
    assert (drawn["low"], drawn["high"], drawn["logarithmic"]) == ("1", "100", True)
    flat = gallery.draw_curve({"loss": [0.0, 0.0]}, 2)
    assert (flat["lines"], flat["logarithmic"]) == ({"loss": "0.0,150.0 300.0,150.0"}, False)


def test_the_tables_are_those_of_the_records_with_grey_first(run):
    for folder in (MODELS, run.models):
        table = gallery._table(folder)
        titles = list(table["rows"])
        assert titles[0] == "grey"
        assert set(recorded.scored()) < set(titles)
        assert (
            "{mean:.1f}".format(**recorded.read("fusion")["metrics"]["psnr"]) == table["rows"]["fusion"][0][0]
        )
        assert table["photographs"] == recorded.read("trivial")["test_photographs"]


def test_lesson_6_gets_a_page_of_at_most_8_mb(run, capsys):
    test = pairs.load(run, "test", run.test_photos)
    colored = {title: test.truth[::-1] for title in (records.NETWORKS | records.VIVID).values()}
    gallery.write_gallery(run, test.shown, colored)
    said = capsys.readouterr().out.splitlines()[-1]
    count = len(recorded.scored())
    assert said.endswith(f"colored by {count} recorded networks and {len(colored)} of this run")
    path = run.out / GALLERY
    assert path.stat().st_size < 8_000_000 * len(test) / gallery.MOST_PHOTOGRAPHS
    data = Elements(path.read_text("utf-8")).data
    assert [entry["name"] for entry in data["colorings"][2 : 2 + count]] == [
        f"{title} (recorded)" for title in recorded.scored()
    ]


def test_of_many_photographs_the_first_are_shown(run, monkeypatch, capsys):
    shown = gallery_example.photographs([f"p{number}" for number in range(25)])
    asked = []

    def color(lesson):
        asked.append(lesson.test_photos)
        return []

    monkeypatch.setattr(gallery, "_recorded", color)
    gallery.write_gallery(run, shown, {"fusion": shown.rgb[::-1]})
    assert asked == [gallery.MOST_PHOTOGRAPHS]
    page = (run.out / GALLERY).read_text("utf-8")
    assert Elements(page).data["names"] == [f"p{number}" for number in range(20)]
    assert "the first 20 of 25 test photographs" in page
    assert "20 of 25 test photographs" in capsys.readouterr().out


def test_a_picture_keeps_its_colors():
    # A dark red and its neighbors: what a lossy format at half the resolution of color is worst at.
    rgb = np.full((32, 32, 3), (140, 40, 30), np.uint8)
    with Image.open(BytesIO(b64decode(gallery._picture(rgb).partition(",")[2]))) as image:
        assert np.abs(np.asarray(image.convert("RGB")).astype(int) - rgb).max() <= 4


def test_the_run_leads_to_it(tmp_path):
    write_lesson(tmp_path / "01_one.ipynb")
    assert GALLERY not in pages.write_index(tmp_path).read_text("utf-8")
    (tmp_path / GALLERY).write_text("<!doctype html>")
    assert f'<a href="{GALLERY}">' in pages.write_index(tmp_path).read_text("utf-8")
