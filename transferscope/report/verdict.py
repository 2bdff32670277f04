"""What the numbers say, in plain sentences; the report and the command line both begin with them."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from ..choices import NOISE
from ..results import Candidate, Confirmed, Ranking, Score
from ..tasks import NOTHING
from .choices import alarm, chosen_of_many, selection_of
from .formats import clean, listed, percent, points, shorten, with_error
from .trust import tied_with, trust_notes, vetoes

Outcome = Literal["above", "tied", "below", "unknown"]


@dataclass(frozen=True)
class Verdict:
    """The answer for one target.

    Attributes
    ----------
    headline : str
        One sentence: the best source and whether it adds anything.
    details : tuple of str
        Sentences on ties, controls and what training confirmed.
    leader : Candidate or None
        The best source at its best layer; None when nothing was ranked.
    tied : tuple of str
        Sources that noise does not tell from the leader.
    adds : bool or None
        Whether a source is beyond noise above its own random twin and the raw input; None when not known.
    """

    headline: str
    details: tuple[str, ...]
    leader: Candidate | None = None
    tied: tuple[str, ...] = ()
    adds: bool | None = None


def compare(one: Score | None, other: Score | None) -> Outcome:
    """Where `one` stands against `other`: differences below `NOISE` joint standard errors are ties.

    The errors are treated as independent, which is cautious for scores of the same samples.
    """
    if one is None or other is None or one.value is None or other.value is None:
        return "unknown"
    if one.standard_error is None or other.standard_error is None:
        return "unknown"
    difference = one.value - other.value if one.higher_is_better else other.value - one.value
    if abs(difference) < NOISE * math.hypot(one.standard_error, other.standard_error):
        return "tied"
    if difference == 0:
        return "tied"
    return "above" if difference > 0 else "below"


def beyond(one: Confirmed, other: Confirmed) -> bool:
    """Whether `one` was measured more accurate than the test sets' noise explains."""
    return one.accuracy - other.accuracy > NOISE * math.hypot(one.standard_error, other.standard_error)


def decide(ranking: Ranking | None, confirmed: Iterable[Confirmed] = (), controls: Iterable[str] = ()) -> Verdict:
    """The verdict of one target from its ranking, from what training measured, or from both.

    Parameters
    ----------
    ranking : Ranking or None
    confirmed : iterable of Confirmed
    controls : iterable of str
        Names of confirmed sources that are controls.
    """
    measured, control_names = tuple(confirmed), frozenset(controls)
    if ranking is None:
        best = _best(row for row in measured if row.source not in control_names) or _best(measured)
        if best is None:
            return Verdict("Nothing was ranked or trained.", ())
        said = _training(measured, None, control_names)
        return Verdict(said[0], tuple(said[1:]))
    by = ranking.rank_by
    sources = [c for c in ranking.best() if c.control is None and not c.dropped]
    if not sources:
        trained = tuple(_training(measured, None, control_names))
        return Verdict("Only controls were ranked: no source to choose.", trained)
    leader = next((c for c in sources if _value(c, by) is not None), None)
    if leader is None:
        return Verdict(f"No source could be scored by {by}.", tuple(_training(measured, None, control_names)))
    tied, ties = _ties(ranking, leader, [c for c in sources if c is not leader])
    adding = [c.source for c in sources if _adds(ranking, c)]
    adds = _adds(ranking, leader)
    details = [ties, *trust_notes(ranking), *_controls(ranking, leader), alarm(ranking)]
    details.append(chosen_of_many(selection_of(ranking, leader.source)))
    if adds is False and adding:
        details.append(f"Beyond noise above both the raw input and its own random twin: {_names(adding)}.")
    details += _training(measured, leader, control_names)
    headline = _headline(ranking, leader, tied, adds, bool(adding))
    return Verdict(clean(headline), tuple(clean(text) for text in details if text), leader, tied, adds)


def _headline(ranking: Ranking, leader: Candidate, tied: tuple[str, ...], adds: bool | None, others_add: bool) -> str:
    """The first sentence."""
    if wrong := vetoes(ranking):
        return f"The order means nothing before this is mended: {' '.join(wrong)}"
    by, score = ranking.rank_by, leader.scores[ranking.rank_by]
    rank = "among the best sources" if tied else "the best source"
    value = with_error(score.value, score.standard_error)
    how = f"{by} ({value})" if ranking.ordered_by in (None, by) else f"{ranking.ordered_by} ({by} {value})"
    said = f"{_name(leader)} at layer {shorten(leader.layer, 40)} is {rank} by {how}"
    if adds:
        return f"{said}, and beats its controls beyond noise."
    if adds is None:
        return f"{said}."
    if others_add:
        return f"{said}, but it does not beat its controls beyond noise."
    return f"No source adds anything measurable here: {said}, but it does not beat its controls beyond noise."


def _ties(ranking: Ranking, leader: Candidate, others: list[Candidate]) -> tuple[tuple[str, ...], str]:
    """Sources tied with the first, and a sentence where the best set does not say it."""
    if not others:
        return (), "It is the only source that was ranked."
    if ranking.standings:
        return tied_with(ranking, leader.source), ""
    by = ranking.rank_by
    outcomes = {c.source: compare(leader.scores.get(by), c.scores.get(by)) for c in others}
    tied = [name for name, outcome in outcomes.items() if outcome == "tied"]
    unknown = [name for name, outcome in outcomes.items() if outcome == "unknown"]
    if len(unknown) == len(outcomes):
        return (), f"Ties are unknown: {by} comes without standard errors here."
    said = f"Tied with it, within noise: {_names(tied)}." if tied else "No other source is within noise of it."
    if unknown:
        said += f" Not comparable, for want of a value or an error: {_names(unknown)}."
    return tuple(tied), said


def twin(ranking: Ranking, source: str) -> Candidate | None:
    """The random-weights twin of `source`, at its best layer."""
    names = {card.name for card in ranking.sources if card.twin_of == source}
    return next((c for c in ranking.best() if c.source in names), None)


def raw_input(ranking: Ranking) -> Candidate | None:
    """The raw-input control."""
    return next((c for c in ranking.best() if c.control == "raw"), None)


def _adds(ranking: Ranking, candidate: Candidate) -> bool | None:
    """Whether `candidate` is above every control of its own that was ranked."""
    rivals = [rival for rival in (twin(ranking, candidate.source), raw_input(ranking)) if rival]
    outcomes = {_outcome(ranking, candidate, rival) for rival in rivals}
    if outcomes & {"tied", "below"}:
        return False
    return None if not outcomes or "unknown" in outcomes else True


def _outcome(ranking: Ranking, candidate: Candidate, rival: Candidate) -> Outcome:
    """Where a source stands against a control: paired where the ranking measured it."""
    gap = next((g for g in ranking.twins if (g.source, g.twin) == (candidate.source, rival.source)), None)
    if gap is None or gap.standard_error is None:
        return compare(candidate.scores.get(ranking.rank_by), rival.scores.get(ranking.rank_by))
    if gap.beats:
        return "above"
    return "below" if gap.gain < -NOISE * gap.standard_error else "tied"


def _controls(ranking: Ranking, leader: Candidate) -> list[str]:
    """One sentence per control, and one on a stranger's twin that is as good."""
    by = ranking.rank_by
    own = [("its random-weights twin", twin(ranking, leader.source)), ("the raw input", raw_input(ranking))]
    said = [_against(by, leader, name, rival, _outcome(ranking, leader, rival)) for name, rival in own if rival]
    missing = [name for name, rival in own if not rival]
    if missing:
        said.append(f"Not ranked beside it: {listed(missing)}; whether it beats that is unknown.")
    known = {rival.source for _, rival in own if rival}
    strangers = [
        c.source
        for c in ranking.best()
        if c.control and c.source not in known and compare(leader.scores[by], c.scores.get(by)) in ("tied", "below")
    ]
    if strangers:
        said.append(f"Other controls do as well within noise or better: {_names(strangers)}.")
    return said


def _against(by: str, leader: Candidate, name: str, rival: Candidate, outcome: Outcome) -> str:
    mine, other = leader.scores[by], rival.scores.get(by)
    if other is None or other.value is None:
        return f"Whether it beats {name} is unknown: {_name(rival)} has no {by}."
    beside = f"({with_error(other.value, other.standard_error)})"
    if outcome == "above":
        return f"It beats {name} {beside} beyond noise."
    if outcome == "tied":
        return f"It does not beat {name} {beside}: the difference is within noise."
    if outcome == "below":
        return f"It is worse than {name} {beside}, beyond noise."
    assert mine.value is not None  # the leader has one
    ahead = mine.value > other.value if mine.higher_is_better else mine.value < other.value
    return f"Its value is {'' if ahead else 'not '}better than that of {name} {beside}; the noise is unknown."


def _training(measured: tuple[Confirmed, ...], leader: Candidate | None, controls: frozenset[str]) -> list[str]:
    """What training confirmed, and what following the estimate would have cost."""
    sources = tuple(row for row in measured if row.source not in controls)
    best = _best(sources)
    said = []
    if best:
        said.append(f"Best confirmed by training: {_name(best)} with {best.strategy}, {_accuracy(best)}.")
        said.append(nothing_learned(best))
    top = _best(row for row in measured if row.source in controls)
    if top and (best is None or not beyond(best, top)):
        where = "" if best is None else ", above it" if top.accuracy > best.accuracy else ", within noise of it"
        said.append(f"A control reached {_accuracy(top)}{where}: {_name(top)} with {top.strategy}.")
    if leader and sources:
        said += [_regret(rows, leader, strategy) for strategy, rows in _by_strategy(sources).items()]
    return [text for text in said if text]


def nothing_learned(row: Confirmed) -> str:
    """A sentence where what was measured is what needs no training."""
    least, instead = NOTHING.get(row.metric, (-math.inf, ""))
    if row.accuracy - least > NOISE * row.standard_error:
        return ""
    return f"That is no better than {instead}{'' if row.accuracy <= least else ', within noise'}."


def _regret(rows: list[Confirmed], leader: Candidate, strategy: str) -> str:
    """Whether the estimate's first choice was the best under one strategy, and what it cost if not."""
    mine = _best(row for row in rows if row.source == leader.source)
    n = len({row.source for row in rows})
    if mine is None:
        return f"The estimate's first choice, {_name(leader)}, was not trained with {strategy}."
    if n < 2:
        return f"With {strategy} only {_name(leader)} was trained, so the order is not checked there."
    best = max(rows, key=lambda row: row.accuracy)
    of = f"of {n} trained with {strategy}"
    if mine.accuracy == best.accuracy:
        return f"The estimate picked the best {of}: {_name(leader)}, no regret."
    lost = best.accuracy - mine.accuracy
    noise = f"{'beyond' if beyond(best, mine) else 'within'} the noise of the test set"
    return (
        f"The estimate did not pick the best {of}: {_name(leader)} reached {percent(mine.accuracy)}, "
        f"{_name(best)} {percent(best.accuracy)}; regret {points(lost)}, {noise}."
    )


def _accuracy(row: Confirmed) -> str:
    return f"{percent(row.accuracy)} {row.metric} (± {points(row.standard_error)} on {row.n_test} test samples)"


def _best(rows: Iterable[Confirmed]) -> Confirmed | None:
    return max(rows, key=lambda row: row.accuracy, default=None)


def _by_strategy(rows: Iterable[Confirmed]) -> dict[str, list[Confirmed]]:
    found: dict[str, list[Confirmed]] = {}
    for row in rows:
        found.setdefault(row.strategy, []).append(row)
    return found


def _name(found: Candidate | Confirmed) -> str:
    return shorten(found.source, 80)


def _names(sources: list[str]) -> str:
    return listed([shorten(name, 80) for name in sources])


def _value(candidate: Candidate, by: str) -> float | None:
    found = candidate.scores.get(by)
    return None if found is None else found.value
