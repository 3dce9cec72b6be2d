"""Photographs twice: small, as the networks see them, and large, as they are shown and measured."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from helpers import photographs
from helpers.lab import normalize, rgb_to_lab
from helpers.photographs import Photographs
from helpers.profiles import Profile


@dataclass(frozen=True, eq=False)
class Pair:
    """The same photographs at two sizes.

    Attributes
    ----------
    seen : Photographs
        At the size that networks see.
    shown : Photographs
        At the size that results are shown and measured at.
    """

    seen: Photographs
    shown: Photographs

    def __len__(self) -> int:
        return len(self.seen)

    @cached_property
    def L(self) -> np.ndarray:
        """What a network is given: (n, size, size, 1) float32 in 0..1."""
        return normalize(rgb_to_lab(self.seen.rgb))[0]

    @property
    def truth(self) -> np.ndarray:
        """What a coloring is judged by: (n, test_size, test_size, 3) uint8."""
        return self.shown.rgb


def load(lesson: Profile, split: str, most: int | None = None, size: int | None = None) -> Pair:
    """Open the photographs of a split at both sizes.

    Parameters
    ----------
    lesson : Profile
        Says which photographs, and the two sizes.
    split : {"train", "validation", "test"}
        Which of them.
    most : int, optional
        Take the first, at most so many; all if not given.
    size : int, optional
        The size that the network sees, if it is not the lesson's.

    Returns
    -------
    Pair
        In the same order at both sizes.

    Raises
    ------
    CourseError
        As from `helpers.photographs.load`.
    """
    sides = (size or lesson.size, lesson.test_size)
    return Pair(*(getattr(photographs.load(lesson.photos, side), split)[:most] for side in sides))
