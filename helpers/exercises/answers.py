"""What every exercise is made of: a learner's function, called with care, and hints."""

import copy
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

LONGEST = 160


class Hint(Exception):  # noqa: N818, it is no error of the course
    """What to say to a learner whose answer is not right yet."""


class NotWritten(Exception):  # noqa: N818
    """The answer is the stub that came with the lesson."""


@dataclass(frozen=True)
class Exercise:
    """An exercise that can be checked.

    Attributes
    ----------
    probe : callable
        Takes an `Answer`, and raises `Hint` if it is not right.
    why : str
        One sentence: why a right answer is right.
    """

    probe: Callable[["Answer"], None]
    why: str


EXERCISES: dict[str, Exercise] = {}


def exercise(number: str, why: str) -> Callable:
    """Register a probe as that of an exercise.

    Parameters
    ----------
    number : str
        Such as "2.4": the fourth exercise of lesson 2.
    why : str
        What `check` says of a right answer.

    Returns
    -------
    callable
        The decorator.
    """

    def register(probe: Callable[["Answer"], None]) -> Callable[["Answer"], None]:
        EXERCISES[number] = Exercise(probe, why)
        return probe

    return register


class Answer:
    """A learner's function: it gets copies, and its mistakes become hints.

    Parameters
    ----------
    given : object
        What the learner has handed in.
    """

    def __init__(self, given: object):
        self.given = given
        self._answered = False

    def __call__(self, *values: object) -> object:
        """Call the function with copies of some values, and return what it gives.

        Raises
        ------
        NotWritten
            If it gives None the first time.
        Hint
            If it raises, or gives None later on.
        """
        try:
            result = self.run(*values)
        except (Hint, NotWritten):
            raise
        except (Exception, SystemExit) as error:
            raise Hint(f"your function raised {described(error)}") from None
        if result is None and not self._answered:
            raise NotWritten
        if result is None:
            raise Hint(
                "your function returns None for some inputs: does each way through it end in `return`?"
            )
        self._answered = True
        return result

    def run(self, *values: object) -> object:
        """Call the function with copies of some values, and let its errors pass.

        Raises
        ------
        Hint
            If it is no function.
        """
        if self.given is None:
            raise NotWritten
        if not callable(self.given):
            raise Hint(f"give check the function itself, not a {type(self.given).__name__}")
        return self.given(*(value if callable(value) else copy.deepcopy(value) for value in values))


def described(error: BaseException) -> str:
    """Say the type and the message of an error in one short line."""
    try:
        message = " ".join(str(error).split())
    except Exception:
        message = ""
    if len(message) > LONGEST:
        message = message[:LONGEST] + "…"
    return f"{type(error).__name__}: {message}" if message else type(error).__name__


def array(value: object, shape: tuple[int, ...] | None = None, dtype: str | None = None) -> np.ndarray:
    """Read a learner's result as an array of finite numbers.

    Parameters
    ----------
    value : object
        An array, a tensor of any backend or a number.
    shape : tuple of int, optional
        The shape that it must have.
    dtype : str, optional
        The type that it must have, such as "uint8".

    Returns
    -------
    np.ndarray
        The numbers; float64 unless `dtype` is given.

    Raises
    ------
    Hint
        If it is no array of numbers, has another shape or type, or holds NaN or infinity.
    """
    try:
        if hasattr(value, "detach"):  # PyTorch
            value = value.detach().cpu()
        found = np.asarray(value)
        numbers = found.astype("float64")
    except Exception:
        raise Hint(f"expected numbers, got a {type(value).__name__}") from None
    if shape is not None and found.shape != shape:
        raise Hint(f"expected the shape {shape}, got {found.shape}")
    if not np.isfinite(numbers).all():
        raise Hint("the result holds NaN or infinity")
    if dtype is not None and found.dtype != dtype:
        raise Hint(f"expected {dtype}, got {found.dtype}")
    return numbers if dtype is None else found


def number(value: object) -> float:
    """Read a learner's result as one finite number; raise `Hint` if it is none."""
    return float(array(value, ()))


def near(found: object, expected: object, tolerance: float) -> bool:
    """Tell whether numbers differ by at most a tolerance everywhere."""
    return bool(np.abs(np.asarray(found) - np.asarray(expected)).max() <= tolerance)


def picture(seed: int, height: int = 48, width: int = 64) -> np.ndarray:
    """Make a smooth picture with some colors, the same for each seed.

    Returns
    -------
    np.ndarray
        float32 of shape (height, width, 3), sRGB from 0.1 to 0.9.
    """
    from skimage.transform import resize

    coarse = np.random.default_rng(seed).uniform(0.1, 0.9, (5, 6, 3))
    return resize(coarse, (height, width), order=1).astype("float32")
