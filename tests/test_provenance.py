"""Where a network comes from: what changes its training turns it stale, and nothing else does."""

import copy
import dataclasses
import json
import re
import shutil
import subprocess

import keras as installed_keras
import nbformat
import numpy as np
import pytest

from helpers import batches, photographs, provenance
from helpers.backend import keras
from helpers.errors import CourseError
from helpers.places import NOTEBOOKS, lessons
from helpers.profiles import PROFILES

# Small enough to be built in a second.
SMALL = provenance.settings(
    dataclasses.replace(
        PROFILES["full"],
        size=64,
        width=0.05,
        gan_filters=2,
        colorizer_stages=((64, 64, 1), (96, 64, 0)),
    )
)
LESSONS = {
    "03": {"memorize", "baseline"},
    "04": {"local_global", "local_global_ssim", "no_vector", "fusion"},
    "05": {"dcgan", "dcgan_rgb", "colorizer", "colorizer_hints"},
}
NETWORKS = set.union(*LESSONS.values())
GANS = {"dcgan", "dcgan_rgb"}
COLORIZERS = {"colorizer", "colorizer_hints"}
OF_THE_STORY = NETWORKS - {"memorize"} - COLORIZERS


def take(names):
    return {name: provenance.fingerprint(name, SMALL) for name in names}


@pytest.fixture(scope="module")
def fresh():
    return take(NETWORKS)


def stale(fresh, names):
    """Which of the networks differ now, each with the places."""
    found = {name: list(provenance.differences(now, fresh[name])) for name, now in take(names).items()}
    return {name: places for name, places in found.items() if places}


@pytest.fixture
def change(monkeypatch, tmp_path):
    """Change the text of a lesson, in a copy of the notebooks."""

    def apply(lesson, *replacements):
        for path in lessons(NOTEBOOKS):
            shutil.copy(path, tmp_path)
        (path,) = tmp_path.glob(f"{lesson}_*.ipynb")
        notebook = nbformat.read(path, as_version=4)
        for old, new in replacements:
            cells = [cell for cell in notebook.cells if cell.cell_type == "code" and old in cell.source]
            assert cells, f"no cell of lesson {lesson} holds {old!r}"
            for cell in cells:
                cell.source = cell.source.replace(old, new)
        nbformat.write(notebook, path)
        monkeypatch.setattr(provenance, "NOTEBOOKS", tmp_path)

    return apply


# What turns a network stale --------------------------------------------------------------------------

CHANGES = {
    "a layer": ("03", ("layers.Dropout(0.2)", "layers.Dropout(0.3)"), {"baseline"}, "network"),
    "the weights' seed": (
        "03",
        ("keras.utils.set_random_seed(SEED)\nbaseline", "baseline"),
        {"baseline"},
        "weights",
    ),
    "the optimizer": ("05", ("beta_1=0.5", "beta_1=0.9"), GANS, "optimizer"),
    "the rate": ("04", ("CosineDecay(1e-3,", "CosineDecay(2e-3,"), LESSONS["04"], "optimizer"),
    "a straight schedule": (
        "04",
        (
            "CosineDecay(1e-3, lesson.epochs * len(batches))",
            "PolynomialDecay(1e-3, lesson.epochs * len(batches))",
        ),
        LESSONS["04"],
        "optimizer",
    ),
    "the weight of the distance": ("05", ("+ 100 * distance", "+ 400 * distance"), GANS, "loss"),
    "one network's loss": (
        "04",
        ("return (1 - ssim((truth + 1) / 2, (predicted + 1) / 2)) / 2", "return 1 - ssim(truth, predicted)"),
        {"local_global_ssim"},
        "loss",
    ),
    "a part of the generator's loss": (
        "05",
        ("ops.abs(truth - predicted)", "(truth - predicted) ** 2"),
        GANS,
        "loss",
    ),
    "the target": (
        "05",
        ("2 * lab_to_rgb(denormalize(L, ab)) - 1", "lab_to_rgb(denormalize(L, ab))"),
        {"dcgan_rgb"},
        "loss",
    ),
    "the batches' seed": (
        "04",
        ("lesson.batch_size, SEED, **changed", "lesson.batch_size, SEED + 1, **changed"),
        LESSONS["04"],
        "batches",
    ),
    "a second input": (
        "04",
        ("embed(photos.train, backbone),", "embed(photos.train, backbone) * 2,"),
        {"fusion"},
        "batches",
    ),
    "the validation": (
        "03",
        (
            "photos.validation, lesson.batch_size, augment=False",
            "photos.test, lesson.batch_size, augment=False",
        ),
        {"baseline"},
        "validation",
    ),
    "a head's share": ("05", ("[AB_SCALE / 10, 0.3]", "[AB_SCALE / 10, 0.4]"), COLORIZERS, "loss"),
    "how soft a label is": ("05", ("(2 * 5.0**2)", "(2 * 6.0**2)"), COLORIZERS, "loss"),
    "the square that is cut out": ("05", ('"crop": crop,', '"crop": crop // 2,'), {"colorizer"}, "batches"),
    "the decoder's width": (
        "05",
        ("widths=(192, 128, 96)", "widths=(192, 128, 64)"),
        COLORIZERS,
        "network",
    ),
    "how many hints there are": ("05", ("hints=100", "hints=50"), {"colorizer_hints"}, "batches"),
    "what tells points apart": (
        "05",
        ("layers.Conv2D(32, 1, use_bias=False)", "layers.Conv2D(16, 1, use_bias=False)"),
        {"colorizer_hints"},
        "network",
    ),
    "the length of the schedule": (
        "05",
        ("(end - begun) * len(crops)", "2 * (end - begun) * len(crops)"),
        {"colorizer"},
        "optimizer",
    ),
    "early stopping": (
        "04",
        ("callbacks=[keep]", "callbacks=[keep, keras.callbacks.EarlyStopping(patience=5)]"),
        LESSONS["04"],
        "callbacks",
    ),
    "the one photograph": (
        "03",
        ("np.argmax(photos.train", "np.argmin(photos.train"),
        {"memorize"},
        "batches",
    ),
    "the steps": (
        "03",
        ("epochs = lesson.memorize_epochs", "epochs = lesson.memorize_epochs // 2"),
        {"memorize"},
        "arguments",
    ),
}


@pytest.mark.parametrize("what", CHANGES)
def test_a_change_of_the_training_turns_its_networks_stale_and_no_other(what, fresh, change):
    lesson, replacement, concerned, part = CHANGES[what]
    change(lesson, replacement)
    found = stale(fresh, LESSONS[lesson])
    assert set(found) == concerned
    for places in found.values():
        assert any(re.search(rf"^fits\.\d+\.{part}\b", place) for place in places), places


def test_each_network_reads_the_settings_that_concern_it_and_no_other(fresh):
    readers = {}
    for name, taken in fresh.items():
        for setting in taken["settings"]:
            readers.setdefault(setting, set()).add(name)
    shared = {
        "size": NETWORKS,
        "batch_size": OF_THE_STORY | COLORIZERS,
        "flips": OF_THE_STORY,
    }
    formula = OF_THE_STORY - GANS
    assert readers == shared | {
        "memorize_epochs": {"memorize"},
        **dict.fromkeys(("width", "epochs", "contrast"), formula),
        "backbone": {"fusion"},
        **dict.fromkeys(("gan_epochs", "gan_filters"), GANS),
        **dict.fromkeys(("colorizer_stages", "colorizer_batch", "encoder_learns"), COLORIZERS),
        "colorizer_rounds": {"colorizer"},
        "colorizer_epochs": {"colorizer"},
        "hint_epochs": {"colorizer_hints"},
    }


def test_a_short_colorizer_ends_within_its_first_stage():
    taken = provenance.fingerprint("colorizer", SMALL | {"colorizer_stages": [[64, 64, 3], [96, 64, 0]]})
    assert [fit["arguments"][0]["epochs"] for fit in taken["fits"]] == [
        3,
        PROFILES["full"].colorizer_epochs,
    ]
    taken = provenance.fingerprint(
        "colorizer", SMALL | {"colorizer_stages": [[64, 64, 3], [96, 64, 0]], "colorizer_epochs": 2}
    )
    assert [fit["arguments"][0]["epochs"] for fit in taken["fits"]] == [2, 2]


def test_another_setting_is_a_difference(fresh):
    now = provenance.fingerprint("dcgan", SMALL | {"gan_filters": 3})
    places = set(provenance.differences(now, fresh["dcgan"]))
    assert "settings.gan_filters" in places
    assert "fits.0.network.dcgan" in places


def test_another_order_of_the_photographs_is_a_difference(fresh, monkeypatch):
    draw = batches.Batches._draw

    def backward(self):
        draw(self)
        self._order = self._order[::-1]

    monkeypatch.setattr(batches.Batches, "_draw", backward)
    found = stale(fresh, ("memorize", "baseline", "dcgan_rgb"))
    assert set(found) == {"baseline", "dcgan_rgb"}


def test_other_pixels_are_a_difference(fresh, monkeypatch):
    """A resampling that is a little softer, say."""
    load = photographs.load

    def softer(source, size):
        loaded = load(source, size)
        rgb = loaded.rgb.astype(np.float32)
        rgb = (6 * rgb + np.roll(rgb, 1, axis=2) + np.roll(rgb, -1, axis=2)) / 8
        return dataclasses.replace(loaded, rgb=np.rint(rgb).astype(np.uint8), key="softer")

    monkeypatch.setattr(photographs, "load", softer)
    assert set(stale(fresh, ("memorize", "baseline"))) == {"memorize", "baseline"}


# What does not ---------------------------------------------------------------------------------------

REFACTORS = {
    "a renamed local": ("04", ("falling", "rate")),
    "a renamed function": ("05", ("def start():", "def start():\n    return begin()\n\n\ndef begin():")),
    "reordered lines": (
        "03",
        (
            "x = shrink(convolve(L, 64), 64)\n",
            "x = convolve(L, 64)\n    x = shrink(x, 64)\n",
        ),
    ),
    "another wording": ("03", (' weights")', ' numbers to learn")')),
    "a type annotation": (
        "04",
        ("def convolve(x, number, strides=1):", "def convolve(x, number: int, strides: int = 1):"),
    ),
    "a comment": ("05", ("def train(gan, *watching):", "def train(gan, *watching):\n    # both networks")),
    "an explicit default": (
        "04",
        ("layers.UpSampling2D(interpolation", "layers.UpSampling2D(size=2, interpolation"),
    ),
}


@pytest.mark.parametrize("what", REFACTORS)
def test_a_refactor_turns_no_network_stale(what, fresh, change):
    lesson, *replacements = REFACTORS[what]
    change(lesson, *replacements)
    assert stale(fresh, LESSONS[lesson]) == {}


def test_a_new_network_in_a_lesson_leaves_the_others_fresh(fresh, change, monkeypatch):
    change("04")
    (path,) = provenance.NOTEBOOKS.glob("04_*.ipynb")
    notebook = nbformat.read(path, as_version=4)
    first = next(index for index, cell in enumerate(notebook.cells) if "train(local_global, " in cell.source)
    source = 'wide = build_local_global("wide")\ntrain(wide, "mae", *batches_for())'
    tags = {"tags": ["recorded:wide"]}
    notebook.cells.insert(first, nbformat.v4.new_code_cell(source, metadata=tags))
    for cell in notebook.cells:
        if cell.source.startswith("def ") and "recorded:local_global" in cell.metadata.get("tags", ()):
            cell.metadata.tags.append("recorded:wide")
    nbformat.write(notebook, path)
    assert stale(fresh, LESSONS["04"]) == {}
    new = provenance.fingerprint("wide", SMALL)
    assert len(new["fits"]) == 1
    assert list(provenance.differences(new, fresh["local_global"]))


def test_the_last_digits_of_a_measurement_make_no_difference(fresh):
    then = json.loads(json.dumps(fresh["fusion"]), parse_float=lambda text: float(text) * (1 + 1e-5) + 1e-5)
    assert list(provenance.differences(fresh["fusion"], then)) == []


def test_weights_that_start_on_another_backend_are_not_compared(fresh):
    then = copy.deepcopy(fresh["baseline"])
    for fit in then["fits"]:
        fit["weights"] = {"another": {"baseline": [0.0] * 8}}
    assert list(provenance.differences(fresh["baseline"], then)) == []


# How a fingerprint is taken --------------------------------------------------------------------------


def test_a_fingerprint_trains_nothing_writes_nothing_and_leaves_fit_as_it_was(fresh, tmp_path, monkeypatch):
    fit = keras.Model.fit
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert provenance.fingerprint("memorize", SMALL) == fresh["memorize"]
    assert keras.Model.fit is fit
    assert list(tmp_path.iterdir()) == []


def test_one_taken_in_another_process_is_the_same(fresh):
    assert provenance.fingerprint_apart("memorize", SMALL, 0) == fresh["memorize"]
    other = provenance.fingerprint_apart("memorize", SMALL, 1)
    assert {place.split(".")[2] for place in provenance.differences(other, fresh["memorize"])} == {"weights"}


def test_a_copy_of_a_lesson_trains_nothing(fresh, change):
    change("03")
    (lesson,) = provenance.NOTEBOOKS.glob("03_*.ipynb")
    lesson.with_stem(f"{lesson.stem}-Copy1").write_text(lesson.read_text("utf-8").replace("Conv2D", "Dense"))
    assert stale(fresh, {"baseline"}) == {}


def test_a_network_that_no_lesson_trains_is_refused():
    with pytest.raises(CourseError, match=r"^no lesson trains a network 'other': no cell bears the tag"):
        provenance.fingerprint("other", SMALL)
    with pytest.raises(CourseError, match=r"^no lesson trains a network 'other'"):
        provenance.fingerprint_apart("other", SMALL, 0)


# How cells begin that show something with a layer or a training, and keep nothing of it.
SHOWS = (
    "local_map = ",
    "def map_of",
    "rows = {",
    "few_photos = ",
    "def make_discriminator_step",
    "def make_generator_step",
    "def one_fit_step",
    "def count_moved",
)


def test_every_cell_that_makes_a_layer_or_trains_is_part_of_a_fingerprint():
    """A new cell with a layer in it would otherwise change networks behind the records' back."""
    for lesson in LESSONS:
        (path,) = NOTEBOOKS.glob(f"{lesson}_*.ipynb")
        for cell in nbformat.read(path, as_version=4).cells:
            makes = re.search(r"layers\.\w+\(|\.fit\(|\.compile\(|\btrain\(|losses\.", cell.source)
            if cell.cell_type == "code" and makes and not cell.source.startswith(SHOWS):
                tags = cell.metadata.get("tags", [])
                assert any(tag.partition(":")[0] == provenance.TAG for tag in tags), cell.source


# The machine and the commit --------------------------------------------------------------------------


def test_the_origin_names_the_versions_and_the_day():
    found = provenance.origin()
    assert found["backend"] == keras.backend.backend()
    assert found["versions"]["keras"] == installed_keras.__version__
    assert found["versions"]["numpy"] == np.__version__
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", found["date"])


@pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")
def test_the_commit_has_a_plus_sign_where_the_code_was_changed_since(tmp_path, monkeypatch):
    def git(*words):
        who = ("-c", "user.name=A", "-c", "user.email=a@example.org")
        done = subprocess.run(
            ["git", "-C", tmp_path, *who, *words], capture_output=True, text=True, check=True
        )
        return done.stdout.strip()

    monkeypatch.setattr(provenance, "ROOT", tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert provenance._commit() == "unknown"
    git("init", "--quiet")
    (tmp_path / "code.py").write_text("1")
    git("add", ".")
    git("commit", "--quiet", "--no-verify", "--message", "Begin")
    assert provenance._commit() == git("rev-parse", "--short", "HEAD")
    (tmp_path / "code.py").write_text("2")
    assert provenance._commit() == git("rev-parse", "--short", "HEAD") + "+"


def test_without_git_the_commit_is_unknown(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert provenance._commit() == "unknown"
