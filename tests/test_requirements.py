"""What is imported is pinned, and what is pinned fits together."""

import ast
import re
import subprocess
import sys
from importlib.metadata import packages_distributions

import nbformat
import pytest

from helpers.places import NOTEBOOKS, ROOT, lessons

pytestmark = pytest.mark.quick


def imported(source):
    for node in ast.walk(ast.parse(source)):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        names += [node.module] if isinstance(node, ast.ImportFrom) and not node.level else []
        yield from (name.partition(".")[0] for name in names)


def sources():
    for folder in ("helpers", "tests"):
        for path in (ROOT / folder).rglob("*.py"):
            yield path.read_text("utf-8")
    for path in lessons(NOTEBOOKS):
        yield from (
            cell.source for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"
        )


def canonical(name):
    return re.sub(r"[-_.]+", "-", name).lower()


def test_every_direct_dependency_is_pinned_exactly():
    lines = (ROOT / "requirements.txt").read_text("utf-8").splitlines()
    wanted = [line for line in lines if line and not line.startswith(("#", "-e "))]
    assert [line for line in wanted if not re.fullmatch(r"[\w.-]+==[\w.]+", line)] == []
    pinned = {canonical(line.partition("==")[0]) for line in wanted}
    own = {path.stem for folder in ("helpers", "tests") for path in (ROOT / folder).rglob("*.py")}
    distributions = packages_distributions()
    modules = {name for source in sources() for name in imported(source)} - own - {"helpers"}
    third_party = modules - sys.stdlib_module_names
    # Extras of pyproject.toml are the reader's to install: tests that need them skip without.
    unpinned = {
        name
        for name in third_party - {"jax", "torch", "playwright", "axe_playwright_python"}
        if not pinned & {canonical(package) for package in distributions.get(name, ())}
    }
    assert unpinned == set()
    assert {"numpy", "keras", "PIL"} <= third_party


def test_the_installed_packages_fit_together():
    checked = subprocess.run([sys.executable, "-m", "pip", "check"], capture_output=True, text=True)
    assert checked.returncode == 0, checked.stdout
