"""The files of a folder, a .zip or a .tar, read one after the other.

An archive is never unpacked: its files are read into memory, so that no name in
it can reach outside a folder, and no link or device in it is ever followed.
"""

import hashlib
import lzma
import os
import re
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from helpers.errors import CourseError

MOST_FILES = 200_000
MOST_BYTES = 50 * 10**9
LARGEST_FILE = 200 * 10**6
_DAMAGE = (zlib.error, lzma.LZMAError, EOFError, NotImplementedError)
# What systems and programs put beside photographs: thumbnails, previews, bins. Hidden names come on top.
_LITTER = re.compile(
    r"__MACOSX|(eh)?Thumbs\.db|desktop\.ini|\$RECYCLE\.BIN|RECYCLER|System Volume Information|lost\+found"
    r"|@eaDir|@Recycle|@Recently-Snapshot|.*@Syno\w+|#recycle|#snapshot|.*\.lrdata|THMBNL|_vti_cnf",
    re.IGNORECASE,
)
_ZIP = (b"PK\3\4", b"PK\5\6", b"PK\7\10")
_PROGRAM = (
    b"MZ",
    b"\x7fELF",
    b"#!",
    b"\xfe\xed\xfa",
    b"\xcf\xfa\xed\xfe",
    b"\xce\xfa\xed\xfe",
    b"\xca\xfe\xba\xbe",
)


@dataclass(frozen=True)
class Member:
    """One file: its name with forward slashes, and its content or the reason why it was not read."""

    name: str
    data: bytes | None = None
    reason: str = ""


def fingerprint(path: Path) -> str:
    """Summarize what lies at a path without reading it: names, sizes and times of change.

    Parameters
    ----------
    path : pathlib.Path
        A folder or an archive.

    Returns
    -------
    str
        A sha256 in hexadecimal that changes when a file is added, removed or written.
    """
    digest = hashlib.sha256(os.fsencode(path.resolve()))
    for name, file, reason in files_of(path) if path.is_dir() else [(path.name, path, "")]:
        about = None if reason else file.stat()
        state = reason if about is None else f"{about.st_size}\0{about.st_mtime_ns}"
        digest.update(f"{name}\0{state}\n".encode(errors="surrogateescape"))
    return digest.hexdigest()


def members(path: Path) -> Iterator[Member]:
    """Read the files of a folder or an archive, each whole, with limits on their number and size.

    Parameters
    ----------
    path : pathlib.Path
        A folder (with its subfolders), a .zip, or a .tar in any compression that Python reads.

    Yields
    ------
    Member
        In the folder's sorted order, or in the archive's own. Hidden files are passed over.

    Raises
    ------
    CourseError
        If the path is neither, if the archive is damaged, or if it holds more than 200,000
        files or 50 GB.
    """
    read = (_read_folder if path.is_dir() else _reader(path))(path)
    files = total = 0
    try:
        for member in read:
            files += 1
            total += len(member.data or b"")
            if files > MOST_FILES or total > MOST_BYTES:
                raise _too_much(path)
            # A name in some older encoding could be neither printed nor stored as it is.
            readable = member.name.encode(errors="surrogateescape").decode(errors="replace")
            # Windows' own archiver writes its slashes; and so do files that were unpacked from it elsewhere.
            yield replace(member, name=readable.replace("\\", "/"))
    except (OSError, tarfile.TarError, zipfile.BadZipFile, *_DAMAGE) as error:
        raise _damaged(path, error) from None


def _damaged(path: Path, error: Exception) -> CourseError:
    return CourseError(f"{path} is damaged or cut off ({error}): fetch it again")


def _reader(path: Path) -> Callable[[Path], Iterator[Member]]:
    """Tell an archive by its beginning: any file may end like a .zip, as one does that holds one."""
    try:
        if path.is_file():
            with path.open("rb") as file:
                start = file.read(8)
            if tarfile.is_tarfile(path):
                return _read_tar
            # A .zip that unpacks itself begins with a program.
            if start.startswith(_ZIP) or (start.startswith(_PROGRAM) and zipfile.is_zipfile(path)):
                return _read_zip
    except OSError as error:
        raise CourseError(f"{path} cannot be read ({error.strerror or error})") from None
    except _DAMAGE as error:
        raise _damaged(path, error) from None
    raise CourseError(f"{path} is neither a folder nor a .zip or .tar archive")


def _read_folder(path: Path) -> Iterator[Member]:
    for name, file, reason in files_of(path):
        try:
            if not reason and file.stat().st_size > LARGEST_FILE:
                reason = _too_large()
            yield Member(name, reason=reason) if reason else Member(name, file.read_bytes())
        except OSError as error:
            yield Member(name, reason=_unreadable(error))


def files_of(path: Path) -> Iterator[tuple[str, Path, str]]:
    """Find what lies in a folder, through links too.

    Parameters
    ----------
    path : pathlib.Path
        A folder.

    Yields
    ------
    name : str
        Within the folder, with forward slashes.
    file : pathlib.Path
        Where it is.
    reason : str
        Why it cannot be read; '' if it can.

    Raises
    ------
    CourseError
        If the folder itself cannot be read, or if it holds more than 200,000 files.
    """
    count = 0
    for folder, subfolders, names, reason in _walk(path, ()):
        count += len(names) + 1
        if count > MOST_FILES:
            raise _too_much(path)
        within = folder.relative_to(path)
        if reason and folder == path:
            raise CourseError(f"{path} {reason}")
        if reason:
            yield within.as_posix(), folder, reason
        for name in sorted(names):
            if not _litter(*within.parts, name):
                file = folder / name
                yield (within / name).as_posix(), file, _not_a_file(file)
        subfolders[:] = [name for name in subfolders if not _litter(*within.parts, name)]


def _walk(path: Path, above: tuple[Path, ...]) -> Iterator[tuple[Path, list[str], list[str], str]]:
    """Walk a folder as `os.walk` does, but through links, and naming what cannot be entered."""
    try:
        real = path.resolve(strict=True)
        entries = sorted(os.scandir(path), key=lambda entry: entry.name)
    except (OSError, RuntimeError) as error:
        yield path, [], [], _unreadable(error)
        return
    if real in above:
        yield path, [], [], "a link back to a folder that it lies in"
        return
    subfolders, names = [], []
    for entry in entries:
        (subfolders if Path(entry).is_dir() else names).append(entry.name)
    yield path, subfolders, names, ""
    for name in subfolders:
        yield from _walk(path / name, (*above, real))


def _not_a_file(path: Path) -> str:
    """Say why something in a folder cannot be read as a file; '' if it can."""
    try:
        mode = path.stat().st_mode
    except (OSError, RuntimeError) as error:
        return "a link to nothing" if path.is_symlink() else _unreadable(error)
    return "" if stat.S_ISREG(mode) else "not a file with content"


def _unreadable(error: Exception) -> str:
    return f"cannot be read ({getattr(error, 'strerror', None) or 'it links to itself'})"


def _read_zip(path: Path) -> Iterator[Member]:
    with zipfile.ZipFile(path) as archive:
        for entry in archive.infolist():
            link = stat.S_ISLNK(entry.external_attr >> 16)
            if entry.is_dir() or _litter(*_parts(entry.filename)):
                continue
            reason = _refusal(entry.filename, not link, entry.file_size)
            if entry.flag_bits & 1:
                reason = "locked with a password"
            if reason:
                yield Member(entry.filename, reason=reason)
            else:
                yield _unpacked(archive, entry)


def _unpacked(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> Member:
    try:
        file = archive.open(entry)
    except NotImplementedError:
        return Member(entry.filename, reason="compressed in a way that Python does not read")
    with file:
        return Member(entry.filename, file.read())


def _read_tar(path: Path) -> Iterator[Member]:
    with tarfile.open(path) as archive:
        while entry := archive.next():
            # Else it remembers every file that it has met: a kilobyte each.
            archive.members.clear()
            name = entry.name.removeprefix("./")
            if entry.isdir() or _litter(*_parts(name)):
                continue
            reason = _refusal(name, entry.isreg(), entry.size)
            if reason:
                yield Member(name, reason=reason)
            else:
                yield Member(name, archive.extractfile(entry).read())


def _refusal(name: str, regular: bool, size: int) -> str:
    parts = _parts(name)
    if parts[0] == "" or ".." in parts or ":" in parts[0]:
        return "its name leads out of the archive"
    if not regular:
        return "a link or a device, not a file"
    return _too_large() if size > LARGEST_FILE else ""


def _parts(name: str) -> list[str]:
    # What one system takes for a part of a name is a folder's end to another.
    return name.replace("\\", "/").split("/")


def _too_much(path: Path) -> CourseError:
    most = f"{MOST_FILES:,} files or {MOST_BYTES // 10**9} GB"
    return CourseError(f"{path} holds more than {most}: take a part of it")


def _too_large() -> str:
    return f"larger than {LARGEST_FILE // 10**6} MB"


def _litter(*parts: str) -> bool:
    return any(_LITTER.fullmatch(part) or (part[:1] == "." and part not in (".", "..")) for part in parts)
