"""LogME: the largest log evidence of a Bayesian linear model on the features."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from ..errors import ScoreError, UnknownNameError
from ..features.arrays import Task
from ..features.moments import Array, Moments, Spectrum
from .registry import register_scorer

SPAN = 1e12  # the ratio alpha/beta is sought within this factor of the largest eigenvalue, both ways
GRID, ZOOMS = 160, 40  # points of the first search; golden-section steps after it
ROUNDS, EPSILON, TOLERANCE = 11, 1e-5, 1e-3  # of the published iteration
METHODS = ("max_evidence", "fixed_point")


@register_scorer(
    "logme",
    needs="moments",
    tasks=("classification", "multilabel", "regression"),
    range="any real number; for classes typically -1 to 1",
    cost="one Gram matrix and two eigendecompositions: N D^2 + D^3",
    comparable_across_widths=True,
    misleads="It grows with the number and rarity of classes: compare sources on one target, never targets.",
    reference="You, Liu, Wang and Long, ICML 2021; You et al., JMLR 2022",
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
        Of these features and labels, to share work between scorers.

    Returns
    -------
    score : float
        Higher is better; no bound. Invariant to the scale of the features and to rotations.

    Raises
    ------
    ScoreError
        If shapes disagree, values are not finite, or a target column is all zeros.
    """
    if method not in METHODS:
        raise UnknownNameError("method of logme", method, METHODS)
    if moments is None:
        moments = Moments.of(features, labels, task=task, caller="logme")
    if not moments.target_square.all():
        column = int(np.flatnonzero(moments.target_square == 0)[0])
        raise ScoreError(f"logme: target column {column} is all zeros; there is nothing to explain. Drop it.")
    if method == "fixed_point":
        return float(np.mean([_fixed_point(moments, column) for column in range(len(moments.target_sum))]))
    return float(np.mean(max_evidence(moments)[0]))


def max_evidence(moments: Moments) -> tuple[Array, bool]:
    """Largest log evidence per sample of every column, and whether one kept growing towards a perfect fit."""
    spectrum, n = moments.uncentred, moments.n_samples
    explained = spectrum.projections**2
    residual = np.maximum(moments.target_square - explained.sum(axis=0), 0.0)
    # a residual of rounding noise would pass for a fit even better than perfect
    residual[residual < n * np.finfo(np.float64).eps * moments.target_square] = 0.0
    largest = spectrum.values[0] if len(spectrum.values) else 1.0
    low, high = np.log(largest / SPAN), np.log(largest * SPAN)
    grid = np.linspace(low, high, GRID)

    def evidence(log_t: Array) -> Array:
        """L at one log t per column; shapes (..., n_columns)."""
        t = np.exp(log_t)[..., None, :]
        sigma = spectrum.values[:, None]
        q = (explained * (t / (t + sigma))).sum(axis=-2) + residual
        return _evidence(q, np.log1p(sigma / t).sum(axis=-2), n)

    share = np.exp(grid)[:, None] / (np.exp(grid)[:, None] + spectrum.values)
    at_grid = _evidence(share @ explained + residual, -np.log(share).sum(axis=1)[:, None], n)
    best = at_grid.argmax(axis=0)
    step = grid[1] - grid[0]
    left, right = grid[best] - step, grid[best] + step
    golden = (np.sqrt(5) - 1) / 2
    for _ in range(ZOOMS):
        inner = np.stack([right - golden * (right - left), left + golden * (right - left)])
        values = evidence(inner)
        go_left = values[0] >= values[1]
        right, left = np.where(go_left, inner[1], right), np.where(go_left, left, inner[0])
    found = np.maximum(evidence((left + right) / 2), at_grid.max(axis=0))
    without_signal = _evidence(moments.target_square, np.zeros(1), n)  # t to infinity
    return np.maximum(found, without_signal), bool((best == 0).any())


def _evidence(q: Array, log_determinant: Array, n: int) -> Array:
    with np.errstate(divide="ignore"):  # q = 0 is a perfect fit at t = 0, outside the span
        return 0.5 * np.log(n / q) - log_determinant / (2 * n) - 0.5 * (1 + np.log(2 * np.pi))


def _fixed_point(moments: Moments, column: int) -> float:
    """The published update of one column."""
    spectrum: Spectrum = moments.uncentred
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
