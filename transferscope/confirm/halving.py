"""Successive halving, as a function of what training shows: which arms go on, which are dropped, who has won."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ..choices import NOISE
from ..spending import Arm, ArmDropped, Ran, Rung

Pair = tuple[str, str]  # source and strategy
Ended = Literal["decided", "done", "budget"]


@dataclass(frozen=True, eq=False)
class Seen:
    """What is known of an arm so far.

    Attributes
    ----------
    accuracy : float
        Its best on the validation rows.
    epochs : int
    over : bool
        Whether nothing is left to train.
    seconds : float
        Of training.
    hits : ndarray or None
        Of each validation row, whether it is told right at that epoch, or how often over seeds; where there are no
        classes, what it adds to the measure. None: not at hand.
    collapsed : bool
        One class is predicted for all: below every arm of which that is not so.
    error : float or None
        Standard error of the accuracy, where rows are not at hand and it is no share of right answers.
    """

    accuracy: float
    epochs: int
    over: bool
    seconds: float = 0.0
    hits: NDArray | None = None
    collapsed: bool = False
    error: float | None = None

    @property
    def worth(self) -> tuple[bool, float]:
        """What orders arms, higher is better."""
        return not self.collapsed, self.accuracy


Invite = Callable[[Mapping[int, Mapping[Arm, Seen]], float], tuple[Mapping[Arm, Seen], Sequence[Arm]] | None]


@dataclass(frozen=True, eq=False)
class Outcome:
    """How the rungs went.

    Attributes
    ----------
    contending : mapping of Arm to Seen
        Those that are not behind, best first, finished or not.
    benched : frozenset of Arm
        Of them, those that were dropped although noise does not tell them from others, because of the budget.
    """

    rungs: tuple[Rung, ...]
    contending: Mapping[Arm, Seen]
    benched: frozenset[Arm]
    ended: Ended


def stages(epochs: int) -> tuple[int, ...]:
    """Epochs at which arms are compared: 2, 4, 8 ..., each at most half of the next one, and all of them."""
    at, found = 2 if epochs >= 4 else 1, []
    while 2 * at <= epochs:
        found.append(at)
        at *= 2
    return (*found, epochs)


def looks(epochs: int) -> int:
    """How often a race asks whether its winner is decided: after every stage, and after the finals."""
    return len(stages(epochs)) + 1


def race(
    known: Mapping[Arm, Seen],
    arms: Sequence[Arm],
    advance: Callable[[Sequence[Arm], int], Mapping[Arm, Seen]],
    *,
    epochs: int,
    n_rows: int,
    confidence: float,
    left: Callable[[], float] = lambda: math.inf,
    drop: Callable[[Iterable[Arm]], object] = list,
    invite: Invite = lambda *_: None,
) -> Outcome:
    """Train arms by stages, and after each keep the better half of those that are not finished.

    An arm within `NOISE` standard errors of the last one of that half is kept too, as long as the next stage of all
    that are kept fits into the time that is left; else it is dropped for the budget's sake. Finished arms cost nothing
    more and stay. A race of one source and strategy has its winner at the start, and goes on for its rates.

    Arms that come in late run the stages that the others have behind them, and go on from each if they are of the
    better half of all that were seen there, or tied with its last one. What went on before them is not dropped.

    Parameters
    ----------
    known : mapping of Arm to Seen
        Arms that are finished without any stage.
    arms : sequence of Arm
        To be trained, in this order.
    advance : callable
        ``advance(arms, until)`` trains them until an epoch of their schedule and tells what is seen; it leaves out
        arms that failed, and those for which no time was left.
    epochs : int
        Of the whole schedule.
    n_rows : int
        Validation rows.
    confidence : float
        Of the winner, to stop at.
    left : callable
        Seconds.
    drop : callable
        Told which arms fell behind.
    invite : callable
        Asked for another source after every stage, until it has none: ``invite(at, spare)`` is told all that was seen
        at each stage and the seconds that are left beside training the others to their end, and answers with finished
        arms and arms to train.

    References
    ----------
    Jamieson and Talwalkar, "Non-stochastic Best Arm Identification and Hyperparameter Optimization", AISTATS 2016;
    Li et al., "Hyperband: A Novel Bandit-Based Approach to Hyperparameter Optimization", JMLR 2018; Li et al., "A
    System for Massively Parallel Hyperparameter Tuning", MLSys 2020 (stages that arms reach at different times).
    """
    course = _Course(stages(epochs), advance, n_rows, left, drop)
    course.close(known)
    course.ended = "budget" if left() <= 0 else "done"
    running = list(arms) or course.let_in(invite, 0, [])  # what has no epochs tells less than the first stage will
    for place in range(len(course.points)):
        if not running:
            break
        running = course.let_in(invite, place + 1, course.run(running, place))
        rivals = len(course.pairs) > 1
        if running and rivals and certainty(course.contending, n_rows, looks(epochs)) >= confidence:
            course.ended = "decided"
            break
    ordered = {arm: course.contending[arm] for arm in ordered_by_worth(course.contending)}
    return Outcome(tuple(course.rungs), ordered, frozenset(course.benched), course.ended)


@dataclass
class _Course:
    """A race so far."""

    points: tuple[int, ...]
    advance: Callable[[Sequence[Arm], int], Mapping[Arm, Seen]]
    n_rows: int
    left: Callable[[], float]
    drop: Callable[[Iterable[Arm]], object]
    contending: dict[Arm, Seen] = field(default_factory=dict)
    at: dict[int, dict[Arm, Seen]] = field(default_factory=dict)  # all that was seen at a stage
    rungs: list[Rung] = field(default_factory=list)
    benched: set[Arm] = field(default_factory=set)
    pairs: set[Pair] = field(default_factory=set)
    ended: Ended = "done"

    def close(self, known: Mapping[Arm, Seen]) -> None:
        """Enter what is finished without any stage."""
        self.contending |= known
        self.pairs |= {(arm.source, arm.strategy) for arm in known}
        if known:
            self.at[0] = {**self.at.get(0, {}), **known}
            self.rungs.append(_rung(0, known, known, (), {}))

    def run(self, running: Sequence[Arm], place: int) -> list[Arm]:
        """Train until a stage; who goes on from it, best first."""
        if not running:
            return []
        until, following = self.points[place], self.points[min(place + 1, len(self.points) - 1)]
        self.pairs |= {(arm.source, arm.strategy) for arm in running}
        before = {arm: self.contending[arm].seconds for arm in running if arm in self.contending}
        seen, others = self.advance(running, until), self.at.get(until, {})
        self.contending |= seen
        self.at[until] = {**others, **{arm: seen[arm] for arm in running if arm in seen}}
        if self.left() <= 0:
            unfinished = [arm for arm in running if arm not in self.contending or not self.contending[arm].over]
            dropped = _unreached(unfinished, self.contending)
            self.rungs.append(_rung(until, running, self.contending, dropped, before))
            self.ended = "budget" if unfinished else "done"
            self.benched |= set(unfinished)
            return []
        spare = self.left() if until == max(self.at) else math.inf  # others have paid for the stages behind them
        both = {arm: one for arm, one in self.at[until].items() if not one.over}
        kept, gone = halve(both, self.n_rows, following, spare)
        dropped = tuple(one for one in gone if one.arm not in others)
        self.rungs.append(_rung(until, seen, seen, dropped, before))
        self.benched |= {one.arm for one in dropped if one.reason == "budget"}
        behind = {one.arm for one in dropped if one.reason == "behind"}
        self.drop(behind)
        for arm in behind | (set(before) - set(seen)):  # the latter failed
            del self.contending[arm]
        return [arm for arm in kept if arm not in others]

    def let_in(self, invite: Invite, n_stages: int, running: list[Arm]) -> list[Arm]:
        """Those that are running, and those that join them after so many stages.

        What is running comes first: the time that all of it would take to its end is not given away.
        """
        while True:
            begun = [self.contending[arm] for arm in running if arm in self.contending]
            spare = self.left() - sum(_price(one, self.points[-1]) for one in begun)
            found = invite(self.at, spare) if spare > 0 else None
            if found is None:
                return running
            closed, late = found
            self.close(closed)
            for place in range(n_stages):
                late = self.run(late, place)
            running = [*running, *late]


def halve(
    seen: Mapping[Arm, Seen], n_rows: int, until: int, left: float = math.inf
) -> tuple[list[Arm], tuple[ArmDropped, ...]]:
    """Which arms go on until the next stage, best first, and which do not and why; see `race`."""
    if not seen:
        return [], ()
    order = ordered_by_worth(seen)
    kept, rest = order[: math.ceil(len(order) / 2)], order[math.ceil(len(order) / 2) :]
    last, cost = kept[-1], sum(_price(seen[arm], until) for arm in kept)
    dropped: list[ArmDropped] = []
    for arm in rest:
        gap, error = difference(seen[last], seen[arm], n_rows)
        cost += _price(seen[arm], until)
        reason: Literal["behind", "budget"] | None = (
            "behind" if gap > NOISE * error else "budget" if cost > left else None
        )
        if reason:
            cost -= _price(seen[arm], until)
            dropped.append(ArmDropped(arm, seen[arm].epochs, reason, gap, error))
        else:
            kept.append(arm)
    return kept, tuple(dropped)


def difference(first: Seen, second: Seen, n_rows: int) -> tuple[float, float]:
    """By how much the first is more accurate on the validation rows, and the standard error.

    Paired where both are known row by row, else independent, which is cautious. Half a row is added to each outcome,
    so that few rows on which the two agree are no proof.

    References
    ----------
    Agresti and Min, "Simple improved confidence intervals for comparing matched proportions", Statistics in Medicine
    2005; Agresti and Coull, "Approximate is better than 'exact'", The American Statistician 1998.
    """
    if first.hits is not None and second.hits is not None and len(first.hits) == len(second.hits):
        apart = first.hits.astype(np.float64) - second.hits.astype(np.float64)
        n = len(apart) + 2
        error = math.sqrt(float(np.square(apart).sum()) + 1 - float(apart.sum()) ** 2 / n) / n
        return float(apart.mean()), error
    return first.accuracy - second.accuracy, math.sqrt(sampling(first, n_rows) + sampling(second, n_rows))


def sampling(seen: Seen, n_rows: int) -> float:
    """Variance of an accuracy on so many rows, one row more being right and one wrong: all right is no proof.

    A share of right answers tells it by its value; areas under curves and R squared by what each row adds to them.
    """
    if seen.error is not None:
        return seen.error**2
    if seen.hits is not None:
        rows = np.append(seen.hits, (0.0, 1.0))
        return float(rows.var() / len(rows))
    share = (n_rows * min(max(seen.accuracy, 0.0), 1.0) + 1) / (n_rows + 2)
    return share * (1 - share) / (n_rows + 2)


def certainty(contending: Mapping[Arm, Seen], n_rows: int, n_looks: int, leader: Arm | None = None) -> float:
    """How sure it is that no other (source, strategy) is better than the leader, default the best, in truth.

    Each other one stands with its best arm. Those that fell behind earlier are not asked again.

    One minus the sum of the one-sided chances that another is, times the number of looks (Bonferroni): looking again
    and again would else call a winner by chance. An arm that is still running is taken as it is now.
    """
    from scipy.special import ndtr

    best = best_by_pair(contending)
    if not best:
        return 0.0
    leader = leader or next(iter(best.values()))
    chances = 0.0
    for other in (arm for pair, arm in best.items() if pair != (leader.source, leader.strategy)):
        gap, error = difference(contending[leader], contending[other], n_rows)
        chances += float(ndtr(-gap / error))
    return max(0.0, 1 - n_looks * chances)


def best_by_pair(seen: Mapping[Arm, Seen]) -> dict[Pair, Arm]:
    """The best arm of each source and strategy, best first."""
    found: dict[Pair, Arm] = {}
    for arm in ordered_by_worth(seen):
        found.setdefault((arm.source, arm.strategy), arm)
    return found


def ordered_by_worth(seen: Mapping[Arm, Seen]) -> list[Arm]:
    """Best first; the earlier one among equals."""
    return sorted(seen, key=lambda arm: seen[arm].worth, reverse=True)


def _price(seen: Seen, until: int) -> float:
    """Seconds until the next stage, at the speed so far."""
    return seen.seconds / max(seen.epochs, 1) * (until - seen.epochs)


def _unreached(unfinished: Sequence[Arm], seen: Mapping[Arm, Seen]) -> tuple[ArmDropped, ...]:
    """All that could have gone on, had there been time."""
    return tuple(ArmDropped(arm, seen[arm].epochs if arm in seen else 0, "budget", None, None) for arm in unfinished)


def _rung(
    until: int,
    arms: Iterable[Arm],
    seen: Mapping[Arm, Seen],
    dropped: tuple[ArmDropped, ...],
    before: Mapping[Arm, float],
) -> Rung:
    there = {arm: seen[arm] for arm in arms if arm in seen}
    ran = tuple(Ran(arm, there[arm].epochs, there[arm].accuracy) for arm in ordered_by_worth(there))
    return Rung(until, ran, dropped, sum(one.seconds - before.get(arm, 0.0) for arm, one in there.items()))
