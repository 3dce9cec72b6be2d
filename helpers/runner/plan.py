"""What a run is asked for, checked before anything starts; loads nothing that takes long."""

import ast
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from helpers import machines, places, profiles
from helpers.errors import CourseError

# Parameters that name photographs, or are a path to some; and those that may be a path.
PHOTOGRAPHS = ("PHOTOS", "MORE_PHOTOS")
PATHS = (*PHOTOGRAPHS, "OUT")
# What `profiles.begin` takes beside a profile's settings: whether this machine has it, only Keras can tell.
NOT_SETTINGS = ("devices", "precision")


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
    after : mapping of Path to set of Path
        Notebook → those of the others whose networks it reads.
    letters : mapping of Path to int
        Notebook → of how many letters its code is.
    """

    lessons: Mapping[Path, Mapping[str, object]]
    profile: str
    seed: int
    out: Path
    after: Mapping[Path, set[Path]]
    letters: Mapping[Path, int]

    def by_urgency(self) -> list[Path]:
        """Order the lessons by how much code stands in them and in those that wait for them, most first."""
        chain = dict(self.letters)
        for path in reversed(chain):
            chain[path] += max((chain[other] for other in chain if path in self.after[other]), default=0)
        return sorted(chain, key=chain.get, reverse=True)


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
    lessons = places.lessons(folder)
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
        What `helpers.runner.run.run` takes.

    Raises
    ------
    CourseError
        If a profile or a parameter is unknown, a value is not of its kind, the photographs or the folder
        to write to cannot be used, or a lesson needs networks that nobody has trained; the message says
        what is valid.
    """
    parameters = dict(parameters)
    profile, seed = parameters["PROFILE"], parameters["SEED"]
    profiles.check(profile, seed)
    # Lessons run in the folder of the notebooks, so paths from here have to be made absolute.
    for name in PHOTOGRAPHS:
        if parameters.get(name) is not None:
            parameters[name] = _photographs(str(parameters[name]))
    named = parameters.pop("OUT", None)
    profiles.check_out(named)
    if out and named:
        raise CourseError(f"two folders to write to, {out} and {named}: give --out or OUT, not both")
    default = profiles.folder(profile, parameters.get("PHOTOS"))
    folder = machines.own(places.typed(out or named or default).resolve())
    places.check_folder(folder, "name another folder with --out")
    if folder != default:
        parameters["OUT"] = str(folder)
    read = {lesson: _Lesson(lesson) for lesson in lessons}
    known = {name for lesson in read.values() for name in lesson.parameters}
    if unknown := sorted(set(parameters) - known):
        raise CourseError(
            f"no selected lesson has a parameter {', '.join(unknown)}; they have {', '.join(sorted(known))}"
        )
    given = {
        path: {name: value for name, value in parameters.items() if name in lesson.parameters}
        for path, lesson in read.items()
    }
    for path, lesson in read.items():
        for name, setting in lesson.settings.items():
            if setting not in NOT_SETTINGS:
                profiles.check_override(profile, setting, given[path].get(name), name)
    check_networks(lessons, folder)
    after = {
        path: {other for other in read if other < path and lesson.reads(read[other].trains)}
        for path, lesson in read.items()
    }
    letters = {path: lesson.letters for path, lesson in read.items()}
    return Plan(given, profile, seed, folder, after, letters)


def check_networks(lessons: Sequence[Path], out: Path) -> None:
    """See that the networks that lessons show are there, or will be when their turn comes.

    Parameters
    ----------
    lessons : sequence of Path
        The notebooks that are going to run.
    out : Path
        The folder of the run.

    Raises
    ------
    CourseError
        If a lesson shows all networks, and one is neither there nor trained by a lesson before it.
    """
    for path in lessons:
        if not _Lesson(path).shows_networks:
            continue
        before = [other for other in find_lessons(path.parent) if other < path and other not in lessons]
        missing = [
            other.stem[:2]
            for other in before
            if not all((out / "models" / f"{name}.keras").is_file() for name in _Lesson(other).trains)
        ]
        if missing:
            numbers = " ".join(sorted({*missing, *(lesson.stem[:2] for lesson in lessons)}))
            raise CourseError(
                f"lesson {path.stem} shows the networks of {', '.join(missing)}, and {from_here(out)} has "
                f"not all of them; run those too: --only {numbers}"
            )


def networks_of(lesson: Path) -> set[str]:
    """Find which networks a lesson trains, and keeps in its run's folder with their records.

    Parameters
    ----------
    lesson : Path
        The notebook.

    Returns
    -------
    set of str
        Their names, from the tags `recorded:NAME` of its cells.

    Raises
    ------
    CourseError
        If it is not a notebook.
    """
    return _Lesson(lesson).trains


def parse_parameter(name: str, text: str) -> object:
    """Read a parameter's value as Python writes it, or take it as text.

    Parameters
    ----------
    name : str
        The parameter's name.
    text : str
        What was typed, such as `3`, `1e-3`, `None`, `[1, 2]` or `inception_resnet_v2`.

    Returns
    -------
    object
        The number, list, ... or the text itself; always the text where it is a path, which may be
        `2024.10`, but for `None` and what is quoted.
    """
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text
    return text if name in PATHS and not isinstance(value, str | None) else value


def from_here(path: Path) -> Path:
    """Return a path as it is reached from the current folder, if it lies below it."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


class _Lesson:
    """What a notebook's code says of the parameters that it takes, and of networks."""

    def __init__(self, path: Path):
        try:
            notebook = json.loads(path.read_text("utf-8"))
            cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
        except (ValueError, KeyError, TypeError):
            raise CourseError(f"{path} is not a notebook; fetch the course's own again") from None
        sources = ["".join(cell["source"]) for cell in cells]
        tags = [cell["metadata"].get("tags", ()) for cell in cells]
        self.trains = {tag.partition(":")[2] for each in tags for tag in each if tag.startswith("recorded:")}
        self.shows_networks = any("in records.NETWORKS" in source for source in sources)
        self.letters = sum(map(len, sources))
        self._named = {name for source in sources for name in re.findall(r'/ "(\w+)\.keras"', source)}
        self.parameters: set[str] = set()
        # A parameter's name → the setting that it replaces: EPOCHS is another in lesson 5 than in lesson 3.
        self.settings: dict[str, str] = {}
        for source, each in zip(sources, tags, strict=True):
            if "parameters" in each:
                self.parameters |= set(
                    re.findall(r"^([A-Za-z_]\w*) *(?::[^=]+)?=(?!=)", source, re.MULTILINE)
                )
            elif "profiles.begin(" in source:
                self.settings |= _overrides(source)

    def reads(self, networks: set[str]) -> bool:
        """See whether it reads one of some networks in the run's folder."""
        return (self.shows_networks and bool(networks)) or bool(networks & self._named)


def _overrides(source: str) -> dict[str, str]:
    """Find what `profiles.begin` is given by name."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "profiles.begin":
            return {ast.unparse(keyword.value): keyword.arg for keyword in node.keywords if keyword.arg}
    return {}


def _photographs(given: str) -> str:
    """Return names of the catalogue as they are, and paths as absolute ones; several are joined by `+`."""
    from helpers.photographs.collection import several

    return "+".join(_source(str(each)) for each in several(given))


def _source(source: str) -> str:
    from helpers.photographs import archives
    from helpers.photographs.sources import SOURCES, note_namesake

    if source in SOURCES:
        note_namesake(source)
        return source
    path = places.typed(source)
    # An empty name would be this folder, with all that lies in it.
    if not source.strip() or not path.exists():
        raise CourseError(
            f"no photographs at {source!r}: it is neither a folder or archive nor one of {', '.join(SOURCES)}"
        )
    if next(archives.members(path), None) is None:
        raise CourseError(f"no photographs at {source!r}: it is empty")
    return str(path.resolve())
