"""Augmentation: flips, and three contrast operations, on RGB and on L alone.

The story applied the contrast operations to RGB, which moves the very colors that
the network must predict. On L alone they change what the network sees and leave
its target, ab, untouched.

None of the three has a random strength. So `prepare` computes every variant of a
photograph once, and an epoch chooses among them. The story's random rotation, shear
and zoom are not here: they would have to be computed anew in every step.
"""

import glob
import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

import numpy as np
import skimage
from skimage import exposure

from helpers import lab
from helpers.errors import CourseError
from helpers.lab import ROUNDING, rgb_to_lab
from helpers.photographs import transfer
from helpers.places import CACHE

FLIPS = ("left-right", "upside-down")
CONTRASTS = ("adaptive", "stretch", "equalize")
CLIP_LIMIT = 0.02
# One step of the eight bits of `encode`, in normalized L and ab.
L_STEP = np.float32(1 / 255)
AB_STEP = np.float32(1 / 128)


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
    photographs : Photographs, or uint8 array of shape (n, height, width, 3)
        What Photographs are prepared to is computed once and kept in a memory-mapped
        file under data/cache/, until the same source at the same size gives other pixels;
        what an array is prepared to is kept in memory.
    contrast : tuple of str
        The operations whose variants are wanted.

    Returns
    -------
    structured array, shape (n,)
        Its fields "L", uint8 (n, 1 + operations, height, width), and "ab", int8
        (n, height, width, 2), are those of `encode`.

    Raises
    ------
    CourseError
        If an operation is unknown, or the disk has no room for the file.
    """
    if isinstance(photographs, np.ndarray):
        prepared = np.empty(len(photographs), _layout(photographs, contrast))
        _fill(prepared, photographs, contrast)
        return prepared
    code = [Path(room).read_text(encoding="utf-8") for room in (__file__, lab.__file__)]
    made_of = _digest(photographs.key, skimage.__version__, *code)
    # One key serves all splits; the names tell them apart.
    chosen = _digest(*photographs.names, "", *contrast)
    start = f"augmented-{photographs.name}-{photographs.size}"
    kept = CACHE / f"{start}-{made_of}-{chosen}.npy"
    if not kept.exists():
        _store(kept, photographs.rgb, contrast)
        for other in CACHE.glob(f"{glob.escape(start)}-{'?' * len(made_of)}-{'?' * len(chosen)}.npy"):
            if not other.name.startswith(f"{start}-{made_of}"):
                with suppress(OSError):  # another notebook may have it open
                    other.unlink()
    return np.load(kept, mmap_mode="r")


def encode(rgb, contrast=CONTRASTS):
    """Return the variants of a photograph's L, and its ab, in eight bits each.

    Parameters
    ----------
    rgb : uint8 array, shape (height, width, 3)
        The photograph.
    contrast : tuple of str
        The operations whose variants are wanted.

    Returns
    -------
    L : uint8 array, shape (1 + operations, height, width)
        L * 2.55, rounded: as it is, and after each operation.
    ab : int8 array, shape (height, width, 2)
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
    return np.rint(np.stack(variants) * 2.55).astype(np.uint8), np.rint(ab).astype(np.int8)


def _digest(*parts):
    return sha256("\n".join(parts).encode()).hexdigest()[:8]


def _layout(rgb, contrast):
    """Return the structure of one prepared photograph."""
    height, width = rgb.shape[1:3]
    return np.dtype(
        [("L", np.uint8, (1 + len(contrast), height, width)), ("ab", np.int8, (height, width, 2))]
    )


def _fill(prepared, rgb, contrast):
    """Encode every photograph, in as many threads as there are processors."""

    def encode_one(i):
        prepared[i] = encode(rgb[i], contrast)

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for _ in pool.map(encode_one, range(len(rgb))):
            pass


def _store(kept, rgb, contrast):
    """Write the file under another name first: what bears its name is whole."""
    kept.parent.mkdir(parents=True, exist_ok=True)
    layout = _layout(rgb, contrast)
    needed, free = len(rgb) * layout.itemsize, shutil.disk_usage(kept.parent).free
    if needed > free:
        raise CourseError(
            f"preparing {len(rgb)} photographs takes {needed / 1e9:.1f} GB of disk, and "
            f"{free / 1e9:.1f} GB are free: make room, or choose a smaller size."
        )
    with transfer.partial(kept) as part:
        prepared = np.lib.format.open_memmap(part, mode="w+", dtype=layout, shape=(len(rgb),))
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
