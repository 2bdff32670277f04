"""`score`: several scorers on one set of features, sharing one pass, with what a reader must know beside each."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..errors import ScoreError, UnknownNameError
from ..features.arrays import TASKS, Array, Checked, Task, as_float64, check_inputs, check_task, storage_eps
from ..features.moments import Moments
from ..progress import Progress, silent
from ..results import Score
from .jackknife import Blocks, left_out_means, standard_error
from .lda import softmax
from .registry import SCORERS, ScorerSpec

MEANINGS: dict[str, str] = {
    "features": "the source's features",
    "labels": "the target's labels",
    "source_probs": "the softmax of the source's own head",
    "source_logits": "the logits of the source's own head",
    "label_embeddings": "what foundation models make of the labels",
    "reference_features": "the source's features of reference data",
}
DEFAULT_SCORERS = ("ridge_loo", "logme", "h_score", "knn", "leep")
NOT_PER_SAMPLE = ("reference_features",)
STANDARD_ERRORS = ("cheap", "all", "none")
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
    standard_errors: Literal["cheap", "all", "none"] = "cheap",
    progress: Progress = silent,
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
        What the source's own head says, after and before the softmax: for LEEP, NCE, PACTran and energy. The first
        follow from the second.
    label_embeddings : array or tensor of shape (n_samples, n_dimensions, n_models), optional
        What foundation models make of each sample's label, for EMMS.
    reference_features : array or tensor of shape (n_other_samples, n_features), optional
        The same source's features of reference data, such as its own, for PED.
    seed : int, default=0
        Of scorers that draw numbers, and of the blocks.
    standard_errors : {"cheap", "all", "none"}
        Jackknife over ten blocks of samples: "cheap" where it costs little beside the score itself, "all" also where
        the score must be computed anew without each block. Blocks hold each class evenly, so that errors are those
        of other samples with the same number of each class.
    progress : callable
        Told how many scorers are done.

    Returns
    -------
    dict of str to Score
        Value, standard error where it is known, direction, seconds, warnings; the reason, in `error`, where a scorer
        refuses these arrays. The time of what scorers share is divided among them.

    Raises
    ------
    ScoreError
        If shapes disagree, values are not finite, there is one class only, a named scorer needs what was not given, or
        every scorer refuses.
    UnknownNameError
        If a scorer or the task is unknown.
    """
    arrays = {
        "features": features, "labels": labels, "source_probs": source_probs, "source_logits": source_logits,
        "label_embeddings": label_embeddings, "reference_features": reference_features,
    }  # fmt: skip
    given = {name: array for name, array in arrays.items() if array is not None}
    logits = None if source_logits is None else as_float64(source_logits, name="source_logits", caller="score")
    if logits is not None:
        given.setdefault("source_probs", softmax(logits.copy()))
    specs = applicable(task, given) if scorers is None else _named(scorers, task, given)
    values, targets = check_inputs(features, labels, caller="score", task=task)
    if logits is not None and len(logits) != len(values):  # `energy` reads no labels beside which it would show
        raise ScoreError(
            f"score: {len(values)} rows of features but {len(logits)} of source_logits; give one per sample."
        )
    if standard_errors not in STANDARD_ERRORS:
        raise UnknownNameError("choice of standard errors", standard_errors, STANDARD_ERRORS)
    started = time.perf_counter()
    eps = storage_eps(features)
    given["features"] = Checked.of(values, eps)
    if standard_errors == "none":
        blocks, moments = None, Moments.from_checked(values, targets, eps, powers=True)
    else:
        blocks = Blocks.of(values, targets, eps, seed)
        moments = blocks.total
    options = {"task": task, "seed": seed, "moments": moments}
    _ = moments.factors
    shared = time.perf_counter() - started
    n_sharing = sum("moments" in spec.options(options) for spec in specs)
    found, refusals = {}, []
    for done, spec in enumerate(specs):
        progress("scorers", done, len(specs))
        started = time.perf_counter()
        taken = spec.options(options)
        try:
            measured = _measure(spec, given, taken, blocks, refit=standard_errors == "all")
        except ScoreError as error:
            refusals.append(error)
            found[spec.name] = _refused(spec, moments, str(error))
            continue
        seconds = time.perf_counter() - started + (shared / n_sharing if "moments" in taken else 0.0)
        found[spec.name] = _result(spec, measured, seconds, moments)
    progress("scorers", len(specs), len(specs))
    if len(refusals) == len(specs):
        raise refusals[0]
    return found


class _Measured(NamedTuple):
    value: float
    left_out: tuple[float, ...] = ()
    standard_error: float | None = None
    warnings: tuple[str, ...] = ()


def _measure(
    spec: ScorerSpec, given: Mapping[str, Any], taken: Mapping[str, Any], blocks: Blocks | None, *, refit: bool
) -> _Measured:
    """A scorer's value, and its values without each block by the cheapest way there is."""
    arrays = [given[name] for name in spec.needs]
    per_sample = spec.per_sample(*arrays, **taken) if spec.per_sample and blocks else None
    is_share = spec.is_accuracy and blocks is not None and blocks.total.classes is not None
    if per_sample is None:
        value = float(spec.fn(*arrays, **taken))
    elif is_share:  # right answers are whole, and samples may hold parts of them
        value = float(np.rint(per_sample.sum()) / len(per_sample))
    else:
        value = float(per_sample.mean())
    if blocks is None or not np.isfinite(value) or spec.saturated(blocks.total, value):
        return _Measured(value)
    try:
        left_out = _left_out(spec, given, taken, blocks, per_sample, refit)
    except ScoreError as error:  # too few samples or classes are left; the value stands
        return _Measured(value, warnings=(f"No standard error: without a block of samples, {error}",))
    if is_share:  # over samples, which are more than blocks
        spread = value * (1 - value) if per_sample is None else float(per_sample.var())
        return _Measured(value, left_out, float(np.sqrt(spread / blocks.total.n_samples)))
    return _Measured(value, left_out, standard_error(left_out) if left_out else None)


def _left_out(
    spec: ScorerSpec,
    given: Mapping[str, Any],
    taken: Mapping[str, Any],
    blocks: Blocks,
    per_sample: Array | None,
    refit: bool,
) -> tuple[float, ...]:
    """Values without each block; none where they would cost too much."""
    if per_sample is not None:
        found = left_out_means(per_sample, blocks.rows)
    elif spec.left_out:
        found = spec.left_out(blocks)
    else:
        found = np.array(list(_refitted(spec, given, taken, blocks)) if refit else [])
    if not np.isfinite(found).all():
        raise ScoreError("its value is not defined.")
    return tuple(found.tolist())


def _refitted(spec: ScorerSpec, given: Mapping[str, Any], taken: Mapping[str, Any], blocks: Blocks) -> Iterator[float]:
    """Values computed anew without each block."""
    options = {name: option for name, option in taken.items() if name != "moments"}
    for number in range(len(blocks)):
        rows = blocks.without(number)
        arrays = [given[name] if name in NOT_PER_SAMPLE else _take(given[name], rows) for name in spec.needs]
        yield float(spec.fn(*arrays, **options))


def _take(array: Any, rows: NDArray[np.int64]) -> Any:
    if hasattr(array, "iloc"):  # a pandas frame or series, which plain brackets would look up by name
        return array.iloc[rows]
    return array[rows] if hasattr(array, "dtype") else [array[row] for row in rows]


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


def _result(spec: ScorerSpec, measured: _Measured, seconds: float, moments: Moments) -> Score:
    value = measured.value
    finite = bool(np.isfinite(value))
    saturated = spec.saturated(moments, value) if finite else None
    return Score(
        name=spec.name,
        value=value if finite else None,
        higher_is_better=spec.higher_is_better,
        n_samples=moments.n_samples,
        n_features=moments.n_features,
        seconds=seconds,
        standard_error=measured.standard_error,
        saturated=saturated is not None,
        left_out=measured.left_out,
        warnings=(*([saturated] if saturated else []), *_warnings(spec, moments), *measured.warnings),
        error=None if finite else f"{spec.name} is not defined here: its value is {value}",
    )


def _refused(spec: ScorerSpec, moments: Moments, reason: str) -> Score:
    return Score(
        spec.name, None, spec.higher_is_better, moments.n_samples, moments.n_features, seconds=0.0, error=reason
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
