"""Trained networks: saved, loaded, and put to work on photographs."""

from pathlib import Path

import numpy as np

from helpers.backend import keras
from helpers.errors import CourseError
from helpers.metrics import recolor


def save(network: keras.Model, path: Path) -> None:
    """Save a network as one `.keras` file, without its optimizer.

    Parameters
    ----------
    network : keras.Model
        A functional network of built-in layers. A file saved uncompiled loads
        on every Keras backend, and is a third of the size.
    path : Path
        The file; its folder is made.
    """
    uncompiled = type(network).from_config(network.get_config())
    uncompiled.set_weights(network.get_weights())
    path.parent.mkdir(parents=True, exist_ok=True)
    uncompiled.save(path)


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


def color(
    network: keras.Model, inputs: np.ndarray | list[np.ndarray], rgb: np.ndarray, batch_size: int = 16
) -> np.ndarray:
    """Color photographs: the network's ab, enlarged, over each photograph's own lightness.

    The network runs in inference mode: no dropout, and batch normalization by
    the averages of the training.

    Parameters
    ----------
    network : keras.Model
        Takes L in 0..1 and gives ab / 128.
    inputs : ndarray or list of ndarray
        What the network takes: L, (n, s, s, 1) float32 in 0..1, at the size
        that it was trained at; for a fusion network a list of L and the
        embeddings, (n, d) float32.
    rgb : ndarray
        The photographs at the size to show, (n, h, w, 3) uint8. Only their lightness is used.
    batch_size : int
        Photographs predicted together.

    Returns
    -------
    ndarray
        The colored photographs, (n, h, w, 3) uint8.
    """
    parts = inputs if isinstance(inputs, list) else [inputs]
    batches = []
    for start in range(0, len(rgb), batch_size):
        batch = [part[start : start + batch_size] for part in parts]
        # Called and not `predict`ed: a traced function refuses another size later on.
        batches.append(
            keras.ops.convert_to_numpy(network(batch if len(batch) > 1 else batch[0], training=False))
        )
    return recolor(rgb, np.concatenate(batches) * 128)
