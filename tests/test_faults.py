"""Whatever goes wrong, one line says so, and nothing that was there is lost: a table of faults.

Each row provokes its fault for real: with a disk that is full, a limit of the system, a server that lies, a
file that a stranger has made. What it must leave is what was there before, and nothing else under a name that
anybody reads. Rows that need the rights of root are skipped without them, which pytest says.
"""

import io
import json
import os
import re
import signal
import socket
import struct
import subprocess
import sys
import tarfile
import threading
import time
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from fnmatch import fnmatch
from hashlib import sha256
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import psutil
import pytest
import requests
from conftest import write_lesson
from filelock import FileLock
from fuzz import RECORD, network, saved, scene, zipped
from PIL import Image
from test_download import (  # noqa: F401
    answer,
    catalogue,
    content,
    cut_after,
    flowers,
    ignore_ranges_and_cut,
    send,
    server,
    silence,
)

from helpers import __main__, augment, errors, networks, places, recorded, records
from helpers.backend import keras
from helpers.batches import Batches
from helpers.errors import CourseError
from helpers.photographs import collection, load
from helpers.training import Clock, GoOn

resource = pytest.importorskip("resource", reason="limits of the system are those of POSIX")
layers = keras.layers


# What is at hand to provoke a fault with ---------------------------------------------------------------


@dataclass
class Place:
    """A folder of its own for one fault, and the means to bring it about."""

    folder: Path
    server: object
    content: bytes
    monkeypatch: pytest.MonkeyPatch
    ends: ExitStack

    def disk(self, kilobytes: int) -> Path:
        """Mount a small disk in memory."""
        folder = self.folder / "disk"
        folder.mkdir()
        _mount("-t", "tmpfs", "-o", f"size={kilobytes}k", "none", str(folder))
        self.ends.callback(subprocess.run, ["umount", "-l", str(folder)], check=True)
        return folder

    def read_only(self, folder: Path) -> Path:
        """Let a folder be one that not even root can write to."""
        _mount("--bind", str(folder), str(folder))
        self.ends.callback(subprocess.run, ["umount", "-l", str(folder)], check=True)
        _mount("-o", "remount,bind,ro", str(folder))
        return folder

    def fill(self, disk: Path, but: int = 0) -> None:
        """Fill a disk up to some bytes."""
        free = os.statvfs(disk)
        (disk / "full").write_bytes(bytes(free.f_bavail * free.f_frsize - but))

    def pictures(self, count: int = 12, home: str = "album") -> Path:
        folder = self.folder / home
        folder.mkdir()
        for number in range(count):
            scene(number).save(folder / f"{number:02d}.png")
        return folder

    def file(self, name: str, data: bytes) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        return path

    def network(self, data: bytes | None = None, record: object = RECORD) -> Path:
        """Write a network and its record, as a run leaves them."""
        self.file("models/small.json", record if isinstance(record, bytes) else json.dumps(record).encode())
        return self.file("models/small.keras", network() if data is None else data)

    def seen(self) -> dict[str, str]:
        """Take a picture of all that lies in the folder."""
        return {
            path.relative_to(self.folder).as_posix(): sha256(path.read_bytes()).hexdigest()
            for path in self.folder.rglob("*")
            if path.is_file() and not path.is_symlink()
        }


def _mount(*words: str) -> None:
    if os.geteuid() != 0 or subprocess.run(["mount", *words], capture_output=True).returncode:
        pytest.skip("needs the right to mount a disk")


@contextmanager
def limit(kind: int, most: int) -> Iterator[None]:
    """Lower a limit of the system for this process."""
    before = resource.getrlimit(kind)
    resource.setrlimit(kind, (most, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(kind, before)


Act = Sequence[object] | Callable[[], object]


@dataclass(frozen=True)
class Fault:
    """A row of the table."""

    name: str
    # Prepares everything; what it returns then meets the fault: words for the command line, or a function.
    provoke: Callable[[Place], Act]
    # The one line, as a pattern.
    seen: str
    # What may lie there afterwards beside what was there before.
    kept: tuple[str, ...] = ()
    code: int = 1
    # What else must hold afterwards.
    then: Callable[[Place], object] = field(default=lambda place: None)


# Download ----------------------------------------------------------------------------------------------

PART = ("downloads/flowers.tgz.part", "downloads/flowers.lock")
LOCK = ("downloads/flowers.lock",)


def fetch(plan: Callable | None = None, **entry: object) -> Callable[[Place], Act]:
    """Fetch a source from a server that behaves by a plan."""

    def provoke(place: Place) -> Act:
        if plan is not None:
            place.server.plans["a/flowers.tgz"] = [plan]
        if entry:
            catalogue(place.monkeypatch, "flowers", **entry)
        return ["fetch", "flowers", "--to", place.folder / "downloads"]

    return provoke


def lies(handler, whole):
    send(handler, 200, whole[::-1])


def sends_without_end(handler, _):
    handler.send_response(200)
    handler.end_headers()
    while True:
        handler.wfile.write(bytes(2**16))


def counts_in_words(handler, _):
    send(handler, 200, b"", length="many")


def stop_server(place: Place) -> Act:
    place.server.stop()
    return fetch()(place)


def fill_while_downloading(place: Place) -> Act:
    disk = place.disk(1000)

    def fill(handler, whole):
        place.fill(disk, but=100_000)
        send(handler, 200, whole)

    place.server.plans["a/flowers.tgz"] = [fill]
    return ["fetch", "flowers", "--to", disk]


def small_disk(place: Place) -> Act:
    return ["fetch", "flowers", "--to", place.disk(64)]


def fetch_read_only(place: Place) -> Act:
    (place.folder / "downloads").mkdir()
    return ["fetch", "flowers", "--to", place.read_only(place.folder / "downloads")]


def fetch_into_file(place: Place) -> Act:
    return ["fetch", "flowers", "--to", place.file("downloads", b"mine")]


def fetch_large(place: Place) -> Act:
    def act():
        with limit(resource.RLIMIT_FSIZE, 100_000):
            return __main__.main(["fetch", "flowers", "--to", str(place.folder / "downloads")])

    return act


def fetch_twice(place: Place) -> Act:
    (place.folder / "downloads").mkdir()
    place.ends.enter_context(FileLock(place.folder / "downloads" / "flowers.lock"))
    return fetch()(place)


def unsplash(tables: bytes = b"", photograph: Callable | None = None, manifest: bytes = b""):
    """Fetch Unsplash's photographs by a list, or by one that was chosen before."""

    def provoke(place: Place) -> Act:
        url = place.server.put("tables.zip", tables)
        catalogue(place.monkeypatch, "unsplash-lite", url=url, bytes=1000, photographs=1)
        home = place.folder / "downloads" / "unsplash-lite"
        if manifest:
            place.file("downloads/unsplash-lite/manifest.json", manifest)
        elif photograph:
            about = {"url": place.server.put("1.jpg", b"", photograph), "title": "", "author": "", "page": ""}
            text = json.dumps({"chosen": {"one": about}, "gone": {}})
            place.file("downloads/unsplash-lite/manifest.json", text.encode())
        (home / "photographs").mkdir(parents=True, exist_ok=True)
        return ["fetch", "unsplash-lite", "--to", place.folder / "downloads"]

    return provoke


def bomb(name: str) -> bytes:
    """Pack a file that, by the archive's directory, unpacks to 600 MB of zeros."""
    packed = bytearray(zipped([(name, bytes(10**6))]))
    at = packed.index(b"PK\1\2") + 24
    packed[at : at + 4] = (600 * 10**6).to_bytes(4, "little")
    return bytes(packed)


UNSPLASH = ("downloads/unsplash-lite.lock",)
DOWNLOAD = (
    Fault("a server that cuts, again and again", fetch(ignore_ranges_and_cut), "breaks off again and", PART),
    Fault("a server that is silent", fetch(silence), "127.0.0.1 does not answer: run this again later", LOCK),
    Fault(
        "a server that sends something else", fetch(lies), "arrived with the checksum .* was removed", LOCK
    ),
    Fault(
        "a server that sends without end",
        fetch(sends_without_end),
        "sends more than the 300,000 bytes of .*: choose another source",
        LOCK,
    ),
    Fault("a server that counts in words", fetch(counts_in_words), "breaks off again and again", PART),
    Fault(
        "a server with another file",
        fetch(bytes=299_999),
        "offers 300,000 bytes where the catalogue says 299,999",
        LOCK,
    ),
    Fault(
        "a network that wants a login",
        fetch(answer(200, b"<html>Room number?</html>", Content_Type="text/html; x")),
        "sends a web page instead of .* login first",
        LOCK,
    ),
    Fault("a server that refuses", fetch(answer(403)), r"\(403\): choose another source", LOCK),
    Fault("a file that is gone", fetch(answer(404)), r"\(404\): choose another source", LOCK),
    Fault("a server in trouble", fetch(answer(503)), r"in trouble \(503\): run this again later", LOCK),
    Fault("no server", stop_server, "127.0.0.1 cannot be reached: check the network", LOCK),
    Fault(
        "a disk that fills up while it is downloaded to",
        fill_while_downloading,
        "the disk is full; make room, or name another folder with --to",
        ("disk/flowers.tgz.part", "disk/flowers.lock", "disk/full"),
    ),
    Fault("a disk that is too small", small_disk, "flowers takes 0 MB, and .* left: make", ("disk/*.lock",)),
    Fault("a folder that is read-only", fetch_read_only, "cannot write to .*: you may not write in", code=2),
    Fault("a file in the folder's place", fetch_into_file, "downloads is a file, not a folder", code=2),
    Fault("a limit on the size of files", fetch_large, "File too large; make room", PART),
    Fault(
        "another process that fetches it", fetch_twice, "another process is fetching flowers: let it", LOCK
    ),
    Fault(
        "a manifest that was cut",
        unsplash(manifest=b'{"chosen": {"on'),
        "manifest.json was cut or altered: remove it, and the list is fetched again",
        UNSPLASH,
    ),
    Fault(
        "a list of photographs that unpacks to 600 MB",
        unsplash(bomb("photos.tsv000")),
        "Unsplash's archive holds no list of photographs: choose another source",
        UNSPLASH,
    ),
    Fault(
        "a list that is none",
        unsplash(b"<html>"),
        "Unsplash's archive holds no list of photographs",
        UNSPLASH,
    ),
)


def test_a_photograph_that_does_not_end_is_no_photograph(place, capsys):
    """It is named, and the next ones are fetched: so there is no one line, and it is no row."""
    words = unsplash(photograph=sends_without_end)(place)
    assert __main__.main([str(word) for word in words]) == 0
    assert "one: 127.0.0.1 sends more than a photograph" in capsys.readouterr().out
    manifest = json.loads((place.folder / "downloads/unsplash-lite/manifest.json").read_text())
    assert list(manifest["gone"]) == ["one"]


# Decode and colorize -----------------------------------------------------------------------------------

GREY = scene(0).convert("L")
JPEG, PNG = saved(GREY, "JPEG"), saved(GREY, "PNG")
HEADER = b"IHDR" + (30_000).to_bytes(4, "big") * 2 + PNG[24:29]
STATES_900_MEGAPIXELS = PNG[:12] + HEADER + zlib.crc32(HEADER).to_bytes(4, "big") + PNG[33:]
IN_LITTLE_MEMORY = """
import resource, sys
from helpers.photographs import decode
decode.MOST_MEMORY = decode._memory.most = decode._memory.left = 10**12
held = int(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmData"))) * 1024
resource.setrlimit(resource.RLIMIT_DATA, (held + 5 * 10**7,) * 2)
try:
    decode.decode(sys.argv[1], 64)
except decode.DecodeError as error:
    sys.exit(f"error: {error}")
"""


def colorize(name: str, data: bytes | None, *words: object) -> Callable[[Place], Act]:
    """Color a file beside one that is sound."""

    def provoke(place: Place) -> Act:
        given = place.file(f"given/{name}", data) if data is not None else place.folder / "given" / name
        sound = place.file("given/sound.png", PNG)
        out = ["-o", place.folder / "out", "--network", place.network()]
        return ["colorize", given, sound, *out, *words]

    return provoke


def little_memory(place: Place) -> Act:
    target = io.BytesIO()
    Image.new("RGB", (6_000, 5_000)).save(target, "PNG", compress_level=1)
    path = place.file("large.png", target.getvalue())
    return lambda: _said([sys.executable, "-c", IN_LITTLE_MEMORY, str(path)])


def _said(command: Sequence[str]) -> int:
    ended = subprocess.run(command, cwd=places.ROOT, capture_output=True, text=True)
    sys.stderr.write(ended.stderr)
    return ended.returncode


def full_result(place: Place) -> Act:
    disk = place.disk(100)
    place.fill(disk, but=8192)
    large = place.file("given/large.png", saved(GREY.resize((400, 400)), "PNG"))
    small = place.file("given/small.png", saved(GREY.resize((8, 8)), "PNG"))
    return ["colorize", large, small, "-o", disk, "--network", place.network()]


def read_only_result(place: Place) -> Act:
    path = place.file("given/a.png", PNG)
    network = place.network()
    place.read_only(path.parent)
    return ["colorize", path, "--network", network]


def result_over_a_folder(place: Place) -> Act:
    (place.folder / "out" / "a.png" / "mine").mkdir(parents=True)
    path = place.file("given/a.png", PNG)
    return ["colorize", path, "-o", f"{place.folder}/out", "--force", "--network", place.network()]


def broken_exif() -> bytes:
    """Save a picture whose EXIF data was changed on the way."""
    exif = Image.Exif()
    exif[0x010E] = "a scene"
    whole = saved(GREY, "PNG", exif=exif)
    return whole.replace(b"a scene", b"a scena")


SOUND = ("out/sound.png",)
DECODE = (
    Fault("a picture that was cut", colorize("a.jpg", JPEG[:700]), "a.jpg: damaged or cut off", SOUND),
    Fault("an empty file", colorize("a.jpg", b""), "a.jpg: the file is empty", SOUND),
    Fault("a text called a picture", colorize("a.jpg", b"dear diary"), "a.jpg: text, not a picture", SOUND),
    Fault(
        "a picture that states 900 megapixels",
        colorize("a.png", STATES_900_MEGAPIXELS),
        "a.png: more than 200 megapixels",
        SOUND,
    ),
    Fault(
        "a name that steers a terminal",
        colorize("\x1b[2J\x1b]0;x\x07\n.jpg", b"no"),
        r"\\x1b\[2J\\x1b\]0;x\\x07\\n\.jpg: ",
        SOUND,
    ),
    Fault(
        "a picture that is larger than the memory",
        little_memory,
        "too large for this machine's memory",
    ),
    Fault(
        "a result on a disk that is full",
        full_result,
        r"large\.png: .*disk/large.png cannot be written \(No space left on device\): make room",
        ("disk/small.png",),
    ),
    Fault("a result in a folder that is read-only", read_only_result, r"a\.png: .*Read-only file system"),
    Fault("a folder where the result belongs", result_over_a_folder, "a.png: Is a directory"),
)


def test_a_damaged_chunk_that_says_nothing_costs_no_color(place):
    """Found by changing files at random: the second reading, for what belongs to the picture, stumbled."""
    words = colorize("a.png", broken_exif())(place)
    assert __main__.main([str(word) for word in words]) == 0
    assert Image.open(place.folder / "out" / "a.png").size == (80, 64)


# Prepare -----------------------------------------------------------------------------------------------


def prepared_on(disk: Callable[[Place], Path]) -> Callable[[Place], Act]:
    def provoke(place: Place) -> Act:
        album = place.pictures()
        place.monkeypatch.setattr(places, "CACHE", disk(place) / "cache")
        return lambda: load(album, 256)

    return provoke


def read_only_folder(place: Place) -> Path:
    (place.folder / "there").mkdir()
    return place.read_only(place.folder / "there")


def augmented_on_a_small_disk(place: Place) -> Act:
    photographs = load(place.pictures(30), 64).train
    place.monkeypatch.setattr(places, "CACHE", place.disk(300) / "cache")
    return lambda: augment.prepare(photographs, augment.CONTRASTS)


def archive(data: Callable[[], bytes], name: str = "a.tar") -> Callable[[Place], Act]:
    def provoke(place: Place) -> Act:
        path = place.file(name, data())
        return lambda: load(path, 16)

    return provoke


def tar_of(*entries: tuple[str, bytes, str], mode: str = "w") -> bytes:
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode=mode) as packed:
        for name, data, link in entries:
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            if link:
                entry.type, entry.linkname = tarfile.SYMTYPE, link
            packed.addfile(entry, io.BytesIO(data))
    return target.getvalue()


def damaged_start() -> bytes:
    """Pack photographs, and cut the first block of what is compressed."""
    return tar_of(("a.png", PNG * 20, ""), mode="w:gz")[:60]


PREPARE = (
    Fault(
        "a cache on a disk that is full",
        prepared_on(lambda place: place.disk(500)),
        r"disk/cache/.* cannot be written \(No space left on device\): make room",
    ),
    Fault(
        "a cache that is read-only",
        prepared_on(read_only_folder),
        "cannot write to .*cache: you may not write in .*: set COURSE_DATA to a folder of your own",
    ),
    Fault(
        "variants on a disk that is too small",
        augmented_on_a_small_disk,
        r"preparing \d+ photographs takes .* GB of disk, and .* GB are free: make room",
    ),
    Fault(
        "an archive that was cut",
        archive(lambda: tar_of(("a.png", PNG, ""), ("b.png", PNG, ""))[: len(PNG) + 700]),
        "a.tar is damaged or cut off .*: fetch it again",
    ),
    Fault(
        "an archive that was cut at its beginning",  # found by changing files at random
        archive(damaged_start),
        "a.tar is damaged or cut off .*: fetch it again",
    ),
    Fault(
        "a name that leads out of an archive",
        archive(lambda: tar_of(("../../mine.png", PNG, ""))),
        r"example \.\./\.\./mine\.png: its name leads out of the archive",
    ),
    Fault(
        "a name that is absolute",
        archive(lambda: tar_of(("/tmp/mine.png", PNG, ""))),
        "example /tmp/mine.png: its name leads out of the archive",
    ),
    Fault(
        "a link in an archive",
        archive(lambda: tar_of(("a.png", b"", "/etc/passwd"))),
        "example a.png: a link or a device, not a file",
    ),
    Fault(
        "an archive that unpacks to 600 MB",
        archive(lambda: bomb("a.png"), "a.zip"),
        "example a.png: larger than 200 MB",
    ),
    Fault(
        "a name in an archive that steers a terminal",
        archive(lambda: tar_of(("\x1b[2J.png", b"no", ""))),
        r"example \\x1b\[2J\.png: ",
    ),
    Fault(
        "a table that is none",
        archive(lambda: tar_of(("a.png", PNG, ""), ("split.csv", b"\xff\xfe\0", ""))),
        "split.csv: not a table of commas in UTF-8: save it as one",
    ),
)


class Runs:
    """What runs when it is unpickled."""

    def __init__(self, mark: Path):
        self.mark = mark

    def __reduce__(self):
        return os.mkdir, (str(self.mark),)


def pickled(place: Place, entry: Path) -> None:
    np.save(entry, np.array([Runs(place.folder / "mark")], dtype=object), allow_pickle=True)


def cut(place: Place, entry: Path) -> None:
    entry.write_bytes(entry.read_bytes()[:-1])


def other(place: Place, entry: Path) -> None:
    np.save(entry, np.zeros((3, 8, 8, 3), np.uint8))


@pytest.mark.parametrize("harm", [cut, other, pickled])
@pytest.mark.parametrize("what", ["rgb.npy", "augmented-*"])
def test_a_cache_that_was_altered_is_made_anew_and_nothing_in_it_runs(harm, what, place):
    """Nobody needs to hear of it: so it is no row."""
    album = place.pictures(30)
    made = augment.prepare(load(album, 16).train, ("stretch",))
    before = np.array(made).tobytes(), np.array(load(album, 16).rgb)
    (entry,) = places.CACHE.rglob(what)
    inode = entry.stat().st_ino
    harm(place, entry.with_suffix(".npy") if harm is not cut else entry)
    if (written := entry.with_suffix(".npy")) != entry and written.exists():
        written.replace(entry)
    assert entry.stat().st_ino != inode or harm is cut or what == "rgb.npy"
    photographs = load(album, 16)
    assert np.array_equal(photographs.rgb, before[1])
    assert np.array(augment.prepare(photographs.train, ("stretch",))).tobytes() == before[0]
    assert not (place.folder / "mark").exists()


# Train -------------------------------------------------------------------------------------------------


def fit(folder: Path | None, epochs: int, loss: Callable | str = "mse", callback: object = None) -> None:
    """Train a small network; five steps an epoch."""
    keras.utils.set_random_seed(0)
    rgb = np.random.default_rng(0).integers(0, 256, (20, 8, 8, 3), np.uint8)
    batches = Batches(rgb, 4, contrast=())
    L = keras.Input((None, None, 1))
    model = keras.Model(L, layers.Conv2D(2, 1, name="ab")(layers.Conv2D(64, 3, padding="same")(L)))
    model.compile(keras.optimizers.Adam(0.01), loss)
    around = [GoOn(folder, batches), *([callback] if callback else [])]
    model.fit(batches, epochs=epochs, shuffle=False, callbacks=around, verbose=0)


class Break(keras.callbacks.Callback):
    """Break a weight, as a step that is too long does."""

    def __init__(self, epoch: int, step: int, value: float):
        super().__init__()
        self.at, self.value = (epoch, step), value
        self.epoch = 0

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_begin(self, batch, logs=None):
        if (self.epoch, batch) == self.at:
            self.model.get_layer("ab").bias.assign([self.value] * 2)

    def on_train_batch_end(self, batch, logs=None):
        if (self.epoch, batch) == (self.at[0], -self.at[1]):
            self.model.get_layer("ab").bias.assign([self.value] * 2)


def breaks(epoch: int, step: int, value: float) -> Callable[[Place], Act]:
    def provoke(place: Place) -> Act:
        fit(place.folder / "kept", 2)
        return lambda: fit(place.folder / "kept", 4, callback=Break(epoch, step, value))

    return provoke


def diverges(place: Place) -> Act:
    """Let a training diverge by its own steps, as each learner's does once."""

    def act():
        L = keras.Input((None, None, 1))
        model = keras.Model(L, layers.Conv2D(2, 1)(L))
        model.compile(keras.optimizers.SGD(1e30), "mse")
        model.fit(np.ones((8, 4, 4, 1)), np.ones((8, 4, 4, 2)), 2, 5, callbacks=[Clock()], verbose=0)

    return act


def goes_on(place: Place) -> None:
    fit(place.folder / "kept", 3)


def damage(**harms: Callable[[bytes], bytes]) -> Callable[[Place], Act]:
    def provoke(place: Place) -> Act:
        kept = place.folder / "kept"
        fit(kept, 2)
        for name, harm in harms.items():
            for path in kept.glob(f"{name}*"):
                path.write_bytes(harm(path.read_bytes()))
        return lambda: fit(kept, 3)

    return provoke


def keep_on_a_full_disk(place: Place) -> Act:
    disk = place.disk(400)
    fit(disk / "kept", 2)
    place.fill(disk)
    return lambda: fit(disk / "kept", 3)


def make_room_and_go_on(place: Place) -> None:
    (place.folder / "disk" / "full").unlink()
    fit(place.folder / "disk" / "kept", 3)


def keep_read_only(place: Place) -> Act:
    (place.folder / "kept").mkdir()
    place.read_only(place.folder / "kept")
    return lambda: fit(place.folder / "kept", 1)


BROKEN = "lower the learning rate, or look for what divides by zero"
TRAIN = (
    Fault(
        "a loss that is no number",
        breaks(2, 1, float("nan")),
        f"step [23] of epoch 3, where its loss is nan: {BROKEN}; .*kept keeps what 2 epochs gave, and",
        then=goes_on,
    ),
    Fault(
        "a loss that is infinite",
        breaks(3, 0, float("inf")),
        f"in step [1-5] of epoch 4, where its loss is (inf|nan): {BROKEN}; .*kept keeps what 3 epochs gave",
        ("kept/*",),
        then=goes_on,
    ),
    Fault(
        "a weight that breaks in the last step",
        breaks(2, -4, float("nan")),
        f"broke down in step 5 of epoch 3, where its weight .*bias is nan: {BROKEN}",
        then=goes_on,
    ),
    Fault(
        "a training that diverges", diverges, rf"broke down in step \d of epoch \d, where its .*: {BROKEN}$"
    ),
    Fault(
        "a learning curve that was cut",
        damage(epochs=lambda data: data[:-9]),
        "kept holds a training that was cut or altered: move that folder away to begin anew",
    ),
    Fault(
        "weights and their copy that were cut",
        damage(latest=lambda data: data[:1000]),
        "kept holds a training that was cut or altered: move that folder away to begin anew",
        ("kept/latest.weights.h5", "kept/training_metadata.json*"),
    ),
    Fault(
        "an identity that was altered",
        damage(identity=lambda data: b"{]"),
        "kept holds a training that was cut or altered",
    ),
    Fault(
        "a disk that fills up while a training is kept",
        keep_on_a_full_disk,
        r"disk/kept/.* cannot be written \(No space left on device\): make room",
        then=make_room_and_go_on,
    ),
    Fault(
        "a folder to keep a training in that is read-only",
        keep_read_only,
        r"kept/identity.json cannot be written \(Read-only file system\): make room, or write elsewhere",
    ),
)


# Save --------------------------------------------------------------------------------------------------


def save(weights: int, path: Callable[[Place], Path], around: Callable = ExitStack) -> Callable[[Place], Act]:
    def provoke(place: Place) -> Act:
        target = path(place)
        L = keras.Input((None, None, 1))
        model = keras.Model(L, layers.Conv2D(2, 1)(layers.Conv2D(weights // 10, 3)(L)))

        def act():
            with around():
                networks.save(model, target)

        return act

    return provoke


def on_a_full_disk(place: Place) -> Path:
    disk = place.disk(300)
    (disk / "small.keras").write_bytes(network())
    return disk / "small.keras"


def in_a_read_only_folder(place: Place) -> Path:
    path = place.network()
    place.read_only(path.parent)
    return path


def over_a_folder(place: Place) -> Path:
    place.file("models/small.keras/mine", b"mine")
    return place.folder / "models" / "small.keras"


def record_too_large(place: Place) -> Act:
    path = place.network().with_suffix(".json")

    def act():
        with limit(resource.RLIMIT_FSIZE, 4096):
            records.write(path, RECORD | {"curve": list(range(10_000))})

    return act


SAVE = (
    Fault(
        "a network on a disk that is full",
        save(200_000, on_a_full_disk),
        r"disk/small.keras cannot be written \(No space left on device\): make room, or write elsewhere",
        then=lambda place: networks.load(place.folder / "disk" / "small.keras"),
    ),
    Fault(
        "a network in a folder that is read-only",
        save(100, in_a_read_only_folder),
        r"small.keras cannot be written \(Read-only file system\)",
    ),
    Fault(
        "a network that is larger than files may be",
        save(
            200_000,
            lambda place: place.network(),
            lambda: limit(resource.RLIMIT_FSIZE, 100_000),
        ),
        r"small.keras cannot be written \(File too large\)",
    ),
    Fault("a record that is larger than files may be", record_too_large, r"written \(File too large\)"),
)


# Load --------------------------------------------------------------------------------------------------


def loaded(data: Callable[[Place], bytes] | None = None, record: object = RECORD) -> Callable[[Place], Act]:
    """Color a picture with a network that somebody gave away."""

    def provoke(place: Place) -> Act:
        path = place.network(data and data(place), record)
        picture = place.file("a.png", PNG)
        return ["colorize", picture, "--network", path]

    return provoke


def members(**changes: bytes | None) -> list[tuple[str, bytes]]:
    with zipfile.ZipFile(io.BytesIO(network())) as packed:
        found = {name: packed.read(name) for name in packed.namelist()}
    found |= {name.replace("__", "."): data for name, data in changes.items()}
    return list(found.items())


def configured(change: Callable[[dict], None], keras_version: str = "") -> bytes:
    """Change the configuration of a sound network."""
    found = dict(members())
    config = json.loads(found["config.json"])
    change(config)
    found["config.json"] = json.dumps(config).encode()
    if keras_version:
        found["metadata.json"] = json.dumps({"keras_version": keras_version}).encode()
    return zipped(list(found.items()))


def with_layer(**described: object) -> Callable[[dict], None]:
    """Put another layer in the place of the last one."""
    return lambda config: config["config"]["layers"][-1].update(described)


def written(model: keras.Model, place: Place) -> bytes:
    target = place.folder / "written.keras"
    model.save(target)
    data = target.read_bytes()
    target.unlink()
    return data


def runs_code(place: Place) -> bytes:
    """Save a network with a layer that makes a folder when it is called, as Keras writes one."""
    mark = str(place.folder / "mark")
    L = keras.Input((None, None, 1))
    lambdas = layers.Lambda(lambda x: [__import__("os").mkdir(mark), x][1])
    model = keras.Model(L, lambdas(L))
    Path(mark).rmdir()  # made when Keras traced it
    return written(model, place)


def hidden_link() -> bytes:
    link = zipfile.ZipInfo("config.json")
    link.external_attr = (0o120777) << 16
    others = [each for each in members() if each[0] != "config.json"]
    return zipped([(link, b"/etc/passwd"), *others])


def gives_classes(place: Place) -> bytes:
    """Save a network that gives the classes of a picture and no colors."""
    L = keras.Input((None, None, 1))
    with_classes = keras.Model(L, layers.Dense(10)(layers.GlobalAveragePooling2D()(L)))
    return written(with_classes, place)


NO_NETWORK = "small.keras is no network, or was cut off: copy it again, or train it again"
NOTHING = "nothing was loaded"
LOAD = (
    Fault("a network that was cut", loaded(lambda _: network()[:-300]), NO_NETWORK, code=2),
    Fault("a picture called a network", loaded(lambda _: JPEG), NO_NETWORK, code=2),
    Fault("an empty file called a network", loaded(lambda _: b""), NO_NETWORK, code=2),
    Fault(
        "an archive called a network",
        loaded(lambda _: zipped([("a.png", PNG)])),
        f"a.png, .*: {NOTHING}",
        code=2,
    ),
    Fault(
        "weights that were cut",
        loaded(lambda _: zipped([*members()[:-1], ("model.weights.h5", members()[-1][1][:3000])])),
        r"small.keras cannot be loaded \(.*\): copy it again, or train it again",
        code=2,
    ),
    Fault(
        "a network of a later Keras",
        loaded(lambda _: configured(with_layer(class_name="Conv9D"), "99.0.0")),
        rf"cannot be loaded \(.*Conv9D.*\), which Keras 99\.0\.0 saved; here is {keras.__version__}: copy",
        code=2,
    ),
    Fault("a layer with code in it", loaded(runs_code), f"holds keras.layers.Lambda, .*: {NOTHING}", code=2),
    Fault(
        "a layer from a foreign module",
        loaded(lambda _: configured(with_layer(module="os", class_name="system"))),
        f"holds os.system, which is no layer that the course runs: {NOTHING}",
        code=2,
    ),
    Fault(
        "a function of Keras that fetches a file",
        loaded(lambda _: configured(with_layer(module="keras.utils", class_name="get_file"))),
        f"holds keras.utils.get_file, .*: {NOTHING}",
        code=2,
    ),
    Fault(
        "a layer that reads a file",
        loaded(
            lambda _: configured(with_layer(class_name="StringLookup", config={"vocabulary": "/etc/passwd"}))
        ),
        f"holds keras.layers.StringLookup, .*: {NOTHING}",
        code=2,
    ),
    Fault(
        "a member that leads out of its folder",
        loaded(lambda _: zipped([*members(), ("../mine", b"theirs")])),
        rf"holds \.\./mine, which is no part of a network: {NOTHING}",
        code=2,
    ),
    Fault(
        "a member with an absolute name",
        loaded(lambda _: zipped([*members(), ("/tmp/mine", b"theirs")])),
        f"holds /tmp/mine, which is no part of a network: {NOTHING}",
        code=2,
    ),
    Fault("a link in place of a member", loaded(lambda _: hidden_link()), "small.keras", code=2),
    Fault(
        "a member that unpacks to 600 MB",
        loaded(lambda _: bomb("config.json")),
        f"unpacks to more than 500 MB: {NOTHING}",
        code=2,
    ),
    Fault(
        "a name that steers a terminal within a network",
        loaded(lambda _: zipped([*members(), ("\x1b[2J", b"")])),
        r"holds \\x1b\[2J, which is no part",
        code=2,
    ),
    Fault("a network that gives no colors", loaded(gives_classes), "it does not give colors", code=2),
    Fault(
        "the record of another network",
        loaded(record=RECORD | {"parameters": 7}),
        r"do not belong together: the record speaks of 7 weights, and the network has \d+",
        code=2,
    ),
    Fault(
        "a record that was cut", loaded(record=b'{"resolu'), "small.json is no record of a network", code=2
    ),
    Fault("a record that is a list", loaded(record=[1]), "small.json is no record of a network", code=2),
    Fault(
        "a record that lacks the size",
        loaded(record={"settings": {}}),
        "do not belong together: a network for pictures of None pixels is none of the course",
        code=2,
    ),
    Fault(
        "a record with a word for a number",
        loaded(record=RECORD | {"vivid": {"vividness": "bold"}}),
        "the record's vividness, bold, is no number from 0 to 1",
        code=2,
    ),
)


# Run and app -------------------------------------------------------------------------------------------


def run(*cells: str, out: Callable[[Place], Path] = lambda place: place.folder / "out"):
    """Run a lesson of these cells."""

    def provoke(place: Place) -> Act:
        write_lesson(place.folder / "notebooks" / "01_one.ipynb", *cells)
        place.monkeypatch.setattr(places, "NOTEBOOKS", place.folder / "notebooks")
        return ["run", "--out", out(place)]

    return provoke


def read_only_out(place: Place) -> Path:
    return place.read_only(place.file("out/mine.txt", b"mine").parent)


def app_with_a_damaged_network(place: Place) -> Act:
    pytest.importorskip("starlette", reason="the app's extra is not installed")
    place.network(network()[:-300])
    for kind in (".keras", ".json"):
        (place.folder / f"models/small{kind}").replace(place.folder / f"models/colorizer{kind}")
    place.monkeypatch.setattr(recorded, "MODELS", place.folder / "models")
    return ["app", "--port", 0]


def app(place: Place) -> tuple[subprocess.Popen, str]:
    """Open the app's page; return its process and its address."""
    pytest.importorskip("starlette", reason="the app's extra is not installed")
    from test_app import started

    return place.ends.enter_context(started(place.folder, "--port", "0"))


def visit(process: subprocess.Popen, url: str, data: bytes, what: str = "preview") -> requests.Response:
    """Give the page a picture; afterward it must serve the next visitor as if nothing had been."""
    answer = requests.post(url + what, data=data, timeout=60)
    assert requests.post(f"{url}preview", data=JPEG, timeout=60).headers["content-type"] == "image/jpeg"
    assert process.poll() is None
    return answer


def app_without_memory(side: int, what: str) -> Callable[[Place], Act]:
    """Ask for something of a square picture that the app has no memory for."""

    def provoke(place: Place) -> Act:
        process, url = app(place)
        held = psutil.Process(process.pid).memory_info().data
        resource.prlimit(process.pid, resource.RLIMIT_DATA, (held + 100 * 10**6,) * 2)
        picture = saved(Image.fromarray(np.zeros((side, side, 3), np.uint8)), "JPEG")

        def act():
            answer = visit(process, url, picture, what)
            print(answer.text, file=sys.stderr)
            return answer.status_code

        return act

    return provoke


DIES = "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)"
LOWER = "to need less memory, .* use --profile tiny or fewer photographs, or lower batch_size"
RUN = (
    Fault(
        "a kernel that the system kills, as it does when memory runs out",
        run("pass", DIES),
        "lesson 01_one failed in cell .*: DeadKernelError: the cell's process was killed, as a system does "
        f"that has run out of memory; {LOWER}",
        ("out/*",),
    ),
    Fault(
        "a cell that asks for more memory than there is",
        run("import resource\nresource.setrlimit(resource.RLIMIT_DATA, (2**32,) * 2)\nbytearray(2**33)"),
        f"lesson 01_one failed in cell .*: MemoryError.*; {LOWER}",
        ("out/*",),
    ),
    Fault(
        "a run on a disk that is full",
        run("pass", out=lambda place: place.disk(8)),
        r"disk/.* cannot be written \(No space left on device\): make room, or write elsewhere",
        ("disk/*",),
    ),
    Fault(
        "a run into a folder that is read-only",
        run("pass", out=read_only_out),
        "cannot write to .*out: you may not write in .*: name another folder with --out",
        code=2,
    ),
    Fault(
        "an app whose network was cut", app_with_a_damaged_network, "colorizer.keras is no network", code=2
    ),
    Fault(
        "a picture that needs more memory than the app has",  # 147 MB
        app_without_memory(7000, "preview"),
        "^too large for this machine's memory$",
        code=422,
    ),
    Fault(
        "a picture whose colors need more memory than the app has",
        app_without_memory(3000, "color?network=colorizer"),  # 27 MB, four times as many as float32
        "^too large for this machine's memory$",
        code=422,
    ),
)


def test_visitors_who_go_while_they_send_leave_nothing(place):
    """Nobody is left to read a line, so it is no row. More of them than the app lets in at one time."""
    process, url = app(place)
    before = place.seen()
    address = urlsplit(url)
    for number in range(8):
        with socket.create_connection((address.hostname, address.port), timeout=60) as gone:
            gone.sendall(b"POST /preview HTTP/1.1\r\nHost: localhost\r\nContent-Length: 40000000\r\n\r\n")
            gone.sendall(bytes(10**6))
            if number % 2:  # some close, others break off
                gone.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    assert visit(process, url, JPEG).ok
    # The server closes what they left when its loop comes to it.
    app_process, until = psutil.Process(process.pid), time.monotonic() + 30
    while len(app_process.net_connections("tcp")) > 1 and time.monotonic() < until:
        threading.Event().wait(0.05)
    assert [each.status for each in app_process.net_connections("tcp")] == ["LISTEN"]
    process.send_signal(signal.SIGINT)
    assert process.wait(30) == 0
    assert process.stderr.read() == ""
    assert place.seen() == before


# The table is walked -----------------------------------------------------------------------------------

FAULTS = (*DOWNLOAD, *DECODE, *PREPARE, *TRAIN, *SAVE, *LOAD, *RUN)


@pytest.fixture
def place(tmp_path, monkeypatch, server, content, flowers):  # noqa: F811
    monkeypatch.setattr(places, "CACHE", tmp_path / "cache")
    monkeypatch.setattr(collection, "_SAID", set())
    monkeypatch.delenv(errors.DEBUG, raising=False)
    with ExitStack() as ends:
        yield Place(tmp_path, server, content, monkeypatch, ends)


def meet(act: Act) -> tuple[int, str]:
    """Let a fault happen; return the exit code, and what a CourseError said."""
    try:
        if callable(act):
            code = act()
            return (code, "") if isinstance(code, int) else (0, "")
        return __main__.main([str(word) for word in act]), ""
    except CourseError as error:
        return 1, f"error: {error}\n"


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_a_fault_is_one_line_and_costs_nothing(fault, place, capsys):
    act = fault.provoke(place)
    before = place.seen()
    capsys.readouterr()
    code, raised = meet(act)
    said = [line for line in (capsys.readouterr().err + raised).splitlines() if "to go on: " not in line]
    assert len(said) == 1, said
    assert re.search(fault.seen, said[0]), said[0]
    assert said[0].isprintable()
    assert code == fault.code
    after = place.seen()
    for name in before.keys() | after.keys():
        if not any(fnmatch(name, pattern) for pattern in fault.kept):
            assert before.get(name) == after.get(name), name
    assert not (place.folder / "mark").exists(), "something of the file was run"
    fault.then(place)


def test_there_are_faults_of_every_kind():
    assert len(FAULTS) >= 40
    assert len({fault.name for fault in FAULTS}) == len(FAULTS)


def test_debug_shows_where_an_error_was_raised_and_what_led_to_it(place, capsys):
    words = [str(word) for word in loaded(lambda _: network()[:-300])(place)]
    for given in (["--debug", *words], [*words, "--debug"]):
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv(errors.DEBUG, "")
            assert __main__.main(given) == 2
        said = capsys.readouterr().err
        assert "BadZipFile" in said  # what `raise ... from None` hides
        assert "in load\n" in said
        assert re.search(NO_NETWORK, said.splitlines()[-1])
    assert __main__.main(words) == 2
    assert "Traceback" not in capsys.readouterr().err


def test_debug_reaches_the_kernel_of_a_lesson(place, capsys):
    cell = "from helpers.files import making_room\nfrom helpers.errors import CourseError\n\n"
    cell += "def deep(): raise CourseError('mend this') from KeyError('hidden')\n\n\ndeep()"
    words = [str(word) for word in run(cell)(place)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(errors.DEBUG, "")
        assert __main__.main([*words, "--debug"]) == 1
    page = (place.folder / "out" / "01_one.html").read_text("utf-8")
    assert "KeyError: " in page and "in deep" in page
    assert "Traceback" in capsys.readouterr().err
