"""Where things lie, and what is said of a place where nothing can."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from helpers import places
from helpers.errors import CourseError
from helpers.places import ROOT

pytestmark = pytest.mark.quick


def large(tmp_path, elsewhere):
    """The folders for what is large, in a process with an environment of its own."""
    code = "from helpers import places; print(places.DOWNLOADS, places.CACHE, places.DATA, sep='\\n')"
    home = {"HOME": str(tmp_path), "USERPROFILE": str(tmp_path)}
    kept = {name: value for name, value in os.environ.items() if name != places.ELSEWHERE}
    found = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=kept | home | elsewhere,
        capture_output=True,
        text=True,
        check=True,
    )
    return [Path(line) for line in found.stdout.splitlines()]


@pytest.mark.parametrize(
    ("elsewhere", "folder"),
    [
        ({}, ROOT / "data"),
        ({"COURSE_DATA": ""}, ROOT / "data"),
        ({"COURSE_DATA": "~/large"}, Path("large")),
        ({"COURSE_DATA": "data/large"}, ROOT / "data" / "large"),
    ],
)
def test_what_is_large_lies_where_it_is_told_to(elsewhere, folder, tmp_path):
    folder = tmp_path / folder  # which leaves an absolute path as it is
    assert large(tmp_path, elsewhere) == [folder / "downloads", folder / "cache", ROOT / "data"]


def test_a_folder_that_can_be_made_is_no_error(tmp_path):
    places.check_folder(tmp_path / "new" / "below")
    assert not (tmp_path / "new").exists()


def test_a_file_is_no_folder(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(
        CourseError, match=r"cannot write to .*below: .*file is a file, not a folder: go away$"
    ):
        places.check_folder(tmp_path / "file" / "below", "go away")


def test_a_folder_that_is_not_for_writing_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, mode: path != tmp_path)
    with pytest.raises(CourseError) as error:
        places.check_folder(tmp_path / "new" / "below")
    assert (
        str(error.value) == f"cannot write to {tmp_path / 'new' / 'below'}: you may not write in {tmp_path}"
    )


def test_a_copy_is_no_lesson(tmp_path):
    names = (
        "02_two",
        "01_one",
        "01_one-Copy1",
        "01_one copy",
        "Copy of 01_one",
        "01_one (1)",
        "1_one",
        "notes",
    )
    for name in names:
        (tmp_path / f"{name}.ipynb").touch()
    assert [path.stem for path in places.lessons(tmp_path)] == ["01_one", "02_two"]
