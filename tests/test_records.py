"""The record of a long run: complete, readable, and true to what it stands beside."""

import dataclasses
import json
import re
import shutil
import subprocess
from datetime import UTC, date, datetime

import keras as installed_keras
import nbformat
import numpy as np
import pytest

from helpers import metrics, networks, places, profiles, records
from helpers.backend import keras
from helpers.display import COLUMNS
from helpers.errors import CourseError
from helpers.lab import rgb_to_lab
from helpers.photographs import load
from helpers.places import MODELS, NOTEBOOKS

CURVE = {"loss": [0.123456789, 0.1], "val_loss": [0.2, np.float32(0.1500001)]}
TINY = dataclasses.asdict(profiles.PROFILES["tiny"])


@pytest.fixture(scope="module")
def photographs(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(places, "CACHE", tmp_path_factory.mktemp("cache"))
        return load("sample", 8)


@pytest.fixture(scope="module")
def network():
    return keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)], name="baseline")


@pytest.fixture
def lesson(tmp_path):
    return profiles.Lesson(**TINY, name="tiny", seed=3, out=tmp_path)


@pytest.fixture
def record(photographs, network, lesson, monkeypatch):
    monkeypatch.setattr(records, "MODELS", lesson.models)
    records.write(lesson, network, photographs, minutes=1.23456, curve=CURVE, note="a Δ")
    return records.read("baseline")


def test_the_record_says_what_was_trained_on_what_and_for_how_long(record, photographs):
    assert record["data_set"] == "sample"
    assert record["checksum"] == photographs.checksum
    assert record["photographs"] == {"train": 40, "validation": 6, "test": 8}
    assert record["resolution"] == 8
    assert record["parameters"] == 15
    assert record["epochs"] == 2
    assert record["minutes"] == 1.23
    assert record["seed"] == 3
    assert record["code"] == records.code_of("baseline")
    assert record["backend"] == keras.backend.backend()
    assert record["versions"]["keras"] == installed_keras.__version__
    assert record["versions"]["numpy"] == np.__version__
    assert abs(date.fromisoformat(record["date"]) - datetime.now(UTC).date()).days <= 1


def test_the_record_holds_every_setting_but_where_the_photographs_lie(record):
    assert set(record["settings"]) == set(TINY) - {"photos"}
    for name, value in record["settings"].items():
        assert value == (list(TINY[name]) if isinstance(TINY[name], tuple) else TINY[name])


def test_the_curve_is_rounded_and_the_rest_is_kept(record):
    assert record["curve"] == {"loss": [0.12346, 0.1], "val_loss": [0.2, 0.15]}
    assert record["curve_step"] == 1
    assert record["metrics"] == {}
    assert record["note"] == "a Δ"


def test_a_long_curve_is_thinned(photographs, network, lesson, monkeypatch):
    monkeypatch.setattr(records, "MODELS", lesson.models)
    records.write(lesson, network, photographs, minutes=1, curve={"loss": list(range(450))})
    thinned = records.read("baseline")
    assert thinned["epochs"] == 450
    assert thinned["curve"]["loss"] == list(range(0, 450, thinned["curve_step"]))
    assert len(thinned["curve"]["loss"]) == 150


def test_the_file_is_readable_as_it_is(record, lesson):
    text = (lesson.models / "baseline.json").read_text(encoding="utf-8")
    assert '"note": "a Δ"' in text
    assert text.endswith("}\n")
    assert text.count("\n") > 20


def test_a_network_that_is_not_of_the_course_has_no_record(photographs, lesson):
    other = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)], name="other")
    with pytest.raises(CourseError, match=r"^no record is kept of a network 'other'; the networks are mem"):
        records.write(lesson, other, photographs, minutes=1, curve=CURVE)


# What was scored -------------------------------------------------------------------------------------


@pytest.fixture
def measured():
    """What `measure` would give for four photographs: every prediction a little worse than the one before."""
    random = np.random.default_rng(0)
    truth = random.dirichlet(np.ones(529), 4)
    rows = {}
    for place, name in enumerate([*records.TRIVIAL, *records.NETWORKS]):
        rows[name] = {metric: random.random(4) + place for metric in metrics.METRICS if metric != "ab_jsd"}
        rows[name] |= {"predicted_histogram": random.dirichlet(np.ones(529), 4), "true_histogram": truth}
    return rows


@pytest.fixture
def scored(photographs, monkeypatch, measured, tmp_path):
    """The records of a run that is done, in the full profile."""
    full = dataclasses.asdict(profiles.PROFILES["full"]) | {"backbone": "classifier"}
    lesson = profiles.Lesson(**full, name="full", seed=3, out=tmp_path)
    monkeypatch.setattr(records, "MODELS", lesson.models)
    for name in records.NETWORKS:
        made = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)], name=name)
        networks.save(made, lesson.models / f"{name}.keras")
        records.write(lesson, made, photographs, minutes=1, curve=CURVE)
    records.score(lesson, measured, factors={"delta_e": 1.5})
    return lesson.models


def test_the_scores_are_those_of_the_metrics(scored, measured):
    trivial, network = records.read("trivial"), records.read("fusion")
    assert set(trivial) - set(records.TRIVIAL) == {"test_photographs", "scored_by", "factors"}
    assert trivial["test_photographs"] == 4
    assert trivial["factors"] == {"delta_e": 1.5}
    assert trivial["grey"]["metrics"] == metrics.summarize(measured["grey"], 3)
    assert network["metrics"] == metrics.summarize(measured["fusion"], 3)
    assert network["minutes"] == 1  # what `write` wrote is still there


def test_each_network_is_compared_photograph_by_photograph(scored, measured):
    against = records.read("fusion")["against"]
    assert set(against) == set(records.AGAINST)
    for metric in records.PAIRED:
        expected = metrics.compare(measured["fusion"], measured["grey"], metric, 3)
        assert against["grey"][metric] == expected
    assert against["grey"]["psnr"]["mean"] > 5  # fusion is in the tenth row


def test_keeping_a_run_copies_it_and_writes_the_table(scored, tmp_path, monkeypatch):
    kept, page = tmp_path / "kept", tmp_path / "README.md"
    kept.mkdir()
    page.write_text(f"before\n{records.MARKS[0]}\nold\n{records.MARKS[1]}\nafter\n", encoding="utf-8")
    monkeypatch.setattr(records, "MODELS", kept)
    monkeypatch.setattr(records, "README", page)
    written = records.keep(scored)
    assert sorted(path.name for path in written) == sorted(path.name for path in kept.iterdir())
    assert len(written) == 2 * len(records.NETWORKS) + 1
    for path in written:
        assert path.read_bytes() == (scored / path.name).read_bytes()
    text = page.read_text(encoding="utf-8")
    assert text == f"before\n{records.MARKS[0]}\n{records.table()}{records.MARKS[1]}\nafter\n"
    records.keep(scored)
    assert page.read_text(encoding="utf-8") == text


def test_the_table_has_a_row_for_each_and_the_interval_in_each_cell(scored):
    lines = records.table().splitlines()
    titles = [line.split(" | ")[0].removeprefix("| ") for line in lines[2:]]
    assert titles == [*records.TRIVIAL.values(), *records.NETWORKS.values()]
    assert {line.count("|") for line in lines} == {len(COLUMNS) + 2}
    psnr = records.read("trivial")["grey"]["metrics"]["psnr"]
    cell = f"{psnr['mean']:.1f}<br><sub>{psnr['low']:.1f} to {psnr['high']:.1f}</sub>"
    assert lines[2].split(" | ")[1] == cell


def changed(path, **changes):
    path.write_text(json.dumps(json.loads(path.read_text("utf-8")) | changes), encoding="utf-8")


def test_an_unfinished_run_is_not_kept(scored):
    (scored / "dcgan.keras").unlink()
    with pytest.raises(CourseError, match=r"lacks dcgan\.keras: run lessons 3 to 6 first$"):
        records.keep(scored)


def test_a_run_without_scores_is_not_kept(scored):
    changed(scored / "dcgan.json", metrics={})
    with pytest.raises(CourseError, match=r"^dcgan has no scores yet: run lesson 6 first$"):
        records.keep(scored)


def test_a_run_of_other_code_is_not_kept(scored):
    changed(scored / "fusion.json", code="0123456789abcdef")
    with pytest.raises(CourseError, match=r"^fusion was trained by other code: run lessons 3 to 6 again$"):
        records.keep(scored)


@pytest.mark.parametrize("change", [{"minutes": 1.0}, {"backbone": "inception_resnet_v2"}])
def test_a_run_with_other_settings_is_not_kept(scored, change):
    """Not the tiny profile's, and no fusion that a run without a network could not repeat."""
    changed(scored / "fusion.json", settings=records.read("fusion")["settings"] | change)
    with pytest.raises(CourseError, match=r"^fusion was not trained with the settings of the full profile"):
        records.keep(scored)


def test_only_fusion_reads_the_backbone(scored, tmp_path, monkeypatch):
    changed(scored / "dcgan.json", settings=records.read("dcgan")["settings"] | {"backbone": "other"})
    page = tmp_path / "README.md"
    page.write_text("".join(records.MARKS), encoding="utf-8")
    monkeypatch.setattr(records, "README", page)
    monkeypatch.setattr(records, "MODELS", tmp_path / "kept")
    records.MODELS.mkdir()
    assert records.keep(scored)


def test_a_run_that_is_too_large_is_not_kept(scored, monkeypatch):
    monkeypatch.setattr(records, "MOST_BYTES", 1000)
    with pytest.raises(CourseError, match=r"MB, more than 0$"):
        records.keep(scored)


# The hash of the code --------------------------------------------------------------------------------

CODE = "def f(x):\n    return x + 1\n"


@pytest.mark.parametrize(
    "same",
    [
        '"""Says."""\n\n\ndef f(x):\n    """Add one."""\n    # why\n    return x + 1  # what\n',
        "def f(x):\n\n    return x + 1\n",
    ],
)
def test_what_code_says_does_not_change_its_hash(same):
    assert records.digest((), [same]) == records.digest((), [CODE])


def test_the_wording_of_an_error_does_not_change_the_hash():
    first, second = (f"if x:\n    raise ValueError(\n        {text!r}\n    )\n" for text in ("a", "b"))
    assert records.digest((), [first]) == records.digest((), [second])


@pytest.mark.parametrize(
    "other", ["def f(x):\n    return x + 2\n", "def f(x):\n    return '# x' + 1\n", "y = 1\n" + CODE]
)
def test_what_code_does_changes_its_hash(other):
    assert records.digest((), [other]) != records.digest((), [CODE])


def test_a_hash_mark_in_a_string_is_no_comment():
    assert records.digest((), ["x = '#1'"]) != records.digest((), ["x = '#2'"])


@pytest.mark.parametrize("name", records.CODE)
def test_the_code_of_a_network_is_its_cells_and_its_rooms(name, monkeypatch, tmp_path):
    code = records.CODE[name]
    notebook = nbformat.read(NOTEBOOKS / f"{code.lesson}.ipynb", as_version=4)
    tagged = [cell.source for cell in notebook.cells if code.tag in cell.metadata.get("tags", [])]
    assert records.code_of(name) == records.digest(code.rooms, tagged)
    # A change in one of the cells is seen, one in another cell is not.
    monkeypatch.setattr(records, "NOTEBOOKS", tmp_path)
    untagged = next(
        cell.source
        for cell in notebook.cells
        if cell.cell_type == "code" and cell.source not in tagged and "import" not in cell.source
    )
    for changed, place in ((True, tagged[0]), (False, untagged)):
        copy = nbformat.from_dict(notebook)
        next(cell for cell in copy.cells if cell.source == place).source += "\nextra = 1"
        nbformat.write(copy, tmp_path / f"{code.lesson}.ipynb")
        assert (records.code_of(name) != records.digest(code.rooms, tagged)) == changed


def test_every_cell_that_makes_a_layer_or_trains_is_part_of_a_record():
    """A new cell with a layer in it would otherwise change networks behind the records' back."""
    for lesson in {code.lesson for code in records.CODE.values()}:
        notebook = nbformat.read(NOTEBOOKS / f"{lesson}.ipynb", as_version=4)
        for cell in notebook.cells:
            makes = re.search(r"layers\.\w+\(|\.fit\(|\.compile\(|\btrain\(|losses\.", cell.source)
            shows = re.search(r"mix = layers|def count_moved", cell.source)  # and keeps nothing
            if cell.cell_type == "code" and makes and not shows:
                assert {"recorded", "classifier"} & set(cell.metadata.get("tags", [])), cell.source


# Where and with what ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("devices", "name"),
    [
        (["gpu:0", "cpu:0"], "gpu:0"),
        (["GPU:0", "GPU:1", "CPU:0"], "GPU:0, GPU:1"),
        (["cpu:0"], r"\d+ CPU cores? \(\w+\)"),
    ],
)
def test_the_device_is_the_accelerator_or_the_processor(monkeypatch, devices, name):
    monkeypatch.setattr(keras.distribution, "list_devices", lambda: devices)
    assert re.fullmatch(name, records._device())


def test_a_record_that_is_not_there_names_those_that_are(record):
    with pytest.raises(CourseError, match=r"^there is no record of 'fusion'; there are: baseline$"):
        records.read("fusion")


def test_without_any_record_the_error_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(records, "MODELS", tmp_path / "empty")
    with pytest.raises(CourseError, match=r"there are: none$"):
        records.read("fusion")


@pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")
def test_the_commit_has_a_plus_sign_where_the_code_was_changed_since(tmp_path, monkeypatch):
    def git(*words):
        who = ("-c", "user.name=A", "-c", "user.email=a@example.org")
        done = subprocess.run(
            ["git", "-C", tmp_path, *who, *words], capture_output=True, text=True, check=True
        )
        return done.stdout.strip()

    monkeypatch.setattr(records, "ROOT", tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert records._commit() == "unknown"
    git("init", "--quiet")
    (tmp_path / "code.py").write_text("1")
    git("add", ".")
    git("commit", "--quiet", "--no-verify", "--message", "Begin")
    assert records._commit() == git("rev-parse", "--short", "HEAD")
    (tmp_path / "code.py").write_text("2")
    assert records._commit() == git("rev-parse", "--short", "HEAD") + "+"


def test_without_git_the_commit_is_unknown(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert records._commit() == "unknown"


# What comes with the course --------------------------------------------------------------------------


@pytest.mark.parametrize("name", records.CODE)
def test_every_record_that_comes_with_the_course_is_complete_and_true(name, record):
    recorded = json.loads((records.ROOT / "data" / "models" / f"{name}.json").read_text("utf-8"))
    # The classifier's is older than these two.
    younger = {"settings", "curve_step"} if name == "classifier" else set()
    assert set(record) - {"note"} - younger <= set(recorded)
    assert recorded["minutes"] > 0
    for values in recorded["curve"].values():
        assert len(values) == -(-recorded["epochs"] // recorded.get("curve_step", 1))
    assert re.fullmatch(r"[0-9a-f]{7,12}", recorded["commit"])
    for interval in recorded["metrics"].values():
        assert interval["low"] <= interval["mean"] <= interval["high"]
    assert set(recorded["metrics"]) == ({"accuracy"} if name == "classifier" else set(metrics.METRICS))
    assert networks.load(MODELS / f"{name}.keras").count_params() == recorded["parameters"]


@pytest.mark.parametrize("name", records.CODE)
def test_no_record_is_stale(name):
    """If this fails, the code that trains was changed: make the run again, as data/README.md says."""
    assert records.read(name)["code"] == records.code_of(name)


@pytest.mark.parametrize("name", records.NETWORKS)
def test_the_recorded_settings_are_those_of_the_full_profile(name):
    now, then = records.settings(profiles.PROFILES["full"]), records.read(name)["settings"]
    # Fusion alone reads the backbone. A setting that is younger than the record decided nothing.
    backbone = then.pop("backbone")
    assert backbone == "classifier" or name != "fusion"
    assert then == {key: now[key] for key in then}
    assert len(then) > 10


def test_the_scores_are_by_the_code_as_it_is():
    """If this fails, the code that scores was changed: run lesson 6 on the recorded run again."""
    assert records.read("trivial")["scored_by"] == records.digest(records.SCORING)


def test_all_networks_had_the_same_budget_on_the_same_photographs():
    trained = [records.read(name) for name in records.NETWORKS if name != "memorize"]
    assert len({record["checksum"] for record in trained}) == 1
    assert len({(record["device"], record["backend"]) for record in trained}) == 1
    minutes = [record["minutes"] for record in trained]
    assert max(minutes) - min(minutes) < 0.02 * max(minutes)
    assert trained[0]["resolution"] >= 128


def test_the_files_are_small_enough_for_a_repository():
    assert sum(path.stat().st_size for path in MODELS.iterdir()) <= records.MOST_BYTES


def test_a_recorded_network_colors_the_sample():
    lesson = profiles.Lesson(**TINY | {"test_size": 64}, name="tiny", seed=0, out=MODELS)
    truth = load("sample", 64).test.rgb
    for name in ("baseline", "fusion", "dcgan_rgb"):
        rgb = records.color(name, lesson)
        assert (rgb.shape, rgb.dtype) == (truth.shape, np.uint8)
        own = rgb_to_lab(truth)[..., 0]
        assert np.abs(rgb_to_lab(rgb)[..., 0] - own).mean() < 1
        assert metrics.measure(truth, rgb)["chroma"].mean() > 2


def test_a_description_names_what_a_reader_needs():
    for name in records.CODE:
        record, text = records.read(name), records.describe(name)
        assert len(text.splitlines()) == 3
        for fact in (record["date"], record["commit"], record["data_set"], record["device"]):
            assert fact in text
