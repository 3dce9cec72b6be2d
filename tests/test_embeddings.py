"""What the pretrained network is given, and that its answer is computed once."""

import functools
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from skimage import data as photographs_of_skimage
from skimage import transform

from helpers import efficientnet, embeddings, places
from helpers.backend import keras
from helpers.colorings import grey
from helpers.embeddings import Backbone, embed, grey_input, load_backbone, name_best
from helpers.errors import CourseError
from helpers.lab import normalize, rgb_to_lab
from helpers.photographs import load
from helpers.profiles import BACKBONES

inception = keras.applications.inception_resnet_v2


@pytest.fixture(autouse=True)
def data(monkeypatch, tmp_path):
    """A folder of its own for what is kept, and small batches."""
    monkeypatch.setattr(places, "CACHE", tmp_path)
    monkeypatch.setattr(embeddings, "BATCH", 2)
    return tmp_path


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """The sample at two sizes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(places, "CACHE", tmp_path_factory.mktemp("cache"))
        return {size: load("sample", size) for size in (16, 24)}


@pytest.fixture
def few(prepared):
    return prepared[16][:5]


@pytest.fixture
def random_weights(monkeypatch):
    """Build networks of keras.applications without their ImageNet weights; keeps the arguments."""
    calls = []

    def build_without(name):
        builder = getattr(keras.applications, name)

        @functools.wraps(builder)
        def build(weights, **options):
            calls.append((name, weights, options))
            return builder(weights=None, **options)

        monkeypatch.setattr(keras.applications, name, build)

    return build_without, calls


def small_backbone(filters=3, preprocess=lambda rgb: rgb / 255):
    keras.utils.set_random_seed(filters)
    network = keras.Sequential(
        [
            keras.Input((8, 8, 3)),
            keras.layers.Conv2D(filters, 3, activation="relu"),
            keras.layers.GlobalAveragePooling2D(),
        ]
    )
    return Backbone("small", "three numbers of no meaning", network, 8, preprocess)


class Counted:
    """A preprocessing that counts the batches that it sees, and fails from the given one on."""

    def __init__(self, fails_from=99):
        self.batches, self.fails_from = [], fails_from

    def __call__(self, rgb):
        self.batches.append(len(rgb))
        if len(self.batches) >= self.fails_from:
            raise KeyboardInterrupt
        return rgb / 255


# The range of the input ------------------------------------------------------------------------------

INCEPTION = Backbone("inception_resnet_v2", "", None, 299, inception.preprocess_input)


def plain(*lightness, side=16):
    """One photograph of each lightness of 0..1."""
    return np.stack([np.full((side, side, 1), L, np.float32) for L in lightness])


def test_inception_sees_black_as_minus_one_and_white_as_one():
    seen = grey_input(plain(0, 0.5, 1), INCEPTION)
    assert (seen.shape, seen.dtype) == ((3, 299, 299, 3), np.float32)
    # L 50 is the grey of 119 in sRGB.
    for photograph, value in zip(seen, (-1, 118.9 / 127.5 - 1, 1), strict=True):
        np.testing.assert_allclose(photograph, value, atol=2e-3)


def test_a_photograph_keeps_its_contrast_its_place_and_its_three_equal_channels():
    L = plain(0)
    L[0, :8] = 1  # the upper half white
    seen = grey_input(L, INCEPTION)
    np.testing.assert_allclose(seen[0, :120], 1, atol=2e-3)
    np.testing.assert_allclose(seen[0, -120:], -1, atol=2e-3)
    np.testing.assert_array_equal(seen[..., 0], seen[..., 2])


def test_the_mistake_makes_every_photograph_black():
    """Fed values of 0..1, the preprocessing returns what it returns for black: the lesson shows it."""
    right = grey_input(plain(0, 1), INCEPTION)
    mistaken = inception.preprocess_input((right + 1) / 2)
    assert np.ptp(mistaken) < 0.01
    assert np.abs(mistaken + 1).max() < 0.01


@pytest.mark.parametrize("size", [20, 96])
def test_photographs_are_resized_as_pillow_does_it_with_antialiasing(size, prepared):
    """If this is to change, raise VERSION in helpers/embeddings.py: other inputs, other embeddings."""
    checkerboard = (np.indices((24, 24)).sum(0) % 2)[None, ..., None].astype(np.float32)
    L = np.concatenate([normalize(rgb_to_lab(prepared[24].rgb[:3]))[0], checkerboard])
    as_it_is, resized = (grey_input(L, Backbone("", "", None, side, lambda rgb: rgb)) for side in (24, size))
    for grey_levels, found in zip(as_it_is[..., 0], resized, strict=True):
        expected = Image.fromarray(grey_levels).resize((size, size), Image.Resampling.BILINEAR)
        np.testing.assert_allclose(found, np.stack([expected] * 3, axis=-1), atol=0.5)


def test_the_input_is_left_as_it_was():
    L = plain(0.25, 0.75)
    before = L.copy()
    grey_input(L, INCEPTION)
    np.testing.assert_array_equal(L, before)


# Computed once, and kept -----------------------------------------------------------------------------


def test_embeddings_are_computed_once_and_read_ever_after(few, data):
    counted = Counted()
    backbone = small_backbone(preprocess=counted)
    first = embed(few, backbone)
    assert counted.batches == [2, 2, 1]
    assert (first.shape, first.dtype) == ((5, 3), np.float32)
    second = embed(few, backbone)
    assert counted.batches == [2, 2, 1]
    np.testing.assert_array_equal(first, second)
    assert len(list(data.iterdir())) == 1


def test_an_embedding_is_what_the_network_says_of_that_photograph(few):
    backbone = small_backbone()
    L, _ = normalize(rgb_to_lab(few.rgb))
    said = backbone.network.predict(grey_input(L, backbone), verbose=0)
    assert np.ptp(said, axis=0).max() > 0.01
    np.testing.assert_allclose(embed(few, backbone), said, atol=1e-6)


def test_only_lightness_is_looked_at(few):
    seen = []
    backbone = small_backbone(preprocess=lambda rgb: seen.append(rgb) or rgb / 255)
    embed(few, backbone)
    embed(replace(few, rgb=grey(few.rgb), key="the grey ones"), backbone)
    in_color, in_grey = np.concatenate(seen[:3]), np.concatenate(seen[3:])
    assert np.ptp(in_color) > 100
    assert np.abs(in_color - in_grey).max() < 1.5  # levels of 255; the grey ones were rounded


def test_other_photographs_order_or_size_are_kept_side_by_side(few, prepared, data):
    cases = [few, prepared[16][5:10], few[::-1], prepared[24][:5]]
    for count, photographs in enumerate(cases, 1):
        counted = Counted()
        for _ in range(2):
            embed(photographs, small_backbone(preprocess=counted))
        assert counted.batches == [2, 2, 1]
        assert len(list(data.iterdir())) == count


@pytest.mark.parametrize("what", ["weights", "key", "version"])
def test_what_is_computed_otherwise_takes_the_place_of_the_older_file(what, few, data, monkeypatch):
    embed(few, small_backbone())
    before = list(data.iterdir())
    if what == "version":
        monkeypatch.setattr(embeddings, "VERSION", embeddings.VERSION + 1)
    photographs = replace(few, key="another Pillow") if what == "key" else few
    embed(photographs, small_backbone(4 if what == "weights" else 3))
    (after,) = data.iterdir()
    assert after not in before


def test_weights_of_one_layer_are_enough_of_a_difference(few):
    backbone = small_backbone()
    before = embed(few, backbone)
    kernel, bias = backbone.network.get_weights()
    backbone.network.set_weights([kernel, bias + 1])
    assert np.abs(embed(few, backbone) - before).min() > 0.1


def test_an_interrupted_computation_is_never_taken_for_a_whole_one(few, data):
    with pytest.raises(KeyboardInterrupt):
        embed(few, small_backbone(preprocess=Counted(fails_from=2)))
    assert list(data.iterdir()) == []
    counted = Counted()
    assert len(embed(few, small_backbone(preprocess=counted))) == 5
    assert counted.batches == [2, 2, 1]


def test_embeddings_are_mapped_and_what_is_written_to_them_is_not_kept(few, data):
    first = embed(few, small_backbone())
    assert isinstance(first.base, np.memmap)
    kept = first.copy()
    first += 1
    np.testing.assert_array_equal(embed(few, small_backbone()), kept)


def test_a_file_that_was_cut_is_computed_again(few, data):
    first = embed(few, small_backbone()).copy()  # it is mapped to the file
    (file,) = data.iterdir()
    file.write_bytes(file.read_bytes()[:-1])
    np.testing.assert_array_equal(embed(few, small_backbone()), first)


# The backbones ---------------------------------------------------------------------------------------


def test_the_backbone_that_is_installed_reads_grey_photographs(few):
    backbone = load_backbone("efficientnet_lite0")
    seen = grey_input(plain(0, 1), backbone)
    assert seen.shape == (2, 224, 224, 3)
    mean, deviation = np.array(efficientnet.MEAN), np.array(efficientnet.DEVIATION)
    np.testing.assert_allclose(seen[0, 0, 0], -mean / deviation, atol=0.02)
    np.testing.assert_allclose(seen[1, 0, 0], (1 - mean) / deviation, atol=0.02)
    embedding = embed(few, backbone)
    assert embedding.shape == (5, 1000)
    assert np.ptp(embedding, axis=0).max() > 1


def test_it_names_what_a_grey_photograph_shows():
    backbone = load_backbone("EfficientNetLite0")
    cat = transform.resize(photographs_of_skimage.chelsea()[:, 75:375], (224, 224), anti_aliasing=True)
    L, _ = normalize(rgb_to_lab(np.rint(255 * cat).astype(np.uint8)[None]))
    scores = backbone.network.predict_on_batch(grey_input(L, backbone))[0]
    assert name_best(scores)[0] == "Egyptian cat"
    assert len(name_best(scores, 5)) == 5


def test_inception_resnet_v2_embeds_end_to_end(random_weights, few):
    """At its real size, but without its 200 MB of weights."""
    build_without, calls = random_weights
    build_without("InceptionResNetV2")
    backbone = load_backbone("inception_resnet_v2")
    assert calls == [("InceptionResNetV2", "imagenet", {"classifier_activation": None})]
    assert backbone.size == 299
    assert "InceptionResNetV2" in backbone.description
    np.testing.assert_allclose(backbone.preprocess(np.array([0.0, 255])), [-1, 1])
    embedding = embed(few[:1], backbone)
    assert embedding.shape == (1, 1000)
    # Class scores before the softmax: they sum to anything.
    assert abs(embedding.sum() - 1) > 1e-3


@pytest.mark.parametrize(
    ("name", "builder"), [("mobilenet", "MobileNet"), ("MobileNetV3Small", "MobileNetV3Small")]
)
def test_any_network_of_keras_applications_will_do(random_weights, few, name, builder):
    build_without, _ = random_weights
    build_without(builder)
    backbone = load_backbone(name)
    assert backbone.size == 224
    assert embed(few[:2], backbone).shape == (2, 1000)


def test_a_backbone_that_does_not_exist_is_named_in_one_line():
    with pytest.raises(
        CourseError, match=r"is 'inception_v9'; it must be one of EfficientNetLite0, "
    ) as error:
        load_backbone("inception_v9")
    assert len(str(error.value).splitlines()) == 1


def test_the_backbones_are_all_that_keras_has():
    networks = (
        name for name, found in vars(keras.applications).items() if name[0].isupper() and callable(found)
    )
    assert sorted(BACKBONES) == sorted(["EfficientNetLite0", *networks])


@pytest.mark.parametrize("reason", ["URL fetch failure\non the second line", ""])
def test_weights_that_cannot_be_had_are_one_line(monkeypatch, reason):
    def build(**options):
        raise TimeoutError(reason)

    monkeypatch.setattr(keras.applications, "InceptionResNetV2", build)
    with pytest.raises(CourseError, match="ImageNet weights of InceptionResNetV2 could not") as error:
        load_backbone("inception_resnet_v2")
    assert len(str(error.value).splitlines()) == 1
    assert 'BACKBONE = "efficientnet_lite0"' in str(error.value)
