"""EfficientNet-Lite0: the weights that come with the installation, read without running anything."""

import io
import os
import pickle

import numpy as np
import pytest
from skimage import color, data, transform

from helpers import efficientnet, installed
from helpers.backend import keras
from helpers.errors import CourseError


@pytest.fixture(scope="module")
def network():
    return efficientnet.build()


def middle(photograph):
    side = min(photograph.shape[:2])
    top, left = (photograph.shape[0] - side) // 2, (photograph.shape[1] - side) // 2
    square = photograph[top : top + side, left : left + side]
    return transform.resize(square, (efficientnet.SIZE, efficientnet.SIZE), anti_aliasing=True)


def grey(square):
    return np.repeat(color.rgb2gray(square)[..., None], 3, axis=-1)


@pytest.mark.parametrize(
    ("photograph", "number", "name"),
    [("chelsea", 285, "Egyptian cat"), ("coffee", 967, "espresso"), ("rocket", 657, "missile")],
)
@pytest.mark.parametrize("seen", [np.asarray, grey], ids=["in color", "in grey"])
def test_it_knows_what_is_in_a_photograph(network, photograph, number, name, seen):
    square = seen(middle(getattr(data, photograph)()))
    logits = network(efficientnet.preprocess(255 * square[None].astype("float32")), training=False)
    best = int(keras.ops.convert_to_numpy(logits)[0].argmax())
    assert (best, efficientnet.class_names()[best]) == (number, name)


def test_there_is_a_name_for_each_class(network):
    assert len(set(efficientnet.class_names())) == network.output_shape[-1] == 1000


def test_the_encoder_gives_maps_at_four_strides(network):
    encoder = efficientnet.encoder()
    pictures = np.random.default_rng(0).normal(size=(1, 96, 64, 3)).astype("float32")
    shapes = [tuple(each.shape) for each in encoder(pictures, training=False)]
    assert shapes == [(1, 24, 16, 24), (1, 12, 8, 40), (1, 6, 4, 112), (1, 3, 2, 320)]


def test_the_encoder_is_the_lower_part_of_the_network(network):
    pictures = np.random.default_rng(0).normal(size=(1, 224, 224, 3)).astype("float32")
    lower = keras.Model(network.input, network.get_layer("stage7").output)
    expected, given = lower(pictures, training=False), efficientnet.encoder()(pictures, training=False)[-1]
    difference = keras.ops.convert_to_numpy(expected) - keras.ops.convert_to_numpy(given)
    assert np.abs(difference).max() < 1e-3


def test_preprocessing_is_that_of_imagenet():
    mean = 255 * np.array(efficientnet.MEAN)
    assert np.allclose(efficientnet.preprocess(mean), 0, atol=1e-6)
    deviation = 255 * np.array(efficientnet.DEVIATION)
    assert np.allclose(efficientnet.preprocess(mean + deviation), 1, atol=1e-6)


def test_unpickling_runs_nothing(tmp_path):
    class Trap:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "sprung"),)

    with pytest.raises(pickle.UnpicklingError, match=r"mkdir has no place in a file of weights"):
        efficientnet._Unpickler(io.BytesIO(pickle.dumps(Trap()))).load()
    assert not (tmp_path / "sprung").exists()


def test_a_changed_file_is_not_read(monkeypatch):
    monkeypatch.setattr(efficientnet, "SHA256", "0" * 64)
    with pytest.raises(CourseError, match=r"\.pth is not the file that the course knows"):
        efficientnet._read_weights()


@pytest.mark.parametrize(("part", "value"), [("PACKAGE", "no-such-package"), ("FILE", "no/such/file.pth")])
def test_weights_that_are_not_installed_are_said_in_one_line(monkeypatch, part, value):
    monkeypatch.setattr(efficientnet, part, value)
    with pytest.raises(CourseError) as raised:
        efficientnet._read_weights()
    assert str(raised.value) == installed.advice(efficientnet.PACKAGE)
