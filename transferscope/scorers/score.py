"""`score`: several scorers on one set of features, sharing one pass, with what a reader must know beside each."""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence
from typing import Any

import numpy as np

from ..errors import ScoreError
from ..features.arrays import TASKS, Task, check_inputs, check_task, storage_eps
from ..features.moments import Moments
from ..results import Score
from .registry import SCORERS, ScorerSpec

MEANINGS: dict[str, str] = {
    "features": "the source's features",
    "labels": "the target's labels",
    "source_probs": "the softmax of the source's own head",
    "source_logits": "the logits of the source's own head",
    "label_embeddings": "what foundation models make of the labels",
    "reference_features": "the source's features of reference data",
}
MOST = 0.5  # share of the largest class from which an accuracy needs that class beside it


def score(
    features: Any,
    labels: Any,
    scorers: Sequence[str] | None = None,
    *,
    task: Task = "classification",
    source_probs: Any = None,
    source_logits: Any = None,
    label_embeddings: Any = None,
    reference_features: Any = None,
    seed: int = 0,
) -> dict[str, Score]:
    """Score features that are at hand.

    Parameters
    ----------
    features : array or tensor of shape (n_samples, n_features)
        NumPy or torch, any device and floating type; computed in float64.
    labels : classes of shape (n_samples,), or targets of shape (n_samples,) or (n_samples, n_columns)
    scorers : sequence of str, optional
        Names; default: every scorer that the task and the given arrays allow.
    task : {"classification", "multilabel", "regression"}
    source_probs, source_logits : arrays or tensors of shape (n_samples, n_source_classes), optional
        What the source's own head says, after and before the softmax: for LEEP, NCE, PACTran and energy.
    label_embeddings : array or tensor of shape (n_samples, n_dimensions, n_models), optional
        What foundation models make of each sample's label, for EMMS.
    reference_features : array or tensor of shape (n_other_samples, n_features), optional
        The same source's features of reference data, such as its own, for PED.
    seed : int, default=0
        Of scorers that draw numbers.

    Returns
    -------
    dict of str to Score
        Value, standard error where it is known, direction, seconds, warnings. The time of what scorers share is
        divided among them.

    Raises
    ------
    ScoreError
        If shapes disagree, values are not finite, there is one class only, or a named scorer needs what was not given.
    UnknownNameError
        If a scorer or the task is unknown.
    """
    arrays = {
        "features": features, "labels": labels, "source_probs": source_probs, "source_logits": source_logits,
        "label_embeddings": label_embeddings, "reference_features": reference_features,
    }  # fmt: skip
    given = {name: array for name, array in arrays.items() if array is not None}
    specs = applicable(task, given) if scorers is None else _named(scorers, task, given)
    values, targets = check_inputs(features, labels, caller="score", task=task)
    started = time.perf_counter()
    moments = Moments.from_checked(values, targets, storage_eps(features))
    options = {"task": task, "seed": seed, "moments": moments}
    _ = moments.factors
    shared = time.perf_counter() - started
    n_sharing = sum("moments" in spec.options(options) for spec in specs)
    found = {}
    for spec in specs:
        started = time.perf_counter()
        taken = spec.options(options)
        value = spec.fn(*(given[name] for name in spec.needs), **taken)
        seconds = time.perf_counter() - started + (shared / n_sharing if "moments" in taken else 0.0)
        found[spec.name] = _result(spec, float(value), seconds, moments)
    return found


def applicable(task: Task, given: Collection[str]) -> list[ScorerSpec]:
    """Every scorer defined for `task` whose arrays are among those `given`, by name."""
    check_task(task, TASKS, "score")
    return [spec for spec in SCORERS.values() if task in spec.tasks and not set(spec.needs) - set(given)]


def _named(scorers: Sequence[str], task: Task, given: Collection[str]) -> list[ScorerSpec]:
    if isinstance(scorers, str) or not scorers:
        raise ScoreError(f"score: scorers={scorers!r}; expected a list of names such as ['logme'], or None for all.")
    specs = [SCORERS[name] for name in scorers]
    for spec in specs:
        check_task(task, spec.tasks, spec.name)
        missing = [name for name in spec.needs if name not in given]
        if missing:
            told = "; ".join(f"{name}, {MEANINGS[name]}" for name in missing)
            raise ScoreError(f"{spec.name} needs {told}, and none were given; give them or leave it out.")
    return specs


def _result(spec: ScorerSpec, value: float, seconds: float, moments: Moments) -> Score:
    finite = bool(np.isfinite(value))
    saturated = spec.saturated(moments, value) if finite else None
    is_share = finite and spec.is_accuracy and moments.classes is not None
    return Score(
        name=spec.name,
        value=value if finite else None,
        higher_is_better=spec.higher_is_better,
        n_samples=moments.n_samples,
        n_features=moments.n_features,
        seconds=seconds,
        standard_error=float(np.sqrt(value * (1 - value) / moments.n_samples)) if is_share else None,
        saturated=saturated is not None,
        warnings=(*([saturated] if saturated else []), *_warnings(spec, moments)),
        error=None if finite else f"{spec.name} is not defined here: its value is {value}",
    )


def _warnings(spec: ScorerSpec, moments: Moments) -> tuple[str, ...]:
    """What these features and labels do to this scorer, told by the moments alone."""
    if "features" in spec.needs and moments.rank == 0:
        return ("All rows of features are equal: there is nothing to score.",)
    found = list(spec.caveats(moments))
    if spec.is_accuracy and moments.classes is not None:
        largest = float(moments.target_sum.max()) / moments.n_samples
        if largest > MOST:
            found.append(f"Always answering the largest class would score {largest:.3f}.")
    return tuple(found)
