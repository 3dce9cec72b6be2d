"""Exercises that check themselves: `check("2.4", answer)` says what is wrong, or why it is right."""

from helpers.exercises.grading import check

__all__ = ["check"]
