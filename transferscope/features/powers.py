"""Higher sums of features about their mean, which only some scorers read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from .arrays import Array

if TYPE_CHECKING:
    from .moments import Moments


@dataclass(frozen=True, eq=False)
class Powers:
    """Sums that variances within classes and the shrinkage of covariances are made of.

    Attributes
    ----------
    squares : ndarray of shape (n_features, n_columns)
        Sum of (x - mean)**2 y', entry by entry.
    third : ndarray of shape (n_features,)
        Sum of ||x - mean||^2 (x - mean).
    fourth : float
        Sum of ||x - mean||^4.
    """

    squares: Array
    third: Array
    fourth: float

    @classmethod
    def nothing(cls, n_features: int, n_columns: int) -> Powers:
        """Of no rows."""
        return cls(np.zeros((n_columns, n_features)).T, np.zeros(n_features), 0.0)

    def plus(self, centred: Array, columns: Any, room: Array) -> Powers:
        """With more rows about the same mean; their squares are written into `room`, which may be `centred`."""
        norms = np.einsum("ij,ij->i", centred, centred)
        third, fourth = self.third + norms @ centred, self.fourth + float(norms @ norms)
        return Powers(self.squares + (columns.T @ np.square(centred, out=room)).T, third, fourth)

    def select(self, columns: Any) -> Powers:
        """Of these of the label columns."""
        return replace(self, squares=self.squares[:, columns])


def combine_powers(parts: Sequence[Moments], signs: Sequence[int], mean: Array) -> Powers | None:
    """Powers about `mean` of rows that are added or, with sign -1, taken away; None if a part has none."""
    first = parts[0]
    squares, third = np.zeros_like(first.cross), np.zeros_like(first.mean)
    fourth = 0.0
    for sign, part in zip(signs, parts, strict=True):
        if part.powers is None:
            return None
        gap = part.mean - mean
        far = float(gap @ gap)
        turned = part.scatter @ gap if part.rows is None else part.rows.T @ (part.rows @ gap)
        own = part.powers
        squares += sign * (own.squares + 2 * gap[:, None] * part.cross + np.outer(gap**2, part.target_sum))
        third += sign * (own.third + part.trace * gap + 2 * turned + part.n_samples * far * gap)
        bent = 4 * float(gap @ turned + own.third @ gap)
        fourth += sign * (own.fourth + bent + part.n_samples * far**2 + 2 * part.trace * far)
    return Powers(squares, third, fourth)
