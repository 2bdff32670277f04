"""OTDD: optimal transport between two labelled samples, classes compared by the Gaussians of their rows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..features.arrays import Array, Targets
from .frechet import Gaussian
from .registry import register_measure
from .samples import about_own_means, check_labelled, squared_distances
from .transport import Costs, entropy_weight, exact, is_exact, sinkhorn


@register_measure(
    "otdd",
    kind="discrepancy",
    higher_is_closer=False,
    range="0 and up",
    cost="(N + M)^3 at worst, exact; N M D per pass (some hundreds) beyond 5000 x 5000; D^3 per pair of classes",
    reference="Alvarez-Melis and Fusi, NeurIPS 2020",
    misleads="Covariances of small classes are mostly chance, which moves all classes apart; it grows with the square "
    "of the features' scale.",
    needs_labels=True,
)
def otdd(
    source: Any, source_labels: Any, target: Any, target_labels: Any, *, regularisation: float | None = None
) -> float:
    r"""Least mean cost of moving source rows onto target rows, features and classes together.

    A pair costs :math:`\lVert x - x'\rVert^2 + W_2^2\big(N(m_y, C_y), N(m_{y'}, C_{y'})\big)`, with the mean and the
    covariance (divisor N - 1; 0 for a class of one row) of the classes' own rows. All rows weigh the same. This is
    the squared distance.

    Parameters
    ----------
    source : array or tensor of shape (n_samples, n_features)
    source_labels : classes of shape (n_samples,)
    target : array or tensor of shape (n_other_samples, n_features)
        Features from the same source model.
    target_labels : classes of shape (n_other_samples,)
        They need have nothing in common with the source's.
    regularisation : float, optional
        Weight of an entropy of the coupling, in median costs between the samples about their own means. By default
        none up to 5000 x 5000 rows (or as many pairs), and 0.02 beyond. Then half of each sample's regularised
        distance to itself is subtracted: what is left is 0 for equal samples, and near the exact value, mostly below.

    Returns
    -------
    value : float
        At least 0, and 0 up to rounding for equal samples; lower is closer. Symmetric. Invariant to rotation and shift
        of both, and to the classes' names; it grows with the square of a common scale. Misleads with classes of fewer
        rows than features: their covariances are mostly chance, and even the same class is far from itself.

    Raises
    ------
    ScoreError
        If widths or lengths differ, values are not finite, labels are missing, or `regularisation` is not positive or
        too small to settle.

    References
    ----------
    Alvarez-Melis and Fusi, "Geometric Dataset Distances via Optimal Transport", NeurIPS 2020; Feydy et al.,
    "Interpolating between Optimal Transport and MMD using Sinkhorn Divergences", AISTATS 2019.
    """
    s, ys, t, yt = check_labelled(source, source_labels, target, target_labels, caller="otdd")
    x, z, gap = about_own_means(s, t)
    shift = float(2 * gap @ gap)  # what it adds, by rows and by class means, to the cost of every coupling alike
    first, second = Labelled.of(x, ys), Labelled.of(z, yt)
    across, shape = first.costs_to(second), (len(s), len(t))
    if is_exact(shape, regularisation, "otdd"):
        _, cost, masses = exact(across, shape, "otdd")
        return float(np.vdot(cost, masses)) + shift
    epsilon = entropy_weight(across, shape, regularisation)
    value = sinkhorn(across, shape, epsilon, "otdd").value
    for side in (first, second):
        value -= sinkhorn(side.costs_to(side), (len(side.rows),) * 2, epsilon, "otdd").value / 2
    return max(value, 0.0) + shift


@dataclass(frozen=True, eq=False)
class Labelled:
    """Rows, the numbers of their classes, and the Gaussian of each class."""

    rows: Array
    codes: NDArray[np.int64]
    laws: list[Gaussian]

    @classmethod
    def of(cls, rows: Array, targets: Targets) -> Labelled:
        """Rows about their mean, so that class laws lose no digits to it."""
        assert targets.codes is not None
        laws = [Gaussian.of(rows[targets.codes == k]) for k in range(len(targets.classes))]
        return cls(rows, targets.codes, laws)

    def costs_to(self, other: Labelled) -> Costs:
        """What moving a row onto each of the other's costs, in blocks of rows."""
        between = np.array([[p.squared_distance(q) for q in other.laws] for p in self.laws])

        def blocks() -> Iterator[tuple[slice, Array]]:
            for block, squared in squared_distances(self.rows, other.rows):
                yield block, squared + between[self.codes[block, None], other.codes]

        return blocks
