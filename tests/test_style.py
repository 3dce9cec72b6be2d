"""The style of the house: ruff over code and notebooks, words over prose, one test command everywhere."""

import ast
import re
import subprocess
import sys

import nbformat
import pytest

import helpers
from helpers.places import NOTEBOOKS, ROOT

pytestmark = pytest.mark.quick

# Words that tell a reader who is stuck that it is their fault.
BELITTLING = r"easily|easy|obvious|obviously|of course|simply|simple|just|trivially|clearly|needless to say"
BRITISH = (
    r"(?:colo?u?ris|normalis|memoris|generalis|optimis|initialis|visualis|recognis|summaris|organis|minimis"
    r"|maximis|regularis|realis|analys)(?:e|ed|es|ing|ation)|[\w-]*colour\w*|licences?|centre[sd]?|behaviour\w*"
    r"|neighbour\w*|favour\w*|honour\w*|modelling|labelled|labelling"
)
BANNED = re.compile(rf"\b(?:{BELITTLING}|{BRITISH})\b", re.IGNORECASE)
NOT_PROSE = re.compile(r"```.*?```|`[^`]*`|\]\([^)]*\)|<[^>]*>|https?://\S+", re.DOTALL)


def banned_words(text):
    return BANNED.findall(NOT_PROSE.sub(" ", text))


def texts():
    for path in sorted(NOTEBOOKS.glob("*.ipynb")):
        for i, cell in enumerate(nbformat.read(path, as_version=4).cells):
            if cell.cell_type == "markdown":
                yield f"{path.name}, cell {i}", cell.source
    for path in sorted([*ROOT.glob("*.md"), *ROOT.glob("notebooks/*.md"), *ROOT.glob("data/*.md")]):
        yield str(path.relative_to(ROOT)), path.read_text("utf-8")


def test_the_prose_uses_none_of_the_banned_words():
    found = {place: words for place, text in texts() if (words := banned_words(text))}
    assert found == {}


@pytest.mark.parametrize(
    "text",
    ["You can easily see it", "It is just a loss", "Obviously, it learns", "the colour", "normalise L"],
)
def test_a_banned_word_is_found(text):
    assert banned_words(text)


@pytest.mark.parametrize(
    "text",
    [
        "adjust the loss",
        "`just`",
        "```\nsimple = 1\n```",
        "[the paper](https://example.org/colour)",
        "the trivial rows",
    ],
)
def test_code_links_and_longer_words_are_left_alone(text):
    assert banned_words(text) == []


@pytest.mark.parametrize("words", [("check",), ("format", "--check")])
def test_ruff_is_clean(words):
    # Without a cache, so that the test does not depend on what ran before.
    ended = subprocess.run(
        [sys.executable, "-m", "ruff", *words, "--no-cache", "."], cwd=ROOT, capture_output=True, text=True
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr


def test_ruff_reads_the_notebooks():
    listed = subprocess.run(
        [sys.executable, "-m", "ruff", "check", "--show-files", "--no-cache", "."],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    for path in NOTEBOOKS.glob("*.ipynb"):
        assert path.name in listed


def test_the_readme_and_both_ci_files_give_the_same_test_command():
    command = (ROOT / ".ci" / "run").read_text("utf-8").splitlines()[-1]
    assert command == "python -m pip install -r requirements.txt && python -m pytest"
    for name in ("README.md", ".github/workflows/ci.yml"):
        assert command in (ROOT / name).read_text("utf-8")


def test_a_room_imports_only_from_rooms_above_it():
    rooms = re.findall(r"``(\w+)``", helpers.__doc__)
    assert sorted(rooms) == sorted(
        path.stem for path in (ROOT / "helpers").glob("*.py") if path.stem != "__init__"
    )
    for place, room in enumerate(rooms):
        tree = ast.parse((ROOT / "helpers" / f"{room}.py").read_text("utf-8"))
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("helpers"):
                below = node.module.partition(".")[2]
                for name in [below] if below else [alias.name for alias in node.names]:
                    assert rooms.index(name) < place, f"{room} imports {name}"
