"""Folders and archives, well-meant and ill-meant."""

import errno
import io
import os
import random
import stat
import tarfile
import tracemalloc
import zipfile

import pytest

from helpers.errors import CourseError
from helpers.photographs import archives

pytestmark = pytest.mark.quick

FILES = {"train/a/1.jpg": b"one", "train/b/Grüße 東京.jpg": b"two", "val/3": b""}


def write_tar(path, entries):
    with tarfile.open(path, "w:gz" if path.suffix in (".gz", ".tgz") else "w") as archive:
        for name, content in entries:
            entry = tarfile.TarInfo(name)
            if isinstance(content, bytes):
                entry.size = len(content)
                archive.addfile(entry, io.BytesIO(content))
            else:
                entry.type, entry.linkname = content
                archive.addfile(entry)
    return path


def write_zip(path, entries):
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in entries:
            archive.writestr(name, content)
    return path


def write_folder(path, entries):
    for name, content in entries:
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(content)
    return path


def read(path):
    return {member.name: member.reason or member.data for member in archives.members(path)}


@pytest.mark.parametrize(
    ("write", "name"),
    [(write_tar, "x.tar"), (write_tar, "x.tgz"), (write_zip, "x.zip"), (write_folder, "x"), (write_tar, "x")],
)
def test_every_container_gives_the_same_files(write, name, tmp_path):
    assert read(write(tmp_path / name, FILES.items())) == FILES


def test_the_files_of_a_tar_are_not_remembered(tmp_path):
    path = write_tar(tmp_path / "x.tar", [(f"{number}.jpg", b"") for number in range(3000)])
    tracemalloc.start()
    held = [tracemalloc.get_traced_memory()[0] for _ in archives.members(path)]
    tracemalloc.stop()
    assert len(held) == 3000
    assert held[-1] - held[99] < 400_000  # of which the list has half; tarfile would keep ten times that


@pytest.mark.skipif(os.name != "posix", reason="elsewhere such names cannot be written")
def test_names_in_an_older_encoding_are_made_readable(tmp_path):
    (tmp_path / "x").mkdir()
    latin = os.fsdecode(bytes("Grüße.jpg", "latin-1"))
    try:
        (tmp_path / "x" / latin).write_bytes(b"one")
    except OSError:
        pytest.skip("this file system wants UTF-8")
    for path in (tmp_path / "x", write_tar(tmp_path / "x.tar", [(latin, b"one")])):
        (name,) = read(path)
        assert name == "Gr\N{REPLACEMENT CHARACTER}\N{REPLACEMENT CHARACTER}e.jpg"
        assert archives.fingerprint(path)


def test_hidden_files_and_litter_are_passed_over(tmp_path):
    litter = {".DS_Store": b"x", "a/.hidden/1.jpg": b"x", "__MACOSX/a/._1.jpg": b"x", "a/Thumbs.db": b"x"}
    kept = {"a/1.jpg": b"y"}
    entries = (litter | kept).items()
    for path in (
        write_tar(tmp_path / "x.tar", entries),
        write_zip(tmp_path / "x.zip", entries),
        write_folder(tmp_path / "x", entries),
    ):
        assert read(path) == kept


def test_what_programs_put_beside_photographs_is_passed_over(tmp_path):
    kept = {"a/1.jpg": b"y", "thumbnails/#sea @home.jpg": b"z", "recycler.jpg": b"w"}
    litter = (
        "@eaDir/1.jpg/SYNOPHOTO_THUMB_M.jpg",
        ".thumbnails/1.jpg",
        ".picasaoriginals/1.jpg",
        "#recycle/1.jpg",
    )
    litter += (
        "Album Previews.lrdata/A/1.jpg",
        "$RECYCLE.BIN/1.jpg",
        "lost+found/1.jpg",
        "1.jpg@SynoResource",
    )
    entries = (kept | dict.fromkeys([*litter, *(f"a/{name}" for name in litter)], b"x")).items()
    for path in (
        write_tar(tmp_path / "x.tar", entries),
        write_zip(tmp_path / "x.zip", entries),
        write_folder(tmp_path / "x", entries),
    ):
        assert read(path) == kept


def test_slashes_of_windows_are_slashes(tmp_path):
    for write, name in ((write_zip, "x.zip"), (write_tar, "x.tar"), (write_folder, "x")):
        path = write(tmp_path / name, [("set\\test\\1.jpg", b"one")])
        assert read(path) == {"set/test/1.jpg": b"one"}


needs_links = pytest.mark.skipif(os.name != "posix", reason="elsewhere links need a privilege")


@needs_links
def test_links_in_a_folder_are_followed(tmp_path):
    write_folder(tmp_path / "elsewhere", [("1.jpg", b"one"), ("more/2.jpg", b"two")])
    write_folder(tmp_path / "x", [("3.jpg", b"three")])
    (tmp_path / "x" / "val").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "x" / "4.jpg").symlink_to("3.jpg")
    assert read(tmp_path / "x") == {
        "3.jpg": b"three",
        "4.jpg": b"three",
        "val/1.jpg": b"one",
        "val/more/2.jpg": b"two",
    }
    before = archives.fingerprint(tmp_path / "x")
    (tmp_path / "elsewhere" / "more" / "2.jpg").write_bytes(b"other")
    assert archives.fingerprint(tmp_path / "x") != before


@needs_links
def test_what_cannot_be_read_in_a_folder_is_named(tmp_path, monkeypatch):
    folder = write_folder(tmp_path / "x", [("a/1.jpg", b"one"), ("locked/2.jpg", b"two")])
    (folder / "a" / "again").symlink_to(folder)
    (folder / "a" / "itself").symlink_to("itself")
    (folder / "gone.jpg").symlink_to("nowhere.jpg")
    os.mkfifo(folder / "pipe.jpg")
    scan = os.scandir

    def refuse(path):
        # A user with every right, as in a container, could enter the folder whatever its mode.
        if os.fspath(path).endswith("locked"):
            raise PermissionError(13, "Permission denied")
        return scan(path)

    monkeypatch.setattr(os, "scandir", refuse)
    assert read(folder) == {
        "a/1.jpg": b"one",
        "a/again": "a link back to a folder that it lies in",
        "a/itself": "a link to nothing",
        "gone.jpg": "a link to nothing",
        "locked": "cannot be read (Permission denied)",
        "pipe.jpg": "not a file with content",
    }
    assert archives.fingerprint(folder)
    with pytest.raises(CourseError, match=r"locked cannot be read \(Permission denied\)$"):
        read(folder / "locked")


ESCAPES = ["../x.jpg", "a/../../x.jpg", "/etc/x.jpg", "..\\x.jpg", "C:/x.jpg", "C:\\x.jpg", "\\\\host\\x.jpg"]


@pytest.mark.parametrize("name", ESCAPES)
def test_names_that_lead_out_are_refused(name, tmp_path):
    for path in (
        write_tar(tmp_path / "x.tar", [(name, b"x"), ("good.jpg", b"y")]),
        write_zip(tmp_path / "x.zip", [(name, b"x"), ("good.jpg", b"y")]),
    ):
        found = read(path)
        assert found.pop("good.jpg") == b"y"
        assert list(found.values()) == ["its name leads out of the archive"]
    assert sorted(file.name for file in tmp_path.rglob("*")) == ["x.tar", "x.zip"]


def test_links_and_devices_are_refused(tmp_path):
    kinds = (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE)
    path = write_tar(tmp_path / "x.tar", [(f"{kind}", (kind, "/etc/passwd")) for kind in kinds])
    assert set(read(path).values()) == {"a link or a device, not a file"}
    assert len(read(path)) == len(kinds)
    link = zipfile.ZipInfo("link.jpg")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    path = write_zip(tmp_path / "x.zip", [(link, b"/etc/passwd")])
    assert read(path) == {"link.jpg": "a link or a device, not a file"}


def test_locked_files_are_named(tmp_path):
    path = write_zip(tmp_path / "x.zip", [("a.jpg", b"x")])
    locked = bytearray(path.read_bytes())
    for signature, offset in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        locked[locked.index(signature) + offset] |= 1
    path.write_bytes(locked)
    assert read(path) == {"a.jpg": "locked with a password"}


def test_files_compressed_in_an_unknown_way_are_named(tmp_path):
    path = write_zip(tmp_path / "x.zip", [("a.jpg", b"x"), ("b.jpg", b"y")])
    strange = bytearray(path.read_bytes())
    for signature, offset in ((b"PK\3\4", 8), (b"PK\1\2", 10)):
        strange[strange.index(signature) + offset] = 97  # WavPack
    path.write_bytes(strange)
    assert read(path) == {"a.jpg": "compressed in a way that Python does not read", "b.jpg": b"y"}


def test_limits_on_files_and_bytes(tmp_path, monkeypatch):
    paths = [
        write_tar(tmp_path / "x.tar", FILES.items()),
        write_zip(tmp_path / "x.zip", FILES.items()),
        write_folder(tmp_path / "x", FILES.items()),
    ]
    for path in paths:
        with monkeypatch.context() as patch:
            patch.setattr(archives, "MOST_FILES", 2)
            with pytest.raises(CourseError, match="holds more than 2 files"):
                read(path)
        with monkeypatch.context() as patch:
            patch.setattr(archives, "MOST_BYTES", 5)
            with pytest.raises(CourseError, match="holds more than"):
                read(path)
        with monkeypatch.context() as patch:
            patch.setattr(archives, "LARGEST_FILE", 2)
            assert read(path)["train/a/1.jpg"].startswith("larger than")
            assert read(path)["val/3"] == b""


def test_a_zip_that_lies_about_its_sizes_is_not_believed(tmp_path, monkeypatch):
    path = tmp_path / "x.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("bomb.jpg", bytes(10**6))
    lying = bytearray(path.read_bytes())
    lying[lying.index(b"PK\1\2") + 24 : lying.index(b"PK\1\2") + 28] = (10).to_bytes(4, "little")
    path.write_bytes(lying)
    try:
        found = read(path)
    except CourseError:
        return
    assert len(found["bomb.jpg"]) <= 10


@pytest.mark.parametrize("name", ["x.tar", "x.tgz", "x.zip"])
def test_a_damaged_archive_is_one_line(name, tmp_path):
    content = [("a.jpg", os.urandom(50_000)), ("b.jpg", os.urandom(50_000))]
    path = (write_zip if name == "x.zip" else write_tar)(tmp_path / name, content)
    path.write_bytes(path.read_bytes()[:70_000])
    with pytest.raises(CourseError) as refusal:
        read(path)
    assert "\n" not in str(refusal.value)


def test_what_is_no_container(tmp_path):
    (tmp_path / "x.txt").write_text("hello")
    for path in (tmp_path / "x.txt", tmp_path / "nowhere"):
        with pytest.raises(CourseError, match="neither a folder nor"):
            read(path)


@pytest.mark.parametrize("name", ["x.tar", "x.tgz", "x.tar.gz", "x.tar.bz2", "x.tar.xz"])
def test_a_tar_that_ends_with_a_zip_is_a_tar(name, tmp_path):
    inner = write_zip(tmp_path / "inner.zip", [("wrong.jpg", b"wrong")]).read_bytes()
    path = tmp_path / name
    with tarfile.open(
        path, {"bz2": "w:bz2", "xz": "w:xz", "tar": "w"}.get(name[-3:].lstrip("."), "w:gz")
    ) as archive:
        for member, content in (("a.jpg", b"one"), ("last.zip", inner)):
            entry = tarfile.TarInfo(member)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    for rest in (b"", inner):
        path.write_bytes(path.read_bytes() + rest)
        if name == "x.tar" or not rest:
            assert read(path) == {"a.jpg": b"one", "last.zip": inner}


@pytest.mark.parametrize(
    "start", [b"\xff\xd8\xff\xe0", b"%PDF-1.7", b"\x1f\x8b\x08\0", b"a letter", b"Rar!\x1a\7"]
)
def test_what_only_ends_like_a_zip_is_none(start, tmp_path):
    inner = write_zip(tmp_path / "inner.zip", FILES.items()).read_bytes()
    (tmp_path / "x").write_bytes(start.ljust(600, b"x") + inner)
    with pytest.raises(CourseError, match="neither a folder nor"):
        read(tmp_path / "x")


@pytest.mark.parametrize("program", [b"MZ\x90\0", b"\x7fELF", b"#!/bin/sh\nexit\n", b"\xcf\xfa\xed\xfe"])
def test_a_zip_that_unpacks_itself_is_read(program, tmp_path):
    inner = write_zip(tmp_path / "inner.zip", FILES.items()).read_bytes()
    (tmp_path / "x.exe").write_bytes(program.ljust(600, b"\0") + inner)
    assert read(tmp_path / "x.exe") == FILES
    (tmp_path / "x.exe").write_bytes(program.ljust(600, b"\0"))
    with pytest.raises(CourseError, match="neither a folder nor"):
        read(tmp_path / "x.exe")


def test_an_empty_zip_is_a_zip(tmp_path):
    assert read(write_zip(tmp_path / "x.zip", [])) == {}


@pytest.mark.parametrize("kind", ["gz", "bz2", "xz"])
def test_a_tar_whose_first_block_is_damaged_is_one_line(kind, tmp_path):
    path = tmp_path / "x"
    with tarfile.open(path, f"w:{kind}") as archive:
        entry = tarfile.TarInfo("a.jpg")
        entry.size = 10_000
        archive.addfile(entry, io.BytesIO(random.Random(0).randbytes(10_000)))
    whole = bytearray(path.read_bytes())
    whole[20:60] = bytes(40)
    path.write_bytes(whole)
    with pytest.raises(CourseError) as refusal:
        read(path)
    assert "\n" not in str(refusal.value)


def test_an_archive_that_may_not_be_read_is_one_line(tmp_path, monkeypatch):
    path = write_zip(tmp_path / "x.zip", FILES.items())

    def refuse(*_):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(type(path), "open", refuse)
    with pytest.raises(CourseError, match=r"x\.zip cannot be read \(Permission denied\)$"):
        read(path)


def test_fingerprint_changes_with_every_change(tmp_path):
    folder = write_folder(tmp_path / "x", FILES.items())
    seen = {archives.fingerprint(folder)}
    (folder / "new.jpg").write_bytes(b"x")
    seen.add(archives.fingerprint(folder))
    (folder / "new.jpg").write_bytes(b"xy")
    seen.add(archives.fingerprint(folder))
    os.utime(folder / "new.jpg", ns=(1, 1))
    seen.add(archives.fingerprint(folder))
    (folder / "new.jpg").rename(folder / "newer.jpg")
    seen.add(archives.fingerprint(folder))
    assert len(seen) == 5
    assert archives.fingerprint(folder) in seen
