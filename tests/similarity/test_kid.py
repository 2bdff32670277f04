"""Cubic-kernel distance against exact fractions and scikit-learn's kernel."""

from __future__ import annotations

import sys
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics.pairwise import polynomial_kernel

from transferscope.errors import ScoreError
from transferscope.similarity import kid


def samples(n: int, m: int, d: int, seed: int = 0, shift: float = 0.5) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, d)), rng.normal(size=(m, d)) * 1.2 + shift


def literal(s: np.ndarray, t: np.ndarray) -> float:
    """Binkowski et al., equation 4, in fractions: no rounding at all."""
    first, second = ([[Fraction(float(v)) for v in row] for row in side] for side in (s, t))

    def k(x: list[Fraction], z: list[Fraction]) -> Fraction:
        return (sum((a * b for a, b in zip(x, z, strict=True)), Fraction(0)) / len(x) + 1) ** 3

    def within(rows: list[list[Fraction]]) -> Fraction:
        pairs = [k(x, z) for i, x in enumerate(rows) for j, z in enumerate(rows) if i != j]
        return sum(pairs, Fraction(0)) / len(pairs)

    cross = sum((k(x, z) for x in first for z in second), Fraction(0)) / (len(s) * len(t))
    return float(within(first) + within(second) - 2 * cross)


@settings(max_examples=20, deadline=None)
@given(
    n=st.integers(2, 6), m=st.integers(2, 6), d=st.integers(1, 9), seed=st.integers(0, 10**6),
    scale=st.sampled_from([1e-5, 1.0, 1e3]), offset=st.sampled_from([0.0, 1e4]),
)  # fmt: skip
def test_is_its_definition(n: int, m: int, d: int, seed: int, scale: float, offset: float) -> None:
    """Adding 1 to tiny products, or cubing large means, would leave a few digits or none."""
    s, t = (scale * x + offset for x in samples(n, m, d, seed, shift=3.0))
    wanted = literal(s, t)
    slack = 1e-9 * max(abs(wanted), 3 * np.var(np.concatenate([s, t])) * (1 + offset**2) ** 2)
    assert kid(s, t) == pytest.approx(wanted, rel=1e-8, abs=slack)


def test_digits_at_a_large_mean_and_a_tiny_scale() -> None:
    s, t = samples(6, 5, 4, shift=3.0)
    for moved in ((s + 1e4, t + 1e4), (s * 1e-5, t * 1e-5), (s * 1e-5 + 1, t * 1e-5 + 1)):
        assert kid(*moved) == pytest.approx(literal(*moved), rel=1e-8, abs=0)


def test_library_kernel_agrees() -> None:
    s, t = samples(40, 30, 8)
    options = {"degree": 3, "gamma": 1 / 8, "coef0": 1}
    inner = [polynomial_kernel(x, **options) for x in (s, t)]
    within = [(k.sum() - np.trace(k)) / (len(k) * (len(k) - 1)) for k in inner]
    assert kid(s, t) == pytest.approx(sum(within) - 2 * polynomial_kernel(s, t, **options).mean(), rel=1e-10)


def test_scale_counts_up_to_its_sixth_power() -> None:
    """Tiny features leave the gap of means alone, large ones that of third moments."""
    s, t = samples(30, 25, 5)
    assert kid(1e4 * s, 1e4 * t) / kid(1e3 * s, 1e3 * t) == pytest.approx(1e6, rel=1e-3)
    gap = [(np.square(x.sum(axis=0)).sum() - np.square(x).sum()) / (len(x) * (len(x) - 1)) for x in (s, t)]
    means = sum(gap) - 2 * s.mean(axis=0) @ t.mean(axis=0)
    assert kid(1e-6 * s, 1e-6 * t) == pytest.approx(3 / 5 * means * 1e-12, rel=1e-6)


def test_invariances_and_their_lack() -> None:
    s, t = samples(20, 14, 5)
    rng = np.random.default_rng(1)
    turn = np.linalg.qr(rng.normal(size=(5, 5)))[0]
    assert kid(s @ turn, t @ turn) == pytest.approx(kid(s, t), rel=1e-10)
    assert kid(rng.permutation(s), rng.permutation(t)) == pytest.approx(kid(s, t), rel=1e-10)
    assert kid(t, s) == pytest.approx(kid(s, t), rel=1e-12)
    assert abs(kid(s + 1, t + 1) / kid(s, t) - 1) > 0.1


def test_grows_with_the_shift_and_is_about_0_without() -> None:
    values = [kid(*samples(150, 120, 3, shift=shift)) for shift in (0.5, 1, 2, 4)]
    assert values == sorted(values)
    rng = np.random.default_rng(0)
    null = [kid(*rng.normal(size=(2, 20, 4))) for _ in range(200)]
    assert abs(np.mean(null)) < 4 * np.std(null) / np.sqrt(200)
    assert min(null) < 0 < max(null)
    s, _ = samples(30, 2, 4)
    assert kid(s, s) < 0


def test_wide_and_degenerate() -> None:
    s, t = samples(6, 9, 60)
    assert kid(s, t) == pytest.approx(literal(s, t), rel=1e-9)
    flat = np.full((7, 3), 0.3)
    assert kid(flat, flat[:4]) == 0.0
    ones = 1 + 0.3**2  # the kernel of two rows of 0.3, before its cube; of 0.3 and 0.5; of 0.5
    wanted = ones**3 + 1.25**3 - 2 * 1.15**3
    assert kid(flat, np.full((5, 3), 0.5)) == pytest.approx(wanted, rel=1e-12)
    doubled = np.concatenate([s, s])
    assert kid(doubled, t) == pytest.approx(literal(doubled, t), rel=1e-9)


def test_subsets() -> None:
    s, t = samples(20, 16, 3)
    rng = np.random.default_rng(4)
    values = [kid(s[rng.permutation(20)[:7]], t[rng.permutation(16)[:7]]) for _ in range(5)]
    assert kid(s, t, n_subsets=5, subset_size=7, seed=4) == pytest.approx(np.mean(values), rel=1e-12)
    assert kid(s, t, n_subsets=5, subset_size=7, seed=5) != kid(s, t, n_subsets=5, subset_size=7, seed=4)
    assert kid(s, t[:10], n_subsets=1, subset_size=10) != kid(s, t[:10])
    assert kid(s[:10], t[:10], n_subsets=1, subset_size=10) == pytest.approx(kid(s[:10], t[:10]), rel=1e-12)
    many = kid(s, t, n_subsets=3000, subset_size=4)
    assert many == pytest.approx(kid(s, t), rel=0.1)  # each subset's estimate is unbiased


def test_blocks_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    s, t = samples(23, 17, 4)
    value = kid(s, t)
    monkeypatch.setattr(sys.modules["transferscope.similarity.kid"], "BLOCK", 17 * 3)
    assert kid(s, t) == pytest.approx(value, rel=1e-12)


def test_float32_is_computed_in_float64() -> None:
    s, t = (x.astype(np.float32) for x in samples(12, 10, 3))
    assert kid(s, t) == kid(s.astype(float), t.astype(float)) == kid(torch.tensor(s), torch.tensor(t))


def test_refusals() -> None:
    s, t = samples(10, 8, 3)
    with pytest.raises(ScoreError, match="kid: 10 and 1 rows; expected at least 2 on each side"):
        kid(s, t[:1])
    with pytest.raises(ScoreError, match="kid: subset_size=1000 with 10 and 8 rows; expected 2 to 8, or n_subsets=No"):
        kid(s, t, n_subsets=3)
    with pytest.raises(ScoreError, match="kid: subset_size=1 with"):
        kid(s, t, n_subsets=3, subset_size=1)
    with pytest.raises(ScoreError, match="kid: n_subsets=0; expected at least 1, or None"):
        kid(s, t, n_subsets=0)
