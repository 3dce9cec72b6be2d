"""What a committed notebook must be: each gate takes a lesson and returns its complaints."""

import ast
import copy
import difflib
import re
from collections import Counter, defaultdict
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import nbformat
from course_plugin import NOT_COMPARED
from nbformat import NotebookNode
from nbval.plugin import coalesce_streams

from helpers.runner.run import MOST_BYTES

MOST_LINES = 15

ABSOLUTE_PATH = re.compile(
    r"""(?<![\w.:/~-])/(?:home|Users|root|tmp|work|opt|usr|var|mnt|private|content|kaggle)/
    | (?<!\w)[A-Za-z]:[\\/]+\w+[\\/]""",
    re.VERBOSE,
)
SHELL = re.compile(r"^\s*[!%]|\bpip\S*\s+install\b", re.MULTILINE)
TENSORFLOW = re.compile(r"\btf\.|\b(?:import|from) tensorflow\b|import_module\(.tensorflow")
SEED_LINE = re.compile(r"^(\w+ profile · seed )\d+( ·.*?)(?: on \w+)?$", re.MULTILINE)
NBVAL_MARK = re.compile(r"^#\s*(?:NBVAL_\w+|PYTEST_VALIDATE_IGNORE_OUTPUT)", re.MULTILINE)


class Lesson(NamedTuple):
    number: int
    notebook: NotebookNode

    @property
    def code(self):
        """The code cells, each with the index that it has in the notebook."""
        return [(i, cell) for i, cell in enumerate(self.notebook.cells) if cell.cell_type == "code"]

    @property
    def outputs(self):
        return [(i, output) for i, cell in self.code for output in cell.outputs]

    def stored(self, name):
        """What `helpers.display` stored under a name in the outputs' metadata."""
        found = [output.get("metadata", {}).get("course", {}).get(name) for _, output in self.outputs]
        return [value for value in found if value]


def read(path: Path) -> Lesson:
    # The plain reader: nbformat.read would repair what the gates are to find.
    return Lesson(int(path.name[:2]), nbformat.reader.reads(path.read_text("utf-8")))


def tags(cell):
    return cell.metadata.get("tags", [])


def texts(output):
    """Everything in an output that a reader can read."""
    data = {kind: text for kind, text in output.get("data", {}).items() if kind.startswith("text/")}
    return [output.get("text", ""), *data.values(), *output.get("traceback", [])]


def executed_in_order(lesson):
    counts = [cell.get("execution_count") for _, cell in lesson.code]
    if counts != list(range(1, len(counts) + 1)):
        yield f"the execution counts are {counts}, not 1, 2, 3, ...: run it whole, from a fresh kernel"


def no_errors(lesson):
    for i, output in lesson.outputs:
        if output.output_type == "error":
            yield f"cell {i} ended with {output.get('ename')}"


def no_stderr(lesson):
    for i, output in lesson.outputs:
        if output.get("name") == "stderr":
            yield f"cell {i} wrote to stderr: {output.text[:80]!r}"


def no_absolute_path(lesson):
    sources = [(i, cell.source) for i, cell in enumerate(lesson.notebook.cells)]
    shown = [(i, text) for i, output in lesson.outputs for text in texts(output)]
    for i, text in sources + shown:
        if match := ABSOLUTE_PATH.search(text):
            yield f"cell {i} holds a path of one machine: {text[match.start() :][:40]!r}"


def parameters(lesson):
    tagged = [cell for _, cell in lesson.code if "parameters" in tags(cell)]
    if len(tagged) != 1:
        yield f"{len(tagged)} cells are tagged `parameters`, not 1"
        return
    values = {}
    for statement in ast.parse(tagged[0].source).body:
        try:
            (target,) = statement.targets
            values[target.id] = ast.literal_eval(statement.value)
        except (AttributeError, ValueError):
            yield f"the parameters cell holds more than NAME = literal: {ast.unparse(statement)}"
    for name, value in {"PROFILE": "tiny", "SEED": 0, "PHOTOS": None, "OUT": None}.items():
        if name not in values or values[name] != value:
            yield f"{name} is not {value!r} in the parameters cell"


def small(lesson):
    size = len(nbformat.v4.writes(lesson.notebook).encode())
    if size >= MOST_BYTES:
        yield f"it has {size:,} bytes; a repository's page shows less than {MOST_BYTES:,}"


def short_cells(lesson):
    for i, cell in lesson.code:
        if (lines := len(cell.source.splitlines())) > MOST_LINES:
            yield f"cell {i} has {lines} lines of code, more than {MOST_LINES}"


def no_semicolon(lesson):
    for i, cell in lesson.code:
        if any(line.rstrip().endswith(";") for line in cell.source.splitlines()):
            yield f"cell {i} has a line that ends in a semicolon, which nbval cannot run"


def a_picture(lesson):
    if not any(is_picture(output) for _, output in lesson.outputs):
        yield "it shows no picture"


def is_picture(output):
    return any(kind.startswith("image/") for kind in output.get("data", {}))


def captions(lesson):
    for i, cell in lesson.code:
        for output, following in pairwise([*cell.outputs, {}]):
            caption = following.get("data", {}).get("text/markdown", "")
            if is_picture(output) and not caption.strip("*_ \n"):
                yield f"cell {i} shows a picture without a caption: use display.show"


def a_claim(lesson):
    claims = lesson.stored("claim")
    if not claims:
        yield "it makes no claim"
    for claim in claims:
        within = (
            claim.get("at_least", -float("inf")) <= claim["measured"] <= claim.get("at_most", float("inf"))
        )
        if not claim["text"] or not {"at_least", "at_most"} & set(claim) or not within:
            yield f"a claim does not hold, or has no bound: {dict(claim)}"


def a_headline(lesson):
    if len(found := lesson.stored("headline")) != 1:
        yield f"it has {len(found)} headlines, not 1"


def no_leftover_metadata(lesson):
    cells = {f"cell {i}": cell.metadata for i, cell in enumerate(lesson.notebook.cells)}
    for place, metadata in {"the notebook": lesson.notebook.metadata, **cells}.items():
        if found := {"papermill", "widgets", "execution"} & set(metadata):
            yield f"{place} has leftover metadata, which `python -m helpers refresh` removes: {sorted(found)}"
    if any("injected-parameters" in tags(cell) for _, cell in lesson.code):
        yield "papermill has put parameters in: the outputs are not those of its own defaults"


def no_shell(lesson):
    for i, cell in lesson.code:
        if match := SHELL.search(cell.source):
            yield f"cell {i} calls the shell or installs: {match[0]!r}"


def a_title(lesson):
    titles = [
        line
        for cell in lesson.notebook.cells
        if cell.cell_type == "markdown"
        for line in cell.source.splitlines()
        if line.startswith("# ")
    ]
    first = lesson.notebook.cells[0].source
    if len(titles) != 1 or not first.startswith(f"# {lesson.number}. "):
        yield f"it does not open with the one title `# {lesson.number}. ...`; its titles: {titles}"


def the_kernel(lesson):
    if (name := lesson.notebook.metadata.get("kernelspec", {}).get("name")) != "python3":
        yield f"its kernel is {name!r}, not 'python3'"


def cell_ids(lesson):
    counted = Counter(cell.get("id") for cell in lesson.notebook.cells)
    for name, count in counted.items():
        if not name:
            yield f"{count} cells have no id"
        elif count > 1:
            yield f"{count} cells have the id {name}"


def tensorflow_in_lesson_2_only(lesson):
    for i, cell in lesson.code:
        if lesson.number != 2 and TENSORFLOW.search(cell.source):
            yield f"cell {i} uses TensorFlow itself; write keras or keras.ops"


def imports_keep_their_names(lesson):
    """A cell that takes the name of a module cannot be followed by an earlier one that uses the module."""
    trees = [(i, ast.parse(cell.source)) for i, cell in lesson.code if not SHELL.search(cell.source)]
    imported = {
        alias.asname or alias.name.partition(".")[0]
        for _, tree in trees
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in node.names
    }
    for i, tree in trees:
        for node in ast.walk(tree):
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store) and node.id in imported:
                yield f"cell {i} assigns to {node.id}, which is the name of an import"


def plain_beside_html(lesson):
    for i, output in lesson.outputs:
        data = output.get("data", {})
        if "text/html" in data and not data.get("text/plain", "").strip():
            yield f"cell {i} shows HTML without a plain text, so nothing of it is compared"


def nothing_hidden_from_nbval(lesson):
    for i, cell in lesson.code:
        marks = [tag for tag in tags(cell) if tag.startswith("nbval-") or tag == "raises-exception"]
        if marks := marks + NBVAL_MARK.findall(cell.source):
            yield f"cell {i} is marked {', '.join(marks)}: nbval is to compare every cell"


GATES = (
    executed_in_order,
    no_errors,
    no_stderr,
    no_absolute_path,
    parameters,
    small,
    short_cells,
    no_semicolon,
    a_picture,
    captions,
    a_claim,
    a_headline,
    no_leftover_metadata,
    no_shell,
    a_title,
    the_kernel,
    cell_ids,
    tensorflow_in_lesson_2_only,
    imports_keep_their_names,
    plain_beside_html,
    nothing_hidden_from_nbval,
)


def complaints(lesson: Lesson) -> dict[str, list[str]]:
    """Return, for each gate that a lesson does not pass, why."""
    found = {gate.__name__: list(gate(lesson)) for gate in GATES}
    return {name: reasons for name, reasons in found.items() if reasons}


def compared(cell):
    """Return the text that nbval compares of a cell's outputs: each kind of it, in order."""
    kinds = defaultdict(list)
    for output in coalesce_streams(copy.deepcopy(cell.outputs)):
        if output.output_type == "stream":
            kinds[output.name].append(output.text)
        for kind, text in output.get("data", {}).items():
            if kind.startswith("text/"):
                kinds[kind].append(text)
    return {kind: texts for kind, texts in kinds.items() if kind not in NOT_COMPARED}


def differing(committed: Lesson, executed: Lesson):
    """Yield what nbval would turn red on, had it run a lesson as another seed or machine has.

    Such text depends on random or trained numbers. It belongs into what is not compared: a picture,
    the HTML of a claim or a table. The line with which a lesson begins may name the seed and the backend.
    """
    ran = [cell for _, cell in executed.code if "injected-parameters" not in tags(cell)]
    for (i, cell), other in zip(committed.code, ran, strict=True):
        stored, new = compared(cell), compared(other)
        for kind in sorted({*stored, *new}):
            lines = [
                SEED_LINE.sub(r"\1…\2", "\n".join(texts.get(kind, []))).splitlines()
                for texts in (stored, new)
            ]
            if lines[0] != lines[1]:
                changes = [line for line in difflib.ndiff(*lines) if line.startswith(("- ", "+ "))]
                yield f"cell {i}, {kind}:\n" + "\n".join(changes)
