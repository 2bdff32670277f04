"""PARC: rank correlation between how unlike rows of features are and how unlike their labels are."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..errors import ScoreError, UnknownNameError
from ..features.arrays import Array, Targets, Task, check_inputs, storage_eps
from ..features.moments import EPS, Moments
from .registry import register_scorer

TIES = ("published", "exact")
TASKS: tuple[Task, ...] = ("classification", "multilabel")
EXACT_PAIRS = 2**20  # up to this many pairs of rows are held and sorted
BINS = 2**22  # of correlations from -1 to 1, for more pairs than that
DIGITS = 12  # of a correlation: what differs by less differs by rounding, and is a tie
BLOCK = 2**20  # correlations in memory at a time
ROUNDING = 4.0  # times the noise of a column is what may be left of a row that is constant


def _saturated(moments: Moments, value: float) -> str | None:
    if moments.n_features > 1:
        return None
    return "Saturated: rows of one feature have no correlation with one another, so it is 0 whatever the labels."


@register_scorer(
    "parc",
    tasks=TASKS,
    range="-100 to 100",
    cost="N^2 (D + K), in blocks; twice with more than 1448 samples",
    comparable_across_widths=True,
    meaning=(
        "Whether samples that differ in their features also differ in their class: a correlation of ranks over all "
        "pairs, times 100."
    ),
    misleads="All pairs of classes count as equally unlike; features that vary much within classes hide them. How "
    "classes are numbered moves it by some percent, as in published code (ties='exact' mends that).",
    reference="Bolya, Mittapalli and Hoffman, NeurIPS 2021",
    saturated=_saturated,
)
def parc(
    features: Any,
    labels: Any,
    *,
    n_components: int | None = None,
    ties: Literal["published", "exact"] = "published",
    task: Task | None = None,
) -> float:
    r"""Spearman correlation, times 100, of feature and label dissimilarities over all pairs of samples.

    .. math:: 100\,\rho\big(\{1 - r(x_i, x_j)\}_{i<j}, \{1 - r(t_i, t_j)\}_{i<j}\big)

    with r Pearson's correlation of two rows: x of features, each column standardised, and t of one-hot or 0/1 labels.

    Parameters
    ----------
    features : array or tensor of shape (n_samples, n_features)
    labels : classes of shape (n_samples,), or 0/1 columns of shape (n_samples, n_columns)
    n_components : int, optional
        Keep this many principal components first, at most the rank, by a full decomposition, with the largest weight
        of each positive: the paper keeps 32 by a randomised one. By default the features as they are.
    ties : {"published", "exact"}
        Between one-hot rows there are two dissimilarities, but NumPy's correlation, which published numbers rest on,
        rounds some classes apart from others. That breaks these ties, by how the classes are numbered, and moves the
        score by some percent, for all sources alike. "exact" keeps two values, as are those of 0/1 columns always.
    task : {"classification", "multilabel"}, optional
        Told from the labels when not given.

    Returns
    -------
    score : float
        In [-100, 100]; higher is better, and 100 is out of reach for classes, which are alike or not.
        Invariant to shifts and scales of single features, not to rotations. Rows whose standardised features or whose
        labels are constant (no label, or every one) have no correlation and are left out; it is 0 where no two kinds
        of pairs are left, as with a single feature.

    Raises
    ------
    ScoreError
        If `n_components` is below 2, shapes disagree, values are not finite, there is one class only, or the task is
        regression.

    Notes
    -----
    Ranks are averaged over ties. Up to a million pairs (1448 samples) they are exact; beyond, correlations within
    5e-7 of each other count as ties, which moves the score by far less than 1e-6.

    References
    ----------
    Bolya, Mittapalli and Hoffman, "Scalable Diverse Model Selection for Accessible Transfer Learning", NeurIPS 2021.
    """
    if n_components is not None and n_components < 2:
        raise ScoreError(
            f"parc: n_components={n_components}; expected at least 2, or None for the features as they are."
        )
    if ties not in TIES:
        raise UnknownNameError("treatment of ties in parc", ties, TIES)
    values, targets = check_inputs(features, labels, caller="parc", task=task, tasks=TASKS)
    eps = storage_eps(features)
    if n_components is None:
        standard, noise = _standardised(values, eps)
    else:
        standard, noise = _components(values, targets, eps, n_components)
    rows, kept = _unit_rows(standard, noise)
    if targets.codes is not None:
        k = len(targets.classes)
        alike = np.corrcoef(np.eye(k)) if ties == "published" else np.eye(k)
        _, kinds = np.unique(alike - 1, return_inverse=True)  # 1 is taken off because published code does
        return 100 * _spearman(rows[kept], _Classes(targets.codes[kept], kinds.reshape(k, k)))
    columns = targets.columns()
    label_rows, kept_labels = _unit_rows(columns, EPS * float(np.abs(columns).max()))
    both = kept & kept_labels
    return 100 * _spearman(rows[both], _Rows(label_rows[both]))


def _standardised(values: Array, eps: float) -> tuple[Array, float]:
    """Columns of mean 0 and variance 1, constant ones 0; and the norm of what rounding may have added to a row."""
    centred = values - values.mean(axis=0)
    centred -= centred.mean(axis=0)  # a mean over many rows is off by more than their own rounding
    spread = np.sqrt(np.square(centred).mean(axis=0))
    noise = max(eps, 4 * EPS) * np.abs(values).max(axis=0)
    varies = spread > noise
    scale = np.where(varies, spread, 1.0)
    return np.where(varies, centred / scale, 0.0), float(np.linalg.norm((noise / scale)[varies]))


def _components(values: Array, targets: Targets, eps: float, n_components: int) -> tuple[Array, float]:
    """The first principal components, standardised: left singular vectors, all of the same length.

    Signs matter, since each row is taken about its own mean: the largest weight of a component is made positive.
    """
    moments = Moments.from_checked(values, targets, eps)
    if moments.rank == 0:
        return np.zeros((len(values), 1)), 0.0
    right = moments.right_vectors[:, :n_components]
    signs = np.sign(right[np.abs(right).argmax(axis=0), np.arange(right.shape[1])])
    left = moments.left_vectors(values)[:, :n_components] * signs
    return left * np.sqrt(len(left)), EPS * np.sqrt(len(left) * left.shape[1])


def _unit_rows(values: Array, noise: float) -> tuple[Array, NDArray[np.bool_]]:
    """Rows about their own mean, of norm 1, so that products are correlations; and which are not constant."""
    centred = values - values.mean(axis=1, keepdims=True)
    norms = np.linalg.norm(centred, axis=1)
    kept = norms > ROUNDING * noise
    return centred / np.where(kept, norms, 1.0)[:, None], kept


@dataclass(frozen=True, eq=False)
class _Rows:
    """Rows whose correlations are to be ranked."""

    rows: Array

    def pairs(self) -> Iterator[NDArray[np.int64]]:
        """A bin for the correlation of every row with all later ones, a block of rows at a time."""
        return (_bins(correlations) for correlations in _pairs(self.rows))

    def exact(self) -> NDArray[np.int64]:
        """The place of every pair among the different values."""
        correlations = np.round(np.concatenate(list(_pairs(self.rows))), DIGITS)
        return np.asarray(np.unique(correlations, return_inverse=True)[1], dtype=np.int64)


@dataclass(frozen=True, eq=False)
class _Classes:
    """Classes of rows, and how alike each two are, as places in an order."""

    codes: NDArray[np.int64]
    kinds: NDArray[np.int64]

    def pairs(self) -> Iterator[NDArray[np.int64]]:
        """The place of every row beside all later ones, a block of rows at a time."""
        for start, height in _heights(len(self.codes)):
            block = self.kinds[self.codes[start : start + height, None], self.codes[start:]]
            yield block[_later(block)]

    def exact(self) -> NDArray[np.int64]:
        """The place of every pair."""
        return np.concatenate(list(self.pairs()))


def _spearman(rows: Array, labels: _Rows | _Classes) -> float:
    """Of the correlations of all pairs of rows; unlikeness, 1 minus each, has the same ranks from the other end."""
    n = len(rows)
    if n < 3:
        return 0.0
    features = _Rows(rows)
    held = [(features.exact(), labels.exact())] if n * (n - 1) // 2 <= EXACT_PAIRS else None

    def pairs() -> Iterable[tuple[NDArray[np.int64], NDArray[np.int64]]]:
        return held or zip(features.pairs(), labels.pairs(), strict=True)

    x_counts = y_counts = np.zeros(1, dtype=np.int64)
    for x, y in pairs():
        x_counts, y_counts = _counted(x_counts, x), _counted(y_counts, y)
    x_ranks, y_ranks = _centred_ranks(x_counts), _centred_ranks(y_counts)
    together = sum(float(x_ranks[x] @ y_ranks[y]) for x, y in pairs())
    xx, yy = float(x_counts @ np.square(x_ranks)), float(y_counts @ np.square(y_ranks))
    return together / float(np.sqrt(xx) * np.sqrt(yy)) if min(xx, yy) > 0 else 0.0


def _heights(n: int) -> Iterator[tuple[int, int]]:
    """Where each block of rows starts, and how many it has."""
    height = max(1, BLOCK // n)
    return ((start, height) for start in range(0, n - 1, height))


def _later(block: np.ndarray) -> NDArray[np.bool_]:
    """Which columns of a block, from its own first row on, are rows after each of its rows."""
    return np.arange(block.shape[1]) > np.arange(block.shape[0])[:, None]


def _pairs(rows: Array) -> Iterator[Array]:
    """Correlations of every row with all later ones, a block of rows at a time."""
    for start, height in _heights(len(rows)):
        block = rows[start : start + height] @ rows[start:].T
        yield block[_later(block)]


def _counted(counts: NDArray[np.int64], places: NDArray[np.int64]) -> NDArray[np.int64]:
    """How often each place has occurred, these included."""
    more = np.bincount(places, minlength=len(counts))
    more[: len(counts)] += counts
    return more


def _bins(correlations: Array) -> NDArray[np.int64]:
    """Bins are centred on -1, 0 and 1, so that rounding does not tear ties at these apart."""
    return np.rint((np.clip(correlations, -1, 1) + 1) * (BINS / 2)).astype(np.int64)


def _centred_ranks(counts: NDArray[np.int64]) -> Array:
    """Average rank of each of some ordered values that occur so often, less the mean of all ranks."""
    ends = np.cumsum(counts)
    return np.asarray(ends - (counts - 1) / 2 - (ends[-1] + 1) / 2)
