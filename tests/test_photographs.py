"""Photographs of any source: whole, clean, in an order and a split that stay."""

import csv
import errno
import json
import multiprocessing
import os
import shutil
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image
from test_archives import write_tar, write_zip
from test_download import Terminal

from helpers import augment
from helpers import photographs as room
from helpers.errors import CourseError
from helpers.photographs import load, prepare, sources, transfer
from helpers.photographs.decode import decode
from helpers.photographs.hygiene import SPLITS
from helpers.places import ROOT, SAMPLE

pytestmark = pytest.mark.quick


def scene(seed):
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), np.uint8)
    return Image.fromarray(coarse).resize((80, 64), Image.Resampling.BICUBIC)


@pytest.fixture(scope="module")
def album(tmp_path_factory):
    """Thirty photographs in two folders, and what else lies about in a folder of photographs."""
    folder = tmp_path_factory.mktemp("album")
    for number in range(30):
        place = folder / ("sea" if number % 2 else "Größe 東京")
        place.mkdir(exist_ok=True)
        scene(number).save(place / f"{number:02d}.png")
    (folder / "sea" / "UPPER.JPG").write_bytes((folder / "sea" / "01.png").read_bytes())
    scene(50).save(folder / "no_extension", "JPEG")
    (folder / "empty.jpg").write_bytes(b"")
    (folder / "page.jpg").write_text("<html>not found</html>")
    (folder / "notes.txt").write_text("remember the milk")
    (folder / "cut.png").write_bytes((folder / "sea" / "03.png").read_bytes()[:500])
    (folder / ".DS_Store").write_bytes(b"x")
    return folder


def rows_by_name(photographs):
    return dict(zip(photographs.names, photographs.rgb, strict=True))


def test_the_sample_has_its_written_split(tmp_path):
    with (SAMPLE / "split.csv").open(encoding="utf-8", newline="") as file:
        table = list(csv.DictReader(file))
    photographs = load("sample", 64, cache=tmp_path)
    assert photographs.counts == {"train": 40, "validation": 6, "test": 8}
    assert [row["split"] for row in table] == photographs.splits
    assert [row["file"] for row in table] == photographs.names
    assert all(row["reason"] for row in table)
    assert photographs.skipped == photographs.set_aside == []
    assert all(photographs.credits)
    assert photographs.labels == [""] * 54
    free = ("public domain", "CC0", "CC BY")
    assert all(any(each in credit for each in free) for credit in photographs.credits)


def test_the_sample_is_credited_file_by_file():
    with (SAMPLE / "ATTRIBUTION.csv").open(encoding="utf-8", newline="") as file:
        credited = {row["file"] for row in csv.DictReader(file)}
    assert credited == {file.name for file in SAMPLE.glob("*.jpg")}
    assert set(sources.skimage_photographs()) == set(sources.SHIPPED_WITH_SKIMAGE)


def test_a_folder_of_ones_own(album, tmp_path):
    photographs = load(album, 48, cache=tmp_path)
    assert len(photographs) == 31
    assert photographs.rgb.shape == (31, 48, 48, 3)
    assert photographs.rgb.dtype == np.uint8
    assert photographs.splits == sorted(photographs.splits, key=SPLITS.index)
    for name, row in rows_by_name(photographs).items():
        assert np.array_equal(row, decode(album / name, 48))
    labels = dict(zip(photographs.names, photographs.labels, strict=True))
    assert labels["no_extension"] == ""
    assert labels["sea/03.png"] == "sea"
    assert dict(photographs.skipped) == {
        "empty.jpg": "the file is empty",
        "page.jpg": "a web page, not a picture",
        "notes.txt": "text, not a picture",
        "cut.png": dict(photographs.skipped)["cut.png"],
    }
    assert dict(photographs.set_aside).keys() <= {"sea/UPPER.JPG", "sea/01.png"}
    assert photographs.set_aside[0][1].startswith("duplicate: see sea/")


def test_archives_give_what_the_folder_gives(album, tmp_path):
    entries = [
        (f"album/{file.relative_to(album).as_posix()}", file.read_bytes())
        for file in sorted(album.rglob("*"), reverse=True)
        if file.is_file()
    ]
    folder = load(album, 32, cache=tmp_path)
    for path in (
        write_zip(tmp_path / "a.zip", entries),
        write_tar(tmp_path / "a.tar", entries),
        write_tar(tmp_path / "a.tgz", entries),
    ):
        packed = load(path, 32, cache=tmp_path)
        assert packed.names == folder.names
        assert packed.checksum == folder.checksum
        assert np.array_equal(packed.rgb, folder.rgb)


def test_splits_are_views_and_read_only(album, tmp_path):
    photographs = load(album, 32, cache=tmp_path)
    parts = photographs.train, photographs.validation, photographs.test
    assert sum(map(len, parts)) == len(photographs)
    assert [len(part) for part in parts] == list(photographs.counts.values())
    for part, split in zip(parts, SPLITS, strict=True):
        assert set(part.splits) == {split}
        assert np.shares_memory(part.rgb, photographs.rgb)
        assert len(part.names) == len(part.labels) == len(part.credits) == len(part.rgb) == len(part)
    assert np.concatenate([part.names for part in parts]).tolist() == photographs.names
    assert len(photographs.test.train) == 0
    assert photographs.train[:5].names == photographs.names[:5]
    with pytest.raises(ValueError, match="read-only"):
        photographs.rgb[0] = 0
    base = photographs.rgb
    while isinstance(base, np.ndarray) and base.base is not None:
        base = base.base
    assert "mmap" in type(base).__name__


def test_the_first_with_color_leave_out_the_grey(tmp_path):
    for folder in ("train", "val"):
        (tmp_path / "source" / folder).mkdir(parents=True)
        for number in range(8):
            picture = scene(number + 10 * (folder == "val"))
            grey = folder == "val" and number % 2
            (picture.convert("L") if grey else picture).save(tmp_path / "source" / folder / f"{number}.png")
    test = load(tmp_path / "source", 16, cache=tmp_path / "cache").test
    assert (test.chroma <= 5).sum() == 4
    for most, wanted in ((3, 3), (100, 4)):
        rows = [row for row in range(len(test)) if test.chroma[row] > 5][:wanted]
        colored = test.colored(most)
        assert colored.names == [test.names[row] for row in rows]
        np.testing.assert_array_equal(colored.rgb, test.rgb[rows])
        np.testing.assert_array_equal(colored.colorfulness, test.colorfulness[rows])
        assert colored.key == test.key
    assert len(test.colored(0)) == 0


def test_where_all_have_color_nothing_is_copied(album, tmp_path):
    train = load(album, 16, cache=tmp_path).train
    assert train.colored(1000).names == train.names
    assert np.shares_memory(train.colored(5).rgb, train.rgb)
    assert train.colored(5).names == train.names[:5]


def test_the_split_does_not_depend_on_size_name_or_company(album, tmp_path):
    splits = dict(zip((p := load(album, 32, cache=tmp_path)).names, p.splits, strict=True))
    larger = load(album, 64, cache=tmp_path)
    assert dict(zip(larger.names, larger.splits, strict=True)) == splits
    grown = tmp_path / "grown"
    shutil.copytree(album, grown)
    for number in range(100, 140):
        scene(number).save(grown / f"{number}.png")
    later = load(grown, 32, cache=tmp_path)
    later = dict(zip(later.names, later.splits, strict=True))
    assert all(later.get(name, split) == split for name, split in splits.items() if split != "test")
    assert {name for name, split in later.items() if split == "test"} & splits.keys() <= {
        name for name, split in splits.items() if split == "test"
    }


def test_train_and_val_folders_are_kept_apart(tmp_path):
    for number in range(24):
        place = tmp_path / "set" / ("val" if number % 4 == 0 else "train") / "class"
        place.mkdir(parents=True, exist_ok=True)
        scene(number).save(place / f"{number}.png")
    scene(0).save(tmp_path / "set" / "train" / "class" / "again.jpg", quality=85)
    scene(1).convert("L").save(tmp_path / "set" / "train" / "class" / "grey.png")
    scene(2).convert("L").save(tmp_path / "set" / "val" / "class" / "grey.png")
    photographs = load(tmp_path / "set", 32, cache=tmp_path / "cache")
    test = photographs.test
    assert sorted(test.names) == sorted(
        [f"val/class/{n}.png" for n in range(0, 24, 4)] + ["val/class/grey.png"]
    )
    assert set(photographs.labels) == {"class"}
    aside = dict(photographs.set_aside)
    assert aside["train/class/again.jpg"] == "near duplicate: see val/class/0.png in test"
    assert aside["train/class/grey.png"] == "grey: no color to learn from"
    report = photographs.report()
    assert report["set aside"].startswith(f"{len(aside)}: ")
    assert report["test"] == "7, of them 1 grey and 1 weakly colored"
    assert report["could not be decoded"] == "0"
    assert report["short side"] == "64 to 64 pixels, the middle one 64"


def test_a_split_and_credits_of_ones_own(tmp_path):
    home = tmp_path / "mine"
    home.mkdir()
    for number in range(4):
        scene(number).save(home / f"{number}.png")
    (home / "split.csv").write_text("file,split\n3.png,train\n1.png,train\n2.png,validation\n0.png,test\n")
    (home / "ATTRIBUTION.csv").write_text("file,title,author,licence,source\n2.png,pond,Ada,CC0,here\n")
    photographs = load(home, 16, cache=tmp_path)
    assert photographs.names == ["3.png", "1.png", "2.png", "0.png"]
    assert photographs.credits == ["", "", "pond, Ada, CC0, here", ""]
    assert photographs.skipped == []
    (home / "pond").mkdir()
    for file in home.glob("*.png"):
        file.rename(home / "pond" / file.name)
    (home / "split.csv").write_text("file,split\npond/3.png,train\npond/2.png,validation\npond/1.png,test\n")
    photographs = load(home, 16, cache=tmp_path)
    splits = dict(zip(photographs.names, photographs.splits, strict=True))
    assert (splits["pond/2.png"], splits["pond/1.png"]) == ("validation", "test")
    (home / "split.csv").write_text("file,split\n3.png,teaching\n")
    with pytest.raises(CourseError, match=r"'teaching': train, validation, test are the splits"):
        load(home, 16, cache=tmp_path)


TABLES = {
    "license, the American way": b"file,title,author,license,source\n2.png,pond,Ada,CC0,here\n",
    "a short row": b"file,title,author,license,source\n0.png\n2.png,pond,Ada,CC0\n",
    "a byte order mark": b"\xef\xbb\xbffile,title,author,licence,source\n2.png,pond,Ada,CC0,\n",
}


def four(home):
    home.mkdir()
    for number in range(4):
        scene(number).save(home / f"{number}.png")
    return home


@pytest.mark.parametrize("table", TABLES.values(), ids=TABLES)
def test_credits_written_by_anyone(table, tmp_path):
    (four(tmp_path / "mine") / "ATTRIBUTION.csv").write_bytes(table)
    photographs = load(tmp_path / "mine", 16, cache=tmp_path)
    credits = dict(zip(photographs.names, photographs.credits, strict=True))
    assert credits["2.png"].removesuffix(", here") == "pond, Ada, CC0"
    assert credits["0.png"] == ""


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_a_split_written_by_anyone(mark, tmp_path):
    table = mark + b"file,split\n3.png,test\n1.png,train\n2.png,validation\n0.png\n\n"
    (four(tmp_path / "mine") / "split.csv").write_bytes(table)
    photographs = load(tmp_path / "mine", 16, cache=tmp_path)
    splits = dict(zip(photographs.names, photographs.splits, strict=True))
    assert (splits["3.png"], splits["1.png"], splits["2.png"]) == ("test", "train", "validation")


@pytest.mark.parametrize(
    ("name", "table", "message"),
    [
        ("split.csv", b"picture,split\n0.png,train\n", "needs the columns file, split, and has no file"),
        ("split.csv", b"file;split\n0.png;train\n", "needs the columns file, split"),
        ("ATTRIBUTION.csv", b"file,author\n0.png,Ada\n", "and has no title, license, source"),
        (
            "split.csv",
            "file,split\nGr\u00f6\u00dfe.png,train\n".encode("latin-1"),
            "not a table of commas in UTF-8",
        ),
        ("ATTRIBUTION.csv", "file,title".encode("utf-16"), "not a table of commas in UTF-8"),
    ],
)
def test_a_table_that_cannot_be_used_is_one_line(name, table, message, tmp_path):
    (four(tmp_path / "mine") / name).write_bytes(table)
    with pytest.raises(CourseError, match=f"{name}: .*{message}") as refusal:
        load(tmp_path / "mine", 16, cache=tmp_path)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("middle", ["val", "validation"])
def test_a_source_with_three_folders_keeps_them(middle, tmp_path):
    for number in range(12):
        place = tmp_path / "set" / ("train", middle, "test")[number % 3]
        place.mkdir(parents=True, exist_ok=True)
        scene(number).save(place / f"{number}.png")
    photographs = load(tmp_path / "set", 16, cache=tmp_path)
    for part, folder in (("train", "train"), ("validation", middle), ("test", "test")):
        found = getattr(photographs, part).labels
        assert found == [folder] * 4


def test_other_pixels_have_another_key_and_another_augmented_file(album, tmp_path, monkeypatch):
    monkeypatch.setattr(augment, "CACHE", tmp_path)
    before = load(album, 16, cache=tmp_path)
    first = augment.prepare(before.train, ()).filename
    monkeypatch.setattr(room, "pillow_version", "0.1")
    after = load(album, 16, cache=tmp_path)
    assert augment.prepare(after.train, ()).filename != first
    assert after.key != before.key
    assert after.checksum == before.checksum, "the files are the same"
    assert load(album, 24, cache=tmp_path).key != after.key


def test_one_photograph_is_asked_for_in_another_way(album, tmp_path):
    photographs = load(album, 16, cache=tmp_path)
    with pytest.raises(CourseError, match=r"photographs\[3\]: give a slice"):
        photographs[3]
    assert photographs == photographs
    assert photographs != photographs[:]
    assert isinstance(hash(photographs), int)


def test_a_folder_that_another_process_changes_is_one_line(album, tmp_path, monkeypatch):
    monkeypatch.setattr(room, "_open", lambda *_: None)
    with pytest.raises(CourseError, match="was changed while it was read: run this again"):
        load(album, 16, cache=tmp_path)


@pytest.mark.parametrize("place", ["notebook", "terminal"])
def test_preparing_leaves_no_trace_in_a_notebook(place, album, tmp_path, monkeypatch):
    monkeypatch.setattr(transfer, "SECONDS_UNSEEN", 0)
    monkeypatch.setattr("sys.stderr", Terminal())
    shell = SimpleNamespace(kernel=None) if place == "notebook" else None
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: shell))
    load(album, 16, cache=tmp_path)
    assert ("preparing album" in sys.stderr.getvalue()) == (place == "terminal")
    with transfer.progress() as bar:
        assert not bar.disable, "a download is shown in both"


def test_flowers_credits_are_read(tmp_path):
    home = tmp_path / "flower_photos"
    for number, kind in enumerate(("roses", "roses", "daisy", "daisy")):
        (home / kind).mkdir(parents=True, exist_ok=True)
        scene(number).save(home / kind / f"{number}.png")
    license_text = "All images are …\n\ndaisy/2.png CC-BY by Ada L - https://example.org/2\n"
    (home / "LICENSE.txt").write_text(license_text, encoding="utf-8")
    photographs = load(home, 16, cache=tmp_path)
    credits = dict(zip(photographs.names, photographs.credits, strict=True))
    assert credits["daisy/2.png"] == "Ada L - https://example.org/2, CC BY 2.0"


def test_bad_sources_get_one_clear_line(tmp_path, album):
    (tmp_path / "none").mkdir()
    (tmp_path / "words").mkdir()
    (tmp_path / "words" / "a.txt").write_text("hello")
    (tmp_path / "one").mkdir()
    scene(0).save(tmp_path / "one" / "0.png")
    (tmp_path / "grey").mkdir()
    for number in range(6):
        scene(number).convert("L").save(tmp_path / "grey" / f"{number}.png")
    for source, message in (
        (
            tmp_path / "nowhere",
            "no photographs at .*nowhere: give a folder, a .zip or .tar, or one of sample, imag",
        ),
        (tmp_path / "none", "no photograph in .*none: 0 files were looked at"),
        (tmp_path / "words", "1 files were looked at, for example a.txt: text, not a picture"),
        (
            tmp_path / "one",
            "gives 0 photographs to learn from, 0 for validation, 1 for test .*add photographs",
        ),
        (tmp_path / "grey", "gives 0 photographs to learn from"),
        (album / "notes.txt", "neither a folder nor a .zip or .tar"),
    ):
        with pytest.raises(CourseError, match=message) as refusal:
            load(source, 16, cache=tmp_path / "cache")
        assert "\n" not in str(refusal.value)
    for size in (0, 7, 1025, 96.0, "96", None):
        with pytest.raises(CourseError, match="choose a whole number from 8 to 1024"):
            load("sample", size, cache=tmp_path)


def only_open(source, size, cache, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(prepare, "prepare", lambda *_: pytest.fail("prepared again"))
        return load(source, size, cache=cache)


def test_what_was_prepared_is_opened_again(album, tmp_path, monkeypatch):
    first = load(album, 32, cache=tmp_path)
    again = only_open(album, 32, tmp_path, monkeypatch)
    assert np.array_equal(first.rgb, again.rgb)
    for field in (
        "names",
        "labels",
        "credits",
        "splits",
        "skipped",
        "set_aside",
        "checksum",
        "key",
        "origin",
    ):
        assert getattr(first, field) == getattr(again, field), field
    assert np.array_equal(first.colorfulness, again.colorfulness)


def test_a_change_of_the_source_is_noticed(album, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(album, copy)
    before = load(copy, 16, cache=tmp_path / "cache")
    scene(99).save(copy / "99.png")
    after = load(copy, 16, cache=tmp_path / "cache")
    assert len(after) == len(before) + 1
    assert after.checksum != before.checksum
    arrays = list((tmp_path / "cache").rglob("*.npy"))
    assert len(arrays) == 1, "the array that is no longer needed fills the disk"


@pytest.mark.parametrize(
    "harm", ["array missing", "array cut", "record missing", "record cut", "record older"]
)
def test_what_is_not_whole_is_prepared_again(harm, album, tmp_path, monkeypatch):
    before = load(album, 16, cache=tmp_path)
    whole, names = np.array(before.rgb), before.names
    (array,) = tmp_path.rglob("*.npy")
    (record,) = tmp_path.rglob("record.json")
    if harm == "array missing":
        array.unlink()
    elif harm == "array cut":
        array.write_bytes(array.read_bytes()[:-1])
    elif harm == "record missing":
        record.unlink()
    elif harm == "record cut":
        record.write_text(record.read_text(encoding="utf-8")[:100], encoding="utf-8")
    else:
        about = json.loads(record.read_text(encoding="utf-8"))
        record.write_text(json.dumps(about | {"key": "0" * 64, "names": names[::-1]}), encoding="utf-8")
    after = load(album, 16, cache=tmp_path)
    assert np.array_equal(after.rgb, whole)
    assert after.names == names
    only_open(album, 16, tmp_path, monkeypatch)


@pytest.mark.parametrize("step", ["_decode_batch", "_arrange", "_copy_rows"])
def test_an_interrupted_preparation_is_never_taken_for_whole(step, album, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:

        def interrupt(*_):
            raise KeyboardInterrupt

        patch.setattr(prepare, step, interrupt)
        with pytest.raises(KeyboardInterrupt):
            load(album, 16, cache=tmp_path)
    assert not [file for file in tmp_path.rglob("*") if file.is_file()]
    assert len(load(album, 16, cache=tmp_path)) == 31


def _prepare_and_be_killed(album, cache, reached):
    prepare._copy_rows = lambda *_: (reached.set(), time.sleep(60))
    load(album, 16, cache=cache)


def test_a_killed_preparation_is_never_taken_for_whole(album, tmp_path):
    context = multiprocessing.get_context("spawn")
    reached = context.Event()
    process = context.Process(target=_prepare_and_be_killed, args=(album, tmp_path, reached))
    process.start()
    assert reached.wait(60)
    process.kill()
    process.join()
    (leftover,) = tmp_path.rglob("preparing-*")
    assert len(load(album, 16, cache=tmp_path)) == 31
    assert leftover.exists(), "it might have been another process at work"
    long_ago = time.time() - 2 * 86_400
    os.utime(leftover, (long_ago, long_ago))
    (record,) = tmp_path.rglob("record.json")
    record.unlink()
    load(album, 16, cache=tmp_path)
    assert not leftover.exists()


def test_two_that_prepare_at_once_do_not_disturb_each_other(album, tmp_path):
    with ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as pool:
        found = list(pool.map(_names_and_sum, [album] * 4, [tmp_path] * 4))
    assert found == [_names_and_sum(album, tmp_path)] * 4


def _names_and_sum(album, cache):
    photographs = load(album, 24, cache=cache)
    return photographs.names, int(photographs.rgb.sum())


def test_a_full_disk_is_one_line(album, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(prepare, "_copy_rows", full)
    with pytest.raises(CourseError, match="No space left on device: make room in"):
        load(album, 16, cache=tmp_path)
    assert not [file for file in tmp_path.rglob("*") if file.is_file()]


def test_preparing_does_not_keep_pictures_in_memory(tmp_path):
    """Far less than the 190 MB that the pictures take is ever held."""
    entries = []
    for number in range(64):
        noise = np.random.default_rng(number).integers(0, 256, (64, 64, 3), np.uint8)
        Image.fromarray(noise).save(tmp_path / "x.jpg", quality=50)
        entries.append((f"{number}.jpg", (tmp_path / "x.jpg").read_bytes()))
    path = write_tar(tmp_path / "x.tar", entries)
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        peak = pool.submit(_peak_while_preparing, path, tmp_path / "cache").result()
    assert peak < 60e6


def _peak_while_preparing(path, cache):
    import tracemalloc

    tracemalloc.start()
    load(path, 1000, cache=cache)
    return tracemalloc.get_traced_memory()[1]


def test_the_benchmark_ends_with_its_numbers(tmp_path):
    benchmark = ROOT / "tests" / "benchmarks" / "prepare.py"
    command = [sys.executable, benchmark, "sample", "--size", "64", "--cache", tmp_path / "new"]
    printed = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT).stdout
    assert list((tmp_path / "new").iterdir()) == []
    measured = json.loads(printed.splitlines()[-1])
    assert measured["photographs"] == 54
    assert measured.keys() == {"photographs", "seconds", "peak_mb", "reopen_s"}
    assert measured["seconds"] > 0
    assert 0 < measured["peak_mb"] < 1000


def test_the_course_leaves_its_cache_out_of_version_control():
    ignored = (ROOT / ".gitignore").read_text(encoding="utf-8").split()
    assert "/data/*" in ignored
