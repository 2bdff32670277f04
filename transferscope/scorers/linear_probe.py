"""Linear probe: held-out accuracy of a logistic regression on the features."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import ScoreError
from ..features.arrays import TASKS, Array, Task, check_inputs
from ..features.moments import Moments
from .hat import PENALTIES
from .registry import register_scorer

Codes = NDArray[np.int64]
FOLDS = 5
ROUNDS, TOLERANCE = 1000, 1e-6  # of lbfgs


def _caveats(moments: Moments) -> Sequence[str]:
    if moments.classes is None:
        return ()
    rarest, alone = int(moments.target_sum.min()), int((moments.target_sum == 1).sum())
    found = []
    if rarest < FOLDS:
        found.append(f"The rarest class has {rarest} sample(s), so there are {max(rarest, 2)} folds only.")
    if alone:
        found.append(f"{alone} class(es) have one sample, which no other can vouch for: always wrong.")
    return found


def _per_sample(
    features: Any, labels: Any, *, C: float = 1.0, folds: int = FOLDS, task: Task | None = None, seed: int = 0
) -> Array | None:
    """The share of each row's labels that is right while it is held out; R squared is no mean over rows."""
    if not C > 0:
        raise ScoreError(f"linear_probe: C={C}; expected a positive inverse strength of the penalty.")
    if folds < 2:
        raise ScoreError(f"linear_probe: folds={folds}; expected at least 2, so that rows can be held out.")
    values, targets = check_inputs(features, labels, caller="linear_probe", task=task)
    centred = values - values.mean(axis=0)  # standardising takes it off anyway, and loses fewer digits so
    if targets.codes is not None:
        return _hits(centred, targets.codes, C, folds, seed)
    columns = targets.columns()
    if not np.ptp(columns, axis=0).all():
        raise ScoreError("linear_probe: a target column is constant; there is nothing to explain. Drop it.")
    if targets.task == "regression":
        return None
    if not np.isin(columns, (0, 1)).all():
        raise ScoreError("linear_probe: multi-label columns hold other values than 0 and 1; use task='regression'.")
    return np.mean([_hits(centred, column.astype(np.int64), C, folds, seed) for column in columns.T], axis=0)


@register_scorer(
    "linear_probe",
    tasks=TASKS,
    range="0 to 1 (accuracy); up to 1 (R squared)",
    cost="5 fits of some hundred steps of N D K each",
    is_accuracy=True,
    comparable_across_widths=True,
    meaning=(
        "The share of held-out samples that a linear classifier on the frozen features gets right; for numbers, the "
        "share of their variation that is explained."
    ),
    misleads="The folds are drawn at random, so it differs by seed, by about its standard error.",
    reference="Alain and Bengio, ICLR workshop 2017; Kornblith, Shlens and Le, CVPR 2019",
    caveats=_caveats,
    per_sample=_per_sample,
)
def linear_probe(
    features: Any, labels: Any, *, C: float = 1.0, folds: int = FOLDS, task: Task | None = None, seed: int = 0
) -> float:
    """Cross-validated accuracy of L2-penalised logistic regression; of ridge regression, R squared, for numbers.

    Features are standardised by the rows that are learnt from. Every row is held out once; classes are spread evenly
    over the folds.

    Parameters
    ----------
    features : array or tensor of shape (n_samples, n_features)
    labels : classes of shape (n_samples,), or float targets of shape (n_samples,) or (n_samples, n_columns)
        0/1 columns are multi-label: a regression for each, and the mean of their accuracies.
    C : float, default=1.0
        Inverse strength of the penalty, as in scikit-learn. Ridge regression chooses one of 17 by leaving out each of
        the rows that are learnt from.
    folds : int, default=5
        Fewer where the rarest class has fewer rows, but at least 2.
    task : {"classification", "multilabel", "regression"}, optional
        Told from the labels when not given.
    seed : int, default=0
        Of the folds.

    Returns
    -------
    score : float
        Accuracy in [0, 1], or R squared, at most 1 and averaged over columns. Higher is better. Invariant to shift and
        scale of every feature, not to rotation. A class of one row is always wrong.

    Raises
    ------
    ScoreError
        If `C` is not positive, `folds` is below 2, there are fewer than 4 rows to regress on, shapes disagree, values
        are not finite, a target column is constant, or a multi-label one holds other than 0 and 1.

    References
    ----------
    Alain and Bengio, "Understanding intermediate layers using linear classifier probes", ICLR workshop 2017.
    """
    hits = _per_sample(features, labels, C=C, folds=folds, task=task, seed=seed)
    if hits is not None:
        return float(hits.mean())
    values, targets = check_inputs(features, labels, caller="linear_probe", task=task)
    return _r_squared(values - values.mean(axis=0), targets.columns(), folds, seed)


def _hits(values: Array, codes: Codes, C: float, folds: int, seed: int) -> Array:
    """1 for every row that is classified rightly while held out, else 0."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    predicted = np.full(len(codes), -1)
    for learnt, held in _stratified(codes, folds, seed):
        present = np.unique(codes[learnt])
        if len(present) == 1:
            predicted[held] = present[0]
            continue
        model = make_pipeline(StandardScaler(), LogisticRegression(C=C, max_iter=ROUNDS, tol=TOLERANCE))
        predicted[held] = model.fit(values[learnt], codes[learnt]).predict(values[held])
    return np.asarray(predicted == codes, dtype=np.float64)


def _stratified(codes: Codes, folds: int, seed: int) -> Iterator[tuple[Codes, Codes]]:
    """Rows to learn from and rows held out; no folds at all where every row is a class of its own."""
    from sklearn.model_selection import StratifiedKFold

    counts = np.bincount(codes)
    if counts.max() == 1:
        return
    splitter = StratifiedKFold(max(2, min(folds, int(counts.min()))), shuffle=True, random_state=seed)
    with warnings.catch_warnings():  # of classes of one row, which the docstring and the caveats tell of
        warnings.filterwarnings("ignore", "The least populated class", UserWarning)
        pairs = list(splitter.split(codes[:, None], codes))
    yield from pairs


def _r_squared(values: Array, columns: Array, folds: int, seed: int) -> float:
    from sklearn.linear_model import RidgeCV
    from sklearn.model_selection import KFold
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    n = len(values)
    if n < 4:
        raise ScoreError(f"linear_probe: {n} rows; expected at least 4, to learn from some and hold out others.")
    centred = columns - columns.mean(axis=0)
    wrong = np.zeros(columns.shape[1])
    for learnt, held in KFold(min(folds, n), shuffle=True, random_state=seed).split(values):
        ridge = RidgeCV(PENALTIES * len(learnt), alpha_per_target=True)
        predicted = make_pipeline(StandardScaler(), ridge).fit(values[learnt], centred[learnt]).predict(values[held])
        wrong += np.square(centred[held] - predicted.reshape(len(held), -1)).sum(axis=0)
    return float(np.mean(1 - wrong / np.square(centred).sum(axis=0)))
