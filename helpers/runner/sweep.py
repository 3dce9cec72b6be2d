"""Run one lesson for each combination of a grid, several at once; Dask distributes the runs.

Dask was chosen for its weight and its reach: it is plain Python, where Ray brings 200 MB of compiled code.
Each run is a task: its notebook is executed by papermill, in a kernel of its own. Which worker takes it, and
what becomes of it if that worker dies, is Dask's business.
"""

import json
import logging
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import CancelledError
from contextlib import contextmanager
from pathlib import Path

import dask
import distributed
from filelock import FileLock, Timeout

from helpers import files, profiles
from helpers.errors import CourseError
from helpers.runner import comparison
from helpers.runner.comparison import Row
from helpers.runner.grid import Combination, Grid, describe, made_from
from helpers.runner.plan import from_here
from helpers.runner.run import MB_OF_A_LESSON, run_lesson
from helpers.threads import cores, fitting

# In a combination's folder once its notebook has run to the end: what it was made from, and what it took.
DONE = "done.json"
# Seconds that a cluster may take to answer.
PATIENCE = 20


def run(
    grid: Grid, cell_minutes: float = 600, workers: int | None = None, cluster: str | None = None
) -> list[Row]:
    """Run all combinations that have not run yet, and compare them all.

    A combination is done if its notebook ran to the end with these parameters, this code and these versions.
    A line says what became of each; one that fails does not stop the others. Writes a table of all runs, one
    of the settings, and a plot; prints the second.

    Parameters
    ----------
    grid : Grid
        What to do, as `helpers.runner.grid.read` returns it.
    cell_minutes : float
        The longest that one cell may run, in minutes.
    workers : int, optional
        How many combinations run at once on this machine; if not given, as many as it has cores and memory
        for.
    cluster : str, optional
        The address of a Dask scheduler, whose workers run them instead. They need the course installed, and
        have to see the folders of this machine under the same names.

    Returns
    -------
    list of Row
        One for each combination, in the order of the grid.

    Raises
    ------
    CourseError
        If another sweep is writing to the folder, or the cluster does not answer.
    """
    grid.out.mkdir(parents=True, exist_ok=True)
    with _alone(grid.out):
        left = [each for each in grid.combinations if not _is_done(each)]
        done = len(grid.combinations) - len(left)
        print(describe(grid) + (f", of which {done} are done" if done else ""))
        problems: dict[Path, str] = {}
        try:
            if left:
                with _client(cluster, workers or fitting(len(left), _peak_mb(grid))) as client:
                    for combination, problem in _results(client, grid, left, cell_minutes):
                        problems[combination.folder] = problem
                        done += 1
                        _say(done, grid, combination, problem)
        finally:
            rows = [_row(grid, combination, problems) for combination in grid.combinations]
            print(comparison.write(grid, rows), end="")
            print(f"open {from_here(grid.out / comparison.PLOT)}")
    return rows


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Keep a second sweep from writing to the same folder."""
    try:
        with FileLock(folder / ".lock", timeout=0):
            yield
    except Timeout:
        raise CourseError(f"another sweep is writing to {folder}: wait for it, or give --out") from None


@contextmanager
def _client(cluster: str | None, workers: int) -> Iterator[distributed.Client]:
    """Reach the cluster, or start one of processes on this machine that no other user can speak to."""
    # What Dask says of workers that come and go is not for a reader.
    logging.getLogger("distributed").setLevel(logging.CRITICAL)
    if cluster is not None:
        try:
            client = distributed.Client(cluster, timeout=PATIENCE, set_as_default=False)
        except (OSError, ValueError, TypeError) as error:
            raise CourseError(f"no Dask scheduler answers at {cluster} ({type(error).__name__})") from None
        with client:
            if not client.scheduler_info()["workers"]:
                print(f"{cluster} has no workers yet: waiting for some", file=sys.stderr)
            yield client
        return
    threads = str(max(1, cores() // workers))
    limits = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "TF_NUM_INTRAOP_THREADS")
    with dask.config.set({"distributed.scheduler.worker-saturation": 1.0}):  # no task waits at a worker
        with _deaf_to_interrupts():
            local = distributed.LocalCluster(
                n_workers=workers,
                threads_per_worker=1,
                memory_limit=0,  # it would watch the workers, while their kernels hold the memory
                dashboard_address=None,
                silence_logs=logging.CRITICAL,
                security=True,  # on a loopback network, which other users of the machine can reach
                env=dict.fromkeys(limits, threads),
            )
        with local, distributed.Client(local, set_as_default=False) as client:
            yield client


@contextmanager
def _deaf_to_interrupts() -> Iterator[None]:
    """Keep Ctrl-C from processes that are started here: the terminal tells all, and this one ends them."""
    heeded = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, heeded)


def _results(
    client: distributed.Client, grid: Grid, combinations: Sequence[Combination], cell_minutes: float
) -> Iterator[tuple[Combination, str]]:
    """Have combinations run; yield each as it ends, with what went wrong or ''."""
    # Keys of one kind: so Dask keeps what no worker has begun to itself, out of the reach of a dying worker.
    futures = {
        client.submit(_run_one, grid.lesson, each, cell_minutes, key=("combination", str(each.folder))): each
        for each in combinations
    }
    for future in distributed.as_completed(futures, loop=client.loop):
        try:
            problem = future.result()
        except distributed.scheduler.KilledWorker as error:
            problem = f"{error.allowed_failures + 1} workers died one after the other as they ran it"
        except CancelledError:
            problem = "the cluster has ended"
        except Exception as error:
            first = str(error).partition("\n")[0]
            problem = f"{type(error).__name__}: {first}"
        yield futures[future], problem


def _run_one(lesson: Path, combination: Combination, cell_minutes: float) -> str:
    """Run one combination, in a worker; return what went wrong, '' if nothing."""
    # Dask gives a task to another worker if the first one dies, perhaps after it had done all there was.
    if _is_done(combination):
        return ""
    if made_from(lesson, combination.parameters) != combination.made_from:
        return "the worker has another version of the course, of Keras or of the photographs"
    combination.folder.mkdir(parents=True, exist_ok=True)
    (combination.folder / DONE).unlink(missing_ok=True)
    try:
        took = run_lesson(lesson, combination.folder / lesson.name, combination.parameters, cell_minutes)
    except CourseError as error:
        return str(error)
    facts = {"made_from": combination.made_from, "minutes": took.minutes, "peak_mb": took.peak_mb}
    files.write_text(combination.folder / DONE, json.dumps(facts) + "\n")
    return ""


def _is_done(combination: Combination) -> bool:
    try:
        read = json.loads((combination.folder / DONE).read_text("utf-8"))
        return read["made_from"] == combination.made_from
    except (OSError, ValueError, KeyError, TypeError):  # it has not run, or the file is not one of ours
        return False


def _row(grid: Grid, combination: Combination, problems: dict[Path, str]) -> Row:
    if problem := problems.get(combination.folder):
        return Row(combination, {}, problem)
    if not _is_done(combination):
        return Row(combination, {}, "it has not run")
    return comparison.measure(combination, grid.metrics)


def _say(done: int, grid: Grid, combination: Combination, problem: str) -> None:
    what = f"failed: {problem}" if problem else "done"
    print(f"[{done}/{len(grid.combinations)}] {combination}  {what}", file=sys.stderr, flush=True)


def _peak_mb(grid: Grid) -> float:
    """Return what the lesson took when `run` ran it last, in MB, or a guess that is large enough."""
    try:
        summary = json.loads((profiles.folder(grid.profile) / "summary.json").read_text("utf-8"))
        (took,) = (each for each in summary["lessons"] if each["notebook"] == grid.lesson.name)
        return max(1, took["peak_mb"])
    except (OSError, ValueError, KeyError, TypeError):
        return MB_OF_A_LESSON
