"""Photographs of any source: whole, clean, in an order and a split that stay."""

import csv
import importlib.util
import io
import json
import multiprocessing
import shutil
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image
from test_archives import write_tar, write_zip
from test_download import Terminal

from helpers import augment, places
from helpers.errors import CourseError
from helpers.photographs import collection, load, prepare, sources, transfer
from helpers.photographs.decode import decode
from helpers.photographs.splits import SPLITS
from helpers.places import ROOT, SAMPLE

pytestmark = pytest.mark.quick


@pytest.fixture(autouse=True)
def cache(monkeypatch, tmp_path):
    monkeypatch.setattr(places, "CACHE", tmp_path / "cache")
    monkeypatch.setattr(collection, "_SAID", set())
    return tmp_path / "cache"


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


def test_the_sample_has_its_written_split():
    with (SAMPLE / "split.csv").open(encoding="utf-8", newline="") as file:
        table = list(csv.DictReader(file))
    photographs = load("sample", 64)
    assert photographs.counts == {"train": 40, "validation": 6, "test": 8}
    assert [row["split"] for row in table] == photographs.splits
    assert [row["file"] for row in table] == photographs.names
    assert all(row["reason"] for row in table)
    assert photographs.skipped == photographs.set_aside == []
    assert photographs.rule == "by split.csv"
    assert all(photographs.credits)
    assert photographs.labels == [""] * 54
    free = ("public domain", "CC0", "CC BY")
    assert all(any(each in credit for each in free) for credit in photographs.credits)


def test_the_sample_is_credited_file_by_file():
    with (SAMPLE / "ATTRIBUTION.csv").open(encoding="utf-8", newline="") as file:
        credited = {row["file"] for row in csv.DictReader(file)}
    assert credited == {file.name for file in SAMPLE.glob("*.jpg")}
    assert set(sources.skimage_photographs()) == set(sources.SHIPPED_WITH_SKIMAGE)


def test_a_folder_of_ones_own(album):
    photographs = load(album, 48)
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
    assert photographs.set_aside[0][1].startswith("duplicate in train: see sea/")


def test_archives_give_what_the_folder_gives(album, tmp_path):
    entries = [
        (f"album/{file.relative_to(album).as_posix()}", file.read_bytes())
        for file in sorted(album.rglob("*"), reverse=True)
        if file.is_file()
    ]
    folder = load(album, 32)
    for path in (
        write_zip(tmp_path / "a.zip", entries),
        write_tar(tmp_path / "a.tar", entries),
        write_tar(tmp_path / "a.tgz", entries),
    ):
        packed = load(path, 32)
        assert packed.names == folder.names
        assert packed.checksum == folder.checksum
        assert np.array_equal(packed.rgb, folder.rgb)


def test_splits_are_views_and_read_only(album):
    photographs = load(album, 32)
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


def test_the_split_does_not_depend_on_size_name_or_company(album, tmp_path):
    splits = dict(zip((p := load(album, 32)).names, p.splits, strict=True))
    larger = load(album, 64)
    assert dict(zip(larger.names, larger.splits, strict=True)) == splits
    grown = tmp_path / "grown"
    shutil.copytree(album, grown)
    for number in range(100, 140):
        scene(number).save(grown / f"{number}.png")
    later = load(grown, 32)
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
    photographs = load(tmp_path / "set", 32)
    test = photographs.test
    assert sorted(test.names) == sorted(f"val/class/{n}.png" for n in range(0, 24, 4))
    assert set(photographs.labels) == {"class"}
    aside = dict(photographs.set_aside)
    assert aside["train/class/again.jpg"] == "near duplicate in train: see val/class/0.png in test"
    why = "no color to learn from or to judge by"
    assert aside["train/class/grey.png"] == f"grey in train: {why}"
    assert aside["val/class/grey.png"] == f"grey in test: {why}"
    report = photographs.report()
    assert report["set aside"].startswith(f"{len(aside)}: ")
    assert report["set aside"].endswith("1 near duplicate in train, 1 grey in train, 1 grey in test")
    assert report["test"] == "6, of them 0 weakly colored"
    assert report["could not be decoded"] == "0"
    assert report["short side"] == "64 to 64 pixels, the middle one 64"


def test_a_split_and_credits_of_ones_own(tmp_path, capsys):
    home = several(tmp_path / "mine")
    split = ["train", "train", "validation", "test", "validation", "test"]
    rows = [f"{number}.png,{each}\n" for number, each in zip((3, 1, 2, 0, 5, 4), split, strict=True)]
    (home / "split.csv").write_text("file,split\n" + "".join(rows))
    (home / "ATTRIBUTION.csv").write_text("file,title,author,licence,source\n2.png,pond,Ada,CC0,here\n")
    photographs = load(home, 16)
    assert photographs.names == [f"{number}.png" for number in (3, 1, 2, 5, 0, 4)]
    assert photographs.credits == ["", "", "pond, Ada, CC0, here", "", "", ""]
    assert photographs.skipped == []
    said = "2 train, 2 validation, 2 test, split by split.csv; ATTRIBUTION.csv does not name 5: "
    assert capsys.readouterr().out.startswith(f"mine: {said}")
    (home / "pond").mkdir()
    for file in home.glob("*.png"):
        file.rename(home / "pond" / file.name)
    (home / "split.csv").write_text("file,split\n" + "".join(f"pond/{row}" for row in rows[:-1]))
    photographs = load(home, 16)
    splits = dict(zip(photographs.names, photographs.splits, strict=True))
    assert (splits["pond/2.png"], splits["pond/0.png"]) == ("validation", "test")
    assert photographs.rule.startswith("by split.csv; what it does not name (1: pond/4.png) by content")
    (home / "split.csv").write_text("file,split\n3.png,teaching\n")
    with pytest.raises(CourseError, match=r"'teaching': train, validation, test are the splits"):
        load(home, 16)


TABLES = {
    "license, the American way": b"file,title,author,license,source\n2.png,pond,Ada,CC0,here\n",
    "a short row": b"file,title,author,license,source\n0.png\n2.png,pond,Ada,CC0\n",
    "a byte order mark": b"\xef\xbb\xbffile,title,author,licence,source\n2.png,pond,Ada,CC0,\n",
}


def several(home, count=6):
    home.mkdir()
    for number in range(count):
        scene(number).save(home / f"{number}.png")
    return home


@pytest.mark.parametrize("table", TABLES.values(), ids=TABLES)
def test_credits_written_by_anyone(table, tmp_path):
    (several(tmp_path / "mine") / "ATTRIBUTION.csv").write_bytes(table)
    photographs = load(tmp_path / "mine", 16)
    credits = dict(zip(photographs.names, photographs.credits, strict=True))
    assert credits["2.png"].removesuffix(", here") == "pond, Ada, CC0"
    assert credits["0.png"] == ""


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_a_split_written_by_anyone(mark, tmp_path):
    table = mark + b"file,split\n3.png,test\n1.png,train\n2.png,validation\n0.png\n\n"
    (several(tmp_path / "mine") / "split.csv").write_bytes(table)
    photographs = load(tmp_path / "mine", 16)
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
    (several(tmp_path / "mine") / name).write_bytes(table)
    with pytest.raises(CourseError, match=f"{name}: .*{message}") as refusal:
        load(tmp_path / "mine", 16)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("middle", ["val", "validation"])
def test_a_source_with_three_folders_keeps_them(middle, tmp_path):
    for number in range(12):
        place = tmp_path / "set" / ("train", middle, "test")[number % 3]
        place.mkdir(parents=True, exist_ok=True)
        scene(number).save(place / f"{number}.png")
    photographs = load(tmp_path / "set", 16)
    for part, folder in (("train", "train"), ("validation", middle), ("test", "test")):
        found = getattr(photographs, part).labels
        assert found == [folder] * 4


# By version: means of red, green and blue, and of the steps from row to row and from column to column (which
# tell one filter from another); for the sample also of colorfulness.
SKETCHES = {
    2: {
        "the sample": [130.89, 126.42, 114.56, 13.54, 12.91, 48.27],
        "a large JPEG at 64": [126.88, 127.71, 127.39, 14.77, 14.65],
        "a large JPEG at 300": [126.91, 127.7, 127.39, 52.75, 52.66],
        "a large JPEG at 301": [126.9, 127.7, 127.39, 47.0, 46.83],
    }
}


def means(rgb):
    values = rgb.astype(float)
    steps = (np.abs(np.diff(values, axis=axis)).mean() for axis in (-3, -2))
    return [*values.mean(axis=tuple(range(values.ndim - 1))), *steps]


def test_the_version_stands_for_these_pixels():
    """Pillow is pinned and computes in whole numbers: other processors give the same."""
    sample = load("sample", 64)
    sketch = {"the sample": [*means(sample.rgb), sample.colorfulness.mean()]}
    coarse = np.random.default_rng(0).integers(0, 256, (300, 400, 3), np.uint8)
    jpeg = io.BytesIO()
    Image.fromarray(coarse).resize((1600, 1200), Image.Resampling.BICUBIC).save(jpeg, "JPEG", quality=90)
    for size in (64, 300, 301):
        sketch[f"a large JPEG at {size}"] = means(decode(jpeg.getvalue(), size))
    sketch = {what: [round(float(mean), 2) for mean in each] for what, each in sketch.items()}
    for what, expected in SKETCHES[prepare.VERSION].items():
        assert sketch[what] == pytest.approx(expected, abs=0.03), (
            f"{what} is prepared differently: raise VERSION in helpers/photographs/prepare.py, "
            f"and store this as its sketch: {sketch}"
        )


@pytest.mark.parametrize("other", ["Pillow", "version"])
def test_other_pixels_have_another_key_and_another_augmented_file(other, album, monkeypatch):
    before = load(album, 16)
    first = augment.prepare(before.train, ()).filename
    if other == "Pillow":
        monkeypatch.setattr(collection, "pillow_version", "0.1")
    else:
        monkeypatch.setattr(prepare, "VERSION", prepare.VERSION + 1)
    after = load(album, 16)
    assert augment.prepare(after.train, ()).filename != first
    assert after.key != before.key
    assert after.checksum == before.checksum, "the files are the same"
    assert load(album, 24).key != after.key


def test_a_single_index_is_refused_in_one_line(album):
    photographs = load(album, 16)
    with pytest.raises(CourseError, match=r"photographs\[3\]: give a slice"):
        photographs[3]
    assert photographs == photographs
    assert photographs != photographs[:]
    assert isinstance(hash(photographs), int)


@pytest.mark.parametrize("place", ["notebook", "terminal"])
def test_preparing_leaves_no_trace_in_a_notebook(place, album, monkeypatch):
    monkeypatch.setattr(transfer, "SECONDS_UNSEEN", 0)
    monkeypatch.setattr("sys.stderr", Terminal())
    shell = SimpleNamespace(kernel=None) if place == "notebook" else None
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: shell))
    load(album, 16)
    assert ("preparing album" in sys.stderr.getvalue()) == (place == "terminal")
    with transfer.progress() as bar:
        assert not bar.disable, "a download is shown in both"


def test_a_small_source_is_split_so_that_each_part_can_be_used(tmp_path):
    """Grey ones, copies and near-duplicates fill no split."""
    home = several(tmp_path / "mine", 6)
    for number in range(6, 16):
        scene(number).convert("L").save(home / f"{number}.png")
        (home / f"copy {number}.png").write_bytes((home / "0.png").read_bytes())
    for number in range(6):
        scene(number).save(home / f"{number}.jpg", quality=85)
    photographs = load(home, 16)
    assert all(count >= 2 for count in photographs.counts.values())
    assert not {f"{number}.png" for number in range(6, 16)} & set(photographs.names)
    assert len(photographs) + len(photographs.set_aside) == 32


def test_grey_copies_beside_their_originals_choose_and_judge_nothing(tmp_path):
    for folder in ("color", "gray"):
        (tmp_path / "pairs" / folder).mkdir(parents=True)
        for number in range(30):
            picture = scene(number) if folder == "color" else scene(number).convert("L")
            picture.save(tmp_path / "pairs" / folder / f"{number}.png")
    photographs = load(tmp_path / "pairs", 16)
    assert sorted(photographs.names) == sorted(f"color/{number}.png" for number in range(30))
    left_out = photographs.report()["set aside"]
    assert left_out.startswith("30: ")
    assert all(f"grey in {split}" in left_out for split in SPLITS)


def test_black_and_white_test_photographs_are_the_reason_that_is_given(tmp_path):
    for folder, mode in (("train", "RGB"), ("test", "L")):
        (tmp_path / "old" / folder).mkdir(parents=True)
        for number in range(20):
            picture = scene(number + 20 * (mode == "L")).convert(mode)
            picture.save(tmp_path / "old" / folder / f"{number}.png")
    with pytest.raises(
        CourseError, match=r"and 0 for test, .*\(left out: 20 grey\): add photographs with color"
    ):
        load(tmp_path / "old", 16)


def test_the_rule_of_the_split_is_said_once(album, capsys):
    load(album, 16)
    counts = load(album, 24).counts
    said = f"{album.name}: {counts['train']} train, {counts['validation']} validation, {counts['test']} test"
    assert capsys.readouterr().out == f"{said}, split by content\n"
    load(album, 16, near_duplicates=True)
    assert capsys.readouterr().out.startswith(f"{album.name}: "), "another set of photographs"


def test_what_looks_alike_can_be_kept(tmp_path):
    home = several(tmp_path / "mine", 6)
    for number in range(6):
        scene(number).save(home / f"{number}.jpg", quality=85)
    (home / "split.csv").write_text(
        "file,split\n"
        + "".join(f"{n}.png,{SPLITS[n % 3]}\n{n}.jpg,{SPLITS[(n + 1) % 3]}\n" for n in range(6))
    )
    with pytest.raises(CourseError, match=r"gives 0 photographs .*\(left out: 6 near duplicate\)"):
        load(home, 16)
    assert load(home, 16, near_duplicates=True).counts == dict.fromkeys(SPLITS, 4)


def test_what_holds_a_slash_is_a_path(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    several(tmp_path / "sample")
    assert len(load("sample", 16)) == 54
    expected = "sample: the course's photographs of that name; what lies here is ./sample\n"
    assert expected in capsys.readouterr().out
    for path in ("./sample", tmp_path / "sample", str(tmp_path / "sample"), Path("sample")):
        assert len(load(path, 16)) == 6


def test_a_picture_of_ones_own_is_not_credited_to_others(tmp_path):
    home = several(tmp_path / "mine")
    (home / "5.png").rename(home / "coffee.png")
    assert load(home, 16).credits == [""] * 6


def test_sources_of_one_name_are_told_apart(tmp_path):
    for place in "ab":
        (tmp_path / place).mkdir()
        several(tmp_path / place / "2024.07 Rome")
    for number in range(6):
        scene(number + 10).save(tmp_path / "b" / "2024.07 Rome" / f"{number}.png")
    joined = load("+".join(str(tmp_path / place / "2024.07 Rome") for place in "ab"), 16)
    assert joined.name == "2024.07 Rome+2024.07 Rome (2)"
    assert len(set(joined.names)) == len(joined.names) > 6


def test_flowers_credits_are_read(tmp_path):
    home = tmp_path / "flower_photos"
    for number, kind in enumerate(("roses", "roses", "daisy", "daisy", "daisy", "roses")):
        (home / kind).mkdir(parents=True, exist_ok=True)
        scene(number).save(home / kind / f"{number}.png")
    license_text = "All images are …\n\ndaisy/2.png CC-BY by Ada L - https://example.org/2\n"
    (home / "LICENSE.txt").write_text(license_text, encoding="utf-8")
    photographs = load(home, 16)
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
            "gives 0 photographs to learn from, 0 for validation and 1 for test, .* 2 .*: add photographs",
        ),
        (tmp_path / "grey", "holds grey photographs alone: there is no color in them to learn from"),
        (album / "notes.txt", "neither a folder nor a .zip or .tar"),
    ):
        with pytest.raises(CourseError, match=message) as refusal:
            load(source, 16)
        assert "\n" not in str(refusal.value)
    for size in (0, 7, 1025, 96.0, "96", None):
        with pytest.raises(CourseError, match="choose a whole number from 8 to 1024"):
            load("sample", size)


def only_open(source, size, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(prepare, "prepare", lambda *_: pytest.fail("prepared again"))
        return load(source, size)


def test_what_was_prepared_is_opened_again(album, cache, monkeypatch):
    first = load(album, 32)
    assert sorted(file.name for file in cache.glob("*/*")) == ["record.json", "rgb.npy"]
    again = only_open(album, 32, monkeypatch)
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


def test_a_change_of_the_source_is_noticed(album, tmp_path, cache):
    copy = tmp_path / "copy"
    shutil.copytree(album, copy)
    before = load(copy, 16)
    scene(99).save(copy / "99.png")
    after = load(copy, 16)
    assert len(after) == len(before) + 1
    assert after.checksum != before.checksum
    assert len(list(cache.iterdir())) == 1, "the array that is no longer needed fills the disk"


def test_two_sources_of_one_name_are_kept_side_by_side(album, tmp_path, monkeypatch):
    other = tmp_path / "elsewhere" / album.name
    shutil.copytree(album, other)
    for source in (album, other):
        load(source, 16)
    for source in (album, other):
        only_open(source, 16, monkeypatch)


@pytest.mark.parametrize("name", ["rgb.npy", "record.json"])
@pytest.mark.parametrize("harm", ["missing", "cut", "empty"])
def test_what_is_not_whole_is_prepared_again(name, harm, album, cache, monkeypatch):
    before = load(album, 16)
    whole, names = np.array(before.rgb), before.names
    (file,) = cache.rglob(name)
    if harm == "missing":
        file.unlink()
    else:
        file.write_bytes(file.read_bytes()[:-1] if harm == "cut" else b"")
    after = load(album, 16)
    assert np.array_equal(after.rgb, whole)
    assert after.names == names
    only_open(album, 16, monkeypatch)


@pytest.mark.parametrize("step", ["_decode_batch", "_arrange", "_copy_rows"])
def test_an_interrupted_preparation_is_never_taken_for_whole(step, album, cache, monkeypatch):
    with monkeypatch.context() as patch:

        def interrupt(*_):
            raise KeyboardInterrupt

        patch.setattr(prepare, step, interrupt)
        with pytest.raises(KeyboardInterrupt):
            load(album, 16)
    assert list(cache.iterdir()) == []
    assert len(load(album, 16)) == 31


def _prepare_and_be_killed(album, cache, reached):
    places.CACHE = cache
    prepare._copy_rows = lambda *_: (reached.set(), time.sleep(600))
    load(album, 16)


def test_a_killed_preparation_is_never_taken_for_whole(album, cache):
    context = multiprocessing.get_context("spawn")
    reached = context.Event()
    process = context.Process(target=_prepare_and_be_killed, args=(album, cache, reached))
    process.start()
    reached.wait()
    process.kill()
    process.join()
    (leftover,) = cache.iterdir()
    assert len(load(album, 16)) == 31
    assert leftover.exists(), "it might have been another process at work"


def test_two_that_prepare_at_once_do_not_disturb_each_other(album, cache):
    with ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as pool:
        found = list(pool.map(_names_and_sum, [album] * 4, [cache] * 4))
    assert found == [_names_and_sum(album, cache)] * 4
    assert len(list(cache.iterdir())) == 1


def _names_and_sum(album, cache):
    places.CACHE = cache
    photographs = load(album, 24)
    return photographs.names, int(photographs.rgb.sum())


def test_preparing_does_not_keep_pictures_in_memory(tmp_path, cache):
    """Far less than the 190 MB that the pictures take is ever held."""
    entries = []
    for number in range(64):
        noise = np.random.default_rng(number).integers(0, 256, (64, 64, 3), np.uint8)
        Image.fromarray(noise).save(tmp_path / "x.jpg", quality=50)
        entries.append((f"{number}.jpg", (tmp_path / "x.jpg").read_bytes()))
    path = write_tar(tmp_path / "x.tar", entries)
    assert _apart(_peak_while_preparing, path, 1000, cache) < 60e6


def _apart(function, *arguments):
    """Call it in a fresh process, where nothing is held yet."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(function, *arguments).result()


def _peak_while_preparing(path, size, cache):
    import tracemalloc

    places.CACHE = cache
    tracemalloc.start()
    load(path, size)
    return tracemalloc.get_traced_memory()[1]


def _held_when_all_is_decoded(path, size, cache):
    import tracemalloc

    places.CACHE = cache
    held = []
    arrange = prepare._arrange

    def note(*arguments):
        held.append(tracemalloc.get_traced_memory()[0])
        return arrange(*arguments)

    prepare._arrange = note
    tracemalloc.start()
    load(path, size)
    return held[0]


def _held_by_batches(path, size, cache):
    import tracemalloc

    from helpers.batches import Batches

    places.CACHE = cache
    train = load(path, size).train
    Batches(train, 8, contrast=())  # what it makes is on disk now
    tracemalloc.start()
    Batches(train, 8, contrast=())[0]
    return tracemalloc.get_traced_memory()[1]


@pytest.fixture(scope="module")
def few_and_many(tmp_path_factory):
    """Archives of 300 and of 1,200 photographs, each unlike the others."""
    folder = tmp_path_factory.mktemp("archives")
    entries = []
    for number in range(1200):
        target = io.BytesIO()
        noise = np.random.default_rng(number).integers(0, 256, (8, 8, 3), np.uint8)
        Image.fromarray(noise).resize((40, 40)).save(target, "PNG")
        entries.append((f"{number}.png", target.getvalue()))
    return [write_tar(folder / f"{count}.tar", entries[:count]) for count in (300, 1200)]


@pytest.mark.parametrize(("work", "most"), [(_held_when_all_is_decoded, 600), (_held_by_batches, 300)])
def test_memory_grows_by_less_than_a_kilobyte_for_each_photograph(work, most, few_and_many, cache):
    """Names and checksums are held; not its 12,288 bytes of pixels, nor the 1,024 it is compared by."""
    few, many = (_apart(work, path, 64, cache) for path in few_and_many)
    assert (many - few) / 900 < most


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


def test_the_benchmark_repeats_photographs_that_are_no_duplicates(tmp_path, cache):
    path = ROOT / "tests" / "benchmarks" / "scale.py"
    spec = importlib.util.spec_from_file_location("scale", path)
    scale = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(scale)
    there = len([file for file in SAMPLE.iterdir() if file.suffix == ".jpg"])
    scale.repeat([SAMPLE], 4 * there, tmp_path / "x.tar")
    found = load(tmp_path / "x.tar", 32)
    assert found.origin["files"] == 4 * there
    assert "duplicate" not in {why.split(" in ")[0] for _, why in found.set_aside}
    assert len(found) > 0.9 * 4 * there
    with pytest.raises(SystemExit, match="are too many"):
        scale.repeat([SAMPLE], 4 * there + 1, tmp_path / "x.tar")


def test_the_course_leaves_its_cache_out_of_version_control():
    ignored = (ROOT / ".gitignore").read_text(encoding="utf-8").split()
    assert "/data/*" in ignored


@pytest.fixture
def two_sources(tmp_path):
    """A source with a test part, and a further one that holds a copy of a test photograph of the first."""
    places_of = {
        "first/val": range(8),
        "first/train": range(8, 30),
        "second/test": range(100, 105),
        "second/train": (*range(105, 140), 3),
    }
    for place, numbers in places_of.items():
        (tmp_path / place).mkdir(parents=True)
        for number in numbers:
            scene(number).save(tmp_path / place / f"{number}.png")
    return tmp_path / "first", tmp_path / "second"


def test_further_sources_add_to_what_is_learned_from_alone(two_sources):
    first, second = two_sources
    shutil.rmtree(second / "test")
    alone, joined = load(first, 32), load(f"{first}+{second}", 32)
    assert joined.name == "first+second"
    assert np.array_equal(joined.test.rgb, alone.test.rgb)
    assert all(name.startswith("first/") for name in joined.test.names)
    added = {name for name in joined.names if name.startswith("second/")}
    assert added == {f"second/{number}.png" for number in range(105, 140)}
    assert {name.split("/")[0] for name in joined.validation.names} == {"first", "second"}


def test_what_a_further_source_keeps_for_its_test_is_not_learned_from(two_sources):
    first, second = two_sources
    joined = load(f"{first}+{second}", 32)
    kept = {name for name, why in joined.set_aside if why.startswith("test:")}
    assert kept == {f"second/test/{number}.png" for number in range(100, 105)}
    assert not kept & set(joined.names)


def test_a_test_photograph_is_not_learned_from_in_a_further_source(two_sources):
    first, second = two_sources
    joined = load(f"{first}+{second}", 32)
    assert dict(joined.set_aside)["second/train/3.png"] == "duplicate in train: see first/val/3.png in test"


def test_a_plus_sign_in_a_name_is_a_plus_sign(two_sources):
    first, _ = two_sources
    named = first.rename(first.with_name("a+b"))
    assert load(named, 32).name == load(str(named), 32).name == "a+b"


def test_each_of_several_sources_must_exist(two_sources):
    first, _ = two_sources
    with pytest.raises(CourseError, match="no photographs at nowhere"):
        load(f"{first}+nowhere", 32)
