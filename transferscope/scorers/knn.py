"""k nearest neighbours, each sample left out in turn."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..errors import ScoreError, UnknownNameError
from ..features.arrays import Array, Targets, Task, check_inputs
from ..features.moments import EPS, Moments
from .registry import register_scorer

TIES = ("label", "distance")
TASKS: tuple[Task, ...] = ("classification", "regression")
BLOCK = 2**22  # distances in memory at a time


def _caveats(moments: Moments) -> Sequence[str]:
    alone = 0 if moments.classes is None else int((moments.target_sum == 1).sum())
    return (f"{alone} class(es) have one sample, which no other can vouch for: always wrong.",) if alone else ()


def _per_sample(features: Any, labels: Any, *, task: Task | None = None) -> Array | None:
    """Whether each sample is classified rightly, and what it does to others; a correlation is no mean over samples.

    A hit is the work of two samples, so that hits depend on each other and vary more than as many coin flips. Half of
    what a neighbour changes, beside the one that would take its place, counts for the neighbour too: all of it would
    count twice what the two do together (Efron and Stein, Annals of Statistics 1981).
    """
    values, targets = _checked(features, labels, 1, "label", task)
    if targets.codes is None:
        return None
    n = len(values)
    near = np.concatenate([near for _, near, _ in _neighbours(values, min(2, n - 1))])
    hits = (targets.codes[near] == targets.codes[:, None]).astype(float)
    changed = np.bincount(near[:, 0], hits[:, 0] - hits[:, -1], n) / 2
    return np.asarray(hits[:, 0] + changed - changed.mean())


@register_scorer(
    "knn",
    tasks=TASKS,
    range="0 to 1 (accuracy); -1 to 1 (correlation)",
    cost="N^2 D, in blocks",
    is_accuracy=True,
    comparable_across_widths=True,
    meaning=(
        "The share of samples whose nearest neighbours in the features vote for the right class; for numbers, how "
        "closely the neighbours' averages follow them."
    ),
    misleads="It follows the directions of largest variance, useful or not; rare classes are outvoted.",
    reference="Cover and Hart, IEEE Transactions on Information Theory 1967; Bolya et al., NeurIPS 2021 (transfer)",
    caveats=_caveats,
    per_sample=_per_sample,
)
def knn(
    features: Any,
    labels: Any,
    *,
    k: int = 1,
    ties: Literal["label", "distance"] = "label",
    task: Task | None = None,
) -> float:
    """Leave-one-out accuracy of the vote of the k nearest samples (Euclidean); correlation for regression.

    Parameters
    ----------
    features : array or tensor of shape (n_samples, n_features)
    labels : classes of shape (n_samples,), or float targets of shape (n_samples,) or (n_samples, n_columns)
    k : int, default=1
        One neighbour needs no rule for equal votes, and lets classes of two samples be found.
    ties : {"label", "distance"}
        Equal votes go to the smaller class, as published codes do, which makes the value depend on class names;
        or to the class whose voters are nearer in sum. It does not matter for k = 1.
    task : {"classification", "regression"}, optional
        Told from the labels when not given.

    Returns
    -------
    score : float
        Accuracy in [0, 1], or the mean over columns of Pearson's correlation between target and neighbours' mean
        (0 where that mean does not vary). Higher is better. Invariant to rotation, shift and scale.

    Raises
    ------
    ScoreError
        If there are not more than k samples, shapes disagree, values are not finite, a target column is constant,
        or the task is multi-label.

    Notes
    -----
    Of rows at equal distance the earlier one is the nearer.

    References
    ----------
    Cover and Hart, "Nearest Neighbor Pattern Classification", IEEE Transactions on Information Theory 1967.
    """
    values, targets = _checked(features, labels, k, ties, task)
    if targets.codes is None:
        return _correlation(values, targets.columns(), k)
    return float(np.mean(_hits(values, targets.codes, k, ties)))


def _checked(features: Any, labels: Any, k: int, ties: str, task: Task | None) -> tuple[Array, Targets]:
    values, targets = check_inputs(features, labels, caller="knn", task=task, tasks=TASKS)
    if ties not in TIES:
        raise UnknownNameError("way to break ties", ties, TIES)
    if not 1 <= k < len(values):
        raise ScoreError(f"knn: k={k} with {len(values)} samples; expected 1 <= k < number of samples.")
    return values, targets


def _hits(values: Array, codes: NDArray[np.int64], k: int, ties: str) -> Array:
    """1 for every sample whose neighbours vote for its class, 0 for the others."""
    hits = np.empty(len(values))
    for block, near, distance in _neighbours(values, k):
        hits[block] = _vote(codes[near], distance, ties) == codes[block]
    return hits


def _correlation(values: Array, columns: Array, k: int) -> float:
    """Mean over columns of Pearson's correlation of each target with its neighbours' mean."""
    if not np.ptp(columns, axis=0).all():
        raise ScoreError("knn: a target column is constant; there is nothing to explain. Drop it.")
    predicted = np.concatenate([columns[near].mean(axis=1) for _, near, _ in _neighbours(values, k)])
    wanted, found = columns - columns.mean(axis=0), predicted - predicted.mean(axis=0)
    scale = np.sqrt(np.square(wanted).sum(axis=0) * np.square(found).sum(axis=0))
    together = (wanted * found).sum(axis=0)
    return float(np.divide(together, scale, out=np.zeros_like(scale), where=scale > 0).mean())


def _vote(voters: NDArray[np.int64], distance: Array, ties: str) -> NDArray[np.int64]:
    """The class with most votes in every row; `voters` are classes, (n_rows, k)."""
    rows = np.arange(len(voters))[:, None]
    votes = np.zeros((len(voters), int(voters.max()) + 1))
    np.add.at(votes, (rows, voters), 1)
    if ties == "distance":
        reach = np.zeros_like(votes)
        np.add.at(reach, (rows, voters), distance)
        votes = np.where(votes < votes.max(axis=1, keepdims=True), -np.inf, -reach)
    return votes.argmax(axis=1)


def _neighbours(values: Array, k: int) -> Iterator[tuple[slice, NDArray[np.int64], Array]]:
    """Blocks of rows with the row numbers and distances of the k nearest others of each, nearest first.

    Expanding the square is fast but rounds; whoever may be among the nearest is measured again, exactly: between
    the rows as given, since rounding of the centred ones would settle which of two equal distances is less.
    """
    given, values = values, values - values.mean(axis=0)
    squares = np.square(values).sum(axis=1)
    slack = 4 * EPS * (values.shape[1] + 4) * (squares + squares.max())
    height = max(1, BLOCK // len(values))
    for start in range(0, len(values), height):
        block = slice(start, min(start + height, len(values)))
        squared = squares[block, None] + squares - 2 * values[block] @ values.T
        squared[np.arange(len(squared)), np.arange(start, block.stop)] = np.inf
        reach = np.partition(squared, k - 1, axis=1)[:, k - 1] + slack[block]
        near = np.empty((len(squared), k), dtype=np.int64)
        distance = np.empty((len(squared), k))
        for i, row in enumerate(squared):
            close = np.flatnonzero(row <= reach[i])
            exact = np.square(given[close] - given[start + i]).sum(axis=1)
            order = np.argsort(exact, kind="stable")[:k]
            near[i], distance[i] = close[order], np.sqrt(exact[order])
        yield block, near, distance
