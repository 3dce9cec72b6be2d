"""How long does `python -m helpers colorize` take, and how much memory?

    python tests/benchmarks/colorize.py

prints, for made pictures: the seconds of a photograph of 12 megapixels after start-up, and the network's
share of them; the seconds and the peak memory of the whole command for one of 100 megapixels; and how many
small pictures of a folder are colored in a second.
"""

import io
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

from helpers import album, colorize, networks
from helpers.places import ROOT


def photograph(width: int, height: int) -> Image.Image:
    """Make a grey picture with soft shapes and with grain, as a scan has both."""
    random = np.random.default_rng(0)
    shapes = Image.fromarray(random.integers(40, 215, (height // 100 + 2, width // 100 + 2), np.uint8))
    smooth = np.asarray(shapes.resize((width, height), Image.Resampling.BICUBIC)).astype(np.int16)
    grain = np.tile(random.integers(-8, 9, (500, 500), np.int16), (height // 500 + 1, width // 500 + 1))
    return Image.fromarray((smooth + grain[:height, :width]).clip(0, 255).astype(np.uint8))


def one(colorizer: colorize.Colorizer) -> dict[str, str]:
    """Color 12 megapixels, from the file's bytes to the file's bytes; of three times the median."""
    target = io.BytesIO()
    photograph(4000, 3000).save(target, "JPEG", quality=90)
    predict_ends, seconds, shares = networks.predict_ends, [], []
    spent = []

    def timed(*arguments: object) -> list[np.ndarray]:
        began = time.perf_counter()
        ends = predict_ends(*arguments)
        spent.append(time.perf_counter() - began)
        return ends

    networks.predict_ends = timed
    for _ in range(3):
        began = time.perf_counter()
        original = colorize.read(target.getvalue())
        colorize.encode(original, colorize.colorize([original], colorizer)[0])
        seconds.append(time.perf_counter() - began)
        shares.append(spent.pop() / seconds[-1])
    networks.predict_ends = predict_ends
    return {
        "12 megapixels, seconds after start-up": f"{np.median(seconds):.1f}",
        "of which the network": f"{np.median(shares):.0%}",
    }


def large(folder: Path) -> dict[str, str]:
    """Color 100 megapixels in a process of its own."""
    photograph(10000, 10000).save(folder / "large.jpg", quality=90)
    began = time.perf_counter()
    command = [sys.executable, "-m", "helpers", "colorize", str(folder / "large.jpg")]
    subprocess.run(
        command, check=True, env={**os.environ, "PYTHONPATH": str(ROOT)}, stderr=subprocess.DEVNULL
    )
    seconds = time.perf_counter() - began
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return {
        "100 megapixels, seconds with start-up": f"{seconds:.1f}",
        "100 megapixels, peak memory in GB": f"{peak / 1e9:.2f}",
    }


def many(folder: Path, colorizer: colorize.Colorizer) -> dict[str, str]:
    """Color a folder of 100 pictures of 256 x 256 pixels."""
    (folder / "album").mkdir()
    for number in range(100):
        photograph(256, 256).save(folder / "album" / f"{number}.jpg")
    began = time.perf_counter()
    failed = album.run([str(folder / "album")], None, colorizer, force=False)
    seconds = time.perf_counter() - began
    assert not failed
    return {"small pictures a second": f"{100 / seconds:.0f}"}


if __name__ == "__main__":
    colorizer = colorize.load()
    with tempfile.TemporaryDirectory() as folder:
        measured = large(Path(folder)) | one(colorizer) | many(Path(folder), colorizer)
    for name, value in measured.items():
        print(f"{name:<40}{value:>8}")
