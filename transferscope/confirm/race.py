"""The race of `confirm`: many ways to train, stopped early where others are better, within a budget."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from ..errors import TransferScopeError
from ..ranking.budget import Budget
from ..results import Candidate, Confirmed, Failure, Ranking
from ..spending import Arm, Entrant, TrainingRace
from .account import agreement, full_price, predictions
from .halving import Ended, Outcome, Seen, best_by_pair, certainty, looks, race
from .stable import Stable
from .steer import Steering
from .strategy import STRATEGIES
from .trials import Settings, confirmed_by

AUTO = ("linear_probe", "lp_ft", "full")  # strategies of a race
CONFIDENCE = 0.95
FINALISTS = 3  # at most
SEEDS = 2  # of finalists, at least; a quick look has one


def seconds_of(budget: str | float | None) -> float | None:
    """A budget in seconds, as a number or as text such as ``20m``.

    Raises
    ------
    TransferScopeError
        If it is no time, or not above zero.
    """
    if budget is None:
        return None
    if isinstance(budget, str):
        parsed = Budget.parse(budget)
        if parsed.unit != "seconds":
            raise TransferScopeError(f"budget {budget!r}: training is budgeted in time; expected such as 20m or 2h.")
        return parsed.amount
    if not 0 < budget < math.inf:
        raise TransferScopeError(f"budget={budget}; expected seconds above zero, or text such as 20m.")
    return float(budget)


def entrants(
    ranking: Ranking, asked: Sequence[Candidate] | None, top: int | None, steering: Steering | None
) -> tuple[Entrant, ...]:
    """Who runs: the best set, and two that the scores do not favour, so that their being wrong can be seen.

    Parameters
    ----------
    ranking : Ranking
    asked : sequence of Candidate or None
        Sources that were named: these and no others.
    top : int or None
        Most sources of the best set.
    steering : Steering or None
        The history: of the ranked sources that other targets tell of, the one that the policy of
        `transferscope.history.acquire` would train first joins, by what it may reach and what it takes.
    """
    if asked is not None:
        return tuple(Entrant(candidate.source, "asked") for candidate in asked)
    ranked = [candidate.source for candidate in ranking.best() if candidate.control is None]
    best = {standing.source for standing in ranking.standings if standing.in_best_set}
    found = [Entrant(name, "best set" if best else "first") for name in ranked if name in best or not best][:top]
    rest = [name for name in ranked if name not in {one.source for one in found}]
    favourite = steering.favourite() if steering else None
    if favourite in rest:
        found.append(Entrant(favourite, "history"))
        rest.remove(favourite)
    if rest:
        drawn = np.random.default_rng((ranking.split.seed, len(rest))).integers(len(rest))
        found.append(Entrant(rest[drawn], "random"))
    return tuple(found)


def race_sources(
    ranking: Ranking,
    running: Sequence[Entrant],
    strategies: Sequence[str],
    settings: Settings,
    *,
    budget: float | None,
    confidence: float,
    started: float,
    steering: Steering | None = None,
    top: int | None = None,
) -> tuple[tuple[Confirmed, ...], tuple[Failure, ...], TrainingRace | None]:
    """Race, train the finalists to the end, and measure them on the test rows.

    Rows for testing are read for finalists only, once the choice is made; where the budget ends before, for the best
    one so far, as it is. What was trained is kept: the same call goes on where this one ended. With `steering`, at
    most `top` sources more come in while results do.

    Raises
    ------
    TransferScopeError
        If the budget was spent before anything was measured.
    """

    def left() -> float:
        return math.inf if budget is None else budget - (time.perf_counter() - started)

    best = {candidate.source: candidate for candidate in ranking.best()}
    stable = Stable(settings, best, left)
    recipe, n_rows = settings.recipe.as_run(len(settings.split.train)), len(settings.split.validation)
    came = list(running)
    closed, arms = stable.enter([one.source for one in running], strategies)

    def invite(at: Mapping[int, Mapping[Arm, Seen]], spare: float) -> tuple[Mapping[Arm, Seen], Sequence[Arm]] | None:
        if steering is None or (top is not None and len(came) - len(running) >= top):
            return None
        shut = {one.source for one in came} | _lacking(best, strategies, settings)
        late = steering.late(at, shut, epochs=recipe.epochs, n_rows=n_rows, spare=spare)
        if late is None:
            return None
        came.append(late)
        more, others = stable.enter([late.source], strategies)
        arms.extend(others)
        return more, others

    outcome = race(
        closed, tuple(arms), stable.advance, epochs=recipe.epochs, n_rows=n_rows, confidence=confidence, left=left,
        drop=stable.drop, invite=invite,
    )  # fmt: skip
    n_seeds = recipe.n_seeds if settings.recipe.quick else max(SEEDS, recipe.n_seeds)
    seen, ended = _finals(stable, outcome, n_seeds)
    confirmed = _tested(stable, seen, outcome, arms, n_seeds, ended)
    failures = tuple(stable.failures.values())
    if not confirmed:
        if left() <= 0:
            raise TransferScopeError(
                f"the budget of {budget:g} s was spent before anything was measured; give more (--budget). What was "
                "begun is kept, and the same command goes on from there."
            )
        return (), failures, None
    winner = max(confirmed, key=lambda arm: seen[arm].worth)
    if ended != "budget":
        stable.drop(arm for arm in arms if arm not in outcome.benched)  # with more time those could go on
    sure = certainty(seen, n_rows, looks(recipe.epochs), winner)
    price, unpriced = full_price(ranking, strategies, recipe, stable.spent, n_seeds)
    found = tuple(sorted(confirmed.values(), key=lambda one: -one.accuracy))
    record = TrainingRace(
        confidence, tuple(came), outcome.rungs, winner, seen[winner].over, sure, sure >= confidence, ended, budget,
        stable.seconds, price, unpriced, *agreement(ranking, outcome.rungs), predictions(ranking, found),
    )  # fmt: skip
    return found, failures, record


def _lacking(sources: Iterable[str], strategies: Sequence[str], settings: Settings) -> set[str]:
    """Sources without the data of their own that a strategy needs."""
    needy = any(STRATEGIES[name].needs_source_data for name in strategies)
    return {name for name in sources if needy and name not in settings.source_data}


def _finals(stable: Stable, outcome: Outcome, n_seeds: int) -> tuple[dict[Arm, Seen], Ended]:
    """What is seen of all contenders once the finalists are trained under all seeds, and how the race ended.

    Finalists are the best pairs, each at its best rate, or the winner alone where it is decided.
    """
    seen = dict(outcome.contending)
    if outcome.ended == "budget":
        return seen, "budget"
    for arm in _finalists(outcome):
        found = stable.finals(arm, seen[arm], n_seeds)
        if found is None:
            if stable.left() <= 0:
                return seen, "budget"
            del seen[arm]  # it failed
        else:
            seen[arm] = found
    return seen, outcome.ended


def _finalists(outcome: Outcome) -> list[Arm]:
    able = {arm: seen for arm, seen in outcome.contending.items() if arm not in outcome.benched}
    return list(best_by_pair(able).values())[: 1 if outcome.ended == "decided" else FINALISTS]


def _tested(
    stable: Stable, seen: Mapping[Arm, Seen], outcome: Outcome, arms: Sequence[Arm], n_seeds: int, ended: Ended
) -> dict[Arm, Confirmed]:
    """Accuracy on the test rows: of all finalists, or of the best so far where the budget is spent."""
    found: dict[Arm, Confirmed] = {}
    order = best_by_pair(seen).values() if ended == "budget" else [arm for arm in _finalists(outcome) if arm in seen]
    for arm in order:
        if runs := stable.test(arm, arms, n_seeds):
            pair = arm.source, arm.strategy
            found[arm] = confirmed_by(stable.settings, arm.source, stable.layers[pair], arm.strategy, runs)
            if ended == "budget":
                break
    return found
