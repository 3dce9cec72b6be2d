"""Time augmentation: python tests/benchmarks/augment.py [PHOTOS] [--rounds 9].

PHOTOS is what `helpers.photographs.load` takes; the embedded sample unless told. CPU times are
those of the whole process, the rivals take turns, and medians are printed. What is measured:

- the story's pipeline as lesson 2 shows it, at 256 px: ImageDataGenerator, one operation of
  skimage.exposure at random, rgb2lab in float64, and the division;
- the course's pipeline: an epoch of `Batches`, from the memory-mapped file to normalized float32;
  and an epoch of `fit` with a network that does nothing, on them and on batches of 2 x 2 pixels:
  the difference is what a photograph costs when `fit` draws it, the rest is `fit` itself;
- the preparation of all variants of a photograph, once;
- the baseline of lesson 3 at half width, 128 px, batches of 16: the share of a step that it waits
  for its batch when nothing overlaps, and the wall time of `fit` on `Batches` over that of `fit`
  on in-memory arrays of the same batches.

The last line is one JSON object.
"""

import argparse
import json
import os
import platform
import time
import warnings
from collections import deque
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from skimage import exposure
from skimage.color import rgb2lab

from helpers import photographs
from helpers.augment import encode
from helpers.backend import keras
from helpers.batches import Batches

RECORD = Path(__file__).with_suffix(".json")
LARGE, SMALL, BATCH, COUNT = 256, 128, 16, 48
TITLES = {
    "story": "the story's pipeline",
    "course": "the course's pipeline",
    "fed": "fit, doing nothing, on the course's pipeline",
    "idle": "fit, doing nothing, on 2 x 2 pixels",
    "preparation": "preparing all variants, once",
    "copy": "copying a photograph's batch (float32)",
}
layers = keras.layers


def story_pipeline(rgb):
    """Return a function that gives an epoch of the story's batches: L / 100 and ab / 128."""
    from tensorflow.keras.preprocessing.image import ImageDataGenerator

    chance = np.random.default_rng(0)
    warnings.filterwarnings("ignore", "This might be a color image")

    def story_contrast(picture):
        operation = chance.integers(3)
        if operation == 0:
            return exposure.equalize_adapthist(picture / 255, clip_limit=0.02)
        if operation == 1:
            low, high = np.percentile(picture, (2, 98))
            return exposure.rescale_intensity(picture, in_range=(low, high))
        return exposure.equalize_hist(picture)

    generator = ImageDataGenerator(
        shear_range=0.2,
        zoom_range=0.2,
        rotation_range=10,
        horizontal_flip=True,
        vertical_flip=True,
        preprocessing_function=story_contrast,
    )
    flow = generator.flow(rgb, batch_size=BATCH, seed=0)

    def epoch():
        for _ in range(len(flow)):
            lab = rgb2lab(next(flow).astype(np.float64))
            yield lab[..., :1] / 100, lab[..., 1:] / 128

    return epoch


class Nothing(keras.Model):
    """A network whose training step takes its batch and does nothing with it."""

    def train_step(self, data):
        """Return how many photographs came."""
        return {"photographs": keras.ops.shape(data[0])[0]}


def build_baseline(width=0.5):
    """Build the baseline of lesson 3."""

    def convolve(x, number, strides=1):
        return layers.Conv2D(round(number * width), 3, strides, padding="same", activation="relu")(x)

    def shrink(x, number):
        return layers.BatchNormalization(momentum=0.9)(convolve(x, number, strides=2))

    def grow(x, number):
        return layers.UpSampling2D(interpolation="bilinear")(convolve(x, number))

    L = keras.Input((None, None, 1))
    x = shrink(convolve(L, 64), 64)
    x = shrink(convolve(x, 128), 128)
    x = shrink(convolve(x, 256), 256)
    x = convolve(layers.Dropout(0.2)(convolve(x, 512)), 256)
    x = grow(grow(grow(x, 128), 64), 32)
    network = keras.Model(L, layers.Conv2D(2, 3, padding="same", activation="tanh")(x))
    network.compile(keras.optimizers.RMSprop(1e-3), "mse")
    return network


def cpu_ms(function, count):
    """Return the process's CPU milliseconds for each of the `count` photographs of a call."""
    start = time.process_time()
    function()
    return 1000 * (time.process_time() - start) / count


def wall(function):
    """Return the seconds that a call takes."""
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def in_turn(rivals, rounds, measure):
    """Measure every rival once a round, after one round to warm up; return the numbers by name."""
    for rival in rivals.values():
        rival[0]()
    measured = {name: [] for name in rivals}
    for _ in range(rounds):
        for name, rival in rivals.items():
            measured[name].append(measure(*rival))
    return {name: np.array(numbers) for name, numbers in measured.items()}


def pipelines(photos, rounds):
    """Measure CPU milliseconds a photograph of each pipeline, and of copying a batch's bytes."""
    count = len(photos)
    story, batches, network = story_pipeline(photos.rgb), Batches(photos, BATCH), Nothing()
    small = Batches(photos.rgb[:, :2, :2], BATCH, contrast=())
    network.compile()
    source = np.ones((count, LARGE, LARGE, 3), np.float32)
    target = np.ones_like(source)

    def course():
        for _ in range(20):
            deque(batches, maxlen=1)
            batches.on_epoch_end()

    def prepare():
        for rgb in photos.rgb[:BATCH]:
            encode(rgb)

    def copy():
        for _ in range(20):
            np.copyto(target, source)

    rivals = {
        "story": (lambda: deque(story(), maxlen=1), count),
        "course": (course, 20 * count),
        "fed": (lambda: network.fit(batches, epochs=20, verbose=0), 20 * count),
        "idle": (lambda: network.fit(small, epochs=20, verbose=0), 20 * count),
        "preparation": (prepare, BATCH),
        "copy": (copy, 20 * count),
    }
    return in_turn(rivals, rounds, cpu_ms)


def feeding(photos, rounds):
    """Measure wall seconds of the baseline's training: waiting, fed by batches, fed by arrays."""
    network, batches = build_baseline(), Batches(photos, BATCH)
    L, ab = (np.concatenate(part) for part in zip(*batches, strict=True))

    def waiting():
        """Return the share of a loop by hand that is spent on making batches."""
        made = trained = 0.0
        for index in range(len(batches)):
            start = time.perf_counter()
            batch = batches[index]
            ready = time.perf_counter()
            network.train_on_batch(*batch)
            made += ready - start
            trained += time.perf_counter() - ready
        return made / (made + trained)

    rivals = {
        "waiting": (waiting,),
        "batches": (lambda: wall(lambda: network.fit(batches, epochs=2, verbose=0)),),
        "arrays": (lambda: wall(lambda: network.fit(L, ab, batch_size=BATCH, epochs=2, verbose=0)),),
    }
    return in_turn(rivals, rounds, lambda measure: measure())


def main():
    """Measure, print the table, and the JSON object."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("photos", nargs="?", default="sample")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--record", action="store_true", help="store the result, which lesson 2 shows")
    given = parser.parse_args()

    ms = pipelines(photographs.load(given.photos, LARGE)[:COUNT], given.rounds)
    share = feeding(photographs.load(given.photos, SMALL)[:COUNT], given.rounds)
    bandwidth = 2 * LARGE**2 * 12 / np.median(ms["copy"]) / 1e6
    moved = LARGE**2 * (3 + 12)

    print(f"{COUNT} photographs of {given.photos}, {given.rounds} rounds, {os.cpu_count()} cores")
    print(f"CPU milliseconds a photograph of {LARGE} x {LARGE}: median [least, most]")
    for name, title in TITLES.items():
        print(f"  {title:44} {np.median(ms[name]):7.3f} [{ms[name].min():.3f}, {ms[name].max():.3f}]")
    rate = moved / np.median(ms["course"]) / 1e6
    print(f"bytes moved: {moved:,} a photograph, {rate:.1f} GB/s; a copy here reaches {bandwidth:.1f} GB/s")
    story, course, prepare = (float(np.median(ms[name])) for name in ("story", "course", "preparation"))
    result = {
        "story_ms": round(story, 2),
        "course_ms": round(course, 3),
        "ratio": round(float(np.median(ms["story"] / ms["course"])), 1),
        "prepare_ms": round(prepare, 2),
        "data_wait": round(float(np.median(share["waiting"])), 5),
        "fit_ratio": round(float(np.median(share["batches"] / share["arrays"])), 3),
    }
    if given.record:
        conditions = {
            "delivered_ms": round(float(np.median(ms["fed"] - ms["idle"])), 3),
            "photographs": COUNT,
            "rounds": given.rounds,
            "cores": os.cpu_count(),
            "python": platform.python_version(),
            "date": datetime.now(UTC).date().isoformat(),
        }
        RECORD.write_text(json.dumps(result | conditions, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(result))


if __name__ == "__main__":
    main()
