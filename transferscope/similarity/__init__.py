"""Similarity of representations and discrepancy of distributions, one file each; the folder itself can be called."""

from __future__ import annotations

import inspect
from typing import Any

from ..callable_room import make_callable, prefer_functions
from ..errors import ScoreError, UnknownNameError
from .registry import MEASURES

__all__ = ["MEASURES", "discrepancy", "similarity"]


def similarity(a: Any, b: Any, *, measure: str = "cka_linear", **options: Any) -> float:
    """How alike two models represent the same rows.

    Parameters
    ----------
    a, b : arrays or tensors of shape (n_samples, n_features), (n_samples, n_other_features)
        Row i of both is the same sample.
    measure : str, default="cka_linear"
        A measure of kind "similarity"; `options` go to it.

    Returns
    -------
    value : float
        Its range and direction are the measure's: see ``MEASURES[measure]``.

    Raises
    ------
    ScoreError
        If the measure is of the other kind, or refuses the arrays.
    UnknownNameError
        If there is no such measure or option.
    """
    return _call("similarity", a, b, measure, options)


def discrepancy(
    source: Any,
    target: Any,
    *,
    measure: str = "mmd",
    source_labels: Any = None,
    target_labels: Any = None,
    **options: Any,
) -> float:
    """How far two sets of rows lie apart in the same features.

    Parameters
    ----------
    source, target : arrays or tensors of shape (n_samples, n_features), (n_other_samples, n_features)
    measure : str, default="mmd"
        A measure of kind "discrepancy"; `options` go to it.
    source_labels, target_labels : classes of shape (n_samples,), (n_other_samples,), optional
        For measures that compare classes too, such as "otdd", and for no others.

    Returns
    -------
    value : float
        Its range and direction are the measure's: see ``MEASURES[measure]``.

    Raises
    ------
    ScoreError
        If the measure is of the other kind, refuses the arrays, lacks labels, or takes none.
    UnknownNameError
        If there is no such measure or option.
    """
    return _call("discrepancy", source, target, measure, options, (source_labels, target_labels))


def _call(
    kind: str, a: Any, b: Any, measure: str, options: dict[str, Any], labels: tuple[Any, Any] = (None, None)
) -> float:
    spec = MEASURES[measure]
    if spec.kind != kind:
        raise ScoreError(
            f"{measure} is a measure of {spec.kind}; call transferscope.{spec.kind}(..., measure={measure!r})."
        )
    known = [name for name, taken in inspect.signature(spec.fn).parameters.items() if taken.kind is taken.KEYWORD_ONLY]
    for name in options:
        if name not in known:
            raise UnknownNameError(f"option of {measure}", name, known)
    given = [name for name, side in zip(("source_labels", "target_labels"), labels, strict=True) if side is not None]
    if spec.needs_labels:
        if len(given) < 2:
            raise ScoreError(
                f"{measure} compares labelled samples, and was given {' and '.join(given) or 'no labels'}; give both "
                "source_labels and target_labels."
            )
        return spec.fn(a, labels[0], b, labels[1], **options)
    if given:
        labelled = ", ".join(other.name for other in MEASURES.values() if other.needs_labels)
        raise ScoreError(
            f"{measure} compares features alone, but was given {' and '.join(given)}; leave labels out, or use a "
            f"measure of labelled samples ({labelled})."
        )
    return spec.fn(a, b, **options)


def __getattr__(name: str) -> Any:
    if name.startswith("_") or name not in MEASURES:
        raise AttributeError(f"transferscope.similarity has no measure {name!r}; it has {', '.join(MEASURES)}")
    return MEASURES[name].fn


prefer_functions(__name__)
make_callable(__name__, similarity)
