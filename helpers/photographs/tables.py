"""The tables that lie beside photographs: whom to thank, and which split each belongs to.

People write them by hand, with a spreadsheet, or on another system. So names are
compared as people compare them, and what still does not match is said.
"""

import csv
import io
import unicodedata
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from helpers.errors import CourseError
from helpers.photographs.splits import SPLITS, listing, named

_NAMES = ("split.csv", "attribution.csv", "license.txt")


@dataclass
class Tables:
    """What the tables of a source say of its photographs.

    Attributes
    ----------
    splits, credits : dict of str to str
        By the photograph's name within the source, in the order of the table.
    remarks : list of str
        What in the tables matches no file, in a few words each.
    """

    splits: dict[str, str] = field(default_factory=dict)
    credits: dict[str, str] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)


def is_table(name: str) -> bool:
    """Tell a table by its name.

    Parameters
    ----------
    name : str
        A file's name within a source.

    Returns
    -------
    bool
        Whether it is called ``split.csv``, ``ATTRIBUTION.csv`` or ``LICENSE.txt``, in any case.
    """
    return _key(PurePosixPath(name).name) in _NAMES


def read(
    tables: dict[str, bytes],
    names: Sequence[str],
    unread: Sequence[str],
    where: Path,
    credits: dict[str, str] | None = None,
) -> Tables:
    """Read the tables of a source, and find the photographs that they speak of.

    A table speaks of the files in its own folder and below. Names are compared without regard to case,
    to how accents are composed, to the kind of slash, and to blanks around them. Folders that all rows of
    a table have in front may be missing among the files; an ending may be missing in a row; and a row
    without a folder means the only file of that name.

    Parameters
    ----------
    tables : dict of str to bytes
        The tables' content by their names within the source.
    names, unread : sequence of str
        The photographs, and the files that could not be read.
    where : pathlib.Path
        The source, for errors.
    credits : dict of str to str, optional
        What is known without a table.

    Returns
    -------
    Tables
        What they say.

    Raises
    ------
    CourseError
        If a table cannot be read or lacks a column, if it puts one photograph into two splits or into an
        unknown one, or if rows of ``split.csv`` match no file while it does not name every photograph.
    """
    found = Tables(credits=dict(credits or {}))
    for table, content in sorted(tables.items(), key=lambda item: (item[0].count("/"), item[0])):
        place, file = table[: table.rfind("/") + 1], table[table.rfind("/") + 1 :]
        here, unread_here = ([name for name in each if name.startswith(place)] for each in (names, unread))
        about = _About(place, where / table, here, unread_here)
        kind = _key(file)
        if kind == "split.csv":
            _read_splits(content, about, found)
        elif kind == "attribution.csv":
            _read_credits(content, about, found)
        else:
            for line in content.decode("utf-8", "replace").splitlines():
                row, by, photographer = line.partition(" CC-BY by ")
                if by:
                    found.credits[place + row] = f"{photographer}, CC BY 2.0"
    return found


@dataclass(frozen=True)
class _About:
    """A table: its folder within the source, where it is, and the files that it can speak of."""

    place: str
    path: Path
    names: list[str]
    unread: list[str]

    def match(self, rows: Sequence[str]) -> list[str | None]:
        within = [name.removeprefix(self.place) for name in (*self.names, *self.unread)]
        return [None if name is None else self.place + name for name in _match(rows, within)]


def _read_splits(content: bytes, about: _About, found: Tables) -> None:
    rows = [row for row in _rows(content, ("file", "split"), about.path) if row["split"].strip()]
    matched = about.match([row["file"] for row in rows])
    for row, name in zip(rows, matched, strict=True):
        split = named(row["split"])
        if split is None:
            raise CourseError(
                f"{about.path} puts {row['file']} into {row['split']!r}: {', '.join(SPLITS)} are the splits"
            )
        if name and found.splits.setdefault(name, split) != split:
            raise CourseError(f"{about.path} puts {name} into {found.splits[name]} and into {split}")
    missing = [row["file"] for row, name in zip(rows, matched, strict=True) if name is None]
    unnamed = [name for name in about.names if name not in found.splits]
    if missing and unnamed:
        raise CourseError(
            f"{about.path} names files that are not there ({listing(missing)}), and does not name "
            f"photographs that are ({listing(unnamed)}): correct the names, or take those rows out"
        )
    if missing:
        found.remarks.append(f"split.csv names files that are not there ({listing(missing)})")


def _read_credits(content: bytes, about: _About, found: Tables) -> None:
    parts = ("title", "author", "license", "source")
    rows = [row for row in _rows(content, ("file", *parts), about.path) if row["file"].strip()]
    matched = about.match([row["file"] for row in rows])
    for row, name in zip(rows, matched, strict=True):
        if name:
            found.credits[name] = ", ".join(row[part].strip() for part in parts if row[part].strip())
    missing = [row["file"] for row, name in zip(rows, matched, strict=True) if name is None]
    if missing:
        found.remarks.append(f"ATTRIBUTION.csv names files that are not there ({listing(missing)})")
    if unnamed := [name for name in about.names if name not in found.credits]:
        found.remarks.append(f"ATTRIBUTION.csv does not name {listing(unnamed)}")


def _rows(content: bytes, columns: tuple[str, ...], path: Path) -> list[dict[str, str]]:
    """Read a table that someone wrote by hand or with a spreadsheet; what a short row lacks is ''."""
    try:
        table = csv.DictReader(io.StringIO(content.decode("utf-8-sig"), newline=""), restval="")
        there = [column.strip().casefold() for column in table.fieldnames or columns]
        table.fieldnames = ["license" if column == "licence" else column for column in there]
        rows = list(table)
    except (UnicodeDecodeError, csv.Error):
        raise CourseError(f"{path}: not a table of commas in UTF-8: save it as one") from None
    if missing := [column for column in columns if column not in table.fieldnames]:
        raise CourseError(f"{path}: needs the columns {', '.join(columns)}, and has no {', '.join(missing)}")
    return rows


def _match(written: Sequence[str], names: Sequence[str]) -> list[str | None]:
    """Find the file that each row means; None where there is none, or more than one."""
    exact = set(names)
    index: dict[str, set[str]] = defaultdict(set)
    for name in names:
        path = PurePosixPath(_key(name))
        for kind, each in (("", path), ("stem of ", path.with_suffix(""))):
            index[f"{kind}{each}"].add(name)
            index[f"{kind}the only {each.name}"].add(name)

    def only(*keys: str) -> str | None:
        return next((next(iter(index[key])) for key in keys if len(index.get(key, ())) == 1), None)

    def means(row: str, drop: int) -> str | None:
        if row in exact:
            return row
        key = "/".join(_key(row).split("/")[drop:])
        keys = (key, f"stem of {key}")
        return only(*keys) if "/" in key else only(*keys, f"the only {key}", f"stem of the only {key}")

    # Rows may have folders in front that lie above the source: the same number of them in each.
    common = _common([_key(row).split("/")[:-1] for row in written if row.strip()])
    tries = ([means(row, drop) for row in written] for drop in range(common + 1))
    return max(tries, key=lambda found: sum(name is not None for name in found), default=[])


def _key(name: str) -> str:
    parts = unicodedata.normalize("NFC", name).casefold().replace("\\", "/").strip().split("/")
    return "/".join(part.strip() for part in parts if part.strip() not in ("", "."))


def _common(folders: Sequence[Sequence[str]]) -> int:
    """Count the folders that all have in front."""
    if not folders:
        return 0
    return next(
        (depth for depth, parts in enumerate(zip(*folders, strict=False)) if len(set(parts)) > 1),
        min(map(len, folders)),
    )
