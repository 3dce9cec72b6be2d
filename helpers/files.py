"""Files that are whole or not there, and a cache for what is computed once."""

import glob
import hashlib
import shutil
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from helpers import places

_KEY = 16  # characters of a cache entry's key in its name


@contextmanager
def replacing(target: Path) -> Iterator[Path]:
    """Rename a finished file or folder into place, so that nothing half-written bears its name.

    Parameters
    ----------
    target : pathlib.Path
        Where it belongs in the end; its folder is made if need be. A file there is replaced, a folder
        is left: whoever renamed it first made the same.

    Yields
    ------
    pathlib.Path
        Where to write, beside `target`. Nothing stays there, however the writing ends.

    Raises
    ------
    OSError
        If it cannot be written or renamed.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    # A name of its own: other threads and processes may be writing the same file. Its ending is kept,
    # since Keras tells formats apart by it.
    part = target.with_name(f"{target.stem}.{uuid.uuid4().hex[:8]}.part{target.suffix}")
    try:
        yield part
        _rename(part, target)
    finally:
        with suppress(OSError):  # the error that led here says more
            _remove(part)


def write_text(target: Path, text: str) -> None:
    """Write a text file in UTF-8, whole or not at all.

    Parameters
    ----------
    target : pathlib.Path
        The file.
    text : str
        Its content.

    Raises
    ------
    OSError
        If it cannot be written.
    """
    with replacing(target) as part:
        part.write_text(text, encoding="utf-8")


def cached(name: str, key: str, write: Callable[[Path], None]) -> Path:
    """Find something computed earlier in `data/cache`, or compute it now.

    Parameters
    ----------
    name : str
        What it is, as ``embedding-sample-64``. Entries of this name with other keys are out of date
        and removed.
    key : str
        The `digest` of all that it is computed from.
    write : callable
        Writes a file or a folder at the path that it is given.

    Returns
    -------
    pathlib.Path
        The file or folder, whole.

    Raises
    ------
    OSError
        If it cannot be written.
    """
    entry = places.CACHE / f"{name}.{key[:_KEY]}"
    if not entry.exists():
        with replacing(entry) as part:
            write(part)
        for other in places.CACHE.glob(f"{glob.escape(name)}.{'?' * _KEY}"):
            if other != entry:
                with suppress(OSError):  # another notebook may have it open
                    _remove(other)
    return entry


def digest(*parts: object) -> str:
    """Hash what something is made from, for the key of a cache entry.

    Parameters
    ----------
    *parts : object
        Anything whose text says all that matters of it: numbers, names, version numbers. Code is
        named by a version number, which whoever changes its results raises.

    Returns
    -------
    str
        A sha256 in hexadecimal.
    """
    return hashlib.sha256("\0".join(map(str, parts)).encode(errors="surrogateescape")).hexdigest()


def _rename(part: Path, target: Path) -> None:
    """Rename, and ask again for a second where Windows refuses since another process has the file open.

    That process made or reads the same, so if it does not let go, its file is left.
    """
    for pause in (0, 0.1, 0.3, 0.6):
        time.sleep(pause)
        try:
            part.replace(target)
            return
        except OSError as error:
            made_by_another = part.is_dir() and target.is_dir()
            if not (target.exists() and (made_by_another or isinstance(error, PermissionError))):
                raise
            if made_by_another:
                return


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
