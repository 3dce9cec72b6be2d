"""Change valid files at random, and see that the course says in one line what is wrong with each.

    python tests/fuzz.py --count 10000 [--seed 0] [--start 0] [--only KIND ...] [--keep FOLDER]

File number N is a function of the seed and N alone: after a break go on with `--start N`. Each is handled in
a process of its own kind. A finding is a signal, any error but a CourseError of one printable line, more than
10 seconds of computing, or more than 2 GB of memory; the file is kept. Ends with 1 if there is one.
"""

import argparse
import gzip
import io
import json
import multiprocessing
import os
import platform
import random
import resource
import sys
import tarfile
import tempfile
import time
import zipfile
from collections import Counter
from contextlib import redirect_stderr, redirect_stdout
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

import numpy as np
import psutil
from PIL import Image, features

ROOT = Path(__file__).resolve().parent.parent
if __name__ in ("__main__", "__mp_main__"):  # pytest finds them by itself
    sys.path.insert(0, str(ROOT))

SECONDS = 10  # of computing, for one file
MOST_BYTES = 2 * 10**9  # of memory, beside what a process holds before its first file
WALL = 120  # seconds after which a process that computes nothing is given up
NUMBERS = (
    b"\0",
    b"\xff",
    b"\0\0",
    b"\xff\xff",
    b"\x7f\xff\xff\xff",
    b"\xff\xff\xff\xff",
    b"\0\0\0\1",
    b"\1\0\0\0",
)
TABLE = (
    "file,split,title,author,license,source\n"
    + "".join(
        f'{n:02d}.png,{("train", "val", "test")[n % 3]},"A ""scene"", {n}",Zoë,CC0,https://example.org/{n}\n'
        for n in range(12)
    )
).encode()
TEXTS = (b'"', b",", b"\n", b"{", b"[", b"\x1b[2J", b"null", b"-1e999", b"../", b"<b>")
EDITS = ("flip", "cut", "delete", "repeat", "splice", "number", "insert")


def scene(seed: int) -> Image.Image:
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), np.uint8)
    return Image.fromarray(coarse).resize((80, 64), Image.Resampling.BICUBIC)


def saved(image: Image.Image, form: str, **options: object) -> bytes:
    target = io.BytesIO()
    image.save(target, form, **options)
    return target.getvalue()


@cache
def pictures() -> dict[str, list[bytes]]:
    """Make one or more valid pictures of each format."""
    rgb, grey = scene(0), scene(0).convert("L")
    deep = Image.fromarray((np.asarray(grey).astype(np.uint16) << 8) | 7)
    deep_rgb = io.BytesIO()
    import tifffile

    tifffile.imwrite(deep_rgb, np.asarray(rgb).astype(np.uint16) * 257, photometric="rgb", compression="zlib")
    transparent = rgb.convert("RGBA")
    transparent.putalpha(grey)
    exif = Image.Exif()
    exif[0x0112], exif[0x010E] = 6, "a scene"
    found = {
        "jpeg": [saved(rgb, "JPEG", exif=exif), saved(grey, "JPEG"), saved(rgb, "JPEG", progressive=True)],
        "cmyk": [saved(rgb.convert("CMYK"), "JPEG")],
        "png": [saved(rgb, "PNG", exif=exif), saved(transparent, "PNG"), saved(rgb.convert("P"), "PNG")],
        "png16": [saved(deep, "PNG")],
        "gif": [saved(rgb.convert("P"), "GIF")],
        "webp": [saved(rgb, "WEBP"), saved(transparent, "WEBP", lossless=True)],
        "tiff": [saved(rgb, "TIFF"), saved(rgb, "TIFF", compression="tiff_lzw"), saved(deep, "TIFF")],
        "tiff16": [saved(rgb, "TIFF", compression="jpeg"), deep_rgb.getvalue()],
        "bmp": [saved(rgb, "BMP"), saved(rgb.convert("P"), "BMP")],
        "jp2": [saved(rgb, "JPEG2000")],
        "ppm": [saved(rgb, "PPM"), b"P2 2 2 255 1 2 3 4\n"],
    }
    if features.check("avif"):
        found["avif"] = [saved(rgb, "AVIF")]
    return found


def _members() -> list[tuple[str, bytes]]:
    return [(f"{n:02d}.png", saved(scene(n).resize((16, 16)), "PNG")) for n in range(12)] + [
        ("split.csv", TABLE)
    ]


def tar() -> bytes:
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w") as archive:
        for name, content in _members():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return target.getvalue()


def zipped(members: list[tuple[str | zipfile.ZipInfo, bytes]]) -> bytes:
    """Pack files as if it were 1980, so that it gives the same bytes each time."""
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        for name, content in members:
            entry = name if isinstance(name, zipfile.ZipInfo) else zipfile.ZipInfo(name)
            archive.writestr(entry, content, zipfile.ZIP_DEFLATED)
    return target.getvalue()


@cache
def network() -> bytes:
    """Make a small network, saved as a lesson saves it."""
    from helpers import networks
    from helpers.backend import keras

    keras.utils.set_random_seed(0)
    L = keras.Input((None, None, 1), name="L")
    x = keras.layers.Conv2D(4, 3, padding="same", activation="relu", name="first")(L)
    x = keras.layers.BatchNormalization(name="normal")(x)
    model = keras.Model(L, keras.layers.Conv2D(2, 1, name="ab")(x), name="small")
    with tempfile.TemporaryDirectory() as folder:
        networks.save(model, Path(folder) / "small.keras")
        with zipfile.ZipFile(Path(folder) / "small.keras") as archive:
            members = {name: archive.read(name) for name in archive.namelist()}
    members["metadata.json"] = json.dumps({"keras_version": keras.__version__}).encode()  # no date
    return zipped(list(members.items()))


RECORD = {"resolution": 32, "settings": {"backbone": "efficientnet_lite0"}, "vivid": {"vividness": 0.5}}


def votes_file() -> bytes:
    """Write the votes of one game, as the gallery's page does."""
    from helpers import votes

    lines = [",".join(votes.COLUMNS)]
    for number in range(votes.ROUNDS):
        network = votes.CATCH if number < votes.CATCH_ROUNDS else "baseline"
        fields = ["g", "p", "1", str(number + 1), "a.jpg", network, "left", "right"]
        lines.append(",".join([*fields, votes.check(fields)]))
    return "\n".join(lines).encode()


def seeds(kind: str) -> list[bytes]:
    """Give valid files of a kind."""
    if kind in pictures():
        return pictures()[kind]
    return {
        "tar": lambda: [tar(), gzip.compress(tar(), mtime=0)],
        "zip": lambda: [zipped(_members())],
        "csv": lambda: [TABLE, votes_file()],
        "keras": lambda: [network()],
        "record": lambda: [json.dumps(RECORD).encode()],
    }[kind]()


def edited(data: bytes, edits: list[tuple[str, float, float, bytes]], other: bytes = b"") -> bytes:
    """Apply edits one after the other.

    Parameters
    ----------
    data : bytes
        A file.
    edits : list of (str, float, float, bytes)
        One of `EDITS`; where, and how much, as shares of the file; and what to write.
    other : bytes
        Another file, to splice a part of.

    Returns
    -------
    bytes
        The changed file.
    """
    for kind, at, share, value in edits:
        place = int(at * len(data))
        length = 1 + int(share**3 * min(len(data), 4096))
        if kind == "flip" and data:
            place = min(place, len(data) - 1)
            data = data[:place] + bytes([data[place] ^ (1 << int(share * 7.99))]) + data[place + 1 :]
        elif kind == "cut":
            data = data[:place]
        elif kind == "delete":
            data = data[:place] + data[place + length :]
        elif kind == "repeat":
            data = data[:place] + data[place : place + length] * 2 + data[place + length :]
        elif kind == "splice":
            start = int(share * len(other))
            data = data[:place] + other[start : start + length] + data[place + length :]
        elif kind == "number":
            data = data[:place] + value + data[place + len(value) :]
        elif kind == "insert":
            data = data[:place] + value + data[place:]
    return data


def edited_within(data: bytes, member: float, edits: list, other: bytes = b"") -> bytes:
    """Edit one member of a valid .zip, whose checksums stay right."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = [(name, archive.read(name)) for name in archive.namelist()]
    row = min(int(member * len(members)), len(members) - 1)
    members[row] = (members[row][0], edited(members[row][1], edits, other))
    return zipped(members)


def kinds() -> list[str]:
    """List the kinds of files, some more than once, as they need more tries."""
    return [*pictures(), "jpeg", "png", "tiff", "tar", "zip", "zip", "csv", "csv", "keras", "keras", "record"]


def make(seed: int, number: int, only: list[str]) -> tuple[str, bytes]:
    """Make file number N: most often changed at its beginning, where the sizes stand."""
    draw = random.Random(f"{seed} {number}")
    kind = draw.choice(only or kinds())
    valid = seeds(kind)
    data = draw.choice(valid)

    def edit() -> tuple[str, float, float, bytes]:
        value = draw.choice(NUMBERS) if draw.random() < 0.7 else draw.randbytes(draw.randint(1, 8))
        if kind in ("csv", "record") and draw.random() < 0.5:
            value = draw.choice(
                [b'"', b",", b"\n", b"{", b"[", b"\x1b[2J", b"null", b"-1e999", b"../", b"<b>"]
            )
        at = draw.random() if draw.random() < 0.5 else draw.random() ** 4
        name = draw.choice(("cut", "delete", "repeat") if draw.random() < 0.2 else EDITS)
        return name, at, draw.random(), value

    edits = [edit() for _ in range(draw.choice((1, 1, 2, 4)))]
    if kind in ("zip", "keras") and draw.random() < 0.6:
        return kind, edited_within(data, draw.random(), edits, draw.choice(valid))
    return kind, edited(data, edits, draw.choice(valid))


def handle(kind: str, data: bytes, folder: Path) -> None:
    """Do with a file what the course does with files of its kind.

    Raises
    ------
    CourseError
        If the course refuses it.
    """
    if kind in pictures():
        _picture(data)
    elif kind in ("tar", "zip"):
        _archive(data, folder)
    elif kind == "csv":
        _tables(data, folder)
    else:
        _network(kind, data, folder)


def _picture(data: bytes) -> None:
    from helpers.photographs import decode

    square = decode.decode(data, 64)
    assert square.shape == (64, 64, 3)
    if colorizer() is None:
        return
    from helpers import colorize

    original = colorize.read(data)
    if original.pixels.size < 10**7:  # else it is mutated to one of many megapixels, which takes long
        (rgb,) = colorize.colorize([original], colorizer())
        colorize.encode(original, rgb)


@cache
def colorizer():
    """Load the small network, in a process that may load TensorFlow."""
    if "tensorflow" in sys.modules and sys.modules["tensorflow"] is None:
        return None
    from helpers import colorize

    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "small.keras").write_bytes(network())
        (Path(folder) / "small.json").write_text(json.dumps(RECORD))
        return colorize.load(f"{folder}/small.keras")


def _archive(data: bytes, folder: Path) -> None:
    from helpers import places
    from helpers.photographs import load

    places.CACHE = folder / "cache"
    path = folder / "archive"
    path.write_bytes(data)
    load(path, 16)


def _tables(data: bytes, folder: Path) -> None:
    from helpers import votes
    from helpers.errors import CourseError
    from helpers.photographs import tables

    names = [f"{n:02d}.png" for n in range(12)]
    refused = None
    for name in ("split.csv", "ATTRIBUTION.csv", "LICENSE.txt"):
        try:
            tables.read({name: data}, names, [], folder)
        except CourseError as error:
            refused = error
    (folder / "votes.csv").write_bytes(data)
    votes.read(folder / "votes.csv")
    if refused:
        raise refused


def _network(kind: str, data: bytes, folder: Path) -> None:
    from helpers import colorize

    path = folder / "models" / "small.keras"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(data if kind == "keras" else network())
    path.with_suffix(".json").write_bytes(data if kind == "record" else json.dumps(RECORD).encode())
    loaded = colorize.load(str(path))
    colorize.colorize([colorize.read(pictures()["jpeg"][0])], loaded)


def outcome(kind: str, data: bytes, folder: Path) -> str:
    """Handle a file, and say "colored" or "refused", or what should not have been."""
    from helpers.errors import CourseError

    try:
        with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
            handle(kind, data, folder)
    except CourseError as error:
        said = str(error)
        if not said.isprintable() or not said:
            return f"finding: not one line: {said!r}"
        if "this machine's memory" in said:
            return "finding: memory ran out"
        return "refused"
    except MemoryError:
        return "finding: memory ran out"
    except Exception as error:
        return f"finding: {type(error).__name__}: {' '.join(str(error).split())[:200]}"
    return "taken"


# The long run ------------------------------------------------------------------------------------------


def _peak() -> int:
    status = Path("/proc/self/status").read_text()
    return 1024 * int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM")))


def _work(pipe, seed: int, only: list[str]) -> None:
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # libraries complain there of damaged files
    colorizer()
    network()
    Path("/proc/self/clear_refs").write_text("5")
    before = _peak()
    held = psutil.Process().memory_info().data
    resource.setrlimit(resource.RLIMIT_DATA, (held + 2 * MOST_BYTES,) * 2)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10**9,) * 2)
    pipe.send(None)
    while (number := pipe.recv()) is not None:
        kind, data = make(seed, number, only)
        with tempfile.TemporaryDirectory() as folder:
            Path("/proc/self/clear_refs").write_text("5")
            began = time.process_time()
            said = outcome(kind, data, Path(folder))
            seconds, more = time.process_time() - began, _peak() - before
        if more > MOST_BYTES:
            said = f"finding: {more / 1e9:.1f} GB of memory; {said}"
        pipe.send((kind, said, seconds, more))


class Worker:
    """A process that handles one file after the other, and is replaced when it dies or hangs."""

    def __init__(self, seed: int, only: list[str]):
        self._arguments = (seed, only)
        self.number: int | None = None
        self._start()

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipe, other = context.Pipe()
        self._process = context.Process(target=_work, args=(other, *self._arguments), daemon=True)
        self._process.start()
        other.close()
        self.pipe.recv()

    def give(self, number: int | None) -> None:
        self.number = number
        self._began, self._computed = time.monotonic(), self._seconds()
        self.pipe.send(number)

    def take(self) -> tuple[str, str, float, int] | None:
        """Take what came out, or None if it still computes."""
        try:
            if self.pipe.poll(0.02):
                return self.pipe.recv()
        except EOFError:
            self._process.join()
            return self._again(f"finding: ended by {self._process.exitcode}")
        if self._seconds() - self._computed > SECONDS or time.monotonic() - self._began > WALL:
            self._process.kill()
            self._process.join()
            return self._again(f"finding: hangs for more than {SECONDS} s")
        return None

    def _again(self, said: str) -> tuple[str, str, float, int]:
        kind, _ = make(self._arguments[0], self.number, self._arguments[1])
        self._start()
        return kind, said, 0.0, 0

    def _seconds(self) -> float:
        try:
            times = psutil.Process(self._process.pid).cpu_times()
        except psutil.Error:
            return 0.0
        return times.user + times.system


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--start", type=int, default=0, help="the first file's number")
    parser.add_argument("--only", nargs="+", default=[], choices=sorted(set(kinds())))
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--keep", type=Path, default=Path("fuzz-findings"), help="the folder for findings")
    options = parser.parse_args()
    left = iter(range(options.start, options.count))
    workers = [Worker(options.seed, options.only) for _ in range(options.workers)]
    for worker in workers:
        worker.give(next(left, None))
    counts, findings, longest, most = Counter(), 0, 0.0, 0
    while busy := [worker for worker in workers if worker.number is not None]:
        for worker in busy:
            if (found := worker.take()) is None:
                continue
            number, (kind, said, seconds, memory) = worker.number, found
            counts[said.partition(":")[0]] += 1
            longest, most = max(longest, seconds), max(most, memory)
            if said.startswith("finding"):
                findings += 1
                options.keep.mkdir(parents=True, exist_ok=True)
                (options.keep / f"{number}.{kind}").write_bytes(make(options.seed, number, options.only)[1])
                print(f"{number} {kind}: {said}", flush=True)
            if number % 500 == 499:
                print(f"up to {number}: {dict(counts)}", flush=True)
            worker.give(next(left, None))
    print(
        f"{datetime.now(UTC):%Y-%m-%d}, Python {platform.python_version()}, Pillow {Image.__version__}: "
        f"{counts.total():,} files, {counts['taken']:,} taken, {counts['refused']:,} refused, "
        f"{findings:,} findings; at most {longest:.1f} s and {most / 1e9:.2f} GB for one"
    )
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
