"""The environment of a kernel: what the reader has set for other programs does not reach a lesson."""

import os
from pathlib import Path

from helpers import places
from helpers.errors import CourseError

# What Python would run before a lesson, or warn of in it; and where pictures would be drawn.
IGNORED = ("PYTHONSTARTUP", "PYTHONWARNINGS", "PYTHONINSPECT", "PYTHONDEVMODE", "MPLBACKEND")


def changes(folder: Path) -> dict[str, str | None]:
    """Say what a kernel's environment has to have other than this process'.

    Parameters
    ----------
    folder : Path
        A folder for the settings of IPython and matplotlib, which begin empty.

    Returns
    -------
    dict of str to (str or None)
        A variable's name → its value, None if it has to go. A kernel imports the helpers that run here,
        whatever is installed, and finds the data where they do.

    Raises
    ------
    CourseError
        If Python cannot be told where the helpers are.
    """
    root = str(places.ROOT)
    if os.pathsep in root:
        raise CourseError(f"{root}: Python cannot search a folder with {os.pathsep} in its path; rename it")
    (folder / "matplotlibrc").touch()
    return dict.fromkeys(IGNORED) | {
        "PYTHONPATH": os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")])),
        "IPYTHONDIR": str(folder / "ipython"),
        "MATPLOTLIBRC": str(folder),
        places.ELSEWHERE: str(places.CACHE.parent),
    }


def of_a_kernel(folder: Path) -> dict[str, str]:
    """Return the environment to start a kernel with.

    Parameters
    ----------
    folder : Path
        As for `changes`.

    Returns
    -------
    dict of str to str
        This process' environment with the `changes`.
    """
    merged = os.environ | changes(folder)
    return {name: value for name, value in merged.items() if value is not None}
