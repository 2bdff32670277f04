"""Two representations of the same rows: checked, centred, and the directions in which they vary."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..errors import ScoreError
from ..features.arrays import Array, as_float64
from ..features.moments import EPS

FEWEST = 4  # rows that the unbiased estimate of HSIC is defined from


def check_paired(a: Any, b: Any, *, caller: str, debiased: bool = False) -> tuple[Array, Array]:
    """Both as float64, once it is known that they are of the same rows, and of enough of them.

    Raises
    ------
    ScoreError
        If row counts differ, values are not finite, or there are fewer than 4 rows (debiased).
    """
    first, second = (as_float64(x, name=n, caller=caller) for x, n in ((a, "a"), (b, "b")))
    if len(first) != len(second):
        raise ScoreError(f"{caller}: a has {len(first)} rows and b {len(second)}; give the same samples to both.")
    if debiased and len(first) < FEWEST:
        raise ScoreError(f"{caller}: {len(first)} rows; the debiased form is defined from {FEWEST} on.")
    return first, second


def centred(values: Array) -> Array:
    """Rows about their mean; zero where only rounding noise is left."""
    rows = values - values.mean(axis=0)
    noise = len(values) * EPS * float(np.abs(values).max())
    return rows if float(np.linalg.norm(rows)) > noise else np.zeros_like(rows)


def unit(values: Array) -> Array:
    """Rows about their mean, of norm 1 together; zero where only rounding noise is left."""
    rows = centred(values)
    size = float(np.linalg.norm(rows))
    return rows / size if size > 0 else rows


def directions(values: Array, eps: float) -> tuple[Array, Array, Array]:
    """Singular value decomposition U, s, V' of the centred rows, cut at their numerical rank.

    `eps` is `storage_eps` of the values as they came: their rounding is a direction of its own, which a correlation
    would take for a true one.
    """
    u, s, vt = np.linalg.svd(centred(values), full_matrices=False)
    n, d = values.shape
    size = max(float(s[0]), float(np.abs(values.mean(axis=0)).max()))
    keep = s > max((np.sqrt(n) + np.sqrt(d)) * eps, max(n, d) * EPS) * size
    return u[:, keep], s[keep], vt[keep]
