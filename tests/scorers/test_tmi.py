"""TMI against its definition in loops and against a k-d tree."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial import KDTree
from scipy.special import digamma

from transferscope.errors import ScoreError
from transferscope.features.moments import Moments
from transferscope.scorers import SCORERS, tmi


def problem(n: int, d: int, k: int, seed: int = 0, separation: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    y = np.concatenate([np.arange(k), rng.integers(0, k, n - k)])
    return separation * rng.normal(size=(k, d))[y] + 2 * rng.normal(size=(n, d)) + 2.0, y


def literal(X: np.ndarray, y: np.ndarray, k: int = 3, floor: float = 1.0, total: bool = False) -> float:
    """Xu and Kang's estimate, class by class and row by row, with what the published code does to small classes."""
    shares = []
    for c in sorted(set(y.tolist())):
        rows = [x for x, label in zip(X, y, strict=True) if label == c]
        n = len(rows)
        if n == 1:
            shares.append(0.0)
        elif n > k:
            entropy = float(digamma(n) - digamma(k))
            for i in range(n):
                distances = sorted(max(abs(rows[i] - rows[j])) for j in range(n) if j != i)
                entropy += len(X[0]) / n * math.log(2 * max(distances[k - 1], floor))
            shares.append(n / len(X) * entropy)
    if not shares:
        return 0.0
    return sum(shares) if total else sum(shares) / len(shares)


@settings(max_examples=60, deadline=None)
@given(
    n=st.integers(5, 30), d=st.integers(1, 40), classes=st.integers(2, 5), seed=st.integers(0, 10**6),
    k=st.integers(1, 5), floor=st.sampled_from([1e-3, 1.0, 4.0]), grid=st.booleans(),
)  # fmt: skip
def test_is_its_definition(n: int, d: int, classes: int, seed: int, k: int, floor: float, grid: bool) -> None:
    X, y = problem(n, d, classes, seed)
    X = np.round(X) if grid else X
    for total in (False, True):
        value = tmi(X, 3 * y - 1, k=k, floor=floor, total=total)
        assert value == pytest.approx(literal(X, y, k, floor, total), rel=1e-10, abs=1e-12)


@pytest.mark.parametrize("k", [1, 3])
def test_library_agrees(k: int) -> None:
    """A k-d tree finds the same neighbours; each row is its own nearest there."""
    X, y = problem(120, 4, 3)
    shares = []
    for c in range(3):
        rows = X[y == c]
        distances = KDTree(rows).query(rows, k=k + 1, p=np.inf)[0][:, -1]
        entropy = digamma(len(rows)) - digamma(k) + 4 * np.log(2 * np.maximum(distances, 1e-3)).mean()
        shares.append(len(rows) / 120 * entropy)
    assert tmi(X, y, k=k, floor=1e-3) == pytest.approx(np.mean(shares), rel=1e-12)
    assert tmi(X, y, k=k, floor=1e-3, total=True) == pytest.approx(np.sum(shares), rel=1e-12)


def test_entropy_of_a_known_law() -> None:
    """Two classes of the same uniform square of side 20: ln 400 each, of which the mean of shares is a half."""
    rng = np.random.default_rng(0)
    X, y = rng.uniform(0, 20, size=(4000, 2)), np.arange(4000) % 2
    assert tmi(X, y, floor=1e-9, total=True) == pytest.approx(math.log(400), abs=0.08)
    assert tmi(X, y, floor=1e-9) == pytest.approx(math.log(400) / 2, abs=0.04)


def test_small_classes() -> None:
    """One sample counts as 0 in the mean, two and three are left out of it, and there may be no class at all."""
    X, _ = problem(12, 3, 2)
    alone = np.array([0] * 5 + [1] * 6 + [2])
    assert tmi(X, alone) == pytest.approx(literal(X[:11], alone[:11]) * 11 / 12 * 2 / 3, rel=1e-12)
    pair = np.array([0] * 5 + [1] * 5 + [2] * 2)
    assert tmi(X, pair) == pytest.approx(literal(X[:10], pair[:10]) * 10 / 12, rel=1e-12)
    assert tmi(X, np.arange(12) // 3) == 0.0
    assert tmi(X, np.arange(12)) == 0.0
    assert tmi(X, np.arange(12) // 3, k=2) == pytest.approx(literal(X, np.arange(12) // 3, k=2), rel=1e-12)


def test_copies_stay_finite() -> None:
    X = np.repeat(np.arange(5.0)[:, None], 2, axis=1).repeat(8, axis=0)
    y = np.arange(40) % 2
    assert tmi(X, y) == pytest.approx((digamma(20) - digamma(3) + 2 * math.log(2)) / 2, rel=1e-12)
    assert tmi(X, y, floor=1e-300) == pytest.approx((digamma(20) - digamma(3) + 2 * math.log(2e-300)) / 2, rel=1e-12)


@pytest.mark.parametrize("power", [-8, 8])
def test_scale_adds_its_logarithm(power: int) -> None:
    X, y = problem(60, 7, 3)
    gap = 7 * power * math.log(10) / 3
    assert tmi(X * 10.0**power, y, floor=10.0 ** (power - 6)) == pytest.approx(tmi(X, y, floor=1e-6) + gap, rel=1e-10)


def test_far_means_cost_no_digits() -> None:
    X, y = problem(60, 7, 3)
    assert tmi(X + 1e6, y) == pytest.approx(tmi(X, y), rel=1e-9)
    single = (X + 1e4).astype(np.float32)
    assert tmi(single, y) == tmi(single.astype(float), y)
    assert tmi(single, y) == pytest.approx(tmi(X, y), rel=1e-3)


def test_it_never_compares_classes() -> None:
    """Moving whole classes changes nothing, and labels without meaning score higher than true ones."""
    X, y = problem(90, 4, 3, separation=5.0)
    moved = X + 1e3 * y[:, None]
    assert tmi(moved, y) == pytest.approx(tmi(X, y), rel=1e-9)
    assert tmi(X, np.random.default_rng(0).permutation(y)) > tmi(X, y) + 0.3


def test_values_at_the_floor_are_told() -> None:
    X, y = problem(60, 5, 3)
    saturated = SCORERS["tmi"].saturated
    small = X * 1e-3
    says = saturated(Moments.from_features(small, y), tmi(small, y)) or ""
    assert says.startswith("Saturated: every distance is below the floor of 1, so it is a function of the number")
    assert tmi(small, y) == pytest.approx(tmi(small[::-1] ** 2, y), rel=1e-12)
    assert saturated(Moments.from_features(X, y), tmi(X, y)) is None
    small[y == 0] *= 1e4
    assert saturated(Moments.from_features(small, y), tmi(small, y)) is None
    y = np.array([0] * 54 + [1] * 5 + [2])
    small = X * 1e-3
    assert saturated(Moments.from_features(small, y), tmi(small, y)) is not None
    small[:54] = X[:54] * 0.5  # a little above the floor
    assert saturated(Moments.from_features(small, y), tmi(small, y)) is None
    y = np.arange(60) // 3
    says = saturated(Moments.from_features(X, y), tmi(X, y)) or ""
    assert says.startswith("Saturated: no class has more than 3 samples, so it is 0 whatever the features")


def test_classes_without_a_third_neighbour_are_told() -> None:
    X, _ = problem(14, 3, 2)
    moments = Moments.from_features(X, [0] * 6 + [1] * 4 + [2] * 3 + [3])
    says = ("1 class(es) have 2 or 3 samples, which gives no third neighbour: left out.",)
    assert SCORERS["tmi"].caveats(moments) == says
    assert SCORERS["tmi"].caveats(Moments.from_features(X, [0] * 6 + [1] * 7 + [2])) == ()


def test_samples_add_up_to_the_score() -> None:
    X, _ = problem(40, 3, 2)
    y = np.array([0] * 20 + [1] * 15 + [2] * 2 + [3] + [4, 4])
    per_sample = SCORERS["tmi"].per_sample
    assert per_sample is not None
    each = per_sample(X, y)
    assert each is not None
    assert each.shape == (40,)
    assert each.mean() == tmi(X, y)
    assert not each[35:].any()


def test_refusals() -> None:
    X, y = problem(20, 4, 2)
    with pytest.raises(ScoreError, match="tmi: k=0 and floor=1.0; expected at least 1 neighbour and a positive floor"):
        tmi(X, y, k=0)
    for floor in (0.0, -1.0, math.nan):
        with pytest.raises(ScoreError, match=f"tmi: k=3 and floor={floor}; expected at least 1 neighbour and a posit"):
            tmi(X, y, floor=floor)
    with pytest.raises(ScoreError, match="tmi is not defined for multilabel; it is for classification"):
        tmi(X, np.eye(20, dtype=int))
