"""What is learned from earlier targets: prior, consensus, weights and predicted accuracy."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from transferscope.evaluate.measures import weighted_kendall
from transferscope.evaluate.read import read_table
from transferscope.evaluate.table import Table
from transferscope.evaluate.tables import static_order
from transferscope.history.conformal import predict_accuracy
from transferscope.history.fuse import HISTORY, default_weights, fuse, normal_scores
from transferscope.history.prior import static_prior
from transferscope.history.weights import learn_weights

TABLES = Path(os.environ.get("TRANSFERSCOPE_TABLES", Path(__file__).parents[3] / "shared" / "tables"))
Array = NDArray[np.float64]


def published(name: str) -> Table:
    if not (TABLES / name).exists():
        pytest.skip(f"{TABLES / name} is not here; name its folder in TRANSFERSCOPE_TABLES")
    return read_table(TABLES / name)


def make(rng: np.random.Generator, n_targets: int, n_sources: int, noise: float = 0.03) -> Table:
    """Two-way accuracies, a scorer that reads them, and one that reads nothing."""
    levels, effects = rng.normal(0.6, 0.1, (n_targets, 1)), rng.normal(0, 0.06, n_sources)
    accuracy = np.clip(levels + effects + rng.normal(0, 0.04, (n_targets, n_sources)), 0, 1)
    good = accuracy + rng.normal(0, noise, accuracy.shape)
    names = tuple(f"t{i}" for i in range(n_targets)), tuple(f"s{i}" for i in range(n_sources))
    return Table(*names, accuracy, {"good": good, "noise": rng.standard_normal(accuracy.shape)})


values = st.lists(st.floats(-5, 5).map(lambda v: round(v, 3)), min_size=4, max_size=4)


@settings(deadline=None)
@given(first=values, second=values, third=values)
def test_a_consensus_reads_ranks_alone(first: list[float], second: list[float], third: list[float]) -> None:
    orders = {"a": np.array(first), "b": np.array(second), "c": np.array(third)}
    weights = {"a": 0.5, "b": 0.3, "c": 0.2}
    found = fuse(orders, weights)
    bent = {"a": np.exp(orders["a"]), "b": 7 * orders["b"] - 3, "c": orders["c"] ** 3}
    np.testing.assert_allclose(fuse(bent, weights), found, atol=1e-12)
    turn = [2, 0, 3, 1]
    np.testing.assert_allclose(fuse({k: v[turn] for k, v in orders.items()}, weights), found[turn], atol=1e-12)
    same = fuse({**orders, "flat": np.ones(4)}, {**weights, "flat": 1.0})
    np.testing.assert_allclose(same, found, atol=1e-12)


@settings(deadline=None)
@given(first=st.permutations(range(5)))
def test_a_unanimous_order_is_kept(first: list[int]) -> None:
    order = np.array(first, dtype=float)
    found = fuse({"a": order, "b": 10 * order, "c": order - 4}, default_weights(["a", "b", "c"]))
    assert list(np.argsort(found)) == list(np.argsort(order))


def test_a_missing_scorer_neither_punishes_nor_favours() -> None:
    orders = {"a": np.array([3.0, 2.0, 1.0]), "b": np.array([3.0, np.nan, 1.0])}
    found = fuse(orders, {"a": 0.5, "b": 0.5})
    assert found[0] > found[1] > found[2]
    assert found[1] == pytest.approx(0.0)
    unknown = fuse({"a": np.array([np.nan, 1.0, 2.0])}, {"a": 1.0})
    assert np.isnan(unknown[0])


def test_a_scorer_of_some_sources_orders_these_and_leaves_their_place_among_the_others() -> None:
    orders = {
        "all": np.array([6.0, 5.0, 4.0, 3.0, 2.0, 1.0]),
        "best two": np.array([1.0, 2.0, np.nan, np.nan, np.nan, np.nan]),
    }
    alone = fuse({"all": orders["all"]}, {"all": 1.0})
    found = fuse(orders, {"all": 0.5, "best two": 0.5})
    assert found[:2].mean() == pytest.approx(alone[:2].mean())
    assert found[:2].min() > found[2:].max()
    assert found[0] - found[1] < alone[0] - alone[1]
    np.testing.assert_allclose(found[2:], alone[2:], atol=1e-9)


@settings(deadline=None)
@given(seed=st.integers(0, 10_000))
def test_levels_solve_the_least_squares_they_state(seed: int) -> None:
    rng = np.random.default_rng(seed)
    orders = {name: rng.standard_normal(7) for name in "abc"}
    orders["b"][rng.permutation(7)[:3]] = np.nan
    orders["c"][rng.permutation(7)[:4]] = np.nan
    weights = dict(zip("abc", rng.dirichlet(np.ones(3)), strict=True))
    rows, goals = [], []
    for place, name in enumerate("abc"):
        for source, z in enumerate(normal_scores(orders[name])):
            if np.isfinite(z):
                row = np.zeros(10)
                row[source] = row[7 + place] = 1.0
                rows.append(np.sqrt(weights[name]) * row)
                goals.append(np.sqrt(weights[name]) * z)
    fitted = np.linalg.lstsq(np.array(rows), np.array(goals), rcond=None)[0][:7]
    found = fuse(orders, weights)
    np.testing.assert_allclose(found - found.mean(), fitted - fitted.mean(), atol=1e-8)


def test_draws_are_fused_at_once() -> None:
    rng = np.random.default_rng(0)
    draws = {"a": rng.standard_normal((50, 6)), "b": rng.standard_normal((50, 6))}
    weights = {"a": 0.7, "b": 0.3}
    together = fuse(draws, weights)
    one_by_one = [fuse({name: array[i] for name, array in draws.items()}, weights) for i in range(50)]
    np.testing.assert_allclose(together, one_by_one)
    varied = fuse(draws, {"a": np.ones((50, 1)), "b": np.zeros((50, 1))})
    np.testing.assert_allclose(varied, fuse({"a": draws["a"]}, {"a": 1.0}))


def test_scorers_of_one_family_share_one_voice() -> None:
    weights = default_weights(["ridge_loo", "lda_loo", "knn", "mine"])
    assert weights == pytest.approx({"ridge_loo": 1 / 6, "lda_loo": 1 / 6, "knn": 1 / 3, "mine": 1 / 3})
    assert default_weights([]) == {}
    assert sum(default_weights(["knn", "logme"], history=True).values()) == pytest.approx(1.0)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 1000))
def test_a_prior_never_reads_the_target_that_is_left_out(seed: int) -> None:
    rng = np.random.default_rng(seed)
    table = make(rng, 5, 6)
    changed = Table(table.targets, table.sources, table.accuracy.copy(), table.scores)
    changed.accuracy[2] = rng.random(6)
    assert static_prior(table, "t2") == static_prior(changed, "t2")
    assert static_prior(table, "t2") == static_prior(table.without("t2"))


def test_a_prior_is_shrunk_where_few_targets_tell_it() -> None:
    rng = np.random.default_rng(1)
    table = make(rng, 12, 8, 0.0)
    table.accuracy[1:, 0] = np.nan  # known on one target, where it is the best
    table.accuracy[0, 0] = 1.0
    table.accuracy[:, 1] = table.accuracy[:, 1:].max(axis=1) + 0.01  # the best on all
    found = static_prior(table)
    assert found["s0"].n_targets == 1
    assert 0 < found["s0"].mean < found["s1"].mean
    assert found["s0"].standard_error > found["s1"].standard_error


def test_an_empty_history_says_nothing() -> None:
    empty = Table((), ("a", "b"), np.zeros((0, 2)))
    assert static_prior(empty) == {}
    learned = learn_weights(empty, ["logme"])
    assert (learned.weights, learned.n_targets, learned.validation) == ({"logme": 1.0}, 0, {})
    assert predict_accuracy(empty, "logme", {"a": 0.5}) == {}


def test_a_useful_scorer_gets_more_weight_than_a_useless_one() -> None:
    table = make(np.random.default_rng(3), 12, 10)
    learned = learn_weights(table, ["good", "noise"])
    assert sum(learned.weights.values()) == pytest.approx(1.0)
    assert min(learned.weights.values()) >= 0
    assert learned.weights["good"] > 2 * learned.weights["noise"]
    assert learned.n_targets == 12
    assert learned.validation["learned"] > learned.validation["noise"]
    assert learned.validation["learned"] >= learned.validation["default"]


def test_weights_stay_the_default_where_little_is_known() -> None:
    table = make(np.random.default_rng(3), 2, 5)
    assert learn_weights(table, ["good", "noise"]).weights == default_weights(["good", "noise"], history=True)


def test_predicted_accuracy_holds_as_often_as_it_says() -> None:
    """On new targets of the same kind; conservative by up to the step of one target."""
    held, widths = [], []
    for trial in range(150):
        rng = np.random.default_rng(trial)
        whole = make(rng, 26, 6)
        table = whole.without("t25")
        new = {name: float(whole.scores["good"][25, place]) for place, name in enumerate(whole.sources)}
        found = predict_accuracy(table, "good", new)
        for place, name in enumerate(whole.sources):
            middle, low, high = found[name]
            assert 0 <= low <= middle <= high <= 1
            held.append(low <= whole.accuracy[25, place] <= high)
            widths.append(high - low)
    assert 0.85 <= np.mean(held) <= 0.95
    assert np.mean(widths) < 0.2  # it says something


def test_no_interval_from_too_few_targets() -> None:
    table = make(np.random.default_rng(0), 8, 6)
    assert predict_accuracy(table, "good", {"s0": 0.6}) == {}
    assert predict_accuracy(table, "good", {"s0": 0.6}, level=0.8) != {}
    assert predict_accuracy(table, "absent", {"s0": 0.6}, level=0.8) == {}


def taus(order: Array, accuracy: Array) -> list[float]:
    found = []
    for row, measured in zip(order, accuracy, strict=True):
        known = np.isfinite(row) & np.isfinite(measured)
        found.append(weighted_kendall(row[known], measured[known]))
    return found


def prior_order(table: Table) -> Array:
    rows = []
    for target in table.targets:
        known = static_prior(table, target)
        rows.append([known[name].mean if name in known else np.nan for name in table.sources])
    return np.array(rows)


def test_the_consensus_is_no_worse_than_the_median_scorer_on_published_tables() -> None:
    table = published("tllib_rankings.csv")
    single = {name: taus(values, table.accuracy) for name, values in table.scores.items()}
    rows = range(len(table.targets))
    weights = default_weights(list(table.scores))
    fused = np.array([fuse({name: v[row] for name, v in table.scores.items()}, weights) for row in rows])
    consensus = taus(fused, table.accuracy)
    median = np.median([np.mean(found) for found in single.values()])
    assert np.mean(consensus) >= median
    on_each = [consensus[row] >= np.median([found[row] for found in single.values()]) - 1e-12 for row in rows]
    print(f"consensus {np.mean(consensus):.3f}, median scorer {median:.3f}; not below it on {sum(on_each)} of 8")
    assert sum(on_each) >= 7
    for row, target in enumerate(table.targets):  # with weights and prior from the other targets: on none below
        rest = table.without(target)
        prior = static_prior(rest)
        means = np.array([prior[name].mean if name in prior else np.nan for name in table.sources])
        scores = {name: values[row] for name, values in table.scores.items()}
        order = fuse(scores, learn_weights(rest, list(scores)).weights, means)
        typical = np.median([weighted_kendall(values, table.accuracy[row]) for values in scores.values()])
        assert weighted_kendall(order, table.accuracy[row]) >= typical, target


@pytest.mark.parametrize("name", ["parc_controlled_accuracy.csv", "transfergraph_image_accuracy.csv"])
def test_the_prior_orders_published_models_no_worse_than_mean_ranks(name: str) -> None:
    table = published(name)
    ours, usual = (np.nanmean(taus(order, table.accuracy)) for order in (prior_order(table), static_order(table)))
    print(f"prior {ours:.3f}, mean rank {usual:.3f}")
    assert ours >= usual - 0.02


def test_history_is_the_name_of_the_prior() -> None:
    assert fuse({"a": np.array([1.0, 2.0])}, {"a": 0.1, HISTORY: 0.9}, np.array([2.0, 1.0]))[0] > 0
