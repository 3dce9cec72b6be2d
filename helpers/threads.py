"""Work on many photographs at once."""

import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor


def on_threads(function: Callable, *sequences: Iterable) -> list:
    """Map a function on threads, one a core; NumPy and SciPy release the interpreter's lock as they compute.

    Parameters
    ----------
    function : callable
        Takes one item of each sequence.
    *sequences : iterable
        As for `map`.

    Returns
    -------
    list
        The results, in order.
    """
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(function, *sequences))
