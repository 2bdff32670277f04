"""Weights of the consensus, learned from targets with both scores and measured accuracy."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..evaluate.measures import weighted_kendall
from ..evaluate.table import Table
from .fuse import HISTORY, default_weights, fuse, normal_scores
from .prior import static_prior

Array = NDArray[np.float64]
STRENGTHS = (np.inf, 30.0, 10.0, 3.0, 1.0, 0.3)  # of the pull towards the default weights, strongest first
FEWEST = 3  # sources of a target, and targets, from which anything is learned
FOLDS = 10  # of targets left out together, where there are more


@dataclass(frozen=True)
class Learned:
    """Weights and what they are worth.

    Attributes
    ----------
    weights : mapping of scorer to float
        At least 0, with "history" for the prior; they sum to 1.
    n_targets : int
        That they were learned from; 0 where these are the default ones.
    validation : mapping of order to float
        Mean weighted Kendall tau on targets left out, of "learned", "default", "history" and every scorer; empty for
        fewer than `FEWEST` targets.
    """

    weights: Mapping[str, float]
    n_targets: int
    validation: Mapping[str, float]


@dataclass(frozen=True)
class _Case:
    """One target: its orders and its accuracies."""

    accuracy: Array  # (n_sources,)
    orders: Mapping[str, Array]  # by scorer, and the prior from the other targets


def learn_weights(table: Table, scorers: Sequence[str]) -> Learned:
    """Ridge regression of accuracies on scorers' ranks within targets, pulled towards the default weights.

    Every target counts the same, weights are at least 0, and the strength of the pull is the strongest of those that
    are best, by weighted Kendall tau, on targets left out. The history's part of a target is learned without it.

    Parameters
    ----------
    table : Table
    scorers : sequence of str
        That will be fused.

    Returns
    -------
    Learned
        With fewer than three targets of at least three sources, the default weights.
    """
    cases = _cases(table, scorers)
    with_history = bool(static_prior(table))
    if len(cases) < FEWEST:
        return Learned(default_weights(scorers, history=with_history), 0, {})
    names = (*scorers, HISTORY)
    strength = _choose(cases, names)
    found = _fit(cases, names, strength)
    return Learned(found, len(cases), _validate(cases, names))


def _cases(table: Table, scorers: Sequence[str]) -> list[_Case]:
    """Targets with accuracies and at least one scorer of enough sources."""
    cases = []
    for row, target in enumerate(table.targets):
        measured = np.isfinite(table.accuracy[row])
        orders = {name: table.scores[name][row, measured] for name in scorers if name in table.scores}
        orders = {name: order for name, order in orders.items() if np.isfinite(order).sum() >= FEWEST}
        if measured.sum() < FEWEST or not orders or np.ptp(table.accuracy[row, measured]) == 0:
            continue
        priors = static_prior(table, target)
        known = [name for name, is_measured in zip(table.sources, measured, strict=True) if is_measured]
        orders[HISTORY] = np.array([priors[name].mean if name in priors else np.nan for name in known])
        cases.append(_Case(table.accuracy[row, measured], orders))
    return cases


def _fit(cases: Sequence[_Case], names: Sequence[str], strength: float) -> dict[str, float]:
    """Non-negative least squares with a ridge about the default weights."""
    from scipy.optimize import nnls

    start = default_weights([name for name in names if name != HISTORY], history=True)
    default = np.array([start[name] for name in names])
    if np.isinf(strength):
        return dict(zip(names, default.tolist(), strict=True))
    rows, goals = [], []
    for case in cases:
        columns = [normal_scores(case.orders.get(name, np.full(len(case.accuracy), np.nan))) for name in names]
        size = np.sqrt(len(case.accuracy))
        rows.append(np.nan_to_num(np.stack(columns, axis=1)) / size)
        goals.append(normal_scores(case.accuracy) / size)
    design, goal = np.concatenate(rows), np.concatenate(goals)
    middle = design @ default
    slope = max(float(middle @ goal / max(middle @ middle, 1e-12)), 0.0)
    pull = np.sqrt(strength) * np.eye(len(names))
    weights, _ = nnls(np.concatenate([design, pull]), np.concatenate([goal, pull @ (slope * default)]))
    total = weights.sum()
    return dict(zip(names, (weights / total if total > 0 else default).tolist(), strict=True))


def _choose(cases: Sequence[_Case], names: Sequence[str]) -> float:
    """The strength that does best on targets left out; the strongest among equals."""
    if len(cases) <= FEWEST:
        return STRENGTHS[0]
    taus = [
        np.mean([_tau(case, _fit(rest, names, strength)) for rest, held in _left_out(cases) for case in held])
        for strength in STRENGTHS
    ]
    return STRENGTHS[int(np.argmax(taus))]


def _validate(cases: Sequence[_Case], names: Sequence[str]) -> dict[str, float]:
    """Mean weighted Kendall tau of every order on targets left out: strength and weights never saw them."""
    found: dict[str, list[float]] = {}
    default = _fit(cases, names, np.inf)
    for rest, held in _left_out(cases):
        learned = _fit(rest, names, _choose(rest, names)) if len(rest) >= FEWEST else default
        for case in held:
            found.setdefault("learned", []).append(_tau(case, learned))
            found.setdefault("default", []).append(_tau(case, default))
            for name in case.orders:
                found.setdefault(name, []).append(_tau(case, {name: 1.0}))
    return {name: float(np.mean(taus)) for name, taus in found.items()}


def _left_out(cases: Sequence[_Case]) -> Iterator[tuple[list[_Case], list[_Case]]]:
    """Some targets held out and the rest, each once."""
    folds = min(FOLDS, len(cases))
    for fold in range(folds):
        held = list(cases[fold::folds])
        yield [case for place, case in enumerate(cases) if place % folds != fold], held


def _tau(case: _Case, weights: Mapping[str, float]) -> float:
    """Agreement of a consensus with the accuracies; 0 where it orders nothing."""
    values = {name: order for name, order in case.orders.items() if name != HISTORY}
    order = np.nan_to_num(fuse(values, weights, case.orders[HISTORY]))
    tau = weighted_kendall(order, case.accuracy)
    return tau if np.isfinite(tau) else 0.0
