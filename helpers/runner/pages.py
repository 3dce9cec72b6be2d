"""The pages of a run: one for each lesson, and one that leads to them."""

import ast
import html
import re
from functools import cache
from pathlib import Path

import nbformat
from jinja2 import Environment, FileSystemLoader
from nbconvert import HTMLExporter
from nbconvert.filters import markdown2html
from nbformat import NotebookNode
from nbformat.v4 import new_markdown_cell, new_notebook

from helpers import files, places

_TEMPLATES = FileSystemLoader(Path(__file__).with_name("templates"))
_INDEX = "index.html"
# What lessons link to beside each other, and its page.
_BESIDE = {"GLOSSARY.md": "glossary.html", "README.md": "teaching.html"}
# What nbconvert makes of a heading, up to the sign that links to it.
_HEADING = re.compile(r'<h([1-6]) id="([^"]*)">(.*?)<a class="anchor-link"', re.DOTALL)
# A link to a lesson, or to a page in Markdown of the course.
_LINK = re.compile(r"\[([^\]]*)\]\((?:(\d\d_\w+)\.ipynb|([\w./-]+\.md)(#[\w-]*)?)\)")


def write_page(path: Path) -> Path:
    """Write a notebook as one HTML file that needs nothing else to be read.

    It links to the lessons before and after it, to the index, the glossary and the
    guide, as far as they are in its folder by now. A widget needs a kernel behind it; without its
    stored state nbconvert shows its line of text.

    Parameters
    ----------
    path : Path
        The notebook.

    Returns
    -------
    Path
        The page, beside the notebook.
    """
    return _write(nbformat.read(path, as_version=4), path)


def _write(notebook: NotebookNode, path: Path) -> Path:
    """Write the page of a notebook that is at a path, or could be."""
    headings = _headings(notebook)
    resources = {
        "page": {
            "contents": [heading for heading in headings if heading[0] in "23"],
            "index": _INDEX if path.with_name(_INDEX).exists() else None,
            **_neighbors(path),
        }
    }
    notebook.metadata["title"] = _title(notebook, path)
    notebook.metadata.pop("widgets", None)
    _fold_parameters(notebook)
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            cell.source = _LINK.sub(lambda link: _to_page(link, path.parent), cell.source)
    exporter = HTMLExporter(extra_loaders=[_TEMPLATES], template_file="page.html.j2")
    content, _ = exporter.from_notebook_node(notebook, resources)
    # A table may be wider than a screen. It scrolls alone, also for who has a keyboard only.
    content = re.sub(
        r"<table.*?</table>",
        r'<div class="table" role="group" aria-label="Table" tabindex="0">\g<0></div>',
        content,
        flags=re.DOTALL,
    )
    # An arrow stays with what it is about, where a column is narrow.
    content = re.sub(r" ([↑↓]|→ 0)</th>", "\u00a0\\1</th>", content)
    # The longest word over a column of numbers may be parted there.
    content = content.replace("colorfulness</th>", "color&shy;fulness</th>")
    page = path.with_suffix(".html")
    files.write_text(page, content)
    return page


def write_index(folder: Path) -> Path | None:
    """Write a page that leads to the lessons in a folder, those beside them, and theirs anew, all linked.

    Parameters
    ----------
    folder : Path
        Where the executed notebooks are.

    Returns
    -------
    Path or None
        The page; None if there is no notebook to lead to.
    """
    paths = places.lessons(folder)
    if not paths:
        return None
    beside = {name: page for name, page in _BESIDE.items() if (places.NOTEBOOKS / name).is_file()}
    environment = Environment(loader=_TEMPLATES, autoescape=True)
    content = environment.get_template("index.html.j2").render(
        lessons=[_entry(path) for path in paths],
        gallery=places.GALLERY if (folder / places.GALLERY).is_file() else None,
        glossary=beside.get("GLOSSARY.md"),
    )
    files.write_text(folder / _INDEX, content + "\n")
    for page in beside.values():  # they link to each other
        (folder / page).touch()
    for name, page in beside.items():
        _write(_beside(name), folder / page)
    for path in paths:
        write_page(path)
    return folder / _INDEX


def headline(notebook: NotebookNode) -> str:
    """Read the headline that `helpers.display.headline` stored in a notebook.

    Parameters
    ----------
    notebook : NotebookNode
        An executed notebook.

    Returns
    -------
    str
        The last headline, or '' if there is none.
    """
    stored = [
        output.metadata.get("course", {}).get("headline", "")
        for cell in notebook.cells
        for output in cell.get("outputs", [])
        if "metadata" in output
    ]
    return next(filter(None, reversed(stored)), "")


def _entry(path: Path) -> dict[str, object]:
    """Take from an executed notebook what the index says of it."""
    notebook = nbformat.read(path, as_version=4)
    ran = notebook.metadata.get("papermill", {})
    given = ran.get("parameters", {})
    return {
        "href": path.with_suffix(".html").name,
        "title": _title(notebook, path),
        "headline": headline(notebook),
        "minutes": ran["duration"] / 60 if ran.get("duration") is not None else None,
        "setting": ", ".join(
            f"{name.lower()} {given[name]}" for name in ("PROFILE", "SEED") if name in given
        ),
        "failed": bool(ran.get("exception")),
        "picture": _picture(notebook),
    }


def _picture(notebook: NotebookNode) -> dict[str, str] | None:
    """Choose the picture that stands for a lesson: its gallery, or else the one with most in it."""
    # By its bytes, so that photographs come before curves.
    shown = [
        ("gallery" in cell.metadata.get("tags", ()), len(output.data[kind]), output, kind)
        for cell in notebook.cells
        for output in cell.get("outputs", [])
        for kind in ("image/jpeg", "image/png")
        if kind in output.get("data", {})
    ]
    if not shown:
        return None
    *_, output, kind = max(shown, key=lambda each: each[:2])
    alt = output.metadata.get(kind, {}).get("alt", "A picture of this lesson.")
    return {"src": f"data:{kind};base64,{output.data[kind]}", "alt": alt}


def _neighbors(path: Path) -> dict[str, dict[str, str] | None]:
    """Name the lessons before and after one, of those in its folder."""
    paths = [None, *places.lessons(path.parent), None]
    if path not in paths:
        return {}
    place = paths.index(path)
    return {
        name: other and {"href": other.with_suffix(".html").name, "title": _short_title(other)}
        for name, other in (("previous", paths[place - 1]), ("next", paths[place + 1]))
    }


def _short_title(path: Path) -> str:
    """Take a lesson's title without the question that it asks."""
    return _title(nbformat.read(path, as_version=4), path).partition(":")[0]


def _title(notebook: NotebookNode, path: Path) -> str:
    """Take a lesson's title, or its file's name if it has none."""
    titles = (text for level, _, text in _headings(notebook) if level == "1")
    return html.unescape(re.sub(r"<[^>]+>", "", next(titles, path.stem)))


def _headings(notebook: NotebookNode) -> list[tuple[str, str, str]]:
    """List the headings of a notebook: level, anchor, and HTML."""
    sources = (cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    return [heading for source in sources for heading in _HEADING.findall(markdown2html(source))]


def _fold_parameters(notebook: NotebookNode) -> None:
    """Put one sentence, of what it changes, in place of the cell that papermill puts in."""
    values = {
        tag: {
            ast.unparse(statement.targets[0]): ast.unparse(statement.value)
            for statement in ast.parse(cell.source).body
            if isinstance(statement, ast.Assign)
        }
        for cell in notebook.cells
        for tag in {"parameters", "injected-parameters"}.intersection(cell.metadata.get("tags", ()))
    }
    changed = [
        _code(f"{name} = {value}")
        for name, value in values.get("injected-parameters", {}).items()
        if values.get("parameters", {}).get(name) != value
    ]
    sentence = [new_markdown_cell(f"This run changed {', '.join(changed)}.")] if changed else []
    for place, cell in enumerate(notebook.cells):
        if "injected-parameters" in cell.metadata.get("tags", ()):
            notebook.cells[place : place + 1] = sentence


def _code(text: str) -> str:
    """Write a text as code in Markdown, whatever signs are in it."""
    fence = "`" * (1 + max(map(len, re.findall("`+", text)), default=0))
    return f"{fence} {text} {fence}" if len(fence) > 1 else f"`{text}`"


def _to_page(link: re.Match[str], folder: Path) -> str:
    """Make a link to a notebook one to its page; the text alone, if it leads to what is not beside it."""
    text, name, other, anchor = link.groups()
    if name and (folder / f"{name}.ipynb").exists():
        return f"[{text}]({name}.html)"
    page = _BESIDE.get(other)
    if page and (folder / page).exists():
        return f"[{text}]({page}{_anchors(other).get(anchor, '')})"
    return text


def _beside(name: str) -> NotebookNode:
    """Read a page in Markdown as a notebook of one cell, so that its page is made as a lesson's is."""
    return new_notebook(cells=[new_markdown_cell((places.NOTEBOOKS / name).read_text("utf-8"))])


@cache
def _anchors(name: str) -> dict[str, str]:
    """Map the anchors of a page in Markdown, small as GitHub writes them, to those of nbconvert."""
    return {f"#{anchor.lower()}": f"#{anchor}" for _, anchor, _ in _headings(_beside(name))}
