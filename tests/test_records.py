"""The record of a long run: complete, readable, and true to what it stands beside."""

import json
import re
import shutil
import subprocess
from datetime import UTC, date, datetime

import keras as installed_keras
import numpy as np
import pytest

from helpers import networks, records
from helpers.backend import keras
from helpers.errors import CourseError
from helpers.photographs import load
from helpers.places import MODELS

METRICS = {"psnr": {"mean": 24.5, "low": 23.9, "high": 25.1}}
CURVE = {"loss": [0.123456789, 0.1], "val_loss": [0.2, np.float32(0.1500001)]}


@pytest.fixture(scope="module")
def photographs(tmp_path_factory):
    return load("sample", 8, cache=tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="module")
def network():
    return keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])


@pytest.fixture
def record(photographs, network, tmp_path, monkeypatch):
    monkeypatch.setattr(records, "MODELS", tmp_path)
    path = tmp_path / "baseline.json"
    records.write(
        path,
        photographs,
        network,
        seed=3,
        minutes=1.23456,
        curve=CURVE,
        metrics=METRICS,
        note="a Δ",
    )
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
    assert record["backend"] == keras.backend.backend()
    assert record["versions"]["keras"] == installed_keras.__version__
    assert record["versions"]["numpy"] == np.__version__
    assert abs(date.fromisoformat(record["date"]) - datetime.now(UTC).date()).days <= 1


def test_the_curve_is_rounded_and_the_rest_is_kept(record):
    assert record["curve"] == {"loss": [0.12346, 0.1], "val_loss": [0.2, 0.15]}
    assert record["metrics"] == METRICS
    assert record["note"] == "a Δ"


def test_the_file_is_readable_as_it_is(record, tmp_path):
    text = (tmp_path / "baseline.json").read_text(encoding="utf-8")
    assert '"note": "a Δ"' in text
    assert text.endswith("}\n")
    assert text.count("\n") > 20


@pytest.mark.parametrize(
    ("devices", "name"),
    [
        (["gpu:0", "cpu:0"], "gpu:0"),
        (["GPU:0", "GPU:1", "CPU:0"], "GPU:0, GPU:1"),
        (["cpu:0"], r"\d+ CPU cores \(\w+\)"),
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


def test_every_record_that_comes_with_the_course_is_complete_and_true(record):
    paths = sorted(MODELS.glob("*.json"))
    assert paths
    for path in paths:
        recorded = json.loads(path.read_text(encoding="utf-8"))
        assert set(record) - {"note"} <= set(recorded)
        assert recorded["minutes"] > 0
        assert all(len(values) == recorded["epochs"] for values in recorded["curve"].values())
        for interval in recorded["metrics"].values():
            assert interval["low"] <= interval["mean"] <= interval["high"]
        network = networks.load(path.with_suffix(".keras"))
        assert network.count_params() == recorded["parameters"]
