"""Run the lessons in order, with their progress shown and a record."""

import io
import json
import tempfile
import textwrap
import time
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from dataclasses import asdict, dataclass
from pathlib import Path

import nbformat
import PIL.Image
from nbformat import NotebookNode

from helpers import files, machines, places, profiles
from helpers.errors import CourseError
from helpers.runner import pages
from helpers.runner.execute import PeakMemory, ending_kernels, execute
from helpers.runner.plan import Plan, from_here
from helpers.runner.progress import Progress
from helpers.threads import fitting

# A repository's page shows no larger notebook.
MOST_BYTES = 1_000_000
# How much smaller than they were drawn the photographs of a notebook may be stored, from the sharpest on.
SHARES = (1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.45)
# What a lesson may need in the profile `tiny`: lesson 5 takes most.
MB_OF_A_LESSON = 2500
# In a run's folder: what each cell took, for the next run's estimate.
SECONDS = ".seconds.json"


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


def run(
    planned: Plan, cell_minutes: float = 600, done: list[Path] | None = None, workers: int = 1
) -> list[Result]:
    """Run the lessons, and begin no other one after the first that fails.

    One after the other in the order of the course; or several side by side, those first that others wait
    for: a lesson that reads networks of this run begins when they are trained.

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
    done : list of Path, optional
        Gets each lesson that has run, so that the caller knows them after a failure.
    workers : int
        How many lessons may run at once.

    Returns
    -------
    list of Result
        One for each lesson, in the order of the course.

    Raises
    ------
    CourseError
        If a lesson fails; the message names it, its cell and the error. Lessons that ran beside it have
        run to their end.
    KeyboardInterrupt
        If Ctrl-C was pressed; all kernels have ended.
    """
    planned.out.mkdir(parents=True, exist_ok=True)
    before = read_seconds(planned.out)
    results = []
    try:
        with Progress(planned.lessons, before, workers) as progress:

            def run_one(lesson: Path) -> Result:
                output, parameters = planned.out / lesson.name, planned.lessons[lesson]
                return run_lesson(lesson, output, parameters, cell_minutes, progress)

            for lesson, result in _each(planned, run_one, workers):
                results.append(result)
                if done is not None:
                    done.append(lesson)
                before[lesson.name] = progress.seconds.get(lesson.name, {})
                files.write_text(planned.out / SECONDS, json.dumps(before))
    finally:
        results.sort(key=lambda result: result.notebook)
        _summarize(planned, results)
        print(_table(results), end="")
        if index := pages.write_index(planned.out):
            print(f"open {from_here(index)}")
        if (gallery_page := planned.out / places.GALLERY).is_file():
            print(f"open {from_here(gallery_page)}")
    return results


def workers_for(planned: Plan) -> int:
    """Say how many lessons to run side by side on this machine.

    Parameters
    ----------
    planned : Plan
        What to run.

    Returns
    -------
    int
        In the profile `tiny` as many as there are cores and free memory for. In `full` one: a training
        there has use for all cores, or for the whole memory of a graphics card. One, too, where several
        machines train together: they meet for one lesson at a time.
    """
    if planned.profile != "tiny" or machines.place():
        return 1
    return fitting(len(planned.lessons), MB_OF_A_LESSON)


def _each(planned: Plan, run_one: Callable[[Path], Result], workers: int) -> Iterator[tuple[Path, Result]]:
    """Run lessons, `workers` at once; yield each that has run, and raise the first error at the end."""
    if workers == 1:
        for lesson in planned.lessons:
            yield lesson, run_one(lesson)
        return
    waiting, running, errors = planned.by_urgency(), {}, []
    with ending_kernels(), ThreadPoolExecutor(workers) as pool:
        while (waiting and not errors) or running:
            unfinished = {*waiting, *running.values()}
            ready = [lesson for lesson in waiting if not planned.after[lesson] & unfinished]
            for lesson in ready[: 0 if errors else workers - len(running)]:
                waiting.remove(lesson)
                running[pool.submit(run_one, lesson)] = lesson
            # With a limit, as Windows lets nothing interrupt a wait without one.
            for future in wait(running, timeout=0.5, return_when=FIRST_COMPLETED).done:
                lesson = running.pop(future)
                if error := future.exception():
                    errors.append(error)
                else:
                    yield lesson, future.result()
    if errors:
        raise errors[0]


def read_seconds(out: Path) -> dict[str, dict[str, float]]:
    """Read what the cells took in the last run that wrote to a folder.

    Parameters
    ----------
    out : Path
        The folder of the run.

    Returns
    -------
    dict of str to dict of str to float
        Notebook → cell → seconds; empty if nothing has run.
    """
    try:
        read = json.loads((out / SECONDS).read_text("utf-8"))
        return {name: {cell: float(each) for cell, each in cells.items()} for name, cells in read.items()}
    except (OSError, ValueError, TypeError, AttributeError):  # there is none, or not one of ours
        return {}


def refresh(lessons: Sequence[Path], cell_minutes: float = 600, done: list[Path] | None = None) -> None:
    """Run notebooks with their own defaults, and store the outputs in them.

    A notebook of which a cell fails stays as it was. The picture of a cell that
    is tagged `gallery` is stored beside the notebooks too, for the README. The
    photographs in a notebook are stored as sharp as it has room for.

    Parameters
    ----------
    lessons : sequence of Path
        The notebooks.
    cell_minutes : float
        The longest that one cell may run, in minutes.
    done : list of Path, optional
        Gets each lesson that has run, so that the caller knows them after a failure.

    Raises
    ------
    CourseError
        If a lesson fails; the message names it, its cell and the error.
    """
    before = read_seconds(profiles.folder("tiny"))
    with tempfile.TemporaryDirectory() as folder, Progress(lessons, before) as progress:
        for lesson in lessons:
            output, started = Path(folder) / lesson.name, time.monotonic()
            notebook = execute(lesson, output, {}, cell_minutes, progress)
            progress.end_lesson(lesson, (time.monotonic() - started) / 60, pages.headline(notebook))
            _strip(notebook)
            _fit(notebook)
            files.write_text(lesson, nbformat.writes(notebook) + "\n")
            if picture := gallery(notebook):
                files.write_bytes(lesson.with_name("gallery.jpg"), picture)
            if done is not None:
                done.append(lesson)


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
    progress: Progress | None = None,
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
    progress : Progress, optional
        Is told which cell runs, and when the lesson is done.

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
            notebook = execute(lesson, output, parameters, cell_minutes, progress, memory)
    except CourseError as error:
        raise CourseError(f"{error} (see {from_here(output)})") from None
    finally:
        minutes = (time.monotonic() - started) / 60
        if output.exists():
            pages.write_page(output)
    result = Result(lesson.name, round(minutes, 2), memory.peak_mb, pages.headline(notebook))
    if progress is not None:
        progress.end_lesson(lesson, result.minutes, result.headline)
    return result


def _summarize(planned: Plan, results: Sequence[Result]) -> None:
    """Write `summary.json`: these lessons, and what earlier runs said of others, each with its settings."""
    path = planned.out / "summary.json"
    settings = {"profile": planned.profile, "seed": planned.seed}
    lessons = {}
    try:
        earlier = json.loads(path.read_text("utf-8"))["lessons"]
        lessons = {lesson["notebook"]: dict(lesson) for lesson in earlier}
    except (OSError, ValueError, KeyError, TypeError):  # there is none, or not one of ours
        pass
    lessons |= {result.notebook: asdict(result) | settings for result in results}
    summary = {"lessons": [lessons[notebook] for notebook in sorted(lessons)]}
    files.write_text(path, json.dumps(summary, indent=1, ensure_ascii=False) + "\n")


def _strip(notebook: NotebookNode) -> None:
    """Remove what differs between two equal runs, and what papermill adds."""
    for metadata in [notebook.metadata, *(cell.metadata for cell in notebook.cells)]:
        for name in ("papermill", "widgets", "execution"):
            metadata.pop(name, None)
        if not metadata.get("tags", True):
            del metadata["tags"]


def _fit(notebook: NotebookNode) -> None:
    """Shrink the photographs of a notebook until a repository's page shows it, at the same width."""
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    pictures = [
        (each.data, each.data["image/jpeg"]) for each in outputs if "image/jpeg" in each.get("data", {})
    ]
    for share in SHARES:
        for data, drawn in pictures:
            data["image/jpeg"] = drawn if share == 1 else _shrunk(drawn, share)
        if len(nbformat.writes(notebook).encode()) < MOST_BYTES:
            return


def _shrunk(drawn: str, share: float) -> str:
    """Make a JPEG in base64 smaller, to a share of its width and height."""
    from helpers.display import JPEG  # with matplotlib, which a command that runs no lesson does without

    with PIL.Image.open(io.BytesIO(b64decode(drawn))) as picture:
        size = [max(1, round(side * share)) for side in picture.size]
        smaller = picture.resize(size, PIL.Image.Resampling.LANCZOS)
    smaller.save(stored := io.BytesIO(), "jpeg", **JPEG)
    return b64encode(stored.getvalue()).decode()


def _table(results: Sequence[Result]) -> str:
    """Lay the results out in 80 columns of text: lesson, minutes, headline."""
    if not results:
        return ""
    rows = [("lesson", "minutes", "headline")]
    names = [result.notebook.removesuffix(".ipynb") for result in results]
    widths = [max(map(len, ["lesson", *names])), len("minutes")]
    for name, result in zip(names, results, strict=True):
        lines = textwrap.wrap(result.headline, 80 - sum(widths) - 4) or [""]
        rows.append((name, f"{result.minutes:.1f}", lines[0]))
        rows.extend(("", "", line) for line in lines[1:])
    lines = [f"{name:<{widths[0]}}  {minutes:>{widths[1]}}  {text}".rstrip() for name, minutes, text in rows]
    return "".join(f"{line}\n" for line in lines)
