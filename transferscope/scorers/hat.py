"""What leaving one sample out of a ridge fit needs: the penalty, the fit and the leverages, shared by its users."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ..features.arrays import Array
from ..features.moments import Moments

PENALTIES = np.logspace(-4, 4, 17)  # times the mean variance of a feature, summed over samples
BLOCK = 1024  # rows whose products are in memory at a time, so few that they stay in the cache
PANEL = 96  # columns of a triangle that are solved for at a time
STEEP = 1e-10  # penalty over largest squared singular value below which a Cholesky factor would cost digits


@dataclass(frozen=True, eq=False)
class Hat:
    """A ridge fit of all label columns on centred features, row by row.

    Attributes
    ----------
    penalty : float
        Added to the scatter's diagonal.
    fitted : ndarray of shape (n_samples, n_columns)
        x'w of every row about the mean; w = (S + penalty I)^-1 X'Y.
    leverages : ndarray of shape (n_samples,)
        x'(S + penalty I)^-1 x.
    """

    penalty: float
    fitted: Array
    leverages: Array

    @classmethod
    def of(cls, values: Array, moments: Moments, penalty: float | None = None) -> Hat:
        """The fit at this penalty, or at the best; the moments keep it for other scorers of the same rows."""
        penalty = best_penalty(moments) if penalty is None else penalty
        known: Hat | None = moments.memory.get("hat")
        if known is None or known.penalty != penalty:
            known = moments.memory["hat"] = cls._fit(values, moments, penalty)
        return known

    @classmethod
    def _fit(cls, values: Array, moments: Moments, penalty: float) -> Hat:
        squares = moments.factors[0]
        if moments.rows is not None or not len(squares) or penalty < STEEP * squares[0]:
            left, share = moments.left_vectors(values), squares / (squares + penalty)
            fitted = left @ (share[:, None] * moments.centred.projections)
            return cls(penalty, fitted, np.square(left) @ share)
        shifted = moments.scatter.copy()
        shifted[np.diag_indices_from(shifted)] += penalty
        whiten = _whitener(np.asarray(np.linalg.cholesky(shifted), dtype=np.float64))
        sums = whiten(moments.cross.T, np.empty(moments.cross.T.shape)).T
        fitted, leverages = np.empty((len(values), sums.shape[1])), np.empty(len(values))
        space = np.empty((2, min(BLOCK, len(values)), moments.n_features))  # fresh memory is slow to get
        for start in range(0, len(values), BLOCK):
            block = slice(start, min(start + BLOCK, len(values)))
            centred, whitened = space[:, : block.stop - start]
            np.subtract(values[block], moments.mean, out=centred)
            whiten(centred, whitened)
            np.matmul(whitened, sums, out=fitted[block])
            leverages[block] = np.einsum("ij,ij->i", whitened, whitened)
        return cls(penalty, fitted, leverages)


def _whitener(lower: Array) -> Callable[[Array, Array], Array]:
    """Writes rows times the transposed inverse of a lower triangle into a second array, by panels of columns.

    SciPy has a triangular solver, but brings a thread pool of its own, which waits busily for a while after its turn
    and takes the cores from NumPy's.
    """
    panels = [slice(start, start + PANEL) for start in range(0, len(lower), PANEL)]
    inverses = [np.linalg.inv(lower[panel, panel]).T for panel in panels]

    def whiten(rows: Array, found: Array) -> Array:
        for panel, inverse in zip(panels, inverses, strict=True):
            rest = rows[:, panel] - found[:, : panel.start] @ lower[panel, : panel.start].T
            np.matmul(rest, inverse, out=found[:, panel])
        return found

    return whiten


def best_penalty(moments: Moments) -> float:
    """The smallest generalised cross-validation error among 17 penalties, from the moments alone.

    They go from 1e-4 to 1e4 times the mean eigenvalue of the scatter matrix, so that the scale of the features does
    not matter (Golub, Heath and Wahba, Technometrics 1979).
    """
    squares, n = moments.factors[0], moments.n_samples
    if not len(squares):
        return 1.0
    explained = np.square(moments.centred.projections).sum(axis=1)
    penalties = PENALTIES * squares.sum() / moments.n_features
    share = squares / (squares + penalties[:, None])
    total = float((moments.target_square - moments.target_sum**2 / n).sum())
    residual = total - explained.sum() + np.square(1 - share) @ explained
    freedom = n - 1 - share.sum(axis=1)
    errors = np.maximum(residual, 0.0) / np.maximum(freedom, 1e-12) ** 2
    return float(penalties[errors.argmin()])
