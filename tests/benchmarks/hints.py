"""How much nearer to the truth does the colorizer come with 1, 5, 10, 50 and 100 hints?

    python tests/benchmarks/hints.py --photos PHOTOS [--most 1000] [--keep]

tells the colorizer the true colors of random places of the test photographs, as Zhang et al. 2017
(https://arxiv.org/abs/1705.02999) do, colors at vividness 0, and prints PSNR, and by how much it is more than
without a hint. Before, it sees that without a hint the network gives validation photographs exactly the
colors that the colorizer gives them. `--keep` writes what was measured into the network's record, as "hints".
"""

import argparse
import sys

import numpy as np
from skimage.metrics import peak_signal_noise_ratio

from helpers import colorings, embeddings, hints, metrics, networks, pairs, profiles, records
from helpers.backend import keras
from helpers.errors import CourseError
from helpers.lab import AB_SCALE, normalize, rgb_to_lab
from helpers.pairs import Pair
from helpers.places import MODELS
from helpers.records import HINTED

layers = keras.layers

COUNTS = (0, 1, 5, 10, 50, 100)
NAME = "colorizer"
SEED = 0
VALIDATION = 50  # photographs that are colored without a hint
TOGETHER = 50  # photographs that are in memory at once
CHECKED = 8  # photographs on which the network itself is asked too


def parts(pair: Pair):
    """Cut photographs into parts that fit into memory."""
    for start in range(0, len(pair), TOGETHER):
        part = slice(start, start + TOGETHER)
        yield start, Pair(pair.seen[part], pair.shown[part])


def places_first(first: int, photographs: int, places: int) -> np.ndarray:
    """Order the places of photographs at random: (photographs, places) of int, the rank of each place.

    So the places of few hints are among those of more. What a photograph gets depends on its number alone.
    """
    drawn = [np.random.default_rng([SEED, first + each]).permutation(places) for each in range(photographs)]
    return np.argsort(drawn, axis=1)


def revealed(pair: Pair, first: int) -> tuple[np.ndarray, np.ndarray]:
    """Reveal the colors of all places, and rank these: maps of hints, and ranks of the same shape."""
    _, ab = normalize(rgb_to_lab(pair.seen.rgb))
    n, height, width, _ = ab.shape
    shape = (n, height // hints.STRIDE, width // hints.STRIDE, 1)
    all_of_them = hints.reveal(ab, np.full(n, shape[1] * shape[2]), np.random.default_rng(SEED))
    return all_of_them, places_first(first, n, shape[1] * shape[2]).reshape(shape)


def points_of(network: keras.Model) -> keras.Model:
    """Take out what the network makes of a photograph, whatever the hints: points and doubt.

    The network compares each place with each other one, though few of them have a hint. Here only those few
    are compared, so that six counts of hints take little longer than one; `measure` sees that both agree.
    """
    convolutions = {layer.filters: layer for layer in network.layers if isinstance(layer, layers.Conv2D)}
    return keras.Model(network.inputs, [convolutions[32].output, convolutions[1].output])


def told(seen: list[np.ndarray], given: np.ndarray) -> np.ndarray:
    """Change ab / 128 of one photograph by its hints, as lesson 5 builds it."""
    points, doubt, ab = seen
    row, column = np.nonzero(given[..., 2])
    apart = np.square(points[:, :, None] - points[row, column]).sum(-1)
    alike = np.exp(-apart)
    shares = alike / (alike.sum(-1, keepdims=True) + 0.01 + doubt)
    return ab + shares @ (given[row, column, :2] - ab[row, column])


def told_both(sides: list[list[np.ndarray]], given: np.ndarray) -> np.ndarray:
    """Change ab / 128 of a photograph and of its mirror image, and take the mean, as `networks` does."""
    straight, mirrored = sides
    return (told(straight, given) + told(mirrored, given[:, ::-1])[:, ::-1]) / 2


def measure(network: keras.Model, test: Pair) -> dict[int, np.ndarray]:
    """Measure PSNR with each number of hints: (n,) ndarrays in dB."""
    found = {count: [] for count in COUNTS}
    look, colorizer = points_of(network), network.get_layer(NAME)
    for first, pair in parts(test):
        all_of_them, rank = revealed(pair, first)
        for i, truth in enumerate(pair.truth):
            one = [pair.L[i : i + 1], all_of_them[i : i + 1] * (rank[i : i + 1] < COUNTS[-1])]
            sides = [
                [
                    keras.ops.convert_to_numpy(each)[0]
                    for each in (*look(seen, training=False), colorizer(seen[0], training=False)[-2])
                ]
                for seen in (one, [part[:, :, ::-1] for part in one])
            ]
            if first == 0 and i < CHECKED:
                by_network = networks.predict_ab(network, one)[0]
                differs = np.abs(by_network - AB_SCALE * told_both(sides, one[1][0])).max()
                if differs > 0.05:
                    raise CourseError(f"the network's ab differs by {differs:.2f} from what is measured here")
            for count in COUNTS:
                ab = AB_SCALE * told_both(sides, all_of_them[i] * (rank[i] < count))
                found[count].append(peak_signal_noise_ratio(truth, colorings.recolor(truth, ab)))
        print(f"\r{first + len(pair):,} of {len(test):,} photographs", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    return {count: np.asarray(values) for count, values in found.items()}


def check_untold(network, validation: Pair) -> None:
    """See that without a hint the colors are the colorizer's."""
    plain = networks.load(MODELS / f"{NAME}.keras")
    for _, pair in parts(validation):
        untold = networks.predict_ab(network, embeddings.inputs_of(network, pair, ""))
        differs = (untold != networks.predict_ab(plain, pair.L)).any(axis=(1, 2, 3))
        if differs.any():
            name = pair.seen.names[int(differs.argmax())]
            raise CourseError(f"without a hint {name} has other colors than the colorizer gives it")


def main() -> int:
    """Check, measure, print, and keep it if asked to."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--photos", required=True, help="what the recorded networks were tested on")
    parser.add_argument("--most", type=int, default=1000, help="test photographs to measure on")
    parser.add_argument("--keep", action="store_true", help="write it into the record of the network")
    asked = parser.parse_args()
    path = MODELS / f"{HINTED[NAME]}.json"
    record, network = records.read(path), networks.load(path.with_suffix(".keras"))
    lesson = profiles.begin("full", SEED, photos=asked.photos)
    size = record["resolution"]
    validation = pairs.load(lesson, "validation", VALIDATION, size)
    check_untold(network, validation)
    print(f"without a hint: {len(validation)} validation photographs exactly as the colorizer colors them")
    test = pairs.load(lesson, "test", asked.most, size)
    psnr = measure(network, test)
    found = {count: metrics.interval(values, SEED) for count, values in psnr.items()}
    gain = {count: metrics.interval(psnr[count] - psnr[0], SEED) for count in COUNTS[1:]}
    for count in COUNTS:
        more = "; {mean:+.2f} ({low:+.2f} to {high:+.2f})".format(**gain[count]) if count else ""
        print(
            f"{count:3} hints: PSNR "
            + "{mean:.2f} dB ({low:.2f} to {high:.2f})".format(**found[count])
            + more
        )
    if asked.keep:
        kept = {"test_photographs": len(test), "test_size": lesson.test_size, "vividness": 0.0, "seed": SEED}
        records.write(path, record | {"hints": kept | {"psnr": found, "gain": gain}})
    return 0


if __name__ == "__main__":
    sys.exit(main())
