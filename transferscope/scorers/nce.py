"""NCE: negative conditional entropy of target classes given the source's predicted classes."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..features.arrays import Array
from .leep import check_probs
from .registry import register_scorer


def _per_sample(source_probs: Any, labels: Any) -> Array:
    """The log share of each sample's label among the samples of its predicted source class."""
    probs, codes = check_probs(source_probs, labels, caller="nce")
    predicted = probs.argmax(axis=1)
    counts = np.zeros((codes.max() + 1, probs.shape[1]))
    np.add.at(counts, (codes, predicted), 1)
    return np.asarray(np.log(counts[codes, predicted] / counts.sum(axis=0)[predicted]))


@register_scorer(
    "nce",
    needs=("source_probs", "labels"),
    range="-ln K to 0",
    cost="N times source classes",
    comparable_across_widths=True,
    meaning=(
        "How little remains open about your labels once the source's predicted class is known; 0 means that nothing "
        "does."
    ),
    misleads="With many source classes and few samples every class is predicted once, and the entropy is too small.",
    reference="Tran, Nguyen and Hassner, ICCV 2019",
    per_sample=_per_sample,
)
def nce(source_probs: Any, labels: Any) -> float:
    r"""Minus H(y | z) in nats, from counts of (predicted source class z, label y).

    Parameters
    ----------
    source_probs : array or tensor of shape (n_samples, n_source_classes)
        Rows sum to 1; only the largest entry of each counts.
    labels : classes of shape (n_samples,)

    Returns
    -------
    score : float
        In [-ln K, 0]; higher is better. Misleads with few samples per source class: entropy comes out too small.

    Raises
    ------
    ScoreError
        If rows are no probabilities, shapes disagree, or there is one class only.

    References
    ----------
    Tran, Nguyen and Hassner, "Transferability and Hardness of Supervised Classification Tasks", ICCV 2019.
    """
    return float(_per_sample(source_probs, labels).mean())
