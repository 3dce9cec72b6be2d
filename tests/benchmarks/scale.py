"""Do memory and time for a photograph stay the same, however many photographs there are?

    python tests/benchmarks/scale.py ARCHIVE [ARCHIVE ...] [--counts N ...] [--size SIDE]

takes photographs of the archives by chance, and takes them again until there are enough, each time turned
otherwise (by the orientation in its EXIF data), so that hardly one is a near-duplicate of another. It
prepares them, makes an epoch of batches, opens them once more for the first batch alone, and trains the
baseline of lesson 3 for some steps, with the settings of the full profile. Each has a process of its own.

Times for a photograph are those that the process computes, on all its cores, without its start; the first
batch is timed by the clock. Memory is the most that a process held beside mapped files, whose pages the
system takes back when it needs them: `RssAnon` and `RssShmem` of Linux, read every 20 ms.
"""

import argparse
import io
import multiprocessing
import random
import tarfile
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from itertools import count, islice
from pathlib import Path

from PIL import Image

from helpers import places
from helpers.photographs import archives, load

COUNTS = (1000, 5000, 13_000, 50_000)
STEPS = 40  # of the training that is measured
WARM = 10  # steps before those: they compile, and fill what is kept
TURNS = (1, 3, 6, 8)  # EXIF's numbers for 0, 180, 90 and 270 degrees


def turned(jpeg: bytes, orientation: int) -> bytes:
    """Say in a JPEG how it is to be turned; its pixels stay as they are."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    content = b"Exif\0\0" + exif.tobytes().removeprefix(b"Exif\0\0")
    return jpeg[:2] + b"\xff\xe1" + (len(content) + 2).to_bytes(2, "big") + content + jpeg[2:]


def repeat(sources: list[Path], number: int, target: Path) -> None:
    """Write an archive of so many photographs, without a table: they are split by content."""
    jpegs = [
        member.data
        for source in sources
        for member in archives.members(source)
        if member.data and member.data.startswith(b"\xff\xd8\xff")
    ]
    if number > len(TURNS) * len(jpegs):
        most = len(TURNS) * len(jpegs)
        raise SystemExit(
            f"{number:,} are too many: these archives give {most:,}, each photograph turned four ways"
        )
    random.Random(0).shuffle(jpegs)
    # The first ones are turned in all directions too, so that they take as long as the others.
    chosen = ((k, jpegs[k % len(jpegs)], TURNS[(k + k // len(jpegs)) % 4]) for k in count())
    with tarfile.open(target, "w") as archive:
        for k, jpeg, orientation in islice(chosen, number):
            content = turned(jpeg, orientation)
            entry = tarfile.TarInfo(f"{k:05}.jpg")
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))


class Peak(threading.Thread):
    """The most memory that this process holds beside mapped files, from the start of the thread on."""

    def __init__(self):
        super().__init__(daemon=True)
        self.bytes = 0
        self._ended = threading.Event()

    def run(self) -> None:
        while not self._ended.wait(0.02):
            self._look()

    def end(self) -> int:
        self._ended.set()
        self.join()
        self._look()
        return self.bytes

    def _look(self) -> None:
        lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
        held = sum(int(lines[kind].split()[0]) for kind in ("RssAnon", "RssShmem"))
        self.bytes = max(self.bytes, 1024 * held)


def prepare(archive: Path, size: int) -> dict[str, float]:
    """Prepare photographs."""
    began = time.process_time()
    found = load(archive, size)
    return {"kept": len(found), "ms": 1e3 * (time.process_time() - began) / found.origin["files"]}


def first_batch(archive: Path, size: int) -> dict[str, float]:
    """Open what was prepared, and make the first batch; seconds on the clock, without Python's start."""
    from helpers.batches import Batches

    began = time.perf_counter()
    Batches(load(archive, size).train, 32, contrast=())[0]
    return {"s": time.perf_counter() - began}


def batches(archive: Path, size: int) -> dict[str, float]:
    """Make an epoch of batches, and what they are made of before."""
    from helpers.batches import Batches

    train = load(archive, size).train
    began = time.process_time()
    made = Batches(train, 32, flips=("left-right",), contrast=())
    for k in range(len(made)):
        made[k]
    return {"ms": 1e3 * (time.process_time() - began) / len(train)}


def train(archive: Path, size: int) -> dict[str, float]:
    """Train the baseline for some steps, taking its photographs from all of them by chance."""
    from helpers import profiles, provenance
    from helpers.backend import keras
    from helpers.batches import Batches

    built = []

    def note(model, *_, **__):
        built.append(model)
        raise StopIteration

    wanted = provenance.settings(profiles.PROFILES["full"])
    try:
        provenance.run_cells("baseline", wanted, 0, note)
    except StopIteration:
        (model,) = built
    ends = []
    told = keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda batch, logs: ends.append(time.process_time())
    )
    data = Batches(load(archive, size).train, 32, flips=("left-right",), contrast=(), length=WARM + STEPS)
    model.fit(data, epochs=1, shuffle=False, verbose=0, callbacks=[told])
    steps = len(ends) - WARM
    return {"ms": 1e3 * (ends[-1] - ends[WARM - 1]) / steps / 32}


def measured(task: Callable, archive: Path, size: int, cache: Path) -> dict[str, float]:
    """Do one of the above, and add the peak of memory in bytes."""
    places.CACHE = cache
    peak = Peak()
    peak.start()
    return task(archive, size) | {"bytes": peak.end()}


def apart(*arguments: object) -> dict[str, float]:
    """Do it in a fresh process, so that nothing is warm and the peak is its own."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(measured, *arguments).result()


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("archives", nargs="+", type=Path, metavar="ARCHIVE", help="of JPEG photographs")
    parser.add_argument("--counts", nargs="+", type=int, default=COUNTS, metavar="N")
    parser.add_argument("--size", type=int, default=96, metavar="SIDE")
    options = parser.parse_args()
    places.CACHE.mkdir(parents=True, exist_ok=True)
    print("| photographs | kept | preparing | | batches | | training | | first batch |")
    print("| ---: |" + " ---: |" * 8)
    for number in options.counts:
        with tempfile.TemporaryDirectory(dir=places.CACHE, prefix="scale-") as folder:
            archive = Path(folder) / "photographs.tar"
            repeat(options.archives, number, archive)
            tasks = (prepare, batches, train, first_batch)
            done = [apart(task, archive, options.size, Path(folder)) for task in tasks]
        cells = [f"{number:,}", f"{done[0]['kept']:,}"]
        for each in done[:3]:
            cells += [f"{each['ms']:.2f} ms", f"{each['bytes'] / 1e6:.0f} MB"]
        print("|", " | ".join(cells), "|", f"{done[3]['s']:.2f} s |", flush=True)


if __name__ == "__main__":
    main()
