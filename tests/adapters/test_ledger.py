"""The mismatch ledger: shares of what was lost, a warning exactly from the limit on, and counts that are new."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from transferscope.adapters import find_adapter
from transferscope.adapters.ledger import GENERAL_LIMIT, RULES, Rule, declare, ledger, total_of
from transferscope.errors import TransferScopeError
from transferscope.results import Loss, Step
from transferscope.targets import Waveform
from transferscope.targets.arrays import from_arrays

LIMITED = [rule for rule in RULES.values() if rule.limit is not None]
TOTALS = ("samples", "tokens", "characters", "seconds", "pixels", "band_hz")
counts = st.one_of(st.integers(0, 10**9), st.floats(0, 1e9))
edits = st.dictionaries(st.sampled_from([*TOTALS, *RULES, "letters", "frames", "frames_lost", "odd"]), counts)


@given(edits)
def test_shares_are_above_0_and_at_most_1_and_named_after_their_count(edits: dict[str, float]) -> None:
    found = ledger(edits)
    assert all(0 < loss.share <= 1 for loss in found)
    names = [loss.name.replace(" ", "_") for loss in found]
    assert names == [name for name in edits if name in names]  # each once, in the order of the edits
    assert not set(names) & {*TOTALS, "letters", "frames", "odd"}


@given(edits)
def test_nothing_lost_gives_no_record(edits: dict[str, float]) -> None:
    assert ledger({name: value if name in TOTALS else 0 for name, value in edits.items()}) == ()
    assert ledger({}) == ()


@given(edits, edits)
def test_more_lost_is_never_a_smaller_share(few: dict[str, float], more: dict[str, float]) -> None:
    totals = dict.fromkeys(TOTALS, 1e9)
    added = Counter(few | totals)
    added.update({name: value for name, value in more.items() if name in RULES})
    before = {loss.name: loss.share for loss in ledger(few | totals)}
    after = {loss.name: loss.share for loss in ledger(added)}
    assert all(after[name] >= share for name, share in before.items())


@pytest.mark.parametrize("rule", LIMITED, ids=lambda rule: rule.count)
def test_the_warning_begins_at_the_limit(rule: Rule) -> None:
    total = total_of(rule.count, dict.fromkeys(TOTALS, 0))
    assert rule.limit is not None
    at = rule.limit * 1000
    below, exactly, above = (
        ledger({total: 1000, rule.count: value})[0] for value in (math.nextafter(at, 0), at, math.nextafter(at, 2000))
    )
    assert below.warning is None
    assert exactly.warning == above.warning is not None
    assert exactly.warning.startswith(f"{100 * rule.limit:.3g} % of {rule.what}")
    assert exactly.warning.endswith(".")


@pytest.mark.parametrize("rule", [rule for rule in RULES.values() if rule.limit is None], ids=lambda rule: rule.count)
def test_what_loses_nothing_by_itself_is_recorded_without_a_warning(rule: Rule) -> None:
    assert ledger({"samples": 4, rule.count: 4}) == (Loss(rule.count.replace("_", " "), 1.0),)


def test_a_warning_quotes_the_setting_that_decided() -> None:
    path = (Step("text->tokens", {"tokenizer": "BertTokenizer", "max_length": 64}, ""),)
    counted = {"samples": 10, "tokens": 1000, "tokens_dropped": 120, "tokens_unknown": 60, "truncated": 2}
    dropped, unknown, truncated = ledger(counted, path)
    assert dropped.share == 0.12
    assert dropped.warning is not None
    assert dropped.warning.startswith("12 % of tokens were cut (max_length 64): the source never sees")
    assert unknown.warning is not None
    assert unknown.warning.startswith("6 % of tokens are unknown to the tokenizer (tokenizer BertTokenizer): ")
    assert truncated == Loss("truncated", 0.2)
    assert str(ledger(counted)[0].warning).startswith("12 % of tokens were cut: ")


def test_a_count_is_of_the_longest_name_it_begins_with() -> None:
    totals = {"samples": 1, "band": 1, "band_hz": 1}
    assert total_of("band_hz_lost", totals) == "band_hz"
    assert total_of("band_lost", totals) == "band"
    assert total_of("bandaged", totals) == "samples"


def test_counts_that_nobody_declared_get_a_general_line() -> None:
    strokes = {
        "samples": 3,
        "strokes": 50,
        "strokes_dropped": 5,
        "strokes_lost": 4,
        "strokes_redrawn": 50,
        "hummed": 3,
    }
    dropped, lost = ledger(strokes)
    assert (dropped.name, dropped.share, lost.name, lost.share) == ("strokes dropped", 0.1, "strokes lost", 0.08)
    assert GENERAL_LIMIT == 0.1
    assert str(dropped.warning).startswith("10 % of strokes: dropped: ")
    assert lost.warning is None


@pytest.fixture
def declared() -> Iterator[Rule]:
    rule = Rule("hummed", 0.5, "samples were hummed", "humming has no words. Choose a source that sings.")
    declare(rule)
    yield rule
    del RULES["hummed"]


def test_a_converter_may_declare_its_own_count_once(declared: Rule) -> None:
    declare(declared)  # a module that is loaded again
    (loss,) = ledger({"samples": 4, "hummed": 2})
    assert loss == Loss("hummed", 0.5, "50 % of samples were hummed: " + declared.advice)
    with pytest.raises(TransferScopeError, match="'hummed' is already declared otherwise; choose another name"):
        declare(Rule("hummed", 0.6))


def test_every_count_of_every_path_is_a_total_or_becomes_a_loss(source_of, target_of) -> None:  # type: ignore[no-untyped-def]
    """No converter loses something under a name that the ledger passes over."""
    for modality in ("image", "audio", "text"):
        target = target_of(modality)
        for kind in ("image", "waveform", "tokens"):
            made: Counter[str] = Counter()
            find_adapter(target, source_of(kind)).prepare([target.samples[i] for i in range(len(target))], made)
            of = {total_of(name, made) for name in made}
            lost = {loss.name.replace(" ", "_") for loss in ledger(made)}
            assert {name for name, value in made.items() if value} == lost | {name for name in of if made[name]}


def test_the_lost_band_is_a_share_of_what_was_there(source_of, target_of) -> None:  # type: ignore[no-untyped-def]
    rng = np.random.default_rng(0)
    sounds = [Waveform(rng.normal(0, 0.1, (1, rate // 2)).astype(np.float32), rate) for rate in (16_000, 16_000, 4000)]
    target = from_arrays([*sounds, sounds[0]], [0, 1, 0, 1], modality="audio")
    adapter, made = find_adapter(target, source_of("waveform")), Counter[str]()  # 8 kHz
    adapter.prepare(sounds, made)
    losses = {loss.name: loss for loss in ledger(made, adapter.path)}
    assert losses["band hz lost"].share == pytest.approx((4000 + 4000 + 0) / (8000 + 8000 + 2000))
    assert losses["band lost"].share == pytest.approx(2 / 3)
    assert losses["resampled"].share == 1.0
