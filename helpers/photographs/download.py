"""One verb: `fetch` a source of the catalogue."""

import errno
import shutil
from pathlib import Path
from urllib.parse import urlsplit

from filelock import FileLock, Timeout

from helpers import places
from helpers.errors import CourseError
from helpers.photographs import sources, transfer, unsplash
from helpers.photographs.sources import Source


def fetch(name: str, to: str | Path | None = None) -> Path:
    """Download a source of the catalogue, unless it is there already.

    License, size and free disk space are shown before the first byte. A download that was cut
    goes on where it stopped.

    Parameters
    ----------
    name : str
        A name of the catalogue (`helpers.photographs.sources.SOURCES`).
    to : path, optional
        The folder to put it into; `data/downloads` by default.

    Returns
    -------
    pathlib.Path
        The archive or the folder, ready for `helpers.photographs.load`.

    Raises
    ------
    CourseError
        If there is no such source, another process is fetching it, the network, the server or the
        disk fails, or what arrives is not what the catalogue describes.
    """
    source = sources.source_named(name)
    if source.kind == "embedded":
        return places.SAMPLE
    folder = Path(to or places.DOWNLOADS)
    archive = folder / Path(urlsplit(source.url).path).name
    try:
        if source.kind == "archive" and archive.exists() and archive.stat().st_size == source.bytes:
            return archive
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / f"{name}.lock", blocking=False):
            if source.kind == "unsplash":
                return _fetch_one_by_one(source, folder / name)
            _introduce(source, folder)
            transfer.download(source.url, archive, source.bytes, source.sha256)
            return archive
    except Timeout:
        raise CourseError(f"another process is fetching {name}: let it finish, or end it") from None
    except OSError as error:
        trouble = "the disk is full" if error.errno == errno.ENOSPC else error.strerror or error
        raise CourseError(f"{folder}: {trouble}; make room, or name another folder with --to") from None


def _fetch_one_by_one(source: Source, home: Path) -> Path:
    if not (home / "manifest.json").exists():
        _introduce(source, home)
        unsplash.choose(source.url, source.photographs, home)
    count, missing = unsplash.collect(home)
    if missing:
        print(f"{len(missing):,} of {count:,} photographs could not be fetched:")
        for identity, reason in missing.items():
            print(f"  {identity}: {reason}")
    return home / "photographs"


def _introduce(source: Source, folder: Path) -> None:
    """Print what will be downloaded and under which license, and see that the disk has room for it."""
    folder.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(folder).free
    print(f"{source.name}: {source.title} ({source.photographs:,} photographs)")
    print(f"license: {source.license} ({source.page})")
    host = urlsplit(source.url).hostname
    print(f"size: {source.download}, from {host}; free on this disk: {free / 1e6:,.0f} MB")
    if free < source.bytes:
        raise CourseError(
            f"{source.name} takes {source.download}, and {folder} has {free / 1e6:,.0f} MB left: make room, "
            "or name another folder with --to"
        )
