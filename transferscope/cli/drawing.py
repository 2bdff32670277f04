"""How progress looks: what runs now, how far it is, and how long it still takes."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Self

from ..report.formats import shorten

if TYPE_CHECKING:
    from rich.progress import Progress as Bars
    from rich.progress import TaskID

QUIET_SECONDS = 5.0  # between lines where no terminal redraws them
NAME_WIDTH = 60  # characters
MEMORY_SECONDS = 600.0  # speed is measured over this long: whole sources are minutes apart


@dataclass
class _Task:
    """One task under way."""

    started: float
    done: int
    total: int

    def left(self, now: float) -> str:
        """Time left at the speed so far; nothing before the first unit is done."""
        if not self.done:
            return ""
        seconds = (now - self.started) / self.done * (self.total - self.done)
        return f", {_span(seconds)} left"


class DrawnProgress:
    """Progress on stderr: live bars in a terminal, now and then a line in a log.

    Use as a context manager and pass it wherever the library takes a `progress`.
    """

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        self._console = Console(stderr=True)
        self._bars: Bars = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeRemainingColumn(compact=True),
            TextColumn("left"),
            console=self._console,
            transient=True,
            speed_estimate_period=MEMORY_SECONDS,
        )
        self._running: dict[str, _Task] = {}  # outermost first
        self._drawn: dict[str, TaskID] = {}
        self._said = float("-inf")

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._console.is_terminal:
            self._bars.stop()

    def __call__(self, task: str, done: int, total: int) -> None:
        now = time.monotonic()
        known = self._running.setdefault(task, _Task(now, done, total))
        known.done, known.total = done, total
        names = list(self._running)
        for inner in names[names.index(task) + 1 :]:  # one that failed half-way never says that it is over
            self._end(inner)
        if self._console.is_terminal:
            self._draw(task, done, total)
        elif now - self._said >= QUIET_SECONDS:
            self._said = now
            self._say(now)
        if done >= total:
            self._end(task)

    def _draw(self, task: str, done: int, total: int) -> None:
        if task not in self._drawn:
            self._drawn[task] = self._bars.add_task(shorten(task, NAME_WIDTH), total=total)
        self._bars.update(self._drawn[task], completed=done, total=total)

    def _say(self, now: float) -> None:
        """One line for all that runs, outermost first, so that a log shows where time goes."""
        parts = [
            f"{shorten(name, NAME_WIDTH)}: {one.done} of {one.total}{one.left(now)}"
            for name, one in self._running.items()
        ]
        print(" | ".join(parts), file=sys.stderr, flush=True)

    def _end(self, task: str) -> None:
        del self._running[task]
        if task in self._drawn:
            self._bars.remove_task(self._drawn.pop(task))


def _span(seconds: float) -> str:
    """A duration in the unit that suits it."""
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min"
