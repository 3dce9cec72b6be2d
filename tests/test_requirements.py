"""What is imported is pinned, and what is pinned fits together."""

import ast
import re
import subprocess
import sys
import tomllib
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


def extras():
    """What is the reader's to install: tests that need it skip without. Each is imported by its own name."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    wanted = [line for lines in project["optional-dependencies"].values() for line in lines]
    assert [line for line in wanted if not re.fullmatch(r"[\w.-]+==[\w.]+", line)] == []
    return {line.partition("==")[0].replace("-", "_") for line in wanted}


def test_every_direct_dependency_is_pinned_exactly():
    lines = (ROOT / "requirements.txt").read_text("utf-8").splitlines()
    wanted = [line for line in lines if line and not line.startswith(("#", "-e "))]
    assert [line for line in wanted if not re.fullmatch(r"[\w.-]+==[\w.]+", line)] == []
    pinned = {canonical(line.partition("==")[0]) for line in wanted}
    own = {path.stem for folder in ("helpers", "tests") for path in (ROOT / folder).rglob("*.py")}
    distributions = packages_distributions()
    modules = {name for source in sources() for name in imported(source)} - own - {"helpers"}
    third_party = modules - sys.stdlib_module_names
    unpinned = {
        name
        for name in third_party - extras()
        if not pinned & {canonical(package) for package in distributions.get(name, ())}
    }
    assert unpinned == set()
    assert {"numpy", "keras", "PIL"} <= third_party


def test_the_installed_packages_fit_together():
    checked = subprocess.run([sys.executable, "-m", "pip", "check"], capture_output=True, text=True)
    assert checked.returncode == 0, checked.stdout
