"""What the course needs installed, checked before it is loaded: a missing package is one line, not a page."""

import os
import sys
from importlib.util import find_spec
from pathlib import Path

from helpers.errors import CourseError

# As it was called: many systems have no `python` outside of a virtual environment.
PYTHON = Path(sys.executable).name.removesuffix(".exe") or "python"
INSTALL = f"{PYTHON} -m pip install -r requirements.txt"
BACKENDS = ("tensorflow", "jax", "torch")


def advice(package: str) -> str:
    """Say in one line that a package is missing, and how to install what the course needs.

    Parameters
    ----------
    package : str
        Its name.

    Returns
    -------
    str
        The line.
    """
    return f"{package} is not installed: run `{INSTALL}` in the course's folder"


def check_backend() -> None:
    """See that the backend that KERAS_BACKEND names, TensorFlow if it names none, is there to be loaded.

    Raises
    ------
    CourseError
        If Keras has no such backend, or it is not installed; the message says what to do.
    """
    backend = os.environ.get("KERAS_BACKEND") or "tensorflow"
    if backend not in BACKENDS:
        raise CourseError(f"KERAS_BACKEND is {backend!r}; it must be one of {', '.join(BACKENDS)}")
    # Asked for without being loaded; a package that is blocked, as in a test, has no specification.
    missing = [name for name in (backend, "keras") if not _is_there(name)]
    if missing and missing[0] in ("tensorflow", "keras"):
        raise CourseError(advice(missing[0]))
    if missing:
        raise CourseError(
            f"KERAS_BACKEND is {backend!r}, which is not installed: run `{PYTHON} -m pip install {backend}`, "
            "or unset KERAS_BACKEND to use TensorFlow"
        )


def check_extra(extra: str, *packages: str) -> None:
    """See that the packages of an extra of pyproject.toml are there.

    Parameters
    ----------
    extra : str
        Its name.
    *packages : str
        The packages that are needed.

    Raises
    ------
    CourseError
        If one is missing; the message says how to install the extra.
    """
    if missing := [name for name in packages if not _is_there(name)]:
        command = f'{PYTHON} -m pip install -e ".[{extra}]"'
        raise CourseError(f"{missing[0]} is not installed: run `{command}` in the course's folder")


def _is_there(package: str) -> bool:
    try:
        return find_spec(package) is not None
    except ValueError:
        return False
