"""`ts.evaluate` on results made by hand: who is compared with whom, and the intervals."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
import pytest

import transferscope as ts
from transferscope.agreements import Estimate
from transferscope.errors import ResultError
from transferscope.evaluate import evaluate, kendall, pearson, regret_at_k, spearman, weighted_kendall
from transferscope.results import (
    Agreement,
    Candidate,
    Confirmed,
    Evaluation,
    Ranking,
    Score,
    SourceCard,
    SplitCard,
    Stamp,
    TargetCard,
    Truth,
    load_result,
)

STAMP = Stamp("2025-01-01T00:00:00+00:00", "by hand", 0, "cpu", {}, {})
SPLIT = SplitCard(0, 60, 20, 20, False, None, "s")
STATISTICS = {
    "weighted_kendall": weighted_kendall, "kendall": kendall, "spearman": spearman, "pearson": pearson,
    "regret_at_1": regret_at_k,
}  # fmt: skip
Values = Mapping[str, float | None]


def target(name: str = "birds") -> TargetCard:
    return TargetCard(name, "image", 100, ("a", "b"), (50, 50), None, f"sha of {name}")


def ranking(
    scores: Mapping[str, Values], *, name: str = "birds", lower_is_better: Sequence[str] = (), control: str = ""
) -> Ranking:
    """Of sources by name and their scores by scorer; a second layer of each is worse, and not the best."""
    scorers = tuple(next(iter(scores.values())))
    cards, candidates = [], []
    for i, (source, values) in enumerate(scores.items()):
        if source != "raw":
            cards.append(SourceCard(source, "net", {}, ("head", "stem"), 1000 * (i + 1), "sha"))
        found = {s: Score(s, v, s not in lower_is_better, 60, 8, 0.1) for s, v in values.items()}
        for layer in ("head", "stem"):
            shown = found if layer == "head" else {s: dataclasses.replace(f, value=-99.0) for s, f in found.items()}
            kind = "raw" if source == "raw" else "random" if source == control else None
            candidates.append(Candidate(source, layer, (), {}, "mean", 8, 1.0, shown, layer == "head", kind))
    return Ranking(target(name), SPLIT, scorers, scorers[0], tuple(cards), tuple(candidates), STAMP)


def truth(accuracy: Mapping[str, float], *, strategy: str = "linear_probe", name: str = "birds") -> Truth:
    confirmed = [Confirmed(s, "head", strategy, a, None, 0.01, 20, (), 1.0) for s, a in accuracy.items()]
    return Truth(target(name), SPLIT, tuple(confirmed), STAMP)


def found(evaluation: Evaluation, scorer: str, strategy: str = "linear_probe", name: str = "birds") -> Agreement:
    (one,) = [a for a in evaluation.agreements if (a.scorer, a.strategy, a.target) == (scorer, strategy, name)]
    return one


RNG = np.random.default_rng(1)
NAMES = [f"net{i}" for i in range(9)]
LOGME, KNN, ACCURACY = RNG.normal(size=9), RNG.normal(size=9), RNG.uniform(0.4, 0.9, 9)
RANKING = ranking({n: {"logme": a, "knn": b} for n, a, b in zip(NAMES, LOGME, KNN, strict=True)})
TRUTH = truth(dict(zip(NAMES, ACCURACY, strict=True)))


def test_values_are_those_of_the_measures() -> None:
    evaluation = evaluate(RANKING, TRUTH, n_bootstrap=50)
    assert [a.scorer for a in evaluation.agreements] == ["logme", "knn", "n_parameters"]
    for scorer, values in (("logme", LOGME), ("knn", KNN), ("n_parameters", np.arange(9))):
        agreement = found(evaluation, scorer)
        assert (agreement.n_sources, agreement.target, agreement.strategy) == (9, "birds", "linear_probe")
        for name, measure in STATISTICS.items():
            estimate = getattr(agreement, name)
            assert estimate.value == pytest.approx(measure(values, ACCURACY), abs=1e-12)
            assert estimate.note is None


def test_the_folder_is_the_function() -> None:
    evaluation = ts.evaluate(RANKING, TRUTH, n_bootstrap=20, seed=4, command="here")
    assert evaluation.agreements == evaluate([RANKING], (TRUTH,), n_bootstrap=20, seed=4).agreements
    assert (evaluation.stamp.seed, evaluation.stamp.command, evaluation.level) == (4, "here", 0.9)
    assert evaluation.stamp.seconds["evaluate"] >= 0


def test_intervals_are_percentiles_over_sources() -> None:
    """Literally: draw sources, measure, sort."""
    evaluation = evaluate(RANKING, TRUTH, level=0.8, n_bootstrap=300, seed=7)
    draws = [np.repeat(np.arange(9), n) for n in np.random.default_rng(7).multinomial(9, np.full(9, 1 / 9), 300)]
    for name, measure in STATISTICS.items():
        values = np.array([measure(LOGME[rows], ACCURACY[rows]) for rows in draws])
        low, high = np.quantile(values[np.isfinite(values)], [0.1, 0.9])
        estimate = getattr(found(evaluation, "logme"), name)
        assert (estimate.low, estimate.high) == pytest.approx((low, high), abs=1e-12)
        assert estimate.low <= estimate.value <= estimate.high
    assert evaluation.level == 0.8


def test_intervals_are_wider_at_higher_levels_and_narrower_with_more_sources() -> None:
    def width(n: int, level: float) -> float:
        rng = np.random.default_rng(0)
        signal = rng.normal(size=n)
        scores = {f"n{i}": {"logme": float(v)} for i, v in enumerate(signal + rng.normal(size=n))}
        accuracy = {f"n{i}": float(v) for i, v in enumerate(0.5 + 0.05 * signal)}
        estimate = found(evaluate(ranking(scores), truth(accuracy), level=level), "logme").kendall
        assert estimate.low is not None
        assert estimate.high is not None
        return estimate.high - estimate.low

    assert width(12, 0.5) < width(12, 0.9) < width(12, 0.99)
    assert width(80, 0.9) < width(12, 0.9) / 1.5


def test_intervals_hold_the_truth_as_often_as_they_say() -> None:
    """Kendall's tau of a bivariate normal of correlation r is 2 / pi arcsin r."""
    rng, tau, held = np.random.default_rng(2), 2 / np.pi * np.arcsin(0.7), 0
    for seed in range(60):
        x = rng.normal(size=40)
        y = 0.7 * x + np.sqrt(1 - 0.49) * rng.normal(size=40)
        scores = {f"n{i}": {"logme": float(v)} for i, v in enumerate(x)}
        accuracy = {f"n{i}": float(v) for i, v in enumerate(y)}
        estimate = found(evaluate(ranking(scores), truth(accuracy), n_bootstrap=200, seed=seed), "logme").kendall
        assert estimate.low is not None
        assert estimate.high is not None
        held += estimate.low <= tau <= estimate.high
    assert 46 <= held <= 60  # 90 percent of 60 are 54


def test_scores_where_less_is_better_are_turned() -> None:
    values = {n: {"bound": float(v)} for n, v in zip(NAMES, -ACCURACY, strict=True)}
    turned = evaluate(ranking(values, lower_is_better=["bound"]), TRUTH, n_bootstrap=20)
    assert found(turned, "bound").kendall.value == 1.0
    assert found(turned, "bound").regret_at_1.value == 0.0
    assert found(evaluate(ranking(values), TRUTH, n_bootstrap=20), "bound").kendall.value == -1.0


def test_controls_count_where_they_were_trained() -> None:
    """A random twin has a card and the raw input has none."""
    scores = {"net": {"logme": 3.0}, "net-random": {"logme": 2.0}, "raw": {"logme": 1.0}}
    evaluation = evaluate(
        ranking(scores, control="net-random"), truth({"net": 0.9, "net-random": 0.6, "raw": 0.5}), n_bootstrap=5
    )
    assert found(evaluation, "logme").n_sources == 3
    assert found(evaluation, "logme").kendall == Estimate(1.0, note="no interval from 3 sources")
    assert found(evaluation, "n_parameters").n_sources == 2


def test_sources_without_a_score_or_a_truth_are_left_out() -> None:
    scores: dict[str, Values] = {n: {"logme": float(v)} for n, v in zip(NAMES, LOGME, strict=True)}
    scores["net0"] = {"logme": None}
    accuracy = dict(zip(NAMES, ACCURACY, strict=True))
    del accuracy["net1"]
    agreement = found(evaluate(ranking(scores), truth(accuracy), n_bootstrap=20), "logme")
    assert agreement.n_sources == 7
    assert agreement.kendall.value == pytest.approx(kendall(LOGME[2:], ACCURACY[2:]))


def test_what_is_not_defined_is_noted() -> None:
    scores = {n: {"same": 1.0, "one": 2.0 if n == "net0" else None, "last": float(n == "net8")} for n in NAMES}
    evaluation = evaluate(ranking(scores), TRUTH, n_bootstrap=400)
    same = found(evaluation, "same")
    assert (
        same.kendall
        == same.pearson
        == Estimate(None, note="not defined: too few sources, or all scores or all accuracies are equal")
    )
    assert same.regret_at_1.value == pytest.approx(ACCURACY.max() - ACCURACY.mean())
    says = "1 source(s) have both a score and a measured accuracy"
    assert found(evaluation, "one").kendall == Estimate(None, note=says)
    # one source differs, and a draw without it has no order: (8 / 9)^9 = 0.35 of all draws
    assert found(evaluation, "last").kendall.low is not None
    pair = {n: {"logme": float(n == "net0")} for n in NAMES[:4]}
    few = found(evaluate(ranking(pair), truth(dict.fromkeys(NAMES[:3], 0.5) | {"net3": 0.7})), "logme")
    assert few.kendall.value == pytest.approx(kendall([1, 0, 0, 0], [0.5, 0.5, 0.5, 0.7]))
    assert few.kendall == Estimate(few.kendall.value, note="undefined in most bootstrap draws")


def test_strategies_and_targets_stay_apart_and_truths_of_one_target_come_together() -> None:
    birds = [truth(dict(zip(NAMES[:5], ACCURACY[:5], strict=True)), strategy=s) for s in ("linear_probe", "full")]
    more = truth(dict(zip(NAMES[5:], ACCURACY[5:], strict=True)))
    fish = ranking({n: {"logme": float(v)} for n, v in zip(NAMES[:3], KNN, strict=False)}, name="fish")
    fish_truth = truth({"net0": 0.1, "net1": 0.2, "net2": 0.3}, name="fish")
    evaluation = evaluate([RANKING, fish], [*birds, more, fish_truth], n_bootstrap=10)
    counts = {(a.target, a.strategy): a.n_sources for a in evaluation.agreements if a.scorer == "logme"}
    assert counts == {("birds", "linear_probe"): 9, ("birds", "full"): 5, ("fish", "linear_probe"): 3}
    whole = evaluate(RANKING, TRUTH, n_bootstrap=10)
    assert found(evaluation, "logme") == found(whole, "logme")
    alone = truth({"net0": 0.9}, strategy="full")
    assert {a.strategy for a in evaluate(RANKING, [TRUTH, alone], n_bootstrap=5).agreements} == {"linear_probe"}


def test_a_seed_repeats(tmp_path) -> None:
    first = evaluate(RANKING, TRUTH, n_bootstrap=50, seed=1)
    assert evaluate(RANKING, TRUTH, n_bootstrap=50, seed=1).agreements == first.agreements
    other = evaluate(RANKING, TRUTH, n_bootstrap=50, seed=2).agreements[0]
    assert other.kendall.value == first.agreements[0].kendall.value
    assert other.kendall.low != first.agreements[0].kendall.low
    assert load_result(first.to_json(tmp_path / "evaluation.json")) == first


def test_refusals() -> None:
    with pytest.raises(ResultError, match=r"got 0 ranking\(s\) and 1 truth\(s\); expected at least one of each"):
        evaluate([], TRUTH)
    with pytest.raises(ResultError, match=r"got 1 ranking\(s\) and 0 truth\(s\)"):
        evaluate(RANKING, ())
    with pytest.raises(ResultError, match="the truth of fish belongs to none of the rankings, of birds: other data"):
        evaluate(RANKING, [TRUTH, truth({"net0": 0.5}, name="fish")])
    with pytest.raises(ResultError, match="every truth has one source only; an order needs two: confirm more"):
        evaluate(RANKING, truth({"net0": 0.5}))
    for level in (0.0, 1.0, 90):
        with pytest.raises(ResultError, match=f"level={level} and n_bootstrap=1000; expected a level between 0 and 1"):
            evaluate(RANKING, TRUTH, level=level)
    with pytest.raises(ResultError, match="level=0.9 and n_bootstrap=0; .* and at least one draw"):
        evaluate(RANKING, TRUTH, n_bootstrap=0)
