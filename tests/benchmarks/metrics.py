"""Time the metrics: python tests/benchmarks/metrics.py [FOLDER] [--count 1000] [--size 256].

Without a folder the photographs are synthetic: smooth random colors with grain.
The prediction is each photograph at half saturation. The last line is one JSON object.
"""

import argparse
import json
import os
import time
from itertools import islice
from pathlib import Path

import numpy as np
import psutil
from PIL import Image, ImageOps
from skimage.color import deltaE_ciede2000
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from skimage.transform import resize

from helpers import colorings, lab, metrics


def synthetic(count: int, size: int) -> np.ndarray:
    """Draw photographs: uint8 (count, size, size, 3)."""
    rng = np.random.default_rng(0)
    photographs = np.empty((count, size, size, 3), np.uint8)
    for photograph in photographs:
        smooth = resize(rng.random((8, 8, 3)), (size, size), order=1, mode="edge")
        grain = rng.normal(0, 0.03, (size, size, 1))
        photograph[:] = lab.to_uint8(np.clip(smooth + grain, 0, 1))
    return photographs


def real(folder: str, count: int, size: int) -> np.ndarray:
    """Read up to `count` photographs below a folder, evenly chosen: uint8 (n, size, size, 3)."""
    files = sorted(
        file for file in Path(folder).rglob("*") if file.suffix.lower() in {".jpg", ".jpeg", ".png"}
    )
    chosen = islice(files, 0, None, max(1, len(files) // count))
    return np.stack(
        [ImageOps.fit(Image.open(file).convert("RGB"), (size, size)) for file in islice(chosen, count)]
    )


def milliseconds(function, *arguments, repeats: int = 50, **options) -> float:
    """Return the CPU milliseconds of a call, the mean of many: some clocks tick every 10 ms."""
    start = time.process_time()
    for _ in range(repeats):
        function(*arguments, **options)
    return 1000 * (time.process_time() - start) / repeats


def main() -> None:
    """Measure each metric on one photograph, then all of them on all photographs."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", nargs="?")
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--size", type=int, default=256)
    given = parser.parse_args()

    truth = (
        real(given.folder, given.count, given.size) if given.folder else synthetic(given.count, given.size)
    )
    start = time.perf_counter()
    predicted = np.stack([colorings.recolor(one, lab.rgb_to_lab(one)[..., 1:] * 0.5) for one in truth])
    recolor_s = time.perf_counter() - start

    one, other = truth[0], predicted[0]
    one_lab, other_lab = lab.rgb_to_lab(one), lab.rgb_to_lab(other)
    parts = {
        "RGB to LAB": (lab.rgb_to_lab, one),
        "PSNR": (peak_signal_noise_ratio, one, other),
        "CIEDE2000, float32": (deltaE_ciede2000, one_lab, other_lab),
        "CIEDE2000, float64": (deltaE_ciede2000, one_lab.astype(float), other_lab.astype(float)),
        "colorfulness": (lab.colorfulness, one),
    }
    print(f"CPU milliseconds for one photograph of {given.size} x {given.size}")
    for name, (function, *arguments) in parts.items():
        print(f"  {name:20} {milliseconds(function, *arguments):6.1f}")
    print(f"  {'SSIM':20} {milliseconds(structural_similarity, one, other, channel_axis=-1):6.1f}")
    print(f"  {'everything':20} {milliseconds(metrics.measure, truth[:1], predicted[:1]):6.1f}")

    start, start_cpu = time.perf_counter(), time.process_time()
    measured = metrics.measure(truth, predicted)
    seconds, cpu_s = time.perf_counter() - start, time.process_time() - start_cpu
    start = time.perf_counter()
    summary = metrics.summarize(measured)
    summarize_s = time.perf_counter() - start

    print(f"{len(truth)} photographs, all metrics, on {os.cpu_count()} cores: {seconds:.1f} s")
    for metric, interval in summary.items():
        print(f"  {metric:20} {interval['mean']:8.3f}  [{interval['low']:.3f}, {interval['high']:.3f}]")
    print(
        json.dumps(
            {
                "photographs": len(truth),
                "size": given.size,
                "source": Path(given.folder).name if given.folder else "synthetic",
                "cores": os.cpu_count(),
                "seconds": round(seconds, 2),
                "cpu_s": round(cpu_s, 2),
                "summarize_s": round(summarize_s, 2),
                "recolor_s": round(recolor_s, 2),
                "memory_mb": round(psutil.Process().memory_info().rss / 2**20),
            }
        )
    )


if __name__ == "__main__":
    main()
