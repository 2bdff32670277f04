"""Which choice mattered: each source's best candidate beside those that differ from it in one choice."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from ..adapters import CONVERTERS, parse_choice
from ..choices import NOISE, Alignment, Effect, TwinGap
from ..results import Candidate, SourceCard
from .paired import gain

UNALIGNED = "none"


def factors(candidate: Candidate) -> dict[str, str]:
    """Every choice that this candidate is made of: layer, pooling, and the options of its converters."""
    chosen = dict(map(parse_choice, candidate.choices))
    options = {
        f"{option} of {name}": chosen.get(name, {}).get(option, values[0])
        for name in dict.fromkeys(step.converter for step in candidate.path)
        if name in CONVERTERS
        for option, values in CONVERTERS[name].options.items()
    }
    return {"layer": candidate.layer, "pooling": candidate.pooling, **options}


def measure_effects(
    candidates: Sequence[Candidate], cards: Iterable[SourceCard], poolings: Sequence[str], by: str
) -> tuple[Effect, ...]:
    """Per source that is no control and per choice: the best alternative, and the default where that is another."""
    found: list[Effect] = []
    for card in cards:
        own = [c for c in candidates if c.source == card.name and c.control is None]
        best = next((c for c in own if c.is_best_layer), None)
        if best is None:
            continue
        for factor, value in factors(best).items():
            default = _default(factor, own, card, poolings)
            found += _of_factor(best, _others(best, own, factor, poolings[0]), factor, value, default, by)
    return tuple(found)


def _of_factor(
    best: Candidate, others: Mapping[str, Candidate], factor: str, value: str, default: str, by: str
) -> list[Effect]:
    gains = {name: found for name, other in others.items() if (found := gain(best, other, by))}
    if not gains:
        return []
    nearest = min(gains, key=lambda name: gains[name][0])
    shown = dict.fromkeys([nearest, *([default] if default in gains else [])])
    return [Effect(best.source, factor, value, name, default, *gains[name]) for name in shown]


def _others(best: Candidate, own: Sequence[Candidate], factor: str, first: str) -> dict[str, Candidate]:
    """Candidates that differ from the best in one factor alone, by what they have there.

    A layer whose poolings are all equal is there under the first of them only.
    """
    mine = factors(best)
    found: dict[str, Candidate] = {}
    for candidate in own:
        theirs = factors(candidate)
        apart = {name for name in mine if mine[name] != theirs.get(name)}
        if apart == {factor}:
            found[theirs[factor]] = candidate
        elif apart == {factor, "pooling"} and theirs["pooling"] == first:
            found.setdefault(theirs[factor], candidate)
    return found


def _default(factor: str, own: Sequence[Candidate], card: SourceCard, poolings: Sequence[str]) -> str:
    if factor == "layer":
        return card.layers[-1]
    if factor == "pooling":
        return "mean" if "mean" in poolings else poolings[0]
    option, _, name = factor.partition(" of ")
    return CONVERTERS[name].options[option][0]


def measure_twins(candidates: Sequence[Candidate], cards: Iterable[SourceCard], by: str) -> tuple[TwinGap, ...]:
    """Every source that has a random-weights twin beside it; those that do not beat it are a warning.

    References
    ----------
    Wang, Dai, Poczos and Carbonell, "Characterizing and Avoiding Negative Transfer", CVPR 2019 (transfer is negative
    where learning without the source does better); Raghu, Zhang, Kleinberg and Bengio, "Transfusion", NeurIPS 2019
    (random weights as the control).
    """
    best = {c.source: c for c in candidates if c.is_best_layer}
    found = []
    for card in cards:
        source, twin = best.get(card.twin_of or ""), best.get(card.name)
        measured = gain(source, twin, by) if source and twin else None
        if source and twin and measured:
            value, error = measured
            found.append(TwinGap(source.source, twin.source, value, error, beats(value, error)))
    return tuple(found)


def beats(value: float, error: float | None) -> bool | None:
    """Whether a gain is above noise; one that is not above 0 never is."""
    if value <= 0:
        return False
    return None if error is None else value > NOISE * error


def measure_alignments(candidates: Sequence[Candidate], by: str) -> tuple[Alignment, ...]:
    """Per source and kind of alignment, at the best layer and pooling: the distance closed, and the score gained.

    Bridges record distances as ``mmd_none`` (without alignment) and ``mmd_now`` (with theirs), and so on.
    """
    found: list[Alignment] = []
    for best in (c for c in candidates if c.is_best_layer and c.control is None):
        mine = factors(best)
        factor = next((name for name in mine if name.startswith("align of ")), None)
        if factor is None:
            continue
        own = [c for c in candidates if c.source == best.source]
        variants = {**_others(best, own, factor, best.pooling), mine[factor]: best}
        for align, candidate in variants.items():
            if align != UNALIGNED and (distance := _distance(candidate, align)):
                plain = variants.get(UNALIGNED)
                measured = gain(candidate, plain, by) if plain else None
                found.append(Alignment(best.source, align, *distance, *(measured or (None, None))))
    return tuple(found)


def _distance(candidate: Candidate, align: str) -> tuple[str, float, float] | None:
    """The measure that this alignment shrinks, else the first one recorded: its name, value before and after."""
    pairs = {
        key.removesuffix("_now"): (step.settings.get(f"{key.removesuffix('_now')}_{UNALIGNED}"), value)
        for step in candidate.path
        for key, value in step.settings.items()
        if key.endswith("_now")
    }
    known = {
        name: (float(before), float(after))
        for name, (before, after) in pairs.items()
        if isinstance(before, int | float) and isinstance(after, int | float)
    }
    name = align if align in known else next(iter(known), None)
    return (name, *known[name]) if name else None
