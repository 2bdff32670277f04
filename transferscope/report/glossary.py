"""How to read each number: what it is, which way is better, and what it does not mean."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ..choices import NOISE
from ..results import Evaluation, Ranking
from ..scorers.combine import COMBINATIONS
from ..scorers.registry import SCORERS
from .choices import alarms
from .formats import clean
from .study import Study


@dataclass(frozen=True)
class Entry:
    """One term."""

    term: str
    text: str
    reference: str = ""


ERROR = Entry(
    "±",
    "One standard error. Differences below 1.645 joint standard errors are called ties: noise alone gives such a "
    "difference in one of ten comparisons of equals.",
)
LAYER = Entry(
    "best layer",
    "The layer, and the adapter and pooling where several were compared, with the best value of the ranking scorer. "
    "It is chosen and scored on the same samples, so its value is too good, the more so the more candidates there "
    "were; a twin is chosen the same way. How much is estimated by choosing on half of the blocks of samples and "
    "reading on the other half.",
    "Cawley and Talbot, JMLR 2010",
)
ALARM = Entry(
    "negative-transfer alarm, no better than its twin",
    f"The source is not above its own random-weights twin by more than {NOISE} standard errors of their difference on "
    "the same samples (one-sided, 95 %), each at its best candidate: what it learnt before does not show here.",
    "Wang et al., CVPR 2019",
)
TWIN = Entry(
    "random twin",
    "The same architecture with untrained weights. What a source adds over its twin is what pretraining added.",
)
RAW = Entry("raw input", "The data themselves as features, no model. A source that does not beat them adds nothing.")
SKETCH = Entry("FLOPs", "Floating-point operations of one sample's forward pass: two per multiply-add.")
CONFIRMED = Entry(
    "confirmed accuracy",
    "Share of test samples classified rightly after training; no score saw these samples. Its standard error is that "
    "of the test set's size alone; the spread is over training seeds.",
)
SIMILARITY = Entry(
    "CKA",
    "Centred kernel alignment: how alike two sources arrange the same samples, 1 for the same up to rotation and "
    "scale. Alike does not mean equally useful.",
    "Kornblith et al., ICML 2019",
)
MAP = Entry(
    "map of the sources",
    "Sources, and the target's classes as if they were one, placed in two dimensions so that squared distances come "
    "near 1 minus their CKA. Stress is the relative error of the distances on the map: below 0.1 it is faithful, "
    "above 0.2 it shows the rough order alone.",
    "Torgerson, Psychometrika 1952; Kruskal, Psychometrika 1964; Cristianini et al., NeurIPS 2001",
)
DISCREPANCY = Entry(
    "MMD",
    "Maximum mean discrepancy: distance between a source's own data and the target in its features; 0 for the same "
    "distribution. Far from the source's data does not mean that it transfers badly.",
    "Gretton et al., JMLR 2012",
)
AGREEMENT = Entry(
    "weighted Kendall, Kendall, Spearman, Pearson",
    "Agreement between a scorer's order of the sources and their measured accuracies: 1 the same order, 0 none, "
    "\u22121 reversed. The weighted Kendall counts the top ranks more. With under 15 sources the intervals are wide.",
    "Vigna, WWW 2015 (weighted Kendall)",
)
REGRET = Entry("regret", "Accuracy lost by taking the source that the scorer puts first instead of the best measured.")


def entries(studies: Iterable[Study], evaluations: Iterable[Evaluation]) -> list[Entry]:
    """The terms this report uses, scorers first."""
    studies = list(studies)
    rankings = [study.ranking for study in studies if study.ranking]
    found = [explain(name, rankings) for name in dict.fromkeys(n for r in rankings for n in r.scorers)]
    if rankings:
        found += [ERROR, LAYER]
    controls = {c.control for ranking in rankings for c in ranking.candidates}
    found += [TWIN] * ("random" in controls) + [RAW] * ("raw" in controls)
    found += [ALARM] * any(alarms(ranking) for ranking in rankings)
    found += [SKETCH] * any(card.flops is not None for ranking in rankings for card in ranking.sources)
    found += [CONFIRMED] * any(study.confirmed for study in studies)
    found += [SIMILARITY] * any("cka" in s.measure for ranking in rankings for s in ranking.similarity)
    found += [MAP] * any(ranking.source_map for ranking in rankings)
    found += [DISCREPANCY] * any("mmd" in d.measure for ranking in rankings for d in ranking.discrepancy)
    found += [AGREEMENT, REGRET] * any(evaluation.agreements for evaluation in evaluations)
    return found


def explain(name: str, rankings: Iterable[Ranking]) -> Entry:
    """A scorer's own words from the registry; for one that is not installed here, what the results tell."""
    if name in SCORERS:
        spec = SCORERS[name]
        better = "Higher" if spec.higher_is_better else "Lower"
        text = f"{_sentence(spec.meaning)} {better} is better; range {spec.range}. {_sentence(spec.misleads)}"
        if not spec.comparable_across_widths:
            text += " Not comparable across feature widths."
        return Entry(name, text, spec.reference)
    if name in COMBINATIONS:
        together = COMBINATIONS[name]
        signs = {1: "plus", -1: "minus"}
        parts = " ".join(f"{signs[sign]} {part}" for part, sign in together.parts.items()).removeprefix("plus ")
        text = f"Over all sources, each brought to 0 to 1: {parts}. {together.misleads}"
        return Entry(name, text, together.reference)
    scores = (c.scores[name] for ranking in rankings for c in ranking.candidates if name in c.scores)
    score = next(scores, None)
    direction = "" if score is None else f"{'Higher' if score.higher_is_better else 'Lower'} is better. "
    return Entry(clean(name), f"{direction}This scorer is not installed here, so its description is not known.")


def _sentence(text: str) -> str:
    text = text.strip()
    return text[:1].upper() + text[1:] + ("" if text.endswith((".", "!", "?")) else ".")
