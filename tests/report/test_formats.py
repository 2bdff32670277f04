from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transferscope.adapters.ledger import RULES, ledger
from transferscope.report.formats import (
    clean,
    count,
    duration,
    large,
    listed,
    noun,
    number,
    percent,
    route,
    shorten,
    with_error,
    written_edits,
)  # fmt: skip
from transferscope.results import Loss


def plain(text: str) -> str:
    return text.replace("\u00a0", " ").replace("\u202f", " ").replace("\u2212", "-")


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.8604, "0.860"), (-0.25, "-0.250"), (0, "0.000"), (1.2e-5, "1.2e-05"), (123.4, "123"), (1234.4, "1234"),
     (12345678.0, "1.23e+07"), (None, "–"), (float("nan"), "–")],
)  # fmt: skip
def test_number(value: float | None, text: str) -> None:
    assert plain(number(value)) == text


def test_values_errors_and_units() -> None:
    assert plain(with_error(0.5, 0.0123)) == "0.500 ± 0.012"
    assert plain(with_error(0.5, None)) == "0.500"
    assert plain(with_error(None, 0.1)) == "–"
    assert plain(percent(0.1234)) == "12.3 %"
    assert [large(v) for v in (None, 0, 999, 11_689_512, 3.63e9, 2e12)] == ["–", "0", "999", "11.7 M", "3.63 G", "2 T"]
    assert [duration(v) for v in (None, 0.04, 99.9, 120, 7200)] == ["–", "0.0 s", "99.9 s", "2.0 min", "2.0 h"]
    assert [plain(count(v)) for v in (1234567.0, 2.5)] == ["1 234 567", "2.5"]
    assert [noun(n, "image") for n in (1, 2)] == ["1 image", "2 images"]


def test_lists() -> None:
    assert [listed(["a", "b", "c"][:n]) for n in range(4)] == ["", "a", "a and b", "a, b and c"]
    assert listed(list("abcdefgh")) == "a, b, c, d, e, f and 2 more"


@pytest.mark.parametrize(
    ("steps", "text"),
    [(["image->image"], "image"), (["text->image", "image->image"], "text → image"),
     (["image->text", "text->tokens"], "image → text → tokens"), ([], "–")],
)  # fmt: skip
def test_route(steps: list[str], text: str) -> None:
    assert plain(route(steps)) == text


@given(st.text(), st.integers(5, 40))
def test_shortened_names_keep_both_ends_and_steer_nothing(text: str, width: int) -> None:
    short = shorten(text, width)
    assert len(short) <= width
    assert short[:2] == clean(text)[:2]
    assert not set(short) & {"\x1b", "\n", "\r", "\x00", "\u202e", "\u2028"}
    if len(text) <= width:
        assert short == clean(text)


def test_edits_are_counts_of_their_totals_with_the_shares_on_record() -> None:
    edits = {
        "samples": 200.0, "tokens": 1000.0, "tokens_dropped": 25.0, "glyphs_dropped": 7.0, "resized": 50.0,
        "seconds": 80.5, "seconds_dropped": 2.5, "odd_thing": 300.0, "upscaled": 0.0, "tokens_unknown": 0.0,
        "band_hz": 4000.0, "band_hz_lost": 1000.0,
    }  # fmt: skip
    losses = (Loss("tokens dropped", 0.025), Loss("resized", 0.25), Loss("seconds dropped", 0.031), Loss("x", 0.5))
    assert [plain(line) for line in written_edits(edits, losses)] == [
        "tokens dropped: 25 of 1 000 tokens (2.5 %)",
        "glyphs dropped: 7",
        "resized: 50 of 200 samples (25.0 %)",
        "seconds dropped: 2.5 of 80.5 seconds (3.1 %)",
        "odd thing: 300",
        "tokens unknown: 0 of 1 000 tokens (0.0 %)",
        "band hz lost: 1 000 of 4 000 band hz (25.0 %)",
    ]
    assert [plain(line) for line in written_edits(edits)][:3] == [
        "tokens dropped: 25 of 1 000 tokens (2.5 %)",
        "glyphs dropped: 7",
        "resized: 50",
    ]
    assert written_edits({}) == []


COUNTS = st.sampled_from([*RULES, "samples", "tokens", "seconds", "odd", "odd_lost"])


@given(st.dictionaries(COUNTS, st.integers(0, 9)))
def test_the_report_and_the_ledger_agree_on_every_share(edits: dict[str, float]) -> None:
    losses = ledger(edits)
    lines = [plain(line) for line in written_edits(edits, losses)]
    for loss in losses:
        (line,) = [line for line in lines if line.startswith(f"{loss.name}: ")]
        value, total = (int(part.split(" ")[0]) for part in line.split(": ")[1].split(" of "))
        assert line.endswith(f"({plain(percent(loss.share))})")
        assert loss.share == min(1, value / total)
    shared = [line.split(":")[0] for line in lines if line.endswith("%)") and ": 0 of" not in line]
    assert shared == [loss.name for loss in losses]


@given(st.dictionaries(COUNTS, st.integers(0, 9)))
def test_shares_of_counts_by_name_need_no_losses_on_record(edits: dict[str, float]) -> None:
    """Results of older versions have none."""
    full, bare = written_edits(edits, ledger(edits)), written_edits(edits)
    samples = f"{plain(count(edits.get('samples', 0)))} samples"
    assert [line for line in full if samples not in plain(line) and "%" in line] == [
        line for line in bare if "%" in line
    ]
