"""What a sweep has found: a table of all runs, one of the settings with their seeds together, and a plot."""

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from matplotlib.figure import Figure

from helpers import files
from helpers.errors import CourseError
from helpers.runner.grid import Combination, Grid

RUNS, TABLE, PLOT = "sweep.csv", "sweep.md", "sweep.png"
SEED = "SEED"


@dataclass(frozen=True)
class Row:
    """One combination, and what came of it.

    Attributes
    ----------
    combination : Combination
        What was run.
    measured : mapping of str to float
        Metric → its value; empty if the combination failed or has not run.
    problem : str
        Why there is no value, in one line; '' if there is one of each metric.
    """

    combination: Combination
    measured: Mapping[str, float]
    problem: str


def measure(combination: Combination, metrics: Sequence[str]) -> Row:
    """Read the metrics of a combination that has run.

    Parameters
    ----------
    combination : Combination
        What has run.
    metrics : sequence of str
        `NETWORK.NAME`: a number of the network's record, or the last value of its learning curve that the
        record keeps.

    Returns
    -------
    Row
        The values, or what is missing.
    """
    try:
        return Row(combination, {each: _value(combination.folder, each) for each in metrics}, "")
    except CourseError as error:
        return Row(combination, {}, str(error))


def _value(folder: Path, metric: str) -> float:
    network, _, name = metric.partition(".")
    path = folder / "models" / f"{network}.json"
    try:
        record = json.loads(path.read_text("utf-8"))
        curves = dict(record["curve"])
    except (OSError, ValueError, KeyError, TypeError):
        raise CourseError(f"the lesson left no record of {network} that can be read, {path}") from None
    if curves.get(name):
        return float(curves[name][-1])
    numbers = [key for key, value in record.items() if type(value) in (int, float)]
    if name not in numbers:
        raise CourseError(f"the record of {network} has no {name}; it has {', '.join([*curves, *numbers])}")
    return float(record[name])


def write(grid: Grid, rows: Sequence[Row]) -> str:
    """Write what was found into the folder of the sweep.

    Parameters
    ----------
    grid : Grid
        What was asked for.
    rows : sequence of Row
        One for each combination, in the order of the grid.

    Returns
    -------
    str
        The table, one line for each setting: how many of its seeds have run, and of each metric the mean
        over them, with the lowest and the highest value in parentheses.
    """
    files.write_text(grid.out / RUNS, _runs(grid, rows))
    table = _table(grid, rows)
    files.write_text(grid.out / TABLE, table)
    drawn = io.BytesIO()
    _plot(grid, rows).savefig(drawn, format="png", dpi=150)
    files.write_bytes(grid.out / PLOT, drawn.getvalue())
    return table


def settings(rows: Sequence[Row]) -> dict[str, list[Row]]:
    """Put the seeds of one setting together.

    Parameters
    ----------
    rows : sequence of Row
        All combinations.

    Returns
    -------
    dict of str to list of Row
        The values of all parameters but SEED, in words → the rows that share them.
    """
    together: dict[str, list[Row]] = {}
    for row in rows:
        values = {name: value for name, value in row.combination.values.items() if name != SEED}
        words = ", ".join(f"{name} {value}" for name, value in values.items())
        together.setdefault(words or "all", []).append(row)
    return together


def _runs(grid: Grid, rows: Sequence[Row]) -> str:
    """Write a line for each combination, with all digits."""
    text = io.StringIO()
    lines = csv.writer(text, lineterminator="\n")
    names = list(rows[0].combination.values)
    lines.writerow([*names, *grid.metrics, "problem", "folder"])
    for row in rows:
        measured = [row.measured.get(metric, "") for metric in grid.metrics]
        folder = row.combination.folder.name
        lines.writerow([*row.combination.values.values(), *measured, row.problem, folder])
    return text.getvalue()


def _table(grid: Grid, rows: Sequence[Row]) -> str:
    lines = [["setting", "done", *grid.metrics]]
    for words, group in settings(rows).items():
        done = [row for row in group if not row.problem]
        cells = [_spread([row.measured[metric] for row in done]) for metric in grid.metrics]
        lines.append([words.replace("|", "\\|"), f"{len(done)} of {len(group)}", *cells])
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    lines.insert(1, ["-" * width for width in widths])
    padded = [
        " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in lines
    ]
    return "".join(f"| {line} |\n" for line in padded)


def _spread(values: Sequence[float]) -> str:
    if not values:
        return ""
    mean = f"{sum(values) / len(values):.4g}"
    return mean if len(values) == 1 else f"{mean} ({min(values):.4g} to {max(values):.4g})"


def _plot(grid: Grid, rows: Sequence[Row]) -> Figure:
    """Draw a panel for each metric, and in it for each setting a dot for a seed, a line for their mean."""
    groups = settings(rows)
    longest = max(map(len, groups))
    width = max(6.0, 0.09 * longest + 3.5 * len(grid.metrics))  # the title needs six inches
    figure = Figure(figsize=(width, 1.4 + 0.35 * len(groups)), layout="constrained")
    panels = figure.subplots(1, len(grid.metrics), sharey=True, squeeze=False)[0]
    for panel, metric in zip(panels, grid.metrics, strict=True):
        for height, group in enumerate(groups.values()):
            values = [row.measured[metric] for row in group if not row.problem]
            if values:
                panel.plot([min(values), max(values)], [height] * 2, color="0.75", linewidth=6, zorder=1)
                panel.scatter(values, [height] * len(values), s=22, color="C0", zorder=3)
                panel.scatter(sum(values) / len(values), height, s=160, marker="|", color="black", zorder=2)
        panel.set_xlabel(metric)
        panel.locator_params(axis="x", nbins=5)  # more numbers would run into each other
        panel.grid(axis="x", color="0.9")
        panel.set_axisbelow(True)
    panels[0].set_yticks(range(len(groups)), groups)
    panels[0].set_ylim(len(groups) - 0.5, -0.5)
    explained = "a dot for each run, a line for the mean of a setting, grey from its lowest to its highest"
    figure.suptitle(f"{grid.lesson.stem}\n{explained}", fontsize=9)
    return figure
