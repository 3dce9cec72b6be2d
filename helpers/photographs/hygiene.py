"""Which photographs may teach: the grey, the weakly colored, the duplicates, and the split.

Every decision is made on a thumbnail of 64 pixels a side, so that it is the same
whatever size the photographs are prepared at.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
from scipy.fft import dctn

from helpers.lab import colorfulness, rgb_to_lab

THUMBNAIL = 64
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
class Descriptors:
    """What is measured on the thumbnails of n photographs.

    Attributes
    ----------
    chroma : (n,) ndarray of float32
        The largest absolute a or b of any pixel, in CIE units.
    colorfulness : (n,) ndarray of float64
        After Hasler and Süsstrunk (2003), from 0 (grey) to above 100.
    hash : (n, 63) ndarray of bool
        A perceptual hash: the signs of the 8 x 8 lowest cosine terms of L but the first, row by row.
    lightness : (n, 256) ndarray of float32
        L at 16 x 16 pixels, its mean removed, of length 1 (0 for a plain area).
    """

    chroma: np.ndarray
    colorfulness: np.ndarray
    hash: np.ndarray
    lightness: np.ndarray

    @classmethod
    def join(cls, parts: Sequence["Descriptors"]) -> "Descriptors":
        """Put the descriptors of several batches one after the other.

        Parameters
        ----------
        parts : sequence of Descriptors
            At least one.

        Returns
        -------
        Descriptors
            Of all their photographs.
        """
        return cls(*(np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(cls)))


def describe(thumbnails: np.ndarray) -> Descriptors:
    """Measure color and compute perceptual hashes.

    Parameters
    ----------
    thumbnails : (n, 64, 64, 3) ndarray of uint8
        The photographs in RGB, 0 to 255.

    Returns
    -------
    Descriptors
        Of n photographs.

    Notes
    -----
    The hash is pHash's (Zauner, "Implementation and benchmarking of perceptual image hash functions",
    2010), with 0 in place of the median as the threshold.
    """
    lab = rgb_to_lab(thumbnails)
    halved = _halve(lab[..., 0])
    terms = dctn(halved, axes=(1, 2), norm="ortho")[:, :8, :8].reshape(len(lab), 64)
    lightness = _halve(halved).reshape(len(lab), -1)
    lightness = lightness - lightness.mean(axis=1, keepdims=True)
    length = np.linalg.norm(lightness, axis=1, keepdims=True)
    return Descriptors(
        chroma=np.abs(lab[..., 1:]).max(axis=(1, 2, 3)),
        colorfulness=colorfulness(thumbnails),
        hash=terms[:, 1:] > 0,
        lightness=np.divide(lightness, length, out=np.zeros_like(lightness), where=length > 1e-3),
    )


def near_duplicates(descriptors: Descriptors, rows: np.ndarray, among: np.ndarray) -> np.ndarray:
    """Find photographs that are nearly the same as another, or as its mirror image.

    Two are, if their perceptual hashes differ in at most 10 of 63 bits and the correlation of their
    lightness at 16 x 16 pixels is at least 0.85.

    Parameters
    ----------
    descriptors : Descriptors
        Of all photographs.
    rows, among : (m,), (k,) ndarray of int
        Which photographs to find a near-duplicate of, and among which to look for it.

    Returns
    -------
    found : (m,) ndarray of int
        The one whose lightness correlates most, as an index into all photographs, or -1 if there is none.
    """
    found = np.full(len(rows), -1)
    if len(among) == 0:
        return found
    signs = np.where(descriptors.hash, np.float32(1), np.float32(-1))
    # Mirrored left to right, x becomes N - 1 - x, and cos(pi u (2x + 1) / 2N) becomes (-1)^u times itself:
    # the terms of odd horizontal frequency u change their signs. A row of the 8 x 8 terms has an even
    # length, so u is odd where the index is; index 0, the mean, is not in the hash.
    mirrored_signs = signs * np.where(np.arange(1, 64) % 2, np.float32(-1), np.float32(1))
    lightness = descriptors.lightness
    mirrored_lightness = lightness.reshape(-1, 16, 16)[:, :, ::-1].reshape(-1, 256)
    for start in range(0, len(rows), 1024):  # not all pairs at once: 13,000 photographs have many
        part = rows[start : start + 1024]
        best = np.zeros(len(part), np.float32)
        for hashes, views in ((signs, lightness), (mirrored_signs, mirrored_lightness)):
            differing = (63 - hashes[part] @ signs[among].T) / 2
            correlation = np.where(differing <= NEAR_BITS, views[part] @ lightness[among].T, 0)
            nearest = correlation.argmax(axis=1)
            value = correlation[np.arange(len(part)), nearest]
            better = (value >= NEAR_CORRELATION) & (value > best)
            found[start : start + 1024][better] = among[nearest[better]]
            best = np.maximum(best, value)
    return found


def split_by_content(checksums: Sequence[str]) -> list[str]:
    """Assign each photograph to a split by what it is, never by its name or its neighbors.

    A checksum read as a number from 0 to 1 decides: below 0.8 train, below 0.9 validation, else test.
    Where a small set leaves validation or test empty, the photograph with the largest number fills
    it. Adding photographs can therefore move one from test to train, and never from train to test.

    Parameters
    ----------
    checksums : sequence of str
        The sha256 of each file, in hexadecimal.

    Returns
    -------
    list of str
        'train', 'validation' or 'test' for each.
    """
    numbers = np.array([_number(each) for each in checksums])
    splits = np.array([_by_number(number) for number in numbers], dtype=object)
    for wanted, from_others in (("test", ("train", "validation")), ("validation", ("train",))):
        if wanted not in splits and np.isin(splits, from_others).any():
            splits[np.where(np.isin(splits, from_others), numbers, -1).argmax()] = wanted
    return splits.tolist()


def split_by_folder(names: Sequence[str], checksums: Sequence[str]) -> list[str]:
    """Assign photographs to the split whose folder they lie in, as the publisher of a source meant it.

    The folders are `train`, `val` or `validation`, and `test`. Where only one set is held out,
    whatever it is called, it is test, and validation is a tenth of `train`. A photograph in none
    of these folders is assigned by its content.

    Parameters
    ----------
    names : sequence of str
        Each photograph's name within the source; the first folder in it decides.
    checksums : sequence of str
        The sha256 of each file, read as a number from 0 to 1. The tenth is those of `train` at 0.9
        and above (or the one with the largest, if none is); elsewhere train is below 0.8,
        validation below 0.9, and the rest test.

    Returns
    -------
    list of str
        'train', 'validation' or 'test' for each.
    """
    numbers = np.array([_number(each) for each in checksums])
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


def split_to_learn(checksums: Sequence[str]) -> list[str]:
    """Assign photographs to train and validation alone.

    Parameters
    ----------
    checksums : sequence of str
        The sha256 of each file, read as a number from 0 to 1.

    Returns
    -------
    list of str
        'train' below 0.9, 'validation' from there on.
    """
    return ["train" if _number(each) < 0.9 else "validation" for each in checksums]


def set_aside(
    descriptors: Descriptors, names: Sequence[str], checksums: Sequence[str], splits: Sequence[str]
) -> dict[int, tuple[str, int]]:
    """Decide which photographs are set aside.

    A grey photograph (no a or b above 5) teaches grey: it is set aside from train, and kept in
    validation and test. A file met twice in one split is kept once, under its first name. A photograph
    that is the same or nearly the same as one in a later split (train before validation before test)
    is set aside from the earlier one, so that none straddles.

    Parameters
    ----------
    descriptors : Descriptors
        Of all photographs.
    names, checksums, splits : sequence of str
        The name of each file, its sha256, and its split.

    Returns
    -------
    dict of int to (str, int)
        For each index set aside: 'grey', 'duplicate' or 'near duplicate', and of which (-1 for grey).
    """
    splits = np.asarray(splits)
    aside: dict[int, tuple[str, int]] = {}
    kept: dict[str, int] = {}
    for split in reversed(SPLITS):
        for index in sorted(np.flatnonzero(splits == split).tolist(), key=lambda index: names[index]):
            if kept.setdefault(checksums[index], index) != index:
                aside[index] = ("duplicate", kept[checksums[index]])
    for index in np.flatnonzero((splits == "train") & (descriptors.chroma <= GREY)):
        aside.setdefault(int(index), ("grey", -1))
    for split, later in (("validation", ["test"]), ("train", ["validation", "test"])):
        rows = np.array([i for i in np.flatnonzero(splits == split) if i not in aside], dtype=int)
        found = near_duplicates(descriptors, rows, np.flatnonzero(np.isin(splits, later)))
        for index, other in zip(rows.tolist(), found.tolist(), strict=True):
            if other >= 0:
                aside[index] = ("near duplicate", other)
    return aside


def _number(sha256: str) -> float:
    return int(sha256[:13], 16) / 16**13


def _by_number(number: float) -> str:
    return "train" if number < 0.8 else "validation" if number < 0.9 else "test"


def _halve(planes: np.ndarray) -> np.ndarray:
    n, height, width = planes.shape
    return planes.reshape(n, height // 2, 2, width // 2, 2).mean(axis=(2, 4))
