"""The record of a long run: what was trained, on what, for how long, and what it scored."""

import json
import platform
import subprocess
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import psutil

from helpers.backend import keras
from helpers.errors import CourseError
from helpers.photographs import Photographs
from helpers.places import MODELS, ROOT


def write(
    path: Path,
    photographs: Photographs,
    network: keras.Model,
    *,
    seed: int,
    minutes: float,
    curve: dict[str, list[float]],
    metrics: dict[str, dict[str, float]],
    **facts: object,
) -> None:
    """Write a trained network's record beside its file.

    Parameters
    ----------
    path : Path
        The JSON file to write.
    photographs : Photographs
        What the network was trained on.
    network : keras.Model
        The trained network.
    seed : int
        The run's seed.
    minutes : float
        Wall-clock minutes of the training alone.
    curve : dict of str to list of float
        The learning curve, one value per epoch, as `fit(...).history` has it.
    metrics : dict of str to dict of str to float
        Metric → ``mean``, ``low`` and ``high`` of the 95 % interval, on the test photographs.
    **facts
        What else there is to know, as JSON can hold it.
    """
    record = {
        "data_set": photographs.name,
        "checksum": photographs.checksum,
        "photographs": {split: len(getattr(photographs, split)) for split in ("train", "validation", "test")},
        "resolution": photographs.size,
        "parameters": network.count_params(),
        "epochs": len(next(iter(curve.values()))),
        "minutes": round(minutes, 2),
        "device": _device(),
        "backend": keras.backend.backend(),
        "versions": {
            "python": platform.python_version(),
            **{name: version(name) for name in ("keras", keras.backend.backend(), "numpy", "scikit-image")},
        },
        "seed": seed,
        "commit": _commit(),
        "date": datetime.now(UTC).date().isoformat(),
        "curve": {name: [float(f"{value:.5g}") for value in values] for name, values in curve.items()},
        "metrics": metrics,
        **facts,
    }
    path.write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def read(name: str) -> dict:
    """Read the record that comes with the course.

    Parameters
    ----------
    name : str
        The network's name, as ``classifier``.

    Returns
    -------
    dict
        What `write` wrote.

    Raises
    ------
    CourseError
        If there is no such record.
    """
    path = MODELS / f"{name}.json"
    if not path.is_file():
        have = ", ".join(sorted(file.stem for file in MODELS.glob("*.json"))) or "none"
        raise CourseError(f"there is no record of {name!r}; there are: {have}")
    return json.loads(path.read_text(encoding="utf-8"))


def _device() -> str:
    """Name the processor that Keras computes on, without the machine's own name."""
    devices = keras.distribution.list_devices()
    accelerators = [device for device in devices if not device.lower().startswith("cpu")]
    return ", ".join(accelerators) or f"{psutil.cpu_count()} CPU cores ({platform.machine()})"


def _commit() -> str:
    """Name the commit that the code stands at, with a plus sign if it was changed since."""
    git = ["git", "-C", str(ROOT)]
    try:
        head = subprocess.run(
            [*git, "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=True
        )
        changed = subprocess.run([*git, "status", "--porcelain"], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return head.stdout.strip() + ("+" if changed.stdout.strip() else "")
