"""A stream of a million rows in the memory of a few matrices."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from transferscope.features.moments import Moments
from transferscope.scorers import h_score

N_ROWS, WIDTH, BATCH, CLASSES = 1_000_000, 768, 20_000, 100
MOST = 300e6  # bytes beyond the batch


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_million_rows_stay_below_300_megabytes_beyond_the_batch() -> None:
    rng = np.random.default_rng(0)
    batch = rng.normal(size=(BATCH, WIDTH)).astype(np.float32)
    labels = np.arange(BATCH) % CLASSES
    batch[:, 0] += labels
    tracemalloc.start()
    try:
        total = Moments.from_features(batch, labels)
        for _ in range(N_ROWS // BATCH - 1):
            total = total + Moments.from_features(batch, labels)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert total.n_samples == N_ROWS
    assert peak < MOST
    assert h_score(None, None, moments=total) == pytest.approx(h_score(batch, labels), rel=1e-9)
