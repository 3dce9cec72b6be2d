"""Trained networks: saved, loaded, and put to work on photographs."""

from pathlib import Path
from zipfile import ZIP_DEFLATED, ZipFile

import numpy as np

from helpers import files, precision
from helpers.ab_bins import annealed_mean
from helpers.backend import keras
from helpers.colorings import recolor
from helpers.errors import CourseError
from helpers.lab import AB_SCALE, rgb_to_lab

BATCH = 16  # photographs predicted together


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
        If there is no such file.
    """
    if not path.is_file():
        raise CourseError(f"this run has no network {path.name} yet: run lessons 3, 4 and 5 first")
    return keras.saving.load_model(path, compile=False)


def predict_ab(
    network: keras.Model, inputs: np.ndarray | list[np.ndarray], vividness: float = 0.0
) -> np.ndarray:
    """Predict the colors of photographs, in inference mode.

    Inference mode: no dropout, and batch normalization by the averages of the training.

    Parameters
    ----------
    network : keras.Model
        Takes L in 0..1, and gives ab / 128 (2 channels) or RGB in -1..1 (3 channels); or two maps, ab / 128
        and the logits of `helpers.ab_bins`.
    inputs : ndarray or list of ndarray
        What the network takes: L, (n, s, s, 1) float32 in 0..1, at the size
        that it was trained at; for a fusion network a list of L and the
        embeddings, (n, d) float32.
    vividness : float
        For a network that gives two maps: 0 takes ab itself, 1 the annealed mean of the distribution, and
        what is between mixes them.

    Returns
    -------
    (n, s, s, 2) ndarray of float32
        CIE units; s / 4 in place of s for a network that gives two maps. Of a network that gives RGB it is
        the ab of that RGB.
    """
    parts = inputs if isinstance(inputs, list) else [inputs]
    batches = []
    for start in range(0, len(parts[0]), BATCH):
        batch = [part[start : start + BATCH] for part in parts]
        # Called and not `predict`ed: a traced function refuses another size later on.
        given = network(batch if len(batch) > 1 else batch[0], training=False)
        if isinstance(given, list):
            ab, logits = given
            given = (1 - vividness) * ab + vividness * annealed_mean(logits) / AB_SCALE
        given = keras.ops.convert_to_numpy(given)
        gives_ab = given.shape[-1] == 2
        batches.append(given * AB_SCALE if gives_ab else rgb_to_lab((given + 1) / 2)[..., 1:])
    return np.concatenate(batches)


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
