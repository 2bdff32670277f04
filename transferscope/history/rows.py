"""What the history keeps of a result."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from ..results import Ranking, Truth, is_control
from . import schema


def of_ranking(ranking: Ranking) -> dict[sa.Table, list[dict[str, Any]]]:
    """Scores and costs of each source at its best candidate."""
    controls = {c.source for c in ranking.candidates if c.control}
    scores = [
        {
            **_of(ranking, c.source, c.source in controls), "layer": c.layer, "pooling": c.pooling,
            "choices": "; ".join(c.choices), "scorer": score.name, "value": score.value,
            "standard_error": score.standard_error, "higher_is_better": score.higher_is_better,
            "saturated": score.saturated, "n_samples": score.n_samples, "n_features": score.n_features,
        }
        for c in ranking.best() if not c.dropped
        for score in c.scores.values() if score.value is not None
    ]  # fmt: skip
    costs = [
        {
            **_of(ranking, cost.source, cost.source in controls), "device": cost.device, "license": cost.license,
            "n_parameters": cost.n_parameters, "flops": cost.flops, "latency": cost.latency,
            "throughput": cost.throughput, "tuning_bytes": cost.tuning_bytes, "tuning_seconds": cost.tuning_seconds,
        }
        for cost in ranking.costs
    ]  # fmt: skip
    return {schema.scores: scores, schema.costs: costs}


def of_truth(truth: Truth) -> dict[sa.Table, list[dict[str, Any]]]:
    """What training measured."""
    found = [
        {
            **_of(truth, row.source, is_control(row.source)),
            "layer": row.layer, "strategy": row.strategy, "accuracy": row.accuracy, "metric": row.metric,
            "spread": row.spread, "standard_error": row.standard_error, "n_test": row.n_test, "seconds": row.seconds,
        }
        for row in truth.confirmed
    ]  # fmt: skip
    return {schema.accuracies: found}


def _of(result: Ranking | Truth, source: str, is_control: bool) -> dict[str, Any]:
    target = result.target
    return {"target": target.name, "target_key": target.content_sha256, "modality": target.modality,
            "source": source, "is_control": is_control}  # fmt: skip
