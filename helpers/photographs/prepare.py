"""Decode a source once, and store it as one array with a record of what is in it."""

import csv
import hashlib
import io
import json
import os
from collections import Counter, deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import numpy as np

from helpers import files
from helpers.errors import CourseError
from helpers.photographs import archives, decode, hygiene, sources, transfer
from helpers.photographs.hygiene import SPLITS

# Whoever changes what preparing gives (here, in the rooms that it imports, or in `helpers.lab`) raises this:
# photographs that were prepared by an earlier version are then prepared anew. A test holds it to the pixels.
VERSION = 1
_NOTES = ("split.csv", "ATTRIBUTION.csv", "LICENSE.txt")
_BATCH = 32
_BATCH_BYTES = 16 * 2**20


def prepare(folder: Path, path: Path, size: int, extra: dict[str, Path]) -> None:
    """Decode a source, decide on splits and what is set aside, and store it all.

    Parameters
    ----------
    folder : pathlib.Path
        The folder to make: `rgb.npy`, (n, size, size, 3) of uint8, and `record.json`.
    path : pathlib.Path
        The source: a folder or an archive.
    size : int
        Side in pixels.
    extra : dict of str to pathlib.Path
        Photographs that belong to the source and lie elsewhere, by their names.

    Raises
    ------
    CourseError
        If the source cannot be read, or does not fill three splits.
    OSError
        If the disk is full or cannot be written to.
    """
    folder.mkdir()
    decoded = folder / "decoded"
    found = _decode_all(path, extra, size, decoded)
    record, order = _arrange(found, path)
    _copy_rows(decoded, folder / "rgb.npy", order, size)
    decoded.unlink()
    (folder / "record.json").write_text(json.dumps(record, ensure_ascii=False), encoding="utf-8")


@dataclass
class _Found:
    """What decoding a source gave, in the order of its files."""

    names: list[str] = field(default_factory=list)
    checksums: list[str] = field(default_factory=list)
    pixels: list[tuple[int, int]] = field(default_factory=list)
    descriptors: list[hygiene.Descriptors] = field(default_factory=list)
    skipped: list[tuple[str, str]] = field(default_factory=list)
    notes: dict[str, bytes] = field(default_factory=dict)
    files: int = 0
    bytes: int = 0


def _decode_all(path: Path, extra: dict[str, Path], size: int, target: Path) -> _Found:
    """Decode every photograph with as many threads as there are cores (Pillow lets them run at once)."""
    found = _Found()
    workers = min(os.cpu_count() or 1, 8)
    waiting: deque = deque()

    def collect() -> None:
        photographs, descriptors = waiting.popleft().result()
        for name, sha256, stated, square, reason in photographs:
            if reason:
                found.skipped.append((name, reason))
                continue
            found.names.append(name)
            found.checksums.append(sha256)
            found.pixels.append(stated)
            file.write(square)
            bar.update()
        if descriptors:
            found.descriptors.append(descriptors)

    with (
        target.open("wb") as file,
        ThreadPoolExecutor(workers) as pool,
        transfer.progress(notebook=False, desc=f"preparing {path.name}", unit=" photographs") as bar,
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


def _decode_batch(batch: list[archives.Member], size: int) -> tuple[list[tuple], hygiene.Descriptors | None]:
    photographs, thumbnails = [], []
    for member in batch:
        try:
            if member.data is None:
                raise decode.DecodeError(member.reason)
            image = decode.open_picture(member.data, size)
        except decode.DecodeError as error:
            photographs.append((member.name, "", None, None, str(error)))
            continue
        thumbnails.append(decode.square(image, hygiene.THUMBNAIL))
        sha256 = hashlib.sha256(member.data).hexdigest()
        photographs.append((member.name, sha256, image.info["size"], decode.square(image, size), ""))
    return photographs, hygiene.describe(np.stack(thumbnails)) if thumbnails else None


def _arrange(found: _Found, path: Path) -> tuple[dict, list[int]]:
    """Decide on splits, order and what is set aside; return the record and the rows to keep, in order."""
    if not found.names:
        example = f", for example {found.skipped[0][0]}: {found.skipped[0][1]}" if found.skipped else ""
        raise CourseError(f"no photograph in {path}: {found.files} files were looked at{example}")
    root = _common_folder([*found.names, *found.notes])
    names = [name.removeprefix(root) for name in found.names]
    notes = {name.removeprefix(root): content for name, content in found.notes.items()}
    descriptors = hygiene.Descriptors.join(found.descriptors)
    listed = _listed_splits(notes, path)
    splits = _splits(names, found.checksums, listed)
    aside = hygiene.set_aside(descriptors, names, found.checksums, splits)
    position = {name: number for number, name in enumerate(listed)}
    last = len(listed)
    order = sorted(
        (row for row in range(len(names)) if row not in aside),
        key=lambda row: (SPLITS.index(splits[row]), position.get(names[row], last), found.checksums[row]),
    )
    kept = Counter(splits[row] for row in order)
    if len(kept) < len(SPLITS):
        raise CourseError(
            f"{path} gives {kept['train']} photographs to learn from, {kept['validation']} for validation, "
            f"{kept['test']} for test ({len(aside)} set aside, {len(found.skipped)} skipped): add photographs"
        )
    credit = _credits(notes, path)
    short_sides = [min(found.pixels[row]) for row in order]
    record = {
        "checksum": files.digest(*((names[row], splits[row], found.checksums[row]) for row in order)),
        "names": [names[row] for row in order],
        "labels": [PurePosixPath(found.names[row]).parent.name for row in order],
        "credits": [credit.get(names[row], "") for row in order],
        "splits": [splits[row] for row in order],
        "chroma": descriptors.chroma[order].tolist(),
        "colorfulness": descriptors.colorfulness[order].tolist(),
        "skipped": [(name.removeprefix(root), reason) for name, reason in found.skipped],
        "set_aside": [
            (names[row], _why(kind, other, names, splits)) for row, (kind, other) in sorted(aside.items())
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


def _splits(names: list[str], checksums: list[str], listed: dict[str, str]) -> list[str]:
    folders = {name.split("/")[0] for name in names if "/" in name}
    if "train" in folders and folders & hygiene.HELD_OUT:
        splits = hygiene.split_by_folder(names, checksums)
    else:
        splits = hygiene.split_by_content(checksums)
    return [listed.get(name, split) for name, split in zip(names, splits, strict=True)]


def _rows(notes: dict[str, bytes], name: str, columns: tuple[str, ...], path: Path) -> list[dict[str, str]]:
    """Read a table that someone wrote by hand or with a spreadsheet; what a short row lacks is ''."""
    try:
        text = notes.get(name, b"").decode("utf-8-sig")
        table = csv.DictReader(io.StringIO(text, newline=""), restval="")
        there = ["license" if column == "licence" else column for column in table.fieldnames or columns]
        table.fieldnames = there
        rows = list(table)
    except (UnicodeDecodeError, csv.Error):
        raise CourseError(f"{path / name}: not a table of commas in UTF-8: save it as one") from None
    if missing := [column for column in columns if column not in there]:
        raise CourseError(
            f"{path / name}: needs the columns {', '.join(columns)}, and has no {', '.join(missing)}"
        )
    return rows


def _listed_splits(notes: dict[str, bytes], path: Path) -> dict[str, str]:
    rows = _rows(notes, "split.csv", ("file", "split"), path)
    listed = {row["file"]: row["split"] for row in rows if row["split"]}
    for file, split in listed.items():
        if split not in SPLITS:
            raise CourseError(
                f"{path}: split.csv puts {file} into {split!r}: {', '.join(SPLITS)} are the splits"
            )
    return listed


def _credits(notes: dict[str, bytes], path: Path) -> dict[str, str]:
    credits = dict(sources.SHIPPED_WITH_SKIMAGE)
    parts = ("title", "author", "license", "source")
    for row in _rows(notes, "ATTRIBUTION.csv", ("file", *parts), path):
        credits[row["file"]] = ", ".join(row[part] for part in parts if row[part])
    for line in notes.get("LICENSE.txt", b"").decode("utf-8", "replace").splitlines():
        file, by, photographer = line.partition(" CC-BY by ")
        if by:
            credits[file] = f"{photographer}, CC BY 2.0"
    return credits


def _why(kind: str, other: int, names: list[str], splits: list[str]) -> str:
    if other < 0:
        return f"{kind}: no color to learn from"
    return f"{kind}: see {names[other]} in {splits[other]}"


def _common_folder(names: list[str]) -> str:
    first = names[0].split("/")[0] + "/"
    return first if all(name.startswith(first) for name in names) else ""
