"""Train the networks that a lesson compares once more, with other seeds or another augmentation.

    python tests/benchmarks/repeats.py --photos PHOTOS [--out FOLDER] [--only NAME ...]

runs the lessons' own cells in the full profile, a folder of `--out` for each training, and takes up one that
was interrupted. A network that is trained is scored once on the test photographs. What each of them scored
goes to `data/models/repeats`, where it stays until the same training is scored again: so that lessons 3 and 4
can compare them, paired by photograph, without training a dozen networks.
"""

import argparse
import csv
import io
import sys
from pathlib import Path

import numpy as np

from helpers import colorings, files, metrics, pairs, profiles, provenance, recorded, records
from helpers.places import RUNS

CONTRAST, UPSIDE_DOWN = ("adaptive", "stretch", "equalize"), ("left-right", "upside-down")
COMPARED = ("fusion", "no_vector", "baseline")
# Name → the network, its seed, and what of the profile is changed.
REPEATS = {f"{network}, seed {seed}": (network, seed, {}) for seed in (1, 2) for network in COMPARED} | {
    "baseline, upside-down": ("baseline", 0, {"flips": UPSIDE_DOWN}),
    "baseline, contrast": ("baseline", 0, {"contrast": CONTRAST}),
    "baseline, both": ("baseline", 0, {"contrast": CONTRAST, "flips": UPSIDE_DOWN}),
}
# What the record of each is kept of.
FACTS = ("seed", "epochs", "minutes", "device", "versions", "commit", "date", "curve")
TRAININGS, SCORES = recorded.REPEATS / "trainings.json", recorded.REPEATS / "delta_e.csv"


def train(name: str, photos: str, out: Path) -> Path:
    """Train one of `REPEATS`, or what is left of its training.

    Parameters
    ----------
    name : str
        A key of `REPEATS`.
    photos : str
        As `helpers.photographs.load` takes them.
    out : Path
        The folder of all repeats.

    Returns
    -------
    Path
        The trained network.
    """
    network, seed, changed = REPEATS[name]
    lesson = profiles.begin("full", seed, str(out / name), photos=photos, **changed)
    trained = lesson.models / f"{network}.keras"
    if not trained.is_file():
        namespace = {"lesson": lesson, "SEED": seed}
        for place, source in provenance.cells(network):
            exec(compile(source, place, "exec"), namespace)
    return trained


def score(rgb: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Measure how far pictures are from the truth, to two digits, as ΔE has no more to tell."""
    return metrics.measure(truth, rgb)["delta_e"].round(2)


def write(more: dict[str, np.ndarray]) -> None:
    """Add columns to what is there, since others may train and score at the same time."""
    scores = (recorded.repeats() if SCORES.is_file() else {}) | more
    text = io.StringIO()
    lines = csv.writer(text, lineterminator="\n")
    lines.writerow(scores)
    lines.writerows(np.transpose(list(scores.values())).tolist())
    files.write_text(SCORES, text.getvalue())


def main() -> int:
    """Train and score what is missing."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--photos", required=True, help="what the recorded networks were trained on")
    parser.add_argument("--out", type=Path, default=RUNS / "repeats")
    parser.add_argument("--only", nargs="+", choices=REPEATS, default=list(REPEATS), metavar="NAME")
    asked = parser.parse_args()
    lesson = profiles.begin("full", 0, photos=asked.photos)
    truth = pairs.load(lesson, "test", lesson.test_photos).truth
    recorded.REPEATS.mkdir(exist_ok=True)
    if not SCORES.is_file():
        write({"grey": score(colorings.grey(truth), truth)})
        for network in COMPARED:
            write({f"{network}, seed 0": score(recorded.color(network, lesson), truth)})
    for name in asked.only:
        path = train(name, asked.photos, asked.out)
        record = records.read(path.with_suffix(".json"))
        found = score(recorded.color_by(path, record, lesson), truth)
        write({name: found})
        trainings = records.read(TRAININGS) if TRAININGS.is_file() else {}
        records.write(TRAININGS, trainings | {name: {fact: record[fact] for fact in FACTS}})
        print(f"{name}: ΔE {found.mean():.2f}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
