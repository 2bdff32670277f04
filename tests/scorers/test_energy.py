"""Energy against its definition in loops and against PyTorch."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import transferscope as ts
from transferscope.errors import ScoreError
from transferscope.scorers import SCORERS, energy


def literal(logits: np.ndarray) -> float:
    return sum(math.log(sum(math.exp(value) for value in row)) for row in logits) / len(logits)


@settings(max_examples=60, deadline=None)
@given(
    n=st.integers(1, 30), z=st.integers(1, 12), seed=st.integers(0, 10**6), scale=st.sampled_from([1e-6, 1.0, 50.0])
)
def test_is_its_definition(n: int, z: int, seed: int, scale: float) -> None:
    logits = scale * np.random.default_rng(seed).normal(size=(n, z))
    assert energy(logits) == pytest.approx(literal(logits), rel=1e-12, abs=1e-14)
    assert energy(logits) == pytest.approx(torch.logsumexp(torch.tensor(logits), dim=1).mean().item(), rel=1e-12)


@pytest.mark.parametrize("offset", [-1e6, -800.0, 800.0, 1e6])
def test_logits_beyond_what_exponentials_hold(offset: float) -> None:
    logits = np.random.default_rng(0).normal(size=(40, 7))
    assert energy(logits + offset) == pytest.approx(energy(logits) + offset, rel=1e-12)
    assert type(energy(logits)) is float


def test_equal_logits_and_probabilities() -> None:
    assert energy(np.full((5, 8), 3.0)) == pytest.approx(3.0 + math.log(8), rel=1e-14)
    assert energy(np.full((5, 1), -2.0)) == -2.0
    logits = np.random.default_rng(0).normal(size=(40, 7))
    assert energy(torch.log_softmax(torch.tensor(logits), dim=1)) == pytest.approx(0.0, abs=1e-14)


def test_the_mean_of_what_samples_add() -> None:
    logits = np.random.default_rng(0).normal(size=(40, 7))
    each = SCORERS["energy"].per_sample(logits)  # type: ignore[misc]
    np.testing.assert_allclose(each, [literal(row[None]) for row in logits], rtol=1e-12)
    assert energy(logits) == each.mean()


def test_scale_changes_it() -> None:
    logits = np.random.default_rng(0).normal(size=(40, 7))
    assert energy(2 * logits) > energy(logits) + 0.1


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_tensors_of_any_kind(dtype: torch.dtype) -> None:
    logits = torch.randn(50, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    slack = {torch.float32: 1e-6, torch.float16: 1e-3, torch.bfloat16: 1e-2}[dtype]
    single = logits.to(dtype).requires_grad_()
    before = single.detach().clone()
    assert energy(single) == pytest.approx(energy(logits), abs=slack)
    assert torch.equal(single, before)


@pytest.mark.parametrize("task", ["classification", "multilabel", "regression"])
def test_is_for_every_task_where_there_are_logits(task: str) -> None:
    rng = np.random.default_rng(0)
    X, logits = rng.normal(size=(30, 4)), rng.normal(size=(30, 7))
    labels = {"classification": np.arange(30) % 3, "multilabel": np.eye(3, dtype=int)[np.arange(30) % 3]}.get(
        task, X[:, 0]
    )
    found = ts.score(X, labels, ["energy"], task=task, source_logits=logits)["energy"]  # type: ignore[arg-type]
    assert found.value == energy(logits)


def test_refusals() -> None:
    with pytest.raises(
        ScoreError, match=r"energy: source_logits are of shape \(5,\); expected \(n_samples, n_columns"
    ):
        energy(np.zeros(5))
    logits = np.zeros((5, 3))
    logits[2, 1] = np.nan
    with pytest.raises(
        ScoreError, match="energy: source_logits hold 1 NaN and 0 infinite values in 1 rows, the first"
    ):
        energy(logits)
    with pytest.raises(ScoreError, match="energy: source_logits are of dtype <U1; expected real numbers"):
        energy(np.array([["a", "b"]]))
