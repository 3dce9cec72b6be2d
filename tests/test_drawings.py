"""Networks as blocks: what a drawing shows is what the network computes."""

import numpy as np
import pytest
from matplotlib import pyplot

from helpers import drawings
from helpers.backend import keras
from helpers.errors import CourseError

layers = keras.layers


def parts(figure):
    """The drawing's boxes from left to right, its labels, and how many of each other thing it holds."""
    (axis,) = figure.axes
    boxes = [patch for patch in axis.patches if patch.get_gid() == "block"]
    kinds = [patch.get_gid() for patch in axis.patches if patch.get_gid() != "block"]
    labels = [text.get_text() for text in axis.texts if text.get_text()]
    pyplot.close(figure)
    return boxes, labels, {kind: kinds.count(kind) for kind in sorted(set(kinds))}


def conv(x, filters, strides=1, **options):
    return layers.Conv2D(filters, 3, strides, padding="same", **options)(x)


def chain():
    L = keras.Input((None, None, 1), name="L")
    x = layers.LeakyReLU()(layers.BatchNormalization()(conv(L, 4)))
    x = layers.Dropout(0.2)(conv(x, 16, 2))
    x = conv(layers.UpSampling2D()(x), 4)
    return keras.Model(L, conv(x, 2, name="ab"))


def skipping():
    L = keras.Input((None, None, 1), name="L")
    first = conv(L, 3, 2)
    second = conv(first, 5, 2)
    third = conv(second, 6)
    x = layers.Add()([layers.UpSampling2D()(conv(layers.Concatenate()([third, second]), 3)), first])
    return keras.Model(L, conv(x, 2, name="ab"))


def two_inputs():
    L, vector = keras.Input((None, None, 1), name="L"), keras.Input((7,), name="vector")
    mixed = layers.Add()([conv(L, 4), layers.Reshape((1, 1, 4))(layers.Dense(4)(vector))])
    return keras.Model([L, vector], conv(mixed, 2, name="ab"))


def nested():
    picture = keras.Input((None, None, 1))
    large = conv(picture, 3, 2)
    small = conv(large, 5, 2)
    encoder = keras.Model(picture, [large, small], name="encoder")
    L = keras.Input((None, None, 1), name="L")
    skip, x = encoder(layers.Rescaling(2.0)(L))
    x = layers.Concatenate()([layers.UpSampling2D()(conv(x, 6)), skip])
    return keras.Model(L, [conv(x, 2, name="ab"), conv(x, 9, name="logits")])


@pytest.mark.parametrize(
    ("build", "labels", "kinds"),
    [
        (chain, ["8² × 1", "L", "8² × 4", "4² × 16", "8² × 4", "8² × 2", "ab"], {"line": 4}),
        (
            skipping,
            ["8² × 1", "L", "4² × 3", "2² × 5", "2² × 6", "2² × 3", "4² × 2", "ab"],
            {"arc": 2, "line": 5},
        ),
        (two_inputs, ["8² × 1", "L", "8² × 4", "7", "vector", "4", "8² × 2", "ab"], {"branch": 1, "line": 3}),
        (
            nested,
            ["8² × 1", "L", "4² × 3", "encoder", "2² × 5", "2² × 6", "4² × 2", "ab", "4² × 9", "logits"],
            # The second head takes from both as the first does: from another row.
            {"arc": 1, "branch": 2, "line": 4},
        ),
    ],
)
def test_a_drawing_holds_each_block_with_its_size_and_each_connection(build, labels, kinds):
    boxes, written, found = parts(drawings.draw(build(), 8))
    assert sorted(written) == sorted(labels)
    assert len(boxes) == sum(label[0].isdigit() for label in labels)
    assert found == kinds


def test_a_block_is_as_high_as_its_side_and_wider_with_more_channels():
    boxes, *_ = parts(drawings.draw(chain(), 8))
    np.testing.assert_allclose([box.get_height() / boxes[0].get_height() for box in boxes], [1, 1, 0.5, 1, 1])
    assert boxes[2].get_width() == pytest.approx(2 * boxes[1].get_width())
    assert boxes[1].get_width() > boxes[0].get_width()


def test_a_vector_is_a_bar_under_the_map_that_it_joins():
    figure = drawings.draw(two_inputs(), 8)
    labels = [text.get_text() for text in figure.axes[0].texts if text.get_text()[:1].isdigit()]
    boxes, *_ = parts(figure)
    by_label = dict(zip(labels, boxes, strict=True))
    assert by_label["4"].get_y() + by_label["4"].get_height() < by_label["8² × 4"].get_y()
    assert by_label["4"].get_width() < by_label["8² × 4"].get_width()


def test_no_two_blocks_and_no_two_labels_lie_over_each_other():
    for build in (chain, skipping, two_inputs, nested):
        figure = drawings.draw(build(), 64)
        figure.canvas.draw()
        texts = [text.get_window_extent() for text in figure.axes[0].texts if text.get_text()]
        boxes = [patch.get_window_extent() for patch in figure.axes[0].patches if patch.get_gid() == "block"]
        for things in (texts, boxes):
            for i, thing in enumerate(things):
                assert not any(thing.overlaps(other) for other in things[i + 1 :]), build.__name__
        pyplot.close(figure)


def test_a_photograph_that_is_not_square_has_both_sides_in_its_label():
    L = keras.Input((12, 8, 1), name="L")
    _, labels, _ = parts(drawings.draw(keras.Model(L, conv(L, 2, name="ab")), 8))
    assert labels == ["12 × 8 × 1", "L", "12 × 8 × 2", "ab"]


def test_what_cannot_be_drawn_is_said():
    class Own(keras.Model):
        def call(self, x):
            return x

    with pytest.raises(CourseError, match="only a functional network"):
        drawings.draw(Own(), 8)
    with pytest.raises(CourseError, match="takes no photographs of 10 pixels"):
        drawings.draw(skipping(), 10)
