"""`ts.similarity` and `ts.discrepancy`: the room of measures, its registry, and the names it refuses."""

from __future__ import annotations

import importlib
import inspect

import numpy as np
import pytest

import transferscope as ts
from transferscope.errors import ScoreError, TransferScopeError, UnknownNameError
from transferscope.similarity import MEASURES, cka_linear, mmd
from transferscope.similarity.registry import MeasureSpec, register_measure

RNG = np.random.default_rng(0)
A, B = RNG.normal(size=(20, 4)), RNG.normal(size=(20, 6))
S, T = RNG.normal(size=(20, 4)), RNG.normal(size=(15, 4)) + 1


def test_calls_go_to_the_measure() -> None:
    assert ts.similarity(A, B) == cka_linear(A, B)
    assert ts.similarity(A, B, measure="cka_linear", debiased=True) == cka_linear(A, B, debiased=True)
    assert ts.discrepancy(S, T) == mmd(S, T)
    assert ts.discrepancy(S, T, measure="mmd", estimator="linear", bandwidths=5) == mmd(
        S, T, estimator="linear", bandwidths=5
    )


def test_the_room_is_a_function_and_holds_functions() -> None:
    assert inspect.signature(ts.similarity) == inspect.signature(ts.similarity.similarity)
    assert ts.discrepancy is ts.similarity.discrepancy
    for name in ("cka_linear", "mmd"):
        importlib.import_module(f"transferscope.similarity.{name}")
        assert getattr(ts.similarity, name) is MEASURES[name].fn


@pytest.mark.parametrize("spec", MEASURES.values(), ids=lambda spec: spec.name)
def test_every_measure_says_what_a_reader_needs(spec: MeasureSpec) -> None:
    assert spec.kind in ("similarity", "discrepancy")
    assert all(len(text) > 3 for text in (spec.range, spec.cost, spec.reference))
    first, second, *options = inspect.signature(spec.fn).parameters.values()
    assert (first.name, second.name) == (("a", "b") if spec.kind == "similarity" else ("source", "target"))
    for option in options:
        assert option.kind is option.KEYWORD_ONLY
        assert option.default is not option.empty
    for part in ("Parameters\n", "Returns\n", "Raises\n", "References\n"):
        assert part in (spec.fn.__doc__ or "")


@pytest.mark.parametrize("spec", MEASURES.values(), ids=lambda spec: spec.name)
def test_direction_is_as_declared(spec: MeasureSpec) -> None:
    """A measure of the same thing twice is closer than one of different things."""
    call = ts.similarity if spec.kind == "similarity" else ts.discrepancy
    same, apart = call(S, S, measure=spec.name), call(S, RNG.normal(size=(20, 4)) ** 3 + 2, measure=spec.name)
    assert (same > apart) == spec.higher_is_closer
    assert same != apart


def test_refusals() -> None:
    with pytest.raises(UnknownNameError, match="no measure named 'cka_liner'. Did you mean 'cka_linear'.* Known: "):
        ts.similarity(A, B, measure="cka_liner")
    with pytest.raises(UnknownNameError, match="no measure named 'mdd'. Did you mean 'mmd'"):
        ts.discrepancy(S, T, measure="mdd")
    with pytest.raises(ScoreError, match=r"mmd is a measure of discrepancy; call transferscope.discrepancy\(.*'mmd'"):
        ts.similarity(S, T, measure="mmd")
    with pytest.raises(ScoreError, match=r"cka_linear is a measure of similarity; call transferscope.similarity\("):
        ts.discrepancy(S, T, measure="cka_linear")
    with pytest.raises(UnknownNameError, match="no option of cka_linear named 'unbiased'. .*Known: debiased"):
        ts.similarity(A, B, unbiased=True)
    with pytest.raises(UnknownNameError, match="no option of mmd named 'bandwidth'. Did you mean 'bandwidths'"):
        ts.discrepancy(S, T, bandwidth=5)
    with pytest.raises(UnknownNameError, match="no option of mmd named 'target'"):
        ts.similarity._call("discrepancy", S, T, "mmd", {"target": T})
    with pytest.raises(AttributeError, match="transferscope.similarity has no measure 'cca'; it has cka_linear, mmd"):
        _ = ts.similarity.cca


def test_registering(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(MEASURES, "_entries", dict(MEASURES._entries))
    enter = register_measure(
        "mine", kind="similarity", higher_is_closer=True, range="0 to 1", cost="N", reference="none"
    )
    enter(lambda a, b, *, power=1: 0.5**power)
    assert ts.similarity(A, B, measure="mine", power=2) == 0.25
    with pytest.raises(TransferScopeError, match="measure 'mine' is already registered by .*; choose another name"):
        enter(lambda a, b: 0.0)
