"""Sliced Wasserstein distance: optimal transport along random lines."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..errors import ScoreError
from ..features.arrays import Array
from .registry import register_measure
from .samples import BLOCK, check_samples


@register_measure(
    "sliced_wasserstein",
    kind="discrepancy",
    higher_is_closer=False,
    range="0 and up",
    cost="L (N + M) (D + log(N + M)) for L directions",
    reference="Rabin, Peyre, Delon and Bernot, SSVM 2011; Bonneel et al., JMIV 2015",
    misleads="A difference in a few of many features is diluted over the directions; few rows make it too large.",
)
def sliced_wasserstein(source: Any, target: Any, *, n_projections: int = 500, seed: int = 0) -> float:
    r"""Root of the mean, over random unit directions u, of the squared 2-Wasserstein distance of :math:`u's, u't`.

    On a line the optimal transport pairs quantiles: sorted rows for equal numbers of them, and otherwise the pieces
    between all multiples of 1/N and 1/M, exactly.

    Parameters
    ----------
    source, target : arrays or tensors of shape (n_samples, n_features), (n_other_samples, n_features)
    n_projections : int, default=500
        Directions; the value's noise falls with the root of their number.
    seed : int, default=0
        Of the directions.

    Returns
    -------
    value : float
        In the unit of the features; at least 0, and 0 for equal samples; lower is closer. Invariant to shift of both
        and, within the noise of the directions, to rotation; it grows in proportion to a common scale. Misleads where
        few of many features differ, which most directions hardly see, and with few rows, which lie apart by chance.

    Raises
    ------
    ScoreError
        If widths differ, values are not finite, or `n_projections` is below 1.

    References
    ----------
    Rabin, Peyre, Delon and Bernot, "Wasserstein Barycenter and Its Application to Texture Mixing", SSVM 2011; Bonneel
    et al., "Sliced and Radon Wasserstein Barycenters of Measures", Journal of Mathematical Imaging and Vision 2015.
    """
    if n_projections < 1:
        raise ScoreError(f"sliced_wasserstein: n_projections={n_projections}; expected at least 1, better 500.")
    s, t = check_samples(source, target, caller="sliced_wasserstein", fewest=1)
    n, m = len(s), len(t)
    centre = t.mean(axis=0)
    x, z = s - centre, t - centre
    edges = np.union1d(np.arange(n + 1) * m, np.arange(m + 1) * n)  # where either quantile function steps, times nm
    shares = np.diff(edges) / (n * m)
    directions = _directions(s.shape[1], n_projections, seed)
    total, width = 0.0, max(1, BLOCK // (n + m))
    for start in range(0, n_projections, width):
        along = directions[:, start : start + width]
        first, second = np.sort(x @ along, axis=0), np.sort(z @ along, axis=0)
        total += float(shares @ np.square(first[edges[:-1] // m] - second[edges[:-1] // n]).sum(axis=1))
    return float(np.sqrt(total / n_projections))


def _directions(n_features: int, n_projections: int, seed: int) -> Array:
    """Unit vectors in columns, spread evenly over the sphere."""
    drawn = np.random.default_rng(seed).normal(size=(n_features, n_projections))
    return drawn / np.linalg.norm(drawn, axis=0)
