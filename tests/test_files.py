"""Files and folders that are whole or not there, and what is computed once."""

import json
import os
import re
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from helpers import files, places
from helpers.errors import CourseError

pytestmark = pytest.mark.quick


@pytest.fixture(autouse=True)
def cache(monkeypatch, tmp_path):
    monkeypatch.setattr(places, "CACHE", tmp_path / "cache")
    return tmp_path / "cache"


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def write_folder(path):
    path.mkdir()
    (path / "a").write_text("new")


def test_files_are_written_whole(tmp_path):
    files.write_text(tmp_path / "deep" / "x.csv", "Größe\r\n東京\n")
    files.write_bytes(tmp_path / "deep" / "x.csv.2", b"\0")
    assert (tmp_path / "deep" / "x.csv").read_bytes() == "Größe\r\n東京\n".encode()
    assert names(tmp_path / "deep") == ["x.csv", "x.csv.2"]


def test_a_byte_that_is_no_text_is_written_as_json_has_it(tmp_path):
    files.write_text(tmp_path / "x", json.dumps({"name": "ü\udce4"}, ensure_ascii=False))
    assert json.loads((tmp_path / "x").read_text("utf-8")) == {"name": "ü\udce4"}


@pytest.mark.parametrize("write", [Path.touch, write_folder], ids=["file", "folder"])
@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_what_was_not_finished_is_never_seen(write, error, tmp_path):
    (tmp_path / "x").write_text("old")
    with pytest.raises(error), files.replacing(tmp_path / "x") as part:
        write(part)
        assert (tmp_path / "x").read_text() == "old"
        raise error
    assert names(tmp_path) == ["x"]
    assert (tmp_path / "x").read_text() == "old"


def test_a_part_is_hidden_and_keeps_its_ending(tmp_path):
    with files.replacing(tmp_path / "network.keras") as part:
        assert part.parent == tmp_path
        assert part.name.startswith(".network.") and part.suffix == ".keras"
        part.touch()
    assert names(tmp_path) == ["network.keras"]


def test_two_threads_that_write_the_same_file_do_not_mix(tmp_path):
    both_write = threading.Barrier(2)

    def write(letter):
        with files.replacing(tmp_path / "x") as part, part.open("w") as file:
            file.write(letter * 1000)
            both_write.wait()
            file.write(letter * 1000)

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(write, "ab"))
    assert (tmp_path / "x").read_text() in ("a" * 2000, "b" * 2000)
    assert names(tmp_path) == ["x"]


WRITE_MANY = """
import sys
from pathlib import Path
from helpers import files

letter = sys.argv[2]
for _ in range(200):
    with files.replacing(Path(sys.argv[1])) as part:
        part.write_text(letter * 1000)
"""


def test_processes_that_write_the_same_file_all_succeed(tmp_path):
    command = [sys.executable, "-c", WRITE_MANY, tmp_path / "x"]
    processes = [subprocess.Popen([*command, letter]) for letter in "abcd"]
    assert [process.wait() for process in processes] == [0] * 4
    assert (tmp_path / "x").read_text() in [letter * 1000 for letter in "abcd"]
    assert names(tmp_path) == ["x"]


def test_the_folder_that_was_there_first_stays(tmp_path):
    write_folder(tmp_path / "x")
    (tmp_path / "x" / "a").write_text("first")
    with files.replacing(tmp_path / "x") as part:
        write_folder(part)
    assert (tmp_path / "x" / "a").read_text() == "first"
    assert names(tmp_path) == ["x"]


def test_a_folder_does_not_replace_a_file(tmp_path):
    (tmp_path / "x").write_text("old")
    with pytest.raises(OSError), files.replacing(tmp_path / "x") as part:
        write_folder(part)
    assert (tmp_path / "x").read_text() == "old"
    assert names(tmp_path) == ["x"]


@pytest.fixture
def refuse(monkeypatch):
    """Let renaming fail a number of times, as on Windows while another process has the target open."""
    pauses, rename = [], Path.replace

    def refuse(times):
        left = iter(range(times))

        def replace(self, target):
            for _ in left:
                raise PermissionError(13, "used by another process")
            return rename(self, target)

        monkeypatch.setattr(Path, "replace", replace)
        return pauses

    monkeypatch.setattr(files.time, "sleep", pauses.append)
    return refuse


def test_a_file_that_another_process_has_open_is_renamed_within_a_second(refuse, tmp_path):
    (tmp_path / "x").write_text("old")
    pauses = refuse(2)
    files.write_text(tmp_path / "x", "new")
    assert (tmp_path / "x").read_text() == "new"
    assert 0 < sum(pauses) <= 1


def test_a_file_that_stays_open_elsewhere_is_an_error(refuse, tmp_path):
    (tmp_path / "x").write_text("old")
    pauses = refuse(99)
    with pytest.raises(PermissionError):
        files.write_text(tmp_path / "x", "new")
    assert names(tmp_path) == ["x"]
    assert 0 < sum(pauses) <= 1


def test_a_folder_that_allows_no_file_is_an_error_at_once(refuse, tmp_path):
    pauses = refuse(99)
    with pytest.raises(PermissionError):
        files.write_text(tmp_path / "x", "new")
    assert names(tmp_path) == [] and pauses == []


def cached(name="squares-8", *parts, value=1, variant="", written=None):
    def write(path):
        if written is not None:
            written.append(path)
        path.write_text(str(value))

    return files.cached(name, files.digest(*parts), write, lambda path: int(path.read_text()), variant)


def test_what_was_computed_is_read_again(cache):
    written = []
    assert [cached(written=written) for _ in range(2)] == [1, 1]
    assert len(written) == 1
    assert len(names(cache)) == 1


def test_a_folder_can_be_kept():
    for _ in range(2):
        found = files.cached("pair", files.digest(1), write_folder, lambda path: (path / "a").read_text())
        assert found == "new"


@pytest.mark.parametrize("broken", [False, True])
def test_a_cache_that_is_not_for_writing_is_an_error_that_names_another_place(broken, cache, monkeypatch):
    if broken:
        cached()
        (entry,) = cache.iterdir()
        entry.write_text("1 and more")
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(
        CourseError, match=f"cannot write to {re.escape(str(cache))}: .*: set COURSE_DATA to a"
    ):
        cached()


def test_a_cache_that_is_not_for_writing_is_read(cache, monkeypatch):
    cached()
    monkeypatch.setattr(os, "access", lambda *_: False)
    assert cached(value=2) == 1


def test_an_older_entry_is_removed_and_others_are_kept(cache):
    for name in ("squares", "squares-8", "squares-80", "[squares]-8"):
        cached(name, "old")
    cached("squares-8", "old", variant="b")
    assert cached("squares-8", "new", value=2) == 2
    assert cached("squares-8", "new", value=3, variant="b") == 3
    assert cached("[squares]-8", "new", value=4) == 4
    new, old = files.digest("new")[:16], files.digest("old")[:16]
    kept = [f"squares.{old}", f"squares-80.{old}", f"squares-8.{new}", f"squares-8.{new}.b"]
    assert names(cache) == sorted([*kept, f"[squares]-8.{new}"])


def test_an_older_entry_that_is_open_elsewhere_is_left(cache, monkeypatch):
    cached("squares-8", "old")

    def in_use(path):
        raise PermissionError(13, "in use")

    monkeypatch.setattr(files, "_remove", in_use)
    assert cached("squares-8", "new", value=2) == 2


def test_what_a_killed_process_left_is_removed_after_a_day(cache):
    cache.mkdir()
    recent, abandoned = cache / ".squares-8.12345678.part.0", cache / ".squares-8.87654321.part.0"
    for part in (recent, abandoned):
        write_folder(part)
    yesterday = time.time() - 2 * 86_400
    os.utime(abandoned, (yesterday, yesterday))
    cached()
    assert recent.exists() and not abandoned.exists()


@pytest.mark.parametrize("harm", [lambda entry: entry.write_text("1 and more"), Path.mkdir])
def test_an_entry_that_cannot_be_read_is_computed_once_more(harm, cache):
    cached()
    (entry,) = cache.iterdir()
    entry.unlink()
    harm(entry)
    written = []
    assert [cached(written=written) for _ in range(2)] == [1, 1]
    assert len(written) == 1


def test_what_cannot_be_read_even_when_new_is_an_error():
    with pytest.raises(ValueError, match="invalid literal"):
        cached(value="one")


@pytest.mark.parametrize("made_by_another", [True, False])
def test_an_entry_that_another_process_made_and_has_open_serves(made_by_another, refuse, cache):
    def write(path):
        path.write_text("2")
        if made_by_another:
            path.with_name(f"squares.{files.digest()[:16]}").write_text("1")

    refuse(99)
    if made_by_another:
        assert files.cached("squares", files.digest(), write, Path.read_text) == "1"
    else:
        with pytest.raises(PermissionError):
            files.cached("squares", files.digest(), write, Path.read_text)


def test_a_digest_tells_its_parts_apart():
    different = [(), ("a",), ("ab",), ("a", "b"), ("b", "a"), (1, "b"), (np.float32(0.5),), ("\udce4",)]
    assert len({files.digest(*parts) for parts in different}) == len(different)
    assert files.digest("a", 1) == files.digest("a", "1")
    assert len(files.digest()) == 64
