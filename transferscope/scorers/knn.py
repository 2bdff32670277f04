"""k nearest neighbours, each sample left out in turn."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from ..errors import ScoreError, UnknownNameError
from ..features.arrays import Task, as_float64, as_targets
from .registry import register_scorer

TIES = ("label", "distance")
BLOCK = 512  # rows of distances in memory at a time


@register_scorer(
    "knn",
    needs="features",
    tasks=("classification", "regression"),
    range="0 to 1 (accuracy); -1 to 1 (correlation)",
    cost="N^2 D, in blocks",
    is_accuracy=True,
    comparable_across_widths=True,
    misleads="It follows the directions of largest variance, useful or not; a class smaller than k is never found.",
    reference="Cover and Hart, IEEE Transactions on Information Theory 1967; Bolya et al., NeurIPS 2021 (transfer)",
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
    ties : {"label", "distance"}
        Equal votes go to the smaller class, as published codes do, which makes the value depend on class names;
        or to the class whose voters are nearer in sum. It does not matter for k = 1.
    task : {"classification", "regression"}, optional
        Told from the labels when not given.

    Returns
    -------
    score : float
        Accuracy in [0, 1], or the mean over columns of Pearson's correlation between target and neighbours' mean.
        Higher is better. Invariant to rotation, shift and scale.

    Raises
    ------
    ScoreError
        If there are not more than k samples, shapes disagree, or values are not finite.
    """
    values = as_float64(features, name="features", caller="knn")
    targets, told = as_targets(labels, n_samples=len(values), task=task, caller="knn")
    if ties not in TIES:
        raise UnknownNameError("way to break ties", ties, TIES)
    if not 1 <= k < len(values):
        raise ScoreError(f"knn: k={k} with {len(values)} samples; expected 1 <= k < number of samples.")
    near, distance = _neighbours(values - values.mean(axis=0), k)
    if told != "classification":
        predicted = targets[near].mean(axis=1)
        return float(np.mean([_pearson(targets[:, c], predicted[:, c]) for c in range(targets.shape[1])]))
    votes = targets[near].sum(axis=1)  # (n_samples, n_classes)
    if ties == "distance":
        reach = (targets[near] * distance[:, :, None]).sum(axis=1)
        votes = np.where(votes < votes.max(axis=1, keepdims=True), -np.inf, -reach)
    return float(np.mean(votes.argmax(axis=1) == targets.argmax(axis=1)))


def _neighbours(values: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows and distances of the k nearest others of every row, nearest first, lower row first among equals."""
    squares = np.square(values).sum(axis=1)
    near = np.empty((len(values), k), dtype=np.int64)
    distance = np.empty((len(values), k))
    for start in range(0, len(values), BLOCK):
        block = slice(start, min(start + BLOCK, len(values)))
        squared = squares[block, None] + squares - 2 * values[block] @ values.T
        np.maximum(squared, 0.0, out=squared)
        squared[np.arange(squared.shape[0]), np.arange(start, block.stop)] = np.inf
        reach = np.partition(squared, k - 1, axis=1)[:, k - 1]
        for i, row in enumerate(squared):
            closest = np.flatnonzero(row <= reach[i])  # all ties at the border, in the order of rows
            order = closest[np.argsort(row[closest], kind="stable")][:k]
            near[start + i], distance[start + i] = order, np.sqrt(row[order])
    return near, distance


def _pearson(a: np.ndarray, b: np.ndarray) -> float:
    a, b = a - a.mean(), b - b.mean()
    scale = np.sqrt((a @ a) * (b @ b))
    return float(a @ b / scale) if scale > 0 else 0.0
