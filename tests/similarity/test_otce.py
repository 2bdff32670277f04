"""OTCE's conditional entropy against couplings found by trying all and by SciPy."""

from __future__ import annotations

import itertools
import math
import sys
from collections import Counter

import numpy as np
import ot
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment

from transferscope.errors import ScoreError
from transferscope.similarity import otce, transport
from transferscope.similarity.otce import otce_parts

Problem = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


def problem(n: int, m: int, d: int, k: int = 3, seed: int = 0, shift: float = 0.5) -> Problem:
    """Class numbers with gaps; classes of one row and absent ones occur."""
    rng = np.random.default_rng(seed)
    ys, yt = 2 * rng.integers(0, k, n), 3 * rng.integers(0, k, m)
    means = rng.normal(size=(3 * k, d))
    return means[ys] + rng.normal(size=(n, d)), ys, means[yt] + rng.normal(size=(m, d)) + shift, yt


def entropy(pairs: Counter) -> float:
    """Tan et al., equations 4 and 5: of target given source classes, from counts of coupled pairs."""
    total, given = sum(pairs.values()), Counter()
    for (a, _), count in pairs.items():
        given[a] += count
    return -sum(count / total * math.log(count / given[a]) for (a, _), count in pairs.items())


@settings(max_examples=20, deadline=None)
@given(n=st.integers(1, 6), d=st.integers(1, 8), seed=st.integers(0, 10**6))
def test_is_its_definition(n: int, d: int, seed: int) -> None:
    """Equal numbers of rows: the best of all one-to-one couplings."""
    s, ys, t, yt = problem(n, n, d, seed=seed)

    def cost(order: tuple[int, ...]) -> float:
        return sum(float(np.square(s[i] - t[j]).sum()) for i, j in enumerate(order)) / n

    best = min(itertools.permutations(range(n)), key=cost)
    wanted = entropy(Counter((int(ys[i]), int(yt[j])) for i, j in enumerate(best)))
    distance, value = otce_parts(s, ys, t, yt)
    assert distance == pytest.approx(cost(best), rel=1e-9)
    assert value == otce(s, ys, t, yt) == pytest.approx(wanted, rel=1e-9, abs=1e-12)


@settings(max_examples=15, deadline=None)
@given(n=st.integers(1, 12), m=st.integers(1, 12), d=st.integers(2, 15), seed=st.integers(0, 10**6))
def test_unequal_numbers_of_rows(n: int, m: int, d: int, seed: int) -> None:
    """Each row repeated until both sides have as many."""
    s, ys, t, yt = problem(n, m, d, seed=seed)
    each = math.lcm(n, m)
    rows, columns = np.repeat(np.arange(n), each // n), np.repeat(np.arange(m), each // m)
    cost = np.square(s[rows][:, None] - t[columns]).sum(axis=2)
    left, right = linear_sum_assignment(cost)
    pairs = zip(ys[rows[left]].tolist(), yt[columns[right]].tolist(), strict=True)
    distance, value = otce_parts(s, ys, t, yt)
    assert distance == pytest.approx(cost[left, right].mean(), rel=1e-9)
    assert value == pytest.approx(entropy(Counter(pairs)), rel=1e-9, abs=1e-12)


def test_library_agrees() -> None:
    s, ys, t, yt = problem(50, 40, 5)
    distance, _ = otce_parts(s, ys, t, yt)
    assert distance == pytest.approx(ot.emd2([], [], ot.dist(s, t)), rel=1e-10)
    weight = 0.1 * float(np.median(ot.dist(s - s.mean(axis=0), t - t.mean(axis=0))))
    plan = ot.bregman.sinkhorn_log(np.full(50, 1 / 50), np.full(40, 1 / 40), ot.dist(s, t), weight)
    distance, value = otce_parts(s, ys, t, yt, regularisation=0.1)
    assert distance == pytest.approx((plan * ot.dist(s, t)).sum(), rel=1e-3)
    joint = {(a, b): plan[np.ix_(ys == a, yt == b)].sum() for a in np.unique(ys) for b in np.unique(yt)}
    assert value == pytest.approx(entropy(Counter(joint)), rel=1e-3)


def test_range() -> None:
    """0 where classes meet class by class; ln K where labels tell nothing; H(yt) with a single source class."""
    rng = np.random.default_rng(0)
    y = np.arange(60) % 3
    apart = 50.0 * np.eye(3)[y] + rng.normal(size=(60, 3))
    assert str(otce(apart, y, rng.permutation(apart[y != 0]), ["x"] * 40)) == "0.0"  # and not -0.0
    assert otce(apart, y, apart + 1, np.array(["b", "c", "a"])[y]) == 0.0
    rows = rng.normal(size=(300, 4))
    assert math.log(3) - otce(rows, rng.integers(0, 3, 300), rows + 0.1, rng.integers(0, 3, 300)) < 0.05
    shares = np.array([10, 20, 30]) / 60
    yt = np.repeat([0, 1, 2], [10, 20, 30])
    assert otce(rows[:60], [7] * 60, rows[60:120], yt) == pytest.approx(-(shares * np.log(shares)).sum(), rel=1e-9)


def test_many_source_classes_lower_it_whatever_the_features() -> None:
    rng = np.random.default_rng(0)
    s, t, yt = rng.normal(size=(60, 3)), rng.normal(size=(60, 3)), rng.integers(0, 3, 60)
    values = [otce(s, np.arange(60) % k, t, yt) for k in (1, 6, 30, 60)]
    assert values == sorted(values, reverse=True)
    assert values[0] > 1.0 > values[-1] == 0.0


def test_grows_as_labels_part_from_the_features() -> None:
    s, ys, t, yt = problem(120, 120, 4, seed=1, shift=0.0)
    rng = np.random.default_rng(0)
    values = []
    for share in (0.0, 0.3, 0.6, 1.0):
        mixed = yt.copy()
        chosen = rng.permutation(120)[: int(share * 120)]
        mixed[chosen] = rng.permutation(mixed[chosen])
        values.append(otce(s, ys, t, mixed))
    assert values == sorted(values)
    assert values[-1] > values[0] + 0.1


@pytest.mark.parametrize("regularisation", [None, 0.1])
@pytest.mark.parametrize("power", [-8, 0, 8])
@pytest.mark.parametrize("offset", [0.0, 1e4])
def test_invariances(regularisation: float | None, power: int, offset: float) -> None:
    """To rotation, scale, order of rows and names of classes, and (the entropy) to a shift of either side."""
    s, ys, t, yt = problem(25, 18, 6)
    distance, value = otce_parts(s, ys, t, yt, regularisation=regularisation)
    rng = np.random.default_rng(0)
    turn = np.linalg.qr(rng.normal(size=(6, 6)))[0] * 10.0**power
    order, other = rng.permutation(25), rng.permutation(18)
    names = [f"class {y}" for y in ys[order]]
    moved = otce_parts(
        (s[order] + offset) @ turn, names, (t[other] + offset) @ turn, -yt[other], regularisation=regularisation
    )
    assert moved[0] == pytest.approx(100.0**power * distance, rel=1e-6)
    assert moved[1] == pytest.approx(value, rel=1e-6)
    apart = otce_parts(s + offset, ys, t, yt, regularisation=regularisation)
    near, far = (np.square((s + x).mean(axis=0) - t.mean(axis=0)).sum() for x in (0, offset))
    assert apart[0] - far == pytest.approx(distance - near, rel=1e-6, abs=1e-6)
    assert apart[1] == pytest.approx(value, rel=1e-6)


def test_beyond_the_exact_size(monkeypatch: pytest.MonkeyPatch) -> None:
    """Smoother couplings have more entropy; blocks of rows do not matter."""
    s, ys, t, yt = problem(40, 30, 3)
    exact, soft = otce_parts(s, ys, t, yt), otce_parts(s, ys, t, yt, regularisation=0.02)
    monkeypatch.setattr(transport, "MOST_EXACT", 1000)
    monkeypatch.setattr(sys.modules["transferscope.similarity.samples"], "BLOCK", 30 * 7)
    assert otce_parts(s, ys, t, yt) == pytest.approx(soft, rel=1e-9)
    assert soft[0] == pytest.approx(exact[0], rel=0.1)
    assert soft[1] == pytest.approx(exact[1], rel=0.1)
    values = np.array([otce_parts(s, ys, t, yt, regularisation=r) for r in (0.02, 0.1, 0.5, 5.0)])
    assert (np.diff(values, axis=0) > 0).all()


@pytest.mark.parametrize("regularisation", [None, 0.1])
def test_degenerate_samples(regularisation: float | None) -> None:
    """Rows that are all equal, where any coupling is optimal; rows repeated; a single row on each side."""
    flat, labels = np.full((6, 2), 0.1), [0, 0, 1, 1, 2, 2]
    distance, value = otce_parts(flat, labels, flat[:3], [0, 1, 1], regularisation=regularisation)
    assert 0 <= distance < 1e-30
    assert 0 <= value <= math.log(2) + 1e-12
    assert otce_parts(flat[:1], [0], flat[:1] + 1, [0], regularisation=regularisation) == pytest.approx((2.0, 0.0))
    s, ys, t, yt = problem(12, 9, 3)
    doubled = np.repeat(t, 2, axis=0), np.repeat(yt, 2)
    distance, _ = otce_parts(s, ys, *doubled, regularisation=regularisation)
    assert distance == pytest.approx(otce_parts(s, ys, t, yt, regularisation=regularisation)[0], rel=5e-3)


def test_float32_is_computed_in_float64_and_labels_are_of_any_kind() -> None:
    s, ys, t, yt = problem(20, 15, 4)
    s, t = s.astype(np.float32), t.astype(np.float32)
    value = otce(s.astype(float), ys, t.astype(float), yt)
    assert otce(s, ys, t, yt) == value
    assert otce(torch.tensor(s), torch.tensor(ys), torch.tensor(t), [("y", int(y)) for y in yt]) == value


def test_refusals() -> None:
    s, ys, t, yt = problem(10, 8, 3)
    with pytest.raises(ScoreError, match="otce: source has 3 features and target 2; use one source model for both"):
        otce(s, ys, t[:, :2], yt)
    with pytest.raises(ScoreError, match="otce: 8 rows of target but 7 labels; give one label per row"):
        otce(s, ys, t, yt[:7])
    with pytest.raises(ScoreError, match="otce: 1 labels are missing"):
        otce(s, [None, *ys[1:].tolist()], t, yt)
    with pytest.raises(ScoreError, match="otce: source hold 1 NaN"):
        otce(np.where(np.arange(30).reshape(10, 3) == 4, np.nan, s), ys, t, yt)
    with pytest.raises(ScoreError, match="otce: regularisation=0; expected a positive share of the median"):
        otce(s, ys, t, yt, regularisation=0)
