"""The lessons' own code: definitions are taken from the notebooks as they stand, and put to the test."""

import ast
import dataclasses
import importlib.util
import io
import os
import subprocess
import sys
import warnings
from types import SimpleNamespace

import nbformat
import numpy as np
import pytest
from PIL import Image
from scipy.spatial import cKDTree
from skimage import data
from skimage.color import rgb2lab

from helpers import ab_bins, efficientnet, profiles
from helpers.augment import CONTRASTS
from helpers.backend import keras
from helpers.lab import denormalize, lab_to_rgb, normalize, rgb_to_lab
from helpers.losses import ssim
from helpers.places import NOTEBOOKS

ops = keras.ops
FULL_WIDTH = dataclasses.replace(profiles.PROFILES["tiny"], width=1.0)


def lesson_code(name, wanted, replace=(), **given):
    """Run a lesson's imports, and those of its functions, classes and constants that are named.

    `replace` is pairs of text of the lesson and what takes its place, to show
    that a test notices; `given` is what the code finds defined already.
    """
    cells = nbformat.read(NOTEBOOKS / f"{name}.ipynb", as_version=4).cells
    source = "\n".join(cell.source for cell in cells if cell.cell_type == "code")
    for old, new in replace:
        assert source.count(old) == 1, f"{old} stands {source.count(old)} times in {name}"
        source = source.replace(old, new)
    wanted, found, chosen = set(wanted.split()), set(), []
    for statement in ast.parse(source).body:
        if isinstance(statement, ast.FunctionDef | ast.ClassDef):
            defines = {statement.name}
        else:
            targets = statement.targets if isinstance(statement, ast.Assign) else []
            defines = {target.id for target in targets if isinstance(target, ast.Name)}
        if defines & wanted or isinstance(statement, ast.Import | ast.ImportFrom):
            chosen.append(statement)
            found |= defines & wanted
    assert found == wanted, f"{name} defines no {', '.join(wanted - found)}"
    namespace = dict(given)
    exec(compile(ast.Module(chosen, []), f"{name}.ipynb", "exec"), namespace)
    return namespace


def noise(*shape, low=0.0, seed=0):
    return np.random.default_rng(seed).uniform(low, 1, shape).astype("float32")


def colored(network, *inputs):
    return ops.convert_to_numpy(network(inputs[0] if len(inputs) == 1 else list(inputs), training=False))


# Lesson 1: leaks -------------------------------------------------------------------------------------


def squares():
    return [picture[:224, 40:264, :3] for picture in (data.astronaut(), data.chelsea(), data.coffee())]


def saved_anew(picture):
    Image.fromarray(picture).save(file := io.BytesIO(), "jpeg", quality=30)
    return np.asarray(Image.open(file))


def test_a_leak_is_seen_by_the_picture_and_not_by_the_name():
    """A copy, mirrored, paler or saved anew, lies above the bound of lesson 1's claim, and others below."""
    views = lesson_code("01_data_download", "views")["views"]
    train = views(np.stack(squares()))
    copies = (np.copy, saved_anew, lambda picture: picture[:, ::-1], lambda picture: picture // 4 + 150)
    for copy in copies:
        others = views(np.stack([copy(picture) for picture in squares()]))
        upright, mirrored = (np.einsum("nij,mij->nm", view, others) for view in (train, train[:, :, ::-1]))
        alike = np.maximum(upright, mirrored)
        assert np.diag(alike).min() > 0.97
        assert alike[~np.eye(3, dtype=bool)].max() < 0.9


def test_a_photograph_of_one_grey_is_like_no_other():
    views = lesson_code("01_data_download", "views")["views"]
    flat, other = views(np.stack([np.full((32, 32, 3), 90, np.uint8), data.chelsea()[:32, :32]]))
    assert (flat * other).sum() == 0


# Lesson 2: gamut, coarse color, and contrast ---------------------------------------------------------


@pytest.mark.parametrize("L", [30, 65, 90])
def test_the_plane_of_a_and_b_shows_what_a_screen_shows_and_no_more(L):
    """Held against the colors of a screen themselves, by scikit-image."""
    picture, share = lesson_code("02_lab_and_augmentation", "plane")["plane"](L)
    inside = (picture != 0.9).any(axis=-1)
    assert inside.mean() == pytest.approx(share, abs=1e-3)
    levels = np.linspace(0, 1, 86)
    screen = rgb2lab(np.stack(np.meshgrid(levels, levels, levels), axis=-1).reshape(1, -1, 3))[0]
    screen = screen[np.abs(screen[:, 0] - L) < 0.3, 1:]
    at = np.rint(screen).astype(int) + 100
    assert inside[at[:, 1].clip(0, 200), at[:, 0].clip(0, 200)].mean() > 0.95
    b, a = np.nonzero(inside)
    distance, _ = cKDTree(screen).query(np.stack([a, b], axis=-1) - 100)
    assert distance.max() < 8


def test_coarse_color_keeps_the_lightness_and_the_means_of_the_color():
    lab = rgb_to_lab(noise(32, 24, 3) * 0.1 + 0.4)
    code = lesson_code("02_lab_and_augmentation", "coarse coarser", lab=lab)
    changed = rgb_to_lab(code["coarser"](color=8))
    np.testing.assert_allclose(changed[..., 0], lab[..., 0], atol=0.02)
    np.testing.assert_allclose(changed[:8, :8, 1:].mean((0, 1)), lab[:8, :8, 1:].mean((0, 1)), atol=0.02)
    assert np.ptp(changed[:8, :8, 1:], axis=(0, 1)).max() < 0.05
    coarse_lightness = rgb_to_lab(code["coarser"](lightness=8))
    np.testing.assert_allclose(coarse_lightness[..., 1:], lab[..., 1:], atol=0.02)


@pytest.mark.parametrize("operation", CONTRASTS)
def test_contrast_on_lightness_moves_no_color_that_can_be_shown(operation):
    code = lesson_code("02_lab_and_augmentation", "on_lightness moved")
    rgb = noise(48, 48, 3) * 0.04 + np.linspace(0.3, 0.7, 48, dtype="float32")[:, None, None]
    lab = rgb_to_lab(rgb)
    changed = code["on_lightness"](operation, lab)
    middle = np.abs(rgb_to_lab(changed)[..., 0] - 50) < 40  # near black and white nothing has color
    assert code["moved"](changed, lab)[middle].max() < 0.1
    assert np.abs(rgb_to_lab(changed) - lab)[..., 0].max() > 5


# Lesson 2: the story's augmentation ------------------------------------------------------------------


@pytest.mark.parametrize("operation", [0, 1, 2])
def test_each_contrast_operation_of_the_story_leaves_0_to_255(operation):
    """The lesson's point: `flow` hands over floats of 0..255, and each operation returns 0..1."""

    class Chance:
        def integers(self, count):
            assert operation < count == 3
            return operation

    pytest.importorskip("tensorflow")
    code = lesson_code("02_lab_and_augmentation", "story_contrast", chance=Chance())
    picture = np.rint(noise(48, 40, 3) * 200 + 20)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the lesson turns aside a warning about color
        changed = code["story_contrast"](picture)
    assert changed.shape == picture.shape
    assert changed.min() >= 0
    assert 0.5 < changed.max() <= 1


# Lesson 3: one photograph, and the baseline ----------------------------------------------------------


@pytest.fixture(scope="module")
def lesson_3():
    wanted = "build_memorizer convolve shrink grow build_baseline"
    return lesson_code("03_baseline_cnn", wanted, lesson=profiles.PROFILES["tiny"])


@pytest.mark.parametrize(("build", "multiple"), [("build_memorizer", 4), ("build_baseline", 8)])
def test_a_network_keeps_the_size_and_stays_in_the_range_of_tanh(lesson_3, build, multiple):
    network = lesson_3[build]()
    kernel, bias = network.get_layer("ab").get_weights()
    network.get_layer("ab").set_weights([kernel * 1e4, bias])  # far beyond the range, but for tanh
    for height, width in ((8 * multiple, 8 * multiple), (5 * multiple, 9 * multiple)):
        ab = colored(network, noise(2, height, width, 1))
        assert ab.shape == (2, height, width, 2)
        assert 0.99 < np.abs(ab).max() <= 1


def test_the_baseline_has_the_storys_filters_at_full_width():
    wanted = "convolve shrink grow build_baseline"
    code = lesson_code("03_baseline_cnn", wanted, lesson=FULL_WIDTH)
    layers = [layer for layer in code["build_baseline"]().layers if isinstance(layer, keras.layers.Conv2D)]
    story = [64, 64, 128, 128, 256, 256, 512, 256, 128, 64, 32, 2]
    assert [layer.filters for layer in layers] == story
    assert [layer.strides[0] for layer in layers] == [1, 2, 1, 2, 1, 2, 1, 1, 1, 1, 1, 1]


def test_the_baseline_repeats_itself_at_inference_only(lesson_3):
    keras.utils.set_random_seed(0)
    network = lesson_3["build_baseline"]()
    L = noise(2, 16, 16, 1)
    np.testing.assert_array_equal(colored(network, L), colored(network, L))
    first, second = (ops.convert_to_numpy(network(L, training=True)) for _ in range(2))
    assert np.abs(first - second).max() > 0


@pytest.mark.parametrize("depth", [1, 2, 5, 8])
def test_a_receptive_field_holds_the_pixels_that_change_the_number_and_no_other(lesson_3, depth):
    network = lesson_3["build_baseline"]()
    encoder = [layer for layer in network.layers if isinstance(layer, keras.layers.Conv2D)][:8]
    code = lesson_code("03_baseline_cnn", "field_of", encoder=encoder)
    for layer in encoder:  # all above 0, so that nothing cancels out
        layer.set_weights([np.full_like(weights, 0.01) for weights in layer.get_weights()])

    def number(lines):
        x = np.zeros((len(lines), 64, 64, 1), "float64")
        x[np.arange(len(lines)), lines] = 1
        for layer in encoder[:depth]:
            x = layer(x)
        x = ops.convert_to_numpy(x)
        place = x.shape[1] // 2
        return x[:, place, place, 0], place

    seen, place = number(np.arange(64))
    first, last = code["field_of"](depth, place)
    found = np.flatnonzero(seen > seen.min() * (1 + 1e-6)) if seen.min() < seen.max() else np.arange(64)
    assert (found[0], found[-1]) == (max(first, 0), min(last, 63))


def test_the_best_guess_is_the_mean_for_one_loss_and_the_median_for_the_other():
    code = lesson_code("03_baseline_cnn", "losses_of grid")
    values = np.array([-20.0, -2, 0, 1, 3, 5, 41])
    lowest = {name: code["grid"][loss.argmin()] for name, loss in code["losses_of"](values).items()}
    assert lowest == {"MSE": values.mean(), "MAE": np.median(values)}


def test_a_network_that_follows_the_picture_and_one_that_follows_the_place_are_told_apart():
    code = lesson_code("03_baseline_cnn", "upper_minus_lower sky")
    L = keras.Input((None, None, 1))
    by_picture = keras.Model(L, keras.layers.Concatenate()([L, L]))
    ramp = np.linspace(-1, 1, 16, dtype="float32")[None, :, None, None]
    by_place = keras.Model(L, keras.layers.Concatenate()([L * 0 + ramp, L * 0 + ramp]))
    photograph = np.broadcast_to(ramp, (1, 16, 16, 1))
    picture, place = (code["sky"](network, photograph) for network in (by_picture, by_place))
    difference = f"{128 * (ramp[0, :4].mean() - ramp[0, -4:].mean()):+.1f}"
    assert (picture["upright"], place["upright"]) == (difference, difference)
    assert (picture["follows the picture"], place["follows the place"]) == (difference, difference)
    assert float(picture["follows the place"]) == float(place["follows the picture"]) == 0


# Lesson 4: local and global, fusion ------------------------------------------------------------------


@pytest.fixture(scope="module")
def lesson_4():
    wanted = (
        "filters convolve encoder global_branch fuse decoder "
        "build_local_global build_fusion build_without_vector"
    )
    return lesson_code("04_fusion_inception", wanted, lesson=profiles.PROFILES["tiny"])


def test_fuse_is_repeat_concatenate_and_a_1x1_convolution(lesson_4):
    local, vector = keras.Input((None, None, 8)), keras.Input((3,))
    network = keras.Model([local, vector], lesson_4["fuse"](local, vector))
    places, numbers = noise(2, 6, 5, 8, low=-1), noise(2, 3, low=-1, seed=1)

    convolution = next(layer for layer in network.layers if isinstance(layer, keras.layers.Conv2D))
    dense = next(layer for layer in network.layers if isinstance(layer, keras.layers.Dense))
    assert convolution.kernel_size == (1, 1)
    assert not dense.use_bias  # one bias, as the one convolution has
    kernel, _ = convolution.get_weights()
    bias = noise(kernel.shape[-1], low=-1, seed=2)
    convolution.set_weights([kernel, bias])
    whole = keras.layers.Conv2D(kernel.shape[-1], 1)
    whole.build((None, None, None, 11))
    whole.set_weights([np.concatenate([kernel, dense.get_weights()[0][None, None]], axis=2), bias])

    repeated = np.broadcast_to(numbers[:, None, None], (2, 6, 5, 3))
    expected = ops.leaky_relu(whole(np.concatenate([places, repeated], axis=-1)), 0.2)
    np.testing.assert_allclose(colored(network, places, numbers), ops.convert_to_numpy(expected), atol=1e-5)


SIDES = [(64, 64), (72, 72), (64, 96), (40, 16)]


def test_one_local_and_global_network_colors_any_size(lesson_4):
    """The same weights at every size: nothing was flattened."""
    network = lesson_4["build_local_global"]()
    for height, width in SIDES:
        ab = colored(network, noise(1, height, width, 1))
        assert ab.shape == (1, height, width, 2)
        assert np.abs(ab).max() <= 1


def test_one_fusion_network_colors_any_size(lesson_4):
    network = lesson_4["build_fusion"](128, dropout=0.2)
    for height, width in SIDES:
        ab = colored(network, noise(1, height, width, 1), noise(1, 128))
        assert ab.shape == (1, height, width, 2)
        assert np.abs(ab).max() <= 1


def test_fusion_differs_from_itself_without_the_vector_by_the_vector_alone(lesson_4):
    """Take away what reads the vector, and the same layers with as many weights are left."""
    with_it, without = lesson_4["build_fusion"](10), lesson_4["build_without_vector"]()

    def layers_with_weights(network):
        return [(type(each).__name__, each.count_params()) for each in network.layers if each.weights]

    found, left = layers_with_weights(with_it), layers_with_weights(without)
    of_the_vector = [("BatchNormalization", 4 * 10), ("Dense", 10 * lesson_4["filters"](256))]
    for layer in of_the_vector:
        found.remove(layer)
    assert found == left
    rates = [
        [each.rate for each in network.layers if isinstance(each, keras.layers.Dropout)]
        for network in (with_it, without)
    ]
    assert rates[0] == rates[1] == [0.2] * 3


@pytest.mark.parametrize("build", ["build_local_global", "build_fusion"])
def test_what_is_far_away_or_in_the_embedding_reaches_every_pixel(lesson_4, build):
    """A pixel's color depends on the whole: on the far corner, or on the vector."""
    keras.utils.set_random_seed(0)
    L, other = noise(1, 64, 64, 1), noise(1, 64, 64, 1)
    if build == "build_fusion":
        network = lesson_4[build](4, 0.0)
        first, second = colored(network, L, noise(1, 4)), colored(network, L, noise(1, 4, seed=1))
        assert (np.abs(first - second).max(axis=-1) > 0).all()
    else:
        network = lesson_4[build]()
        other[:, 56:, 56:] = 0
        first, second = colored(network, L), colored(network, other)
        assert np.abs(first - second)[0, :8, :8].max() > 0


def test_the_embedding_can_be_normalized_by_what_was_seen(lesson_4):
    """The class scores of a backbone may be large; the fusion network trains on them all the same."""
    network = lesson_4["build_fusion"](6, dropout=0.0)
    network.compile(keras.optimizers.Adam(1e-3), "mse", run_eagerly=True)
    inputs, ab = [noise(4, 16, 16, 1), 100 + 50 * noise(4, 6)], noise(4, 16, 16, 2, low=-1)
    losses = [float(network.train_on_batch(inputs, ab)) for _ in range(3)]
    assert np.isfinite(losses).all()
    assert max(losses) < 4  # two answers within -1..1 are at most 2 apart


def test_each_part_of_ssim_notices_what_it_compares_and_nothing_else():
    code = lesson_code("04_fusion_inception", "steps bell weights parts_of_ssim")
    window = noise(11, 11) * 0.4 + 0.3
    mean = (code["weights"] * window).sum()
    changes = {
        "luminance": window + 0.2,
        "contrast": mean + (window - mean) / 2,
        "structure": window[::-1],
    }
    for place, (name, changed) in enumerate(changes.items()):
        parts = code["parts_of_ssim"](window, changed)
        whole = float(ssim(window[None, ..., None], changed[None, ..., None].astype("float32"))[0])
        assert np.prod(parts) == pytest.approx(whole, abs=1e-4), name
        assert parts[place] < 0.95, name
        others = [part for other, part in enumerate(parts) if other != place]
        np.testing.assert_allclose(others, 1, atol=0.02 if name == "structure" else 1e-4, err_msg=name)


# Lesson 5: generator and discriminator ---------------------------------------------------------------

GAN = (
    "start down up build_generator build_discriminator cross_entropy discriminator_loss generator_loss "
    "judge_held_still both_losses DCGAN"
)
HELD = ("ops.stop_gradient(weight.value)", "weight.value")
FAKES = ("ops.stop_gradient(predicted)", "predicted")


def pair_of(replace=(), side=32):
    """The lesson's definitions, with a small generator and discriminator, and a batch of noise."""
    code = lesson_code("05_dcgan", GAN, replace, SEED=0, lesson=profiles.PROFILES["tiny"])
    generator = code["build_generator"](4, int(np.log2(side)) - 2)
    discriminator = code["build_discriminator"](4)
    batch = noise(2, side, side, 1), noise(2, side, side, 2, low=-0.5)
    return code, generator, discriminator, batch


def arrays(network):
    return [ops.convert_to_numpy(variable) for variable in network.trainable_variables]


def moved(network, before):
    return sum((old != new).any() for old, new in zip(before, arrays(network), strict=True))


def moved_by_one_step(keep, replace=()):
    """Train one step on the kept losses; return how many of the arrays moved, and how many there are."""
    code, generator, discriminator, batch = pair_of(replace)
    gan = code["DCGAN"](generator, discriminator, keep)
    gan.compile(keras.optimizers.Adam(2e-4, beta_1=0.5))
    before = arrays(generator), arrays(discriminator)
    gan.train_on_batch(*batch)
    after = moved(generator, before[0]), moved(discriminator, before[1])
    return after, (len(before[0]), len(before[1]))


STEPS = "says_real says_made_up close_to_the_truth make_discriminator_step make_generator_step"


@pytest.mark.parametrize("which", ["discriminator", "generator"])
def test_each_step_moves_its_own_network_and_not_the_other(which):
    """Again and again, in turns: a network that was frozen for the other's step learns again in its own."""
    code = lesson_code("05_dcgan", f"{GAN} {STEPS}", SEED=0, lesson=profiles.PROFILES["tiny"])
    parts = {"generator": code["build_generator"](4, 3), "discriminator": code["build_discriminator"](4)}
    steps = {name: code[f"make_{name}_step"](*parts.values()) for name in parts}
    batch = noise(2, 32, 32, 1), noise(2, 32, 32, 2, low=-0.5)
    for name in ("discriminator", "generator"):
        steps[name](*batch)
    before = {name: arrays(part) for name, part in parts.items()}
    steps[which](*batch)
    after = {name: moved(part, before[name]) for name, part in parts.items()}
    assert after == {name: len(before[name]) * (name == which) for name in parts}


def test_the_generators_step_asks_for_what_its_loss_asks_for():
    code = lesson_code("05_dcgan", f"{GAN} {STEPS}", SEED=0, lesson=profiles.PROFILES["tiny"])
    truth = ops.convert_to_tensor(noise(1, 32, 32, 2, low=-0.5))
    logits, painted = ops.convert_to_tensor(noise(1, 2, 2, 1)), truth + 0.1
    parts = code["says_real"](None, logits) + code["close_to_the_truth"](truth, painted)
    assert float(parts) == pytest.approx(float(code["generator_loss"](logits, truth, painted)), rel=1e-5)
    both = code["says_real"](None, logits) + code["says_made_up"](None, -logits)
    assert float(both) == pytest.approx(float(code["discriminator_loss"](logits, -logits)), rel=1e-5)


@pytest.mark.parametrize("keep", [(1, 0), (0, 1), (1, 1)])
def test_each_loss_moves_its_own_network_and_not_the_other(keep):
    (generator, discriminator), (of_generator, of_discriminator) = moved_by_one_step(keep)
    assert generator == keep[0] * of_generator
    assert discriminator == keep[1] * of_discriminator
    assert of_generator > 5 < of_discriminator


def test_the_rgb_form_trains_on_the_whole_photograph():
    names = {"denormalize": denormalize, "lab_to_rgb": lab_to_rgb, "lesson": profiles.PROFILES["tiny"]}
    code = lesson_code("05_dcgan", GAN + " to_rgb", SEED=0, **names)
    generator = code["build_generator"](4, 3, channels=3, name="dcgan_rgb")
    discriminator = code["build_discriminator"](4, channels=3)
    assert generator.name == "dcgan_rgb"
    L, ab = normalize(rgb_to_lab(np.random.default_rng(0).random((2, 32, 32, 3), np.float32)))
    L, ab = ops.convert_to_tensor(L), ops.convert_to_tensor(ab)
    target = ops.convert_to_numpy(code["to_rgb"](L, ab))
    assert target.shape == (2, 32, 32, 3)
    np.testing.assert_allclose(
        (target + 1) / 2, np.random.default_rng(0).random((2, 32, 32, 3), np.float32), atol=1e-3
    )
    gan = code["DCGAN"](generator, discriminator, target=code["to_rgb"])
    gan.compile(keras.optimizers.Adam(2e-4, beta_1=0.5))
    before = arrays(generator), arrays(discriminator)
    assert np.isfinite(gan.train_on_batch(L, ab)).all()
    assert moved(generator, before[0]) == len(before[0])
    assert moved(discriminator, before[1]) == len(before[1])


def test_without_the_stopped_gradients_the_check_above_would_fail():
    (_, discriminator), (_, of_discriminator) = moved_by_one_step((1, 0), [HELD])
    assert discriminator == of_discriminator
    (generator, _), (of_generator, _) = moved_by_one_step((0, 1), [FAKES])
    assert generator == of_generator


def test_judging_for_the_generator_leaves_the_discriminators_averages_alone():
    code, _, discriminator, (L, ab) = pair_of()
    before = [ops.convert_to_numpy(each) for each in discriminator.non_trainable_variables]
    assert before
    code["judge_held_still"](
        discriminator, ops.convert_to_tensor(L), ops.convert_to_tensor(ab), training=True
    )
    for old, new in zip(before, discriminator.non_trainable_variables, strict=True):
        np.testing.assert_array_equal(old, ops.convert_to_numpy(new))


def test_the_recipe_of_keras_2_trains_no_discriminator_in_keras_3():
    """The pitfall: compile the discriminator, then freeze it for the combined network.

    In Keras 2 a compiled network kept the weights it was to train; in Keras 3 the
    freezing reaches back, and the discriminator's own step changes nothing.
    """
    _, generator, discriminator, (L, ab) = pair_of()
    loss = keras.losses.BinaryCrossentropy(from_logits=True)
    discriminator.compile(keras.optimizers.Adam(2e-4, beta_1=0.5), loss)
    discriminator.trainable = False
    inputs = keras.Input((None, None, 1))
    combined = keras.Model(inputs, discriminator([inputs, generator(inputs)]))
    combined.compile(keras.optimizers.Adam(2e-4, beta_1=0.5), loss)
    before, ones = discriminator.get_weights(), np.ones((2, 2, 2, 1), "float32")

    def changed_by_one_step():
        discriminator.train_on_batch([L, ab], ones)
        return sum((old != new).any() for old, new in zip(before, discriminator.get_weights(), strict=True))

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # all that Keras says is a warning
        assert changed_by_one_step() == 0
    discriminator.trainable = True
    discriminator.compile(keras.optimizers.Adam(2e-4, beta_1=0.5), loss)
    assert changed_by_one_step() == len(before)


@pytest.mark.parametrize("side", [64, 96])
def test_the_generator_gives_two_channels_of_the_size_of_its_input(side):
    code = lesson_code("05_dcgan", "start down up build_generator", SEED=0)
    generator = code["build_generator"](4, int(np.log2(side)) - 2)
    ab = colored(generator, noise(1, side, side, 1))
    assert ab.shape == (1, side, side, 2)
    assert np.abs(ab).max() <= 1


def test_the_storys_generator_goes_down_to_one_pixel_and_up_again():
    code = lesson_code("05_dcgan", "start down up build_generator", SEED=0)
    generator = code["build_generator"](64, 8)
    convolutions = [layer for layer in generator.layers if isinstance(layer, keras.layers.Conv2D)]
    down = [layer.filters for layer in convolutions if layer.strides == (2, 2)]
    up = [layer.filters for layer in convolutions if layer.strides == (1, 1)]
    dropped = [layer.rate for layer in generator.layers if isinstance(layer, keras.layers.Dropout)]
    normalized = [layer for layer in generator.layers if isinstance(layer, keras.layers.BatchNormalization)]
    assert down == [64, 128, 256, 512, 512, 512, 512, 512]
    assert up == [512, 512, 512, 512, 256, 128, 64, 2]
    assert dropped[:3] == [0.5] * 3
    assert not any(dropped[3:])
    assert len(normalized) == 7 + 7


def test_the_discriminator_gives_30_by_30_logits_for_256_pixels():
    code = lesson_code("05_dcgan", "start down build_discriminator", SEED=0)
    discriminator = code["build_discriminator"](64)
    assert discriminator.compute_output_shape([(1, 256, 256, 1), (1, 256, 256, 2)]) == (1, 30, 30, 1)
    filters = [layer.filters for layer in discriminator.layers if isinstance(layer, keras.layers.Conv2D)]
    assert filters == [64, 128, 256, 512, 1]
    small = code["build_discriminator"](4)
    assert colored(small, noise(1, 256, 256, 1), noise(1, 256, 256, 2)).shape == (1, 30, 30, 1)


def test_a_logit_sees_70_by_70_pixels():
    code = lesson_code("05_dcgan", "start down build_discriminator", SEED=0)
    sees, step = 1, 1
    for layer in code["build_discriminator"](4).layers:
        if isinstance(layer, keras.layers.Conv2D):
            sees += (layer.kernel_size[0] - 1) * step
            step *= layer.strides[0]
    assert sees == 70


@pytest.mark.parametrize("place", [0, 7, 25])
def test_a_patch_holds_the_pixels_that_change_the_logit_and_no_other(place):
    keras.utils.set_random_seed(0)
    code = lesson_code("05_dcgan", "start down build_discriminator")
    discriminator = code["build_discriminator"](4)
    judging = [layer for layer in discriminator.layers if isinstance(layer, keras.layers.Conv2D)]
    first, side = lesson_code("05_dcgan", "patch_of", judging=judging)["patch_of"](place)
    L, ab = noise(1, 224, 224, 1), noise(1, 224, 224, 2)

    def logit(row):
        changed = L.copy()
        changed[:, row] += 10
        return colored(discriminator, changed, ab)[0, place, 13, 0]

    before = colored(discriminator, L, ab)[0, place, 13, 0]
    rows = [row for row in (first - 1, first, first + side - 1, first + side) if 0 <= row < 224]
    assert [logit(row) != before for row in rows] == [first <= row < first + side for row in rows]


def test_the_losses_are_what_the_lesson_says():
    code = lesson_code(
        "05_dcgan", "cross_entropy discriminator_loss generator_loss", lesson=profiles.PROFILES["tiny"]
    )
    undecided, sure = ops.zeros((1, 6, 6, 1)), ops.full((1, 6, 6, 1), 20.0)
    discriminator_loss, generator_loss = code["discriminator_loss"], code["generator_loss"]
    assert float(discriminator_loss(undecided, undecided)) == pytest.approx(2 * np.log(2), abs=1e-5)
    assert float(discriminator_loss(sure, -sure)) == pytest.approx(0, abs=1e-5)
    truth = ops.convert_to_tensor(noise(1, 32, 32, 2, low=-0.5))
    assert float(generator_loss(sure, truth, truth)) == pytest.approx(0, abs=1e-4)
    assert float(generator_loss(undecided, truth, truth)) == pytest.approx(np.log(2), abs=1e-4)
    # 0.1 away everywhere costs 10, and a little for the structure.
    assert 10 < float(generator_loss(sure, truth, truth + 0.1)) < 10.5


# Lesson 6: the numbers that are fitted --------------------------------------------------------------


def test_the_factors_are_fitted_on_validation_photographs_alone():
    """The cell is run with stand-ins, which say of every array which photographs it is of."""
    cells = nbformat.read(NOTEBOOKS / "06_results_gallery.ipynb", as_version=4).cells
    (source,) = (cell.source for cell in cells if "metrics.best_scale(" in cell.source)
    fitted = []

    def pair(lesson, split, most=None):
        return SimpleNamespace(L=f"L of {split}", truth=f"truth of {split}")

    def best_scale(rgb, ab, metric):
        fitted.append((rgb, ab))
        return {"delta_e": 0.5, "ab_jsd": 2.0}[metric]

    namespace = {
        "lesson": None,
        "trained": {"baseline": "the baseline"},
        "test": pair(None, "test"),
        "truth": "truth of test",
        "pairs": SimpleNamespace(load=pair),
        "networks": SimpleNamespace(predict_ab=lambda network, L: f"{network}'s ab for {L}"),
        "metrics": SimpleNamespace(best_scale=best_scale),
        "display": SimpleNamespace(table=lambda rows, caption: None),
    }
    exec(source, namespace)
    assert namespace["factors"] == {"delta_e": 0.5, "ab_jsd": 2.0}
    assert fitted == [("truth of validation", "the baseline's ab for L of validation")] * 2


# On the other backends -------------------------------------------------------------------------------


@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_the_other_backends_agree_on_what_moves_which_network(backend):
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed")
    if keras.backend.backend() == backend:
        pytest.skip(f"this is {backend} already")
    command = [sys.executable, "-m", "pytest", "-q", "-o", "addopts=", "-p", "no:cacheprovider", __file__]
    ended = subprocess.run(
        [*command, "-k", "its_own_network_and_not_the_other"],
        cwd=NOTEBOOKS.parent,
        env=os.environ | {"KERAS_BACKEND": backend},
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "5 passed" in ended.stdout


# Lesson 5: the colorizer -----------------------------------------------------------------------------

COLORIZER = "quarter soft_labels convolve build_colorizer distance rebalanced_cross_entropy"


@pytest.fixture(scope="module")
def colorizer_code():
    bins = ab_bins.centers()
    return lesson_code("05_dcgan", COLORIZER, bins=bins, rarity=np.ones(len(bins), "float32"))


@pytest.fixture(scope="module")
def colorizer(colorizer_code):
    return colorizer_code["build_colorizer"](efficientnet.encoder())


def test_a_soft_label_is_a_distribution_around_the_color(colorizer_code):
    ab = np.array([[20.0, -30.0], [3.0, 38.0], [-24.0, 12.0]], "float32")
    labels = ops.convert_to_numpy(colorizer_code["soft_labels"](ab / 128))
    np.testing.assert_allclose(labels.sum(-1), 1, atol=1e-5)
    np.testing.assert_allclose(labels @ ab_bins.centers(), ab, atol=1.0)
    nearest = ab_bins.centers()[labels.argmax(-1)]
    np.testing.assert_array_equal(nearest, np.rint(ab / 10) * 10)
    spread = np.sqrt((labels * ((ab_bins.centers() - ab[:, None]) ** 2).sum(-1)).sum(-1) / 2)
    np.testing.assert_allclose(spread[0], 5, atol=0.5)  # the grid is coarse, and ends where sRGB ends


def test_the_colorizer_gives_two_maps_at_a_quarter_of_any_size(colorizer):
    for height, width in ((64, 64), (96, 32)):
        ab, logits = colorizer(noise(1, height, width, 1), training=False)
        assert tuple(ab.shape) == (1, height // 4, width // 4, 2)
        assert tuple(logits.shape) == (1, height // 4, width // 4, len(ab_bins.centers()))


def test_the_untrained_colorizer_answers_grey_and_every_bin_alike(colorizer):
    ab, logits = colorizer(noise(1, 64, 64, 1), training=False)
    assert not ops.convert_to_numpy(ab).any()
    assert np.ptp(ops.convert_to_numpy(logits), axis=-1).max() == 0


def test_the_colorizer_sees_grey_as_its_encoder_was_taught_to(colorizer):
    """Three equal channels, less ImageNet's mean, over its deviation: as `preprocess` has it."""
    L = noise(1, 64, 64, 1)
    given = keras.Model(colorizer.input, colorizer.get_layer("grey").output)
    expected = efficientnet.preprocess(np.repeat(255 * L, 3, axis=-1))
    np.testing.assert_allclose(ops.convert_to_numpy(given(L)), expected, atol=1e-4)


def test_each_head_learns_from_its_own_loss(colorizer_code):
    """A perfect head costs nothing more: L1 is 0, and the cross-entropy is that of the labels themselves."""
    ab = np.broadcast_to(np.array([40.0, 20.0], "float32") / 128, (1, 8, 8, 2))
    quarter = np.broadcast_to(ab[:, :2, :2], (1, 2, 2, 2))
    assert float(colorizer_code["distance"](ab, quarter)) == pytest.approx(0, abs=1e-7)
    assert float(colorizer_code["distance"](ab, quarter + 0.1)) == pytest.approx(0.1, abs=1e-6)
    labels = ops.convert_to_numpy(colorizer_code["soft_labels"](quarter))
    cross_entropy = colorizer_code["rebalanced_cross_entropy"]
    perfect = float(cross_entropy(ab, np.log(np.maximum(labels, 1e-30))))
    assert perfect == pytest.approx(-(labels * np.log(np.maximum(labels, 1e-30))).sum(-1).mean(), rel=1e-4)
    assert float(cross_entropy(ab, np.zeros_like(labels))) == pytest.approx(
        np.log(len(ab_bins.centers())), rel=1e-4
    )


def test_a_rare_color_counts_as_much_as_it_is_rare():
    bins = ab_bins.centers()
    rarity = np.ones(len(bins), "float32")
    rarity[(bins == (40, 20)).all(1)] = 3
    code = lesson_code("05_dcgan", COLORIZER, bins=bins, rarity=rarity)
    plain = lesson_code("05_dcgan", COLORIZER, bins=bins, rarity=np.ones_like(rarity))
    ab = np.broadcast_to(np.array([40.0, 20.0], "float32") / 128, (1, 4, 4, 2))
    logits = noise(1, 1, 1, len(bins))
    share = ops.convert_to_numpy(code["soft_labels"](ab[:, :1, :1]))[0, 0, 0][rarity == 3].item()
    ratio = float(code["rebalanced_cross_entropy"](ab, logits)) / float(
        plain["rebalanced_cross_entropy"](ab, logits)
    )
    assert ratio == pytest.approx(1 + 2 * share, rel=1e-4)


def test_the_colorizer_learns_from_a_step(colorizer_code):
    keras.utils.set_random_seed(0)
    encoder = efficientnet.encoder()
    encoder.trainable = False
    network = colorizer_code["build_colorizer"](encoder)
    losses = [colorizer_code["distance"], colorizer_code["rebalanced_cross_entropy"]]
    network.compile(keras.optimizers.AdamW(1e-3), loss=losses, loss_weights=[12.8, 0.3])
    before = arrays(network)
    frozen = encoder.get_weights()
    ab = noise(2, 32, 32, 2, low=-0.5)
    first, *_ = network.train_on_batch(noise(2, 32, 32, 1), [ab, ab])
    for _ in range(5):
        last, *_ = network.train_on_batch(noise(2, 32, 32, 1), [ab, ab])
    assert moved(network, before) == len(before)
    assert all((old == new).all() for old, new in zip(frozen, encoder.get_weights(), strict=True))
    assert last < first
