"""`evaluate_table`: every order of a table's sources beside measured accuracies, on each target and on average."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from ..agreements import Comparison, Estimate, OrderScore
from ..errors import ResultError
from ..results import Evaluation
from ..stamp import make_stamp
from .resampled import resample
from .table import Table

Array = NDArray[np.float64]
STATIC = "static order"  # the mean rank on the other targets
SIZES = ("n_parameters", "params", "parameters")  # columns that are a source's size
FEWEST = 4  # sources of a target, or targets, from which an interval says anything
COMPARED = ("weighted_kendall", "regret_at_1")
MOST_COMPARED = 12  # orders, best first, and the controls


def evaluate_table(
    table: Table,
    *,
    k: Sequence[int] = (1, 3, 5),
    level: float = 0.9,
    n_bootstrap: int = 1000,
    seed: int = 0,
    command: str = "transferscope.evaluate",
) -> Evaluation:
    """Measure how well scores order sources, and whether they do better than controls that need no features.

    Controls are the mean rank on the other targets ("static order"), and model size where the table has it.
    Weighted Kendall tau is scipy's by default: additive hyperbolic weights, both orders averaged.

    Parameters
    ----------
    table : Table
        Scores are oriented: higher is better.
    k : sequence of int
        Of regret, relative accuracy and recall at k. "best_in_top_k" is whether a best source is among the k first of
        the order; "top_1_among_k_best" whether the first of the order is among the k best sources.
    level : float, default=0.9
        Of the percentile bootstrap intervals: over the sources of a target, and for means over targets and sources. A
        draw has the same sources on every target, since a score that misjudges one does so everywhere (Owen, "The
        pigeonhole bootstrap", Annals of Applied Statistics 2007).
    n_bootstrap, seed : int
        Orders share their draws, so that their differences are paired.
    command : str

    Returns
    -------
    Evaluation
        With `orders` and `comparisons`.

    Raises
    ------
    ResultError
        If no target has two sources with an accuracy and a score.
    """
    started = time.perf_counter()
    if not 0 < level < 1 or n_bootstrap < 1 or not k or min(k) < 1:
        asked = f"level={level}, n_bootstrap={n_bootstrap}, k={tuple(k)}"
        raise ResultError(f"{asked}; expected a level between 0 and 1, and draws and k of at least 1.")
    rng = np.random.default_rng(seed)
    orders = {**table.scores, STATIC: static_order(table)}
    draws: dict[str, dict[str, dict[str, Array]]] = {}  # order, target, measure
    found: list[OrderScore] = []
    notes: list[str] = []
    counts = draw_counts(rng, len(table.sources), n_bootstrap)
    for row, target in enumerate(table.targets):
        known = np.isfinite(table.accuracy[row])
        for name, values in orders.items():
            both = known & np.isfinite(values[row])
            if both.sum() < 2:
                continue
            if both.sum() < known.sum() and name != STATIC:
                notes.append(
                    f"{name} on {target}: {int(known.sum() - both.sum())} source(s) have an accuracy and no score."
                )
            pair = values[row, both], table.accuracy[row, both]
            measured = resample(*pair, counts[:, both], k)
            draws.setdefault(name, {})[target] = measured
            estimates = {what: estimate(drawn, int(both.sum()), level) for what, drawn in measured.items()}
            found.append(OrderScore(name, _is_control(name), target, int(both.sum()), estimates))
    if not found:
        raise ResultError("no target has two sources with both a score and an accuracy; an order needs two.")
    means = {name: _means(by_target, rng_seed=seed) for name, by_target in draws.items()}
    found += [
        OrderScore(name, _is_control(name), None, len(draws[name]),
                   {what: estimate(drawn, len(draws[name]), level, "targets") for what, drawn in mean.items()})
        for name, mean in means.items()
    ]  # fmt: skip
    seconds = {"evaluate": time.perf_counter() - started}
    stamp = make_stamp(command, seed=seed, device="cpu", seconds=seconds)
    return Evaluation((), stamp, level, tuple(found), tuple(_compare(draws, means, level, seed)), tuple(notes))


def _is_control(order: str) -> bool:
    return order == STATIC or order in SIZES


def static_order(table: Table) -> Array:
    """Each source's mean relative rank on the other targets, higher is better; NaN where there are none."""
    from scipy.stats import rankdata

    accuracy = table.accuracy
    n_known = np.isfinite(accuracy).sum(axis=1, keepdims=True)
    ranks = rankdata(accuracy, axis=1, nan_policy="omit") / np.maximum(n_known, 1)
    known = np.isfinite(ranks)
    total, n = np.where(known, ranks, 0.0).sum(axis=0), known.sum(axis=0)
    others = n - known
    told = np.full(accuracy.shape, np.nan)
    np.divide(total - np.where(known, ranks, 0.0), others, out=told, where=others > 0)
    return np.round(told, 12)  # equals stay equal: the last digit of a sum would tell of the target that was taken off


def draw_counts(rng: np.random.Generator, n: int, n_draws: int) -> NDArray[np.int64]:
    """The sources themselves first, then draws of as many with replacement."""
    drawn = rng.multinomial(n, np.full(n, 1 / n), n_draws) if n else np.zeros((n_draws, 0))
    return np.concatenate([np.ones((1, n)), drawn]).astype(np.int64)


def _means(by_target: Mapping[str, Mapping[str, Array]], *, rng_seed: int) -> dict[str, Array]:
    """Means over targets, which are drawn too; the first value is that of the targets themselves."""
    n = len(by_target)
    first = next(iter(by_target.values()))
    n_draws = len(next(iter(first.values())))
    weights = np.concatenate(
        [np.ones((1, n)), np.random.default_rng((rng_seed, n)).multinomial(n, np.full(n, 1 / n), n_draws - 1)]
    )
    found = {}
    for what in first:
        values = np.stack([measured[what] for measured in by_target.values()], axis=1)
        known = np.isfinite(values)
        mass = (weights * known).sum(axis=1)
        total = (weights * np.where(known, values, 0.0)).sum(axis=1)
        found[what] = np.divide(total, mass, out=np.full(n_draws, np.nan), where=mass > 0)
    return found


def estimate(drawn: Array, n: int, level: float, of: str = "sources") -> Estimate:
    """The first value, and the percentiles of the others where there are enough sources and most draws define it."""
    value = float(drawn[0])
    if not np.isfinite(value):
        return Estimate(None, note="not defined: too few sources, or all scores or all accuracies are equal")
    if n < FEWEST:
        return Estimate(value, note=f"no interval from {n} {of if n != 1 else of.removesuffix('s')}")
    usual = drawn[1:][np.isfinite(drawn[1:])]
    if len(usual) < len(drawn[1:]) / 2:
        return Estimate(value, note="undefined in most bootstrap draws")
    low, high = np.quantile(usual, [(1 - level) / 2, (1 + level) / 2])
    return Estimate(value, float(low), float(high))


def _compare(
    draws: Mapping[str, Mapping[str, Mapping[str, Array]]],
    means: Mapping[str, Mapping[str, Array]],
    level: float,
    seed: int,
) -> list[Comparison]:
    """Pairs of orders on the targets that both order, the better first."""
    tau = {name: mean["weighted_kendall"][0] for name, mean in means.items()}
    best = sorted(tau, key=lambda name: (-np.nan_to_num(tau[name], nan=-2.0), name))
    best = [name for place, name in enumerate(best) if place < MOST_COMPARED or _is_control(name)]
    found = []
    for place, first in enumerate(best):
        for second in best[place + 1 :]:
            shared = [target for target in draws[first] if target in draws[second]]
            if not shared:
                continue
            pair = [
                _means({target: draws[name][target] for target in shared}, rng_seed=seed) for name in (first, second)
            ]
            for what in COMPARED:
                if what not in pair[0]:
                    continue
                gap = pair[0][what] - pair[1][what]
                usual = gap[1:][np.isfinite(gap[1:])]
                sign = -1 if what.startswith("regret") else 1
                better = float(((sign * usual > 0) + 0.5 * (usual == 0)).mean()) if len(usual) else None
                found.append(Comparison(first, second, what, estimate(gap, len(shared), level, "targets"), better))
    return found
