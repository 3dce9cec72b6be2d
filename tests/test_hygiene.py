"""Grey, weakly colored and doubled photographs."""

import io
import tracemalloc

import numpy as np
import pytest
from PIL import Image, ImageEnhance
from skimage.color import rgb2lab

from helpers.colorings import grey
from helpers.photographs import hygiene
from helpers.photographs.decode import open_picture, square
from helpers.photographs.hygiene import Descriptors, describe, near_duplicates
from helpers.places import SAMPLE

pytestmark = pytest.mark.quick


def described(*images):
    return describe(np.stack([square(image, hygiene.THUMBNAIL) for image in images]))


@pytest.fixture(scope="module")
def photographs():
    files = sorted(SAMPLE.glob("*.jpg"))
    return [open_picture(file, 256) for file in files]


def scene(seed):
    """A picture of a few soft shapes, unlike that of any other seed."""
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), np.uint8)
    return Image.fromarray(coarse).resize((128, 128), Image.Resampling.BICUBIC)


def test_chroma_is_that_of_skimage(photographs):
    chromas = described(*photographs[:5]).chroma
    for chroma, photograph in zip(chromas, photographs, strict=False):
        lab = rgb2lab(square(photograph, 64))
        assert chroma == pytest.approx(np.abs(lab[..., 1:]).max(), abs=0.01)


def test_colorfulness_by_hand():
    # Half red, half blue: red-green is 255 and 0, yellow-blue 127.5 and -255.
    halves = np.zeros((1, 64, 64, 3), np.uint8)
    halves[0, :32, :, 0] = 255
    halves[0, 32:, :, 2] = 255
    spread = np.hypot(127.5, 191.25)
    middle = np.hypot(127.5, -63.75)
    assert describe(halves).colorfulness[0] == pytest.approx(spread + 0.3 * middle, rel=1e-4)
    assert describe(np.full((1, 64, 64, 3), 90, np.uint8)).colorfulness[0] == 0


def changed(image):
    small = image.resize((image.width // 2, image.height // 2), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=30)
    edge = image.width // 100 + 1
    return {
        "re-encoded": open_picture(buffer.getvalue()),
        "half as large": small,
        "brighter": ImageEnhance.Brightness(image).enhance(1.15),
        "more saturated": ImageEnhance.Color(image).enhance(1.4),
        "without color": image.convert("L").convert("RGB"),
        "a little cropped": image.crop((edge, edge, image.width - edge, image.height - edge)),
        "mirrored": image.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
    }


def test_changed_versions_are_near_duplicates_and_others_are_not(photographs):
    originals = described(*photographs)
    rows = np.arange(len(photographs))
    for index in rows:
        assert near_duplicates(originals, np.array([index]), np.delete(rows, index)).tolist() == [-1]
    missed = dict.fromkeys(changed(photographs[0]), 0)
    for index, photograph in enumerate(photographs):
        versions = changed(photograph)
        both = Descriptors.join([originals, described(*versions.values())])
        found = near_duplicates(both, len(photographs) + np.arange(len(versions)), rows)
        for kind, original in zip(versions, found, strict=True):
            missed[kind] += original != index
    assert max(missed.values()) <= 1, missed


def test_plain_areas_are_no_near_duplicates():
    plain = described(Image.new("RGB", (64, 64), "gray"), Image.new("RGB", (64, 64), "silver"))
    assert near_duplicates(plain, np.array([0]), np.array([1])).tolist() == [-1]
    assert near_duplicates(plain, np.array([0]), np.array([], int)).tolist() == [-1]


def pair(differing, correlation, mirrored=False):
    """Two photographs whose hashes differ in so many bits and whose lightness correlates so much."""
    random = np.random.default_rng(0)
    bits = random.random(63) < 0.5
    other = bits ^ (np.arange(63) < differing)
    first, second = np.linalg.qr(random.standard_normal((256, 2)))[0].T
    second = correlation * first + np.sqrt(1 - correlation**2) * second
    if mirrored:
        other ^= np.arange(1, 64) % 2 == 1
        second = second.reshape(16, 16)[:, ::-1].ravel()
    lightness = np.stack([first, second]).astype(np.float32)
    return Descriptors(np.ones(2), np.ones(2), np.stack([bits, other]), lightness)


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize(
    ("differing", "correlation", "near"),
    [
        (0, 1, True),
        (10, 0.86, True),
        (11, 0.86, False),
        (13, 1, False),
        (10, 0.84, False),
        (0, 0.77, False),
        (63, 1, False),
        (0, -1, False),
    ],
)
def test_near_duplicates_differ_in_ten_bits_and_correlate_by_85_percent(
    differing, correlation, near, mirrored
):
    found = near_duplicates(pair(differing, correlation, mirrored), np.array([0]), np.array([1]))
    assert found.tolist() == [1 if near else -1]


def test_of_several_near_duplicates_the_one_that_correlates_most_is_found():
    parts = [pair(0, correlation) for correlation in (0.9, 0.99, 0.95)]
    descriptors = Descriptors.join(parts)
    assert near_duplicates(descriptors, np.array([0]), np.array([1, 3, 5])).tolist() == [3]


def test_not_all_pairs_are_compared_at_one_time():
    random = np.random.default_rng(0)
    hashes = random.random((6000, 63)) < 0.5
    lightness = np.zeros((6000, 256), np.float32)
    descriptors = Descriptors(np.ones(6000), np.ones(6000), hashes, lightness)
    tracemalloc.start()
    found = near_duplicates(descriptors, np.arange(3000), np.arange(3000, 6000))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (found == -1).all()
    assert peak < 30e6  # a byte for each pair would be 9 MB, and what is compared has eight


def test_near_duplicates_in_great_numbers_are_all_found():
    parts = [pair(0, 0.9 + number % 7 / 100) for number in range(1500)]
    descriptors = Descriptors.join(parts)
    rows, among = np.arange(0, 3000, 2), np.arange(1, 3000, 2)
    found = near_duplicates(descriptors, rows, among)
    assert set((found // 2 % 7).tolist()) == {6}


def test_mirroring_flips_the_signs_of_the_odd_horizontal_terms(photographs):
    """But for the few bits that stand for a term near zero."""
    plain = described(*photographs).hash
    mirrored = described(*(image.transpose(Image.Transpose.FLIP_LEFT_RIGHT) for image in photographs)).hash
    changed = (plain != mirrored).mean(axis=0).reshape(-1)
    assert changed[np.arange(1, 64) % 2 == 1].min() > 0.95
    assert changed[np.arange(1, 64) % 2 == 0].max() < 0.05


def decide(images, splits, checksums=None, near=True):
    checksums = checksums or [f"{index:064x}" for index in range(len(images))]
    names = [f"{index:02d}" for index in range(len(images))]
    return hygiene.set_aside(described(*images), names, checksums, splits, near)


def test_grey_is_set_aside_from_every_split():
    without_color = [scene(seed).convert("L").convert("RGB") for seed in range(3)]
    assert decide(without_color, ["train", "validation", "test"]) == dict.fromkeys(range(3), ("grey", -1))


def test_a_grey_copy_sets_no_photograph_with_color_aside():
    images = [scene(0), Image.fromarray(grey(np.asarray(scene(0))))]
    images += [scene(1), Image.fromarray(grey(np.asarray(scene(1))))]
    assert decide(images, ["train", "test", "train", "validation"]).keys() == {1, 3}


def test_what_is_nearly_the_same_can_be_kept():
    images, splits = [scene(0), scene(0), scene(1), scene(1)], ["train", "test", "validation", "test"]
    assert decide(images, splits).keys() == {0, 2}
    assert decide(images, splits, near=False) == {}
    same = decide(images, splits, ["a" * 64, "a" * 64, "b" * 64, "c" * 64], near=False)
    assert same == {0: ("duplicate", 1)}, "the same file is not near, it is the same"


def test_sepia_is_not_grey():
    sepia = Image.fromarray((np.asarray(scene(0).convert("L"))[..., None] * [1, 0.9, 0.7]).astype(np.uint8))
    assert decide([sepia], ["train"]) == {}


def test_no_near_duplicate_straddles():
    images = [scene(0), scene(1), scene(0), scene(0), scene(2)]
    aside = decide(images, ["train", "train", "validation", "test", "test"])
    assert aside.keys() == {0, 2}
    assert aside[2] == ("near duplicate", 3)
    assert aside[0][0] == "near duplicate"


def test_no_near_duplicate_straddles_train_and_validation():
    aside = decide([scene(0), scene(0), scene(1)], ["train", "validation", "test"])
    assert aside == {0: ("near duplicate", 1)}


def test_the_same_file_is_kept_once_and_in_the_latest_split():
    images, checksums = [scene(0), scene(0), scene(1), scene(1)], ["a" * 64, "a" * 64, "b" * 64, "b" * 64]
    aside = decide(images, ["train", "train", "train", "test"], checksums)
    assert aside == {1: ("duplicate", 0), 2: ("duplicate", 3)}
    plain = [Image.new("RGB", (64, 64), "red")] * 2
    assert decide(plain, ["train", "test"], ["c" * 64, "c" * 64]) == {0: ("duplicate", 1)}


def test_near_duplicates_within_train_are_kept():
    assert decide([scene(0), scene(0)], ["train", "train"]) == {}
