"""Files that were changed at random are taken, or refused in one line; tests/fuzz.py changes thousands."""

import zipfile

import fuzz
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from helpers.errors import CourseError

share = st.floats(0, 1, exclude_max=True)
values = st.sampled_from(fuzz.NUMBERS + fuzz.TEXTS) | st.binary(min_size=1, max_size=8)
# Half of the places are near the beginning, where formats keep their sizes.
edits = st.lists(
    st.tuples(st.sampled_from(fuzz.EDITS), share | share.map(lambda at: at**4), share, values),
    min_size=1,
    max_size=4,
)
SOME = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], database=None
)
FEW = settings(SOME, max_examples=20)


def assert_handled(kind, data, folder):
    said = fuzz.outcome(kind, data, folder)
    assert said in ("taken", "refused"), said


@SOME
@given(st.sampled_from(sorted(fuzz.pictures())), st.integers(0, 9), edits)
def test_pictures(tmp_path, kind, number, edits):
    seeds = fuzz.seeds(kind)
    assert_handled(kind, fuzz.edited(seeds[number % len(seeds)], edits, seeds[-1]), tmp_path)


@FEW
@given(st.sampled_from(["tar", "zip"]), st.integers(0, 1), edits)
@example("tar", 1, [("cut", 0.01, 0.0, b"")])  # the first block of what is compressed was not whole
def test_archives(tmp_path, kind, number, edits):
    seeds = fuzz.seeds(kind)
    assert_handled(kind, fuzz.edited(seeds[number % len(seeds)], edits, seeds[0]), tmp_path)


@SOME
@given(st.sampled_from(fuzz.seeds("csv")), edits)
def test_tables_and_votes(tmp_path, table, edits):
    assert_handled("csv", fuzz.edited(table, edits, table), tmp_path)


@FEW
@given(edits)
@example([("number", 0.2, 0.0, b"-1e999")])
def test_records(tmp_path, edits):
    (record,) = fuzz.seeds("record")
    assert_handled("record", fuzz.edited(record, edits, record), tmp_path)


@FEW
@given(share, edits, st.booleans())
def test_networks(tmp_path, member, edits, within):
    (network,) = fuzz.seeds("keras")
    changed = fuzz.edited_within(network, member, edits) if within else fuzz.edited(network, edits, network)
    assert_handled("keras", changed, tmp_path)


@pytest.mark.parametrize("kind", sorted(set(fuzz.kinds())))
def test_what_is_not_changed_is_taken(kind, tmp_path):
    for data in fuzz.seeds(kind):
        # No table is one of both kinds.
        wanted = "refused" if kind == "csv" else "taken"
        assert fuzz.outcome(kind, data, tmp_path) == wanted


def test_a_number_stands_for_the_same_file_each_time():
    first = [fuzz.make(0, number, []) for number in range(40)]
    fuzz.pictures.cache_clear()
    assert [fuzz.make(0, number, []) for number in range(40)] == first
    assert len({fuzz.make(0, number, ["png"]) for number in range(20)}) > 15


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (RuntimeError("a bug"), "finding: RuntimeError: a bug"),
        (MemoryError(), "finding: memory ran out"),
        (CourseError("mend \x1b[2J this"), "refused"),
        (CourseError(""), "finding: not one line: ''"),
    ],
)
def test_what_is_a_finding(error, said, tmp_path, monkeypatch):
    def fails(*_):
        raise error

    monkeypatch.setattr(fuzz, "handle", fails)
    assert fuzz.outcome("png", b"", tmp_path) == said


def test_an_edit_within_an_archive_keeps_its_checksums(tmp_path):
    path = tmp_path / "small.keras"
    path.write_bytes(fuzz.edited_within(fuzz.network(), 0.5, [("flip", 0.3, 0.5, b"")]))
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
