"""Photographs of any source as one read-only array, with a split that never moves.

A source is decoded once for each size (`helpers.photographs.prepare`) and kept under
`data/cache`: an array that is mapped into memory, and a record of what is in it.
"""

import errno
import json
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import __version__ as pillow_version

from helpers import files, places
from helpers.errors import CourseError
from helpers.photographs import archives, download, hygiene, prepare, sources
from helpers.photographs.hygiene import SPLITS

_PER_PHOTOGRAPH = ("rgb", "names", "labels", "credits", "splits", "chroma", "colorfulness")


@dataclass(frozen=True, eq=False)
class Photographs:
    """Square photographs in the order train, validation, test.

    Within a split, a source with a `split.csv` keeps its order; every other one is in the order of its
    files' checksums, so that the first photographs of a split are a fair draw from it.

    Attributes
    ----------
    name : str
        The source's name.
    size : int
        Side of the photographs in pixels.
    checksum : str
        sha256 in hexadecimal of the photographs' files, their names and their split, at any size.
    key : str
        sha256 in hexadecimal of all that `rgb` is made from: where the files are and when they were
        written, the size, and the versions of what decodes and prepares them. For what is computed from
        `rgb` and kept.
    rgb : (n, size, size, 3) ndarray of uint8
        0 to 255, read-only, mapped into memory.
    names, labels, credits, splits : list of str
        For each photograph: its file within the source, the folder that holds the file ('' for
        none), whom to thank and under which license ('' if unknown), and its split.
    chroma, colorfulness : (n,) ndarray of float32
        The largest absolute a or b, and the colorfulness, seen at 64 pixels a side.
    skipped, set_aside : list of (str, str)
        Files that could not be decoded and photographs that were kept out, each with the reason.
    origin : dict
        What the source's files were like: their number, bytes and pixels.
    """

    name: str
    size: int
    checksum: str
    key: str
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
        if not isinstance(rows, slice):
            raise CourseError(f"photographs[{rows!r}]: give a slice, or take one of photographs.rgb")
        return replace(self, **{field: getattr(self, field)[rows] for field in _PER_PHOTOGRAPH})

    def colored(self, most: int) -> "Photographs":
        """Take the first photographs that have color at all (some a or b above 5).

        A black-and-white photograph has no true color to judge a prediction by; and grey, the
        answer that needs no network, is perfect there.

        Parameters
        ----------
        most : int
            How many to take at most.

        Returns
        -------
        Photographs
            With a copy of their pixels where one is left out.
        """
        rows = np.flatnonzero(self.chroma > hygiene.GREY)[:most]
        if len(rows) == 0 or rows[-1] == len(rows) - 1:
            return self[: len(rows)]
        taken = {field: getattr(self, field) for field in _PER_PHOTOGRAPH}
        lists = {
            field: [each[row] for row in rows] for field, each in taken.items() if isinstance(each, list)
        }
        return replace(
            self, **{field: each[rows] for field, each in taken.items() if field not in lists}, **lists
        )

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


def load(source: str | Path = "sample", size: int = 96) -> Photographs:
    """Open the photographs of a source at a size, and prepare them first if that was not done yet.

    The middle square of each is taken and resized with antialiasing. Grey photographs are set aside
    from train; duplicates never straddle two splits (`helpers.photographs.hygiene` has the rules).

    Parameters
    ----------
    source : str or path
        A name of the catalogue (downloaded if need be), or a folder, .zip or .tar of one's own.
        A `split.csv` (file, split) and an `ATTRIBUTION.csv` (file, title, author, license, source)
        in its top folder are heeded. Several are joined by ``+``: the first alone gives photographs to
        test by, and the others more to learn from and to validate with.
    size : int
        Side in pixels, 8 to 1024.

    Returns
    -------
    Photographs
        Memory-mapped and read-only.

    Raises
    ------
    CourseError
        If there is no such source, it holds too few photographs for three splits, a table in it
        lacks a column, or the disk is full.
    """
    if not (isinstance(size, int | np.integer) and 8 <= size <= 1024):
        raise CourseError(f"a size of {size!r} pixels: choose a whole number from 8 to 1024")
    size = int(size)
    parts = [_locate(each) for each in several(source)]
    name = "+".join(part.name for part in parts)
    try:
        fingerprints = [
            archives.fingerprint(each) for part in parts for each in (part.path, *part.extra.values())
        ]
        key = files.digest(prepare.VERSION, pillow_version, size, *fingerprints)
        return files.cached(
            f"{name}-{size}-{files.digest(*(part.path.resolve() for part in parts))[:8]}",
            key,
            lambda folder: prepare.prepare(folder, parts, size),
            lambda folder: _open(folder, name=name, size=size, key=key),
        )
    except OSError as error:
        advice = f": make room in {places.CACHE}" if error.errno == errno.ENOSPC else ""
        where = " + ".join(str(part.path) for part in parts)
        raise CourseError(f"preparing {where} failed: {error.strerror or error}{advice}") from None


def several(source: str | Path) -> list[str | Path]:
    """Take a list of sources apart.

    Parameters
    ----------
    source : str or path
        As for `load`.

    Returns
    -------
    list of str or path
        What stands between plus signs; a path that exists and holds one is a single source.
    """
    if Path(source).expanduser().exists():
        return [source]
    return str(source).split("+")


def _locate(source: str | Path) -> prepare.Part:
    name = str(source)
    if name in sources.SOURCES:
        embedded = sources.SOURCES[name].kind == "embedded"
        return prepare.Part(name, download.fetch(name), sources.skimage_photographs() if embedded else {})
    path = Path(source).expanduser()
    if not path.exists():
        known = ", ".join(sources.SOURCES)
        raise CourseError(f"no photographs at {source}: give a folder, a .zip or .tar, or one of {known}")
    return prepare.Part(path.resolve().name.split(".")[0] or "photographs", path, {})


def _open(folder: Path, **about) -> Photographs:
    record = json.loads((folder / "record.json").read_text(encoding="utf-8"))
    for measured in ("chroma", "colorfulness"):
        record[measured] = np.array(record[measured], np.float32)
    for pairs in ("skipped", "set_aside"):
        record[pairs] = [tuple(pair) for pair in record[pairs]]
    # A plain array over the mapped file: taking part of a memory map costs more than of an array.
    rgb = np.asarray(np.load(folder / "rgb.npy", mmap_mode="r"))
    return Photographs(rgb=rgb, **record, **about)
