"""Where things lie in the project, and whether they can."""

import os
import re
from pathlib import Path

from helpers.errors import CourseError

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = ROOT / "notebooks"
RUNS = ROOT / "runs"
DATA = ROOT / "data"
SAMPLE = DATA / "sample"
MODELS = DATA / "models"
GALLERY = "gallery.html"  # in a run's folder
IMAGENET_CLASSES = DATA / "imagenet_classes.txt"

# An environment variable: the folder for what is large and can be made again. A path that is not absolute
# begins in the course's folder, as notebooks and the command line run in different ones.
ELSEWHERE = "COURSE_DATA"
_LARGE = ROOT / os.path.expanduser(os.environ.get(ELSEWHERE) or DATA)  # noqa: PTH111, leaves ~nobody as it is
DOWNLOADS = _LARGE / "downloads"
CACHE = _LARGE / "cache"

# An environment variable: the file in which a training says what it is at, for whoever runs the notebook.
STATUS = "COURSE_STATUS"

_LESSON = re.compile(r"\d\d_\w+\.ipynb")


def typed(path: str | Path) -> Path:
    """Read a path as a shell does: `~` is the home folder.

    Parameters
    ----------
    path : str or Path
        What someone has typed.

    Returns
    -------
    Path
        The path.

    Raises
    ------
    CourseError
        If it begins with the home folder of a user that there is not.
    """
    try:
        return Path(path).expanduser()
    except RuntimeError:
        raise CourseError(f"{path}: there is no home folder {Path(path).parts[0]}") from None


def check_folder(folder: Path, advice: str = "") -> None:
    """See that a folder can be written to, or made.

    Parameters
    ----------
    folder : Path
        The folder.
    advice : str, optional
        What to do if not.

    Raises
    ------
    CourseError
        If it is a file or lies below one, or this user may not write there.
    """
    place = next(place for place in (folder, *folder.absolute().parents) if place.exists())
    advice = f": {advice}" if advice else ""
    if not place.is_dir():
        raise CourseError(f"cannot write to {folder}: {place} is a file, not a folder{advice}")
    if not os.access(place, os.W_OK | os.X_OK):
        raise CourseError(f"cannot write to {folder}: you may not write in {place}{advice}")


def lessons(folder: Path) -> list[Path]:
    """List the lessons' notebooks in a folder, or those that a run has made of them.

    Parameters
    ----------
    folder : Path
        The folder.

    Returns
    -------
    list of Path
        Those with a name such as ``03_baseline_cnn.ipynb``, in the order of the course. What JupyterLab
        or a file manager calls a copy is none.
    """
    return sorted(path for path in folder.glob("*.ipynb") if _LESSON.fullmatch(path.name))
