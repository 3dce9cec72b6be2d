"""Judge a learner's answer, without ever raising and without touching anything random of the lesson."""

import importlib
import random
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from io import StringIO
from typing import NamedTuple

import numpy as np

from helpers.exercises.answers import EXERCISES, Answer, Hint, NotWritten, described

NOT_WRITTEN = "not written yet"
LESSONS = range(1, 7)


class Verdict(NamedTuple):
    """What is to be said of an answer: whether it is right, and a sentence."""

    solved: bool
    message: str


def check(number: str, answer: object) -> None:
    """Print whether an answer to an exercise is right; never raises.

    Parameters
    ----------
    number : str
        The exercise, such as "2.4".
    answer : callable
        The learner's function.
    """
    verdict = grade(number, answer)
    print(f"{'✔ ' if verdict.solved else ''}{number}: {verdict.message}")


def numbers() -> list[str]:
    """List the exercises' numbers, in the order of the course."""
    for lesson in LESSONS:
        _load(lesson)
    return sorted(EXERCISES)


def grade(number: str, answer: object) -> Verdict:
    """Judge an answer to an exercise.

    Parameters
    ----------
    number : str
        The exercise, such as "2.4".
    answer : object
        The learner's function, or whatever stands in its place.

    Returns
    -------
    Verdict
        Right or not, and why.
    """
    if not isinstance(number, str) or number not in numbers():
        return Verdict(False, f"there is no exercise {number!r}; they are {', '.join(numbers())}")
    exercise = EXERCISES[number]
    try:
        with _undisturbed():
            exercise.probe(Answer(answer))
    except NotWritten:
        return Verdict(False, NOT_WRITTEN)
    except Hint as hint:
        return Verdict(False, str(hint))
    except Exception as error:
        # The answer gives something that no probe foresaw.
        return Verdict(False, f"what your function gives cannot be checked: {described(error)}")
    return Verdict(True, exercise.why)


def _load(lesson: int) -> None:
    importlib.import_module(f"helpers.exercises.lesson_{lesson}")


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Give back the random states that the lesson had, and keep the answer's words and warnings away."""
    states = random.getstate(), np.random.get_state()
    random.seed(0)
    np.random.seed(0)
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"), redirect_stdout(StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])
