"""The last thing that the check of a machine does: a training."""

import pytest

from helpers import doctor
from helpers.backend import keras


@pytest.fixture(autouse=True)
def short(monkeypatch):
    monkeypatch.setattr(doctor, "SECONDS", 0.5)


def test_a_network_that_learns_is_fine():
    (finding,) = doctor._training()
    assert finding.status == doctor.OK
    assert "photographs a second" in finding.text


@pytest.mark.parametrize("rate", [0.0, float("nan")])
def test_one_that_does_not_learn_is_a_problem(rate, monkeypatch):
    """A rate of 0 stands for a backend that changes nothing, NaN for one that computes nonsense."""
    adam = keras.optimizers.Adam
    monkeypatch.setattr(keras.optimizers, "Adam", lambda _: adam(rate))
    (finding,) = doctor._training()
    assert finding.status == doctor.PROBLEM
    assert finding.advice
