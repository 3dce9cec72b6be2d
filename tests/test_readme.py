"""The README shows what the lessons gave, and names what is there."""

import re

import nbformat

from helpers.places import NOTEBOOKS, ROOT
from helpers.run import find_lessons, gallery

README = (ROOT / "README.md").read_text("utf-8")


def test_its_picture_is_the_gallery_of_the_committed_lesson():
    lesson = nbformat.read(NOTEBOOKS / "06_results_gallery.ipynb", as_version=4)
    picture = gallery(lesson)
    assert picture.startswith(b"\xff\xd8")
    assert (NOTEBOOKS / "gallery.jpg").read_bytes() == picture


def test_a_lesson_without_a_gallery_gives_no_picture():
    assert gallery(nbformat.read(NOTEBOOKS / "01_data_download.ipynb", as_version=4)) == b""


def test_it_names_every_lesson_and_no_other():
    named = re.findall(r"\(notebooks/(\d\d_\w+\.ipynb)\)", README)
    assert named == [lesson.name for lesson in find_lessons(NOTEBOOKS)]


def test_its_links_lead_somewhere():
    for page in (ROOT / "README.md", NOTEBOOKS / "README.md", ROOT / "data" / "README.md"):
        for target in re.findall(r"\]\(([^)#\s]+)\)", page.read_text("utf-8")):
            if "://" not in target:
                assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_its_two_commands_stand_as_they_are_run():
    install = "python -m pip install -r requirements.txt && "
    assert f"    {install}python -m helpers run\n" in README
    assert f"    {install}python -m pytest\n" in README
