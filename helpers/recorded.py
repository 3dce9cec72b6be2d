"""The networks that come with the course: read, described, put to work, and replaced by a new run's."""

import csv
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from helpers import embeddings, files, metrics, networks, pairs, provenance, records
from helpers.errors import CourseError
from helpers.places import MODELS, ROOT
from helpers.profiles import PROFILES, Profile
from helpers.records import HINTED, NETWORKS, TITLES, VIVID

MOST_BYTES = 45_000_000
REPEATS = MODELS / "repeats"  # written by tests/benchmarks/repeats.py
README = ROOT / "README.md"
# The README's table stands between these.
MARKS = ("<!-- recorded -->", "<!-- end of recorded -->")
README_METRICS = ("psnr", "delta_e", "delta_cf", "ab_jsd")
# What a network scores on the embedded test photographs, to see later that it still does.
SAMPLE_METRICS = ("psnr", "delta_e", "colorfulness", "chroma")


def read(name: str) -> dict:
    """Read a record that comes with the course.

    Parameters
    ----------
    name : str
        The network's name, as ``fusion``, or ``trivial``.

    Returns
    -------
    dict
        What `helpers.records` wrote.

    Raises
    ------
    CourseError
        If there is no such record.
    """
    path = MODELS / f"{name}.json"
    if not path.is_file():
        have = ", ".join(sorted(file.stem for file in MODELS.glob("*.json"))) or "none"
        raise CourseError(f"there is no record of {name!r}; there are: {have}")
    return records.read(path)


def names() -> dict[str, str]:
    """List the networks that come with the course.

    Returns
    -------
    dict of str to str
        Name → title, in the order of `helpers.records.NETWORKS`. One that is new, and has no record
        yet, is not among them.
    """
    return {name: title for name, title in NETWORKS.items() if has(name)}


def has(name: str) -> bool:
    """Tell whether a network comes with the course, listed among its `names` or not.

    Parameters
    ----------
    name : str
        The network.

    Returns
    -------
    bool
        Whether its record is there.
    """
    return (MODELS / f"{name}.json").is_file()


def describe(name: str) -> str:
    """Say in three lines how a recorded network was made.

    Parameters
    ----------
    name : str
        A network that comes with the course.

    Returns
    -------
    str
        When and at which commit; on what; for how long and by what.
    """
    record = read(name)
    counts = record["photographs"]
    backend, versions = record["backend"], record["versions"]
    return (
        f"{TITLES[name]}: recorded on {record['date']} at commit {record['commit']}, "
        f"seed {record['seed']}\n"
        f"{counts['train']:,} photographs of {record['data_set']}, in the end at {record['resolution']} px; "
        f"{record['epochs']:,} epochs, {record['parameters']:,} weights\n"
        f"{record['minutes']:.1f} minutes on {record['device']}; "
        f"Keras {versions['keras']} on {backend} {versions[backend]}"
    )


def scored() -> dict[str, dict]:
    """Collect what was scored by the networks that come with the course.

    Returns
    -------
    dict of str to dict
        Title → what has ``metrics`` and ``against``, in the order of `names`; a network that can be told
        how vivid to be has a second row.
    """
    rows = {}
    for name, title in names().items():
        rows[title] = record = read(name)
        if vivid := VIVID.get(f"{name}_vivid"):
            rows[vivid] = record["vivid"]
    return rows


def table(only: Sequence[str] = ()) -> str:
    """Write what was recorded as a table in Markdown: the trivial answers, then the networks.

    Parameters
    ----------
    only : sequence of str
        The metrics to show, keys of `helpers.metrics.METRICS`; all if empty.

    Returns
    -------
    str
        One line for each row, the mean over the interval in each cell; a column for each metric that
        all records have.
    """
    rows = records.summaries(MODELS)
    columns = {key: each for key, each in metrics.shared(rows.values()).items() if not only or key in only}
    titles = [metric.title for metric in columns.values()]
    lines = [f"| | {' | '.join(titles)} |", f"| --- |{' ---: |' * len(titles)}"]
    for title, scores in rows.items():
        cells = [
            "{mean:.{0}f}<br><sub>{low:.{0}f} to {high:.{0}f}</sub>".format(metric.digits, **scores[name])
            for name, metric in columns.items()
        ]
        lines.append(f"| {title} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def color(name: str, lesson: Profile, vivid: bool = False) -> np.ndarray:
    """Color a lesson's test photographs with a recorded network.

    Parameters
    ----------
    name : str
        A network that comes with the course, a key of `helpers.records.NETWORKS`.
    lesson : Profile
        Says which photographs, and at which size they are shown.
    vivid : bool
        Whether the network is used at the vividness that its record names.

    Returns
    -------
    (n, test_size, test_size, 3) ndarray of uint8
        The network sees the photographs at the size that it was trained at, and gets embeddings of the
        backbone that it was trained with.

    Raises
    ------
    CourseError
        If there is no such network, or its backbone cannot be had.
    """
    record = read(name)
    vividness = record["vivid"]["vividness"] if vivid else 0.0
    return color_by(MODELS / f"{name}.keras", record, lesson, vividness)


def color_by(path: Path, record: dict, lesson: Profile, vividness: float = 0.0) -> np.ndarray:
    """Color a lesson's test photographs with the network of a file.

    Parameters
    ----------
    path : Path
        A `.keras` file that a run has written.
    record : dict
        Its record.
    lesson : Profile
        As for `color`.
    vividness : float
        As `helpers.networks.mix` takes it.

    Returns
    -------
    (n, test_size, test_size, 3) ndarray of uint8
        As from `color`.

    Raises
    ------
    CourseError
        If the network cannot be read, or its backbone cannot be had.
    """
    test = pairs.load(lesson, "test", lesson.test_photos, record["resolution"])
    network = networks.load(path)
    inputs = embeddings.inputs_of(network, test, record["settings"]["backbone"])
    return networks.color(network, inputs, test.truth, vividness)


def repeats() -> dict[str, np.ndarray]:
    """Read how far from the truth those networks came that were trained once more, with a change.

    Returns
    -------
    dict of str to (n,) ndarray of float64
        Name, such as ``fusion, seed 1`` or ``baseline, contrast`` → ΔE of each test photograph of the full
        run, in one order for all; grey and the recorded networks, whose seed is 0, are among them.
    """
    with (REPEATS / "delta_e.csv").open(encoding="utf-8", newline="") as file:
        names, *rows = csv.reader(file)
    return dict(zip(names, np.asarray(rows, float).T, strict=True))


def keep(models: Path) -> list[Path]:
    """Make the networks of a run the recorded ones: copy them, and write the README's table anew.

    A network that takes hints is one of them if the run has it. Once the course has one, the run must bring
    its own: the recorded one belongs to the colorizer that is replaced.

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
        If a network or a score is missing, a network is not what the code as it is trains in the full
        profile, or the files take more than 45 MB.
    """
    hinted = [
        name for name in HINTED.values() if any((at / f"{name}.keras").is_file() for at in (models, MODELS))
    ]
    brought = [*NETWORKS, *hinted]
    wanted = [f"{name}{kind}" for name in brought for kind in (".keras", ".json")] + ["trivial.json"]
    if missing := [name for name in wanted if not (models / name).is_file()]:
        raise CourseError(f"{models} lacks {', '.join(missing)}: run lessons 3 to 6 first")
    found = {name: records.read(models / f"{name}.json") for name in brought}
    if unscored := [name for name in NETWORKS if not found[name]["metrics"]]:
        raise CourseError(f"{', '.join(unscored)} has no scores yet: run lesson 6 first")
    if reasons := [reason for name, record in found.items() for reason in stale(name, record)]:
        raise CourseError(f"the code as it is would train something else: {'; '.join(reasons)}")
    others = [path for path in MODELS.iterdir() if path.name not in wanted]
    total = sum(path.stat().st_size for path in [*others, *(models / name for name in wanted)])
    if total > MOST_BYTES:
        raise CourseError(f"the networks take {total / 1e6:.0f} MB, more than {MOST_BYTES / 1e6:.0f}")
    page = README.read_text(encoding="utf-8")
    start, end = (page.index(mark) for mark in MARKS)
    for name, record in found.items():
        record["sample"] = score_on_sample(models / f"{name}.keras", record)
        records.write(models / f"{name}.json", record)
    kept = [Path(shutil.copyfile(models / name, MODELS / name)) for name in wanted]
    files.write_text(README, f"{page[: start + len(MARKS[0])]}\n{table(README_METRICS)}{page[end:]}")
    return kept


def stale(name: str, record: dict) -> list[str]:
    """Find out whether the full profile, by the code as it is, would still train a recorded network.

    Parameters
    ----------
    name : str
        The network.
    record : dict
        Its record.

    Returns
    -------
    list of str
        What differs, as ``fusion: fits.0.optimizer.beta_1``; empty if nothing does.
    """
    now = provenance.settings(PROFILES["full"])
    differing = provenance.differences(
        provenance.fingerprint(name, now, record["seed"]), record.get("fingerprint")
    )
    return [f"{name}: {place}" for place in differing]


def score_on_sample(network: Path, record: dict) -> dict[str, float]:
    """Measure a recorded network on the embedded test photographs.

    Parameters
    ----------
    network : Path
        The `.keras` file.
    record : dict
        Its record.

    Returns
    -------
    dict of str to float
        Means over the photographs of four of `helpers.metrics.METRICS`.
    """
    lesson = PROFILES["tiny"]
    truth = pairs.load(lesson, "test", lesson.test_photos).truth
    measured = metrics.measure(truth, color_by(network, record, lesson))
    return {name: round(float(measured[name].mean()), 3) for name in SAMPLE_METRICS}
