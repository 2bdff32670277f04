"""Reports from saved results: pages, summaries, cards, data, terminal tables, and the sentences all begin with."""

from ..callable_room import make_callable
from .publish import report

__all__ = ["report"]

make_callable(__name__, report)
