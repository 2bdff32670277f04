"""LogME: the largest log evidence of a Bayesian linear model on the features."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from ..errors import ScoreError, UnknownNameError
from ..features.arrays import Array, Task, check_inputs, storage_eps
from ..features.moments import Moments
from .evidence import best_of, density
from .jackknife import Blocks
from .registry import register_scorer
from .tridiagonal import WORTHWHILE, largest_evidence

ROUNDS, EPSILON, TOLERANCE = 11, 1e-5, 1e-3  # of the published iteration
METHODS = ("max_evidence", "fixed_point")


def _caveats(moments: Moments) -> Sequence[str]:
    evidence, (_, _, unbounded) = best_of(moments)
    if evidence.residual.all() or not unbounded:
        return ()
    return ("A column is fitted perfectly: its evidence has no maximum and was bounded; logme_cv holds samples out.",)


def _left_out(blocks: Blocks) -> Array:
    """To first order, at both precisions' best: moving away from their best changes nothing to first order.

    Each row takes its squared error and its leverage along. Errors of rows that are fitted are too small by the
    leverage: left as they are, the variance comes out too small, and made those of rows left out, too large (Efron and
    Stein, Annals of Statistics 1981); the power between is the one whose intervals cover what they should.
    """
    total, n = blocks.total, blocks.total.n_samples
    evidence, (_, u, unbounded) = best_of(total)
    if unbounded:
        return np.array([])
    q, log_determinant = evidence.terms(u)
    weights, effective = evidence.weights(u, total), evidence.effective(u)
    lever = np.maximum(1 - effective / n, 1 / n) ** 0.75
    leverages = _block_leverages(blocks, u)
    from_mean = effective - (evidence.sigma / (evidence.sigma + np.exp(u))).sum(axis=0)
    found = []
    for part, leverage in zip(blocks.aligned, leverages, strict=True):
        left, seen = n - part.n_samples, total.target_square > part.target_square
        error = q - part.residual_squares(weights, np.zeros(len(q))) / lever
        leverage = leverage + from_mean * part.n_samples / n
        each = density(np.maximum(error, q / n), log_determinant - leverage, left)[seen]
        found.append(float(each.mean()) if total.classes is None or len(each) > 1 else np.nan)  # as for one class
    return np.array(found)


def _block_leverages(blocks: Blocks, u: Array) -> Array:
    """Sums over each block of (x - mean)'(S + t I)^-1 (x - mean), at every column's u: (n_blocks, n_columns).

    They vary slowly with u: a parabola through three values serves all columns.
    """
    total = blocks.total
    some = u[np.isfinite(u)]
    if not len(some):
        return np.zeros((len(blocks), len(u)))
    nodes = np.unique(np.linspace(some.min(), some.max(), 3))
    at_nodes = np.empty((len(nodes), len(blocks)))
    for node, sums in zip(nodes, at_nodes, strict=True):
        root = total.right_vectors / np.sqrt(total.factors[0] + np.exp(node))
        inverse = root @ root.T if total.rows is None else None
        for number, part in enumerate(blocks.parts):
            inside = part.spread_along(root).sum() if inverse is None else np.vdot(inverse, part.scatter)
            sums[number] = inside + part.n_samples * np.square((part.mean - total.mean) @ root).sum()
    curve = np.polynomial.polynomial.polyfit(nodes - nodes[0], at_nodes, len(nodes) - 1)
    found = np.polynomial.polynomial.polyval(np.where(np.isfinite(u), u - nodes[0], 0.0), curve)
    return np.where(np.isfinite(u), found, 0.0)


@register_scorer(
    "logme",
    tasks=("classification", "multilabel", "regression"),
    range="any real number; for classes typically -1 to 1",
    cost="one Gram matrix and one eigendecomposition: N D^2 + D^3",
    comparable_across_widths=True,
    meaning=(
        "How plausible the labels are if they depend linearly on the features: a close fit counts for it, and "
        "weights that must be finely tuned count against it."
    ),
    misleads="It grows with the number and rarity of classes: compare sources on one target, never targets.",
    reference="You, Liu, Wang and Long, ICML 2021; You et al., JMLR 2022",
    caveats=_caveats,
    left_out=_left_out,
)
def logme(
    features: Any,
    labels: Any,
    *,
    method: Literal["max_evidence", "fixed_point"] = "max_evidence",
    task: Task | None = None,
    moments: Moments | None = None,
) -> float:
    r"""Mean over label columns of the log evidence per sample, at its maximum over both precisions.

    The model of each column is :math:`y = Xw + \epsilon` with :math:`w \sim N(0, I/\alpha)` and noise precision
    :math:`\beta`; neither side is centred. With :math:`X = U\,\mathrm{diag}(\sqrt{\sigma})V'`, :math:`x = U'y`,
    :math:`r = y'y - x'x` and :math:`t = \alpha/\beta`, profiling out :math:`\beta` leaves

    .. math:: L(t) = \tfrac12\ln\frac{N}{q(t)} - \tfrac1{2N}\sum_i\ln(1 + \sigma_i/t) - \tfrac12(1 + \ln 2\pi),
              \quad q(t) = \sum_i \frac{x_i^2\,t}{t + \sigma_i} + r.

    Parameters
    ----------
    features : array or tensor of shape (n_samples, n_features)
    labels : classes of shape (n_samples,), or float targets of shape (n_samples,) or (n_samples, n_columns)
        Classes become one-hot columns; 0/1 columns are multi-label.
    method : {"max_evidence", "fixed_point"}
        "fixed_point" is the published iteration (at most 11 rounds, epsilon 1e-5), with the log-determinant over all
        D directions; it stops early where the signal is weak or N < D.
    task : {"classification", "multilabel", "regression"}, optional
        Told from the labels when not given.
    moments : Moments, optional
        Of these features and labels, to share work between scorers; the arrays themselves are not read then.

    Returns
    -------
    score : float
        A log density per sample: no bound, higher is better. Invariant to the scale of the features and to rotations,
        not to shifts. With a perfect fit (possible when n_samples <= n_features) it has no maximum and is bounded at
        alpha/beta of 1e-12 times the largest eigenvalue, or 1e-6 times the smallest if that is less.

    Raises
    ------
    ScoreError
        If shapes disagree, values are not finite, there is one class only, or a target column is all zeros.

    References
    ----------
    You, Liu, Wang and Long, "LogME: Practical Assessment of Pre-trained Models for Transfer Learning", ICML 2021.
    """
    if method not in METHODS:
        raise UnknownNameError("method of logme", method, METHODS)
    alone = moments is None
    if moments is None:
        values, targets = check_inputs(features, labels, caller="logme", task=task)
        moments = Moments.from_checked(values, targets, storage_eps(features))
    if not moments.target_square.all():
        column = int(np.flatnonzero(moments.target_square == 0)[0])
        raise ScoreError(f"logme: target column {column} is all zeros; there is nothing to explain. Drop it.")
    if moments.classes is not None and len(moments.classes) < 2:
        raise ScoreError("logme: these moments are of one class only; expected at least 2 classes.")
    if method == "fixed_point" and len(moments.uncentred.values):
        return float(np.mean([_fixed_point(moments, column) for column in range(len(moments.target_sum))]))
    # with nobody to share eigenvectors with, they are not worth their making
    largest = largest_evidence(moments) if alone and moments.n_features >= WORTHWHILE else None
    return float(np.mean(best_of(moments)[1][0] if largest is None else largest))


def _fixed_point(moments: Moments, column: int) -> float:
    """The published update of one column."""
    spectrum = moments.uncentred
    n, sigma, x2 = moments.n_samples, spectrum.values, spectrum.projections[:, column] ** 2
    residual = max(0.0, float(moments.target_square[column] - x2.sum()))
    n_null = moments.n_features - len(sigma)
    t = 1.0
    evidence = np.nan
    for _ in range(ROUNDS):
        gamma = (sigma / (sigma + t)).sum()
        m2 = (sigma * x2 / (t + sigma) ** 2).sum()
        r2 = (x2 / (1 + sigma / t) ** 2).sum() + residual
        alpha, beta = gamma / (m2 + EPSILON), (n - gamma) / (r2 + EPSILON)
        log_determinant = np.log(alpha + beta * sigma).sum() + n_null * np.log(alpha)
        evidence = (
            moments.n_features * np.log(alpha) + n * np.log(beta) - log_determinant - beta * r2 - alpha * m2
            - n * np.log(2 * np.pi)
        ) / (2 * n)  # fmt: skip
        before, t = t, alpha / beta
        if abs(t - before) <= TOLERANCE * before:
            break
    return float(evidence)
