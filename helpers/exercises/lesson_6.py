"""The exercises of lesson 6: intervals, choices, and a file in color."""

import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

from helpers.exercises.answers import Answer, Hint, array, exercise, number, picture
from helpers.lab import rgb_to_lab


@exercise("6.1", "a hard photograph is hard for both, so the differences vary much less than the scores")
def paired_interval(answer: Answer) -> None:
    """Scores that vary much, differences that vary little."""
    chance = np.random.default_rng(0)
    hard = chance.normal(10, 4, 200)
    first = hard + chance.normal(0, 0.5, 200)
    second = hard + 0.3 + chance.normal(0, 0.5, 200)
    difference = first - second
    half = 1.96 * difference.std() / np.sqrt(200)
    low, high = array(answer(first, second), (2,))
    if low > high:
        raise Hint("the low end comes first")
    if low > 0 and abs((low + high) / 2 + difference.mean()) < half:
        raise Hint("the sign: it is the first less the second")
    if abs((high - low) / 2 - 1.96 * difference.std()) < 0.25 * difference.std():
        raise Hint("that is how much single photographs vary: you want the interval of their mean")
    if high - low > 3 * half:
        raise Hint("too wide: resample photographs, not scores; each draw takes both scores of a photograph")
    if max(abs(low - difference.mean() + half), abs(high - difference.mean() - half)) > 0.25 * half:
        raise Hint("take the 2.5th and the 97.5th percentile of the means of many draws")


class _Split:
    """Photographs that note whether anybody looks at them."""

    def __init__(self, seed: int, factor: float):
        chance = np.random.default_rng(seed)
        self._ab = chance.normal(size=(4, 5, 5, 2))
        self._truth = factor * self._ab + chance.normal(0, 0.1, self._ab.shape)
        self.seen = False

    def __deepcopy__(self, memo: dict) -> "_Split":
        return self  # a copy would look, and what it saw would be lost

    @property
    def ab(self) -> np.ndarray:
        self.seen = True
        return self._ab.copy()

    @property
    def truth(self) -> np.ndarray:
        self.seen = True
        return self._truth.copy()


@exercise("6.2", "what is chosen on validation photographs can be judged on test photographs, once")
def fit_factor(answer: Answer) -> None:
    """Compare with the best factor by squared error, and see who looks at the test photographs."""
    validation, test = _Split(0, 1.6), _Split(1, 0.7)
    found = number(answer(validation, test))
    if test.seen:
        raise Hint("you looked: the test photographs judge, they do not choose")
    truth, ab = validation.truth, validation.ab
    best = float((truth * ab).sum() / (ab**2).sum())
    if abs(found * best - 1) < 0.05:
        raise Hint("upside down: the factor multiplies the predicted ab")
    if abs(found - best) > 0.02:
        raise Hint(f"another factor than {found:.2f} has a smaller squared error")


@exercise("6.3", "the lightness stays at full size, and only the colors are enlarged")
def color_file(answer: Answer) -> None:
    """Give it a color picture of odd size, one with transparency, and a grey one."""
    fine = np.random.default_rng(0).uniform(0.2, 0.8, (75, 101, 1)).astype("float32").repeat(3, axis=-1)
    rgb = Image.fromarray(((0.5 * fine + 0.5 * picture(1, 75, 101)) * 255).astype("uint8"))
    seen = []

    def predict(L: object) -> np.ndarray:
        seen.append(array(L))
        if seen[-1].shape != (1, 64, 64, 1):
            raise ValueError(f"expected L of shape (1, 64, 64, 1), got {seen[-1].shape}")
        return np.full((1, 64, 64, 2), [0.06, 0.08], "float32")

    with tempfile.TemporaryDirectory() as folder:
        for mode in ("RGB", "RGBA", "L"):
            path = Path(folder) / f"{mode}.png"
            given = rgb.convert(mode)
            given.save(path)
            try:
                found = answer(path, predict)
            except Hint as hint:
                raise Hint(f"for a file in mode {mode}, {hint}") from None
            found = array(found, (75, 101, 3), "uint8")
            if not seen or seen[-1].max() > 1.001 or seen[-1].max() < 0.1:
                raise Hint("the network takes L from 0 to 1")
            before, after = (
                rgb_to_lab(np.asarray(each) / np.float32(255)) for each in (given.convert("RGB"), found)
            )
            if (off := float(np.abs(before[..., 0] - after[..., 0]).mean())) > 1:
                raise Hint(
                    f"L is off by {off:.0f} units, edges are lost: enlarge ab, and keep the file's own L"
                )
            if float(np.abs(after[..., 1:] - [7.68, 10.24]).mean()) > 2:
                raise Hint("the colors are not those of the network: did you multiply ab by 128?")
