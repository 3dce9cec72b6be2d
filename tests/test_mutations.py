"""The list of mutations stays one of changes that can be tried; trying them takes minutes, by hand."""

import nbformat
import pytest
from conftest import write_lesson
from mutations import MUTATIONS, Mutation, first_failure, mutate

from helpers.places import ROOT

pytestmark = pytest.mark.quick


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.name)
def test_what_a_mutation_changes_stands_once(mutation, tmp_path):
    copy = tmp_path / mutation.file
    copy.parent.mkdir(parents=True, exist_ok=True)
    copy.write_bytes((ROOT / mutation.file).read_bytes())
    mutate(tmp_path, mutation)
    assert copy.read_bytes() != (ROOT / mutation.file).read_bytes()
    assert all((ROOT / test.partition("::")[0]).is_file() for test in mutation.tests)


def test_mutations_have_names_of_their_own():
    assert len({mutation.name for mutation in MUTATIONS}) == len(MUTATIONS)


@pytest.mark.parametrize("count", [0, 2])
def test_an_old_text_that_does_not_stand_once_is_refused(count, tmp_path):
    (tmp_path / "a.py").write_text("x = 1\n" * count)
    with pytest.raises(ValueError, match=f"stands {count} times in a.py"):
        mutate(tmp_path, Mutation("", "a.py", "x = 1", "x = 2", ()))


def test_a_cell_of_a_notebook_is_changed(tmp_path):
    path = write_lesson(tmp_path / "01_a.ipynb", "x = 1", "y = 2")
    mutate(tmp_path, Mutation("", "01_a.ipynb", "x = 1", "x = 3", ()))
    assert [cell.source for cell in nbformat.read(path, as_version=4).cells][-2:] == ["x = 3", "y = 2"]


def test_what_notices_is_named(tmp_path):
    (tmp_path / "test_a.py").write_text("from a import x\n\ndef test_x(): assert x == 1\n")
    (tmp_path / "a.py").write_text("x = 1\n")
    assert first_failure(tmp_path, ("test_a.py",)) == ""
    mutate(tmp_path, Mutation("", "a.py", "x = 1", "x = 2", ()))
    assert first_failure(tmp_path, ("test_a.py",)) == "test_a.py::test_x"


def test_tests_that_cannot_run_notice_nothing(tmp_path):
    with pytest.raises(ValueError, match=r"did not run nowhere\.py"):
        first_failure(tmp_path, ("nowhere.py",))
