"""Budgets and constraints: what words mean, and what they allow."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transferscope.errors import TransferScopeError
from transferscope.ranking.budget import Budget
from transferscope.ranking.constraints import Constraints, pareto, refusal
from transferscope.results import SourceCard
from transferscope.spending import Cost

CARD = SourceCard("one", "net", {}, ("last",), 20_000_000, "w", license="Apache-2.0")
COST = Cost("one", "cpu", "Apache-2.0", 20_000_000, 1e9, 0.02, 100.0, 1.0, 1e9, 10.0)


@pytest.mark.parametrize(
    ("text", "unit", "amount"),
    [
        ("10m", "seconds", 600), ("90s", "seconds", 90), ("1h30m", "seconds", 5400), ("2 min", "seconds", 120),
        ("0.5h", "seconds", 1800), ("5000 samples", "samples", 5000), ("1 sample", "samples", 1),
        ("2e15 flops", "flops", 2e15), ("3 PFLOP", "flops", 3e15), ("1.5GFLOPs", "flops", 1.5e9),
    ],
)  # fmt: skip
def test_budgets_in_seconds_samples_and_flops(text: str, unit: str, amount: float) -> None:
    found = Budget.parse(text)
    assert (found.unit, found.amount) == (unit, pytest.approx(amount))


@pytest.mark.parametrize("text", ["", "soon", "10", "-5m", "0s", "5 parsecs", "1..2s", "m10", "1e999 flops"])
def test_what_is_no_budget_is_refused(text: str) -> None:
    with pytest.raises(TransferScopeError, match="expected an amount above zero such as 10m"):
        Budget.parse(text)


def test_only_its_own_unit_is_spent() -> None:
    budget = Budget.parse("10 samples")
    budget.spend(seconds=100, samples=4, flops=1e20)
    assert not budget.exhausted
    budget.spend(seconds=0, samples=6, flops=0)
    assert budget.exhausted


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"max_params": "25M"}, None), ({"max_params": "0.02B"}, None),
        ({"max_params": "19.9M"}, "20,000,000 parameters; at most 19,900,000"),
        ({"max_latency": "20ms"}, None), ({"max_latency": "0.03 s"}, None),
        ({"max_latency": "19ms"}, "takes it 20 ms on cpu; at most 19 ms"),
        ({"licenses": ["apache-*"]}, None), ({"licenses": ["MIT", "Apache-2.0"]}, None),
        ({"licenses": ["permissive"]}, None), ({"licenses": ["mit"]}, "its licence is 'Apache-2.0'; allowed are mit"),
    ],
)  # fmt: skip
def test_constraints_say_what_was_found_and_what_is_allowed(asked: dict[str, object], said: str | None) -> None:
    found = refusal(COST, Constraints.parse(**asked))  # type: ignore[arg-type]
    assert (found is None) == (said is None)
    assert said is None or said in (found or "")


def test_an_unknown_licence_is_refused_unless_it_is_allowed() -> None:
    bare = replace(CARD, license=None)
    assert "states no licence" in (refusal(bare, Constraints.parse(licenses=["mit"])) or "")
    assert refusal(bare, Constraints.parse(licenses=["mit", "unknown"])) is None
    assert refusal(replace(CARD, license="BSD-3-Clause (its authors')"), Constraints.parse(licenses=["bsd-*"])) is None


def test_a_card_is_not_asked_for_its_latency() -> None:
    assert refusal(CARD, Constraints.parse(max_latency="1us")) is None
    assert "could not be measured" in (refusal(replace(COST, latency=None), Constraints.parse(max_latency="1s")) or "")


@pytest.mark.parametrize("asked", [{"max_params": "many"}, {"max_params": "-2M"}, {"max_latency": "20"}])
def test_what_cannot_be_read_is_refused(asked: dict[str, str]) -> None:
    with pytest.raises(TransferScopeError, match="expected an amount such as"):
        Constraints.parse(**asked)


pairs = st.dictionaries(st.text("abcdefg", min_size=1, max_size=2), st.tuples(st.integers(0, 5), st.integers(0, 5)))


@given(known=pairs)
def test_the_front_holds_what_nothing_beats(known: dict[str, tuple[int, int]]) -> None:
    values = {name: float(value) for name, (value, _) in known.items()}
    costs = {name: float(cost) for name, (_, cost) in known.items()}
    front = pareto(values, costs)
    assert bool(front) == bool(known)
    assert [costs[name] for name in front] == sorted(costs[name] for name in front)
    for name in known:
        better = [o for o in known if values[o] >= values[name] and costs[o] <= costs[name]]
        strictly = [o for o in better if (values[o], costs[o]) != (values[name], costs[name])]
        assert (name in front) == (not strictly)
