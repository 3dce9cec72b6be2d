"""The story's nearest equivalent: photographs chosen from Unsplash's list and fetched one by one."""

import csv
import io
import json
import random
import re
import zipfile
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import requests

from helpers import files
from helpers.errors import CourseError, trace
from helpers.photographs import archives, decode, transfer

CUT = "?w=256&h=256&fit=crop&fm=jpg&q=85"
_HOPELESS = 25
_LARGEST = 10 * 10**6  # bytes of a photograph that is cut to 256 pixels


def choose(url: str, count: int, home: Path) -> None:
    """Fetch the list of photographs, draw some of them, and write the choice down as `manifest.json`.

    Parameters
    ----------
    url : str
        Of the archive of tables that Unsplash offers.
    count : int
        How many photographs to draw; the same list gives the same ones.
    home : pathlib.Path
        The folder for the manifest.

    Raises
    ------
    CourseError
        If the archive cannot be fetched or holds no list of photographs.
    """
    table = home / "tables.zip"
    transfer.download(url, table)
    rows = _read(table)
    table.unlink()
    if not rows:
        raise CourseError("Unsplash's archive holds no list of photographs: choose another source")
    drawn = random.Random(0).sample(sorted(rows, key=lambda row: row["photo_id"]), min(count, len(rows)))
    chosen = {row["photo_id"]: _about(row) for row in drawn}
    _write_manifest(home, {"chosen": chosen, "gone": {}})


def collect(home: Path) -> tuple[int, dict[str, str]]:
    """Fetch those photographs of the manifest that are not there yet, eight at a time.

    Parameters
    ----------
    home : pathlib.Path
        The folder that holds `manifest.json`; the photographs go into its folder `photographs`.

    Returns
    -------
    count : int
        How many photographs were chosen.
    missing : dict of str to str
        Those that could not be fetched, with the reason. What the server does not have is never
        tried again; what failed otherwise is, the next time.

    Raises
    ------
    CourseError
        If 25 photographs in a row fail, or the manifest was cut or altered.
    """
    file = home / "manifest.json"
    try:
        manifest = json.loads(file.read_text(encoding="utf-8"))
        chosen, gone = manifest["chosen"], manifest["gone"]
        whole = isinstance(gone, dict) and all("url" in about for about in chosen.values())
    except (ValueError, KeyError, TypeError, AttributeError):
        whole = False
    if not whole:
        raise CourseError(f"{file} was cut or altered: remove it, and the list is fetched again")
    photographs = home / "photographs"
    photographs.mkdir(exist_ok=True)
    there = {file.stem for file in photographs.iterdir()}
    wanted = [each for each in chosen if each not in there and each not in gone]
    failed: dict[str, str] = {}
    if wanted:
        files.write_text(photographs / "ATTRIBUTION.csv", _attribution(chosen))
        try:
            for identity, error in _fetch_all(wanted, chosen, photographs):
                for_good = isinstance(error, transfer.GoneError | decode.DecodeError)
                (gone if for_good else failed)[identity] = str(error)
        finally:
            _write_manifest(home, manifest)
    return len(chosen), gone | failed


def _fetch_all(
    wanted: list[str], chosen: dict[str, dict[str, str]], folder: Path
) -> Iterator[tuple[str, CourseError]]:
    """Fetch photographs in parallel; give those that fail, and give up when nothing works."""
    with (
        transfer.connect() as session,
        ThreadPoolExecutor(transfer.AT_ONCE) as pool,
        transfer.progress(desc="unsplash-lite", total=len(wanted), unit=" photographs") as bar,
    ):

        def fetch(identity: str) -> CourseError | None:
            try:
                content = _photograph(session, chosen[identity]["url"])
            except CourseError as error:
                trace(error)
                return error
            files.write_bytes(folder / f"{identity}.jpg", content)
            return None

        in_a_row = 0
        try:
            for identity, error in zip(wanted, pool.map(fetch, wanted), strict=True):
                bar.update()
                in_a_row = in_a_row + 1 if error else 0
                if error:
                    yield identity, error
                if in_a_row == _HOPELESS:
                    raise CourseError(f"{_HOPELESS} photographs in a row failed, the last because {error}")
        finally:
            pool.shutdown(cancel_futures=True)


def _photograph(session: requests.Session, url: str) -> bytes:
    with transfer.get(session, url) as response:
        content = bytearray()
        try:
            for block in response.iter_content(2**16):
                content += block
                if len(content) > _LARGEST:
                    raise decode.DecodeError(f"{urlsplit(url).hostname} sends more than a photograph")
        except requests.RequestException:
            raise CourseError(f"{urlsplit(url).hostname} broke off: run this again") from None
    content = bytes(content)
    decode.decode(content, 64)
    return content


def _read(table: Path) -> list[dict[str, str]]:
    try:
        with zipfile.ZipFile(table) as archive:
            lists = sorted(name for name in archive.namelist() if Path(name).name.startswith("photos."))
            if any(archive.getinfo(name).file_size > archives.LARGEST_FILE for name in lists):
                return []
            texts = [archive.read(name).decode("utf-8-sig") for name in lists]
        rows = [row for text in texts for row in _rows(text)]
    # RuntimeError: a member is locked with a password.
    except (zipfile.BadZipFile, zlib.error, EOFError, UnicodeDecodeError, csv.Error, RuntimeError):
        return []
    # A name becomes a file's name: only what Unsplash's names are made of may be in it.
    return [
        row
        for row in rows
        if re.fullmatch(r"[\w-]+", row.get("photo_id") or "", re.ASCII) and row.get("photo_image_url")
    ]


def _rows(text: str) -> Iterator[dict[str, str]]:
    tabs = "\t" in text.partition("\n")[0]
    return csv.DictReader(io.StringIO(text), delimiter="\t" if tabs else ",")


def _about(row: dict[str, str]) -> dict[str, str]:
    names = [row.get("photographer_first_name"), row.get("photographer_last_name")]
    return {
        "url": row["photo_image_url"] + CUT,
        "title": " ".join((row.get("photo_description") or "untitled").split())[:80],
        "author": " ".join(name for name in names if name),
        "page": row.get("photo_url") or "",
    }


def _attribution(chosen: dict[str, dict[str, str]]) -> str:
    table = io.StringIO(newline="")
    writer = csv.writer(table)
    writer.writerow(("file", "title", "author", "license", "source"))
    for identity, about in chosen.items():
        writer.writerow(
            (f"{identity}.jpg", about["title"], about["author"], "Unsplash Dataset", about["page"])
        )
    return table.getvalue()


def _write_manifest(home: Path, manifest: dict) -> None:
    files.write_text(home / "manifest.json", json.dumps(manifest, ensure_ascii=False))
