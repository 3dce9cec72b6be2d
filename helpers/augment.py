"""Augmentation: flips, and three contrast operations, on RGB and on L alone.

The story applied the contrast operations to RGB, which moves the very colors that
the network must predict. On L alone they change what the network sees and leave
its target, ab, untouched.

None of the three has a random strength. So `prepare` computes every variant of a
photograph once, and an epoch chooses among them. The story's random rotation, shear
and zoom are not here: they would have to be computed anew in every step.
"""

import shutil

import numpy as np
import skimage
from skimage import exposure

from helpers import files
from helpers.errors import CourseError
from helpers.lab import AB_SCALE, L_SCALE, ROUNDING, rgb_to_lab
from helpers.threads import on_threads

# Whoever changes what `encode` gives (here, or in `helpers.lab`) raises this: what an earlier version
# stored is then computed anew. A test holds it to the numbers.
VERSION = 1
FLIPS = ("left-right", "upside-down")
CONTRASTS = ("adaptive", "stretch", "equalize")
CLIP_LIMIT = 0.02
# One step of the eight bits of `encode`, in normalized L and ab.
L_STEP = np.float32(1 / 255)
AB_STEP = np.float32(1 / AB_SCALE)


def contrast_on_rgb(rgb, operation):
    """Change the contrast of an RGB photograph, as the story did.

    Parameters
    ----------
    rgb : (height, width, 3) ndarray of uint8 or float
        uint8 in 0..255, or floating point in 0..1.
    operation : {"adaptive", "stretch", "equalize"}
        Adaptive equalization with a clip limit of 0.02, stretching between the 2nd
        and the 98th percentile, or histogram equalization.

    Returns
    -------
    rgb : (height, width, 3) ndarray of float32
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
    L : (height, width) ndarray of float
        In 0..100.
    operation : {"adaptive", "stretch", "equalize"}
        As for `contrast_on_rgb`.

    Returns
    -------
    L : (height, width) ndarray of float32
        In 0..100.

    Raises
    ------
    CourseError
        If the operation is unknown, or the values are outside their range.
    """
    return L_SCALE * _contrast(L / np.float32(L_SCALE), operation)


def flip(picture, direction):
    """Mirror a picture or a batch of them.

    Parameters
    ----------
    picture : (..., height, width, channels) ndarray
        Any values.
    direction : {"left-right", "upside-down"}
        Which way.

    Returns
    -------
    picture : ndarray
        A view of the same shape: nothing is copied.

    Raises
    ------
    CourseError
        If the direction is unknown.
    """
    if direction not in FLIPS:
        raise CourseError(f"unknown flip {direction!r}: choose among {', '.join(FLIPS)}.")
    return picture[..., ::-1, :] if direction == "left-right" else picture[..., ::-1, :, :]


def prepare(photographs, contrast=CONTRASTS):
    """Compute and store what training batches are made of: ab, and every variant of L.

    Parameters
    ----------
    photographs : Photographs or (n, height, width, 3) ndarray of uint8
        For Photographs the result is computed once and kept in a memory-mapped file under
        data/cache/, until the same source at the same size gives other pixels; for an array
        it is in memory.
    contrast : tuple of str
        The operations whose variants are wanted.

    Returns
    -------
    prepared : (n,) structured ndarray
        Its fields "L", (n, 1 + operations, height, width) of uint8, and "ab",
        (n, height, width, 2) of int8, are those of `encode`.

    Raises
    ------
    CourseError
        If an operation is unknown, or the disk has no room for the file.
    """
    if isinstance(photographs, np.ndarray):
        prepared = np.empty(len(photographs), _layout(photographs, contrast))
        _fill(prepared, photographs, contrast)
        return prepared
    return files.cached(
        f"augmented-{photographs.name}-{photographs.size}",
        files.digest(VERSION, photographs.key, skimage.__version__),
        lambda file: _store(file, photographs.rgb, contrast),
        lambda file: _open(file, photographs.rgb, contrast),
        # One key serves all splits; the names tell them apart.
        variant=files.digest(*photographs.names, "", *contrast)[:8],
    )


def _open(file, rgb, contrast):
    prepared = np.load(file, mmap_mode="r", allow_pickle=False)
    if prepared.dtype != _layout(rgb, contrast) or len(prepared) != len(rgb):
        raise ValueError("not the variants of these photographs")
    return prepared


def encode(rgb, contrast=CONTRASTS):
    """Compute the variants of a photograph's L, and its ab, in eight bits each.

    Parameters
    ----------
    rgb : (height, width, 3) ndarray of uint8
        The photograph, 0 to 255.
    contrast : tuple of str
        The operations whose variants are wanted.

    Returns
    -------
    L : (1 + operations, height, width) ndarray of uint8
        L * 2.55, rounded: as it is, and after each operation.
    ab : (height, width, 2) ndarray of int8
        a and b, rounded to whole units.

    Notes
    -----
    This is the 8-bit CIELAB of TIFF 6.0. Rounding moves L by at most 0.2 units, and a
    and b by at most 0.5. Measured on the embedded photographs at 128 px: 52 dB of PSNR
    there and back in RGB, and 5e-6 more mean squared error of ab / 128, of which grey
    has 2e-2.
    """
    L, ab = np.split(rgb_to_lab(rgb), [1], axis=-1)
    variants = [L[..., 0], *(contrast_on_lightness(L[..., 0], operation) for operation in contrast)]
    return np.rint(np.stack(variants) * (255 / L_SCALE)).astype(np.uint8), np.rint(ab).astype(np.int8)


def _layout(rgb, contrast):
    """Return the structure of one prepared photograph."""
    height, width = rgb.shape[1:3]
    return np.dtype(
        [("L", np.uint8, (1 + len(contrast), height, width)), ("ab", np.int8, (height, width, 2))]
    )


def _fill(prepared, rgb, contrast):
    """Encode every photograph."""

    def encode_one(i):
        prepared[i] = encode(rgb[i], contrast)

    on_threads(encode_one, range(len(rgb)))


def _store(file, rgb, contrast):
    layout = _layout(rgb, contrast)
    needed, free = len(rgb) * layout.itemsize, shutil.disk_usage(file.parent).free
    if needed > free:
        raise CourseError(
            f"preparing {len(rgb)} photographs takes {needed / 1e9:.1f} GB of disk, and "
            f"{free / 1e9:.1f} GB are free: make room, or choose a smaller size."
        )
    prepared = np.lib.format.open_memmap(file, mode="w+", dtype=layout, shape=(len(rgb),))
    try:
        _fill(prepared, rgb, contrast)
        prepared.flush()
    finally:
        del prepared  # Windows neither renames nor removes a file that is mapped


def _contrast(picture, operation):
    """Apply one operation of `skimage.exposure` to floats in 0..1."""
    if operation not in CONTRASTS:
        raise CourseError(f"unknown contrast operation {operation!r}: choose among {', '.join(CONTRASTS)}.")
    low, high = float(picture.min()), float(picture.max())
    if not (low >= -ROUNDING and high <= 1 + ROUNDING):
        raise CourseError(f"contrast operations take values in 0..1, got {low:.4g}..{high:.4g}.")
    picture = np.clip(picture, 0, 1)
    if operation == "adaptive":
        changed = exposure.equalize_adapthist(picture, clip_limit=CLIP_LIMIT)
    elif operation == "stretch":
        low, high = np.percentile(picture, (2, 98))
        changed = exposure.rescale_intensity(picture, in_range=(low, high), out_range=(0, 1))
    else:
        # One histogram for all channels, as the story had it; raveled, skimage does not warn of it.
        changed = exposure.equalize_hist(picture.ravel()).reshape(picture.shape)
    return np.clip(changed, 0, 1).astype(np.float32)
