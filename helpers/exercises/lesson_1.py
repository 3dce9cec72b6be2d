"""The exercises of lesson 1: memory, leaks and splits."""

import io

import numpy as np
from PIL import Image

from helpers.exercises.answers import Answer, Hint, array, exercise, number, picture


@exercise("1.1", "a map has a height and a width, so twice the side takes four times the memory")
def photographs_that_fit(answer: Answer) -> None:
    """Three sides; the megabytes are millions of bytes."""
    for side, channels, megabytes in ((64, 100, 500), (128, 250, 8000), (256, 900, 3000)):
        found = number(answer(side, channels, megabytes))
        exact = megabytes * 1e6 / (4 * channels * side**2)
        if found == int(exact):
            continue
        if abs(found - megabytes * 1e6 / (4 * channels * side)) <= 1:
            raise Hint("linear in the side: a map has two sides")
        if abs(found - 4 * exact) <= 4:
            raise Hint("a float32 number takes four bytes")
        if abs(found - exact) <= 1:
            raise Hint("round down: a part of a photograph does not fit")
        raise Hint(f"for a side of {side}, {channels} channels and {megabytes} MB expected {int(exact)}")


def _recompressed(rgb: np.ndarray) -> np.ndarray:
    file = io.BytesIO()
    Image.fromarray(rgb).save(file, "JPEG", quality=60)
    return np.array(Image.open(file))


@exercise("1.2", "a copy is a copy by what it shows, not by its name or its bytes")
def find_leaks(answer: Answer) -> None:
    """Hide copies of three kinds among new pictures, one of them with an old name."""
    shown = [(picture(seed) * 255).astype("uint8") for seed in range(7)]
    train = {f"{i}.jpg": rgb for i, rgb in enumerate(shown[:5])}
    kinds = {"exact": shown[0], "mirrored": shown[1][:, ::-1], "recompressed": _recompressed(shown[2])}
    test = {f"{kind}.jpg": rgb for kind, rgb in kinds.items()} | {"4.jpg": shown[5], "new.jpg": shown[6]}
    found = set(map(str, answer(train, test)))
    if "4.jpg" in found:
        raise Hint("4.jpg is a new picture with an old name: names differ, pictures do not, and the reverse")
    if "new.jpg" in found:
        raise Hint("new.jpg is no copy: your threshold is too generous")
    for kind in kinds:
        if f"{kind}.jpg" not in found:
            raise Hint(f"the {kind} copy was not found")
    if len(found) > len(kinds):
        raise Hint("return the names of the test photographs alone")


@exercise("1.3", "what the file holds decides, so no other file can move it")
def split_by_content(answer: Answer) -> None:
    """Five hundred files; the same in another order; one more."""
    files = [f"photograph {i}".encode() for i in range(500)]
    found = array(answer(files), (500,)).astype(bool)
    if (array(answer(files), (500,)) != found).any():
        raise Hint("the same files were split differently the second time")
    moved = int((array(answer([b"one more", *files]), (501,))[1:].astype(bool) != found).sum())
    if moved:
        raise Hint(f"one new file moved {moved} others: let what the file holds decide, not its place")
    if (array(answer(files[::-1]), (500,))[::-1].astype(bool) != found).any():
        raise Hint("in another order the files are split differently")
    if not 0.04 <= found.mean() <= 0.2:
        raise Hint(f"about a tenth belongs to the test set, not {found.mean():.0%}")
    if "hash" in _names(answer):
        raise Hint("Python's hash() of bytes changes at each start: use hashlib")


def _names(answer: Answer) -> set[str]:
    """Collect the names that a function's code uses, in functions within it too."""
    waiting, names = [getattr(answer.given, "__code__", None)], set()
    while waiting:
        if code := waiting.pop():
            names |= set(code.co_names)
            waiting += [each for each in code.co_consts if hasattr(each, "co_names")]
    return names
