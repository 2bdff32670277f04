"""Moments beside rows: those of other rows are refused by every scorer that reads both."""

from __future__ import annotations

import numpy as np
import pytest

from transferscope.errors import ScoreError
from transferscope.features.moments import Moments
from transferscope.scorers import SCORERS

READ_BOTH = ["gbc_pca", "lda", "lda_loo", "nearest_mean", "ridge_loo", "sfda", "transrate"]


@pytest.mark.parametrize("name", READ_BOTH)
def test_moments_of_other_rows_are_refused(name: str) -> None:
    X, y = np.random.default_rng(0).normal(size=(30, 4)), np.arange(30) % 3
    for rows, width in ((slice(1, None), 4), (slice(None), 3)):
        moments = Moments.from_features(X[rows, :width], y[rows])
        with pytest.raises(
            ScoreError, match=f"{name}: moments of .* beside 30 x 4 ones; give those of these very rows"
        ):
            SCORERS[name].fn(X, y, moments=moments)
    assert np.isfinite(SCORERS[name].fn(X, y, moments=Moments.from_features(X, y)))
