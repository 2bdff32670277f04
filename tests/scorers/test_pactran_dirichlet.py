"""PACTran-Dirichlet against its definition in loops, and against exact evidence."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import digamma

from transferscope.errors import ScoreError
from transferscope.scorers import SCORERS, pactran_dirichlet


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
            gain = [float(digamma(A[y[i]][s]) - digamma(sum(A[c][s] for c in range(k)))) for s in range(z)]
            top = max(gain[s] for s in range(z) if P[i, s] > 0)
            norm = top + math.log(sum(P[i, s] * math.exp(gain[s] - top) for s in range(z) if P[i, s] > 0))
            ratio[i] = [gain[s] - norm for s in range(z)]
            q[i] = [P[i, s] * math.exp(ratio[i][s]) if P[i, s] > 0 else 0.0 for s in range(z)]
    total = 0.0
    for s in range(z):
        total += math.lgamma(sum(a)) - sum(map(math.lgamma, a))
        total -= math.lgamma(sum(A[c][s] for c in range(k))) - sum(math.lgamma(A[c][s]) for c in range(k))
    total -= sum(q[i][s] * ratio[i][s] for i in range(n) for s in range(z))
    return -total / (n * k)


def evidence(counts: np.ndarray, prior: np.ndarray) -> float:
    """Log probability of labels of one source class, in their order, one after the other (Polya's urn)."""
    seen, total = prior.astype(float).copy(), 0.0
    for c, count in enumerate(counts):
        for _ in range(int(count)):
            total += math.log(seen[c] / seen.sum())
            seen[c] += 1
    return total


@settings(max_examples=40, deadline=None)
@given(
    n=st.integers(4, 14), z=st.integers(1, 7), k=st.integers(2, 4), seed=st.integers(0, 10**6),
    sharpness=st.sampled_from([0.1, 2.0, 50.0]), alpha=st.sampled_from([0.01, 1.0, 30.0]),
)  # fmt: skip
def test_is_its_definition(n: int, z: int, k: int, seed: int, sharpness: float, alpha: float) -> None:
    P, y = problem(n, z, k, seed, sharpness)
    assert pactran_dirichlet(P, 7 * y - 3, alpha=alpha) == pytest.approx(literal(P, y, alpha), rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("alpha", [0.1, 1.0, 10.0])
def test_hard_source_classes_give_the_exact_evidence(alpha: float) -> None:
    """Nothing is left to approximate: each source class is an urn, drawn from in turn."""
    rng = np.random.default_rng(0)
    y = np.concatenate([np.arange(3), rng.integers(0, 3, 37)])
    z = rng.integers(0, 5, 40)
    prior = alpha * np.bincount(y) / 40
    wanted = sum(evidence(np.bincount(y[z == s], minlength=3), prior) for s in range(5))
    assert pactran_dirichlet(np.eye(5)[z], y, alpha=alpha) == pytest.approx(-wanted / 120, rel=1e-10)
    one = evidence(np.bincount(y), prior)
    assert pactran_dirichlet(np.ones((40, 1)), y, alpha=alpha) == pytest.approx(-one / 120, rel=1e-10)


@pytest.mark.parametrize("seed", range(4))
def test_it_bounds_the_evidence(seed: int) -> None:
    """Of all 64 ways to give 6 samples one of 2 source classes."""
    P, y = problem(6, 2, 2, seed)
    prior = np.bincount(y) / 6
    total = 0.0
    for z in itertools.product(range(2), repeat=6):
        chosen = np.array(z)
        held = math.prod(P[i, s] for i, s in enumerate(z))
        total += held * math.exp(sum(evidence(np.bincount(y[chosen == s], minlength=2), prior) for s in range(2)))
    assert 0 < -math.log(total) <= pactran_dirichlet(P, y) * 12 < -math.log(total) + 2


def test_uninformative_heads_cost_the_entropy() -> None:
    y = np.arange(3000) % 3
    P = np.tile([0.1, 0.2, 0.7], (3000, 1))
    assert pactran_dirichlet(P, y) == pytest.approx(math.log(3) / 3, abs=0.01)
    assert pactran_dirichlet(np.eye(3)[y], y) == pytest.approx(0, abs=0.01)


def test_source_classes_without_mass_never_divide_by_zero() -> None:
    """A row that holds none of the source classes its label favours has log odds hundreds below theirs."""
    P = np.zeros((20, 301))
    P[:10, 0] = 1.0
    P[10:, 1:] = 1 / 300
    y = np.repeat([1, 0], [11, 9])
    assert pactran_dirichlet(P, y, alpha=1e-4) == pytest.approx(literal(P, y, 1e-4), rel=1e-9)
    assert np.isfinite(pactran_dirichlet(np.eye(60), np.arange(60) // 2, alpha=1e-12))


def test_more_source_classes_cost_more() -> None:
    """The same information, split among copies of each source class."""
    P, y = problem(60, 4, 3)
    split = np.repeat(P, 5, axis=1) / 5
    assert pactran_dirichlet(split, y) > pactran_dirichlet(P, y) + 0.01


def test_lower_is_better() -> None:
    spec = SCORERS["pactran_dirichlet"]
    assert not spec.higher_is_better
    y = np.arange(90) % 3
    shuffled = np.random.default_rng(0).permutation(y)
    assert pactran_dirichlet(np.eye(3)[y], y) < pactran_dirichlet(np.eye(3)[shuffled], y)


@pytest.mark.parametrize("alpha", [0.0, -1.0, math.inf, math.nan])
def test_refusals(alpha: float) -> None:
    P, y = problem(20, 4, 2)
    with pytest.raises(ScoreError, match=f"pactran_dirichlet: alpha={alpha}; expected a positive count, such as 1"):
        pactran_dirichlet(P, y, alpha=alpha)
    with pytest.raises(ScoreError, match="pactran_dirichlet: source_probs hold values from .* Apply a softmax to"):
        pactran_dirichlet(3 * P, y)
