"""Contrast on RGB and on L alone as skimage does it, flips, and the stored variants."""

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from skimage import color, data, exposure
from skimage.transform import resize

from helpers import augment, files, places
from helpers.augment import (
    CONTRASTS,
    FLIPS,
    contrast_on_lightness,
    contrast_on_rgb,
    encode,
    flip,
    prepare,
)
from helpers.errors import CourseError
from helpers.lab import rgb_to_lab

pytestmark = pytest.mark.quick

OPERATIONS = pytest.mark.parametrize("operation", CONTRASTS)
PICTURES = ["astronaut", "chelsea", "coffee", "rocket"]


def photograph(name="astronaut", side=96):
    return (resize(getattr(data, name)(), (side, side), anti_aliasing=True) * 255).astype(np.uint8)


def oracle(picture, operation):
    """What skimage makes of floats in 0..1."""
    if operation == "adaptive":
        return exposure.equalize_adapthist(picture, clip_limit=0.02)
    if operation == "stretch":
        low, high = np.percentile(picture, (2, 98))
        return exposure.rescale_intensity(picture, in_range=(low, high), out_range=(0.0, 1.0))
    return exposure.equalize_hist(picture)


def assert_alike(changed, expected, operation):
    """Within 1/255; adaptive equalization within 2/255 on average and 4/255 anywhere."""
    off = np.abs(changed - expected)
    assert off.max() <= (4 if operation == "adaptive" else 1) / 255
    if operation == "adaptive":
        assert off.mean() <= 2 / 255


@OPERATIONS
@pytest.mark.parametrize("name", PICTURES)
@pytest.mark.filterwarnings("ignore:This might be a color image")
def test_contrast_on_rgb_is_that_of_skimage(operation, name):
    rgb = photograph(name)
    changed = contrast_on_rgb(rgb, operation)
    assert changed.dtype == np.float32 and changed.shape == rgb.shape
    assert_alike(changed, oracle(rgb / 255, operation), operation)
    assert_alike(contrast_on_rgb(rgb / 255, operation), changed, operation)


@OPERATIONS
@pytest.mark.parametrize("name", PICTURES)
def test_contrast_on_lightness_is_that_of_skimage(operation, name):
    L = color.rgb2lab(photograph(name))[..., 0]
    changed = contrast_on_lightness(L, operation)
    assert changed.dtype == np.float32 and changed.shape == L.shape
    assert_alike(changed / 100, oracle(L / 100, operation), operation)


@OPERATIONS
@pytest.mark.parametrize("name", PICTURES)
def test_stored_variants_are_those_of_skimage(operation, name):
    """Eight bits cost at most half a step on top."""
    rgb = photograph(name)
    stored = encode(rgb, (operation,))[0][1] / 255
    assert_alike(stored, oracle(color.rgb2lab(rgb)[..., 0] / 100, operation), operation)


@OPERATIONS
def test_contrast_does_something(operation):
    rgb = photograph()
    L = rgb_to_lab(rgb)[..., 0]
    assert np.abs(contrast_on_lightness(L, operation) - L).mean() > 1
    assert np.abs(contrast_on_rgb(rgb, operation) - rgb / 255).mean() > 0.01


@OPERATIONS
@pytest.mark.parametrize("value", [0.0, 40.0, 100.0])
def test_a_flat_picture_stays_flat(operation, value):
    changed = contrast_on_lightness(np.full((32, 32), value, np.float32), operation)
    assert np.ptp(changed) == 0 and 0 <= changed[0, 0] <= 100


@OPERATIONS
@given(
    picture=hnp.arrays(
        np.float32, st.tuples(st.integers(9, 33), st.integers(9, 33)), elements=st.floats(0, 100, width=32)
    )
)
@settings(max_examples=25, deadline=None)
def test_lightness_of_any_size_stays_in_range(operation, picture):
    changed = contrast_on_lightness(picture, operation)
    assert changed.shape == picture.shape and changed.dtype == np.float32
    assert changed.min() >= 0 and changed.max() <= 100


@pytest.mark.parametrize("contrast", [contrast_on_rgb, contrast_on_lightness])
def test_bad_contrast_input_is_named(contrast):
    with pytest.raises(CourseError, match="unknown contrast operation 'gamma': choose among adaptive"):
        contrast(np.zeros((16, 16, 3)), "gamma")
    with pytest.raises(CourseError, match=r"0\.\.1"):
        contrast(np.full((16, 16, 3), 200.0), "stretch")
    with pytest.raises(CourseError, match=r"0\.\.1"):
        contrast(np.full((16, 16, 3), np.nan), "stretch")


BATCHES = hnp.arrays(
    st.sampled_from([np.uint8, np.float32]),
    st.tuples(*[st.integers(1, 6)] * 4),
    elements={"min_value": 0, "max_value": 1},
)


@given(batch=BATCHES, direction=st.sampled_from(FLIPS))
@settings(max_examples=50, deadline=None)
def test_a_flip_undoes_itself_and_copies_nothing(batch, direction):
    flipped = flip(batch, direction)
    assert flipped.shape == batch.shape and flipped.dtype == batch.dtype
    assert np.shares_memory(flipped, batch)
    assert np.array_equal(flip(flipped, direction), batch)
    assert np.array_equal(flip(batch[0], direction), flipped[0])


def test_flips_go_the_way_they_say():
    picture = np.arange(6).reshape(2, 3, 1)
    assert flip(picture, "left-right")[..., 0].tolist() == [[2, 1, 0], [5, 4, 3]]
    assert flip(picture, "upside-down")[..., 0].tolist() == [[3, 4, 5], [0, 1, 2]]
    with pytest.raises(CourseError, match="unknown flip 'diagonal'"):
        flip(picture, "diagonal")


@given(direction=st.sampled_from(FLIPS), name=st.sampled_from(PICTURES), operation=st.sampled_from(CONTRASTS))
@settings(max_examples=12, deadline=None)
def test_contrast_and_flips_commute_but_for_adaptive_equalization(direction, name, operation):
    L = rgb_to_lab(photograph(name, 64))
    contrast_first = flip(contrast_on_lightness(L[..., 0], operation)[..., None], direction)[..., 0]
    flip_first = contrast_on_lightness(flip(L, direction)[..., 0], operation)
    off = np.abs(contrast_first - flip_first)
    if operation == "adaptive":
        assert 0 < off.mean() <= 2
    else:
        assert off.max() <= 1e-3


def test_eight_bits_are_true_to_the_photograph():
    rgb = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    lab = rgb_to_lab(rgb)
    L, ab = encode(rgb, ())
    assert L.dtype == np.uint8 and L.shape == (1, 64, 64)
    assert ab.dtype == np.int8 and ab.shape == (64, 64, 2)
    assert np.abs(L[0] / 2.55 - lab[..., 0]).max() <= 0.2
    assert np.abs(ab - lab[..., 1:]).max() <= 0.501


def test_contrast_leaves_the_target_alone():
    rgb = photograph()
    (L, ab), (plain, plain_ab) = encode(rgb, CONTRASTS), encode(rgb, ())
    assert len(L) == 4
    assert np.array_equal(L[:1], plain) and np.array_equal(ab, plain_ab)


@pytest.fixture
def photographs(monkeypatch, tmp_path):
    """Stand-in Photographs, and an empty cache."""
    monkeypatch.setattr(places, "CACHE", tmp_path / "cache")
    rgb = np.stack([photograph(name, 32) for name in PICTURES])
    return SimpleNamespace(name="own", key="c0ffee", size=32, rgb=rgb, names=list(PICTURES))


def kept():
    return sorted(path.name for path in places.CACHE.iterdir())


def test_an_array_is_prepared_in_memory(photographs):
    prepared = prepare(photographs.rgb)
    assert not isinstance(prepared, np.memmap) and not places.CACHE.exists()
    for one, rgb in zip(prepared, photographs.rgb, strict=True):
        L, ab = encode(rgb)
        assert np.array_equal(one["L"], L) and np.array_equal(one["ab"], ab)


def test_photographs_are_prepared_once(photographs, monkeypatch):
    first = prepare(photographs)
    assert isinstance(first, np.memmap) and not first.flags.writeable
    assert np.array_equal(first, prepare(photographs.rgb))
    monkeypatch.setattr(augment, "encode", None)
    assert np.array_equal(prepare(photographs), first)
    assert len(kept()) == 1


@pytest.mark.parametrize("what", ["names", "contrast"])
def test_other_photographs_have_another_file(photographs, what):
    prepare(photographs)
    if what == "names":
        photographs.names = photographs.names[::-1]
    prepare(photographs, CONTRASTS[:1] if what == "contrast" else CONTRASTS)
    assert len(kept()) == 2


@pytest.mark.parametrize("what", ["key", "skimage", "version"])
def test_what_is_made_otherwise_takes_the_place_of_the_older_file(photographs, what, monkeypatch):
    """And of no other one: files of another size or source stay, and all choices of one version."""
    others = {"augmented-own-16.0123456789abcdef.01234567", "augmented-own-32-64.0123456789abcdef.01234567"}
    places.CACHE.mkdir()
    for other in others:
        (places.CACHE / other).touch()
    for contrast in (CONTRASTS, ()):
        prepare(photographs, contrast)
    before = set(kept()) - others
    assert len(before) == 2
    if what == "key":
        photographs.key = "decaf"
    elif what == "skimage":
        monkeypatch.setattr(augment.skimage, "__version__", "0")
    else:
        monkeypatch.setattr(augment, "VERSION", augment.VERSION + 1)
    prepare(photographs)
    (after,) = set(kept()) - others
    assert after not in before


def test_the_error_that_stopped_a_preparation_is_the_one_that_is_seen(photographs, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    def in_use(path):
        raise PermissionError(13, "in use")

    monkeypatch.setattr(augment, "_fill", full)
    monkeypatch.setattr(files, "_remove", in_use)
    with pytest.raises(CourseError, match="No space left"):
        prepare(photographs)


def test_a_preparation_cut_short_leaves_nothing(photographs, monkeypatch):
    whole = encode

    def failing(rgb, contrast):
        if np.array_equal(rgb, photographs.rgb[-1]):
            raise KeyboardInterrupt
        return whole(rgb, contrast)

    monkeypatch.setattr(augment, "encode", failing)
    with pytest.raises(KeyboardInterrupt):
        prepare(photographs)
    assert kept() == []
    monkeypatch.setattr(augment, "encode", whole)
    assert np.array_equal(prepare(photographs), prepare(photographs.rgb))


# By version: the mean of L and of each variant, of a and b, and of the steps of a from row to row.
SKETCHES = {1: [106.41, 121.35, 123.21, 128.73, 13.7, 12.59, 1.33]}


def test_the_version_stands_for_these_numbers():
    prepared = prepare(np.stack([photograph(name) for name in PICTURES]))
    L, ab = prepared["L"].astype(float), prepared["ab"].astype(float)
    means = [*L.mean(axis=(0, 2, 3)), *ab.mean(axis=(0, 1, 2)), np.abs(np.diff(ab[..., 0], axis=1)).mean()]
    sketch = [round(float(mean), 2) for mean in means]
    assert sketch == pytest.approx(SKETCHES[augment.VERSION], abs=0.1), (
        f"augmentation gives other numbers: raise VERSION in helpers/augment.py, and store {sketch}"
    )


def test_a_file_that_was_cut_is_prepared_again(photographs):
    first = prepare(photographs).copy()
    (file,) = places.CACHE.iterdir()
    file.write_bytes(file.read_bytes()[:-1])
    assert np.array_equal(prepare(photographs), first)


def test_a_full_disk_is_named_before_anything_is_written(photographs, monkeypatch):
    monkeypatch.setattr(augment.shutil, "disk_usage", lambda _: SimpleNamespace(free=1000))
    with pytest.raises(CourseError, match=r"4 photographs takes 0\.0 GB of disk"):
        prepare(photographs)
    assert kept() == []
