"""Work on many photographs at once, and how many cores there are for it."""

import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor, wait
from functools import cache
from itertools import islice

import psutil

# Of the memory that is free, the share that processes may fill.
SHARE = 0.9
_AT_ONCE = 1024  # calls that wait for a thread; each takes a kilobyte


def cores() -> int:
    """Count the cores that this process may use.

    Returns
    -------
    int
        Where the system can bind a process to some of its cores, only these count.
    """
    process = psutil.Process()
    return len(process.cpu_affinity()) if hasattr(process, "cpu_affinity") else os.cpu_count() or 1


def fitting(most: int, mb_each: float) -> int:
    """Say how many processes this machine has cores and free memory for at once.

    Parameters
    ----------
    most : int
        How many there are to run.
    mb_each : float
        The memory that one of them needs at its peak, in MB of 10⁶ bytes.

    Returns
    -------
    int
        At least 1.
    """
    free = SHARE * psutil.virtual_memory().available / 1e6
    return max(1, min(most, cores(), int(free / mb_each)))


def on_threads(function: Callable, *sequences: Iterable) -> list:
    """Map a function on threads, one a core; NumPy and SciPy release the interpreter's lock as they compute.

    Parameters
    ----------
    function : callable
        Takes one item of each sequence. It must not call `on_threads` itself.
    *sequences : iterable
        As for `map`.

    Returns
    -------
    list
        The results, in order.
    """
    calls, results = zip(*sequences, strict=False), []
    while some := [_pool().submit(function, *call) for call in islice(calls, _AT_ONCE)]:
        try:
            results += [future.result() for future in some]
        finally:
            for future in some:
                future.cancel()
            wait(some)  # after an error, too, nothing goes on behind the caller's back
    return results


@cache
def _pool() -> ThreadPoolExecutor:
    # Kept, since Python waits forever for a new thread that finds no memory to start in.
    return ThreadPoolExecutor(os.cpu_count())
