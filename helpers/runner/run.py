"""Run the lessons in order, with checked parameters, a progress bar and a record."""

import ast
import json
import tempfile
import textwrap
import time
from base64 import b64decode
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import nbformat
import papermill
from nbformat import NotebookNode
from tqdm import tqdm

from helpers import files, profiles
from helpers.errors import CourseError
from helpers.photographs.sources import SOURCES
from helpers.runner import pages
from helpers.runner.execute import PeakMemory, execute


@dataclass(frozen=True)
class Result:
    """What one lesson's run took and found.

    Attributes
    ----------
    notebook : str
        The notebook's file name.
    minutes : float
        Wall time.
    peak_mb : int
        Peak resident memory of the kernel and the processes that it started, in MB of 10⁶ bytes.
    headline : str
        The lesson's headline, '' if it states none.
    """

    notebook: str
    minutes: float
    peak_mb: int
    headline: str


@dataclass(frozen=True)
class Plan:
    """What to run, checked before anything starts.

    Attributes
    ----------
    lessons : mapping of Path to mapping of str to object
        Notebook → the parameters that it is given, in the order of the course.
    profile : str
        The profile that all lessons run in.
    seed : int
        The seed that all lessons are given.
    out : Path
        The folder that everything is written to.
    """

    lessons: Mapping[Path, Mapping[str, object]]
    profile: str
    seed: int
    out: Path


def find_lessons(folder: Path, only: Sequence[str] = ()) -> list[Path]:
    """Find the lessons' notebooks.

    Parameters
    ----------
    folder : Path
        Where the notebooks are.
    only : sequence of str
        Numbers or names, as "3", "03" or "03_baseline_cnn"; all lessons if empty.

    Returns
    -------
    list of Path
        The notebooks in the order of the course.

    Raises
    ------
    CourseError
        If there are no lessons, or none of a given name.
    """
    lessons = sorted(folder.glob("[0-9][0-9]_*.ipynb"))
    if not lessons:
        raise CourseError(f"no lessons (NN_name.ipynb) are in {folder}")
    wanted = {name.removesuffix(".ipynb").zfill(2) for name in only}
    known = {name for path in lessons for name in (path.stem, path.stem[:2])}
    if unknown := sorted(wanted - known):
        names = ", ".join(path.stem for path in lessons)
        raise CourseError(f"there is no lesson {', '.join(unknown)}; the lessons are {names}")
    return [path for path in lessons if not wanted or wanted & {path.stem, path.stem[:2]}]


def plan(lessons: Sequence[Path], parameters: Mapping[str, object], out: str | Path | None = None) -> Plan:
    """Check everything that a run is asked for, and say which lesson gets what.

    Parameters
    ----------
    lessons : sequence of Path
        The notebooks.
    parameters : mapping of str to object
        The lessons' parameters to set; PROFILE and SEED must be among them. Each lesson
        gets those that its `parameters` cell names.
    out : str or Path, optional
        The folder to write to, which OUT among the parameters may name as well;
        what `helpers.profiles.folder` names if neither is given.

    Returns
    -------
    Plan
        What `run` takes.

    Raises
    ------
    CourseError
        If a profile or a parameter is unknown, or the photographs or the folder to write to
        cannot be used; the message lists what is valid.
    """
    parameters = dict(parameters)
    profile, seed = parameters["PROFILE"], parameters["SEED"]
    profiles.check(profile, seed)
    # Lessons run in the folder of the notebooks, so paths from here have to be made absolute.
    if parameters.get("PHOTOS") is not None:
        parameters["PHOTOS"] = _photographs(str(parameters["PHOTOS"]))
    named = parameters.pop("OUT", None)
    if not isinstance(named, str | None):
        raise CourseError(f"OUT is {named!r}; it must be the path of a folder")
    if out and named:
        raise CourseError(f"two folders to write to, {out} and {named}: give --out or OUT, not both")
    default = profiles.folder(profile, parameters.get("PHOTOS"))
    folder = Path(out or named or default).expanduser().resolve()
    if folder.exists() and not folder.is_dir():
        raise CourseError(f"cannot write to {folder}: it is a file, not a folder")
    if folder != default:
        parameters["OUT"] = str(folder)
    accepted = {lesson: papermill.inspect_notebook(lesson) for lesson in lessons}
    known = {name for names in accepted.values() for name in names}
    if unknown := sorted(set(parameters) - known):
        raise CourseError(
            f"no selected lesson has a parameter {', '.join(unknown)}; they have {', '.join(sorted(known))}"
        )
    return Plan(
        {
            lesson: {name: value for name, value in parameters.items() if name in names}
            for lesson, names in accepted.items()
        },
        profile,
        seed,
        folder,
    )


def _photographs(source: str) -> str:
    """Return a catalogue name as it is, and a path as an absolute one."""
    if source in SOURCES:
        return source
    path = Path(source).expanduser()
    # An empty name would be this folder, with all that lies in it.
    if not source.strip() or not path.exists():
        raise CourseError(
            f"no photographs at {source!r}: it is neither a folder or archive nor one of {', '.join(SOURCES)}"
        )
    return str(path.resolve())


def run(planned: Plan, cell_minutes: float = 600) -> list[Result]:
    """Run the lessons one after the other, and stop at the first that fails.

    Writes, for each lesson, the executed notebook and a page of it, and for all
    of them `summary.json`, in which lessons that ran earlier with the same
    profile and seed stay; prints a table. What ran before a failure is kept,
    the failing notebook as far as it came included.

    Parameters
    ----------
    planned : Plan
        What to run, as `plan` returns it.
    cell_minutes : float
        The longest that one cell may run, in minutes.

    Returns
    -------
    list of Result
        One for each lesson.

    Raises
    ------
    CourseError
        If a lesson fails; the message names it, its cell and the error.
    """
    planned.out.mkdir(parents=True, exist_ok=True)
    results = []
    try:
        with _progress(planned.lessons) as bar:
            for lesson, parameters in planned.lessons.items():
                output = planned.out / lesson.name
                results.append(run_lesson(lesson, output, parameters, cell_minutes, bar))
    finally:
        _summarize(planned, results)
        print(_table(results, planned.out), end="")
        if index := pages.write_index(planned.out):
            print(f"open {_from_here(index)}")
    return results


def refresh(lessons: Sequence[Path], cell_minutes: float = 600) -> None:
    """Run notebooks with their own defaults, and store the outputs in them.

    A notebook of which a cell fails stays as it was. The picture of a cell that
    is tagged `gallery` is stored beside the notebooks too, for the README.

    Parameters
    ----------
    lessons : sequence of Path
        The notebooks.
    cell_minutes : float
        The longest that one cell may run, in minutes.

    Raises
    ------
    CourseError
        If a lesson fails; the message names it, its cell and the error.
    """
    with tempfile.TemporaryDirectory() as folder, _progress(lessons) as bar:
        for lesson in lessons:
            output = Path(folder) / lesson.name
            notebook = execute(lesson, output, {}, cell_minutes, bar)
            _strip(notebook)
            files.write_text(lesson, nbformat.writes(notebook) + "\n")
            if picture := gallery(notebook):
                files.write_bytes(lesson.with_name("gallery.jpg"), picture)


def gallery(notebook: NotebookNode) -> bytes:
    """Take the picture of the cell that is tagged `gallery`.

    Parameters
    ----------
    notebook : NotebookNode
        An executed lesson.

    Returns
    -------
    bytes
        The picture as JPEG; empty if the lesson has no such cell.
    """
    for cell in notebook.cells:
        if "gallery" in cell.metadata.get("tags", ()):
            return b64decode(next(out.data["image/jpeg"] for out in cell.outputs if "image/jpeg" in out.data))
    return b""


def run_lesson(
    lesson: Path,
    output: Path,
    parameters: Mapping[str, object],
    cell_minutes: float = 600,
    bar: tqdm | None = None,
) -> Result:
    """Run one lesson; write the executed notebook and, beside it, a page of it.

    Parameters
    ----------
    lesson : Path
        The notebook; it runs in its own folder.
    output : Path
        The executed notebook to write; the page gets its name with `.html`.
    parameters : mapping of str to object
        Values for names of the lesson's `parameters` cell.
    cell_minutes : float
        The longest that one cell may run, in minutes.
    bar : tqdm, optional
        A bar that is told which cell runs, and moved on after each.

    Returns
    -------
    Result
        Minutes, peak memory and headline.

    Raises
    ------
    CourseError
        If a cell fails; the message names the lesson, the cell and the error.
        The notebook and its page are kept as far as they came.
    """
    started = time.monotonic()
    try:
        with PeakMemory() as memory:
            notebook = execute(lesson, output, parameters, cell_minutes, bar)
    except CourseError as error:
        raise CourseError(f"{error} (see {_from_here(output)})") from None
    finally:
        minutes = (time.monotonic() - started) / 60
        if output.exists():
            pages.write_page(output)
    return Result(lesson.name, round(minutes, 2), memory.peak_mb, pages.headline(notebook))


def parse_value(text: str) -> object:
    """Read a value as Python writes it, or take it as text.

    Parameters
    ----------
    text : str
        What was typed, such as `3`, `1e-3`, `None`, `[1, 2]` or `inception_resnet_v2`.

    Returns
    -------
    object
        The number, list, ... or the text itself.
    """
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


def _progress(lessons: Sequence[Path] | Mapping[Path, object]) -> tqdm:
    """Make one bar over the code cells of all lessons."""
    cells = [cell for lesson in lessons for cell in nbformat.read(lesson, as_version=4).cells]
    total = sum(cell.cell_type == "code" and bool(cell.source.strip()) for cell in cells)
    return tqdm(total=total, unit="cell", dynamic_ncols=True)


def _summarize(planned: Plan, results: Sequence[Result]) -> None:
    """Write `summary.json`: these lessons, and what earlier runs said of others with the same settings."""
    path = planned.out / "summary.json"
    settings = {"profile": planned.profile, "seed": planned.seed}
    lessons = {}
    try:
        earlier = json.loads(path.read_text("utf-8"))
        if all(earlier[name] == value for name, value in settings.items()):
            lessons = {lesson["notebook"]: lesson for lesson in earlier["lessons"]}
    except (OSError, ValueError, KeyError, TypeError):  # there is none, or not one of ours
        pass
    lessons |= {result.notebook: asdict(result) for result in results}
    summary = settings | {"lessons": [lessons[notebook] for notebook in sorted(lessons)]}
    files.write_text(path, json.dumps(summary, indent=1, ensure_ascii=False) + "\n")


def _strip(notebook: NotebookNode) -> None:
    """Remove what differs between two equal runs, and what papermill adds."""
    for metadata in [notebook.metadata, *(cell.metadata for cell in notebook.cells)]:
        for name in ("papermill", "widgets", "execution"):
            metadata.pop(name, None)
        if not metadata.get("tags", True):
            del metadata["tags"]


def _table(results: Sequence[Result], out: Path) -> str:
    """Lay the results out as text: lesson, minutes, headline, where the output is."""
    if not results:
        return ""
    rows = [("lesson", "minutes", "headline", "output")]
    for result in results:
        page = str(_from_here((out / result.notebook).with_suffix(".html")))
        name = result.notebook.removesuffix(".ipynb")
        lines = textwrap.wrap(result.headline, 60) or [""]
        rows.append((name, f"{result.minutes:.1f}", lines[0], page))
        rows.extend(("", "", line, "") for line in lines[1:])
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
    return "".join(line.rstrip() + "\n" for line in lines)


def _from_here(path: Path) -> Path:
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
