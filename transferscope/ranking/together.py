"""Scores of several sources together: expanded into their parts before scoring, and put together after it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ..errors import TransferScopeError
from ..results import Candidate, Score
from ..scorers.combine import COMBINATIONS, combine
from ..scorers.registry import SCORERS


def expand(scorers: Sequence[str], rank_by: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The scorers to run and the combinations to make of them; unknown names are refused.

    Raises
    ------
    UnknownNameError
        If a name is neither.
    TransferScopeError
        If `rank_by` is a combination: those are of sources at their best layer, which `rank_by` must find first.
    """
    if rank_by in COMBINATIONS:
        raise TransferScopeError(
            f"rank_by={rank_by!r} combines scores of sources at their best layer, so it cannot choose the layer; rank "
            f"by one of its parts: {', '.join(COMBINATIONS[rank_by].parts)}."
        )
    combined = tuple(dict.fromkeys(name for name in scorers if name in COMBINATIONS))
    single = [part for name in scorers for part in (COMBINATIONS[name].parts if name in combined else (name,))]
    for name in single:
        SCORERS[name]
    return tuple(dict.fromkeys(single)), combined


def add_combined(candidates: Sequence[Candidate], combined: Sequence[str]) -> list[Candidate]:
    """The candidates, each source's best layer with its combined scores over all sources that have the parts."""
    found = list(candidates)
    for name in combined:
        signs = COMBINATIONS[name].parts
        places = {
            place: [float(score.value) for part in signs if (score := c.scores.get(part)) and score.value is not None]
            for place, c in enumerate(found)
            if c.is_best_layer and c.control is None
        }
        complete = {str(place): parts for place, parts in places.items() if len(parts) == len(signs)}
        values = combine(complete, tuple(signs.values()))
        for place in places:
            value = values.get(str(place))
            error = None if value is not None else f"{name} needs {', '.join(signs)}, and not all of them have a value"
            any_score = next(iter(found[place].scores.values()))
            score = Score(
                name, value, True, any_score.n_samples, any_score.n_features, 0.0,
                warnings=() if value is None else (COMBINATIONS[name].misleads,), error=error,
            )  # fmt: skip
            found[place] = replace(found[place], scores={**found[place].scores, name: score})
    return found
