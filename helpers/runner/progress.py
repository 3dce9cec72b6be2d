"""How far a run is: a bar in a terminal, which ticks every second; a line for each lesson in a log."""

import json
import sys
import threading
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path

from tqdm import tqdm

# Seconds of the run before that this one has to differ by until the estimate follows.
PATIENCE = 10
# Seconds between two drawings of the bar.
TICK = 1.0


class Progress:
    """Show which cell of which lesson runs, for how long, and about how long the rest will take.

    Cells are weighed by what they took before. If one of the lessons has not run
    before, they all weigh the same, and the bar says that there is no estimate.

    Parameters
    ----------
    lessons : iterable of Path
        The notebooks, in the order in which they run.
    seconds : mapping of str to mapping of str to float
        Notebook → cell → what it took before, as `seconds` has it of another run.

    Attributes
    ----------
    seconds : dict of str to dict of str to float
        Notebook → cell → what it took in this run. The lesson's start counts to its first cell.
    status : Path or None
        The file in which the kernel says what it does within a cell.
    """

    def __init__(self, lessons: Iterable[Path], seconds: Mapping[str, Mapping[str, float]]):
        self.seconds: dict[str, dict[str, float]] = {}
        self.status: Path | None = None
        cells = [(path.name, cell) for path in lessons for cell in _cells(path)]
        self.estimates = all(name in seconds for name, _ in cells)
        # A cell that is new in a lesson that has run takes little, most likely.
        self._left = {
            (name, cell): seconds[name].get(cell, 1.0) if self.estimates else 1.0 for name, cell in cells
        }
        self._total = sum(self._left.values())
        self._before = self._now = 0.0
        self._began = time.monotonic()
        self._lesson = self._heading = ""
        self._cell: tuple[str, str] | None = None
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

    def start_cell(self, lesson: Path, cell: str, heading: str) -> None:
        """Say which cell runs now, under which heading."""
        self._lesson, self._cell, self._heading = lesson.name, (lesson.name, cell), heading
        self.draw()

    def end_cell(self) -> None:
        """Note what the cell took that has run, since the one before ended."""
        now = time.monotonic()
        name, cell = self._cell
        self.seconds.setdefault(name, {})[cell] = now - self._began
        expected = self._left.pop(self._cell, 0.0)
        self._before, self._now, self._began = self._before + expected, self._now + now - self._began, now
        self._cell = None
        self.draw()

    def end_lesson(self, lesson: Path, minutes: float, headline: str) -> None:
        """Write a line on a lesson that is done, unless a bar shows it."""
        if self._bar is None:
            print(f"{lesson.stem:<24}{minutes:5.1f} min  {headline}".rstrip(), file=sys.stderr, flush=True)

    def remaining(self) -> float:
        """Estimate the seconds that are left: what the cells took before, at this run's pace."""
        pace = (self._now + PATIENCE) / (self._before + PATIENCE)
        in_cell = time.monotonic() - self._began
        current = self._left.get(self._cell, 0.0)
        return pace * (sum(self._left.values()) - current) + max(0.0, pace * current - in_cell)

    def draw(self) -> None:
        """Draw the bar as things stand."""
        if self._bar is None:
            return
        current = self._left.get(self._cell, 0.0) if self.estimates else 0.0
        self._bar.n = self._before + min(time.monotonic() - self._began, current)
        left = f"about {tqdm.format_interval(self.remaining())} left" if self.estimates else "no estimate yet"
        self._bar.set_postfix_str(left if self._left else "", refresh=False)
        self._bar.set_description_str(self._describe(), refresh=False)
        self._bar.refresh()

    def _describe(self) -> str:
        """Name lesson, heading and epoch in what an 80 columns wide terminal has room for."""
        epoch = ""
        with suppress(OSError, AttributeError):  # no training has begun
            epoch = self.status.read_text("utf-8")
        tail = f" · {epoch}" if epoch else ""
        head = f"{self._lesson[:2]} {self._heading}"
        room = 40 - len(tail)
        return (head if len(head) <= room else f"{head[: room - 1]}…") + tail

    def _tick(self) -> None:
        while not self._end.wait(TICK):
            self.draw()


def _cells(lesson: Path) -> list[str]:
    """Return the names of the cells of code that a notebook has."""
    cells = json.loads(lesson.read_text("utf-8"))["cells"]
    return [cell["id"] for cell in cells if cell["cell_type"] == "code" and "".join(cell["source"]).strip()]
