"""The learner's own picture in a notebook: uploaded, colored, compared, and downloaded.

The controls are those of the app's page. A Jupyter server refuses messages of more than 10 MB, so ipywidgets'
own upload loses larger files without a word; here a file comes in parts.
"""

import io
from collections.abc import Mapping
from pathlib import Path

import anywidget
import numpy as np
import traitlets
from PIL import Image
from scipy.ndimage import gaussian_filter
from skimage import data

from helpers import colorize, display, networks, preview
from helpers.colorize import Colorizer, Original
from helpers.errors import CourseError, trace
from helpers.hints import Hint
from helpers.lab import rgb_to_lab
from helpers.places import SAMPLE

LIMITS = preview.Limits(megabytes=200, megapixels=100)
OLD = "monument_arles_amphitheater.jpg"
CREDITS = (
    "The cameraman: scikit-image, `skimage.data.camera`, by Lav Varshney, CC0 1.0",
    "The arena, made to look old by the course: (WT-fr) OT Arles, public domain, "
    "https://commons.wikimedia.org/wiki/File:Arenes_arles.JPG",
)


def examples() -> dict[str, bytes]:
    """Give pictures to whoever has none at hand.

    Returns
    -------
    dict of str to bytes
        What each is, and its file: a grey photograph, and one that code has aged, since no old print with a
        free license comes with the course.
    """
    with Image.open(SAMPLE / OLD) as image:
        old = aged(np.asarray(image.convert("RGB")))
    return {"a cameraman": _png(data.camera()), "an arena, made to look old": _png(old)}


def aged(rgb: np.ndarray, seed: int = 0) -> np.ndarray:
    """Make a photograph look like an old print: faded, brown, with grain, scratches and spots.

    Parameters
    ----------
    rgb : (height, width, 3) ndarray of uint8
        The photograph.
    seed : int
        Of the grain, and of where the scratches and spots are.

    Returns
    -------
    (height, width, 3) ndarray of uint8
        Its colors are those of the print's paper and toning; nothing of the photograph's is left.
    """
    random = np.random.default_rng(seed)
    height, width = rgb.shape[:2]
    grain = gaussian_filter(random.normal(0, 0.04, (height, width)), 1)
    light = 0.15 + 0.7 * rgb_to_lab(rgb)[..., 0] / 100 + grain
    rows, columns = np.mgrid[:height, :width]
    for _ in range(4):
        at, lean = random.uniform(0, width), random.uniform(-0.2, 0.2)
        light[np.abs(columns - at - lean * rows) < 0.6] = 0.95
    for _ in range(12):
        row, column, radius = random.uniform(0, height), random.uniform(0, width), random.uniform(0.5, 2.5)
        light[np.hypot(rows - row, columns - column) < radius] = random.choice([0.1, 0.95])
    toned = light[..., None] * [1.0, 0.9, 0.72]
    return np.rint(toned.clip(0, 1) * 255).astype(np.uint8)


def show(colorizer: Colorizer) -> None:
    """Show the controls, where there is a kernel behind them; elsewhere a line of text.

    Parameters
    ----------
    colorizer : Colorizer
        The network, from `helpers.colorize.load`.
    """
    widget = OwnPicture(colorizer, examples())
    _, metadata = widget._repr_mimebundle_()  # in Google Colab it names where the widget's code is
    display.live(widget, "Your own picture: run this cell in JupyterLab to color one.", metadata)


class OwnPicture(anywidget.AnyWidget):
    """A widget whose front end asks, and is answered with a picture or with the reason why there is none.

    Parameters
    ----------
    colorizer : Colorizer
        The network.
    examples : mapping of str to bytes
        What each built-in picture is, and its file.
    """

    _esm = preview.script() + (preview.PAGE / "widget.js").read_text("utf-8")
    _css = (preview.PAGE / "picture.css").read_text("utf-8")
    offered = traitlets.Dict().tag(sync=True)

    def __init__(self, colorizer: Colorizer, examples: Mapping[str, bytes]) -> None:
        network = {
            "name": "",
            "title": "",
            "vivid": colorizer.can_be_told,
            "vividness": colorizer.vividness,
            "hints": colorizer.takes_hints,
        }
        super().__init__(
            offered={
                "examples": [{"name": name, "title": name} for name in examples],
                "networks": [network],
                "mostBytes": LIMITS.megabytes * 10**6,
                "mostHints": preview.MOST_HINTS,
                "limits": str(LIMITS),
            }
        )
        self._colorizer, self._examples = colorizer, examples
        self._parts: dict[int, bytearray] = {}
        self._name = ""
        self._original = self._shown = None
        self._hints: list[Hint] = []
        self._ends: list[np.ndarray] = []  # with these hints
        self.on_msg(self._answer)

    def _answer(self, _widget: object, asked: dict, buffers: list) -> None:
        """Answer one question of the front end; see helpers/page/widget.js."""
        try:
            answer, content = getattr(self, f"_on_{asked['kind']}")(asked, buffers)
        except (CourseError, MemoryError) as error:
            trace(error)
            answer, content = {"error": str(error) or "too large for this machine's memory"}, None
        self.send({"asked": asked["asked"], **answer}, [content] if content else [])

    def _on_part(self, asked: dict, buffers: list) -> tuple[dict, None]:
        self._parts.setdefault(asked["upload"], bytearray()).extend(buffers[0])
        return {}, None

    def _on_upload(self, asked: dict, _buffers: list) -> tuple[dict, bytes]:
        return self._take(asked["name"], bytes(self._parts.pop(asked["upload"], b"")))

    def _on_example(self, asked: dict, _buffers: list) -> tuple[dict, bytes]:
        return self._take(f"{asked['name']}.png", self._examples[asked["name"]])

    def _take(self, name: str, data: bytes) -> tuple[dict, bytes]:
        original = preview.read(data, LIMITS)
        self._name, self._original, self._shown = name, original, preview.small(original)
        self._look([])
        before = colorize.encode(self._shown, preview.grey(self._shown))
        return {"notes": list(original.notes), "type": "image/jpeg"}, before

    def _on_color(self, asked: dict, _buffers: list) -> tuple[dict, bytes]:
        return {"type": "image/jpeg"}, self._colored(self._shown, asked)

    def _on_likely(self, asked: dict, _buffers: list) -> tuple[dict, None]:
        hints = preview.hints(asked["hints"])
        found = preview.likely(self._shown, self._colorizer, asked["x"], asked["y"], hints)
        return {"colors": found}, None

    def _on_download(self, asked: dict, _buffers: list) -> tuple[dict, bytes]:
        kind = colorize.result_format(self._original)
        name = f"{Path(self._name).stem}-colored{colorize.ENDINGS[kind]}"
        return {"type": Image.MIME.get(kind, ""), "name": name}, self._colored(self._original, asked)

    def _look(self, hints: list[Hint]) -> None:
        self._hints = hints
        (self._ends,) = colorize.predict_ends([self._original], self._colorizer, [hints])

    def _colored(self, original: Original, asked: dict) -> bytes:
        hints = preview.hints(asked.get("hints"))
        if hints != self._hints:
            self._look(hints)
        ab = networks.mix(self._ends, asked["vividness"] or 0)
        return colorize.encode(original, colorize.recolor(original.pixels, ab))


def _png(pixels: np.ndarray) -> bytes:
    target = io.BytesIO()
    Image.fromarray(pixels).save(target, "PNG")
    return target.getvalue()
