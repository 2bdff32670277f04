"""Measures of agreement against scipy and against all ways to break ties, one by one."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from transferscope.errors import ScoreError
from transferscope.evaluate import kendall, pearson, recall_at_k, regret_at_k, rel_at_k, spearman, weighted_kendall
from transferscope.evaluate.resampled import resample

CORRELATIONS: dict[str, tuple[Callable[..., float], Callable[..., float]]] = {
    "weighted_kendall": (weighted_kendall, lambda x, y: stats.weightedtau(x, y).statistic),
    "kendall": (kendall, lambda x, y: stats.kendalltau(x, y).statistic),
    "spearman": (spearman, lambda x, y: stats.spearmanr(x, y).statistic),
    "pearson": (pearson, lambda x, y: stats.pearsonr(x, y).statistic),
}
correlation = pytest.mark.parametrize("name", CORRELATIONS)


@st.composite
def orders(draw: st.DrawFn, fewest: int = 2, most: int = 12) -> tuple[np.ndarray, np.ndarray]:
    """Scores and accuracies of a few sources: drawn from few values, so that ties abound, or from many."""
    n = draw(st.integers(fewest, most))
    values = draw(st.sampled_from([st.integers(0, 3), st.integers(-100, 100)]))
    score, accuracy = (draw(st.lists(values, min_size=n, max_size=n)) for _ in range(2))
    return np.array(score) / 7, np.array(accuracy) / 100


@correlation
@pytest.mark.filterwarnings("ignore::scipy.stats.ConstantInputWarning")
@settings(max_examples=150, deadline=None)
@given(pair=orders())
def test_as_scipy(name: str, pair: tuple[np.ndarray, np.ndarray]) -> None:
    ours, theirs = CORRELATIONS[name]
    score, accuracy = pair
    value = ours(score, accuracy)
    if np.ptp(score) == 0 or np.ptp(accuracy) == 0:
        assert np.isnan(value)  # undefined, not 0
    else:
        assert value == pytest.approx(theirs(score, accuracy), abs=1e-9)
        assert -1 <= value <= 1


@correlation
@settings(max_examples=60, deadline=None)
@given(pair=orders(), seed=st.integers(0, 1000))
def test_symmetries(name: str, pair: tuple[np.ndarray, np.ndarray], seed: int) -> None:
    """Order of sources, units, and which of the two comes first do not matter; direction does."""
    ours, _ = CORRELATIONS[name]
    score, accuracy = pair
    value = ours(score, accuracy)
    order = np.random.default_rng(seed).permutation(len(score))
    same = pytest.approx(value, abs=1e-9, nan_ok=True)
    assert ours(score[order], accuracy[order]) == same
    assert ours(1e6 * score - 3, 100 * accuracy) == same
    assert ours(accuracy, score) == same
    assert ours(list(score), tuple(accuracy)) == same
    if name != "weighted_kendall":  # where the top is makes a difference
        assert ours(-score, accuracy) == pytest.approx(-value, abs=1e-9, nan_ok=True)
    if np.ptp(score) > 0:
        assert ours(score, score) == pytest.approx(1.0)


def test_mistakes_at_the_top_weigh_most() -> None:
    accuracy = np.arange(10.0)
    top, bottom = accuracy.copy(), accuracy.copy()
    top[[8, 9]] = top[[9, 8]]
    bottom[[0, 1]] = bottom[[1, 0]]
    assert weighted_kendall(top, accuracy) < weighted_kendall(bottom, accuracy) < 1
    assert kendall(top, accuracy) == kendall(bottom, accuracy)
    assert weighted_kendall(-accuracy, accuracy) == pytest.approx(-1.0)


def test_values_of_any_size() -> None:
    """Scores near the largest and the smallest numbers, and a small difference beside a large mean."""
    x, y = np.array([1.0, 2.0, 4.0, 3.0]), np.array([0.1, 0.2, 0.3, 0.5])
    for name, (ours, _) in CORRELATIONS.items():
        for scale in (1e-300, 1e-150, 1e150, 1e300):
            assert ours(x * scale, y) == pytest.approx(ours(x, y), abs=1e-9), name
        assert ours(x + 1e9, y) == pytest.approx(ours(x, y), abs=1e-6), name
    assert np.isnan(pearson([0.1] * 3, [1, 2, 3]))


# Ties: the mean over every order that the scores allow


def orders_of(score: np.ndarray) -> list[tuple[int, ...]]:
    """All orders of sources, best first, in which no source comes before one of a higher score."""
    everyone = itertools.permutations(range(len(score)))
    return [order for order in everyone if all(score[a] >= score[b] for a, b in itertools.pairwise(order))]


@settings(max_examples=60, deadline=None)
@given(pair=orders(1, 6), data=st.data())
def test_ties_are_means_over_all_ways_to_break_them(pair: tuple[np.ndarray, np.ndarray], data: st.DataObject) -> None:
    score, accuracy = pair[0], pair[1] + 1.01  # positive, for the shares
    k = data.draw(st.integers(1, len(score)))
    ways, best = orders_of(score), accuracy.max()
    found = [max(accuracy[list(way[:k])]) for way in ways]
    assert regret_at_k(score, accuracy, k) == pytest.approx(np.mean([best - f for f in found]), abs=1e-12)
    relative = np.mean([(best - f) / best for f in found])
    assert regret_at_k(score, accuracy, k, relative=True) == pytest.approx(relative, abs=1e-12)
    assert rel_at_k(score, accuracy, k) == pytest.approx(np.mean([f / best for f in found]), abs=1e-12)
    assert recall_at_k(score, accuracy, k) == pytest.approx(np.mean([f == best for f in found]), abs=1e-12)
    among = np.mean([(accuracy > accuracy[way[0]]).sum() < k for way in ways])
    assert recall_at_k(score, accuracy, k, meaning="top_1_among_k_best") == pytest.approx(among, abs=1e-12)


def test_by_hand() -> None:
    score, accuracy = [3.0, 2.0, 2.0, 1.0], [0.5, 0.9, 0.7, 0.8]
    assert regret_at_k(score, accuracy) == pytest.approx(0.4)
    assert regret_at_k(score, accuracy, 2) == pytest.approx(0.1)  # 0.9 or 0.7 beside the first
    assert regret_at_k(score, accuracy, 3) == 0.0
    assert rel_at_k(score, accuracy, 2) == pytest.approx(0.8 / 0.9)
    assert [recall_at_k(score, accuracy, k) for k in (1, 2, 3, 4)] == [0.0, 0.5, 1.0, 1.0]
    assert [recall_at_k(score, accuracy, k, meaning="top_1_among_k_best") for k in (1, 3, 4)] == [0.0, 0.0, 1.0]


def test_hundreds_of_tied_sources() -> None:
    """Binomials of that size are exact in whole numbers only."""
    accuracy = np.arange(400) / 400
    value = regret_at_k(np.zeros(400), accuracy, 200)
    assert value == pytest.approx(accuracy.max() - 200 / 201 * 401 / 400 + 1 / 400, abs=1e-9)
    assert recall_at_k(np.zeros(400), accuracy, 100) == pytest.approx(0.25)


# Many draws at once: what the bootstrap calls


@settings(max_examples=80, deadline=None)
@given(pair=orders(2, 7), data=st.data())
def test_draws_are_what_the_drawn_sources_themselves_give(
    pair: tuple[np.ndarray, np.ndarray], data: st.DataObject
) -> None:
    """Copies of a source count for correlations; at k, a source is there or not."""
    score, accuracy = pair[0], pair[1] + 1.01
    n = len(score)
    rows = np.array(data.draw(st.lists(st.integers(0, n - 1), min_size=n, max_size=n)))
    counts = np.stack([np.ones(n, dtype=int), np.bincount(rows, minlength=n)])
    ks = range(1, n + 2)
    found = resample(score, accuracy, counts, ks)
    for draw, (drawn, there) in enumerate([(np.arange(n), np.arange(n)), (rows, np.unique(rows))]):
        for name, (ours, _) in CORRELATIONS.items():
            np.testing.assert_allclose(found[name][draw], ours(score[drawn], accuracy[drawn]), atol=1e-9, err_msg=name)
        for k in ks[:-1]:
            x, y, most = score[there], accuracy[there], min(k, len(there))
            assert found[f"regret_at_{k}"][draw] == pytest.approx(regret_at_k(x, y, most), abs=1e-9)
            assert found[f"rel_at_{k}"][draw] == pytest.approx(rel_at_k(x, y, most), abs=1e-9)
            assert found[f"best_in_top_{k}"][draw] == pytest.approx(recall_at_k(x, y, most), abs=1e-9)
            among = recall_at_k(x, y, most, meaning="top_1_among_k_best")
            assert found[f"top_1_among_{k}_best"][draw] == pytest.approx(among, abs=1e-9)
    assert np.isnan(found[f"regret_at_{n + 1}"]).all()


@pytest.mark.parametrize("measure", [weighted_kendall, kendall, spearman, pearson, regret_at_k, rel_at_k, recall_at_k])
def test_refusals_of_all(measure: Callable[..., float]) -> None:
    with pytest.raises(ScoreError, match=r"scores of shape \(3,\) beside accuracies of shape \(2,\); expected one of"):
        measure([1, 2, 3], [1, 2])
    with pytest.raises(ScoreError, match=r"scores of shape \(1, 2\) beside accuracies of shape \(1, 2\)"):
        measure([[1, 2]], [[1, 2]])
    for hole in (math.nan, math.inf):
        with pytest.raises(ScoreError, match="hold NaN or infinite values; leave out the sources they belong to"):
            measure([1, 2, hole], [1, 2, 3])
        with pytest.raises(ScoreError, match="hold NaN or infinite values"):
            measure([1, 2, 3], [hole, 2, 3])
    with pytest.raises(ScoreError, match=r"k=1 with 0 source\(s\); expected 1 <= k <= number of sources"):
        measure([], [])


def test_refusals_of_some() -> None:
    for measure in (regret_at_k, rel_at_k, recall_at_k):
        for k in (0, 4):
            with pytest.raises(ScoreError, match=rf"k={k} with 3 source\(s\); expected 1 <= k <= number of sources"):
                measure([1, 2, 3], [1, 2, 3], k)
    for accuracy in ([0, 0, 0], [-1, -2, -3]):
        with pytest.raises(ScoreError, match="the best accuracy is .*; a share of it is only defined above 0"):
            rel_at_k([1, 2, 3], accuracy)
        with pytest.raises(ScoreError, match="a share of it is only defined above 0"):
            regret_at_k([1, 2, 3], accuracy, relative=True)
    says = "recall_at_k: meaning='best'; expected one of best_in_top_k, top_1_among_k_best"
    with pytest.raises(ScoreError, match=says):
        recall_at_k([1, 2], [1, 2], meaning="best")  # type: ignore[arg-type]
