"""The record of a training: complete, readable, and enough to take a long run up again."""

import dataclasses
import json

import numpy as np
import pytest

from helpers import metrics, networks, profiles, provenance, records
from helpers.backend import keras
from helpers.errors import CourseError
from helpers.photographs import load

CURVE = {"loss": [0.123456789, 0.1], "val_loss": [0.2, np.float32(0.1500001)]}
TINY = dataclasses.asdict(profiles.PROFILES["tiny"])
FINGERPRINT = {"settings": {"width": 0.25}, "fits": [{"loss": 0.125}]}


@pytest.fixture(scope="module")
def photographs():
    return load("sample", 16)


@pytest.fixture(scope="module")
def network():
    return keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)], name="baseline")


@pytest.fixture
def taken(monkeypatch):
    """Fingerprints are taken of nothing, and noted."""
    names = []

    def take(name, wanted, seed):
        names.append((name, wanted, seed))
        return FINGERPRINT

    monkeypatch.setattr(provenance, "fingerprint_apart", take)
    return names


@pytest.fixture(scope="module")
def record(photographs, network, tmp_path_factory):
    lesson = profiles.Lesson(**TINY, name="tiny", seed=3, out=tmp_path_factory.mktemp("short"))
    records.save(lesson, network, photographs, minutes=1.23456, curve=CURVE, note="a Δ")
    return lesson.models / "baseline.json"


@pytest.fixture
def long_run(tmp_path):
    """A lesson whose trainings are kept, as in the full profile, on the embedded photographs."""
    settings = TINY | {"goes_on": True, "size": 16}
    return profiles.Lesson(**settings, name="full", seed=3, out=tmp_path)


def test_the_record_says_what_was_trained_on_what_and_for_how_long(record, photographs):
    found = records.read(record)
    assert found["data_set"] == "sample"
    assert found["checksum"] == photographs.checksum
    assert found["photographs"] == {"train": 40, "validation": 6, "test": 8}
    assert found["resolution"] == 16
    assert found["parameters"] == 15
    assert found["epochs"] == 2
    assert found["minutes"] == 1.23
    assert found["seed"] == 3
    assert provenance.origin().items() <= found.items()
    assert networks.load(record.with_suffix(".keras")).count_params() == 15


def test_the_record_holds_every_setting_but_where_the_photographs_lie(record):
    settings = records.read(record)["settings"]
    assert set(settings) == set(TINY) - {"photos", "more_photos"}
    assert settings == json.loads(json.dumps({name: TINY[name] for name in settings}))


def test_the_curve_is_rounded_and_the_rest_is_kept(record):
    found = records.read(record)
    assert found["curve"] == {"loss": [0.12346, 0.1], "val_loss": [0.2, 0.15]}
    assert found["curve_step"] == 1
    assert found["metrics"] == {}
    assert found["note"] == "a Δ"


def test_a_long_curve_is_thinned(photographs, network, long_run, taken):
    records.save(long_run, network, photographs, minutes=1, curve={"loss": list(range(450))})
    thinned = records.read(long_run.models / "baseline.json")
    assert thinned["epochs"] == 450
    assert thinned["curve"]["loss"] == list(range(0, 450, thinned["curve_step"]))
    assert len(thinned["curve"]["loss"]) == 150


def test_the_file_is_readable_as_it_is(record):
    text = record.read_text(encoding="utf-8")
    assert '"note": "a Δ"' in text
    assert text.endswith("}\n")
    assert text.count("\n") > 20


def test_a_fact_may_say_what_else_there_is_but_not_what_is_found_out(photographs, network, long_run, taken):
    facts = {"photographs": {"train": 1, "test": 8}, "metrics": {"accuracy": 1}}
    records.save(long_run, network, photographs, minutes=1, curve=CURVE, **facts)
    assert facts.items() <= records.read(long_run.models / "baseline.json").items()
    with pytest.raises(CourseError, match=r"^checksum, seed: a record finds this out by itself$"):
        records.save(long_run, network, photographs, minutes=1, curve=CURVE, seed=1, checksum="")


def test_a_long_run_keeps_its_trainings_in_its_folder_and_a_short_one_none(long_run):
    assert records.going_on(long_run, "baseline") == long_run.out / "going-on" / "baseline"
    assert records.going_on(dataclasses.replace(long_run, goes_on=False), "baseline") is None


def test_a_short_run_takes_no_fingerprint(photographs, network, long_run, taken):
    records.save(long_run, network, photographs, minutes=1, curve=CURVE)
    assert taken == [("baseline", provenance.settings(long_run), 3)]
    short = dataclasses.replace(long_run, goes_on=False)
    records.save(short, network, photographs, minutes=1, curve=CURVE)
    assert "fingerprint" not in records.read(short.models / "baseline.json")
    assert len(taken) == 1


# What was scored -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def measured():
    """What `measure` would give for four photographs: every prediction a little worse than the one before."""
    random = np.random.default_rng(0)
    truth = random.dirichlet(np.ones(529), 4)
    rows = {}
    for place, name in enumerate([*records.TRIVIAL, *records.NETWORKS, *records.VIVID]):
        rows[name] = {metric: random.random(4) + place for metric in metrics.METRICS if metric != "ab_jsd"}
        rows[name] |= {"predicted_histogram": random.dirichlet(np.ones(529), 4), "true_histogram": truth}
    return rows


@pytest.fixture(scope="module")
def scored(measured, tmp_path_factory):
    lesson = profiles.Lesson(**TINY, name="tiny", seed=3, out=tmp_path_factory.mktemp("scored"))
    for name in records.NETWORKS:
        records.write(lesson.models / f"{name}.json", {"minutes": 1, "metrics": {}})
    records.note(lesson, "colorizer", vivid={"vividness": 0.3})
    records.score(lesson, measured, factors={"delta_e": 1.5})
    return lesson.models


def test_the_scores_are_those_of_the_metrics(scored, measured):
    trivial, network = (records.read(scored / f"{name}.json") for name in ("trivial", "fusion"))
    assert set(trivial) - set(records.TRIVIAL) == {"test_photographs", "factors"}
    assert trivial["test_photographs"] == 4
    assert trivial["factors"] == {"delta_e": 1.5}
    assert trivial["grey"]["metrics"] == metrics.summarize(measured["grey"], 3)
    assert network["metrics"] == metrics.summarize(measured["fusion"], 3)
    assert network["minutes"] == 1  # what `save` wrote is still there
    colorizer = records.read(scored / "colorizer.json")
    assert colorizer["metrics"] == metrics.summarize(measured["colorizer"], 3)
    assert colorizer["vivid"]["metrics"] == metrics.summarize(measured["colorizer_vivid"], 3)
    assert colorizer["vivid"]["vividness"] == 0.3
    assert colorizer["vivid"]["against"].keys() == colorizer["against"].keys()


def test_each_network_is_compared_photograph_by_photograph(scored, measured):
    against = records.read(scored / "fusion.json")["against"]
    assert set(against) == {*records.AGAINST, "no_vector"}
    for metric in records.PAIRED:
        expected = metrics.compare(measured["fusion"], measured["grey"], metric, 3)
        assert against["grey"][metric] == expected
    assert against["grey"]["psnr"]["mean"] > 5  # fusion is in the tenth row
