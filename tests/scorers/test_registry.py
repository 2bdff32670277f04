"""The registry of scorers: what each entry says of itself, and how it is reached."""

from __future__ import annotations

import importlib
import inspect
import re

import pytest

import transferscope.scorers as room
from transferscope.errors import TransferScopeError, UnknownNameError
from transferscope.features.arrays import TASKS
from transferscope.scorers import SCORERS
from transferscope.scorers.registry import NEEDS, ScorerSpec, register_scorer

NAMES = ["h_score", "knn", "leep", "logme", "nce", "ridge_loo"]


def test_names() -> None:
    assert set(NAMES) <= set(SCORERS)
    assert list(SCORERS) == sorted(SCORERS)
    assert [spec.name for spec in SCORERS.values()] == list(SCORERS)


@pytest.mark.parametrize("spec", SCORERS.values(), ids=lambda spec: spec.name)
def test_every_entry_says_what_a_reader_needs(spec: ScorerSpec) -> None:
    assert callable(spec.fn)
    assert set(spec.needs) <= set(NEEDS)
    assert spec.tasks
    assert set(spec.tasks) <= set(TASKS)
    for text in (spec.range, spec.cost, spec.reference, spec.misleads):
        assert text == text.strip()
        assert len(text) > 3
    assert spec.meaning.endswith(".")
    assert not re.search(r"\. [A-Z]", spec.meaning)  # one sentence
    assert 40 < len(spec.meaning) < 200
    assert spec.meaning != " ".join((inspect.getdoc(spec.fn) or "").partition("\n\n")[0].split())
    for jargon in ("posterior", "covariance", "Gaussian", "log-likelihood", "entropy", "logit", "nuclear", "eigen"):
        assert jargon not in spec.meaning
    assert any(year in spec.reference for year in map(str, range(1900, 2100)))
    parameters = list(inspect.signature(spec.fn).parameters.values())
    assert tuple(parameter.name for parameter in parameters[: len(spec.needs)]) == spec.needs
    for parameter in parameters[len(spec.needs) :]:  # options, so that calls read as sentences
        assert parameter.kind is parameter.KEYWORD_ONLY
        assert parameter.default is not parameter.empty


@pytest.mark.parametrize("spec", SCORERS.values(), ids=lambda spec: spec.name)
def test_every_scorer_documents_itself(spec: ScorerSpec) -> None:
    text = spec.fn.__doc__ or ""
    for part in ("Parameters\n", "Returns\n", "score : float", "Raises\n", "References\n"):
        assert part in text
    assert ("igher is better" if spec.higher_is_better else "ower is better") in text
    for name in inspect.signature(spec.fn).parameters:
        assert f"    {name} : " in text


@pytest.mark.parametrize("name", NAMES)
def test_functions_are_reached_by_name(name: str) -> None:
    """Before and after the file of the same name is imported: a function, never the module."""
    assert getattr(room, name) is SCORERS[name].fn
    importlib.import_module(f"transferscope.scorers.{name}")
    assert getattr(room, name) is SCORERS[name].fn
    assert name in dir(room)


def test_options_are_those_that_are_taken() -> None:
    offered = {"task": "classification", "seed": 3, "moments": None, "other": 1}
    assert SCORERS["logme"].options(offered) == {"task": "classification", "moments": None}
    assert SCORERS["h_score"].options(offered) == {"moments": None}
    assert SCORERS["knn"].options(offered) == {"task": "classification"}
    assert SCORERS["leep"].options(offered) == {}


def test_registering(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SCORERS, "_entries", dict(SCORERS._entries))

    @register_scorer("mine", range="0 to 1", cost="N", comparable_across_widths=True, misleads="", reference="")
    def mine(features, labels) -> float:
        """Half right,
        whatever it is given.

        Always.
        """
        return 0.5

    assert SCORERS["mine"].fn is mine
    assert SCORERS["mine"].tasks == ("classification",)
    assert SCORERS["mine"].higher_is_better
    assert SCORERS["mine"].meaning == "Half right, whatever it is given."
    assert SCORERS["mine"].caveats(None) == ()  # type: ignore[arg-type]
    again = register_scorer("mine", range="", cost="", comparable_across_widths=True, misleads="", reference="")
    with pytest.raises(TransferScopeError, match="scorer 'mine' is already registered by .*; choose another name"):
        again(mine)


def test_unknown_names() -> None:
    with pytest.raises(UnknownNameError, match="no scorer named 'log_me'. Did you mean 'logme'.* Known: emms,"):
        SCORERS["log_me"]
    with pytest.raises(KeyError):
        SCORERS["log_me"]
    assert "log_me" not in SCORERS
    with pytest.raises(AttributeError, match="transferscope.scorers has no scorer 'log_me'; it has emms,"):
        _ = room.log_me
