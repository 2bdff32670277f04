"""LogME: the largest log evidence of a Bayesian linear model on the features."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np

from ..errors import ScoreError, UnknownNameError
from ..features.arrays import Array, Task, check_inputs, storage_eps
from ..features.moments import EPS, Moments
from .registry import register_scorer

SPAN = np.log(1e12)  # alpha/beta is sought within this factor of the largest eigenvalue, both ways,
BELOW = np.log(1e6)  # and this far below the smallest: with a large mean the largest says nothing of the others
GRID = 160  # points of the first search
STEPS, CLOSE = 60, 1e-8  # of the second, and where it ends: L is flat there, so its error is the square of that
ROUNDS, EPSILON, TOLERANCE = 11, 1e-5, 1e-3  # of the published iteration
METHODS = ("max_evidence", "fixed_point")


def _caveats(moments: Moments) -> Sequence[str]:
    if _residual(moments).all() or not max_evidence(moments)[1]:
        return ()
    return ("A column is fitted perfectly: its evidence has no maximum and was bounded.",)


@register_scorer(
    "logme",
    tasks=("classification", "multilabel", "regression"),
    range="any real number; for classes typically -1 to 1",
    cost="one Gram matrix and two eigendecompositions: N D^2 + D^3",
    comparable_across_widths=True,
    misleads="It grows with the number and rarity of classes: compare sources on one target, never targets.",
    reference="You, Liu, Wang and Long, ICML 2021; You et al., JMLR 2022",
    caveats=_caveats,
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
    return float(np.mean(max_evidence(moments)[0]))


def max_evidence(moments: Moments) -> tuple[Array, bool]:
    """Largest log evidence per sample of every column, and whether one kept growing towards a perfect fit."""
    spectrum, n = moments.uncentred, moments.n_samples
    explained = spectrum.projections**2
    residual = _residual(moments)
    without_signal = _evidence(moments.target_square, np.zeros(1), n)  # t to infinity
    if not len(spectrum.values):
        return without_signal, False
    sigma = np.log(spectrum.values)
    low, high = min(sigma[0] - SPAN, sigma[-1] - BELOW), sigma[0] + SPAN
    grid = np.linspace(low, high, GRID)
    share = _expit(grid[:, None] - sigma)
    at_grid = _evidence(share @ explained + residual, -np.log(share).sum(axis=1)[:, None], n)
    best = at_grid.argmax(axis=0)
    step = grid[1] - grid[0]
    top = _climb(grid[best], step, low, lambda u: _slopes(u, sigma, explained, residual, n))
    share = _expit(top - sigma[:, None])
    found = _evidence((explained * share).sum(axis=0) + residual, -np.log(share).sum(axis=0), n)
    return np.maximum(np.maximum(found, at_grid.max(axis=0)), without_signal), bool((best == 0).any())


def _expit(x: Array) -> Array:
    return np.asarray(1 / (1 + np.exp(-x)))


def _residual(moments: Moments) -> Array:
    """What of each column no weights explain; rounding noise would pass for a fit even better than perfect."""
    spectrum = moments.uncentred
    if len(spectrum.values) == moments.n_samples:  # as many independent rows as samples explain everything
        return np.zeros_like(moments.target_square)
    residual = moments.target_square - (spectrum.projections**2).sum(axis=0)
    return np.where(residual < moments.n_samples * EPS * moments.target_square, 0.0, residual)


def _evidence(q: Array, log_determinant: Array, n: int) -> Array:
    return 0.5 * np.log(n / q) - log_determinant / (2 * n) - 0.5 * (1 + np.log(2 * np.pi))


def _slopes(u: Array, sigma: Array, explained: Array, residual: Array, n: int) -> tuple[Array, Array]:
    """First and second derivative of L by u = ln t, at one u per column; `sigma` in logarithms."""
    share = _expit(u - sigma[:, None])  # t / (t + sigma)
    rest = 1 - share
    q = (explained * share).sum(axis=0) + residual
    q1 = (explained * share * rest).sum(axis=0)
    q2 = (explained * share * rest * (rest - share)).sum(axis=0)
    slope = rest.sum(axis=0) / (2 * n) - q1 / (2 * q)
    bend = (q1 / q) ** 2 / 2 - q2 / (2 * q) - (share * rest).sum(axis=0) / (2 * n)
    return slope, bend


def _climb(start: Array, step: float, low: float, slopes: Callable[[Array], tuple[Array, Array]]) -> Array:
    """The maximum within one grid step of `start`, by Newton steps that fall back to halving."""
    u, left, right = start, np.maximum(start - step, low), start + step
    for _ in range(STEPS):
        slope, bend = slopes(u)
        left, right = np.where(slope > 0, u, left), np.where(slope > 0, right, u)
        newton = u - slope / np.where(bend < 0, bend, -np.inf)
        inside = (bend < 0) & (newton > left) & (newton < right)
        before, u = u, np.where(inside, newton, (left + right) / 2)
        if np.abs(u - before).max() < CLOSE:
            break
    return u


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
