"""The glossary: every term is one that the lessons use, and every link to it leads somewhere."""

import re

import nbformat
import pytest

from helpers.places import NOTEBOOKS, lessons

pytestmark = pytest.mark.quick
TEXT = (NOTEBOOKS / "GLOSSARY.md").read_text(encoding="utf-8")
ENTRIES = re.findall(r"^### (.+)\n\n(.+)$", TEXT, re.MULTILINE)
SOURCES = {
    path.name: "\n".join(cell.source for cell in nbformat.read(path, as_version=4).cells)
    for path in lessons(NOTEBOOKS)
}


def anchor(title):
    """As GitHub and JupyterLab make it of a heading."""
    return re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")


def test_the_terms_stand_in_the_order_of_the_alphabet_and_once():
    terms = [term.lower() for term, _ in ENTRIES]
    assert len(terms) > 50
    assert terms == sorted(set(terms))


@pytest.mark.parametrize("term", [term for term, _ in ENTRIES])
def test_every_term_is_explained_and_names_a_lesson(term):
    text = dict(ENTRIES)[term]
    (lesson,) = re.findall(r"\(\[lesson \d\]\((\w+\.ipynb)\)\)$", text)
    assert lesson in SOURCES
    assert len(text) > 40


def test_every_link_from_a_lesson_leads_to_a_term():
    anchors = {anchor(term) for term, _ in ENTRIES}
    linked = re.findall(r"GLOSSARY\.md#([\w-]+)", "\n".join(SOURCES.values()))
    assert linked
    assert set(linked) <= anchors


def test_every_link_to_a_heading_of_the_guide_leads_there():
    headings = re.findall(r"^#+ (.+)$", (NOTEBOOKS / "README.md").read_text(encoding="utf-8"), re.MULTILINE)
    linked = re.findall(r"\]\(README\.md#([\w-]+)\)", "\n".join(SOURCES.values()))
    assert linked
    assert set(linked) <= {anchor(heading) for heading in headings}
