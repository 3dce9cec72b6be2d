"""The command line of the course: `python -m helpers COMMAND`."""

import argparse
import codecs
import io
import math
import os
import shlex
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

from helpers import installed, machines, places
from helpers.errors import DEBUG, CourseError, readable, trace
from helpers.profiles import PROFILES


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the command line asks for.

    Parameters
    ----------
    arguments : sequence of str, optional
        The command line's words; those that Python was called with if not given.

    Returns
    -------
    int
        The exit code: 0; 1 if the work failed; 2 if it was asked for wrongly; 130 if interrupted.
    """
    codecs.register_error("course", _lacking)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="course")
    options = _parser().parse_args(arguments)
    if options.debug:
        os.environ[DEBUG] = "1"  # for the kernels of lessons too
    try:
        return options.command(options)
    except (CourseError, OSError, MemoryError, ModuleNotFoundError, KeyboardInterrupt) as error:
        return _fail(error)


def _lacking(error: UnicodeError) -> tuple[bytes | str, int]:
    """Write what a console or a log lacks a sign for, such as the Δ of a headline, as a question mark.

    The name of a file may hold bytes that are no text. They are written as they are.
    """
    if not isinstance(error, UnicodeEncodeError):
        return codecs.replace_errors(error)
    lacking = error.object[error.start : error.end]
    written = [os.fsencode(each) if "\udc80" <= each <= "\udcff" else b"?" for each in lacking]
    return b"".join(written), error.end


class _RefusedError(CourseError):
    """What was asked for cannot be done; nothing has been started."""


@contextmanager
def _refusing() -> Iterator[None]:
    """Take an error for a refusal."""
    try:
        yield
    except CourseError as error:
        raise _RefusedError(error) from None


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """Say in one line what is wrong, where argparse would repeat the usage."""
        self.exit(2, f"error: {message}; `{self.prog} --help` says what is possible\n")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="python -m helpers", description="Learn to color grey photographs, in six notebooks."
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    run = commands.add_parser("run", help="run the lessons, and write their notebooks, pages and a summary")
    run.set_defaults(command=_run)
    run.add_argument("--profile", default="tiny", help=f"one of {', '.join(PROFILES)}: minutes, or hours")
    run.add_argument("--photos", metavar="SOURCE", help="a name that `sources` lists, a folder or an archive")
    run.add_argument(
        "--out",
        metavar="DIR",
        help="the folder to write to; if not given runs/PROFILE, or one of their own for other photographs",
    )
    run.add_argument("--seed", type=int, default=0, metavar="N", help="the seed of everything random")
    run.add_argument(
        "-p",
        dest="parameters",
        nargs=2,
        action="append",
        default=[],
        metavar=("NAME", "VALUE"),
        help="a parameter of the lessons, such as EPOCHS 3; may be repeated",
    )

    refresh = commands.add_parser("refresh", help="run the notebooks, and store their outputs in them")
    refresh.set_defaults(command=_refresh)
    for command in (run, refresh):
        command.add_argument("--only", nargs="+", default=[], metavar="NN", help="these lessons alone")

    sweep = commands.add_parser(
        "sweep", help="run one lesson over a grid of parameters, several at once, and compare what comes out"
    )
    sweep.set_defaults(command=_sweep)
    sweep.add_argument("grid", metavar="GRID.yaml", help="the lesson, the parameters and what to compare")
    sweep.add_argument("--out", metavar="DIR", help="the folder to write to; runs/sweep-GRID if not given")
    sweep.add_argument("--yes", action="store_true", help="run even a hundred combinations and more")
    run.add_argument(
        "--workers",
        type=whole,
        metavar="N",
        help="lessons at once; as many as there are cores and memory for if not given, and one in `full`",
    )
    place = sweep.add_mutually_exclusive_group()
    place.add_argument(
        "--workers",
        type=whole,
        metavar="N",
        help="runs at once; as many as there are cores and memory for if not given",
    )
    place.add_argument("--cluster", metavar="ADDRESS", help="of a Dask scheduler, whose workers run them")

    for command in (run, refresh, sweep):
        command.add_argument(
            "--timeout",
            type=minutes,
            default=600.0,
            metavar="MINUTES",
            help="the longest that one cell may run; 600 minutes if not given",
        )

    fetch = commands.add_parser("fetch", help="download a set of photographs, and print where it is")
    fetch.set_defaults(command=_fetch)
    fetch.add_argument("name", metavar="NAME", help="a name that `sources` lists")
    fetch.add_argument(
        "--to",
        metavar="DIR",
        help="the folder to put it in, data/downloads if not given; then give the printed path as PHOTOS",
    )

    color = commands.add_parser("colorize", help="color pictures of your own")
    color.set_defaults(command=_colorize)
    color.add_argument(
        "inputs",
        nargs="+",
        metavar="INPUT",
        help="files and folders; `-` alone for standard input to standard output",
    )
    color.add_argument(
        "-o",
        dest="out",
        metavar="OUT",
        help="the file to write, or the folder for several; NAME-colored beside each if not given",
    )
    color.add_argument(
        "--network", metavar="NAME", help="one that comes with the course, or FILE.keras of a run"
    )
    color.add_argument(
        "--vividness", type=share, metavar="V", help="0 (careful) to 1 (bold), for the colorizer"
    )
    color.add_argument(
        "--hint",
        dest="hints",
        action="append",
        default=[],
        metavar="X,Y=COLOR",
        help="a color for a place of one picture: X and Y in pixels from its upper left corner, or in "
        "percent (25%%), and #rrggbb, a name such as green or grey, or a and b as in 40,-20; may be repeated",
    )
    color.add_argument("--force", action="store_true", help="replace results that are there already")

    app = commands.add_parser("app", help="open a page on which visitors color a photograph")
    app.set_defaults(command=_app)
    app.add_argument(
        "--host",
        default="127.0.0.1",
        metavar="ADDRESS",
        help="where to listen: 127.0.0.1 for this machine alone, 0.0.0.0 for all that reach it",
    )
    app.add_argument("--port", type=port, metavar="N", help="the port; 8000 or a free one if not given")

    doctor = commands.add_parser("doctor", help="see whether this machine is ready for the course")
    doctor.set_defaults(command=_doctor)
    doctor.add_argument("--quick", action="store_true", help="leave out the training of some seconds")

    keep = commands.add_parser(
        "keep", help="make the networks of a run the recorded ones, and write the README's table anew"
    )
    keep.set_defaults(command=_keep)
    keep.add_argument("run", metavar="RUN", help="the folder that lessons 3 to 6 wrote to")

    progress = commands.add_parser(
        "progress",
        help="show which exercises are solved, in your notebooks or in folders of submitted ones",
        description="Run the answers of notebooks again and show which exercises they solve. "
        "This runs the code that was handed in, with your rights; read it first if you do not trust it.",
    )
    progress.set_defaults(command=_progress)
    progress.add_argument(
        "notebooks", nargs="*", metavar="FOLDER", help="folders or notebooks; the course's own if not given"
    )
    progress.add_argument("--csv", metavar="FILE", help="write the table to a file for spreadsheets too")
    progress.add_argument(
        "--limit",
        type=seconds,
        default=20.0,
        metavar="SECONDS",
        help="the longest that one exercise may run; 20 seconds if not given",
    )

    votes = commands.add_parser(
        "votes", help="pool the votes of a class: which colorings were taken for true photographs?"
    )
    votes.set_defaults(command=_votes)
    votes.add_argument(
        "files", nargs="+", metavar="FILE", help="files that players of the gallery have saved"
    )

    timetable = commands.add_parser(
        "timetable",
        help="show how long each section of the lessons takes, for a teacher's plan",
        description="Show what each section of the lessons took in a run, and what there is to read, to "
        "predict and to solve in it.",
    )
    timetable.set_defaults(command=_timetable)
    timetable.add_argument(
        "run", nargs="?", metavar="RUN", help="the folder of a run of all lessons; runs/tiny if not given"
    )
    timetable.add_argument(
        "--write", action="store_true", help="write the tables in notebooks/TEACHING.md anew as well"
    )

    sources = commands.add_parser("sources", help="list the sets of photographs that the course knows")
    sources.set_defaults(command=_sources)

    # After the command or before it.
    parser.add_argument("--debug", action="store_true", help="of an error, show where it was raised")
    for command in commands.choices.values():
        command.add_argument(
            "--debug", action="store_true", default=argparse.SUPPRESS, help=argparse.SUPPRESS
        )
    return parser


def _doctor(options: argparse.Namespace) -> int:
    from helpers import doctor

    return 1 if doctor.report(lambda line: print(line, flush=True), options.quick) else 0


def minutes(text: str) -> float:
    """Read a number of minutes above 0."""
    if not 0 < (number := float(text)) < math.inf:
        raise argparse.ArgumentTypeError(f"{text} is not a number of minutes above 0")
    return number


def seconds(text: str) -> float:
    """Read a number of seconds above 0."""
    if not 0 < (number := float(text)) < math.inf:
        raise argparse.ArgumentTypeError(f"{text} is not a number of seconds above 0")
    return number


def share(text: str) -> float:
    """Read a number from 0 to 1."""
    if not 0 <= (number := float(text)) <= 1:
        raise argparse.ArgumentTypeError(f"{text} is not a number from 0 to 1")
    return number


def whole(text: str) -> int:
    """Read a whole number above 0."""
    if (number := int(text)) < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a whole number above 0")
    return number


def port(text: str) -> int:
    """Read the number of a port."""
    if not 0 <= (number := int(text)) < 2**16:
        raise argparse.ArgumentTypeError(f"{text} is not the number of a port, 0 to 65535")
    return number


# What only one command needs is imported by that command: the runner takes seconds to load.


def _run(options: argparse.Namespace) -> int:
    from helpers.runner.plan import find_lessons, parse_parameter, plan

    parameters = {"PROFILE": options.profile, "SEED": options.seed}
    if options.photos is not None:
        parameters["PHOTOS"] = options.photos
    parameters |= {name: parse_parameter(name, value) for name, value in options.parameters}
    with _refusing():
        planned = plan(find_lessons(places.NOTEBOOKS, options.only), parameters, options.out)
        if machines.place() and (options.workers or 1) > 1:
            raise CourseError("machines that train together meet for one lesson at a time: no --workers")
        installed.check_backend()
    from helpers.runner import run

    done: list[Path] = []
    try:
        run.run(planned, options.timeout, done, options.workers or run.workers_for(planned))
    except (CourseError, OSError, KeyboardInterrupt) as error:
        return _fail(error, _again("run", options, _only(planned.lessons, done)))
    return 0


def _refresh(options: argparse.Namespace) -> int:
    from helpers import profiles
    from helpers.runner.plan import check_networks, find_lessons

    with _refusing():
        lessons = find_lessons(places.NOTEBOOKS, options.only)
        check_networks(lessons, profiles.folder("tiny"))
        installed.check_backend()
    from helpers.runner import run

    done: list[Path] = []
    try:
        run.refresh(lessons, options.timeout, done)
    except (CourseError, OSError, KeyboardInterrupt) as error:
        return _fail(error, _again("refresh", options, _only(lessons, done)))
    return 0


def _sweep(options: argparse.Namespace) -> int:
    from helpers.runner import grid

    with _refusing():
        installed.check_backend()
        planned = grid.read(places.typed(options.grid), options.out, math.inf if options.yes else grid.MOST)
        installed.check_extra("sweep", "distributed", "cryptography")
    from helpers.runner import sweep

    try:
        rows = sweep.run(planned, options.timeout, options.workers, options.cluster)
        if failed := [row for row in rows if row.problem]:
            names = ", ".join(f"{row.combination}" for row in failed)
            raise CourseError(f"{len(failed)} of {len(rows)} combinations have no result: {names}")
    except (CourseError, OSError, KeyboardInterrupt) as error:
        return _fail(error, _again("sweep", options, [options.grid]))
    return 0


def _fetch(options: argparse.Namespace) -> int:
    from helpers.photographs import sources
    from helpers.photographs.download import fetch

    with _refusing():
        sources.source_named(options.name)
        to = options.to and places.typed(options.to)
        if to is not None:
            places.check_folder(to)
    print(fetch(options.name, to))
    return 0


def _colorize(options: argparse.Namespace) -> int:
    inputs = options.inputs
    if "-" in inputs and len(inputs) > 1:
        raise _RefusedError("`-` stands for standard input, alone")
    with _refusing():
        missing = [each for each in inputs if each != "-" and not places.typed(each).exists()]
    if missing:
        raise _RefusedError(f"there is no {', '.join(missing)}")
    if options.hints and (len(inputs) > 1 or places.typed(inputs[0]).is_dir()):
        raise _RefusedError("a hint is a place of one picture: give one file with --hint")
    from helpers import hints

    with _refusing():
        given = [hints.parse(each) for each in options.hints]
        installed.check_backend()
    from helpers import album, colorize

    with _refusing():
        colorizer = colorize.load(options.network, options.vividness, hints=bool(given))
    return 1 if album.run(inputs, options.out, colorizer, options.force, given) else 0


def _app(options: argparse.Namespace) -> int:
    with _refusing():
        installed.check_backend()
        installed.check_extra("app", "starlette", "uvicorn")
    from helpers import app

    with _refusing():
        app.run(options.host, options.port)
    return 0


def _keep(options: argparse.Namespace) -> int:
    with _refusing():
        models = places.typed(options.run) / "models"
    if not models.is_dir():
        raise _RefusedError(f"{models} is not a folder of networks: run lessons 3 to 6 first")
    from helpers import recorded

    with _refusing():
        kept = recorded.keep(models)
    for path in kept:
        print(path.relative_to(places.ROOT))
    return 0


def _votes(options: argparse.Namespace) -> int:
    from helpers import votes

    with _refusing():
        paths = [places.typed(each) for each in options.files]
    return 1 if votes.report(paths) else 0


def _progress(options: argparse.Namespace) -> int:
    from helpers.exercises import submissions
    from helpers.exercises.grading import numbers

    with _refusing():
        given = options.notebooks or places.lessons(places.NOTEBOOKS)
        paths = submissions.find(given)
        csv = options.csv and places.typed(options.csv)
        if csv is not None:
            places.check_folder(csv.parent)
            if csv.suffix == ".ipynb" or csv.is_dir():
                raise CourseError(f"{csv} is not a name for a CSV file")
        installed.check_backend()
    rows = list(submissions.progress(paths, options.limit))
    print(submissions.table(rows, numbers()))
    if csv is not None:
        submissions.write_csv(csv, rows, numbers())
    return 1 if any(row.problem for row in rows) else 0


def _timetable(options: argparse.Namespace) -> int:
    from helpers import profiles, timetable

    with _refusing():
        run = places.typed(options.run) if options.run else profiles.folder("tiny")
        timed = timetable.read(run, places.lessons(places.NOTEBOOKS))
        if options.write:
            timetable.write(timetable.GUIDE, timed, timetable.machine(run))
    print(timetable.report(timed))
    return 0


def _sources(options: argparse.Namespace) -> int:
    from helpers.photographs.sources import SOURCES

    for source in SOURCES.values():
        print(
            f"{source.name:<16}{source.download:>14}  {source.photographs:>6,} photographs  {source.license}"
        )
    return 0


def _only(lessons: Iterable[Path], done: Sequence[Path]) -> list[str]:
    """Write the option that chooses the lessons that are left; all of them if it was not for a lesson."""
    left = [path.stem[:2] for path in lessons if path not in done]
    return ["--only", *(left or [path.stem[:2] for path in lessons])]


def _again(command: str, options: argparse.Namespace, what: Sequence[str]) -> str:
    """Write the command that does what is left to do."""
    words = [installed.PYTHON, "-m", "helpers", command, *what]
    defaults = _parser().parse_args([command, *what])
    for name in ("profile", "photos", "out", "seed", "workers", "cluster", "yes", "timeout"):
        value = getattr(options, name, None)
        if value != getattr(defaults, name, None):
            words += [f"--{name}"]
            words += [] if value is True else [f"{value:g}" if name == "timeout" else str(value)]
    for pair in getattr(options, "parameters", ()):
        words += ["-p", *pair]
    return shlex.join(words)


def _fail(error: BaseException, again: str = "") -> int:
    """Say what went wrong, and how to go on, in a line each; return the exit code."""
    trace(error)
    code, message = 1, str(error)
    if isinstance(error, _RefusedError):
        code = 2
    elif isinstance(error, KeyboardInterrupt):
        code, message = 130, "interrupted; what had been written is kept"
    elif isinstance(error, ModuleNotFoundError):
        code, message = 2, installed.advice(error.name)
    elif isinstance(error, MemoryError):
        message = "too large for this machine's memory: close other programs, or give it less at once"
    print("error:", readable(message), file=sys.stderr)
    if again:
        print(f"to go on: {again}", file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
