"""Keras without TensorFlow's messages, on the backend that was asked for, and repeatable."""

import importlib.util
import os
import subprocess
import sys

import pytest

from helpers.backend import quiet_descriptor

TRAIN = """
import hashlib
from helpers.backend import keras, set_seed

for seed in (0, 0, 1):
    set_seed(seed)
    network = keras.Sequential([keras.Input((16, 16, 1)), keras.layers.Conv2D(4, 3)])
    network.add(keras.layers.Dropout(0.5))
    network.add(keras.layers.Flatten())
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


def test_keras_loads_without_a_word_and_on_tensorflow_unless_told():
    ended = python("from helpers.backend import keras; print(keras.ops.ones(2) + 1, keras.backend.backend())")
    assert ended.stderr == ""
    assert ended.stdout.split()[-1] == "tensorflow"


# The backend and the seed ----------------------------------------------------------------------------


@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_the_backend_is_the_one_that_was_asked_for(backend):
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed")
    ended = python("from helpers.backend import keras; print(keras.backend.backend())", KERAS_BACKEND=backend)
    assert (ended.stdout.strip(), ended.stderr) == (backend, "")


def test_one_seed_gives_the_same_weights_to_the_last_bit():
    first, again, other = python(TRAIN).stdout.split()
    assert first == again
    assert first != other
