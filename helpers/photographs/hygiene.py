"""Which photographs may teach: the grey, the weakly colored, and the duplicates.

Every decision is made on a thumbnail of 64 pixels a side, so that it is the same
whatever size the photographs are prepared at.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
from scipy.fft import dctn

from helpers.lab import colorfulness, rgb_to_lab
from helpers.photographs.splits import SPLITS

THUMBNAIL = 64
GREY = 5.0
WEAK = 15.0

# Chosen on 300 photographs of imagenette2 and 11 changed versions of each (re-encoded, reduced,
# brighter, more contrast, more saturated, grey, marked, cropped by 2 % ...): at these bounds 97 % and
# more of each kind are found, and 3 of the 90 million pairs of different photographs are taken for one.
NEAR_BITS = 10
NEAR_CORRELATION = 0.85
_PAIRS = 2**18  # of photographs that are compared at one time: 2 MB


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
        L at 16 x 16 pixels, its mean removed, of length 1 (0 for a plain area). It may be mapped into memory.
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
    bits = _packed(descriptors.hash)
    # Mirrored left to right, x becomes N - 1 - x, and cos(pi u (2x + 1) / 2N) becomes (-1)^u times itself:
    # the terms of odd horizontal frequency u change their signs. A row of the 8 x 8 terms has an even
    # length, so u is odd where the index is; index 0, the mean, is not in the hash.
    mirror = _packed(np.arange(1, 64)[None] % 2 == 1)
    at_once = max(1, _PAIRS // len(among))  # not all pairs: their number grows with the square
    for start in range(0, len(rows), at_once):
        part = rows[start : start + at_once]
        best = np.zeros(len(part), np.float32)
        for hashes, view in ((bits[part], np.s_[:, :, :]), (bits[part] ^ mirror, np.s_[:, :, ::-1])):
            alike = np.bitwise_count(hashes[:, None] ^ bits[among]) <= NEAR_BITS
            # The lightness is looked at where a hash is alike alone: that spares nearly all of the work.
            i, j = alike.any(axis=1).nonzero()[0], alike.any(axis=0).nonzero()[0]
            if len(i) == 0:
                continue
            mine = descriptors.lightness[part[i]].reshape(-1, 16, 16)[view].reshape(-1, 256)
            correlation = np.where(alike[np.ix_(i, j)], mine @ descriptors.lightness[among[j]].T, 0)
            nearest = correlation.argmax(axis=1)
            value = correlation[np.arange(len(i)), nearest]
            better = (value >= NEAR_CORRELATION) & (value > best[i])
            found[start + i[better]] = among[j[nearest[better]]]
            best[i] = np.maximum(best[i], value)
    return found


def set_aside(
    descriptors: Descriptors,
    names: Sequence[str],
    checksums: Sequence[str],
    splits: Sequence[str],
    near: bool = True,
) -> dict[int, tuple[str, int]]:
    """Decide which photographs are set aside.

    A grey photograph (no a or b above 5) has no color to learn from, to choose by or to judge by. A file
    met twice in one split is kept once, under its first name. A photograph that is the same or nearly the
    same as one in a later split (train before validation before test) is set aside from the earlier one,
    so that none straddles.

    Parameters
    ----------
    descriptors : Descriptors
        Of all photographs.
    names, checksums, splits : sequence of str
        The name of each file, its sha256, and its split.
    near : bool
        Whether what is nearly the same is set aside, or the same files alone.

    Returns
    -------
    dict of int to (str, int)
        For each index set aside: 'grey', 'duplicate' or 'near duplicate', and of which (-1 for grey).
    """
    splits = np.asarray(splits)
    colored = descriptors.chroma > GREY
    aside = {int(index): ("grey", -1) for index in np.flatnonzero(~colored)}
    kept: dict[str, int] = {}
    for split in reversed(SPLITS):
        for index in sorted(np.flatnonzero(splits == split).tolist(), key=lambda index: names[index]):
            if index not in aside and kept.setdefault(checksums[index], index) != index:
                aside[index] = ("duplicate", kept[checksums[index]])
    for split, later in (("validation", ["test"]), ("train", ["validation", "test"])) if near else ():
        rows = np.array([i for i in np.flatnonzero(splits == split) if i not in aside], dtype=int)
        found = near_duplicates(descriptors, rows, np.flatnonzero(np.isin(splits, later) & colored))
        for index, other in zip(rows.tolist(), found.tolist(), strict=True):
            if other >= 0:
                aside[index] = ("near duplicate", other)
    return aside


def _packed(hashes: np.ndarray) -> np.ndarray:
    """Put the 63 bits of each hash into one number: (n, 63) of bool become (n,) of uint64."""
    return np.packbits(np.pad(hashes, ((0, 0), (0, 1))), axis=1).view(np.uint64)[:, 0]


def _halve(planes: np.ndarray) -> np.ndarray:
    n, height, width = planes.shape
    return planes.reshape(n, height // 2, 2, width // 2, 2).mean(axis=(2, 4))
