"""Files and folders of pictures, colored: each result lies under its final name when it is whole."""

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from tqdm import tqdm

from helpers import files, networks
from helpers.colorize import Colorizer, Original, colorize, encode, read, result_format
from helpers.errors import CourseError, readable, trace
from helpers.hints import Hint
from helpers.photographs import archives
from helpers.photographs.transfer import progress
from helpers.places import typed

TOGETHER = 2**24  # values of the pictures that wait to be colored together


def run(
    inputs: Sequence[str],
    out: str | None,
    colorizer: Colorizer,
    force: bool,
    hints: Sequence[Callable[[int, int], Hint]] = (),
) -> int:
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
    hints : sequence of callable
        Those of each picture, as `helpers.hints.parse` gives them.

    Returns
    -------
    int
        How many pictures could not be colored; each was named.
    """
    if list(inputs) == ["-"]:
        original = _open(sys.stdin.buffer.read(), "standard input")
        content = encode(original, colorize([original], colorizer, [_placed(original, hints)])[0])
        if out is None:
            sys.stdout.buffer.write(content)
        else:
            _check(None, typed(out), original, force)
            files.write_bytes(typed(out), content)
        return 0
    tasks = list(_tasks([typed(each) for each in inputs], typed(out) if out else None))
    failed = 0
    together: list[tuple[Path, Path, Original, list[Hint]]] = []

    def finish() -> int:
        colored = colorize([each[2] for each in together], colorizer, [each[3] for each in together])
        named = [(source, target, original.bare()) for source, target, original, _ in together]
        together.clear()
        wrong = 0
        for (source, target, original), rgb in zip(named, colored, strict=True):
            try:
                files.write_bytes(target, encode(original, rgb))
            except (CourseError, OSError) as error:
                wrong += _name(bar, source, error)
            bar.update()
        return wrong

    def take(source: Path, target: Path) -> None:
        original = _open(source.read_bytes(), str(source))
        target = _check(source, target, original, force)
        together.append((source, target, original, _placed(original, hints)))

    with progress(notebook=False, total=len(tasks), desc="coloring", unit=" pictures") as bar:
        for source, target, reason in tasks:
            try:
                if reason:
                    raise CourseError(reason)
                take(source, target)
            except (CourseError, OSError) as error:
                failed += _name(bar, source, error)
                bar.update()
            if (
                len(together) == networks.BATCH
                or sum(each.pixels.size for _, _, each, _ in together) > TOGETHER
            ):
                failed += finish()
        failed += finish() if together else 0
    return failed


def _name(bar: tqdm, source: Path, error: Exception) -> int:
    trace(error)
    bar.write(readable(f"{source}: {getattr(error, 'strerror', None) or error}"), file=sys.stderr)
    return 1


def _placed(original: Original, hints: Sequence[Callable[[int, int], Hint]]) -> list[Hint]:
    height, width = original.pixels.shape[:2]
    return [hint(width, height) for hint in hints]


def _open(data: bytes, name: str) -> Original:
    original = read(data)
    for note in original.notes:
        print(readable(f"{name} {note}"), file=sys.stderr)
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
