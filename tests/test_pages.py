"""The pages of a run: each can be read alone, and leads to the others."""

import html
import re
import shutil
from base64 import b64encode
from html.parser import HTMLParser
from io import BytesIO
from itertools import pairwise

import nbformat
import numpy as np
import pytest
from browser import browser, open_page, serious_violations  # noqa: F401
from conftest import write_lesson
from PIL import Image

from helpers import display
from helpers.places import NOTEBOOKS
from helpers.runner import pages
from helpers.runner.plan import find_lessons


class Reader(HTMLParser):
    """What a page links to, loads, and shows."""

    def __init__(self, path):
        super().__init__()
        self.links, self.loaded, self.pictures, self.ids, self.title = [], [], [], set(), ""
        self._in_title = False
        self.feed(path.read_text("utf-8"))

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        self.ids.add(given.get("id"))
        self._in_title = tag == "title"
        if tag == "a":
            self.links.append(given.get("href", ""))
        if tag == "img":
            self.pictures.append(given.get("alt", ""))
        if tag in ("script", "img", "iframe", "link"):
            self.loaded.append(given.get("src") or given.get("href") or "")

    def handle_data(self, data):
        if self._in_title:
            self.title += data
            self._in_title = False


@pytest.fixture(scope="module")
def run_folder(clean_lesson, tmp_path_factory):
    """A run of three lessons, of which the third has failed before it showed anything."""
    folder = tmp_path_factory.mktemp("run")
    for number, question in ((1, "what goes up?"), (2, "what goes up & down?")):
        notebook = nbformat.read(clean_lesson, as_version=4)
        links = "[back](01_up.ipynb), [far](06_no.ipynb), [word](GLOSSARY.md#jsd), [words](GLOSSARY.md)"
        links += ", [what](README.md#before-you-start)"
        notebook.cells[0].source = f"# {number}. A line: {question}\n\n{links}"
        notebook.metadata.papermill = {"parameters": {"PROFILE": "tiny", "SEED": number}, "duration": 90}
        given = nbformat.v4.new_code_cell(
            f'# Parameters\nPROFILE = "tiny"\nSEED = {number}',
            metadata={"tags": ["injected-parameters"]},
            execution_count=9,
        )
        notebook.cells.insert(2, given)
        nbformat.write(notebook, folder / f"0{number}_{('up', 'down')[number - 1]}.ipynb")
    failed = nbformat.read(write_lesson(folder / "03_cut.ipynb", "1 / 0"), as_version=4)
    failed.metadata.papermill = {"exception": True}
    nbformat.write(failed, folder / "03_cut.ipynb")
    assert pages.write_index(folder) == folder / "index.html"
    return folder


def test_the_index_names_each_lesson_with_its_headline_minutes_and_picture(run_folder):
    text = (run_folder / "index.html").read_text("utf-8")
    index = Reader(run_folder / "index.html")
    assert index.links == ["01_up.html", "02_down.html", "03_cut.html", "glossary.html"]
    assert "2. A line: what goes up &amp; down?" in text
    assert text.count("it goes up by 1, seed 0") == 2
    assert text.count("1.5 minutes · profile tiny, seed") == 2
    assert len(index.pictures) == 2
    assert all(index.pictures)
    assert text.count("It ended with an error.") == 1


def test_a_page_leads_to_its_neighbors_and_to_the_index(run_folder):
    middle = Reader(run_folder / "02_down.html")
    assert {"01_up.html", "03_cut.html", "index.html"} <= set(middle.links)
    first, last = Reader(run_folder / "01_up.html"), Reader(run_folder / "03_cut.html")
    assert "02_down.html" in first.links
    assert "03_cut.html" not in first.links
    assert "01_up.html" not in last.links


def test_every_link_within_a_run_leads_somewhere(run_folder):
    for path in run_folder.glob("*.html"):
        for link in Reader(path).links:
            if link.startswith("https://"):
                continue
            file, _, anchor = link.partition("#")
            target = run_folder / file if file else path
            assert target.exists(), f"{path.name}: {link}"
            assert not anchor or anchor in Reader(target).ids, f"{path.name}: {link}"


def test_a_page_is_called_by_its_title_and_lists_its_headings(run_folder):
    page = Reader(run_folder / "02_down.html")
    assert page.title == "2. A line: what goes up & down?"
    assert "#The-line" in page.links


def test_what_papermill_put_in_is_one_sentence_of_what_changed(run_folder):
    first, second = (
        re.sub(r"<[^>]+>", "", (run_folder / name).read_text("utf-8"))
        for name in ("01_up.html", "02_down.html")
    )
    assert "This run changed SEED = 1." in first
    assert "This run changed SEED = 2." in second
    assert "# Parameters" not in first + second


def test_a_link_to_a_notebook_is_one_to_its_page_and_else_plain_text(run_folder):
    text = (run_folder / "02_down.html").read_text("utf-8")
    assert re.search(r'<a href="01_up.html"[^>]*>back</a>', text)
    assert "far" in text
    assert "06_no" not in text


def test_a_term_leads_to_its_place_in_the_glossary_which_leads_back(run_folder, tmp_path):
    page, glossary = Reader(run_folder / "02_down.html"), Reader(run_folder / "glossary.html")
    assert {"glossary.html#JSD", "glossary.html", "teaching.html#Before-you-start"} <= set(page.links)
    assert "index.html" in glossary.links
    assert glossary.title == "Glossary"
    assert "glossary.html" in Reader(run_folder / "teaching.html").links
    # A lesson that is read alone has no glossary beside it.
    shutil.copy(run_folder / "02_down.ipynb", tmp_path / "02_down.ipynb")
    alone = pages.write_page(tmp_path / "02_down.ipynb")
    assert "word" in alone.read_text("utf-8")
    assert not any(link.startswith(("glossary", "teaching")) for link in Reader(alone).links)


def test_an_arrow_stays_on_the_line_of_its_metric(clean_lesson, tmp_path):
    notebook = nbformat.read(clean_lesson, as_version=4)
    table = "<table><thead><tr><th>PSNR dB ↑</th><th>ΔCF → 0</th></tr></thead></table>"
    notebook.cells[-1].outputs = [nbformat.v4.new_output("display_data", {"text/html": table})]
    nbformat.write(notebook, tmp_path / "01_x.ipynb")
    text = pages.write_page(tmp_path / "01_x.ipynb").read_text("utf-8")
    assert "<th>PSNR dB\u00a0↑</th><th>ΔCF\u00a0→ 0</th>" in text


def test_a_picture_is_as_wide_on_the_page_as_its_metadata_says(clean_lesson, tmp_path):
    notebook = nbformat.read(clean_lesson, as_version=4)
    picture = nbformat.v4.new_output(
        "display_data", {"image/png": "iVBORw0KGgo="}, metadata={"image/png": {"alt": "A < b", "width": 640}}
    )
    notebook.cells[-1].outputs = [picture]
    nbformat.write(notebook, tmp_path / "01_x.ipynb")
    text = pages.write_page(tmp_path / "01_x.ipynb").read_text("utf-8")
    image = re.search("<img [^>]*640[^>]*>", text)[0]
    assert 'width="640"' in image
    assert 'alt="A &lt; b"' in image or 'alt="A < b"' in image


def test_no_page_loads_anything_from_elsewhere(run_folder):
    for path in run_folder.glob("*.html"):
        page = Reader(path)
        assert all(source.startswith("data:") for source in page.loaded if source), path.name
        assert not re.search(r"@import|url\(\s*['\"]?https?:", path.read_text("utf-8")), path.name


def test_a_wide_table_scrolls_by_itself(run_folder):
    text = (run_folder / "01_up.html").read_text("utf-8")
    assert re.search(r'<div class="table" role="group" aria-label="Table" tabindex="0"><table>', text)


HOSTILE = '<script>a()</script><img src=x onerror=a()>[x](javascript:a()) *a* `b` $c$ https://example.org/"d'


def test_what_strangers_write_is_shown_on_a_page_as_it_is_written(clean_lesson, tmp_path, monkeypatch):
    bundles = []
    monkeypatch.setattr(display, "_display", lambda plain, rich, **_: bundles.append(rich))
    monkeypatch.setattr(display, "display", lambda *_, **__: None)
    display.show(display.photograph_grid([[np.zeros((4, 4))]]), "A square.", [HOSTILE])
    notebook = nbformat.read(clean_lesson, as_version=4)
    notebook.cells[-1].outputs = [
        nbformat.v4.new_output("display_data", {"text/html": bundles[0], "text/plain": "x"}),
        nbformat.v4.new_output("display_data", {"text/plain": HOSTILE}),
        nbformat.v4.new_output("stream", name="stdout", text=HOSTILE),
        nbformat.v4.new_output("error", ename="E", evalue=HOSTILE, traceback=[HOSTILE]),
    ]
    given = f'# Parameters\nPHOTOS = {HOSTILE!r}\nOUT = "`<b>`` $x$"'
    tags = {"tags": ["injected-parameters"]}
    notebook.cells.insert(2, nbformat.v4.new_code_cell(given, metadata=tags, execution_count=9))
    nbformat.write(notebook, tmp_path / "01_x.ipynb")
    page = pages.write_page(tmp_path / "01_x.ipynb")
    text = page.read_text("utf-8")
    assert "<script>a" not in text
    assert "<img src=x" not in text
    assert not re.search("<[^>]*onerror", text)
    assert not any(link.startswith("javascript:") for link in Reader(page).links)
    assert 'href="https://example.org/"' in text
    shown = html.unescape(re.sub("<[^>]+>", "", text))
    assert shown.count(HOSTILE) == 5
    assert "OUT = '`<b>`` $x$'" in shown


def test_an_empty_folder_gets_no_index(tmp_path):
    assert pages.write_index(tmp_path) is None
    assert list(tmp_path.iterdir()) == []


def test_each_lesson_leads_to_the_one_before_and_the_one_after_it():
    lessons = find_lessons(NOTEBOOKS)
    for before, after in pairwise(lessons):
        assert f"]({after.name})" in nbformat.read(before, as_version=4).cells[-1].source
        assert f"]({before.name})" in nbformat.read(after, as_version=4).cells[0].source


# In a browser -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def lesson_pages(tmp_path_factory):
    """The pages of two lessons as they are stored: one of many pictures, one of wide tables."""
    folder = tmp_path_factory.mktemp("lessons")
    for lesson in find_lessons(NOTEBOOKS, ["02", "06"]):
        shutil.copy(lesson, folder)
    pages.write_index(folder)
    return folder


# No rule of the stylesheet depends on both the width and the scheme, so two of the four pairs hold them all.
@pytest.mark.parametrize(("width", "scheme"), [(400, "dark"), (1100, "light")])
@pytest.mark.parametrize("name", ["02_lab_and_augmentation", "06_results_gallery", "glossary"])
def test_axe_finds_nothing_serious_on_a_lessons_page(open_page, lesson_pages, name, width, scheme):  # noqa: F811
    watched = open_page((lesson_pages / f"{name}.html").as_uri(), width=width, scheme=scheme)
    watched.page.evaluate("document.querySelectorAll('details').forEach((each) => { each.open = true; })")
    assert serious_violations(watched) == []
    assert watched.page.evaluate("document.documentElement.scrollWidth") == width
    assert watched.left == watched.errors == []


def test_a_caption_is_not_folded_into_a_tower_over_a_narrow_table(open_page, clean_lesson, tmp_path):  # noqa: F811
    notebook = nbformat.read(clean_lesson, as_version=4)
    caption = "How often each network fooled its viewers, over all the games that were counted."
    table = f"<table><caption>{caption}</caption><tbody><tr><th>votes</th><td>0</td></tr></tbody></table>"
    notebook.cells[-1].outputs = [nbformat.v4.new_output("display_data", {"text/html": table})]
    nbformat.write(notebook, tmp_path / "01_x.ipynb")
    watched = open_page(pages.write_page(tmp_path / "01_x.ipynb").as_uri(), width=1100)
    page = watched.page
    assert page.locator("caption").bounding_box()["height"] < 40  # one line
    page.set_viewport_size({"width": 400, "height": 900})
    box = page.locator("caption").bounding_box()
    assert box["x"] + box["width"] <= 400
    # The caption alone gives nothing to scroll.
    assert (
        page.evaluate(
            "(() => { const t = document.querySelector('.table'); return t.scrollWidth - t.clientWidth; })()"
        )
        == 0
    )
    assert watched.left == watched.errors == []


def test_what_is_wide_scrolls_by_itself_and_by_keys(open_page, clean_lesson, tmp_path):  # noqa: F811
    Image.new("RGB", (1200, 300)).save(picture := BytesIO(), "PNG")
    notebook = nbformat.read(clean_lesson, as_version=4)
    shown = {"image/png": b64encode(picture.getvalue()).decode()}
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = []
    notebook.cells[-2].outputs = [
        nbformat.v4.new_output("display_data", shown, metadata={"image/png": {"alt": "A", "width": width}})
        for width in (1200, 910, 500)
    ]
    row = "".join(f"<td>{number:.4f}</td>" for number in range(12))
    table = f"<table><thead><tr>{row}</tr></thead><tbody><tr><th>name</th>{row}</tr></tbody></table>"
    notebook.cells[-1].outputs = [nbformat.v4.new_output("display_data", {"text/html": table})]
    nbformat.write(notebook, tmp_path / "01_x.ipynb")
    watched = open_page(pages.write_page(tmp_path / "01_x.ipynb").as_uri(), width=400)
    page = watched.page
    assert page.evaluate("document.documentElement.scrollWidth") == 400

    def widths():
        return [image.bounding_box()["width"] for image in page.locator(".jp-RenderedImage img").all()]

    assert widths() == [840, 640, 368]
    for box in (*page.locator(".wide").all(), page.locator(".table")):
        box.focus()
        page.keyboard.press("ArrowRight")
        page.wait_for_function("(box) => box.scrollLeft > 0", arg=box.element_handle())
    # Not every browser lets keys reach what has no `tabindex`; axe knows.
    assert serious_violations(watched) == []
    # The name of a row stays where it is.
    assert page.locator("tbody th").bounding_box()["x"] == page.locator(".table").bounding_box()["x"]
    page.set_viewport_size({"width": 1100, "height": 900})
    assert widths() == [944, 910, 500]
    assert watched.left == watched.errors == []
