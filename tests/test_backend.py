"""Keras without TensorFlow's messages, on the backend that was asked for, and repeatable."""

import importlib.util
import json
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

GRADIENTS = """
import jax
import numpy
from helpers.backend import accelerators, keras

quick = jax.lax.conv_transpose
own = quick if accelerators() else quick.__wrapped__
random = numpy.random.default_rng(0)
cases = [((4, 4), 2, "same", 1), ((4, 4), 2, "valid", 1), ((3, 5), (2, 1), "valid", 1)]
cases += [((3, 3), 1, "same", 2), ((2, 2), 3, "valid", 1)]
for side, strides, padding, dilation in cases:
    x = random.normal(size=(2, 6, 7, 3)).astype("float32")
    kernel = random.normal(size=(*side, 5, 3)).astype("float32")

    def loss(x, kernel):
        given = keras.ops.conv_transpose(x, kernel, strides, padding, dilation_rate=dilation)
        return (given * numpy.sin(numpy.arange(given.size)).reshape(given.shape)).sum()

    found = []
    for jax.lax.conv_transpose in (quick, own):
        found.append(jax.jit(jax.grad(loss, (0, 1)))(x, kernel))
    same = all(numpy.allclose(*pair, atol=1e-4) for pair in zip(*found))
    print("same" if same and abs(found[0][1]).max() > 1 else found)
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


# The reader's own settings ---------------------------------------------------------------------------

DEFAULTS = """
import json
import os
from helpers.backend import keras
from keras.src.backend.config import is_nnx_enabled

layer = keras.layers.Conv2D(1, 1)
print(json.dumps([
    keras.config.floatx(), keras.config.dtype_policy().name, keras.config.epsilon(), layer.data_format,
    keras.config.max_epochs(), keras.config.max_steps_per_epoch(), is_nnx_enabled(), keras.backend.backend(),
    keras.layers.BatchNormalization().get_config(), sorted(name for name in os.environ if name[:3] == "TF_"),
]))
"""
LEAKS = {
    "KERAS_BACKEND": "",
    "KERAS_MAX_EPOCHS": "many",
    "KERAS_MAX_STEPS_PER_EPOCH": "1",
    "KERAS_NNX_ENABLED": "1",
    "TF_USE_LEGACY_KERAS": "1",
    "TF_XLA_FLAGS": "--no_such_flag",
    "TF_CPP_MIN_LOG_LEVEL": "0",
    "TF_CPP_MAX_VLOG_LEVEL": "1",
    "TF_CPP_VMODULE": "cpu_feature_guard=1",
}


def test_the_reader_s_settings_for_keras_change_nothing(tmp_path):
    theirs = {"floatx": "float64", "epsilon": 0.1, "image_data_format": "channels_first", "backend": "torch"}
    for name, text in {"own": "{}", "other": json.dumps(theirs | {"nnx_enabled": True})}.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "keras.json").write_text(text)
    own = python(DEFAULTS, KERAS_HOME=str(tmp_path / "own"))
    other = python(DEFAULTS, KERAS_HOME=str(tmp_path / "other"), **LEAKS)
    assert json.loads(own.stdout)[:4] == ["float32", "float32", 1e-7, "channels_last"]
    assert (other.stdout, other.stderr) == (own.stdout, "")


# The backend and the seed ----------------------------------------------------------------------------


@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_the_backend_is_the_one_that_was_asked_for_and_as_quiet(backend):
    """Seeding is what loads TensorFlow beside another backend."""
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed")
    code = "from helpers.backend import keras, set_seed; set_seed(0); print(keras.backend.backend())"
    ended = python(code, KERAS_BACKEND=backend)
    assert (ended.stdout.strip(), ended.stderr) == (backend, "")


def test_the_quick_gradient_on_jax_is_the_one_that_jax_has():
    if importlib.util.find_spec("jax") is None:
        pytest.skip("jax is not installed")
    lines = python(GRADIENTS, KERAS_BACKEND="jax").stdout.splitlines()
    assert lines == ["same"] * 5


SEEDS = """
import sys
from helpers.backend import keras, set_seed
drawn = []
for seed in (1, 2, 1):
    set_seed(seed)
    drawn.append(keras.ops.convert_to_numpy(keras.random.normal((3,))).tolist())
keras.utils.set_random_seed(2)
drawn.append(keras.ops.convert_to_numpy(keras.random.normal((3,))).tolist())
print(drawn[0] == drawn[2] != drawn[1] == drawn[3], "tensorflow" in sys.modules)
import tensorflow
print(tensorflow.constant(1).numpy())
"""


@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_a_seed_on_another_backend_does_not_load_tensorflow(backend):
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed")
    lines = python(SEEDS, KERAS_BACKEND=backend).stdout.splitlines()
    assert lines == ["True False", "1"]  # who wants it still gets it


def test_one_seed_gives_the_same_weights_to_the_last_bit():
    first, again, other = python(TRAIN).stdout.split()
    assert first == again
    assert first != other
