"""How much does a seed decide, or one setting? Score trainings that differ in nothing else.

    python tests/benchmarks/repeats.py --photos PHOTOS RUN [RUN ...] [--most 400]

takes the networks `baseline`, `no_vector` and `fusion` of each run, colors the first validation
photographs with them, and writes `data/models/repeats.json`: for each network its seed, what its
settings differ in from the full profile's, and its paired differences to grey and to its neighbor.
The neighbor of `fusion` is `no_vector` of the same run; that of `no_vector` is `baseline` of the same
run; that of a `baseline` is the one of the first run. Test photographs are not looked at.
"""

import argparse
import sys
from pathlib import Path

from helpers import colorings, embeddings, metrics, networks, pairs, profiles, provenance, records
from helpers.errors import CourseError
from helpers.places import MODELS

NEIGHBORS = {"baseline": None, "no_vector": "baseline", "fusion": "no_vector"}
MEASURED = ("psnr", "delta_e")


def differing(record: dict) -> dict[str, object]:
    """Find the settings in which a network's training was not that of the full profile."""
    usual = provenance.settings(profiles.PROFILES["full"])
    return {
        name: value
        for name, value in record["settings"].items()
        if name in usual and name != "photos" and value != usual[name]
    }


def measure(path: Path, lesson: profiles.Lesson, most: int) -> tuple[dict, dict]:
    """Color validation photographs with a network: its record, and what was measured."""
    record = records.read(path.with_suffix(".json"))
    pair = pairs.load(lesson, "validation", most, record["resolution"])
    if pair.seen.checksum != record["checksum"]:
        raise CourseError(f"{path} was trained on other photographs than {lesson.photos}")
    network = networks.load(path)
    inputs = embeddings.inputs_of(network, pair, record["settings"]["backbone"])
    return record, metrics.measure(pair.truth, networks.color(network, inputs, pair.truth))


def main() -> int:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("runs", nargs="+", type=Path, help="folders of runs; the first is the reference")
    parser.add_argument("--photos", required=True, help="what they were trained on")
    parser.add_argument("--most", type=int, default=400, help="validation photographs to measure on")
    asked = parser.parse_args()
    lesson = profiles.begin("full", 0, photos=asked.photos)
    truth = pairs.load(lesson, "validation", asked.most).truth
    grey = metrics.measure(truth, colorings.grey(truth))
    first, rows = None, []
    for run in asked.runs:
        of_run = {None: first}
        for name, neighbor in NEIGHBORS.items():
            path = run / "models" / f"{name}.keras"
            if not path.is_file():
                continue
            record, of_run[name] = measure(path, lesson, asked.most)
            first = first or of_run[name]
            against = {"grey": grey, "neighbor": of_run.get(neighbor)}
            row = {"network": name, "seed": record["seed"], "differs": differing(record)}
            row |= {key: record[key] for key in ("epochs", "minutes", "device", "commit", "date")}
            row["photographs"] = len(truth)
            row["against"] = {
                other: {metric: metrics.compare(of_run[name], measured, metric) for metric in MEASURED}
                for other, measured in against.items()
                if measured is not None
            }
            rows.append(row)
            print(name, row["seed"], row["differs"], row["against"])
    records.write(MODELS / "repeats.json", rows)
    return 0


if __name__ == "__main__":
    sys.exit(main())
