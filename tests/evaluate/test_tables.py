"""Tables of scores and accuracies: read, merged, and every measure beside a plain computation of it."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import strategies as st
from scipy import stats

from transferscope.errors import ResultError
from transferscope.evaluate.read import merge, read_table
from transferscope.evaluate.table import Table
from transferscope.evaluate.tables import STATIC, evaluate_table, static_order
from transferscope.report.orders import means_table, order_notes
from transferscope.results import Evaluation, load_result, save_result

TABLES = Path(os.environ.get("TRANSFERSCOPE_TABLES", Path(__file__).parents[3] / "shared" / "tables"))


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def make(rng: np.random.Generator, n_targets: int = 6, n_sources: int = 9) -> Table:
    accuracy = rng.random((n_targets, n_sources))
    scores = {"good": accuracy + 0.1 * rng.standard_normal(accuracy.shape), "noise": rng.random(accuracy.shape)}
    sizes = np.tile(rng.random(n_sources), (n_targets, 1))
    names = tuple(f"t{i}" for i in range(n_targets)), tuple(f"s{i}" for i in range(n_sources))
    return Table(*names, accuracy, {**scores, "n_parameters": sizes})


def test_wide_and_long_tables_say_the_same(tmp_path: Path) -> None:
    wide = read_table(write(tmp_path / "w.csv", "target,source,logme,otdd\nx,a,1,5\nx,b,2,\ny,a,3,7\n"))
    text = "target,source,scorer,value\nx,a,logme,1\nx,b,logme,2\ny,a,logme,3\nx,a,otdd,5\ny,a,otdd,7\n"
    long = read_table(write(tmp_path / "l.csv", text))
    assert (wide.targets, wide.sources) == (long.targets, long.sources) == (("x", "y"), ("a", "b"))
    for name in ("logme", "otdd"):
        np.testing.assert_array_equal(wide.scores[name], long.scores[name])
    assert np.isnan(wide.accuracy).all()
    turned = read_table(tmp_path / "w.csv", lower_is_better=["otdd"])
    np.testing.assert_array_equal(turned.scores["otdd"], -wide.scores["otdd"])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is empty"),
        ("target,source\n", "is empty"),
        ("a,b\n1,2\n", "has the columns a, b; expected target and source"),
        ("target,source,accuracy\nx,a,good\n", "line 2: accuracy is 'good'"),
        ("target,source,accuracy\nx,a,nan\n", "line 2: accuracy is 'nan'"),
        ("target,source,accuracy\nx,a,1\nx,a,2\n", "line 3: 'a' on 'x' stands in line 2 too"),
        ("target,source,accuracy\nx,a\n", "line 2: 2 cells under 3 columns"),
        ("target,source,accuracy\n,a,1\n", "line 2: target ''"),
        ("target,source,accuracy,accuracy\nx,a,1,2\n", "named twice"),
        ("target,source,accuracy\nx,a,\n", "no number"),
    ],
)
def test_wrong_tables_are_refused_with_the_line(text: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(ResultError, match=said):
        read_table(write(tmp_path / "wrong.csv", text))


def test_what_is_no_table_is_refused(tmp_path: Path) -> None:
    (tmp_path / "binary.csv").write_bytes(b"\xff\xfe\x00target")
    for path in (tmp_path / "binary.csv", tmp_path / "missing.csv", tmp_path):
        with pytest.raises(ResultError, match=r"UTF-8|cannot be read"):
            read_table(path)


def test_scores_and_accuracies_are_matched_by_name(tmp_path: Path) -> None:
    scores = read_table(write(tmp_path / "s.csv", "target,source,logme\nx,b,2\nx,a,1\nz,a,9\n"))
    truth = read_table(write(tmp_path / "t.csv", "target,source,accuracy\nx,a,0.5\nx,b,0.6\nx,c,0.7\n"))
    both = merge(scores, truth)
    assert (both.targets, both.sources) == (("x",), ("b", "a"))
    np.testing.assert_array_equal(both.accuracy, [[0.6, 0.5]])
    np.testing.assert_array_equal(both.scores["logme"], [[2, 1]])
    with pytest.raises(ResultError, match="names must match"):
        merge(scores, read_table(write(tmp_path / "u.csv", "target,source,accuracy\nq,a,0.5\n")))


numbers = st.lists(st.integers(0, 6).map(float), min_size=5, max_size=9)


def test_measures_are_scipys(tmp_path: Path) -> None:
    table = make(np.random.default_rng(0))
    found = evaluate_table(table, n_bootstrap=50)
    for row in found.orders:
        if row.target is None or row.order == STATIC:
            continue
        place = table.targets.index(row.target)
        x, y = table.scores[row.order][place], table.accuracy[place]
        assert row.measures["weighted_kendall"].value == pytest.approx(stats.weightedtau(y, x).statistic)
        assert row.measures["kendall"].value == pytest.approx(stats.kendalltau(x, y).statistic)
        assert row.measures["spearman"].value == pytest.approx(stats.spearmanr(x, y).statistic)
        assert row.measures["pearson"].value == pytest.approx(stats.pearsonr(x, y).statistic)
        order = np.argsort(-x)
        for k in (1, 3, 5):
            top = y[order[:k]].max()
            assert row.measures[f"regret_at_{k}"].value == pytest.approx(y.max() - top)
            assert row.measures[f"rel_at_{k}"].value == pytest.approx(top / y.max())
            assert row.measures[f"best_in_top_{k}"].value == float(top == y.max())
            assert row.measures[f"top_1_among_{k}_best"].value == float((y > y[order[0]]).sum() < k)
    assert load_result(save_result(found, tmp_path / "e.json")) == found


def test_means_controls_and_comparisons() -> None:
    found = evaluate_table(make(np.random.default_rng(1)), n_bootstrap=200)
    means = {row.order: row for row in found.orders if row.target is None}
    assert {name for name, row in means.items() if row.is_control} == {STATIC, "n_parameters"}
    for name, mean in means.items():
        each = [row.measures["weighted_kendall"].value for row in found.orders if row.order == name and row.target]
        assert mean.measures["weighted_kendall"].value == pytest.approx(np.mean(each))
        assert mean.n == 6
    [pair] = [
        c for c in found.comparisons if {c.first, c.second} == {"good", "noise"} and c.measure == "weighted_kendall"
    ]
    assert pair.first == "good"
    assert pair.difference.low is not None
    assert pair.difference.low > 0
    assert pair.first_better is not None
    assert pair.first_better > 0.95
    said = " ".join(order_notes(found))
    assert "Best by mean weighted τ over 6 targets: good." in said
    assert "beyond noise" in said
    assert means_table(found).row_count == 4
    assert evaluate_table(make(np.random.default_rng(1)), n_bootstrap=200).orders == found.orders


def test_two_identical_orders_are_a_tie() -> None:
    table = make(np.random.default_rng(2))
    twice = Table(table.targets, table.sources, table.accuracy, {"a": table.scores["good"], "b": table.scores["good"]})
    [pair] = [
        c for c in evaluate_table(twice, n_bootstrap=50).comparisons
        if {c.first, c.second} == {"a", "b"} and c.measure == "weighted_kendall"
    ]  # fmt: skip
    assert (pair.difference.value, pair.first_better) == (0.0, 0.5)


def test_intervals_cover_the_truth_about_as_often_as_they_say() -> None:
    """The mean weighted tau of a noisy order, over fresh targets of the same kind."""

    def table(rng: np.random.Generator, n: int) -> Table:
        accuracy = rng.standard_normal((n, 20))
        names = tuple(map(str, range(n))), tuple(map(str, range(20)))
        return Table(*names, accuracy, {"s": accuracy + rng.standard_normal(accuracy.shape)})

    def mean(found: Evaluation) -> tuple[float, float, float]:
        one = next(row for row in found.orders if row.target is None and row.order == "s").measures["weighted_kendall"]
        assert one.value is not None
        return one.value, one.low or 0.0, one.high or 0.0

    truth, _, _ = mean(evaluate_table(table(np.random.default_rng(99), 400), n_bootstrap=2))
    hits = []
    for trial in range(60):
        _, low, high = mean(evaluate_table(table(np.random.default_rng(trial), 12), n_bootstrap=200))
        hits.append(low <= truth <= high)
    assert np.mean(hits) >= 0.8


def test_the_static_order_never_reads_its_own_target() -> None:
    table = make(np.random.default_rng(3))
    before = static_order(table)[2]
    table.accuracy[2] = np.random.default_rng(4).random(9)
    np.testing.assert_array_equal(static_order(table)[2], before)


def test_few_sources_or_targets_get_a_value_and_no_interval() -> None:
    table = make(np.random.default_rng(5), 2, 3)
    for row in evaluate_table(table, n_bootstrap=20).orders:
        found = row.measures["weighted_kendall"]
        assert found.low is None
        assert found.note


def test_an_order_of_nothing_is_refused() -> None:
    table = Table(("x",), ("a",), np.array([[0.5]]), {"s": np.array([[1.0]])})
    with pytest.raises(ResultError, match="an order needs two"):
        evaluate_table(table)
    with pytest.raises(ResultError, match="expected a level"):
        evaluate_table(make(np.random.default_rng(0)), level=1.5)


def test_printed_taus_are_reproduced_just_where_they_follow() -> None:
    if not (TABLES / "tllib_rankings.csv").exists():
        pytest.skip(f"{TABLES} is not here; name it in TRANSFERSCOPE_TABLES")
    printed = json.loads((TABLES / "tllib_published.json").read_text())
    found = evaluate_table(read_table(TABLES / "tllib_rankings.csv"), n_bootstrap=10)
    same = {
        (row.target, row.order)
        for row in found.orders
        if row.target and row.order != STATIC
        and round(row.measures["weighted_kendall"].value or 0, 3) == printed[row.target]["weighted_tau"][row.order]
    }  # fmt: skip
    scorers = {"h_score", "leep", "logme", "nce"}
    for target in ("CIFAR10", "SUN397", "StanfordCars"):
        assert {(target, name) for name in scorers} <= same
    for target in ("CIFAR100", "Caltech101"):
        assert {(target, name) for name in scorers - {"logme"}} <= same
        assert (target, "logme") not in same
    assert not {pair for pair in same if pair[0] in ("Aircraft", "OxfordIIITPets")}
    assert ("DTD", "nce") not in same


def test_intervals_of_means_hold_where_a_score_misjudges_the_same_sources_everywhere() -> None:
    def table(rng: np.random.Generator, n_targets: int, n_sources: int) -> Table:
        accuracy = rng.standard_normal((n_targets, n_sources))
        error = rng.standard_normal(n_sources)  # of each source, on all targets
        names = tuple(map(str, range(n_targets))), tuple(map(str, range(n_sources)))
        return Table(*names, accuracy + error, {"s": accuracy})

    def mean(found: Evaluation) -> Any:
        one = next(row for row in found.orders if row.target is None and row.order == "s")
        return one.measures["kendall"]

    truth = mean(evaluate_table(table(np.random.default_rng(99), 40, 1000), n_bootstrap=1)).value
    hits = []
    for trial in range(80):
        found = mean(evaluate_table(table(np.random.default_rng(trial), 12, 40), n_bootstrap=150))
        hits.append(found.low <= truth <= found.high)
    assert np.mean(hits) >= 0.8
