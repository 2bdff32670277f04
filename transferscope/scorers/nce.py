"""NCE: negative conditional entropy of target classes given the source's predicted classes."""

from __future__ import annotations

from typing import Any

import numpy as np

from .leep import check_probs
from .registry import register_scorer


@register_scorer(
    "nce",
    needs=("source_probs", "labels"),
    range="-ln K to 0",
    cost="N times source classes",
    comparable_across_widths=True,
    misleads="With many source classes and few samples every class is predicted once, and the entropy is too small.",
    reference="Tran, Nguyen and Hassner, ICCV 2019",
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
    probs, codes = check_probs(source_probs, labels, caller="nce")
    counts = np.zeros((codes.max() + 1, probs.shape[1]))
    np.add.at(counts, (codes, probs.argmax(axis=1)), 1)
    joint = counts[counts > 0]
    marginal = np.broadcast_to(counts.sum(axis=0), counts.shape)[counts > 0]
    return float((joint * np.log(joint / marginal)).sum() / len(codes))
