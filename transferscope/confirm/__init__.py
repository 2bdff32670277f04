"""Confirmation: fine-tuning runs that check the estimate. One strategy a file."""

from ..callable_room import make_callable
from .confirm import confirm
from .strategy import STRATEGIES, Recipe

__all__ = ["STRATEGIES", "Recipe", "confirm"]

make_callable(__name__, confirm)
