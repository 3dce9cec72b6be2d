"""Half of the digits in a network's layers: less memory, and on a GPU that is made for it less time.

Weights stay float32, and so do the losses that a network is compiled with. What a network gives is rounded to
the 8 significant bits of bfloat16, or to the 11 of float16.
"""

import platform
from pathlib import Path

from helpers.backend import accelerators, keras
from helpers.errors import CourseError

MIXED = ("mixed_bfloat16", "mixed_float16")
# What Linux calls a processor's instructions for bfloat16, on Intel's and AMD's and on Arm's.
INSTRUCTIONS = {"avx512_bf16", "amx_bf16", "bf16"}


def use(name: object) -> None:
    """Let the layers that are built from now on compute in a precision, where this machine is made for it.

    A processor that has no instructions for it would take many times as long: there a line says that
    networks compute in float32.

    Parameters
    ----------
    name : object
        One of `MIXED`; None for float32.

    Raises
    ------
    CourseError
        If it is none of these.
    """
    check(name)
    if name is not None and not is_fast(name):
        print(f"PRECISION: no device here is made for {name}, so networks compute in float32")
        name = None
    keras.config.set_dtype_policy(name or "float32")


def check(name: object) -> None:
    """Refuse what is not the name of a precision.

    Parameters
    ----------
    name : object
        What was given; None is float32.

    Raises
    ------
    CourseError
        If it is neither None nor one of `MIXED`.
    """
    if name is not None and name not in list(MIXED):
        raise CourseError(f"PRECISION is {name!r}; it must be {' or '.join(map(repr, MIXED))}, or None")


def is_fast(name: str) -> bool:
    """Tell whether the device that Keras computes on is made for a precision.

    Parameters
    ----------
    name : str
        One of `MIXED`.

    Returns
    -------
    bool
        True on a GPU; on a processor, if Linux says that it has instructions for bfloat16.
    """
    if accelerators():
        return True
    try:
        words = set(Path("/proc/cpuinfo").read_text("utf-8").split())
    except OSError:
        words = set()
    return name == "mixed_bfloat16" and platform.system() == "Linux" and bool(words & INSTRUCTIONS)


def in_full(network: keras.Model) -> keras.Model:
    """Build a network once more, with layers that compute in float32.

    Parameters
    ----------
    network : keras.Model
        A functional network.

    Returns
    -------
    keras.Model
        The same layers with the same weights, not compiled.
    """
    return rebuilt(network, "float32")


def rebuilt(network: keras.Model, name: str) -> keras.Model:
    """Build a network once more, with layers that compute in another precision.

    Parameters
    ----------
    network : keras.Model
        A functional network.
    name : str
        ``float32``, or one of `MIXED`.

    Returns
    -------
    keras.Model
        The same layers with the same weights, not compiled.
    """

    def other(value: object) -> object:
        if isinstance(value, dict):
            if value.get("class_name") == "DTypePolicy":
                return value | {"config": {"name": name}}
            return {key: other(each) for key, each in value.items()}
        return type(value)(map(other, value)) if isinstance(value, list | tuple) else value

    built = type(network).from_config(other(network.get_config()))
    built.set_weights(network.get_weights())
    return built
