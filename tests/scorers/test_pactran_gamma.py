"""PACTran-Gamma against its definition in loops, and in closed form where source classes are certain."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import digamma

from transferscope.errors import ScoreError
from transferscope.scorers import SCORERS, pactran_dirichlet, pactran_gamma


def problem(n: int, z: int, k: int, seed: int = 0, sharpness: float = 2.0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    y = np.concatenate([np.arange(k), rng.integers(0, k, n - k)])
    logits = sharpness * (rng.normal(size=(k, z))[y] + rng.normal(size=(n, z)))
    P = np.exp(logits - logits.max(axis=1, keepdims=True))
    return P / P.sum(axis=1, keepdims=True), y


def literal(P: np.ndarray, y: np.ndarray, alpha: float) -> float:
    """Ding et al., appendix, entry by entry; a source class that a row does not hold stays out of it."""
    n, z = P.shape
    k = max(y) + 1
    a = [alpha * sum(y == c) / n for c in range(k)]
    q = P.tolist()
    for _ in range(10):
        A = [[a[c] + sum(q[i][s] for i in range(n) if y[i] == c) for s in range(z)] for c in range(k)]
        ratio = [[0.0] * z for _ in range(n)]  # ln q - ln P
        for i in range(n):
            gain = [float(digamma(A[y[i]][s])) for s in range(z)]
            top = max(gain[s] for s in range(z) if P[i, s] > 0)
            norm = top + math.log(sum(P[i, s] * math.exp(gain[s] - top) for s in range(z) if P[i, s] > 0))
            ratio[i] = [gain[s] - norm for s in range(z)]
            q[i] = [P[i, s] * math.exp(ratio[i][s]) if P[i, s] > 0 else 0.0 for s in range(z)]
    total = sum(math.lgamma(a[c]) - math.lgamma(A[c][s]) for c in range(k) for s in range(z))
    for i in range(n):
        total += sum(q[i][s] * ratio[i][s] for s in range(z))
        total += math.log(sum(P[i, s] * A[c][s] for s in range(z) for c in range(k))) - 1
    return total / (n * k) + 1


@settings(max_examples=40, deadline=None)
@given(
    n=st.integers(4, 14), z=st.integers(1, 7), k=st.integers(2, 4), seed=st.integers(0, 10**6),
    sharpness=st.sampled_from([0.1, 2.0, 50.0]), alpha=st.sampled_from([0.01, 1.0, 30.0]),
)  # fmt: skip
def test_is_its_definition(n: int, z: int, k: int, seed: int, sharpness: float, alpha: float) -> None:
    P, y = problem(n, z, k, seed, sharpness)
    assert pactran_gamma(P, 7 * y - 3, alpha=alpha) == pytest.approx(literal(P, y, alpha), rel=1e-9)


@pytest.mark.parametrize("alpha", [0.1, 1.0, 10.0])
def test_certain_source_classes(alpha: float) -> None:
    """Weights of source class z that saw m_z rows add up to m_z + alpha; the rest is Gamma functions of counts."""
    rng = np.random.default_rng(0)
    y = np.concatenate([np.arange(3), rng.integers(0, 3, 37)])
    z = rng.integers(0, 5, 40)
    prior = alpha * np.bincount(y) / 40
    total = 0.0
    for s in range(5):
        counts = np.bincount(y[z == s], minlength=3)
        total += sum(math.lgamma(a) - math.lgamma(a + m) for a, m in zip(prior, counts, strict=True))
        total += counts.sum() * (math.log(alpha + counts.sum()) - 1)
    assert pactran_gamma(np.eye(5)[z], y, alpha=alpha) == pytest.approx(1 + total / 120, rel=1e-12)


@settings(max_examples=40, deadline=None)
@given(n=st.integers(5, 40), z=st.integers(1, 40), k=st.integers(2, 4), seed=st.integers(0, 10**6))
def test_lowest_value(n: int, z: int, k: int, seed: int) -> None:
    """Also where every row, or every class, has a source class of its own."""
    P, y = problem(n, z, k, seed)
    for probs in (P, np.eye(k)[y], np.eye(n), np.ones((n, 1))):
        assert pactran_gamma(probs, y) >= 1 - 0.43 / k


def test_uninformative_heads_cost_the_entropy() -> None:
    y = np.arange(3000) % 3
    P = np.tile([0.1, 0.2, 0.7], (3000, 1))
    assert pactran_gamma(P, y) == pytest.approx(1 + math.log(3) / 3, abs=0.01)
    assert pactran_gamma(np.eye(3)[y], y) == pytest.approx(1, abs=0.01)
    assert pactran_gamma(P, y) == pytest.approx(1 + pactran_dirichlet(P, y), abs=0.01)


def test_source_classes_without_mass_never_divide_by_zero() -> None:
    P = np.zeros((20, 301))
    P[:10, 0] = 1.0
    P[10:, 1:] = 1 / 300
    y = np.repeat([1, 0], [11, 9])
    assert pactran_gamma(P, y, alpha=1e-4) == pytest.approx(literal(P, y, 1e-4), rel=1e-9)
    assert np.isfinite(pactran_gamma(np.eye(60), np.arange(60) // 2, alpha=1e-12))


def test_lower_is_better() -> None:
    assert not SCORERS["pactran_gamma"].higher_is_better
    y = np.arange(90) % 3
    shuffled = np.random.default_rng(0).permutation(y)
    assert pactran_gamma(np.eye(3)[y], y) < pactran_gamma(np.eye(3)[shuffled], y)


@pytest.mark.parametrize("alpha", [0.0, -1.0, math.inf, math.nan])
def test_refusals(alpha: float) -> None:
    P, y = problem(20, 4, 2)
    with pytest.raises(ScoreError, match=f"pactran_gamma: alpha={alpha}; expected a positive count, such as 1"):
        pactran_gamma(P, y, alpha=alpha)
    with pytest.raises(ScoreError, match="pactran_gamma: source_probs hold values from .* Apply a softmax to"):
        pactran_gamma(3 * P, y)
