"""Time how photographs are prepared and opened: python tests/benchmarks/prepare.py PHOTOS.

PHOTOS is what `helpers.photographs.load` takes. Preparing and opening again each get a process of
their own, and a folder that is removed afterwards, in `data/cache` unless told otherwise. Wall
times do not hold the start of Python; the memory is the largest resident set of the process that
prepares.

The last line is one JSON object.
"""

import argparse
import json
import multiprocessing
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import psutil

from helpers import places
from helpers.photographs import load


def timed_load(source, size, cache):
    """Load photographs; return how many files, how many are kept, seconds, and peak memory in MB."""
    places.CACHE = Path(cache)
    start = time.perf_counter()
    photographs = load(source, size)
    seconds = time.perf_counter() - start
    return photographs.origin["files"], len(photographs), seconds, peak_mb()


def peak_mb():
    """Return the largest resident set of this process so far, in MB."""
    if sys.platform == "win32":
        return psutil.Process().memory_info().peak_wset / 1e6
    import resource

    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6


def in_its_own_process(*arguments):
    """Run `timed_load` in a fresh process, so that nothing is warm and the peak is its own."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(timed_load, *arguments).result()


def main():
    """Measure, and print a table and one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("photos", metavar="PHOTOS")
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--cache", type=Path, default=places.CACHE, metavar="FOLDER")
    options = parser.parse_args()
    options.cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=options.cache, prefix="benchmark-") as folder:
        files, kept, seconds, peak = in_its_own_process(options.photos, options.size, folder)
        *_, reopen, _ = in_its_own_process(options.photos, options.size, folder)
    print(f"{files:,} files, {kept:,} photographs kept, at {options.size} px")
    print(f"prepared in {seconds:.1f} s with at most {peak:.0f} MB; opened again in {reopen:.3f} s")
    result = {"photographs": kept, "seconds": seconds, "peak_mb": peak, "reopen_s": reopen}
    print(json.dumps({name: round(value, 3) for name, value in result.items()}))


if __name__ == "__main__":
    main()
