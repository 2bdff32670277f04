"""Linear classifiers on fixed features, and which of them is best on the validation rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..ranking.race import train_parts
from .strategy import Trial

Array = NDArray[np.float64]
Labeled = tuple[Array, NDArray[np.int64]]
STRENGTHS = tuple(10.0**power for power in range(-4, 5))  # inverse L2 penalties, searched on validation
RIDGES = tuple(10.0 ** (power / 2) for power in range(-16, 7))  # penalties over the mean variance of a feature
PATIENCE = 3  # strengths without a smaller loss; the weakest penalties take longest and seldom help
ITERATIONS = 500


@dataclass(frozen=True)
class Probe:
    """A linear classifier on features as they are.

    Attributes
    ----------
    weight : ndarray of shape (n_classes, n_features)
    bias : ndarray of shape (n_classes,)
    settings : mapping of str to value
        How it was fitted.
    """

    weight: Array
    bias: Array
    validation_accuracy: float
    settings: Mapping[str, Any]

    def logits(self, features: Array) -> Array:
        """One a row and class."""
        return features @ self.weight.T + self.bias

    def accuracy(self, features: Array, labels: NDArray[np.int64]) -> float:
        """Share of rows whose class has the highest logit."""
        return float(np.mean(self.hits(features, labels)))

    def hits(self, features: Array, labels: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Of which rows the class has the highest logit."""
        return np.asarray(self.logits(features).argmax(axis=1) == labels)

    def cross_entropy(self, features: Array, labels: NDArray[np.int64]) -> float:
        """Mean over rows."""
        from scipy.special import logsumexp

        logits = self.logits(features)
        return float(np.mean(logsumexp(logits, axis=1) - logits[np.arange(len(labels)), labels]))

    def calibrated(self, features: Array, labels: NDArray[np.int64]) -> Probe:
        """The same classifier with its logits scaled so that cross-entropy is least on these rows.

        Ridge regression's lie between 0 and 1, from where a slow head needs many epochs to say anything for certain
        (Guo et al., "On calibration of modern neural networks", ICML 2017).
        """
        from scipy.optimize import minimize_scalar
        from scipy.special import logsumexp

        logits = self.logits(features)
        logits = logits - logits.max(axis=1, keepdims=True)
        rows = np.arange(len(labels))

        n, k = logits.shape
        smooth = 1 / (n + 2)  # as Platt does: rows that are all told right would have the scale grow without end

        def loss(log_scale: float) -> float:
            scaled = np.exp(log_scale) * logits
            told = (1 - smooth) * scaled[rows, labels] + smooth / k * scaled.sum(axis=1)
            return float(np.mean(logsumexp(scaled, axis=1) - told))

        scale = float(np.exp(minimize_scalar(loss, bounds=(-12.0, 12.0), method="bounded").x))
        return replace(self, weight=scale * self.weight, bias=scale * self.bias)


def probe_parts(trial: Trial) -> tuple[Labeled, Labeled]:
    """Features of the trial's layer and labels: training and validation rows, as far as they can be read."""
    train = train_parts(trial.target, trial.split)  # as the ranking did, whose features are at hand
    return _features(trial, train), _features(trial, trial.split.validation)


def held_out_part(trial: Trial) -> Labeled:
    """The same of the test rows: for what was chosen without them."""
    return _features(trial, trial.split.test)


def fit_probe(train: Labeled, validation: Labeled, n_classes: int) -> Probe:
    """The best on validation of three kinds, each over a wide grid of penalties.

    Best is the smallest cross-entropy of calibrated logits: a dozen rows tie half of the grid in accuracy, with test
    accuracies 20 points apart, and how sure the right answers are still tells them apart.

    - softmax regression on standardised features;
    - softmax regression on whitened features: a penalty there shrinks all directions alike, so that those of little
      variance, which a deep layer crowds together, keep their say;
    - ridge regression to the classes' indicators on standardised features, in closed form.

    Within a kind the strongest penalty comes first.
    """
    from threadpoolctl import threadpool_limits

    best, least = None, np.inf
    with threadpool_limits(1):  # small products in turns with OpenMP loops: two threads take 3 to 5 times as long
        mean, basis, spread = _directions(train[0])
        X, plain = (train[0] - mean) @ basis, np.ones_like(spread)
        kinds = (("softmax", _softmax, plain), ("whitened softmax", _softmax, spread), ("ridge", _ridge, plain))
        for kind, fits, scale in kinds:
            worse = 0
            for setting, weight, bias in fits(X / scale, train[1], n_classes):
                back = (weight / scale) @ basis.T  # onto features as they are
                probe = Probe(back, bias - back @ mean, 0.0, {"probe": kind, **setting})
                loss = probe.calibrated(*validation).cross_entropy(*validation)
                worse += 1
                if loss < least:
                    best, least, worse = replace(probe, validation_accuracy=probe.accuracy(*validation)), loss, 0
                if worse >= PATIENCE and fits is _softmax:
                    break
    assert best is not None
    return best


def _directions(features: Array) -> tuple[Array, Array, Array]:
    """Mean, a basis of what standardised rows span (its columns undo the scale too), and the spread along it.

    With fewer rows than features that basis is smaller; an L2-penalised fit never leaves it. Directions without
    variance beyond rounding are left out.
    """
    mean, scale = features.mean(axis=0), features.std(axis=0)
    scale[scale == 0] = 1.0
    standardised = (features - mean) / scale
    n, d = features.shape
    if n < d:
        values, left = np.linalg.eigh(standardised @ standardised.T)
        kept = values > values[-1] * 1e-12
        basis = standardised.T @ (left[:, kept] / np.sqrt(values[kept]))
    else:
        values, vectors = np.linalg.eigh(standardised.T @ standardised)
        kept = values > values[-1] * 1e-12
        basis = vectors[:, kept]
    return mean, basis / scale[:, None], np.sqrt(values[kept] / n)


def _softmax(X: Array, y: NDArray[np.int64], n_classes: int) -> Iterator[tuple[dict[str, float], Array, Array]]:
    """Multinomial logistic regression by L-BFGS, each strength started from the one before."""
    import warnings

    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    present = np.unique(y)
    model = LogisticRegression(max_iter=ITERATIONS, tol=1e-4, warm_start=True)
    for strength in STRENGTHS:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # stopped early is one more penalty to choose from
            model.set_params(C=strength).fit(X, y)
        weight, bias = model.coef_, model.intercept_
        if len(present) == 2:  # one logit is two, the first of them 0
            weight, bias = np.vstack([0 * weight, weight]), np.concatenate([0 * bias, bias])
        yield {"C": strength}, *_spread_out(weight, bias, present, n_classes)


def _ridge(X: Array, y: NDArray[np.int64], n_classes: int) -> Iterator[tuple[dict[str, float], Array, Array]]:
    """Least squares to the classes' indicators with a penalty on the weights; one decomposition for all penalties."""
    present, codes = np.unique(y, return_inverse=True)
    indicators = np.eye(len(present))[codes]
    shares = indicators.mean(axis=0)
    values, vectors = np.linalg.eigh(X.T @ X)
    projected = vectors.T @ (X.T @ (indicators - shares))
    for ridge in reversed(RIDGES):
        weight = (vectors @ (projected / (values + ridge * values.sum() / len(values))[:, None])).T
        yield {"ridge": ridge}, *_spread_out(weight, shares, present, n_classes)


def _spread_out(weight: Array, bias: Array, present: NDArray[np.int64], n_classes: int) -> tuple[Array, Array]:
    """Rows for all classes; those without a training sample get a logit that is not worth predicting."""
    weights, biases = np.zeros((n_classes, weight.shape[1])), np.full(n_classes, bias.min() - 100.0)
    weights[present], biases[present] = weight, bias
    return weights, biases


def _features(trial: Trial, rows: NDArray[np.int64] | Sequence[NDArray[np.int64]]) -> Labeled:
    """Features in float64 (L-BFGS stalls on float32 gradients) and labels of the readable rows."""
    features = trial.extractor.extract(trial.target, trial.source, trial.adapter, rows, [trial.layer])
    return features.layers[trial.layer].astype(np.float64), trial.target.labels[features.rows]
