"""The largest evidence of a Bayesian linear model without eigenvectors: a third of an eigendecomposition's work."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.polynomial import chebyshev
from numpy.typing import NDArray
from threadpoolctl import ThreadpoolController

from ..features.arrays import Array
from ..features.moments import Moments
from .evidence import density, peaks

WORTHWHILE = 256  # features from which it takes less time than eigenvectors
NARROW = 1024  # features below which one thread reduces sooner than two pools that wait for each other's cores
PERFECT = 1e-6  # share of a column's squares left unexplained below which a difference of sums would cost digits
STEP, ABOVE = 1.0, 12.0  # of the first search, in ln t; a maximum further above the spectrum gains less than exp(-24)
NODES = 8  # of the second: the evidence is analytic within pi of the real axis, so 8 give the place to 1e-6
FINE = 257  # points at which the polynomial is looked at


@dataclass(frozen=True, eq=False)
class Tridiagonal:
    """The scatter S = Q T Q' with T tridiagonal, and label columns and the mean along Q.

    All that the evidence asks of S is log det(S + t I) and products of a few vectors under its inverse, which T gives
    in O(n_features) for every t.

    Attributes
    ----------
    diagonal, beside : ndarrays of shape (n_features,), (n_features - 1,)
        Of T.
    along : ndarray of shape (n_columns + 1, n_features)
        Q'X'y of every label column of the centred features X, then Q'mean.
    level, square : ndarrays of shape (n_columns,)
        sum(y) / sqrt(N), and the sum of squares of each label column.
    n : int
        Number of samples.
    """

    diagonal: Array
    beside: Array
    along: Array
    level: Array
    square: Array
    n: int

    @classmethod
    def of(cls, moments: Moments) -> Tridiagonal:
        """Of moments that hold a scatter matrix (Golub and Van Loan, Matrix Computations, 8.3)."""
        from scipy.linalg import lapack

        assert moments.gram is not None
        d = moments.n_features
        with _thread_pools().limit(limits=1) if d < NARROW else nullcontext():
            room = int(lapack.dsytrd_lwork(d, lower=1)[0])
            # the matrix is symmetric, so its transpose spares LAPACK a copy in another order
            reflectors, diagonal, beside, scales, _ = lapack.dsytrd(moments.gram.T, lower=1, lwork=room)
            vectors = np.column_stack([moments.cross, moments.mean])
            room = 64 * vectors.shape[1]
            below = lapack.dormqr("L", "T", reflectors[1:, :-1], scales, vectors[1:], room)[0]
        along = np.vstack([vectors[:1], below]).T
        level = moments.target_sum / np.sqrt(moments.n_samples)
        return cls(diagonal, beside, np.ascontiguousarray(along), level, moments.target_square, moments.n_samples)

    def extremes(self) -> tuple[float, float]:
        """Smallest and largest eigenvalue."""
        from scipy.linalg import eigvalsh_tridiagonal

        last = len(self.diagonal) - 1
        ends = [eigvalsh_tridiagonal(self.diagonal, self.beside, "i", (end, end))[0] for end in (0, last)]
        return float(ends[0]), float(ends[1])

    def terms(self, t: float, columns: NDArray[np.int64]) -> tuple[Array, float]:
        """Squared error and penalty of the best weights of some columns, and log determinant of S + t I with the mean.

        The mean is a border of S + t I (see `Evidence`).
        """
        from scipy.linalg import lapack

        along = self.along[np.append(columns, len(self.along) - 1)]
        pivots, _, solved, _ = lapack.dptsv(self.diagonal + t, self.beside, along.T)
        corner = 1 + self.n * float(along[-1] @ solved[:, -1])
        gap = self.level[columns] - np.sqrt(self.n) * (along[:-1] @ solved[:, -1])
        explained = np.einsum("ij,ji->i", along[:-1], solved[:, :-1])
        q = self.square[columns] - self.level[columns] ** 2 - explained + gap**2 / corner
        return q, float(np.log(corner) + np.log(pivots).sum())

    def at(self, u: float, columns: NDArray[np.int64]) -> Array:
        """Log evidence per sample of some columns at ln(alpha/beta) = u."""
        q, log_determinant = self.terms(float(np.exp(u)), columns)
        return density(q, np.array(log_determinant - len(self.diagonal) * u), self.n)


@cache
def _thread_pools() -> ThreadpoolController:
    """Of NumPy's and SciPy's linear algebra, which are loaded by now; to look for them takes a millisecond."""
    return ThreadpoolController().select(user_api="blas")


def largest_evidence(moments: Moments) -> Array | None:
    """What `maximise` finds of `Evidence.of` these moments; None where that takes the eigenvectors.

    That is where features are of less than full rank, or fit a column all but perfectly.
    """
    if moments.gram is None or moments.n_features < 3:  # of two, LAPACK has nothing to reduce
        return None
    reduced, n, d = Tridiagonal.of(moments), moments.n_samples, moments.n_features
    smallest, largest = reduced.extremes()
    if smallest <= moments.noise_floor(largest):
        return None
    every = np.arange(len(reduced.level))
    left = float((reduced.terms(0.0, every)[0] / reduced.square).min())
    if left < PERFECT:
        return None
    # below, the slope of the penalty is more than half of D / N, and that of the error less than half of it
    low = np.log(smallest * left * d / n / 2)
    high = np.log(largest + n * float(moments.mean @ moments.mean)) + ABOVE
    grid, step = np.linspace(low, high, int(np.ceil((high - low) / STEP)) + 1, retstep=True)
    at_grid = np.stack([reduced.at(u, every) for u in grid])
    found = np.maximum(at_grid.max(axis=0), density(reduced.square, np.zeros(1), n))
    rows, columns = peaks(at_grid)
    np.maximum.at(found, columns, _refined(reduced, grid[rows], columns, float(step)))
    return found


def _refined(reduced: Tridiagonal, start: Array, columns: NDArray[np.int64], step: float) -> Array:
    """The evidence at its maximum within a step of `start`, which a polynomial through a few values of it shows."""
    nodes = chebyshev.chebpts1(NODES)
    around = np.empty((NODES, len(start)))
    for u in np.unique(start):  # columns that share a place share the factors
        there = np.flatnonzero(start == u)
        around[:, there] = [reduced.at(u + step * x, columns[there]) for x in nodes]
    curve = chebyshev.chebfit(nodes, around, NODES - 1)
    fine = np.linspace(-1, 1, FINE)
    x = fine[chebyshev.chebval(fine, curve).argmax(axis=1)]
    slope, bend = chebyshev.chebder(curve), chebyshev.chebder(curve, 2)
    for _ in range(3):
        by, turn = chebyshev.chebval(x, slope, tensor=False), chebyshev.chebval(x, bend, tensor=False)
        x = np.clip(x - np.where(turn < 0, by / np.where(turn < 0, turn, 1.0), 0.0), -1, 1)
    return np.array([reduced.at(u, columns[[place]])[0] for place, u in enumerate(start + step * x)])
