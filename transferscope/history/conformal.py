"""Predicted accuracy on a new target, with an interval that holds on targets like those of the history."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from ..evaluate.table import Table
from .prior import static_prior

Array = NDArray[np.float64]
RIDGE = 1e-3  # of the mean square of a column: two sources of one target do not decide a slope


def predict_accuracy(
    table: Table, by: str, values: Mapping[str, float], *, level: float = 0.9
) -> dict[str, tuple[float, float, float]]:
    r"""Accuracy after training of each source on a target that was only scored.

    A linear fit of accuracy on the value of `by` and the source's prior, over earlier targets. The interval comes from
    its errors on targets that were left out whole: what is exchangeable is targets, not pairs. Each of T targets
    weighs :math:`1/(T+1)`, shared by its sources, and the rest is put at infinity, so that at level 0.9 no interval is
    given below nine targets.

    Parameters
    ----------
    table : Table
        Accuracies are shares.
    by : str
        A scorer of the table.
    values : mapping of source to float
        On the new target, higher is better.
    level : float, default=0.9

    Returns
    -------
    dict of source to (predicted, low, high)
        Between 0 and 1; empty where there are too few targets.

    References
    ----------
    Vovk, Gammerman and Shafer, "Algorithmic Learning in a Random World", 2005; Lei et al., "Distribution-Free
    Predictive Inference for Regression", JASA 2018; Dunn, Wasserman and Ramdas, "Distribution-Free Prediction Sets for
    Two-Layer Hierarchical Models", JASA 2023.
    """
    if by not in table.scores:
        return {}
    cases = [
        (row, np.isfinite(table.accuracy[row]) & np.isfinite(table.scores[by][row]))
        for row in range(len(table.targets))
    ]
    cases = [(row, known) for row, known in cases if known.any()]
    n_targets = len(cases)
    if n_targets / (n_targets + 1) < level:
        return {}
    errors, masses = [], []
    for place, (row, known) in enumerate(cases):
        rest = table.without(table.targets[row])  # its priors have not seen the target either
        others = [other for number, other in enumerate(cases) if number != place]
        fitted = _fit([_design(rest, at - (at > row), measured, by) for at, measured in others])
        inputs, measured = _design(table, row, known, by)
        errors.append(np.abs(measured - inputs @ fitted))
        masses.append(np.full(len(measured), 1 / ((n_targets + 1) * len(measured))))
    error, mass = np.concatenate(errors), np.concatenate(masses)
    order = np.argsort(error)
    reach = int(np.searchsorted(np.cumsum(mass[order]), level - 1e-12))
    half = float(error[order[min(reach, len(error) - 1)]])
    weights, priors = _fit([_design(table, row, known, by) for row, known in cases]), static_prior(table)
    found = {}
    for name, value in values.items():
        effect = priors[name].mean if name in priors else 0.0
        middle = float(np.array([1.0, value, effect]) @ weights)
        low, high = (float(np.clip(middle + side * half, 0.0, 1.0)) for side in (-1, 1))
        found[name] = float(np.clip(middle, 0.0, 1.0)), low, high
    return found


def _design(table: Table, row: int, known: NDArray[np.bool_], by: str) -> tuple[Array, Array]:
    """Intercept, score and prior (from the other targets) of one target's sources, and their accuracies."""
    priors = static_prior(table, table.targets[row])
    names = [name for name, is_known in zip(table.sources, known, strict=True) if is_known]
    effects = np.array([priors[name].mean if name in priors else 0.0 for name in names])
    return np.column_stack([np.ones(len(names)), table.scores[by][row, known], effects]), table.accuracy[row, known]


def _fit(designs: list[tuple[Array, Array]]) -> Array:
    """Least squares in which every target counts the same."""
    inputs = np.concatenate([design / np.sqrt(len(measured)) for design, measured in designs])
    goals = np.concatenate([measured / np.sqrt(len(measured)) for _, measured in designs])
    gram = inputs.T @ inputs
    return np.linalg.solve(gram + RIDGE * np.diag([0.0, *np.diag(gram)[1:]]) + 1e-12 * np.eye(3), inputs.T @ goals)
