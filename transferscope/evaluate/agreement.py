"""`evaluate`: the agreement of every scorer with what training measured, each with its interval."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from ..errors import ResultError
from ..results import Agreement, Confirmed, Estimate, Evaluation, Ranking, Truth, make_stamp
from . import measures

FEWEST = 4  # sources from which a bootstrap interval says anything
CONTROLS = ("n_parameters",)  # an order that needs no data: larger models first
MEASURES: dict[str, Callable[[np.ndarray, np.ndarray], float]] = {
    "weighted_kendall": measures.weighted_kendall,
    "kendall": measures.kendall,
    "spearman": measures.spearman,
    "pearson": measures.pearson,
    "regret_at_1": measures.regret_at_k,
}


def evaluate(
    ranking: Ranking | Sequence[Ranking],
    truth: Truth | Sequence[Truth],
    *,
    level: float = 0.9,
    n_bootstrap: int = 500,
    seed: int = 0,
    command: str = "transferscope.evaluate",
) -> Evaluation:
    """Measure how well scores agree with confirmed accuracy.

    Each source stands with its best layer's score. Random twins and the raw input count as sources where they
    were trained too.

    Parameters
    ----------
    ranking, truth : one or several
        Of the same targets; several truths of one target (one per strategy, say) are put together.
    level : float, default=0.9
        Of the percentile bootstrap intervals over sources.
    n_bootstrap, seed : int
    command : str
        How this run was started, for the record.

    Raises
    ------
    ResultError
        If nothing is given, or a truth belongs to no ranking.
    """
    started = time.perf_counter()
    rankings = [ranking] if isinstance(ranking, Ranking) else list(ranking)
    truths = [truth] if isinstance(truth, Truth) else list(truth)
    if not rankings or not truths:
        raise ResultError(
            f"got {len(rankings)} ranking(s) and {len(truths)} truth(s); expected at least one of each: the files "
            "that `transferscope rank` and `transferscope confirm` wrote."
        )
    known = {r.target.content_sha256: r for r in rankings}
    for found in truths:
        if found.target.content_sha256 not in known:
            raise ResultError(
                f"the truth of {found.target.name} belongs to none of the rankings, of "
                f"{', '.join(r.target.name for r in rankings)}: other data, or data that have changed since."
            )
    rng = np.random.default_rng(seed)
    agreements: list[Agreement] = []
    for one in rankings:
        for strategy, confirmed in _by_strategy(one, truths).items():
            for scorer in (*one.scorers, *CONTROLS):
                agreements.append(_agreement(one, strategy, scorer, confirmed, level, n_bootstrap, rng))
    seconds = {"evaluate": time.perf_counter() - started}
    return Evaluation(tuple(agreements), make_stamp(command, seed=seed, device="cpu", seconds=seconds), level)


def _by_strategy(ranking: Ranking, truths: Sequence[Truth]) -> dict[str, dict[str, Confirmed]]:
    """Confirmed sources of this ranking's target under each strategy."""
    found: dict[str, dict[str, Confirmed]] = {}
    for truth in truths:
        if truth.target.content_sha256 == ranking.target.content_sha256:
            for confirmed in truth.confirmed:
                found.setdefault(confirmed.strategy, {})[confirmed.source] = confirmed
    return found


def _oriented(ranking: Ranking, scorer: str) -> Mapping[str, float]:
    """Higher-is-better score of every source that has one."""
    if scorer == "n_parameters":
        return {card.name: float(card.n_parameters) for card in ranking.sources}
    found = {}
    for candidate in ranking.best():
        score = candidate.scores.get(scorer)
        if score is not None and score.value is not None:
            found[candidate.source] = score.value if score.higher_is_better else -score.value
    return found


def _agreement(
    ranking: Ranking, strategy: str, scorer: str, confirmed: Mapping[str, Confirmed], level: float, n_bootstrap: int,
    rng: np.random.Generator,
) -> Agreement:  # fmt: skip
    """All measures of one scorer under one strategy."""
    scores = _oriented(ranking, scorer)
    names = [name for name in confirmed if name in scores]
    values = np.array([scores[name] for name in names])
    accuracy = np.array([confirmed[name].accuracy for name in names])
    draws = rng.integers(0, max(len(names), 1), (n_bootstrap, len(names)))
    found = {name: _estimate(measure, values, accuracy, draws, level) for name, measure in MEASURES.items()}
    return Agreement(ranking.target.name, strategy, scorer, len(names), **found)


def _estimate(
    measure: Callable[[np.ndarray, np.ndarray], float],
    values: np.ndarray,
    accuracy: np.ndarray,
    draws: np.ndarray,
    level: float,
) -> Estimate:
    """The value, and the percentiles of its bootstrap draws where it is defined in most of them."""
    if len(values) < 2:
        return Estimate(None, note=f"{len(values)} source(s) have both a score and a measured accuracy")
    value = measure(values, accuracy)
    if not np.isfinite(value):
        return Estimate(None, note="all scores or all accuracies are equal")
    if len(values) < FEWEST:
        return Estimate(value, note=f"no interval from {len(values)} sources")
    drawn = np.array([measure(values[row], accuracy[row]) for row in draws])
    drawn = drawn[np.isfinite(drawn)]
    if len(drawn) < len(draws) / 2:
        return Estimate(value, note="undefined in most bootstrap draws")
    low, high = np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2])
    return Estimate(value, float(low), float(high))
