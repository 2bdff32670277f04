"""`Moments`: the additive statistics that closed-form scorers share, and their one eigendecomposition."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from ..errors import ScoreError
from .arrays import Array, Targets, Task, check_inputs, sorted_classes, storage_eps
from .powers import Powers, combine_powers

FAR = 1e4  # squared mean over squared spread from which forming X'X would cost the small directions their digits
BLOCK = 8192  # rows whose centred copies are in memory at a time
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
    powers : Powers, or None
        Higher sums, where they were asked for.
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
    powers: Powers | None
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
        return cls.from_checked(values, checked, storage_eps(features), powers=True)

    @classmethod
    def from_checked(cls, values: Array, targets: Targets, eps: float, *, powers: bool = False) -> Moments:
        """Moments of what `check_inputs` returned; `eps` is `storage_eps` of the features as they came."""
        n, d = values.shape
        mean = values.mean(axis=0)
        total, square = np.zeros(targets.n_columns), np.zeros(targets.n_columns)
        cross, drift = np.zeros((targets.n_columns, d)), np.zeros(d)  # drift: what rounding left of the mean
        higher = Powers.nothing(d, targets.n_columns) if powers else None
        rows = values - mean if n <= d else None
        gram = None if n <= d else np.zeros((d, d))
        space = np.empty((min(n, BLOCK), d))  # for one block after the other: fresh memory costs as much as arithmetic
        for start in range(0, n, BLOCK):
            block = slice(start, min(start + BLOCK, n))
            room = space[: block.stop - start]
            centred = np.subtract(values[block], mean, out=room) if rows is None else rows[block]
            columns = targets.sparse_columns(block)
            total += columns.sum(axis=0)
            square += (columns * columns).sum(axis=0)
            cross += columns.T @ centred
            if gram is not None:
                gram += centred.T @ centred
            drift += centred.sum(axis=0)
            higher = higher.plus(centred, columns, room) if higher else None
        drift /= n
        rows = None if rows is None else rows - drift
        cross -= np.outer(total, drift)
        if gram is not None:
            gram -= np.outer(drift, n * drift)
        return cls(
            n_samples=n, mean=mean + drift, classes=targets.classes if targets.task == "classification" else None,
            target_sum=total, target_square=square, cross=cross.T, powers=higher, gram=gram, rows=rows,
            row_targets=None if rows is None else targets.columns(), eps=eps,
        )  # fmt: skip

    @classmethod
    def merge(cls, parts: Sequence[Moments]) -> Moments:
        """Moments of the rows of all `parts`, as ``+`` would give them, in one go."""
        parts = aligned(parts)
        merged = combine(parts, [1] * len(parts))
        if merged.n_samples > merged.n_features or any(part.rows is None for part in parts):  # a remainder has none
            gaps = np.stack([np.sqrt(part.n_samples) * (part.mean - merged.mean) for part in parts])
            gram = gaps.T @ gaps
            for part in parts:
                gram += part.scatter
            return replace(merged, gram=gram)
        rows = np.concatenate([_kept(part.rows) + (part.mean - merged.mean) for part in parts])
        return replace(merged, rows=rows, row_targets=np.concatenate([_kept(part.row_targets) for part in parts]))

    def __add__(self, other: Moments) -> Moments:
        return Moments.merge((self, other))

    def over(self, classes: tuple[Hashable, ...] | None) -> Moments:
        """The same rows with a label column for each of `classes`, zero where there are none of them."""
        if self.classes is None or self.classes == classes or classes is None:
            return self
        known = {name: column for column, name in enumerate(self.classes)}
        nothing = len(known)  # a column of zeros, put behind the others
        wider = replace(
            self,
            target_sum=np.append(self.target_sum, 0.0),
            target_square=np.append(self.target_square, 0.0),
            cross=np.pad(self.cross, ((0, 0), (0, 1))),
            powers=self.powers and replace(self.powers, squares=np.pad(self.powers.squares, ((0, 0), (0, 1)))),
            row_targets=None if self.row_targets is None else np.pad(self.row_targets, ((0, 0), (0, 1))),
        )
        return wider.select(classes, [known.get(name, nothing) for name in classes])

    def select(self, classes: tuple[Hashable, ...] | None, columns: Any) -> Moments:
        """The same rows with these of the label columns."""
        return replace(
            self, classes=classes, target_sum=self.target_sum[columns], target_square=self.target_square[columns],
            cross=self.cross[:, columns], powers=self.powers and self.powers.select(columns),
            row_targets=None if self.row_targets is None else self.row_targets[:, columns],
        )  # fmt: skip

    @property
    def squares(self) -> Array:
        """Sum of (x - mean)**2 y', entry by entry, shape (n_features, n_columns)."""
        return self._higher.squares

    @property
    def third(self) -> Array:
        """Sum of ||x - mean||^2 (x - mean)."""
        return self._higher.third

    @property
    def fourth(self) -> float:
        """Sum of ||x - mean||^4."""
        return self._higher.fourth

    @property
    def _higher(self) -> Powers:
        if self.powers is None:
            raise ScoreError("these moments hold no higher sums; take them by Moments.from_features.")
        return self.powers

    @property
    def n_features(self) -> int:
        """Width of the features."""
        return len(self.mean)

    @property
    def class_means(self) -> Array:
        """Means of the classes about the mean of all, shape (n_features, n_classes)."""
        return np.asarray(self.cross / self.target_sum)

    @cached_property
    def scatter(self) -> Array:
        """Sum of (x - mean) (x - mean)'."""
        if self.gram is not None:
            return self.gram
        rows = _kept(self.rows)
        return rows.T @ rows

    @cached_property
    def trace(self) -> float:
        """Sum of ||x - mean||^2."""
        return float(np.trace(self.scatter) if self.rows is None else np.square(self.rows).sum())

    @cached_property
    def memory(self) -> dict[str, Any]:
        """Room for what scorers of the same rows share with each other."""
        return {}

    def residual_squares(self, weights: Array, intercept: Array) -> Array:
        """Sum over rows of (y - intercept - x'w)**2 of every label column, with its column w of `weights`."""
        level = intercept + self.mean @ weights
        squares = self.target_square - 2 * level * self.target_sum + self.n_samples * level**2
        return np.asarray(squares - 2 * (weights * self.cross).sum(axis=0) + self.spread_along(weights))

    @cached_property
    def square_norm(self) -> float:
        """Sum of the squares of the scatter's entries."""
        return float(np.vdot(self.scatter, self.scatter))

    def spread_along(self, directions: Array) -> Array:
        """Sum over rows of the squares of (x - mean)'v, for every column v of `directions`."""
        if self.rows is not None:
            return np.square(self.rows @ directions).sum(axis=0)
        return np.einsum("ij,ij->j", directions, self.scatter @ directions)

    @cached_property
    def factors(self) -> tuple[Array, Array]:
        """Squared singular values of the centred features, largest first, and one side's vectors in columns.

        The vectors are V of shape (n_features, k), or, while `rows` are kept, U of shape (n_samples, k). Kept rows
        are decomposed themselves, since a Gram matrix would cost their small directions half of their digits.
        """
        values, vectors = self._rising
        return values[::-1], np.ascontiguousarray(vectors[:, ::-1])

    @cached_property
    def _rising(self) -> tuple[Array, Array]:
        """`factors` smallest first, as LAPACK leaves them: turning the vectors around is a copy that few need."""
        if self.rows is None:
            values, vectors = np.linalg.eigh(self.scatter)
        else:
            # a large mean, once taken off, leaves its rounding behind
            values, vectors = _decompose(self.rows - self.rows.mean(axis=0))
        kept = values > self.noise_floor(max(float(values[-1]), 0.0))
        return values[kept], vectors[:, len(kept) - int(kept.sum()) :]

    @property
    def rank(self) -> int:
        """Number of directions in which the features vary by more than rounding noise."""
        return len(self._rising[0])

    @cached_property
    def right_vectors(self) -> Array:
        """V of the centred features, shape (n_features, k)."""
        values, vectors = self.factors
        return vectors if self.rows is None else self.rows.T @ (vectors / np.sqrt(values))

    def left_vectors(self, features: Array) -> Array:
        """U of the centred features, shape (n_samples, k); `features` are the rows these moments were made of."""
        values, vectors = self.factors
        return vectors if self.rows is not None else (features - self.mean) @ (vectors / np.sqrt(values))

    def noise_floor(self, largest: float) -> float:
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
        values, vectors = self._rising
        if self.row_targets is not None:
            return Spectrum(values[::-1], (vectors.T @ self.row_targets)[::-1])
        return Spectrum(values[::-1], ((vectors.T @ self.cross) / np.sqrt(values)[:, None])[::-1])

    @cached_property
    def mean_along(self) -> tuple[Array, float]:
        """The mean in the basis of the centred directions, V'mean, and its squared length outside of them."""
        vectors = self._rising[1] if self.rows is None else self.right_vectors[:, ::-1]
        along = vectors.T @ self.mean
        rest = self.mean - vectors @ along
        return along[::-1], float(rest @ rest)

    @cached_property
    def uncentred(self) -> Spectrum:
        """Spectrum of the features as they are, mean included.

        In the basis of the centred directions and what the mean adds to them, X is U_c and the constant column
        times the small matrix ``[[diag(s), 0], [sqrt(n) w', sqrt(n) rest]]``; its own decomposition is all that
        is left to do. Kept rows are decomposed themselves here too.
        """
        if self.rows is not None:
            rows = self.rows + self.mean
            values, vectors = _decompose(rows)
            stored = (np.sqrt(self.n_samples) + np.sqrt(self.n_features)) * self.eps * np.abs(rows).max()
            keep = values > max(stored**2, (self.n_features * EPS) ** 2 * values[-1])
            return Spectrum(values[keep][::-1], (vectors[:, keep].T @ _kept(self.row_targets))[::-1])
        values = self.factors[0]
        along, rest = self.mean_along
        k = len(values)
        small = np.zeros((k + 1, k + 1))
        small[np.arange(k), np.arange(k)] = np.sqrt(values)
        small[k, :k], small[k, k] = np.sqrt(self.n_samples) * along, np.sqrt(self.n_samples * rest)
        known = np.vstack([self.centred.projections, self.target_sum / np.sqrt(self.n_samples)])
        if self.n_samples * float(self.mean @ self.mean) > FAR * (values[0] if k else 0.0):
            left, singular, _ = np.linalg.svd(small)
            squares, floor = singular**2, ((k + 1) * EPS) ** 2
        else:
            squares, left = np.linalg.eigh(small @ small.T)
            squares, left, floor = squares[::-1], left[:, ::-1], (k + 1) * EPS
        keep = (squares > floor * squares[0]) & (squares > 0)
        return Spectrum(squares[keep], left[:, keep].T @ known)


def _decompose(rows: Array) -> tuple[Array, Array]:
    """Squared singular values, smallest first, and left vectors in columns of rows fewer than their features."""
    triangle = np.asarray(np.linalg.qr(rows.T, mode="r"))
    vectors, singular, _ = np.linalg.svd(triangle.T)
    return singular[::-1] ** 2, vectors[:, ::-1]


def _kept(rows: Array | None) -> Array:
    assert rows is not None, "moments of no more rows than features keep them"
    return rows


def combine(parts: Sequence[Moments], signs: Sequence[int]) -> Moments:
    """Everything but the scatter of rows that are added or, with sign -1, taken away; see `merge`."""
    counts = np.array([sign * part.n_samples for sign, part in zip(signs, parts, strict=True)])
    n, first = int(counts.sum()), parts[0]
    mean = first.mean + sum(count * (part.mean - first.mean) for count, part in zip(counts, parts, strict=True)) / n
    cross = np.zeros_like(first.cross)
    for sign, part in zip(signs, parts, strict=True):
        cross += sign * (part.cross + np.outer(part.mean - mean, part.target_sum))
    return Moments(
        n_samples=n, mean=mean, classes=first.classes,
        target_sum=np.asarray(sum(s * p.target_sum for s, p in zip(signs, parts, strict=True))),
        target_square=np.asarray(sum(s * p.target_square for s, p in zip(signs, parts, strict=True))),
        cross=cross, powers=combine_powers(parts, signs, mean), gram=None, rows=None, row_targets=None,
        eps=max(part.eps for part in parts),
    )  # fmt: skip


def aligned(parts: Sequence[Moments]) -> list[Moments]:
    """All with the same label columns: the classes that any of them holds."""
    first = parts[0]
    for other in parts[1:]:
        if first.n_features != other.n_features or (first.classes is None) != (other.classes is None):
            raise ScoreError(
                f"moments of {first.n_features} and {other.n_features} features, of {_told(first)} and "
                f"{_told(other)}, do not add up; take both from the same layer of one source, and for the same task."
            )
        if first.classes is None and len(first.target_sum) != len(other.target_sum):
            raise ScoreError(
                f"moments of {len(first.target_sum)} and {len(other.target_sum)} target columns do not add up; give "
                "both the same columns."
            )
    if first.classes is None or all(part.classes == first.classes for part in parts):
        return list(parts)
    classes = sorted_classes([name for part in parts for name in part.classes or ()])
    return [part.over(classes) for part in parts]


def _told(moments: Moments) -> str:
    return "numeric targets" if moments.classes is None else f"{len(moments.classes)} classes"
