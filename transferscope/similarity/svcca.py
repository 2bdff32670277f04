"""Singular vector canonical correlation analysis of two representations of the same rows."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..errors import ScoreError
from ..features.arrays import Array, storage_eps
from ..features.moments import EPS
from .paired import check_paired, directions
from .registry import register_measure


@register_measure(
    "svcca",
    kind="similarity",
    higher_is_closer=True,
    range="0 to 1; always 1 where either keeps N - 1 components, as it may with N <= D",
    cost="N D min(N, D) of each",
    reference="Raghu, Gilmer, Yosinski and Sohl-Dickstein, NeurIPS 2017",
    misleads="Without far more samples than components kept it is high for any two, and 1 where either has all of "
    "N - 1. Every component kept weighs the same, however little varies along it.",
)
def svcca(a: Any, b: Any, *, variance: float = 0.99) -> float:
    r"""Mean canonical correlation of the leading principal components of two representations.

    Each is centred and cut to the fewest components that hold a share `variance` of its total variance. With their
    left singular vectors :math:`U_1, U_2`, the canonical correlations are the singular values of :math:`U_1'U_2`, as
    many as the fewer components.

    Parameters
    ----------
    a, b : arrays or tensors of shape (n_samples, n_features), (n_samples, n_other_features)
        Row i of both is the same sample.
    variance : float, default=0.99
        In (0, 1]; 1 keeps all components that are more than rounding noise of the type the features were stored in.

    Returns
    -------
    value : float
        In [0, 1]; higher is more alike; NaN where a representation is constant. Invariant to rotation, shift and scale
        of either. Misleads without far more samples than components: it is 1, whatever the features, where those kept
        of either are n_samples - 1.

    Raises
    ------
    ScoreError
        If row counts differ, values are not finite, or `variance` is not in (0, 1].

    References
    ----------
    Raghu et al., "SVCCA: Singular Vector Canonical Correlation Analysis for Deep Learning Dynamics and
    Interpretability", NeurIPS 2017.
    """
    if not 0 < variance <= 1:
        raise ScoreError(f"svcca: variance={variance}; expected a share in (0, 1], such as 0.99.")
    first, second = check_paired(a, b, caller="svcca")
    left, right = _leading(first, storage_eps(a), variance), _leading(second, storage_eps(b), variance)
    if 0 in (left.shape[1], right.shape[1]):
        return float("nan")
    return float(np.linalg.svd(left.T @ right, compute_uv=False).clip(max=1.0).mean())


def _leading(values: Array, eps: float, variance: float) -> Array:
    """Left singular vectors of the fewest leading components that hold this share of the variance."""
    u, s, _ = directions(values, eps)
    held = np.cumsum(s**2) / (s**2).sum()
    kept = 1 + int((held < variance - len(s) * EPS).sum())  # a share reached but for rounding is reached
    return u[:, :kept]
