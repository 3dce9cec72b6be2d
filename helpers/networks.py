"""Trained networks: saved, loaded, and put to work on photographs."""

import json
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from zipfile import ZIP_DEFLATED, BadZipFile, ZipFile

import numpy as np

from helpers import files, precision
from helpers.ab_bins import annealed_mean
from helpers.backend import keras
from helpers.colorings import recolor
from helpers.errors import CourseError
from helpers.lab import AB_SCALE, rgb_to_lab

BATCH = (
    4  # photographs predicted together; on JAX, whatever a network computes on the way stays until its end
)
MEMBERS = ("metadata.json", "config.json", "model.weights.h5")  # of a `.keras` file
MOST_BYTES = 500 * 10**6  # that a file may unpack to
# Where the parts of a network may come from; and those layers that run code of the file, or read others.
_OF_KERAS = ("keras", "keras.layers", "keras.initializers", "keras.regularizers", "keras.constraints")
_WITHIN_KERAS = ("keras.src.models.", "keras.src.ops.")
_REFUSED = {"Lambda", "TFSMLayer", "TorchModuleWrapper", "JaxLayer", "FlaxLayer"}
_REFUSED |= {"StringLookup", "IntegerLookup", "TextVectorization"}
# What a configuration says of values, without a module.
_VALUES = {"__keras_tensor__", "__tensor__", "__numpy__", "__slice__", "__ellipsis__", "__tuple__"}


def save(network: keras.Model, path: Path) -> None:
    """Round a network's weights to half precision, and save it as one `.keras` file, without its optimizer.

    Parameters
    ----------
    network : keras.Model
        A functional network of built-in layers. Its weights stay float32 numbers, of which the last
        13 of 24 bits are zero from now on: so what is measured next is what the file holds, and the
        file is half as large. Saved uncompiled and in float32, it loads on every Keras backend, whatever
        `PRECISION` it was trained in.
    path : Path
        The file; its folder is made.
    """
    network.set_weights([_half(array) for array in network.get_weights()])
    with files.replacing(path) as part:
        precision.in_full(network).save(part)
        with ZipFile(part) as archive:
            members = {name: archive.read(name) for name in archive.namelist()}
        # Keras stores them as they are.
        with ZipFile(part, "w", ZIP_DEFLATED) as archive:
            for name, content in members.items():
                archive.writestr(name, content)


def _half(array: np.ndarray) -> np.ndarray:
    """Round float32 to the 11 significant bits of half precision, and keep the range of float32."""
    if array.dtype != np.float32:
        return array
    bits = np.ascontiguousarray(array).view(np.uint32)
    # Half of the last kept bit, and one less on a tie with an even number: to the nearest, ties to even.
    rounded = bits + np.uint32(0xFFF) + (bits >> np.uint32(13) & np.uint32(1))
    return (rounded & np.uint32(0xFFFFE000)).view(np.float32)


def load(path: Path) -> keras.Model:
    """Load a network that a lesson has saved.

    Parameters
    ----------
    path : Path
        A `.keras` file.

    Returns
    -------
    keras.Model
        The network, for prediction.

    Raises
    ------
    CourseError
        If there is no such file, if it is cut off or of another kind, or if it holds anything but layers of
        Keras and their weights: whatever a stranger has put into it, nothing of it is run or unpacked.
    """
    if not path.is_file():
        raise CourseError(f"this run has no network {path.name} yet: run lessons 3, 4 and 5 first")
    by = ""
    try:
        with ZipFile(path) as archive:
            _check_members(path, archive)
            config, metadata = (json.loads(archive.read(name)) for name in ("config.json", MEMBERS[0]))
        by = metadata["keras_version"]
        _check_parts(path, config)
        return keras.saving.load_model(path, compile=False, safe_mode=True)
    except CourseError:
        raise
    except (BadZipFile, EOFError, zlib.error, NotImplementedError, KeyError, TypeError, UnicodeDecodeError):
        raise CourseError(f"{path} is no network, or was cut off: copy it again, or train it again") from None
    except Exception as error:  # whatever Keras raises of a file that is not its own
        other = f", which Keras {by} saved; here is {keras.__version__}" if by != keras.__version__ else ""
        raise CourseError(
            f"{path} cannot be loaded ({_first_line(error)}){other}: copy it again, or train it again"
        ) from None


def _check_members(path: Path, archive: ZipFile) -> None:
    """Refuse a file that holds anything else than Keras writes, or unpacks to much more than it is."""
    entries = archive.infolist()
    if others := sorted({entry.filename for entry in entries} - set(MEMBERS)):
        raise CourseError(f"{path} holds {others[0]}, which is no part of a network: nothing was loaded")
    if sum(entry.file_size for entry in entries) > MOST_BYTES:
        raise CourseError(f"{path} unpacks to more than {MOST_BYTES // 10**6} MB: nothing was loaded")


def _check_parts(path: Path, config: object) -> None:
    """Refuse a network of anything but Keras' own layers."""
    for module, name in _parts(config):
        own = module in _OF_KERAS or module.startswith(_WITHIN_KERAS) or (module, name) == ("", "function")
        if not own or name in _REFUSED:
            raise CourseError(
                f"{path} holds {f'{module}.{name}'.lstrip('.')}, which is no layer that the course runs: "
                "nothing was loaded"
            )


def _parts(config: object) -> Iterator[tuple[str, str]]:
    """Find the module and the name of all that a configuration would make."""
    if isinstance(config, dict) and config.get("class_name", "__tensor__") not in _VALUES:
        module = config.get("module")
        yield "" if module in (None, "builtins") else str(module), str(config["class_name"])
    inner = config.values() if isinstance(config, dict) else config if isinstance(config, list) else ()
    for each in inner:
        yield from _parts(each)


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0][:120] if lines else type(error).__name__


def takes_hints(network: keras.Model) -> bool:
    """Tell whether a network takes hints with L.

    Parameters
    ----------
    network : keras.Model
        Any that colors.

    Returns
    -------
    bool
        Whether its second input is a map, as `helpers.hints.place` makes it, and not an embedding.
    """
    return len(network.inputs) > 1 and len(network.inputs[1].shape) == 4


def predict_ends(network: keras.Model, inputs: np.ndarray | list[np.ndarray]) -> list[np.ndarray]:
    """Predict the colors of photographs in inference mode: all the answers that a network has.

    Inference mode: no dropout, and batch normalization by the averages of the training. A network with two
    answers sees each photograph and its mirror image, and the means of what it says of both are taken.

    Parameters
    ----------
    network : keras.Model
        Takes L in 0..1, and gives ab / 128 (2 channels) or RGB in -1..1 (3 channels); or two maps, ab / 128
        and the logits of `helpers.ab_bins`.
    inputs : ndarray or list of ndarray
        What the network takes: L, (n, s, s, 1) float32 in 0..1, at the size
        that it was trained at; for a fusion network a list of L and the
        embeddings, (n, d) float32; for one that takes hints a list of L and their
        maps, (n, s / 4, s / 4, 3) float32.

    Returns
    -------
    list of (n, s, s, 2) ndarray of float32
        CIE units. One array; of a network that gives two maps two, with s / 4 in place of s: its ab, and the
        annealed mean of its distribution. Of a network that gives RGB it is the ab of that RGB.
    """
    parts = inputs if isinstance(inputs, list) else [inputs]
    batches = []
    for start in range(0, len(parts[0]), BATCH):
        batch = [part[start : start + BATCH] for part in parts]
        ends = _look(network, batch)
        if len(ends) > 1:
            mirrored = _look(network, [part[:, :, ::-1] for part in batch])
            ends = [(end + other[:, :, ::-1]) / 2 for end, other in zip(ends, mirrored, strict=True)]
        batches.append(ends)
    return [np.concatenate(each) for each in zip(*batches, strict=True)]


def _look(network: keras.Model, batch: list[np.ndarray]) -> list[np.ndarray]:
    # Called and not `predict`ed: a traced function refuses another size later on.
    given = network(batch if len(batch) > 1 else batch[0], training=False)
    if isinstance(given, list):
        ab, logits = given
        return [AB_SCALE * keras.ops.convert_to_numpy(ab), keras.ops.convert_to_numpy(annealed_mean(logits))]
    given = keras.ops.convert_to_numpy(given)
    return [AB_SCALE * given if given.shape[-1] == 2 else rgb_to_lab((given + 1) / 2)[..., 1:]]


def mix(ends: Sequence[np.ndarray], vividness: float) -> np.ndarray:
    """Mix the answers of a network.

    Parameters
    ----------
    ends : sequence of ndarray
        As `predict_ends` gives them.
    vividness : float
        0 takes the first one, 1 the last, and what is between mixes them.

    Returns
    -------
    ndarray of float32
        CIE units.
    """
    return (1 - vividness) * ends[0] + vividness * ends[-1] if len(ends) > 1 else ends[0]


def predict_ab(
    network: keras.Model, inputs: np.ndarray | list[np.ndarray], vividness: float = 0.0
) -> np.ndarray:
    """Predict the colors of photographs.

    Parameters
    ----------
    network, inputs
        As for `predict_ends`.
    vividness : float
        As for `mix`; a network that has one answer does not heed it.

    Returns
    -------
    ndarray of float32
        One of the arrays that `predict_ends` gives, or a mixture of both.
    """
    return mix(predict_ends(network, inputs), vividness)


def color(
    network: keras.Model,
    inputs: np.ndarray | list[np.ndarray],
    rgb: np.ndarray,
    vividness: float = 0.0,
) -> np.ndarray:
    """Color photographs: the network's ab, enlarged, over each photograph's own lightness.

    Parameters
    ----------
    network, inputs, vividness
        As for `predict_ab`.
    rgb : (n, h, w, 3) ndarray of uint8
        The photographs at the size to show. Only their lightness is used.

    Returns
    -------
    (n, h, w, 3) ndarray of uint8
        The colored photographs.
    """
    return recolor(rgb, predict_ab(network, inputs, vividness))
