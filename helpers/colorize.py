"""A picture of one's own, colored: any format, any size, with all that belongs to it.

The network sees a small copy. Its colors are enlarged and put over the full lightness
of the original, strip by strip, so that a hundred megapixels need little more memory
than their pixels.
"""

import io
import os
import struct
import sys
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageCms, ImageOps
from tqdm import tqdm

from helpers import files, networks, recorded, records
from helpers.backend import keras
from helpers.embeddings import Backbone, grey_input, load_backbone
from helpers.errors import CourseError
from helpers.lab import normalize, rgb_to_lab, to_gamut
from helpers.photographs import archives, decode
from helpers.photographs.transfer import progress
from helpers.places import typed
from helpers.threads import on_threads

STRIP = 2**20  # pixels that are converted at once by a thread
COARSEST = 32  # the encoder halves the size five times
TOGETHER = 2**24  # values of the pictures that wait to be colored together
LONGEST = 1024  # pixels, the longest side that a network sees, of a picture however long
# CIE units by which the colors of a twentieth of a photograph differ from its main hue, at least; else it
# is a toned print, such as sepia.
OTHER_HUE = 5
# What a format can hold in color; others become PNG.
HOLDS_COLOR = {"JPEG", "PNG", "WEBP", "TIFF", "BMP", "JPEG2000", "AVIF", "PPM"}
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
        As `helpers.networks.predict_ab` takes it.
    """

    network: keras.Model
    side: int
    backbone: Backbone | None = None
    vividness: float = 0.0


def load(name: str | None = None, vividness: float | None = None) -> Colorizer:
    """Load the network to color with.

    Parameters
    ----------
    name : str, optional
        One that comes with the course, or a `.keras` file with its record beside it, as a run writes them;
        the colorizer if not given.
    vividness : float, optional
        0 to 1, for a network that can be told; what was chosen on validation photographs if not given.

    Returns
    -------
    Colorizer
        Ready for `colorize`.

    Raises
    ------
    CourseError
        If there is no such network, if its record is missing, or if it cannot be told how vivid to be.
    """
    known = recorded.names()
    if name is None:
        name = "colorizer" if "colorizer" in known else min(known, key=_error)
    if name in known:
        path = recorded.MODELS / f"{name}.keras"
    elif (path := typed(name)).suffix != ".keras" or not path.is_file():
        raise CourseError(f"no network {name!r}: give a .keras file, or one of {', '.join(known)}")
    if not path.with_suffix(".json").is_file():
        raise CourseError(
            f"{path} has no record beside it, {path.with_suffix('.json').name}: keep them together"
        )
    record = records.read(path.with_suffix(".json"))
    network = networks.load(path)
    can_be_told = isinstance(network.output, list)
    if vividness is not None and not can_be_told:
        raise CourseError(f"{path.stem} has one answer alone: only the colorizer can be told how vivid to be")
    if vividness is None:
        vividness = record.get("vivid", {}).get("vividness", 0.0) if can_be_told else 0.0
    backbone = load_backbone(record["settings"]["backbone"]) if len(network.inputs) > 1 else None
    return Colorizer(network, record["resolution"], backbone, vividness)


def _error(name: str) -> float:
    return recorded.read(name)["metrics"]["delta_e"]["mean"]


@dataclass(frozen=True)
class Original:
    """A picture as it was given.

    Attributes
    ----------
    pixels : (height, width) or (height, width, 3) ndarray of uint8 or uint16
        sRGB, upright; uint16 only in grey.
    alpha : PIL.Image.Image or None
        Its transparency, in mode L.
    format : str
        As Pillow calls it.
    exif : bytes
        Without orientation and thumbnail; b'' for none.
    colored : bool
        Whether it has color already.
    """

    pixels: np.ndarray
    alpha: Image.Image | None
    format: str
    exif: bytes
    colored: bool


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
    with Image.open(io.BytesIO(data), formats=decode.FORMATS) as image:
        kind, alpha = image.format, None
        if image.mode.startswith("I;16"):
            pixels = np.asarray(ImageOps.exif_transpose(image)).astype(np.uint16, copy=False)
            return Original(pixels, alpha, kind, _exif(image), colored=False)
        if image.has_transparency_data:
            # Over white, as `open_picture` puts it, a transparent edge would be too light.
            transparent = ImageOps.exif_transpose(image).convert("RGBA")
            alpha, upright = transparent.getchannel("A"), transparent.convert("RGB")
        # Last, as it takes the orientation from the picture's own data.
        return Original(np.asarray(upright), alpha, kind, _exif(image), _has_color(upright))


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


def colorize(originals: Sequence[Original], colorizer: Colorizer) -> list[np.ndarray]:
    """Color pictures: the network's colors over each picture's own lightness.

    Parameters
    ----------
    originals : sequence of Original
        The pictures; their own colors, if they have any, are not looked at.
    colorizer : Colorizer
        The network. Pictures of one shape go through it together.

    Returns
    -------
    list of (height, width, 3) ndarray of uint8 or uint16
        sRGB. A color that no screen can show is made less colorful, at the same lightness and hue.
    """
    seen = [_seen(original, colorizer.side) for original in originals]
    found: dict[int, np.ndarray] = {}
    for shape in {L.shape for L in seen}:
        rows = [row for row, L in enumerate(seen) if L.shape == shape]
        inputs = L = np.concatenate([seen[row] for row in rows])
        if colorizer.backbone:
            inputs = [L, colorizer.backbone.network.predict_on_batch(grey_input(L, colorizer.backbone))]
        ab = networks.predict_ab(colorizer.network, inputs, colorizer.vividness)
        found |= dict(zip(rows, ab, strict=True))
    return [_recolor(original.pixels, found[row]) for row, original in enumerate(originals)]


def _seen(original: Original, side: int) -> np.ndarray:
    """Reduce a picture to what the network sees: (1, h, w, 1) float32 of L in 0..1."""
    height, width = original.pixels.shape[:2]
    # As many pixels as the squares that the network was trained on, so that things have the size it knows.
    scale = side / (height * width) ** 0.5
    shape = [
        int(np.clip(round(length * scale / COARSEST) * COARSEST, COARSEST, LONGEST))
        for length in (width, height)
    ]
    deep = original.pixels.dtype == np.uint16
    pixels = (original.pixels >> 8).astype(np.uint8) if deep else original.pixels
    small = Image.fromarray(pixels).resize(shape, Image.Resampling.LANCZOS, reducing_gap=3).convert("RGB")
    return normalize(rgb_to_lab(np.asarray(small)[None]))[0]


def _recolor(pixels: np.ndarray, ab: np.ndarray) -> np.ndarray:
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
    return _of_levels(pixels.dtype)[pixels] if pixels.ndim == 2 else rgb_to_lab(pixels)[..., 0]


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
    holds = {"PNG", "TIFF"} if original.pixels.dtype == np.uint16 else HOLDS_COLOR
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


# The command ------------------------------------------------------------------------------------------


def run(inputs: Sequence[str], out: str | None, colorizer: Colorizer, force: bool) -> int:
    """Color files, folders, or what comes in, and write the results under their final names when whole.

    Parameters
    ----------
    inputs : sequence of str
        Files, folders, or ``-`` alone for standard input to standard output.
    out : str, optional
        A file for one picture, a folder for more; if not given, each result lies beside its original.
    colorizer : Colorizer
        The network.
    force : bool
        Whether results that are there already are replaced.

    Returns
    -------
    int
        How many pictures could not be colored; each was named.
    """
    if list(inputs) == ["-"]:
        original = _open(sys.stdin.buffer.read(), "standard input")
        content = encode(original, colorize([original], colorizer)[0])
        if out is None:
            sys.stdout.buffer.write(content)
        else:
            _check(None, typed(out), original, force)
            files.write_bytes(typed(out), content)
        return 0
    tasks = list(_tasks([typed(each) for each in inputs], typed(out) if out else None))
    failed = 0
    together: list[tuple[Path, Path, Original]] = []

    def finish() -> int:
        colored = colorize([original for _, _, original in together], colorizer)
        wrong = 0
        for (source, target, original), rgb in zip(together, colored, strict=True):
            try:
                files.write_bytes(target, encode(original, rgb))
            except OSError as error:
                wrong += _name(bar, source, error)
            bar.update()
        together.clear()
        return wrong

    with progress(notebook=False, total=len(tasks), desc="coloring", unit=" pictures") as bar:
        for source, target, reason in tasks:
            try:
                if reason:
                    raise CourseError(reason)
                original = _open(source.read_bytes(), str(source))
                together.append((source, _check(source, target, original, force), original))
            except (CourseError, OSError) as error:
                failed += _name(bar, source, error)
                bar.update()
            if len(together) == networks.BATCH or sum(each.pixels.size for _, _, each in together) > TOGETHER:
                failed += finish()
        failed += finish() if together else 0
    return failed


def _name(bar: tqdm, source: Path, error: Exception) -> int:
    bar.write(f"{source}: {getattr(error, 'strerror', None) or error}", file=sys.stderr)
    return 1


def _open(data: bytes, name: str) -> Original:
    original = read(data)
    if original.colored:
        print(f"{name} has color already: its lightness alone is used", file=sys.stderr)
    return original


def _check(source: Path | None, target: Path, original: Original, force: bool) -> Path:
    """Give the target the ending of what is written, and see that nothing is lost by it."""
    if result_format(original) != original.format and original.format != "MPO":
        target = target.with_suffix(".png")
    if target.exists() and not force:
        raise CourseError(f"{target} is there already: give --force")
    if source is not None and target.exists() and target.samefile(source):
        raise CourseError(f"{target} would replace the original")
    return target


def _tasks(inputs: Sequence[Path], out: Path | None) -> Iterator[tuple[Path, Path, str]]:
    """Pair each picture with where its result belongs, or with the reason why it is none."""
    single = len(inputs) == 1 and not inputs[0].is_dir()
    for path in inputs:
        if not path.is_dir():
            beside = path.with_name(f"{path.stem}-colored{path.suffix}")
            if out is None:
                target = beside
            else:
                target = (
                    out if single and not (out.is_dir() or str(out).endswith(os.sep)) else out / path.name
                )
            yield path, target, "" if path.exists() else "there is no such file"
            continue
        home = out or path.with_name(f"{path.resolve().name}-colored")
        results = home.resolve()
        for name, file, reason in archives.files_of(path):
            if results not in file.resolve().parents:
                yield file, home / name, reason
