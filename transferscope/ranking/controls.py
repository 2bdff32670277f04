"""Orders that need no features: what they would take, and what measuring added over them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from ..evaluate.measures import weighted_kendall
from ..results import Candidate, SourceCard
from ..trust import Control
from .paired import gain


def measure_controls(
    ranked: Sequence[Candidate],
    order: Mapping[str, float],
    cards: Mapping[str, SourceCard],
    *,
    by: str,
    source_accuracy: Mapping[str, float],
    history: Mapping[str, float],
) -> tuple[Control, ...]:
    """Every control that says something of at least one ranked source.

    Parameters
    ----------
    ranked : sequence of Candidate
        Each source at its best, and the controls that were scored, the random twins and the raw input.
    order : mapping of source to value
        What orders the sources, higher first.
    cards : mapping of source to SourceCard
    by : str
        The scorer whose gain is the lift.
    source_accuracy, history : mapping of source to value
        Accuracy on the sources' own tasks where it was given (it goes before what their cards say), and the static
        prior.
    """
    best = {c.source: c for c in ranked}
    if not order:
        return ()
    leader = best[max(order, key=lambda name: order[name])]
    sizes = {name: float(cards[name].n_parameters) for name in order if name in cards}
    flops = {name: float(value) for name in order if name in cards and (value := cards[name].flops)}
    if len(order) < 2:  # any order takes the only source
        return tuple(_scored(ranked, leader, by))
    own = {name: value for name, card in cards.items() if (value := card.source_accuracy) is not None}
    orders = {"n_parameters": sizes, "flops": flops, "source_accuracy": {**own, **source_accuracy}, "history": history}
    found = [_of_order(name, values, order, best, leader, by) for name, values in orders.items()]
    return (*(control for control in found if control), *_scored(ranked, leader, by))


def _of_order(
    name: str,
    values: Mapping[str, float],
    order: Mapping[str, float],
    best: Mapping[str, Candidate],
    leader: Candidate,
    by: str,
) -> Control | None:
    """What an order by known facts would have taken."""
    known = [source for source in order if source in values]
    if not known:
        return None
    first = max(known, key=lambda source: values[source])
    lift = gain(leader, best[first], by)
    tau = weighted_kendall([values[s] for s in known], [order[s] for s in known]) if len(known) > 1 else float("nan")
    gained, error = lift or (None, None)
    return Control(name, first, gained, error, tau if tau == tau else None)


def _scored(ranked: Sequence[Candidate], leader: Candidate, by: str) -> Iterator[Control]:
    """The raw input, and the best of the random twins."""
    for name, kind in (("raw", "raw"), ("twin", "random")):
        rivals = [(c, lift) for c in ranked if c.control == kind and (lift := gain(leader, c, by))]
        if rivals:
            rival, lift = min(rivals, key=lambda pair: pair[1][0])
            yield Control(name, rival.source, lift[0], lift[1], None)
