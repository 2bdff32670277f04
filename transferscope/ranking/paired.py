"""Differences of two candidates on the same samples, turned so that above 0 the first is the better."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..choices import NOISE
from ..results import Candidate, Score
from ..scorers.jackknife import paired_difference
from ..scorers.registry import SCORERS


def chance_of(labels: NDArray[Any], by: str) -> float:
    """Accuracy of always naming the largest class; minus infinity where `by` or the task has no such thing."""
    is_accuracy = labels.ndim == 1 and by in SCORERS and SCORERS[by].is_accuracy
    return float(np.bincount(labels).max() / len(labels)) if is_accuracy else -math.inf


def scored(candidate: Candidate, by: str) -> Score | None:
    """The score that ranks, where it says something."""
    found = candidate.scores.get(by)
    if found is None or found.value is None or found.saturated or candidate.dropped:
        return None
    return found


def gain(first: Candidate, second: Candidate, by: str) -> tuple[float, float | None] | None:
    """By how much `first` is better than `second`, and the standard error; None where either has no value.

    Paired where both scores hold values without each block. Else the errors are taken as independent, which is
    cautious on the same samples.
    """
    one, other = scored(first, by), scored(second, by)
    if one is None or other is None or one.value is None or other.value is None:
        return None
    sign = 1.0 if one.higher_is_better else -1.0
    if one.left_out and len(one.left_out) == len(other.left_out):
        difference, error = paired_difference(one, other)
        return sign * difference, error
    errors = one.standard_error, other.standard_error
    joint = None if errors[0] is None or errors[1] is None else math.hypot(errors[0], errors[1])
    return sign * (one.value - other.value), joint


def is_tied(found: tuple[float, float | None] | None) -> bool:
    """Whether noise does not tell the two apart."""
    if found is None or found[1] is None:
        return False
    return abs(found[0]) <= NOISE * found[1]
