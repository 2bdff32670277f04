"""`ts.similarity` and `ts.discrepancy`: the room of measures, its registry, and the names it refuses."""

from __future__ import annotations

import importlib
import inspect
from typing import Any

import numpy as np
import pytest
import torch

import transferscope as ts
from transferscope.errors import ScoreError, TransferScopeError, UnknownNameError
from transferscope.similarity import MEASURES, cka_linear, mmd, otce, otdd
from transferscope.similarity.registry import MeasureSpec, register_measure

RNG = np.random.default_rng(0)
A, B = RNG.normal(size=(20, 4)), RNG.normal(size=(20, 6))
S, T = RNG.normal(size=(20, 4)), RNG.normal(size=(15, 4)) + 1
DISCREPANCIES = [spec for spec in MEASURES.values() if spec.kind == "discrepancy"]


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
    names = ("a", "b") if spec.kind == "similarity" else ("source", "target")
    if spec.needs_labels:
        assert spec.kind == "discrepancy"
        names = ("source", "source_labels", "target", "target_labels")
    parameters = list(inspect.signature(spec.fn).parameters.values())
    assert tuple(parameter.name for parameter in parameters[: len(names)]) == names
    for option in parameters[len(names) :]:
        assert option.kind is option.KEYWORD_ONLY
        assert option.default is not option.empty
    for part in ("Parameters\n", "Returns\n", "Raises\n", "References\n"):
        assert part in (spec.fn.__doc__ or "")


@pytest.mark.parametrize("spec", MEASURES.values(), ids=lambda spec: spec.name)
def test_direction_is_as_declared(spec: MeasureSpec) -> None:
    """A measure of the same thing twice is closer than one of different things."""
    call = ts.similarity if spec.kind == "similarity" else ts.discrepancy
    labels = np.arange(20) % 4
    near = {"source_labels": labels, "target_labels": labels} if spec.needs_labels else {}
    far = near | {"target_labels": RNG.permutation(labels)} if spec.needs_labels else {}
    same = call(S, S, measure=spec.name, **near)
    apart = call(S, RNG.normal(size=(20, 4)) ** 3 + 2, measure=spec.name, **far)
    assert (same > apart) == spec.higher_is_closer
    assert same != apart


def of_two(spec: MeasureSpec, s: Any, t: Any) -> float:
    """A discrepancy, with classes that have to do with the features where it takes classes."""
    if not spec.needs_labels:
        return spec.fn(s, t)
    return spec.fn(s, ["left" if row[0] < 0 else "right" for row in S], t, [round(row[1]) for row in T])


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("spec", DISCREPANCIES, ids=lambda spec: spec.name)
def test_discrepancies_take_tensors_and_leave_arrays_alone(spec: MeasureSpec, dtype: torch.dtype) -> None:
    tensors = [torch.tensor(x, dtype=dtype, requires_grad=True) for x in (S, T)]
    arrays = [x.detach().to(torch.promote_types(dtype, torch.float32)).numpy() for x in tensors]
    kept = [x.copy() for x in arrays]
    for array in arrays:
        array.flags.writeable = False
    value = of_two(spec, *arrays)
    assert type(value) is float
    assert of_two(spec, *tensors) == value
    for array, before in zip(arrays, kept, strict=True):
        np.testing.assert_array_equal(array, before)


@pytest.mark.parametrize("spec", DISCREPANCIES, ids=lambda spec: spec.name)
def test_discrepancies_refuse_what_has_none(spec: MeasureSpec) -> None:
    says = f"{spec.name}: source has 4 features and target 3; use one source model for both"
    with pytest.raises(ScoreError, match=says):
        of_two(spec, S, T[:, :3])
    with pytest.raises(ScoreError, match=f"{spec.name}: target hold 1 NaN and 0 infinite values in 1 rows"):
        of_two(spec, S, np.where(np.arange(60).reshape(15, 4) == 6, np.nan, T))
    with pytest.raises(ScoreError, match=rf"{spec.name}: source are of shape \(20, 4, 1\); expected \(n_samples, n_"):
        of_two(spec, S[:, :, None], T)


@pytest.mark.parametrize("spec", DISCREPANCIES, ids=lambda spec: spec.name)
def test_discrepancies_say_when_they_mislead(spec: MeasureSpec) -> None:
    assert spec.misleads.endswith(".")
    assert "ower is closer" in (spec.fn.__doc__ or "")


def test_labels_go_where_they_belong() -> None:
    ys, yt = S[:, 0] > 0, T[:, 0] > 0.5
    assert ts.discrepancy(S, T, measure="otdd", source_labels=ys, target_labels=yt) == otdd(S, ys, T, yt)
    soft = ts.discrepancy(S, T, measure="otce", source_labels=ys, target_labels=yt, regularisation=0.5)
    assert soft == otce(S, ys, T, yt, regularisation=0.5) != otce(S, ys, T, yt)
    for given, told in (({}, "no labels"), ({"target_labels": yt}, "target_labels")):
        with pytest.raises(ScoreError, match=f"otdd compares labelled samples, and was given {told}; give both"):
            ts.discrepancy(S, T, measure="otdd", **given)
    says = r"mmd compares features alone, but was given source_labels; leave labels out, or use .*\(otce, otdd\)"
    with pytest.raises(ScoreError, match=says):
        ts.discrepancy(S, T, source_labels=ys)
    with pytest.raises(UnknownNameError, match="no option of otdd named 'reg'. .*Known: regularisation"):
        ts.discrepancy(S, T, measure="otdd", source_labels=ys, target_labels=yt, reg=0.1)


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
    with pytest.raises(AttributeError, match="similarity has no measure 'cca'; it has cka_linear, .*mmd, "):
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
