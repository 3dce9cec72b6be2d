"""Decode a source once, and store it as one array with a record of what is in it."""

import csv
import hashlib
import io
import itertools
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
VERSION = 2
_NOTES = ("split.csv", "ATTRIBUTION.csv", "LICENSE.txt")
_BATCH = 32
_BATCH_BYTES = 16 * 2**20
# Files that are in memory at one time, as long as it is not a single one that is larger.
_WAITING_BYTES = 128 * 2**20


@dataclass(frozen=True)
class Part:
    """A source, as far as preparing needs to know it.

    Attributes
    ----------
    name : str
        What it is called.
    path : pathlib.Path
        A folder or an archive.
    extra : dict of str to pathlib.Path
        Photographs that belong to it and lie elsewhere, by their names.
    """

    name: str
    path: Path
    extra: dict[str, Path]


def prepare(folder: Path, parts: list[Part], size: int) -> None:
    """Decode sources, decide on splits and what is set aside, and store it all.

    Parameters
    ----------
    folder : pathlib.Path
        The folder to make: `rgb.npy`, (n, size, size, 3) of uint8, and `record.json`.
    parts : list of Part
        The source; or several, of which the first alone gives photographs to test by, and the others more
        to learn from and to validate with.
    size : int
        Side in pixels.

    Raises
    ------
    CourseError
        If the source cannot be read, or does not fill three splits.
    OSError
        If the disk is full or cannot be written to.
    """
    folder.mkdir()
    decoded = folder / "decoded"
    found = [_decode_all(part, size, decoded) for part in parts]
    record, order = _arrange(found, parts)
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


def _decode_all(part: Part, size: int, target: Path) -> _Found:
    """Decode every photograph with as many threads as there are cores (Pillow lets them run at once)."""
    found = _Found()
    workers = min(os.cpu_count() or 1, 8)
    waiting: deque = deque()
    held: deque[int] = deque()

    def collect() -> None:
        photographs, descriptors = waiting.popleft().result()
        held.popleft()
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
        target.open("ab") as file,
        ThreadPoolExecutor(workers) as pool,
        transfer.progress(notebook=False, desc=f"preparing {part.path.name}", unit=" photographs") as bar,
    ):
        for batch in _batches(_members(part), size, found):
            read = sum(len(member.data or b"") for member in batch)
            while waiting and (len(waiting) > workers or sum(held) + read > _WAITING_BYTES):
                collect()
            waiting.append(pool.submit(_decode_batch, batch, size))
            held.append(read)
        while waiting:
            collect()
    return found


def _members(part: Part) -> Iterator[archives.Member]:
    yield from archives.members(part.path)
    for name, file in part.extra.items():
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
            squares, stated = decode.squares(member.data, (hygiene.THUMBNAIL, size))
        except decode.DecodeError as error:
            photographs.append((member.name, "", None, None, str(error)))
            continue
        thumbnails.append(squares[0])
        sha256 = hashlib.sha256(member.data).hexdigest()
        photographs.append((member.name, sha256, stated, squares[1], ""))
    return photographs, hygiene.describe(np.stack(thumbnails)) if thumbnails else None


def _arrange(found: list[_Found], parts: list[Part]) -> tuple[dict, list[int]]:
    """Decide on splits, order and what is set aside; return the record and the rows to keep, in order."""
    sorted_out = [
        _sort_out(each, part, learn_only=number > 0, prefix=f"{part.name}/" if len(parts) > 1 else "")
        for number, (each, part) in enumerate(zip(found, parts, strict=True))
    ]
    names, checksums, splits, positions, credits, labels, skipped = (
        list(itertools.chain.from_iterable(each)) for each in zip(*sorted_out, strict=True)
    )
    descriptors = hygiene.Descriptors.join([each for one in found for each in one.descriptors])
    aside = hygiene.set_aside(descriptors, names, checksums, splits)
    # What a further source keeps for its own test is neither learned from nor tested on here; nor is
    # what resembles it.
    first = len(found[0].names)
    unused = {row for row in range(first, len(names)) if splits[row] == "test"}
    order = sorted(
        (row for row in range(len(names)) if row not in aside and row not in unused),
        key=lambda row: (SPLITS.index(splits[row]), positions[row], checksums[row]),
    )
    kept = Counter(splits[row] for row in order)
    if len(kept) < len(SPLITS):
        raise CourseError(
            f"{_paths(parts)} gives {kept['train']} photographs to learn from, "
            f"{kept['validation']} for validation, {kept['test']} for test "
            f"({len(aside)} set aside, {len(skipped)} skipped): add photographs"
        )
    short_sides = [min(pixels) for each in found for pixels in each.pixels]
    record = {
        "checksum": files.digest(*((names[row], splits[row], checksums[row]) for row in order)),
        "names": [names[row] for row in order],
        "labels": [labels[row] for row in order],
        "credits": [credits[row] for row in order],
        "splits": [splits[row] for row in order],
        "chroma": descriptors.chroma[order].tolist(),
        "colorfulness": descriptors.colorfulness[order].tolist(),
        "skipped": skipped,
        "set_aside": [
            *((names[row], _why(*aside[row], names, splits)) for row in sorted(aside)),
            *((names[row], "test: kept for a test of its own") for row in sorted(unused - aside.keys())),
        ],
        "origin": {
            "files": sum(each.files for each in found),
            "bytes": sum(each.bytes for each in found),
            "short_side": [int(q) for q in np.percentile([short_sides[row] for row in order], [0, 50, 100])],
        },
    }
    return record, order


def _sort_out(found: _Found, part: Part, learn_only: bool, prefix: str) -> tuple[list, ...]:
    """Find out about the photographs of one source: what `_arrange` needs to know of each."""
    path = part.path
    if not found.names:
        example = f", for example {found.skipped[0][0]}: {found.skipped[0][1]}" if found.skipped else ""
        raise CourseError(f"no photograph in {path}: {found.files} files were looked at{example}")
    root = _common_folder([*found.names, *found.notes])
    names = [name.removeprefix(root) for name in found.names]
    notes = {name.removeprefix(root): content for name, content in found.notes.items()}
    listed = _listed_splits(notes, path)
    splits = _splits(names, found.checksums, listed, learn_only)
    position = {name: number for number, name in enumerate(listed)}
    credit = _credits(notes, path)
    return (
        [prefix + name for name in names],
        found.checksums,
        splits,
        [position.get(name, len(listed)) for name in names],
        [credit.get(name, "") for name in names],
        [PurePosixPath(name).parent.name for name in found.names],
        [(prefix + name.removeprefix(root), reason) for name, reason in found.skipped],
    )


def _paths(parts: list[Part]) -> str:
    return " + ".join(str(part.path) for part in parts)


def _copy_rows(source: Path, target: Path, order: list[int], size: int) -> None:
    """Write the decoded squares in their final order; reading row by row keeps them out of memory."""
    length = 3 * size**2
    header = {"descr": "|u1", "fortran_order": False, "shape": (len(order), size, size, 3)}
    with source.open("rb") as decoded, target.open("wb") as array:
        np.lib.format.write_array_header_1_0(array, header)
        for row in order:
            decoded.seek(row * length)
            array.write(decoded.read(length))


def _splits(names: list[str], checksums: list[str], listed: dict[str, str], learn_only: bool) -> list[str]:
    folders = {name.split("/")[0] for name in names if "/" in name}
    if "train" in folders and folders & hygiene.HELD_OUT:
        splits = hygiene.split_by_folder(names, checksums)
    elif learn_only:
        splits = hygiene.split_to_learn(checksums)
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
