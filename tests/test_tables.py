"""What a table says reaches the photographs that it means, or is said."""

import unicodedata
from pathlib import Path

import pytest

from helpers.errors import CourseError
from helpers.photographs import tables

pytestmark = pytest.mark.quick

NAMES = ["Größe 1.png", "b.png", "C.PNG", "d/e.png", "d/f.v2.png", "g.png"]
SPLITS = ["test", "test", "validation", "validation", "train", "train"]
WRITTEN = {
    "as they are": lambda name: name,
    "as a Mac composes accents": lambda name: unicodedata.normalize("NFD", name),
    "in capitals": str.upper,
    "with Windows' slashes": lambda name: name.replace("/", "\\"),
    "from here": lambda name: f"./{name}",
    "with the folder's name in front": lambda name: f"mine/{name}",
    "with all folders in front": lambda name: f"C:\\Users\\Ada\\mine\\{name}",
    "without an ending": lambda name: name.rpartition(".")[0],
    "with blanks": lambda name: f" {name}  ",
    "without folders": lambda name: name.rpartition("/")[2],
    "without folders and ending": lambda name: name.rpartition("/")[2].rpartition(".")[0],
}


def split_table(rows, splits=SPLITS):
    lines = [f"{row},{split}\n" for row, split in zip(rows, splits, strict=True)]
    return "".join(["file,split\n", *lines]).encode()


def read(content, names=NAMES, unread=(), name="split.csv"):
    return tables.read({name: content}, names, unread, Path("mine"))


@pytest.mark.parametrize("write", WRITTEN.values(), ids=WRITTEN)
def test_a_row_means_its_file(write):
    found = read(split_table([write(name) for name in NAMES]))
    assert found.splits == dict(zip(NAMES, SPLITS, strict=True))
    assert found.remarks == []
    credits = "".join(f'"{write(name)}",pond,Ada,CC0,{number}\n' for number, name in enumerate(NAMES))
    found = read(f"file,title,author,license,source\n{credits}".encode(), name="ATTRIBUTION.csv")
    assert found.credits == {name: f"pond, Ada, CC0, {number}" for number, name in enumerate(NAMES)}
    assert found.remarks == []


@pytest.mark.parametrize(
    "name", ["Split.csv", "SPLIT.CSV", "album/split.csv", "Attribution.csv", "license.txt"]
)
def test_tables_are_told_by_their_names_in_any_case(name):
    assert tables.is_table(name)
    assert not tables.is_table(f"my {name.rpartition('/')[2]}")


def test_two_files_of_one_name_are_told_apart_or_not_at_all():
    names = ["a/1.png", "b/1.png", "B.png", "b.png"]
    assert read(split_table(["b/1.png", "b.png"], ["test"] * 2), names).splits.keys() == {"b/1.png", "b.png"}
    with pytest.raises(CourseError, match=r"names files that are not there \(1: 1.png\)"):
        read(split_table(["1.png"], ["test"]), names)


def test_words_for_splits_are_those_that_people_use():
    rows = ["Train", "TESTING ", "valid", "dev", "eval", "training"]
    wanted = ["train", "test", "validation", "validation", "test", "train"]
    assert list(read(split_table(NAMES, rows)).splits.values()) == wanted
    with pytest.raises(CourseError, match=r"puts b\.png into .teach.: train, validation, test are"):
        read(split_table(["b.png"], ["teach"]))


def test_rows_and_files_that_do_not_match_are_refused():
    rows = ["Grosse 1.png", *NAMES[1:]]
    with pytest.raises(CourseError) as refusal:
        read(split_table(rows))
    assert str(refusal.value) == (
        "mine/split.csv names files that are not there (1: Grosse 1.png), and does not name photographs "
        "that are (1: Größe 1.png): correct the names, or take those rows out"
    )


def test_rows_that_match_no_file_are_said():
    rows, splits = [*NAMES, "h.png", "i.png", "j.png", "k.png"], [*SPLITS, *["test"] * 4]
    found = read(split_table(rows, splits))
    assert found.splits == dict(zip(NAMES, SPLITS, strict=True))
    assert found.remarks == ["split.csv names files that are not there (4: h.png, i.png, j.png ...)"]
    read_but_damaged = read(split_table(rows, splits), unread=rows[6:])
    assert read_but_damaged.remarks == []


def test_credits_that_match_no_file_and_files_without_are_said():
    table = b"file,title,author,license,source\ng.png,pond,Ada,CC0,here\nz.png,sea,Bo,CC0,there\n"
    assert read(table, name="ATTRIBUTION.csv").remarks == [
        "ATTRIBUTION.csv names files that are not there (1: z.png)",
        "ATTRIBUTION.csv does not name 5: Größe 1.png, b.png, C.PNG ...",
    ]


def test_a_photograph_cannot_be_in_two_splits():
    assert read(split_table(["b.png", "B.png"], ["test"] * 2)).splits == {"b.png": "test"}
    with pytest.raises(CourseError, match=r"puts b.png into test and into train"):
        read(split_table(["b.png", "B.png"], ["test", "train"]))


def test_a_table_speaks_of_its_own_folder():
    names = ["set/a.png", "set/b.png", "c.png"]
    found = read(split_table(["a.png", "b.png"], ["test", "train"]), names, name="set/split.csv")
    assert found.splits == {"set/a.png": "test", "set/b.png": "train"}
    found = read(
        split_table(["a.png", "b.png", "c.png"], ["test"] * 3), names[:2], names[2:], "set/split.csv"
    )
    assert found.remarks == ["split.csv names files that are not there (1: c.png)"], "it lies above the table"


def test_a_row_without_a_split_names_nothing():
    assert read(split_table(["b.png", "g.png"], ["", "test"])).splits == {"g.png": "test"}
