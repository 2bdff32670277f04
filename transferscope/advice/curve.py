"""Learning curves of kernels: accuracy on rows that were left out, at several training sizes, all in closed form."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..ranking.race import nested_order

Array = NDArray[np.float64]
Rows = NDArray[np.int64]
FOLDS = 5
SIZES = 5  # training sizes of a curve
PENALTIES = np.logspace(-6, 3, 19)  # times the mean eigenvalue of the kernel
RATES = np.arange(0.1, 1.55, 0.1)  # exponents of the power law
N_DRAWS = 500


@dataclass(frozen=True, eq=False)
class Curve:
    """Accuracies of one kernel.

    Attributes
    ----------
    sizes : ndarray of shape (n_sizes,)
        Training samples, ascending.
    hits : ndarray of shape (n_sizes, n_samples)
        1 where a sample that was left out got its class; other kernels are tested on the same ones.
    """

    sizes: Rows
    hits: Array

    @property
    def accuracy(self) -> Array:
        return np.asarray(self.hits.mean(axis=1))

    @property
    def standard_error(self) -> Array:
        return np.asarray(self.hits.std(axis=1) / np.sqrt(self.hits.shape[1]))


def linear_kernel(features: NDArray[Any]) -> Array:
    """Products of standardised columns, scaled so that a sample's mean square is 1."""
    values = np.asarray(features, dtype=np.float64)
    values = values - values.mean(axis=0)
    spread = values.std(axis=0)
    values /= np.where(spread > 0, spread, 1.0)
    gram = values @ values.T
    return np.asarray(gram / max(float(np.trace(gram)) / len(gram), 1e-300))


def learning_curves(kernels: Mapping[str, Array], labels: Rows, *, seed: int) -> dict[str, Curve]:
    """Cross-fitted curves of several kernels on the same rows.

    Every fifth of the samples is predicted by ridge regression on one-hot columns, fitted to growing parts of the
    others. Each part holds the smaller one and, as far as there are any, two samples of each class. The penalty is
    chosen by the part's own leave-one-out squared error.

    Parameters
    ----------
    kernels : mapping of str to ndarray of shape (n_samples, n_samples)
        Symmetric, not negative definite.
    labels : ndarray of shape (n_samples,)
        Class codes.
    seed : int
        Of the folds and the parts.

    Returns
    -------
    dict of str to Curve

    References
    ----------
    Golub, Heath and Wahba, "Generalized Cross-Validation", Technometrics 1979; Mohr and van Rijn, "Learning Curves
    for Decision Making in Supervised Machine Learning: A Survey", Machine Learning 2024.
    """
    rng = np.random.default_rng((seed, len(labels)))
    folds = _folds(labels, rng)
    most = len(labels) - max(len(fold) for fold in folds)
    fewest = min(max(2 * len(np.unique(labels)), most // 2 ** (SIZES - 1)), most)
    sizes = np.unique(np.geomspace(fewest, most, SIZES).round().astype(int))
    hits = {name: np.zeros((len(sizes), len(labels))) for name in kernels}
    for fold in folds:
        rest = np.setdiff1d(np.arange(len(labels)), fold)
        grown = rest[nested_order(labels[rest], rng)]
        for place, size in enumerate(sizes):
            rows = grown[:size]
            for name, kernel in kernels.items():
                told = _predict(kernel, labels, rows, fold)
                hits[name][place, fold] = told == labels[fold]
    return {name: Curve(sizes, found) for name, found in hits.items()}


def _folds(labels: Rows, rng: np.random.Generator) -> list[Rows]:
    """Fifths with the classes in proportion; of a class with fewer samples than folds some fold has none."""
    which = np.empty(len(labels), dtype=np.int64)
    for code in np.unique(labels):
        rows = rng.permutation(np.flatnonzero(labels == code))
        which[rows] = (np.arange(len(rows)) + rng.integers(FOLDS)) % FOLDS
    return [np.flatnonzero(which == fold) for fold in range(FOLDS)]


def _predict(kernel: Array, labels: Rows, rows: Rows, others: Rows) -> Rows:
    """Classes of `others` by ridge regression on `rows`."""
    codes = np.unique(labels[rows])
    goals = (labels[rows, None] == codes).astype(np.float64)
    middle = goals.mean(axis=0)
    block, across = kernel[np.ix_(rows, rows)], kernel[np.ix_(others, rows)]
    means = block.mean(axis=0)
    across = across - across.mean(axis=1, keepdims=True) - means + means.mean()
    block = block - means - means[:, None] + means.mean()
    values, vectors = np.linalg.eigh(block)
    values = np.maximum(values, 0.0)
    turned = vectors.T @ (goals - middle)
    penalties = PENALTIES * max(float(values.mean()), 1e-12)
    errors = [_left_out_error(goals - middle, values, vectors, turned, penalty) for penalty in penalties]
    best = penalties[int(np.argmin(errors))]
    told = across @ (vectors @ (turned / (values + best)[:, None])) + middle
    return np.asarray(codes[told.argmax(axis=1)])


def _left_out_error(goals: Array, values: Array, vectors: Array, turned: Array, penalty: float) -> float:
    shrunk = values / (values + penalty)
    leverage = np.square(vectors) @ shrunk + 1 / len(goals)
    residual = (goals - vectors @ (shrunk[:, None] * turned)) / np.maximum(1 - leverage, 1e-9)[:, None]
    return float(np.square(residual).sum())


def extrapolate(curve: Curve, at: Sequence[float] | NDArray[Any], *, seed: int) -> Array:
    r"""Draws of the accuracy at other training sizes, by a power law of the error.

    :math:`\epsilon(n) = e + b\,n^{-c}` with e, b not negative is fitted by weighted least squares to the measured
    errors, and to `N_DRAWS` draws of these from their standard errors.

    Parameters
    ----------
    curve : Curve
    at : sequence of float
        Training sizes.
    seed : int

    Returns
    -------
    ndarray of shape (n_draws, n_at)
        The first row is the fit to the measured errors themselves; between 0 and 1.

    References
    ----------
    Hestness et al., "Deep Learning Scaling is Predictable, Empirically", 2017; Viering and Loog, "The Shape of
    Learning Curves: A Review", TPAMI 2022.
    """
    n = curve.hits.shape[1]
    errors = 1 - curve.accuracy
    noise = np.sqrt(np.maximum(curve.standard_error, 0.5 / n) ** 2)
    rng = np.random.default_rng((seed, n))
    drawn = np.concatenate([errors[None], errors + noise * rng.standard_normal((N_DRAWS, len(errors)))])
    weights = 1 / noise**2
    losses, fits = [], []
    for rate in RATES:
        powers = curve.sizes**-rate
        level, slope = _two_nonnegative(drawn, powers, weights)
        fitted = level[:, None] + slope[:, None] * powers
        losses.append((weights * (drawn - fitted) ** 2).sum(axis=1))
        fits.append(level[:, None] + slope[:, None] * np.asarray(at, dtype=np.float64) ** -rate)
    best = np.argmin(losses, axis=0)
    return np.asarray(1 - np.clip(np.stack(fits)[best, np.arange(len(drawn))], 0.0, 1.0))


def _two_nonnegative(drawn: Array, powers: Array, weights: Array) -> tuple[Array, Array]:
    """Weighted least squares of every row on a constant and one column, neither below 0."""
    total, first, second = weights.sum(), (weights * powers).sum(), (weights * powers**2).sum()
    goal, crossed = drawn @ weights, drawn @ (weights * powers)
    slope = (crossed - goal * first / total) / max(second - first**2 / total, 1e-300)
    level = (goal - slope * first) / total
    alone = np.maximum(crossed / second, 0.0)
    level, slope = np.where(slope < 0, goal / total, level), np.maximum(slope, 0.0)
    return np.where(level < 0, 0.0, level), np.where(level < 0, alone, slope)
