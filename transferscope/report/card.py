"""The model-selection card: what was selected, on what grounds and at what cost, as YAML to keep beside a model."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ..advices import Advice
from ..results import Candidate, Confirmed
from ..tasks import ANSWERS
from .answer import answer, measured_best
from .formats import clean
from .study import Study
from .trust import best_set, cautions
from .verdict import decide

VERSION = 1
_UNWRITABLE = {code: f"\\u{code:04x}" for code in (0xFEFF, 0xFFFE, 0xFFFF)}  # that YAML takes as escapes alone


def cards(studies: Iterable[Study]) -> str:
    """A YAML document per target."""
    return "".join(f"---\n{_yaml(_card(study))}" for study in studies)


def _card(study: Study) -> dict[str, Any]:
    ranking = study.ranking
    verdict = decide(ranking, study.confirmed, study.controls)
    chosen = measured_best(study)
    source = chosen.source if chosen else verdict.leader.source if verdict.leader else None
    candidate = next((c for c in ranking.best() if c.source == source), None) if ranking else None
    found = answer(study, verdict)
    questions = dict(found.rows)
    stamps = [
        *([ranking.stamp] if ranking else []),
        *(truth.stamp for truth in study.truths),
        *(made.stamp for made in study.advised),
    ]
    return {
        "kind": "model-selection card",
        "version": VERSION,
        "target": {
            "name": study.target.name,
            "modality": study.target.modality,
            "samples": study.target.n_samples,
            "task": study.target.task,
            ANSWERS[study.target.task]: len(study.target.classes),
            "content_sha256": study.target.content_sha256,
            "split_sha256": study.split.sha256,
        },
        "vetoes": list(found.vetoes),
        "selected": _selected(study, source, candidate),
        "transfer": _transfer(chosen, study.advice_on(source) if source else None),
        "certainty": {
            "headline": verdict.headline,
            "ordered_by": (ranking.ordered_by or ranking.rank_by) if ranking else None,
            "beats_controls": verdict.adds,
            "best_set": [{"source": s.source, "p_best": s.p_best} for s in best_set(ranking)] if ranking else [],
        },
        "cost": _cost(study, source, chosen),
        "cautions": cautions(ranking) if ranking else [],
        "to_be_surer": list(questions.get("To be surer", ())),
        "made_by": [
            {"command": s.command, "created": s.created, "seed": s.seed, "versions": dict(s.versions)} for s in stamps
        ],
    }


def _selected(study: Study, source: str | None, candidate: Candidate | None) -> dict[str, Any]:
    card = study.ranking.card(source) if study.ranking and source else None
    made: dict[str, Any] = {"source": source}
    if candidate:
        made |= {
            "layer": candidate.layer,
            "pooling": candidate.pooling,
            "features": candidate.n_features,
            "adapter": [{"converter": s.converter, "settings": dict(s.settings)} for s in candidate.path],
            "scores": {name: score.value for name, score in candidate.scores.items()},
        }
    if card:
        made |= {
            "architecture": card.architecture,
            "parameters": card.n_parameters,
            "pretraining": card.pretraining,
            "license": card.license,
            "weights_sha256": card.weights_sha256,
        }
    return made


def _transfer(chosen: Confirmed | None, advice: Advice | None) -> dict[str, Any]:
    """As it was trained; else as was advised; else by a linear probe, which is what the ranking has read."""
    if chosen is None and advice is not None:
        return {
            "strategy": "linear_probe" if advice.way == "frozen" else advice.way,
            "confirmed": False,
            "sure": advice.sure,
            "expected_gain_of_fine_tuning": [advice.gain_low, advice.gain, advice.gain_high],
            "breaks_even_at_samples": advice.break_even,
        }
    if chosen is None:
        return {"strategy": "linear_probe", "confirmed": False}
    kept = [run for run in chosen.runs if run.test_accuracy is not None]
    return {
        "strategy": chosen.strategy,
        "confirmed": True,
        "quick": chosen.quick,
        "layer": chosen.layer,
        "learning_rates": sorted({run.learning_rate for run in kept if run.learning_rate is not None}),
        "seeds": sorted({run.seed for run in kept}),
        "metric": chosen.metric,
        "accuracy": chosen.accuracy,
        "standard_error": chosen.standard_error,
        "test_samples": chosen.n_test,
    }


def _cost(study: Study, source: str | None, chosen: Confirmed | None) -> dict[str, Any]:
    costs = study.ranking.costs if study.ranking else ()
    cost = next((cost for cost in costs if cost.source == source), None)
    return {
        "device": cost.device if cost else None,
        "latency_seconds": cost.latency if cost else None,
        "flops_per_sample": cost.flops if cost else None,
        "full_tuning_bytes": cost.tuning_bytes if cost else None,
        "full_tuning_epoch_seconds": cost.tuning_seconds if cost else None,
        "training_seconds": chosen.seconds if chosen else None,
    }


def _yaml(value: Any, depth: int = 0) -> str:
    """Block style; scalars are JSON, which YAML reads, so that no name can be anything but a string."""
    pad = "  " * depth
    if isinstance(value, Mapping):
        return "".join(f"{pad}{_key(str(key))}:{_under(item, depth)}" for key, item in value.items())
    return "".join(f"{pad}-{_under(item, depth)}" for item in value)


def _under(value: Any, depth: int) -> str:
    if isinstance(value, Mapping | Sequence) and not isinstance(value, str):
        if not value:
            return " {}\n" if isinstance(value, Mapping) else " []\n"
        return f"\n{_yaml(value, depth + 1)}"
    return f" {_scalar(value)}\n"


def _scalar(value: Any) -> str:
    if not isinstance(value, str):
        return json.dumps(value)
    return json.dumps(clean(value), ensure_ascii=False).translate(_UNWRITABLE)


def _key(name: str) -> str:
    """Plain where it is a word that no reader takes for more."""
    return name if name.isidentifier() and name.isascii() and name not in _WORDS else _scalar(name)


_WORDS = {"true", "false", "null", "yes", "no", "on", "off", "y", "n"}  # that some readers take for more than words
