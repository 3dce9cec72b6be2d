"""The runner, on small lessons made here; tests/test_notebooks.py has it run the real ones."""

import ast
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from base64 import b64decode
from pathlib import Path
from types import SimpleNamespace

import nbformat
import PIL.Image
import psutil
import pytest
from conftest import CLEAN, PARAMETERS, write_lesson

import helpers.__main__
from helpers import installed, places, threads
from helpers.errors import CourseError
from helpers.runner import execute, pages, run
from helpers.runner.plan import find_lessons, parse_parameter
from helpers.runner.plan import plan as plan_run

OFFLINE = str(Path(__file__).parent / "offline")
WIDGET = (
    "from ipywidgets import IntSlider\nfrom matplotlib import pyplot\n\nfrom helpers import display\n\n"
    "display.play(lambda x: pyplot.subplots()[0], x=IntSlider())"
)
FAILS = ("print('so far')", "x = 1\ny = x / 0", "print('never')")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty folder of notebooks, which the command line takes for the course's."""
    monkeypatch.setattr(places, "NOTEBOOKS", tmp_path / "notebooks")
    monkeypatch.chdir(tmp_path)
    return tmp_path / "notebooks"


def main(*words):
    return helpers.__main__.main([str(word) for word in words])


def plan(folder, **parameters):
    lessons = find_lessons(folder)
    return plan_run(lessons, {"PROFILE": "tiny", "SEED": 0, **parameters})


def texts(path):
    """What the cells of an executed notebook printed, joined."""
    cells = nbformat.read(path, as_version=4).cells
    return "".join(output.get("text", "") for cell in cells for output in cell.get("outputs", []))


def show(*names):
    return f"print({', '.join(names)})"


def trains(path, *networks):
    """Let a lesson be one that trains networks."""
    notebook = nbformat.read(path, as_version=4)
    notebook.cells[-1].metadata["tags"] = [f"recorded:{name}" for name in networks]
    nbformat.write(notebook, path)


# What a run is asked for ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("only", "expected"),
    [
        ((), ["01_one", "02_two", "10_ten"]),
        (("1",), ["01_one"]),
        (("10", "01"), ["01_one", "10_ten"]),
        (("02_two",), ["02_two"]),
        (("02_two.ipynb", "2"), ["02_two"]),
    ],
)
def test_lessons_are_found_by_number_and_name(only, expected, folder):
    copies = ("01_one-Copy1", "01_one copy", "01_one (2)", ".ipynb_checkpoints/01_one-checkpoint")
    for name in ("02_two", "01_one", "10_ten"):
        write_lesson(folder / f"{name}.ipynb")
    for name in ("notes", *copies):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / f"{name}.ipynb").touch()
    assert [path.stem for path in find_lessons(folder, only)] == expected


@pytest.mark.parametrize(
    ("words", "names"),
    [
        (("--only", "1", "07"), ("07", "01_one", "02_two")),
        (("--profile", "huge"), ("huge", "tiny", "full")),
        (("-p", "EPOCH", "3"), ("EPOCH", "EPOCHS", "SEED")),
        (("--only", "1", "-p", "EPOCHS", "3"), ("EPOCHS", "SEED")),
        (("--photos", "nowhere"), ("nowhere", "sample", "flowers")),
        (("--seed", "-1"), ("-1", "whole number")),
        (("-p", "SEED", "1.5"), ("1.5", "whole number")),
        (("-p", "PROFILE", "[1]"), ("[1]", "tiny", "full")),
        (("--out", "file"), ("file", "folder")),
        (("--out", "file/below"), ("file", "folder")),
        (("--photos", "file"), ("file", "archive")),
        (("--photos", "empty"), ("empty",)),
        (("-p", "EPOCHS", "banana"), ("EPOCHS is 'banana'", "whole number above 0")),
        (("-p", "EPOCHS", "-5"), ("EPOCHS is -5", "whole number above 0")),
        (("-p", "EPOCHS", "0"), ("EPOCHS is 0", "whole number above 0")),
        (("-p", "EPOCHS", "1.5"), ("EPOCHS is 1.5", "whole number above 0")),
        (("-p", "COLORIZER_EPOCHS", "nan"), ("COLORIZER_EPOCHS is 'nan'", "number above 0")),
        (("-p", "FLIPS", "sideways"), ("FLIPS has 'sideways'", "left-right, upside-down, or none")),
        (("-p", "BACKBONE", "nosuch"), ("BACKBONE is 'nosuch'", "EfficientNetLite0", "InceptionResNetV2")),
        (("-p", "BACKBONE", "3"), ("BACKBONE is 3", "text")),
        (("--seed", "4294967296"), ("4294967296", "whole number")),
        (("--only", "4"), ("04_four", "02, 03", "--only 02 03 04")),
        (("--only", "4", "2"), ("04_four", "--only 02 03 04")),
        (("--out", "one", "-p", "OUT", "two"), ("one", "two", "not both")),
    ],
)
def test_a_wrong_request_is_one_line_that_lists_what_is_valid(words, names, folder, capsys):
    write_lesson(folder / "01_one.ipynb")
    settings = {"EPOCHS": "gan_epochs", "WIDTH": "width", "BACKBONE": "backbone", "FLIPS": "flips"}
    settings["COLORIZER_EPOCHS"] = "colorizer_epochs"
    begin = ", ".join(f"{setting}={name}" for name, setting in settings.items())
    more = "".join(f"\n{name} = None  # as the profile has it" for name in settings)
    begin = f"profiles.begin(PROFILE, SEED, OUT, {begin})"
    write_lesson(folder / "02_two.ipynb", begin, parameters=PARAMETERS + more)
    trains(folder / "02_two.ipynb", "one")
    trains(write_lesson(folder / "03_three.ipynb", "pass"), "two", "three")
    write_lesson(folder / "04_four.ipynb", "for name in records.NETWORKS:\n    pass")
    Path("file").touch()
    Path("empty").mkdir()
    assert main("run", *words) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.count("\n") == 1
    assert all(name in said.err for name in names)
    assert not Path("runs").exists()


@pytest.mark.parametrize(
    ("words", "names"),
    [
        (("run", "--timeout", "0"), ("--timeout", "0", "above 0")),
        (("run", "--timeout", "-1"), ("--timeout", "-1", "above 0")),
        (("refresh", "--timeout", "inf"), ("--timeout", "inf", "above 0")),
        (("run", "--timeout", "long"), ("--timeout", "long", "minutes")),
        (("run", "--seed", "one"), ("--seed", "one")),
        (("rum",), ("rum", "run", "refresh")),
        (("fetch", "roses"), ("roses", "flowers")),
        (("fetch", "flowers", "--to", "file"), ("file is a file, not a folder",)),
        (("fetch", "flowers", "--to", "file/below"), ("file is a file, not a folder",)),
        (("keep", "nowhere"), ("nowhere", "run lessons 3 to 6 first")),
        (("keep", "unfinished"), ("unfinished", "lacks", "run lessons 3 to 6 first")),
    ],
)
def test_words_that_are_no_request_are_one_line(words, names, folder, capsys):
    write_lesson(folder / "01_one.ipynb")
    Path("file").touch()
    Path("unfinished", "models").mkdir(parents=True)
    try:
        code = main(*words)
    except SystemExit as ended:
        code = ended.code
    said = capsys.readouterr()
    assert code == 2
    assert said.out == ""
    assert said.err.startswith("error: ")
    assert said.err.count("\n") == 1
    assert all(name in said.err for name in names)


def test_networks_that_are_there_need_no_lesson_before(folder, tmp_path):
    trains(write_lesson(folder / "01_one.ipynb", "pass"), "one")
    shows = write_lesson(folder / "02_two.ipynb", "for name in records.NETWORKS:\n    pass")
    settings = {"PROFILE": "tiny", "SEED": 0}
    with pytest.raises(CourseError, match="--only 01 02"):
        plan_run([shows], settings, tmp_path / "out")
    (tmp_path / "out" / "models").mkdir(parents=True)
    (tmp_path / "out" / "models" / "one.keras").touch()
    assert list(plan_run([shows], settings, tmp_path / "out").lessons) == [shows]


def test_every_lesson_of_the_course_says_what_its_parameters_set(folder):
    lessons = find_lessons(Path(helpers.__file__).parents[1] / "notebooks")
    for name, lessons_with_it in {"EPOCHS": "345", "BACKBONE": "46"}.items():
        for path in lessons:
            if str(int(path.stem[:2])) in lessons_with_it:
                with pytest.raises(CourseError, match=f"{name} is \\(\\); it must be"):
                    plan_run([path], {"PROFILE": "tiny", "SEED": 0, name: ()})
    with pytest.raises(CourseError, match="--only 03 04 05 06"):
        plan_run(lessons[-1:], {"PROFILE": "tiny", "SEED": 0, "OUT": str(folder)})


def test_a_parameter_goes_to_the_lessons_that_have_it(folder):
    write_lesson(folder / "01_one.ipynb")
    write_lesson(folder / "02_two.ipynb", parameters=PARAMETERS + "\nEPOCHS = None")
    one, two = plan(folder, EPOCHS=3).lessons.values()
    assert one == {"PROFILE": "tiny", "SEED": 0}
    assert two == {"PROFILE": "tiny", "SEED": 0, "EPOCHS": 3}


def test_paths_become_absolute_and_names_stay(folder, tmp_path):
    write_lesson(folder / "01_one.ipynb")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "one.jpg").touch()
    (given,) = plan(folder, PHOTOS="mine", OUT="elsewhere").lessons.values()
    assert given["PHOTOS"] == str(tmp_path / "mine")
    assert given["OUT"] == str(tmp_path / "elsewhere")
    (given,) = plan(folder, PHOTOS="flowers").lessons.values()
    assert given["PHOTOS"] == "flowers"
    (given,) = plan(folder, PHOTOS="mine+flowers").lessons.values()
    assert given["PHOTOS"] == f"{tmp_path / 'mine'}+flowers"


def test_a_name_of_the_catalogue_goes_before_a_folder_which_is_said(folder, tmp_path, capsys):
    write_lesson(folder / "01_one.ipynb")
    (tmp_path / "flowers").mkdir()
    (tmp_path / "flowers" / "one.jpg").touch()
    for name, given in (("flowers", "flowers"), ("./flowers", str(tmp_path / "flowers"))):
        assert [each["PHOTOS"] for each in plan(folder, PHOTOS=name).lessons.values()] == [given]
    said = "flowers: the course's photographs of that name; what lies here is ./flowers\n"
    assert capsys.readouterr().out == said


def test_each_of_several_further_sources_is_checked(folder, tmp_path):
    write_lesson(folder / "01_one.ipynb", parameters=PARAMETERS + "\nMORE_PHOTOS = None")
    for name in ("mine", "c+d"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "one.jpg").touch()
    (given,) = plan(folder, MORE_PHOTOS="mine+flowers").lessons.values()
    assert given["MORE_PHOTOS"] == f"{tmp_path / 'mine'}+flowers"
    (given,) = plan(folder, MORE_PHOTOS="c+d").lessons.values()
    assert given["MORE_PHOTOS"] == str(tmp_path / "c+d")
    with pytest.raises(CourseError, match="no photographs at 'nowhere'"):
        plan(folder, MORE_PHOTOS="mine+nowhere")


def test_the_usual_folder_is_not_passed_on(folder):
    write_lesson(folder / "01_one.ipynb")
    planned = plan(folder, PROFILE="full")
    assert planned.out == places.RUNS / "full"
    assert "OUT" not in next(iter(planned.lessons.values()))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("3", 3),
        ("-1e-3", -1e-3),
        ("None", None),
        ("[1, 2]", [1, 2]),
        ("True", True),
        ("a b", "a b"),
        ("x.y", "x.y"),
    ],
)
def test_values_are_read_as_python_writes_them(text, value):
    assert parse_parameter("EPOCHS", text) == value


@pytest.mark.parametrize("name", ["PHOTOS", "MORE_PHOTOS", "OUT"])
def test_a_path_is_what_was_typed(name):
    for text in ("2024.10", "007", "1_000", "[1]", "True"):
        assert parse_parameter(name, text) == text
    assert parse_parameter(name, "None") is None
    assert parse_parameter(name, "'2024'") == "2024"


# What a run does -----------------------------------------------------------------------------------


def test_a_run_leaves_notebooks_pages_a_summary_and_a_table(folder, tmp_path, capsys):
    names = ("PROFILE", "SEED", "PHOTOS", "EPOCHS")
    write_lesson(folder / "01_one.ipynb", *CLEAN)
    write_lesson(folder / "02_two.ipynb", show(*names), parameters=PARAMETERS + "\nEPOCHS = None")
    words = ("--out", "out", "--seed", 3, "--photos", "sample", "-p", "EPOCHS", 7)
    assert main("run", *words) == 0
    out = tmp_path / "out"
    assert sorted(path.name for path in out.iterdir()) == [
        ".seconds.json",
        "01_one.html",
        "01_one.ipynb",
        "02_two.html",
        "02_two.ipynb",
        "index.html",
        "summary.json",
    ]
    assert texts(out / "02_two.ipynb") == "tiny 3 sample 7\n"
    summary = json.loads((out / "summary.json").read_text("utf-8"))
    one, two = summary.pop("lessons")
    assert summary == {}
    assert list(one) == ["notebook", "minutes", "peak_mb", "headline", "profile", "seed"]
    assert [(lesson["profile"], lesson["seed"]) for lesson in (one, two)] == [("tiny", 3)] * 2
    assert (one["notebook"], one["headline"]) == ("01_one.ipynb", "it goes up by 1, seed 3")
    assert 0 < one["minutes"] < 10
    assert 30 < one["peak_mb"] < 1000
    assert (two["notebook"], two["headline"]) == ("02_two.ipynb", "")
    said = capsys.readouterr()
    *table, last = said.out.splitlines()
    assert last == f"open {Path('out', 'index.html')}"
    assert [line.split()[0] for line in table] == ["lesson", "01_one", "02_two"]
    assert table[1].endswith("it goes up by 1, seed 3")
    # No terminal: a line for each lesson.
    one, two = sorted(said.err.splitlines())
    assert re.fullmatch(r"01_one +\d+\.\d min  it goes up by 1, seed 3", one)
    assert re.fullmatch(r"02_two +\d+\.\d min", two)


def test_a_run_that_has_a_gallery_says_where_it_is(folder, tmp_path, capsys):
    write_lesson(folder / "01_one.ipynb", f"open({str(tmp_path / 'out' / 'gallery.html')!r}, 'w').close()")
    assert main("run", "--out", "out") == 0
    assert capsys.readouterr().out.splitlines()[-2:] == [
        f"open {Path('out', name)}" for name in ("index.html", "gallery.html")
    ]
    assert '<a href="gallery.html">' in (tmp_path / "out" / "index.html").read_text("utf-8")


def test_the_summary_keeps_lessons_that_ran_before(folder, tmp_path):
    write_lesson(folder / "01_one.ipynb", *CLEAN)
    write_lesson(folder / "02_two.ipynb")
    path = tmp_path / "out" / "summary.json"

    def summary(*words):
        assert main("run", "--out", "out", *words) == 0
        return {lesson["notebook"][:2]: lesson for lesson in json.loads(path.read_text("utf-8"))["lessons"]}

    two = summary("--only", "02")
    both = summary("--only", "01")
    assert list(both) == ["01", "02"]
    assert both["02"] == two["02"]
    other_seed = summary("--only", "01", "--seed", "1")
    assert other_seed["02"] == two["02"]
    assert [lesson["seed"] for lesson in other_seed.values()] == [1, 0]
    write_lesson(folder / "01_one.ipynb", *FAILS)
    assert main("run", "--out", "out", "--seed", "2", "--workers", 1) == 1
    assert json.loads(path.read_text("utf-8"))["lessons"] == list(other_seed.values())
    path.write_text("not JSON")
    assert list(summary("--only", "02")) == ["02"]


def test_the_index_leads_to_no_copy(clean_lesson, tmp_path):
    for name in ("01_clean", "01_clean-Copy1"):
        shutil.copy(clean_lesson, tmp_path / f"{name}.ipynb")
    assert "Copy1" not in pages.write_index(tmp_path).read_text("utf-8")


def test_lessons_run_in_their_folder_each_in_a_new_kernel(folder, tmp_path):
    write_lesson(folder / "01_one.ipynb", "import os\nmine = 1\nprint(os.getcwd())")
    write_lesson(folder / "02_two.ipynb", "print('mine' in globals())")
    run.run(plan_run(find_lessons(folder), {"PROFILE": "tiny", "SEED": 0}, tmp_path / "out"))
    assert texts(tmp_path / "out" / "01_one.ipynb") == f"{folder}\n"
    assert texts(tmp_path / "out" / "02_two.ipynb") == "False\n"


def test_a_page_holds_its_pictures_and_asks_for_nothing(clean_lesson, tmp_path):
    path = tmp_path / "01_clean.ipynb"
    shutil.copy(clean_lesson, path)
    page = pages.write_page(path).read_text("utf-8")
    assert "data:image/" in page
    assert "A line that goes up." in page
    body = page[page.index("<body") :]
    for text in ("<script src", "import(", "<link", "url(http", 'src="http', "cdnjs", "unpkg"):
        assert text not in (page if text in ("<script src", "cdnjs", "unpkg") else body)


def test_a_page_has_a_line_of_text_in_place_of_a_widget(folder):
    path = write_lesson(folder / "01_one.ipynb", WIDGET)
    run.run_lesson(path, folder / "out.ipynb", {})
    page = (folder / "out.html").read_text("utf-8")
    assert "Controls (x): run this cell" in page
    assert "widget-view" not in page
    assert "unpkg" not in page


def test_a_failing_cell_stops_the_run_and_is_named(folder, tmp_path, capsys):
    write_lesson(folder / "01_one.ipynb", *CLEAN)
    write_lesson(folder / "02_two.ipynb", *FAILS)
    write_lesson(folder / "03_three.ipynb")
    assert main("run", "--out", "out", "-p", "SEED", 1, "--timeout", 5) == 1
    *_, last, again = capsys.readouterr().err.splitlines()
    assert (
        again == f"to go on: {installed.PYTHON} -m helpers run --only 02 03 --out out --timeout 5 -p SEED 1"
    )
    for part in (
        "02_two",
        "[4]",
        "x = 1",
        "ZeroDivisionError: division by zero",
        str(Path("out", "02_two.ipynb")),
    ):
        assert part in last
    out = tmp_path / "out"
    assert texts(out / "02_two.ipynb") == "so far\n"
    assert "ZeroDivisionError" in (out / "02_two.html").read_text("utf-8")
    assert not (out / "03_three.ipynb").exists()
    summary = json.loads((out / "summary.json").read_text("utf-8"))
    assert [lesson["notebook"] for lesson in summary["lessons"]] == ["01_one.ipynb"]


def test_a_failure_shows_no_stack_trace(folder, capsys):
    write_lesson(folder / "02_two.ipynb", "raise ValueError('one\\ntwo')")
    assert main("run", "--out", "out") == 1
    said = capsys.readouterr().err
    assert "ValueError: one (see" in said
    assert "Traceback" not in said
    assert "two\n" not in said


def test_an_error_of_the_course_is_one_line_in_the_notebook_and_names_the_lesson(folder, capsys):
    fails = "from helpers.errors import CourseError\n\nraise CourseError('mend this')"
    write_lesson(folder / "01_one.ipynb", fails)
    assert main("run", "--out", "out") == 1
    said = capsys.readouterr().err
    assert "lesson 01_one failed in cell [3] `from helpers.errors " in said
    assert "`: CourseError: mend this (see " in said
    (output,) = nbformat.read(Path("out", "01_one.ipynb"), as_version=4).cells[-1].outputs
    assert (output.ename, output.evalue) == ("CourseError", "mend this")
    assert output.traceback == ["CourseError: mend this"]
    assert "CourseError: mend this" in Path("out", "01_one.html").read_text("utf-8")


def test_a_cell_that_hangs_is_stopped(folder, capsys):
    write_lesson(folder / "01_one.ipynb", "import threading\nthreading.Event().wait(60)")
    assert main("run", "--out", "out", "--timeout", 0.02) == 1
    assert (
        "`import threading`: TimeoutError: the cell ran longer than 0.02 minutes" in capsys.readouterr().err
    )


def test_a_kernel_that_dies_is_named(folder, capsys):
    write_lesson(folder / "01_one.ipynb", "import os\nos._exit(1)")
    assert main("run", "--out", "out") == 1
    assert "`import os`: DeadKernelError" in capsys.readouterr().err


@pytest.mark.skipif(os.name == "nt", reason="needs a command that ends at once with an error")
def test_a_kernel_that_cannot_start_is_named(folder, capsys, monkeypatch):
    write_lesson(folder / "01_one.ipynb")
    broken = {"argv": ["/bin/false"], "display_name": "broken", "language": "python"}
    monkeypatch.setattr(execute, "get_kernel_dict", lambda: broken)
    assert main("run", "--out", "out") == 1
    last = capsys.readouterr().err.splitlines()[0]
    assert last.startswith("error: lesson 01_one did not start: no kernel")


def test_a_log_that_lacks_a_sign_gets_the_rest(folder, tmp_path):
    headline = "from helpers import display\n\ndisplay.headline('ΔE falls')"
    write_lesson(folder / "01_one.ipynb", headline)
    code = (
        "import sys, pathlib\n"
        "from helpers import __main__, places\n"
        f"places.NOTEBOOKS = pathlib.Path({str(folder)!r})\n"
        "sys.exit(__main__.main(['run', '--out', 'out']))"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=os.environ | {"PYTHONIOENCODING": "cp1252"},
        capture_output=True,
    )
    assert ended.returncode == 0, ended.stderr
    assert b"?E falls" in ended.stdout


def without_packages(*words):
    """Run the command line in a Python that has the standard library and the course, and nothing else."""
    code = (
        f"import sys; sys.path.append({str(places.ROOT)!r})\n"
        f"from helpers.__main__ import main\nsys.exit(main({words}))"
    )
    return subprocess.run([sys.executable, "-S", "-c", code], capture_output=True, text=True)


@pytest.mark.parametrize(
    "words", ["run", "run --photos data/sample", "refresh", "fetch sample", "sources", "keep data"]
)
def test_without_the_packages_one_line_says_what_to_install(words):
    ended = without_packages(*words.split())
    assert ended.returncode == 2
    name, _, _ = ended.stderr.removeprefix("error: ").partition(" ")
    assert name.isidentifier()
    assert ended.stderr == f"error: {installed.advice(name)}\n"


def test_help_needs_no_package():
    ended = without_packages("--help")
    assert ended.returncode == 0, ended.stderr
    assert "python -m helpers" in ended.stdout


def test_help_says_where_a_download_goes_and_how_to_use_it(capsys):
    with pytest.raises(SystemExit):
        main("fetch", "--help")
    said = " ".join(capsys.readouterr().out.split())
    assert "data/downloads" in said
    assert "give the printed path as PHOTOS" in said


# Ctrl-C is ignored by what a shell starts in the background, the tests perhaps: it is set right first.
RUN = """
import pathlib, signal, sys
from helpers import __main__, places

signal.signal(signal.SIGINT, signal.default_int_handler)
places.NOTEBOOKS = pathlib.Path({folder!r})
sys.exit(__main__.main({words!r}))
"""


def in_a_process(folder, *words, **options):
    code = RUN.format(folder=str(folder), words=list(words))
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True} | options
    return subprocess.Popen([sys.executable, "-c", code], cwd=folder.parent, **pipes)


# The lesson itself sends to its parent what Ctrl-C sends.
@pytest.mark.parametrize("cells", [("pass", "CTRL_C\nthreading.Event().wait(600)"), ("CTRL_C",)])
def test_an_interruption_ends_the_kernel_and_says_how_to_go_on(cells, folder, tmp_path):
    begin = "import os, signal, threading\nfrom pathlib import Path\nPath('pid').write_text(str(os.getpid()))"
    ctrl_c = "os.kill(os.getppid(), signal.SIGINT)"
    write_lesson(folder / "01_one.ipynb", begin, *(cell.replace("CTRL_C", ctrl_c) for cell in cells))
    write_lesson(folder / "02_two.ipynb")
    process = in_a_process(folder, "run", "--out", "out")
    _, said = process.communicate()
    assert process.returncode == 130
    error, again = said.splitlines()
    assert error == "error: interrupted; what had been written is kept"
    assert again == f"to go on: {installed.PYTHON} -m helpers run --only 01 02 --out out"
    assert not psutil.pid_exists(int((folder / "pid").read_text()))
    assert json.loads((tmp_path / "out" / "summary.json").read_text("utf-8"))["lessons"] == []


def test_an_interruption_ends_a_kernel_that_only_starts(folder, monkeypatch):
    write_lesson(folder / "01_one.ipynb", "print('never')")
    started = []

    class Interrupted(execute.ThisInterpreter):
        async def start_kernel(self, **options):
            os.kill(os.getpid(), signal.SIGINT)
            await super().start_kernel(**options)
            started.append(self.provisioner.process)

    monkeypatch.setattr(execute, "ThisInterpreter", Interrupted)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            run.run_lesson(folder / "01_one.ipynb", folder / "out.ipynb", {})
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, before)
    assert started[0].poll() is not None


def test_the_kernel_is_this_interpreter_whatever_is_installed(folder, tmp_path, monkeypatch):
    spec = tmp_path / "jupyter" / "kernels" / "python3" / "kernel.json"
    spec.parent.mkdir(parents=True)
    spec.write_text(json.dumps({"argv": ["/bin/false"], "display_name": "broken", "language": "python"}))
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "jupyter"))
    path = write_lesson(folder / "01_one.ipynb", "import sys\nprint(sys.executable)")
    run.run_lesson(path, tmp_path / "out.ipynb", {})
    assert texts(tmp_path / "out.ipynb") == f"{sys.executable}\n"


# What the reader has set, and how folders are called ------------------------------------------------


def test_a_kernel_has_no_settings_of_the_reader(folder, tmp_path, monkeypatch):
    profile = tmp_path / "ipython" / "profile_default"
    (profile / "startup").mkdir(parents=True)
    (profile / "startup" / "first.py").write_text("print('startup')")
    interactivity = "get_config().InteractiveShell.ast_node_interactivity = 'all'"
    (profile / "ipython_kernel_config.py").write_text(interactivity)
    (tmp_path / "start.py").write_text("print('PYTHONSTARTUP')")
    (tmp_path / "matplotlibrc").write_text("image.origin: lower")
    (tmp_path / "helpers").mkdir()
    (tmp_path / "helpers" / "__init__.py").touch()
    for name, value in {
        "IPYTHONDIR": tmp_path / "ipython",
        "PYTHONSTARTUP": tmp_path / "start.py",
        "PYTHONWARNINGS": "error",
        "MATPLOTLIBRC": tmp_path,
        "MPLBACKEND": "TkAgg",
        "PYTHONPATH": tmp_path,
    }.items():
        monkeypatch.setenv(name, str(value))
    path = write_lesson(
        folder / "01_one.ipynb",
        "1\n2\nNone",
        "import sys\nimport matplotlib\nimport helpers",
        "print(sys.warnoptions, matplotlib.rcParams['image.origin'], matplotlib.get_backend())",
        "print(helpers.__file__)",
    )
    run.run_lesson(path, tmp_path / "out.ipynb", {})
    settings, code = texts(tmp_path / "out.ipynb").splitlines()
    assert settings.startswith("[] upper ")
    assert "inline" in settings
    assert code == helpers.__file__
    cells = nbformat.read(tmp_path / "out.ipynb", as_version=4).cells
    assert {output.output_type for cell in cells for output in cell.get("outputs", ())} == {"stream"}


# Braces are papermill's, bytes that are no text nobody's.
@pytest.mark.parametrize("name", ["{PROFILE} {0} %41 #$HOME'ü", '\\ " \n {', "w\udce4r"])
def test_a_run_takes_folders_of_any_name(name, folder, tmp_path, monkeypatch):
    place = tmp_path / name
    try:
        place.mkdir()
    except OSError:
        pytest.skip("this system has no such name")
    monkeypatch.setattr(places, "NOTEBOOKS", place / "notebooks")
    monkeypatch.setattr(tempfile, "tempdir", str(place))
    write_lesson(place / "notebooks" / "01_one.ipynb", "import os\nprint(ascii([os.getcwd(), PHOTOS, OUT]))")
    photos, out = place / "photos", place / "out"
    photos.mkdir()
    (photos / "one.jpg").touch()
    assert main("run", "--photos", photos, "--out", out) == 0
    assert ast.literal_eval(texts(out / "01_one.ipynb")) == [
        str(each) for each in (place / "notebooks", photos, out)
    ]
    assert sorted(path.suffix for path in out.iterdir() if path.name != ".seconds.json") == [
        ".html",
        ".html",
        ".ipynb",
        ".json",
    ]
    assert sorted(path.name for path in tmp_path.iterdir()) == [name]
    assert main("refresh") == 0


@pytest.mark.skipif(os.name == "nt", reason="Windows' kernels have no sockets with paths")
@pytest.mark.parametrize(("short", "transport"), [(True, "ipc"), (False, "tcp")])
def test_a_long_folder_for_temporary_files_is_none_for_sockets(
    short, transport, folder, tmp_path, monkeypatch
):
    (tmp_path / ("x" * 100)).mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / ("x" * 100)))
    if not short:
        monkeypatch.setattr(execute, "LONGEST", 3)
    asks = "import json\nfrom pathlib import Path\nfrom ipykernel.connect import get_connection_file"
    prints = "print(json.loads(Path(get_connection_file()).read_text())['transport'])"
    path = write_lesson(folder / "01_one.ipynb", asks, prints)
    run.run_lesson(path, tmp_path / "out.ipynb", {})
    assert texts(tmp_path / "out.ipynb") == f"{transport}\n"


def test_a_folder_whose_path_python_cannot_search_is_named(folder, monkeypatch, capsys):
    write_lesson(folder / "01_one.ipynb")
    monkeypatch.setattr(places, "ROOT", Path(os.pathsep.join("ab")))
    assert main("run", "--out", "out") == 1
    assert f"a{os.pathsep}b: Python cannot search a folder with" in capsys.readouterr().err


def test_what_is_said_of_a_name_is_one_line_and_its_bytes(folder, tmp_path):
    process = in_a_process(folder, "keep", "m\udce4rz\n", text=False)
    assert process.communicate() == (
        b"",
        b"error: " + os.fsencode(Path("m\udce4rz\\n", "models")) + b" is not a folder of networks: "
        b"run lessons 3 to 6 first" + os.linesep.encode(),
    )


@pytest.mark.parametrize("words", ["fetch flowers --to ~/x", "run --out ~/x", "run -p OUT ~/x", "keep ~"])
def test_the_home_folder_is_reached_by_its_sign(words, folder, tmp_path, monkeypatch, capsys):
    write_lesson(folder / "01_one.ipynb")
    (tmp_path / "home").touch()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("USERPROFILE", str(tmp_path / "home"))
    assert main(*words.split()) == 2
    said = capsys.readouterr().err
    assert str(tmp_path / "home") in said
    assert "~" not in said


def test_peak_memory_counts_the_kernel_and_what_it_starts(folder, tmp_path):
    holds = write_lesson(
        folder / "01_one.ipynb",
        "import sys, subprocess, threading\nheld = bytearray(b'1') * 150_000_000",
        "code = \"held = bytearray(b'1') * 150_000_000; print('held', flush=True); input()\"\n"
        "pipes = {'stdin': subprocess.PIPE, 'stdout': subprocess.PIPE}\n"
        "with subprocess.Popen([sys.executable, '-c', code], **pipes) as child:\n"
        "    child.stdout.readline()\n"
        "    threading.Event().wait(1)  # some samples' time\n"
        "    child.communicate(b'end')",
    )
    assert 350 < run.run_lesson(holds, tmp_path / "out.ipynb", {}).peak_mb < 1000


# Side by side --------------------------------------------------------------------------------------

# Where both kernels put what the other waits for.
MEETS = """
import pathlib, threading
pathlib.Path("MINE").touch()
while not pathlib.Path("OTHERS").exists():
    threading.Event().wait(0.01)
"""


def meets(mine, others):
    return MEETS.replace("MINE", mine).replace("OTHERS", others)


@pytest.fixture
def two_cores(monkeypatch):
    monkeypatch.setattr(threads, "cores", lambda: 2)


def test_lessons_run_side_by_side_each_in_its_folder(folder, tmp_path, two_cores):
    write_lesson(folder / "01_one.ipynb", meets("a", "b"))
    write_lesson(folder / "02_two.ipynb", meets("b", "a"))
    here = Path.cwd()
    assert main("run", "--out", "out") == 0
    assert Path.cwd() == here
    lessons = json.loads((tmp_path / "out" / "summary.json").read_text("utf-8"))["lessons"]
    assert [lesson["notebook"] for lesson in lessons] == ["01_one.ipynb", "02_two.ipynb"]


def test_a_lesson_begins_when_the_networks_that_it_reads_are_there(folder, tmp_path, two_cores):
    out = tmp_path / "out"
    save = f"import pathlib\nmodels = pathlib.Path({str(out / 'models')!r})\nmodels.mkdir(exist_ok=True)\n"
    for path, network in ((folder / "01_one.ipynb", "one"), (folder / "02_two.ipynb", "two")):
        late = (
            "import threading\nthreading.Event().wait(3)\n"  # others have begun by now, if they do not wait
        )
        trains(write_lesson(path, f"{late}{save}(models / '{network}.keras').touch()"), network)
    reads = f'{save}assert (models / "two.keras").is_file()'
    write_lesson(folder / "03_reads.ipynb", reads)
    reads_all = "# name in records.NETWORKS\nassert len(list(models.iterdir())) == 2"
    write_lesson(folder / "04_all.ipynb", save + reads_all)
    settings = {"PROFILE": "tiny", "SEED": 0}
    planned = plan_run(find_lessons(folder), settings, out)
    one, two, three, four = planned.lessons
    assert planned.after == {one: set(), two: set(), three: {two}, four: {one, two}}
    assert len(run.run(planned, workers=4)) == 4


def test_what_others_wait_for_begins_first_and_what_is_long_before_what_is_short(folder, tmp_path):
    write_lesson(folder / "01_one.ipynb", "pass")
    trains(folder / "01_one.ipynb", "one")
    write_lesson(folder / "02_short.ipynb", "pass")
    write_lesson(folder / "03_long.ipynb", "pass  # " + "long " * 20)
    write_lesson(folder / "04_reads.ipynb", "'/ \"one.keras\"'" + " " * 400)
    planned = plan_run(find_lessons(folder), {"PROFILE": "tiny", "SEED": 0}, tmp_path / "out")
    assert [path.name[:2] for path in planned.by_urgency()] == ["01", "04", "03", "02"]


def test_lessons_beside_a_failure_run_to_their_end_and_no_other_begins(folder, tmp_path, capsys, two_cores):
    write_lesson(folder / "01_fails.ipynb", meets("a", "b") + "1 / 0  # " + "long " * 50)
    write_lesson(folder / "02_runs.ipynb", meets("b", "a"), "threading.Event().wait(1)  # " + "long " * 40)
    write_lesson(folder / "03_waits.ipynb", "pathlib.Path('never').touch()")
    assert main("run", "--out", "out") == 1
    error, again = capsys.readouterr().err.splitlines()[-2:]
    assert "lesson 01_fails failed in cell" in error
    assert again == f"to go on: {installed.PYTHON} -m helpers run --only 01 03 --out out"
    lessons = json.loads((tmp_path / "out" / "summary.json").read_text("utf-8"))["lessons"]
    assert [lesson["notebook"] for lesson in lessons] == ["02_runs.ipynb"]
    assert not (tmp_path / "out" / "03_waits.ipynb").exists()


def test_an_interruption_ends_all_kernels(folder, tmp_path):
    begin = "import os, signal, threading\nfrom pathlib import Path\n"
    pid = "Path(f'{os.getpid()}.pid').touch()\n"
    write_lesson(folder / "01_one.ipynb", begin + pid + "threading.Event().wait(600)")
    until_both = "while len(list(Path().glob('*.pid'))) < 2:\n    threading.Event().wait(0.01)\n"
    ctrl_c = "os.kill(os.getppid(), signal.SIGINT)\nthreading.Event().wait(600)"
    write_lesson(folder / "02_two.ipynb", begin + pid + until_both + ctrl_c)
    process = in_a_process(folder, "run", "--out", "out", "--workers", "2")
    _, said = process.communicate()
    assert process.returncode == 130
    assert said.splitlines()[-2:] == [
        "error: interrupted; what had been written is kept",
        f"to go on: {installed.PYTHON} -m helpers run --only 01 02 --out out --workers 2",
    ]
    numbers = [int(path.stem) for path in folder.glob("*.pid")]
    assert len(numbers) == 2
    assert not any(map(psutil.pid_exists, numbers))


def test_each_lesson_is_told_its_own_memory(folder, tmp_path):
    held = "held = bytearray(b'1') * 400_000_000\n" + meets("a", "b") + "threading.Event().wait(1)"
    write_lesson(folder / "01_one.ipynb", held)
    write_lesson(folder / "02_two.ipynb", meets("b", "a") + "threading.Event().wait(1)")
    planned = plan_run(find_lessons(folder), {"PROFILE": "tiny", "SEED": 0}, tmp_path / "out")
    one, two = run.run(planned, workers=2)
    assert 400 < one.peak_mb < 1000
    assert 30 < two.peak_mb < 300


def test_a_long_run_has_the_machine_to_itself_unless_told_otherwise(folder, tmp_path, monkeypatch):
    for name in ("01_one", "02_two"):
        write_lesson(folder / f"{name}.ipynb")
    monkeypatch.setattr(threads, "cores", lambda: 8)
    free = type("Memory", (), {"available": 100e9})
    monkeypatch.setattr(psutil, "virtual_memory", lambda: free)
    lessons = find_lessons(folder)
    workers = [
        run.workers_for(plan_run(lessons, {"PROFILE": profile, "SEED": 0}, tmp_path / "out"))
        for profile in ("tiny", "full")
    ]
    assert workers == [2, 1]
    free.available = 4e9
    assert run.workers_for(plan_run(lessons, {"PROFILE": "tiny", "SEED": 0}, tmp_path / "out")) == 1


# Without a network ---------------------------------------------------------------------------------


def test_the_offline_guard_bites(folder, tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", OFFLINE)
    asks = (
        "from urllib.request import urlopen\nurlopen('http://192.0.2.1/', timeout=1)",
        "import socket\nsocket.getaddrinfo('example.org', 80)",
        "import socket\nsocket.socket().connect(('192.0.2.1', 80))",
    )
    for ask in asks:
        path = write_lesson(folder / "01_one.ipynb", ask)
        with pytest.raises(CourseError, match="needs no network"):
            run.run_lesson(path, tmp_path / "out.ipynb", {})


def _can_unshare():
    unshare = shutil.which("unshare")
    return unshare and subprocess.run([unshare, "-rn", "true"], capture_output=True).returncode == 0


@pytest.mark.skipif(not _can_unshare(), reason="needs Linux' unshare, to take the network away")
def test_a_run_needs_no_network_not_even_the_loopback(folder, tmp_path):
    path = write_lesson(folder / "01_one.ipynb", *CLEAN)
    code = (
        "from pathlib import Path; from helpers.runner import run\n"
        f"run.run_lesson(Path({str(path)!r}), Path('out.ipynb'), {{}})"
    )
    subprocess.run(["unshare", "-rn", sys.executable, "-c", code], cwd=tmp_path, check=True)
    assert "measured" in texts(tmp_path / "out.ipynb")


# Refreshing ----------------------------------------------------------------------------------------


def test_refresh_stores_the_outputs_of_the_defaults(folder, capsys):
    path = write_lesson(folder / "01_one.ipynb", show("PROFILE", "SEED"), "import os\nprint(os.getcwd())")
    before = nbformat.read(path, as_version=4)
    other = write_lesson(folder / "02_two.ipynb", *FAILS)
    untouched = other.read_bytes()
    assert main("refresh", "--only", "01") == 0
    assert texts(path) == f"tiny 0\n{folder}\n"
    after = nbformat.read(path, as_version=4)
    assert [(cell.id, cell.source, cell.metadata) for cell in after.cells] == [
        (cell.id, cell.source, cell.metadata) for cell in before.cells
    ]
    assert set(after.metadata) == {"kernelspec", "language_info"}
    assert sorted(path.name for path in folder.iterdir()) == ["01_one.ipynb", "02_two.ipynb"]
    assert other.read_bytes() == untouched


def test_refresh_leaves_a_failing_notebook_as_it_was(folder, capsys):
    path = write_lesson(folder / "01_one.ipynb", *FAILS)
    before = path.read_bytes()
    assert main("refresh") == 1
    assert path.read_bytes() == before
    assert [path.name for path in folder.iterdir()] == ["01_one.ipynb"]
    assert "01_one" in capsys.readouterr().err


def test_refresh_drops_what_widgets_leave(folder):
    path = write_lesson(folder / "01_one.ipynb", WIDGET)
    run.refresh([path])
    assert "widgets" not in nbformat.read(path, as_version=4).metadata


def noise_of_width(side):
    """A cell that shows a photograph of noise, and says how wide a page is to show it."""
    return (
        "import io, numpy, PIL.Image\nfrom IPython.display import display\n"
        f"noise = numpy.random.default_rng(0).integers(0, 256, ({side}, {side}, 3), numpy.uint8)\n"
        "PIL.Image.fromarray(noise).save(drawn := io.BytesIO(), 'jpeg', quality=70)\n"
        "from base64 import b64encode\n"
        "picture = {'image/jpeg': b64encode(drawn.getvalue()).decode()}\n"
        "display(picture, raw=True, metadata={'image/jpeg': {'width': 400}})"
    )


@pytest.mark.parametrize(("side", "least", "most"), [(600, 600, 600), (1300, 650, 1170)])
def test_refresh_stores_photographs_as_sharp_as_a_notebook_has_room_for(folder, side, least, most):
    path = write_lesson(folder / "01_one.ipynb", noise_of_width(side))
    run.refresh([path])
    (output,) = (out for cell in nbformat.read(path, as_version=4).cells for out in cell.get("outputs", ()))
    with PIL.Image.open(io.BytesIO(b64decode(output.data["image/jpeg"]))) as stored:
        assert stored.format == "JPEG"
        assert stored.width == stored.height
        assert least <= stored.width <= most
    assert output.metadata["image/jpeg"]["width"] == 400
    assert path.stat().st_size < run.MOST_BYTES


def test_refresh_of_an_unknown_lesson_lists_the_known(folder, capsys):
    write_lesson(folder / "01_one.ipynb")
    assert main("refresh", "--only", "9") == 2
    assert "09" in (said := capsys.readouterr().err)
    assert "01_one" in said


# The other commands --------------------------------------------------------------------------------


def test_sources_lists_the_catalogue(capsys):
    assert main("sources") == 0
    lines = capsys.readouterr().out.splitlines()
    assert {line.split()[0] for line in lines} >= {"sample", "imagenette-320", "unsplash-lite"}
    (line,) = (line for line in lines if line.startswith("imagenette-320"))
    assert "342 MB" in line
    assert "ImageNet" in line


def test_fetch_prints_where_the_photographs_are(monkeypatch, tmp_path, capsys):
    asked = []

    def fetch(name, to):
        asked.append((name, to))
        return tmp_path / "flowers.tgz"

    monkeypatch.setitem(sys.modules, "helpers.photographs.download", SimpleNamespace(fetch=fetch))
    assert main("fetch", "flowers", "--to", tmp_path) == 0
    assert asked == [("flowers", tmp_path)]
    assert capsys.readouterr().out == f"{tmp_path / 'flowers.tgz'}\n"


def test_a_failing_fetch_is_one_line(monkeypatch, capsys):
    def fetch(name, to):
        raise CourseError("the server does not answer; try again")

    monkeypatch.setitem(sys.modules, "helpers.photographs.download", SimpleNamespace(fetch=fetch))
    assert main("fetch", "flowers") == 1
    assert capsys.readouterr().err == "error: the server does not answer; try again\n"


@pytest.mark.parametrize("photos", ["", " "])
def test_photographs_without_a_name_are_not_the_current_folder(folder, photos, capsys):
    write_lesson(folder / "01_one.ipynb", "print('never')")
    assert main("run", "--photos", photos) == 2
    assert "no photographs at" in capsys.readouterr().err


def test_a_collapsed_solution_stays_inside_its_fold_on_the_page(tmp_path):
    path = tmp_path / "one.ipynb"
    solution = "<details><summary>Solutions</summary>\n\n1. The answer.\n\n</details>"
    nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell(solution)]), path)
    page = pages.write_page(path).read_text("utf-8")
    assert page.index("<details>") < page.index("The answer.") < page.index("</details>")
