"""A picture of one's own, colored: any format, any size, with all that belongs to it.

The network sees a small copy. Its colors are enlarged and put over the full lightness
of the original, strip by strip, so that a hundred megapixels need little more memory
than their pixels.
"""

import io
import struct
import sys
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageCms, ImageFile, ImageOps

from helpers import networks, recorded, records
from helpers.ab_bins import WIDTH, centers
from helpers.backend import keras
from helpers.embeddings import Backbone, grey_input, load_backbone
from helpers.errors import CourseError
from helpers.hints import STRIDE, Hint, cell, place
from helpers.lab import L_SCALE, normalize, rgb_to_lab, to_gamut
from helpers.photographs import decode
from helpers.places import typed
from helpers.records import HINTED
from helpers.threads import on_threads

STRIP = 2**20  # pixels that are converted at once by a thread
COARSEST = 32  # the encoder halves the size five times
LONGEST = 1024  # pixels, the longest side that a network sees, of a picture however long
# A small picture is enlarged to as many pixels as a square of this side has, and so many times at most,
# before a network sees it. More than that, and it is blurred like no photograph: that costs more than size
# gives (`tests/benchmarks/sizes.py` measures it).
ENOUGH = 160
MOST_ENLARGED = 2
# CIE units by which the colors of a twentieth of a photograph differ from its main hue, at least; else it
# is a toned print, such as sepia.
OTHER_HUE = 5
HAS_COLOR = "has color already: its lightness alone is used"
LESS_DEEP = (
    "has sixteen bits a channel, with transparency or with a color profile other than sRGB: eight are kept"
)
# The formats that can hold color, each with the ending of its files; others become PNG.
ENDINGS = {
    "JPEG": ".jpg",
    "PNG": ".png",
    "WEBP": ".webp",
    "TIFF": ".tif",
    "BMP": ".bmp",
    "JPEG2000": ".jp2",
    "AVIF": ".avif",
    "PPM": ".ppm",
}
_SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
# Of the first level of EXIF data, what says something of the picture, whatever its layout: description,
# camera, resolution, program, date, author, rights, rating, Windows' own texts, and the parts for exposure
# and place. Not the orientation, which is applied; the thumbnail, still grey, lies elsewhere and is dropped.
_TOLD = {
    0x010E,
    0x010F,
    0x0110,
    0x011A,
    0x011B,
    0x0128,
    0x0131,
    0x0132,
    0x013B,
    0x8298,
    0x4746,
    0x8769,
    0x8825,
}
_TOLD |= set(range(0x9C9B, 0x9CA0))
# By the last letter of Pillow's name: big, little, and this machine's own.
_OTHER_ORDER = {"B": "L", "L": "B", "N": "B" if sys.byteorder == "little" else "L"}
_SAVE = {
    "JPEG": {"quality": 95, "subsampling": 0},
    "WEBP": {"quality": 95},
    "AVIF": {"quality": 90},
    "TIFF": {"compression": "tiff_adobe_deflate"},
}


@dataclass(frozen=True)
class Colorizer:
    """A trained network, and how it wants its pictures.

    Attributes
    ----------
    network : keras.Model
        Gives ab for L.
    side : int
        The side in pixels of the squares that it was trained on.
    backbone : Backbone or None
        The pretrained network whose embedding it reads.
    vividness : float
        As `helpers.networks.mix` takes it.
    """

    network: keras.Model
    side: int
    backbone: Backbone | None = None
    vividness: float = 0.0

    @property
    def can_be_told(self) -> bool:
        """Whether it heeds the vividness."""
        return isinstance(self.network.output, list)

    @property
    def takes_hints(self) -> bool:
        """Whether it takes colors that somebody gives."""
        return networks.takes_hints(self.network)


def load(name: str | None = None, vividness: float | None = None, hints: bool = False) -> Colorizer:
    """Load the network to color with.

    Parameters
    ----------
    name : str, optional
        One that comes with the course, or a `.keras` file with its record beside it, as a run writes them;
        the colorizer if not given.
    vividness : float, optional
        0 to 1, for a network that can be told; what was chosen on validation photographs if not given.
    hints : bool
        Whether it must take hints: of the colorizer, the network that does is loaded.

    Returns
    -------
    Colorizer
        Ready for `colorize`.

    Raises
    ------
    CourseError
        If there is no such network, if its record is missing or is another network's, if it cannot be
        told how vivid to be, or if it takes no hints and must.
    """
    known = recorded.names()
    name = best() if name is None else name
    if hints:
        name = HINTED.get(name, name)
    if name in known or name in HINTED.values():
        path = recorded.MODELS / f"{name}.keras"
    elif (path := typed(name)).suffix != ".keras" or not path.is_file():
        raise CourseError(f"no network {name!r}: give a .keras file, or one of {', '.join(known)}")
    if not path.with_suffix(".json").is_file():
        raise CourseError(
            f"{path} has no record beside it, {path.with_suffix('.json').name}: keep them together"
        )
    record = records.read(path.with_suffix(".json"))
    network = networks.load(path)
    if misfit := _misfit(network, record):
        raise CourseError(f"{path} and its record do not belong together: {misfit}")
    colorizer = Colorizer(network, record["resolution"])
    if hints and not colorizer.takes_hints:
        raise CourseError(f"{path.stem} takes no hints: only the colorizer does")
    if len(network.inputs) > 1 and not colorizer.takes_hints:
        colorizer = replace(colorizer, backbone=load_backbone(record["settings"]["backbone"]))
    if vividness is None:
        vividness = _chosen(path, record) if colorizer.can_be_told else 0.0
    elif not colorizer.can_be_told:
        raise CourseError(f"{path.stem} has one answer alone: only the colorizer can be told how vivid to be")
    return replace(colorizer, vividness=vividness)


def _chosen(path: Path, record: dict) -> float:
    """Give the vividness that a record names; that of a network with hints leaves it to the colorizer's."""
    beside = {hinted: path.with_name(f"{name}.json") for name, hinted in HINTED.items()}.get(path.stem)
    if "vivid" not in record and beside and beside.is_file():
        record = records.read(beside)
    return record.get("vivid", {}).get("vividness", 0.0)


def _misfit(network: keras.Model, record: dict) -> str:
    """Say why a record is not that of a network, or why it is none that colors; '' if it may be."""
    taken, given = ([tuple(each.shape) for each in side] for side in (network.inputs, network.outputs))
    side, weights = record.get("resolution"), record.get("parameters", network.count_params())
    settings, vivid = record.get("settings"), record.get("vivid", {})
    vividness = vivid.get("vividness", 0.0) if isinstance(vivid, dict) else None
    if taken[0] != (None, None, None, 1) or len(taken) > 2:
        return "it does not take the lightness of a picture of any size"
    if [shape[-1] for shape in given] not in ([2], [3], [2, len(centers())]):
        return "it does not give colors"
    if weights != network.count_params():
        return f"the record speaks of {weights} weights, and the network has {network.count_params():,}"
    if not (isinstance(side, int) and 8 <= side <= 1024):
        return f"a network for pictures of {side} pixels is none of the course"
    if not (isinstance(vividness, int | float) and 0 <= vividness <= 1):
        return f"the record's vividness, {vividness}, is no number from 0 to 1"
    if networks.takes_hints(network):
        return "" if taken[1] == (None, None, None, 3) else "it takes no hints as the course gives them"
    backbone = settings.get("backbone") if isinstance(settings, dict) else None
    return "" if len(taken) == 1 or isinstance(backbone, str) else "the record names no backbone"


def best() -> str:
    """Name the network to color with if no other is asked for.

    Returns
    -------
    str
        The colorizer, or while it has no record the one with the lowest ΔE.
    """
    known = recorded.names()
    if "colorizer" in known:
        return "colorizer"
    return min(known, key=lambda name: recorded.read(name)["metrics"]["delta_e"]["mean"])


@dataclass(frozen=True)
class Original:
    """A picture as it was given.

    Attributes
    ----------
    pixels : (height, width) or (height, width, 3) ndarray of uint8 or uint16
        sRGB, upright.
    alpha : PIL.Image.Image or None
        Its transparency, in mode L.
    format : str
        As Pillow calls it.
    exif : bytes
        Without orientation and thumbnail; b'' for none.
    notes : tuple of str
        What whoever gave it should know, each to follow the picture's name.
    """

    pixels: np.ndarray
    alpha: Image.Image | None
    format: str
    exif: bytes = b""
    notes: tuple[str, ...] = ()

    def bare(self) -> "Original":
        """Give what belongs to it without the pixels: `encode` needs none, and they take the most memory.

        Returns
        -------
        Original
            A picture of no height.
        """
        return replace(self, pixels=self.pixels[:0].copy())


def read(data: bytes) -> Original:
    """Read a picture with what belongs to it.

    Parameters
    ----------
    data : bytes
        The file's content, in any format that `helpers.photographs.decode` reads.

    Returns
    -------
    Original
        In the size of the file, upright.

    Raises
    ------
    DecodeError
        If there is nothing to decode, with the reason in one line.
    """
    upright = decode.open_picture(data)
    notes = (HAS_COLOR,) if _has_color(upright) else ()
    data = decode.sound_png(data)
    with Image.open(io.BytesIO(data), formats=decode.FORMATS) as image:
        kind, alpha = image.format, None
        if image.mode.startswith("I;16"):
            pixels = np.asarray(ImageOps.exif_transpose(image)).astype(np.uint16, copy=False)
            return Original(pixels, alpha, kind, _exif(image))
        if _is_deep(image):
            if image.mode == "RGB" and _is_srgb(image):
                return Original(_deep_pixels(data), alpha, kind, _exif(image), notes)
            notes += (LESS_DEEP,)
        if image.has_transparency_data:
            # Over white, as `open_picture` puts it, a transparent edge would be too light.
            transparent = ImageOps.exif_transpose(image).convert("RGBA")
            alpha, upright = transparent.getchannel("A"), transparent.convert("RGB")
        # Last, as it takes the orientation from the picture's own data.
        return Original(np.asarray(upright), alpha, kind, _exif(image), notes)


def _is_deep(image: Image.Image) -> bool:
    """Tell sixteen bits a channel from the eight that Pillow makes of them."""
    return bool(image.tile) and all(";16" in _layout(tile)[0] for tile in image.tile)


def _layout(tile: ImageFile._Tile) -> tuple[str, tuple]:
    """Give the order in which the bytes of a tile lie, as Pillow names it, and what else it must know."""
    first, *others = tile.args if isinstance(tile.args, tuple) else (tile.args,)
    return str(first), tuple(others)


def _deep_pixels(data: bytes) -> np.ndarray:
    """Read sixteen bits a channel: Pillow reads the upper eight, and the lower if told the other order."""

    def eight(data: bytes, swapped: bool) -> np.ndarray:
        with Image.open(io.BytesIO(data), formats=decode.FORMATS) as image:
            if swapped:
                tiles = [(tile, *_layout(tile)) for tile in image.tile]
                image.tile = [
                    tile._replace(args=(order[:-1] + _OTHER_ORDER[order[-1]], *others))
                    for tile, order, others in tiles
                ]
            return np.asarray(ImageOps.exif_transpose(image))

    pixels = eight(data, swapped=False).astype(np.uint16)
    pixels <<= 8
    pixels |= eight(data, swapped=True)
    return pixels


def _is_srgb(image: Image.Image) -> bool:
    try:
        profile = ImageCms.ImageCmsProfile(io.BytesIO(image.info["icc_profile"]))
        return "sRGB" in ImageCms.getProfileDescription(profile)
    except (KeyError, OSError, ImageCms.PyCMSError):  # none, or a damaged one, which says nothing
        return True


def _has_color(image: Image.Image) -> bool:
    """Tell a photograph in color from a grey one, and from a toned print, whose colors are all of one hue."""
    ab = rgb_to_lab(np.asarray(image.resize((64, 64), Image.Resampling.BOX)))[..., 1:].reshape(-1, 2)
    one_hue = ab.mean(axis=0) / max(np.linalg.norm(ab.mean(axis=0)), 1e-6)
    aside = np.abs(ab @ [-one_hue[1], one_hue[0]])
    return bool(np.percentile(np.maximum(aside, -ab @ one_hue), 95) > OTHER_HUE)


def _exif(image: Image.Image) -> bytes:
    try:
        exif = image.getexif()
        for tag in exif.keys() - _TOLD:
            del exif[tag]
        return exif.tobytes() if len(exif) else b""
    except Exception:  # damaged EXIF data says nothing about the pixels
        return b""


def colorize(
    originals: Sequence[Original], colorizer: Colorizer, hints: Sequence[Sequence[Hint]] = ()
) -> list[np.ndarray]:
    """Color pictures: the network's colors over each picture's own lightness.

    Parameters
    ----------
    originals : sequence of Original
        The pictures; their own colors, if they have any, are not looked at.
    colorizer : Colorizer
        The network. Pictures of one shape go through it together.
    hints : sequence of sequence of Hint
        Those of each picture, for a network that takes hints; none if empty.

    Returns
    -------
    list of (height, width, 3) ndarray of uint8 or uint16
        sRGB. A color that no screen can show is made less colorful, at the same lightness and hue.

    Raises
    ------
    CourseError
        If the network takes no hints and is given some, or there are not as many sequences as pictures.
    """
    ab = predict(originals, colorizer, hints)
    return [recolor(original.pixels, colors) for original, colors in zip(originals, ab, strict=True)]


def predict(
    originals: Sequence[Original], colorizer: Colorizer, hints: Sequence[Sequence[Hint]] = ()
) -> list[np.ndarray]:
    """Let a network look at pictures.

    Parameters
    ----------
    originals, colorizer, hints
        As for `colorize`.

    Returns
    -------
    list of (h, w, 2) ndarray of float32
        Each picture's a and b in CIE units, in the size that the network gives.

    Raises
    ------
    CourseError
        As from `colorize`.
    """
    return [networks.mix(ends, colorizer.vividness) for ends in predict_ends(originals, colorizer, hints)]


def predict_ends(
    originals: Sequence[Original], colorizer: Colorizer, hints: Sequence[Sequence[Hint]] = ()
) -> list[list[np.ndarray]]:
    """Let a network look at pictures, and leave open how vivid its colors are to be.

    Parameters
    ----------
    originals, colorizer, hints
        As for `colorize`.

    Returns
    -------
    list of list of (h, w, 2) ndarray of float32
        Each picture's colors, as `helpers.networks.mix` takes them.

    Raises
    ------
    CourseError
        As from `colorize`.
    """
    hints = hints or [()] * len(originals)
    if len(hints) != len(originals):
        raise CourseError(f"{len(originals)} pictures but hints for {len(hints)}: give a list for each")
    seen = [_seen(original, colorizer.side) for original in originals]
    found: dict[int, list[np.ndarray]] = {}
    for shape in {L.shape for L in seen}:
        rows = [row for row, L in enumerate(seen) if L.shape == shape]
        inputs = _inputs(colorizer, [seen[row] for row in rows], [hints[row] for row in rows])
        ends = networks.predict_ends(colorizer.network, inputs)
        found |= {row: [end[i] for end in ends] for i, row in enumerate(rows)}
    return [found[row] for row in range(len(originals))]


def _inputs(
    colorizer: Colorizer, seen: Sequence[np.ndarray], hints: Sequence[Sequence[Hint]]
) -> np.ndarray | list[np.ndarray]:
    """Prepare what a network is given of pictures of one shape."""
    L = np.concatenate(seen)
    if colorizer.takes_hints:
        rows, columns = (length // STRIDE for length in L.shape[1:3])
        return [L, np.concatenate([place(each, rows, columns) for each in hints])]
    if any(hints):
        raise CourseError(f"{colorizer.network.name} takes no hints: only the colorizer does")
    if colorizer.backbone:
        return [L, colorizer.backbone.network.predict_on_batch(grey_input(L, colorizer.backbone))]
    return L


def likely(
    original: Original,
    colorizer: Colorizer,
    x: float,
    y: float,
    hints: Sequence[Hint] = (),
    count: int = 8,
) -> list[tuple[Hint, float]]:
    """Find the likeliest colors of a place, by the network that gives a distribution.

    Parameters
    ----------
    original : Original
        The picture.
    colorizer : Colorizer
        A network with two heads.
    x, y : float
        The place, as `Hint` has it.
    hints : sequence of Hint
        What the network is told already.
    count : int
        How many colors, at most.

    Returns
    -------
    list of (Hint, float)
        Each color as a hint for this place, and the probability of its bin, the likeliest first. They differ:
        none is of a bin beside another's. A screen can show each at the lightness of the place.

    Raises
    ------
    CourseError
        If the place is outside of the picture, or the network has one head alone, or takes no hints and is
        given some.

    References
    ----------
    Zhang et al., "Real-time user-guided image colorization with learned deep priors", 2017,
    https://arxiv.org/abs/1705.02999, which suggests colors in the same way.
    """
    Hint(x, y, 0, 0)  # is it a place?
    if not colorizer.can_be_told:
        raise CourseError(f"{colorizer.network.name} has one answer alone: only the colorizer weighs several")
    L = _seen(original, colorizer.side)
    inputs = _inputs(colorizer, [L], [hints])
    logits = keras.ops.convert_to_numpy(colorizer.network(inputs, training=False)[1])[0]
    row, column = cell(x, y, *logits.shape[:2])
    odds = np.exp(logits[row, column] - logits[row, column].max())
    square = L[0, row * STRIDE : (row + 1) * STRIDE, column * STRIDE : (column + 1) * STRIDE]
    colors, shown = centers() + 0.0, _can_be_shown(float(square.mean()) * L_SCALE)
    chosen: list[int] = []
    for each in np.argsort(-odds, kind="stable"):
        apart = (np.abs(colors[chosen] - colors[each]).max(axis=-1) > WIDTH).all()
        if shown[each] and apart and len(chosen) < count:
            chosen.append(each)
    return [(Hint(x, y, *colors[each].tolist()), float(odds[each] / odds.sum())) for each in chosen]


def _can_be_shown(L: float) -> np.ndarray:
    """Tell which of the bins' colors a screen can show at a lightness."""
    lab = np.column_stack([np.full(len(centers()), L, np.float32), centers()])
    return np.abs(rgb_to_lab(to_gamut(lab)) - lab).max(axis=-1) < 1


def _seen(original: Original, side: int) -> np.ndarray:
    """Reduce a picture to what the network sees: (1, h, w, 1) float32 of L in 0..1."""
    height, width = original.pixels.shape[:2]
    # As many pixels as the squares that the network was trained on, so that things have the size it knows.
    given = (height * width) ** 0.5
    wanted = min(side, max(given, ENOUGH))
    scale = min(wanted / given, MOST_ENLARGED)
    wide, high = (
        int(np.clip(round(length * scale / COARSEST) * COARSEST, COARSEST, LONGEST))
        for length in (width, height)
    )
    small = reduced(original.pixels, (wide, high))
    return normalize(rgb_to_lab(small[None]))[0]


def reduced(pixels: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Bring a picture to another size.

    Parameters
    ----------
    pixels : (height, width) or (height, width, 3) ndarray of uint8 or uint16
        As `Original` has it.
    size : tuple of int
        The new width and height.

    Returns
    -------
    (height, width, 3) ndarray of uint8
        Antialiased.
    """
    eight = (pixels >> 8).astype(np.uint8) if pixels.dtype == np.uint16 else pixels
    small = Image.fromarray(eight).resize(size, Image.Resampling.LANCZOS, reducing_gap=3)
    return np.asarray(small.convert("RGB"))


def recolor(pixels: np.ndarray, ab: np.ndarray) -> np.ndarray:
    """Put colors over a picture's own lightness.

    Parameters
    ----------
    pixels : (height, width) or (height, width, 3) ndarray of uint8 or uint16
        The picture, as `Original` has it.
    ab : (h, w, 2) ndarray of float32
        The colors, as `predict` gives them; they are enlarged.

    Returns
    -------
    (height, width, 3) ndarray of uint8 or uint16
        sRGB. A color that no screen can show is made less colorful, at the same lightness and hue.
    """
    height, width = pixels.shape[:2]
    planes = [Image.fromarray(np.ascontiguousarray(ab[..., channel])) for channel in range(2)]
    most = np.iinfo(pixels.dtype).max
    colored = np.empty((height, width, 3), pixels.dtype)

    def convert(top: int) -> None:
        bottom = min(top + rows, height)
        L = lightness(pixels[top:bottom])
        box = (0, top * ab.shape[0] / height, ab.shape[1], bottom * ab.shape[0] / height)
        enlarged = [
            np.asarray(plane.resize((width, bottom - top), Image.Resampling.BICUBIC, box)) for plane in planes
        ]
        colored[top:bottom] = np.rint(to_gamut(np.stack([L, *enlarged], axis=-1)) * most)

    rows = max(1, STRIP // width)
    on_threads(convert, range(0, height, rows))
    return colored


def lightness(pixels: np.ndarray) -> np.ndarray:
    """Compute the lightness of a part of a picture.

    Parameters
    ----------
    pixels : (h, w) or (h, w, 3) ndarray of uint8 or uint16
        sRGB.

    Returns
    -------
    (h, w) ndarray of float32
        L, 0..100.
    """
    if pixels.ndim == 2:
        return _of_levels(pixels.dtype)[pixels]
    deep = pixels.dtype == np.uint16
    return rgb_to_lab(pixels.astype(np.float32) / np.iinfo(np.uint16).max if deep else pixels)[..., 0]


@lru_cache
def _of_levels(dtype: np.dtype) -> np.ndarray:
    """Compute the lightness of every level of grey."""
    most = np.iinfo(dtype).max
    levels = np.arange(most + 1, dtype=np.float32) / most
    return rgb_to_lab(np.repeat(levels[:, None], 3, axis=1))[:, 0]


def encode(original: Original, rgb: np.ndarray) -> bytes:
    """Write a colored picture in its `result_format`, with what belonged to the original.

    Parameters
    ----------
    original : Original
        Says the format, the transparency and the EXIF data.
    rgb : (height, width, 3) ndarray of uint8 or uint16
        The colored picture.

    Returns
    -------
    bytes
        The file.
    """
    kind = result_format(original)
    target = io.BytesIO()
    if rgb.dtype == np.uint16:
        if kind == "TIFF":
            import tifffile

            tifffile.imwrite(target, rgb, photometric="rgb", compression="zlib", iccprofile=_SRGB)
            return target.getvalue()
        return _deep_png(rgb, original.exif)
    image = Image.fromarray(rgb)
    if original.alpha is not None and kind in ("PNG", "WEBP", "TIFF", "AVIF", "JPEG2000"):
        image.putalpha(original.alpha)
    about = {} if kind in ("BMP", "PPM", "JPEG2000") else {"icc_profile": _SRGB, "exif": original.exif}
    image.save(target, kind, **_SAVE.get(kind, {}), **about)
    return target.getvalue()


def result_format(original: Original) -> str:
    """Say in which format a picture is written when it has color.

    Parameters
    ----------
    original : Original
        The picture.

    Returns
    -------
    str
        The original's, as Pillow calls it, or PNG where that cannot hold color, or not its sixteen bits.
    """
    if original.format == "MPO":
        return "JPEG"
    holds = {"PNG", "TIFF"} if original.pixels.dtype == np.uint16 else ENDINGS.keys()
    return original.format if original.format in holds else "PNG"


def _deep_png(rgb: np.ndarray, exif: bytes) -> bytes:
    """Write sixteen bits a channel, which Pillow does not. Format: https://www.w3.org/TR/png-3/."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        checksum = zlib.crc32(kind + content)
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", checksum)

    height, width = rgb.shape[:2]
    rows = rgb.astype(">u2").reshape(height, -1)
    body = b"".join(b"\0" + row.tobytes() for row in rows)
    chunks = [
        chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0)),
        chunk(b"iCCP", b"sRGB\0\0" + zlib.compress(_SRGB)),
        *([chunk(b"eXIf", exif.removeprefix(b"Exif\0\0"))] if exif else []),
        chunk(b"IDAT", zlib.compress(body, 6)),
        chunk(b"IEND", b""),
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)
