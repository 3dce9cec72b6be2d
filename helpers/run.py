"""Run the lessons: each in a kernel of its own, with parameters, a progress bar and a record."""

import ast
import json
import logging
import os
import tempfile
import textwrap
import threading
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import nbformat
import papermill
import psutil
from ipykernel.kernelspec import RESOURCES, get_kernel_dict
from jinja2 import DictLoader
from jupyter_client import AsyncKernelManager
from jupyter_client.kernelspec import KernelSpec
from nbclient.exceptions import CellTimeoutError, DeadKernelError
from nbconvert import HTMLExporter
from nbformat import NotebookNode
from papermill.exceptions import PapermillExecutionError
from tqdm import tqdm

from helpers.errors import CourseError
from helpers.sources import SOURCES

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = ROOT / "notebooks"
WIDGET = "application/vnd.jupyter.widget-view+json"

# Whatever goes wrong is raised; papermill's log would say it a second time.
logging.getLogger("papermill").addHandler(logging.NullHandler())


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


def plan(
    lessons: Sequence[Path],
    profiles: Collection[str],
    parameters: Mapping[str, object],
    out: str | None = None,
) -> Plan:
    """Check everything that a run is asked for, and say which lesson gets what.

    Parameters
    ----------
    lessons : sequence of Path
        The notebooks.
    profiles : collection of str
        The profiles that exist.
    parameters : mapping of str to object
        The lessons' parameters to set; PROFILE and SEED must be among them. Each lesson
        gets those that its `parameters` cell names.
    out : str, optional
        The folder to write to; `runs/<profile>` in the project if not given.

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
    if profile not in profiles:
        raise CourseError(f"there is no profile {profile!r}; the profiles are {', '.join(profiles)}")
    if type(seed) is not int or seed < 0:
        raise CourseError(f"the seed is {seed!r}; it must be a whole number of at least 0")
    # Lessons run in the folder of the notebooks, so paths from here have to be made absolute.
    if parameters.get("PHOTOS") is not None:
        parameters["PHOTOS"] = _photographs(str(parameters["PHOTOS"]))
    default = ROOT / "runs" / profile
    folder = Path(out or parameters.pop("OUT", None) or default).expanduser().resolve()
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
    if not path.exists():
        raise CourseError(
            f"no photographs at {source!r}: it is neither a folder or archive nor one of {', '.join(SOURCES)}"
        )
    return str(path.resolve())


def run(planned: Plan, cell_minutes: float = 600) -> list[Result]:
    """Run the lessons one after the other, and stop at the first that fails.

    Writes, for each lesson, the executed notebook and a page of it, and for all
    of them `summary.json`; prints a table. What ran before a failure is kept,
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
        summary = {
            "profile": planned.profile,
            "seed": planned.seed,
            "lessons": [asdict(result) for result in results],
        }
        (planned.out / "summary.json").write_text(
            json.dumps(summary, indent=1, ensure_ascii=False) + "\n", "utf-8"
        )
        print(_table(results, planned.out), end="")
    return results


def refresh(lessons: Sequence[Path], cell_minutes: float = 600) -> None:
    """Run notebooks with their own defaults, and store the outputs in them.

    A notebook of which a cell fails stays as it was.

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
            notebook = _execute(lesson, output, {}, cell_minutes, bar)
            _strip(notebook)
            # Written beside and then renamed, so that a cut leaves no half notebook.
            beside = lesson.with_suffix(".new")
            nbformat.write(notebook, beside)
            beside.replace(lesson)


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
            notebook = _execute(lesson, output, parameters, cell_minutes, bar)
    except CourseError as error:
        raise CourseError(f"{error} (see {_from_here(output)})") from None
    finally:
        minutes = (time.monotonic() - started) / 60
        if output.exists():
            write_page(output)
    return Result(lesson.name, round(minutes, 2), memory.peak_mb, headline(notebook))


def headline(notebook: NotebookNode) -> str:
    """Read the headline that `helpers.display.headline` stored in a notebook.

    Parameters
    ----------
    notebook : NotebookNode
        An executed notebook.

    Returns
    -------
    str
        The last headline, or '' if there is none.
    """
    stored = [
        output.metadata.get("course", {}).get("headline", "")
        for cell in notebook.cells
        for output in cell.get("outputs", [])
        if "metadata" in output
    ]
    return next(filter(None, reversed(stored)), "")


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


class ThisInterpreter(AsyncKernelManager):
    """Start kernels on the interpreter that runs this code, and reach them without a network.

    Any kernel named `python3` may be installed for the user, and its
    interpreter need not have the course's packages. Where the system has Unix
    sockets, they replace the loopback network, which other users can listen to.
    """

    def __init__(self, **traits: object):
        super().__init__(**traits)
        if os.name == "posix":
            # A short path: the system allows a socket's about 100 characters.
            self._sockets = tempfile.TemporaryDirectory(prefix="kernel-")
            self.transport = "ipc"
            self.connection_file = str(Path(self._sockets.name) / "kernel.json")

    @property
    def kernel_spec(self) -> KernelSpec:
        """The kernel that the installed ipykernel describes for this interpreter."""
        return KernelSpec(resource_dir=RESOURCES, **get_kernel_dict())

    async def cleanup_resources(self, restart: bool = False) -> None:
        """Remove the sockets as well, once the kernel has ended."""
        await super().cleanup_resources(restart)
        if os.name == "posix" and not restart:
            self._sockets.cleanup()


class PeakMemory:
    """Measure the peak resident memory of the processes that this one has started.

    Memory is sampled, as no system counts the peak of a whole tree of
    processes; a peak shorter than the interval can be missed.

    Parameters
    ----------
    interval : float
        Seconds between two samples.
    """

    def __init__(self, interval: float = 0.2):
        self.peak_mb = 0
        self._interval = interval
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)

    def __enter__(self) -> "PeakMemory":
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._done.set()
        self._thread.join()

    def _sample(self) -> None:
        this = psutil.Process()
        while not self._done.wait(self._interval):
            total = 0
            for process in this.children(recursive=True):
                try:
                    total += process.memory_info().rss
                except psutil.Error:  # it ended meanwhile
                    continue
            self.peak_mb = max(self.peak_mb, round(total / 1e6))


def _execute(
    lesson: Path,
    output: Path,
    parameters: Mapping[str, object],
    cell_minutes: float,
    bar: tqdm | None,
) -> NotebookNode:
    """Execute a notebook in its own folder and kernel, and return it with its outputs."""
    running = heading = None

    def start(cell: NotebookNode, cell_index: int) -> None:
        nonlocal running, heading
        if cell.cell_type == "code":
            running = cell
            if bar is not None:
                bar.set_description_str(f"{lesson.stem} · {heading or _first_line(cell)}"[:60])
        elif _first_line(cell).startswith("#"):
            heading = _first_line(cell).lstrip("# ")

    def executed(cell: NotebookNode, cell_index: int, execute_reply: Mapping[str, Mapping]) -> None:
        injected = "injected-parameters" in cell.metadata.get("tags", [])
        if bar is not None and not injected and execute_reply["content"]["status"] == "ok":
            bar.update()

    try:
        return papermill.execute_notebook(
            lesson,
            output,
            dict(parameters),
            kernel_name="python3",
            language="python",
            cwd=lesson.parent,
            progress_bar=False,
            log_output=False,
            execution_timeout=max(1, round(cell_minutes * 60)),
            kernel_manager_class=ThisInterpreter,
            extra_arguments=["--log-level=CRITICAL"],
            on_cell_start=start,
            on_cell_executed=executed,
        )
    except PapermillExecutionError as error:
        name, message = error.ename, error.evalue
    except CellTimeoutError:
        name, message = "TimeoutError", f"the cell ran longer than {cell_minutes:g} minutes"
    except DeadKernelError:
        name, message = "DeadKernelError", "the cell's process died; it may have run out of memory"
    message = next((line for line in message.splitlines() if line.strip()), "")
    where = f"cell [{running.execution_count or '*'}] `{_first_line(running)}`"
    raise CourseError(f"lesson {lesson.stem} failed in {where}: {name}: {message}")


def _first_line(cell: NotebookNode) -> str:
    return cell.source.strip().partition("\n")[0]


def _progress(lessons: Sequence[Path] | Mapping[Path, object]) -> tqdm:
    """Make one bar over the code cells of all lessons."""
    cells = [cell for lesson in lessons for cell in nbformat.read(lesson, as_version=4).cells]
    total = sum(cell.cell_type == "code" and bool(cell.source.strip()) for cell in cells)
    return tqdm(total=total, unit="cell", dynamic_ncols=True)


def _strip(notebook: NotebookNode) -> None:
    """Remove what differs between two equal runs, and what papermill adds."""
    for metadata in [notebook.metadata, *(cell.metadata for cell in notebook.cells)]:
        for name in ("papermill", "widgets", "execution"):
            metadata.pop(name, None)
        if not metadata.get("tags", True):
            del metadata["tags"]


# A page that can be read without a network: the stock template loads scripts
# from elsewhere for formulas, diagrams and widgets, which the lessons' pages do without.
_PAGE = "".join(
    [
        "{% extends 'lab/index.html.j2' %}",
        *(
            f"{{% block {name} %}}{{% endblock {name} %}}"
            for name in (
                "html_head_js_requirejs",
                "html_head_js_mathjax",
                "html_head_js_mermaidjs",
                "jupyter_widgets",
            )
        ),
    ]
)


def write_page(path: Path) -> Path:
    """Write a notebook as one HTML file that needs nothing else to be read.

    Widgets, which need a kernel behind them, are replaced by their line of text.

    Parameters
    ----------
    path : Path
        The notebook.

    Returns
    -------
    Path
        The page, beside the notebook.
    """
    notebook = nbformat.read(path, as_version=4)
    notebook.metadata["title"] = path.stem
    notebook.metadata.pop("widgets", None)
    for output in (output for cell in notebook.cells for output in cell.get("outputs", [])):
        output.get("data", {}).pop(WIDGET, None)
    exporter = HTMLExporter(
        extra_loaders=[DictLoader({"page.html.j2": _PAGE})], template_file="page.html.j2", embed_images=True
    )
    page = path.with_suffix(".html")
    page.write_text(exporter.from_notebook_node(notebook)[0], "utf-8")
    return page


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
