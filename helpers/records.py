"""The record of a training: what was trained, on what, by which code, for how long, and what it scored."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from helpers import devices, files, metrics, networks, provenance
from helpers.backend import keras
from helpers.errors import CourseError
from helpers.metrics import Measured
from helpers.photographs import Photographs
from helpers.profiles import Lesson

# A curve of thousands of steps is thinned to about so many values.
MOST_VALUES = 200

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
    "no_vector": "fusion, without its vector",
    "fusion": "fusion",
    "dcgan": "DCGAN",
    "dcgan_rgb": "DCGAN, RGB",
    "colorizer": "colorizer",
}
# A second row for a network that can be told how vivid to be: at the vividness that its record names.
VIVID = {"colorizer_vivid": "colorizer, vivid"}
# What was trained on from a network, gives the same without a hint, and has no row of its own.
HINTED = {"colorizer": "colorizer_hints"}
TITLES = NETWORKS | {"colorizer_hints": "colorizer, with hints"}
# Each network is compared with these, paired by photograph, in these metrics.
AGAINST = ("grey", "mean_ab", "scaled_baseline_jsd", "baseline")
# And with these: what it differs from in least. The colorizer is compared with every network of the story.
NEIGHBORS = {
    "local_global": ("no_vector",),
    "local_global_ssim": ("local_global",),
    "no_vector": ("baseline",),
    "fusion": ("no_vector",),
    "dcgan": ("baseline",),
    "dcgan_rgb": ("dcgan",),
    "colorizer": ("local_global", "local_global_ssim", "no_vector", "fusion", "dcgan", "dcgan_rgb"),
}
PAIRED = ("psnr", "delta_e", "ab_jsd")


def save(
    lesson: Lesson,
    network: keras.Model,
    trained_on: Photographs,
    *,
    minutes: float,
    curve: Mapping[str, Sequence[float]],
    **facts: object,
) -> None:
    """Save a trained network, and its record beside it, in the run's folder.

    Parameters
    ----------
    lesson : Lesson
        The settings that it was trained with.
    network : keras.Model
        The trained network; its name is that of the files.
    trained_on : Photographs
        What the network was trained on, at the size that it saw last.
    minutes : float
        Wall-clock minutes of the training alone.
    curve : mapping of str to sequence of float
        The learning curve, one value per epoch, as `fit(...).history` has it. A long one is thinned.
    **facts
        What else there is to know, as JSON can hold it. ``photographs``, how many there were of each
        split, and ``metrics`` may be among it.

    Raises
    ------
    CourseError
        If one of `facts` has the name of something that is found out here.
    """
    folder = lesson.models
    epochs = len(next(iter(curve.values())))
    step = -(-epochs // MOST_VALUES)
    found = {
        "data_set": trained_on.name,
        "checksum": trained_on.checksum,
        "resolution": trained_on.size,
        "settings": provenance.settings(lesson),
        "seed": lesson.seed,
        "parameters": network.count_params(),
        "epochs": epochs,
        "minutes": round(minutes, 2),
        **provenance.origin(),
        "curve_step": step,
        "curve": {name: _thin(values[::step]) for name, values in curve.items()},
    }
    if taken := sorted(found.keys() & facts.keys()):
        raise CourseError(f"{', '.join(taken)}: a record finds this out by itself")
    # As they are not settings of a profile, and rarely others than these.
    if (shared := devices.count()) > 1:
        found["devices"] = shared
    if (digits := keras.config.dtype_policy().name) != "float32":
        found["precision"] = digits
    if lesson.goes_on:  # a short run is never kept
        found["fingerprint"] = _fingerprint(lesson, network.name)
    counted = {"photographs": trained_on.counts, "metrics": {}}
    networks.save(network, folder / f"{network.name}.keras")
    write(folder / f"{network.name}.json", found | counted | facts)


def going_on(lesson: Lesson, name: str) -> Path | None:
    """Name the folder in which `helpers.training.GoOn` keeps a training.

    Parameters
    ----------
    lesson : Lesson
        The run.
    name : str
        The network's name.

    Returns
    -------
    Path or None
        A folder of the run; None in a profile whose trainings are short, and always begin anew.
    """
    return lesson.out / "going-on" / name if lesson.goes_on else None


def score(lesson: Lesson, measured: Mapping[str, Measured], **facts: object) -> None:
    """Write what the networks scored into their records, and what needs no network into `trivial.json`.

    Parameters
    ----------
    lesson : Lesson
        The run.
    measured : mapping of str to dict
        A key of `TRIVIAL`, `NETWORKS` or `VIVID` → what `helpers.metrics.measure` returned for it, all for
        the same test photographs.
    **facts
        What else there is to know of the trivial answers, as JSON can hold it.
    """
    trivial = {"test_photographs": len(measured["grey"]["psnr"])} | facts
    for name, values in measured.items():
        scored = {"metrics": metrics.summarize(values, lesson.seed)}
        if name in TRIVIAL:
            trivial[name] = scored
            continue
        scored["against"] = {
            other: {
                metric: metrics.compare(values, measured[other], metric, lesson.seed) for metric in PAIRED
            }
            for other in dict.fromkeys(AGAINST + NEIGHBORS.get(name.removesuffix("_vivid"), ()))
        }
        if name in VIVID:
            name = name.removesuffix("_vivid")
            scored = {"vivid": read(lesson.models / f"{name}.json")["vivid"] | scored}
        note(lesson, name, **scored)
    write(lesson.models / "trivial.json", trivial)


def note(lesson: Lesson, name: str, **facts: object) -> None:
    """Write into the record of a network what was found out about it later.

    Parameters
    ----------
    lesson : Lesson
        The run.
    name : str
        The network.
    **facts
        What JSON can hold; what the record has under these names is replaced.
    """
    path = lesson.models / f"{name}.json"
    write(path, read(path) | facts)


def read(path: Path) -> dict:
    """Read a record.

    Parameters
    ----------
    path : Path
        The file.

    Returns
    -------
    dict
        What `save` and `score` wrote.

    Raises
    ------
    CourseError
        If it is none, or was cut off.
    """
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError):
        record = None
    if not isinstance(record, dict):
        raise CourseError(f"{path} is no record of a network, or was cut off: copy it again")
    return record


def summaries(folder: Path) -> dict[str, metrics.Summary]:
    """Collect what was scored: the trivial answers, then the networks.

    Parameters
    ----------
    folder : Path
        Where the records are.

    Returns
    -------
    dict of str to dict
        Title → what `helpers.metrics.summarize` returned; a network that has no record is left out, and one
        that can be told how vivid to be has two rows.
    """
    trivial = read(folder / "trivial.json")
    rows = {title: trivial[name]["metrics"] for name, title in TRIVIAL.items()}
    for name, title in NETWORKS.items():
        if (path := folder / f"{name}.json").is_file():
            record = read(path)
            rows[title] = record["metrics"]
            if vivid := VIVID.get(f"{name}_vivid"):
                rows[vivid] = record["vivid"]["metrics"]
    return rows


def write(path: Path, record: Mapping[str, object]) -> None:
    """Write a record, whole or not at all.

    Parameters
    ----------
    path : Path
        The file.
    record : mapping of str to object
        What JSON can hold.
    """
    files.write_text(path, json.dumps(record, indent=1, ensure_ascii=False) + "\n")


def _thin(values: Sequence[float]) -> list[float]:
    return [float(f"{value:.5g}") for value in values]


def _fingerprint(lesson: Lesson, name: str) -> dict:
    return provenance.fingerprint_apart(name, provenance.settings(lesson), lesson.seed)
