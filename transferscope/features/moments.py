"""`Moments`: the additive statistics that closed-form scorers share, and their one eigendecomposition."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from ..errors import ScoreError
from .arrays import Array, Targets, Task, check_inputs, sorted_classes, storage_eps

FAR = 1e4  # squared mean over squared spread from which forming X'X would cost the small directions their digits
BLOCK = 4096  # rows whose label columns are in memory at a time
EPS = float(np.finfo(np.float64).eps)


@dataclass(frozen=True, eq=False)
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


@dataclass(frozen=True, eq=False)
class Moments:
    """Count, mean and scatter of features, and their products with label columns; disjoint ones add up.

    Everything is float64 about the mean, so that a large common offset costs no digits. ``a + b`` is the moments of
    both sets of rows (Chan, Golub and LeVeque, The American Statistician 1983) whatever the split and order, and
    whatever classes each holds: a stream of batches needs O(n_features**2 + n_features * n_columns) memory.

    Attributes
    ----------
    n_samples : int
    mean : ndarray of shape (n_features,)
    classes : tuple, or None
        What the one-hot columns stand for; None for other targets.
    target_sum, target_square : ndarray of shape (n_columns,)
        Sums of the label columns and of their squares: class counts, for one-hot columns.
    cross : ndarray of shape (n_features, n_columns)
        Sum of (x - mean) y'.
    gram : ndarray of shape (n_features, n_features), or None
        Sum of (x - mean) (x - mean)'; None while `rows` are kept instead.
    rows, row_targets : ndarrays of shape (n_samples, n_features) and (n_samples, n_columns), or None
        The centred rows themselves and their label columns, while there are no more of them than features.
    eps : float
        Machine epsilon of the type the features were stored in.
    """

    n_samples: int
    mean: Array
    classes: tuple[Hashable, ...] | None
    target_sum: Array
    target_square: Array
    cross: Array
    gram: Array | None
    rows: Array | None
    row_targets: Array | None
    eps: float

    @classmethod
    def from_features(cls, features: Any, targets: Any, *, task: Task | None = None) -> Moments:
        """Moments of one batch of rows, or of all of them.

        Parameters
        ----------
        features : array or tensor of shape (n_samples, n_features)
        targets : classes of shape (n_samples,), or targets of shape (n_samples,) or (n_samples, n_columns)
        task : Task, optional
            Told from `targets` when not given.

        Raises
        ------
        ScoreError
            If shapes disagree or values are not finite. A batch may hold a single class.
        """
        values, checked = check_inputs(features, targets, caller="Moments", task=task, fewest_classes=1)
        return cls.from_checked(values, checked, storage_eps(features))

    @classmethod
    def from_checked(cls, values: Array, targets: Targets, eps: float) -> Moments:
        """Moments of what `check_inputs` returned; `eps` is `storage_eps` of the features as they came."""
        mean = values.mean(axis=0)
        centred = values - mean
        wide = values.shape[0] <= values.shape[1]
        n_columns = targets.columns(slice(1)).shape[1]
        total, square, cross = np.zeros(n_columns), np.zeros(n_columns), np.zeros((len(mean), n_columns))
        for start in range(0, len(values), BLOCK):
            block = slice(start, start + BLOCK)
            columns = targets.columns(block)
            total += columns.sum(axis=0)
            square += np.square(columns).sum(axis=0)
            cross += centred[block].T @ columns
        return cls(
            n_samples=len(values),
            mean=mean,
            classes=targets.classes if targets.task == "classification" else None,
            target_sum=total,
            target_square=square,
            cross=cross,
            gram=None if wide else centred.T @ centred,
            rows=centred if wide else None,
            row_targets=targets.columns() if wide else None,
            eps=eps,
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
        rows = _kept(self.rows)
        return rows.T @ rows

    def __add__(self, other: Moments) -> Moments:
        a, b = _aligned(self, other)
        n = a.n_samples + b.n_samples
        gap = b.mean - a.mean
        mean = a.mean + gap * (b.n_samples / n)
        rows = row_targets = gram = None
        if n <= a.n_features:
            rows = np.concatenate([_kept(m.rows) + (m.mean - mean) for m in (a, b)])
            row_targets = np.concatenate([_kept(m.row_targets) for m in (a, b)])
        else:
            gram = a.scatter + b.scatter + np.outer(gap, gap * (a.n_samples * b.n_samples / n))
        moved = np.outer(a.mean - mean, a.target_sum) + np.outer(b.mean - mean, b.target_sum)
        return Moments(
            n_samples=n,
            mean=mean,
            classes=a.classes,
            target_sum=a.target_sum + b.target_sum,
            target_square=a.target_square + b.target_square,
            cross=a.cross + b.cross + moved,
            gram=gram,
            rows=rows,
            row_targets=row_targets,
            eps=max(a.eps, b.eps),
        )

    @cached_property
    def factors(self) -> tuple[Array, Array]:
        """Squared singular values of the centred features, largest first, and one side's vectors in columns.

        The vectors are V of shape (n_features, k), or, while `rows` are kept, U of shape (n_samples, k). Kept rows
        are decomposed themselves, since a Gram matrix would cost their small directions half of their digits.
        """
        if self.rows is None:
            values, vectors = np.linalg.eigh(self.scatter)
            values, vectors = values[::-1], vectors[:, ::-1]
        else:
            rows = self.rows - self.rows.mean(axis=0)  # a large mean, once taken off, leaves its rounding behind
            triangle = np.asarray(np.linalg.qr(rows.T, mode="r"))
            vectors, singular, _ = np.linalg.svd(triangle.T)
            values = singular**2
        keep = values > self._floor(max(float(values[0]), 0.0))
        return values[keep], vectors[:, keep]

    @property
    def rank(self) -> int:
        """Number of directions in which the features vary by more than rounding noise."""
        return len(self.factors[0])

    def _floor(self, largest: float) -> float:
        """Squared singular value below which there is only rounding noise: of storing, or of this arithmetic.

        Independent errors of size e in every entry have norm e (sqrt(N) + sqrt(D)). They are relative to the
        values as stored, so a large mean counts too. ``max(N, D)`` in its place, numpy's rule for one matrix,
        would cut more and more true directions as samples are added.
        """
        n, d = self.n_samples, self.n_features
        size = max(np.sqrt(largest), float(np.abs(self.mean).max()))
        stored = (np.sqrt(n) + np.sqrt(d)) * self.eps * size
        arithmetic = max(n, d) * EPS * largest if self.rows is None else (max(n, d) * EPS * size) ** 2
        return max(stored**2, arithmetic)

    @cached_property
    def centred(self) -> Spectrum:
        """Spectrum of the features about their mean; the label columns are as they are."""
        values, vectors = self.factors
        if self.row_targets is not None:
            return Spectrum(values, vectors.T @ self.row_targets)
        return Spectrum(values, (vectors.T @ self.cross) / np.sqrt(values)[:, None])

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
        if self.n_samples * float(self.mean @ self.mean) > FAR * (values[0] if k else 0.0):
            left, singular, _ = np.linalg.svd(small)
            squares, floor = singular**2, ((k + 1) * EPS) ** 2
        else:
            squares, left = np.linalg.eigh(small @ small.T)
            squares, left, floor = squares[::-1], left[:, ::-1], (k + 1) * EPS
        keep = (squares > floor * squares[0]) & (squares > 0)
        return Spectrum(squares[keep], left[:, keep].T @ known)

    def left_vectors(self, features: Array) -> Array:
        """U of the centred features, shape (n_samples, k); `features` are the rows these moments were made of."""
        values, vectors = self.factors
        return vectors if self.rows is not None else (features - self.mean) @ (vectors / np.sqrt(values))


def _kept(rows: Array | None) -> Array:
    assert rows is not None, "moments of no more rows than features keep them"
    return rows


def _aligned(a: Moments, b: Moments) -> tuple[Moments, Moments]:
    """Both with the same label columns: the classes that either holds."""
    if a.n_features != b.n_features or (a.classes is None) != (b.classes is None):
        raise ScoreError(
            f"moments of {a.n_features} and {b.n_features} features, of {_told(a)} and {_told(b)}, do not add up; "
            "take both from the same layer of one source, and for the same task."
        )
    if a.classes is None or b.classes is None:
        if len(a.target_sum) != len(b.target_sum):
            raise ScoreError(
                f"moments of {len(a.target_sum)} and {len(b.target_sum)} target columns do not add up; give both "
                "the same columns."
            )
        return a, b
    if a.classes == b.classes:
        return a, b
    classes = sorted_classes([*a.classes, *b.classes])
    return _over(a, classes), _over(b, classes)


def _told(moments: Moments) -> str:
    return "numeric targets" if moments.classes is None else f"{len(moments.classes)} classes"


def _over(moments: Moments, classes: tuple[Hashable, ...]) -> Moments:
    """The same moments with a column for each of `classes`, zero where there were none."""
    index = {name: column for column, name in enumerate(classes)}
    assert moments.classes is not None
    places = [index[name] for name in moments.classes]

    def spread(columns: Array) -> Array:
        wider = np.zeros((*columns.shape[:-1], len(classes)))
        wider[..., places] = columns
        return wider

    return Moments(
        n_samples=moments.n_samples,
        mean=moments.mean,
        classes=classes,
        target_sum=spread(moments.target_sum),
        target_square=spread(moments.target_square),
        cross=spread(moments.cross),
        gram=moments.gram,
        rows=moments.rows,
        row_targets=None if moments.row_targets is None else spread(moments.row_targets),
        eps=moments.eps,
    )
