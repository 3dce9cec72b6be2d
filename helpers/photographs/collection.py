"""Photographs of any source as one read-only array, with a split that never moves.

A source is decoded once for each size (`helpers.photographs.prepare`) and kept under
`data/cache`: an array that is mapped into memory, and a record of what is in it.
"""

import json
import re
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import __version__ as pillow_version

from helpers import files
from helpers.errors import CourseError, readable
from helpers.photographs import archives, download, hygiene, prepare, sources
from helpers.photographs.splits import SPLITS

_SAID: set[str] = set()  # about which sources this process has said what there is to say
_KEEP = {"near duplicates": False}
_PER_PHOTOGRAPH = ("rgb", "names", "labels", "credits", "splits", "colorfulness")


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
    colorfulness : (n,) ndarray of float32
        After Hasler and Süsstrunk (2003), seen at 64 pixels a side.
    skipped, set_aside : list of (str, str)
        Files that could not be decoded and photographs that were kept out, each with the reason.
    rule : str
        By what the photographs were split, and what in the source's tables matches no file.
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
    colorfulness: np.ndarray
    skipped: list[tuple[str, str]]
    set_aside: list[tuple[str, str]]
    rule: str
    origin: dict

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, rows: slice) -> "Photographs":
        """Take consecutive photographs, without copying any."""
        if not isinstance(rows, slice):
            raise CourseError(f"photographs[{rows!r}]: give a slice, or take one of photographs.rgb")
        return replace(self, **{field: getattr(self, field)[rows] for field in _PER_PHOTOGRAPH})

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
            name: f"{len(split):,}, of them {(split.colorfulness < hygiene.WEAK).sum():,} weakly colored"
            for name, split in splits.items()
        }

    def _split(self, split: str) -> "Photographs":
        count = self.splits.count(split)
        start = self.splits.index(split) if count else 0
        return self[start : start + count]


def load(source: str | Path = "sample", size: int = 96, near_duplicates: bool | None = None) -> Photographs:
    """Open the photographs of a source at a size, and prepare them first if that was not done yet.

    The middle square of each is taken and resized with antialiasing. Grey photographs are set aside;
    duplicates never straddle two splits (`helpers.photographs.hygiene` and `.splits` have the rules).
    The first time in a process, a line says by which rule the photographs were split.

    Parameters
    ----------
    source : str or path
        A name of the catalogue (downloaded if need be), or a folder, .zip or .tar of one's own. What
        holds a slash, or is a Path, is never taken for a name.
        A `split.csv` (file, split) and an `ATTRIBUTION.csv` (file, title, author, license, source)
        in its top folder are heeded. Several are joined by ``+``: the first alone gives photographs to
        test by, and the others more to learn from and to validate with.
    size : int
        Side in pixels, 8 to 1024.
    near_duplicates : bool, optional
        Whether to keep photographs that are nearly the same as one in a later split; if not given, what
        `keep_near_duplicates` was told. Different things that look alike in grey, as balls on white
        paper, may be taken for the same.

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
    if near_duplicates is None:
        near_duplicates = _KEEP["near duplicates"]
    parts = _unlike([_locate(each) for each in several(source)])
    name = "+".join(part.name for part in parts)
    about = files.digest(*(part.path.resolve() for part in parts), *(["near"] if near_duplicates else []))
    try:
        fingerprints = [
            archives.fingerprint(each) for part in parts for each in (part.path, *part.extra.values())
        ]
        key = files.digest(prepare.VERSION, pillow_version, size, near_duplicates, *fingerprints)
        photographs = files.cached(
            f"{name[:60].replace('.', '-')}-{size}-{about[:8]}",
            key,
            lambda folder: prepare.prepare(folder, parts, size, near=not near_duplicates),
            lambda folder: _open(folder, name=name, size=size, key=key),
        )
    except OSError as error:
        where = " + ".join(str(part.path) for part in parts)
        raise CourseError(f"preparing {where} failed: {error.strerror or error}") from None
    if about not in _SAID:
        _SAID.add(about)
        counts = ", ".join(f"{count:,} {split}" for split, count in photographs.counts.items())
        print(readable(f"{name}: {counts}, split {photographs.rule}"))
    return photographs


def keep_near_duplicates(keep: bool) -> None:
    """Decide for this process whether photographs that are nearly the same may be in several splits.

    Parameters
    ----------
    keep : bool
        What `load` does if it is not told.
    """
    _KEEP["near duplicates"] = keep


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
    path = Path(source).expanduser()
    if isinstance(source, str) and source in sources.SOURCES:
        if source not in _SAID:
            _SAID.add(source)
            sources.note_namesake(source)
        embedded = sources.SOURCES[source].kind == "embedded"
        return prepare.Part(source, download.fetch(source), sources.skimage_photographs() if embedded else {})
    if not path.exists():
        known = ", ".join(sources.SOURCES)
        raise CourseError(f"no photographs at {source}: give a folder, a .zip or .tar, or one of {known}")
    name = re.sub(r"\.(zip|tar|tgz|tbz2|txz|tar\.\w+)$", "", path.resolve().name, flags=re.IGNORECASE)
    return prepare.Part(name or "photographs", path, {})


def _unlike(parts: list[prepare.Part]) -> list[prepare.Part]:
    """Tell parts of one name apart by a number: the names of their photographs begin with it."""
    return [
        replace(part, name=f"{part.name} ({number + 1})")
        if any(part.name == other.name for other in parts[:number])
        else part
        for number, part in enumerate(parts)
    ]


def _open(folder: Path, **about) -> Photographs:
    record = json.loads((folder / "record.json").read_text(encoding="utf-8"))
    record["colorfulness"] = np.array(record["colorfulness"], np.float32)
    for pairs in ("skipped", "set_aside"):
        record[pairs] = [tuple(pair) for pair in record[pairs]]
    # A plain array over the mapped file: taking part of a memory map costs more than of an array.
    rgb = np.asarray(np.load(folder / "rgb.npy", mmap_mode="r", allow_pickle=False))
    if rgb.dtype != np.uint8 or rgb.shape != (len(record["names"]), about["size"], about["size"], 3):
        raise ValueError("not the photographs of this record")
    return Photographs(rgb=rgb, **record, **about)
