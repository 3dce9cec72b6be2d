"""The networks that come with the course: what their records say, and that both still belong together."""

import dataclasses
import json
import re
import shutil

import numpy as np
import pytest

from helpers import embeddings, metrics, networks, pairs, profiles, provenance, recorded, records
from helpers.errors import CourseError
from helpers.lab import rgb_to_lab
from helpers.places import MODELS
from helpers.records import HINTED, TITLES, TRIVIAL

TINY = profiles.PROFILES["tiny"]
RECORDED = recorded.names()
WITH_HINTS = tuple(HINTED.values())
# How far a mean over eight photographs may lie from the stored one on another processor.
TOLERANCE = {"psnr": 0.05, "delta_e": 0.05, "colorfulness": 0.15, "chroma": 0.1}


@pytest.mark.parametrize("name", [*RECORDED, *WITH_HINTS])
def test_every_record_that_comes_with_the_course_is_complete_and_true(name):
    record = recorded.read(name)
    assert {"data_set", "checksum", "photographs", "resolution", "device", "versions"} <= record.keys()
    assert record["minutes"] > 0
    for values in record["curve"].values():
        assert len(values) == -(-record["epochs"] // record.get("curve_step", 1))
    assert re.fullmatch(r"[0-9a-f]{7,12}", record["commit"])
    if name in RECORDED:
        assert record["metrics"].keys() >= {"psnr", "delta_e"}
        intervals = record["metrics"].values()
    else:
        assert list(record["hints"]["psnr"]) == ["0", "1", "5", "10", "50", "100"]
        assert list(record["hints"]["gain"]) == ["1", "5", "10", "50", "100"]
        assert record["hints"]["test_photographs"] == recorded.read("trivial")["test_photographs"]
        intervals = [*record["hints"]["psnr"].values(), *record["hints"]["gain"].values()]
    for interval in intervals:
        assert interval["low"] <= interval["mean"] <= interval["high"]
    assert networks.load(MODELS / f"{name}.keras").count_params() == record["parameters"]


@pytest.mark.parametrize("name", [*RECORDED, *WITH_HINTS])
def test_no_record_is_stale(name):
    """If this fails, the code or the full profile was changed: make the run again, see data/README.md."""
    assert recorded.stale(name, recorded.read(name)) == []


@pytest.mark.parametrize("name", [*RECORDED, *WITH_HINTS])
def test_a_recorded_network_still_scores_what_its_record_says(name):
    """If this fails, the way from a file to a colored picture was changed, or the file."""
    record = recorded.read(name)
    found = recorded.score_on_sample(MODELS / f"{name}.keras", record)
    assert found.keys() == record["sample"].keys() == TOLERANCE.keys()
    for metric, value in record["sample"].items():
        assert found[metric] == pytest.approx(value, abs=TOLERANCE[metric]), metric


@pytest.mark.parametrize(("name", "hinted"), HINTED.items())
def test_a_network_with_hints_belongs_to_the_recorded_one(name, hinted):
    """Without a hint it scores what the other does; and it has learned from the same photographs."""
    plain, told = recorded.read(name), recorded.read(hinted)
    for fact in ("sample", "data_set", "resolution"):
        assert told[fact] == plain[fact], fact
    assert told["parameters"] > plain["parameters"]


def test_a_network_with_hints_has_no_row_of_its_own():
    assert not set(WITH_HINTS) & (RECORDED.keys() | recorded.NETWORKS.keys())
    assert set(recorded.scored()) == {*RECORDED.values(), "colorizer, vivid"}


def test_all_networks_of_the_story_had_the_same_budget_on_the_same_photographs():
    trained = [recorded.read(name) for name in RECORDED if name not in ("memorize", "colorizer")]
    assert len({record["checksum"] for record in trained}) == 1
    assert len({(record["device"], record["backend"]) for record in trained}) == 1
    assert (
        len(
            {(record["epochs"], record["resolution"], record["settings"]["batch_size"]) for record in trained}
        )
        == 1
    )
    assert trained[0]["resolution"] >= 96


def test_repeats_are_complete_and_belong_to_the_recorded_networks():
    again = recorded.repeats()
    repeated = {f"{name}, seed {seed}" for name in ("baseline", "no_vector", "fusion") for seed in (1, 2)}
    repeated |= {"baseline, upside-down", "baseline, contrast"}
    trained = records.read(recorded.REPEATS / "trainings.json")
    assert repeated <= trained.keys() <= again.keys()
    for name in trained:
        assert trained[name]["epochs"] == recorded.read(name.partition(",")[0])["epochs"], name
    for name in ("baseline", "no_vector", "fusion"):
        scored = recorded.read(name)["metrics"]["delta_e"]["mean"]
        assert again[f"{name}, seed 0"].mean() == pytest.approx(scored, abs=0.01)
    assert {len(scores) for scores in again.values()} == {recorded.read("trivial")["test_photographs"]}


def test_the_files_are_small_enough_for_a_repository():
    assert sum(path.stat().st_size for path in MODELS.iterdir()) <= recorded.MOST_BYTES


def test_a_recorded_network_sees_what_it_was_trained_on_whatever_the_lesson_says(monkeypatch):
    """The size and the backbone are the record's; the size of the pictures is the lesson's."""
    lesson = dataclasses.replace(TINY, size=64, test_size=48, backbone="inception_resnet_v2")
    seen, loaded = [], []
    inputs_of, load_backbone = embeddings.inputs_of, embeddings.load_backbone

    def note_inputs(network, pair, backbone):
        seen.append((pair.seen.size, backbone))
        return inputs_of(network, pair, backbone)

    def note_backbone(name):
        loaded.append(name)
        return load_backbone(name)

    monkeypatch.setattr(embeddings, "inputs_of", note_inputs)
    monkeypatch.setattr(embeddings, "load_backbone", note_backbone)
    truth = pairs.load(lesson, "test", 1000).truth
    for name in ("baseline", "fusion", "dcgan_rgb"):
        rgb = recorded.color(name, lesson)
        assert (rgb.shape, rgb.dtype) == (truth.shape, np.uint8)
        assert rgb.shape[1:3] == (48, 48)
        assert np.abs(rgb_to_lab(rgb)[..., 0] - rgb_to_lab(truth)[..., 0]).mean() < 1
        assert metrics.measure(truth, rgb)["chroma"].mean() > 2
    assert seen == [(96, "efficientnet_lite0")] * 3
    assert loaded == ["efficientnet_lite0"]


def test_a_description_names_what_a_reader_needs():
    for name in (*RECORDED, *WITH_HINTS):
        record, text = recorded.read(name), recorded.describe(name)
        assert len(text.splitlines()) == 3
        assert text.startswith(f"{TITLES[name]}: recorded on ")
        for fact in (record["date"], record["commit"], record["data_set"], record["device"]):
            assert fact in text


def test_a_record_that_is_not_there_names_those_that_are(tmp_path, monkeypatch):
    monkeypatch.setattr(recorded, "MODELS", tmp_path)
    with pytest.raises(CourseError, match=r"^there is no record of 'fusion'; there are: none$"):
        recorded.read("fusion")
    records.write(tmp_path / "baseline.json", {})
    with pytest.raises(CourseError, match=r"there are: baseline$"):
        recorded.read("fusion")


def test_the_table_has_a_row_for_each_and_the_interval_in_each_cell():
    lines = recorded.table().splitlines()
    titles = [line.split(" | ")[0].removeprefix("| ") for line in lines[2:]]
    assert titles == [*TRIVIAL.values(), *RECORDED.values(), "colorizer, vivid"]
    assert "| PSNR dB ↑ | SSIM ↑ | ΔE2000 ↓ |" in lines[0]
    assert {line.count("|") for line in lines} == {lines[0].count("|")}
    psnr = recorded.read("trivial")["grey"]["metrics"]["psnr"]
    cell = f"{psnr['mean']:.1f}<br><sub>{psnr['low']:.1f} to {psnr['high']:.1f}</sub>"
    assert lines[2].split(" | ")[1] == cell


def test_a_new_metric_and_a_new_network_wait_for_their_records(monkeypatch):
    before = recorded.table()
    monkeypatch.setitem(metrics.METRICS, "lpips", metrics.Metric("LPIPS ↓", 3, better=-1))
    monkeypatch.setitem(recorded.NETWORKS, "new", "the new one")
    assert recorded.table() == before
    assert "new" not in recorded.names()


# Keeping a run ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def done_once(tmp_path_factory):
    """The folder of a run in the full profile that is done: the recorded networks themselves."""
    folder = tmp_path_factory.mktemp("done")
    for name in [*RECORDED, *WITH_HINTS, "trivial"]:
        for path in MODELS.glob(f"{name}.*"):
            shutil.copy(path, folder)
    return folder


@pytest.fixture
def fresh(monkeypatch):
    """Fingerprints are as recorded, without being taken again; a test may say otherwise."""
    names = (*RECORDED, *WITH_HINTS)
    prints = {name: records.read(MODELS / f"{name}.json")["fingerprint"] for name in names}
    monkeypatch.setattr(provenance, "fingerprint", lambda name, wanted, seed: prints[name])
    return prints


@pytest.fixture
def kept(tmp_path, monkeypatch):
    """Where a run is kept: a folder and a page of the test's own."""
    folder, page = tmp_path / "kept", tmp_path / "README.md"
    folder.mkdir()
    page.write_text(f"before\n{recorded.MARKS[0]}\nold\n{recorded.MARKS[1]}\nafter\n", encoding="utf-8")
    monkeypatch.setattr(recorded, "MODELS", folder)
    monkeypatch.setattr(recorded, "README", page)
    monkeypatch.setattr(recorded, "NETWORKS", RECORDED)
    return folder


@pytest.fixture
def run(done_once, tmp_path):
    return shutil.copytree(done_once, tmp_path / "run")


def changed(path, **changes):
    path.write_text(json.dumps(records.read(path) | changes), encoding="utf-8")


def test_keeping_a_run_copies_it_and_writes_the_table(run, kept, fresh, monkeypatch):
    monkeypatch.setattr(recorded, "score_on_sample", lambda network, record: {"psnr": 20.0})
    written = recorded.keep(run)
    assert sorted(written) == sorted(kept.iterdir())
    assert len(written) == 2 * len(RECORDED) + 2 * len(WITH_HINTS) + 1
    for path in written:
        assert path.read_bytes() == (run / path.name).read_bytes()
    assert records.read(kept / "dcgan.json")["sample"] == {"psnr": 20.0}
    text = recorded.README.read_text(encoding="utf-8")
    table = recorded.table(recorded.README_METRICS)
    assert text == f"before\n{recorded.MARKS[0]}\n{table}{recorded.MARKS[1]}\nafter\n"
    recorded.keep(run)
    assert recorded.README.read_text(encoding="utf-8") == text


def refused(run, kept):
    with pytest.raises(CourseError) as error:
        recorded.keep(run)
    assert list(kept.iterdir()) == []
    return str(error.value)


def test_a_run_without_a_network_that_takes_hints_is_kept_until_the_course_has_one(
    run, kept, fresh, monkeypatch
):
    monkeypatch.setattr(recorded, "score_on_sample", lambda network, record: {"psnr": 20.0})
    for path in run.glob("colorizer_hints.*"):
        path.unlink()
    assert len(recorded.keep(run)) == 2 * len(RECORDED) + 1
    (kept / "colorizer_hints.keras").write_bytes(b"of another colorizer")
    with pytest.raises(
        CourseError, match=r"lacks colorizer_hints\.keras, colorizer_hints\.json: run lessons"
    ):
        recorded.keep(run)


def test_the_code_of_a_network_that_takes_hints_is_looked_at_too(run, kept, fresh):
    other = json.loads(json.dumps(fresh["colorizer_hints"]))
    other["settings"]["hint_epochs"] = 1
    changed(run / "colorizer_hints.json", fingerprint=other)
    assert "colorizer_hints: settings.hint_epochs" in refused(run, kept)


def test_an_unfinished_run_is_not_kept(run, kept, fresh):
    (run / "dcgan.keras").unlink()
    assert refused(run, kept).endswith("lacks dcgan.keras: run lessons 3 to 6 first")


def test_a_run_without_scores_is_not_kept(run, kept, fresh):
    changed(run / "dcgan.json", metrics={})
    assert refused(run, kept) == "dcgan has no scores yet: run lesson 6 first"


def test_a_run_of_other_code_or_settings_is_not_kept(run, kept, fresh):
    other = json.loads(json.dumps(fresh["fusion"]))
    other["settings"]["backbone"], other["fits"][0]["optimizer"]["beta_1"] = "mobilenet", "0.5"
    changed(run / "fusion.json", fingerprint=other)
    assert refused(run, kept) == (
        "the code as it is would train something else: "
        "fusion: fits.0.optimizer.beta_1; fusion: settings.backbone"
    )


def test_a_short_run_is_not_kept(run, kept, fresh):
    record = records.read(run / "baseline.json")
    del record["fingerprint"]
    records.write(run / "baseline.json", record)
    assert "baseline: " in refused(run, kept)


def test_a_run_that_is_too_large_is_not_kept(run, kept, fresh, monkeypatch):
    monkeypatch.setattr(recorded, "MOST_BYTES", 1000)
    assert refused(run, kept).endswith("MB, more than 0")


def test_staleness_is_that_of_the_full_profile(monkeypatch):
    asked = []

    def take(name, wanted, seed):
        asked.append((name, wanted, seed))
        return recorded.read(name)["fingerprint"]

    monkeypatch.setattr(provenance, "fingerprint", take)
    assert recorded.stale("fusion", recorded.read("fusion")) == []
    assert asked == [("fusion", provenance.settings(profiles.PROFILES["full"]), 0)]
