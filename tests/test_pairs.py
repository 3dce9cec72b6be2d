"""The same photographs at two sizes."""

import dataclasses

import numpy as np
import pytest

from helpers import pairs, profiles
from helpers.lab import rgb_to_lab
from helpers.photographs import load

LESSON = dataclasses.replace(profiles.PROFILES["tiny"], size=16, test_size=32)


@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_a_pair_is_the_split_as_it_is_seen_and_as_it_is_shown(split):
    pair = pairs.load(LESSON, split)
    seen, shown = (getattr(load("sample", size), split) for size in (16, 32))
    assert len(pair) == len(seen)
    assert pair.seen.names == pair.shown.names == seen.names
    np.testing.assert_array_equal(pair.truth, shown.rgb)
    np.testing.assert_allclose(pair.L, rgb_to_lab(seen.rgb)[..., :1] / 100)


def test_the_first_can_be_taken():
    """At both sizes the same ones."""
    everything = pairs.load(LESSON, "test")
    few = pairs.load(LESSON, "test", 4)
    assert few.seen.names == few.shown.names == everything.seen.names[:4]
    assert len(few.truth) == len(few.L) == 4


def test_a_network_can_see_another_size_than_the_lessons():
    pair = pairs.load(LESSON, "test", size=8)
    assert pair.L.shape[1:] == (8, 8, 1)
    assert pair.truth.shape[1:] == (32, 32, 3)
