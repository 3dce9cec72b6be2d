"""Keras without TensorFlow's messages, on the backend that was asked for, and repeatable."""

import importlib.util
import os
import subprocess
import sys

import pytest

from helpers.backend import quiet_descriptor

TRAIN = """
import hashlib
from helpers.backend import keras, repeatable

for _ in range(2):
    repeatable({seed})
    network = keras.Sequential(
        [keras.Input((16, 16, 1)), keras.layers.Conv2D(4, 3), keras.layers.Dropout(0.5), keras.layers.Flatten()]
    )
    network.add(keras.layers.Dense(1))
    network.compile("adam", "mse")
    random = __import__("numpy").random.random
    network.fit(random((20, 16, 16, 1)), random((20, 1)), epochs=2, batch_size=4, verbose=0)
    print(hashlib.sha256(b"".join(array.tobytes() for array in network.get_weights())).hexdigest())
"""


def python(code, **environment):
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("KERAS_", "TF_"))}
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=clean | environment
    )


# Messages --------------------------------------------------------------------------------------------


def test_what_a_descriptor_is_sent_disappears_and_only_meanwhile(capfd):
    os.write(2, b"before ")
    with quiet_descriptor():
        os.write(2, b"aside ")
        subprocess.run([sys.executable, "-c", "import os; os.write(2, b'child ')"], check=True)
    os.write(2, b"after")
    assert capfd.readouterr().err == "before after"


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_what_a_descriptor_was_sent_is_shown_if_the_block_fails(capfd, error):
    with pytest.raises(error), quiet_descriptor():
        os.write(2, b"the reason\n")
        raise error
    os.write(2, b"after")
    assert capfd.readouterr().err == "the reason\nafter"


def test_another_descriptor_can_be_turned_aside(capfd):
    with quiet_descriptor(1):
        os.write(1, b"out")
        os.write(2, b"error")
    assert capfd.readouterr() == ("", "error")


def test_no_descriptor_is_left_open():
    os.close(before := os.dup(2))
    with pytest.raises(ValueError), quiet_descriptor():
        raise ValueError
    os.close(after := os.dup(2))
    assert after == before


def test_keras_loads_without_a_word():
    ended = python("from helpers.backend import keras; keras.layers.Dense(2)(keras.ops.ones((1, 3)))")
    assert (ended.stdout, ended.stderr) == ("", "")


# The backend and the seed ----------------------------------------------------------------------------


@pytest.mark.parametrize("backend", ["tensorflow", "jax", "torch"])
def test_the_backend_is_the_one_that_was_asked_for(backend):
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed")
    asked = "from helpers.backend import keras; print(keras.backend.backend())"
    assert python(asked, KERAS_BACKEND=backend).stdout.strip() == backend
    if backend == "tensorflow":
        assert python(asked).stdout.strip() == backend


def test_one_seed_gives_the_same_weights_to_the_last_bit():
    first, second = (python(TRAIN.format(seed=seed)).stdout.split() for seed in (0, 1))
    assert first[0] == first[1]
    assert second[0] == second[1]
    assert first[0] != second[0]
