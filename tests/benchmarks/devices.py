"""How many photographs a second does each network learn from on a GPU, and does it wait for data?

    python tests/benchmarks/devices.py [--steps N] [--cpu] [--only NAME ...]

runs the lessons' own cells in the full profile's sizes, on the embedded photographs, and stops each training
after some steps. Steps that are handed a batch from memory are compared with those that have it made, which
gives the share of a step that waits for data; the first steps, which compile, are left out. Where there is no
GPU the table says "not measured"; `--cpu` measures the processor in its place.
"""

import argparse
import subprocess
import time
from contextlib import suppress

import numpy as np

from helpers import profiles, provenance
from helpers.backend import accelerators, device, keras
from helpers.batches import Batches
from helpers.records import NETWORKS

WARM = 3  # steps that compile, or still do what is done once


class _MeasuredError(Exception):
    """The training has been measured, and need not go on."""


class Stamps(keras.callbacks.Callback):
    """Note when each step has ended; the step's loss is read, so that it is known to have been computed."""

    def __init__(self):
        super().__init__()
        self.at: list[float] = []

    def on_train_batch_end(self, batch, logs=None):
        for value in (logs or {}).values():
            float(value)
        self.at.append(time.perf_counter())

    @property
    def seconds(self) -> float:
        """The median time of a step."""
        return float(np.median(np.diff(self.at[WARM:])))


class Held(keras.utils.PyDataset):
    """Hands over one batch again and again: nothing is made, so nothing is waited for."""

    def __init__(self, batch: object, steps: int):
        super().__init__()
        self.batch, self.steps = batch, steps

    def __len__(self):
        return self.steps

    def __getitem__(self, index):
        return self.batch


class Made(Held):
    """Has each batch made, as a training does, however few photographs there are."""

    def __init__(self, batches: Batches, steps: int):
        super().__init__(None, steps)
        self.batches = batches

    def __getitem__(self, index):
        return self.batches[index % max(1, len(self.batches) - 1)]  # the last one may be smaller


def measure(name: str, steps: int) -> tuple[float, float]:
    """Train a network for some steps.

    Parameters
    ----------
    name : str
        A key of `NETWORKS`.
    steps : int
        How many to measure.

    Returns
    -------
    tuple of float
        Photographs a second, and the share of a step, 0..1, that waits for data.
    """
    found: list[tuple[float, float]] = []
    fit = keras.Model.fit

    def some_steps(model, x=None, y=None, *others, **options):
        batches = x if isinstance(x, Batches) else None
        batch = batches[0] if batches is not None else (x, y)
        seconds = []
        kinds = [Held(batch, steps + WARM)]
        if batches is not None:
            kinds.append(Made(batches, steps + WARM))
        for data in kinds:
            stamps = Stamps()
            fit(model, data, epochs=1, shuffle=False, callbacks=[stamps], verbose=0)
            seconds.append(stamps.seconds)
        photographs = len(keras.tree.flatten(batch)[0])
        found.append((photographs / seconds[-1], max(0.0, 1 - seconds[0] / seconds[-1])))
        raise _MeasuredError

    wanted = provenance.settings(profiles.PROFILES["full"])
    with suppress(_MeasuredError):
        provenance.run_cells(name, wanted, 0, some_steps)
    return found[0]


def card() -> str:
    """Name the GPU as its driver does, or the processor if there is none."""
    with suppress(OSError, subprocess.CalledProcessError):
        asked = ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"]
        names = subprocess.run(asked, capture_output=True, text=True, check=True).stdout.split("\n")
        if accelerators() and names[0]:
            return names[0]
    return device()


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument(
        "--steps", type=int, default=30, metavar="N", help="steps to measure; 30 if not given"
    )
    parser.add_argument("--cpu", action="store_true", help="measure the processor where there is no GPU")
    parser.add_argument("--only", nargs="+", metavar="NAME", default=list(NETWORKS), help="these networks")
    options = parser.parse_args()
    measured = bool(accelerators()) or options.cpu
    print(f"on {card()}, Keras {keras.__version__} on {keras.backend.backend()}\n")
    print("| network | photographs a second | waits for data |\n| --- | ---: | ---: |")
    for name in options.only:
        cells = ("not measured", "not measured")
        if measured:
            rate, waits = measure(name, options.steps)
            cells = (f"{rate:.0f}", f"{waits:.0%}")
        print(f"| {NETWORKS[name]} | {cells[0]} | {cells[1]} |", flush=True)


if __name__ == "__main__":
    main()
