"""Keras, loaded without TensorFlow's start-up messages, and what differs between its backends.

TensorFlow's C++ code writes about missing GPU drivers straight to file
descriptor 2, at import and again at the first operation, whatever its logging
settings say. A notebook would show those lines as an error of the reader's.
Importing this module does both steps with the descriptor turned aside; should
they fail, what was written is shown after all.
"""

import logging
import os
import platform
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

from helpers import installed, machines
from helpers.threads import cores

# What a reader has set for other programs, and would change how long, with which numbers or with how many
# words a network trains, or which Keras TensorFlow has. The backend stays, and what is the machine's alone.
IGNORED = (
    *("KERAS_MAX_EPOCHS", "KERAS_MAX_STEPS_PER_EPOCH"),
    *("TF_USE_LEGACY_KERAS", "TF_XLA_FLAGS", "TF_CPP_VMODULE", "TF_CPP_MAX_VLOG_LEVEL"),
    *("JAX_ENABLE_X64", "JAX_DISABLE_JIT", "JAX_NUMPY_DTYPE_PROMOTION", "JAX_NUMPY_RANK_PROMOTION"),
)
for _name in IGNORED:
    os.environ.pop(_name, None)
os.environ["KERAS_BACKEND"] = os.environ.get("KERAS_BACKEND") or "tensorflow"
os.environ["KERAS_NNX_ENABLED"] = "0"  # `keras.json` may say otherwise
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
# JAX compiles the drawing of random weights for each shape of them: in a quarter of a second so, in one
# otherwise. A shape's numbers stay the same from run to run, but are others than with JAX's own setting.
os.environ["JAX_THREEFRY_PARTITIONABLE"] = "0"


@contextmanager
def quiet_descriptor(descriptor: int = 2) -> Iterator[None]:
    """Turn a file descriptor aside, and replay what it was sent if the block raises.

    Parameters
    ----------
    descriptor : int
        The descriptor to silence; 2 is standard error.
    """
    sys.stderr.flush()
    saved = os.dup(descriptor)
    with tempfile.TemporaryFile() as aside:
        os.dup2(aside.fileno(), descriptor)
        try:
            yield
        except BaseException:
            os.dup2(saved, descriptor)
            aside.seek(0)
            os.write(descriptor, aside.read())
            raise
        finally:
            os.dup2(saved, descriptor)
            os.close(saved)


installed.check_backend()
with quiet_descriptor():
    import keras

    # JAX may compute nothing before it has met other machines.
    if not (machines.place() and keras.backend.backend() == "jax"):
        keras.ops.convert_to_numpy(keras.ops.zeros(1) + 1)


def set_defaults() -> None:
    """Give Keras' layers the defaults that the lessons were written for, whatever `keras.json` says."""
    keras.config.set_image_data_format("channels_last")
    keras.config.set_floatx("float32")
    keras.config.set_dtype_policy("float32")
    keras.config.set_epsilon(1e-7)
    keras.config.set_max_epochs(None)
    keras.config.set_max_steps_per_epoch(None)


set_defaults()
# Coloring with several networks in one lesson traces as many functions, which TensorFlow takes for a mistake.
logging.getLogger("tensorflow").setLevel(logging.ERROR)

__all__ = ["accelerators", "device", "keras", "quiet_descriptor", "set_defaults", "set_seed"]


def set_seed(seed: int) -> None:
    """Seed Python, NumPy and Keras, and ask for operations that repeat exactly.

    Parameters
    ----------
    seed : int
        A whole number of at least 0.

    Notes
    -----
    Two runs with one seed agree to the last bit on one machine. Another
    machine sums in another order, so its digits drift apart as training goes on.
    """
    # Keras seeds TensorFlow too where it is installed, whatever the backend, and loads it for that: half a
    # GB for nothing. It asks only once whether it is there.
    with nullcontext() if keras.backend.backend() == "tensorflow" else _hidden("tensorflow"):
        keras.utils.set_random_seed(seed)
    if keras.backend.backend() == "tensorflow":
        import tensorflow

        tensorflow.config.experimental.enable_op_determinism()


@contextmanager
def _hidden(module: str) -> Iterator[None]:
    """Let a module seem not to be installed, unless it is loaded already."""
    if module in sys.modules:
        yield
        return
    sys.modules[module] = None  # as Python notes what is not to be imported
    try:
        yield
    finally:
        del sys.modules[module]


def accelerators() -> list[str]:
    """List the devices other than the processor that Keras computes on.

    Returns
    -------
    list of str
        As ``gpu:0``; empty if the processor does all the work.
    """
    if keras.backend.backend() == "torch":  # has no `keras.distribution`
        import torch

        return [f"gpu:{number}" for number in range(torch.cuda.device_count())]
    return [name for name in keras.distribution.list_devices() if not name.lower().startswith("cpu")]


def device() -> str:
    """Name the processor that Keras computes on, without the machine's own name.

    Returns
    -------
    str
        The accelerators, or the number of processor cores that this process may use and their kind.
    """
    if found := accelerators():
        return ", ".join(found)
    count = cores()
    return f"{count} CPU core{'s' if count > 1 else ''} ({platform.machine()})"
