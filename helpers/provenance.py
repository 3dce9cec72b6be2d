"""Where a network comes from: the commit, the machine, and a fingerprint of how it is trained.

The commit pins the text of the code. The fingerprint says whether the code as it
is now would still train the same network, whatever its text: the lesson's own
cells are run on the embedded photographs up to the point where they would save,
with a `fit` that notes what it is given and trains nothing.
"""

import dataclasses
import io
import json
import math
import platform
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import redirect_stdout, suppress
from datetime import UTC, datetime
from hashlib import sha256
from importlib.metadata import version
from multiprocessing import get_context
from pathlib import Path
from unittest import mock

import nbformat
import numpy as np

from helpers.backend import device, keras, set_seed
from helpers.batches import Batches
from helpers.errors import CourseError
from helpers.places import NOTEBOOKS, ROOT, lessons
from helpers.profiles import Lesson, Profile

# Cells with the first tag are every network's of their lesson, with the second one network's.
TAG = "recorded"
# Settings that decide what results are shown and measured on, and nothing of a training.
ONLY_TEST = {"test_size", "test_photos"}
# Settings that say where photographs lie.
PLACES = ("photos", "more_photos")
PROJECTIONS = 8
# Numbers that were measured agree between processors to about six digits.
TOLERANCE = {"rel_tol": 1e-3, "abs_tol": 2e-3}


def origin() -> dict[str, object]:
    """Say on what and when this process computes.

    Returns
    -------
    dict of str to object
        Device, backend, versions, commit and date, as JSON can hold them.
    """
    backend = keras.backend.backend()
    packages = ("keras", backend, "numpy", "scikit-image")
    return {
        "device": device(),
        "backend": backend,
        "versions": {"python": platform.python_version()} | {name: version(name) for name in packages},
        "commit": _commit(),
        "date": datetime.now(UTC).date().isoformat(),
    }


def settings(lesson: Profile) -> dict[str, object]:
    """Return the settings of a run, as JSON has them.

    Parameters
    ----------
    lesson : Profile
        A profile, or a lesson that was begun.

    Returns
    -------
    dict of str to object
        All fields of `Profile` but where the photographs lie, which differs between machines.
    """
    names = [field.name for field in dataclasses.fields(Profile) if field.name not in PLACES]
    return json.loads(json.dumps({name: getattr(lesson, name) for name in names}))


def fingerprint(name: str, wanted: Mapping[str, object], seed: int = 0) -> dict[str, object]:
    """Describe how the code as it is would train a network.

    Parameters
    ----------
    name : str
        The network.
    wanted : mapping of str to object
        The `settings` to train it with.
    seed : int
        The lesson's seed.

    Returns
    -------
    dict of str to object
        As JSON can hold it: ``settings``, those that the cells have read; and for each call of `fit`
        ``network`` (the layers of each part), ``weights`` (as they start, on this backend),
        ``optimizer``, ``loss`` (of fixed arrays), ``batches`` and ``validation`` (the first of each,
        of the embedded photographs), ``callbacks`` (Keras' own) and the other ``arguments``.

    Raises
    ------
    CourseError
        If no lesson trains such a network.
    """
    calls: list[dict[str, object]] = []

    def note(model: keras.Model, x: object = None, y: object = None, *positional: object, **named: object):
        calls.append(_describe_call(model, x, y, positional, named))
        return keras.callbacks.History()

    read = run_cells(name, wanted, seed, note, calls)
    found = {key: value for key, value in wanted.items() if key in read - ONLY_TEST}
    return json.loads(json.dumps({"settings": found, "fits": calls}))


def run_cells(
    name: str,
    wanted: Mapping[str, object],
    seed: int,
    fit: Callable[..., object],
    calls: Sequence[object] = (),
) -> set[str]:
    """Run the cells that build and train a network, on the embedded photographs.

    Parameters
    ----------
    name, wanted, seed
        As for `fingerprint`.
    fit : callable
        What is called in place of `keras.Model.fit`, with the model and then as that.
    calls : sequence of object
        Grows as `fit` is called; the cells end where they would save after that.

    Returns
    -------
    set of str
        The settings that the cells have read.

    Raises
    ------
    CourseError
        If no lesson trains such a network.
    """
    steps = cells(name)
    chosen = {key: _tuples(value) for key, value in wanted.items()}
    with tempfile.TemporaryDirectory() as folder:
        places = {name: "sample" if name == "photos" else "" for name in PLACES}
        lesson = Lesson(**chosen, **places, name="full", seed=seed, out=Path(folder))
        watched = _Watched(lesson, calls)
        # Not the lesson's: a network that its cells do not seed by themselves is to differ.
        set_seed(seed + 1)
        namespace = {"lesson": watched, "SEED": seed}
        with (
            mock.patch.object(keras.Model, "fit", fit),
            redirect_stdout(io.StringIO()),
            suppress(_SavingError),
        ):
            for place, source in steps:
                exec(compile(source, place, "exec"), namespace)
    return watched.read_by_cells


def cells(name: str) -> list[tuple[str, str]]:
    """Find the cells that build and train a network, in the one lesson that does.

    Parameters
    ----------
    name : str
        The network.

    Returns
    -------
    list of (str, str)
        The notebook's file name and the code of each, in their order.

    Raises
    ------
    CourseError
        If no lesson trains such a network.
    """
    for path in lessons(NOTEBOOKS):
        every = nbformat.read(path, as_version=4).cells
        tags = [set(cell.metadata.get("tags", ())) for cell in every]
        if any(f"{TAG}:{name}" in each for each in tags):
            return [
                (path.name, cell.source)
                for cell, each in zip(every, tags, strict=True)
                if each & {TAG, f"{TAG}:{name}"}
            ]
    raise CourseError(f"no lesson trains a network {name!r}: no cell bears the tag {TAG}:{name}")


def fingerprint_apart(name: str, wanted: Mapping[str, object], seed: int) -> dict[str, object]:
    """Take a `fingerprint` in a process of its own, which leaves this one's random numbers alone.

    Parameters
    ----------
    name, wanted, seed
        As for `fingerprint`.

    Returns
    -------
    dict of str to object
        As from `fingerprint`.

    Raises
    ------
    CourseError
        As from `fingerprint`.
    """
    with ProcessPoolExecutor(1, get_context("spawn")) as process:
        return process.submit(fingerprint, name, wanted, seed).result()


def differences(now: object, then: object, place: str = "") -> Iterator[str]:
    """Compare two fingerprints.

    Parameters
    ----------
    now, then : object
        What `fingerprint` returned, then and now, or parts of it.
    place : str
        Where the parts stand.

    Yields
    ------
    str
        The place of each difference, as ``fits.0.optimizer.beta_1``. Measured numbers may differ by a
        thousandth, as they do between processors; weights that start on another backend are not compared.
    """
    if isinstance(now, dict) and isinstance(then, dict):
        for key in sorted(now.keys() | then.keys()):
            if place.endswith("weights") and not (key in now and key in then):
                continue
            yield from differences(now.get(key), then.get(key), f"{place}.{key}".lstrip("."))
    elif isinstance(now, list) and isinstance(then, list) and len(now) == len(then):
        for index, pair in enumerate(zip(now, then, strict=True)):
            yield from differences(*pair, f"{place}.{index}")
    elif isinstance(now, float) and isinstance(then, float):
        if not math.isclose(now, then, **TOLERANCE):
            yield place
    elif now != then:
        yield place


def identity(model: keras.Model, batches: Batches) -> dict[str, object]:
    """Describe a training, to see later whether another one is the same.

    Parameters
    ----------
    model : keras.Model
        Compiled. It is asked for a loss, and is left as it was.
    batches : Batches
        What it is trained on.

    Returns
    -------
    dict of str to object
        As JSON can hold it: ``size`` of the batches' pictures, ``network``, ``optimizer``, ``loss`` (of fixed
        arrays), ``photographs`` and ``batches``, what these are drawn by.
    """
    before = [keras.ops.convert_to_numpy(variable) for variable in model.variables]
    found = {"size": batches.size, **_describe_model(model, batches[0])}
    found |= {"photographs": batches.checksum, "batches": batches.settings}
    found["network"] = list(found["network"].values())  # a part without a name gets another one each time
    for variable, value in zip(model.variables, before, strict=True):
        variable.assign(value)
    return found


class _SavingError(Exception):
    """The cells have come to where they would save."""


class _Watched:
    """A lesson that notes which settings it is asked for, until the cells ask where to save."""

    def __init__(self, lesson: Lesson, calls: Sequence[object]):
        self._lesson, self._calls = lesson, calls
        self.read_by_cells: set[str] = set()

    def __getattr__(self, name: str) -> object:
        if name == "models" and self._calls:
            raise _SavingError
        # What helpers read of it, such as the size of the test pictures, they read for every network.
        if sys._getframe(1).f_code.co_filename.endswith(".ipynb"):
            self.read_by_cells.add(name)
        return getattr(self._lesson, name)


def _describe_call(model: keras.Model, x: object, y: object, positional: tuple, named: dict) -> dict:
    """Describe a call of `fit` by what decides the training."""
    batch = x[0] if isinstance(x, keras.utils.PyDataset) else (x, y)
    validation = named.pop("validation_data", None)
    callbacks = named.pop("callbacks", ())
    keras_own = [callback for callback in callbacks if type(callback).__module__.startswith("keras.")]
    described = {
        "weights": {
            keras.backend.backend(): {
                part.name: _sketch(np.concatenate([array.ravel() for array in part.get_weights()]))
                for part in _parts(model)
            }
        },
        **_describe_model(model, batch),
        "batches": [_sketch(array) for array in _arrays(batch)],
        "callbacks": {type(each).__name__: plain for each in keras_own if (plain := _plain(vars(each)))},
        "arguments": [str(value) for value in positional] + [_plain(named)],
    }
    if validation is not None:
        first = validation[0] if isinstance(validation, keras.utils.PyDataset) else validation
        described["validation"] = [_sketch(array) for array in _arrays(first)]
    return described


def _describe_model(model: keras.Model, batch: tuple) -> dict[str, object]:
    """Describe a compiled network by its layers, its optimizer and its loss."""
    optimizer = json.dumps(model.optimizer.get_config() | {"name": None}, default=str)
    return {
        "network": {part.name: _structure(part) for part in _parts(model)},
        # Floats as text are compared exactly.
        "optimizer": json.loads(optimizer, parse_float=lambda text: f"{float(text):.6g}"),
        "loss": _loss(model, *batch),
    }


def _parts(model: keras.Model) -> list[keras.Model]:
    """Take a functional network as one part, whatever lies in it; a subclass is what it was given."""
    if getattr(model, "inputs", None):
        return [model]
    return [each for each in model.layers if isinstance(each, keras.Model)]


def _tuples(value: object) -> object:
    """Make lists tuples again, as they were before JSON had them."""
    return tuple(_tuples(each) for each in value) if isinstance(value, list) else value


def _structure(network: keras.Model) -> str:
    """Hash a network's layers, whatever number Keras has put behind their names."""
    text = json.dumps(network.get_config(), sort_keys=True, default=str)
    text = re.sub(r'"shared_object_id": \d+', '"shared_object_id": 0', text)
    names = dict.fromkeys(re.findall(r'"name": "([^"]+)"', text))
    number = {name: f'"name {index}"' for index, name in enumerate(names)}
    text = re.sub(r'"([^"]+)"', lambda quoted: number.get(quoted[1], quoted[0]), text)
    return sha256(text.encode()).hexdigest()[:16]


def _loss(model: keras.Model, x: object, y: object) -> float:
    """Compute the loss of fixed arrays of the shapes that the model takes and gives."""
    random = np.random.default_rng(0)

    def like(array: np.ndarray) -> np.ndarray:
        floats = array.dtype.kind == "f"
        return random.uniform(-0.5, 0.5, (2, *array.shape[1:])).astype("float32") if floats else array[:2]

    def like_all(arrays: object) -> object:
        return keras.tree.map_structure(lambda array: like(keras.ops.convert_to_numpy(array)), arrays)

    x = like_all(list(x) if isinstance(x, tuple) else x)
    y = like_all(y)
    given = like_all(model(x, training=False))
    x, y, predicted = keras.tree.map_structure(keras.ops.convert_to_tensor, (x, y, given))
    return float(model.compute_loss(x=x, y=y, y_pred=predicted, sample_weight=None))


def _sketch(array: object) -> list[float]:
    """Project an array on random signs: a few numbers that any change but a rounding moves."""
    flat = np.asarray(array, np.float64).ravel()
    signs = 2 * np.random.default_rng(0).integers(0, 2, (PROJECTIONS, flat.size), np.int8) - 1
    return [round(float(row @ flat) / math.sqrt(flat.size), 5) for row in signs]


def _arrays(batch: object) -> list[np.ndarray]:
    return [np.asarray(array) for array in keras.tree.flatten(batch) if array is not None]


def _plain(values: Mapping[str, object]) -> dict[str, object]:
    """Take those public values that are plain, floats as text, to be compared exactly."""
    kept = {}
    for key, value in values.items():
        if key != "name" and not key.startswith("_") and isinstance(value, bool | int | float | str):
            kept[key] = f"{value:.6g}" if isinstance(value, float) else value
    return kept


def _commit() -> str:
    """Name the commit that the code stands at, with a plus sign if it was changed since."""
    # No tag is to stand for it: its number alone.
    command = ["git", "-C", str(ROOT), "describe", "--always", "--dirty=+", "--exclude=*"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
