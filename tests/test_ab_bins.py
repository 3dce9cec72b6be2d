"""The bins of ab: all colors of sRGB, and one color from a distribution over them."""

import numpy as np
import pytest

from helpers import ab_bins
from helpers.backend import keras
from helpers.lab import rgb_to_lab


def test_every_color_of_srgb_lies_in_a_bin():
    rgb = np.random.default_rng(0).integers(0, 256, (20_000, 3), np.uint8)
    nearest = np.rint(rgb_to_lab(rgb)[:, 1:] / ab_bins.WIDTH) * ab_bins.WIDTH
    known = {tuple(each) for each in ab_bins.centers()}
    missing = [each for each in map(tuple, nearest) if each not in known]
    assert len(missing) < 0.001 * len(rgb)


def test_bins_are_apart_and_hold_a_color():
    centers = ab_bins.centers()
    assert centers.dtype == np.float32
    assert len(np.unique(centers, axis=0)) == len(centers)
    assert not (centers % ab_bins.WIDTH).any()
    assert (0, 0) in {tuple(each) for each in centers}
    assert centers.min() >= -110
    assert centers.max() <= 100


@pytest.mark.parametrize("temperature", [0.1, 0.38, 1.0])
def test_one_likely_bin_is_the_annealed_mean(temperature):
    logits = np.full((2, len(ab_bins.centers())), -50, np.float32)
    logits[0, 7], logits[1, 99] = 50, 50
    found = keras.ops.convert_to_numpy(ab_bins.annealed_mean(logits, temperature))
    assert np.allclose(found, ab_bins.centers()[[7, 99]], atol=1e-3)


def test_a_low_temperature_sharpens():
    """Of two colors, one somewhat likelier, the mean lies between them, and moves toward the likelier."""
    centers = ab_bins.centers()
    logits = np.full(len(centers), -50, np.float32)
    logits[3], logits[200] = 1.0, 0.5
    path = [keras.ops.convert_to_numpy(ab_bins.annealed_mean(logits, t)) for t in (1.0, 0.38, 0.05)]
    away = [np.linalg.norm(each - centers[3]) for each in path]
    assert away[0] > away[1] > away[2]
    share = np.exp(1.0) / (np.exp(1.0) + np.exp(0.5))
    assert np.allclose(path[0], share * centers[3] + (1 - share) * centers[200], atol=1e-3)
