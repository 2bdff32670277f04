"""Linear probe: multinomial logistic regression on frozen features, no forward pass beyond extraction."""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np

from ..ranking.race import train_parts
from ..results import Run
from .strategy import Trial, register_strategy

STRENGTHS = tuple(10.0**power for power in range(-4, 2))  # inverse L2 penalties, searched on validation


@register_strategy("linear_probe", head_at="best", trains_body=False)
def linear_probe(trial: Trial) -> tuple[Run, ...]:
    """Fit a softmax head by L-BFGS on standardised features of the candidate's layer.

    The penalty is the best on the validation rows (the strongest one among ties). The problem is convex, so there
    is one run and no seed.

    References
    ----------
    Alain and Bengio, "Understanding intermediate layers using linear classifier probes", ICLR 2017 workshop.
    """
    from sklearn.linear_model import LogisticRegression
    from threadpoolctl import threadpool_limits

    started = time.perf_counter()
    train = train_parts(trial.target, trial.split)  # as the ranking did, whose features are at hand
    parts = [_features(trial, rows) for rows in (train, trial.split.validation, trial.split.test)]
    (train_x, train_y), (validation_x, validation_y), (test_x, test_y) = parts
    train_x, validation_x, test_x = _standardised(train_x, validation_x, test_x)
    probe = LogisticRegression(max_iter=2000, tol=1e-4, warm_start=True)  # each strength starts from the one before
    best_accuracy = -1.0
    with threadpool_limits(1):  # small products in turns with OpenMP loops: two threads take 3 to 5 times as long
        for strength in STRENGTHS:
            probe.set_params(C=strength).fit(train_x, train_y)
            accuracy = float(np.mean(probe.predict(validation_x) == validation_y))
            if accuracy > best_accuracy:
                best_accuracy, predicted = accuracy, probe.predict(test_x)
    test_accuracy = float(np.mean(predicted == test_y))
    seconds = time.perf_counter() - started
    return (Run(trial.seed, None, best_accuracy, test_accuracy, (), seconds),)


def _features(trial: Trial, rows: np.ndarray | Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Features in float64 (L-BFGS stalls on float32 gradients) and labels of the readable rows."""
    features = trial.extractor.extract(trial.target, trial.source, trial.adapter, rows, [trial.layer])
    return features.layers[trial.layer].astype(np.float64), trial.target.labels[features.rows]


def _standardised(train: np.ndarray, *others: np.ndarray) -> list[np.ndarray]:
    """Columns to mean 0 and variance 1 by the training rows, in the basis of what those rows span.

    With fewer rows than features that basis is smaller; an L2-penalised fit never leaves it.
    """
    mean, spread = train.mean(axis=0), train.std(axis=0)
    spread[spread == 0] = 1.0
    parts = [(part - mean) / spread for part in (train, *others)]
    if train.shape[0] < train.shape[1]:
        basis = np.linalg.qr(parts[0].T)[0]
        parts = [part @ basis for part in parts]
    return parts
