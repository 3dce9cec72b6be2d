"""The exercises: every stub, every solution and every planted mistake, judged by the learners' own check."""

import csv
import json
import re
import shutil
from functools import partial

import nbformat
import numpy as np
import pytest

from helpers.__main__ import main
from helpers.exercises import check, grading, submissions, worker
from helpers.exercises.grading import NOT_WRITTEN, grade
from helpers.places import NOTEBOOKS, lessons

COUNTS = {1: 3, 2: 5, 3: 5, 4: 3, 5: 3, 6: 3}
NUMBERS = [f"{lesson}.{place + 1}" for lesson, count in COUNTS.items() for place in range(count)]
FENCE = re.compile(r"```python\n(.*?)\n```", re.DOTALL)


def committed():
    """Read each exercise from the notebooks: its number → the stub's cell, the solution, the imports."""
    found = {}
    for path in lessons(NOTEBOOKS):
        cells = nbformat.read(path, as_version=4).cells
        sources = [cell.source for cell in cells if cell.cell_type == "code"]
        for place, cell in enumerate(cells):
            if "exercise" in cell.metadata.get("tags", []):
                (number,) = submissions.CHECK.findall(cell.source)
                after = cells[place + 1]
                assert after.metadata.tags == ["solution"]
                assert after.source.startswith("<details><summary>Solution</summary>\n")
                (solution,) = FENCE.findall(after.source)
                found[number] = cell, solution, submissions.imports_used(sources, solution)
    return found


EXERCISES = committed()


def name_of(number):
    (name,) = re.findall(r'check\("\d\.\d", (\w+)\)', EXERCISES[number][0].source)
    return name


def solved_cell(number):
    return f'{EXERCISES[number][1]}\n\n\ncheck("{number}", {name_of(number)})'


def defined(number, code):
    """Run code of an exercise with its lesson's imports, and return the function that it hands in."""
    namespace = worker.load(EXERCISES[number][2])
    exec(code, namespace)
    return namespace[name_of(number)]


def test_there_are_22():
    assert list(EXERCISES) == NUMBERS
    assert grading.numbers() == NUMBERS


@pytest.mark.parametrize("number", NUMBERS)
def test_a_stub_is_not_written_yet(number, capsys):
    cell, *_ = EXERCISES[number]
    exec(cell.source, {"check": check})
    assert capsys.readouterr().out == f"{number}: {NOT_WRITTEN}\n"
    (output,) = cell.outputs
    assert output.text == f"{number}: {NOT_WRITTEN}\n"


@pytest.mark.parametrize("number", NUMBERS)
def test_a_solution_passes(number, capsys):
    answer = defined(number, EXERCISES[number][1])
    check(number, answer)
    assert capsys.readouterr().out.startswith(f"✔ {number}: ")


# An exercise → changes to its solution, each the old text and the new, with a part of the hint.
MISTAKES = {
    "1.1": [
        (("side**2", "side"), "two sides"),
        (("(4 * channels", "(channels"), "four bytes"),
        (
            (
                "int(megabytes * 1e6 // (4 * channels * side**2))",
                "megabytes * 1e6 / (4 * channels * side**2)",
            ),
            "down",
        ),
    ],
    "1.2": [
        (
            (
                "any(min(differ(rgb, other), differ(rgb[:, ::-1], other)) < 5 for other in train.values())",
                "name in train",
            ),
            "names differ",
        ),
        (("differ(rgb[:, ::-1], other)", "9"), "the mirrored copy"),
        (("< 5", "== 0"), "the recompressed copy"),
        (("< 5", "< 500"), "new picture with an old name"),
    ],
    "1.3": [
        (
            (
                "hashlib.sha256(file).digest()[0] < 26 for file in files",
                "place % 10 == 0 for place in range(len(files))",
            ),
            "one new file moved",
        ),
        (("hashlib.sha256(file).digest()[0] < 26", "hash(file) % 256 < 26"), "changes at each start"),
        (("< 26", "< 128"), "about a tenth"),
    ],
    "2.1": [
        (("128 * ab", "ab"), "× 128"),
        (("100 * L", "L"), "nearly black"),
        (('np.rint(255 * lab_to_rgb(lab)).astype("uint8")', "lab_to_rgb(lab)"), "end at 1"),
    ],
    "2.2": [
        (
            (
                "    if picture.dtype == np.uint8:\n        return picture",
                "    if True:\n        return picture",
            ),
            "are right already",
        ),
        (("if picture.max() > 1:", "if False:"), "must be refused"),
        (("if picture.dtype == np.uint8:", "if picture.max() > 1:"), "uint8 up to 1 "),
    ],
    "2.3": [
        (("np.percentile(L, (2, 98))", "(L.min(), L.max())"), "one pixel decides"),
        (("np.clip((L - low) / (high - low), 0, 1)", "(L - low) / (high - low)"), "clip"),
    ],
    "2.4": [
        (("np.cumsum(counts) / L.size", "counts / L.size"), "the order is lost"),
        ((" / L.size", ""), "divide by the number"),
        (("np.interp(L, edges[1:], np.cumsum(counts) / L.size)", "L"), "not flat"),
    ],
    "2.5": [
        (
            ("L, ab = normalize(rgb_to_lab(rgb))", "L, ab = normalize(rgb_to_lab(np.sort(rgb, axis=0)))"),
            "ab moved by",
        ),
        (("np.clip((L - low) / (high - low), 0, 1), ab", "L, ab"), "nothing was augmented"),
        (("np.clip((L - low) / (high - low), 0, 1), ab", "L"), "return two arrays"),
    ],
    "3.1": [
        (("255**2", "1"), "off by 48.1 dB"),
        (("truth.astype(float)", "truth"), "cannot be negative"),
        (("return 10", "return -10"), "the sign"),
    ],
    "3.2": [
        (
            ('np.mean(values) if loss == "mse" else np.median(values)', "np.mean(values)"),
            "which loss asks for that",
        ),
        (('loss == "mse"', 'loss == "mae"'), "swapped"),
    ],
    "3.3": [
        (("channels + 1)", "channels)"), "one more per filter"),
        (("kernel**2", "kernel"), "a height and a width"),
    ],
    "3.4": [
        (("step *= stride", "step *= 1"), "strides are ignored"),
        (("sees, step = 1, 1", "sees, step = 0, 1"), "begin with 1"),
        (
            (
                "        sees += (kernel - 1) * step\n        step *= stride",
                "        step *= stride\n        sees += (kernel - 1) * step",
            ),
            "own stride",
        ),
    ],
    "3.5": [
        (("tanh", "relu"), "no negative ab"),
        (("tanh", "sigmoid"), "no negative ab"),
        (("tanh", "linear"), "leaves the range"),
        (("Conv2D(2", "Conv2D(3"), "two channels"),
    ],
    "4.1": [
        (("size = maps.shape[1:3]", "size = (32, 32)"), "fails at 6×5"),
        (("[maps, repeated]", "[repeated, maps]"), "the maps come first"),
        (("vectors[:, None, None]", "vectors[:1, None, None]"), "its own vector"),
    ],
    "4.2": [
        (("lowest + (highest - lowest) * L", "L"), "black square"),
        (("3, axis=-1", "1, axis=-1"), "one channel"),
        (("lowest + (highest - lowest) * L", "highest * L"), "L = 0 must become"),
    ],
    "4.3": [
        (("step(vectors)", "step(backbone(photographs))"), "called 6 times"),
        (("range(epochs)", "range(1)"), "need 5 steps"),
        (("step(vectors)", "step(photographs)"), "not the photographs"),
    ],
    "5.1": [
        (("(0, made_up)", "(0, -made_up)"), "fakes are real"),
        ((" + np.mean(np.logaddexp(0, made_up))", ""), "one part is missing"),
        (
            (
                "return np.mean(np.logaddexp(0, -real)) + np",
                "return 0.5 * np.mean(np.logaddexp(0, -real)) + 0.5 * np",
            ),
            "add the two",
        ),
    ],
    "5.2": [
        (("-made_up", "made_up"), "wants to be caught"),
        (("np.mean(np.logaddexp(0, -made_up))", "-np.mean(np.logaddexp(0, made_up))"), "vanishes"),
    ],
    "5.3": [
        (("stop(painted)", "painted"), "arrays of the generator"),
        (("stop(weights)", "weights"), "arrays of the discriminator"),
        (("judge(painted, stop(weights))", "judge(stop(painted), stop(weights))"), "one stop too many"),
    ],
    "6.1": [
        (
            (
                "(first - second)[draws].mean(axis=1)",
                "first[draws].mean(axis=1) - second[draws[::-1]].mean(axis=1)",
            ),
            "resample photographs",
        ),
        (("(first - second)", "(second - first)"), "the sign"),
        (("(first - second)[draws].mean(axis=1)", "first - second"), "single photographs"),
    ],
    "6.2": [
        (("/ (validation.ab**2)", "/ (validation.ab**2 + 0 * test.ab)"), "you looked: the test"),
        (
            (
                "(validation.truth * validation.ab).sum() / (validation.ab**2)",
                "(test.truth * test.ab).sum() / (test.ab**2)",
            ),
            "you looked",
        ),
        (("(validation.ab**2)", "(validation.truth**2)"), "upside down"),
    ],
    "6.3": [
        (
            (
                "np.concatenate([lab[..., :1], 128 * ab]",
                "np.concatenate([100 * resize(small, rgb.shape[:2]), 128 * ab]",
            ),
            "edges are lost",
        ),
        (("128 * ab", "ab"), "by 128"),
        (('.convert("RGB")', ""), "for a file in mode"),
        (("(64, 64), anti_aliasing=True) / 100", "(64, 64), anti_aliasing=True)"), "L from 0 to 1"),
    ],
}
PLANTED = [(number, *mistake) for number, mistakes in MISTAKES.items() for mistake in mistakes]


def test_each_exercise_has_two_planted_mistakes():
    assert list(MISTAKES) == NUMBERS
    assert min(map(len, MISTAKES.values())) >= 2


@pytest.mark.parametrize(("number", "change", "hint"), PLANTED)
def test_a_mistake_gets_its_hint(number, change, hint):
    solution = EXERCISES[number][1]
    assert solution.count(change[0]) == 1
    verdict = grade(number, defined(number, solution.replace(*change)))
    assert not verdict.solved
    assert hint in verdict.message


def test_the_hints_of_an_exercise_differ():
    for mistakes in MISTAKES.values():
        assert len({hint for _, hint in mistakes}) >= 2


def fails(*values):
    raise RuntimeError("no idea\nat all")


class MuteError(Exception):
    def __str__(self):
        raise ValueError


def fails_in_silence(*values):
    raise MuteError


WRONG = {
    "nothing": None,
    "a number": 3,
    "an exception": fails,
    "a silent exception": fails_in_silence,
    "an exit": lambda *values: exit(),
    "other parameters": lambda a, b, c, d, e, f, g: 1,
    "text": lambda *values: "five",
    "a wrong shape": lambda *values: np.zeros((1, 2, 3, 4, 5)),
    "not a number": lambda *values: float("nan"),
    "arrays of nothing": lambda *values: np.full(np.shape(values[0]) if values else (), np.nan),
    "objects": lambda *values: [object()],
    "a dictionary": lambda *values: {},
}


@pytest.mark.parametrize("number", NUMBERS)
@pytest.mark.parametrize("kind", WRONG)
def test_check_never_raises(number, kind, capsys):
    check(number, WRONG[kind])
    said = capsys.readouterr().out
    assert said.startswith(f"{number}: ")
    assert said.count("\n") == 1


def test_an_exception_is_named_in_one_line():
    assert grade("1.1", fails).message == "your function raised RuntimeError: no idea at all"


@pytest.mark.parametrize("number", ["9.9", None, 2.4, []])
def test_an_exercise_that_there_is_not_is_said(number, capsys):
    check(number, None)
    assert "there is no exercise" in capsys.readouterr().out


def test_an_endless_loop_can_be_interrupted():
    def interrupted(*values):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        check("1.1", interrupted)


def test_checks_leave_the_random_states_alone():
    import random

    answers = {number: defined(number, EXERCISES[number][1]) for number in NUMBERS}
    random.seed(7)
    np.random.seed(7)
    expected = random.random(), np.random.random()
    random.seed(7)
    np.random.seed(7)
    for number in NUMBERS:
        grade(number, answers[number])
    assert (random.random(), np.random.random()) == expected


def test_the_probes_agree_with_keras():
    from helpers.backend import keras

    layer = keras.layers.Conv2D(7, 5)
    layer.build((None, 9, 9, 3))
    assert defined("3.3", EXERCISES["3.3"][1])(5, 3, 7) == layer.count_params()
    convolve = partial(keras.layers.Conv2D, 1, kernel_initializer="ones")
    network = keras.Sequential([keras.Input((21, 21, 1)), convolve(3, 2), convolve(5, 1)])
    middle = np.zeros((21 * 21, 21, 21, 1), "float32")
    middle.reshape(21 * 21, -1)[np.arange(21 * 21), np.arange(21 * 21)] = 1
    touched = (np.asarray(network.predict_on_batch(middle))[:, 2, 2, 0] != 0).sum()
    assert defined("3.4", EXERCISES["3.4"][1])([(3, 2), (5, 1)]) ** 2 == touched


@pytest.mark.parametrize("number", ["5.1", "5.2", "4.1", "4.2"])
def test_tensors_of_the_backend_are_answers_too(number):
    from helpers.backend import keras

    answer = defined(number, EXERCISES[number][1])
    ops = keras.ops
    assert grade(number, lambda *values: ops.convert_to_tensor(np.float32(answer(*values)))).solved


# Progress --------------------------------------------------------------------------------------------


def hand_in(path, *cells, tagged=True):
    path.parent.mkdir(parents=True, exist_ok=True)
    made = [
        nbformat.v4.new_code_cell(cell, metadata={"tags": ["exercise"]} if tagged else {}) for cell in cells
    ]
    for cell in made:
        cell.outputs = [nbformat.v4.new_output("stream", text="✔ 1.1: right")]  # not to be trusted
    nbformat.write(nbformat.v4.new_notebook(cells=made), path)
    return path


def rows_of(folder, limit=20):
    return {row.file: row for row in submissions.progress(submissions.find([folder]), limit)}


def solved(row):
    return [number for number, verdict in row.verdicts.items() if verdict == "✔"]


def test_a_notebook_with_all_solutions_has_solved_all(tmp_path):
    for path in lessons(NOTEBOOKS):
        notebook = nbformat.read(path, as_version=4)
        for cell in notebook.cells:
            if "exercise" in cell.metadata.get("tags", []):
                cell.source = solved_cell(*submissions.CHECK.findall(cell.source))
        nbformat.write(notebook, tmp_path / path.name)
    rows = rows_of(tmp_path)
    assert sorted(number for row in rows.values() for number in solved(row)) == NUMBERS
    assert sum(len(row.verdicts) for row in rows.values()) == len(NUMBERS)


def test_stored_outputs_are_not_trusted(tmp_path):
    hand_in(tmp_path / "a.ipynb", EXERCISES["1.1"][0].source)
    assert rows_of(tmp_path)["a.ipynb"].verdicts["1.1"] == NOT_WRITTEN


def test_a_check_of_ones_own_is_not_asked(tmp_path):
    own = "def check(number, answer):\n    print('✔')\n\n\ncheck('1.1', lambda *values: 1)"
    hand_in(tmp_path / "a.ipynb", own)
    assert solved(rows_of(tmp_path)["a.ipynb"]) == []


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("raise ValueError('\\x1b[2J')", "the cell raised ValueError: ?[2J"),
        ("while True:\n    pass", "stopped after 2 s"),
        ("import os\nos._exit(0)", "it ended Python"),
        ("import os\nos.abort()", "it ended Python"),
        ("raise SystemExit", "the cell raised SystemExit"),
        ("1 +", "the cell raised SyntaxError"),
        ("unknown", "the cell raised NameError"),
        ("print('✔' * 100_000)\nanswer = None", NOT_WRITTEN),
    ],
)
def test_one_bad_answer_leaves_the_others(code, said, tmp_path):
    bad = f'{code}\ncheck("1.1", globals().get("answer"))'
    hand_in(tmp_path / "a.ipynb", bad, solved_cell("1.3"))
    row = rows_of(tmp_path, limit=2)["a.ipynb"]
    assert row.verdicts["1.1"].startswith(said)
    assert row.verdicts["1.2"] == "its cell is missing"
    assert solved(row) == ["1.3"]


def test_answers_run_elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write = 'from pathlib import Path\nPath("mine.txt").write_text("x")\n' + solved_cell("1.1")
    hand_in(tmp_path / "in" / "a.ipynb", write)
    assert solved(rows_of(tmp_path / "in")["a.ipynb"]) == ["1.1"]
    assert not list(tmp_path.rglob("mine.txt"))


@pytest.fixture
def class_folder(tmp_path):
    folder = tmp_path / "class"
    hand_in(folder / "anna.ipynb", solved_cell("1.1"))
    shutil.copy(folder / "anna.ipynb", folder / "anna (1).ipynb")
    hand_in(folder / "=1+1 ü 寿司\n.ipynb", solved_cell("1.3"), tagged=False)
    hand_in(folder / "other.ipynb", "print(1)")
    (folder / "broken.ipynb").write_text('{"cells": [')
    (folder / "list.ipynb").write_text("[]")
    (folder / "bytes.ipynb").write_bytes(b"\xff\xfe\x00")
    (folder / "notes.txt").write_text("not a notebook")
    return folder


def test_a_class_gets_a_line_for_each_file(class_folder, tmp_path, capsys):
    out = tmp_path / "class.csv"
    assert main(["progress", str(class_folder), "--csv", str(out)]) == 1
    said = capsys.readouterr().out
    for name, why in {
        "broken.ipynb": "is not a notebook, or is damaged",
        "list.ipynb": "is not a notebook, or is damaged",
        "bytes.ipynb": "is not a notebook, or is damaged",
        "other.ipynb": "has no exercise of this course",
        "anna.ipynb": "1 of 3",
    }.items():
        assert re.search(rf"^{re.escape(name)} .*  {re.escape(why)}$", said, re.MULTILINE)
    assert "the same answers as anna" in said
    assert "=1+1 ü 寿司?.ipynb" in said
    assert said.endswith("7 files, 4 of them could not be read\n")
    rows = list(csv.DictReader(out.read_text("utf-8-sig").splitlines()))
    assert len(rows) == 7
    by_name = {row["file"]: row for row in rows}
    assert by_name["anna.ipynb"]["1.1"] == "1"
    assert by_name["anna.ipynb"]["1.2"] == "0"
    assert by_name["anna.ipynb"]["2.1"] == ""
    assert by_name["'=1+1 ü 寿司?.ipynb"]["1.3"] == "1"
    assert by_name["broken.ipynb"]["remarks"] == "is not a notebook, or is damaged"


def test_all_read_ends_with_0(tmp_path, capsys):
    hand_in(tmp_path / "a.ipynb", solved_cell("1.1"))
    assert main(["progress", str(tmp_path)]) == 0
    assert "a.ipynb   ✔   ·   ·   1 of 3" in capsys.readouterr().out


@pytest.mark.parametrize("words", [["nowhere"], ["."], [".", "--limit", "0"]])
def test_what_cannot_be_looked_at_is_refused(words, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    try:
        code = main(["progress", *words])
    except SystemExit as ended:
        code = ended.code
    assert code == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_the_help_says_that_code_is_run(capsys):
    with pytest.raises(SystemExit):
        main(["progress", "--help"])
    assert "runs the code that was handed in" in " ".join(capsys.readouterr().out.split())


def test_a_notebook_is_not_written_over(tmp_path, capsys):
    path = hand_in(tmp_path / "a.ipynb", solved_cell("1.1"))
    before = path.read_bytes()
    assert main(["progress", str(path), "--csv", str(path)]) == 2
    assert path.read_bytes() == before
    assert json.loads(before)["cells"]
