"""The exercises of lesson 2: ranges, colors and contrast."""

import numpy as np

from helpers.exercises.answers import Answer, Hint, array, exercise, near, picture
from helpers.lab import colorfulness, denormalize, lab_to_rgb, normalize, rgb_to_lab, to_uint8


@exercise("2.1", "L times 100 and ab times 128 are CIELAB's own units, which `lab_to_rgb` takes")
def picture_from_lab(answer: Answer) -> None:
    """Three pictures, within one level of 255."""
    for seed in range(3):
        L, ab = normalize(rgb_to_lab(picture(seed)))
        expected = to_uint8(lab_to_rgb(denormalize(L, ab))).astype(int)
        found = array(answer(L, ab), expected.shape)
        if found.max() <= 1:
            raise Hint("the values end at 1: multiply by 255, round, and convert to uint8")
        if near(found, expected, 1):
            array(answer(L, ab), dtype="uint8")
            continue
        if found.mean() < expected.mean() / 4:
            raise Hint("nearly black: L goes from 0 to 100 in CIELAB")
        ratio = float(np.mean(colorfulness(_levels(found)) / colorfulness(_levels(expected))))
        if ratio < 0.3:
            raise Hint(f"the colorfulness is {ratio:.1f} times the true one: ab needs × 128")
        raise Hint(f"a pixel is wrong by {np.abs(found - expected).max():.0f} levels")


def _levels(numbers: np.ndarray) -> np.ndarray:
    return np.clip(numbers, 0, 255).astype("uint8")


@exercise("2.2", "the type tells the range, and what fits neither is refused instead of guessed")
def to_unit_range(answer: Answer) -> None:
    """uint8, dark uint8, floats of 0 to 1, and floats of 0 to 255, which must be refused."""
    rgb = picture(0)
    for whole in ((rgb * 255).astype("uint8"), np.ones((4, 5, 3), "uint8")):
        found = array(answer(whole), whole.shape)
        if not near(found, whole / 255, 1e-3):
            raise Hint(
                f"uint8 up to {whole.max()} became at most {found.max():.3f}, not {whole.max() / 255:.3f}"
            )
    found = array(answer(rgb), rgb.shape)
    if not near(found, rgb, 1e-5):
        raise Hint(f"floats from 0 to 1 are right already; your maximum is {found.max():.3f}")
    try:
        answer.run(rgb * 255)
    except ValueError:
        return
    except Exception as error:
        raise Hint(f"raise a ValueError for floats up to 255, not a {type(error).__name__}") from None
    raise Hint("floats up to 255 must be refused with a ValueError: nobody knows what they are")


@exercise("2.3", "two percent at either end may be cut off, so a few odd pixels decide nothing")
def stretch(answer: Answer) -> None:
    """Against scikit-image, with and without one hot pixel."""
    from skimage.exposure import rescale_intensity

    L = 0.3 + 0.3 * picture(3)[..., 0]
    hot = L.copy()
    hot[0, 0], hot[0, 1] = 1, 0
    for plane in (hot, L):
        low, high = np.percentile(plane, (2, 98))
        expected = rescale_intensity(plane, in_range=(low, high), out_range=(0, 1))
        found = array(answer(plane), L.shape)
        if near(found, expected, 1e-3):
            continue
        if near(found, (plane - plane.min()) / np.ptp(plane), 1e-3):
            raise Hint("minimum and maximum: one pixel decides about all others; take percentiles")
        if found.min() < 0 or found.max() > 1:
            raise Hint("values outside of 0 to 1: clip what lies beyond the percentiles")
        raise Hint("the 2nd percentile becomes 0, the 98th becomes 1")


@exercise("2.4", "the share of darker pixels rises with L and is spread evenly")
def equalize(answer: Answer) -> None:
    """Ask that a dark plane becomes flat, and keeps its order."""
    L = picture(4)[..., 1] ** 3
    found = array(answer(L), L.shape)
    rising = found.ravel()[np.argsort(L.ravel(), kind="stable")]
    if (np.diff(rising) < -1e-6).any():
        raise Hint("the order is lost: a brighter pixel became darker; sum the histogram up")
    if found.min() < 0 or found.max() > 1 + 1e-6:
        raise Hint(
            f"the result goes from {found.min():.2f} to {found.max():.2f}: divide by the number of pixels"
        )
    shares = np.histogram(found, 8, (0, 1))[0] / L.size
    if not near(shares, 1 / 8, 0.04):
        raise Hint(f"not flat: an eighth of the range holds {shares.max():.0%} of the pixels, not 12%")


@exercise("2.5", "the contrast of L may change, and the colors to predict stay what they were")
def augment(answer: Answer) -> None:
    """Ab as it was, L changed."""
    rgb = picture(5) * 0.5 + 0.2
    L, ab = normalize(rgb_to_lab(rgb))
    result = answer(rgb)
    if not isinstance(result, tuple | list) or len(result) != 2:
        raise Hint("return two arrays: the changed L, and ab")
    new_L, new_ab = array(result[0], L.shape), array(result[1], ab.shape)
    moved = float(np.linalg.norm((new_ab - ab) * 128, axis=-1).mean())
    if moved > 0.1:
        raise Hint(f"ab moved by {moved:.1f}: take it from the photograph before you change L")
    if near(new_L, L, 0.01):
        raise Hint("L is what it was: nothing was augmented")
    if new_L.min() < -1e-6 or new_L.max() > 1 + 1e-6:
        raise Hint("L must stay between 0 and 1")
