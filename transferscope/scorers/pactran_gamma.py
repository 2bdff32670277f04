"""PACTran-Gamma: a PAC-Bayes bound on the error of labels told by source classes, with Gamma label weights."""

from __future__ import annotations

from typing import Any

import numpy as np

from .pactran_dirichlet import check_prior, source_shares
from .registry import register_scorer


@register_scorer(
    "pactran_gamma",
    needs=("source_probs", "labels"),
    higher_is_better=False,
    range="about 1 upwards; near 1 plus the entropy of the labels over K where the head tells nothing",
    cost="N times source classes, 10 times",
    comparable_across_widths=False,
    meaning=(
        "How surprising your labels are at most, if they come about from weighted class predictions of the source, "
        "with weights that must be learnt."
    ),
    misleads="Every source class that is used costs something, so heads of many classes look worse with few samples.",
    reference="Ding, Chen, Levinboim, Changpinyo and Soricut, ECCV 2022",
)
def pactran_gamma(source_probs: Any, labels: Any, *, alpha: float = 1.0) -> float:
    r"""Variational bound on minus the log evidence of the labels, over N K and plus 1, with Gamma weights.

    As `pactran_dirichlet`, but source class z gives label y a weight of prior :math:`\mathrm{Gamma}(a_y, 1)`,
    :math:`a_y = \alpha n_y / N`, that is normalised for each row and not for each source class. From q = P, ten rounds
    of

    .. math:: A_{yz} = a_y + \sum_{n: y_n = y} q_{nz}, \qquad q_{nz} \propto P_{nz}\exp\psi(A_{y_n z})

    give

    .. math:: 1 + \frac1{NK}\Big[\sum_{yz}\ln\frac{\Gamma(a_y)}{\Gamma(A_{yz})}
              + \sum_n\Big(\sum_z q_{nz}\ln\frac{q_{nz}}{P_{nz}} + \ln\sum_z P_{nz}\sum_y A_{yz} - 1\Big)\Big].

    Parameters
    ----------
    source_probs : array or tensor of shape (n_samples, n_source_classes)
        Rows sum to 1.
    labels : classes of shape (n_samples,)
    alpha : float, default=1.0
        Prior weight of labels that each source class starts with.

    Returns
    -------
    score : float
        About 1 or more: once q has settled, at least 1 - 0.43 / K with `alpha` 1. Lower is better: it bounds an error.
        It is near 1 plus the entropy of the labels over K where source classes tell nothing of them. Source classes
        that are never predicted, and the order of all, do not matter. Misleads as `pactran_dirichlet` does.

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

    blocks, prior = check_prior(source_probs, labels, alpha, caller="pactran_gamma")
    counts, divergence = source_shares(blocks, prior, lambda a: np.asarray(digamma(a)))
    gain = float((gammaln(prior)[:, None] - gammaln(counts)).sum())
    scale = sum(float(np.log(block @ counts.sum(axis=0)).sum()) for block in blocks)  # of all weights, for each row
    n_samples = sum(map(len, blocks))
    return 1 + (gain + divergence + scale - n_samples) / (n_samples * len(blocks))
