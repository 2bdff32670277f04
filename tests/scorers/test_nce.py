"""NCE against its definition in loops."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from transferscope.errors import ScoreError
from transferscope.scorers import nce


def literal(z: list[int], y: list[int]) -> float:
    """Minus the empirical conditional entropy H(y | z) in nats: Tran et al., equation 5."""
    n, total = len(y), 0.0
    joint, marginal = Counter(zip(z, y, strict=True)), Counter(z)
    for (source, _), count in joint.items():
        total += count / n * math.log(count / marginal[source])
    return total


@settings(max_examples=80, deadline=None)
@given(
    pairs=st.lists(st.tuples(st.integers(0, 5), st.integers(0, 3)), min_size=2, max_size=60),
    sure=st.floats(0.3, 1.0),
)  # fmt: skip
def test_is_its_definition(pairs: list[tuple[int, int]], sure: float) -> None:
    """Only the largest probability of each row counts, however sure it is; classes may be of one row."""
    z, y = [p[0] for p in pairs] + [0, 0], [p[1] for p in pairs] + [0, 1]
    P = np.full((len(z), 6), (1 - sure) / 5)
    P[np.arange(len(z)), z] = sure
    assert nce(P, y) == pytest.approx(literal(z, y), rel=1e-12, abs=1e-12)


def test_extremes() -> None:
    y = np.array([0, 0, 1, 1, 2, 2])
    assert nce(np.eye(3)[y], y) == 0.0
    assert nce(np.eye(3)[y][:, ::-1], y) == 0.0
    assert nce(np.full((6, 3), 1 / 3), y) == pytest.approx(-math.log(3), rel=1e-12)


def test_more_source_classes_than_samples_look_perfect() -> None:
    """What the registry says of when it misleads."""
    assert nce(np.eye(8), [0, 1] * 4) == 0.0


def test_refusals() -> None:
    with pytest.raises(ScoreError, match="nce: source_probs hold values from 2 to 2 with row sums from 6 to 6"):
        nce(np.full((4, 3), 2.0), [0, 1, 0, 1])
