"""Proof that nbval, as pyproject.toml sets it, turns red on what it must, and on nothing else."""

import json
import os
import subprocess
import sys
from xml.etree import ElementTree

import gates
import nbformat
import pytest
from nbformat.v4 import new_output

from helpers.places import ROOT

PYTEST = (sys.executable, "-m", "pytest", "-p", "no:cacheprovider")
PRINTS, SHOWS_HTML = 3, 4  # code cells of the clean lesson: a claim and a print; the headline


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def alter_text(cells):
    (stream,) = (output for output in cells[PRINTS].outputs if output.output_type == "stream")
    stream.text = "measured otherwise\n"


def alter_plain_text(cells):
    cells[PRINTS].outputs[0].data["text/plain"] = "another claim"


def alter_caption(cells):
    cells[2].outputs[1].data["text/markdown"] = "*Another caption.*"


def drop_an_output(cells):
    del cells[2].outputs[1]


def break_the_code(cells):
    cells[PRINTS].source = "1 / 0"


def alter_html(cells):
    cells[SHOWS_HTML].outputs[0].data["text/html"] = "<b>another digit</b>"


def alter_picture(cells):
    (kind,) = (kind for kind in cells[2].outputs[0].data if kind.startswith("image/"))
    cells[2].outputs[0].data[kind] = "aGk="


def add_stderr(cells):
    cells[PRINTS].outputs.append(new_output("stream", name="stderr", text="a driver's remark"))


def never_execute(cells):
    cells[PRINTS].update(execution_count=None, outputs=[])


TURN_RED = (alter_text, alter_plain_text, alter_caption, drop_an_output, break_the_code)
STAY_GREEN = (alter_html, alter_picture, add_stderr, never_execute)


@pytest.fixture(scope="module")
def red(clean_lesson, tmp_path_factory):
    """The names of the spoiled notebooks in which nbval fails a cell, out of one run over all of them."""
    folder = tmp_path_factory.mktemp("nbval")
    for spoil in (*TURN_RED, *STAY_GREEN):
        notebook = nbformat.read(clean_lesson, as_version=4)
        spoil(code_cells(notebook))
        nbformat.write(notebook, folder / f"01_{spoil.__name__}.ipynb")
    # A kernel that is called python3 and does not run must not be the one that is used.
    spec = folder / "jupyter" / "kernels" / "python3" / "kernel.json"
    spec.parent.mkdir(parents=True)
    spec.write_text(json.dumps({"argv": ["/bin/false"], "display_name": "broken", "language": "python"}))
    report = folder / "report.xml"
    subprocess.run(
        [*PYTEST, f"--junitxml={report}", "-c", ROOT / "pyproject.toml", f"--rootdir={ROOT}", folder],
        cwd=ROOT,
        env=os.environ | {"JUPYTER_PATH": str(folder / "jupyter")},
        capture_output=True,
        timeout=300,
    )
    cases = ElementTree.parse(report).getroot().findall(".//testcase")
    names = [spoil.__name__ for spoil in (*TURN_RED, *STAY_GREEN)]
    ran = {name: [case for case in cases if name in case.get("classname")] for name in names}
    assert all(len(cells) == 6 for cells in ran.values()), {name: len(cells) for name, cells in ran.items()}
    return {
        name
        for name, cells in ran.items()
        if any(case.find("failure") is not None or case.find("error") is not None for case in cells)
    }


@pytest.mark.parametrize("spoil", TURN_RED)
def test_nbval_turns_red(spoil, red):
    assert spoil.__name__ in red


@pytest.mark.parametrize("spoil", STAY_GREEN)
def test_nbval_leaves_alone_what_differs_between_machines(spoil, red):
    assert spoil.__name__ not in red


def test_what_nbval_passes_for_want_of_a_reference_a_gate_stops(clean_lesson, red):
    assert never_execute.__name__ not in red
    lesson = gates.read(clean_lesson)
    never_execute(code_cells(lesson.notebook))
    assert "executed_in_order" in gates.complaints(lesson)


def test_quick_tests_come_first():
    listed = subprocess.run(
        [*PYTEST, "--collect-only", "-q", "notebooks", "tests/test_notebooks.py", "tests/test_style.py"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    ).stdout
    kinds = [
        "nbval" if ".ipynb" in line else "papermill" if "test_notebooks" in line else "unit"
        for line in listed.splitlines()
        if "::" in line
    ]
    assert set(kinds) == {"unit", "papermill", "nbval"}
    assert kinds == sorted(kinds, key=["unit", "papermill", "nbval"].index)
