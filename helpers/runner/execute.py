"""Execute one notebook: its kernel, its memory, and its failure in one line."""

import logging
import os
import re
import signal
import subprocess
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import quote_from_bytes, unquote_to_bytes

import papermill
import psutil
from ipykernel.kernelspec import RESOURCES, get_kernel_dict
from jupyter_client import AsyncKernelManager
from jupyter_client.kernelspec import KernelSpec
from nbclient.exceptions import CellTimeoutError, DeadKernelError
from nbformat import NotebookNode
from papermill.exceptions import PapermillExecutionError
from papermill.iorw import papermill_io

from helpers import files, machines
from helpers.errors import CourseError
from helpers.places import STATUS
from helpers.runner import environment
from helpers.runner.progress import Progress

# The system allows the path of a Unix socket about 100 bytes; Linux more than macOS.
LONGEST = 70
# What libraries say whose memory has run out.
_NO_MEMORY = re.compile(r"MemoryError|ResourceExhausted|OutOfMemory|bad_alloc|out of memory", re.IGNORECASE)
LESS = (
    "to need less memory, end other programs and kernels, use --profile tiny or fewer photographs, or lower "
    "batch_size, colorizer_batch or size in helpers/profiles.py"
)
# What JAX says when a machine that trains with this one is silent: as an error, or as it ends the process.
_GONE = re.compile(r"gloo|nccl|coordination service|JAX distributed service detected", re.IGNORECASE)
# Whatever goes wrong is raised; papermill's log would say it a second time.
logging.getLogger("papermill").addHandler(logging.NullHandler())


def execute(
    lesson: Path,
    output: Path,
    parameters: Mapping[str, object],
    cell_minutes: float,
    progress: Progress | None = None,
    memory: "PeakMemory | None" = None,
) -> NotebookNode:
    """Execute a notebook in its own folder, in a kernel of its own.

    Several threads may do so at once, within `ending_kernels` of the main one.

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
    progress : Progress, optional
        Is told which cell runs, and when it has run.
    memory : PeakMemory, optional
        Is told the kernel.

    Returns
    -------
    NotebookNode
        The notebook with its outputs.

    Raises
    ------
    CourseError
        If a cell fails or no kernel starts; the message names the lesson, the cell and the error.
    KeyboardInterrupt
        If Ctrl-C was pressed; the kernel has ended.
    """
    running = heading = None

    def start(cell: NotebookNode, cell_index: int) -> None:
        nonlocal running, heading
        if cell.cell_type == "code":
            running, kernel.done = cell, False
            if progress is not None and not _injected(cell):
                progress.start_cell(lesson, cell.id, heading or _first_line(cell))
        elif _first_line(cell).startswith("#"):
            heading = _first_line(cell).lstrip("# ")

    def executed(cell: NotebookNode, cell_index: int, execute_reply: Mapping[str, Mapping]) -> None:
        kernel.done = execute_reply["content"]["status"] == "ok"
        if progress is not None and not _injected(cell) and kernel.done:
            progress.end_cell(lesson)

    with _kernel(lesson.parent) as kernel:
        if progress is not None:
            progress.start_lesson(lesson, kernel.status)
        if memory is not None:
            memory.kernel = kernel
        try:
            return papermill.execute_notebook(
                _Unharmed.named(lesson),
                _Unharmed.named(output),
                dict(parameters),
                kernel_name="python3",
                language="python",
                progress_bar=False,
                log_output=False,
                execution_timeout=max(1, round(cell_minutes * 60)),
                kernel_manager_class=kernel,
                extra_arguments=["--log-level=CRITICAL"],
                on_cell_start=start,
                on_cell_executed=executed,
            )
        except PapermillExecutionError as error:
            name, message = error.ename, error.evalue
        except CellTimeoutError:
            name, message = "TimeoutError", f"the cell ran longer than {cell_minutes:g} minutes"
        except DeadKernelError:
            name, message = "DeadKernelError", f"the cell's process {kernel.end_of_it()}{kernel.last_words()}"
            if found := re.search("JAX distributed service detected", kernel.written()):
                message = found[0]
        except RuntimeError as error:
            if running is not None:
                raise
            # The kernel's process ended before the first cell.
            raise CourseError(
                f"lesson {lesson.stem} did not start: no kernel runs on this Python ({error})"
                f"{kernel.last_words()}; install requirements.txt again"
            ) from error
    message = next((line for line in message.splitlines() if line.strip()), "")
    where = f"cell [{running.execution_count or '*'}] `{_first_line(running)}`"
    if machines.place() and _GONE.search(message):
        raise CourseError(
            f"lesson {lesson.stem} stopped in {where}: another machine went away, or did not come; give each "
            "machine the same command again, and a training that is kept goes on from there"
        )
    advice = f"; {LESS}" if _NO_MEMORY.search(f"{name}: {message}") else ""
    raise CourseError(f"lesson {lesson.stem} failed in {where}: {name}: {message}{advice}")


class _Unharmed:
    """Let papermill have a file whose path it would change, or could not store.

    It takes a path for a template, in which braces stand for parameters, and for the address of a
    service if it begins like one. It stores it in the notebook, where bytes that are no text are an error.
    """

    SCHEME = "course:"

    @classmethod
    def named(cls, path: Path) -> str:
        """Write a path in letters that mean nothing to papermill."""
        return cls.SCHEME + quote_from_bytes(os.fsencode(path.absolute()))

    @classmethod
    def read(cls, name: str) -> str:
        """Read a notebook."""
        return cls._path(name).read_text("utf-8")

    @classmethod
    def write(cls, content: str, name: str) -> None:
        """Write a notebook, whole or not at all."""
        files.write_text(cls._path(name), content)

    @staticmethod
    def pretty_path(name: str) -> str:
        """Return what papermill's log calls a notebook."""
        return name

    @classmethod
    def _path(cls, name: str) -> Path:
        return Path(os.fsdecode(unquote_to_bytes(name.removeprefix(cls.SCHEME))))


papermill_io.register(_Unharmed.SCHEME, _Unharmed)


# The kernels that run, and whether Ctrl-C has ended them.
_kernels: "list[type[ThisInterpreter]]" = []
_interrupted = threading.Event()


class ThisInterpreter(AsyncKernelManager):
    """Start kernels on the interpreter that runs this code, and reach them without a network.

    Any kernel named `python3` may be installed for the user, and its
    interpreter need not have the course's packages. Where the system has Unix
    sockets, they replace the loopback network, which other users can listen to;
    unless no folder for temporary files has a path that is short enough.

    A subclass with the attributes below is made for each kernel, as papermill takes a class.

    Attributes
    ----------
    folder : Path
        A folder for the kernel's sockets, and for what it writes.
    place : Path
        The folder that the kernel runs in. (Papermill would change that of the whole process.)
    status : Path
        The file in which it says what it does within a cell.
    done : bool
        Whether the last cell that was begun has run without a failure.
    pid : int or None
        The number of the kernel's process, once there is one.
    process : subprocess.Popen or None
        The process itself.
    """

    folder: Path
    place: Path
    status: Path
    done = False
    pid: int | None = None
    process: subprocess.Popen | None = None

    def __init__(self, **traits: object):
        super().__init__(**traits)
        self.connection_file = str(self.folder / "kernel.json")
        if os.name == "posix" and _has_room(self.folder):
            self.transport = "ipc"
        if machines.place():  # they wait for each other at the end; half of the time is for that
            self.shutdown_wait_time = 2 * (machines.END + 5)

    @property
    def kernel_spec(self) -> KernelSpec:
        """The kernel that the installed ipykernel describes for this interpreter."""
        return KernelSpec(resource_dir=RESOURCES, **get_kernel_dict())

    async def start_kernel(self, **options: object) -> None:
        """Start the kernel with its descriptors on a log: a library's messages are not for the terminal."""
        kind = type(self)
        options["cwd"] = str(kind.place.absolute())
        with (self.folder / "log").open("wb") as log:
            variables = environment.of_a_kernel(self.folder) | {STATUS: str(kind.status)}
            await super().start_kernel(stdout=log, stderr=log, env=variables, **options)
        kind.pid, kind.process = self.provisioner.pid, self.provisioner.process
        if _interrupted.is_set():
            kind.end()

    async def shutdown_kernel(self, now: bool = False, restart: bool = False) -> None:
        """Let the kernel end; after a failure at once, as machines would wait for each other."""
        failed = machines.place() is not None and not type(self).done
        await super().shutdown_kernel(now=now or failed, restart=restart)

    @classmethod
    def end(cls) -> None:
        """End the kernel's process, and all that it has started, at once."""
        with suppress(psutil.NoSuchProcess):
            if cls.pid is not None:
                kernel = psutil.Process(cls.pid)
                for process in [*kernel.children(recursive=True), kernel]:
                    with suppress(psutil.NoSuchProcess):
                        process.kill()

    @classmethod
    def end_of_it(cls) -> str:
        """Say how a dead kernel's process ended."""
        code = cls.process and cls.process.poll()
        if code == -9:
            return "was killed, as a system does that has run out of memory"
        how = f"was ended by signal {-code}" if code and code < 0 else f"ended by itself with {code}"
        return f"{how}; it may have run out of memory"

    @classmethod
    def written(cls) -> str:
        """Read what the kernel and its libraries wrote past the notebook."""
        log = cls.folder / "log"
        return log.read_text("utf-8", "replace") if log.exists() else ""

    @classmethod
    def last_words(cls) -> str:
        """Quote what a dead kernel wrote last."""
        lines = [line.strip() for line in cls.written().split("\n") if line.strip()]
        return f'; it last wrote "{lines[-1]}"' if lines else ""


@contextmanager
def ending_kernels() -> Iterator[None]:
    """Let Ctrl-C end the kernels rather than whatever this process is doing.

    An exception that is raised wherever Ctrl-C finds this process leaves a kernel behind that is only just
    starting, and may come in the middle of writing the notebook. A dead kernel is noticed and cleaned up.
    In a thread, or where Ctrl-C is ignored or has another meaning, it is left alone.

    Raises
    ------
    KeyboardInterrupt
        At the end, if Ctrl-C was pressed.
    """
    if not (
        threading.current_thread() is threading.main_thread()
        and signal.getsignal(signal.SIGINT) is signal.default_int_handler
    ):
        yield
        return

    def end(signum: int, frame: object) -> None:
        _interrupted.set()
        signal.signal(signal.SIGINT, signal.default_int_handler)  # for whoever presses it twice
        for kernel in list(_kernels):
            kernel.end()

    signal.signal(signal.SIGINT, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        if _interrupted.is_set():
            _interrupted.clear()
            raise KeyboardInterrupt


@contextmanager
def _kernel(place: Path) -> Iterator[type[ThisInterpreter]]:
    """Make the class of one kernel, which Ctrl-C ends."""
    # A cluster's folder for temporary files may have a long path.
    rooms = (Path(tempfile.gettempdir()), Path("/tmp"))
    room = next((each for each in rooms if _has_room(each) and os.access(each, os.W_OK | os.X_OK)), None)
    with (
        ending_kernels(),
        tempfile.TemporaryDirectory(prefix="kernel-", dir=room, ignore_cleanup_errors=True) as folder,
    ):

        class Kernel(ThisInterpreter):
            pass

        Kernel.folder, Kernel.place = Path(folder), place
        Kernel.status = Path(folder) / "status"
        _kernels.append(Kernel)
        try:
            yield Kernel
        finally:
            _kernels.remove(Kernel)
            if _interrupted.is_set():
                raise KeyboardInterrupt


def _has_room(folder: Path) -> bool:
    """See whether a folder's path leaves room for the name of a socket, and is text."""
    try:
        return len(str(folder).encode()) <= LONGEST
    except UnicodeEncodeError:
        return False


class PeakMemory:
    """Measure the peak resident memory of a kernel, and of the processes that it has started.

    Memory is sampled, as no system counts the peak of a whole tree of
    processes; a peak shorter than the interval can be missed.

    Parameters
    ----------
    interval : float
        Seconds between two samples.

    Attributes
    ----------
    peak_mb : int
        In MB of 10⁶ bytes.
    kernel : type of ThisInterpreter or None
        The kernel, once it is known.
    """

    def __init__(self, interval: float = 0.2):
        self.peak_mb = 0
        self.kernel: type[ThisInterpreter] | None = None
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
        while not self._done.wait(self._interval):
            if self.kernel is None or self.kernel.pid is None:
                continue
            total = 0
            with suppress(psutil.Error):  # it ended meanwhile
                kernel = psutil.Process(self.kernel.pid)
                for process in [kernel, *kernel.children(recursive=True)]:
                    with suppress(psutil.Error):
                        total += process.memory_info().rss
            self.peak_mb = max(self.peak_mb, round(total / 1e6))


def _injected(cell: NotebookNode) -> bool:
    return "injected-parameters" in cell.metadata.get("tags", [])


def _first_line(cell: NotebookNode) -> str:
    return cell.source.strip().partition("\n")[0]
