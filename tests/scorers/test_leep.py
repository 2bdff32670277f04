"""LEEP against its definition in loops."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from transferscope.errors import ScoreError
from transferscope.scorers import leep


def problem(n: int, z: int, k: int, seed: int = 0, sharpness: float = 2.0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    y = np.concatenate([np.arange(k), rng.integers(0, k, n - k)])
    logits = sharpness * (rng.normal(size=(k, z))[y] + rng.normal(size=(n, z)))
    P = np.exp(logits)
    return P / P.sum(axis=1, keepdims=True), y


def literal(P: np.ndarray, y: np.ndarray) -> float:
    """Nguyen et al., equations 1 to 3, entry by entry."""
    n, n_source = P.shape
    classes = sorted(set(y.tolist()))
    joint = {(c, z): sum(P[i, z] for i in range(n) if y[i] == c) / n for c in classes for z in range(n_source)}
    marginal = [sum(joint[c, z] for c in classes) for z in range(n_source)]
    total = 0.0
    for i in range(n):
        expected = sum(P[i, z] * joint[y[i], z] / marginal[z] for z in range(n_source) if marginal[z] > 0)
        total += math.log(expected)
    return total / n


@settings(max_examples=60, deadline=None)
@given(
    n=st.integers(4, 40), z=st.integers(1, 12), k=st.integers(2, 4), seed=st.integers(0, 10**6),
    sharpness=st.sampled_from([0.1, 2.0, 50.0]),
)  # fmt: skip
def test_is_its_definition(n: int, z: int, k: int, seed: int, sharpness: float) -> None:
    P, y = problem(n, z, k, seed, sharpness)
    assert leep(P, y) == pytest.approx(literal(P, y), rel=1e-10, abs=1e-12)


def test_source_classes_that_are_never_predicted_add_nothing() -> None:
    P, y = problem(30, 5, 3)
    padded = np.hstack([P[:, :2], np.zeros((30, 2)), P[:, 2:]])
    assert leep(padded, y) == pytest.approx(literal(padded, y), rel=1e-12)
    assert leep(padded, y) == pytest.approx(leep(P, y), rel=1e-12)


def test_extremes() -> None:
    """A head that names the class scores 0; one that says the same of every row, minus the entropy of the labels."""
    y = np.array([0, 0, 0, 1, 1, 2])
    assert leep(np.eye(3)[y], y) == 0.0
    shares = np.array([3, 2, 1]) / 6
    entropy = -(shares * np.log(shares)).sum()
    assert leep(np.full((6, 4), 0.25), y) == pytest.approx(-entropy, rel=1e-12)
    assert leep(np.ones((6, 1)), y) == pytest.approx(-entropy, rel=1e-12)


def test_tiny_probabilities() -> None:
    """Down to what float64 can hold; each row's own share keeps the logarithm finite."""
    P = np.full((4, 3), 1e-300)
    P[:, 0] = 1.0
    y = np.array([0, 1, 0, 1])
    assert leep(P, y) == pytest.approx(-math.log(2), rel=1e-12)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_heads_are_taken(dtype: torch.dtype) -> None:
    P, y = problem(60, 10, 3)
    assert leep(torch.tensor(P).to(dtype), y) == pytest.approx(leep(P, y), abs=1e-2)
    assert leep(1.009 * np.eye(3)[y], y) == 0.0  # what rounding adds to a row does not lift it above the range


def test_refusals() -> None:
    P, y = problem(20, 4, 2)
    logits = 3 * P + 1
    says = r"leep: source_probs hold values from .* with row sums from 7 to 7; .* Apply a softmax to logits first"
    with pytest.raises(ScoreError, match=says):
        leep(logits, y)
    signed = P.copy()
    signed[:, 0] -= 1
    signed[:, 1] += 1
    with pytest.raises(ScoreError, match="leep: source_probs hold values from -0.99.* with row sums from 1 to 1"):
        leep(signed, y)
    with pytest.raises(ScoreError, match="with row sums from 0.98 to 0.98; expected probabilities"):
        leep(0.98 * P, y)
    with pytest.raises(ScoreError, match="leep: source_probs hold 1 NaN"):
        leep(np.where(np.arange(80).reshape(20, 4) == 7, np.nan, P), y)
