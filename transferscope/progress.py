"""How long work reports on itself: the library calls a function, the command line draws it."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """Called as work goes on; must return quickly and never raise."""

    def __call__(self, task: str, done: int, total: int) -> None:
        """`done` of `total` units of `task` are finished; a task's first call has ``done=0``."""


def silent(task: str, done: int, total: int) -> None:
    """Report nothing."""
