"""Every recorded number that a default call must give: the table of README.md beside this file."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from transferscope import evaluate
from transferscope.features.moments import Moments
from transferscope.scorers import h_score, knn, leep, logme, nce, ridge_loo
from transferscope.similarity import cka_linear, mmd

HERE = Path(__file__).parent
EXPECTED = json.loads((HERE / "expected.json").read_text())
CLASSIFICATION = ("separable", "noisy", "wide", "many", "imbalanced", "rankdef", "offset", "dead", "tiny")
Arrays = Mapping[str, np.ndarray]


@cache
def arrays(case: str) -> Arrays:
    with np.load(HERE / f"{case}.npz") as file:
        return {name: file[name] for name in file.files}


def check(case: str, key: str, got: Any) -> None:
    """The README's rule: `exact` where there is one, and a relative tolerance."""
    entry = EXPECTED[case][key]
    wanted = np.asarray(entry.get("exact", entry["value"]), dtype=float)
    slack = entry["tolerance"] * np.maximum(1e-12, np.abs(wanted)) + 1e-9 * (np.abs(wanted) < 1e-9)
    assert np.shape(got) == wanted.shape
    assert (np.abs(np.asarray(got) - wanted) <= slack).all(), f"{case} {key}: got {got}, want {wanted}"


CALLS: dict[str, Callable[[Arrays], float]] = {
    "exact.logme_max_evidence": lambda a: logme(a["X"], a["y"]),
    "exact.logme_published_iteration": lambda a: logme(a["X"], a["y"], method="fixed_point"),
    "hscore.tllib": lambda a: h_score(a["X"], a["y"]),
    "leep.thuml": lambda a: leep(a["P"], a["y"]),
    "nce.thuml": lambda a: nce(a["P"], a["y"]),
    "knn1.parc": lambda a: knn(a["X"], a["y"], k=1),
    "knn3.transformer_ranker": lambda a: knn(a["X"], a["y"], k=3),
    "exact.ridge_loo_accuracy_lambda1": lambda a: ridge_loo(a["X"], a["y"], alpha=1.0),
}


@pytest.mark.parametrize("key", CALLS)
@pytest.mark.parametrize("case", CLASSIFICATION)
def test_classification(case: str, key: str) -> None:
    check(case, key, CALLS[key](arrays(case)))


@pytest.mark.parametrize("case", ["separable", "noisy", "rankdef", "dead"])
def test_published_fixed_point_where_it_is_right(case: str) -> None:
    """The authors' own code agrees wherever its log-determinant is complete."""
    value = EXPECTED[case]["logme.thuml_fixed_point"]["value"]
    assert logme(arrays(case)["X"], arrays(case)["y"], method="fixed_point") == pytest.approx(value, rel=1e-6)


def test_regression() -> None:
    X, T = arrays("regression")["X"], arrays("regression")["T"]
    check("regression", "exact.logme_max_evidence", logme(X, T))
    check("regression", "exact.logme_published_iteration", logme(X, T, method="fixed_point"))
    per_target = [ridge_loo(X, T[:, column], alpha=1.0) for column in range(T.shape[1])]
    check("regression", "exact.ridge_loo_r2_lambda1", per_target)
    assert ridge_loo(X, T, alpha=1.0) == pytest.approx(np.mean(per_target), rel=1e-12)
    check("regression", "knn3.transformer_ranker_target0", knn(X, T[:, 0], k=3))


def test_multilabel() -> None:
    X, Y = arrays("multilabel")["X"], arrays("multilabel")["Y"]
    check("multilabel", "exact.logme_max_evidence", logme(X, Y))
    check("multilabel", "logme.thuml_fixed_point", logme(X, Y, method="fixed_point"))


def test_features_stored_as_float32() -> None:
    """Rounding of the stored type is not counted as signal, and a mean of 1e4 costs no more than storing did."""
    rankdef, offset = arrays("rankdef"), arrays("offset")
    single = rankdef["X"].astype(np.float32)
    check("rankdef", "exact.hscore_float32_storage_float32_tol", h_score(single, rankdef["y"]))
    assert Moments.from_features(single, rankdef["y"]).rank == 20
    trap = EXPECTED["rankdef"]["trap.hscore_float32_storage_float64_tol"]["value"]
    centred = single.astype(np.float64) - single.astype(np.float64).mean(axis=0)
    U, s, _ = np.linalg.svd(centred, full_matrices=False)
    U = U[:, s > max(single.shape) * np.finfo(np.float64).eps * s[0]]  # 96 directions, of which rounding made 76
    members = np.eye(4)[rankdef["y"]]
    assert (np.square(U.T @ members) / members.sum(axis=0)).sum() == pytest.approx(trap, abs=1e-3)  # what it would be
    assert trap - h_score(single, rankdef["y"]) > 0.4
    single = offset["X"].astype(np.float32)
    check("offset", "exact.hscore_after_float32_cast", h_score(single, offset["y"]))
    check("offset", "exact.logme_max_evidence_after_float32_cast", logme(single, offset["y"]))


@pytest.mark.parametrize(("debiased", "key"), [(False, "cka_linear_biased.resi"), (True, "cka_linear_debiased.parc")])
def test_cka(debiased: bool, key: str) -> None:
    check("pair", key, cka_linear(arrays("pair")["A"], arrays("pair")["B"], debiased=debiased))


@pytest.mark.parametrize("estimator", ["biased", "unbiased", "linear"])
@pytest.mark.parametrize(("bandwidths", "name"), [(1, "median"), (5, "multi5")])
def test_mmd(bandwidths: int, name: str, estimator: str) -> None:
    value = mmd(arrays("pair")["S"], arrays("pair")["T"], estimator=estimator, bandwidths=bandwidths)
    check("pair", f"exact.mmd2_{name}_{estimator}", value)


def test_ranking() -> None:
    score, accuracy = arrays("ranking")["score"], arrays("ranking")["acc"]
    check("ranking", "weighted_kendall.scipy", evaluate.weighted_kendall(score, accuracy))
    check("ranking", "kendall_tau_b.scipy", evaluate.kendall(score, accuracy))
    check("ranking", "spearman.scipy", evaluate.spearman(score, accuracy))
    check("ranking", "pearson.scipy", evaluate.pearson(score, accuracy))
    check("ranking", "exact.top1_regret", evaluate.regret_at_k(score, accuracy))
    check("ranking", "exact.top1_regret_relative", evaluate.regret_at_k(score, accuracy, relative=True))
    for k in (1, 3, 5):
        check("ranking", f"exact.rel_at_{k}", evaluate.rel_at_k(score, accuracy, k))
        usual = evaluate.recall_at_k(score, accuracy, k)
        check("ranking", f"exact.recall_at_{k}_best_in_topk", usual)
        other = evaluate.recall_at_k(score, accuracy, k, meaning="top_1_among_k_best")
        check("ranking", f"exact.recall_at_{k}_sfda", other)
