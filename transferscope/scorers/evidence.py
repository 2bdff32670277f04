"""The evidence of a Bayesian linear model, and where it is largest: what LogME and its held-out form share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ..features.arrays import Array
from ..features.moments import EPS, Moments

SPAN = np.log(1e12)  # alpha/beta is sought within this factor of the largest eigenvalue, both ways,
BELOW = np.log(1e6)  # and this far below the smallest: with a large mean the largest says nothing of the others
GRID = 160  # points of the first search
DIGITS = 12  # after the point, in which values of the first search are compared
STEPS, CLOSE = 60, 1e-8  # of the second, and where it ends: L is flat there, so its error is the square of that


@dataclass(frozen=True, eq=False)
class Evidence:
    """The evidence of every label column as a function of u = ln(alpha/beta), from the moments alone.

    In the basis of the centred left vectors and the constant column, X X' is an arrowhead matrix: ``diag(sigma)``
    bordered by ``border``, with a corner. So the features' mean costs no second eigendecomposition, and since all
    terms of the Schur complement are positive, no digits either.

    Attributes
    ----------
    sigma : ndarray of shape (k, 1)
        Squared singular values of the centred features.
    known : ndarray of shape (k, n_columns)
        U'Y.
    border : ndarray of shape (k, 1)
        sqrt(N sigma) times the mean along each direction.
    level : ndarray of shape (n_columns,)
        The columns along the constant one, sum(y) / sqrt(N).
    inside, outside : ndarray of shape (k, 1), float
        N times the squares of the mean along each direction, and outside of all.
    residual : ndarray of shape (n_columns,)
        What no weights explain of each column's sum of squares.
    n : int
    """

    sigma: Array
    known: Array
    border: Array
    level: Array
    inside: Array
    outside: float
    residual: Array
    n: int

    @classmethod
    def of(cls, moments: Moments) -> Evidence:
        """Of the features and label columns that these moments are of."""
        n, spectrum = moments.n_samples, moments.centred
        along, outside = moments.mean_along
        level = moments.target_sum / np.sqrt(n)
        residual = moments.target_square - (spectrum.projections**2).sum(axis=0) - level**2
        if len(spectrum.values) >= n - 1:  # with the constant column, as many directions as samples: nothing is left
            residual = np.zeros_like(residual)
        return cls(
            sigma=spectrum.values[:, None],
            known=spectrum.projections,
            border=np.sqrt(n * spectrum.values[:, None]) * along[:, None],
            level=level,
            inside=n * along[:, None] ** 2,
            outside=n * outside,
            # rounding noise would pass for a fit even better than perfect
            residual=np.where(residual < n * EPS * moments.target_square, 0.0, residual),
            n=n,
        )

    def select(self, columns: NDArray[np.int64]) -> Evidence:
        """Of these of the label columns; one may be there several times."""
        known, level, residual = self.known[:, columns], self.level[columns], self.residual[columns]
        return replace(self, known=known, level=level, residual=residual)

    @property
    def is_flat(self) -> bool:
        """Whether all features are zero."""
        return not len(self.sigma) and self.outside == 0

    def bounds(self) -> tuple[float, float]:
        """Where u is sought."""
        largest = float(self.sigma.max(initial=0.0) + self.inside.sum()) + self.outside
        smallest = float(self.sigma.min(initial=largest))
        return float(min(np.log(largest) - SPAN, np.log(smallest) - BELOW)), float(np.log(largest) + SPAN)

    def on_grid(self, grid: Array) -> Array:
        """Log evidence per sample of every column (second axis) at every u of `grid`."""
        t = np.exp(grid)[:, None]
        inverse = 1 / (self.sigma.T + t)
        corner = 1 + self.outside / t + inverse @ self.inside
        gap = self.level - inverse @ (self.border * self.known)
        q = t * (inverse @ self.known**2) + gap**2 / corner + self.residual
        return density(q, np.log(corner) - np.log(t * inverse).sum(axis=1)[:, None], self.n)

    def at(self, u: Array) -> Array:
        """Log evidence per sample of every column, each at its own u."""
        return density(*self.terms(u), self.n)

    def terms(self, u: Array) -> tuple[Array, Array]:
        """Squared error and penalty of the best weights, and log determinant of I + X X'/t, per column at its u."""
        nothing = np.isinf(u)
        t, inverse, corner, gap = self._parts(np.where(nothing, 0.0, u))
        q = t * (self.known**2 * inverse).sum(axis=0) + gap**2 / corner + self.residual
        log_determinant = np.log(corner) - np.log(t * inverse).sum(axis=0)
        return np.where(nothing, self._square, q), np.where(nothing, 0.0, log_determinant)

    def weights(self, u: Array, moments: Moments) -> Array:
        """Posterior mean of every column's weights at its u, shape (n_features, n_columns)."""
        t, inverse, corner, gap = self._parts(u)
        last = gap / (t * corner)  # of the constant column
        along = np.sqrt(self.sigma) * inverse * (self.known - self.border * last)
        return np.asarray(moments.right_vectors @ along + np.outer(moments.mean, np.sqrt(self.n) * last))

    def effective(self, u: Array) -> Array:
        """Effective number of weights, tr X X'(X X' + t I)^-1, per column at its u."""
        t, inverse, corner, _ = self._parts(u)
        share = self.sigma * inverse
        of_mean = self.outside / t + (self.inside * inverse * (1 - share)).sum(axis=0)
        return np.asarray(share.sum(axis=0) + of_mean / corner)

    def slopes(self, u: Array) -> tuple[Array, Array]:
        """First and second derivative of `at` by u."""
        t, inverse, corner, gap = self._parts(u)
        share = t * inverse
        rest = 1 - share
        product, tilt = share * rest, rest - share
        falling = inverse * share  # minus the first derivative of `inverse`; the second is falling (share - rest)
        corner1 = -self.outside / t - (self.inside * falling).sum(axis=0)
        corner2 = self.outside / t - (self.inside * falling * tilt).sum(axis=0)
        bordered = self.border * self.known * falling
        gap1, gap2 = bordered.sum(axis=0), (bordered * tilt).sum(axis=0)
        level = gap**2 / corner
        level1 = (2 * gap * gap1 - level * corner1) / corner
        level2 = (2 * gap1**2 + 2 * gap * gap2 - 2 * level1 * corner1 - level * corner2) / corner
        explained = self.known**2 * share
        q = explained.sum(axis=0) + level + self.residual
        q1 = (explained * rest).sum(axis=0) + level1
        q2 = (explained * rest * tilt).sum(axis=0) + level2
        slope = -q1 / (2 * q) + (rest.sum(axis=0) - corner1 / corner) / (2 * self.n)
        bend = (q1 / q) ** 2 / 2 - q2 / (2 * q)
        return slope, bend - (product.sum(axis=0) + corner2 / corner - (corner1 / corner) ** 2) / (2 * self.n)

    def _parts(self, u: Array) -> tuple[Array, Array, Array, Array]:
        """t, 1 / (sigma + t), the Schur complement over t, and the error along the constant column."""
        t = np.exp(u)
        inverse = 1 / (self.sigma + t)
        corner = 1 + self.outside / t + (self.inside * inverse).sum(axis=0)
        return t, inverse, corner, self.level - (self.border * self.known * inverse).sum(axis=0)

    def without_signal(self) -> Array:
        """The limit of u to infinity: all weights zero."""
        return density(self._square, np.zeros(1), self.n)

    @property
    def _square(self) -> Array:
        """Sums of squares of the columns."""
        return np.asarray((self.known**2).sum(axis=0) + self.level**2 + self.residual)


def best_of(moments: Moments) -> tuple[Evidence, tuple[Array, Array, bool]]:
    """The evidence of these moments and what `maximise` finds of it; the moments keep both for who asks next."""
    if "evidence" not in moments.memory:
        evidence = Evidence.of(moments)
        moments.memory["evidence"] = evidence, maximise(evidence)
    found: tuple[Evidence, tuple[Array, Array, bool]] = moments.memory["evidence"]
    return found


def maximise(evidence: Evidence) -> tuple[Array, Array, bool]:
    """Largest log evidence of every column, its u, and whether one kept growing towards a perfect fit."""
    nothing = evidence.without_signal()
    if evidence.is_flat:
        return nothing, np.full_like(nothing, np.inf), False
    low, high = evidence.bounds()
    grid = np.linspace(low, high, GRID)
    at_grid = evidence.on_grid(grid)
    best = at_grid.argmax(axis=0)
    found, top = at_grid.max(axis=0), grid[best]
    rows, columns = peaks(at_grid)
    part = evidence.select(columns)
    climbed = _climb(grid[rows], grid[1] - grid[0], low, part.slopes)
    for column, u, value in zip(columns, climbed, part.at(climbed), strict=True):
        if value >= found[column]:
            found[column], top[column] = value, u
    return np.maximum(found, nothing), np.where(found >= nothing, top, np.inf), bool((best == 0).any())


def peaks(at_grid: Array) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows and columns of the values that are above those before and not below those after them in the column.

    A column may have more than one hill, and the highest point of a grid need not be on the highest hill. Where all
    is flat but for rounding there is one peak, at its beginning.
    """
    edge = np.full((1, at_grid.shape[1]), -np.inf)
    padded = np.vstack([edge, at_grid.round(DIGITS), edge])
    rows, columns = np.nonzero((padded[1:-1] > padded[:-2]) & (padded[1:-1] >= padded[2:]))
    return rows, columns


def density(q: Array, log_determinant: Array, n: int) -> Array:
    """Log evidence per sample, the noise precision at its best, N / q."""
    return np.asarray(0.5 * np.log(n / q) - log_determinant / (2 * n) - 0.5 * (1 + np.log(2 * np.pi)))


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
