"""Colorings: the given colors over the photograph's own lightness, and the answers that need no network."""

import subprocess
import sys

import numpy as np
import pytest
from PIL import Image, ImageOps

from helpers import colorings, lab
from helpers.errors import CourseError
from helpers.places import SAMPLE

pytestmark = pytest.mark.quick


@pytest.fixture(scope="module")
def photographs():
    files = sorted(SAMPLE.glob("*.jpg"))[:10]
    return np.stack([ImageOps.fit(Image.open(file).convert("RGB"), (96, 96)) for file in files])


@pytest.fixture(scope="module")
def true_ab(photographs):
    return lab.rgb_to_lab(photographs)[..., 1:]


def plain(*pixels, side=16):
    """Photographs of one color each."""
    return np.stack([np.full((side, side, 3), pixel, np.uint8) for pixel in pixels])


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: colorings.recolor(plain(0, 0), np.zeros((1, 4, 4, 2))), "2 photographs but 1"),
        (lambda: colorings.recolor(plain(0), np.zeros((1, 4, 4, 3))), "ab must be of shape"),
        (lambda: colorings.recolor(plain(0)[0], np.full((16, 16, 2), np.nan)), "NaN"),
        (lambda: colorings.recolor(plain(0)[0] / 255, np.zeros((4, 4, 2))), "must be uint8"),
        (lambda: colorings.mean_ab([]), "no photograph"),
        (lambda: colorings.shuffled(plain(0)), "at least two"),
    ],
)
def test_bad_input_is_named_in_one_line(call, says):
    with pytest.raises(CourseError, match=says) as error:
        call()
    assert "\n" not in str(error.value)


def test_recolor_keeps_the_lightness_and_takes_the_color(photographs, true_ab):
    np.testing.assert_array_equal(colorings.recolor(photographs, true_ab), photographs)
    colored = lab.rgb_to_lab(colorings.recolor(photographs, true_ab * 0.5))
    truth = lab.rgb_to_lab(photographs)
    # Half the distance to grey stays among the colors of a screen: rounding alone moves L and ab.
    assert np.abs(colored[..., 0] - truth[..., 0]).mean() < 0.15
    assert np.abs(colored[..., 1:] - truth[..., 1:] * 0.5).mean() < 0.35


def test_recolor_takes_one_photograph_or_many(photographs, true_ab):
    ab = true_ab[:2] * 0.5
    many = colorings.recolor(photographs[:2], ab)
    np.testing.assert_array_equal(colorings.recolor(photographs[1], ab[1]), many[1])
    np.testing.assert_array_equal(colorings.recolor(list(photographs[:2]), list(ab)), many)
    np.testing.assert_array_equal(colorings.grey(photographs[1]), colorings.grey(photographs[:2])[1])


def test_recolor_upsamples_bilinearly():
    ramp = np.zeros((4, 4, 2), np.float32)
    ramp[..., 0] = [-30, -10, 10, 30]
    a = lab.rgb_to_lab(colorings.recolor(plain((128, 128, 128), side=32)[0], ramp))[..., 1]
    # Pixels lie at the middle of their squares: the first known value is that of column 3.5.
    expected = np.interp(np.arange(32), [3.5, 11.5, 19.5, 27.5], [-30, -10, 10, 30])
    np.testing.assert_allclose(a, np.tile(expected, (32, 1)), atol=0.7)


@pytest.mark.parametrize("count", [2, 3, 8])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_shuffled_gives_each_photograph_the_color_of_another(count, seed):
    """Equally light colors, so that a photograph turns into the one whose color it gets."""
    angles = np.arange(count) * 2 * np.pi / count
    pixels = np.stack([np.full(count, 60), 25 * np.cos(angles), 25 * np.sin(angles)], axis=-1)
    rgb = plain(*lab.to_uint8(lab.lab_to_rgb(pixels)))
    colored = lab.rgb_to_lab(colorings.shuffled(rgb, seed))[:, 0, 0, 1:]
    donors = np.linalg.norm(colored[:, None] - pixels[None, :, 1:], axis=-1).argmin(axis=1)
    assert sorted(donors) == list(range(count))
    assert (donors != np.arange(count)).all()


def test_shuffled_repeats_with_its_seed_alone(photographs):
    np.testing.assert_array_equal(colorings.shuffled(photographs, 5), colorings.shuffled(photographs, 5))
    assert (colorings.shuffled(photographs, 5) != colorings.shuffled(photographs, 6)).any()


def test_one_color_is_the_same_on_every_lightness():
    rgb = [np.random.default_rng(0).integers(90, 160, (16, 20, 3)).astype(np.uint8), plain((128, 60, 60))[0]]
    for before, after in zip(rgb, colorings.one_color(rgb, (7, -12)), strict=True):
        colored = lab.rgb_to_lab(after)
        np.testing.assert_allclose(colored[..., 0], lab.rgb_to_lab(before)[..., 0], atol=0.5)
        np.testing.assert_allclose(colored[..., 1:].mean(axis=(0, 1)), (7, -12), atol=0.5)


def test_the_mean_color_weighs_photographs_alike():
    red, blue = plain((200, 90, 60), side=8)[0], plain((60, 90, 200), side=32)[0]
    expected = (lab.rgb_to_lab(red)[0, 0, 1:] + lab.rgb_to_lab(blue)[0, 0, 1:]) / 2
    np.testing.assert_allclose(colorings.mean_ab([red, blue]), expected, atol=1e-4)


def test_the_trivial_answers_are_grey_one_color_and_a_strangers(photographs):
    answers = colorings.trivial(photographs[:4], photographs[4:], seed=2)
    mean = colorings.mean_ab(photographs[4:])
    expected = {
        "grey": colorings.grey(photographs[:4]),
        "mean color": colorings.one_color(photographs[:4], mean),
        "another's color": colorings.shuffled(photographs[:4], 2),
    }
    assert list(answers) == list(expected)
    for name, pictures in expected.items():
        np.testing.assert_array_equal(answers[name], pictures)


def test_scaling_multiplies_the_colors(photographs, true_ab):
    np.testing.assert_array_equal(
        colorings.scaled(photographs, true_ab, 0.5), colorings.recolor(photographs, true_ab * 0.5)
    )


def test_no_keras_is_loaded():
    code = "import sys, helpers.colorings; sys.exit('keras' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
