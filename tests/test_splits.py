"""A split is what the owner declares; where nothing is declared, adding photographs does not disturb it."""

import hashlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.photographs import splits
from helpers.photographs.splits import SPLITS, assign, by_content, by_folder, fill

pytestmark = pytest.mark.quick

SHA256 = st.integers(0, 10**6).map(lambda number: hashlib.sha256(str(number).encode()).hexdigest())


def checksums(names):
    return [hashlib.sha256(name.encode()).hexdigest() for name in names]


def filled(hashes):
    return fill(by_content(hashes), hashes, [True] * len(hashes)).of


@settings(max_examples=200, deadline=None)
@given(st.lists(SHA256, unique=True, max_size=30), st.lists(SHA256, unique=True, max_size=10))
def test_adding_photographs_moves_none_from_train_to_test(before, added):
    after = before + [each for each in added if each not in before]
    earlier = dict(zip(before, filled(before), strict=True))
    later = dict(zip(after, filled(after), strict=True))
    for each in before:
        moved = (earlier[each], later[each])
        assert moved not in {("train", "test"), ("train", "validation"), ("validation", "test")}


@given(st.lists(SHA256, unique=True, max_size=30), st.randoms())
def test_split_depends_on_content_alone_and_six_of_train_are_enough_to_fill_all(hashes, random):
    hashes += [digit * 64 for digit in "012345"]
    found = dict(zip(hashes, filled(hashes), strict=True))
    assert all(list(found.values()).count(split) >= 2 for split in SPLITS)
    shuffled = random.sample(hashes, len(hashes))
    assert dict(zip(shuffled, filled(shuffled), strict=True)) == found


def test_split_shares():
    hashes = checksums(map(str, range(5000)))
    found = by_content(hashes).of
    for split, share in (("train", 0.8), ("validation", 0.1), ("test", 0.1)):
        assert found.count(split) / 5000 == pytest.approx(share, abs=0.02)
    names = [f"{'train' if number % 2 else 'val'}/{number}" for number in range(5000)]
    found = by_folder(names, hashes).of
    assert all((split == "test") == name.startswith("val/") for name, split in zip(names, found, strict=True))
    assert found.count("validation") / found.count("train") == pytest.approx(1 / 9, rel=0.2)


def test_only_what_counts_fills_a_split_and_only_what_may_move():
    hashes = [f"{digit * 64}" for digit in "76543210"]
    usable = [False, True, True, False, True, True, True, True]
    assert fill(by_content(hashes), hashes, usable).of == [
        "train",
        "test",
        "test",
        "train",
        "validation",
        "validation",
        "train",
        "train",
    ]
    declared = assign([str(n) for n in range(8)], hashes, {str(n): "train" for n in range(7)})
    assert fill(declared, hashes, [True] * 8).of == ["train"] * 7 + ["test"]


@pytest.mark.parametrize("middle", ["val", "valid", "validation", "Dev"])
@pytest.mark.parametrize("train", ["train", "Training", "TRAIN"])
def test_three_folders_are_the_three_splits(train, middle):
    names = [f"{folder}/{number}" for folder in (train, middle, "Test") for number in range(50)]
    found = by_folder(names, checksums(names))
    assert found.of == ["train"] * 50 + ["validation"] * 50 + ["test"] * 50
    assert found.rule == f"by folders {train}, {middle}, Test"


@pytest.mark.parametrize(
    ("train", "held_out", "called"),
    [
        ("train", "val", "train, val"),
        ("train", "validation", "train, validation"),
        ("train", "test", "train, test"),
        ("training", "testing", "training, testing"),
        ("color/Train", "color/Test", "Train, Test"),
        ("a/b/train/cats", "a/b/test/cats", "train, test"),
        ("seg_train/seg_train/sea", "seg_test/seg_test/sea", "seg_train, seg_test"),
        ("train_color", "test_color", "train_color, test_color"),
        ("train-images", "val-images", "train-images, val-images"),
        ("TrainImages", "TestImages", "TrainImages, TestImages"),
        ("train2017", "val2017", "train2017, val2017"),
        ("train/train", "test/train", "train, test"),
        ("test/train", "test/val", "train, val"),
        ("set 1/train", "set 2/test", "train, test"),
    ],
)
def test_one_folder_beside_train_is_test(train, held_out, called):
    names = [f"{folder}/{number}" for folder in (train, held_out) for number in range(50)]
    found = by_folder([*names, "stray"], [*checksums(names), "0" * 64])
    assert found.of[50:] == [*["test"] * 50, "train"]
    assert set(found.of[:50]) == {"train", "validation"}
    assert found.rule.startswith(f"by folders {called}; validation is a tenth of {called.split(', ')[0]}")
    assert found.rule.endswith("; 1 in none of these by content")


def test_a_test_folder_alone_is_kept_for_test():
    names = [f"{folder}/{number}" for folder in ("Rome", "Oslo", "test") for number in range(50)]
    found = by_folder(names, checksums(names))
    assert found.of[100:] == ["test"] * 50
    assert set(found.of[:100]) == {"train", "validation"}
    assert found.rule == "by folder test; validation is a tenth of the rest"


@pytest.mark.parametrize(
    "folders", [("train", "car", "bus"), ("steam train", "test tube"), ("protest", "evaluate"), ("", "")]
)
def test_folders_that_only_sound_alike_declare_nothing(folders):
    names = [f"{folder}/{number}".lstrip("/") for folder in folders for number in range(50)]
    assert by_folder(names, checksums(names)) is None
    assert assign(names, checksums(names), {}).rule == "by content"


def test_photographs_outside_the_folders_are_split_by_content():
    names = ["train/a", "val/b", "test/c", "more/d", "more/e", "f", "train"]
    hashes = [f"{digit * 64}" for digit in "ff00dfd"]
    found = ["train", "validation", "test", "train", "validation", "test", "validation"]
    assert by_folder(names, hashes).of == found


def test_split_of_very_few():
    assert filled([]) == []
    assert sorted(filled(["00" * 32, "11" * 32, "22" * 32])) == ["test", "test", "validation"]


def test_a_table_goes_before_folders_and_content():
    names = ["train/a", "train/b", "test/c", "d"]
    hashes = [f"{digit * 64}" for digit in "1111"]
    found = assign(names, hashes, {"train/a": "test", "d": "validation"})
    assert found.of == ["test", "train", "test", "validation"]
    assert found.rule == (
        "by split.csv; what it does not name (2: train/b, test/c) "
        "by folders train, test; validation is a tenth of train"
    )
    assert assign(names, hashes, dict.fromkeys(names, "train")).rule == "by split.csv"


def test_to_learn_from_alone():
    names = [str(number) for number in range(200)]
    found = assign(names, checksums(names), {}, learn_only=True)
    assert set(found.of) == {"train", "validation"}
    assert found.rule == "by content, none for test"


@pytest.mark.parametrize(
    ("word", "split"),
    [(" Val ", "validation"), ("TESTING", "test"), ("train", "train"), ("teaching", None), ("", None)],
)
def test_what_people_call_a_split(word, split):
    assert splits.named(word) == split
