"""Scores of several sources together: their parts before scoring, their sums after it."""

from __future__ import annotations

import pytest

from transferscope.errors import TransferScopeError, UnknownNameError
from transferscope.ranking.together import add_combined, expand
from transferscope.results import Candidate, Score


def candidate(source: str, *, best: bool = True, control: str | None = None, **values: float | None) -> Candidate:
    scores = {name: Score(name, value, True, 50, 8, 0.1) for name, value in values.items()}
    return Candidate(source, "layer", (), {}, "mean", 8, 1.0, scores, best, control)  # type: ignore[arg-type]


def test_parts_are_scored_once() -> None:
    single, combined = expand(["logme", "etran", "lda", "ncti"], "logme")
    assert single == ("logme", "energy", "lda", "ncti_seli", "ncti_ncc", "ncti_vc")
    assert combined == ("etran", "ncti")
    assert expand(["knn", "logme"], "knn") == (("knn", "logme"), ())


def test_refusals() -> None:
    with pytest.raises(UnknownNameError, match="no scorer named 'etra'"):
        expand(["etra"], "logme")
    with pytest.raises(TransferScopeError, match="it cannot choose the layer; rank by one of its parts: energy, lda"):
        expand(["etran"], "etran")


def test_sums_are_over_the_best_layers_of_sources() -> None:
    found = add_combined(
        [
            candidate("a", energy=1.0, lda=0.5),
            candidate("b", energy=3.0, lda=0.9),
            candidate("c", energy=2.0, lda=0.9),
            candidate("b", best=False, energy=99.0, lda=0.0),
            candidate("raw", control="raw", energy=99.0, lda=0.0),
            candidate("headless", energy=None, lda=0.7),
        ],
        ["etran"],
    )
    assert [c.scores["etran"].value if "etran" in c.scores else "none" for c in found] == [
        0.0, 2.0, 1.5, "none", "none", None,
    ]  # fmt: skip
    assert found[5].scores["etran"].error == "etran needs energy, lda, and not all of them have a value"
    assert found[0].scores["etran"].warnings[0].startswith("It depends on which sources are compared")
    assert found[0].scores["etran"].n_samples == 50
