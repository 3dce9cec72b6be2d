"""Answers in submitted notebooks: found, run again elsewhere, and listed. Stored outputs are never read."""

import ast
import csv
import json
import os
import queue
import re
import subprocess
import sys
import tempfile
import threading
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from helpers import places
from helpers.errors import CourseError, trace

# Seconds for loading Keras and its like, before the first answer is run.
LOADING = 180.0
SKIPPED_FOLDERS = (".ipynb_checkpoints", "__pycache__")
CHECK = re.compile(r"""\bcheck\(\s*["'](\d\.\d)["']""")
SOLVED = "✔"


@dataclass(frozen=True)
class Submission:
    """A notebook's answers.

    Attributes
    ----------
    imports : tuple of str
        The lesson's imports that the answers use.
    cells : mapping of str to str
        An exercise's number → the code of its cell.
    """

    imports: tuple[str, ...]
    cells: Mapping[str, str]


@dataclass
class Row:
    """What is known of one submitted file.

    Attributes
    ----------
    file : str
        Its name, as it is shown.
    verdicts : dict of str to str
        An exercise's number → "✔", or what its check says; those that the notebook's lesson has.
    problem : str
        Why it could not be read; empty if it could.
    notes : list of str
        What a teacher should know beside that.
    """

    file: str
    verdicts: dict[str, str] = field(default_factory=dict)
    problem: str = ""
    notes: list[str] = field(default_factory=list)


def find(given: Sequence[str | Path]) -> list[Path]:
    """List the notebooks in files and folders, the folders within them included.

    Parameters
    ----------
    given : sequence of str or Path
        Files and folders.

    Returns
    -------
    list of Path
        The notebooks, each once, in the order of their names.

    Raises
    ------
    CourseError
        If one of them does not exist, or there is no notebook in any.
    """
    found: dict[Path, None] = {}
    for path in map(places.typed, given):
        if not path.exists():
            raise CourseError(f"there is no {path}")
        for each in [path] if path.is_file() else sorted(path.rglob("*.ipynb")):
            if each.is_file() and not {*SKIPPED_FOLDERS} & {*each.parts}:
                found[each] = None
    if not found:
        raise CourseError(f"no notebooks (.ipynb) are in {', '.join(map(str, given))}")
    return list(found)


def read(path: Path) -> Submission:
    """Read the answers of a notebook.

    Parameters
    ----------
    path : Path
        The notebook.

    Returns
    -------
    Submission
        Its answers, and the imports that they use.

    Raises
    ------
    CourseError
        If it is no notebook, or has no exercise of the course.
    """
    try:
        notebook = json.loads(path.read_text("utf-8-sig"))
        code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
        sources = ["".join(cell["source"]) for cell in code]
    except OSError as error:
        raise CourseError(f"cannot be read: {error.strerror}") from None
    except (ValueError, KeyError, TypeError, RecursionError):
        raise CourseError("is not a notebook, or is damaged") from None
    cells: dict[str, str] = {}
    for source in sources:
        # A learner may have split a cell in two, or tried twice: what stands last counts.
        for number in CHECK.findall(source):
            cells[number] = source
    if not cells:
        raise CourseError("has no exercise of this course")
    return Submission(tuple(imports_used(sources, "\n".join(cells.values()))), cells)


def imports_used(sources: Iterable[str], code: str) -> list[str]:
    """Find the imports in a notebook's cells that some code uses.

    Parameters
    ----------
    sources : iterable of str
        The code of the cells.
    code : str
        What uses them.

    Returns
    -------
    list of str
        Statements of one import each.
    """
    words = {*re.findall(r"\w+", code)}
    found: dict[str, None] = {}
    for source in sources:
        for node in _statements(source):
            if isinstance(node, ast.Import | ast.ImportFrom):
                for alias in node.names:
                    if (alias.asname or alias.name.partition(".")[0]) in words and alias.name != "check":
                        one = type(node)(**{**vars(node), "names": [alias]})
                        found[ast.unparse(one)] = None
    return list(found)


def _statements(source: str) -> list[ast.stmt]:
    try:
        return ast.parse(source).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return []


def judge(submission: Submission, limit: float) -> dict[str, str]:
    """Run a notebook's answers in a process of their own, and say what their checks say.

    A loop without end and a crash cost one exercise: the next is run in a new process. They run in a
    temporary folder, with the rights of whoever calls this.

    Parameters
    ----------
    submission : Submission
        The answers.
    limit : float
        Seconds that each exercise may take.

    Returns
    -------
    dict of str to str
        An exercise's number → "✔", or why it is not solved.
    """
    verdicts: dict[str, str] = {}
    waiting = sorted(submission.cells)
    while waiting:
        with tempfile.TemporaryDirectory(prefix="answers-", ignore_cleanup_errors=True) as folder:
            for number, verdict in _run(submission, waiting, limit, Path(folder)):
                verdicts[number] = verdict
        waiting = [number for number in waiting if number not in verdicts]
    return verdicts


def _run(
    submission: Submission, waiting: Sequence[str], limit: float, folder: Path
) -> Iterator[tuple[str, str]]:
    """Judge exercises in one process until one of them ends it; yield at least one verdict."""
    request = {"imports": submission.imports, "cells": [[each, submission.cells[each]] for each in waiting]}
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join(filter(None, [str(places.ROOT), os.environ.get("PYTHONPATH")])),
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONIOENCODING": "utf-8",
        "MPLBACKEND": "agg",
    }
    (folder / "request.json").write_text(json.dumps(request), "utf-8")
    process = subprocess.Popen(
        [sys.executable, "-m", "helpers.exercises.worker"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        cwd=folder,
        env=environment,
        # In a group of its own, so that what an answer has started ends with it.
        start_new_session=True,
    )
    lines: queue.Queue[bytes] = queue.Queue()
    threading.Thread(target=_forward, args=(process.stdout, lines), daemon=True).start()
    try:
        if _next(lines, LOADING) is None:
            yield waiting[0], "could not be started"
            return
        for number in waiting:
            line = _next(lines, limit)
            if line is None:
                ended = process.poll() is not None or not lines.empty()
                yield number, "it ended Python" if ended else f"stopped after {limit:g} s"
                return
            yield number, line
    finally:
        _end(process)


def _forward(stream: Iterable[bytes], lines: "queue.Queue[bytes]") -> None:
    for line in stream:
        lines.put(line)
    lines.put(b"")


def _next(lines: "queue.Queue[bytes]", seconds: float) -> str | None:
    """Wait for a verdict; None if there is none in time, or the process has ended."""
    try:
        line = lines.get(timeout=seconds)
        if not line:
            lines.put(line)  # whoever asks next sees that it has ended
            return None
        return printable(json.loads(line))
    except (queue.Empty, ValueError):
        return None


def _end(process: subprocess.Popen) -> None:
    import psutil

    try:
        family = [*psutil.Process(process.pid).children(recursive=True), psutil.Process(process.pid)]
    except psutil.Error:
        family = []
    for member in family:
        try:
            member.kill()
        except psutil.Error:
            continue
    process.kill()
    process.wait()


def progress(paths: Sequence[Path], limit: float) -> Iterator[Row]:
    """Judge notebooks, one row for each.

    Parameters
    ----------
    paths : sequence of Path
        The notebooks.
    limit : float
        Seconds that each exercise may take.

    Yields
    ------
    Row
        One for each notebook, in their order, also for one that could not be read.
    """
    from helpers.exercises.grading import numbers

    known = numbers()
    seen: dict[str, str] = {}
    names = _names(paths)
    for path, name in zip(paths, names, strict=True):
        row = Row(name)
        try:
            submission = read(path)
            cells = {number: code for number, code in submission.cells.items() if number in known}
            if not cells:
                raise CourseError("has no exercise of this course")
            lesson = Counter(number[0] for number in cells).most_common(1)[0][0]
            row.verdicts = judge(Submission(submission.imports, cells), limit)
            for number in known:
                if number[0] == lesson and number not in cells:
                    row.verdicts[number] = "its cell is missing"
            key = json.dumps(sorted(cells.items()))
            if key in seen and any(verdict == SOLVED for verdict in row.verdicts.values()):
                row.notes.append(f"the same answers as {seen[key]}")
            seen.setdefault(key, name)
        except CourseError as error:
            trace(error)
            row.problem = str(error)
        yield row


def _names(paths: Sequence[Path]) -> list[str]:
    """Name files as shortly as tells them apart, in one line each."""
    common = Path(os.path.commonpath([path.parent.absolute() for path in paths]))
    shown = [os.fspath(path.absolute().relative_to(common)) for path in paths]
    return [printable(name) for name in shown]


def printable(text: str) -> str:
    """Replace what would steer a terminal, or is no text, by question marks."""
    return "".join(sign if sign.isprintable() else "?" for sign in text)


def table(rows: Sequence[Row], numbers: Sequence[str]) -> str:
    """Write rows as a table of text, with what is not solved, and a summary, below it.

    Parameters
    ----------
    rows : sequence of Row
        What `progress` found.
    numbers : sequence of str
        The exercises; those that no row has are left out.

    Returns
    -------
    str
        The lines: ✔ is solved, · is not, and a blank is an exercise of another lesson.
    """
    columns = [number for number in numbers if any(number in row.verdicts for row in rows)]
    width = max(map(_width, ["file", *(row.file for row in rows)]))
    lines = [f"{'file':<{width}}  {' '.join(columns)}  solved"]
    for row in rows:
        cells = [_sign(row.verdicts.get(number)) for number in columns]
        solved = sum(verdict == SOLVED for verdict in row.verdicts.values())
        ending = row.problem or f"{solved} of {len(row.verdicts)}"
        padded = row.file + " " * (width - _width(row.file))
        lines.append(f"{padded}  {' '.join(f'{cell:^3}' for cell in cells)}  {ending}")
    lines.append("")
    for row in rows:
        lines += [f"{row.file}: {note}" for note in row.notes]
        lines += [f"{row.file}, {n}: {why}" for n, why in sorted(row.verdicts.items()) if why != SOLVED]
    for number in columns:
        tried = [row.verdicts[number] for row in rows if number in row.verdicts]
        lines.append(f"{number}: solved in {sum(each == SOLVED for each in tried)} of {len(tried)}")
    unread = sum(bool(row.problem) for row in rows)
    lines.append(f"{len(rows)} files, {unread} of them could not be read")
    return "\n".join(lines)


def _sign(verdict: str | None) -> str:
    if verdict is None:
        return ""
    return SOLVED if verdict == SOLVED else "·"


def _width(text: str) -> int:
    """Count the columns of a terminal that a text takes."""
    return sum(
        0 if unicodedata.combining(sign) else 1 + (unicodedata.east_asian_width(sign) in "WF")
        for sign in text
    )


def write_csv(path: Path, rows: Sequence[Row], numbers: Sequence[str]) -> None:
    """Write rows as CSV, which spreadsheets read.

    Parameters
    ----------
    path : Path
        The file to write.
    rows : sequence of Row
        What `progress` found.
    numbers : sequence of str
        The exercises, a column each: 1 is solved, 0 is not, and empty is one of another lesson.
    """
    lines = [["file", *numbers, "solved", "remarks"]]
    for row in rows:
        marks = ["" if n not in row.verdicts else int(row.verdicts[n] == SOLVED) for n in numbers]
        remarks = "; ".join(filter(None, [row.problem, *row.notes]))
        solved = sum(verdict == SOLVED for verdict in row.verdicts.values())
        lines.append([_no_formula(row.file), *marks, solved, remarks])
    # With a mark at its beginning, without which a spreadsheet takes it for another encoding.
    with path.open("w", encoding="utf-8-sig", newline="", errors="replace") as file:
        csv.writer(file).writerows(lines)


def _no_formula(text: str) -> str:
    """Keep a spreadsheet from running a name that begins as a formula does."""
    return f"'{text}" if text[:1] in tuple("=+-@\t\r") else text
