"""Two samples in the same features: checked, and the squared distances between their rows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from ..errors import ScoreError
from ..features.arrays import Array, Targets, as_float64, check_inputs

BLOCK = 2**20  # pairs of rows in memory at a time
NEAR = 1e-4  # share of two rows' squared norms below which the expanded square has lost too many digits


def check_samples(source: Any, target: Any, *, caller: str, fewest: int = 2) -> tuple[Array, Array]:
    """Both as float64, once they are known to have the same features and at least `fewest` rows each.

    Raises
    ------
    ScoreError
        If widths differ, a side has too few rows, or values are not finite numbers.
    """
    s, t = (as_float64(x, name=n, caller=caller) for x, n in ((source, "source"), (target, "target")))
    _check_widths(s, t, caller)
    if min(len(s), len(t)) < fewest:
        raise ScoreError(f"{caller}: {len(s)} and {len(t)} rows; expected at least {fewest} on each side.")
    return s, t


def check_labelled(
    source: Any, source_labels: Any, target: Any, target_labels: Any, *, caller: str
) -> tuple[Array, Targets, Array, Targets]:
    """As `check_samples`, with a class for every row; the two sides' classes have nothing to do with each other."""
    s, ys = check_inputs(
        source, source_labels, caller=caller, tasks=("classification",), fewest_classes=1, name="source"
    )
    t, yt = check_inputs(
        target, target_labels, caller=caller, tasks=("classification",), fewest_classes=1, name="target"
    )
    _check_widths(s, t, caller)
    return s, ys, t, yt


def _check_widths(s: Array, t: Array, caller: str) -> None:
    if s.shape[1] != t.shape[1]:
        raise ScoreError(
            f"{caller}: source has {s.shape[1]} features and target {t.shape[1]}; use one source model for both."
        )


def about_own_means(s: Array, t: Array) -> tuple[Array, Array, Array]:
    """Rows of both less their mean, and the first mean less the second; a large common mean costs no digits."""
    centre = t.mean(axis=0)
    x, z = s - centre, t - centre
    first, second = x.mean(axis=0), z.mean(axis=0)
    return x - first, z - second, first - second


def squared_distances(a: Array, b: Array) -> Iterator[tuple[slice, Array]]:
    """Blocks of rows of `a` with their squared distances to every row of `b`, good to 10 digits for any pair.

    Expanding the square is fast, but leaves near pairs the rounding of their far norms; they are measured again.
    """
    centre = (a.mean(axis=0) + b.mean(axis=0)) / 2
    x, z = a - centre, b - centre
    x2, z2 = np.square(x).sum(axis=1), np.square(z).sum(axis=1)
    height = max(1, BLOCK // len(b))
    for start in range(0, len(a), height):
        block = slice(start, min(start + height, len(a)))
        norms = x2[block, None] + z2
        squared = norms - 2 * x[block] @ z.T
        near = squared <= NEAR * norms
        for row in np.flatnonzero(near.any(axis=1)):
            columns = np.flatnonzero(near[row])
            squared[row, columns] = np.square(a[start + row] - b[columns]).sum(axis=1)
        yield block, squared
