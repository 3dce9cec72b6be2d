"""One lesson over a grid of parameters: what is run, what survives, and what is compared."""

import csv
import itertools
import json
import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
from conftest import PARAMETERS, write_lesson
from filelock import FileLock
from PIL import Image
from test_run import trains

import helpers.__main__
from helpers import installed, places, threads
from helpers.errors import CourseError
from helpers.runner import comparison, grid

pytest.importorskip("distributed", reason='needs Dask: python -m pip install -e ".[sweep]"')
pytest.importorskip("cryptography", reason='needs Dask: python -m pip install -e ".[sweep]"')
import distributed

from helpers.runner import sweep

# The lesson notes that it began; does what the test wants of it; and leaves the record of a network.
BEGINS = """import json, os, signal, threading
from pathlib import Path

here = Path.cwd()
with (here / "begun").open("a") as begun:
    begun.write(f"{RATE} {SEED} {os.getpid()}\\n")"""
RECORDS = """models = Path(OUT) / "models"
models.mkdir(exist_ok=True)
record = {"curve": {"val_loss": [9.0, RATE + SEED / 10]}, "minutes": 0.5, "device": "none"}
_ = (models / "net.json").write_text(json.dumps(record))"""
FAILS_ONCE = """if (RATE, SEED) == (2, 1) and not (here / "mended").exists():
    raise ValueError("a planted mistake")"""
KILLS_ITS_WORKER_ONCE = """if (RATE, SEED) == (1, 1) and not (here / "killed").exists():
    (here / "killed").touch()
    os.kill(os.getppid(), signal.SIGKILL)
    threading.Event().wait(600)"""
KILLS_ITS_WORKER = """if (RATE, SEED) == (1, 1):
    os.kill(os.getppid(), signal.SIGKILL)
    threading.Event().wait(600)"""
FOUR = "lesson: 1\ngrid: {RATE: [1, 2], SEED: [0, 1]}\nmetrics: [net.val_loss, net.minutes]\n"
ALL = {(1, 0), (1, 1), (2, 0), (2, 1)}


@pytest.fixture
def lesson(tmp_path, monkeypatch):
    """Write the lesson, with a cell of the test's between its first and its last, and the file of a grid."""
    monkeypatch.setattr(places, "NOTEBOOKS", tmp_path / "notebooks")
    monkeypatch.chdir(tmp_path)

    def write(does="pass", text=FOUR):
        path = tmp_path / "notebooks" / "01_one.ipynb"
        trains(write_lesson(path, BEGINS, does, RECORDS, parameters=PARAMETERS + "\nRATE = None"), "net")
        Path("grid.yaml").write_text(text, "utf-8")
        return path

    return write


def main(*words):
    return helpers.__main__.main(["sweep", "grid.yaml", "--out", "out", *words])


def begun():
    """The RATE and SEED of each notebook that began, in that order, and its process."""
    lines = Path("notebooks", "begun").read_text().splitlines()
    return [((int(rate), int(seed)), int(pid)) for rate, seed, pid in map(str.split, lines)]


def runs():
    """The lines of the table of all runs, by RATE and SEED."""
    with Path("out", "sweep.csv").open(encoding="utf-8", newline="") as opened:
        rows = list(csv.DictReader(opened))
    found = {(int(row["RATE"]), int(row["SEED"])): row for row in rows}
    assert len(found) == len(rows)
    return found


def test_a_failure_is_named_the_rest_is_done_and_nothing_is_done_twice(lesson, capsys):
    lesson(FAILS_ONCE)
    assert main("--workers", "2") == 1
    said = capsys.readouterr()
    assert {each for each, _ in begun()} == ALL
    *lines, error, again = said.err.splitlines()
    assert sorted(line.partition("] ")[2] for line in lines if "failed" not in line) == [
        "RATE=1 SEED=0  done",
        "RATE=1 SEED=1  done",
        "RATE=2 SEED=0  done",
    ]
    (failed,) = (line for line in lines if "failed" in line)
    assert "RATE=2 SEED=1  failed: lesson 01_one failed in cell [4] " in failed
    assert "ValueError: a planted mistake" in failed
    assert error == "error: 1 of 4 combinations have no result: RATE=2 SEED=1"
    assert again == f"to go on: {installed.PYTHON} -m helpers sweep grid.yaml --out out --workers 2"
    first, *table, last = said.out.splitlines()
    assert first == "01_one: 4 combinations, in out"
    assert table == [
        "| setting | done   | net.val_loss    | net.minutes      |",
        "| ------- | ------ | --------------- | ---------------- |",
        "| RATE 1  | 2 of 2 | 1.05 (1 to 1.1) | 0.5 (0.5 to 0.5) |",
        "| RATE 2  | 1 of 2 | 2               | 0.5              |",
    ]
    assert last == f"open {Path('out', 'sweep.png')}"
    assert Path("out", "sweep.md").read_text("utf-8").splitlines() == table
    assert {each: row["net.val_loss"] for each, row in runs().items()} == {
        (1, 0): "1.0",
        (1, 1): "1.1",
        (2, 0): "2.0",
        (2, 1): "",
    }
    assert "a planted mistake" in runs()[2, 1]["problem"]
    assert runs()[1, 1]["problem"] == ""
    with Image.open(Path("out", "sweep.png")) as picture:
        assert picture.width > 300

    Path("notebooks", "begun").unlink()
    Path("notebooks", "mended").touch()
    assert main("--workers", "2") == 0
    assert [each for each, _ in begun()] == [(2, 1)]
    assert capsys.readouterr().out.startswith("01_one: 4 combinations, in out, of which 3 are done\n")
    assert runs()[2, 1]["net.val_loss"] == "2.1"


def test_what_is_done_needs_no_worker_until_the_lesson_changes(lesson, monkeypatch):
    path = lesson(text=FOUR.replace("[1, 2]", "[2]"))
    planned = grid.read(Path("grid.yaml"), "out")
    for combination in planned.combinations:
        assert sweep._run_one(path, combination, 1) == ""
    assert len(begun()) == 2
    asked = []

    def no_client(*arguments):
        asked.append(arguments)
        raise CourseError("the test has none")

    monkeypatch.setattr(sweep, "_client", no_client)
    assert main() == 0
    assert sweep._run_one(path, planned.combinations[0], 1) == ""
    assert (len(begun()), asked) == (2, [])
    lesson("y = 1", FOUR.replace("[1, 2]", "[2]"))
    assert main("--workers", "3") == 1
    assert asked == [(None, 3)]
    (planned.combinations[0].folder / "done.json").unlink()
    problem = sweep._run_one(path, planned.combinations[0], 1)
    assert problem.startswith("the worker has another version of the course")
    assert len(begun()) == 2


@pytest.mark.skipif(os.name != "posix", reason="what is killed here is a process of POSIX")
def test_a_killed_worker_s_combination_is_taken_up_by_another(lesson):
    lesson(KILLS_ITS_WORKER_ONCE)
    assert main("--workers", "2") == 0
    assert Path("notebooks", "killed").exists()
    ran = [each for each, _ in begun()]
    assert sorted(ran) == sorted([*ALL, (1, 1)])
    # What the killed worker had started is gone: it does not write beside its successor.
    first = next(pid for each, pid in begun() if each == (1, 1))
    assert not psutil.pid_exists(first)
    assert {each: row["net.val_loss"] for each, row in runs().items()} == {
        (1, 0): "1.0",
        (1, 1): "1.1",
        (2, 0): "2.0",
        (2, 1): "2.1",
    }
    for row in runs().values():
        assert json.loads(Path("out", row["folder"], "done.json").read_text("utf-8"))["minutes"] > 0


@pytest.mark.skipif(os.name != "posix", reason="what is killed here is a process of POSIX")
def test_what_kills_every_worker_is_given_up_and_named(lesson, capsys):
    lesson(KILLS_ITS_WORKER, FOUR.replace("[0, 1]", "[1]"))
    with distributed.dask.config.set({"distributed.scheduler.allowed-failures": 1}):
        assert main("--workers", "2") == 1
    assert (
        "RATE=1 SEED=1  failed: 2 workers died one after the other as they ran it" in capsys.readouterr().err
    )
    assert [each for each, row in runs().items() if row["problem"]] == [(1, 1)]


def test_a_cluster_that_runs_already_does_the_work(lesson):
    lesson(text=FOUR.replace("[0, 1]", "[0]"))
    options = {"processes": False, "protocol": "tcp", "dashboard_address": None}
    with distributed.LocalCluster(n_workers=1, threads_per_worker=1, **options) as local:
        assert main("--cluster", local.scheduler_address) == 0
        assert len(local.scheduler.workers) == 1
    assert {pid for _, pid in begun()}.isdisjoint({os.getpid()})
    assert set(runs()) == {(1, 0), (2, 0)}


def test_a_cluster_that_does_not_answer_is_one_line(lesson, capsys, monkeypatch):
    lesson()
    monkeypatch.setattr(sweep, "PATIENCE", 0.5)
    for address in ("tcp://127.0.0.1:1", "nonsense://x", "127.0.0.1:none"):
        assert main("--cluster", address) == 1
        lines = capsys.readouterr().err.splitlines()
        assert lines[0].startswith(f"error: no Dask scheduler answers at {address}")
        assert len(lines) == 2
    assert not Path("notebooks", "begun").exists()


def test_two_sweeps_do_not_write_to_one_folder(lesson, capsys):
    lesson()
    Path("out").mkdir()
    with FileLock(Path("out", ".lock")):
        assert main() == 1
    assert "another sweep is writing to " in capsys.readouterr().err
    assert not Path("notebooks", "begun").exists()


# The comparison --------------------------------------------------------------------------------------


def test_a_metric_that_the_record_lacks_is_named_with_those_that_it_has(lesson):
    path = lesson(text=FOUR.replace("net.minutes", "net.psnr"))
    planned = grid.read(Path("grid.yaml"), "out")
    first = planned.combinations[0]
    assert comparison.measure(first, ["net.val_loss"]).problem.startswith("the lesson left no record of net")
    assert sweep._run_one(path, first, 1) == ""
    assert comparison.measure(first, ["net.val_loss"]).measured == {"net.val_loss": 1.0}
    problem = comparison.measure(first, planned.metrics).problem
    assert problem == "the record of net has no psnr; it has val_loss, minutes"
    for damaged in ("", "[]", '{"curve": 3}', "{}"):
        (first.folder / "models" / "net.json").write_text(damaged)
        assert comparison.measure(first, ["net.val_loss"]).problem.startswith("the lesson left no record")


def test_seeds_are_put_together_and_nothing_else(lesson):
    lesson()
    rows = [comparison.Row(each, {}, "") for each in grid.read(Path("grid.yaml"), "out").combinations]
    assert {words: len(group) for words, group in comparison.settings(rows).items()} == {
        "RATE 1": 2,
        "RATE 2": 2,
    }
    lesson(text=FOUR.replace("RATE: [1, 2], ", ""))
    rows = [comparison.Row(each, {}, "") for each in grid.read(Path("grid.yaml"), "out").combinations]
    assert {words: len(group) for words, group in comparison.settings(rows).items()} == {"all": 2}


# How many at once ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cores", "free_gb", "most", "peak_mb", "expected"),
    [
        (8, 100, 4, None, 4),
        (2, 100, 9, None, 2),
        (8, 9, 9, None, 3),
        (8, 9, 9, 1000, 8),
        (8, 9, 9, 4000, 2),
        (8, 1, 9, None, 1),
    ],
)
def test_as_many_run_at_once_as_there_are_cores_and_memory_for(
    cores, free_gb, most, peak_mb, expected, lesson, monkeypatch
):
    lesson()
    monkeypatch.setattr(places, "RUNS", Path("runs").absolute())
    monkeypatch.setattr("helpers.profiles.RUNS", Path("runs").absolute())
    monkeypatch.setattr(threads, "cores", lambda: cores)
    free = type("Memory", (), {"available": free_gb * 1e9})
    monkeypatch.setattr(psutil, "virtual_memory", lambda: free)
    if peak_mb:
        summary = {"lessons": [{"notebook": "01_one.ipynb", "peak_mb": peak_mb}]}
        Path("runs", "tiny").mkdir(parents=True)
        Path("runs", "tiny", "summary.json").write_text(json.dumps(summary))
    peak = sweep._peak_mb(grid.read(Path("grid.yaml"), "out"))
    assert threads.fitting(most, peak) == expected


def test_an_impossible_summary_is_none(lesson, monkeypatch):
    lesson()
    monkeypatch.setattr("helpers.profiles.RUNS", Path("runs").absolute())
    Path("runs", "tiny").mkdir(parents=True)
    Path("runs", "tiny", "summary.json").write_text("[]")
    planned = grid.read(Path("grid.yaml"), "out")
    assert sweep._peak_mb(planned) == sweep.MB_OF_A_LESSON


def test_an_error_of_the_lesson_is_not_one_of_dask(lesson):
    path = lesson("from helpers.errors import CourseError\n\nraise CourseError('mend this')")
    planned = grid.read(Path("grid.yaml"), "out")
    assert "CourseError: mend this" in sweep._run_one(path, planned.combinations[0], 1)
    with pytest.raises(CourseError, match="more than 3"):
        grid.read(Path("grid.yaml"), "out", most=3)


def test_nothing_in_the_plot_is_cut_off_or_runs_into_its_neighbor(lesson):
    lesson(text="lesson: 1\ngrid: {RATE: [1, 2, 3]}\nmetrics: [net.val_loss]\n")
    planned = grid.read(Path("grid.yaml"), "out")
    rows = [
        comparison.Row(each, {"net.val_loss": value}, "")
        for each, value in zip(planned.combinations, (0.013574, 0.01284, 0.012382), strict=True)
    ]
    figure = comparison._plot(planned, rows)
    figure.draw_without_rendering()
    title = figure._suptitle.get_window_extent()
    assert figure.bbox.x0 <= title.x0 < title.x1 <= figure.bbox.x1
    (panel,) = figure.axes
    low, high = panel.get_xlim()
    shown = [
        label.get_window_extent()
        for place, label in zip(panel.get_xticks(), panel.get_xticklabels(), strict=True)
        if low <= place <= high
    ]
    assert len(shown) > 1
    assert all(left.x1 + 5 < right.x0 for left, right in itertools.pairwise(shown))


WAITS = """if (RATE, SEED) == (2, 1) and not (here / "mended").exists():
    threading.Event().wait(600)"""
# A process that finds the test's lessons.
SWEEPS = """import signal
import sys
from pathlib import Path
from helpers import __main__, places

places.NOTEBOOKS = Path("notebooks").resolve()
if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores it
    sys.exit(__main__.main(["sweep", "grid.yaml", "--out", "out", "--workers", "2"]))
"""


def test_who_presses_ctrl_c_reads_one_line_and_goes_on_later(lesson):
    lesson(WAITS)
    Path("sweeps.py").write_text(SWEEPS)
    command = [sys.executable, "sweeps.py"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True) as process:
        done = [process.stderr.readline() for _ in range(3)]
        assert all(line.endswith("done\n") for line in done), done + process.stderr.readlines()
        while {each for each, _ in begun()} != ALL:
            with suppress(subprocess.TimeoutExpired):
                process.wait(0.1)
                pytest.fail(process.stderr.read())
        # As a terminal does: to the process and to all that it has started. One of the workers has no task.
        os.killpg(process.pid, signal.SIGINT)
        said = process.stderr.read().splitlines()
    assert process.returncode == 130
    assert said[0] == "error: interrupted; what had been written is kept"
    assert said[1].startswith("to go on: ")
    assert len(said) == 2
    for _, pid in begun():  # a kernel ends by itself, once it sees that its worker has gone
        with suppress(psutil.NoSuchProcess):
            psutil.Process(pid).wait(60)
    Path("notebooks", "mended").touch()
    assert subprocess.run(command, capture_output=True).returncode == 0
    assert set(runs()) == ALL
