"""Whether this machine is ready for the course: for the day before, in one minute.

Nothing but Python's own library is needed to ask: what is missing is what it is to find.
"""

import csv
import importlib.metadata
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from helpers import installed, places
from helpers.errors import CourseError, trace

OK, WARNING, PROBLEM = "ok", "warning", "problem"
PYTHONS = ((3, 11), (3, 13))
# What a run of the short profile writes: prepared photographs, networks, notebooks and pages.
GB_OF_A_RUN = 0.5
SECONDS = 10
# A JupyterLab that starts a kernel waits for a minute as well.
KERNEL_SECONDS = 60


@dataclass(frozen=True)
class Finding:
    """What was found about one thing.

    Attributes
    ----------
    status : str
        ``ok``, ``warning`` or ``problem``.
    text : str
        What was found, in one line.
    advice : str
        What to do about it; empty if nothing.
    """

    status: str
    text: str
    advice: str = ""


def examine(quick: bool = False) -> Iterator[Finding]:
    """Look at everything that the course needs, one thing after the other.

    Parameters
    ----------
    quick : bool
        Whether to leave out the training, which takes some seconds.

    Yields
    ------
    Finding
        As soon as it is known. A check that cannot be made is a problem, with the error that it met.
    """
    checks = [_python, _packages, _backend, _kernel, _memory, _disk, _writing, _sample, _networks]
    for check in checks if quick else [*checks, _training]:
        try:
            yield from check()
        except Exception as error:
            what = check.__name__.strip("_")
            reason = str(error).partition("\n")[0]
            yield Finding(PROBLEM, f"{what}: {type(error).__name__}: {reason}", installed.INSTALL)


def report(say: Callable[[str], None] = print, quick: bool = False) -> int:
    """Say what `examine` finds, one line each, and what it comes to.

    Parameters
    ----------
    say : callable
        Takes a line.
    quick : bool
        As for `examine`.

    Returns
    -------
    int
        How many problems there are.
    """
    counts = dict.fromkeys((OK, WARNING, PROBLEM), 0)
    for finding in examine(quick):
        counts[finding.status] += 1
        say(f"{finding.status:<8} {finding.text}")
        if finding.advice:
            say(f"{'':<8} -> {finding.advice}")
    if counts[PROBLEM]:
        say(f"Not ready: {_plural(counts[PROBLEM], PROBLEM)}, {_plural(counts[WARNING], WARNING)}.")
    else:
        say(f"Ready, with {_plural(counts[WARNING], WARNING)}." if counts[WARNING] else "Ready.")
    return counts[PROBLEM]


def _plural(count: int, word: str) -> str:
    return f"{count} {word}{'' if count == 1 else 's'}"


def _python() -> Iterator[Finding]:
    version = ".".join(map(str, sys.version_info[:3]))
    oldest, newest = (".".join(map(str, each)) for each in PYTHONS)
    if PYTHONS[0] <= sys.version_info[:2] <= PYTHONS[1]:
        yield Finding(OK, f"Python {version}")
    else:
        yield Finding(
            PROBLEM,
            f"Python {version}; the course needs {oldest} to {newest}",
            "make an environment with one",
        )


def _packages() -> Iterator[Finding]:
    """Compare what is installed with requirements.txt."""
    lines = (places.ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    wanted = dict(match.groups() for line in lines if (match := re.match(r"([\w.-]+)==(\S+)", line)))
    found = {}
    for name in wanted:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = None
    missing = [name for name, version in found.items() if version is None]
    other = [
        f"{name} {version} (not {wanted[name]})"
        for name, version in found.items()
        if version not in (None, wanted[name])
    ]
    if missing:
        yield Finding(PROBLEM, f"not installed: {', '.join(missing)}", installed.INSTALL)
    if other:
        advice = f"{installed.INSTALL}; other versions may work, but were not tried"
        yield Finding(WARNING, f"other versions: {', '.join(other)}", advice)
    if not missing and not other:
        yield Finding(OK, f"{len(wanted)} packages, in the versions of requirements.txt")


def _backend() -> Iterator[Finding]:
    try:
        installed.check_backend()
    except CourseError as error:
        trace(error)
        yield Finding(PROBLEM, str(error))
        return
    from helpers import backend

    keras = backend.keras
    name = keras.backend.backend()
    version = importlib.metadata.version(name)
    yield Finding(OK, f"Keras {keras.__version__} on {name} {version}: {backend.device()}")
    if not backend.accelerators():
        yield Finding(OK, "no GPU: the short run needs none, the full profile takes hours without one")


def _kernel() -> Iterator[Finding]:
    """Ask the Python behind JupyterLab's kernel where it finds the course."""
    from jupyter_client.kernelspec import KernelSpecManager

    python = KernelSpecManager().get_kernel_spec("python3").argv[0]
    # Jupyter takes a plain name for the Python that it runs on itself.
    if python in (
        "python",
        f"python{sys.version_info[0]}",
        f"python{sys.version_info[0]}.{sys.version_info[1]}",
    ):
        python = sys.executable
    advice = (
        f"in the environment that JupyterLab runs in: {installed.INSTALL} && "
        f"{installed.PYTHON} -m ipykernel install --sys-prefix"
    )
    # As for a kernel: in the lessons' folder, and without this folder in front of everything.
    ask = [python, "-c", "import helpers, ipykernel; print(helpers.__file__)"]
    try:
        answer = subprocess.run(
            ask, cwd=places.NOTEBOOKS, capture_output=True, text=True, timeout=KERNEL_SECONDS
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        yield Finding(PROBLEM, f"JupyterLab's kernel would be {python}, which does not run: {error}", advice)
        return
    where = answer.stdout.strip()
    if answer.returncode:
        last = (answer.stderr.strip().splitlines() or ["it ended without a word"])[-1]
        yield Finding(PROBLEM, f"JupyterLab's kernel would be {python}: {last}", advice)
    elif Path(where).resolve().parent != places.ROOT / "helpers":
        yield Finding(
            PROBLEM, f"JupyterLab's kernel finds another course than this one: {Path(where).parent}", advice
        )
    else:
        yield Finding(OK, "JupyterLab's kernel finds this course")


def _memory() -> Iterator[Finding]:
    import psutil

    from helpers.installed import BACKENDS

    page = (places.ROOT / "README.md").read_text(encoding="utf-8")
    most = max(float(value) for value in re.findall(r"^\| \[\d\..*\| ([\d.]+) GB \|$", page, re.MULTILINE))
    if os.environ.get("KERAS_BACKEND") == BACKENDS[1]:
        most *= 2  # for its compiler
    free = psutil.virtual_memory().available / 1e9
    text = f"{free:.1f} GB of memory are free; the largest lesson takes {most:.1f}"
    if free < most:
        yield Finding(PROBLEM, text, "close other programs and other kernels")
    elif free < 1.5 * most:
        yield Finding(WARNING, text, "run one lesson at a time, and shut its kernel down after it")
    else:
        yield Finding(OK, text)


def _disk() -> Iterator[Finding]:
    for folder in {_existing(places.RUNS), _existing(places.CACHE)}:
        free = shutil.disk_usage(folder).free / 1e9
        text = f"{free:.1f} GB of disk are free in {folder}; a run takes {GB_OF_A_RUN:g}"
        if free < GB_OF_A_RUN:
            yield Finding(PROBLEM, text, f"make room, or name another folder in {places.ELSEWHERE}")
        else:
            yield Finding(OK, text)


def _writing() -> Iterator[Finding]:
    """Write a file, and remove it: what a system says of a folder is not always so."""
    for folder, advice in (
        (places.RUNS, "copy the course to a folder of your own"),
        (places.CACHE, f"name another folder in {places.ELSEWHERE}"),
    ):
        try:
            places.check_folder(folder)
            with tempfile.TemporaryFile(dir=_existing(folder)) as file:
                file.write(b"written")
        except (CourseError, OSError) as error:
            trace(error)
            yield Finding(PROBLEM, f"cannot write to {folder}: {error}", advice)
        else:
            yield Finding(OK, f"can write to {folder}")


def _existing(folder: Path) -> Path:
    return next(place for place in (folder, *folder.parents) if place.exists())


def _sample() -> Iterator[Finding]:
    """Decode every embedded photograph to its last row."""
    from PIL import Image

    with (places.SAMPLE / "ATTRIBUTION.csv").open(encoding="utf-8", newline="") as table:
        rows = list(csv.DictReader(table))
    damaged = []
    for row in rows:
        try:
            with Image.open(places.SAMPLE / row["file"]) as image:
                image.load()
                if image.size != (int(row["width"]), int(row["height"])):
                    raise OSError("another size")
        except OSError:
            damaged.append(row["file"])
    if damaged:
        text = (
            f"{len(damaged)} of {len(rows)} embedded photographs are missing or damaged: {', '.join(damaged)}"
        )
        yield Finding(PROBLEM, text, "get the course anew; with git: git checkout -- data/sample")
    else:
        yield Finding(OK, f"{len(rows)} embedded photographs, all whole")


def _networks() -> Iterator[Finding]:
    """Read every recorded network to its last byte."""
    damaged, files = [], sorted(places.MODELS.glob("*.keras"))
    for path in files:
        try:
            with zipfile.ZipFile(path) as archive:
                if archive.testzip():
                    damaged.append(path.name)
            json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
        except (OSError, ValueError, zipfile.BadZipFile):
            damaged.append(path.name)
    if damaged or not files:
        text = (
            f"recorded networks are damaged: {', '.join(damaged)}"
            if files
            else "no recorded network is there"
        )
        yield Finding(PROBLEM, text, "get the course anew; with git: git checkout -- data/models")
    else:
        yield Finding(OK, f"{len(files)} recorded networks, all whole")


def _training() -> Iterator[Finding]:
    """Train a small network on the embedded photographs for some seconds."""
    import numpy as np

    from helpers.backend import keras, set_seed
    from helpers.batches import Batches
    from helpers.photographs import load

    set_seed(0)
    layers = keras.layers
    photographs = load("sample", 64).train
    batches, unchanged = Batches(photographs, 8, contrast=()), Batches(photographs, 8, augment=False)
    L = keras.Input((None, None, 1))
    x = layers.Conv2D(32, 3, 2, padding="same", activation="relu")(L)
    x = layers.Conv2D(32, 3, padding="same", activation="relu")(layers.UpSampling2D()(x))
    network = keras.Model(L, layers.Conv2D(2, 3, padding="same")(x))
    network.compile(keras.optimizers.Adam(1e-3), "mse")
    first = float(network.evaluate(unchanged, verbose=0))
    began, seen = time.perf_counter(), 0
    while time.perf_counter() - began < SECONDS:
        seen += sum(len(L) for L, _ in batches)
        network.fit(batches, verbose=0)
    rate = seen / (time.perf_counter() - began)
    last = float(network.evaluate(unchanged, verbose=0))
    if np.isfinite(last) and last < first:
        yield Finding(
            OK, f"a small network learns: {rate:.0f} photographs a second, loss {first:.4f} to {last:.4f}"
        )
    else:
        text = f"a small network does not learn: loss {first:.4f}, then {last:.4f}"
        yield Finding(PROBLEM, text, f"{installed.INSTALL}; or try another KERAS_BACKEND")
