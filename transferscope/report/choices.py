"""What the choices within each source were worth, in sentences: adapter, layer, pooling, alignment, and its twin."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby

from ..choices import NOISE, Alignment, Effect, Selection
from ..results import Candidate, Ranking
from .formats import arrows, clean, listed, noun, number, percent, shorten, with_error

NAME_WIDTH = 60  # characters


def runs(places: Iterable[int]) -> list[tuple[int, int]]:
    """First and last of each stretch of neighbours, of ascending numbers."""
    found = []
    for _, pairs in groupby(enumerate(places), key=lambda pair: pair[1] - pair[0]):
        run = [place for _, place in pairs]
        found.append((run[0], run[-1]))
    return found


def compares(ranking: Ranking) -> bool:
    """Whether more than layers was compared within a source."""
    return len({c.pooling for c in ranking.candidates}) > 1 or any(c.choices for c in ranking.candidates)


def how(ranking: Ranking, candidate: Candidate) -> str:
    """What tells this candidate from others of its layer: pooling and converter options, where they were compared."""
    parts = [candidate.pooling] if len({c.pooling for c in ranking.candidates}) > 1 else []
    if any(c.choices for c in ranking.candidates if c.source == candidate.source):
        parts += [choice.partition("?")[2] for choice in candidate.choices] or ["default adapter"]
    return clean(", ".join(parts))


def curve(ranking: Ranking, like: Candidate) -> list[Candidate]:
    """All layers under one adapter and pooling, from input to output.

    Layers whose poolings are all equal are there under one of them only, which stands for all.
    """
    card = ranking.card(like.source)
    own = [c for c in ranking.candidates if (c.source, c.choices) == (like.source, like.choices)]
    own.sort(key=lambda c: (c.pooling != like.pooling, c.pooling != "mean"))
    of_layer: dict[str, Candidate] = {}
    for candidate in own:
        of_layer.setdefault(candidate.layer, candidate)
    order = {layer: place for place, layer in enumerate(card.layers)} if card else {}
    return sorted(of_layer.values(), key=lambda c: order.get(c.layer, len(order)))


def choice_notes(ranking: Ranking) -> list[str]:
    """One paragraph per source that had choices, best source first."""
    told = ((best, source_note(ranking, best)) for best in ranking.best() if not best.control)
    return [f"{shorten(best.source, NAME_WIDTH)}: {text}" for best, text in told if text]


def source_note(ranking: Ranking, best: Candidate) -> str:
    """What the choices within one source were worth; empty where it had none."""
    effects = [effect for effect in ranking.effects if effect.source == best.source]
    selection = selection_of(ranking, best.source)
    said = [
        _mattered(effects),
        _ties(selection, curve(ranking, best), best) if selection else "",
        *(_alignment(found, ranking.rank_by) for found in ranking.alignments if found.source == best.source),
    ]
    return " ".join(clean(sentence) for sentence in said if sentence)


def selection_of(ranking: Ranking, source: str) -> Selection | None:
    """How sure the best candidate of `source` is."""
    return next((found for found in ranking.selections if found.source == source), None)


def chosen_of_many(selection: Selection | None) -> str:
    """What choosing does to the value of what is chosen."""
    if selection is None:
        return ""
    said = f"It is the best of {noun(selection.n_candidates, 'candidate')}, chosen and scored on the same samples"
    if selection.optimism is None:
        return f"{said}, so its value is too high by an unknown amount."
    return f"{said}; that makes its value too high by about {number(selection.optimism)}, estimated on halves of them."


def alarms(ranking: Ranking) -> list[str]:
    """Sources that do not beat their own random-weights twin beyond noise."""
    return [gap.source for gap in ranking.twins if gap.beats is False]


def alarm(ranking: Ranking) -> str:
    """The alarm as a sentence; empty where there is none."""
    named = [
        f"{shorten(gap.source, NAME_WIDTH)} ({_signed(gap.gain, gap.standard_error)})"
        for gap in ranking.twins
        if gap.beats is False
    ]
    if not named:
        return ""
    return (
        f"Negative-transfer alarm (!): not better than their own random-weights twin by more than {NOISE} standard "
        f"errors of the paired difference: {listed(named)}."
    )


def _mattered(effects: Sequence[Effect]) -> str:
    """Each choice against its default, the one that gained most first."""
    clear: list[tuple[float, str]] = []
    unclear: dict[str, list[str]] = {}
    kept: list[str] = []
    factors = dict.fromkeys(effect.factor for effect in effects)
    for factor in factors:
        own = [effect for effect in effects if effect.factor == factor]
        against = next((effect for effect in own if effect.other == effect.default), own[0])
        if against.best == against.default:
            kept.append(_the(factor))
        elif against.standard_error is not None and against.gain > NOISE * against.standard_error:
            clear.append((against.gain, _gained(against)))
        else:
            rival = "default" if against.other == against.default else "next best"
            unclear.setdefault(rival, []).append(_the(factor))
    clear.sort(key=lambda pair: -pair[0])
    parts = [said for _, said in clear]
    if parts and len(factors) > 1:
        parts[0] = parts[0].replace(" mattered", " mattered most", 1)
    parts += [f"{listed(names)} made no measurable difference from the {rival}" for rival, names in unclear.items()]
    if kept:
        parts.append(f"{listed(kept)} {'is' if len(kept) == 1 else 'are'} best as by default")
    text = "; ".join(parts)
    return f"{text[:1].upper()}{text[1:]}." if text else ""


def _gained(effect: Effect) -> str:
    other = shorten(effect.other, 40)
    if effect.factor == "layer" and effect.other == effect.default:
        other = f"the last ({other})"
    gained = with_error(effect.gain, effect.standard_error)
    return f"{_the(effect.factor)} mattered: {shorten(effect.best, 40)} instead of {other} gained {gained}"


def _the(factor: str) -> str:
    option, _, converter = factor.partition(" of ")
    return f"the {option} of {arrows(converter)}" if converter else f"the {option}"


def _ties(selection: Selection, layers: Sequence[Candidate], best: Candidate) -> str:
    """Which layers noise does not tell from the best, and how often it stays the best."""
    names = [c.layer for c in layers]
    if len(names) < 2:
        return ""
    if len(selection.tied_layers) == 1:
        said = f"No other layer is within noise of {shorten(best.layer, 40)}"
    else:
        places = [names.index(layer) for layer in selection.tied_layers if layer in names]
        tied = [
            shorten(names[first], 40) + (f" to {shorten(names[last], 40)}" if last > first else "")
            for first, last in runs(places)
        ]
        said = f"Layers {listed(tied, most=4)} are tied, within noise"
    if not selection.layer_shares:
        return f"{said}."
    share = selection.layer_shares.get(best.layer, 0.0)
    return f"{said}; {shorten(best.layer, 40)} is the best with {percent(share)} of the blocks left out."


def _alignment(found: Alignment, by: str) -> str:
    """The distance that was closed beside what it bought."""
    verb = "closed" if found.after < found.before else "widened"
    said = f"{found.align} {verb} the distance ({found.measure}) from {number(found.before)} to {number(found.after)}"
    if found.gain is None:
        return f"{said}; what that did to {by} is unknown, since align=none was not ranked beside it."
    change = _signed(found.gain, found.standard_error)
    if found.standard_error is None:
        verdict = "its noise is unknown"
    elif abs(found.gain) <= NOISE * found.standard_error:
        verdict = "no measurable gain"
    else:
        verdict = "a gain beyond noise" if found.gain > 0 else "a loss beyond noise"
    return f"{said} and changed {by} by {change}: {verdict}."


def _signed(value: float, error: float | None) -> str:
    return f"{'+' if value >= 0 else ''}{with_error(value, error)}"
