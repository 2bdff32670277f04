"""Evaluation: do scores agree with measured truth? The folder itself can be called."""

from ..callable_room import make_callable
from .agreement import evaluate
from .measures import kendall, pearson, recall_at_k, regret_at_k, rel_at_k, spearman, weighted_kendall

__all__ = [
    "evaluate",
    "kendall",
    "pearson",
    "recall_at_k",
    "regret_at_k",
    "rel_at_k",
    "spearman",
    "weighted_kendall",
]

make_callable(__name__, evaluate)
