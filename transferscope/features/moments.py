"""`Moments`: the additive statistics that closed-form scorers share, and their one eigendecomposition."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import ScoreError
from .arrays import Task, as_float64, as_targets, storage_eps

Array = NDArray[np.float64]
FAR = 1e4  # squared mean over squared spread from which forming X'X would cost the small directions their digits


@dataclass(frozen=True)
class Spectrum:
    """What scorers need of a feature matrix X and label columns Y, however it was computed.

    With X = U diag(s) V' cut at its numerical rank k:

    Attributes
    ----------
    values : ndarray of shape (k,)
        s**2, largest first.
    projections : ndarray of shape (k, n_columns)
        U'Y.
    """

    values: Array
    projections: Array


@dataclass(frozen=True)
class Moments:
    """Count, mean and scatter of features, and their products with label columns; disjoint ones add up.

    Everything is float64 about the mean, so that a large common offset costs no digits. ``a + b`` is the moments of
    both sets of rows (Chan, Golub and LeVeque, The American Statistician 1983), whatever the split and order.

    Attributes
    ----------
    n_samples : int
    mean : ndarray of shape (n_features,)
    target_sum, target_square : ndarray of shape (n_columns,)
        Sums of the label columns and of their squares: class counts, for one-hot columns.
    cross : ndarray of shape (n_features, n_columns)
        Sum of (x - mean) y'.
    gram : ndarray of shape (n_features, n_features), or None
        Sum of (x - mean) (x - mean)'; None while `rows` are kept instead.
    rows : ndarray of shape (n_samples, n_features), or None
        The centred rows themselves, while there are no more of them than features.
    eps : float
        Machine epsilon of the type the features were stored in.
    """

    n_samples: int
    mean: Array
    target_sum: Array
    target_square: Array
    cross: Array
    gram: Array | None
    rows: Array | None
    eps: float

    @classmethod
    def of(cls, features: Any, labels: Any, *, task: Task | None = None, caller: str = "Moments") -> Moments:
        """Moments of one batch of rows, or of all of them.

        Parameters
        ----------
        features : array or tensor of shape (n_samples, n_features)
        labels : sequence of classes, or array of shape (n_samples, n_columns)
            For adding batches up, give one-hot columns over all classes (a batch may lack some).
        """
        values = as_float64(features, name="features", caller=caller)
        targets, _ = as_targets(labels, n_samples=len(values), task=task, caller=caller)
        mean = values.mean(axis=0)
        centred = values - mean
        wide = values.shape[0] <= values.shape[1]
        return cls(
            n_samples=len(values),
            mean=mean,
            target_sum=targets.sum(axis=0),
            target_square=np.square(targets).sum(axis=0),
            cross=centred.T @ targets,
            gram=None if wide else centred.T @ centred,
            rows=centred if wide else None,
            eps=storage_eps(features),
        )

    @property
    def n_features(self) -> int:
        """Width of the features."""
        return len(self.mean)

    @cached_property
    def scatter(self) -> Array:
        """Sum of (x - mean) (x - mean)'."""
        if self.gram is not None:
            return self.gram
        assert self.rows is not None
        return self.rows.T @ self.rows

    def __add__(self, other: Moments) -> Moments:
        if self.cross.shape != other.cross.shape:
            raise ScoreError(
                f"moments of shapes {self.cross.shape} and {other.cross.shape} do not add up; give both the same "
                "features and label columns."
            )
        n = self.n_samples + other.n_samples
        gap = other.mean - self.mean
        mean = self.mean + gap * (other.n_samples / n)
        moved = np.outer(self.mean - mean, self.target_sum) + np.outer(other.mean - mean, other.target_sum)
        between = np.outer(gap, gap) * (self.n_samples * other.n_samples / n)
        return Moments(
            n_samples=n,
            mean=mean,
            target_sum=self.target_sum + other.target_sum,
            target_square=self.target_square + other.target_square,
            cross=self.cross + other.cross + moved,
            gram=self.scatter + other.scatter + between,
            rows=None,
            eps=max(self.eps, other.eps),
        )

    @cached_property
    def factors(self) -> tuple[Array, Array]:
        """Squared singular values of the centred features, largest first, and one side's vectors in columns.

        The vectors are V of shape (n_features, k), or, while `rows` are kept, U of shape (n_samples, k).
        """
        matrix = self.scatter if self.rows is None else self.rows @ self.rows.T
        values, vectors = np.linalg.eigh(matrix)
        keep = values > self._floor(values[-1])
        return values[keep][::-1], vectors[:, keep][:, ::-1]

    def _floor(self, largest: float) -> float:
        """Squared singular value below which there is only rounding noise: of storing, or of this arithmetic."""
        longest = max(self.n_samples, self.n_features)
        stored = longest * self.eps * np.sqrt(max(largest, 0.0))
        # a large offset was rounded too: noise of that size in every entry
        offset = (np.sqrt(self.n_samples) + np.sqrt(self.n_features)) * self.eps * float(np.abs(self.mean).max())
        arithmetic = longest * np.finfo(np.float64).eps * max(largest, 0.0)
        return max(stored**2, offset**2, arithmetic, 0.0)

    @cached_property
    def centred(self) -> Spectrum:
        """Spectrum of the features about their mean; the label columns need not be centred."""
        values, vectors = self.factors
        if self.rows is None:
            return Spectrum(values, (vectors.T @ self.cross) / np.sqrt(values)[:, None])
        # U'Y from U and the rows' own cross products: U' Y = diag(1/s) V' X'Y with V = X'U diag(1/s)
        right = self.rows.T @ (vectors / np.sqrt(values))
        return Spectrum(values, (right.T @ self.cross) / np.sqrt(values)[:, None])

    @cached_property
    def uncentred(self) -> Spectrum:
        """Spectrum of the features as they are, mean included.

        In the basis of the centred directions and what the mean adds to them, X is U_c and the constant column
        times the small matrix ``[[diag(s), 0], [sqrt(n) w', sqrt(n) rest]]``; its own decomposition is all that
        is left to do.
        """
        values, vectors = self.factors
        scale = np.sqrt(values)
        right = vectors if self.rows is None else self.rows.T @ (vectors / scale)
        along = right.T @ self.mean
        rest = np.linalg.norm(self.mean - right @ along)
        k = len(values)
        small = np.zeros((k + 1, k + 1))
        small[np.arange(k), np.arange(k)] = scale
        small[k, :k], small[k, k] = np.sqrt(self.n_samples) * along, np.sqrt(self.n_samples) * rest
        known = np.vstack([self.centred.projections, self.target_sum / np.sqrt(self.n_samples)])
        largest = values[0] if k else 0.0
        longest, eps = max(self.n_samples, self.n_features), np.finfo(np.float64).eps
        if self.n_samples * float(self.mean @ self.mean) > FAR * largest:
            left, singular, _ = np.linalg.svd(small)
            squares, floor = singular**2, (longest * eps) ** 2
        else:
            squares, left = np.linalg.eigh(small @ small.T)
            squares, left, floor = squares[::-1], left[:, ::-1], longest * eps
        keep = (squares > floor * squares[0]) & (squares > 0)
        return Spectrum(squares[keep], left[:, keep].T @ known)

    def left_vectors(self, features: Array) -> Array:
        """U of the centred features, shape (n_samples, k); `features` are the rows these moments were made of."""
        values, vectors = self.factors
        return vectors if self.rows is not None else (features - self.mean) @ (vectors / np.sqrt(values))
