"""What a pretrained network sees in a grey photograph, computed once and kept.

The network that reads the embedding is a lesson's own; the pretrained one
behind it, the backbone, never changes. So one pass over the photographs is
enough, and its result is kept on disk.
"""

import hashlib
import sys
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from helpers import efficientnet, files
from helpers.backend import keras
from helpers.errors import CourseError
from helpers.hints import STRIDE
from helpers.lab import denormalize, lab_to_rgb, normalize, rgb_to_lab
from helpers.networks import takes_hints
from helpers.pairs import Pair
from helpers.photographs import Photographs
from helpers.profiles import backbone_named

# Whoever changes what `embed` gives for the same network and photographs (here, or in `helpers.lab`) raises
# this: embeddings that an earlier version computed are then computed anew.
VERSION = 1
BATCH = 32


@dataclass(frozen=True)
class Backbone:
    """A pretrained network and how it wants its pictures.

    Attributes
    ----------
    name : str
        As `helpers.profiles.BACKBONES` has it.
    description : str
        What it is and what it was trained on, in a few words.
    network : keras.Model
        Takes what `preprocess` gives, and gives the embedding, (n, 1000): the scores of ImageNet's classes,
        before the softmax, in the order of `helpers.efficientnet.class_names`.
    size : int
        Side of the pictures that it takes, in pixels.
    preprocess : callable
        From RGB values of 0..255, (n, size, size, 3), to what the network was trained on.
    """

    name: str
    description: str
    network: keras.Model
    size: int
    preprocess: Callable


def load_backbone(name: str) -> Backbone:
    """Load a pretrained network.

    Parameters
    ----------
    name : str
        ``efficientnet_lite0``, which arrives with the installation, or any
        network of `keras.applications`, as ``inception_resnet_v2``. The
        latter's ImageNet weights are downloaded once by Keras, which checks them.

    Returns
    -------
    Backbone
        The network, ready for `embed`.

    Raises
    ------
    CourseError
        If no network has that name, or if its weights cannot be had.
    """
    name = backbone_named(name)
    if name == "EfficientNetLite0":
        network = efficientnet.build()
        return Backbone(
            name, f"{name}, ImageNet weights", network, efficientnet.SIZE, efficientnet.preprocess
        )
    builder = getattr(keras.applications, name)
    try:
        network = builder(weights="imagenet", classifier_activation=None)
    except Exception as error:
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise CourseError(
            f"the ImageNet weights of {name} could not be downloaded ({reason}); "
            'connect to a network, or set BACKBONE = "efficientnet_lite0"'
        ) from error
    return Backbone(
        name,
        f"{name} of keras.applications, ImageNet weights",
        network,
        # A network that takes any size was trained at 224.
        network.input_shape[1] or 224,
        sys.modules[builder.__module__].preprocess_input,
    )


def grey_input(L: np.ndarray, backbone: Backbone) -> np.ndarray:
    """Prepare grey photographs for a backbone.

    Parameters
    ----------
    L : (n, s, s, 1) ndarray of float32
        Lightness in 0..1.
    backbone : Backbone
        Says the size and the range.

    Returns
    -------
    pictures : (n, size, size, 3) ndarray of float32
        The grey of that lightness as RGB values of 0..255, resized with antialiasing, then
        mapped by the backbone's own preprocessing (to -1..1 for Inception-ResNet-v2).

    Notes
    -----
    Two ranges meet here. `preprocess` expects 0..255: fed 0..1, it returns nearly
    the same value everywhere, and every photograph looks black to the network.
    """
    grey = lab_to_rgb(denormalize(L, np.zeros((*L.shape[:-1], 2), L.dtype))) * 255
    shape = (backbone.size, backbone.size)
    resized = keras.ops.image.resize(grey, shape, interpolation="bilinear", antialias=True)
    return backbone.preprocess(keras.ops.convert_to_numpy(resized))


def name_best(scores: np.ndarray, count: int = 3) -> list[str]:
    """Name the classes that a backbone finds most likely.

    Parameters
    ----------
    scores : (1000,) ndarray of float
        Of one photograph, before the softmax.
    count : int
        How many to name.

    Returns
    -------
    list of str
        ImageNet's short names, the most likely first.
    """
    return [efficientnet.class_names()[number] for number in np.argsort(-scores)[:count]]


def embed(photographs: Photographs, backbone: Backbone) -> np.ndarray:
    """Embed photographs, or read the embeddings that an earlier call has kept.

    Parameters
    ----------
    photographs : Photographs
        The photographs; only their lightness is used.
    backbone : Backbone
        The pretrained network.

    Returns
    -------
    embedding : (n, d) ndarray of float32
        Kept under `data/cache` by the photographs and the backbone's weights.
    """
    weights = [hashlib.sha256(np.ascontiguousarray(array)) for array in backbone.network.get_weights()]

    def write(file):
        shape = (len(photographs), *backbone.network.output_shape[1:])
        header = {"descr": np.lib.format.dtype_to_descr(np.dtype("float32")), "fortran_order": False}
        with file.open("wb") as opened:
            np.lib.format.write_array_header_1_0(opened, header | {"shape": shape})
            for start in range(0, len(photographs), BATCH):
                L, _ = normalize(rgb_to_lab(photographs.rgb[start : start + BATCH]))
                batch = backbone.network.predict_on_batch(grey_input(L, backbone))
                opened.write(np.ascontiguousarray(batch, "float32"))

    def read(file):
        # Mapped into memory: the embeddings of 50,000 photographs have 200 MB. What is written stays here.
        found = np.asarray(np.load(file, mmap_mode="c", allow_pickle=False))
        if found.dtype != np.float32 or found.ndim != 2 or len(found) != len(photographs):
            raise ValueError("not the embeddings of these photographs")
        return found

    return files.cached(
        f"embedding-{backbone.name}-{photographs.name}-{photographs.size}",
        files.digest(VERSION, photographs.key, *(each.hexdigest() for each in weights)),
        write,
        read,
        variant=files.digest(*photographs.names)[:8],  # one key serves all splits
    )


def inputs_of(network: keras.Model, pair: Pair, backbone: str) -> np.ndarray | list[np.ndarray]:
    """Prepare what a coloring network is given.

    Parameters
    ----------
    network : keras.Model
        With one input, L, or with two: L and an embedding, or L and hints.
    pair : Pair
        The photographs, seen at the size that the network was trained at.
    backbone : str
        The pretrained network whose embedding a network with two inputs was trained with.

    Returns
    -------
    ndarray or list of ndarray
        L, (n, size, size, 1) float32 in 0..1; or a list of it and the embeddings, (n, d) float32; or a list
        of it and maps that hold no hint, (n, size / 4, size / 4, 3) float32.

    Raises
    ------
    CourseError
        If the backbone is needed and cannot be had.
    """
    if takes_hints(network):
        n, height, width, _ = pair.L.shape
        return [pair.L, np.zeros((n, height // STRIDE, width // STRIDE, 3), np.float32)]
    return pair.L if len(network.inputs) == 1 else [pair.L, embed(pair.seen, load_backbone(backbone))]
