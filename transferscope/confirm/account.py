"""What a race is worth: its price beside that of training everything, and whether the ranking was right."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from ..evaluate.agreement import oriented
from ..evaluate.measures import regret_at_k, weighted_kendall
from ..results import Confirmed, Ranking
from ..spending import Prediction, Rung
from .halving import Pair
from .strategy import STRATEGIES, Recipe


def full_price(
    ranking: Ranking,
    strategies: Sequence[str],
    recipe: Recipe,
    spent: Mapping[tuple[Pair, str], tuple[float, int]],
    n_seeds: int,
) -> tuple[float | None, tuple[str, ...]]:
    """Seconds that every ranked source would take under every strategy, and the sources of which it is not known.

    Every rate with one seed and the best with all, to the last epoch: patience may end some before. An epoch takes
    what it took here, else what the ranking's costs estimate of full fine-tuning. Strategies without epochs count
    where they were run; they take seconds.
    """
    total, unpriced = 0.0, []
    estimates = {cost.source: cost.tuning_seconds for cost in ranking.costs}
    epochs = recipe.epochs * (len(recipe.learning_rates) + n_seeds - 1)
    for source in (candidate.source for candidate in ranking.best() if candidate.control is None):
        for strategy in strategies:
            known = [found for (pair, _), found in spent.items() if pair == (source, strategy)]
            seconds, trained = math.fsum(one for one, _ in known), sum(n for _, n in known)
            if STRATEGIES[strategy].tuning is None:
                total += seconds
            elif trained:
                total += seconds / trained * epochs
            elif (estimate := estimates.get(source)) is not None:
                total += estimate * epochs
            elif source not in unpriced:
                unpriced.append(source)
    return total or None, tuple(unpriced)


def agreement(ranking: Ranking, rungs: Sequence[Rung]) -> tuple[int, float | None, float | None]:
    """How many sources raced, and weighted Kendall and regret of the ranking's order with what they reached.

    A source's accuracy is the best of its arms so far on the validation rows: test rows are not read for those that
    are no finalists.
    """
    reached: dict[str, float] = {}
    for one in (one for rung in rungs for one in rung.ran):
        reached[one.arm.source] = max(one.accuracy, reached.get(one.arm.source, -math.inf))
    order = _order(ranking)
    names = [name for name in reached if name in order]
    if len(names) < 2:
        return len(names), None, None
    values, accuracies = [order[name] for name in names], [reached[name] for name in names]
    tau = weighted_kendall(values, accuracies)
    return len(names), tau if math.isfinite(tau) else None, regret_at_k(values, accuracies)


def _order(ranking: Ranking) -> dict[str, float]:
    """What orders the sources, higher first."""
    if ranking.standings:
        return {standing.source: standing.value for standing in ranking.standings if standing.value is not None}
    return dict(oriented(ranking, ranking.rank_by))


def predictions(ranking: Ranking, confirmed: Sequence[Confirmed]) -> tuple[Prediction, ...]:
    """What the ranking predicted of the finalists' sources, in its order."""
    measured: dict[str, float] = {}
    for one in confirmed:
        measured[one.source] = max(one.accuracy, measured.get(one.source, -math.inf))
    return tuple(
        Prediction(
            standing.source, standing.predicted, standing.predicted_low, standing.predicted_high,
            measured[standing.source],
        )
        for standing in ranking.standings
        if standing.source in measured and standing.predicted is not None
    )  # fmt: skip
