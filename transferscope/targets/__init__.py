"""Targets: the data someone wants to learn. One loader a file."""

from .arrays import from_arrays
from .splits import Split, split_target
from .target import TARGETS, Target, Waveform, load_target, make_target
from .torch_dataset import from_dataset

__all__ = [
    "TARGETS",
    "Split",
    "Target",
    "Waveform",
    "from_arrays",
    "from_dataset",
    "load_target",
    "make_target",
    "split_target",
]
