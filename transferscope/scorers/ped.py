"""PED: the score of features whose classes have been pushed apart, as the first steps of training would."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..errors import ScoreError
from ..features.arrays import Array, as_float64, check_inputs
from ..features.moments import EPS
from .lda import saturated
from .registry import register_scorer
from .sfda import sfda

STEPS = 6  # at most
EXIT = 0.5  # of the first step's length, from which on steps are no longer taken


@register_scorer(
    "ped",
    needs=("features", "labels", "reference_features"),
    range="0 to 1",
    cost="that of sfda, and N D + K^2 D for the steps",
    comparable_across_widths=False,
    meaning=(
        "How sure a simple classifier is of the right class once overlapping classes have pushed each other apart, "
        "a sketch of what fine-tuning does."
    ),
    misleads="As sfda, and more: classes are moved apart by their labels before these are predicted. Reach and steps "
    "were chosen per benchmark.",
    reference="Li, Hu, Ge, Shan and Duan, ICCV 2023",
    saturated=saturated,
)
def ped(
    features: Any,
    labels: Any,
    reference_features: Any,
    *,
    reach: float = 0.6,
    step: float = 0.1,
    floor: float = 1e-3,
) -> float:
    r"""SFDA's score after classes that overlap have pushed each other away.

    In units of each feature's standard deviation over the reference rows, a class has a centre :math:`c_k` and a
    radius :math:`R_k`, the root of its summed variances. The force between two is
    :math:`F_{ij} = \max(\rho(R_i + R_j) - \lVert c_i - c_j\rVert, 0)`; in a step, every class moves as a whole by
    :math:`\sum_j \min(\tfrac12 t^2, 1) F_{ij} (c_i - c_j) / \lVert c_i - c_j\rVert`. There are up to six steps, each
    taken if the lengths of its moves sum to more than half of those of the first.

    Parameters
    ----------
    features : array or tensor of shape (n_samples, n_features)
    labels : classes of shape (n_samples,)
        Any hashable values, at least two classes.
    reference_features : array or tensor of shape (n_other_samples, n_features)
        The same source's features of reference data, such as its own.
    reach : float, default=0.6
        The share rho of two radii within which classes push. The paper takes 0.3 or 0.6.
    step : float, default=0.1
        The time t of a step.
    floor : float, default=1e-3
        The least standard deviation that a feature is divided by.

    Returns
    -------
    score : float
        In (0, 1]; higher is better. Classes that do not overlap stay, and it is `sfda`'s value; so do two centres that
        coincide, of each other, since nothing says which way to go. Invariant to shift, not to scale or rotation.

    Raises
    ------
    ScoreError
        If `reach` is negative, `step` or `floor` not positive, there are fewer than 2 reference rows, shapes or widths
        disagree, values are not finite, or there is one class only.

    References
    ----------
    Li, Hu, Ge, Shan and Duan, "Exploring Model Transferability through the Lens of Potential Energy", ICCV 2023.
    """
    if reach < 0 or not step > 0 or not floor > 0:
        raise ScoreError(
            f"ped: reach={reach}, step={step}, floor={floor}; expected a reach from 0 on, the others above."
        )
    values, targets = check_inputs(features, labels, caller="ped", tasks=("classification",))
    reference = as_float64(reference_features, name="reference_features", caller="ped")
    if reference.shape[1] != values.shape[1] or len(reference) < 2:
        raise ScoreError(
            f"ped: reference_features are of shape {reference.shape} beside {values.shape[1]} features; expected at "
            "least 2 rows of the same source's features."
        )
    codes = targets.codes
    assert codes is not None
    centred = values - values.mean(axis=0)  # moves stay, and lose fewer digits
    scale = np.maximum((reference - reference.mean(axis=0)).std(axis=0), floor)
    members = [centred[codes == k] / scale for k in range(len(targets.classes))]
    centres = np.stack([rows.mean(axis=0) for rows in members])
    radii = np.sqrt([rows.var(axis=0).sum() for rows in members])
    noise = len(values) * EPS * float(np.linalg.norm(np.abs(values).max(axis=0) / scale))
    moved = _push_apart(centres, radii, reach, min(step**2 / 2, 1.0), noise)
    return sfda(centred + ((moved - centres) * scale)[codes], codes)


def _push_apart(centres: Array, radii: Array, reach: float, share: float, noise: float) -> Array:
    """Centres after the steps; the radii stay, since all rows of a class move alike."""
    from scipy.spatial.distance import cdist

    first = 0.0
    for number in range(STEPS):
        distance = cdist(centres, centres)
        force = np.maximum(reach * (radii[:, None] + radii) - distance, 0.0)
        pull = np.divide(share * force, distance, out=np.zeros_like(force), where=distance > noise)
        moves = pull.sum(axis=1, keepdims=True) * centres - pull @ centres
        length = float(np.linalg.norm(moves, axis=1).sum())
        first = length if number == 0 else first
        if not length > EXIT * first:
            break
        centres = centres + moves
    return centres
