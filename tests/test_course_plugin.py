"""Proof that pytest does what it is told: what nbval turns red on, time limits, quick tests, workers."""

import json
import os
import re
import shutil
import subprocess
import sys
from xml.etree import ElementTree

import gates
import nbformat
import pytest
from conftest import write_lesson
from nbformat.v4 import new_output

from helpers.places import ROOT

PYTEST = (sys.executable, "-m", "pytest", "-p", "no:cacheprovider")
PRINTS, SHOWS_HTML = 3, 4  # code cells of the clean lesson: a claim and a print; the headline


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def spoiled(path, spoil):
    lesson = gates.read(path)
    spoil(code_cells(lesson.notebook))
    return lesson


def run_pytest(*words):
    """Run pytest as pyproject.toml sets it, on tests that may lie elsewhere; return what it printed."""
    command = [*PYTEST, "-c", ROOT / "pyproject.toml", f"--rootdir={ROOT}", *words]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True).stdout


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
    # Nor is a kernel to heed what the reader has set for IPython and for Python.
    startup = folder / "ipython" / "profile_default" / "startup" / "first.py"
    startup.parent.mkdir(parents=True)
    startup.write_text("print = display = None")
    # A copy is no lesson.
    shutil.copy(
        folder / f"01_{break_the_code.__name__}.ipynb", folder / f"01_{alter_html.__name__}-Copy1.ipynb"
    )
    report = folder / "report.xml"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JUPYTER_PATH", str(folder / "jupyter"))
        patch.setenv("IPYTHONDIR", str(folder / "ipython"))
        patch.setenv("PYTHONSTARTUP", str(startup))
        run_pytest(f"--junitxml={report}", folder)
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


def test_the_tests_use_the_helpers_beside_them_in_kernels_too(tmp_path, monkeypatch):
    (tmp_path / "helpers").mkdir()
    (tmp_path / "helpers" / "__init__.py").write_text("")
    write_lesson(
        tmp_path / "01_a.ipynb", f"import helpers\nassert helpers.__path__ == [{str(ROOT / 'helpers')!r}]"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    assert "2 passed" in run_pytest(tmp_path)


def test_what_nbval_passes_for_want_of_a_reference_a_gate_stops(clean_lesson, red):
    assert never_execute.__name__ not in red
    lesson = gates.read(clean_lesson)
    never_execute(code_cells(lesson.notebook))
    assert "executed_in_order" in gates.complaints(lesson)


@pytest.mark.parametrize("spoil", (alter_text, alter_plain_text, alter_caption, drop_an_output))
def test_the_gate_for_other_machines_turns_red_where_nbval_does(spoil, clean_lesson):
    assert any(gates.differing(gates.read(clean_lesson), spoiled(clean_lesson, spoil)))


@pytest.mark.parametrize("spoil", (alter_html, alter_picture, add_stderr))
def test_the_gate_for_other_machines_stays_green_where_nbval_does(spoil, clean_lesson):
    assert list(gates.differing(gates.read(clean_lesson), spoiled(clean_lesson, spoil))) == []


# Order, limits, workers ----------------------------------------------------------------------------


def test_quick_tests_come_first():
    listed = run_pytest("--collect-only", "-q", "notebooks", "tests/test_notebooks.py", "tests/test_style.py")
    kinds = [
        "nbval" if ".ipynb" in line else "papermill" if "test_notebooks" in line else "unit"
        for line in listed.splitlines()
        if "::" in line
    ]
    assert set(kinds) == {"unit", "papermill", "nbval"}
    assert kinds == sorted(kinds, key=["unit", "papermill", "nbval"].index)


def test_a_test_without_end_is_ended(tmp_path):
    (tmp_path / "test_a.py").write_text("def test_a():\n    while True: pass\n\ndef test_b(): pass\n")
    said = run_pytest("-o", "timeout=1", tmp_path)
    assert "Timeout (>1.0s)" in said
    assert "1 failed, 1 passed" in said


def test_a_cell_without_end_is_ended(tmp_path):
    write_lesson(tmp_path / "01_a.ipynb", "while True: pass", parameters="")
    said = run_pytest("--nbval-cell-timeout=1", tmp_path)
    assert "Timeout of 1 seconds exceeded" in said
    assert "1 failed, 1 passed" in said


def test_a_cell_is_not_under_the_limit_of_the_tests(clean_lesson):
    assert "6 passed" in run_pytest("-o", "timeout=0.001", clean_lesson)


def test_the_limit_leaves_a_slow_machine_time(pytestconfig):
    assert 300 <= float(pytestconfig.getini("timeout")) <= 900


def test_quick_tests_get_no_tensorflow_and_others_are_not_read(tmp_path):
    quick = "import pytest\n\npytestmark = pytest.mark.quick\n\n"
    (tmp_path / "test_a.py").write_text(quick + "def test_a(): pass\n")
    for name in ("tensorflow", "keras"):
        (tmp_path / f"test_{name}.py").write_text(quick + f"def test_it():\n    import {name}\n")
    (tmp_path / "test_b.py").write_text("1 / 0")
    write_lesson(tmp_path / "01_b.ipynb", "1 / 0")
    said = run_pytest("-m", "quick", tmp_path)
    assert "2 failed, 1 passed" in said
    for name in ("tensorflow", "keras"):
        assert f"import of {name} halted" in said


def test_the_quick_tests_are_many():
    listed = run_pytest("-m", "quick", "--collect-only", "-q")
    assert not re.search(r"^ERROR|\d errors?\b", listed, re.MULTILINE)
    files = {line.partition("::")[0] for line in listed.splitlines() if "::" in line}
    assert files >= {f"tests/test_{name}.py" for name in ("archives", "decode", "download", "gates", "style")}
    assert not [file for file in files if file.endswith(".ipynb")]


def test_workers_share_files_and_cores(tmp_path, monkeypatch):
    monkeypatch.delenv("TF_NUM_INTRAOP_THREADS", raising=False)
    threads = max(1, (os.cpu_count() or 1) // 2)
    check = f"    import os\n    assert os.environ['TF_NUM_INTRAOP_THREADS'] == '{threads}'\n"
    for name in "abcd":
        source = "".join(f"def test_{number}():\n{check}" for number in range(4))
        (tmp_path / f"test_{name}.py").write_text(source)
        write_lesson(tmp_path / f"0{ord(name) - 96}_{name}.ipynb")
    said = run_pytest("-n", "2", "-v", tmp_path)
    assert "20 passed" in said
    ran = re.findall(r"\[(gw\d)\].*PASSED \S*?(\w+\.(?:py|ipynb))::", said)
    workers = {file: {gw for gw, other in ran if other == file} for _, file in ran}
    assert len(workers) == 8
    assert all(len(used) == 1 for used in workers.values())
    assert len(set.union(*workers.values())) == 2
    (chain,) = set.union(*(used for file, used in workers.items() if file.endswith(".ipynb")))
    # The longest begins first.
    assert next(file for gw, file in ran if gw == chain).endswith(".ipynb")


def test_what_is_named_runs_without_workers(tmp_path):
    (tmp_path / "test_a.py").write_text("def test_a(worker_id): assert worker_id == 'master'\n")
    assert "1 passed" in run_pytest(tmp_path)
