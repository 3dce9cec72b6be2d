"""How much does it matter at which size a picture is given to `colorize`?

    python tests/benchmarks/sizes.py --photos PHOTOS [--most 120]

reduces or enlarges validation photographs to a side, has the colorizer color them at vividness 0, puts its
colors over the lightness of the photographs as they were, and prints by how much that is better than grey.
"""

import argparse
import sys

import numpy as np
from PIL import Image

from helpers import colorings, colorize, metrics, pairs, profiles

SIDES = (64, 96, 128, 160, 224, 320, 512, 1024)


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--photos", required=True, help="what the colorizer was trained on")
    parser.add_argument("--most", type=int, default=120, help="validation photographs to measure on")
    asked = parser.parse_args()
    lesson = profiles.begin("full", 0, photos=asked.photos)
    truth = pairs.load(lesson, "validation", asked.most).truth
    grey = metrics.measure(truth, colorings.grey(truth))
    colorizer = colorize.load("colorizer", vividness=0.0)
    for side in SIDES:
        ab = []
        for photograph in truth:
            given = Image.fromarray(photograph).resize((side, side), Image.Resampling.LANCZOS)
            ab += colorize.predict([colorize.Original(np.asarray(given), None, "PNG")], colorizer)
        colored = np.stack([colorize.recolor(*each) for each in zip(truth, ab, strict=True)])
        found = metrics.compare(metrics.measure(truth, colored), grey, "psnr")
        print(f"{side:5} px: PSNR {found['mean']:+.2f} dB against grey", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
