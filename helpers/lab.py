"""RGB and CIE L*a*b*, for NumPy arrays and for Keras tensors alike.

One implementation serves both: Keras names its operations as NumPy does. The
formulas and the constants are those of `skimage.color` (D65, 2 degree observer),
which the tests compare with. Channels are the last axis; everything before it is
free, so one photograph and a batch are the same to every function here.

NumPy input is checked value by value. A tensor inside a compiled graph has no
values yet, so for tensors the number of channels and the dtype are checked alone.
"""

from functools import lru_cache

import numpy as np
from skimage.color import xyz_tristimulus_values
from skimage.color.colorconv import rgb_from_xyz, xyz_from_rgb

from helpers.errors import CourseError

WHITE = xyz_tristimulus_values(illuminant="D65", observer="2", dtype=np.float64)
TO_XYZ = xyz_from_rgb / WHITE[:, None]
FROM_XYZ = rgb_from_xyz * WHITE
# What L and ab are divided by for the networks: L is in 0..100, and 128 bounds a and b on either side.
L_SCALE = 100
AB_SCALE = 128
# What resizing in floating point may leave beyond 0 and 1.
ROUNDING = 1e-5
# Of the interval in which a chroma that can be shown is looked for: to a thousandth.
HALVINGS = 10


def rgb_to_lab(rgb):
    """Convert sRGB to CIE L*a*b*.

    Parameters
    ----------
    rgb : (..., 3) ndarray or tensor of uint8 or float
        uint8 in 0..255, or floating point in 0..1.

    Returns
    -------
    lab : (..., 3) ndarray or tensor of float32
        L in 0..100; a and b in CIE units (about -86..98 and -108..95).

    Raises
    ------
    CourseError
        If there are not 3 channels, or the dtype is neither uint8 nor floating
        point; for NumPy input also if a value is NaN or outside 0..1.

    Notes
    -----
    Source: CIE 15:2004, with IEC 61966-2-1 for sRGB, as in `skimage.color.rgb2lab`.
    """
    xp = _namespace(rgb)
    _check_channels(rgb, "RGB")
    if xp is np:
        _check_rgb_values(rgb)
    in_bytes = _dtype(rgb) == "uint8"
    linear = _take(xp, _linear_table(), rgb) if in_bytes else _linearize(xp, _float32(xp, rgb))
    fx, fy, fz = (_cube_root(xp, plane) for plane in _mix(linear, TO_XYZ))
    return xp.stack([116 * fy - 16, 500 * (fx - fy), 200 * (fy - fz)], axis=-1)


def lab_to_rgb(lab):
    """Convert CIE L*a*b* to sRGB; what no screen can show is clipped last of all.

    Parameters
    ----------
    lab : (..., 3) ndarray or tensor of float
        L in 0..100, a and b in CIE units.

    Returns
    -------
    rgb : (..., 3) ndarray or tensor of float32
        In 0..1.

    Raises
    ------
    CourseError
        If there are not 3 channels, or the dtype is not floating point; for NumPy
        input also if a value is NaN or infinite, or L is outside 0..100.

    Notes
    -----
    Source: as `skimage.color.lab2rgb`, which clips a negative Z as well: the two
    differ where a color lies far outside of what a screen shows, and nowhere else.
    """
    xp = _namespace(lab)
    _check_channels(lab, "LAB")
    if xp is np:
        _check_lab_values(lab)
    return xp.clip(_gamma(xp, _linear_rgb(xp, _float32(xp, lab))), 0.0, 1.0)


def to_gamut(lab):
    """Convert CIE L*a*b* to sRGB; what no screen can show is made less colorful first.

    Where `lab_to_rgb` clips red, green and blue each on its own, which changes lightness and hue, this lowers
    the chroma at constant L and hue until the color can be shown.

    Parameters
    ----------
    lab : (..., 3) ndarray of float
        L in 0..100, a and b in CIE units.

    Returns
    -------
    rgb : (..., 3) ndarray of float32
        In 0..1.

    Raises
    ------
    CourseError
        As from `lab_to_rgb`.
    """
    _check_channels(lab, "LAB")
    _check_lab_values(lab)
    linear = _linear_rgb(np, lab.astype(np.float32, copy=False))
    outside = ((linear < 0) | (linear > 1)).any(axis=-1)
    if outside.any():
        L, ab = np.split(lab[outside].astype(np.float32), [1], axis=-1)
        least, most = np.zeros_like(L), np.ones_like(L)
        for _ in range(HALVINGS):
            share = (least + most) / 2
            found = _linear_rgb(np, np.concatenate([L, share * ab], axis=-1))
            shown = ((found >= 0) & (found <= 1)).all(axis=-1, keepdims=True)
            least, most = np.where(shown, share, least), np.where(shown, most, share)
        linear[outside] = _linear_rgb(np, np.concatenate([L, least * ab], axis=-1))
    return np.clip(_gamma(np, linear), 0.0, 1.0)


def normalize(lab):
    """Scale LAB to what the networks see and predict.

    Parameters
    ----------
    lab : (..., 3) ndarray or tensor of float
        L in 0..100, a and b in CIE units.

    Returns
    -------
    L : (..., 1) ndarray or tensor of float
        In 0..1: divided by `L_SCALE`.
    ab : (..., 2) ndarray or tensor of float
        In about -0.84..0.77: divided by `AB_SCALE`, so that a `tanh` covers it.

    Raises
    ------
    CourseError
        If there are not 3 channels, or they are no floats.
    """
    _check_channels(lab, "LAB")
    return lab[..., :1] / L_SCALE, lab[..., 1:] / AB_SCALE


def denormalize(L, ab):
    """Put a normalized lightness and normalized colors together as LAB.

    Parameters
    ----------
    L : (..., 1) ndarray or tensor of float
        In 0..1.
    ab : (..., 2) ndarray or tensor of float
        In about -1..1.

    Returns
    -------
    lab : (..., 3) ndarray or tensor of float
        L in 0..100, a and b in CIE units: the inverse of `normalize`.

    Raises
    ------
    CourseError
        If there is not 1 channel of L, or there are not 2 of ab.
    """
    if L.shape[-1] != 1 or ab.shape[-1] != 2:
        raise CourseError(
            f"expected L with 1 channel and ab with 2 on the last axis, got shapes {tuple(L.shape)} "
            f"and {tuple(ab.shape)}."
        )
    both_numpy = isinstance(L, np.ndarray) and isinstance(ab, np.ndarray)
    xp = np if both_numpy else _keras().ops
    return xp.concatenate([L * L_SCALE, ab * AB_SCALE], axis=-1)


def to_uint8(rgb):
    """Round an RGB array in 0..1 to uint8 in 0..255.

    Parameters
    ----------
    rgb : (..., 3) ndarray of float
        In 0..1; uint8 is returned as it is.

    Returns
    -------
    rgb : (..., 3) ndarray of uint8
        In 0..255.

    Raises
    ------
    CourseError
        If there are not 3 channels, or a value is NaN or outside 0..1.
    """
    _check_channels(rgb, "RGB")
    _check_rgb_values(rgb)
    return rgb if rgb.dtype == np.uint8 else np.rint(rgb * 255).astype(np.uint8)


def colorfulness(rgb):
    """Measure how colorful photographs look, by Hasler and Süsstrunk's formula.

    This is the signed form of the paper: the opponent channels `R - G` and
    `(R + G) / 2 - B` keep their signs. A form with their absolute values also
    circulates; its numbers differ.

    Parameters
    ----------
    rgb : (..., height, width, 3) ndarray of uint8
        In 0..255.

    Returns
    -------
    colorfulness : (...) ndarray of float64
        0 for grey; by the paper's viewers 15 is slightly, 33 moderately and
        82 highly colorful.

    Raises
    ------
    CourseError
        If it is no uint8 array of 3 channels.

    References
    ----------
    Hasler and Süsstrunk, "Measuring colourfulness in natural images", 2003.
    """
    if getattr(rgb, "dtype", None) != np.uint8 or rgb.ndim < 3 or rgb.shape[-1] != 3:
        raise CourseError("colorfulness is that of a uint8 array of shape (..., height, width, 3).")
    red, green, blue = np.moveaxis(rgb.astype(np.float64), -1, 0)
    opponents = red - green, (red + green) / 2 - blue
    spread = np.hypot(*(channel.std(axis=(-2, -1)) for channel in opponents))
    return spread + 0.3 * np.hypot(*(channel.mean(axis=(-2, -1)) for channel in opponents))


@lru_cache(maxsize=1)
def _linear_table():
    """Return the linear light of each of the 256 values of a channel."""
    return _linearize(np, np.arange(256) / 255).astype(np.float32)


def _linear_rgb(xp, lab):
    """Convert LAB to linear light, which lies outside of 0..1 where no screen shows the color."""
    fy = (lab[..., 0] + 16) / 116
    fx = fy + lab[..., 1] / 500
    fz = fy - lab[..., 2] / 200
    xyz = xp.stack([_cube(xp, plane) for plane in (fx, fy, fz)], axis=-1)
    return xp.stack(_mix(xyz, FROM_XYZ), axis=-1)


def _linearize(xp, rgb):
    """Undo sRGB's gamma. The inner maximum keeps the unused branch's gradient finite."""
    curve = ((xp.maximum(rgb, 0.04045) + 0.055) / 1.055) ** 2.4
    return xp.where(rgb > 0.04045, curve, rgb / 12.92)


def _gamma(xp, linear):
    """Apply sRGB's gamma: the inverse of `_linearize`."""
    curve = 1.055 * xp.maximum(linear, 0.0031308) ** (1 / 2.4) - 0.055
    return xp.where(linear > 0.0031308, curve, linear * 12.92)


def _cube_root(xp, t):
    """Return CIE's f(t): a cube root with a straight piece near black."""
    root = xp.maximum(t, 0.008856) ** (1 / 3)
    return xp.where(t > 0.008856, root, 7.787 * t + 16 / 116)


def _cube(xp, f):
    """Undo `_cube_root`."""
    return xp.where(f > 0.2068966, f**3, (f - 16 / 116) / 7.787)


def _mix(x, matrix):
    """Multiply the last axis by a 3x3 matrix; return the three planes.

    Written out, because a matrix product on a GPU may round to ten bits (TF32).
    """
    rows = matrix.tolist()
    return [row[0] * x[..., 0] + row[1] * x[..., 1] + row[2] * x[..., 2] for row in rows]


def _keras():
    """Load Keras only for tensors: its start-up takes seconds."""
    from helpers.backend import keras

    return keras


def _dtype(x):
    """Return the dtype's name, for an array and for a tensor of any backend."""
    return str(x.dtype) if isinstance(x, np.ndarray) else _keras().backend.standardize_dtype(x.dtype)


def _namespace(x):
    """Return `numpy` for an array and `keras.ops` for a tensor."""
    if isinstance(x, np.ndarray):
        return np
    if not hasattr(x, "dtype") or not hasattr(x, "shape"):
        raise CourseError(f"expected a NumPy array or a Keras tensor, got {type(x).__name__}.")
    return _keras().ops


def _float32(xp, x):
    return x.astype(np.float32, copy=False) if xp is np else xp.cast(x, "float32")


def _take(xp, table, index):
    return table[index] if xp is np else xp.take(table, xp.cast(index, "int32"))


def _check_channels(x, space):
    """Raise unless the last axis holds 3 channels and the dtype is one we convert."""
    shape = tuple(x.shape)
    if not shape or shape[-1] != 3:
        raise CourseError(f"{space} needs 3 channels on the last axis, got shape {shape}.")
    dtype = _dtype(x)
    if not ("float" in dtype or (space == "RGB" and dtype == "uint8")):
        wanted = "uint8 in 0..255 or floats in 0..1" if space == "RGB" else "floats"
        raise CourseError(f"{space} must be {wanted}, got {dtype}.")


def _check_rgb_values(rgb):
    """Raise unless a NumPy array holds uint8, or floats in 0..1."""
    if rgb.dtype == np.uint8 or not rgb.size:
        return
    low, high = float(rgb.min()), float(rgb.max())
    if np.isnan(low):
        raise CourseError("the RGB values hold NaN: find where they were made.")
    if low < -ROUNDING or high > 1 + ROUNDING:
        hint = "divide by 255, or pass uint8" if high > 1.5 and low >= 0 else "clip them first if you mean it"
        raise CourseError(f"floating-point RGB must lie in 0..1, got {low:.4g}..{high:.4g}: {hint}.")


def _check_lab_values(lab):
    """Raise unless a NumPy array holds finite values, with L in 0..100."""
    if not np.isfinite(lab).all():
        raise CourseError("the LAB values hold NaN or infinity: find where they were made.")
    L = lab[..., 0]
    if L.size and (L.min() < -0.01 or L.max() > 100.01):
        raise CourseError(f"L must lie in 0..100, got {L.min():.4g}..{L.max():.4g}.")
