"""Files that are whole or not there, and a cache for what is computed once."""

import errno
import glob
import hashlib
import os
import shutil
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

from helpers import places
from helpers.errors import CourseError

T = TypeVar("T")
_KEY = 16  # characters of a cache entry's key in its name
# What a disk says that is full, is over a quota, takes no file so large, or cannot be written to.
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)
_ABANDONED = 86_400  # seconds after which nobody can still be writing a part


@contextmanager
def replacing(target: Path) -> Iterator[Path]:
    """Write a file or a folder under another name, and rename it into place when it is finished.

    Parameters
    ----------
    target : pathlib.Path
        Where it belongs in the end; its folder is made if need be. `rename` says what becomes of
        what is there.

    Yields
    ------
    pathlib.Path
        Where to write, beside `target`. Nothing stays there, however the writing ends.

    Raises
    ------
    CourseError
        If there is no room for it; what was there before is as it was.
    OSError
        If it cannot be written or renamed for another reason.
    """
    with making_room(target):
        target.parent.mkdir(parents=True, exist_ok=True)
    # A name of its own: other threads and processes may be writing the same file. Hidden: who reads a
    # folder of photographs passes it over. Its ending is kept, since Keras tells formats apart by it.
    part = target.with_name(f".{target.stem}.{uuid.uuid4().hex[:8]}.part{target.suffix}")
    try:
        with making_room(target):
            yield part
            rename(part, target)
    finally:
        with suppress(OSError):  # the error that led here says more
            _remove(part)


@contextmanager
def making_room(place: Path) -> Iterator[None]:
    """Say in one line that a disk has no room.

    Parameters
    ----------
    place : pathlib.Path
        What is written.

    Raises
    ------
    CourseError
        If the disk is full, over a quota or read-only.
    OSError
        Whatever else is wrong.
    """
    try:
        yield
    except OSError as error:
        # NumPy gives no number, and says how much of an array was written.
        cut = error.errno is None and "requested and" in str(error)
        if not cut and error.errno not in _NO_ROOM:
            raise
        reason = os.strerror(errno.ENOSPC if cut else error.errno)
        raise CourseError(f"{place} cannot be written ({reason}): make room, or write elsewhere") from None


def rename(part: Path, target: Path) -> None:
    """Rename a finished file or folder into place.

    Windows refuses while another process has the target open; so it is tried again for a second.

    Parameters
    ----------
    part : pathlib.Path
        What is finished.
    target : pathlib.Path
        Its name from now on, in the same file system. A file there is replaced. A folder with anything
        in it is left, and `part` too: whoever renamed it first made the same.

    Raises
    ------
    OSError
        If it cannot be renamed.
    """
    for pause in (0.1, 0.3, 0.6, None):
        try:
            part.replace(target)
            return
        except OSError as error:
            if part.is_dir() and target.is_dir():
                return
            if pause is None or not (isinstance(error, PermissionError) and target.exists()):
                raise
            time.sleep(pause)


def write_bytes(target: Path, content: bytes) -> None:
    """Write a file, whole or not at all.

    Parameters
    ----------
    target : pathlib.Path
        The file.
    content : bytes
        Its content.

    Raises
    ------
    OSError
        If it cannot be written.
    """
    with replacing(target) as part:
        part.write_bytes(content)


def write_text(target: Path, text: str) -> None:
    r"""Write a text file in UTF-8 with `\n` at the end of a line, whole or not at all.

    Parameters
    ----------
    target : pathlib.Path
        The file.
    text : str
        Its content. A byte that is no text, as the name of a file may hold it, is written as JSON has it.

    Raises
    ------
    OSError
        If it cannot be written.
    """
    write_bytes(target, text.encode(errors="backslashreplace"))


def cached(
    name: str, key: str, write: Callable[[Path], None], read: Callable[[Path], T], variant: str = ""
) -> T:
    """Read what was computed earlier and kept in `data/cache`, or compute and keep it now.

    Parameters
    ----------
    name : str
        What it is, without a dot, as ``embedding-sample-64``. Entries of this name with other keys
        are out of date, and are removed when a new one is written.
    key : str
        The `digest` of all that it is computed from.
    write : callable
        Writes a file or a folder at the path that it is given.
    read : callable
        Opens what `write` wrote, at the path that it is given. If it fails, someone cut or altered the
        entry, which is then written once more.
    variant : str, optional
        Tells entries apart that are computed from the same and kept side by side.

    Returns
    -------
    object
        What `read` returns.

    Raises
    ------
    CourseError
        If nothing can be written in `data/cache`; the message says how to keep it elsewhere.
    OSError
        If it cannot be written for another reason. Other errors are those of `write` and `read`.
    """
    current = f"{name}.{key[:_KEY]}"
    entry = places.CACHE / (f"{current}.{variant}" if variant else current)
    there = entry.exists()
    if there:
        with suppress(Exception):  # whatever the reader raises on a file that is not whole
            return read(entry)
    places.check_folder(places.CACHE, f"set {places.ELSEWHERE} to a folder of your own")
    if there:
        _remove(entry)
    try:
        with replacing(entry) as part:
            write(part)
    except PermissionError:  # on Windows, if another process made the same meanwhile and has it open
        if not entry.exists():
            raise
    _remove_outdated(name, current)
    return read(entry)


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
    result = hashlib.sha256()
    for number, part in enumerate(parts):  # not joined: there may be a part for each photograph
        text = str(part) if number == 0 else f"\0{part}"
        result.update(text.encode(errors="surrogateescape"))
    return result.hexdigest()


def _remove_outdated(name: str, current: str) -> None:
    """Remove entries with other keys, and what was abandoned when a process was killed."""
    name = glob.escape(name)
    entries = places.CACHE.glob(f"{name}.{'?' * _KEY}*")
    outdated = {entry for entry in entries if not entry.name.startswith(current)}
    for path in (*outdated, *places.CACHE.glob(f".{name}.*")):
        with suppress(OSError):  # another process may have it open, or have removed it
            if path in outdated or time.time() - path.stat().st_mtime > _ABANDONED:
                _remove(path)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
