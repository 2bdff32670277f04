"""SFDA: a discriminant whose hard samples were first drawn towards the other classes."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..features.arrays import Array, Targets
from ..features.moments import BLOCK, Moments
from .inputs import rows_and_moments
from .lda import Discriminant, Rows, centred_rows, in_blocks, own_probabilities, saturated, within_classes
from .registry import register_scorer


def _per_sample(features: Any, labels: Any, *, moments: Moments | None = None) -> Array:
    values, targets, moments = rows_and_moments(
        features, labels, None, moments, caller="sfda", tasks=("classification",)
    )
    codes = targets.codes
    assert codes is not None
    n, counts = len(values), moments.target_sum
    rows, first = centred_rows(values, moments, BLOCK), Discriminant.of(moments)
    # the softmax of probabilities once more is as published
    kept = own_probabilities(lambda block: rows(block) @ first.weights + first.level, codes, twice=True)
    others = (first.means.sum(axis=0) - first.means) / (len(counts) - 1)
    means, scatter = _mixed_moments(rows, targets, kept, others)
    mean = counts @ means / n
    scatter -= n * np.outer(mean, mean)
    means -= mean
    within = within_classes(means, counts, scatter)
    second = Discriminant.fit(means, counts, within, moments.n_features, first.shrink)
    given, level = others @ second.weights, second.level - mean @ second.weights

    def logits(block: slice) -> Array:
        share, rest = kept[block, None], given[codes[block]]
        mixed = rows(block) @ second.weights
        mixed -= rest
        mixed *= share
        mixed += rest
        mixed += level
        return mixed

    return own_probabilities(logits, codes)


def _mixed_moments(rows: Rows, targets: Targets, kept: Array, others: Array) -> tuple[Array, Array]:
    """Class means and sum of xx' of rows x that keep a share and take the rest from a mean of other classes.

    With c the share, r the row and o the other mean, xx' is c^2 rr' + (1 - c) c (ro' + or') + (1 - c)^2 oo': sums by
    class are all that the other means are needed for, and no mixed row is made.
    """
    shape = others.shape
    sums, turned = np.zeros(shape), np.zeros(shape)
    taken, square = np.zeros(len(others)), np.zeros(len(others))
    scatter = np.zeros((shape[1], shape[1]))
    for block in in_blocks(len(kept), BLOCK):  # every product is added to D x D sums: the fewer, the better
        share, columns = kept[block], targets.sparse_columns(block)
        own_part = rows(block)
        own_part *= share[:, None]
        sums += columns.T @ own_part
        turned += (columns * (1 - share)[:, None]).T @ own_part
        taken += columns.T @ (1 - share)
        square += columns.T @ (1 - share) ** 2
        scatter += own_part.T @ own_part
    bent = turned.T @ others
    scatter += bent + bent.T + others.T @ (square[:, None] * others)
    counts = np.bincount(np.asarray(targets.codes)).astype(float)
    return (sums + taken[:, None] * others) / counts[:, None], scatter


@register_scorer(
    "sfda",
    range="0 to 1",
    cost="two Gram matrices, two Cholesky factors, and N D K twice",
    comparable_across_widths=False,
    meaning=(
        "How sure a simple classifier is of the right class once samples it was unsure of have been made harder, "
        "blended with the averages of other classes."
    ),
    misleads="It is fitted to the samples it is measured on: near or below as many samples as features it is 1 for "
    "every source. It depends on the features' scale.",
    reference="Shao et al., ECCV 2022",
    saturated=saturated,
    per_sample=_per_sample,
)
def sfda(features: Any, labels: Any, *, moments: Moments | None = None) -> float:
    r"""Mean probability of the true class under a discriminant of mixed features.

    A first discriminant (`lda`) gives every sample a confidence :math:`q_n = \mathrm{softmax}(p_n)_{y_n}`; the sample
    becomes :math:`q_n x_n + (1-q_n)\,\bar\mu_{\ne y_n}`, with the mean of the other classes' means; a second
    discriminant of these, of the same shrinkage, gives the probabilities.

    Parameters
    ----------
    features : array or tensor of shape (n_samples, n_features)
    labels : classes of shape (n_samples,)
        Any hashable values, at least two classes.
    moments : Moments, optional
        Of these features and labels, to share work between scorers.

    Returns
    -------
    score : float
        In (0, 1]; higher is better. Invariant to shift, not to scale, and to rotation but for the published estimate
        of the eigenvalue.

    Raises
    ------
    ScoreError
        If shapes disagree, values are not finite, or there is one class only.

    References
    ----------
    Shao et al., "Not All Models Are Equal: Predicting Model Transferability in a Self-challenging Fisher Space",
    ECCV 2022.
    """
    return float(np.mean(_per_sample(features, labels, moments=moments)))
