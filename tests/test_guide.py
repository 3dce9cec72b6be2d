"""The teacher's guide: its tables are the lessons', its answers have a question, and its times a run."""

import itertools
import json
import re
import shutil
import subprocess
import sys

import pytest

from helpers import places, timetable
from helpers.__main__ import main
from helpers.errors import CourseError
from helpers.places import NOTEBOOKS, ROOT

pytestmark = pytest.mark.quick
LESSONS = places.lessons(NOTEBOOKS)
TEXT = timetable.GUIDE.read_text(encoding="utf-8")
CHAPTERS = {
    f"0{number}": text for number, text in re.findall(r"^## Lesson (\d)(.*?)(?=^## )", TEXT, re.M | re.S)
}
HEADER = "| predict | expect | because |\n| --- | --- | --- |\n"


# The guide and the lessons ---------------------------------------------------------------------------


def chapter(lesson):
    return CHAPTERS[lesson.stem[:2]]


def asked(lesson):
    return [question for section in timetable.sections(lesson) for question in section.predictions]


def answered(text):
    """The rows of a chapter's table of predictions, each as (question, answer, reason)."""
    table = text.partition(HEADER)[2].partition("\n\n")[0]
    return [tuple(cell.strip() for cell in row.strip("|").split(" | ")) for row in table.splitlines()]


def compared(asked, answered):
    """What is to do in a table so that it answers what is asked, in its order; empty if nothing is."""
    rows = [row[0] for row in answered]
    to_do = [f"add: | {question} | ... | ... |" for question in asked if question not in rows]
    to_do += [f"no lesson asks this, take it away: {row}" for row in rows if row not in asked]
    return to_do or ([] if rows == asked else [f"in this order, each once: {asked}"])


@pytest.mark.parametrize("lesson", LESSONS, ids=lambda path: path.stem)
def test_every_prediction_has_its_row_and_no_row_is_left_over(lesson):
    assert compared(asked(lesson), answered(chapter(lesson))) == []


@pytest.mark.parametrize("lesson", LESSONS, ids=lambda path: path.stem)
def test_every_row_has_an_answer_and_a_reason(lesson):
    for row in answered(chapter(lesson)):
        assert len(row) == 3
        assert all(cell.endswith((".", "?")) and len(cell) > 4 for cell in row), row


def test_a_row_that_lacks_is_named_and_so_is_one_too_many():
    rows = [("How?", "So.", "Why."), ("When?", "Then.", "Why.")]
    assert compared(["How?", "When?"], rows) == []
    assert compared(["How?", "When?", "Who?"], rows) == ["add: | Who? | ... | ... |"]
    assert compared(["How?"], rows) == ["no lesson asks this, take it away: When?"]
    assert compared(["When?", "How?"], rows) == ["in this order, each once: ['When?', 'How?']"]
    assert compared(["How?", "When?"], [*rows, rows[0]])


@pytest.mark.parametrize("lesson", LESSONS, ids=lambda path: path.stem)
def test_no_prediction_of_a_notebook_is_overlooked(lesson):
    bold = [
        cell
        for cell in json.loads(lesson.read_text("utf-8"))["cells"]
        if cell["cell_type"] == "markdown"
        for _ in re.findall(r"\*\*Predict\b", "".join(cell["source"]))
    ]
    assert len(asked(lesson)) == len(bold)
    assert bold


@pytest.mark.parametrize("lesson", LESSONS, ids=lambda path: path.stem)
def test_the_table_of_minutes_has_the_sections_of_the_notebook(lesson):
    block = re.search(
        rf"<!-- timetable: {lesson.stem} -->\n(.*?)<!-- end of timetable -->", chapter(lesson), re.S
    )
    shown = [row.split(" | ")[0].removeprefix("| ") for row in block[1].splitlines()[2:]]
    there_are = [section.title for section in timetable.sections(lesson)]
    assert shown == [*there_are, "**the lesson**"], (
        "`python -m helpers run`, then `python -m helpers timetable --write`"
    )


@pytest.mark.parametrize("lesson", LESSONS, ids=lambda path: path.stem)
def test_what_is_typed_live_stands_in_the_lesson(lesson):
    typed = re.search(r"^\*\*Live-code\*\*: (.+)$", chapter(lesson), re.M)[1]
    code = "\n".join(code for section in timetable.sections(lesson) for code in section.code.values())
    names = re.findall(r"`([^`]+)`", typed)
    assert names
    assert [name for name in names if name not in code] == []


def test_each_chapter_has_all_its_parts():
    assert [*CHAPTERS] == [lesson.stem[:2] for lesson in LESSONS]
    for text in CHAPTERS.values():
        assert re.findall(r"^\*\*(.+?)\*\*", text, re.M) == ["Live-code", "Draw", "Where people get stuck"]
        assert all(
            len(line) <= 48
            for figure in re.findall(r"```\n(.*?)```", text, re.S)
            for line in figure.split("\n")
        )
        assert text.count("```\n") >= 2


def test_its_tables_are_narrow_enough_for_a_page():
    for line in TEXT.splitlines():
        if line.startswith("|"):
            assert line.count(" |") <= 4, line


def test_its_links_lead_somewhere():
    pages = {
        path.resolve(): path.read_text("utf-8") for path in [*NOTEBOOKS.glob("*.md"), ROOT / "README.md"]
    }
    for target, _, place in (link.partition("#") for link in re.findall(r"\]\(([^):\s]+)\)", TEXT)):
        path = (NOTEBOOKS / target).resolve() if target else timetable.GUIDE
        assert path.exists(), target
        if place:
            headings = re.findall(r"^#+ (.+)$", pages[path], re.M)
            assert place in {re.sub(r"[^\w\- ]", "", each.lower()).replace(" ", "-") for each in headings}


def test_both_readmes_lead_to_it():
    assert "(notebooks/TEACHING.md)" in (ROOT / "README.md").read_text("utf-8")
    assert "(TEACHING.md)" in (NOTEBOOKS / "README.md").read_text("utf-8")


def test_it_names_only_commands_that_there_are(capsys):
    named = set(re.findall(r"python -m helpers (\w+)", TEXT))
    assert {"doctor", "run", "timetable", "progress", "votes"} <= named
    with pytest.raises(SystemExit):
        main(["--help"])
    known = re.findall(r"^    (\w+)\s", capsys.readouterr().out, re.M)
    assert named <= set(known)


def test_its_offline_command_fetches_what_builds_the_course():
    build = re.search(r'requires = \["(.+)"\]', (ROOT / "pyproject.toml").read_text("utf-8"))[1]
    assert f"python -m pip wheel -r requirements.txt {build} -w ../wheels\n" in TEXT
    pins = (ROOT / "requirements.txt").read_text("utf-8").splitlines()
    assert re.search(r'"tensorflow\[and-cuda\](==\S+)"', TEXT)[1] in {
        pin.removeprefix("tensorflow") for pin in pins if pin.startswith("tensorflow==")
    }


# Reading a notebook ----------------------------------------------------------------------------------

SOURCES = (
    ("markdown", [], "# 1. One: what is it?\n\nThree more words."),
    ("code", ["parameters"], "SEED = 0"),
    (
        "markdown",
        [],
        "## First `thing`\n\nWords [behind](http://example.org/a-link) it's.\n\n```\nno words here\n```",
    ),
    ("code", [], "x = 1"),
    (
        "markdown",
        [],
        "**Predict**: how\nmuch? Look there.\n\nNo more.\n\n## Second\n\n**Predict**, before: who? Or what?",
    ),
    ("code", [], ""),
    ("code", ["exercise"], "check()"),
    ("markdown", ["solution"], "It is so and so."),
    ("markdown", [], "<details>folded\n\nwords</details>\n\n**Predict:** when. **Predict** which one?"),
)


def notebook(path, sources=SOURCES, seconds=None, **changes):
    """Write a notebook; with seconds, as a run leaves it, each cell having taken so many."""
    cells = [
        {"cell_type": kind, "id": f"c{number}", "metadata": {"tags": tags}, "source": source}
        for number, (kind, tags, source) in enumerate(sources)
    ]
    content = {"cells": cells, "metadata": {}}
    if seconds is not None:
        for cell in cells:
            cell["metadata"]["papermill"] = {"status": "completed", "duration": seconds} | changes
        content["metadata"]["papermill"] = {
            "parameters": {"PROFILE": "tiny"},
            "end_time": "2026-11-27T02:03:04.5",
        }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def test_a_notebook_is_read_section_by_section(tmp_path):
    opening, first, second = timetable.sections(notebook(tmp_path / "01_one.ipynb"))
    assert (opening.title, opening.words, [*opening.code]) == ("opening", 8, ["c1"])
    assert (first.title, first.words, [*first.code]) == ("First `thing`", 12, ["c3"])
    assert first.predictions == ("How much?",)
    assert (second.title, [*second.code], second.exercises) == ("Second", ["c6"], 1)
    assert second.predictions == ("Who? Or what?", "When.", "Which one?")


def test_a_section_takes_its_words_its_cells_its_predictions_its_exercises_and_the_machine():
    section = timetable.Section("A", 476, ("Who?",), {"a": "", "b": "", "c": ""}, 2)
    assert timetable.minutes(section, 90) == pytest.approx(2 + 1.5 + 0.5 + 2 + 10)
    assert timetable.minutes(section, 90, exercises=1) == pytest.approx(2 + 1.5 + 0.5 + 2 + 5)


# Reading a run ---------------------------------------------------------------------------------------


@pytest.fixture
def lesson(tmp_path):
    return notebook(tmp_path / "notebooks" / "01_one.ipynb")


def test_a_run_says_what_each_section_took(lesson, tmp_path):
    injected = ("code", ["injected-parameters"], "SEED = 1")
    path = notebook(tmp_path / "run" / lesson.name, [*SOURCES, injected], seconds=30)
    assert path.exists()
    (timed,) = timetable.read(tmp_path / "run", [lesson])
    assert timed.seconds == (30, 30, 30)
    assert (timed.notebook, timed.title) == ("01_one", "1. One: what is it?")
    assert (timed.date, timed.profile) == ("2026-11-27", "tiny")


def test_the_cells_of_a_section_add_up(tmp_path):
    two = [("markdown", [], "# One"), ("code", [], "x = 1"), ("code", [], "x = 2")]
    lesson = notebook(tmp_path / "notebooks" / "01_one.ipynb", two)
    notebook(tmp_path / "run" / lesson.name, two, seconds=30)
    (timed,) = timetable.read(tmp_path / "run", [lesson])
    assert timed.seconds == (60,)


def test_the_report_of_the_course_has_80_columns(all_timed):
    assert max(map(len, timetable.report(all_timed).splitlines())) <= 80


def test_the_report_sums_a_lesson(lesson, tmp_path):
    notebook(tmp_path / "run" / lesson.name, seconds=30)
    lines = timetable.report(timetable.read(tmp_path / "run", [lesson])).splitlines()
    assert lines[0] == "1. One: what is it?"
    words = sum(section.words for section in timetable.sections(lesson))
    assert lines[5].split() == ["the", "lesson", "1.50", "3", str(words), f"{words / 238:.1f}", "4", "1"]


CHANGED = [*SOURCES[:3], ("code", [], "x = 2"), *SOURCES[4:]]
BAD_RUNS = {
    "no run": (lambda path: None, "has not run in"),
    "other code": (lambda path: notebook(path, CHANGED, seconds=1), "is not what"),
    "a cell less": (lambda path: notebook(path, SOURCES[:3], seconds=1), "is not what"),
    "no run, but the notebook": (lambda path: notebook(path), "did not run to its end"),
    "a failed cell": (lambda path: notebook(path, seconds=1, status="failed"), "did not run to its end"),
    "a pending cell": (lambda path: notebook(path, seconds=1, duration=None), "did not run to its end"),
    "no JSON": (lambda path: path.write_text("{", encoding="utf-8"), "is not a notebook"),
    "no notebook": (lambda path: path.write_text("[]", encoding="utf-8"), "is not a notebook"),
}


@pytest.mark.parametrize("case", BAD_RUNS)
def test_a_run_that_tells_nothing_is_refused(case, lesson, tmp_path):
    make, message = BAD_RUNS[case]
    path = tmp_path / "run" / lesson.name
    path.parent.mkdir()
    make(path)
    with pytest.raises(CourseError, match=message) as error:
        timetable.read(tmp_path / "run", [lesson])
    assert len(str(error.value).splitlines()) == 1
    assert f"--only 01 --out {tmp_path / 'run'}`" in str(error.value) or "notebook" in message


def test_the_records_say_on_what_machine(tmp_path):
    models = tmp_path / "models"
    with pytest.raises(CourseError, match="run --only 03"):
        timetable.machine(tmp_path)
    models.mkdir()
    (models / "trivial.json").write_text("{}", encoding="utf-8")
    with pytest.raises(CourseError, match="run --only 03"):
        timetable.machine(tmp_path)
    (models / "baseline.json").write_text('{"device": "2 CPU cores"}', encoding="utf-8")
    (models / "dcgan.json").write_text('{"device": "gpu:0"}', encoding="utf-8")
    assert timetable.machine(tmp_path) == "2 CPU cores, gpu:0"
    (models / "baseline.json").write_text("no JSON", encoding="utf-8")
    with pytest.raises(CourseError, match="is not a record"):
        timetable.machine(tmp_path)


# Writing the guide -----------------------------------------------------------------------------------


@pytest.fixture
def all_timed(tmp_path):
    """All lessons of the course, as if each cell had taken a second."""
    for path in LESSONS:
        cells = json.loads(path.read_text("utf-8"))
        for cell in cells["cells"]:
            cell["metadata"]["papermill"] = {"status": "completed", "duration": 1.0}
        cells["metadata"]["papermill"] = {"parameters": {}, "end_time": "2026-01-02T03:04:05"}
        (tmp_path / path.name).write_text(json.dumps(cells), encoding="utf-8")
    return timetable.read(tmp_path, LESSONS)


@pytest.fixture
def guide(tmp_path):
    return shutil.copy(timetable.GUIDE, tmp_path / "guide.md")


def test_the_guide_is_written_between_its_marks_and_nowhere_else(guide, all_timed):
    timetable.write(guide, all_timed, "an abacus")
    written = guide.read_text("utf-8")
    assert "Measured in the tiny profile on an abacus, 2026-01-02: " in written
    without = [timetable._BLOCK.sub("", text) for text in (TEXT, written)]
    assert without[0] == without[1]
    timetable.write(guide, all_timed, "an abacus")
    assert guide.read_text("utf-8") == written


def test_a_plan_adds_up(guide, all_timed):
    timetable.write(guide, all_timed, "an abacus")
    for name, plan in timetable.PLANS.items():
        block = re.search(rf"<!-- timetable: {name} -->\n(.*?)<!--", guide.read_text("utf-8"), re.S)[1]
        rows = [[cell.strip() for cell in row.strip("|").split(" |")] for row in block.splitlines()[2:]]
        rows = [row for row in rows if row[0]]
        assert len(rows) == sum(len(day.items) + 1 for day in plan.values())
        for (begins, what, takes), (ends, *_) in itertools.pairwise(rows):
            if what != "end":
                hours, minutes = (
                    int(b) - int(a) for a, b in zip(begins.split(":"), ends.split(":"), strict=True)
                )
                assert 60 * hours + minutes == int(takes)


def test_one_day_has_one_exercise_of_each_lesson_and_three_evenings_have_all(guide, all_timed):
    timetable.write(guide, all_timed, "an abacus")
    day, evenings = (
        re.search(rf"<!-- timetable: {name} -->\n(.*?)<!--", guide.read_text("utf-8"), re.S)[1]
        for name in timetable.PLANS
    )
    assert len(re.findall(r", 1 exercise \|", day)) == len(LESSONS)
    each = [sum(section.exercises for section in timetable.sections(lesson)) for lesson in LESSONS]
    assert [int(count) for count in re.findall(r", (\d+) exercises", evenings)] == each


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace("<!-- timetable: 04_fusion_inception -->", ""),
        lambda text: text.replace("timetable: 04_fusion_inception", "timetable: 04_fusion"),
        lambda text: f"{text}\n<!-- timetable: how -->\n<!-- end of timetable -->\n",
    ],
)
def test_a_guide_that_lacks_a_place_stays_as_it_is(change, guide, all_timed):
    guide.write_text(changed := change(TEXT), encoding="utf-8")
    with pytest.raises(CourseError, match="one place for each table"):
        timetable.write(guide, all_timed, "an abacus")
    assert guide.read_text("utf-8") == changed


def test_a_lesson_that_no_plan_has_is_named(guide, all_timed):
    with pytest.raises(CourseError, match=r"the course has 01, 02, 03, 04, 05$"):
        timetable.write(guide, all_timed[:-1], "an abacus")


# The command -----------------------------------------------------------------------------------------


def test_the_command_says_what_lacks_and_writes_nothing(tmp_path, capsys, monkeypatch):
    guide = tmp_path / "guide.md"
    monkeypatch.setattr(timetable, "GUIDE", guide)
    assert main(["timetable", str(tmp_path), "--write"]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"error: lesson 01_data_download has not run in {tmp_path}: ")
    assert len(error.splitlines()) == 1
    assert not guide.exists()


def test_the_command_prints_the_sections_and_writes_if_asked(all_timed, guide, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(timetable, "GUIDE", guide)
    assert main(["timetable", str(tmp_path)]) == 0
    assert capsys.readouterr().out == f"{timetable.report(all_timed)}\n"
    assert guide.read_text("utf-8") == TEXT
    assert main(["timetable", str(tmp_path), "--write"]) == 2
    assert "says on what machine" in capsys.readouterr().err
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "baseline.json").write_text('{"device": "an abacus"}', encoding="utf-8")
    assert main(["timetable", str(tmp_path), "--write"]) == 0
    assert "on an abacus, 2026-01-02" in guide.read_text("utf-8")


def test_the_command_loads_nothing_that_takes_long():
    code = (
        "import sys\nfrom helpers.__main__ import main\nmain(['timetable', 'nowhere'])\n"
        "print(*({'numpy', 'keras', 'papermill', 'nbformat'} & sys.modules.keys()))"
    )
    ended = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert ended.stdout == "\n"
    assert "has not run in nowhere" in ended.stderr
