"""How far a run is: a bar in a terminal, which ticks every second; a line for each lesson in a log."""

import json
import sys
import threading
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

# Seconds of the run before that this one has to differ by until the estimate follows.
PATIENCE = 10
# Seconds between two drawings of the bar.
TICK = 1.0


@dataclass
class _Running:
    """A lesson that runs: when its cell began, where its kernel says more, the cell, and its heading."""

    began: float
    status: Path | None = None
    cell: str | None = None
    heading: str = ""

    def describe(self, number: str, room: int) -> str:
        """Write the lesson's number, heading and epoch in a number of letters."""
        epoch = ""
        with suppress(OSError, AttributeError):  # no training has begun
            epoch = self.status.read_text("utf-8")
        tail = f" · {epoch}" if epoch and len(epoch) + 12 < room else ""
        head, room = f"{number} {self.heading}", room - len(tail)
        return (head if len(head) <= room else f"{head[: room - 1]}…") + tail


class Progress:
    """Show which cell of which lesson runs, for how long, and about how long the rest will take.

    Cells are weighed by what they took before. If one of the lessons has not run
    before, they all weigh the same, and the bar says that there is no estimate.
    Lessons that run side by side tell it from threads of their own.

    Parameters
    ----------
    lessons : iterable of Path
        The notebooks, in the order in which they run.
    seconds : mapping of str to mapping of str to float
        Notebook → cell → what it took before, as `seconds` has it of another run.
    workers : int
        How many lessons may run side by side.

    Attributes
    ----------
    seconds : dict of str to dict of str to float
        Notebook → cell → what it took in this run. The lesson's start counts to its first cell.
    """

    def __init__(self, lessons: Iterable[Path], seconds: Mapping[str, Mapping[str, float]], workers: int = 1):
        self.seconds: dict[str, dict[str, float]] = {}
        self._workers = workers
        cells = [(path.name, cell) for path in lessons for cell in _cells(path)]
        self.estimates = all(name in seconds for name, _ in cells)
        # A cell that is new in a lesson that has run takes little, most likely.
        self._left = {
            (name, cell): seconds[name].get(cell, 1.0) if self.estimates else 1.0 for name, cell in cells
        }
        self._total = sum(self._left.values())
        self._before = self._now = 0.0
        self._running: dict[str, _Running] = {}
        self._lock = threading.RLock()
        self._bar: tqdm | None = None
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._tick, daemon=True)

    def __enter__(self) -> "Progress":
        if sys.stderr.isatty():
            self._bar = tqdm(
                total=self._total,
                file=sys.stderr,
                dynamic_ncols=True,
                bar_format="{desc} {percentage:3.0f}%|{bar}| {elapsed}{postfix}",
            )
            self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        if self._bar is not None:
            self._end.set()
            self._thread.join()
            self.draw()
            self._bar.close()

    def start_lesson(self, lesson: Path, status: Path | None = None) -> None:
        """Note that a lesson's kernel starts; in `status` it says what it does within a cell."""
        with self._lock:
            self._running[lesson.name] = _Running(time.monotonic(), status)

    def start_cell(self, lesson: Path, cell: str, heading: str) -> None:
        """Say which cell of a lesson runs now, under which heading."""
        with self._lock:
            running = self._running[lesson.name]
            running.cell, running.heading = cell, heading
            self.draw()

    def end_cell(self, lesson: Path) -> None:
        """Note what the cell took that has run in a lesson, since the one before ended."""
        with self._lock:
            running, now = self._running[lesson.name], time.monotonic()
            took = now - running.began
            self.seconds.setdefault(lesson.name, {})[running.cell] = took
            self._before += self._left.pop((lesson.name, running.cell), 0.0)
            self._now += took
            running.began, running.cell = now, None
            self.draw()

    def end_lesson(self, lesson: Path, minutes: float, headline: str) -> None:
        """Write a line on a lesson that is done, unless a bar shows it."""
        with self._lock:
            self._running.pop(lesson.name, None)
            if self._bar is None:
                line = f"{lesson.stem:<24}{minutes:5.1f} min  {headline}".rstrip()
                print(line, file=sys.stderr, flush=True)

    def remaining(self) -> float:
        """Estimate the seconds that are left: what the cells took before, at this run's pace."""
        pace = (self._now + PATIENCE) / (self._before + PATIENCE)
        left = dict.fromkeys((name for name, _ in self._left), 0.0)
        for (name, cell), expected in self._left.items():
            running = self._running.get(name)
            in_cell = time.monotonic() - running.began if running and running.cell == cell else 0.0
            left[name] += max(0.0, pace * expected - in_cell)
        return max([sum(left.values()) / self._workers, *left.values()])

    def draw(self) -> None:
        """Draw the bar as things stand."""
        with self._lock:
            if self._bar is None:
                return
            self._bar.n = self._before + (self._within() if self.estimates else 0.0)
            left = (
                f"about {tqdm.format_interval(self.remaining())} left"
                if self.estimates
                else "no estimate yet"
            )
            self._bar.set_postfix_str(left if self._left else "", refresh=False)
            self._bar.set_description_str(self._describe(), refresh=False)
            self._bar.refresh()

    def _within(self) -> float:
        """Add up the seconds of the cells that run, each at most what it took before."""
        now = time.monotonic()
        return sum(
            min(now - running.began, self._left.get((name, running.cell), 0.0))
            for name, running in self._running.items()
        )

    def _describe(self) -> str:
        """Name each lesson that runs, its heading and epoch, in what 80 columns have room for."""
        running = sorted(self._running.items())
        room = 42 // max(1, len(running)) - 2
        return "  ".join(each.describe(name[:2], room) for name, each in running)

    def _tick(self) -> None:
        while not self._end.wait(TICK):
            self.draw()


def _cells(lesson: Path) -> list[str]:
    """Return the names of the cells of code that a notebook has."""
    cells = json.loads(lesson.read_text("utf-8"))["cells"]
    return [cell["id"] for cell in cells if cell["cell_type"] == "code" and "".join(cell["source"]).strip()]
