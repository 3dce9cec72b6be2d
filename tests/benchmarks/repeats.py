"""Train the networks that a lesson compares once more, with other seeds or another augmentation.

    python tests/benchmarks/repeats.py --photos PHOTOS [--out FOLDER] [--only NAME ...]

runs the lessons' own cells in the full profile, a folder of `--out` for each training, and takes up one that
was interrupted. A network that is trained is scored once on the test photographs. What each of them scored
goes to `data/models/repeats.json`, where it stays until the same training is scored again: so that lessons 3
and 4 can compare them, paired by photograph, without training fifteen networks.
"""

import argparse
import os
import sys
from pathlib import Path

from helpers import embeddings, metrics, networks, pairs, profiles, provenance, records
from helpers.errors import CourseError
from helpers.places import MODELS, RUNS

CONTRAST, UPSIDE_DOWN = ("adaptive", "stretch", "equalize"), ("left-right", "upside-down")
# Name → the network, its seed, and what of the profile is changed.
REPEATS = {
    f"{network}, seed {seed}": (network, seed, {})
    for seed in (1, 2)
    for network in ("fusion", "no_vector", "baseline")
} | {
    "contrast": ("baseline", 0, {"contrast": CONTRAST}),
    "upside-down": ("baseline", 0, {"flips": UPSIDE_DOWN}),
    "contrast and upside-down": ("baseline", 0, {"contrast": CONTRAST, "flips": UPSIDE_DOWN}),
}
# And of the networks that come with the course.
RECORDED = {f"{name}, seed 0": name for name in ("fusion", "no_vector", "baseline")} | {"grey": "grey"}
METRICS = ("delta_e", "psnr")


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


def score(rgb, truth) -> dict[str, list[float]]:
    """Measure pictures, and keep what each of them scored."""
    measured = metrics.measure(truth, rgb)
    return {metric: [round(float(value), 3) for value in measured[metric]] for metric in METRICS}


def main() -> int:
    """Train and score what is missing."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--photos", required=True, help="what the recorded networks were trained on")
    parser.add_argument("--out", type=Path, default=RUNS / "repeats")
    parser.add_argument("--only", nargs="+", choices=REPEATS, default=list(REPEATS), metavar="NAME")
    asked = parser.parse_args()
    for name in asked.only:
        path = train(name, asked.photos, asked.out)
        print(f"{name}: trained", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
