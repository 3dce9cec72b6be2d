"""A small gallery whose pictures are made by code: for the tests of what is on its page."""

import numpy as np

from helpers import colorings, gallery
from helpers.gallery import Coloring
from helpers.photographs import Photographs

NETWORKS = ("pale", "bold, vivid", "odd")
TABLE = {"photographs": 5, "columns": ["ΔE2000 ↓"], "rows": {"grey": [("9.9", "9.6", "10.2")]}}
CURVE = {"loss": [4.0, 2.0, 1.0], "val_loss": [3.0, float("nan"), 2.0]}


def photographs(names=("ant", "bee_hive", "cat", "dog", "elk"), credits=None, size=48):
    """Smooth pictures of bright colors, one for each name."""
    random = np.random.default_rng(3)
    rows, columns = np.mgrid[:size, :size] / size
    hues = random.uniform(0, 255, (len(names), 2, 3))
    rgb = [h[0] * rows[..., None] + h[1] * columns[..., None] for h in hues]
    return Photographs(
        name="made by code",
        size=size,
        checksum="5" * 64,
        key="",
        rgb=np.clip(rgb, 0, 255).astype(np.uint8),
        names=[f"{name}.jpg" for name in names],
        labels=[""] * len(names),
        credits=credits
        or [f"{name}, nobody, CC0, https://example.org/{number}" for number, name in enumerate(names)],
        splits=["test"] * len(names),
        colorfulness=np.ones(len(names), np.float32),
        skipped=[],
        set_aside=[],
        rule="",
        origin={},
    )


def groups(shown):
    """Three recorded colorings and one of a run, each wrong in its own way."""
    ab = [colorings.ab_of(picture) for picture in shown.rgb]
    # How wrong each is differs from photograph to photograph, so that their orders differ.
    far = np.random.default_rng(5).uniform(0.2, 1.5, (4, len(ab)))
    made = [colorings.recolor(shown.rgb, [one * by for one, by in zip(ab, row, strict=True)]) for row in far]
    recorded = [
        Coloring(title, "recorded", rgb, title) for title, rgb in zip(NETWORKS, made[:3], strict=True)
    ]
    return {"recorded": recorded, "this run": [Coloring("pale", "this run", made[3], "here")]}


def page(shown=None, total=7):
    """The whole page."""
    shown = shown or photographs()
    return gallery.render(
        shown,
        groups(shown),
        {"Recorded networks": TABLE},
        {"Recorded networks": {"pale": gallery.draw_curve(CURVE, epochs=3)}},
        total=total,
        seed=1,
    )
