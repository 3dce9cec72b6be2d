"""Which split a photograph belongs to: what its owner declares, or what its content decides."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath

SPLITS = ("train", "validation", "test")
# Fewer than two with color, and lesson 3 has no other photograph whose colors it could take.
LEAST = 2
_WORDS = {
    "train": ("train", "training", "trainset"),
    "validation": ("val", "valid", "validation", "validating", "valset", "dev"),
    "test": ("test", "tests", "testing", "testset", "eval", "evaluation", "holdout"),
}
_SPLIT_OF = {word: split for split, words in _WORDS.items() for word in words}


@dataclass(frozen=True)
class Split:
    """Photographs assigned to splits, and why so.

    Attributes
    ----------
    of : list of str
        'train', 'validation' or 'test' for each photograph.
    rule : str
        By what they were assigned, to be read after "split".
    may_move : list of tuple of str
        For each photograph, the other splits that `fill` may move it to.
    """

    of: list[str]
    rule: str
    may_move: list[tuple[str, ...]]


def named(word: str) -> str | None:
    """Understand what someone calls a split.

    Parameters
    ----------
    word : str
        As ``Train``, ``val`` or ``testing``.

    Returns
    -------
    str or None
        'train', 'validation', 'test', or None if it is none of the usual words.
    """
    return _SPLIT_OF.get(word.strip().casefold())


def assign(
    names: Sequence[str], checksums: Sequence[str], listed: dict[str, str], learn_only: bool = False
) -> Split:
    """Assign photographs to splits: by what a table says, else by their folders, else by their content.

    Parameters
    ----------
    names : sequence of str
        Each photograph's name within the source.
    checksums : sequence of str
        The sha256 of each file, in hexadecimal.
    listed : dict of str to str
        The split of each photograph that a table names.
    learn_only : bool
        Whether content makes none of them a test photograph.

    Returns
    -------
    Split
        Of all photographs.
    """
    rest = [row for row, name in enumerate(names) if name not in listed]
    others = by_folder([names[row] for row in rest], [checksums[row] for row in rest])
    if others is None and learn_only:
        others = _to_learn([checksums[row] for row in rest])
    elif others is None:
        others = by_content([checksums[row] for row in rest])
    if not listed:
        return others
    of = [listed.get(name, "") for name in names]
    may_move: list[tuple[str, ...]] = [()] * len(names)
    for row, split, others_may in zip(rest, others.of, others.may_move, strict=True):
        of[row], may_move[row] = split, others_may
    rule = "by split.csv"
    if rest:
        rule += f"; what it does not name ({listing([names[row] for row in rest])}) {others.rule}"
    return Split(of, rule, may_move)


def by_content(checksums: Sequence[str]) -> Split:
    """Assign each photograph to a split by what it is, never by its name or its neighbors.

    A checksum read as a number from 0 to 1 decides: below 0.8 train, below 0.9 validation, else test.
    Where a small set leaves fewer than two for validation or test, `fill` gives them those with the
    largest numbers. Adding photographs can therefore move one from test to train, and never from train
    to test.

    Parameters
    ----------
    checksums : sequence of str
        The sha256 of each file, in hexadecimal.

    Returns
    -------
    Split
        Of all photographs.
    """
    of = [_by_number(_number(each)) for each in checksums]
    others = {split: tuple(other for other in ("validation", "test") if other != split) for split in SPLITS}
    may_move = [others[split] for split in of]
    return Split(of, "by content", may_move)


def by_folder(names: Sequence[str], checksums: Sequence[str]) -> Split | None:
    """Assign photographs to the split whose folder they lie in, as their owner meant it.

    A folder is one of a split if it is called so (``train``, ``Training``, ``val``, ``dev``, ``test`` ...),
    alone or with a word that its neighbors share (``seg_train`` and ``seg_test``, ``train2017`` and
    ``val2017``). It counts where a folder of another split lies beside it; if there are none such, a folder
    of held-out photographs counts wherever it lies. The outermost folder that counts decides.

    Where only one set is held out, whatever it is called, it is test, and validation is a tenth of what
    there is to learn from. A photograph in none of these folders is assigned by its content: as any, or
    if no folder is called train, to learn from.

    Parameters
    ----------
    names : sequence of str
        Each photograph's name within the source.
    checksums : sequence of str
        The sha256 of each file, read as a number from 0 to 1. The tenth is those at 0.9 and above.

    Returns
    -------
    Split or None
        Of all photographs; None if the folders declare no split.
    """
    folders = _declared(names)
    there = {split for split, _ in folders if split}
    if not there - {"train"}:
        return None
    numbers = [_number(each) for each in checksums]
    single = len(there - {"train"}) == 1
    of, may_move = [], []
    for (split, _), number in zip(folders, numbers, strict=True):
        if split in ("validation", "test"):
            of.append("test" if single else split)
        elif split == "train" or "train" not in there:
            of.append("validation" if single and number >= 0.9 else "train")
        else:
            of.append(_by_number(number))
        may_move.append(("validation",) if single and of[-1] == "train" else ())
    return Split(of, _folder_rule(folders, single), may_move)


def _to_learn(checksums: Sequence[str]) -> Split:
    of = ["train" if _number(each) < 0.9 else "validation" for each in checksums]
    return Split(of, "by content, none for test", [()] * len(of))


def fill(split: Split, checksums: Sequence[str], usable: Sequence[bool]) -> Split:
    """Move photographs until validation and test have two that can be used, or none may be moved.

    Parameters
    ----------
    split : Split
        Of all photographs.
    checksums : sequence of str
        The sha256 of each file, read as a number from 0 to 1; the largest are moved first.
    usable : sequence of bool
        Which photographs count.

    Returns
    -------
    Split
        The same, with as few moved as need be.
    """
    of = list(split.of)
    for wanted, givers in (("test", ("validation", "train")), ("validation", ("train",))):
        have = sum(each == wanted and good for each, good in zip(of, usable, strict=True))
        givers = [
            row
            for row, each in enumerate(of)
            if each in givers and wanted in split.may_move[row] and usable[row]
        ]
        givers.sort(key=lambda row: _number(checksums[row]), reverse=True)
        for row in givers[: max(0, LEAST - have)]:
            of[row] = wanted
    return replace(split, of=of)


def listing(names: Sequence[str], most: int = 3) -> str:
    """Name the first few, and count them all.

    Parameters
    ----------
    names : sequence of str
        At least one.
    most : int
        How many to name.

    Returns
    -------
    str
        As ``5: a.png, b.png, c.png ...``.
    """
    return f"{len(names):,}: {', '.join(names[:most])}" + (" ..." if len(names) > most else "")


def _declared(names: Sequence[str]) -> list[tuple[str, str]]:
    """Find the split, and the folder that declares it, of each photograph; ('', '') for none."""
    parents = [PurePosixPath(name).parts[:-1] for name in names]
    places = {parts[: depth + 1] for parts in parents for depth in range(len(parts))}
    beside: dict[tuple, dict[str, set[str]]] = {}
    for place in places:
        for split, pattern in _read_as(place[-1]):
            beside.setdefault((place[:-1], pattern), {}).setdefault(split, set()).add(place[-1])
    declaring = {
        (*parent, folder): split
        for (parent, _), splits in beside.items()
        if len(splits) > 1
        for split, folders in splits.items()
        for folder in folders
    }
    if not declaring:
        declaring = {place: split for place in places if (split := named(place[-1]))}
    found = []
    for parts in parents:
        outermost = next((parts[:n] for n in range(1, len(parts) + 1) if parts[:n] in declaring), None)
        found.append((declaring[outermost], outermost[-1]) if outermost else ("", ""))
    return found


def _read_as(folder: str) -> list[tuple[str, str]]:
    """Read a folder's name as a split, with the pattern that is left when the split's word is taken out."""
    parts = re.split(r"([\W\d_]+|(?<=[a-z])(?=[A-Z]))", folder)  # at capitals too: TrainImages
    split_words = [number for number, part in enumerate(parts) if part and named(part)]
    if len(split_words) != 1:
        return []
    (number,) = split_words
    pattern = "".join(parts[:number]) + "*" + "".join(parts[number + 1 :])
    return [(named(parts[number]), pattern.casefold())]


def _folder_rule(folders: Sequence[tuple[str, str]], single: bool) -> str:
    in_order = sorted(filter(any, folders), key=lambda each: SPLITS.index(each[0]))
    names = list(dict.fromkeys(folder for _, folder in in_order))
    rule = f"by folder{'s' if len(names) > 1 else ''} {', '.join(names)}"
    train = list(dict.fromkeys(folder for split, folder in in_order if split == "train"))
    if single:
        rule += f"; validation is a tenth of {', '.join(train) or 'the rest'}"
    outside = len(folders) - len(in_order)
    if outside and train:
        rule += f"; {outside:,} in none of these by content"
    return rule


def _number(sha256: str) -> float:
    return int(sha256[:13], 16) / 16**13


def _by_number(number: float) -> str:
    return "train" if number < 0.8 else "validation" if number < 0.9 else "test"
