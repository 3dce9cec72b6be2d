"""Many photographs at once, in order, and never more in hand than are worked on soon."""

import os
from threading import Barrier, Thread

import pytest

from helpers.threads import on_threads

pytestmark = pytest.mark.quick


def test_results_are_in_order_up_to_the_end_of_the_shortest():
    assert on_threads(lambda a, b: (a, b), range(3000), iter("ab" * 1100)) == list(
        zip(range(2200), "ab" * 1100, strict=True)
    )
    assert on_threads(abs, []) == []


def test_an_error_is_the_caller_s():
    with pytest.raises(ZeroDivisionError):
        on_threads(lambda number: 1 / number, range(-5, 5))


def test_no_thread_is_started_once_they_are_there(monkeypatch):
    """Where memory has run out, Python waits for a new one forever."""
    everyone = Barrier(os.cpu_count())
    on_threads(lambda _: everyone.wait(60), range(os.cpu_count()))

    def start(thread):
        raise AssertionError("a thread was started")

    monkeypatch.setattr(Thread, "start", start)
    assert on_threads(abs, range(-2000, 0)) == list(range(2000, 0, -1))


def test_few_calls_are_waiting():
    """A call that waits takes memory; so 5,000 photographs are not all handed over at once."""
    taken, waiting = [], []

    def numbers():
        for number in range(5000):
            taken.append(number)
            yield number

    on_threads(lambda number: waiting.append(len(taken) - number), numbers())
    assert len(taken) == 5000
    assert max(waiting) <= 1024
