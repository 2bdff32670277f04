"""Energy distance between two samples."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from ..errors import UnknownNameError
from ..features.arrays import Array
from .registry import register_measure
from .samples import check_samples, squared_distances

ESTIMATORS = ("biased", "unbiased")


@register_measure(
    "energy_distance",
    kind="discrepancy",
    higher_is_closer=False,
    range="0 and up (biased); can be a little below 0 (unbiased)",
    cost="(N + M)^2 D, in blocks",
    reference="Szekely and Rizzo, Journal of Statistical Planning and Inference 2013",
    misleads="In many dimensions it sees little but means and scales; the biased form is above 0 by chance alone.",
)
def energy_distance(source: Any, target: Any, *, estimator: Literal["biased", "unbiased"] = "biased") -> float:
    r"""Twice the mean distance across samples minus the mean distances within, :math:`2E|s-t| - E|s-s'| - E|t-t'|`.

    Parameters
    ----------
    source, target : arrays or tensors of shape (n_samples, n_features), (n_other_samples, n_features)
    estimator : {"biased", "unbiased"}
        Whether a row's distance to itself, 0, counts in the means within.

    Returns
    -------
    value : float
        In the unit of the features; lower is closer. Biased it is at least 0, and 0 for equal samples only. Invariant
        to rotation and shift of both; it grows in proportion to a common scale. There is no bandwidth to choose.
        Misleads in many dimensions, where distances are much alike and little but means and scales counts.

    Raises
    ------
    ScoreError
        If widths differ, values are not finite, or a side has fewer than 2 rows (unbiased).
    UnknownNameError
        If there is no such estimator.

    References
    ----------
    Szekely and Rizzo, "Energy Statistics: A Class of Statistics Based on Distances", Journal of Statistical Planning
    and Inference 2013.
    """
    if estimator not in ESTIMATORS:
        raise UnknownNameError("estimator of energy_distance", estimator, ESTIMATORS)
    left_out = int(estimator == "unbiased")
    s, t = check_samples(source, target, caller="energy_distance", fewest=1 + left_out)
    n, m = len(s), len(t)
    inner = _distance_sum(s, s) / (n * (n - left_out)) + _distance_sum(t, t) / (m * (m - left_out))
    return 2 * _distance_sum(s, t) / (n * m) - inner


def _distance_sum(a: Array, b: Array) -> float:
    return sum(float(np.sqrt(squared).sum()) for _, squared in squared_distances(a, b))
