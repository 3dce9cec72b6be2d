"""Augmentation: flips, and three contrast operations, on RGB and on L alone.

The story applied the contrast operations to RGB, which moves the very colors that
the network must predict. On L alone they change what the network sees and leave
its target, ab, untouched.

None of the three has a random strength. So `prepare` computes every variant of a
photograph once, and an epoch chooses among them. Two augmentations of the story
are not here: its random rotation, shear and zoom differ in every epoch, would have
to be computed in every step, and teach a network little about color.
"""

import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path

import numpy as np
import skimage
from skimage import exposure

from helpers.errors import CourseError
from helpers.lab import rgb_to_lab
from helpers.sources import DATA

FLIPS = ("left-right", "upside-down")
CONTRASTS = ("adaptive", "stretch", "equalize")
CLIP_LIMIT = 0.02
CACHE = DATA / "cache"


def contrast_on_rgb(rgb, operation):
    """Change the contrast of an RGB photograph, as the story did.

    Parameters
    ----------
    rgb : NumPy array, shape (height, width, 3)
        uint8 in 0..255, or floating point in 0..1.
    operation : {"adaptive", "stretch", "equalize"}
        Adaptive equalization with a clip limit of 0.02, stretching between the 2nd
        and the 98th percentile, or histogram equalization.

    Returns
    -------
    float32 array, shape (height, width, 3)
        In 0..1.

    Raises
    ------
    CourseError
        If the operation is unknown, or the values are outside their range.

    Notes
    -----
    Source: `skimage.exposure`, which does the work.
    """
    if rgb.dtype == np.uint8:
        rgb = rgb / np.float32(255)
    return _contrast(rgb, operation)


def contrast_on_lightness(L, operation):
    """Change the contrast of the lightness of a photograph, and of nothing else.

    Parameters
    ----------
    L : NumPy float array, shape (height, width)
        In 0..100.
    operation : {"adaptive", "stretch", "equalize"}
        As for `contrast_on_rgb`.

    Returns
    -------
    float32 array, shape (height, width)
        In 0..100.

    Raises
    ------
    CourseError
        If the operation is unknown, or the values are outside their range.
    """
    return 100 * _contrast(L / np.float32(100), operation)


def flip(picture, direction):
    """Mirror a picture or a batch of them.

    Parameters
    ----------
    picture : array, shape (..., height, width, channels)
        Any values.
    direction : {"left-right", "upside-down"}
        Which way.

    Returns
    -------
    array of the same shape
        A view: nothing is copied.
    """
    if direction not in FLIPS:
        raise CourseError(f"unknown flip {direction!r}: choose among {', '.join(FLIPS)}.")
    return picture[..., ::-1, :] if direction == "left-right" else picture[..., ::-1, :, :]


def prepare(photographs, contrast=CONTRASTS):
    """Compute and store what training batches are made of: ab, and every variant of L.

    Parameters
    ----------
    photographs : Photographs, or uint8 array of shape (n, height, width, 3)
        The planes of Photographs are kept in a memory-mapped file under data/cache/,
        and are computed once; those of an array are kept in memory.
    contrast : tuple of str
        The operations whose variants are wanted.

    Returns
    -------
    uint8 array, shape (n, 3 + operations, height, width)
        Per photograph the planes that `encode` describes.

    Raises
    ------
    CourseError
        If an operation is unknown, or the disk has no room for the file.
    """
    if isinstance(photographs, np.ndarray):
        planes = np.empty(_planes_shape(photographs, contrast), np.uint8)
        _fill(planes, photographs, contrast)
        return planes
    code = Path(__file__).read_text(encoding="utf-8")
    # One checksum serves all splits; the names tell them apart.
    made_of = "\n".join([photographs.checksum, *photographs.names, *contrast, skimage.__version__, code])
    key = sha256(made_of.encode()).hexdigest()[:16]
    kept = CACHE / f"planes-{photographs.name}-{photographs.size}-{key}.npy"
    if not kept.exists():
        _store(kept, photographs.rgb, contrast)
    return np.load(kept, mmap_mode="r")


def encode(rgb, contrast=CONTRASTS):
    """Return a photograph's ab and its variants of L, in eight bits each.

    Parameters
    ----------
    rgb : uint8 array, shape (height, width, 3)
        The photograph.
    contrast : tuple of str
        The operations whose variants are wanted.

    Returns
    -------
    uint8 array, shape (3 + operations, height, width)
        The planes a, b, L, and L after each operation: L * 2.55 rounded, and a and b
        rounded to whole units, as the bytes of signed integers.

    Notes
    -----
    This is the 8-bit CIELAB of TIFF 6.0. Rounding moves L by at most 0.2 and a and b
    by at most 0.5 units; as photographs in 0..255 are not exact either, a network
    learns the same from both.
    """
    lab = rgb_to_lab(rgb)
    L = lab[..., 0]
    planes = np.empty((3 + len(contrast), *L.shape), np.uint8)
    planes[:2] = np.rint(np.moveaxis(lab[..., 1:], -1, 0)).astype(np.int8).view(np.uint8)
    variants = [L, *(contrast_on_lightness(L, operation) for operation in contrast)]
    for plane, variant in zip(planes[2:], variants, strict=True):
        plane[...] = np.rint(variant * 2.55)
    return planes


def _planes_shape(rgb, contrast):
    return (len(rgb), 3 + len(contrast), *rgb.shape[1:3])


def _fill(planes, rgb, contrast):
    """Encode every photograph, in as many threads as there are processors."""

    def encode_one(i):
        planes[i] = encode(rgb[i], contrast)

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for _ in pool.map(encode_one, range(len(rgb))):
            pass


def _store(kept, rgb, contrast):
    """Write the planes' file under another name first: what bears its name is whole."""
    shape = _planes_shape(rgb, contrast)
    kept.parent.mkdir(parents=True, exist_ok=True)
    needed, free = int(np.prod(shape)), shutil.disk_usage(kept.parent).free
    if needed > free:
        raise CourseError(
            f"preparing {len(rgb)} photographs takes {needed / 1e9:.1f} GB of disk, and "
            f"{free / 1e9:.1f} GB are free: make room, or choose a smaller size."
        )
    partial = kept.with_suffix(f".{os.getpid()}.part")
    try:
        planes = np.lib.format.open_memmap(partial, mode="w+", dtype=np.uint8, shape=shape)
        _fill(planes, rgb, contrast)
        planes.flush()
        del planes
        partial.replace(kept)
    finally:
        partial.unlink(missing_ok=True)


def _contrast(picture, operation):
    """Apply one operation of `skimage.exposure` to floats in 0..1."""
    if operation not in CONTRASTS:
        raise CourseError(f"unknown contrast operation {operation!r}: choose among {', '.join(CONTRASTS)}.")
    low, high = float(picture.min()), float(picture.max())
    if not (low >= -1e-6 and high <= 1 + 1e-6):
        raise CourseError(f"contrast operations take values in 0..1, got {low:.4g}..{high:.4g}.")
    picture = np.clip(picture, 0, 1)
    if operation == "adaptive":
        changed = exposure.equalize_adapthist(picture, clip_limit=CLIP_LIMIT)
    elif operation == "stretch":
        low, high = np.percentile(picture, (2, 98))
        changed = exposure.rescale_intensity(picture, in_range=(low, high), out_range=(0, 1))
    else:
        changed = exposure.equalize_hist(picture)
    return changed.astype(np.float32)
