"""LEEP: how well source classes predict target classes, through the source's own head."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import ScoreError
from ..features.arrays import Array, check_inputs
from .registry import register_scorer

ROW_SUM = 1e-2  # how far a row of probabilities may be from 1: bfloat16 rounds each to 1 in 256


def _per_sample(source_probs: Any, labels: Any) -> Array:
    """The log-likelihood of each sample's label."""
    probs, codes = check_probs(source_probs, labels, caller="leep")
    members = [codes == k for k in range(codes.max() + 1)]
    joint = np.stack([probs[rows].sum(axis=0) for rows in members])
    mass = joint.sum(axis=0)
    conditional = np.divide(joint, mass, out=np.zeros_like(joint), where=mass > 0)  # a class never predicted adds 0
    expected = np.empty(len(probs))  # empirical prediction of each row's own label
    for rows, odds in zip(members, conditional, strict=True):
        expected[rows] = probs[rows] @ odds
    return np.asarray(np.log(expected))


@register_scorer(
    "leep",
    needs=("source_probs", "labels"),
    range="minus infinity to 0",
    cost="N times source classes, twice",
    comparable_across_widths=True,
    meaning=(
        "How well your labels can be guessed from the source's own class predictions, by how often each of its "
        "classes goes with each of yours; 0 would be certainty."
    ),
    misleads="It needs a source head whose classes mean something for the target; it says nothing of other layers.",
    reference="Nguyen, Hassner, Seeger and Archambeau, ICML 2020",
    per_sample=_per_sample,
)
def leep(source_probs: Any, labels: Any) -> float:
    r"""Mean log-likelihood of the labels under source class probabilities times empirical label odds.

    .. math:: \frac1N\sum_n \ln\sum_z P_{nz}\,\hat P(y_n \mid z), \quad
              \hat P(y \mid z) = \frac{\sum_{n: y_n = y} P_{nz}}{\sum_n P_{nz}}

    Parameters
    ----------
    source_probs : array or tensor of shape (n_samples, n_source_classes)
        Rows sum to 1.
    labels : classes of shape (n_samples,)

    Returns
    -------
    score : float
        In (-inf, 0]; higher is better. It judges the source's head on the target: it is the same for every layer.

    Raises
    ------
    ScoreError
        If rows are no probabilities, shapes disagree, or there is one class only.

    References
    ----------
    Nguyen et al., "LEEP: A New Measure to Evaluate Transferability of Learned Representations", ICML 2020.
    """
    return float(_per_sample(source_probs, labels).mean())


def check_probs(source_probs: Any, labels: Any, *, caller: str) -> tuple[Array, NDArray[np.int64]]:
    """Probabilities as float64, of rows that sum to 1 to the last digit, and label codes."""
    probs, targets = check_inputs(source_probs, labels, caller=caller, tasks=("classification",), name="source_probs")
    assert targets.codes is not None
    sums = probs.sum(axis=1, keepdims=True)
    if probs.min() < 0 or np.abs(sums - 1).max() > ROW_SUM:
        raise ScoreError(
            f"{caller}: source_probs hold values from {probs.min():.3g} to {probs.max():.3g} with row sums from "
            f"{sums.min():.3g} to {sums.max():.3g}; expected probabilities whose rows sum to 1. Apply a softmax to "
            "logits first."
        )
    return probs / sums, targets.codes
