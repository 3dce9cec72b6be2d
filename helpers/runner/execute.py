"""Execute one notebook: its kernel, its memory, and its failure in one line."""

import logging
import os
import tempfile
import threading
from collections.abc import Mapping
from pathlib import Path

import papermill
import psutil
from ipykernel.kernelspec import RESOURCES, get_kernel_dict
from jupyter_client import AsyncKernelManager
from jupyter_client.kernelspec import KernelSpec
from nbclient.exceptions import CellTimeoutError, DeadKernelError
from nbformat import NotebookNode
from papermill.exceptions import PapermillExecutionError
from tqdm import tqdm

from helpers.errors import CourseError

# Whatever goes wrong is raised; papermill's log would say it a second time.
logging.getLogger("papermill").addHandler(logging.NullHandler())


def execute(
    lesson: Path,
    output: Path,
    parameters: Mapping[str, object],
    cell_minutes: float,
    bar: tqdm | None = None,
) -> NotebookNode:
    """Execute a notebook in its own folder, in a kernel of its own.

    Parameters
    ----------
    lesson : Path
        The notebook.
    output : Path
        The executed notebook to write; after a failure it is kept as far as it came.
    parameters : mapping of str to object
        Values for names of the lesson's `parameters` cell.
    cell_minutes : float
        The longest that one cell may run, in minutes.
    bar : tqdm, optional
        A bar that is told which cell runs, and moved on after each.

    Returns
    -------
    NotebookNode
        The notebook with its outputs.

    Raises
    ------
    CourseError
        If a cell fails or no kernel starts; the message names the lesson, the cell and the error.
    """
    running = heading = None

    def start(cell: NotebookNode, cell_index: int) -> None:
        nonlocal running, heading
        if cell.cell_type == "code":
            running = cell
            if bar is not None:
                bar.set_description_str(f"{lesson.stem} · {heading or _first_line(cell)}"[:60])
        elif _first_line(cell).startswith("#"):
            heading = _first_line(cell).lstrip("# ")

    def executed(cell: NotebookNode, cell_index: int, execute_reply: Mapping[str, Mapping]) -> None:
        injected = "injected-parameters" in cell.metadata.get("tags", [])
        if bar is not None and not injected and execute_reply["content"]["status"] == "ok":
            bar.update()

    try:
        return papermill.execute_notebook(
            lesson,
            output,
            dict(parameters),
            kernel_name="python3",
            language="python",
            cwd=lesson.parent,
            progress_bar=False,
            log_output=False,
            execution_timeout=max(1, round(cell_minutes * 60)),
            kernel_manager_class=ThisInterpreter,
            extra_arguments=["--log-level=CRITICAL"],
            on_cell_start=start,
            on_cell_executed=executed,
        )
    except PapermillExecutionError as error:
        name, message = error.ename, error.evalue
    except CellTimeoutError:
        name, message = "TimeoutError", f"the cell ran longer than {cell_minutes:g} minutes"
    except DeadKernelError:
        name, message = "DeadKernelError", "the cell's process died; it may have run out of memory"
    except RuntimeError as error:
        if running is not None:
            raise
        # The kernel's process ended before the first cell.
        raise CourseError(
            f"lesson {lesson.stem} did not start: no kernel runs on this Python ({error}); "
            "install requirements.txt again"
        ) from error
    message = next((line for line in message.splitlines() if line.strip()), "")
    where = f"cell [{running.execution_count or '*'}] `{_first_line(running)}`"
    raise CourseError(f"lesson {lesson.stem} failed in {where}: {name}: {message}")


class ThisInterpreter(AsyncKernelManager):
    """Start kernels on the interpreter that runs this code, and reach them without a network.

    Any kernel named `python3` may be installed for the user, and its
    interpreter need not have the course's packages. Where the system has Unix
    sockets, they replace the loopback network, which other users can listen to.
    """

    def __init__(self, **traits: object):
        super().__init__(**traits)
        if os.name == "posix":
            # A short path: the system allows a socket's about 100 characters.
            self._sockets = tempfile.TemporaryDirectory(prefix="kernel-")
            self.transport = "ipc"
            self.connection_file = str(Path(self._sockets.name) / "kernel.json")

    @property
    def kernel_spec(self) -> KernelSpec:
        """The kernel that the installed ipykernel describes for this interpreter."""
        return KernelSpec(resource_dir=RESOURCES, **get_kernel_dict())

    async def cleanup_resources(self, restart: bool = False) -> None:
        """Remove the sockets as well, once the kernel has ended."""
        await super().cleanup_resources(restart)
        if os.name == "posix" and not restart:
            self._sockets.cleanup()


class PeakMemory:
    """Measure the peak resident memory of the processes that this one has started.

    Memory is sampled, as no system counts the peak of a whole tree of
    processes; a peak shorter than the interval can be missed.

    Parameters
    ----------
    interval : float
        Seconds between two samples.
    """

    def __init__(self, interval: float = 0.2):
        self.peak_mb = 0
        self._interval = interval
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)

    def __enter__(self) -> "PeakMemory":
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._done.set()
        self._thread.join()

    def _sample(self) -> None:
        this = psutil.Process()
        while not self._done.wait(self._interval):
            total = 0
            for process in this.children(recursive=True):
                try:
                    total += process.memory_info().rss
                except psutil.Error:  # it ended meanwhile
                    continue
            self.peak_mb = max(self.peak_mb, round(total / 1e6))


def _first_line(cell: NotebookNode) -> str:
    return cell.source.strip().partition("\n")[0]
