"""The style of the house: ruff over code and notebooks, words over prose, one test command everywhere."""

import ast
import re
import subprocess
import sys

import nbformat
import pytest

import helpers
from helpers.places import NOTEBOOKS, ROOT, lessons

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
    for path in lessons(NOTEBOOKS):
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
    for path in lessons(NOTEBOOKS):
        assert path.name in listed


def test_the_readme_and_both_ci_files_give_the_same_test_command():
    command = (ROOT / ".ci" / "run").read_text("utf-8").splitlines()[-1]
    assert command == "python -m pip install -r requirements.txt && python -m pytest"
    for name in ("README.md", ".github/workflows/ci.yml"):
        assert command in (ROOT / name).read_text("utf-8")


HELPERS = ROOT / "helpers"
MODULES = {path.stem: path for path in HELPERS.rglob("*.py") if path.stem != "__init__"}
PACKAGES = {path.parent.name: path for path in HELPERS.glob("*/__init__.py")}


def rooms_in_order():
    """The rooms as the docstring of `helpers` lists them, a package after the last of its members."""
    listed = re.findall(r"``(\w+)``", helpers.__doc__)
    assert sorted(listed) == sorted([*MODULES, *PACKAGES])
    for package, path in PACKAGES.items():
        members = [place for place, name in enumerate(listed) if is_in(name, package)]
        assert members == list(range(members[0], members[-1] + 1)), f"{path}: its members are not together"
        listed.insert(members[-1] + 1, package)
        listed.remove(package)  # the first, where its line begins
    return listed


def is_in(name, package):
    return name in MODULES and MODULES[name].parent == PACKAGES[package].parent


def rooms_imported(source):
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom):
            assert not node.level, "relative imports do not say which room"
            paths = [f"{node.module}.{alias.name}".split(".") for alias in node.names]
        elif isinstance(node, ast.Import):
            paths = [alias.name.split(".") for alias in node.names]
        else:
            continue
        for first, *rest in paths:
            if first == "helpers" and rest:
                # The last part may be a room or what one defines, perhaps under the name of another room.
                package = rest[0] if rest[0] in PACKAGES else None
                yield rest[1] if package and len(rest) > 1 and is_in(rest[1], package) else rest[0]


def test_a_room_imports_only_from_rooms_above_it():
    order = rooms_in_order()
    for room, path in {**MODULES, **PACKAGES}.items():
        for name in rooms_imported(path.read_text("utf-8")):
            assert order.index(name) < order.index(room), f"{room} imports {name}, which is not above it"


@pytest.mark.parametrize(
    ("source", "rooms"),
    [
        ("from helpers.photographs import load", ["photographs"]),
        ("from helpers.photographs import archives, load", ["archives", "photographs"]),
        ("from helpers.photographs.hygiene import SPLITS", ["hygiene"]),
        ("from helpers import photographs, lab", ["photographs", "lab"]),
        ("from helpers.lab import rgb_to_lab", ["lab"]),
        ("import helpers.runner.run", ["run"]),
        ("def later():\n    from helpers.runner import run", ["run"]),
        ("import numpy\nfrom json import loads", []),
    ],
)
def test_an_import_is_one_of_a_room(source, rooms):
    assert list(rooms_imported(source)) == rooms


def test_a_package_stands_below_its_members():
    order = rooms_in_order()
    assert order.index("lab") < order.index("decode") < order.index("photographs") < order.index("augment")
