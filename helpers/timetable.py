"""How long each section of the lessons takes: what a run measured, and the plans of a teacher made of it."""

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from helpers import files, places
from helpers.errors import CourseError

GUIDE = places.NOTEBOOKS / "TEACHING.md"
# Words in a minute of silent reading: adults, English, no fiction (Brysbaert 2019,
# https://doi.org/10.1016/j.jml.2019.104047).
READING = 238
# Minutes that a plan allows for what nobody has measured: to look at a cell of code and at what it shows, to
# write a prediction down and compare it, to solve an exercise. They are a choice.
CELL, PREDICTION, EXERCISE = 0.5, 2.0, 5.0
STEP = 5  # minutes to which a plan rounds up


@dataclass(frozen=True)
class Day:
    """One day or evening of a plan.

    Attributes
    ----------
    begins : int
        Minutes after midnight.
    items : tuple of str or (str, int)
        A lesson by its two digits; or a pause, with its minutes.
    exercises : float
        How many exercises of each lesson are done in the room, at most.
    """

    begins: int
    items: tuple[str | tuple[str, int], ...]
    exercises: float = math.inf


_BREAK = ("break", 15)
PLANS = {
    "one day": {
        "the day": Day(
            9 * 60,
            ("01", "02", _BREAK, "03", ("lunch", 60), "04", _BREAK, "05", _BREAK, "06", ("the game", 15)),
            exercises=1,
        )
    },
    "three evenings": {
        "first evening": Day(18 * 60 + 30, ("01", _BREAK, "02")),
        "second evening": Day(18 * 60 + 30, ("03", _BREAK, "04")),
        "third evening": Day(18 * 60 + 30, ("05", _BREAK, "06", ("the game", 15))),
    },
}

_NOT_READ = re.compile(r"<details>.*?</details>|^```.*?^```", re.DOTALL | re.MULTILINE)
_NOT_WORDS = re.compile(r"\]\([^)]*\)|<[^>]*>|https?://\S+")
_WORD = re.compile(r"\w+(?:['.,-]\w+)*")
_PREDICT = re.compile(
    r"\*\*Predict(?::\*\*|\*\*(?:, [^:?]*)?:?)\s*(.+?)\s*(?=\*\*Predict|\n\s*\n|\Z)", re.DOTALL
)
_BLOCK = re.compile(r"(<!-- timetable: (.+?) -->\n).*?(<!-- end of timetable -->)", re.DOTALL)


@dataclass(frozen=True)
class Section:
    """What stands under a heading of the second level, or before the first one.

    Attributes
    ----------
    title : str
        The heading; `opening` before the first one.
    words : int
        Words to read, without code, solutions and what is folded.
    predictions : tuple of str
        The questions after **Predict**.
    code : mapping of str to str
        A cell of code → its source.
    exercises : int
        How many of the cells are exercises.
    """

    title: str
    words: int
    predictions: tuple[str, ...]
    code: Mapping[str, str]
    exercises: int


@dataclass(frozen=True)
class Timed:
    """A lesson, and what a run of it took.

    Attributes
    ----------
    notebook : str
        The notebook's name, without its ending.
    title : str
        The lesson's heading.
    sections : tuple of Section
        Its sections.
    seconds : tuple of float
        What the cells of each section took.
    date : str
        The day of the run, as ``2026-11-27``.
    profile : str
        The profile of the run.
    """

    notebook: str
    title: str
    sections: tuple[Section, ...]
    seconds: tuple[float, ...]
    date: str
    profile: str


def sections(lesson: Path) -> list[Section]:
    """Read the sections of a lesson.

    Parameters
    ----------
    lesson : Path
        The notebook.

    Returns
    -------
    list of Section
        In their order.

    Raises
    ------
    CourseError
        If it is not a notebook.
    """
    parts: list[tuple[str, list[str], list[dict]]] = [("opening", [], [])]  # title, texts, cells of code
    for cell in _read(lesson)["cells"]:
        source = "".join(cell["source"])
        if cell["cell_type"] == "code" and source.strip():
            parts[-1][2].append(cell)
        elif cell["cell_type"] == "markdown" and "solution" not in _tags(cell):
            before, *rest = re.split(r"^## (.+)$", _NOT_READ.sub("", source), flags=re.MULTILINE)
            parts[-1][1].append(before)
            for title, text in zip(rest[::2], rest[1::2], strict=True):
                parts.append((title, [title, text], []))
    return [_section(*part) for part in parts]


def read(run: Path, lessons: Sequence[Path]) -> list[Timed]:
    """Read what the cells of lessons took in a run.

    Parameters
    ----------
    run : Path
        The folder that `python -m helpers run` has written to.
    lessons : sequence of Path
        The lessons' notebooks.

    Returns
    -------
    list of Timed
        One for each lesson.

    Raises
    ------
    CourseError
        If a lesson has not run there, not to its end, or with other code than it has now; the message says
        how to run it.
    """
    return [_timed(run / lesson.name, lesson) for lesson in lessons]


def machine(run: Path) -> str:
    """Say on what a run computed, as the records of its networks have it.

    Parameters
    ----------
    run : Path
        The folder of the run.

    Returns
    -------
    str
        As ``2 CPU cores (x86_64)``.

    Raises
    ------
    CourseError
        If no network was trained in it.
    """
    records = [_read(path) for path in sorted((run / "models").glob("*.json"))]
    if devices := sorted({record["device"] for record in records if "device" in record}):
        return ", ".join(devices)
    raise CourseError(
        f"no network of {run} says on what machine it ran: `python -m helpers run --only 03` trains one"
    )


def minutes(section: Section, seconds: float, exercises: float = math.inf) -> float:
    """Say how long a section takes in a room.

    Parameters
    ----------
    section : Section
        The section.
    seconds : float
        What its cells took.
    exercises : float
        How many of its exercises are done, at most.

    Returns
    -------
    float
        Minutes to read it, to run it, to look at each cell, to predict and to solve.
    """
    looking = CELL * (len(section.code) - section.exercises)
    working = PREDICTION * len(section.predictions) + EXERCISE * min(exercises, section.exercises)
    return section.words / READING + seconds / 60 + looking + working


def report(timed: Sequence[Timed]) -> str:
    """Lay out what the sections of lessons take, in 80 columns.

    Parameters
    ----------
    timed : sequence of Timed
        The lessons.

    Returns
    -------
    str
        A table for each lesson, with its sum: minutes of computing, cells of code, words and the minutes to
        read them, predictions, and exercises.
    """
    lines = []
    for lesson in timed:
        lines += [lesson.title, _line("section", "computer", "cells", "words", "reading", "predict", "solve")]
        rows = [*zip(lesson.sections, lesson.seconds, strict=True), _sum(lesson)]
        for section, seconds in rows:
            lines.append(
                _line(
                    section.title,
                    f"{seconds / 60:.2f}",
                    len(section.code),
                    section.words,
                    f"{section.words / READING:.1f}",
                    len(section.predictions),
                    section.exercises,
                )
            )
        lines.append("")
    return "\n".join([*lines, f"computer and reading in minutes; reading at {READING} words a minute"])


def write(guide: Path, timed: Sequence[Timed], computed_on: str) -> None:
    """Write the tables of a teacher's guide anew, between their marks.

    Parameters
    ----------
    guide : Path
        The guide. `<!-- timetable: NAME -->` stands before each table, `<!-- end of timetable -->` after it.
    timed : sequence of Timed
        All lessons of the course.
    computed_on : str
        The machine, as `machine` names it.

    Raises
    ------
    CourseError
        If the plans or the guide lack a lesson, or name one that there is not.
    """
    tables = {"how": _how(timed, computed_on)}
    tables |= {name: _plan(plan, timed) for name, plan in PLANS.items()}
    tables |= {lesson.notebook: _table(lesson) for lesson in timed}
    text = guide.read_text(encoding="utf-8")
    marked = [name for _, name, _ in _BLOCK.findall(text)]
    if sorted(marked) != sorted(tables):
        differing = ", ".join(sorted(set(marked) ^ set(tables))) or "one twice"
        raise CourseError(f"{guide.name} should have one place for each table; look at: {differing}")
    files.write_text(guide, _BLOCK.sub(lambda block: f"{block[1]}{tables[block[2]]}\n{block[3]}", text))


def _read(path: Path) -> dict:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(found, dict) and (path.suffix != ".ipynb" or "cells" in found):
            return found
    except ValueError:
        pass
    raise CourseError(f"{path} is not a notebook" if path.suffix == ".ipynb" else f"{path} is not a record")


def _tags(cell: Mapping) -> Sequence[str]:
    return cell["metadata"].get("tags", ())


def _section(title: str, texts: Sequence[str], cells: Sequence[Mapping]) -> Section:
    return Section(
        title,
        len(_WORD.findall(_NOT_WORDS.sub(" ", " ".join(texts)))),
        tuple(_question(each) for text in texts for each in _PREDICT.findall(text)),
        {cell["id"]: "".join(cell["source"]) for cell in cells},
        sum("exercise" in _tags(cell) for cell in cells),
    )


def _question(text: str) -> str:
    """Return what is asked in one line: up to the last question mark, if there is one."""
    line = " ".join(text.split())
    end = line.rfind("?") + 1 or len(line)
    return line[0].upper() + line[1:end]


def _timed(executed: Path, lesson: Path) -> Timed:
    where = "" if executed.parent == places.RUNS / "tiny" else f" --out {executed.parent}"
    again = f"`python -m helpers run --only {lesson.stem[:2]}{where}`"
    if not executed.is_file():
        raise CourseError(f"lesson {lesson.stem} has not run in {executed.parent}: {again} runs it")
    ran = _read(executed)
    cells = {cell.get("id"): cell for cell in ran["cells"]}
    taken = []
    found = sections(lesson)
    for section in found:
        taken.append(0.0)
        for name, source in section.code.items():
            if name not in cells or "".join(cells[name]["source"]) != source:
                raise CourseError(f"the code of lesson {lesson.stem} is not what {executed} ran: {again}")
            record = cells[name]["metadata"].get("papermill", {})
            if record.get("status") != "completed" or record.get("duration") is None:
                raise CourseError(
                    f"lesson {lesson.stem} did not run to its end in {executed.parent}: {again}"
                )
            taken[-1] += record["duration"]
    record = ran["metadata"]["papermill"]  # each of its cells has a record, so it has one
    sources = ["".join(cell["source"]) for cell in ran["cells"] if cell["cell_type"] == "markdown"]
    title = re.search(r"^# (.+)$", "\n".join(sources), re.MULTILINE)
    profile = record["parameters"].get("PROFILE", "tiny")
    return Timed(
        lesson.stem,
        title[1] if title else lesson.stem,
        tuple(found),
        tuple(taken),
        record["end_time"][:10],
        profile,
    )


def _sum(lesson: Timed) -> tuple[Section, float]:
    """Put all sections of a lesson into one."""
    code = {name: source for section in lesson.sections for name, source in section.code.items()}
    predictions = tuple(each for section in lesson.sections for each in section.predictions)
    words, exercises = (
        sum(getattr(each, name) for each in lesson.sections) for name in ("words", "exercises")
    )
    return Section("the lesson", words, predictions, code, exercises), sum(lesson.seconds)


def _line(title: str, *numbers: object) -> str:
    short = title if len(title) <= 29 else f"{title[:28]}…"
    return f"  {short:<29}" + "".join(f"{number:>{9 if i == 0 else 8}}" for i, number in enumerate(numbers))


def _how(timed: Sequence[Timed], computed_on: str) -> str:
    dates = sorted({lesson.date for lesson in timed})
    when = dates[0] if len(dates) == 1 else f"{dates[0]} to {dates[-1]}"
    profiles = " and ".join(sorted({lesson.profile for lesson in timed}))
    return (
        f"Measured in the {profiles} profile on {computed_on}, {when}: *computer* is what the cells of a "
        "section took. *plan* is the minutes in the room, with all exercises. Reading counts "
        f"{READING} words a minute, the mean of adults who read English silently, no fiction "
        "([Brysbaert, 2019](https://doi.org/10.1016/j.jml.2019.104047)). A plan adds what nobody has "
        f"measured: {CELL:g} minutes to look at a cell of code and what it shows, {PREDICTION:g} for a "
        f"prediction, {EXERCISE:g} for an exercise. Each lesson is rounded up to {STEP} minutes."
    )


def _plan(plan: Mapping[str, Day], timed: Sequence[Timed]) -> str:
    lessons = {lesson.notebook[:2]: lesson for lesson in timed}
    planned = [item for day in plan.values() for item in day.items if isinstance(item, str)]
    if sorted(planned) != sorted(lessons):
        raise CourseError(
            f"the plans in helpers/timetable.py have lessons {', '.join(planned)}; "
            f"the course has {', '.join(sorted(lessons))}"
        )
    lines = ["| time | what | minutes |", "| --- | --- | ---: |"]
    for name, day in plan.items():
        if len(plan) > 1:
            lines.append(f"| | **{name}** | |")
        now = day.begins
        for item in day.items:
            what, takes = item if isinstance(item, tuple) else _entry(lessons[item], day.exercises)
            lines.append(f"| {_clock(now)} | {what} | {takes} |")
            now += takes
        lines.append(f"| {_clock(now)} | end | |")
    return "\n".join(lines)


def _entry(lesson: Timed, exercises: float) -> tuple[str, int]:
    """Name a lesson in a plan, and say how many minutes it takes."""
    takes = sum(map(minutes, lesson.sections, lesson.seconds, [exercises] * len(lesson.sections)))
    done = min(exercises, sum(section.exercises for section in lesson.sections))
    link = f"[{lesson.title.partition(':')[0]}]({lesson.notebook}.ipynb)"
    return f"{link}, {_count(int(done), 'exercise')}", STEP * math.ceil(takes / STEP)


def _clock(time: int) -> str:
    return f"{time // 60 % 24:02}:{time % 60:02}"


def _table(lesson: Timed) -> str:
    lines = ["| section | plan | computer | what is in it |", "| --- | ---: | ---: | --- |"]
    total, total_seconds = _sum(lesson)
    for section, seconds in [*zip(lesson.sections, lesson.seconds, strict=True), (total, total_seconds)]:
        inside = [_count(section.words, "word"), _count(len(section.code), "cell")]
        inside += [_count(len(section.predictions), "prediction")] * bool(section.predictions)
        inside += [_count(section.exercises, "exercise")] * bool(section.exercises)
        title = f"**{section.title}**" if section is total else section.title
        planned = max(1, round(minutes(section, seconds)))
        lines.append(f"| {title} | {planned} min | {seconds:.0f} s | {', '.join(inside)} |")
    return "\n".join(lines)


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
