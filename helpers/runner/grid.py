"""A grid of parameters to run one lesson over, read from a file and checked before anything starts."""

import itertools
import json
import math
import os
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import yaml

from helpers import files, places
from helpers.errors import CourseError
from helpers.runner.plan import PHOTOGRAPHS, find_lessons, from_here, networks_of, parse_parameter, plan

NEEDED, KEYS = ("lesson", "grid", "metrics"), ("lesson", "parameters", "grid", "metrics")
# More combinations than these are most likely not meant.
MOST = 100
LONGEST = 80  # characters of a combination's folder


@dataclass(frozen=True)
class Combination:
    """One choice of a value for each parameter of the grid.

    Attributes
    ----------
    values : mapping of str to object
        Parameter of the grid → its value, in the order of the file.
    parameters : mapping of str to object
        All that the lesson is given.
    folder : Path
        Where the lesson writes to, named after the values.
    made_from : str
        The digits that `made_from` gives for it.
    """

    values: Mapping[str, object]
    parameters: Mapping[str, object]
    folder: Path
    made_from: str

    def __str__(self) -> str:
        return " ".join(f"{name}={value}" for name, value in self.values.items())


@dataclass(frozen=True)
class Grid:
    """What a sweep does, checked before anything starts.

    Attributes
    ----------
    lesson : Path
        The notebook.
    profile : str
        The profile of the first combination, for an estimate of the memory that one needs.
    metrics : tuple of str
        What to compare: `NETWORK.NAME`, where NAME is in the record of the network or in its learning curve.
    out : Path
        The folder of the sweep.
    combinations : tuple of Combination
        All of them; the last parameter of the file changes fastest.
    """

    lesson: Path
    profile: str
    metrics: tuple[str, ...]
    out: Path
    combinations: tuple[Combination, ...]


def read(path: Path, out: str | Path | None = None, most: float = MOST) -> Grid:
    """Read a file that says what to run, and check it all.

    Parameters
    ----------
    path : Path
        A YAML file: `lesson`, a number or a name; `grid`, a parameter's name → the list of its values;
        `metrics`, one or a list; and, if need be, `parameters`, a name → the value for all combinations.
    out : str or Path, optional
        The folder to write to; `runs/sweep-NAME` if not given, after the file.
    most : float
        How many combinations there may be.

    Returns
    -------
    Grid
        What `helpers.runner.sweep.run` takes.

    Raises
    ------
    CourseError
        If the file cannot be read, there is no such lesson, it has no such parameter or trains no such
        network, a value is not of its kind, a list is empty or names a value twice, or there are too many
        combinations; the message is one line.
    """
    try:
        read = _read(path)
        (lesson,) = find_lessons(places.NOTEBOOKS, [read["lesson"]])
        lists = {name: _list(name, values) for name, values in read["grid"].items()}
        fixed = {name: _value(name, value) for name, value in read.get("parameters", {}).items()}
        metrics = _metrics(read["metrics"], lesson)
        _check_names(lists, fixed)
        if (count := math.prod(map(len, lists.values()))) > most:
            raise CourseError(f"{count:,} combinations, more than {most:g}: add --yes if they are meant")
    except CourseError as error:
        raise CourseError(f"{path}: {error}") from None
    folder = places.typed(out or places.RUNS / f"sweep-{path.stem}").resolve()
    places.check_folder(folder, "name another folder with --out")
    combinations = []
    for values in itertools.product(*lists.values()):
        chosen = dict(zip(lists, values, strict=True))
        wanted = {"PROFILE": "tiny", "SEED": 0} | fixed | chosen
        where = folder / _name(chosen, wanted)
        try:
            planned = plan([lesson], wanted, where)
        except CourseError as error:
            raise CourseError(f"{path}: {error}") from None
        given = planned.lessons[lesson]
        combinations.append(Combination(chosen, given, where, made_from(lesson, given)))
    return Grid(lesson, combinations[0].parameters["PROFILE"], metrics, folder, tuple(combinations))


class _Loader(yaml.SafeLoader):
    """Refuses a key that stands twice, of which YAML's own loader would take the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict:
        keys = Counter(key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode))
        if twice := [key for key, count in keys.items() if count > 1]:
            raise yaml.constructor.ConstructorError(
                None, None, f"{twice[0]} stands here twice", node.start_mark
            )
        return super().construct_mapping(node, deep)


def _read(path: Path) -> dict[str, object]:
    """Read the file, and see that it has the keys that it should, with what they should hold."""
    try:
        text = path.read_text("utf-8")
        read = yaml.load(text, _Loader)
    except OSError as error:
        raise CourseError(f"{error.strerror}") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f"line {mark.line + 1}: " if mark else ""
        what = getattr(error, "problem", None) or f"{error}".partition("\n")[0]
        raise CourseError(f"not YAML that can be read: {where}{what}") from None
    if not isinstance(read, dict):
        raise CourseError(f"it must name {', '.join(NEEDED)}")
    if wrong := [str(key) for key in read if key not in KEYS]:
        raise CourseError(f"{', '.join(wrong)}: not a key; the keys are {', '.join(KEYS)}")
    if missing := [key for key in NEEDED if read.get(key) is None]:
        raise CourseError(f"it has no {', '.join(missing)}; it must name {', '.join(NEEDED)}")
    if type(read["lesson"]) not in (int, str):
        raise CourseError(f"lesson is {read['lesson']!r}; it must be the number or the name of one lesson")
    read["lesson"] = str(read["lesson"])
    for key in ("grid", "parameters"):
        if read.setdefault(key, {}) is None:
            read[key] = {}
        if not isinstance(read[key], dict) or not all(isinstance(name, str) for name in read[key]):
            raise CourseError(f"{key} must hold names of parameters, each with a colon and what it is")
    if not read["grid"]:
        raise CourseError("grid names no parameter")
    return read


def _list(name: str, values: object) -> list[object]:
    if not isinstance(values, list):
        raise CourseError(f"grid: {name} is {values!r}; it must be a list, such as [0, 1, 2]")
    if not values:
        raise CourseError(f"grid: {name} is an empty list")
    values = [_value(name, value) for value in values]
    for number, value in enumerate(values):
        if any(type(value) is type(other) and value == other for other in values[:number]):
            raise CourseError(f"grid: {name} lists {value!r} twice")
    return values


def _value(name: str, value: object) -> object:
    """Take one value as `-p` of the command line does, so that 1e-3 is a number and none is text."""
    if not isinstance(value, str | bool | int | float | None):
        raise CourseError(
            f"{name} has {value!r}, which is no value of a parameter: "
            "give text, a number, true, false or null, and text in quotes if need be"
        )
    return parse_parameter(name, value) if isinstance(value, str) else value


def _metrics(given: object, lesson: Path) -> tuple[str, ...]:
    metrics = [given] if isinstance(given, str) else given
    if not isinstance(metrics, list) or not metrics or not all(isinstance(each, str) for each in metrics):
        raise CourseError(f"metrics is {given!r}; it must be a name such as baseline.val_loss, or a list")
    networks = networks_of(lesson)
    if not networks:
        raise CourseError(f"lesson {lesson.stem} trains no network that could be compared")
    for metric in metrics:
        network, _, name = metric.partition(".")
        if network not in networks or not name:
            raise CourseError(
                f"metrics has {metric!r}; it must be NETWORK.NAME, such as {sorted(networks)[0]}.loss, and "
                f"the networks of lesson {lesson.stem} are {', '.join(sorted(networks))}"
            )
    return tuple(dict.fromkeys(metrics))


def _check_names(lists: Mapping[str, object], fixed: Mapping[str, object]) -> None:
    if both := sorted(lists.keys() & fixed.keys()):
        raise CourseError(f"{', '.join(both)} stands both in grid and in parameters")
    if "OUT" in {*lists, *fixed}:
        raise CourseError("OUT: each combination gets a folder of its own; name that of them all with --out")


def _name(values: Mapping[str, object], wanted: Mapping[str, object]) -> str:
    """Name a folder after the values, and after all parameters by some digits."""
    readable = re.sub(r"[^\w.=-]+", "-", "_".join(f"{name}={value}" for name, value in values.items()))
    digits = files.digest(json.dumps(wanted, sort_keys=True))[:8]
    return f"{readable.encode('ascii', 'replace').decode().replace('?', '-')[:LONGEST]}-{digits}"


def made_from(lesson: Path, parameters: Mapping[str, object]) -> str:
    """Hash all that decides what a lesson gives with some parameters.

    Parameters
    ----------
    lesson : Path
        The notebook.
    parameters : mapping of str to object
        What it is given.

    Returns
    -------
    str
        A sha256 in hexadecimal: of the parameters, the notebook's code, the code of `helpers`, the backend
        and the versions of what computes, and of when photographs in a folder were written.
    """
    # These load NumPy and Pillow.
    from helpers.photographs import archives
    from helpers.photographs.collection import several
    from helpers.photographs.sources import SOURCES

    cells = json.loads(lesson.read_text("utf-8"))["cells"]
    code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    code += [each.read_text("utf-8") for each in sorted((places.ROOT / "helpers").rglob("*.py"))]
    backend = os.environ.get("KERAS_BACKEND") or "tensorflow"
    versions = [version(package) for package in ("keras", backend, "numpy")]
    given = {name: value for name, value in parameters.items() if name != "OUT"}
    sources = [each for name in PHOTOGRAPHS for each in several(given.get(name) or "sample")]
    photographs = [archives.fingerprint(Path(each)) for each in sources if each not in SOURCES]
    return files.digest(*code, backend, *versions, json.dumps(given, sort_keys=True), *photographs)


def describe(grid: Grid) -> str:
    """Say in one line what a sweep does.

    Parameters
    ----------
    grid : Grid
        What to do.

    Returns
    -------
    str
        The lesson, how many combinations there are, and the folder.
    """
    return f"{grid.lesson.stem}: {len(grid.combinations)} combinations, in {from_here(grid.out)}"
