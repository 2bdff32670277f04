"""Linear models on fixed features, and which of them is best on the validation rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..ranking.race import train_parts
from .objective import LabelSets, Numbers, Objective
from .strategy import Trial

Array = NDArray[np.float64]
Labeled = tuple[Array, NDArray[Any]]  # features, and labels as the objective encodes them
Fitted = tuple[dict[str, float], Array, Array]  # penalty, weight, bias
Fits = Callable[[Array, NDArray[Any], Objective], Iterator[Fitted]]
STRENGTHS = tuple(10.0**power for power in range(-4, 5))  # inverse L2 penalties, searched on validation
RIDGES = tuple(10.0 ** (power / 2) for power in range(-16, 7))  # penalties over the mean variance of a feature
PATIENCE = 3  # strengths without a smaller loss; the weakest penalties take longest and seldom help
ITERATIONS = 500


@dataclass(frozen=True)
class Probe:
    """A linear model on features as they are.

    Attributes
    ----------
    weight : ndarray of shape (n_outputs, n_features)
    bias : ndarray of shape (n_outputs,)
    settings : mapping of str to value
        How it was fitted.
    objective : Objective
    """

    weight: Array
    bias: Array
    validation_accuracy: float
    settings: Mapping[str, Any]
    objective: Objective

    def logits(self, features: Array) -> Array:
        """One a row and output."""
        return features @ self.weight.T + self.bias

    def accuracy(self, features: Array, labels: NDArray[Any]) -> float:
        """The objective's measure: for classes the share of rows whose class has the highest logit."""
        return float(np.mean(self.hits(features, labels)))

    def hits(self, features: Array, labels: NDArray[Any]) -> NDArray[Any]:
        """What each row adds to the measure: for classes whether its class has the highest logit."""
        return self.objective.judge(self.logits(features), labels)[0]

    def loss(self, features: Array, labels: NDArray[Any]) -> float:
        """Mean over rows of what training minimises: for classes the cross-entropy."""
        return self.objective.calibration_loss(self.logits(features), labels)

    def calibrated(self, features: Array, labels: NDArray[Any]) -> Probe:
        """The same classifier with its logits scaled so that cross-entropy is least on these rows.

        Ridge regression's lie between 0 and 1, from where a slow head needs many epochs to say anything for certain
        (Guo et al., "On calibration of modern neural networks", ICML 2017). What predicts numbers stays as it is.
        """
        from scipy.optimize import minimize_scalar

        if isinstance(self.objective, Numbers):
            return self
        logits = self.logits(features)
        logits = logits - (logits.max(axis=1, keepdims=True) if self.objective.is_share else 0.0)
        smooth = 1 / (len(logits) + 2)  # as Platt does: rows all told right would have the scale grow without end

        def loss(log_scale: float) -> float:
            return self.objective.calibration_loss(np.exp(log_scale) * logits, labels, smooth)

        scale = float(np.exp(minimize_scalar(loss, bounds=(-12.0, 12.0), method="bounded").x))
        return replace(self, weight=scale * self.weight, bias=scale * self.bias)


def probe_parts(trial: Trial) -> tuple[Labeled, Labeled]:
    """Features of the trial's layer and labels: training and validation rows, as far as they can be read."""
    train = train_parts(trial.target, trial.split)  # as the ranking did, whose features are at hand
    return _features(trial, train), _features(trial, trial.split.validation)


def held_out_part(trial: Trial) -> Labeled:
    """The same of the test rows: for what was chosen without them."""
    return _features(trial, trial.split.test)


def fit_probe(train: Labeled, validation: Labeled, objective: Objective) -> Probe:
    """The best on validation of three kinds, each over a wide grid of penalties.

    Best is the smallest cross-entropy of calibrated logits: a dozen rows tie half of the grid in accuracy, with test
    accuracies 20 points apart, and how sure the right answers are still tells them apart.

    - softmax regression on standardised features, or a logistic regression for each label;
    - the same on whitened features: a penalty there shrinks all directions alike, so that those of little
      variance, which a deep layer crowds together, keep their say;
    - ridge regression to the classes' indicators on standardised features, in closed form.

    Numbers to predict have ridge regression on standardised and on whitened features, and best is the smallest squared
    error. Within a kind the strongest penalty comes first.
    """
    from threadpoolctl import threadpool_limits

    best, least = None, np.inf
    with threadpool_limits(1):  # small products in turns with OpenMP loops: two threads take 3 to 5 times as long
        mean, basis, spread = _directions(train[0])
        X, plain = (train[0] - mean) @ basis, np.ones_like(spread)
        for kind, fits, scale in _kinds(objective, plain, spread):
            worse = 0
            for setting, weight, bias in fits(X / scale, train[1], objective):
                back = (weight / scale) @ basis.T  # onto features as they are
                probe = Probe(back, bias - back @ mean, 0.0, {"probe": kind, **setting}, objective)
                loss = probe.calibrated(*validation).loss(*validation)
                worse += 1
                if loss < least:
                    best, least, worse = replace(probe, validation_accuracy=probe.accuracy(*validation)), loss, 0
                if worse >= PATIENCE and fits is not _ridge:
                    break
    assert best is not None
    return best


def _kinds(objective: Objective, plain: Array, spread: Array) -> Sequence[tuple[str, Fits, Array]]:
    """Name, fits and scale of the directions of each kind of probe."""
    if isinstance(objective, Numbers):
        return ("ridge", _ridge, plain), ("whitened ridge", _ridge, spread)
    name, fits = ("softmax", _softmax) if objective.is_share else ("logistic", _logistic)
    return (name, fits, plain), (f"whitened {name}", fits, spread), ("ridge", _ridge, plain)


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


def _softmax(X: Array, y: NDArray[np.int64], objective: Objective) -> Iterator[Fitted]:
    """Multinomial logistic regression by L-BFGS, each strength started from the one before."""
    present = np.unique(y)
    for strength, weight, bias in _regressed(X, y):
        if len(present) == 2:  # one logit is two, the first of them 0
            weight, bias = np.vstack([0 * weight, weight]), np.concatenate([0 * bias, bias])
        yield {"C": strength}, *_spread_out(weight, bias, present, objective.n_outputs)


def _logistic(X: Array, y: NDArray[Any], objective: Objective) -> Iterator[Fitted]:
    """A logistic regression for each label, all at the same strength."""
    for each in zip(*(_regressed(X, column.astype(np.int64)) for column in y.T), strict=True):
        yield {"C": each[0][0]}, np.vstack([one[1] for one in each]), np.concatenate([one[2] for one in each])


def _regressed(X: Array, y: NDArray[np.int64]) -> Iterator[tuple[float, Array, Array]]:
    import warnings

    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(max_iter=ITERATIONS, tol=1e-4, warm_start=True)
    for strength in STRENGTHS:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # stopped early is one more penalty to choose from
            model.set_params(C=strength).fit(X, y)
        yield strength, model.coef_, model.intercept_


def _ridge(X: Array, y: NDArray[Any], objective: Objective) -> Iterator[Fitted]:
    """Least squares to indicators or numbers with a penalty on the weights; one decomposition for all penalties."""
    if objective.is_share:
        present, codes = np.unique(y, return_inverse=True)
        goals = np.eye(len(present))[codes]
    else:
        present, goals = np.arange(objective.n_outputs), y.astype(np.float64)
    means = goals.mean(axis=0)
    values, vectors = np.linalg.eigh(X.T @ X)
    projected = vectors.T @ (X.T @ (goals - means))
    centre = 0.5 if isinstance(objective, LabelSets) else 0.0  # logits above 0 say yes
    for ridge in reversed(RIDGES):
        weight = (vectors @ (projected / (values + ridge * values.sum() / len(values))[:, None])).T
        yield {"ridge": ridge}, *_spread_out(weight, means - centre, present, objective.n_outputs)


def _spread_out(weight: Array, bias: Array, present: NDArray[np.int64], n_outputs: int) -> tuple[Array, Array]:
    """Rows for all classes; those without a training sample get a logit that is not worth predicting."""
    weights, biases = np.zeros((n_outputs, weight.shape[1])), np.full(n_outputs, bias.min() - 100.0)
    weights[present], biases[present] = weight, bias
    return weights, biases


def _features(trial: Trial, rows: NDArray[np.int64] | Sequence[NDArray[np.int64]]) -> Labeled:
    """Features in float64 (L-BFGS stalls on float32 gradients) and encoded labels of the readable rows."""
    features = trial.extractor.extract(trial.target, trial.source, trial.adapter, rows, [trial.layer])
    labels = trial.objective.encode(trial.target.labels[features.rows])
    return features.layers[trial.layer].astype(np.float64), labels
