"""The record of a training: what was trained, on what, by which code, for how long, and what it scored."""

import ast
import hashlib
import io
import json
import platform
import shutil
import subprocess
import tokenize
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import nbformat
import numpy as np
import psutil

from helpers import embeddings, files, metrics, networks, photographs
from helpers.backend import keras
from helpers.display import COLUMNS
from helpers.errors import CourseError
from helpers.lab import normalize, rgb_to_lab
from helpers.photographs import Photographs
from helpers.photographs.hygiene import SPLITS
from helpers.places import MODELS, NOTEBOOKS, ROOT
from helpers.profiles import PROFILES, Lesson, Profile

# A curve of thousands of steps is thinned to about so many values.
MOST_VALUES = 200
MOST_BYTES = 60_000_000
README = ROOT / "README.md"
# The README's table stands between these.
MARKS = ("<!-- recorded -->", "<!-- end of recorded -->")


@dataclass(frozen=True)
class Code:
    """Which code makes a network what it is.

    Attributes
    ----------
    lesson : str
        The notebook.
    tag : str
        The tag of its cells that build and train the network.
    rooms : tuple of str
        The modules of `helpers` that decide what it is trained on and how.
    """

    lesson: str
    tag: str
    rooms: tuple[str, ...]


_PHOTOGRAPHS = ("lab", "decode", "hygiene", "prepare", "photographs")
_TRAINING = (*_PHOTOGRAPHS, "augment", "batches", "training")
_LESSON_4 = Code("04_fusion_inception", "recorded", (*_TRAINING, "losses"))
_LESSON_5 = Code("05_dcgan", "recorded", (*_TRAINING, "losses"))

CODE = {
    "memorize": Code("03_baseline_cnn", "recorded", _PHOTOGRAPHS),
    "baseline": Code("03_baseline_cnn", "recorded", _TRAINING),
    "local_global": _LESSON_4,
    "local_global_ssim": _LESSON_4,
    "fusion": Code(_LESSON_4.lesson, _LESSON_4.tag, (*_LESSON_4.rooms, "embeddings")),
    "dcgan": _LESSON_5,
    "dcgan_rgb": _LESSON_5,
    # Older than the others. Its cells are held by the hash, its photographs by their checksum.
    "classifier": Code(_LESSON_4.lesson, "classifier", ()),
}
# The rows of every table: what needs no network, then the networks, each with its title.
TRIVIAL = {
    "grey": "grey",
    "mean_ab": "mean color",
    "shuffled_ab": "another's color",
    "scaled_baseline": "baseline, scaled for ΔE",
    "scaled_baseline_jsd": "baseline, scaled for JSD",
}
NETWORKS = {
    "memorize": "by heart",
    "baseline": "baseline",
    "local_global": "local + global",
    "local_global_ssim": "local + global, SSIM",
    "fusion": "fusion",
    "dcgan": "DCGAN",
    "dcgan_rgb": "DCGAN, RGB",
}
# Each network is compared with these, paired by photograph, in these metrics.
AGAINST = ("grey", "mean_ab", "scaled_baseline_jsd", "baseline")
PAIRED = ("psnr", "delta_e", "ab_jsd")
# What turns a network into scores.
SCORING = ("lab", "networks", "metrics")


def write(
    lesson: Lesson,
    network: keras.Model,
    trained_on: Photographs,
    *,
    minutes: float,
    curve: Mapping[str, Sequence[float]],
    **facts: object,
) -> None:
    """Write a trained network's record beside its file, in the run's folder.

    Parameters
    ----------
    lesson : Lesson
        The settings that it was trained with.
    network : keras.Model
        The trained network; its name is that of the file.
    trained_on : Photographs
        What the network was trained on, at the size that it saw last.
    minutes : float
        Wall-clock minutes of the training alone.
    curve : mapping of str to sequence of float
        The learning curve, one value per epoch, as `fit(...).history` has it. A long one is thinned.
    **facts
        What else there is to know, as JSON can hold it.
    """
    epochs = len(next(iter(curve.values())))
    step = -(-epochs // MOST_VALUES)
    record = {
        "data_set": trained_on.name,
        "checksum": trained_on.checksum,
        "photographs": {split: len(getattr(trained_on, split)) for split in SPLITS},
        "resolution": trained_on.size,
        "settings": settings(lesson),
        "parameters": network.count_params(),
        "epochs": epochs,
        "minutes": round(minutes, 2),
        "device": _device(),
        "backend": keras.backend.backend(),
        "versions": {
            "python": platform.python_version(),
            **{name: version(name) for name in ("keras", keras.backend.backend(), "numpy", "scikit-image")},
        },
        "seed": lesson.seed,
        "code": code_of(network.name),
        "commit": _commit(),
        "date": datetime.now(UTC).date().isoformat(),
        "curve_step": step,
        "curve": {
            name: [float(f"{value:.5g}") for value in values[::step]] for name, values in curve.items()
        },
        "metrics": {},
        **facts,
    }
    _store(lesson.models / f"{network.name}.json", record)


def score(lesson: Lesson, measured: Mapping[str, Mapping[str, np.ndarray]], **facts: object) -> None:
    """Write what the networks scored into their records, and what needs no network into `trivial.json`.

    Parameters
    ----------
    lesson : Lesson
        The run.
    measured : mapping of str to mapping
        A key of `TRIVIAL` or `NETWORKS` → what `helpers.metrics.measure` returned for it, all for
        the same test photographs.
    **facts
        What else there is to know of the trivial answers, as JSON can hold it.
    """
    path = lesson.models / "trivial.json"
    trivial = {"test_photographs": len(measured["grey"]["psnr"]), "scored_by": digest(SCORING)} | facts
    for name, values in measured.items():
        scored = {"metrics": metrics.summarize(values, lesson.seed)}
        if name in TRIVIAL:
            trivial[name] = scored
            continue
        scored["against"] = {
            other: {
                metric: metrics.compare(values, measured[other], metric, lesson.seed) for metric in PAIRED
            }
            for other in AGAINST
        }
        record = lesson.models / f"{name}.json"
        _store(record, _read(record) | scored)
    _store(path, trivial)


def finished(lesson: Lesson, network: keras.Model) -> dict | None:
    """Return the record of a network that an earlier run has finished, if a new training would be the same.

    Parameters
    ----------
    lesson : Lesson
        The settings of the run, and its folder.
    network : keras.Model
        The network that is to be trained; its name says which files to look for.

    Returns
    -------
    dict or None
        The record, if file and record are there and the code, the settings, the seed and the
        photographs are the same; a line is printed then. The code is that of the notebook's file:
        a cell that was changed and not saved is not seen.
    """
    path = lesson.models / f"{network.name}.json"
    if not (path.is_file() and path.with_suffix(".keras").is_file()):
        return None
    record = _read(path)
    same = {
        "code": code_of(network.name),
        "seed": lesson.seed,
        "checksum": photographs.load(lesson.photos, lesson.size).checksum,
        "parameters": network.count_params(),
    }
    if any(record.get(key) != value for key, value in same.items()) or not _has(settings(lesson), record):
        return None
    print(f"{network.name} is that of an earlier run: remove {path.name} from the run's folder to train anew")
    return record


def read(name: str) -> dict:
    """Read a record that comes with the course.

    Parameters
    ----------
    name : str
        The network's name, as ``classifier``, or ``trivial``.

    Returns
    -------
    dict
        What `write` and `score` wrote.

    Raises
    ------
    CourseError
        If there is no such record.
    """
    path = MODELS / f"{name}.json"
    if not path.is_file():
        have = ", ".join(sorted(file.stem for file in MODELS.glob("*.json"))) or "none"
        raise CourseError(f"there is no record of {name!r}; there are: {have}")
    return _read(path)


def keep(models: Path) -> list[Path]:
    """Make the networks of a run the recorded ones: copy them, and write the README's table anew.

    Parameters
    ----------
    models : Path
        The folder `models` of a run whose lessons 3 to 6 are done.

    Returns
    -------
    list of Path
        The files under `data/models` that were written.

    Raises
    ------
    CourseError
        If a network or a score is missing, a network was not made by the code as it is in the full
        profile and with the course's own classifier for a backbone, or the files take more than 60 MB.
    """
    names = [f"{name}{kind}" for name in NETWORKS for kind in (".keras", ".json")] + ["trivial.json"]
    if missing := [name for name in names if not (models / name).is_file()]:
        raise CourseError(f"{models} lacks {', '.join(missing)}: run lessons 3 to 6 first")
    found = {name: _read(models / f"{name}.json") for name in NETWORKS}
    if unscored := [name for name, record in found.items() if not record["metrics"]]:
        raise CourseError(f"{', '.join(unscored)} has no scores yet: run lesson 6 first")
    if stale := [name for name, record in found.items() if record["code"] != code_of(name)]:
        raise CourseError(f"{', '.join(stale)} was trained by other code: run lessons 3 to 6 again")
    # Fusion alone reads the backbone, and whoever is without a network has the course's own.
    full = settings(PROFILES["full"])
    wanted = {name: full | {"backbone": record["settings"]["backbone"]} for name, record in found.items()}
    wanted["fusion"]["backbone"] = "classifier"
    if other := [name for name, record in found.items() if not _has(wanted[name], record)]:
        raise CourseError(
            f"{', '.join(other)} was not trained with the settings of the full profile and the classifier "
            "that comes with the course (BACKBONE)"
        )
    others = [path for path in MODELS.iterdir() if path.name not in names]
    total = sum(path.stat().st_size for path in [*others, *(models / name for name in names)])
    if total > MOST_BYTES:
        raise CourseError(f"the networks take {total / 1e6:.0f} MB, more than {MOST_BYTES / 1e6:.0f}")
    page = README.read_text(encoding="utf-8")
    start, end = (page.index(mark) for mark in MARKS)
    kept = [Path(shutil.copyfile(models / name, MODELS / name)) for name in names]
    README.write_text(f"{page[: start + len(MARKS[0])]}\n{table()}{page[end:]}", encoding="utf-8")
    return kept


def table() -> str:
    """Write what was recorded as a table in Markdown: the trivial answers, then the networks.

    Returns
    -------
    str
        One line for each row, the mean over the interval in each cell.
    """
    trivial = read("trivial")
    rows = {title: trivial[name]["metrics"] for name, title in TRIVIAL.items()}
    rows |= {title: read(name)["metrics"] for name, title in NETWORKS.items()}
    titles = [title for title, _ in COLUMNS.values()]
    lines = [f"| | {' | '.join(titles)} |", f"| --- |{' ---: |' * len(titles)}"]
    for title, scores in rows.items():
        cells = [
            "{mean:.{0}f}<br><sub>{low:.{0}f} to {high:.{0}f}</sub>".format(digits, **scores[metric])
            for metric, (_, digits) in COLUMNS.items()
        ]
        lines.append(f"| {title} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def describe(name: str) -> str:
    """Say in a few lines how a recorded network was made.

    Parameters
    ----------
    name : str
        A network that comes with the course.

    Returns
    -------
    str
        Three lines: when and at which commit; on what; for how long and by what.
    """
    record = read(name)
    counts = record["photographs"]
    backend, versions = record["backend"], record["versions"]
    return (
        f"{name}, recorded on {record['date']} at commit {record['commit']}, seed {record['seed']}\n"
        f"{counts['train']:,} photographs of {record['data_set']}, in the end at {record['resolution']} px; "
        f"{record['epochs']:,} epochs, {record['parameters']:,} weights\n"
        f"{record['minutes']:.1f} minutes on {record['device']}; "
        f"Keras {versions['keras']} on {backend} {versions[backend]}"
    )


def color(name: str, lesson: Lesson) -> np.ndarray:
    """Color a lesson's test photographs with a recorded network.

    Parameters
    ----------
    name : str
        A network that comes with the course, a key of `NETWORKS`.
    lesson : Lesson
        Says which photographs, and at which size they are shown.

    Returns
    -------
    ndarray
        (n, test_size, test_size, 3) uint8. The network sees the photographs at the size that it was
        trained at, and gets embeddings of the backbone that it was trained with.

    Raises
    ------
    CourseError
        If there is no such network, or its backbone cannot be had.
    """
    record = read(name)
    network = networks.load(MODELS / f"{name}.keras")
    seen, shown = (
        photographs.load(lesson.photos, size).test.colored(lesson.test_photos)
        for size in (record["resolution"], lesson.test_size)
    )
    L, _ = normalize(rgb_to_lab(seen.rgb))
    if len(network.inputs) == 1:
        return networks.color(network, L, shown.rgb)
    backbone = embeddings.load_backbone(record["settings"]["backbone"])
    return networks.color(network, [L, embeddings.embed(seen, backbone)], shown.rgb)


def settings(lesson: Profile) -> dict[str, object]:
    """Return the settings that decide a training, as JSON has them.

    Parameters
    ----------
    lesson : Profile
        A profile, or a lesson that was begun.

    Returns
    -------
    dict of str to object
        All fields of `Profile` but where the photographs lie, which differs between machines.
    """
    names = [name for name in Profile.__dataclass_fields__ if name != "photos"]
    return json.loads(json.dumps({name: getattr(lesson, name) for name in names}))


def _has(now: Mapping[str, object], record: Mapping[str, Mapping]) -> bool:
    """Tell whether settings are those of a record; one that is younger than the record decided nothing."""
    return all(now.get(key) == value for key, value in record["settings"].items())


def code_of(name: str) -> str:
    """Hash the code that makes a network what it is.

    Parameters
    ----------
    name : str
        A key of `CODE`.

    Returns
    -------
    str
        Sixteen hexadecimal digits.

    Raises
    ------
    CourseError
        If no such network is known, or no cell of its lesson bears the tag.
    """
    if name not in CODE:
        raise CourseError(f"no record is kept of a network {name!r}; the networks are {', '.join(CODE)}")
    code = CODE[name]
    notebook = nbformat.read(NOTEBOOKS / f"{code.lesson}.ipynb", as_version=4)
    cells = [cell.source for cell in notebook.cells if code.tag in cell.metadata.get("tags", ())]
    if not cells:
        raise CourseError(f"lesson {code.lesson} has no cell with the tag {code.tag!r}")
    return digest(code.rooms, cells)


def digest(rooms: Sequence[str], cells: Sequence[str] = ()) -> str:
    """Hash what code does, and not what it says.

    Parameters
    ----------
    rooms : sequence of str
        Modules of `helpers`.
    cells : sequence of str
        Source text of cells.

    Returns
    -------
    str
        Sixteen hexadecimal digits. Comments, docstrings, blank lines and the wording of errors
        do not count.
    """
    texts = [(next((ROOT / "helpers").rglob(f"{room}.py"))).read_text(encoding="utf-8") for room in rooms]
    return hashlib.sha256("\n\n".join(map(_essence, [*texts, *cells])).encode()).hexdigest()[:16]


def _essence(source: str) -> str:
    """Remove from code what only its readers see."""
    lines = source.splitlines()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            row, column = token.start
            lines[row - 1] = lines[row - 1][:column]
    for node in ast.walk(ast.parse(source)):
        said = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        if said or isinstance(node, ast.Raise):
            lines[node.lineno - 1 : node.end_lineno] = [""] * (node.end_lineno - node.lineno + 1)
    return "\n".join(line.rstrip() for line in lines if line.strip())


def _read(path: Path) -> dict:
    return json.loads(path.read_text(encoding="utf-8"))


def _store(path: Path, record: Mapping[str, object]) -> None:
    with files.replacing(path) as part:
        part.write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def _device() -> str:
    """Name the processor that Keras computes on, without the machine's own name."""
    devices = keras.distribution.list_devices()
    accelerators = [device for device in devices if not device.lower().startswith("cpu")]
    if accelerators:
        return ", ".join(accelerators)
    process = psutil.Process()
    # Where the system can bind a process to some of its cores, only these count.
    cores = len(process.cpu_affinity()) if hasattr(process, "cpu_affinity") else psutil.cpu_count()
    return f"{cores} CPU core{'s' if cores > 1 else ''} ({platform.machine()})"


def _commit() -> str:
    """Name the commit that the code stands at, with a plus sign if it was changed since."""
    git = ["git", "-C", str(ROOT)]
    try:
        head = subprocess.run(
            [*git, "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=True
        )
        changed = subprocess.run([*git, "status", "--porcelain"], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return head.stdout.strip() + ("+" if changed.stdout.strip() else "")
