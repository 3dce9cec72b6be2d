"""The votes of a class: read, refused, pooled."""

import csv
import io
import re
from types import SimpleNamespace

import nbformat
import pytest

from helpers import display, votes
from helpers.__main__ import main
from helpers.errors import CourseError
from helpers.places import NOTEBOOKS

pytestmark = pytest.mark.quick


def rows_of(play="p1", gallery="g1", missed=0, fooled=0, networks=("fusion", "colorizer, vivid")):
    """A game in which catch trials come first; the viewer is fooled in the first rounds of each kind."""
    rows = []
    for number in range(votes.ROUNDS):
        place = number - votes.CATCH_ROUNDS
        network = networks[place % len(networks)] if place >= 0 else votes.CATCH
        wrong = place < fooled if place >= 0 else number < missed
        fields = [gallery, play, 0, number + 1, 1 + number % 5, network, "left", "right" if wrong else "left"]
        fields = list(map(str, fields))
        rows.append([*fields, votes.check(fields)])
    return rows


def write(path, rows, header=votes.COLUMNS):
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([header, *rows])
    path.write_text(text.getvalue(), "utf-8")
    return path


def resealed(rows, place, column, value):
    """The rows with one field changed and its line's check made to fit."""
    rows = [list(row) for row in rows]
    rows[place][votes.COLUMNS.index(column)] = value
    rows[place][-1] = votes.check(rows[place][:-1])
    return rows


def test_a_play_is_read(tmp_path):
    play = votes.read(write(tmp_path / "a.csv", rows_of(missed=2, fooled=3)))
    assert (play.gallery, play.play, play.missed, play.counts) == ("g1", "p1", 2, True)
    assert sum(fooled for network, fooled in play.fooled if network == "colorizer, vivid") == 1


def test_spreadsheets_mark_of_unicode_and_ends_of_lines_do_not_matter(tmp_path):
    path = write(tmp_path / "a.csv", rows_of())
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n"))
    assert votes.read(path).play == "p1"


@pytest.mark.parametrize(("missed", "counts"), [(0, True), (2, True), (3, False), (8, False)])
def test_who_misses_more_than_two_catch_trials_does_not_count(tmp_path, missed, counts):
    play = votes.read(write(tmp_path / "a.csv", rows_of(missed=missed)))
    assert play.counts == counts
    assert bool(votes.pool([play])) == counts


def test_the_rule_says_how_often_chance_passes():
    # (1 + 8 + 28) / 256, by hand.
    assert votes.chance_to_pass() == pytest.approx(37 / 256)
    assert "passes in 14 % of the games" in votes.rule()


def test_the_interval_is_wilsons():
    # Newcombe (1998), Statistics in Medicine 17, 857-872: table I, method 3.
    assert votes.interval(81, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert votes.interval(0, 20) == pytest.approx((0, 0.1611), abs=5e-5)


def test_a_class_is_pooled(tmp_path):
    plays = [
        votes.read(write(tmp_path / f"{play}.csv", rows_of(play, missed=missed, fooled=fooled)))
        for play, missed, fooled in (("a", 0, 4), ("b", 1, 10), ("c", 5, 32))
    ]
    assert votes.pool(plays) == {"fusion": (2 + 5, 32), "colorizer, vivid": (2 + 5, 32)}


REFUSED = {
    "empty": (lambda path: path.write_text(""), "empty"),
    "binary": (lambda path: path.write_bytes(b"\x89PNG\xff\xfe\x00"), "not a CSV file"),
    "another table": (lambda path: path.write_text("a,b\n1,2\n"), "not the votes of a gallery"),
    "quotes": (lambda path: path.write_text('a,"b\n'), "not a CSV file"),
    "semicolons": (
        lambda path: path.write_text(write(path, rows_of()).read_text().replace(",", ";")),
        "not the votes of a gallery",
    ),
    "header alone": (lambda path: write(path, []), "rounds 1 to 40"),
    "cut": (lambda path: write(path, rows_of()[:-1]), "rounds 1 to 40"),
    "cut within a line": (
        lambda path: path.write_text(write(path, rows_of()).read_text()[:-4]),
        "edited, or cut",
    ),
    "an answer changed": (
        lambda path: path.write_text(
            write(path, rows_of()).read_text().replace("left,left", "left,right", 1)
        ),
        "edited",
    ),
    "a round twice": (lambda path: write(path, [*rows_of(), rows_of()[3]]), "rounds 1 to 40"),
    "two games": (lambda path: write(path, [*rows_of()[:20], *rows_of("p2")[20:]]), "several games"),
    "a side that is none": (
        lambda path: write(path, resealed(rows_of(), 9, "answer", "up")),
        "not those of a game",
    ),
    "a catch trial less": (
        lambda path: write(path, resealed(rows_of(), 0, "network", "fusion")),
        "not those of a game",
    ),
    "too large": (lambda path: path.write_text("x" * 200_000), "too large"),
    "no file": (lambda path: None, "No such file"),
    "a folder": (lambda path: path.mkdir(), "directory"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_file_that_is_none_of_ours_is_named_in_one_line_and_the_rest_is_pooled(tmp_path, capsys, name):
    make, says = REFUSED[name]
    bad, good = tmp_path / "bad.csv", write(tmp_path / "good.csv", rows_of(fooled=32))
    make(bad)
    with pytest.raises(CourseError, match=says):
        votes.read(bad)
    assert main(["votes", str(bad), str(good)]) == 1
    captured = capsys.readouterr()
    assert captured.err.startswith(f"{bad}: ")
    assert len(captured.err.splitlines()) == 1
    assert f"{good}: missed 0 of 8 catch trials; counted" in captured.out
    assert "1 of 2 files counted" in captured.out


def test_a_game_counts_once_and_other_pictures_do_not(tmp_path, capsys):
    files = [
        write(tmp_path / "other.csv", rows_of("z", gallery="g2", fooled=32)),
        write(tmp_path / "a.csv", rows_of("a", fooled=16)),
        write(tmp_path / "again.csv", rows_of("a", fooled=16)),
        write(tmp_path / "b.csv", rows_of("b", fooled=0)),
    ]
    assert main(["votes", *map(str, files)]) == 1
    captured = capsys.readouterr()
    assert captured.err.splitlines() == [
        f"{files[2]}: the same game as {files[1]}",
        f"{files[0]}: played on other pictures (g2) than most (g1)",
    ]
    low, high = votes.interval(8, 32)
    row = next(line.split() for line in captured.out.splitlines() if line.startswith("fusion"))
    assert row == ["fusion", "32", "25", "%", f"{100 * low:.0f}", "%", "to", f"{100 * high:.0f}", "%"]


def test_who_is_left_out_is_named_and_is_no_error(tmp_path, capsys):
    files = [
        write(tmp_path / f"{play}.csv", rows_of(play, missed=missed)) for play, missed in (("a", 0), ("b", 3))
    ]
    assert main(["votes", *map(str, files)]) == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    assert f"{files[1]}: missed 3 of 8 catch trials; left out: more than 2" in captured.out
    assert f"1 of 2 files counted. {votes.rule()}" in captured.out


def test_a_name_with_the_end_of_a_line_stays_in_its_line(tmp_path, capsys):
    names = [tmp_path / "good\n1.csv", tmp_path / "bad\n1.csv"]
    write(names[0], rows_of())
    write(names[1], [])
    assert main(["votes", *map(str, names)]) == 1
    captured = capsys.readouterr()
    assert captured.out.startswith(f"{tmp_path / 'good'}\\n1.csv: missed 0")
    assert captured.err.startswith(f"{tmp_path / 'bad'}\\n1.csv: it does not hold")
    assert len(captured.err.splitlines()) == 1


def test_where_nobody_counts_there_is_no_table(tmp_path, capsys):
    assert main(["votes", str(write(tmp_path / "a.csv", rows_of(missed=8)))]) == 0
    said = capsys.readouterr().out
    assert "0 of 1 files counted" in said
    assert "95 % interval" not in said


@pytest.fixture
def shown_by_lesson_6(tmp_path, monkeypatch):
    """Run the cell of lesson 6; return the text of its table, and the pieces that are seen."""
    cells = nbformat.read(NOTEBOOKS / "06_results_gallery.ipynb", as_version=4).cells
    (source,) = (cell.source for cell in cells if "votes.read_all" in cell.source)

    def run():
        shown = []
        monkeypatch.setattr(display, "display", lambda data, **_: shown.append(data))
        exec(source, {"display": display, "lesson": SimpleNamespace(out=tmp_path)})
        (data,) = shown
        return data["text/plain"], [piece for piece in re.split("<[^>]+>", data["text/html"]) if piece]

    return run


def test_lesson_6_pools_a_class_and_its_text_does_not_depend_on_the_files(
    tmp_path, capsys, shown_by_lesson_6
):
    nobody, seen = shown_by_lesson_6()
    assert "0 of 0 games counted." in seen[0]
    assert seen[1:] == ["votes", "no votes yet", "0"]
    (tmp_path / "votes").mkdir()
    write(tmp_path / "votes" / "a.csv", rows_of("a", fooled=8))
    write(tmp_path / "votes" / "b.csv", rows_of("b", fooled=0))
    write(tmp_path / "votes" / "c.csv", rows_of("c", fooled=32, missed=3))
    write(tmp_path / "votes" / "bad.csv", [])
    text, seen = shown_by_lesson_6()
    assert text == nobody
    assert "2 of 4 games counted." in seen[0]
    low, high = (f"{100 * end:.0f} %" for end in votes.interval(4, 32))
    for network in ("fusion", "colorizer, vivid"):
        place = seen.index(network)
        assert seen[place + 1 : place + 4] == ["32", "12 %", f"{low} to {high}"]
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.count("\n") == 1
    assert "bad.csv: it does not hold rounds 1 to 40" in said.err
