"""Batches: true to the photographs and repeatable, on every Keras backend."""

import importlib.util
import itertools
import os
import pickle
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage import data
from skimage.transform import resize

from helpers import places
from helpers.augment import CONTRASTS, FLIPS, contrast_on_lightness, flip
from helpers.backend import keras
from helpers.batches import Batches
from helpers.errors import CourseError
from helpers.hints import STRIDE
from helpers.lab import normalize, rgb_to_lab

COUNT = 10


@pytest.fixture(scope="module")
def rgb():
    """Ten photographs, 24 by 32 pixels: parts of one, so that each is another."""
    whole = (resize(data.astronaut(), (240, 64), anti_aliasing=True) * 255).astype(np.uint8)
    return np.stack([whole[24 * i : 24 * (i + 1), 16:48] for i in range(COUNT)])


@pytest.fixture
def photographs(rgb, monkeypatch, tmp_path):
    monkeypatch.setattr(places, "CACHE", tmp_path)
    names = [f"{i}.jpg" for i in range(COUNT)]
    return SimpleNamespace(name="own", key="c0ffee", size=32, rgb=rgb, names=names)


def all_of(batches):
    return [tuple(part.copy() for part in batch) for batch in batches]


def same(some, others):
    pairs = zip(some, others, strict=True)
    return all(np.array_equal(a, b) for one, other in pairs for a, b in zip(one, other, strict=True))


def test_validation_is_the_photographs_in_order(rgb):
    L, ab = (np.concatenate(part) for part in zip(*Batches(rgb, 4, augment=False), strict=True))
    for batch, expected in zip((L, ab), normalize(rgb_to_lab(rgb)), strict=True):
        assert batch.dtype == np.float32
        assert np.array_equal(batch, expected)


def test_validation_never_changes(rgb):
    batches = Batches(rgb, 4, seed=3, augment=False)
    before = all_of(batches)
    batches.on_epoch_end()
    assert same(before, all_of(batches))
    assert same(before, all_of(Batches(rgb, 4, seed=4, augment=False)))


def test_a_batch_has_the_stated_shapes(rgb):
    batches = Batches(rgb, 4)
    assert len(batches) == 3
    assert [len(L) for L, _ in batches] == [4, 4, 2]
    L, ab = batches[0]
    assert L.shape == (4, 24, 32, 1) and ab.shape == (4, 24, 32, 2)
    assert L.dtype == ab.dtype == np.float32
    assert L.min() >= 0 and L.max() <= 1 and np.abs(ab).max() <= 1
    with pytest.raises(IndexError):
        batches[3]


def expected_versions(rgb, flips, contrast):
    """Every (L, ab) that augmentation may make of one photograph."""
    lab = rgb_to_lab(rgb)
    lightness = [lab[..., 0], *(contrast_on_lightness(lab[..., 0], operation) for operation in contrast)]
    for L, wanted in itertools.product(lightness, itertools.product((False, True), repeat=len(flips))):
        version = np.concatenate([L[..., None], lab[..., 1:]], axis=-1)
        for direction in itertools.compress(flips, wanted):
            version = flip(version, direction)
        yield normalize(version)


@pytest.mark.parametrize("flips", [(), FLIPS[:1], FLIPS])
@pytest.mark.parametrize("contrast", [(), CONTRASTS[1:2], CONTRASTS])
def test_training_shows_every_version_and_no_other(rgb, flips, contrast):
    """Within eight bits: 0.2 units of L, and 0.5 of a and b."""
    batches = Batches(rgb, 4, flips=flips, contrast=contrast)
    versions = [list(expected_versions(photograph, flips, contrast)) for photograph in rgb]
    seen = set()
    for _ in range(12):
        photographs = set()
        for L, ab in itertools.chain.from_iterable(zip(*batch, strict=True) for batch in batches):
            fits = [
                (i, k)
                for i, k in itertools.product(range(COUNT), range(len(versions[0])))
                if np.abs(L - versions[i][k][0]).max() <= 0.0021
                and np.abs(ab - versions[i][k][1]).max() <= 0.501 / 128
            ]
            assert fits, "a batch shows what no augmentation makes"
            seen.update(fits)
            photographs.add(fits[0][0])
        assert len(photographs) == COUNT, "an epoch shows every photograph"
        batches.on_epoch_end()
    assert len({version for _, version in seen}) == len(versions[0])


def test_every_variant_and_flip_is_as_frequent(rgb):
    batches = Batches(rgb, 4)
    drawn = []
    for _ in range(200):
        drawn.append(np.column_stack([batches._variant, batches._flipped]))
        batches.on_epoch_end()
    drawn = np.concatenate(drawn)
    assert np.allclose(np.bincount(drawn[:, 0]) / len(drawn), 1 / 4, atol=0.04)
    assert np.allclose(drawn[:, 1:].mean(axis=0), 1 / 2, atol=0.04)


@given(seed=st.integers(0, 2**32), other=st.integers(0, 2**32), epochs=st.integers(0, 3))
@settings(max_examples=15, deadline=None)
def test_a_seed_decides_everything(seed, other, epochs):
    rgb = np.random.default_rng(0).integers(0, 256, (12, 8, 8, 3), dtype=np.uint8)
    some, again, others = (Batches(rgb, 5, seed=s, contrast=()) for s in (seed, seed, other))
    for _ in range(epochs):
        for batches in (some, again, others):
            batches.on_epoch_end()
    assert same(all_of(some), all_of(again))
    assert same(all_of(some), all_of(others)) == (seed == other)


def test_training_is_shuffled_anew_in_every_epoch(rgb):
    batches = Batches(rgb, 4, flips=(), contrast=())
    unshuffled = np.concatenate([L for L, _ in Batches(rgb, 4, augment=False)])
    orders = [unshuffled]
    for _ in range(3):
        orders.append(np.concatenate([L for L, _ in batches]))
        batches.on_epoch_end()
    for one, other in itertools.combinations(orders, 2):
        assert np.abs(one - other).max() > 0.01


def test_epochs_differ_and_indices_may_come_in_any_order(rgb):
    batches, again = Batches(rgb, 4), Batches(rgb, 4)
    first = all_of(batches)
    backward = [again[i] for i in reversed(range(len(again)))]
    assert same(first, backward[::-1])
    batches.on_epoch_end()
    assert not same(first, all_of(batches))


def test_a_copy_in_another_process_gives_the_same_batches(photographs):
    batches = Batches(photographs, 4, seed=5)
    batches.on_epoch_end()
    assert same(all_of(batches), all_of(pickle.loads(pickle.dumps(batches))))


def test_fit_learns_from_the_batches_of_its_epoch(rgb):
    """Two epochs give the weights of training on the same batches by hand."""

    def network():
        keras.utils.set_random_seed(0)
        layers = [keras.Input((24, 32, 1)), keras.layers.Conv2D(2, 3, padding="same", use_bias=False)]
        built = keras.Sequential(layers)
        built.compile(keras.optimizers.SGD(0.1), "mse")
        return built

    by_fit = network()
    by_fit.fit(Batches(rgb, 5, seed=7), epochs=2, shuffle=False, verbose=0)
    by_hand, batches = network(), Batches(rgb, 5, seed=7)
    for _ in range(2):
        batches.on_epoch_end()
        for L, ab in batches:
            by_hand.train_on_batch(L, ab)
    assert np.allclose(by_fit.get_weights()[0], by_hand.get_weights()[0], atol=1e-6)


def test_fit_takes_validation_and_an_embedding(rgb):
    embedding = np.arange(COUNT * 3, dtype=np.float32).reshape(COUNT, 3)
    training = Batches(rgb, 4, embedding=embedding)
    order = training._order
    (_, first), _ = training[0]
    assert np.array_equal(first, embedding[order[:4]])
    L, vector = keras.Input((24, 32, 1)), keras.Input((3,))
    spread = keras.layers.Reshape((1, 1, 2))(keras.layers.Dense(2)(vector))
    network = keras.Model([L, vector], keras.layers.Conv2D(2, 1)(L) + spread)
    network.compile("adam", "mse")
    validation = Batches(rgb, 4, augment=False, embedding=embedding)
    history = network.fit(training, validation_data=validation, epochs=2, verbose=0).history
    assert np.isfinite(history["loss"] + history["val_loss"]).all()
    assert network.predict(validation, verbose=0).shape == (COUNT, 24, 32, 2)


def test_photographs_are_mapped_and_give_the_same_batches(photographs):
    mapped = Batches(photographs, 4, seed=1)
    owner = mapped._ab
    while isinstance(owner.base, np.ndarray):
        owner = owner.base
    assert isinstance(owner, np.memmap) and not mapped._ab.flags.writeable
    assert same(all_of(mapped), all_of(Batches(photographs.rgb, 4, seed=1)))


def test_training_leaves_the_photographs_as_they_were(photographs):
    before = photographs.rgb.copy()
    batches = Batches(photographs, 4)
    prepared = [batches._variants.copy(), batches._ab.copy()]
    for L, ab in batches:
        L *= 0
        ab *= 0
    assert np.array_equal(photographs.rgb, before)
    assert same([prepared], [(batches._variants, batches._ab)])


def test_validation_prepares_nothing(photographs):
    Batches(photographs, 4, augment=False)[0]
    assert not list(places.CACHE.iterdir())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"photographs": np.zeros((2, 8, 8, 3), np.float32)}, "uint8 array of shape"),
        ({"photographs": np.zeros((8, 8, 3), np.uint8)}, "uint8 array of shape"),
        ({"photographs": "sample"}, "takes Photographs"),
        ({"photographs": np.zeros((0, 8, 8, 3), np.uint8)}, "no photographs"),
        ({"batch_size": 0}, "batch_size must be at least 1, got 0"),
        ({"seed": -1}, "seed must be at least 0, got -1"),
        ({"embedding": np.zeros((3, 5))}, "3 embeddings for 2 photographs"),
        ({"flips": ("diagonal",)}, "unknown flip 'diagonal'"),
        ({"contrast": ("gamma",)}, "unknown contrast operation 'gamma'"),
        ({"contrast": "stretch"}, "a tuple of names"),
    ],
)
def test_bad_arguments_are_named(arguments, message):
    with pytest.raises(CourseError, match=message):
        Batches(**{"photographs": np.zeros((2, 8, 8, 3), np.uint8), "batch_size": 1, **arguments})


@pytest.mark.parametrize("backend", ["jax", "torch"])
@pytest.mark.skipif("KERAS_BACKEND" in os.environ, reason="itself a run on a chosen backend")
def test_other_backends(backend):
    """Everything about LAB, losses and batches holds there too."""
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed")
    here = Path(__file__).parent
    tests = [str(here / f"test_{name}.py") for name in ("lab", "losses", "batches")]
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *tests],
        env={**os.environ, "KERAS_BACKEND": backend},
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stdout[-2000:]


def test_a_crop_is_a_part_of_the_photograph_and_its_colors(rgb):
    batches = Batches(rgb, 5, seed=2, flips=(), contrast=(), crop=16)
    whole = all_of(Batches(rgb, 5, seed=2, flips=(), contrast=()))
    corners = set()
    for (L, ab), (all_L, all_ab) in zip(all_of(batches), whole, strict=True):
        assert L.shape[1:] == (16, 16, 1)
        for k in range(len(L)):
            found = [
                (top, left)
                for top in range(24 - 15)
                for left in range(32 - 15)
                if np.array_equal(L[k], all_L[k, top : top + 16, left : left + 16])
                and np.array_equal(ab[k], all_ab[k, top : top + 16, left : left + 16])
            ]
            assert found
            corners.add(found[0])
    assert len(corners) > 3


def test_crops_differ_between_epochs_and_repeat_with_the_seed(rgb):
    first, again = (Batches(rgb, 5, seed=2, contrast=(), crop=16) for _ in range(2))
    assert same(all_of(first), all_of(again))
    before = all_of(first)
    first.on_epoch_end()
    assert not same(before, all_of(first))
    again.begin(1)
    assert same(all_of(first), all_of(again))


def test_an_epoch_of_some_batches_has_the_first_of_the_whole_one(rgb):
    some = Batches(rgb, 3, seed=2, contrast=(), length=2)
    assert len(some) == 2
    assert same(all_of(some), all_of(Batches(rgb, 3, seed=2, contrast=()))[:2])
    assert len(Batches(rgb, 3, seed=2, contrast=(), length=100)) == 4


@pytest.mark.parametrize(
    ("wrong", "message"),
    [({"crop": 25}, "crop must be 1 to 24"), ({"crop": 0}, "crop must be"), ({"length": 0}, "length must")],
)
def test_a_wrong_crop_or_length_is_one_line(rgb, wrong, message):
    with pytest.raises(CourseError, match=message):
        Batches(rgb, 3, **wrong)


def hinted(rgb, **changes):
    return Batches(rgb, 5, **({"seed": 2, "contrast": (), "crop": 16, "hints": 6} | changes))


def test_hints_are_true_colors_of_some_places_of_each_crop(rgb):
    plain, batches = Batches(rgb, 5, seed=2, contrast=(), crop=16), hinted(rgb)
    for (L, ab), ((same_L, hints), same_ab) in zip(plain, batches, strict=True):
        np.testing.assert_array_equal(same_L, L)
        np.testing.assert_array_equal(same_ab, ab)
        assert (hints.shape, hints.dtype) == ((5, 4, 4, 3), np.float32)
        means = ab.reshape(5, 4, STRIDE, 4, STRIDE, 2).mean(axis=(2, 4))
        given = hints[..., 2] == 1
        np.testing.assert_allclose(hints[given, :2], means[given], atol=1e-6)
        assert not hints[~given].any()


def test_each_crop_has_one_hint_to_as_many_as_asked_for(rgb):
    batches, counts, places_given = hinted(rgb), [], np.zeros((4, 4), int)
    for epoch in range(30):
        batches.begin(epoch)
        for (_, hints), _ in batches:
            counts += hints[..., 2].sum(axis=(1, 2)).tolist()
            places_given += (hints[..., 2] > 0).sum(axis=0)
    assert set(counts) == {1, 2, 3, 4, 5, 6}
    assert counts.count(1) > counts.count(6), "as many between 1 and 2 as between 3 and 6"
    assert places_given.min() > 0.5 * places_given.mean()
    assert {given[..., 2].sum() for (_, hints), _ in hinted(rgb, hints=1) for given in hints} == {1}


def test_hints_are_a_function_of_seed_epoch_and_index(rgb):
    def maps(batches):
        return [hints for (_, hints), _ in batches]

    def equal(one, other):
        return [np.array_equal(*pair) for pair in zip(one, other, strict=True)]

    def same_places(one, other):
        return [np.array_equal(a[..., 2], b[..., 2]) for a, b in zip(one, other, strict=True)]

    first, again = hinted(rgb), hinted(rgb)
    before = maps(first)
    assert not np.array_equal(before[0][..., 2], before[1][..., 2])
    assert all(equal(before, maps(again)))
    assert np.array_equal(again[1][0][1], before[1]), "whatever was asked for before"
    assert not any(same_places(before, maps(hinted(rgb, seed=3))))
    first.on_epoch_end()
    assert not any(same_places(before, maps(first)))
    first.begin(0)
    assert all(equal(before, maps(first)))


def test_validation_has_hints_too_and_each_head_gets_the_colors(rgb):
    batches = Batches(rgb, 4, augment=False, hints=3, heads=2)
    (_, hints), (ab, same_ab) = batches[0]
    assert hints.shape == (4, 6, 8, 3)
    assert ab is same_ab
    np.testing.assert_array_equal(hints, batches[0][0][1])


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"hints": -1}, "hints must be at least 0, got -1"),
        ({"hints": 5, "crop": 15}, "hints need sides that are multiples of 4 pixels, got 15"),
        ({"hints": 5, "embedding": np.zeros((COUNT, 3))}, "an embedding or hints: give one of them"),
    ],
)
def test_wrong_hints_are_one_line(rgb, wrong, message):
    with pytest.raises(CourseError, match=message):
        Batches(rgb, 3, contrast=(), **wrong)
