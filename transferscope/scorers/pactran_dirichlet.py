"""PACTran-Dirichlet: a PAC-Bayes bound on the error of labels told by source classes, with Dirichlet label odds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..errors import ScoreError
from ..features.arrays import Array
from .leep import check_probs
from .registry import register_scorer

ROUNDS = 10  # the published number


@register_scorer(
    "pactran_dirichlet",
    needs=("source_probs", "labels"),
    higher_is_better=False,
    range="0 upwards; near the entropy of the labels over K where the head tells nothing",
    cost="N times source classes, 10 times",
    comparable_across_widths=False,
    meaning=(
        "How surprising your labels are at most, if they come about from the source's own class predictions by odds "
        "that must be learnt."
    ),
    misleads="Every source class that is used costs something, so heads of many classes look worse with few samples.",
    reference="Ding, Chen, Levinboim, Changpinyo and Soricut, ECCV 2022",
)
def pactran_dirichlet(source_probs: Any, labels: Any, *, alpha: float = 1.0) -> float:
    r"""Variational bound on minus the log evidence of the labels under source classes, over N K.

    Row n is of source class z with probability :math:`P_{nz}`, and its label follows the odds of z, which have a
    Dirichlet prior of parameters :math:`a_y = \alpha n_y / N`. From q = P, ten rounds of

    .. math:: A_{yz} = a_y + \sum_{n: y_n = y} q_{nz}, \qquad
              q_{nz} \propto P_{nz}\exp\big(\psi(A_{y_n z}) - \psi(\textstyle\sum_y A_{yz})\big)

    give, with B the multivariate beta function,

    .. math:: \frac1{NK}\Big[\sum_z \ln\frac{B(a)}{B(A_{\cdot z})} + \sum_{nz} q_{nz}\ln\frac{q_{nz}}{P_{nz}}\Big].

    Parameters
    ----------
    source_probs : array or tensor of shape (n_samples, n_source_classes)
        Rows sum to 1.
    labels : classes of shape (n_samples,)
    alpha : float, default=1.0
        Prior count of labels that each source class starts with.

    Returns
    -------
    score : float
        0 or more. Lower is better: it bounds an error. It is near the entropy of the labels over K where source
        classes tell nothing of them. Source classes that are never predicted, and the order of all, do not matter.
        Misleads with few samples, where each source class that is used has its odds to learn; and it is divided by K,
        so that it compares sources on one target, never targets.

    Raises
    ------
    ScoreError
        If `alpha` is not positive, rows are no probabilities, shapes disagree, or there is one class only.

    References
    ----------
    Ding et al., "PACTran: PAC-Bayesian Metrics for Estimating the Transferability of Pretrained Models to
    Classification Tasks", ECCV 2022.
    """
    from scipy.special import digamma, gammaln

    blocks, prior = check_prior(source_probs, labels, alpha, caller="pactran_dirichlet")
    counts, divergence = source_shares(blocks, prior, lambda a: np.asarray(digamma(a) - digamma(a.sum(axis=0))))
    before = gammaln(prior).sum() - gammaln(prior.sum())
    after = gammaln(counts).sum(axis=0) - gammaln(counts.sum(axis=0))
    n_samples = sum(map(len, blocks))
    return float(((before - after).sum() + divergence) / (n_samples * len(blocks)))


def check_prior(source_probs: Any, labels: Any, alpha: float, *, caller: str) -> tuple[list[Array], Array]:
    """Checked probabilities, a block of rows for each class, and the prior count of each class."""
    if not (alpha > 0 and np.isfinite(alpha)):
        raise ScoreError(f"{caller}: alpha={alpha}; expected a positive count, such as 1.")
    probs, codes = check_probs(source_probs, labels, caller=caller)
    blocks = [probs[codes == k] for k in range(codes.max() + 1)]
    return blocks, alpha * np.array([len(block) for block in blocks]) / len(probs)


def source_shares(blocks: list[Array], prior: Array, expected: Callable[[Array], Array]) -> tuple[Array, float]:
    """Counts of (label, source class), and how far the final q is from P: the sum of q ln(q / P).

    `expected` are the expected logarithms of label odds for such counts. Only the sums of q over the rows of a class
    are kept: ln(q / P) is the class's row of that table less the row's normaliser.
    """
    logs = [np.log(block, out=np.full_like(block, -np.inf), where=block > 0) for block in blocks]
    sums = np.stack([block.sum(axis=0) for block in blocks])
    for _ in range(ROUNDS):
        counts = prior[:, None] + sums
        table = expected(counts)
        found = [_assign(log_probs, row) for log_probs, row in zip(logs, table, strict=True)]
        sums = np.stack([shares for shares, _ in found])
    return counts, float((sums * table).sum()) - sum(normaliser for _, normaliser in found)


def _assign(log_probs: Array, gain: Array) -> tuple[Array, float]:
    """Sums over rows of q, proportional to the probabilities times exp(gain), and of its log normalisers."""
    logits = log_probs + gain
    top = logits.max(axis=1, keepdims=True)
    weights = np.exp(logits - top)
    total = weights.sum(axis=1, keepdims=True)
    return (weights / total).sum(axis=0), float((top + np.log(total)).sum())
