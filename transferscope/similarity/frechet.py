"""Frechet distance between the Gaussians of two samples."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..features.arrays import Array
from .registry import register_measure
from .samples import check_samples


@dataclass(frozen=True, eq=False)
class Gaussian:
    """A sample's mean and covariance.

    Attributes
    ----------
    mean : ndarray of shape (n_features,)
    root : ndarray of shape (k, n_features)
        ``root.T @ root`` is the covariance: k is the number of rows, or of features where there are fewer of those.
    """

    mean: Array
    root: Array

    @classmethod
    def of(cls, rows: Array) -> Gaussian:
        """The Gaussian of some rows, divisor N - 1; of a single row, that point."""
        mean = rows.mean(axis=0)
        centred = rows - mean
        if len(rows) > rows.shape[1]:  # the triangle keeps the digits that forming X'X would lose
            centred = np.asarray(np.linalg.qr(centred, mode="r"))
        return cls(mean, centred / np.sqrt(max(len(rows) - 1, 1)))

    def squared_distance(self, other: Gaussian) -> float:
        """Squared 2-Wasserstein distance; of C = A'A and C' = B'B, the root's trace is the nuclear norm of AB'."""
        together = float(np.linalg.svd(self.root @ other.root.T, compute_uv=False).sum())
        spread = float(np.square(self.root).sum() + np.square(other.root).sum())
        return float(np.square(self.mean - other.mean).sum()) + max(spread - 2 * together, 0.0)


@register_measure(
    "frechet",
    kind="discrepancy",
    higher_is_closer=False,
    range="0 and up",
    cost="(N + M) D^2 + D^3, or N M D + N^3 where there are fewer rows than features",
    reference="Dowson and Landau, Journal of Multivariate Analysis 1982; Heusel et al., NeurIPS 2017",
    misleads="Few rows make it too large: without several rows per feature compare only equal numbers of rows.",
)
def frechet(source: Any, target: Any) -> float:
    r"""Squared 2-Wasserstein distance between Gaussians with the samples' means and covariances.

    .. math:: \lVert m - m'\rVert^2 + \mathrm{tr}\big(C + C' - 2 (C^{1/2} C' C^{1/2})^{1/2}\big)

    with divisor N - 1. The FID of generated images is this, on the features of one particular network.

    Parameters
    ----------
    source, target : arrays or tensors of shape (n_samples, n_features), (n_other_samples, n_features)

    Returns
    -------
    value : float
        At least 0, and 0 for equal samples up to rounding; lower is closer. Invariant to rotation and shift of both;
        it grows with the square of a common scale. Biased upward with few rows, much so where they are fewer than the
        features: two samples of one distribution then lie far apart. Differences beyond covariance are not seen.

    Raises
    ------
    ScoreError
        If widths differ, values are not finite, or a side has fewer than 2 rows.

    References
    ----------
    Dowson and Landau, "The Frechet Distance between Multivariate Normal Distributions", Journal of Multivariate
    Analysis 1982; Heusel et al., "GANs Trained by a Two Time-Scale Update Rule Converge to a Local Nash Equilibrium",
    NeurIPS 2017.
    """
    s, t = check_samples(source, target, caller="frechet")
    centre = t.mean(axis=0)
    return Gaussian.of(s - centre).squared_distance(Gaussian.of(t - centre))
