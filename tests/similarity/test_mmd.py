"""Maximum mean discrepancy against loops over pairs, and its permutation test against chance."""

from __future__ import annotations

import math
import sys
import tracemalloc

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from transferscope.errors import ScoreError, UnknownNameError
from transferscope.similarity import mmd
from transferscope.similarity.mmd import mmd_permutation_test

every = pytest.mark.parametrize("estimator", ["biased", "unbiased", "linear"])


def samples(n: int, m: int, d: int, seed: int = 0, shift: float = 0.5) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, d)), rng.normal(size=(m, d)) * 1.2 + shift


def literal(s: np.ndarray, t: np.ndarray, estimator: str, factors: tuple[float, ...]) -> float:
    """Gretton et al., JMLR 2012: equations 5, 3 and lemma 14, a pair at a time."""
    pooled = [*s, *t]
    squares = [float(np.square(a - b).sum()) for i, a in enumerate(pooled) for b in pooled[i + 1 :]]
    median = float(np.median(squares))

    def k(a: np.ndarray, b: np.ndarray) -> float:
        return sum(math.exp(-f * float(np.square(a - b).sum()) / median) for f in factors) / len(factors)

    n, m = len(s), len(t)
    if estimator == "linear":
        pairs = [(s[i], s[i + 1], t[i], t[i + 1]) for i in range(0, min(n, m) // 2 * 2, 2)]
        return float(np.mean([k(a, b) + k(c, e) - k(a, e) - k(b, c) for a, b, c, e in pairs]))
    cross = sum(k(a, b) for a in s for b in t) / (n * m)
    if estimator == "biased":
        return sum(k(a, b) for a in s for b in s) / n**2 + sum(k(a, b) for a in t for b in t) / m**2 - 2 * cross
    inner = sum(k(a, b) for i, a in enumerate(s) for j, b in enumerate(s) if i != j) / (n * (n - 1))
    outer = sum(k(a, b) for i, a in enumerate(t) for j, b in enumerate(t) if i != j) / (m * (m - 1))
    return inner + outer - 2 * cross


@every
@pytest.mark.parametrize(("bandwidths", "factors"), [(1, (1.0,)), (5, (0.25, 0.5, 1.0, 2.0, 4.0))])
@settings(max_examples=15, deadline=None)
@given(n=st.integers(2, 9), m=st.integers(2, 9), d=st.integers(1, 12), seed=st.integers(0, 10**6))
def test_is_its_definition(
    estimator: str, bandwidths: int, factors: tuple[float, ...], n: int, m: int, d: int, seed: int
) -> None:
    s, t = samples(n, m, d, seed)
    value = mmd(s, t, estimator=estimator, bandwidths=bandwidths)  # type: ignore[arg-type]
    assert value == pytest.approx(literal(s, t, estimator, factors), rel=1e-9, abs=1e-12)


@every
@settings(max_examples=25, deadline=None)
@given(
    d=st.integers(1, 20), seed=st.integers(0, 10**6), power=st.sampled_from([-8, 0, 8]),
    offset=st.sampled_from([0.0, 1e6]),
)  # fmt: skip
def test_invariances(estimator: str, d: int, seed: int, power: int, offset: float) -> None:
    """To rotation, shift and common scale of both, to which side comes first, and (but for "linear") to row order."""
    s, t = samples(20, 14, d, seed)
    value = mmd(s, t, estimator=estimator)  # type: ignore[arg-type]
    rng = np.random.default_rng(seed)
    turn = np.linalg.qr(rng.normal(size=(d, d)))[0] * 10.0**power
    moved = (s + offset) @ turn, (t + offset) @ turn
    assert mmd(*moved, estimator=estimator) == pytest.approx(value, abs=1e-7)  # type: ignore[arg-type]
    assert mmd(t, s, estimator=estimator) == pytest.approx(value, abs=1e-12)  # type: ignore[arg-type]
    if estimator != "linear":
        mixed = mmd(rng.permutation(s), rng.permutation(t), estimator=estimator)  # type: ignore[arg-type]
        assert mixed == pytest.approx(value, abs=1e-12)
    if estimator == "biased":
        assert -1e-12 <= value <= 2


def test_the_same_rows_lie_nowhere_apart() -> None:
    s, _ = samples(30, 2, 4)
    assert mmd(s, s) == pytest.approx(0.0, abs=1e-12)
    assert mmd(s, s, estimator="unbiased") < 0
    assert mmd(s, s, estimator="linear") == pytest.approx(0.0, abs=1e-12)


@every
def test_grows_with_the_shift(estimator: str) -> None:
    values = [mmd(*samples(150, 150, 3, shift=shift), estimator=estimator) for shift in (0, 0.5, 1, 2, 4)]
    assert values == sorted(values)
    assert values[-1] > values[0] + 0.3


def test_blocks_and_many_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sums over blocks are the same sums; beyond 2000 pooled rows the median is of evenly spread ones."""
    s, t = samples(90, 70, 5)
    values = [mmd(s, t, estimator=e) for e in ("biased", "unbiased")]  # type: ignore[arg-type]
    tested = mmd_permutation_test(s, t)
    monkeypatch.setattr(sys.modules["transferscope.similarity.samples"], "BLOCK", 70 * 3)
    assert [mmd(s, t, estimator=e) for e in ("biased", "unbiased")] == pytest.approx(values, rel=1e-12)  # type: ignore
    assert mmd_permutation_test(s, t) == pytest.approx(tested, rel=1e-9)
    few = mmd(s, t)
    monkeypatch.setattr(sys.modules["transferscope.similarity.mmd"], "MEDIAN_ROWS", 60)
    assert mmd(s, t) == pytest.approx(few, rel=0.1)
    assert mmd(s, t) != few


def test_kernel_matrix_is_never_held(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither by the estimates nor by the permutation test."""
    monkeypatch.setattr(sys.modules["transferscope.similarity.samples"], "BLOCK", 2**13)
    monkeypatch.setattr(sys.modules["transferscope.similarity.mmd"], "MEDIAN_ROWS", 100)
    s, t = samples(500, 400, 5)
    for call in (lambda: mmd(s, t), lambda: mmd_permutation_test(s, t, n_permutations=20)):
        tracemalloc.start()
        call()
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < 900**2 * 8 / 6


@every
def test_one_far_row_costs_the_others_no_digits(estimator: str) -> None:
    """Its norm would drown the distances of all others, and make them look equal."""
    s, t = samples(30, 24, 3)
    far = s.copy()
    far[7] = 1e8
    assert mmd(far, t, estimator=estimator) == pytest.approx(  # type: ignore[arg-type]
        literal(far, t, estimator, (1.0,)), rel=1e-9
    )


@every
@pytest.mark.parametrize("shape", [(12, 9, 40), (9, 12, 3)])
def test_float32_and_repeated_rows(estimator: str, shape: tuple[int, int, int]) -> None:
    """Single precision is computed in double, at a mean of 1e4 too; copies are at distance 0."""
    n, m, d = shape
    s, t = ((x + 1e4).astype(np.float32) for x in samples(n, m, d))
    s[3] = s[2]
    t[0] = s[2]
    value = mmd(s, t, estimator=estimator)  # type: ignore[arg-type]
    assert value == mmd(torch.tensor(s), torch.tensor(t), estimator=estimator)  # type: ignore[arg-type]
    wanted = literal(s.astype(float), t.astype(float), estimator, (1.0,))
    assert value == pytest.approx(wanted, rel=1e-8, abs=1e-10)


def test_kernel_matrix_of_the_permutation_test_gives_the_unbiased_value() -> None:
    for bandwidths in (1, 5):
        s, t = samples(25, 18, 4)
        value, _ = mmd_permutation_test(s, t, bandwidths=bandwidths, n_permutations=1)
        assert value == pytest.approx(mmd(s, t, estimator="unbiased", bandwidths=bandwidths), rel=1e-9)


def test_p_values_are_those_of_relabelling_by_hand() -> None:
    s, t = samples(8, 6, 2, shift=0.8)
    pooled, rng = np.concatenate([s, t]), np.random.default_rng(3)
    observed, reached = literal(s, t, "unbiased", (1.0,)), 0
    for _ in range(40):
        chosen = np.isin(np.arange(14), rng.permutation(14)[:8])
        reached += literal(pooled[chosen], pooled[~chosen], "unbiased", (1.0,)) >= observed - 1e-12
    value, p = mmd_permutation_test(s, t, n_permutations=40, seed=3)
    assert value == pytest.approx(observed, rel=1e-9)
    assert p == pytest.approx((1 + reached) / 41)


def test_p_values_are_uniform_where_nothing_differs_and_small_where_it_does() -> None:
    rng = np.random.default_rng(0)
    null = np.array(
        [mmd_permutation_test(*rng.normal(size=(2, 15, 3)), n_permutations=99, seed=i)[1] for i in range(200)]
    )
    assert 0.4 < null.mean() < 0.6
    for level in (0.05, 0.2, 0.5, 0.8):  # within four standard errors of a share of 200
        assert abs((null <= level).mean() - level) < 4 * math.sqrt(level * (1 - level) / 200)
    shifted = [mmd_permutation_test(*samples(30, 30, 3, seed=i), n_permutations=99)[1] for i in range(5)]
    assert max(shifted) <= 0.05
    assert min(mmd_permutation_test(*samples(40, 40, 3, shift=3.0))) == 1 / 201


def test_a_seed_repeats_and_inputs_stay() -> None:
    s, t = samples(12, 10, 3)
    kept = s.copy(), t.copy()
    for array in (s, t):
        array.flags.writeable = False
    p = mmd_permutation_test(s, t, seed=5)
    assert mmd_permutation_test(s, t, seed=5) == p
    assert {mmd_permutation_test(s, t, seed=i)[1] for i in range(6)} != {p[1]}
    assert mmd(torch.tensor(s), torch.tensor(t)) == mmd(s, t)
    np.testing.assert_array_equal(s, kept[0])
    np.testing.assert_array_equal(t, kept[1])


def test_refusals() -> None:
    s, t = samples(10, 8, 3)
    with pytest.raises(UnknownNameError, match="no estimator of mmd named 'unbias'. Did you mean 'unbiased'"):
        mmd(s, t, estimator="unbias")  # type: ignore[arg-type]
    with pytest.raises(ScoreError, match="mmd: bandwidths=3; expected one of 1, 5"):
        mmd(s, t, bandwidths=3)  # type: ignore[arg-type]
    with pytest.raises(ScoreError, match="mmd: source has 3 features and target 2; use one source model for both"):
        mmd(s, t[:, :2])
    with pytest.raises(ScoreError, match="mmd: 10 and 1 rows; expected at least 2 on each side"):
        mmd(s, t[:1])
    with pytest.raises(ScoreError, match="mmd: target hold 0 NaN and 24 infinite values"):
        mmd(s, t * np.inf)
    for value in (0.0, 0.1, 1e6):
        with pytest.raises(ScoreError, match="at least half of all pairs of rows are equal, so there is no median"):
            mmd(np.full((9, 3), value), np.full((6, 3), value) + np.eye(6, 3, k=5))
    with pytest.raises(ScoreError, match="mmd: n_permutations=0; expected at least 1, better 200"):
        mmd_permutation_test(s, t, n_permutations=0)
