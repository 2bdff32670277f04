"""Scores that exist beside other sources only."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from transferscope.errors import ScoreError
from transferscope.scorers.combine import COMBINATIONS, combine
from transferscope.scorers.ncti import NCTI

combine_ncti = partial(combine, signs=tuple(COMBINATIONS["ncti"].parts.values()))
combine_etran = partial(combine, signs=tuple(COMBINATIONS["etran"].parts.values()))

parts = st.lists(st.tuples(*[st.floats(-1e6, 1e6)] * 3), min_size=1, max_size=6)


def test_ncti_by_hand() -> None:
    found = combine_ncti({"a": NCTI(10.0, 0.5, 3.0), "b": NCTI(20.0, 0.9, 4.0), "c": NCTI(15.0, 0.7, 3.5)})
    assert found == pytest.approx({"a": 0.0 + 0.0 - 0.0, "b": 1.0 + 1.0 - 1.0, "c": 0.5 + 0.5 - 0.5})
    assert list(found) == ["a", "b", "c"]
    lower = combine_ncti({"a": (1.0, 0.0, 3.0), "b": (1.0, 0.0, 2.0)})
    assert lower == {"a": -1.0, "b": 0.0}  # the third part is better when lower


def test_etran_by_hand() -> None:
    found = combine_etran({"a": (4.0, 0.2), "b": (6.0, 0.4), "c": (5.0, 0.6)})
    assert found == pytest.approx({"a": 0.0, "b": 1.5, "c": 1.5})


@given(rows=parts)
def test_is_the_sum_of_parts_between_0_and_1(rows: list[tuple[float, float, float]]) -> None:
    found = combine_ncti({str(i): row for i, row in enumerate(rows)})
    for i, row in enumerate(rows):
        total = 0.0
        for column, sign in enumerate((1, 1, -1)):
            values = [other[column] for other in rows]
            span = max(values) - min(values)
            if span > 1e-12 * max(abs(value) for value in values):
                total += sign * (row[column] - min(values)) / span
        assert found[str(i)] == pytest.approx(total, abs=1e-12)
        assert -1 <= found[str(i)] <= 2


def test_units_of_parts_do_not_matter() -> None:
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(5, 2))
    names = "abcde"
    found = combine_etran(dict(zip(names, rows.tolist(), strict=True)))
    moved = combine_etran(dict(zip(names, (rows * [1e8, 1e-8] + [5.0, -1e-9]).tolist(), strict=True)))
    assert moved == pytest.approx(found, rel=1e-6)


def test_parts_in_which_all_agree_rank_none_before_another() -> None:
    assert combine_ncti({"a": (3.0, 1.0, 2.0)}) == {"a": 0.0}
    found = combine_ncti({"a": (3.0, 1.0, 2.0), "b": (4.0, 1.0, 2.0)})
    assert found == {"a": 0.0, "b": 1.0}
    found = combine_ncti({"a": (3.0, 1.0, 2.0), "b": (4.0, 1.0 - 1e-16, 2.0 + 4e-16)})  # rounding is no difference
    assert found == {"a": 0.0, "b": 1.0}
    assert combine_etran({"a": (0.0, 0.0), "b": (0.0, 0.0)}) == {"a": 0.0, "b": 0.0}
    assert combine({}, (1, 1)) == {}


def test_another_source_changes_the_rest() -> None:
    """Which is why it is done when ranking, and not by a scorer."""
    two = combine_etran({"a": (1.0, 0.2), "b": (2.0, 0.1)})
    assert two["a"] == two["b"] == 1.0
    three = combine_etran({"a": (1.0, 0.2), "b": (2.0, 0.1), "c": (9.0, 0.1)})
    assert three["a"] > three["b"]


def test_refusals() -> None:
    with pytest.raises(ScoreError, match=r"combining scores: b has the parts \(1.0, 2.0\); expected 3 finite numbers"):
        combine_ncti({"a": (1.0, 2.0, 3.0), "b": (1.0, 2.0)})
    with pytest.raises(ScoreError, match=r"combining scores: b has the parts \(nan, 2.0\); expected 2 finite numbers"):
        combine_etran({"a": (1.0, 2.0), "b": (float("nan"), 2.0)})
