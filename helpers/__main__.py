"""The command line: `python -m helpers run`, `fetch`, `sources`, `refresh` and `keep`."""

import argparse
import io
import sys
from collections.abc import Sequence
from pathlib import Path

from helpers import places
from helpers.errors import CourseError
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
    # A console or a log that lacks a sign, such as the Δ of a headline, shows a question mark for it.
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    options = _parser().parse_args(arguments)
    try:
        return options.command(options)
    except (CourseError, OSError) as error:
        return _fail(error, 1)
    except ModuleNotFoundError as error:
        return _fail(f"{error.name} is not installed: python -m pip install -r requirements.txt", 1)
    except KeyboardInterrupt:
        return _fail("interrupted; what had been written is kept", 130)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
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
        help="the folder to write to; runs/PROFILE, or runs/PROFILE-SOURCE, if not given",
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
        command.add_argument(
            "--timeout",
            type=float,
            default=600,
            metavar="MINUTES",
            help="the longest that one cell may run; 600 minutes if not given",
        )

    fetch = commands.add_parser("fetch", help="download a set of photographs, and print where it is")
    fetch.set_defaults(command=_fetch)
    fetch.add_argument("name", metavar="NAME", help="a name that `sources` lists")
    fetch.add_argument(
        "--to",
        type=Path,
        metavar="DIR",
        help="the folder to put it in, data/downloads if not given; then give the printed path as PHOTOS",
    )

    keep = commands.add_parser(
        "keep", help="make the networks of a run the recorded ones, and write the README's table anew"
    )
    keep.set_defaults(command=_keep)
    keep.add_argument("run", type=Path, metavar="RUN", help="the folder that lessons 3 to 6 wrote to")

    sources = commands.add_parser("sources", help="list the sets of photographs that the course knows")
    sources.set_defaults(command=_sources)
    return parser


# What only one command needs is imported by that command: the runner takes a second to load.


def _run(options: argparse.Namespace) -> int:
    from helpers.runner import run

    parameters = {"PROFILE": options.profile, "SEED": options.seed}
    if options.photos is not None:
        parameters["PHOTOS"] = options.photos
    parameters |= {name: run.parse_value(value) for name, value in options.parameters}
    try:
        lessons = run.find_lessons(places.NOTEBOOKS, options.only)
        planned = run.plan(lessons, parameters, options.out)
    except CourseError as error:
        return _fail(error, 2)
    run.run(planned, options.timeout)
    return 0


def _refresh(options: argparse.Namespace) -> int:
    from helpers.runner import run

    try:
        lessons = run.find_lessons(places.NOTEBOOKS, options.only)
    except CourseError as error:
        return _fail(error, 2)
    run.refresh(lessons, options.timeout)
    return 0


def _fetch(options: argparse.Namespace) -> int:
    from helpers.photographs.download import fetch

    print(fetch(options.name, options.to))
    return 0


def _keep(options: argparse.Namespace) -> int:
    from helpers import recorded

    for path in recorded.keep(options.run / "models"):
        print(path.relative_to(places.ROOT))
    return 0


def _sources(options: argparse.Namespace) -> int:
    from helpers.photographs.sources import SOURCES

    for source in SOURCES.values():
        print(
            f"{source.name:<16}{source.download:>14}  {source.photographs:>6,} photographs  {source.license}"
        )
    return 0


def _fail(message: object, code: int) -> int:
    print(f"error: {message}", file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
