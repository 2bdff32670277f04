"""OTDD against its definition in loops, matrix square roots and SciPy's assignment."""

from __future__ import annotations

import math
import sys

import numpy as np
import ot
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment

from transferscope.errors import ScoreError
from transferscope.similarity import frechet, otdd, transport

Problem = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]
ways = pytest.mark.parametrize("regularisation", [None, 0.1])


def problem(n: int, m: int, d: int, k: int = 3, seed: int = 0, shift: float = 0.5) -> Problem:
    """Class numbers with gaps; classes of one row and absent ones occur."""
    rng = np.random.default_rng(seed)
    ys, yt = 2 * rng.integers(0, k, n), 3 * rng.integers(0, k, m)
    means = rng.normal(size=(3 * k, d))
    return means[ys] + rng.normal(size=(n, d)), ys, means[yt] + rng.normal(size=(m, d)) + shift, yt


def root(covariance: np.ndarray) -> np.ndarray:
    values, vectors = np.linalg.eigh(covariance)
    return (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T


def law(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    centred = rows - rows.mean(axis=0)
    return rows.mean(axis=0), centred.T @ centred / max(len(rows) - 1, 1)


def law_distance(p: tuple[np.ndarray, np.ndarray], q: tuple[np.ndarray, np.ndarray]) -> float:
    together = root(root(p[1]) @ q[1] @ root(p[1]))
    return float(np.square(p[0] - q[0]).sum() + np.trace(p[1]) + np.trace(q[1]) - 2 * np.trace(together))


def literal_costs(s: np.ndarray, ys: np.ndarray, t: np.ndarray, yt: np.ndarray) -> np.ndarray:
    """Alvarez-Melis and Fusi, equation 6, squared, a pair of rows at a time."""
    first, second = ({y: law(x[labels == y]) for y in set(labels.tolist())} for x, labels in ((s, ys), (t, yt)))
    apart = {(a, b): law_distance(p, q) for a, p in first.items() for b, q in second.items()}
    return np.array(
        [
            [float(np.square(x - z).sum()) + apart[int(a), int(b)] for z, b in zip(t, yt, strict=True)]
            for x, a in zip(s, ys, strict=True)
        ]
    )


def literal(s: np.ndarray, ys: np.ndarray, t: np.ndarray, yt: np.ndarray) -> float:
    """Each row repeated until both sides have as many; then one to one."""
    each = math.lcm(len(s), len(t))
    cost = literal_costs(s, ys, t, yt).repeat(each // len(s), axis=0).repeat(each // len(t), axis=1)
    return float(cost[linear_sum_assignment(cost)].mean())


@settings(max_examples=25, deadline=None)
@given(n=st.integers(1, 12), m=st.integers(1, 12), d=st.integers(1, 10), seed=st.integers(0, 10**6))
def test_is_its_definition(n: int, m: int, d: int, seed: int) -> None:
    assert otdd(*problem(n, m, d, seed=seed)) == pytest.approx(literal(*problem(n, m, d, seed=seed)), rel=1e-6)


def test_entropic_value_is_that_of_debiased_library_plans() -> None:
    s, ys, t, yt = problem(30, 24, 5)
    weight = 0.3 * float(np.median(literal_costs(s - s.mean(axis=0), ys, t - t.mean(axis=0), yt)))

    def value(cost: np.ndarray) -> float:
        n, m = cost.shape
        plan = ot.bregman.sinkhorn_log(np.full(n, 1 / n), np.full(m, 1 / m), cost, weight, 5000, stopThr=1e-7)
        return float((plan * cost).sum() + weight * (plan * np.log(plan * n * m)).sum())

    itself = [value(literal_costs(x, y, x, y)) for x, y in ((s, ys), (t, yt))]
    wanted = value(literal_costs(s, ys, t, yt)) - sum(itself) / 2
    assert otdd(s, ys, t, yt, regularisation=0.3) == pytest.approx(wanted, rel=1e-4)


def test_parts_that_are_known() -> None:
    """One class on each side adds the Frechet distance to plain transport; classes of one row add gaps of rows."""
    s, _, t, _ = problem(20, 15, 4)
    plain = ot.emd2([], [], ot.dist(s, t))
    assert otdd(s, [0] * 20, t, ["a"] * 15) == pytest.approx(plain + frechet(s, t), rel=1e-9)
    assert otdd(s, np.arange(20), t, np.arange(15)) == pytest.approx(2 * plain, rel=1e-9)
    assert otdd(s[:1], [0], t[:1], [0]) == pytest.approx(2 * np.square(s[0] - t[0]).sum(), rel=1e-12)


@ways
@pytest.mark.parametrize("d", [2, 40])
def test_equal_samples_lie_nowhere_apart(regularisation: float | None, d: int) -> None:
    s, ys, _, _ = problem(30, 2, d)
    scale = float(np.square(s).sum(axis=1).mean())
    order = np.random.default_rng(0).permutation(30)
    for other in (s, ys), (s[order], -ys[order]):
        assert 0 <= otdd(s, ys, *other, regularisation=regularisation) < 1e-9 * scale
    assert otdd(s, ys, s, np.roll(ys, 7), regularisation=regularisation) > 1e-3 * scale


@ways
@settings(max_examples=8, deadline=None)
@given(
    d=st.sampled_from([2, 12]), seed=st.integers(0, 10**6), power=st.sampled_from([-8, 0, 8]),
    offset=st.sampled_from([0.0, 1e4]),
)  # fmt: skip
def test_invariances(regularisation: float | None, d: int, seed: int, power: int, offset: float) -> None:
    """To rotation and shift, to which side comes first, the order of rows and names; the square of the scale."""
    s, ys, t, yt = problem(15, 12, d, seed=seed)
    rng = np.random.default_rng(seed)
    value = otdd(s, ys, t, yt, regularisation=regularisation)
    turn = np.linalg.qr(rng.normal(size=(d, d)))[0] * 10.0**power
    order, other = rng.permutation(15), rng.permutation(12)
    moved = (s[order] + offset) @ turn, [f"class {y}" for y in ys[order]], (t[other] + offset) @ turn, -yt[other]
    slack = 1e-6 if regularisation is None else 1e-3  # passes stop where they are near enough
    assert otdd(*moved, regularisation=regularisation) == pytest.approx(100.0**power * value, rel=slack)
    assert otdd(t, yt, s, ys, regularisation=regularisation) == pytest.approx(value, rel=slack)


@ways
def test_grows_with_the_shift_and_with_labels_mixed_up(regularisation: float | None) -> None:
    values = [otdd(*problem(40, 35, 3, shift=shift), regularisation=regularisation) for shift in (0.5, 1, 2, 4)]
    assert values == sorted(values)
    s, ys, t, yt = problem(60, 60, 3, seed=2, shift=0.0)
    mixed = np.random.default_rng(0).permutation(yt)
    usual, changed = (otdd(s, ys, t, y, regularisation=regularisation) for y in (yt, mixed))
    assert abs(changed - usual) > 0.1


def test_beyond_the_exact_size(monkeypatch: pytest.MonkeyPatch) -> None:
    """Near the exact value, and the nearer the less regularised; blocks of rows do not matter."""
    data = problem(40, 30, 3)
    exact = otdd(*data)
    soft = [otdd(*data, regularisation=r) for r in (0.02, 0.1, 0.5)]
    assert soft == sorted(soft, reverse=True)
    assert soft[0] == pytest.approx(exact, rel=0.03)
    monkeypatch.setattr(transport, "MOST_EXACT", 1000)
    monkeypatch.setattr(sys.modules["transferscope.similarity.samples"], "BLOCK", 30 * 7)
    assert otdd(*data) == pytest.approx(soft[0], rel=1e-9)
    assert otdd(*data[:2], *data[:2]) == 0.0


@ways
def test_degenerate_samples(regularisation: float | None) -> None:
    """Constant features change nothing; rows all equal are two points."""
    s, ys, t, yt = problem(12, 10, 3)
    padded = [np.hstack([x, np.full((len(x), 2), 7.0)]) for x in (s, t)]
    wanted = otdd(s, ys, t, yt, regularisation=regularisation)
    assert otdd(padded[0], ys, padded[1], yt, regularisation=regularisation) == pytest.approx(wanted, rel=1e-9)
    flat = np.full((6, 2), 0.1)
    assert otdd(flat, [0, 1] * 3, flat[:3], [0, 1, 1], regularisation=regularisation) == pytest.approx(0, abs=1e-12)
    assert otdd(flat, [0, 1] * 3, flat[:3] + 1, [0, 1, 1], regularisation=regularisation) == pytest.approx(4.0)


def test_float32_is_computed_in_float64_and_labels_are_of_any_kind() -> None:
    s, ys, t, yt = problem(20, 15, 4)
    s, t = s.astype(np.float32), t.astype(np.float32)
    value = otdd(s.astype(float), ys, t.astype(float), yt)
    assert otdd(s, ys, t, yt) == value
    assert otdd(torch.tensor(s), torch.tensor(ys), torch.tensor(t), yt.astype(float)) == pytest.approx(
        value, rel=1e-12
    )


def test_refusals() -> None:
    s, ys, t, yt = problem(10, 8, 3)
    with pytest.raises(ScoreError, match="otdd: source has 2 features and target 3; use one source model for both"):
        otdd(s[:, :2], ys, t, yt)
    with pytest.raises(ScoreError, match="otdd: 10 rows of source but 9 labels; give one label per row"):
        otdd(s, ys[1:], t, yt)
    with pytest.raises(ScoreError, match="otdd: regularisation=-1; expected a positive share of the median"):
        otdd(s, ys, t, yt, regularisation=-1)
