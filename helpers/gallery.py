"""The gallery of a run: one page that shows what the networks made of test photographs, and a game on it."""

import hashlib
import io
import json
import math
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from jinja2 import Environment, FileSystemLoader
from PIL import Image

from helpers import colorings, display, files, metrics, recorded, records, votes
from helpers.photographs import Photographs
from helpers.places import GALLERY, MODELS
from helpers.profiles import Lesson
from helpers.records import NETWORKS, VIVID

# The page holds each in some twenty versions, so it shows no more than these, to stay a file that one mails.
MOST_PHOTOGRAPHS = 20
_PAGE = Path(__file__).with_name("gallery_page")
_QUALITY = 82  # of WebP
_DRAWING = (300, 150)  # width and height of a learning curve, in the units of its SVG


@dataclass(frozen=True, eq=False)
class Coloring:
    """The same photographs, colored in one way.

    Attributes
    ----------
    title : str
        What it is called among its group.
    group : str
        Where it comes from, '' for grey and truth.
    rgb : (n, size, size, 3) ndarray of uint8
        The pictures.
    version : str
        Another one for another network of the same title; the same on every machine, as far as that can be.
    """

    title: str
    group: str
    rgb: np.ndarray
    version: str = ""

    @property
    def name(self) -> str:
        """What it is called among all."""
        return f"{self.title} ({self.group})" if self.group else self.title


def write_gallery(lesson: Lesson, shown: Photographs, colored: Mapping[str, np.ndarray]) -> None:
    """Write `gallery.html` into a run's folder: one file that needs no network.

    It shows the first test photographs, at most `MOST_PHOTOGRAPHS`. Their order is that of `split.csv` or of
    the files' checksums, so nobody has chosen them by eye.

    Parameters
    ----------
    lesson : Lesson
        The run, whose networks have been scored.
    shown : Photographs
        The test photographs, at the size at which they are shown.
    colored : mapping of str to (n, size, size, 3) ndarray of uint8
        Title → what each network of the run made of them.
    """
    few = shown[:MOST_PHOTOGRAPHS]
    ours = [
        Coloring(title, "this run", rgb[: len(few)], hashlib.sha256(rgb[: len(few)].tobytes()).hexdigest())
        for title, rgb in colored.items()
    ]
    theirs = _recorded(replace(lesson, test_photos=len(few)))
    tables = {"Recorded networks": MODELS, "Networks of this run": lesson.models}
    page = render(
        few,
        {"recorded": theirs, "this run": ours},
        {title: _table(folder) for title, folder in tables.items()},
        {title: _curves(folder) for title, folder in tables.items()},
        total=len(shown),
        seed=lesson.seed,
    )
    files.write_text(lesson.out / GALLERY, page)
    print(
        f"{GALLERY} is in the run's folder: {len(few)} of {len(shown)} test photographs, "
        f"colored by {len(theirs)} recorded networks and {len(ours)} of this run"
    )


def render(
    shown: Photographs,
    colored: Mapping[str, Sequence[Coloring]],
    tables: Mapping[str, object],
    curves: Mapping[str, object],
    *,
    total: int,
    seed: int,
) -> str:
    """Make the page.

    Parameters
    ----------
    shown : Photographs
        The photographs that the page shows.
    colored : mapping of str to sequence of Coloring
        Group → colorings of these photographs.
    tables, curves : mapping of str to object
        Heading → what `_table` and `_curves` return.
    total : int
        How many test photographs there are.
    seed : int
        Of the game, if the player names no other.

    Returns
    -------
    str
        HTML. Styles and scripts are allowed by their hash, pictures as ``data:``, and nothing else.
    """
    truth = shown.rgb
    trivial = [Coloring("grey", "", colorings.grey(truth)), Coloring("truth", "", truth)]
    every = [*trivial, *(each for group in colored.values() for each in group)]
    names = [display.one_line(Path(name).stem.replace("_", " ")) for name in shown.names]
    entries = [_entry(truth, each) for each in every]
    # What stands beside grey at first: the nearest to the truth, of the recorded networks if there are any.
    beside = next((members for members in colored.values() if members), trivial[1:])
    first = min(map(every.index, beside), key=lambda place: sum(entries[place]["delta_e"]))
    data = {
        "names": names,
        "colorings": entries,
        "game": _game(shown, colored, every, seed),
    }
    sources = {name: (_PAGE / name).read_text("utf-8") for name in ("gallery.css", "gallery.js")}
    environment = Environment(
        loader=FileSystemLoader(_PAGE), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    return environment.get_template("gallery.html.j2").render(
        names=names,
        side=shown.size,
        total=total,
        groups={group: [each.name for each in members] for group, members in colored.items() if members},
        first=first,
        game=data["game"],
        rule=votes.rule(),
        tables=tables,
        curves=curves,
        drawing=_DRAWING,
        credits=[display.one_line(credit) for credit in display.credits_of(shown)],
        style=sources["gallery.css"],
        script=sources["gallery.js"],
        hashes={name: _hash(text) for name, text in sources.items()},
        # Within a script element nothing but its end is read as HTML.
        data=json.dumps(data, ensure_ascii=False).replace("<", "\\u003c"),
    )


def _recorded(lesson: Lesson) -> list[Coloring]:
    """Color a lesson's test photographs with every network that comes with the course."""
    found = []
    for name, title in recorded.names().items():
        # Not of the colors: these may differ in a last digit between the machines of a class.
        version = hashlib.sha256((MODELS / f"{name}.keras").read_bytes()).hexdigest()
        found.append(Coloring(title, "recorded", recorded.color(name, lesson), version))
        if vivid := VIVID.get(f"{name}_vivid"):
            found.append(Coloring(vivid, "recorded", recorded.color(name, lesson, vivid=True), version))
    return found


def _entry(truth: np.ndarray, coloring: Coloring) -> dict[str, object]:
    """Write down a coloring for the page: pictures, and numbers unless it is the truth itself."""
    entry = {"name": coloring.name, "pictures": [_picture(rgb) for rgb in coloring.rgb]}
    if coloring.rgb is truth:
        return entry | {"delta_e": [0.0] * len(truth), "psnr": None}
    measured = metrics.measure(truth, coloring.rgb)
    return entry | {
        metric: [round(value, 4) for value in measured[metric].tolist()] for metric in ("delta_e", "psnr")
    }


def _picture(rgb: np.ndarray) -> str:
    Image.fromarray(rgb).save(content := io.BytesIO(), "WEBP", quality=_QUALITY)
    return f"data:image/webp;base64,{b64encode(content.getvalue()).decode()}"


def _game(
    shown: Photographs, colored: Mapping[str, Sequence[Coloring]], every: Sequence[Coloring], seed: int
) -> dict[str, object] | None:
    """Prepare the game: who may be tested, and colors that nobody takes for true; None if it cannot be."""
    if len(shown) < 2:
        return None
    wrong = colorings.shuffled(shown.rgb, seed)
    # The colors of another photograph may happen to fit, so only the half that fits worse is used.
    worst = np.argsort(-metrics.measure(shown.rgb, wrong)["delta_e"])[: math.ceil(len(shown) / 2)]
    return {
        "rounds": votes.ROUNDS,
        "catches": votes.CATCH_ROUNDS,
        "mostMissed": votes.MOST_MISSED,
        "catch": votes.CATCH,
        "columns": votes.COLUMNS,
        "seed": seed,
        "wrong": {int(row): _picture(wrong[row]) for row in worst},
        "sets": [
            {
                "group": group,
                "id": files.digest(
                    group, shown.checksum, *shown.names, *((each.title, each.version) for each in members)
                )[:16],
                "colorings": [every.index(each) for each in members],
                "titles": [each.title for each in members],
            }
            for group, members in colored.items()
            if members
        ],
    }


def _table(folder: Path) -> dict[str, object]:
    """Lay out what the networks in a folder scored, the trivial answers first."""
    trivial, summaries = records.read(folder / "trivial.json"), records.summaries(folder)
    columns = metrics.shared(summaries.values())
    return {
        "photographs": trivial["test_photographs"],
        "columns": [metric.title for metric in columns.values()],
        "rows": {
            title: [
                [f"{summary[name][value]:.{metric.digits}f}" for value in ("mean", "low", "high")]
                for name, metric in columns.items()
            ]
            for title, summary in summaries.items()
        },
    }


def _curves(folder: Path) -> dict[str, object]:
    """Draw the learning curves of the networks in a folder, as points of an SVG."""
    found = {}
    for name, title in NETWORKS.items():
        path = folder / f"{name}.json"
        record = records.read(path) if path.is_file() else {}
        if any(map(_is_drawn, record.get("curve", {}).values())):
            found[title] = draw_curve(record["curve"], record["epochs"])
    return found


def draw_curve(curve: Mapping[str, Sequence[float]], epochs: int) -> dict[str, object]:
    """Lay learning curves over each other, on one logarithmic scale where all values allow it.

    Parameters
    ----------
    curve : mapping of str to sequence of float
        Name → one value per step.
    epochs : int
        How many epochs they cover.

    Returns
    -------
    dict
        ``lines``, name → the points of a polyline; ``low`` and ``high``, the least and the greatest value;
        ``logarithmic``; ``epochs``.
    """
    drawn = {name: values for name, values in curve.items() if _is_drawn(values)}
    every = [value for values in drawn.values() for value in values if math.isfinite(value)]
    scale = math.log10 if min(every) > 0 else float
    low, high = scale(min(every)), scale(max(every))
    width, height = _DRAWING
    lines = {}
    for name, values in drawn.items():
        points = [
            f"{width * place / max(len(values) - 1, 1):.1f},"
            f"{height * (1 - (scale(value) - low) / ((high - low) or 1)):.1f}"
            for place, value in enumerate(values)
            if math.isfinite(value)
        ]
        lines[name.replace("val_", "validation ").replace("_", " ")] = " ".join(points)
    return {
        "lines": lines,
        "low": f"{min(every):.3g}",
        "high": f"{max(every):.3g}",
        "logarithmic": scale is math.log10,
        "epochs": epochs,
    }


def _is_drawn(values: Sequence[float]) -> bool:
    return any(map(math.isfinite, values))


def _hash(text: str) -> str:
    """Name a text as a content-security policy does."""
    return f"'sha256-{b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
