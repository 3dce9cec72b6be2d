"""Decode a source once, and store it as one array with a record of what is in it."""

import dataclasses
import hashlib
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
from helpers.errors import CourseError, readable
from helpers.photographs import archives, decode, hygiene, sources, splits, tables, transfer
from helpers.photographs.splits import SPLITS

# Whoever changes what preparing gives (here, in the rooms that it imports, or in `helpers.lab`) raises this:
# photographs that were prepared by an earlier version are then prepared anew. A test holds it to the pixels.
VERSION = 2
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


def prepare(folder: Path, parts: list[Part], size: int, near: bool = True) -> None:
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
    near : bool
        Whether what is nearly the same as a photograph in a later split is set aside.

    Raises
    ------
    CourseError
        If the source cannot be read, or does not fill three splits.
    OSError
        If the disk is full or cannot be written to.
    """
    folder.mkdir()
    decoded, lightness = folder / "decoded", folder / "lightness"
    found = [_decode_all(part, size, decoded, lightness) for part in parts]
    record, order = _arrange(found, lightness, parts, near)
    lightness.unlink()
    _copy_rows(decoded, folder / "rgb.npy", order, size)
    decoded.unlink()
    with (folder / "record.json").open("w", encoding="utf-8") as file:
        json.dump(record, file, ensure_ascii=False)


@dataclass
class _Found:
    """What decoding a source gave, in the order of its files."""

    names: list[str] = field(default_factory=list)
    checksums: list[str] = field(default_factory=list)
    short_sides: list[int] = field(default_factory=list)
    descriptors: list[hygiene.Descriptors] = field(default_factory=list)  # without lightness
    skipped: list[tuple[str, str]] = field(default_factory=list)
    tables: dict[str, bytes] = field(default_factory=dict)
    files: int = 0
    bytes: int = 0


def _decode_all(part: Part, size: int, target: Path, lightness: Path) -> _Found:
    """Decode every photograph with as many threads as there are cores (Pillow lets them run at once).

    What has most bytes goes to disk: the squares to `target`, the lightness by which they are compared too.
    """
    found = _Found()
    workers = min(os.cpu_count() or 1, 8)
    waiting: deque = deque()
    held: deque[int] = deque()
    what = readable(f"preparing {part.path.name}")

    def collect() -> None:
        photographs, descriptors = waiting.popleft().result()
        held.popleft()
        for name, sha256, stated, square, reason in photographs:
            if reason:
                found.skipped.append((name, reason))
                continue
            found.names.append(name)
            found.checksums.append(sha256)
            found.short_sides.append(min(stated))
            file.write(square)
            bar.update()
        if descriptors:
            thumbnails.write(descriptors.lightness)
            found.descriptors.append(dataclasses.replace(descriptors, lightness=np.empty((0, 256))))

    with (
        target.open("ab") as file,
        lightness.open("ab") as thumbnails,
        ThreadPoolExecutor(workers) as pool,
        transfer.progress(notebook=False, desc=what, unit=" photographs") as bar,
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
        if member.data is not None and tables.is_table(member.name):
            found.tables[member.name] = member.data
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


def _arrange(found: list[_Found], lightness: Path, parts: list[Part], near: bool) -> tuple[dict, list[int]]:
    """Decide on splits, order and what is set aside; return the record and the rows to keep, in order."""
    sorted_out = [
        _sort_out(each, part, learn_only=number > 0, prefix=f"{part.name}/" if len(parts) > 1 else "")
        for number, (each, part) in enumerate(zip(found, parts, strict=True))
    ]
    names, checksums, may_move, positions, credits, labels, skipped, of = (
        list(itertools.chain.from_iterable(getattr(each, field.name) for each in sorted_out))
        for field in dataclasses.fields(_SortedOut)
        if field.name != "rule"
    )
    descriptors = dataclasses.replace(
        hygiene.Descriptors.join([each for one in found for each in one.descriptors]),
        lightness=np.memmap(lightness, np.float32, "r", shape=(len(names), 256)),
    )
    first = len(found[0].names)
    split = splits.Split(of, "", may_move)
    while True:
        aside = hygiene.set_aside(descriptors, names, checksums, split.of, near)
        # What a further source keeps for its own test is neither learned from nor tested on here; nor is
        # what resembles it.
        unused = {row for row in range(first, len(names)) if split.of[row] == "test"} - aside.keys()
        usable = [row not in aside and row not in unused for row in range(len(names))]
        filled = splits.fill(split, checksums, usable)
        if filled.of == split.of:
            break
        split = filled
    order = sorted(
        itertools.compress(range(len(names)), usable),
        key=lambda row: (SPLITS.index(split.of[row]), positions[row], checksums[row]),
    )
    kept = Counter(split.of[row] for row in order)
    if any(kept[each] < splits.LEAST for each in SPLITS):
        raise CourseError(_too_few(parts, kept, Counter(kind for kind, _ in aside.values()), len(skipped)))
    short_sides = [side for each in found for side in each.short_sides]
    record = {
        "rule": "; ".join(
            (f"{part.name} " if len(parts) > 1 else "") + each.rule
            for part, each in zip(parts, sorted_out, strict=True)
        ),
        "checksum": files.digest(*((names[row], split.of[row], checksums[row]) for row in order)),
        "names": [names[row] for row in order],
        "labels": [labels[row] for row in order],
        "credits": [credits[row] for row in order],
        "splits": [split.of[row] for row in order],
        "colorfulness": descriptors.colorfulness[order].tolist(),
        "skipped": skipped,
        "set_aside": [
            *((names[row], _why(*aside[row], split.of[row], names, split.of)) for row in sorted(aside)),
            *((names[row], "test: kept for a test of its own") for row in sorted(unused)),
        ],
        "origin": {
            "files": sum(each.files for each in found),
            "bytes": sum(each.bytes for each in found),
            "short_side": [int(q) for q in np.percentile([short_sides[row] for row in order], [0, 50, 100])],
        },
    }
    return record, order


def _too_few(parts: list[Part], kept: Counter, aside: Counter, skipped: int) -> str:
    where = " + ".join(str(part.path) for part in parts)
    if aside["grey"] and not kept:
        return (
            f"{where} holds grey photographs alone: there is no color in them to learn from; "
            "to color them, run `python -m helpers colorize`"
        )
    left_out = [f"{count:,} {kind}" for kind, count in aside.most_common()]
    if skipped:
        left_out.append(f"{skipped:,} that could not be read")
    return (
        f"{where} gives {kept['train']:,} photographs to learn from, {kept['validation']:,} for validation "
        f"and {kept['test']:,} for test, and at least {splits.LEAST} of each are needed"
        + (f" (left out: {', '.join(left_out)})" if left_out else "")
        + ": add photographs with color"
    )


@dataclass(frozen=True)
class _SortedOut:
    """What `_arrange` needs to know of the photographs of one source, and of what was skipped in it."""

    names: list[str]
    checksums: list[str]
    may_move: list[tuple[str, ...]]
    positions: list[int]
    credits: list[str]
    labels: list[str]
    skipped: list[tuple[str, str]]
    of: list[str]
    rule: str


def _sort_out(found: _Found, part: Part, learn_only: bool, prefix: str) -> _SortedOut:
    if not found.names:
        example = f", for example {found.skipped[0][0]}: {found.skipped[0][1]}" if found.skipped else ""
        raise CourseError(f"no photograph in {part.path}: {found.files} files were looked at{example}")
    root = _common_folder([*found.names, *found.tables])
    names = [name.removeprefix(root) for name in found.names]
    skipped = [(name.removeprefix(root), reason) for name, reason in found.skipped]
    said = tables.read(
        {name.removeprefix(root): content for name, content in found.tables.items()},
        names,
        [name for name, _ in skipped],
        part.path,
        sources.SHIPPED_WITH_SKIMAGE if part.extra else {},
    )
    split = splits.assign(names, found.checksums, said.splits, learn_only)
    position = {name: number for number, name in enumerate(said.splits)}
    return _SortedOut(
        names=[prefix + name for name in names],
        checksums=found.checksums,
        may_move=split.may_move,
        positions=[position.get(name, len(position)) for name in names],
        credits=[said.credits.get(name, "") for name in names],
        labels=[PurePosixPath(name).parent.name for name in found.names],
        skipped=[(prefix + name, reason) for name, reason in skipped],
        of=split.of,
        rule="; ".join([split.rule, *said.remarks]),
    )


def _copy_rows(source: Path, target: Path, order: list[int], size: int) -> None:
    """Write the decoded squares in their final order; reading row by row keeps them out of memory."""
    length = 3 * size**2
    header = {"descr": "|u1", "fortran_order": False, "shape": (len(order), size, size, 3)}
    with source.open("rb") as decoded, target.open("wb") as array:
        np.lib.format.write_array_header_1_0(array, header)
        for row in order:
            decoded.seek(row * length)
            array.write(decoded.read(length))


def _why(kind: str, other: int, split: str, names: list[str], of: list[str]) -> str:
    if other < 0:
        return f"{kind} in {split}: no color to learn from or to judge by"
    return f"{kind} in {split}: see {names[other]} in {of[other]}"


def _common_folder(names: list[str]) -> str:
    """Find the folders that all names have in front, with a slash at the end."""
    parents = [name.split("/")[:-1] for name in names]
    levels = itertools.takewhile(lambda level: len(set(level)) == 1, zip(*parents, strict=False))
    return "".join(f"{level[0]}/" for level in levels)
