"""Two dimensions of features: what they show is what is there."""

from __future__ import annotations

import numpy as np
import pytest

from transferscope.ranking.views import MOST, measure_views


def test_the_best_and_the_worst_are_shown_with_their_classes() -> None:
    rng = np.random.default_rng(0)
    labels = np.arange(400) % 2
    apart = rng.standard_normal((400, 5)) + 6 * labels[:, None]
    mixed = rng.standard_normal((400, 7))
    known = dict.fromkeys("abc", labels)
    best, worst = measure_views(["a", "b", "c"], {"a": apart, "b": apart, "c": mixed}, known)
    assert (best.source, worst.source) == ("a", "c")
    assert best.between > 0.8 > 0.1 > worst.between
    assert len(best.points) == len(best.labels) == MOST
    assert max(abs(value) for point in best.points for value in point) == 1
    sides = {code: np.sign(np.mean([p[0] for p, own in zip(best.points, best.labels, strict=True) if own == code]))
             for code in (0, 1)}  # fmt: skip
    assert sides[0] == -sides[1]
    assert measure_views(["a", "b", "c"], {"a": apart, "b": apart, "c": mixed}, known) == (best, worst)


@pytest.mark.parametrize("matrix", [np.ones((10, 4)), np.ones((10, 1)), np.zeros((1, 4))])
def test_nothing_to_see_is_no_error(matrix: np.ndarray) -> None:
    found = measure_views(["a"], {"a": matrix}, {"a": np.arange(len(matrix)) % 2})
    assert all(view.between == 0 for view in found)
    assert measure_views([], {}, {}) == ()
