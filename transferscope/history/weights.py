"""Weights of the consensus, learned from targets with both scores and measured accuracy."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

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
INNER_FOLDS = 5  # of those on which the pull's strength is chosen


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

    @cached_property
    def ranks(self) -> tuple[Mapping[str, Array], Array]:
        """Normal scores of the orders, 0 where they say nothing, and of the accuracies; the target counts as one."""
        size = np.sqrt(len(self.accuracy))
        scores = {name: np.nan_to_num(normal_scores(order)) / size for name, order in self.orders.items()}
        return scores, normal_scores(self.accuracy) / size


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
    found = _fit(cases, names, _choose(table, scorers))
    return Learned(found, len(cases), _validate(table, scorers))


def _cases(table: Table, scorers: Sequence[str], targets: Sequence[str] | None = None) -> list[_Case]:
    """Targets (default: all) with accuracies and at least one scorer of enough sources.

    The prior of each is from the other targets of the table.
    """
    cases = []
    for row, target in enumerate(table.targets):
        if targets is not None and target not in targets:
            continue
        measured, orders = np.isfinite(table.accuracy[row]), _orders(table, row, scorers)
        if not orders:
            continue
        priors = static_prior(table, target)
        known = [name for name, is_measured in zip(table.sources, measured, strict=True) if is_measured]
        orders[HISTORY] = np.array([priors[name].mean if name in priors else np.nan for name in known])
        cases.append(_Case(table.accuracy[row, measured], orders))
    return cases


def _orders(table: Table, row: int, scorers: Sequence[str]) -> dict[str, Array]:
    """Scores of a target's trained sources, by scorer; empty where they or the accuracies are too few or all equal."""
    measured = np.isfinite(table.accuracy[row])
    if measured.sum() < FEWEST or np.ptp(table.accuracy[row, measured]) == 0:
        return {}
    orders = {name: table.scores[name][row, measured] for name in scorers if name in table.scores}
    return {name: order for name, order in orders.items() if np.isfinite(order).sum() >= FEWEST}


def _fit(cases: Sequence[_Case], names: Sequence[str], strength: float) -> dict[str, float]:
    """Non-negative least squares with a ridge about the default weights."""
    from scipy.optimize import nnls

    start = default_weights([name for name in names if name != HISTORY], history=True)
    default = np.array([start[name] for name in names])
    if np.isinf(strength):
        return dict(zip(names, default.tolist(), strict=True))
    ranks = [case.ranks for case in cases]
    design = np.concatenate(
        [np.stack([scores.get(name, np.zeros(len(goal))) for name in names], axis=1) for scores, goal in ranks]
    )
    goal = np.concatenate([goal for _, goal in ranks])
    middle = design @ default
    slope = max(float(middle @ goal / max(middle @ middle, 1e-12)), 0.0)
    pull = np.sqrt(strength) * np.eye(len(names))
    weights, _ = nnls(np.concatenate([design, pull]), np.concatenate([goal, pull @ (slope * default)]))
    total = weights.sum()
    return dict(zip(names, (weights / total if total > 0 else default).tolist(), strict=True))


def _choose(table: Table, scorers: Sequence[str]) -> float:
    """The strength that does best on targets left out; the strongest among equals."""
    names = (*scorers, HISTORY)
    if len(_cases(table, scorers)) <= FEWEST:
        return STRENGTHS[0]
    taus = [
        [_tau(case, _fit(rest, names, strength)) for strength in STRENGTHS]
        for rest, held in _left_out(table, scorers, INNER_FOLDS)
        for case in held
    ]
    return STRENGTHS[int(np.argmax(np.mean(taus, axis=0)))]


def _validate(table: Table, scorers: Sequence[str]) -> dict[str, float]:
    """Mean weighted Kendall tau of every order on targets left out.

    Neither weights nor strength nor the priors they were learned from have seen the target.
    """
    names = (*scorers, HISTORY)
    found: dict[str, list[float]] = {}
    for fold in _folds(table, scorers, FOLDS):
        rest = table.without(*fold)
        cases = _cases(rest, scorers)
        learned = _fit(cases, names, _choose(rest, scorers) if len(cases) >= FEWEST else np.inf)
        for case in _held(table, fold, scorers):
            found.setdefault("learned", []).append(_tau(case, learned))
            found.setdefault("default", []).append(_tau(case, _fit([], names, np.inf)))
            for name in case.orders:
                found.setdefault(name, []).append(_tau(case, {name: 1.0}))
    return {name: float(np.mean(taus)) for name, taus in found.items()}


def _folds(table: Table, scorers: Sequence[str], most: int) -> Iterator[tuple[str, ...]]:
    """Targets that are left out together, each once."""
    usable = [target for row, target in enumerate(table.targets) if _orders(table, row, scorers)]
    folds = min(most, len(usable))
    for fold in range(folds):
        yield tuple(usable[fold::folds])


def _held(table: Table, fold: Sequence[str], scorers: Sequence[str]) -> list[_Case]:
    """Targets left out, each with the prior from those that were not."""
    found = []
    for target in fold:
        others = [name for name in fold if name != target]
        found += _cases(table.without(*others), scorers, [target])
    return found


def _left_out(table: Table, scorers: Sequence[str], most: int) -> Iterator[tuple[list[_Case], list[_Case]]]:
    """The cases of the targets that stay, and those of the targets left out."""
    for fold in _folds(table, scorers, most):
        yield _cases(table.without(*fold), scorers), _held(table, fold, scorers)


def _tau(case: _Case, weights: Mapping[str, float]) -> float:
    """Agreement of a consensus with the accuracies; 0 where it orders nothing."""
    values = {name: order for name, order in case.orders.items() if name != HISTORY}
    order = np.nan_to_num(fuse(values, weights, case.orders[HISTORY]))
    tau = weighted_kendall(order, case.accuracy)
    return tau if np.isfinite(tau) else 0.0
