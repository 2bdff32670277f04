"""Steering a race in progress: whom earlier targets, and what was measured on this one so far, would have join."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

import numpy as np

from ..choices import NOISE
from ..history.acquire import next_source
from ..history.prior import static_prior
from ..history.store import Store
from ..history.surrogate import Prediction, Surrogate
from ..results import Ranking
from ..spending import Arm, Entrant, Expected, Late
from .halving import Seen, sampling

PARTIAL = 0.5  # variance, in squares of the scale, of what the start of training shows about its end: a guess, and 0
# and 2 do as well on published targets


@dataclass(frozen=True, eq=False)
class Steering:
    """A policy over the ranked sources.

    Attributes
    ----------
    surrogate : Surrogate
        Of all ranked sources, controls left out.
    strangers : frozenset of str
        Of them, those that no earlier target tells of. They are never let in, but what they reach counts.
    """

    surrogate: Surrogate
    strangers: frozenset[str]

    @classmethod
    def learned(cls, ranking: Ranking, store: Store | None) -> Steering | None:
        """From all other targets of a history; None where it tells of no ranked source.

        Which source is better than which is learned from all of them; how high outcomes are and how far apart only
        from those that are measured as this target is: R squared has no lower bound, and would stretch accuracies.
        """
        if store is None:
            return None
        own, metric = ranking.target.content_sha256, ranking.target.metric
        table = store.table(without=own)
        ranked = tuple(candidate.source for candidate in ranking.best() if candidate.control is None)
        known = static_prior(table)
        strangers = frozenset(name for name in ranked if name not in known)
        if len(strangers) == len(ranked):
            return None
        alike = Surrogate.fit(store.table(without=own, metric=metric), sources=ranked)
        surrogate = Surrogate.fit(table, sources=ranked)
        return cls(replace(surrogate, level=alike.level, log_scale=alike.log_scale), strangers)

    def favourite(self) -> str | None:
        """The source to train first."""
        choice = next_source(self.surrogate, dict.fromkeys(self.strangers, math.nan))
        return choice.source if choice else None

    def late(
        self,
        at: Mapping[int, Mapping[Arm, Seen]],
        closed: Collection[str],
        *,
        epochs: int,
        n_rows: int,
        spare: float = math.inf,
    ) -> Entrant | None:
        """The source that should join: the one with the highest reservation value, if that is above the best so far.

        What sources show at a stage is told by the same scores as their accuracies in the end, on a level and a scale
        of the stage's own, which the surrogate infers; what is still to be trained, and that validation rows are few,
        is noise.

        Parameters
        ----------
        at : mapping of int to mapping of Arm to Seen
            All that was seen at each stage.
        closed : collection of str
            Sources that must not come in: those that did, and those that cannot be trained.
        epochs, n_rows : int
            Of the whole schedule; of validation rows.
        spare : float
            Seconds that it may take to bring it to where the others are.
        """
        shown, doubt, ahead = standing(at, epochs, n_rows)
        scale = math.exp(self.surrogate.log_scale.mean)
        noise = {name: PARTIAL * ahead[name] + doubt[name] / scale**2 for name in shown}
        took = _seconds(at)
        observed = dict.fromkeys((*self.strangers, *closed), math.nan) | shown
        choice = next_source(self.surrogate, observed, took, noise=noise, left=spare)
        if choice is None or not choice.is_worth_it or not shown:
            return None
        place = self.surrogate.places([choice.source])[0]
        before, after = self.surrogate.predict(), self.surrogate.predict(observed, took, noise)
        told = _expected(before, place), _expected(after, place)
        return Entrant(choice.source, "results", Late(max(at), *told, choice.over, choice.gain, choice.seconds))


def standing(
    at: Mapping[int, Mapping[Arm, Seen]], epochs: int, n_rows: int
) -> tuple[dict[str, float], dict[str, float], dict[str, float]]:
    """The best validation accuracy of each source, its `sampling`, and the share of its training that lies ahead.

    One that stayed behind at an earlier stage counts as if it had gained since what the others did on average.
    """
    best: dict[str, float] = {}
    doubt: dict[str, float] = {}
    ahead: dict[str, float] = {}
    for stage in sorted(at):
        reached: dict[str, float] = {}
        for arm, one in at[stage].items():
            before = reached.get(arm.source, best.get(arm.source, -math.inf))
            if one.accuracy > before:
                doubt[arm.source] = sampling(one, n_rows)
            reached[arm.source] = max(one.accuracy, before)
        gains = [value - best[name] for name, value in reached.items() if name in best]
        gain = float(np.mean(gains)) if gains else 0.0
        best = {name: value + gain * (ahead[name] > 0) for name, value in best.items()} | reached
        unfinished = {arm.source for arm, one in at[stage].items() if not one.over}
        ahead |= {name: (1 - stage / epochs) * (name in unfinished) for name in reached}
    return best, doubt, ahead


def _seconds(at: Mapping[int, Mapping[Arm, Seen]]) -> dict[str, float]:
    """What each source took so far."""
    last = {arm: one.seconds for stage in sorted(at) for arm, one in at[stage].items()}
    found: dict[str, float] = {}
    for arm, seconds in last.items():
        found[arm.source] = found.get(arm.source, 0.0) + seconds
    return found


def _expected(found: Prediction, place: int) -> Expected:
    """Accuracies are between 0 and 1, where a normal distribution is not."""
    mean, deviation = found.mean[place], found.deviation[place]
    low, middle, high = np.clip([mean - NOISE * deviation, mean, mean + NOISE * deviation], 0.0, 1.0)
    return Expected(float(middle), float(low), float(high))
