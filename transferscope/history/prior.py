"""A static prior: how good each source was on other targets."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..evaluate.table import Table

Array = NDArray[np.float64]
ROUNDS = 200  # at most
SETTLED = 1e-6  # change of an effect, in standard deviations


@dataclass(frozen=True)
class Prior:
    """What the history says of one source.

    Attributes
    ----------
    mean : float
        Its effect, in standard deviations of the sources on a target: 0 is the average source, higher is better.
    standard_error : float
    n_targets : int
        On which it was trained.
    """

    mean: float
    standard_error: float
    n_targets: int


def static_prior(table: Table, exclude: str | None = None) -> dict[str, Prior]:
    r"""Each source's effect over targets, shrunk towards 0 where few targets tell it.

    Accuracies of a target become normal scores of their ranks (targets differ in level, spread and ceiling), and these
    follow :math:`z_{ts} = b_t + u_s + e_{ts}` with random :math:`u_s \sim N(0, \sigma_u^2)`: a target on which only
    good sources were trained has a low :math:`b_t`. Effects and variances are iterated to a fixed point.

    Parameters
    ----------
    table : Table
        Unknown accuracies are NaN.
    exclude : str, optional
        A target that must not be read, as the one that is predicted.

    Returns
    -------
    dict of source to Prior
        Sources that were trained on no other target are missing.

    References
    ----------
    Henderson, "Best Linear Unbiased Estimation and Prediction under a Selection Model", Biometrics 1975; Efron and
    Morris, "Stein's Estimation Rule and Its Competitors", JASA 1973.
    """
    from .fuse import normal_scores

    seen = table if exclude is None else table.without(exclude)
    scores = normal_scores(seen.accuracy) if len(seen.targets) else np.full(seen.accuracy.shape, np.nan)
    scores[np.isfinite(scores).sum(axis=1) < 2] = np.nan  # a source alone on a target is no better than others there
    known = np.isfinite(scores)
    counts = known.sum(axis=0)
    if not counts.any():
        return {}
    effects, between, within = source_effects(np.where(known, scores, 0.0), known)
    errors = np.sqrt(within * between / np.maximum(within + counts * between, 1e-12))
    return {
        name: Prior(float(effects[place]), float(errors[place]), int(counts[place]))
        for place, name in enumerate(seen.sources)
        if counts[place]
    }


def source_effects(scores: Array, known: NDArray[np.bool_]) -> tuple[Array, float, float]:
    """Effects of sources beside levels of targets, and the variances between sources and within: `static_prior`'s."""
    counts, per_target = known.sum(axis=0), np.maximum(known.sum(axis=1), 1)
    effects, between, within = np.zeros(scores.shape[1]), 0.5, 0.5
    for _ in range(ROUNDS):
        levels = np.where(known, scores - effects, 0.0).sum(axis=1) / per_target
        sums = np.where(known, scores - levels[:, None], 0.0).sum(axis=0)
        before, effects = effects, sums * between / (within + counts * between)
        seen = counts > 0
        posterior = within * between / (within + counts * between)
        residual = np.where(known, scores - levels[:, None] - effects, 0.0)
        between = max(float((effects**2 + posterior)[seen].mean()), 1e-6)
        within = max(float((np.square(residual).sum() + (counts * posterior)[seen].sum()) / known.sum()), 1e-6)
        if np.abs(effects - before).max() < SETTLED:
            break
    return effects, between, within
