"""Scorers that share moments, beside what no such scorer can do without: one Gram matrix, one eigendecomposition.

Run with ``pytest tests/benchmarks/test_moment_scorers.py -m benchmark -s``, on a quiet machine. Nothing here fails for
being slow. The peer is PyPI's transformer-ranker, where it is installed (``pip install 'transferscope[bench]'``).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

import transferscope as ts
from transferscope.scorers import h_score_regularized, logme

pytestmark = pytest.mark.benchmark
SHAPES = [(2000, 768, 10), (10000, 768, 100), (10000, 2048, 100), (50000, 768, 100)]
ONE_PASS = ["logme", "h_score", "h_score_regularized", "gbc", "lfc"]
SECOND_PASS = ["transrate", "sfda", "ridge_loo", "lda_loo"]


def problem(n: int, d: int, k: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    y = np.arange(n) % k
    X = rng.normal(size=(k, d))[y] * 0.5 + rng.normal(size=(n, d)) * np.geomspace(3, 0.05, d) + 0.3
    return X, y


def floor(X: np.ndarray, same: np.ndarray) -> None:
    """A matrix product and an eigendecomposition; `same` is a copy of X, so that the product is a full one."""
    np.linalg.eigh(X.T @ same)


def symmetric_floor(X: np.ndarray) -> None:
    """The same where NumPy sees that both factors are one matrix, and takes the product that does half the work."""
    np.linalg.eigh(X.T @ X)


@pytest.mark.timeout(1200)
def test_beside_the_floor(section: Callable[..., None], timed: Callable[..., list[float]]) -> None:
    rows = []
    for n, d, k in SHAPES:
        X, y = problem(n, d, k)

        def run(names: list[str], errors: str, X: np.ndarray = X, y: np.ndarray = y) -> Callable[[], object]:
            return lambda: ts.score(X, y, names, standard_errors=errors)  # type: ignore[arg-type]

        same = X.copy()
        below, half, *ours = timed(
            lambda X=X, same=same: floor(X, same), lambda X=X: symmetric_floor(X), run(ONE_PASS, "none"),
            run(ONE_PASS, "cheap"), run([*ONE_PASS, *SECOND_PASS], "none"), turns=5,
        )  # fmt: skip
        rows.append([n, d, k, below, half, *(f"{each / below:.2f} ({each / half:.2f})" for each in ours)])
        assert all(score.value is not None for score in ts.score(X, y, ONE_PASS).values())
    section(
        f"All of {', '.join(ONE_PASS)} together, over the floor (over the one with a symmetric product)",
        ["N", "D", "K", "floor, s", "with a symmetric product, s", "together", "with standard errors",
         f"and {', '.join(SECOND_PASS)}"],
        rows,
    )  # fmt: skip


@pytest.mark.timeout(1200)
def test_beside_a_library(section: Callable[..., None], timed: Callable[..., list[float]]) -> None:
    estimators = pytest.importorskip("transformer_ranker.estimators", reason="pip install 'transferscope[bench]'")
    rows = []
    for n, d, k in SHAPES:
        X, y = problem(n, d, k)
        tensor, labels = torch.tensor(X), torch.tensor(y)
        pairs: dict[str, tuple[Callable[[], float], Callable[[], float]]] = {
            "logme": (
                lambda X=X, y=y: logme(X, y),
                lambda X=tensor, y=labels: estimators.LogME().fit(embeddings=X, labels=y),
            ),
            "h_score_regularized": (
                lambda X=X, y=y: h_score_regularized(X, y),
                lambda X=tensor, y=labels: estimators.HScore().fit(embeddings=X, labels=y),
            ),
        }
        for name, (ours, theirs) in pairs.items():
            assert ours() == pytest.approx(theirs(), rel=1e-2)  # theirs stops short of the maximum
            mine, peer = timed(ours, theirs, turns=4)
            rows.append([name, n, d, k, mine, peer, peer / mine])
    section(
        "One scorer alone, beside transformer-ranker 0.2.0",
        ["scorer", "N", "D", "K", "ours", "peer", "peer / ours"],
        rows,
    )
