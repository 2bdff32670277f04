"""Optimal transport between two samples of equally heavy rows: exactly, and with entropy where that is too large."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from math import gcd

import numpy as np

from ..errors import ScoreError
from ..features.arrays import Array

Costs = Callable[[], Iterable[tuple[slice, Array]]]  # blocks of rows of the cost matrix, made anew at every call
Shape = tuple[int, int]
MOST_EXACT = 5000 * 5000  # pairs of rows up to which the transport is exact
REGULARISATION = 0.02  # weight of the entropy beyond that, in median costs
PIVOTS = 10**9  # of the exact solver, at most: far more than it takes
EVEN = 20  # passes that treat both sides alike, before they take turns
TOLERANCE = 1e-3  # share of the mass that may be out of place
ITERATIONS = 2000
SAMPLE = 2**20  # costs whose median is taken


@dataclass(frozen=True, eq=False)
class Potentials:
    """Dual solution of an entropic transport: pair (i, j) carries exp((f_i + g_j - C_ij) / epsilon) / (N M).

    Attributes
    ----------
    rows, columns : ndarrays of shape (n_samples,), (n_other_samples,)
    epsilon : float
    value : float
        Cost plus epsilon times the plan's relative entropy to the independent one.
    """

    rows: Array
    columns: Array
    epsilon: float
    value: float

    def plan(self, block: slice, cost: Array) -> Array:
        """Masses of a block of rows."""
        shares = np.exp((self.rows[block, None] + self.columns - cost) / self.epsilon)
        return shares / (len(self.rows) * len(self.columns))


def is_exact(shape: Shape, regularisation: float | None, caller: str) -> bool:
    """Whether this transport is to be solved exactly: by default if it is small enough.

    Raises
    ------
    ScoreError
        If `regularisation` is not positive.
    """
    if regularisation is not None and not regularisation > 0:
        raise ScoreError(
            f"{caller}: regularisation={regularisation}; expected a positive share of the median cost, or None."
        )
    return regularisation is None and shape[0] * shape[1] <= MOST_EXACT


def coupling(
    costs: Costs, shape: Shape, regularisation: float | None, caller: str
) -> Iterator[tuple[slice, Array, Array]]:
    """Blocks of rows of the optimal plan, as (rows, costs, masses); the masses of all blocks sum to 1."""
    if is_exact(shape, regularisation, caller):
        yield exact(costs, shape, caller)
        return
    solved = sinkhorn(costs, shape, entropy_weight(costs, shape, regularisation), caller)
    for block, cost in costs():
        yield block, cost, solved.plan(block, cost)


def exact(costs: Costs, shape: Shape, caller: str) -> tuple[slice, Array, Array]:
    """All rows, their costs, and the masses of one optimal plan, by the network simplex method."""
    import ot

    cost = np.concatenate([block for _, block in costs()])
    # the solver takes small gaps for none: of tiny costs, or between costs of a row that is far from all
    gaps = cost - cost.min(axis=1, keepdims=True)
    gaps /= _typical([(slice(0, len(gaps)), gaps)], shape)
    masses, log = ot.emd([], [], gaps, numItermax=PIVOTS, log=True)
    if log["warning"] is not None:
        raise ScoreError(f"{caller}: the exact transport was not found ({log['warning']}); give regularisation=0.02.")
    return slice(0, len(cost)), cost, masses


def entropy_weight(costs: Costs, shape: Shape, regularisation: float | None) -> float:
    """The entropy's weight in units of cost."""
    return (REGULARISATION if regularisation is None else regularisation) * _typical(costs(), shape)


def sinkhorn(costs: Costs, shape: Shape, epsilon: float, caller: str) -> Potentials:
    """Entropic transport by Sinkhorn's iteration on logarithms, epsilon halved step by step down to its value.

    The passes at the final epsilon first move both potentials half-way at once, which settles a sample's transport to
    itself quickly, and gives two equal samples exactly what each has to itself. Then the two take turns, which is
    faster for all others.

    Raises
    ------
    ScoreError
        If the masses are not in place after 2000 passes.
    """
    f, g = np.zeros(shape[0]), np.zeros(shape[1])
    for halvings in range(max(0, int(np.ceil(np.log2(_typical(costs(), shape) / epsilon)))), 0, -1):
        moved_f, moved_g, _ = _improve(costs, f, g, epsilon * 2.0**halvings, take_turns=False)
        f, g = (f + moved_f) / 2, (g + moved_g) / 2
    for done in range(ITERATIONS):
        take_turns = done >= EVEN
        moved_f, moved_g, displaced = _improve(costs, f, g, epsilon, take_turns=take_turns)
        if displaced < TOLERANCE:
            mass = float(np.exp((f - moved_f) / epsilon).mean())
            return Potentials(f, g, epsilon, float(f.mean() + g.mean() - epsilon * (mass - 1)))
        f, g = (moved_f, moved_g) if take_turns else ((f + moved_f) / 2, (g + moved_g) / 2)
    raise ScoreError(
        f"{caller}: the transport did not settle in {ITERATIONS} passes; give a larger regularisation than "
        f"{epsilon / _typical(costs(), shape):.3g}, or fewer rows."
    )


def _improve(costs: Costs, f: Array, g: Array, epsilon: float, *, take_turns: bool) -> tuple[Array, Array, float]:
    """Potentials that put every row's mass in place given `g`, and every column's given `f` or the new one.

    And the share of mass that `f` and `g` had out of place, to first order.
    """
    new_f, columns = np.empty_like(f), np.full(len(g), -np.inf)
    for block, cost in costs():
        new_f[block] = -epsilon * (_log_sum((g - cost) / epsilon, axis=1) - np.log(len(g)))
        known = (new_f if take_turns else f)[block, None]
        columns = np.logaddexp(columns, _log_sum((known - cost) / epsilon, axis=0))
    new_g = -epsilon * (columns - np.log(len(f)))
    displaced = [np.abs(f - new_f).mean()] + ([] if take_turns else [np.abs(g - new_g).mean()])
    return new_f, new_g, float(max(displaced)) / epsilon


def _log_sum(values: Array, *, axis: int) -> Array:
    """Logarithm of the sum of exponentials."""
    top = values.max(axis=axis, keepdims=True)
    return np.asarray(np.log(np.exp(values - top).sum(axis=axis)) + top.squeeze(axis))


def _typical(blocks: Iterable[tuple[slice, Array]], shape: Shape) -> float:
    """Median of evenly spread costs; their mean if that is 0, and 1 if nothing costs anything."""
    step = 1 + shape[0] * shape[1] // SAMPLE
    while gcd(step, shape[1]) > 1:  # or only some columns would be met
        step += 1
    parts = [cost.ravel()[-rows.start * shape[1] % step :: step] for rows, cost in blocks]
    spread = np.concatenate(parts)
    return float(np.median(spread)) or float(spread.mean()) or 1.0
