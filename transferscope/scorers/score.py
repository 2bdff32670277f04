"""`score`: several scorers on one set of features, sharing one pass, with what a reader must know beside each."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..errors import ScoreError
from ..features.arrays import Task, as_float64, as_targets
from ..features.moments import Moments
from ..results import Score
from .registry import SCORERS, ScorerSpec


def score(
    features: Any,
    labels: Any,
    scorers: Sequence[str] | None = None,
    *,
    task: Task = "classification",
    source_probs: Any = None,
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
    source_probs : array or tensor of shape (n_samples, n_source_classes), optional
        Softmax of the source's head, for LEEP and NCE.
    seed : int, default=0
        Of scorers that draw numbers.

    Returns
    -------
    dict of str to Score
        Value, standard error where it is known, direction, seconds, warnings.

    Raises
    ------
    ScoreError
        If shapes disagree, values are not finite, there is one class only, or a named scorer needs what was not given.
    UnknownNameError
        If a scorer is unknown.
    """
    specs = [SCORERS[name] for name in scorers] if scorers else _applicable(task, source_probs)
    for spec in specs:
        _check(spec, task, source_probs)
    values = as_float64(features, name="features", caller="score")
    as_targets(labels, n_samples=len(values), task=task, caller="score")
    started = time.perf_counter()
    moments = Moments.of(features, labels, task=task, caller="score")
    _ = moments.factors
    shared = time.perf_counter() - started
    n_sharing = sum(spec.needs == "moments" for spec in specs)
    found = {}
    for spec in specs:
        started = time.perf_counter()
        if spec.needs == "source_probs":
            value = spec.fn(source_probs, labels)
        elif spec.needs == "moments":
            options = {"task": task} if len(spec.tasks) > 1 else {}
            value = spec.fn(features, labels, moments=moments, **options)
        else:
            value = spec.fn(features, labels, **({"task": task} if len(spec.tasks) > 1 else {}))
        seconds = time.perf_counter() - started + (shared / n_sharing if spec.needs == "moments" else 0.0)
        found[spec.name] = _result(spec, value, seconds, moments, task)
    return found


def _applicable(task: Task, source_probs: Any) -> list[ScorerSpec]:
    return [
        spec
        for spec in SCORERS.values()
        if task in spec.tasks and (spec.needs != "source_probs" or source_probs is not None)
    ]


def _check(spec: ScorerSpec, task: Task, source_probs: Any) -> None:
    if task not in spec.tasks:
        raise ScoreError(f"{spec.name} is not defined for {task}; it is for {', '.join(spec.tasks)}.")
    if spec.needs == "source_probs" and source_probs is None:
        raise ScoreError(f"{spec.name} needs source_probs, the softmax of the source's own head; none were given.")


def _result(spec: ScorerSpec, value: float, seconds: float, moments: Moments, task: Task) -> Score:
    """The record, with warnings that the moments alone can tell."""
    n, d = moments.n_samples, moments.n_features
    finite = bool(np.isfinite(value))
    share = value if spec.is_accuracy and task == "classification" and finite else None
    return Score(
        name=spec.name,
        value=value if finite else None,
        higher_is_better=spec.higher_is_better,
        n_samples=n,
        n_features=d,
        seconds=seconds,
        standard_error=None if share is None else float(np.sqrt(share * (1 - share) / n)),
        warnings=_warnings(spec, moments),
        error=None if finite else "the value is not finite",
    )


def _warnings(spec: ScorerSpec, moments: Moments) -> tuple[str, ...]:
    rank = len(moments.factors[0])
    found = []
    if rank == 0:
        found.append("All rows of features are equal: there is nothing to score.")
    if spec.name == "h_score" and rank >= moments.n_samples - 1:
        found.append("Saturated: with as many directions as samples it is K - 1 whatever the labels.")
    if spec.name == "logme" and rank:
        from .logme import max_evidence

        if max_evidence(moments)[1]:
            found.append("A column is fitted perfectly: the evidence has no maximum and was bounded.")
    return tuple(found)
