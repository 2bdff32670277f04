"""Reports from saved results: HTML, terminal tables, and the sentences both begin with."""

from ..callable_room import make_callable
from .html import report

__all__ = ["report"]

make_callable(__name__, report)
