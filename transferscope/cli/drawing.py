"""How progress and tables look in a terminal."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from rich.progress import Progress as Bars
    from rich.progress import TaskID

QUIET_SECONDS = 5.0  # between lines of one task where no terminal redraws them


class DrawnProgress:
    """Progress on stderr: live bars in a terminal, now and then a line in a log.

    Use as a context manager and pass it wherever the library takes a `progress`.
    """

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        self._console = Console(stderr=True)
        self._bars: Bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TextColumn("left"),
            TimeRemainingColumn(compact=True, elapsed_when_finished=True),
            console=self._console,
            transient=True,
        )
        self._tasks: dict[str, TaskID] = {}
        self._said: dict[str, float] = {}

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bars.stop()

    def __call__(self, task: str, done: int, total: int) -> None:
        if not self._console.is_terminal:
            self._say(task, done, total)
            return
        if task not in self._tasks:
            self._tasks[task] = self._bars.add_task(_short(task), total=total)
        self._bars.update(self._tasks[task], completed=done, total=total)
        if done >= total:
            self._bars.remove_task(self._tasks.pop(task))

    def _say(self, task: str, done: int, total: int) -> None:
        now = time.monotonic()
        if done == 0 or now - self._said.get(task, now) > QUIET_SECONDS:
            self._said[task] = now
            print(f"{task}: {done}/{total}", file=sys.stderr, flush=True)


def _short(text: str, width: int = 60) -> str:
    """`text` with its middle cut out, and no markup in it."""
    from rich.markup import escape

    if len(text) > width:
        text = f"{text[: width // 2 - 2]} ... {text[-(width // 2 - 3) :]}"
    return escape(text)
