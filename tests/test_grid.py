"""What a sweep is asked for: a file, checked before anything starts."""

from pathlib import Path

import pytest
from conftest import PARAMETERS, write_lesson
from test_run import trains

import helpers.__main__
from helpers import places
from helpers.errors import CourseError
from helpers.runner import grid
from helpers.runner.plan import find_lessons

GOOD = "lesson: 1\ngrid: {RATE: [1, 2]}\nmetrics: net.val_loss\n"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with one lesson that trains a network and one that trains none."""
    monkeypatch.setattr(places, "NOTEBOOKS", tmp_path / "notebooks")
    monkeypatch.setattr(places, "RUNS", tmp_path / "runs")
    monkeypatch.chdir(tmp_path)
    begin = "profiles.begin(PROFILE, SEED, OUT, epochs=EPOCHS, flips=FLIPS)"
    more = "\nRATE = None\nEPOCHS = None\nFLIPS = None"
    trains(write_lesson(tmp_path / "notebooks" / "01_one.ipynb", begin, parameters=PARAMETERS + more), "net")
    write_lesson(tmp_path / "notebooks" / "02_two.ipynb", "pass")
    return tmp_path


def read(text, **options):
    Path("grid.yaml").write_text(text, "utf-8")
    return grid.read(Path("grid.yaml"), **options)


def test_every_choice_of_values_is_a_combination_the_last_parameter_first(folder):
    text = (
        "lesson: 01_one\nparameters: {EPOCHS: 3, PHOTOS: flowers}\nmetrics: [net.val_loss, net.minutes]\n"
        "grid:\n  FLIPS: [none, left-right]\n  SEED: [0, 7]\n  RATE: [1e-3, null, 'None', true]\n"
    )
    with pytest.raises(CourseError, match="RATE lists None twice"):
        read(text)
    found = read(text.replace(", 'None'", ""))
    assert (found.lesson.stem, found.profile) == ("01_one", "tiny")
    assert found.metrics == ("net.val_loss", "net.minutes")
    assert found.out == folder / "runs" / "sweep-grid"
    assert [tuple(each.values.values()) for each in found.combinations] == [
        (flips, seed, rate)
        for flips in ("none", "left-right")
        for seed in (0, 7)
        for rate in (1e-3, None, True)
    ]
    one = found.combinations[0]
    assert one.folder.parent == found.out
    assert one.parameters == {
        "PROFILE": "tiny",
        "SEED": 0,
        "EPOCHS": 3,
        "PHOTOS": "flowers",
        "FLIPS": "none",
        "RATE": 1e-3,
        "OUT": str(one.folder),
    }
    assert str(one) == "FLIPS=none SEED=0 RATE=0.001"
    assert len({each.folder for each in found.combinations}) == len(found.combinations)


def test_the_folder_of_a_combination_can_be_any_file_s_name(folder):
    found = read(f"lesson: 1\nmetrics: net.loss\ngrid: {{RATE: ['a/b: c', {'ä' * 300}, {'ä' * 301}]}}\n")
    names = [each.folder.name for each in found.combinations]
    assert names[0].startswith("RATE=a-b-c-")
    assert len(set(names)) == 3
    assert all(len(name) < 100 and name.isascii() for name in names)


def test_the_same_values_of_other_sweeps_are_other_combinations(folder):
    plain, longer = read(GOOD), read(GOOD + "parameters: {EPOCHS: 9}\n")
    assert {each.folder for each in plain.combinations}.isdisjoint(
        each.folder for each in longer.combinations
    )


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "it must name lesson, grid, metrics"),
        ("[1, 2]", "it must name lesson, grid, metrics"),
        ("lesson: [1", "not YAML that can be read: line 1: "),
        ("lesson: 1\n\tgrid: 2", "not YAML that can be read: line 2: "),
        ("lesson: \x00", "not YAML that can be read"),
        ("lesson: !!python/object/apply:os.system ['true']", "not YAML that can be read: line 1: "),
        (GOOD + "lesson: 2\n", "not YAML that can be read: line 1: lesson stands here twice"),
        (GOOD.replace("[1, 2]", "[1], RATE: [2]"), "line 2: RATE stands here twice"),
        (GOOD + "colour: red\n", "colour: not a key; the keys are lesson, parameters, grid, metrics"),
        ("lesson: 1\nmetrics: net.loss\n", "it has no grid"),
        ("grid: {RATE: [1]}\n", "it has no lesson, metrics"),
        (GOOD.replace("lesson: 1", "lesson: 9"), "there is no lesson 09; the lessons are 01_one, 02_two"),
        (GOOD.replace("lesson: 1", "lesson: [1, 2]"), "the number or the name of one lesson"),
        (GOOD.replace("lesson: 1", "lesson: true"), "the number or the name of one lesson"),
        (GOOD.replace("lesson: 1", "lesson: 2"), "lesson 02_two trains no network"),
        (GOOD.replace("{RATE: [1, 2]}", "{}"), "grid names no parameter"),
        (GOOD.replace("{RATE: [1, 2]}", "[RATE]"), "grid must hold names of parameters"),
        (GOOD.replace("{RATE: [1, 2]}", "{3: [1]}"), "grid must hold names of parameters"),
        (GOOD.replace("[1, 2]", "[]"), "RATE is an empty list"),
        (GOOD.replace("[1, 2]", "1"), "RATE is 1; it must be a list"),
        (GOOD.replace("[1, 2]", "[1, 1]"), "RATE lists 1 twice"),
        (GOOD.replace("[1, 2]", "[[1, 2]]"), "RATE has [1, 2], which is no value"),
        (GOOD.replace("[1, 2]", "[2024-10-01]"), "which is no value of a parameter"),
        (GOOD.replace("RATE", "RAT"), "no selected lesson has a parameter RAT; they have EPOCHS, FLIPS"),
        (GOOD.replace("RATE", "OUT"), "OUT: each combination gets a folder of its own"),
        (GOOD + "parameters: {OUT: here}\n", "OUT: each combination gets a folder of its own"),
        (GOOD + "parameters: {RATE: 3}\n", "RATE stands both in grid and in parameters"),
        (GOOD + "parameters: {EPOCHS: 0}\n", "EPOCHS is 0; it must be a whole number above 0"),
        (GOOD + "parameters: {PHOTOS: nowhere}\n", "no photographs at 'nowhere'"),
        (GOOD.replace("RATE: [1", "SEED: [-1"), "SEED is -1; it must be a whole number"),
        (GOOD.replace("RATE: [1, 2]", "FLIPS: [none, sideways]"), "FLIPS has 'sideways'"),
        (GOOD.replace("RATE: [1, 2]", "PROFILE: [tiny, huge]"), "there is no profile 'huge'"),
        (GOOD.replace("net.val_loss", "[]"), "metrics is []; it must be a name"),
        (GOOD.replace("net.val_loss", "3"), "metrics is 3; it must be a name"),
        (GOOD.replace("net.val_loss", "other.loss"), "the networks of lesson 01_one are net"),
        (GOOD.replace("net.val_loss", "net"), "metrics has 'net'; it must be NETWORK.NAME, such as net.loss"),
        (GOOD.replace("[1, 2]", str(list(range(101)))), "101 combinations, more than 100: add --yes"),
        (GOOD.replace("{RATE", f"{{EPOCHS: {list(range(1, 99))}, RATE"), "196 combinations, more than 100"),
    ],
)
def test_what_is_wrong_with_a_file_is_one_line_and_nothing_is_run(text, says, folder, capsys):
    Path("grid.yaml").write_text(text, "utf-8")
    assert helpers.__main__.main(["sweep", "grid.yaml"]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("error: grid.yaml: ")
    assert said.err.count("\n") == 1
    assert says in said.err
    assert not Path("runs").exists()


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["nowhere.yaml"], "nowhere.yaml: No such file"),
        (["."], "directory"),
        (["grid.yaml", "--out", "grid.yaml"], "is a file, not a folder"),
        (["grid.yaml", "--workers", "0"], "0 is not a whole number above 0"),
        (["grid.yaml", "--workers", "2", "--cluster", "tcp://a:1"], "not allowed with"),
        (["grid.yaml", "--timeout", "0"], "0 is not a number of minutes above 0"),
        ([], "GRID.yaml"),
    ],
)
def test_words_that_are_no_sweep_are_one_line(words, says, folder, capsys):
    Path("grid.yaml").write_text(GOOD, "utf-8")
    try:
        code = helpers.__main__.main(["sweep", *words])
    except SystemExit as ended:
        code = ended.code
    said = capsys.readouterr().err
    assert code == 2
    assert says in said
    assert said.count("\n") == 1


def test_bytes_that_are_no_text_are_said_in_one_line(folder):
    Path("grid.yaml").write_bytes(b"lesson: \xff")
    with pytest.raises(CourseError, match=r"^grid.yaml: not YAML that can be read: 'utf-8'"):
        grid.read(Path("grid.yaml"))


def test_many_combinations_can_be_meant(folder):
    text = GOOD.replace("[1, 2]", str(list(range(101))))
    assert len(read(text, most=101).combinations) == 101


def test_without_dask_one_line_says_what_to_install(folder, monkeypatch, capsys):
    monkeypatch.setattr("helpers.installed.find_spec", lambda name: None if name == "distributed" else True)
    Path("grid.yaml").write_text(GOOD, "utf-8")
    assert helpers.__main__.main(["sweep", "grid.yaml"]) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: distributed is not installed: run `")
    assert '-m pip install -e ".[sweep]"`' in said


def test_what_a_combination_is_made_from_tells_runs_apart(folder, monkeypatch):
    lesson = find_lessons(places.NOTEBOOKS)[0]
    (folder / "mine").mkdir()
    (folder / "mine" / "one.jpg").write_bytes(b"1")
    given = {"SEED": 0, "RATE": 1, "OUT": "here", "PHOTOS": str(folder / "mine")}

    def now(**others):
        return grid.made_from(lesson, given | others)

    before = now()
    assert now(OUT="elsewhere") == before
    assert now(SEED=1) != before
    (folder / "mine" / "two.jpg").write_bytes(b"2")
    more = now()
    assert more != before
    with monkeypatch.context() as other:
        other.setattr("helpers.runner.grid.version", lambda package: "0")
        assert now() != more
    text = lesson.read_text("utf-8")
    lesson.write_text(text.replace("## The line", "## A line"), "utf-8")
    assert now() == more
    lesson.write_text(text.replace("RATE = None", "RATE = 4"), "utf-8")
    assert now() != more
