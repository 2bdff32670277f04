"""The first screen: what to use, how to transfer it, how sure that is, what it costs, and what would make it surer."""

from __future__ import annotations

from dataclasses import dataclass

from ..results import Candidate, Confirmed
from ..spending import Cost
from .advice import headline
from .choices import how
from .formats import NBSP, capital, clean, duration, large, listed, noun, percent, points, route, shorten
from .study import Study
from .tables import collapsed
from .trust import best_sentence, cheapest_sentence, milliseconds, name, separation_sentence, vetoes
from .verdict import Verdict, beyond, nothing_learned

NAME_WIDTH = 80  # characters
WORDS = {
    "full": "full fine-tuning", "lora": "LoRA", "lp_ft": "LP-FT (a linear probe, then full fine-tuning)",
    "l2_sp": "L2-SP (full fine-tuning, pulled towards the pretrained weights)", "partial": "training the last blocks",
    "bias_norm": "training biases and norms", "joint": "training jointly with the source's own task",
    "aligned": "fine-tuning with features aligned to the source's own data",
}  # fmt: skip
FEW_TEST = 0.02  # standard error of an accuracy above which more test samples are asked for


@dataclass(frozen=True)
class Answer:
    """What a person needs to go on.

    Attributes
    ----------
    vetoes : tuple of str
        What makes every number below mean nothing until it is mended; they are shown first.
    rows : tuple of (str, tuple of str)
        A question and its sentences; the first sentence is the answer. No row is empty.
    """

    vetoes: tuple[str, ...]
    rows: tuple[tuple[str, tuple[str, ...]], ...]


def answer(study: Study, verdict: Verdict) -> Answer:
    """The answer for one target, from what was ranked and what was trained."""
    chosen = measured_best(study)
    source = chosen.source if chosen else verdict.leader.source if verdict.leader else None
    wrong = tuple(vetoes(study.ranking)) if study.ranking else ()
    if source is None:
        return Answer(wrong, ())
    rows = (
        ("Use", _use(study, verdict, source, bool(wrong))),
        ("Transfer it by", _transfer(study, verdict, chosen)),
        ("How sure", _sure(study, verdict)),
        ("Cost", _cost(study, source, chosen)),
        ("To be surer", _surer(study, chosen)),
    )
    said = ((question, tuple(clean(text) for text in texts if text)) for question, texts in rows)
    return Answer(wrong, tuple((question, texts) for question, texts in said if texts))


def measured_best(study: Study) -> Confirmed | None:
    """What training measured best of the sources; a first look counts only where there is nothing else."""
    rows = [row for row in study.confirmed if row.source not in study.controls and not collapsed(row)]
    return next((row for row in rows if not row.quick), rows[0] if rows else None)


def _use(study: Study, verdict: Verdict, source: str, vetoed: bool) -> list[str]:
    said = [f"{shorten(source, NAME_WIDTH)}."]
    if vetoed:
        said = ["Nothing yet: mend the above and rank again.", f"As it stands the first is {said[0]}"]
    if verdict.adds is False:
        said.append("With care: the ranking does not put its first source beyond noise above its controls.")
    leader = verdict.leader
    if leader is None or leader.source == source:
        return said
    trained = {row.source for row in study.confirmed}
    lost = "" if leader.source in trained else ", which was not trained"
    return [*said, f"Training measured it best; the ranking had put {name(leader.source)} first{lost}."]


def _transfer(study: Study, verdict: Verdict, chosen: Confirmed | None) -> list[str]:
    """From the best evidence there is: training, then measured advice, then the ranking alone."""
    if chosen is not None:
        found = study.advice_on(chosen.source)
        return [*_as_trained(study, chosen), *([f"Advice before training: {headline(found)}"] if found else [])]
    if verdict.leader is None:
        return []
    if found := study.advice_on(verdict.leader.source):
        return [headline(found), *found.reasons[:2], "No training has confirmed this yet."]
    return _as_ranked(study, verdict.leader)


def _as_trained(study: Study, chosen: Confirmed) -> list[str]:
    kept = sorted({run.learning_rate for run in chosen.runs if run.test_accuracy is not None and run.learning_rate})
    rate = f", learning rate {listed([f'{rate:g}' for rate in kept])}" if kept else ""
    said = [f"{_way(chosen.strategy)}, the new head at layer {shorten(chosen.layer, 40)}{rate}."]
    said.append(
        f"Measured {percent(chosen.accuracy)} test {chosen.metric} (±{NBSP}{points(chosen.standard_error)} on "
        f"{noun(chosen.n_test, 'test sample')}{', a quick first look' if chosen.quick else ''})."
    )
    said += [text for text in (nothing_learned(chosen),) if text]
    others = [row for row in study.confirmed if row.source == chosen.source and row.strategy != chosen.strategy]
    cheaper = [row for row in others if row.seconds < chosen.seconds and not beyond(chosen, row)]
    if cheaper:
        row = min(cheaper, key=lambda row: row.seconds)
        said.append(
            f"Within noise of it and cheaper: {_words(row.strategy)}, {percent(row.accuracy)} in "
            f"{duration(row.seconds)} in place of {duration(chosen.seconds)}."
        )
    return said


def _as_ranked(study: Study, leader: Candidate) -> list[str]:
    ranking = study.ranking
    told = how(ranking, leader) if ranking else ""
    way = route(step.converter for step in leader.path)
    layer = f"{shorten(leader.layer, 40)}{f' ({told})' if told else ''}"
    said = [f"A linear probe on layer {layer}, fed by the adapter path {way}."]
    card = ranking.card(leader.source) if ranking else None
    if card and card.layers and leader.layer != card.layers[-1]:
        said.append(f"Cut the network there: the last layer ({shorten(card.layers[-1], 40)}) is not its best.")
    return [*said, "No training has confirmed this yet."]


def _sure(study: Study, verdict: Verdict) -> list[str]:
    ranking = study.ranking
    if ranking is None:
        return []
    first = best_sentence(ranking) or next((text for text in verdict.details), "")
    said = [first]
    if verdict.adds:
        said.append("It beats its random twin and the raw input, as far as they were ranked, beyond noise.")
    elif verdict.adds is None:
        said.append("Whether it beats an untrained twin and the raw input is unknown.")
    for row in ranking.standings[:1]:
        if row.predicted is not None and row.predicted_low is not None and row.predicted_high is not None:
            low, high = percent(row.predicted_low), percent(row.predicted_high)
            what = capital(ranking.target.metric)
            said.append(f"{what} after training, from the history: {percent(row.predicted)} ({low} to {high}).")
    return said


def _cost(study: Study, source: str, chosen: Confirmed | None) -> list[str]:
    ranking = study.ranking
    said = []
    if ranking:
        cost = next((cost for cost in ranking.costs if cost.source == source), None)
        card = ranking.card(source)
        if cost:
            said.append(_price(cost))
        elif card:
            said.append(f"{large(card.n_parameters)} parameters; licence {card.license or 'not stated'}.")
    if chosen:
        said.append(f"Training it as above took {duration(chosen.seconds)} in all.")
    return [*said, cheapest_sentence(ranking)] if ranking else said


def _price(cost: Cost) -> str:
    parts = [f"{large(cost.n_parameters)} parameters"]
    if cost.latency is not None:
        parts.append(f"{milliseconds(cost.latency)} a sample on {cost.device}")
    if cost.tuning_bytes is not None:
        parts.append(f"full fine-tuning about {cost.tuning_bytes / 2**30:.2g}{NBSP}GiB")
    if cost.tuning_seconds is not None:
        parts.append(f"{duration(cost.tuning_seconds)} an epoch")
    return f"{', '.join(parts)}; licence {cost.license or 'not stated'}."


def _surer(study: Study, chosen: Confirmed | None) -> list[str]:
    ranking = study.ranking
    said = [separation_sentence(found, ranking.rank_by) for found in ranking.separations[:1]] if ranking else []
    held = [s.source for s in ranking.standings if s.in_best_set] if ranking else []
    untrained = [source for source in held if source not in {row.source for row in study.confirmed}]
    if untrained:
        them = f"the best set, {listed([name(source) for source in untrained])}" if not chosen else (
            f"{listed([name(source) for source in untrained])} too, of the best set"
        )  # fmt: skip
        said.append(f"Train {them}: transferscope confirm RANKING --top {len(held)}.")
    if chosen and chosen.spread is None:
        said.append("Train it with more seeds (--seeds): it was trained with one.")
    if chosen and chosen.standard_error > FEW_TEST:
        error = points(chosen.standard_error)
        said.append(f"More test samples: {chosen.n_test} leave a standard error of {error}.")
    if ranking and not any(c.control for c in ranking.candidates):
        said.append("Rank random twins and the raw input beside it: without them, what it adds is unknown.")
    return said


def _words(strategy: str) -> str:
    return WORDS.get(strategy, strategy.replace("_", " "))


def _way(strategy: str) -> str:
    """A strategy as the beginning of a sentence."""
    return capital(_words(strategy))
