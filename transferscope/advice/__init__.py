"""Advice: freeze or fine-tune, from what can be measured before training."""

from .advise import advise
from .verdict import decide

__all__ = ["advise", "decide"]
