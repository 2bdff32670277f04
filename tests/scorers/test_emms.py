"""EMMS against its alternation written out, with whole fits and a projection found by search."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

import transferscope as ts
from transferscope.errors import ScoreError
from transferscope.features.moments import Moments
from transferscope.scorers import SCORERS, emms
from transferscope.scorers.emms import sparsemax


def problem(n: int, d: int, c: int, k: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Features, and embeddings of the same label by k models, some noisier than others."""
    rng = np.random.default_rng(seed)
    label = rng.normal(size=(n, c))
    E = np.stack([label + (0.3 + j) * rng.normal(size=(n, c)) + j for j in range(k)], axis=2)
    return label @ rng.normal(size=(c, d)) + rng.normal(size=(n, d)) + 2.0, E


def nearest_on_simplex(scores: np.ndarray) -> np.ndarray:
    """Of all sets of entries that may be above 0, the one whose projection is feasible and nearest."""
    best, distance = scores, np.inf
    for size in range(1, len(scores) + 1):
        for kept in itertools.combinations(range(len(scores)), size):
            point = np.zeros(len(scores))
            point[list(kept)] = scores[list(kept)] - (scores[list(kept)].sum() - 1) / size
            if point.min() >= 0 and np.square(point - scores).sum() < distance:
                best, distance = point, np.square(point - scores).sum()
    return best


def literal(X: np.ndarray, E: np.ndarray) -> float:
    n, c, k = E.shape
    X = (X - X.mean(axis=0)) / X.std(axis=0)
    E = (E - E.mean(axis=0)) / E.std(axis=0)
    fit = X @ np.linalg.pinv(X, rcond=1e-10) @ E.mean(axis=2)
    weights = np.linalg.lstsq(np.stack([E[:, :, j].ravel() for j in range(k)], axis=1), fit.ravel(), rcond=None)[0]
    target = sum(share * E[:, :, j] for j, share in enumerate(nearest_on_simplex(weights)))
    return -sum((target[i, j] - fit[i, j]) ** 2 for i in range(n) for j in range(c)) / (n * c)


@settings(max_examples=50, deadline=None)
@given(
    n=st.integers(4, 30), d=st.integers(1, 35), c=st.integers(1, 4), k=st.integers(1, 4), seed=st.integers(0, 10**6)
)
def test_is_its_definition(n: int, d: int, c: int, k: int, seed: int) -> None:
    X, E = problem(n, d, c, k, seed)
    assert emms(X, E) == pytest.approx(literal(X, E), rel=1e-7, abs=1e-10)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(-3, 3), min_size=1, max_size=5))
def test_sparsemax_is_the_projection_on_the_simplex(scores: list[float]) -> None:
    point = sparsemax(np.array(scores))
    assert point.sum() == pytest.approx(1.0)
    assert point.min() >= 0.0
    np.testing.assert_allclose(point, nearest_on_simplex(np.array(scores)), atol=1e-12)


def test_sparsemax_against_a_solver() -> None:
    scores = np.array([0.4, -1.0, 0.7, 0.1])
    found = minimize(
        lambda p: np.square(p - scores).sum(), np.full(4, 0.25), bounds=[(0, 1)] * 4,
        constraints={"type": "eq", "fun": lambda p: p.sum() - 1},
    )  # fmt: skip
    np.testing.assert_allclose(sparsemax(scores), found.x, atol=1e-3)
    np.testing.assert_array_equal(sparsemax(np.array([9.0, 0.0, 1.0])), [1.0, 0.0, 0.0])


def test_best_and_none() -> None:
    X, E = problem(80, 5, 3, 2)
    linear = np.stack([X[:, :3], X[:, :3]], axis=2)
    assert emms(X, linear) == pytest.approx(0.0, abs=1e-12)
    assert emms(np.random.default_rng(1).normal(size=(80, 5)), E[:, :, :1]) < -0.8
    assert emms(X, E) > emms(np.random.default_rng(1).normal(size=(80, 5)), E) + 0.1


def test_one_model_is_what_least_squares_leaves() -> None:
    X, E = problem(60, 5, 3, 1)
    T = (E[:, :, 0] - E[:, :, 0].mean(axis=0)) / E[:, :, 0].std(axis=0)
    assert emms(X, E) == pytest.approx(ts.score(X, T, ["least_squares"], task="regression")["least_squares"].value)


@pytest.mark.parametrize("shape", [(80, 6), (25, 20)])
def test_what_does_not_matter(shape: tuple[int, int]) -> None:
    """Linear maps and shifts of the features; scale and shift of every embedding column; order of rows and models."""
    X, E = problem(*shape, 3, 3)
    value, rng = emms(X, E), np.random.default_rng(1)
    assert emms((X @ rng.normal(size=(shape[1], shape[1]))) * 1e-5 + 1e3, E) == pytest.approx(value, rel=1e-5)
    assert emms(X * np.geomspace(1e-3, 1e3, shape[1]), E) == pytest.approx(value, rel=1e-6)
    assert emms(X, E * np.geomspace(1e-8, 1e8, 9).reshape(3, 3) + 1e-3) == pytest.approx(value, rel=1e-6)
    assert emms(X, E + 1e6) == pytest.approx(value, rel=1e-6)
    order = rng.permutation(shape[0])
    assert emms(X[order], E[order][:, ::-1, ::-1]) == pytest.approx(value, rel=1e-9)
    assert emms(X.astype(np.float32), E.astype(np.float32)) == pytest.approx(value, rel=1e-3)


def test_tensors_and_halves_and_arrays_that_stay() -> None:
    X, E = problem(40, 6, 3, 2)
    kept = X.copy(), E.copy()
    X.flags.writeable = E.flags.writeable = False
    value = emms(X, E)
    np.testing.assert_array_equal(X, kept[0])
    np.testing.assert_array_equal(E, kept[1])
    assert emms(torch.tensor(X), torch.tensor(E)) == value
    assert emms(torch.tensor(X), torch.tensor(E).bfloat16()) == pytest.approx(value, abs=0.02)


def test_models_that_agree_and_columns_that_do_not_vary() -> None:
    X, E = problem(60, 5, 3, 1)
    assert emms(X, np.repeat(E, 3, axis=2)) == pytest.approx(emms(X, E), rel=1e-9)
    flat = np.concatenate([E, np.full((60, 1, 1), 0.1)], axis=1)
    assert emms(X, flat) == pytest.approx(emms(X, E) * 3 / 4, rel=1e-9)  # it counts as fitted
    assert emms(np.full((60, 5), 0.5), E) == pytest.approx(-1.0, rel=1e-9)


def test_saturates_and_says_so() -> None:
    X, E = problem(20, 30, 2, 1)
    assert emms(X, E) == pytest.approx(0.0, abs=1e-12)
    found = ts.score(X, np.arange(20) % 2, ["emms"], label_embeddings=E)["emms"]
    assert found.saturated
    assert found.warnings[0].startswith("Saturated: 20 samples span all of their 19 directions, so the features fit")
    assert SCORERS["emms"].saturated(Moments.from_features(np.eye(20)[:, :9], np.arange(20) % 2), -0.5) is None


@pytest.mark.parametrize("task", ["classification", "regression"])
def test_labels_of_any_kind(task: str) -> None:
    X, E = problem(40, 6, 3, 2)
    labels = np.arange(40) % 4 if task == "classification" else X[:, 0]
    found = ts.score(X, labels, ["emms"], task=task, label_embeddings=E)["emms"]  # type: ignore[arg-type]
    assert found.value == emms(X, E)


def test_refusals() -> None:
    X, E = problem(20, 4, 3, 2)
    with pytest.raises(ScoreError, match=r"emms: label_embeddings are of shape \(20, 3\) beside 20 rows of features;"):
        emms(X, E[:, :, 0])
    with pytest.raises(
        ScoreError, match=r"emms: label_embeddings are of shape \(19, 3, 2\) beside 20 rows of features"
    ):
        emms(X, E[1:])
    with pytest.raises(
        ScoreError, match="emms: label_embeddings are a list beside 20 rows of features; expected an ar"
    ):
        emms(X, E.tolist())
    with pytest.raises(ScoreError, match="emms: label_embeddings are the same for every sample; there is nothing to"):
        emms(X, np.full((20, 3, 2), 0.1))
    with pytest.raises(ScoreError, match=r"emms: features are of shape \(4,\)"):
        emms(X[0], E)
    E[3, 1, 0] = np.nan
    with pytest.raises(
        ScoreError, match="emms: label_embeddings hold 1 NaN and 0 infinite values in 1 rows, the first"
    ):
        emms(X, E)
