"""What a run shows while it runs, in a terminal and in a log; and what it says if something is missing."""

import io
import os
import re
import subprocess
import sys
import threading
from types import SimpleNamespace

import nbformat
import pytest
from conftest import CLEAN, write_lesson
from test_run import folder, in_a_process, main  # noqa: F401

from helpers import installed
from helpers.errors import CourseError
from helpers.places import ROOT, STATUS
from helpers.runner import progress as module
from helpers.runner import run
from helpers.runner.plan import find_lessons, plan
from helpers.runner.progress import Progress


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def lessons(tmp_path):
    return [write_lesson(tmp_path / f"0{number}_some.ipynb", "pass", "pass") for number in (1, 2)]


@pytest.fixture
def clock(monkeypatch):
    """A clock that stands still until it is set."""
    made = SimpleNamespace(now=0.0, monotonic=lambda: made.now)
    monkeypatch.setattr(module, "time", made)
    return made


@pytest.fixture
def terminal(monkeypatch):
    made = Terminal()
    monkeypatch.setattr(module, "sys", SimpleNamespace(stderr=made))
    return made


def before(lessons, seconds=10.0):
    """What the cells took in a run before."""
    return {path.name: dict.fromkeys(module._cells(path), seconds) for path in lessons}


def step(progress, lesson, cell, clock, seconds):
    if cell == 0:
        progress.start_lesson(lesson)
    progress.start_cell(lesson, module._cells(lesson)[cell], "The line")
    clock.now += seconds
    progress.end_cell(lesson)


# The estimate --------------------------------------------------------------------------------------


def test_the_estimate_is_what_the_cells_took_before_and_runs_down_within_a_cell(lessons, clock):
    took = before(lessons)
    *_, last = module._cells(lessons[0])
    took[lessons[0].name][last] = 500.0
    progress = Progress(lessons, took)
    assert progress.remaining() == 550
    step(progress, lessons[0], 0, clock, 10)
    assert progress.remaining() == 540
    step(progress, lessons[0], 1, clock, 10)
    progress.start_cell(lessons[0], last, "The line")
    clock.now += 200
    assert progress.remaining() == 330
    clock.now += 1000  # longer than before: nothing is known of it, but of what comes after
    assert progress.remaining() == 30


def test_the_estimate_follows_the_pace_without_jumping(lessons, clock):
    progress = Progress(lessons, before(lessons))
    seen = [progress.remaining()]
    for lesson in lessons:
        for cell in range(3):
            step(progress, lesson, cell, clock, 30)
            seen.append(progress.remaining())
    assert seen[0] == 60
    assert seen[1:3] == [100, pytest.approx(93.3, abs=0.1)]
    assert seen[-1] == 0


def test_there_is_no_estimate_yet_if_a_lesson_has_not_run_before(lessons, terminal, clock):
    with Progress(lessons, before(lessons[:1])) as progress:
        progress.draw()
        assert terminal.getvalue().rstrip().endswith(", no estimate yet")
        for lesson in lessons:
            for cell in range(3):
                step(progress, lesson, cell, clock, 1)
    assert "left" not in terminal.getvalue()
    assert terminal.getvalue().rstrip().endswith("00:00")  # nor is there one to come
    with Progress(lessons, before(lessons)) as progress:
        progress.draw()
    assert "about 01:00 left" in terminal.getvalue()


def test_a_run_keeps_what_its_cells_took_and_so_does_one_of_other_lessons(folder, tmp_path):  # noqa: F811
    for name in ("01_one", "02_two"):
        write_lesson(folder / f"{name}.ipynb", "pass")
    settings = {"PROFILE": "tiny", "SEED": 0, "OUT": str(tmp_path / "out")}
    for only in ("01", "02"):
        run.run(plan(find_lessons(folder, [only]), settings))
    read = run.read_seconds(tmp_path / "out")
    assert {name: list(cells) for name, cells in read.items()} == {
        path.name: module._cells(path) for path in find_lessons(folder)
    }
    assert all(0 < each < 60 for cells in read.values() for each in cells.values())


@pytest.mark.parametrize("text", ["not JSON", "[]", '{"a": 1}', '{"a": {"b": "long"}}'])
def test_what_is_no_record_of_seconds_counts_for_nothing(text, tmp_path):
    (tmp_path / run.SECONDS).write_text(text)
    assert run.read_seconds(tmp_path) == {}


# The bar -------------------------------------------------------------------------------------------


def until(true):
    """Wait for something that another thread does."""
    for _ in range(6000):
        if true():
            return True
        threading.Event().wait(0.01)
    return False


def test_the_bar_is_drawn_again_within_a_cell(lessons, terminal, monkeypatch, tmp_path):
    monkeypatch.setattr(module, "TICK", 0.01)
    with Progress(lessons, {}) as progress:
        status = tmp_path / "status"
        progress.start_lesson(lessons[0], status)
        progress.start_cell(lessons[0], module._cells(lessons[0])[1], "The line")
        for epoch in ("epoch 1 of 3", "epoch 2 of 3"):
            status.write_text(epoch)
            assert until(lambda text=f"01 The line · {epoch}": text in terminal.getvalue())


def test_a_long_heading_leaves_room_for_the_epoch(lessons, terminal, tmp_path):
    with Progress(lessons, before(lessons)) as progress:
        (tmp_path / "status").write_text("epoch 1000 of 1000")
        progress.start_lesson(lessons[0], tmp_path / "status")
        progress.start_cell(lessons[0], module._cells(lessons[0])[1], "A heading that goes on " * 9)
    assert "01 A heading that … · epoch 1000 of 1000   0%" in terminal.getvalue()


def test_a_log_gets_a_line_for_each_lesson(lessons, capsys):
    with Progress(lessons, before(lessons)) as progress:
        progress.start_lesson(lessons[0])
        progress.start_cell(lessons[0], module._cells(lessons[0])[0], "The line")
        progress.end_cell(lessons[0])
        progress.end_lesson(lessons[0], 1.26, "it goes up")
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err == "01_some                   1.3 min  it goes up\n"


SAYS = f"""
import os, pathlib, threading
os.write(1, b"noise")
os.write(2, b"noise")
pathlib.Path(os.environ["{STATUS}"]).write_text("epoch 2 of 3")
while not pathlib.Path("seen").exists():
    threading.Event().wait(0.01)
"""


@pytest.mark.skipif(os.name == "nt", reason="needs a pseudo-terminal")
def test_a_terminal_shows_the_epoch_and_a_table_and_nothing_of_the_kernels_own(folder):  # noqa: F811
    import fcntl
    import pty
    import struct
    import termios

    write_lesson(folder / "01_one.ipynb", SAYS, "x = 1", *CLEAN)
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    process = in_a_process(folder, "run", "--out", "out", stdout=theirs, stderr=theirs)
    os.close(theirs)
    said = b""
    try:
        while read := os.read(ours, 65536):
            said += read
            if "The line · epoch 2 of 3" in said.decode(errors="replace"):
                (folder / "seen").touch()
    except OSError:  # the other end is closed
        pass
    os.close(ours)
    assert process.wait() == 0
    text = said.decode()
    assert "noise" not in text
    assert "100%" in text
    lines = re.split(r"[\r\n]+", text.strip())
    assert max(map(len, lines)) <= 80
    assert lines[-3].split() == ["lesson", "minutes", "headline"]
    assert lines[-1] == "open out/index.html"
    outputs = nbformat.read(folder.parent / "out" / "01_one.ipynb", as_version=4).cells[3:5]
    assert "epoch" not in str([cell.get("outputs") for cell in outputs])


def test_the_table_fits_80_columns():
    results = [run.Result(f"0{n}_results_gallery_of_all.ipynb", 12.345, 1, "word " * 40) for n in (1, 2)]
    lines = run._table(results).splitlines()
    assert max(map(len, lines)) <= 80
    assert sum("12.3" in line for line in lines) == 2
    assert sum(line.count("word") for line in lines) == 80


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("os.write(2, b'out of luck\\n\\n')\nos._exit(1)", '; it last wrote "out of luck"'),
        ("os._exit(1)", "may have run out of memory"),
    ],
)
def test_a_dead_kernels_last_words_are_quoted(code, words, folder):  # noqa: F811
    lesson = write_lesson(folder / "01_one.ipynb", f"import os\n{code}")
    with pytest.raises(CourseError) as error:
        run.run_lesson(lesson, folder / "out.ipynb", {})
    assert words in str(error.value)


# A training ----------------------------------------------------------------------------------------


def test_a_training_says_its_epoch_and_is_silent_afterwards(tmp_path, monkeypatch, capsys):
    np = pytest.importorskip("numpy")
    from helpers.backend import keras
    from helpers.training import Clock

    status, seen = tmp_path / "status", []
    monkeypatch.setenv(STATUS, str(status))
    network = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    network.compile("sgd", "mse")
    look = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: seen.append(status.read_text()))
    data = np.zeros((4, 1))
    network.fit(data, data, epochs=3, callbacks=[Clock(), look], verbose=0)
    assert seen == [f"epoch {number} of 3" for number in (1, 2, 3)]
    assert status.read_text() == ""
    monkeypatch.delenv(STATUS)
    network.fit(data, data, epochs=1, callbacks=[Clock()], verbose=0)
    assert status.read_text() == ""
    assert capsys.readouterr() == ("", "")


# What is not installed -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("backend", "missing", "names"),
    [
        ("mxnet", (), ("'mxnet'", "tensorflow, jax, torch")),
        ("jax", ("jax",), ("'jax'", f"`{installed.PYTHON} -m pip install jax`")),
        ("torch", ("torch",), ("`", "pip install torch`")),
        ("", ("tensorflow", "keras"), ("tensorflow is not installed", f"`{installed.INSTALL}`")),
        ("torch", ("keras",), ("keras is not installed", f"`{installed.INSTALL}`")),
    ],
)
def test_a_backend_that_cannot_be_had_is_one_line(backend, missing, names, folder, monkeypatch, capsys):  # noqa: F811
    monkeypatch.setenv("KERAS_BACKEND", backend)
    monkeypatch.setattr(installed, "find_spec", lambda name: None if name in missing else "there")
    write_lesson(folder / "01_one.ipynb", "print('never')")
    for command in ("run", "refresh"):
        assert main(command) == 2
        said = capsys.readouterr().err
        assert said.count("\n") == 1
        assert all(name in said for name in names)


def test_a_lessons_first_cell_says_which_backends_there_are(folder, monkeypatch):  # noqa: F811
    monkeypatch.setenv("KERAS_BACKEND", "mxnet")
    lesson = write_lesson(folder / "01_one.ipynb", "from helpers.backend import keras")
    with pytest.raises(CourseError, match="CourseError: KERAS_BACKEND is 'mxnet'; it must be one of"):
        run.run_lesson(lesson, folder / "out.ipynb", {})


def test_help_and_a_refusal_load_nothing_that_takes_long():
    code = """
import sys
from helpers.__main__ import main
for words in (["--help"], ["run", "--profil", "1"], ["run", "-p", "EPOCHS", "0"]):
    try:
        main(words)
    except SystemExit:
        pass
print(sorted({"numpy", "nbformat", "papermill", "tqdm", "psutil", "keras"} & set(sys.modules)))
"""
    ended = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert ended.stdout.splitlines()[-1] == "[]", ended.stderr
