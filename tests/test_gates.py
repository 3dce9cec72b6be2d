"""Proof that each gate turns red on a notebook that has the one fault, and stays green on a clean one."""

import copy

import gates
import nbformat
import pytest
from conftest import write_lesson
from nbformat.v4 import new_code_cell, new_output

from helpers.runner import run

pytestmark = pytest.mark.quick


@pytest.fixture
def lesson(clean_lesson):
    return copy.deepcopy(gates.read(clean_lesson))


def test_a_clean_lesson_passes_every_gate(lesson):
    assert gates.complaints(lesson) == {}


def code(lesson, i=-1):
    return lesson.code[i][1]


def add_output(lesson, kind, **fields):
    code(lesson).outputs.append(new_output(kind, **fields))


def add_cell(lesson, source, **fields):
    """Add an executed cell."""
    count = len(lesson.code) + 1
    lesson.notebook.cells.append(new_code_cell(source, execution_count=count, **fields))


def replace_parameters(lesson, old, new):
    cell = code(lesson, 0)
    assert old in cell.source
    cell.source = cell.source.replace(old, new)


def drop_outputs(lesson, unwanted):
    for _, cell in lesson.code:
        cell.outputs = [output for output in cell.outputs if not unwanted(output)]


def course(output):
    return output.get("metadata", {}).get("course", {})


def in_the_claim(lesson):
    (claim,) = lesson.stored("claim")
    return claim


def with_kind(kind):
    return lambda output: kind in output.get("data", {})


# (the gate that must complain, what is done to the clean lesson)
FAULTS = {
    "never executed": ("executed_in_order", lambda n: code(n, 1).update(execution_count=None)),
    "executed out of order": ("executed_in_order", lambda n: code(n, 1).update(execution_count=9)),
    "a gap at the start": (
        "executed_in_order",
        lambda n: [cell.update(execution_count=cell.execution_count + 1) for _, cell in n.code],
    ),
    "an error": ("no_errors", lambda n: add_output(n, "error", ename="ValueError", evalue="x", traceback=[])),
    "stderr": ("no_stderr", lambda n: add_output(n, "stream", name="stderr", text="WARNING: slow")),
    **{
        f"the path {path} in an output": (
            "no_absolute_path",
            lambda n, path=path: add_output(n, "stream", name="stdout", text=f"saved to {path}"),
        )
        for path in (
            "/home/ana/x.keras",
            "/Users/ana/x",
            "/root/.keras",
            "/tmp/x",
            "/work/x",
            r"C:\Users\Ana",
        )
    },
    "a path in a source": ("no_absolute_path", lambda n: add_cell(n, 'path = "/home/ana/photos"')),
    "a path in HTML": (
        "no_absolute_path",
        lambda n: add_output(
            n, "display_data", data={"text/plain": "x", "text/html": '<a href="/home/ana/x">x</a>'}
        ),
    ),
    "a path in a text": (
        "no_absolute_path",
        lambda n: n.notebook.cells[2].update(source="## See `/home/ana/photos`"),
    ),
    "no parameters": ("parameters", lambda n: code(n, 0).metadata.clear()),
    "parameters twice": ("parameters", lambda n: code(n, 1).metadata.update(tags=["parameters"])),
    "a computed parameter": ("parameters", lambda n: replace_parameters(n, "0", "int(0)")),
    "an import among the parameters": (
        "parameters",
        lambda n: replace_parameters(n, "SEED", "import os\nSEED"),
    ),
    "another profile": ("parameters", lambda n: replace_parameters(n, "tiny", "full")),
    "another seed": ("parameters", lambda n: replace_parameters(n, "SEED = 0", "SEED = 1")),
    "no seed": ("parameters", lambda n: replace_parameters(n, "SEED = 0\n", "")),
    "photographs of one's own": (
        "parameters",
        lambda n: replace_parameters(n, "PHOTOS = None", 'PHOTOS = "x"'),
    ),
    "a megabyte": ("small", lambda n: add_output(n, "stream", name="stdout", text="x" * 1_000_000)),
    "16 lines": ("short_cells", lambda n: add_cell(n, "\n".join(f"x = {i}" for i in range(16)))),
    "a semicolon": ("no_semicolon", lambda n: add_cell(n, "x = 1;\nprint(x)")),
    "no picture": ("a_picture", lambda n: drop_outputs(n, gates.is_picture)),
    "no caption": ("captions", lambda n: drop_outputs(n, with_kind("text/markdown"))),
    "an empty caption": (
        "captions",
        lambda n: [
            output.data.update({"text/markdown": "**"})
            for _, output in n.outputs
            if with_kind("text/markdown")(output)
        ],
    ),
    "a second picture without a caption": (
        "captions",
        lambda n: add_output(n, "display_data", data={"image/png": "aGk=", "text/plain": "<Figure>"}),
    ),
    "no claim": ("a_claim", lambda n: drop_outputs(n, lambda output: "claim" in course(output))),
    "a claim without a bound": ("a_claim", lambda n: in_the_claim(n).pop("at_least")),
    "a claim that is false": ("a_claim", lambda n: in_the_claim(n).update(measured=0.1)),
    "no headline": ("a_headline", lambda n: drop_outputs(n, lambda output: "headline" in course(output))),
    "an empty headline": (
        "a_headline",
        lambda n: [
            course(output).update(headline="") for _, output in n.outputs if "headline" in course(output)
        ],
    ),
    "papermill's metadata": (
        "no_leftover_metadata",
        lambda n: n.notebook.metadata.update(papermill={"duration": 3}),
    ),
    "papermill's metadata in a cell": (
        "no_leftover_metadata",
        lambda n: code(n).metadata.update(papermill={"duration": 3}),
    ),
    "the widgets' state": ("no_leftover_metadata", lambda n: n.notebook.metadata.update(widgets={"x": {}})),
    "the time of execution": (
        "no_leftover_metadata",
        lambda n: code(n).metadata.update(execution={"iopub.status.busy": "2026"}),
    ),
    "papermill's parameters": (
        "no_leftover_metadata",
        lambda n: add_cell(n, "SEED = 1", metadata={"tags": ["injected-parameters"]}),
    ),
    "a shell command": ("no_shell", lambda n: add_cell(n, "x = 1\n!ls")),
    "a magic command": ("no_shell", lambda n: add_cell(n, "%matplotlib inline")),
    "an install": ("no_shell", lambda n: add_cell(n, 'os.system("pip install keras")')),
    "another number": ("a_title", lambda n: n.notebook.cells[0].update(source="# 2. A lesson")),
    "no title": ("a_title", lambda n: n.notebook.cells[0].update(source="A lesson")),
    "two titles": ("a_title", lambda n: n.notebook.cells[2].update(source="# 1. Again")),
    "another kernel": ("the_kernel", lambda n: n.notebook.metadata.kernelspec.update(name="course")),
    "no kernel": ("the_kernel", lambda n: n.notebook.metadata.pop("kernelspec")),
    "one id twice": ("cell_ids", lambda n: code(n, 1).update(id=code(n, 0).id)),
    "no id": ("cell_ids", lambda n: code(n, 1).pop("id")),
    "TensorFlow": ("tensorflow_in_lesson_2_only", lambda n: add_cell(n, "import tensorflow")),
    "tf": ("tensorflow_in_lesson_2_only", lambda n: add_cell(n, "x = tf.zeros(1)")),
    "HTML alone": (
        "plain_beside_html",
        lambda n: add_output(n, "display_data", data={"text/html": "<b>3.2 dB</b>"}),
    ),
    "a cell that nbval skips": (
        "nothing_hidden_from_nbval",
        lambda n: code(n).metadata.update(tags=["nbval-skip"]),
    ),
    "a variable with the name of an import": (
        "imports_keep_their_names",
        lambda n: add_cell(n, "display = 1"),
    ),
    "a cell that nbval does not compare": (
        "nothing_hidden_from_nbval",
        lambda n: add_cell(n, "# NBVAL_IGNORE_OUTPUT\nx = 1"),
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_gate_turns_red(fault, lesson):
    gate, spoil = FAULTS[fault]
    spoil(lesson)
    assert list(gates.complaints(lesson)) == [gate]


def test_every_gate_is_proven():
    assert {gate for gate, _ in FAULTS.values()} == {gate.__name__ for gate in gates.GATES}


def test_lesson_2_may_use_tensorflow(lesson):
    add_cell(lesson, "import tensorflow as tf")
    lesson.notebook.cells[0].source = "# 2. A lesson"
    assert gates.complaints(lesson._replace(number=2)) == {}


@pytest.mark.parametrize(
    "text",
    ["https://example.org/home/ana/x", "runs/tiny/models", "a/tmp/b", "the ratio L/a", "L:\n", "../work/x"],
)
def test_what_is_no_absolute_path_passes(text, lesson):
    add_output(lesson, "stream", name="stdout", text=text)
    assert gates.complaints(lesson) == {}


def test_reading_repairs_nothing(clean_lesson, tmp_path):
    notebook = nbformat.read(clean_lesson, as_version=4)
    notebook.cells[1].id = notebook.cells[0].id
    spoiled = tmp_path / "01_spoiled.ipynb"
    spoiled.write_text(nbformat.v4.writes(notebook), "utf-8")
    assert "cell_ids" in gates.complaints(gates.read(spoiled))


# What depends on random or trained numbers ---------------------------------------------------------

BEGINS = (
    "import numpy as np\nfrom helpers import display\n\n"
    "order = [str(i) for i in np.argsort(np.random.default_rng(SEED).random(9))]\n"
    "print(f'tiny profile · seed {SEED} · Keras')"
)
FIGURE = "figure, axes = display.pyplot.subplots(figsize=(2, 1))\naxes.set_title(f'best: {order[0]}')\n"
# What a lesson may do with a ranking: that text is for the reader alone, and nbval does not compare it.
MAY = {
    "in a picture": FIGURE + "display.show(figure, 'The best.')",
    "in a table's cells": "display.table({'rank': dict(zip('abcdefghi', order))}, 'The ranking.')",
    "in a claim's measured value": "display.claim('the best is one of nine', int(order[0]), at_most=8)",
    "in the headline": "display.headline(f'the best is {order[0]}')",
}
MAY_NOT = {
    "printed": "print(*order)",
    "chosen for a caption": FIGURE + "display.show(figure, f'The best: {order[0]}.')",
    "as the order of a table's rows": "display.table({i: {'rank': '1'} for i in order}, 'The ranking.')",
    "as text": "display.text(' '.join(order))",
    "as a cell's value": "order",
    "as a number of lines": "for _ in range(1 + int(order[0])):\n    print('one')",
    "as a second line beside the seed's": "print('tiny profile · seed 0 ·')\nprint(f'seed {SEED}')",
}


@pytest.fixture(scope="module")
def depending(tmp_path_factory):
    """What the gate says of a lesson with all of these cells, run with its own seed and with another."""
    folder = tmp_path_factory.mktemp("seeds")
    path = write_lesson(folder / "01_ranks.ipynb", BEGINS, *MAY.values(), *MAY_NOT.values())
    run.refresh([path])
    committed = gates.read(path)
    run.run_lesson(path, folder / "01_other.ipynb", {"SEED": 1})
    found = list(gates.differing(committed, gates.read(folder / "01_other.ipynb")))
    sources = {f"cell {i},": cell.source for i, cell in committed.code}
    return {source: why for place, source in sources.items() for why in found if why.startswith(place)}


def test_the_seed_may_stand_in_the_line_with_which_a_lesson_begins(depending):
    assert BEGINS not in depending


@pytest.mark.parametrize("place", MAY_NOT)
def test_a_ranking_in_text_that_is_compared_turns_red(place, depending):
    assert "\n- " in depending[MAY_NOT[place]] or "\n+ " in depending[MAY_NOT[place]]


@pytest.mark.parametrize("place", MAY)
def test_a_ranking_that_only_readers_see_stays_green(place, depending):
    assert MAY[place] not in depending
