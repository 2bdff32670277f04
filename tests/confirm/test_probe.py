"""The probe: what it finds where one penalty on standardised features fails, and its weights on raw features."""

from __future__ import annotations

import numpy as np
import pytest

from transferscope.confirm import probe
from transferscope.confirm.objective import Objective
from transferscope.confirm.probe import Labeled, fit_probe


def problem(n: int, d: int, classes: int, seed: int = 0, *, crowded: bool = False) -> tuple[Labeled, Labeled, Labeled]:
    """Normal classes; `crowded` hides what tells them apart behind common directions of far more variance."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(classes, d))
    mixing = rng.normal(size=(d, d))

    def draw(n: int) -> Labeled:
        y = np.arange(n) % classes
        X = centres[y] + rng.normal(size=(n, d))
        if crowded:
            X = X + 300 * rng.normal(size=(n, 3)) @ mixing[:3]
        return X, y

    return draw(n), draw(n), draw(n)


def test_crowded_directions_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    train, validation, test = problem(300, 12, 3, crowded=True)
    found = fit_probe(train, validation, Objective(3))
    assert found.accuracy(*test) > 0.85
    monkeypatch.setattr(probe, "STRENGTHS", (1e-4, 1e-3, 1e-2))  # penalties that are too strong when standardised
    monkeypatch.setattr(probe, "RIDGES", (1.0,))
    again = fit_probe(train, validation, Objective(3))
    assert again.settings["probe"] == "whitened softmax"
    assert again.accuracy(*test) > 0.85


@pytest.mark.parametrize("kind", ["softmax", "whitened softmax", "ridge"])
@pytest.mark.parametrize(("n", "d", "classes"), [(60, 5, 3), (40, 90, 3), (60, 5, 2)])
def test_weights_are_those_of_features_as_they_are(
    kind: str, n: int, d: int, classes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same fit by scikit-learn, in its own coordinates."""
    from sklearn.linear_model import LogisticRegression, Ridge

    monkeypatch.setattr(probe, "STRENGTHS", (0.1,))
    monkeypatch.setattr(probe, "RIDGES", (0.1,))
    train, validation, _ = problem(n, d, classes)
    X, y = train[0] * np.geomspace(1, 100, d) + 7, train[1]
    others = validation[0] * np.geomspace(1, 100, d) + 7
    Z, W = ((part - X.mean(0)) / X.std(0) for part in (X, others))
    if kind == "ridge":
        mean_variance = (Z**2).sum() / min(n - 1, d)  # over the directions that rows span
        model = Ridge(alpha=0.1 * mean_variance).fit(Z, np.eye(classes)[y])
        wanted = model.predict(W)
        (fitted,) = probe._ridge(*_coordinates(X, y), Objective(classes))
    else:
        if kind == "whitened softmax":
            _, s, V = np.linalg.svd(Z, full_matrices=False)
            kept = s > 1e-6 * s[0]
            Z, W = (part @ V[kept].T / s[kept] * np.sqrt(n) for part in (Z, W))
        wanted = LogisticRegression(C=0.1, max_iter=2000).fit(Z, y).predict_proba(W)
        (fitted,) = probe._softmax(*_coordinates(X, y, whiten=kind != "softmax"), Objective(classes))
    mean, basis, spread = probe._directions(X)
    weight = fitted[1] / (spread if kind == "whitened softmax" else 1)
    logits = (others - mean) @ basis @ weight.T + fitted[2]
    if kind != "ridge":
        logits = np.exp(logits - logits.max(1, keepdims=True))
        logits /= logits.sum(1, keepdims=True)
    np.testing.assert_allclose(logits, wanted, atol=2e-3)


def _coordinates(X: np.ndarray, y: np.ndarray, *, whiten: bool = False) -> tuple[np.ndarray, np.ndarray]:
    mean, basis, spread = probe._directions(X)
    return (X - mean) @ basis / (spread if whiten else 1), y


def test_classes_without_a_training_sample_are_not_predicted() -> None:
    train, validation, _ = problem(60, 5, 3)
    absent = fit_probe((train[0], train[1] + (train[1] > 0)), validation, Objective(4))  # codes 0, 2 and 3
    assert absent.weight.shape == (4, 5)
    assert 1 not in (validation[0] @ absent.weight.T + absent.bias).argmax(axis=1)


def test_constant_features_and_copies_do_no_harm() -> None:
    train, validation, test = problem(60, 5, 3)

    def widened(part: Labeled) -> Labeled:
        return np.hstack([part[0], np.full((len(part[0]), 2), 3.0), part[0]]), part[1]

    found = fit_probe(widened(train), widened(validation), Objective(3))
    assert np.isfinite(found.weight).all()
    assert found.accuracy(*widened(test)) > 0.8
