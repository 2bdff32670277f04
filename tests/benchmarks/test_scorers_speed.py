"""Scorers beside published implementations of the same number, in one run: values must agree, times are printed.

Run with ``pytest tests/benchmarks/test_scorers_speed.py -m benchmark -s``. Nothing here fails for being slow.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pytest
from sklearn.linear_model import RidgeCV
from sklearn.neighbors import KNeighborsClassifier
from threadpoolctl import threadpool_limits

import transferscope as ts
from transferscope.scorers import h_score, knn, leep, logme, nce, ridge_loo

pytestmark = pytest.mark.benchmark


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """On shared cores more threads measure the neighbours."""
    with threadpool_limits(1):
        yield


SHAPES = [(2000, 768, 20), (500, 768, 20), (5000, 384, 50)]
N_SOURCE_CLASSES = 1000


def problem(n: int, d: int, k: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Features as networks give them: many weak directions, float32 values, and a head of 1000 classes."""
    rng = np.random.default_rng(0)
    y = np.arange(n) % k
    X = rng.normal(size=(k, d))[y] * 0.5 + rng.normal(size=(n, d)) @ np.diag(np.geomspace(3, 0.05, d)) + 0.3
    logits = 3 * rng.normal(size=(k, N_SOURCE_CLASSES))[y] + rng.normal(size=(n, N_SOURCE_CLASSES))
    P = np.exp(logits)
    return X.astype(np.float32).astype(np.float64), P / P.sum(axis=1, keepdims=True), y


# The peers, as their authors wrote them but for names


def published_logme(X: np.ndarray, y: np.ndarray) -> float:
    """You et al., JMLR 2022: a full decomposition, then the fixed point of each class.

    Its log-determinant is given the missing directions where there are fewer samples than features, so that values can
    be compared.
    """
    n, d = X.shape
    u, s, _ = np.linalg.svd(X, full_matrices=False)
    sigma = s**2
    evidences = []
    for c in range(y.max() + 1):
        target = (y == c).astype(np.float64)
        x2 = (u.T @ target) ** 2
        delta = (target**2).sum() - x2.sum()
        alpha = beta = 1.0
        for _ in range(11):
            t = alpha / beta
            gamma = (sigma / (sigma + t)).sum()
            m2 = (sigma * x2 / (t + sigma) ** 2).sum()
            residual = (x2 / (1 + sigma / t) ** 2).sum() + delta
            alpha, beta = gamma / (m2 + 1e-5), (n - gamma) / (residual + 1e-5)
            determinant = np.log(alpha + beta * sigma).sum() + (d - len(sigma)) * np.log(alpha)
            evidence = d / 2 * np.log(alpha) + n / 2 * np.log(beta) - 0.5 * determinant
            evidence += -beta / 2 * residual - alpha / 2 * m2 - n / 2 * np.log(2 * np.pi)
            if abs(alpha / beta - t) / t <= 1e-3:
                break
        evidences.append(evidence / n)
    return float(np.mean(evidences))


def published_h_score(X: np.ndarray, y: np.ndarray) -> float:
    """Bao et al., ICIP 2019."""
    covariance = np.cov(X.T)
    g = np.zeros_like(X)
    for c in range(y.max() + 1):
        g[y == c] = X[y == c].mean(axis=0)
    return float(np.trace(np.linalg.pinv(covariance, rcond=1e-15) @ np.cov(g.T)))


def published_leep(P: np.ndarray, y: np.ndarray) -> float:
    """Nguyen et al., ICML 2020: the joint distribution, then the expected prediction for every class."""
    n, z = P.shape
    normalized = P / n
    joint = np.zeros((y.max() + 1, z))
    for c in range(y.max() + 1):
        joint[c] = normalized[y == c].sum(axis=0)
    conditional = (joint / joint.sum(axis=0, keepdims=True)).T
    empirical = P @ conditional
    return float(np.mean(np.log([row[label] for row, label in zip(empirical, y, strict=True)])))


def published_nce(P: np.ndarray, y: np.ndarray) -> float:
    """Tran et al., ICCV 2019: a table of counts, filled a sample at a time."""
    z = P.argmax(axis=1)
    joint = np.zeros((y.max() + 1, P.shape[1]))
    for source, label in zip(z, y, strict=True):
        joint[label, source] += 1 / len(y)
    marginal = joint.sum(axis=0, keepdims=True)
    used = marginal[0] > 0
    conditional = (joint[:, used] / marginal[:, used]).T
    entropy = (conditional * np.log(conditional + 1e-20)).sum(axis=1, keepdims=True)
    return float((entropy * marginal[:, used].T).sum())


def library_knn(X: np.ndarray, y: np.ndarray) -> float:
    """scikit-learn, each row left out of its own vote."""
    return float(np.mean(KNeighborsClassifier(1, algorithm="brute").fit(X, y).predict(None) == y))


def library_ridge(X: np.ndarray, y: np.ndarray) -> float:
    """scikit-learn's own closed form over the same penalties; a scoring by name makes it keep its predictions."""
    penalties = np.logspace(-4, 4, 17) * np.square(X - X.mean(axis=0)).sum() / X.shape[1]
    model = RidgeCV(penalties, scoring="neg_mean_squared_error", store_cv_results=True)
    model.fit(X, np.eye(y.max() + 1)[y])
    predicted = model.cv_results_[..., list(penalties).index(model.alpha_)]
    return float(np.mean(predicted.argmax(axis=1) == y))


PAIRS: dict[str, tuple[Callable[..., float], Callable[..., float], float]] = {
    "logme (fixed point)": (lambda X, y: logme(X, y, method="fixed_point"), published_logme, 1e-6),
    "logme (default)": (logme, published_logme, 2e-2),  # the maximum itself, which the iteration stops short of
    "h_score": (h_score, published_h_score, 1e-6),
    "ridge_loo": (ridge_loo, library_ridge, 5e-3),  # its penalty is that of the least left-out error
    "knn": (knn, library_knn, 0.0),
    "leep": (leep, published_leep, 1e-9),
    "nce": (nce, published_nce, 1e-9),
}


def test_beside_published_implementations(section: Callable[..., None], timed: Callable[..., list[float]]) -> None:
    rows = []
    for n, d, k in SHAPES:
        X, P, y = problem(n, d, k)
        for name, (ours, peer, slack) in PAIRS.items():
            x = P if name in ("leep", "nce") else X
            value, wanted = ours(x, y), peer(x, y)
            mine, theirs = timed(lambda f=ours, x=x, y=y: f(x, y), lambda f=peer, x=x, y=y: f(x, y))
            rows.append([name, n, d, k, mine, theirs, theirs / mine])
            if n > d or name != "h_score":  # with fewer samples the pseudo-inverse's cut is at the noise
                assert value == pytest.approx(wanted, abs=slack, rel=slack), name
    section(
        f"Beside the published code or a library, one BLAS thread, {N_SOURCE_CLASSES} source classes",
        ["scorer", "N", "D", "K", "ours", "peer", "peer / ours"],
        rows,
    )


def test_all_at_once(section: Callable[..., None], timed: Callable[..., list[float]]) -> None:
    """`ts.score` takes its moments and eigendecomposition once."""
    X, P, y = problem(*SHAPES[0])
    fns: dict[str, Callable[..., float]] = {"h_score": h_score, "knn": knn, "logme": logme, "ridge_loo": ridge_loo}

    def one_by_one() -> dict[str, float]:
        return {name: fn(X, y) for name, fn in fns.items()} | {"leep": leep(P, y), "nce": nce(P, y)}

    def together() -> dict[str, float | None]:
        found = ts.score(X, y, [*fns, "leep", "nce"], source_probs=P, standard_errors="none")
        return {name: score.value for name, score in found.items()}

    assert together() == pytest.approx(one_by_one(), rel=1e-9)
    apart, shared = timed(one_by_one, together)
    section("Six scorers of one source", ["one by one", "by ts.score", "ratio"], [[apart, shared, apart / shared]])
