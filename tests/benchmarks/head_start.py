"""How near to the truth is the colorizer after a fifth of the time that the baseline is trained for?

    python tests/benchmarks/head_start.py --photos PHOTOS [--steps 95]

trains lesson 3's baseline for some steps, to learn how long its recorded training would take here, and
lesson 5's colorizer for `--steps` steps, at the end of which its learning rate has fallen to 0. Then both,
the baseline as it was recorded, color validation photographs that they are not trained on. All in one
process; times are those that it computes, on all its cores. Prints how the two compare, paired by photograph.
"""

import argparse
import time

from helpers import colorings, metrics, networks, pairs, photographs, profiles, provenance, recorded
from helpers.backend import keras
from helpers.batches import Batches
from helpers.places import MODELS
from helpers.training import TraceAnew

WARM, TIMED = 5, 30  # steps of the baseline
VALIDATION = 200
A_FIFTH = 0.2
OUT = "runs/head-start"  # nothing is written there


class Computed(keras.callbacks.Callback):
    """Note the time that the process has computed, after each step."""

    def on_train_begin(self, logs=None):
        self.at = [time.process_time()]

    def on_train_batch_end(self, batch, logs=None):
        self.at.append(time.process_time())


def namespace(network: str, lesson: profiles.Lesson, steps: int = 0) -> dict:
    """Run the cells of a lesson that make a network, but not those that train it."""
    found = {"lesson": lesson, "SEED": lesson.seed}
    for place, source in provenance.cells(network):
        if ".fit(" not in source:
            exec(compile(source.replace('"length": 250', f'"length": {steps}'), place, "exec"), found)
    return found


def seconds_of_the_baseline(lesson: profiles.Lesson) -> float:
    """Time some steps of the baseline, and say what all would take."""
    baseline = networks.load(MODELS / "baseline.keras")
    train = photographs.load(lesson.photos, lesson.size).train
    batches = Batches(
        train, lesson.batch_size, lesson.seed, flips=lesson.flips, contrast=(), length=WARM + TIMED
    )
    baseline.compile(keras.optimizers.Adam(), "mse")
    computed = Computed()
    baseline.fit(batches, epochs=1, shuffle=False, verbose=0, callbacks=[computed])
    steps = -(-len(train) // lesson.batch_size) * recorded.read("baseline")["epochs"]
    return (computed.at[-1] - computed.at[WARM]) / TIMED * steps


def train_the_colorizer(lesson: profiles.Lesson, steps: int) -> tuple[keras.Model, float]:
    """Train it by the lesson's cells; return it, and the seconds that took, compiling and all."""
    made = namespace("colorizer", lesson, steps)
    crops, _ = made["stages"][0]
    computed = Computed()
    made["colorizer"].fit(crops, epochs=1, shuffle=False, verbose=0, callbacks=[TraceAnew(), computed])
    return made["colorizer"], computed.at[-1] - computed.at[0]


def main() -> None:
    """Print what was found."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--photos", required=True, help="what the recorded networks were trained on")
    parser.add_argument("--steps", type=int, default=95)
    options = parser.parse_args()
    lesson = profiles.begin("full", 0, OUT, photos=options.photos, colorizer_epochs=1)
    all_of_it = seconds_of_the_baseline(lesson)
    colorizer, took = train_the_colorizer(lesson, options.steps)
    print(f"baseline: {all_of_it:.0f} s for its training")
    print(f"colorizer: {took:.0f} s for {options.steps} steps, {took / all_of_it:.3f} of that")
    if took > A_FIFTH * all_of_it:
        print(f"that is more than {A_FIFTH}: give fewer --steps")
    sides = {"baseline": lesson.size, "colorizer": lesson.colorizer_stages[0][0]}
    loaded = {"baseline": networks.load(MODELS / "baseline.keras"), "colorizer": colorizer}
    seen = {name: pairs.load(lesson, "validation", VALIDATION, side) for name, side in sides.items()}
    truth = seen["baseline"].truth
    pictures = {name: networks.color(loaded[name], seen[name].L, truth) for name in loaded}
    pictures["grey"] = colorings.grey(truth)
    measured = {name: metrics.measure(truth, rgb) for name, rgb in pictures.items()}
    for name in ("grey", "baseline", "colorizer"):
        print(f"{name}: ΔE {measured[name]['delta_e'].mean():.2f}, PSNR {measured[name]['psnr'].mean():.2f}")
    found = metrics.compare(measured["colorizer"], measured["baseline"], "delta_e", 0)
    print("colorizer − baseline, ΔE: {mean:+.2f} ({low:+.2f} to {high:+.2f})".format(**found))


if __name__ == "__main__":
    main()
