"""How much room do the lessons' claims have? Run them on several seeds, and hold each claim to its bound.

    python tests/benchmarks/claims.py [--seeds 0 1 2 3 4] [--only 03 04]

prints, for each claim, its bound, the measured value of each seed, and the room: the
distance of the nearest value to the bound, in standard deviations over the seeds. Another
processor moves a value about as much as another seed does, so a room below 2 is too small.
The exit code is 1 if a claim fails.
"""

import argparse
import statistics
import sys
import tempfile
from collections import defaultdict
from pathlib import Path

import nbformat

from helpers.errors import CourseError
from helpers.places import NOTEBOOKS
from helpers.runner import run
from helpers.runner.plan import find_lessons

SMALL = 2.0


def claims_of(notebook: Path) -> list[dict]:
    """Read what `helpers.display.claim` stored in an executed notebook."""
    outputs = (
        output
        for cell in nbformat.read(notebook, as_version=4).cells
        for output in cell.get("outputs", ())
        if "metadata" in output
    )
    found = (output.metadata.get("course", {}).get("claim") for output in outputs)
    return [claim for claim in found if claim]


def room(claim: dict, values: list[float]) -> float:
    """Return the distance of the nearest value to its bound, in standard deviations of the values."""
    distances = [value - claim["at_least"] for value in values if "at_least" in claim]
    distances += [claim["at_most"] - value for value in values if "at_most" in claim]
    spread = statistics.stdev(values) if len(values) > 1 else 0.0
    nearest = min(distances)
    if spread:
        return nearest / spread
    return float("inf") if nearest >= 0 else -float("inf")


def bound(claim: dict) -> str:
    """Write a claim's bounds."""
    return " ".join(
        f"{sign} {claim[name]:g}" for name, sign in (("at_least", "≥"), ("at_most", "≤")) if name in claim
    )


def main() -> int:
    """Run the lessons and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--only", nargs="+", default=[])
    given = parser.parse_args()

    lessons, failures = find_lessons(NOTEBOOKS, given.only), []
    values, claims = defaultdict(list), {}
    with tempfile.TemporaryDirectory() as folder:
        for seed in given.seeds:
            out = Path(folder, str(seed))
            out.mkdir()
            for lesson in lessons:
                parameters = {"PROFILE": "tiny", "SEED": seed, "OUT": str(out)}
                try:
                    run.run_lesson(lesson, out / lesson.name, parameters)
                except CourseError as error:
                    failures.append(f"seed {seed}: {error}")
                for claim in claims_of(out / lesson.name):
                    key = lesson.stem[:2], claim["text"]
                    claims[key] = claim
                    values[key].append(claim["measured"])
    print(f"| lesson | claim | bound | seeds {', '.join(map(str, given.seeds))} | room |")
    print("| --- | --- | --- | --- | --- |")
    for (lesson, text), claim in claims.items():
        measured = values[lesson, text]
        free = room(claim, measured)
        mark = " ← small" if free < SMALL else ""
        shown = ", ".join(f"{value:.3g}" for value in measured)
        print(f"| {lesson} | {text} | {bound(claim)} | {shown} | {free:.1f}{mark} |")
    for failure in failures:
        print(failure)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
