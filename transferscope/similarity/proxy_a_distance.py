"""Proxy A-distance: how well a linear classifier tells the two samples apart."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..errors import ScoreError
from .registry import register_measure
from .samples import check_samples

ITERATIONS = 1000  # of the classifier's solver, at most


@register_measure(
    "proxy_a_distance",
    kind="discrepancy",
    higher_is_closer=False,
    range="0 to 2",
    cost="one logistic regression per fold: (N + M) D, times some tens of iterations",
    reference="Ben-David, Blitzer, Crammer and Pereira, NeurIPS 2006",
    misleads="It is 2 as soon as the samples can be told apart, however near they lie; few rows make it too small.",
)
def proxy_a_distance(source: Any, target: Any, *, n_folds: int = 5, seed: int = 0) -> float:
    """2 (1 - 2e), with e the held-out error of a classifier that tells source rows from target rows.

    Logistic regression on features standardised on its training rows. Both sides weigh the same, in training and in
    the error, whatever their numbers of rows; an error above 1/2 counts as 1/2.

    Parameters
    ----------
    source, target : arrays or tensors of shape (n_samples, n_features), (n_other_samples, n_features)
    n_folds : int, default=5
        Every row is held out once.
    seed : int, default=0
        Of the folds.

    Returns
    -------
    value : float
        In [0, 2], and 0 for equal samples; lower is closer. Invariant to shift and scale of each feature; it depends
        on the classifier, which sees differences along one direction only, and a little on the folds. Misleads where
        samples are easily told apart: it is 2 for all of them, however far they lie.

    Raises
    ------
    ScoreError
        If widths differ, values are not finite, `n_folds` is below 2, or a side has fewer rows than folds.

    References
    ----------
    Ben-David, Blitzer, Crammer and Pereira, "Analysis of Representations for Domain Adaptation", NeurIPS 2006.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    if n_folds < 2:
        raise ScoreError(f"proxy_a_distance: n_folds={n_folds}; expected at least 2.")
    s, t = check_samples(source, target, caller="proxy_a_distance", fewest=n_folds)
    rows, is_target = np.concatenate([s, t]) - t.mean(axis=0), np.repeat([False, True], [len(s), len(t)])
    # the same draw for both sides: where they hold the same rows, both copies are held out together
    folds = np.concatenate([np.random.default_rng(seed).permutation(len(side)) % n_folds for side in (s, t)])
    wrong = np.empty(len(rows), dtype=bool)
    for fold in range(n_folds):
        held = folds == fold
        classifier = make_pipeline(
            StandardScaler(), LogisticRegression(class_weight="balanced", max_iter=ITERATIONS)
        ).fit(rows[~held], is_target[~held])
        wrong[held] = classifier.predict(rows[held]) != is_target[held]
    error = (wrong[is_target].mean() + wrong[~is_target].mean()) / 2
    return float(2 * (1 - 2 * min(error, 0.5)))
