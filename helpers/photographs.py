"""Photographs of any source as one read-only array, with a split that never moves.

A source is decoded once for each size and kept under `data/cache`: an array that
is mapped into memory, and beside it a record that names it. The record is
written last, so that an interrupted preparation is never taken for a whole one.
"""

import csv
import errno
import hashlib
import io
import json
import os
import shutil
import sys
import tempfile
import time
from collections import Counter, deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

import numpy as np
from PIL import __version__ as pillow_version

from helpers import archives, decode, download, hygiene, sources, transfer
from helpers.errors import CourseError
from helpers.hygiene import SPLITS

_NOTES = ("split.csv", "ATTRIBUTION.csv", "LICENSE.txt")
_BATCH = 32
_BATCH_BYTES = 16 * 2**20
_ROOMS = (archives, decode, hygiene, sys.modules[__name__])


@dataclass(frozen=True)
class Photographs:
    """Square photographs in the order train, validation, test.

    Within a split the sample keeps the order of its names; every other source is in the order of
    its files' checksums, so that the first photographs of a split are a fair draw from it.

    Attributes
    ----------
    name : str
        The source's name.
    size : int
        Side of the photographs in pixels.
    checksum : str
        sha256 in hexadecimal of the photographs' files, their names and their split.
    rgb : numpy.ndarray
        uint8, (n, size, size, 3), 0 to 255, read-only, mapped into memory.
    names, labels, credits, splits : list of str
        For each photograph: its file within the source, the folder that holds the file ('' for
        none), whom to thank and under which license ('' if unknown), and its split.
    chroma, colorfulness : numpy.ndarray
        float32, (n,): the largest absolute a or b, and the colorfulness, seen at 64 pixels a side.
    skipped, set_aside : list of (str, str)
        Files that could not be decoded and photographs that were kept out, each with the reason.
    origin : dict
        What the source's files were like: their number, bytes and pixels.
    """

    name: str
    size: int
    checksum: str
    rgb: np.ndarray
    names: list[str]
    labels: list[str]
    credits: list[str]
    splits: list[str]
    chroma: np.ndarray
    colorfulness: np.ndarray
    skipped: list[tuple[str, str]]
    set_aside: list[tuple[str, str]]
    origin: dict

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, rows: slice) -> "Photographs":
        """Take consecutive photographs, without copying any."""
        per_photograph = ("rgb", "names", "labels", "credits", "splits", "chroma", "colorfulness")
        return replace(self, **{field: getattr(self, field)[rows] for field in per_photograph})

    @property
    def train(self) -> "Photographs":
        """The photographs to learn from."""
        return self._split("train")

    @property
    def validation(self) -> "Photographs":
        """The photographs to choose by, while learning."""
        return self._split("validation")

    @property
    def test(self) -> "Photographs":
        """The photographs to judge by, once."""
        return self._split("test")

    @property
    def counts(self) -> dict[str, int]:
        """How many photographs each split has."""
        return {split: self.splits.count(split) for split in SPLITS}

    def report(self) -> dict[str, str]:
        """Say how many photographs there are, how large, and which were kept out and why.

        Returns
        -------
        dict of str to str
            What was counted, and the count; ready to be printed as a table.
        """
        least, middle, most = self.origin["short_side"]
        why = Counter(reason.split(":")[0] for _, reason in self.set_aside)
        kinds = ", ".join(f"{count:,} {kind}" for kind, count in why.most_common())
        splits = {split: self._split(split) for split in SPLITS}
        return {
            "files": f"{self.origin['files']:,} of {self.origin['bytes'] / 1e6:,.1f} MB",
            "short side": f"{least:,} to {most:,} pixels, the middle one {middle:,}",
            "could not be decoded": f"{len(self.skipped):,}",
            "set aside": f"{len(self.set_aside):,}" + (f": {kinds}" if kinds else ""),
        } | {
            name: f"{len(split):,}, of them {(split.chroma <= hygiene.GREY).sum():,} grey and "
            f"{(split.colorfulness < hygiene.WEAK).sum():,} weakly colored"
            for name, split in splits.items()
        }

    def _split(self, split: str) -> "Photographs":
        count = self.splits.count(split)
        start = self.splits.index(split) if count else 0
        return self[start : start + count]


def load(source: str | Path = "sample", size: int = 96, cache: str | Path | None = None) -> Photographs:
    """Open the photographs of a source at a size, and prepare them first if that was not done yet.

    The middle square of each is taken and resized with antialiasing. Grey photographs are set aside
    from train; duplicates never straddle two splits (`helpers.hygiene` has the rules).

    Parameters
    ----------
    source : str or path
        A name of the catalogue (downloaded if need be), or a folder, .zip or .tar of one's own.
        A `split.csv` (file, split) and an `ATTRIBUTION.csv` (file, title, author, licence, source)
        in its top folder are heeded.
    size : int
        Side in pixels, 8 to 1024.
    cache : path, optional
        Where prepared photographs are kept; `data/cache` unless told.

    Returns
    -------
    Photographs
        Memory-mapped and read-only.

    Raises
    ------
    CourseError
        If there is no such source, it holds too few photographs for three splits, or the disk is full.
    """
    if not (isinstance(size, int | np.integer) and 8 <= size <= 1024):
        raise CourseError(f"a size of {size!r} pixels: choose a whole number from 8 to 1024")
    size = int(size)
    name, path, extra = _locate(source)
    home = Path(cache or sources.DATA / "cache")
    try:
        made_from = [archives.fingerprint(each) for each in (path, *extra.values())]
        key = _sha256(*made_from, size, pillow_version, *(_text_of(room) for room in _ROOMS))
        folder = home / f"{name}-{size}-{_sha256(path.resolve())[:8]}"
        if (prepared := _open(folder, key)) is None:
            _prepare(folder, key, name, path, extra, size)
            prepared = _open(folder, key)
    except OSError as error:
        advice = f": make room in {home}" if error.errno == errno.ENOSPC else ""
        raise CourseError(f"preparing {path} failed: {error.strerror or error}{advice}") from None
    return prepared


def _locate(source: str | Path) -> tuple[str, Path, dict[str, Path]]:
    name = str(source)
    if name in sources.SOURCES:
        return name, download.fetch(name), sources.skimage_photographs() if name == "sample" else {}
    path = Path(source).expanduser()
    if not path.exists():
        known = ", ".join(sources.SOURCES)
        raise CourseError(f"no photographs at {source}: give a folder, a .zip or .tar, or one of {known}")
    return path.resolve().name.split(".")[0] or "photographs", path, {}


def _open(folder: Path, key: str) -> Photographs | None:
    try:
        record = json.loads((folder / "record.json").read_text(encoding="utf-8"))
        if record.pop("key") != key:
            return None
        rgb = np.asarray(np.load(folder / _array_name(key), mmap_mode="r"))
    except (OSError, ValueError, KeyError):  # none yet, or not a whole one
        return None
    for measured in ("chroma", "colorfulness"):
        record[measured] = np.array(record[measured], np.float32)
    for pairs in ("skipped", "set_aside"):
        record[pairs] = [tuple(pair) for pair in record[pairs]]
    return Photographs(rgb=rgb, **record)


def _prepare(folder: Path, key: str, name: str, path: Path, extra: dict[str, Path], size: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    _remove_leftovers(folder)
    with tempfile.TemporaryDirectory(prefix="preparing-", dir=folder, ignore_cleanup_errors=True) as aside:
        found = _decode_all(path, extra, size, Path(aside, "decoded"))
        record, order = _arrange(found, path)
        array = Path(aside, "array")
        _copy_rows(Path(aside, "decoded"), array, order, size)
        text = json.dumps({"key": key, "name": name, "size": size, **record}, ensure_ascii=False)
        Path(aside, "record").write_text(text, encoding="utf-8")
        try:
            array.replace(folder / _array_name(key))
        except PermissionError:  # on Windows, when another notebook prepared the same and has it open
            if not (folder / _array_name(key)).exists():
                raise
        Path(aside, "record").replace(folder / "record.json")
    for older in folder.glob("*.npy"):
        if older.name != _array_name(key):
            with suppress(OSError):  # another notebook may have it open
                older.unlink()


@dataclass
class _Found:
    """What decoding a source gave, in the order of its files."""

    names: list[str]
    hashes: list[str]
    pixels: list[tuple[int, int]]
    looks: list[hygiene.Looks]
    skipped: list[tuple[str, str]]
    notes: dict[str, bytes]
    files: int = 0
    bytes: int = 0


def _decode_all(path: Path, extra: dict[str, Path], size: int, target: Path) -> _Found:
    """Decode every photograph with as many threads as there are cores (Pillow lets them run at once)."""
    found = _Found([], [], [], [], [], {})
    workers = min(os.cpu_count() or 1, 8)
    waiting: deque = deque()

    def collect() -> None:
        photographs, looks = waiting.popleft().result()
        for name, sha256, stated, square, reason in photographs:
            if reason:
                found.skipped.append((name, reason))
                continue
            found.names.append(name)
            found.hashes.append(sha256)
            found.pixels.append(stated)
            file.write(square)
            bar.update()
        if looks:
            found.looks.append(looks)

    with (
        target.open("wb") as file,
        ThreadPoolExecutor(workers) as pool,
        transfer.progress(desc=f"preparing {path.name}", unit=" photographs") as bar,
    ):
        for batch in _batches(_members(path, extra), size, found):
            waiting.append(pool.submit(_decode_batch, batch, size))
            if len(waiting) > workers + 1:
                collect()
        while waiting:
            collect()
    return found


def _members(path: Path, extra: dict[str, Path]) -> Iterator[archives.Member]:
    yield from archives.members(path)
    for name, file in extra.items():
        yield archives.Member(name, file.read_bytes())


def _batches(members: Iterator[archives.Member], size: int, found: _Found) -> Iterator[list[archives.Member]]:
    batch: list[archives.Member] = []
    at_once = max(1, min(_BATCH, 2**23 // (3 * size**2)))
    held = 0
    for member in members:
        if member.data is not None and PurePosixPath(member.name).name in _NOTES:
            found.notes[member.name] = member.data
            continue
        found.files += 1
        found.bytes += len(member.data or b"")
        batch.append(member)
        held += len(member.data or b"")
        if len(batch) == at_once or held > _BATCH_BYTES:
            yield batch
            batch, held = [], 0
    if batch:
        yield batch


def _decode_batch(batch: list[archives.Member], size: int) -> tuple[list[tuple], hygiene.Looks | None]:
    photographs, small = [], []
    for member in batch:
        if member.data is None:
            photographs.append((member.name, "", None, None, member.reason))
            continue
        try:
            image = decode.open_picture(member.data, size)
        except decode.DecodeError as error:
            photographs.append((member.name, "", None, None, str(error)))
            continue
        small.append(decode.square(image, hygiene.LOOK))
        sha256 = hashlib.sha256(member.data).hexdigest()
        photographs.append((member.name, sha256, image.info["size"], decode.square(image, size), ""))
    return photographs, hygiene.look(np.stack(small)) if small else None


def _arrange(found: _Found, path: Path) -> tuple[dict, list[int]]:
    """Decide on splits, order and what is set aside; give the record and the rows to keep, in order."""
    if not found.names:
        example = f", for example {found.skipped[0][0]}: {found.skipped[0][1]}" if found.skipped else ""
        raise CourseError(f"no photograph in {path}: {found.files} files were looked at{example}")
    root = _common_folder([*found.names, *found.notes])
    names = [name.removeprefix(root) for name in found.names]
    notes = {name.removeprefix(root): text.decode("utf-8", "replace") for name, text in found.notes.items()}
    looks = hygiene.Looks.join(found.looks)
    listed = _listed_splits(notes.get("split.csv", ""), path)
    splits = _splits(names, found.hashes, listed)
    aside = hygiene.doubles_and_greys(looks, names, found.hashes, splits)
    place = {name: number for number, name in enumerate(listed)}
    order = sorted(
        (row for row in range(len(names)) if row not in aside),
        key=lambda row: (SPLITS.index(splits[row]), place.get(names[row], len(place)), found.hashes[row]),
    )
    kept = Counter(splits[row] for row in order)
    if len(kept) < len(SPLITS):
        raise CourseError(
            f"{path} gives {kept['train']} photographs to learn from, {kept['validation']} for validation, "
            f"{kept['test']} for test ({len(aside)} set aside, {len(found.skipped)} skipped): add photographs"
        )
    credit = _credits(notes)
    short_sides = [min(found.pixels[row]) for row in order]
    record = {
        "checksum": _sha256(*((names[row], splits[row], found.hashes[row]) for row in order)),
        "names": [names[row] for row in order],
        "labels": [PurePosixPath(found.names[row]).parent.name for row in order],
        "credits": [credit.get(names[row], "") for row in order],
        "splits": [splits[row] for row in order],
        "chroma": looks.chroma[order].tolist(),
        "colorfulness": looks.colorfulness[order].tolist(),
        "skipped": [(name.removeprefix(root), reason) for name, reason in found.skipped],
        "set_aside": [
            (names[row], _why(kind, double, names, splits)) for row, (kind, double) in sorted(aside.items())
        ],
        "origin": {
            "files": found.files,
            "bytes": found.bytes,
            "short_side": [int(q) for q in np.percentile(short_sides, [0, 50, 100])],
        },
    }
    return record, order


def _copy_rows(source: Path, target: Path, order: list[int], size: int) -> None:
    """Write the decoded squares in their final order; reading row by row keeps them out of memory."""
    length = 3 * size**2
    header = {"descr": "|u1", "fortran_order": False, "shape": (len(order), size, size, 3)}
    with source.open("rb") as decoded, target.open("wb") as array:
        np.lib.format.write_array_header_1_0(array, header)
        for row in order:
            decoded.seek(row * length)
            array.write(decoded.read(length))


def _splits(names: list[str], hashes: list[str], listed: dict[str, str]) -> list[str]:
    folders = {name.split("/")[0] for name in names if "/" in name}
    if {"train", "val"} <= folders:
        splits = hygiene.split_by_folder(names, hashes)
    else:
        splits = hygiene.split_by_content(hashes)
    return [listed.get(name, split) for name, split in zip(names, splits, strict=True)]


def _listed_splits(table: str, path: Path) -> dict[str, str]:
    listed = {row["file"]: row["split"] for row in csv.DictReader(io.StringIO(table))}
    for file, split in listed.items():
        if split not in SPLITS:
            raise CourseError(
                f"{path}: split.csv puts {file} into {split!r}: {', '.join(SPLITS)} are the splits"
            )
    return listed


def _credits(notes: dict[str, str]) -> dict[str, str]:
    credits = dict(sources.SHIPPED_WITH_SKIMAGE)
    for row in csv.DictReader(io.StringIO(notes.get("ATTRIBUTION.csv", ""))):
        credits[row["file"]] = ", ".join(row[part] for part in ("title", "author", "licence", "source"))
    for line in notes.get("LICENSE.txt", "").splitlines():
        file, by, photographer = line.partition(" CC-BY by ")
        if by:
            credits[file] = f"{photographer}, CC BY 2.0"
    return credits


def _why(kind: str, double: int, names: list[str], splits: list[str]) -> str:
    if double < 0:
        return f"{kind}: no color to learn from"
    return f"{kind}: see {names[double]} in {splits[double]}"


def _common_folder(names: list[str]) -> str:
    first = names[0].split("/")[0] + "/"
    return first if all(name.startswith(first) for name in names) else ""


def _array_name(key: str) -> str:
    return f"{key[:16]}.npy"


def _remove_leftovers(folder: Path) -> None:
    """Remove what preparations that were interrupted more than a day ago left behind."""
    for leftover in folder.glob("preparing-*"):
        if time.time() - leftover.stat().st_mtime > 86_400:
            shutil.rmtree(leftover, ignore_errors=True)


def _text_of(module) -> str:
    return Path(module.__file__).read_text(encoding="utf-8")


def _sha256(*parts) -> str:
    return hashlib.sha256("\0".join(map(str, parts)).encode()).hexdigest()
