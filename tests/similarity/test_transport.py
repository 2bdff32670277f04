"""Optimal transport: the exact solver at all scales, and Sinkhorn's iteration against POT's."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator

import numpy as np
import ot
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment

from transferscope.errors import ScoreError
from transferscope.similarity import transport
from transferscope.similarity.transport import coupling, entropy_weight, exact, is_exact, sinkhorn


def in_blocks(cost: np.ndarray, height: int = 4) -> Callable[[], Iterator[tuple[slice, np.ndarray]]]:
    def blocks() -> Iterator[tuple[slice, np.ndarray]]:
        for start in range(0, len(cost), height):
            block = slice(start, min(start + height, len(cost)))
            yield block, cost[block]

    return blocks


def costs(n: int, m: int, seed: int = 0, d: int = 3) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return ot.dist(rng.normal(size=(n, d)), rng.normal(size=(m, d)) + 0.5)


def whole_plan(cost: np.ndarray, regularisation: float | None, height: int = 4) -> np.ndarray:
    blocks = list(coupling(in_blocks(cost, height), cost.shape, regularisation, "test"))
    np.testing.assert_array_equal(np.concatenate([part for _, part, _ in blocks]), cost)
    return np.concatenate([masses for _, _, masses in blocks])


@pytest.mark.parametrize("scale", [1e-16, 1.0, 1e16])
def test_exact_at_all_scales(scale: float) -> None:
    """The solver's own tolerances know nothing of the unit of the costs."""
    cost = costs(40, 40)
    rows, columns = linear_sum_assignment(cost)
    _, _, masses = exact(in_blocks(cost * scale), cost.shape, "test")
    wanted = np.zeros((40, 40))
    wanted[rows, columns] = 1 / 40
    np.testing.assert_allclose(masses, wanted, atol=1e-15)


def test_exact_with_one_far_row() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(30, 2)), rng.normal(size=(30, 2))
    a[0] = 1e6
    cost = ot.dist(a, b)
    rows, columns = linear_sum_assignment(cost)
    _, _, masses = exact(in_blocks(cost), cost.shape, "test")
    assert np.vdot(cost[1:], masses[1:]) == pytest.approx(cost[rows[1:], columns[1:]].mean() * 29 / 30, rel=1e-9)


def test_exact_where_nothing_costs_anything() -> None:
    masses = whole_plan(np.zeros((3, 5)), None)
    np.testing.assert_allclose(masses.sum(axis=0), 1 / 5)
    np.testing.assert_allclose(masses.sum(axis=1), 1 / 3)


def test_exact_says_when_it_gave_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "PIVOTS", 3)
    with (
        pytest.warns(UserWarning, match="numItermax"),
        pytest.raises(ScoreError, match=r"test: the exact transport was not found \(.*\); give regularisation=0.02"),
    ):
        whole_plan(costs(30, 30), None)


def test_size_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    assert is_exact((5000, 5000), None, "test")
    assert not is_exact((5000, 5001), None, "test")
    assert not is_exact((3, 3), 0.1, "test")
    cost = costs(9, 8)
    assert (whole_plan(cost, None) > 0).sum() <= 16
    monkeypatch.setattr(transport, "MOST_EXACT", 71)
    np.testing.assert_allclose(whole_plan(cost, None), whole_plan(cost, 0.02))
    assert (whole_plan(cost, None) > 0).all()


@settings(max_examples=15, deadline=None)
@given(
    n=st.integers(1, 20), m=st.integers(1, 20), seed=st.integers(0, 10**6),
    regularisation=st.sampled_from([0.05, 0.3, 2.0]), scale=st.sampled_from([1e-10, 1.0, 1e10]),
)  # fmt: skip
def test_entropic_plan_is_pots(n: int, m: int, seed: int, regularisation: float, scale: float) -> None:
    cost = costs(n, m, seed)
    weight = regularisation * float(np.median(cost))
    wanted = ot.bregman.sinkhorn_log(np.full(n, 1 / n), np.full(m, 1 / m), cost, weight, 20000, stopThr=1e-6)
    masses = whole_plan(cost * scale, regularisation)
    assert np.abs(masses - wanted).sum() < 0.01
    np.testing.assert_allclose(masses.sum(axis=1), 1 / n, atol=2e-3)
    np.testing.assert_allclose(masses.sum(axis=0), 1 / m, atol=2e-3)


def test_entropic_value_is_cost_and_relative_entropy() -> None:
    cost = costs(25, 30)
    weight = entropy_weight(in_blocks(cost), cost.shape, 0.1)
    assert weight == pytest.approx(0.1 * np.median(cost), rel=1e-12)
    plan = ot.bregman.sinkhorn_log(np.full(25, 1 / 25), np.full(30, 1 / 30), cost, weight, stopThr=1e-12)
    wanted = (plan * cost).sum() + weight * (plan * np.log(plan * 25 * 30)).sum()
    assert sinkhorn(in_blocks(cost), cost.shape, weight, "test").value == pytest.approx(wanted, rel=1e-5)


def test_unsettled_value_is_below_the_settled_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """The dual's value at potentials on the way, whose masses do not sum to 1 yet."""
    cost = costs(20, 15)
    settled = sinkhorn(in_blocks(cost), cost.shape, 0.3, "test").value
    monkeypatch.setattr(transport, "TOLERANCE", 0.3)
    early = sinkhorn(in_blocks(cost), cost.shape, 0.3, "test")
    surplus = early.plan(slice(0, 20), cost).sum() - 1
    assert abs(surplus) > 0.01
    assert early.value == pytest.approx(early.rows.mean() + early.columns.mean() - 0.3 * surplus, rel=1e-12)
    assert settled - 0.3 < early.value < settled


def test_entropic_plan_tends_to_the_exact_one() -> None:
    cost = costs(20, 20, d=2)
    best = float((whole_plan(cost, None) * cost).sum())
    values = [float((whole_plan(cost, r) * cost).sum()) for r in (1.0, 0.2, 0.05, 0.005)]
    assert values == sorted(values, reverse=True)
    assert values[-1] == pytest.approx(best, rel=0.02)


def test_a_column_that_no_row_wants_is_served() -> None:
    """Hundreds of weights away from every row, where exponentials of the first passes are 0."""
    cost = costs(12, 12)
    cost[:, 3] += 1e6
    masses = whole_plan(cost, 0.05)
    assert np.isfinite(masses).all()
    np.testing.assert_allclose(masses.sum(axis=0), 1 / 12, rtol=0.02)


def test_half_of_all_costs_may_be_0() -> None:
    cost = np.zeros((6, 6))
    cost[:, 0] = 1.0
    assert entropy_weight(in_blocks(cost), cost.shape, 1.0) == pytest.approx(1 / 6)
    np.testing.assert_allclose(whole_plan(cost, 0.1).sum(axis=0), 1 / 6, rtol=1e-2)
    np.testing.assert_allclose(whole_plan(np.zeros((4, 3)), 0.1), 1 / 12)


def test_blocks_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither to the plan nor to the sample of costs, which meets all columns."""
    cost = costs(30, 24)
    np.testing.assert_allclose(whole_plan(cost, 0.1, height=7), whole_plan(cost, 0.1, height=30), rtol=1e-9)
    monkeypatch.setattr(transport, "SAMPLE", 65)  # every 12th of 24 columns, if steps were not mended
    cost = np.tile(np.arange(24.0), (30, 1))
    weights = {entropy_weight(in_blocks(cost, height), cost.shape, 1.0) for height in (1, 7, 30)}
    assert len(weights) == 1
    assert weights.pop() == pytest.approx(11.5, abs=2)


def test_refusals(monkeypatch: pytest.MonkeyPatch) -> None:
    for value in (0.0, -1.0, float("nan")):
        with pytest.raises(ScoreError, match="test: regularisation=.*; expected a positive share of the median cost"):
            is_exact((3, 3), value, "test")
    monkeypatch.setattr(sys.modules["transferscope.similarity.transport"], "ITERATIONS", 30)
    with pytest.raises(ScoreError, match="did not settle in 30 passes; give a larger regularisation than 0.001, or"):
        whole_plan(costs(20, 20), 0.001)
