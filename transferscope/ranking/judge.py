"""The order of the sources, and how far to trust it: consensus, ties, chance of being best, controls."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..evaluate.table import Table
from ..history.conformal import predict_accuracy
from ..history.fuse import HISTORY, default_weights, fuse
from ..history.prior import Prior, static_prior
from ..history.store import Store
from ..history.weights import learn_weights
from ..results import Candidate, SourceCard
from ..scorers.registry import SCORERS
from ..spending import Cost
from ..targets import Target
from ..trust import Control, Fusion, Separation, Standing
from .best import Measured, draw_together, standings
from .candidates import sort_key
from .constraints import pareto
from .controls import measure_controls
from .paired import chance_of, scored
from .separate import separations

CONSENSUS = "consensus"
Array = NDArray[np.float64]


@dataclass(frozen=True)
class Past:
    """What is known before the target is seen.

    Attributes
    ----------
    table : Table or None
        Earlier targets with measured accuracies.
    measured : Table or None
        Those of them whose outcome is measured as the target's: it alone can be predicted.
    source_accuracy : mapping of source to float
        On the sources' own tasks, where it was given.
    """

    table: Table | None
    source_accuracy: Mapping[str, float]
    measured: Table | None = None

    @classmethod
    def of(cls, history: Store | None, target: Target, source_accuracy: Mapping[str, float]) -> Past:
        """All that a history holds but for the target itself."""
        if history is None:
            return cls(None, source_accuracy)
        table, alike = (
            history.table(without=target.content_sha256, metric=metric) for metric in (None, target.metric)
        )
        return cls(table if table.targets else None, source_accuracy, alike if alike.targets else None)


@dataclass(frozen=True)
class Judgement:
    """What is said of the sources together.

    Attributes
    ----------
    order : mapping of str to float
        Sources and controls by what orders them, higher is better; those without a value are missing.
    """

    order: Mapping[str, float]
    standings: tuple[Standing, ...]
    separations: tuple[Separation, ...]
    fusion: Fusion | None
    controls: tuple[Control, ...]


def judge(
    candidates: Sequence[Candidate],
    cards: Mapping[str, SourceCard],
    costs: Mapping[str, Cost],
    past: Past,
    *,
    by: str,
    ordered_by: str,
    scorers: Sequence[str],
    labels: NDArray[Any],
    seed: int,
) -> Judgement:
    """Order the sources, each at its best candidate, and say how sure that order is.

    Parameters
    ----------
    candidates : sequence of Candidate
        Of all sources and controls; those that a race dropped have no part.
    cards, costs : mappings by source
    past : Past
    by : str
        The scorer in whose units gains and regrets are told.
    ordered_by : str
        "consensus", or `by`.
    scorers : sequence of str
        That may take part in a consensus.
    labels : ndarray of shape (n_samples,) or (n_samples, n_columns)
        Of what was scored, as a target has them. An accuracy below that of always naming the largest class counts as
        this: in balanced classes a left-out sample's own class is rarer, and no signal reads as 0.
    seed : int
        Of the draws.
    """
    ranked = [c for c in candidates if c.is_best_layer and scored(c, by)]
    names = [c.source for c in ranked]
    is_source = np.array([c.control is None for c in ranked])
    if not is_source.any():
        return Judgement({}, (), (), None, ())
    priors = static_prior(past.table) if past.table else {}
    fusion = _fusion(ranked, scorers, by, past.table, priors) if ordered_by == CONSENSUS else None
    taking = [name for name in fusion.weights if name != HISTORY] if fusion else []
    measured = {name: _measured(ranked, name, chance_of(labels, name)) for name in dict.fromkeys([by, *taking])}
    draws = draw_together(measured, seed=seed)
    if fusion:
        prior = _prior(names, priors)
        observed = fuse({name: measured[name].values for name in taking}, fusion.weights, prior)
        chances = fuse(
            {name: draws[name] for name in taking},
            _drawn_weights(fusion.weights, len(draws[by]), seed),
            _drawn_prior(names, priors, len(draws[by]), seed),
        )
    else:
        observed, chances = measured[by].values, draws[by]
    places = np.flatnonzero(is_source)
    stood = standings(
        chances[:, places],
        [names[place] for place in places],
        observed[places],
        chances[:, places].std(axis=0) if fusion else measured[by].standard_errors[places],
        regret_draws=draws[by][:, places],
    )
    order = {name: float(value) for name, value in zip(names, observed, strict=True) if np.isfinite(value)}
    by_source = {c.source: c for c in ranked}
    return Judgement(
        order,
        _predicted(stood, past.measured, by, dict(zip(names, measured[by].values.tolist(), strict=True))),
        separations(by_source, stood, costs, by=by, shares=labels.ndim == 1),
        fusion,
        measure_controls(
            ranked,
            {names[place]: order[names[place]] for place in places if names[place] in order},
            cards,
            by=by,
            source_accuracy=past.source_accuracy,
            history={name: prior.mean for name, prior in priors.items()},
        ),
    )


def place(order: Mapping[str, float], candidate: Candidate, by: str) -> tuple[object, ...]:
    """For sorting candidates: sources by what orders them, and within each by its scorer; dropped ones last."""
    value = order.get(candidate.source)
    return candidate.dropped, value is None, -(value or 0.0), candidate.source, sort_key(candidate, by)


def _fusion(
    ranked: Sequence[Candidate], scorers: Sequence[str], by: str, table: Table | None, priors: Mapping[str, Prior]
) -> Fusion:
    """Which scorers have a say, and how much; if none would, the one that picked the layers has."""
    same_width = len({c.n_features for c in ranked}) == 1
    left_out: dict[str, str] = {}
    for name in scorers:
        values = [c.scores[name] for c in ranked if name in c.scores]
        said = [score for score in values if score.value is not None and not score.saturated]
        if any(score.saturated for score in values):
            left_out[name] = "saturated"
        elif len(said) < 2:
            left_out[name] = "fewer than two sources have a value"
        elif not same_width and not (name in SCORERS and SCORERS[name].comparable_across_widths):
            left_out[name] = "not comparable across feature widths"
    left_out = {name: why for name, why in left_out.items() if name != by or len(left_out) < len(scorers)}
    taking = [name for name in scorers if name not in left_out]
    if table is None:
        return Fusion(default_weights(taking), left_out, 0, {})
    learned = learn_weights(table, taking)
    weights = dict(learned.weights)
    if not any(c.source in priors for c in ranked):
        left_out[HISTORY] = "none of these sources was trained before"
        weights.pop(HISTORY, None)
        total = sum(weights.values())
        weights = {name: weight / total for name, weight in weights.items()}
    return Fusion(weights, left_out, learned.n_targets, learned.validation)


def _measured(ranked: Sequence[Candidate], name: str, chance: float) -> Measured:
    """One scorer of all candidates, higher is better; NaN where it says nothing."""
    scores = [scored(c, name) for c in ranked]
    sign = next((1.0 if score.higher_is_better else -1.0 for score in scores if score), 1.0)
    n_blocks = max((len(score.left_out) for score in scores if score), default=0)
    nan = float("nan")
    values = np.array([sign * score.value if score and score.value is not None else nan for score in scores])
    errors = np.array(
        [nan if score is None or score.standard_error is None else score.standard_error for score in scores]
    )
    left_out = np.full((len(scores), n_blocks), nan)
    for row, score in enumerate(scores):
        if score and len(score.left_out) == n_blocks:
            left_out[row] = sign * np.array(score.left_out)
    found = Measured(values, left_out, errors)
    if np.isfinite(chance):
        return found.at_least(chance, np.array([score.n_samples if score else nan for score in scores]))
    return found


def _drawn_weights(weights: Mapping[str, float], n_draws: int, seed: int) -> dict[str, Array]:
    """Weights as if other scorers of their kind had been asked: how far they disagree is part of what is not known.

    A Bayesian bootstrap over the scorers (Rubin, Annals of Statistics 1981).
    """
    shares = np.array(list(weights.values()))
    size = int(np.count_nonzero(shares))  # witnesses
    drawn = np.random.default_rng((seed, size)).standard_gamma(np.maximum(shares * size, 1e-9), (n_draws, len(shares)))
    drawn /= drawn.sum(axis=1, keepdims=True)
    return {name: drawn[:, [place]] for place, name in enumerate(weights)}


def _prior(names: Sequence[str], priors: Mapping[str, Prior]) -> Array | None:
    if not any(name in priors for name in names):
        return None
    return np.array([priors[name].mean if name in priors else np.nan for name in names])


def _drawn_prior(names: Sequence[str], priors: Mapping[str, Prior], n_draws: int, seed: int) -> Array | None:
    """The prior with its own uncertainty."""
    means = _prior(names, priors)
    if means is None:
        return None
    errors = np.array([priors[name].standard_error if name in priors else np.nan for name in names])
    return means + errors * np.random.default_rng((seed, n_draws)).standard_normal((n_draws, len(names)))


def _predicted(
    stood: Sequence[Standing], table: Table | None, by: str, values: Mapping[str, float]
) -> tuple[Standing, ...]:
    """The standings with the accuracies that the history predicts."""
    found = predict_accuracy(table, by, values) if table else {}
    told = []
    for one in stood:
        middle, low, high = found.get(one.source, (None, None, None))
        told.append(replace(one, predicted=middle, predicted_low=low, predicted_high=high))
    return tuple(told)


def fronted(judgement: Judgement, costs: Mapping[str, Cost]) -> tuple[str, ...]:
    """The Pareto front of what orders the sources against the time of one sample."""
    latencies = {name: cost.latency for name, cost in costs.items() if cost.latency is not None}
    return pareto({one.source: one.value for one in judgement.standings if one.value is not None}, latencies)
