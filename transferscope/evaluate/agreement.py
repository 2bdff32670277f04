"""`evaluate`: the agreement of every scorer with what training measured, each with its interval."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np

from ..agreements import Agreement, Estimate
from ..errors import ResultError
from ..results import Confirmed, Evaluation, Ranking, Truth
from ..stamp import Watch, call_of, make_stamp, version_differences
from .resampled import Array, resample
from .table import Table
from .tables import draw_counts, estimate, evaluate_table

CONTROLS = ("n_parameters",)  # an order that needs no data: larger models first
MEASURES = ("weighted_kendall", "kendall", "spearman", "pearson", "regret_at_1")


def evaluate(
    ranking: Ranking | Sequence[Ranking],
    truth: Truth | Sequence[Truth],
    *,
    k: Sequence[int] = (1, 3, 5),
    level: float = 0.9,
    n_bootstrap: int = 1000,
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
    k : sequence of int
        Of the measures at k in `orders`; see `evaluate_table`.
    level : float, default=0.9
        Of the percentile bootstrap intervals over sources.
    n_bootstrap, seed : int
        Draws, and their seed; scorers of the same sources share their draws.
    command : str
        How this run was started, for the record.

    Raises
    ------
    ResultError
        If nothing is given, a truth belongs to no ranking, or no strategy was run on two sources.
    """
    if not 0 < level < 1 or n_bootstrap < 1:
        raise ResultError(
            f"level={level} and n_bootstrap={n_bootstrap}; expected a level between 0 and 1, such as 0.9, and at "
            "least one draw."
        )
    call, watch = call_of(evaluate, locals()), Watch()
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
    agreements: list[Agreement] = []
    for one in rankings:
        for strategy, confirmed in _by_strategy(one, truths).items():
            if len(confirmed) < 2:
                continue  # one source has no order
            for scorer in (*one.scorers, *CONTROLS):
                agreements.append(_agreement(one, strategy, scorer, confirmed, level, n_bootstrap, seed))
    if not agreements:
        raise ResultError("every truth has one source only; an order needs two: confirm more of the ranking (--top).")
    averaged = evaluate_table(table_of(rankings, truths), k=k, level=level, n_bootstrap=n_bootstrap, seed=seed)
    watch.lap("evaluate")
    stamp = make_stamp(command, seed=seed, device="cpu", seconds=watch.seconds, call=call)
    notes = (*averaged.notes, *_mixed(rankings, truths))
    return replace(averaged, agreements=tuple(agreements), stamp=stamp, notes=notes)


def _mixed(rankings: Sequence[Ranking], truths: Sequence[Truth]) -> Iterator[str]:
    """Targets whose results were made by different versions."""
    for one in rankings:
        own = [truth.stamp.versions for truth in truths if truth.target.content_sha256 == one.target.content_sha256]
        if said := version_differences([one.stamp.versions, *own]):
            yield f"Results of {one.target.name} were made by {said}: scores and accuracies may not belong together."


def table_of(rankings: Sequence[Ranking], truths: Sequence[Truth]) -> Table:
    """Targets and sources of rankings: scores at each source's best layer, and its best accuracy over strategies."""
    targets = tuple(dict.fromkeys(ranking.target.name for ranking in rankings))
    sources = tuple(dict.fromkeys(c.source for ranking in rankings for c in ranking.best()))
    by_source = {name: place for place, name in enumerate(sources)}
    shape = len(targets), len(sources)
    accuracy = np.full(shape, np.nan)
    scores: dict[str, Array] = {}
    for ranking in rankings:
        row = targets.index(ranking.target.name)
        for confirmed in _by_strategy(ranking, truths).values():
            for name, found in confirmed.items():
                if name in by_source:
                    accuracy[row, by_source[name]] = np.fmax(accuracy[row, by_source[name]], found.accuracy)
        orders = {scorer: oriented(ranking, scorer) for scorer in (*ranking.scorers, *CONTROLS)}
        if ranking.ordered_by not in (None, ranking.rank_by):
            orders[str(ranking.ordered_by)] = {s.source: s.value for s in ranking.standings if s.value is not None}
        for scorer, values in orders.items():
            for name, value in values.items():
                scores.setdefault(scorer, np.full(shape, np.nan))[row, by_source[name]] = value
    return Table(targets, sources, accuracy, scores)


def _by_strategy(ranking: Ranking, truths: Sequence[Truth]) -> dict[str, dict[str, Confirmed]]:
    """Confirmed sources of this ranking's target under each strategy."""
    found: dict[str, dict[str, Confirmed]] = {}
    for truth in truths:
        if truth.target.content_sha256 == ranking.target.content_sha256:
            for confirmed in truth.confirmed:
                found.setdefault(confirmed.strategy, {})[confirmed.source] = confirmed
    return found


def oriented(ranking: Ranking, scorer: str) -> Mapping[str, float]:
    """Higher-is-better score of every source that has one, at its best layer."""
    if scorer == "n_parameters":
        return {card.name: float(card.n_parameters) for card in ranking.sources}
    found = {}
    for candidate in ranking.best():
        score = candidate.scores.get(scorer)
        if score is not None and score.value is not None and not score.saturated:
            found[candidate.source] = score.value if score.higher_is_better else -score.value
    return found


def _agreement(
    ranking: Ranking, strategy: str, scorer: str, confirmed: Mapping[str, Confirmed], level: float, n_bootstrap: int,
    seed: int,
) -> Agreement:  # fmt: skip
    """All measures of one scorer under one strategy."""
    scores = oriented(ranking, scorer)
    names = [name for name in confirmed if name in scores]
    values = np.array([scores[name] for name in names])
    accuracy = np.array([confirmed[name].accuracy for name in names])
    if len(names) < 2:
        why = Estimate(None, note=f"{len(names)} source(s) have both a score and a measured accuracy")
        return Agreement(ranking.target.name, strategy, scorer, len(names), **dict.fromkeys(MEASURES, why))
    counts = draw_counts(np.random.default_rng(seed), len(names), n_bootstrap)
    drawn = resample(values, accuracy, counts, (1,))
    found = {name: estimate(drawn[name], len(names), level) for name in MEASURES}
    return Agreement(ranking.target.name, strategy, scorer, len(names), **found)
