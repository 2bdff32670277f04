"""LEEP: how well source classes predict target classes, through the source's own head."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..errors import ScoreError
from ..features.arrays import as_float64, code_labels
from .registry import register_scorer

ROW_SUM = 1e-3  # how far a row of probabilities may be from 1: half precision rounds that much


@register_scorer(
    "leep",
    needs="source_probs",
    range="minus infinity to 0",
    cost="N times source classes, twice",
    comparable_across_widths=True,
    misleads="It needs a source head whose classes mean something for the target; it says nothing of other layers.",
    reference="Nguyen, Hassner, Seeger and Archambeau, ICML 2020",
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
        In (-inf, 0]; higher is better.

    Raises
    ------
    ScoreError
        If rows are no probabilities, shapes disagree, or there is one class only.
    """
    probs, codes = check_probs(source_probs, labels, caller="leep")
    joint = np.zeros((codes.max() + 1, probs.shape[1]))
    np.add.at(joint, codes, probs)
    mass = joint.sum(axis=0)
    conditional = np.divide(joint, mass, out=np.zeros_like(joint), where=mass > 0)  # a class never predicted adds 0
    return float(np.log((probs * conditional[codes]).sum(axis=1)).mean())


def check_probs(source_probs: Any, labels: Any, *, caller: str) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities as float64, and label codes."""
    probs = as_float64(source_probs, name="source_probs", caller=caller)
    if probs.min() < 0 or np.abs(probs.sum(axis=1) - 1).max() > ROW_SUM:
        raise ScoreError(
            f"{caller}: source_probs must be probabilities whose rows sum to 1; got values from {probs.min():.3g} to "
            f"{probs.max():.3g} and row sums from {probs.sum(axis=1).min():.3g}. Apply a softmax to logits first."
        )
    return probs, code_labels(labels, n_samples=len(probs), caller=caller)[0]
