"""The README shows what the lessons gave, and names what is there."""

import json
import re

import nbformat

from helpers import recorded
from helpers.places import NOTEBOOKS, ROOT
from helpers.runner.plan import find_lessons
from helpers.runner.run import gallery

README = (ROOT / "README.md").read_text("utf-8")


def test_its_picture_is_the_gallery_of_the_committed_lesson():
    lesson = nbformat.read(NOTEBOOKS / "06_results_gallery.ipynb", as_version=4)
    picture = gallery(lesson)
    assert picture.startswith(b"\xff\xd8")
    assert (NOTEBOOKS / "gallery.jpg").read_bytes() == picture


def test_a_lesson_without_a_gallery_gives_no_picture():
    assert gallery(nbformat.read(NOTEBOOKS / "01_data_download.ipynb", as_version=4)) == b""


def test_its_table_is_that_of_the_records():
    start, end = (README.index(mark) for mark in recorded.MARKS)
    assert README[start + len(recorded.MARKS[0]) : end] == f"\n{recorded.table(recorded.README_METRICS)}"


def test_lesson_6_shows_the_same_table():
    lesson = nbformat.read(NOTEBOOKS / "06_results_gallery.ipynb", as_version=4)
    shown = [
        out.data.get("text/markdown")
        for cell in lesson.cells
        for out in cell.get("outputs", [])
        if "data" in out
    ]
    assert recorded.table() in shown


def test_it_says_how_many_photographs_the_recorded_networks_saw():
    for record in (recorded.read(name) for name in recorded.names() if name != "memorize"):
        assert f"{record['photographs']['train']:,} photographs" in README
    assert f"on {recorded.read('trivial')['test_photographs']:,} others" in README


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


# Starts in a browser ---------------------------------------------------------------------------------

CONTAINER = json.loads((ROOT / ".devcontainer" / "devcontainer.json").read_text("utf-8"))
BROWSER = README.partition("## Start in a browser")[2].partition("\n## ")[0]
PYTHON = re.search(r"choose Python (\S+)\.\n", BROWSER)[1]


def test_a_codespace_installs_as_the_readme_does():
    assert f"    {CONTAINER['postCreateCommand']} && python -m helpers run\n" in README
    assert CONTAINER["image"].endswith(f"/python:{PYTHON}")


def test_binder_installs_the_course_itself_on_the_same_python():
    folder = ROOT / ".binder"
    assert sorted(path.name for path in folder.iterdir()) == ["requirements.txt", "runtime.txt"]
    option, path = (folder / "requirements.txt").read_text("utf-8").split()
    assert option == "-r"
    assert (folder / path).resolve() == ROOT / "requirements.txt"
    assert (folder / "runtime.txt").read_text("utf-8") == f"python-{PYTHON}\n"


def test_colab_gets_the_course_the_pinned_versions_and_a_command_that_exists():
    pins = (ROOT / "requirements.txt").read_text("utf-8").splitlines()
    folder = re.search(r"    !git clone .* (\S+)\n", BROWSER)[1]
    installed = re.search(rf"    !python -m pip install --editable {folder} (.*)\n", BROWSER)[1].split()
    assert set(installed) <= set(pins)
    only = re.search(rf"    !cd {folder} && python -m helpers run --only (.*)\n", BROWSER)[1].split()
    assert [lesson.name[:2] for lesson in find_lessons(NOTEBOOKS, only)] == only


def test_no_address_in_it_is_that_of_one_owner():
    """A fork's README leads to the fork."""
    for place in re.findall(r"https://[^)\s]+", BROWSER):
        assert place in {
            "https://github.com/codespaces/badge.svg",
            "https://github.com/codespaces/new",
            "https://mybinder.org/badge_logo.svg",
            "https://mybinder.org/",
            "https://colab.research.google.com/assets/colab-badge.svg",
            "https://colab.research.google.com/github/",
        }
