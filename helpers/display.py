"""What a lesson shows: pictures with captions, tables, claims and its headline.

nbval compares the text of outputs, not pictures, and a trained network's
digits differ between machines. So each function here writes two forms: a plain
text that never changes, which nbval holds the lesson to, and a rich one for the
reader, with what was measured.
"""

import html
import io
import re
import time
import unicodedata
from base64 import b64encode
from collections.abc import Callable, Iterable, Mapping, Sequence

import ipywidgets
import matplotlib
import numpy as np
import PIL.Image
from IPython import get_ipython
from IPython.display import Image, Markdown, display
from matplotlib import pyplot
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from helpers.errors import CourseError
from helpers.metrics import shared
from helpers.photographs import Photographs

# Unicode's kinds of signs that no credit needs: controls, halves of signs, ends of lines; and those that turn
# the direction of what is written.
_UNSEEN = {"Cc", "Cs", "Zl", "Zp", "LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}
_LONGEST_CREDIT = 500
# Pixels that are drawn for one that a page shows, as many as a fine screen has.
DENSITY = 2
# Color at half the resolution: lesson 2 shows why nobody sees it.
JPEG = {"quality": 70, "subsampling": "4:2:0", "optimize": True, "progressive": True}
# Points of the letters at photographs, which a telephone shows at two thirds of their size.
_LETTERS = 11
# What the claims were made for, if they may fail now.
_relaxed: list[str] = []

_STYLE = {
    "figure.facecolor": "white",
    "font.size": 10,
    "axes.titlesize": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "image.interpolation": "nearest",
    "savefig.bbox": "tight",
    "savefig.dpi": 90,
}


def set_style() -> None:
    """Let pictures look as the course draws them, whatever the reader has set for matplotlib."""
    matplotlib.rcdefaults()
    matplotlib.rcParams.update(_STYLE)


# Drawn for the page: a window would need a screen.
matplotlib.use("module://matplotlib_inline.backend_inline" if hasattr(get_ipython(), "kernel") else "agg")
set_style()


def show(figure: Figure, alt: str, credits: Sequence[str] = ()) -> None:
    """Show a figure over a caption that says in words what it shows.

    Parameters
    ----------
    figure : matplotlib.figure.Figure
        The figure; it is closed afterward, so that it is shown once.
    alt : str
        The caption, in Markdown. It stands for the picture where the picture
        is not seen, so it must say what the picture shows, with facts that do
        not depend on the machine: no name of a photograph that a trained
        network chose. Measured values belong into the figure.
    credits : sequence of str
        Whom to thank, from `credits_of`. They stand folded under the caption,
        and nbval does not compare them.

    Raises
    ------
    CourseError
        If the caption is empty.
    """
    if not alt.strip():
        raise CourseError("a picture needs a caption that says what it shows")
    data, kind, size = _encode(figure)
    # The page gives it to who does not see the picture, without the signs of Markdown.
    plain = re.sub(r"\\(.)|[*_`]", r"\1", alt)
    display(Image(data, format=kind), metadata={f"image/{kind}": {"alt": plain, **size}})
    display(Markdown(f"**Figure.** {alt}"))
    if credits:
        items = "".join(f"<li>{_linked(one_line(credit))}</li>" for credit in credits)
        folded = f"<details><summary>Whose photographs these are</summary><ul>{items}</ul></details>"
        _display("Whose photographs these are: see the page.", folded)


def play(draw: Callable[..., Figure], **controls: ipywidgets.ValueWidget) -> None:
    """Show controls, and beside them a picture that follows them.

    While a slider is dragged, the picture follows if it can be drawn in a tenth
    of a second. A page on the web has no kernel behind it and shows only a line
    of text in place of the controls. Put a still picture beside them with `show`.

    Parameters
    ----------
    draw : callable
        Takes the controls' values by name and returns a figure.
    **controls : ipywidgets.ValueWidget
        Sliders or menus, by the name of the argument that they set.
    """
    # An image widget has no alternative text.
    picture = ipywidgets.HTML(layout={"min_width": "min(400px, 100%)", "max_width": "100%", "margin": "0"})
    seconds = []

    def redraw(_change: object = None) -> None:
        started = time.perf_counter()
        values = {name: control.value for name, control in controls.items()}
        figure, drawn = draw(**values), io.BytesIO()
        # As wide as its place at least: a small picture that is stretched is a blurred one. It is
        # not stored, so it may be large, and quick.
        dpi = max(matplotlib.rcParams["savefig.dpi"], 420 / figure.get_figwidth())
        figure.savefig(drawn, format="png", dpi=dpi, pil_kwargs={"compress_level": 1})
        pyplot.close(figure)
        alt = "The picture at " + ", ".join(f"{name} {value}" for name, value in values.items())
        picture.value = (
            f'<img alt="{html.escape(alt)}" decoding="sync" style="width: 100%" '
            f'src="data:image/png;base64,{b64encode(drawn.getvalue()).decode()}">'
        )
        # The quickest time counts: a machine that was busy once is not a slow one.
        seconds.append(time.perf_counter() - started)
        for control in controls.values():
            control.continuous_update = min(seconds) < 0.1

    for name, control in controls.items():
        control.description = name
        control.style.description_width = f"{max(map(len, controls))}ch"
        control.layout.width = "auto"
        control.observe(redraw, "value")
    redraw()
    beside = ipywidgets.VBox([*controls.values()], layout={"width": "380px", "max_width": "100%"})
    # Where both do not fit side by side, the picture goes below the controls.
    box = ipywidgets.HBox([beside, picture], layout={"flex_flow": "row wrap"})
    live(box, f"Controls ({', '.join(controls)}): run this cell in JupyterLab to move them.")


def live(widget: ipywidgets.DOMWidget, hint: str, metadata: Mapping[str, object] | None = None) -> None:
    """Show a widget, or where no kernel is behind it a line of text.

    Parameters
    ----------
    widget : ipywidgets.DOMWidget
        The widget.
    hint : str
        The line; nbval compares it.
    metadata : mapping, optional
        What the page must know of the widget, if it is not one of ipywidgets' own.
    """
    view = {"version_major": 2, "version_minor": 0, "model_id": widget.model_id}
    data = {"text/plain": hint, "application/vnd.jupyter.widget-view+json": view}
    display(data, metadata=metadata, raw=True)


def photograph_grid(
    rows: Sequence[Sequence[np.ndarray]],
    columns: Sequence[str] = (),
    labels: Sequence[str] = (),
    height: float = 1.5,
) -> Figure:
    """Lay photographs out in a grid.

    Parameters
    ----------
    rows : sequence of sequences of ndarray
        Photographs, (h, w, 3) uint8 or floats of 0..1, or planes, (h, w) or (h, w, 1), shown in grey
        from 0 (black) to 1 (white).
    columns : sequence of str, optional
        A title over each column.
    labels : sequence of str, optional
        A label before each row.
    height : float
        Height of one photograph in inches; five of 2 inches fill a page.

    Returns
    -------
    matplotlib.figure.Figure
        The figure, ready for `show`.
    """
    wide = max(len(row) for row in rows)
    figure, axes = pyplot.subplots(
        len(rows),
        wide,
        figsize=(height * wide, height * len(rows) + 0.3),
        squeeze=False,
        layout="constrained",
    )
    for i, row in enumerate(axes):
        for j, axis in enumerate(row):
            axis.set(xticks=[], yticks=[])
            axis.spines[:].set_visible(False)
            if j < len(rows[i]):
                # Matplotlib scales colors by their values unless it is told otherwise.
                # A small one is shown by its pixels; nearly its own size, it is resampled smoothly.
                axis.imshow(rows[i][j], cmap="gray", vmin=0, vmax=1, interpolation="auto")
            if i == 0 and j < len(columns):
                axis.set_title(columns[j], fontsize=_LETTERS)
            if j == 0 and i < len(labels):
                axis.set_ylabel(labels[i], fontsize=_LETTERS)
    return figure


def curves(histories: Mapping[str, Mapping[str, Sequence[float]]], ylabel: str = "loss") -> Figure:
    """Draw learning curves, one panel for each network or loss.

    Parameters
    ----------
    histories : mapping of str to mapping of str to sequence of float
        Panel title → curve name → one value per epoch, as `fit(...).history` has them.
    ylabel : str
        What the curves measure.

    Returns
    -------
    matplotlib.figure.Figure
        The figure, ready for `show`.
    """
    figure, axes = pyplot.subplots(
        1, len(histories), figsize=(4.2 * len(histories) + 0.6, 2.9), squeeze=False, layout="constrained"
    )
    for axis, (title, history) in zip(axes[0], histories.items(), strict=True):
        for name, values in history.items():
            label = name.replace("val_", "validation ").replace("_", " ")
            style = "--" if name.startswith("val_") else "-"
            axis.plot(range(1, len(values) + 1), values, style, label=label)
        axis.set(title=title.replace("_", " "), xlabel="epoch")
        axis.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        if len(history) > 1:
            axis.legend(frameon=False)
    axes[0][0].set_ylabel(ylabel)
    return figure


def text(markdown: str) -> None:
    """Show text that was computed, such as a table in Markdown.

    Parameters
    ----------
    markdown : str
        The text. nbval compares it, so it must be the same on every machine.
    """
    display(Markdown(markdown))


def table(rows: Mapping[str, Mapping[str, str]], caption: str, plain: str = "") -> None:
    """Show a table of measured values.

    Parameters
    ----------
    rows : mapping of str to mapping of str to str
        Row name → column name → cell text, of one line or two. All rows have the same columns.
    caption : str
        What the table holds; it and the table's shape are what nbval compares.
    plain : str, optional
        What nbval compares in their place, if they depend on more than the course, as on a reader's files.

    Raises
    ------
    CourseError
        If there are no rows, or if two rows have different columns.
    """
    if not rows:
        raise CourseError("a table needs at least one row")
    columns = list(next(iter(rows.values())))
    if any(list(cells) != columns for cells in rows.values()):
        raise CourseError("all rows of a table need the same columns")
    # The corner heads nothing, so it is no header.
    sides = {column: _side(cells[column] for cells in rows.values()) for column in columns}
    head = "<td></td>" + "".join(
        f'<th scope="col" style="text-align:{side}">{_escaped(column)}</th>' for column, side in sides.items()
    )
    body = "".join(
        f'<tr><th scope="row" style="text-align:left">{_escaped(name)}</th>'
        + "".join(_cell(text, sides[column]) for column, text in cells.items())
        + "</tr>"
        for name, cells in rows.items()
    )
    _display(
        plain or f"Table: {caption} Rows: {', '.join(rows)}. Columns: {', '.join(columns)}.",
        f"<table><caption>{_escaped(caption)}</caption><thead><tr>{head}</tr></thead>"
        f"<tbody>{body}</tbody></table>",
    )


def metric_table(summaries: Mapping[str, Mapping[str, Mapping[str, float]]], caption: str) -> None:
    """Show what `helpers.metrics.summarize` found, one row for each prediction.

    Parameters
    ----------
    summaries : mapping of str to mapping
        Row name → the result of `summarize`.
    caption : str
        What the table holds.
    """

    def cell(value: Mapping[str, float], digits: int) -> str:
        return f"{value['mean']:.{digits}f}\n{value['low']:.{digits}f} to {value['high']:.{digits}f}"

    columns = shared(summaries.values())
    rows = {
        row: {metric.title: cell(summary[name], metric.digits) for name, metric in columns.items()}
        for row, summary in summaries.items()
    }
    table(rows, caption)


def credits_of(photographs: Photographs, rows: Iterable[int] | None = None) -> list[str]:
    """Name whom to thank for photographs that are shown, and their licenses.

    Parameters
    ----------
    photographs : Photographs
        The photographs, with their credits.
    rows : iterable of int, optional
        Which of them are shown; all if not given.

    Returns
    -------
    list of str
        One for each photograph whose credit is known, for `show`.
    """
    shown = photographs.credits if rows is None else [photographs.credits[row] for row in rows]
    return [credit for credit in dict.fromkeys(shown) if credit]


def claim(text: str, measured: float, *, at_least: float | None = None, at_most: float | None = None) -> None:
    """State a conclusion together with the number that bears it, or stop the lesson.

    Parameters
    ----------
    text : str
        The conclusion, as a sentence without the bound.
    measured : float
        What this run measured.
    at_least, at_most : float, optional
        The bound that the conclusion needs. One or both.

    Raises
    ------
    CourseError
        If no bound is given.
    AssertionError
        If the measured value is not a number within the bound, unless
        `relax_claims` was called.
    """
    bounds = {"at_least": at_least, "at_most": at_most}
    bounds = {name: float(bound) for name, bound in bounds.items() if bound is not None}
    if not bounds:
        raise CourseError("a claim needs a bound: at_least, at_most, or both")
    measured = float(measured)
    declared = " and ".join(f"{name.replace('_', ' ')} {bound:g}" for name, bound in bounds.items())
    holds = np.isfinite(measured) and bounds.get("at_least", measured) <= measured <= bounds.get(
        "at_most", measured
    )
    if not holds and not _relaxed:
        raise AssertionError(f"{text}: measured {measured:.4g}, but it should be {declared}")
    mark, verdict = ("✔", declared) if holds else ("✘", f"not {declared}, as in {_relaxed[0]}")
    _display(
        f"{mark} {text}: {verdict}",
        f"{mark} {_escaped(text)}: measured <b>{measured:.3g}</b> ({_escaped(verdict)})",
        claim={"text": text, "measured": measured if np.isfinite(measured) else None, **bounds},
    )


def relax_claims(made_for: str | None) -> None:
    """Let claims that do not hold be shown from now on, instead of stopping the lesson.

    Parameters
    ----------
    made_for : str or None
        What the claims were made for, as "the course's own photographs".
        Other photographs may well give other answers. None: claims stop the
        lesson again.
    """
    _relaxed[:] = [] if made_for is None else [made_for]


def headline(text: str) -> None:
    """State the one number to remember of a lesson.

    Parameters
    ----------
    text : str
        A short sentence that holds the measured number. `python -m helpers run`
        prints it in its closing table.
    """
    _display("The lesson's headline", f"<b>Headline:</b> {_escaped(text)}", headline=text)


def _encode(figure: Figure) -> tuple[bytes, str, dict[str, int]]:
    """Draw a figure as PNG or JPEG, and close it, so that it is not shown twice.

    Photographs are several times smaller as JPEG. Lines and letters are not, and
    are sharper as PNG. A page on the web shows a notebook only while it is small.
    The last that is returned is the width at which a page is to show it, in pixels.
    """
    kind = "jpeg" if any(axis.images for axis in figure.axes) else "png"
    options = {"jpeg": JPEG, "png": {"compress_level": 1}}[kind]
    dpi = matplotlib.rcParams["savefig.dpi"] * DENSITY
    figure.savefig(drawn := io.BytesIO(), format=kind, dpi=dpi, pil_kwargs=options)
    pyplot.close(figure)
    with PIL.Image.open(drawn) as picture:
        width = round(picture.width / DENSITY)
        if kind == "png":
            # Few colors are enough for lines, and take a third of the room.
            lines = picture.convert("RGB").quantize(256, dither=PIL.Image.Dither.NONE)
            lines.save(drawn := io.BytesIO(), "png", optimize=True)
    return drawn.getvalue(), kind, {"width": width}


def one_line(text: str) -> str:
    """Take line breaks, signs that turn the writing, and excess from a stranger's text.

    Parameters
    ----------
    text : str
        A name or a credit, of whoever took the photograph.

    Returns
    -------
    str
        One line of at most 500 signs. It is not escaped for HTML.
    """
    kinds = ({unicodedata.category(sign), unicodedata.bidirectional(sign)} for sign in text)
    seen = (sign if kind.isdisjoint(_UNSEEN) else " " for sign, kind in zip(text, kinds, strict=True))
    line = " ".join("".join(seen).split())
    return line if len(line) <= _LONGEST_CREDIT else line[: _LONGEST_CREDIT - 1] + "…"


def _linked(text: str) -> str:
    """Escape a text for HTML, and make its web addresses links, unless one was cut."""
    parts = re.split(r"(https?://[^\s<>\"…]++(?!…))", text)
    return "".join(
        f'<a href="{html.escape(part)}">{_escaped(part)}</a>' if number % 2 else _escaped(part)
        for number, part in enumerate(parts)
    )


def _escaped(text: str) -> str:
    """Escape a text for HTML, and hide from MathJax what it would take for a formula."""
    # It looks for both ends of a formula within one element.
    return re.sub(r"[$\\]", r"<span>\g<0></span>", html.escape(text))


def _side(cells: Iterable[str]) -> str:
    """Tell to which side a column's cells go: numbers to the right, and all if one is words to the left."""
    return "right" if all(re.match(r"[-+−–.<>≈×]?\s*\d|$", text) for text in cells) else "left"


def _cell(text: str, side: str) -> str:
    """Write a table's cell, with what stands under its first line small."""
    first, _, second = (_escaped(line) for line in text.partition("\n"))
    if not second:
        return f'<td style="text-align:{side}">{first}</td>'
    return f'<td style="text-align:{side};white-space:nowrap">{first}<br><small>{second}</small></td>'


def _display(plain: str, rich: str, **course: object) -> None:
    """Display a stable text and its rich form, with facts in the output's metadata."""
    display({"text/plain": plain, "text/html": rich}, raw=True, metadata={"course": course} if course else {})
