"""Colors that somebody gives: read, put where the network wants them, heeded, and suggested."""

import importlib.util
import io
import json
import shutil
import sys
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image, ImageOps

from helpers import ab_bins, colorize, networks, places, profiles, records
from helpers.__main__ import main
from helpers.backend import keras
from helpers.colorize import Colorizer
from helpers.errors import CourseError
from helpers.hints import STRIDE, Hint, parse, place, reveal
from helpers.lab import rgb_to_lab

BINS = ab_bins.centers()
SIDE = 64
GREY = 118  # of 255, a lightness of 50


@pytest.fixture(scope="module")
def colorizer():
    """A network that gives each place what it is told for it, and grey where it is told nothing.

    By its logits the bins near 0 are likely, and those near a told color still more so, everywhere.
    """
    L, hints = keras.Input((None, None, 1)), keras.Input((None, None, 3))
    small = keras.layers.AveragePooling2D(STRIDE)(L)
    ab = 0 * small + hints[..., :2]
    told = keras.layers.GlobalMaxPooling2D(keepdims=True)(hints)
    logits = keras.layers.Conv2D(len(BINS), 1, name="near")(0 * small + told[..., :2] + 1 - 1)
    network = keras.Model([L, hints], [ab, logits], name="obedient")
    weights = BINS.T[None, None] * 128 / 20**2
    network.get_layer("near").set_weights([weights, -(BINS**2).sum(-1) / (2 * 20**2)])
    return Colorizer(network, SIDE)


def original(height=SIDE, width=SIDE, level=GREY):
    return colorize.Original(np.full((height, width), level, np.uint8), None, "PNG")


def saved(image, form="PNG", **options):
    target = io.BytesIO()
    image.save(target, form, **options)
    return target.getvalue()


def most_colorful(rgb):
    """The middle of the most colorful pixels, as shares of width and height, and their mean a and b."""
    lab = rgb_to_lab(rgb.astype(np.float32) / np.iinfo(rgb.dtype).max)
    chroma = np.linalg.norm(lab[..., 1:], axis=-1)
    rows, columns = np.nonzero(chroma > 0.8 * chroma.max())
    height, width = chroma.shape
    middle = (columns.mean() + 0.5) / width, (rows.mean() + 0.5) / height
    return middle, lab[rows, columns, 1:].mean(axis=0)


# A hint ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ((-0.01, 0, 0, 0), "a hint's x is a number from 0 to 1, not -0.01"),
        ((0, 1.01, 0, 0), "a hint's y is a number from 0 to 1, not 1.01"),
        ((float("nan"), 0, 0, 0), "a hint's x is a number from 0 to 1, not nan"),
        ((0, float("inf"), 0, 0), "a hint's y is a number from 0 to 1, not inf"),
        ((0, 0, -129, 0), "a hint's a is a number from -128 to 127, not -129"),
        ((0, 0, 0, 128), "a hint's b is a number from -128 to 127, not 128"),
        ((0, 0, float("nan"), 0), "a hint's a is a number from -128 to 127, not nan"),
        ((0, 0, 0, float("-inf")), "a hint's b is a number from -128 to 127, not -inf"),
        ((0, 0, "red", 0), "a hint's a is a number from -128 to 127, not 'red'"),
        ((None, 0, 0, 0), "a hint's x is a number from 0 to 1, not None"),
    ],
)
def test_a_hint_that_is_none_is_one_line(values, message):
    with pytest.raises(CourseError) as error:
        Hint(*values)
    assert str(error.value) == message


def test_a_hint_takes_every_number_in_its_range():
    assert Hint(0, 1, -128, 127) == Hint(0.0, 1.0, -128.0, 127.0)
    assert Hint(np.float32(0.5), 0.5, np.float32(3), 4).x == 0.5


TYPED = {
    "40,20=10,-20": (0.405, 0.41, 10, -20),
    "0,0=0,0": (0.005, 0.01, 0, 0),
    "99,49=0,0": (0.995, 0.99, 0, 0),
    "25%,50%=-1.5,2": (0.25, 0.5, -1.5, 2),
    "100%,0%=1,2": (1, 0, 1, 2),
    " 40 , 50 % = 10 , -20 ": (0.405, 0.5, 10, -20),
    "0%,0%=#ff0000": (0, 0, 80.1, 67.2),
    "0%,0%=#F00": (0, 0, 80.1, 67.2),
    "0%,0%=red": (0, 0, 80.1, 67.2),
    "0%,0%=rgb(255,0,0)": (0, 0, 80.1, 67.2),
    "0%,0%=SteelBlue": (0, 0, -4.1, -32.2),
    "0%,0%=grey": (0, 0, 0, 0),
    "0%,0%=black": (0, 0, 0, 0),
}


@pytest.mark.parametrize(("text", "wanted"), TYPED.items(), ids=TYPED)
def test_what_is_typed_is_read(text, wanted):
    hint = parse(text)(100, 50)
    assert (hint.x, hint.y) == pytest.approx(wanted[:2])
    assert (hint.a, hint.b) == pytest.approx(wanted[2:], abs=0.05)


@pytest.mark.parametrize("text", ["", "5=red", "1,2,3=red", "a,2=red", "=red", "1;2=red", "%,1=red"])
def test_what_has_no_place_is_one_line(text):
    with pytest.raises(CourseError, match=r"is no hint: write X,Y=COLOR, such as 120,80=green"):
        parse(text)


@pytest.mark.parametrize("color", ["", "gren", "#ff00", "#ff000080", "1", "1,2,3", "1,b", "=red", "x" * 200])
def test_what_is_no_color_is_one_line(color):
    with pytest.raises(CourseError, match=r"is no color: write #rrggbb, a name such as green or grey, or a"):
        parse(f"1,1={color}")


@pytest.mark.parametrize("color", ["200,0", "0,-129", "nan,0", "0,inf"])
def test_a_color_beyond_lab_is_one_line(color):
    with pytest.raises(CourseError, match=r"^a hint's [ab] is a number from -128 to 127"):
        parse(f"1,1={color}")


@pytest.mark.parametrize("where", ["100,0", "0,50", "-1,0", "101%,0", "0,-1%", "nan,0", "0,1e999"])
def test_a_place_outside_of_the_picture_is_one_line(where):
    with pytest.raises(CourseError) as error:
        parse(f"{where}=red")(100, 50)
    assert str(error.value) == (
        f"the hint {where}=red lies outside of the picture, which has 100 × 50 pixels"
    )


def test_hints_are_put_where_they_belong_and_the_later_one_counts():
    hints = [Hint(0, 0, 64, -32), Hint(1, 1, 0, 0), Hint(0.49, 0.5, 1, 2), Hint(0.3, 0.6, 32, 16)]
    placed = place(hints, 4, 3)
    assert (placed.shape, placed.dtype) == ((1, 4, 3, 3), np.float32)
    wanted = np.zeros((4, 3, 3))
    wanted[0, 0], wanted[3, 2], wanted[2, 1] = (0.5, -0.25, 1), (0, 0, 1), (1 / 128, 2 / 128, 1)
    wanted[2, 0] = 0.25, 0.125, 1
    np.testing.assert_array_equal(placed[0], wanted)
    np.testing.assert_array_equal(place([hints[0], Hint(0.1, 0.1, -64, 0)], 4, 3)[0, 0, 0], [-0.5, 0, 1])
    assert not place([], 4, 3).any()


def test_what_is_revealed_are_the_mean_colors_of_as_many_places_as_asked_for():
    ab = np.random.default_rng(0).uniform(-1, 1, (4, 12, 20, 2)).astype(np.float32)
    hints = reveal(ab, np.array([0, 1, 7, 99]), np.random.default_rng(1))
    assert (hints.shape, hints.dtype) == ((4, 3, 5, 3), np.float32)
    given = hints[..., 2] == 1
    assert given.sum(axis=(1, 2)).tolist() == [0, 1, 7, 15]
    assert not hints[~given].any()
    for i, row, column in np.argwhere(given):
        square = ab[i, 4 * row : 4 * row + 4, 4 * column : 4 * column + 4]
        np.testing.assert_allclose(hints[i, row, column, :2], square.mean(axis=(0, 1)), atol=1e-6)


# Pictures --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(48, 48), (40, 90), (300, 200), (1, 1), (3, 500)])
def test_a_hint_colors_its_place_whatever_the_size(size, colorizer):
    picture = original(*size)
    (rgb,) = colorize.colorize([picture], colorizer, [[Hint(0.7, 0.2, 30, 20)]])
    (ab,) = colorize.predict([picture], colorizer, [[Hint(0.7, 0.2, 30, 20)]])
    rows, columns = ab.shape[:2]
    assert np.argwhere(ab.any(axis=-1)).tolist() == [[int(0.2 * rows), int(0.7 * columns)]]
    assert ab.sum(axis=(0, 1)) == pytest.approx([30, 20], abs=1e-4)
    (x, y), _ = most_colorful(rgb)
    # To half a place of the network, and half a pixel.
    assert abs(x - 0.7) <= 0.5 / columns + 0.5 / size[1]
    assert abs(y - 0.2) <= 0.5 / rows + 0.5 / size[0]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_place_is_one_of_the_upright_picture(orientation, colorizer):
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = saved(Image.new("L", (90, 40), GREY), exif=exif)
    upright = ImageOps.exif_transpose(Image.open(io.BytesIO(data))).size
    picture = colorize.read(data)
    (rgb,) = colorize.colorize([picture], colorizer, [[Hint(0.81, 0.19, 40, 0)]])
    assert rgb.shape[1::-1] == upright
    (x, y), _ = most_colorful(rgb)
    assert (x, y) == pytest.approx((0.81, 0.19), abs=0.04)


@pytest.mark.parametrize("kind", ["grey", "color", "transparent", "sixteen bits", "one bit"])
def test_every_kind_of_picture_takes_hints(kind, colorizer):
    image = Image.new("L", (80, 80), GREY)
    alpha = Image.linear_gradient("L").resize(image.size)
    if kind == "color":
        image = Image.new("RGB", (80, 80), (200, 80, 80))
    elif kind == "transparent":
        image.putalpha(alpha)
    elif kind == "sixteen bits":
        image = Image.fromarray(np.full((80, 80), GREY * 257, np.uint16))
    elif kind == "one bit":
        image = Image.fromarray(np.indices((80, 80)).sum(axis=0) % 2 == 0)
    picture = colorize.read(saved(image))
    plain, hinted = (
        colorize.colorize([picture], colorizer, given)[0] for given in ([()], [[Hint(0.3, 0.6, -40, 30)]])
    )
    assert hinted.dtype == (np.uint16 if kind == "sixteen bits" else np.uint8)
    lab = [rgb_to_lab(each.astype(np.float32) / np.iinfo(each.dtype).max) for each in (plain, hinted)]
    np.testing.assert_allclose(lab[1][..., 0], lab[0][..., 0], atol=1)
    if kind == "one bit":  # black and white are never in color
        return
    (x, y), color = most_colorful(hinted)
    assert (x, y) == pytest.approx((0.3, 0.6), abs=0.05)
    assert color[0] < -25 and color[1] > 15
    if kind == "transparent":
        kept = Image.open(io.BytesIO(colorize.encode(picture, hinted))).getchannel("A")
        np.testing.assert_array_equal(np.asarray(kept), np.asarray(alpha))


def test_each_picture_has_hints_of_its_own(colorizer):
    pictures = [original(60, 90), original(90, 60), original(60, 90), original(60, 90)]
    hints = [[Hint(0.1, 0.1, 40, 0)], [], [Hint(0.9, 0.9, 0, 40), Hint(0.2, 0.8, -40, 0)], ()]
    together = colorize.colorize(pictures, colorizer, hints)
    for picture, given, rgb in zip(pictures, hints, together, strict=True):
        np.testing.assert_array_equal(rgb, colorize.colorize([picture], colorizer, [given])[0])
    assert len({rgb.tobytes() for rgb in (together[0], together[2], together[3])}) == 3
    np.testing.assert_array_equal(together[3], colorize.colorize([original(60, 90)], colorizer)[0])


def test_more_photographs_than_go_together_keep_their_hints(colorizer):
    L = np.full((2 * networks.BATCH + 1, 32, 32, 1), 0.5, np.float32)
    hints = np.concatenate([place([Hint(0, 0, number, 1)], 8, 8) for number in range(len(L))])
    ab = networks.predict_ab(colorizer.network, [L, hints])
    np.testing.assert_allclose(ab[:, 0, 0], [(number, 1) for number in range(len(L))], atol=1e-4)
    rgb = np.full((len(L), 32, 32, 3), GREY, np.uint8)
    colored = networks.color(colorizer.network, [L, hints], rgb)
    found = rgb_to_lab(colored)[:, 1, 1, 1]
    assert (np.diff(found) > 0).all() and found[-1] > found[0] + 5


def test_what_cannot_take_hints_says_so(colorizer):
    L = keras.Input((None, None, 1))
    deaf = Colorizer(keras.Model(L, keras.layers.Conv2D(2, 4, 4)(L), name="deaf"), SIDE)
    assert (deaf.takes_hints, colorizer.takes_hints) == (False, True)
    colorize.colorize([original()], deaf, [()])
    with pytest.raises(CourseError, match=r"^deaf takes no hints: only the colorizer does$"):
        colorize.colorize([original()], deaf, [[Hint(0, 0, 1, 1)]])
    with pytest.raises(CourseError, match=r"^deaf has one answer alone: only the colorizer weighs several$"):
        colorize.likely(original(), deaf, 0, 0)


def test_hints_for_another_number_of_pictures_are_one_line(colorizer):
    with pytest.raises(CourseError, match=r"^1 pictures but hints for 2: give a list for each$"):
        colorize.predict([original()], colorizer, [[], []])


# What is likely --------------------------------------------------------------------------------------


def test_the_likeliest_colors_come_first_differ_and_can_be_shown(colorizer):
    found = colorize.likely(original(), colorizer, 0.25, 0.75, [Hint(0.1, 0.1, 40, 10)])
    assert len(found) == 8
    odds = np.exp(-((BINS - [40, 10]) ** 2).sum(-1) / (2 * 20**2))
    wanted = odds / odds.sum()
    assert found[0][0] == Hint(0.25, 0.75, 40, 10)
    for hint, probability in found:
        assert (hint.x, hint.y) == (0.25, 0.75)
        (bin_,) = np.flatnonzero(([hint.a, hint.b] == BINS).all(-1))
        assert probability == pytest.approx(wanted[bin_], rel=1e-3)
    probabilities = [probability for _, probability in found]
    assert probabilities == sorted(probabilities, reverse=True)
    colors = np.array([(hint.a, hint.b) for hint, _ in found])
    apart = np.abs(colors[:, None] - colors).max(-1)[~np.eye(8, dtype=bool)]
    assert apart.min() == 20


def test_what_is_likely_depends_on_the_hints_that_were_given(colorizer):
    (first, _), *_ = colorize.likely(original(), colorizer, 0.5, 0.5)
    (then, _), *_ = colorize.likely(original(), colorizer, 0.5, 0.5, [Hint(0, 0, 10, 50)])
    assert (first.a, first.b) == (0, 0)
    assert (then.a, then.b) == (10, 50)


@pytest.mark.parametrize(("level", "most"), [(0, 1), (12, 2), (255, 1)])
def test_black_and_white_leave_no_color_to_choose(level, most, colorizer):
    found = colorize.likely(original(level=level), colorizer, 0.5, 0.5)
    assert 1 <= len(found) <= most
    assert (found[0][0].a, found[0][0].b) == (0, 0)


def test_the_lightness_is_that_of_the_place(colorizer):
    pixels = np.zeros((SIDE, SIDE), np.uint8)
    pixels[:, 40:] = GREY
    picture = colorize.Original(pixels, None, "PNG")
    assert len(colorize.likely(picture, colorizer, 0.1, 0.5)) == 1
    assert len(colorize.likely(picture, colorizer, 0.9, 0.5)) == 8
    assert len(colorize.likely(picture, colorizer, 1, 1, count=3)) == 3


def test_a_likely_color_is_the_color_that_comes_out(colorizer):
    picture = original()
    for hint, _ in colorize.likely(picture, colorizer, 0.6, 0.6, [Hint(0.6, 0.6, -30, 40)], count=20):
        everywhere = [Hint(x, y, hint.a, hint.b) for x in np.arange(16) / 16 for y in np.arange(16) / 16]
        (rgb,) = colorize.colorize([picture], colorizer, [everywhere])
        np.testing.assert_allclose(rgb_to_lab(rgb)[30, 30, 1:], (hint.a, hint.b), atol=2)


def test_a_place_outside_has_no_likely_color(colorizer):
    with pytest.raises(CourseError, match=r"^a hint's y is a number from 0 to 1, not 1.5$"):
        colorize.likely(original(), colorizer, 0.5, 1.5)


# The networks ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def recorded_pair():
    """The colorizer that comes with the course, as it is and as it takes hints."""
    return colorize.load(), colorize.load(hints=True)


def sample(name="animal_chameleon.jpg"):
    return colorize.read((places.SAMPLE / name).read_bytes())


@pytest.mark.parametrize(("vividness", "units"), [(0.0, 0), (0.7, 1e-3), (1.0, 1e-3)])
def test_without_a_hint_it_is_the_colorizer(vividness, units, recorded_pair):
    """The head for ab to the last bit; a distribution is written as its logarithm, and rounded by that."""
    one, other = (replace(each, vividness=vividness) for each in recorded_pair)
    pictures = [sample(), sample("monument_arles_amphitheater.jpg")]
    for first, second in zip(colorize.predict(pictures, one), colorize.predict(pictures, other), strict=True):
        np.testing.assert_allclose(first, second, rtol=0, atol=units)
    both = [colorize.likely(pictures[0], each, 0.3, 0.4) for each in (one, other)]
    assert [hint for hint, _ in both[0]] == [hint for hint, _ in both[1]]
    assert [share for _, share in both[0]] == pytest.approx([share for _, share in both[1]], abs=1e-4)


def test_a_picture_without_hints_is_not_moved_by_the_hints_of_another(recorded_pair):
    _, hinted = recorded_pair
    pictures = [sample(), sample()]
    alone = colorize.predict(pictures[:1], hinted)[0]
    told, untold = colorize.predict(pictures, hinted, [[Hint(0.5, 0.5, 50, 50)], []])
    np.testing.assert_allclose(untold, alone, atol=1e-3)
    assert np.abs(told - alone).max() > 1e-3


QUALITY = ("animal_chameleon.jpg", "monument_arles_amphitheater.jpg", "animal_koala.jpg")


@pytest.mark.parametrize("name", QUALITY)
def test_a_hint_moves_the_color_of_its_place_at_least_half_of_the_way(name, recorded_pair):
    plain, hinted = (replace(each, vividness=0.0) for each in recorded_pair)
    picture, (x, y) = sample(name), (0.5, 0.5)
    (before,) = colorize.predict([picture], hinted)
    row, column = (int(0.5 * length) for length in before.shape[:2])
    likely = [hint for hint, _ in colorize.likely(picture, plain, x, y)]
    way = [np.subtract((hint.a, hint.b), before[row, column]) for hint in likely]
    far = [index for index, each in enumerate(way) if np.linalg.norm(each) > 20]
    assert far, "no likely color differs enough to be looked for"
    for index in far:
        (after,) = colorize.predict([picture], hinted, [[likely[index]]])
        moved = (after - before)[row, column] @ way[index] / (way[index] @ way[index])
        assert moved >= 0.5


def test_it_has_the_vividness_of_the_colorizer(recorded_pair):
    plain, hinted = recorded_pair
    assert hinted.vividness == plain.vividness > 0
    assert colorize.load("colorizer", 0.2, hints=True).vividness == 0.2


@pytest.mark.parametrize("name", ["baseline", "dcgan"])
def test_a_network_that_must_take_hints_and_does_not_is_refused(name):
    with pytest.raises(CourseError) as error:
        colorize.load(name, hints=True)
    assert str(error.value) == f"{name} takes no hints: only the colorizer does"


@pytest.fixture
def network(tmp_path, colorizer):
    """The network above as a file of a run, with its record, and the colorizer's beside it."""
    path = tmp_path / "models" / "colorizer_hints.keras"
    networks.save(colorizer.network, path)
    records.write(path.with_suffix(".json"), {"resolution": SIDE, "settings": {}})
    return path


def test_that_of_a_run_takes_hints_by_itself_and_has_its_colorizers_vividness(network):
    assert colorize.load(str(network)).vividness == 0.0
    records.write(network.with_name("colorizer.json"), {"vivid": {"vividness": 0.4}})
    for hints in (False, True):
        loaded = colorize.load(str(network), hints=hints)
        assert (loaded.takes_hints, loaded.backbone, loaded.vividness) == (True, None, 0.4)
        assert colorize.load(str(network), 0.9, hints).vividness == 0.9


def test_a_map_of_another_kind_is_refused(tmp_path):
    L, hints = keras.Input((None, None, 1)), keras.Input((None, None, 2))
    ab = 0 * keras.layers.AveragePooling2D(STRIDE)(L) + hints
    path = tmp_path / "other.keras"
    networks.save(keras.Model([L, hints], ab, name="other"), path)
    path.with_suffix(".json").write_text(json.dumps({"resolution": SIDE, "settings": {"backbone": "x"}}))
    with pytest.raises(CourseError, match="it takes no hints as the course gives them"):
        colorize.load(str(path))


# The command -----------------------------------------------------------------------------------------


def test_a_picture_is_colored_by_hints(network, tmp_path, capsys):
    Image.new("L", (120, 60), GREY).save(tmp_path / "grey.png")
    words = ["colorize", str(tmp_path / "grey.png"), "--network", str(network)]
    assert main([*words, "--hint", "27,11=40,0", "--hint", "75%,75%=#3060a0"]) == 0
    lab = rgb_to_lab(np.asarray(Image.open(tmp_path / "grey-colored.png")))
    np.testing.assert_allclose(lab[11, 27, 1:], [40, 0], atol=8)
    assert lab[48, 92, 2] < -25
    assert np.abs(lab[5:20, 80:, 1:]).max() < 3
    assert np.abs(lab[..., 0] - lab[0, 0, 0]).max() < 1
    assert capsys.readouterr().err.count("error") == 0


def test_the_colorizer_that_comes_with_the_course_heeds_them(tmp_path):
    picture = places.SAMPLE / "animal_chameleon.jpg"
    for name, words in {"plain": [], "told": ["--hint", "50%,50%=purple"]}.items():
        assert main(["colorize", str(picture), "-o", str(tmp_path / f"{name}.jpg"), *words]) == 0
    assert (tmp_path / "plain.jpg").read_bytes() != (tmp_path / "told.jpg").read_bytes()


def test_standard_input_takes_hints(network, monkeypatch):
    given = io.TextIOWrapper(io.BytesIO(saved(Image.new("L", (64, 64), GREY))))
    taken = io.TextIOWrapper(io.BytesIO())
    monkeypatch.setattr(sys, "stdin", given)
    monkeypatch.setattr(sys, "stdout", taken)
    assert main(["colorize", "-", "--network", str(network), "--hint", "20,40=40,0"]) == 0
    (x, y), color = most_colorful(np.asarray(Image.open(io.BytesIO(taken.buffer.getvalue()))))
    assert (x, y) == pytest.approx((20.5 / 64, 40.5 / 64), abs=0.05)
    assert color[0] > 25


def test_a_place_outside_of_the_picture_is_named_and_nothing_is_written(network, tmp_path, capsys):
    path = tmp_path / "grey.png"
    Image.new("L", (120, 60), GREY).save(path)
    assert main(["colorize", str(path), "--network", str(network), "--hint", "120,5=red"]) == 1
    assert capsys.readouterr().err.splitlines()[-1].startswith(f"{path}: the hint 120,5=red lies outside")
    assert sorted(each.name for each in tmp_path.iterdir()) == ["grey.png", "models"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([".", "--hint", "1,1=red"], "a hint is a place of one picture: give one file with --hint"),
        (["README.md", "LICENSE", "--hint", "1,1=red"], "a hint is a place of one picture"),
        (["README.md", "--hint", "red"], "'red' is no hint: write X,Y=COLOR"),
        (["README.md", "--hint", "1,1=red", "--hint", "1,1=rouge"], "'rouge' is no color: write #rrggbb"),
        (["README.md", "--hint", "1,1=500,0"], "a hint's a is a number from -128 to 127"),
        (["README.md", "--hint", "1,1=red", "--network", "baseline"], "baseline takes no hints"),
        (["README.md", "--hint", "1,1=red", "--network", "nobody"], "no network 'nobody'"),
    ],
)
def test_hints_that_cannot_be_heeded_are_refused_in_one_line(words, message, capsys, monkeypatch):
    monkeypatch.chdir(places.ROOT)
    assert main(["colorize", *words]) == 2
    said = capsys.readouterr().err
    assert message in said
    assert said.count("\n") == 1


def test_the_help_says_how_a_hint_is_written(capsys):
    with pytest.raises(SystemExit):
        main(["colorize", "--help"])
    said = " ".join(capsys.readouterr().out.split())
    assert "--hint X,Y=COLOR" in said
    assert "in percent (25%), and #rrggbb, a name such as green or grey, or a and b as in 40,-20" in said


# The benchmark ---------------------------------------------------------------------------------------


@pytest.fixture
def benchmark(network, monkeypatch, tmp_path):
    """The benchmark, for a copy of the networks that come with the course, the record as it was before."""
    path = places.ROOT / "tests" / "benchmarks" / "hints.py"
    spec = importlib.util.spec_from_file_location("benchmark_of_hints", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    for path in places.MODELS.glob("colorizer*.keras"):
        shutil.copy(path, network.parent)
    record = records.read(places.MODELS / "colorizer_hints.json")
    records.write(network.with_suffix(".json"), {name: record[name] for name in record if name != "hints"})
    monkeypatch.setattr(module, "MODELS", network.parent)
    monkeypatch.setattr(module, "TOGETHER", 3)
    monkeypatch.setattr(profiles, "RUNS", tmp_path / "runs")
    return module


def test_the_benchmark_measures_and_keeps_what_more_hints_give(benchmark, network, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["hints.py", "--photos", "sample", "--most", "4", "--keep"])
    assert benchmark.main() == 0
    lines = capsys.readouterr().out.splitlines()
    assert "without a hint: 6 validation photographs exactly as the colorizer colors them" in lines
    kept = records.read(network.with_suffix(".json"))
    assert kept["resolution"] == 224
    psnr, gain = kept["hints"]["psnr"], kept["hints"]["gain"]
    assert (list(psnr), list(gain)) == (["0", "1", "5", "10", "50", "100"], ["1", "5", "10", "50", "100"])
    assert kept["hints"]["test_photographs"] == 4
    means = [each["mean"] for each in psnr.values()]
    assert means == sorted(means) and means[-1] > means[0] + 1
    for count, each in gain.items():
        assert each["mean"] == pytest.approx(psnr[count]["mean"] - means[0])
        assert each["low"] <= each["mean"] <= each["high"]
    assert lines[-1].startswith("100 hints: PSNR {mean:.2f} dB (".format(**psnr["100"]))


def test_the_benchmark_adds_hints_to_those_that_were_given(benchmark):
    rank = benchmark.places_first(0, 5, 256)
    assert all(sorted(each) == list(range(256)) for each in rank.tolist())
    assert len({each.tobytes() for each in rank}) == 5
    np.testing.assert_array_equal(benchmark.places_first(3, 2, 256), rank[3:])
    near = [(each.reshape(16, 16) < 100)[:8].mean() for each in rank]
    assert 0.3 < np.mean(near) < 0.5, "anywhere"


def test_the_benchmark_refuses_another_colorizer(benchmark, network, monkeypatch):
    other = networks.load(network.with_name("colorizer.keras"))
    other.get_layer("ab").bias.assign([0.1, 0])
    networks.save(other, network.with_name("colorizer.keras"))
    monkeypatch.setattr(sys, "argv", ["hints.py", "--photos", "sample", "--most", "4", "--keep"])
    with pytest.raises(
        CourseError, match=r"^without a hint \S+ has other colors than the colorizer gives it$"
    ):
        benchmark.main()
    assert "hints" not in records.read(network.with_suffix(".json"))
