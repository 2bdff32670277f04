"""The target's features under the best and the worst source, in two dimensions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from ..targets import Target
from ..views import View
from .race import nested_order

MOST = 240  # rows, the classes in proportion


def measure_views(
    ranked: Sequence[str],
    matrices: Mapping[str, NDArray[np.float64]],
    labels: Mapping[str, NDArray[np.int64]],
    groups: tuple[str, ...] = (),
) -> tuple[View, ...]:
    """Principal components of standardised features, of the first and the last ranked source.

    Parameters
    ----------
    ranked : sequence of str
        Sources, best first; controls are not among them.
    matrices, labels : mappings of source to ndarray
        The best features of each source, and the classes of their rows.
    groups : tuple of str
        What the labels stand for, where they are no classes.
    """
    shown = [name for name in ranked if name in matrices and min(matrices[name].shape) >= 2]
    return tuple(
        _view(name, matrices[name], labels[name], groups) for name in dict.fromkeys([*shown[:1], *shown[-1:]])
    )


def groups_of(target: Target) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """What samples are coloured by, a code each, and names of the codes where they are not the classes.

    Of several labels the one nearest to half of the samples; of numbers the thirds of the first.
    """
    if target.task == "classification":
        return target.labels, ()
    if target.task == "multilabel":
        place = int(np.abs(target.labels.mean(axis=0) - 0.5).argmin())
        return target.labels[:, place], (f"not {target.classes[place]}", str(target.classes[place]))
    values = target.labels[:, 0]
    cuts = np.quantile(values, [1 / 3, 2 / 3])
    name = str(target.classes[0])
    return np.searchsorted(cuts, values, side="left"), (
        f"{name} up to {cuts[0]:.3g}", f"{name} up to {cuts[1]:.3g}", f"{name} above",
    )  # fmt: skip


def _view(name: str, matrix: NDArray[np.float64], labels: NDArray[np.int64], groups: tuple[str, ...]) -> View:
    rows = np.sort(nested_order(labels, np.random.default_rng(len(labels)))[:MOST])
    values = np.asarray(matrix[rows], dtype=np.float64)
    spread = values.std(axis=0)
    values = (values - values.mean(axis=0)) / np.where(spread > 0, spread, 1.0)
    left, sizes, _ = np.linalg.svd(values, full_matrices=False)
    points = left[:, :2] * sizes[:2]
    points *= np.sign(points[np.abs(points).argmax(axis=0), [0, 1]])  # the sign is anybody's choice: one that stays
    codes = labels[rows]
    middles = np.stack([points[codes == code].mean(axis=0) for code in np.unique(codes)])
    means = middles[np.searchsorted(np.unique(codes), codes)]
    total = float(np.square(points).sum())
    everything = float(np.square(sizes).sum())
    points = np.round(points / max(float(np.abs(points).max()), 1e-300), 3) + 0.0
    return View(
        name,
        tuple((float(x), float(y)) for x, y in points),
        tuple(int(code) for code in codes),
        float(np.square(sizes[:2]).sum()) / everything if everything > 0 else 0.0,
        float(np.square(means).sum()) / total if total > 0 else 0.0,
        groups,
    )
