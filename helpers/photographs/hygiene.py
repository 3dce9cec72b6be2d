"""Which photographs may teach: the grey, the weakly colored, the duplicates, and the split.

Every decision is made on a look at a photograph of 64 pixels a side, so that it
is the same whatever size the photographs are prepared at.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
from scipy.fft import dctn

from helpers.lab import colorfulness, rgb_to_lab

LOOK = 64
GREY = 5.0
WEAK = 15.0
SPLITS = ("train", "validation", "test")
HELD_OUT = {"val", "validation", "test"}

# Chosen on 300 photographs of imagenette2 and 11 changed versions of each (re-encoded, reduced,
# brighter, more contrast, more saturated, grey, marked, cropped by 2 % ...): at these bounds 97 % and
# more of each kind are found, and 3 of the 90 million pairs of different photographs are taken for one.
NEAR_BITS = 10
NEAR_CORRELATION = 0.85


@dataclass(frozen=True, eq=False)
class Looks:
    """What was seen of n photographs.

    Attributes
    ----------
    chroma : numpy.ndarray
        float32, (n,): the largest absolute a or b of any pixel, CIE units.
    colorfulness : numpy.ndarray
        float32, (n,): after Hasler & Süsstrunk (2003), from 0 (grey) to above 100.
    bits : numpy.ndarray
        bool, (n, 63): a perceptual hash, the signs of the 8 x 8 lowest cosine terms of L but the first.
    shape : numpy.ndarray
        float32, (n, 256): L at 16 x 16 pixels, its mean removed, of length 1 (0 for a plain area).
    """

    chroma: np.ndarray
    colorfulness: np.ndarray
    bits: np.ndarray
    shape: np.ndarray

    @classmethod
    def join(cls, parts: Sequence["Looks"]) -> "Looks":
        """Put the looks at several batches one after the other."""
        return cls(*(np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(cls)))


def look(rgb: np.ndarray) -> Looks:
    """Look at photographs of 64 pixels a side.

    Parameters
    ----------
    rgb : numpy.ndarray
        uint8, (n, 64, 64, 3).

    Returns
    -------
    Looks
        Of n photographs.
    """
    lab = rgb_to_lab(rgb)
    lightness = _halve(lab[..., 0])
    terms = dctn(lightness, axes=(1, 2), norm="ortho")[:, :8, :8].reshape(len(rgb), 64)
    shape = _halve(lightness).reshape(len(rgb), -1)
    shape = shape - shape.mean(axis=1, keepdims=True)
    length = np.linalg.norm(shape, axis=1, keepdims=True)
    return Looks(
        chroma=np.abs(lab[..., 1:]).max(axis=(1, 2, 3)),
        colorfulness=colorfulness(rgb),
        bits=terms[:, 1:] > 0,
        shape=np.divide(shape, length, out=np.zeros_like(shape), where=length > 1e-3),
    )


def near(looks: Looks, rows: np.ndarray, among: np.ndarray) -> np.ndarray:
    """Find photographs that are nearly the same as another, or as its mirror image.

    Two are, if their perceptual hashes differ in at most 10 of 63 bits and the correlation of their
    lightness at 16 x 16 pixels is at least 0.85.

    Parameters
    ----------
    looks : Looks
        Of all photographs.
    rows, among : numpy.ndarray
        Which photographs to find a double for, and among which to look for it.

    Returns
    -------
    numpy.ndarray
        int, (len(rows),): the nearest double of each, as an index into all photographs, or -1.
    """
    odd_across = np.arange(1, 64) % 2 == 1
    signs = np.where(looks.bits, np.float32(1), np.float32(-1))
    candidates, shapes = signs[among], looks.shape[among]
    found = np.full(len(rows), -1)
    if len(among) == 0:
        return found
    for start in range(0, len(rows), 1024):
        part = rows[start : start + 1024]
        best = np.zeros(len(part), np.float32)
        mirrored = looks.shape[part].reshape(-1, 16, 16)[:, :, ::-1].reshape(-1, 256)
        for hashes, shape in (
            (signs[part], looks.shape[part]),
            (np.where(odd_across, -signs[part], signs[part]), mirrored),
        ):
            differing = (63 - hashes @ candidates.T) / 2
            correlation = np.where(differing <= NEAR_BITS, shape @ shapes.T, 0)
            nearest = correlation.argmax(axis=1)
            value = correlation[np.arange(len(part)), nearest]
            better = (value >= NEAR_CORRELATION) & (value > best)
            found[start : start + 1024][better] = among[nearest[better]]
            best = np.maximum(best, value)
    return found


def split_by_content(hashes: Sequence[str]) -> list[str]:
    """Assign each photograph to a split by what it is, never by its name or its neighbors.

    A checksum read as a number from 0 to 1 decides: below 0.8 train, below 0.9 validation, else test.
    Where a small set leaves validation or test empty, the photograph with the largest number fills
    it. Adding photographs can therefore move one from test to train, and never from train to test.

    Parameters
    ----------
    hashes : sequence of str
        The sha256 of each file, in hexadecimal.

    Returns
    -------
    list of str
        'train', 'validation' or 'test' for each.
    """
    numbers = np.array([_number(each) for each in hashes])
    splits = np.array([_by_number(number) for number in numbers], dtype=object)
    for wanted, from_others in (("test", ("train", "validation")), ("validation", ("train",))):
        if wanted not in splits and np.isin(splits, from_others).any():
            splits[np.where(np.isin(splits, from_others), numbers, -1).argmax()] = wanted
    return splits.tolist()


def split_by_folder(names: Sequence[str], hashes: Sequence[str]) -> list[str]:
    """Assign photographs to the split whose folder they lie in, as the publisher of a source meant it.

    The folders are `train`, `val` or `validation`, and `test`. Where only one set is held out,
    whatever it is called, it is test, and validation is a tenth of `train`. A photograph in none
    of these folders is assigned by its content.

    Parameters
    ----------
    names : sequence of str
        Each photograph's name within the source; the first folder in it decides.
    hashes : sequence of str
        The sha256 of each file, read as a number from 0 to 1. The tenth is those of `train` at 0.9
        and above (or the one with the largest, if none is); elsewhere train is below 0.8,
        validation below 0.9, and the rest test.

    Returns
    -------
    list of str
        'train', 'validation' or 'test' for each.
    """
    numbers = np.array([_number(each) for each in hashes])
    folders = [name.split("/")[0] if "/" in name else "" for name in names]
    both = "test" in folders and not {"val", "validation"}.isdisjoint(folders)
    middle = "validation" if both else "test"
    held_out = {"val": middle, "validation": middle, "test": "test"}
    teaching = numbers[[folder == "train" for folder in folders]]
    bound = 1 if both else min(0.9, teaching.max(initial=0))

    def split(folder: str, number: float) -> str:
        if folder == "train":
            return "validation" if number >= bound else "train"
        return held_out.get(folder) or _by_number(number)

    return [split(folder, number) for folder, number in zip(folders, numbers, strict=True)]


def doubles_and_greys(
    looks: Looks, names: Sequence[str], hashes: Sequence[str], splits: Sequence[str]
) -> dict[int, tuple[str, int]]:
    """Decide which photographs are set aside.

    A grey photograph (no a or b above 5) teaches grey: it is set aside from train, and kept in
    validation and test. A file met twice in one split is kept once, under its first name. A photograph
    that is the same or nearly the same as one in a later split (train before validation before test)
    is set aside from the earlier one, so that none straddles.

    Parameters
    ----------
    looks : Looks
        Of all photographs.
    names, hashes, splits : sequence of str
        The name of each file, its sha256, and its split.

    Returns
    -------
    dict of int to (str, int)
        For each index set aside: 'grey', 'duplicate' or 'near duplicate', and which it doubles (or -1).
    """
    splits = np.asarray(splits)
    aside: dict[int, tuple[str, int]] = {}
    kept: dict[str, int] = {}
    for split in reversed(SPLITS):
        for index in sorted(np.flatnonzero(splits == split).tolist(), key=lambda index: names[index]):
            if kept.setdefault(hashes[index], index) != index:
                aside[index] = ("duplicate", kept[hashes[index]])
    for index in np.flatnonzero((splits == "train") & (looks.chroma <= GREY)):
        aside.setdefault(int(index), ("grey", -1))
    for split, later in (("validation", ["test"]), ("train", ["validation", "test"])):
        rows = np.array([i for i in np.flatnonzero(splits == split) if i not in aside], dtype=int)
        for index, double in zip(
            rows, near(looks, rows, np.flatnonzero(np.isin(splits, later))), strict=True
        ):
            if double >= 0:
                aside[int(index)] = ("near duplicate", int(double))
    return aside


def _number(sha256: str) -> float:
    return int(sha256[:13], 16) / 16**13


def _by_number(number: float) -> str:
    return "train" if number < 0.8 else "validation" if number < 0.9 else "test"


def _halve(planes: np.ndarray) -> np.ndarray:
    n, height, width = planes.shape
    return planes.reshape(n, height // 2, 2, width // 2, 2).mean(axis=(2, 4))
