"""What the choices within a source were worth: sentences, marks, and the layer curve."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import transferscope as ts
from transferscope.choices import Alignment, Effect, Selection, TwinGap
from transferscope.report.choices import alarm, choice_notes, chosen_of_many, curve, runs
from transferscope.report.curves import curve_plot
from transferscope.report.details import MOST_CURVES, details
from transferscope.report.html import LARGEST
from transferscope.report.ranked import layer_table, ranking_table
from transferscope.report.terminal import print_result
from transferscope.report.verdict import decide
from transferscope.results import Loss, Ranking
from transferscope.trust import Check

CHANNELS = "channels of waveform->image"


def plain(text: str) -> str:
    return text.replace("\u00a0", " ").replace("\u2212", "-")


def notes(ranking: Ranking, **changes: Any) -> list[str]:
    return [plain(text) for text in choice_notes(replace(ranking, **changes))]


def test_the_choice_that_gained_most_comes_first(ranking: Ranking, make: SimpleNamespace) -> None:
    first = make.sources[0]
    effects = (
        Effect(first, "layer", "blocks.2", "blocks.1", "blocks.3", 0.01, 0.01),
        Effect(first, "layer", "blocks.2", "blocks.3", "blocks.3", 0.081, 0.012),
        Effect(first, "pooling", "last", "mean", "mean", 0.2, 0.02),
        Effect(first, CHANNELS, "deltas", "repeat", "repeat", 0.01, 0.012),
    )
    (said,) = notes(ranking, effects=effects)
    assert said == (
        f"{first}: The pooling mattered most: last instead of mean gained 0.200 ± 0.020; the layer mattered: blocks.2 "
        "instead of the last (blocks.3) gained 0.081 ± 0.012; the channels of waveform → image made no measurable "
        "difference from the default."
    )
    (said,) = notes(ranking, effects=(Effect(first, "layer", "blocks.3", "blocks.2", "blocks.3", 0.2, 0.01),))
    assert said == f"{first}: The layer is best as by default."
    (said,) = notes(ranking, effects=(Effect(first, "layer", "blocks.1", "blocks.2", "blocks.3", 0.2, 0.01),))
    assert said == f"{first}: The layer mattered: blocks.1 instead of blocks.2 gained 0.200 ± 0.010."


def test_tied_layers_are_named_as_ranges(ranking: Ranking, make: SimpleNamespace) -> None:
    first = make.sources[0]

    def said(*tied: str, share: float = 0.7) -> str:
        selection = Selection(first, 4, tied, {"blocks.2": share, "blocks.3": 1 - share}, 0.01)
        return notes(ranking, selections=(selection,))[0].removeprefix(f"{first}: ")

    assert said("blocks.1", "blocks.2", "blocks.3") == (
        "Layers blocks.1 to blocks.3 are tied, within noise; blocks.2 is the best with 70.0 % of the blocks left out."
    )
    assert said("blocks.0", "blocks.2", "blocks.3").startswith("Layers blocks.0 and blocks.2 to blocks.3 are tied")
    assert said("blocks.2").startswith("No other layer is within noise of blocks.2;")
    assert runs([0, 1, 4, 6, 7, 8]) == [(0, 1), (4, 4), (6, 8)]


@pytest.mark.parametrize(
    ("gain", "error", "says"),
    [
        (0.004, 0.012, "changed ridge_loo by +0.004 ± 0.012: no measurable gain."),
        (0.04, 0.012, "changed ridge_loo by +0.040 ± 0.012: a gain beyond noise."),
        (-0.04, 0.012, "changed ridge_loo by -0.040 ± 0.012: a loss beyond noise."),
        (None, None, "is unknown, since align=none was not ranked beside it."),
    ],
)
def test_a_closed_distance_stands_beside_the_score(
    ranking: Ranking, make: SimpleNamespace, gain: float | None, error: float | None, says: str
) -> None:
    found = Alignment(make.sources[0], "mmd", "mmd", 0.41, 0.08, gain, error)
    (said,) = notes(ranking, alignments=(found,))
    assert "mmd closed the distance (mmd) from 0.410 to 0.080" in said
    assert said.endswith(says)


def test_choosing_is_said_to_overestimate(ranking: Ranking, make: SimpleNamespace) -> None:
    selection = Selection(make.sources[0], 36, ("blocks.2",), {}, 0.0114)
    said = plain(" ".join(decide(replace(ranking, selections=(selection,))).details))
    assert "the best of 36 candidates, chosen and scored on the same samples; that makes its value too high by about "\
        "0.011" in said  # fmt: skip
    assert "unknown amount" in chosen_of_many(replace(selection, optimism=None))


@pytest.fixture
def alarmed(ranking: Ranking, make: SimpleNamespace) -> Ranking:
    """The leader is above its twin, the second is not beyond noise."""
    first, second, third = make.sources
    return replace(
        ranking,
        twins=(
            TwinGap(first, f"{first}?weights=random", 0.34, 0.03, True),
            TwinGap(second, f"{second}?weights=random", 0.004, 0.012, False),
            TwinGap(third, f"{third}?weights=random", 0.14, None, None),
        ),
    )


def test_a_source_no_better_than_its_twin_is_marked_everywhere(
    alarmed: Ranking, make: SimpleNamespace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second, third = make.sources
    said = plain(alarm(alarmed))
    assert "by more than 1.645 standard errors of the paired difference" in said
    assert said.endswith(f": {second} (+0.004 ± 0.012).")
    verdict = decide(alarmed)
    assert alarm(alarmed) in verdict.details
    tags = {row.cells[0]: row.tags for _, rows in ranking_table(alarmed, verdict).bodies for row in rows}
    assert tags[first] == ("best",)
    assert tags[second] == ("tied", "no better than its twin")
    assert "no better than its twin" not in tags[third]
    print_result(alarmed)
    printed = capsys.readouterr().out
    assert next(line for line in printed.splitlines() if f"2   {second}" in line).split()[2:4] == ["tied", "!"]
    assert "Negative-transfer alarm (!)" in printed
    html = ts.report(alarmed, out=tmp_path / "r.html").read_text()
    assert html.count('<span class="tag">no better than its twin</span>') == 1
    assert "negative-transfer alarm, no better than its twin" in html


def test_the_paired_twin_decides_the_verdict(alarmed: Ranking, make: SimpleNamespace) -> None:
    """By their own errors the leader is far above its twin; the same samples say that it is not."""
    first = make.sources[0]
    gap = TwinGap(first, f"{first}?weights=random", 0.01, 0.02, False)
    verdict = decide(replace(alarmed, twins=(gap,)))
    assert verdict.adds is False
    assert any("It does not beat its random-weights twin" in text for text in verdict.details)


def with_choices(ranking: Ranking, source: str) -> Ranking:
    """Every layer of `source` by a second adapter and pooling too, a little lower."""
    more = [
        replace(
            c, choices=("waveform->image?channels=deltas",), pooling="last", is_best_layer=False,
            scores={n: replace(s, value=None if s.value is None else s.value - 0.05) for n, s in c.scores.items()},
        )
        for c in ranking.candidates
        if c.source == source
    ]  # fmt: skip
    return replace(ranking, candidates=(*ranking.candidates, *more))


def test_choices_are_shown_where_there_are_any(ranking: Ranking, make: SimpleNamespace) -> None:
    first, second, _ = make.sources
    columns = [column.title for column in layer_table(ranking).columns]
    assert "Choices" not in columns
    both = with_choices(ranking, first)
    table = layer_table(both)
    place = [column.title for column in table.columns].index("Choices")
    rows = dict(table.bodies)
    assert {row.cells[place] for row in rows[first]} == {"mean, default adapter", "last, channels=deltas"}
    assert {row.cells[place] for row in rows[second]} == {"mean"}
    best = next(c for c in both.best() if c.source == first)
    assert [c.layer for c in curve(both, best)] == [f"blocks.{k}" for k in range(4)]
    assert all(c.choices == () for c in curve(both, best))


def long_ranking(make: SimpleNamespace, n_layers: int) -> Ranking:
    values = [(0.5 + 0.3 * k / n_layers - 0.3 * (k / n_layers) ** 4, 0.02) for k in range(n_layers)]
    return make.ranking([make.entrant("hf:deep", values, (0.4, 0.02))])


@pytest.mark.parametrize("n_layers", [12, 50])
def test_layer_curves_show_values_twin_and_ties(make: SimpleNamespace, n_layers: int) -> None:
    ranking = with_choices(long_ranking(make, n_layers), "hf:deep")
    best = next(c for c in ranking.best() if not c.control)
    place = int(best.layer.removeprefix("blocks."))
    tied = tuple(f"blocks.{k}" for k in range(place - 1, place + 2))
    plot = curve_plot(replace(ranking, selections=(Selection("hf:deep", 9, tied, {}, None),)), best, "c")
    assert plot is not None
    assert f"Best at layer {place} (blocks.{place}) with mean, default adapter" in plot.caption
    assert "2 other layers within noise" in plot.caption
    for label in ("mean, default adapter", "last, channels=deltas", "random twin, mean"):
        assert label in plot.svg
    assert (">11</text>" in plot.svg) == (n_layers == 12)  # every layer has its number, or every few


def test_only_the_best_sources_get_curves(large_ranking: Ranking, tmp_path: Path) -> None:
    assert sum(detail.curve is not None for detail in details(large_ranking, "c")) == MOST_CURVES
    assert ts.report(large_ranking, out=tmp_path / "r.html").stat().st_size <= LARGEST


def test_what_a_path_lost_is_warned_of(ranking: Ranking, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    warned = (Loss("tokens dropped", 0.4, "40 % of tokens were cut: split the texts."),)
    check = Check("lost: tokens dropped", "caution", "40 % of tokens were cut: split the texts.")
    lossy = replace(ranking, candidates=tuple(replace(c, losses=warned) for c in ranking.candidates), checks=(check,))
    print_result(lossy)
    assert capsys.readouterr().out.count("40 % of tokens were cut: split the texts.") == 1
    assert "40 % of tokens were cut" in ts.report(lossy, out=tmp_path / "r.html").read_text()


@pytest.mark.slow
@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("n_layers", [12, 50])
def test_curves_in_a_browser(
    open_page: Callable[..., Any], make: SimpleNamespace, tmp_path: Path, width: int, n_layers: int
) -> None:
    """No tick label on another, none outside its picture."""
    ranking = with_choices(long_ranking(make, n_layers), "hf:deep")
    tab = open_page(ts.report(ranking, out=tmp_path / "r.html"), width=width)
    assert tab.evaluate("document.documentElement.scrollWidth") == width
    overlaps = tab.evaluate(
        """[...document.querySelectorAll('figure svg')].flatMap(svg => {
             const boxes = [...svg.querySelectorAll('text')].map(t => [t, t.getBoundingClientRect()]);
             const whole = svg.getBoundingClientRect();
             const outside = boxes.filter(([, a]) => a.left < whole.left - 1 || a.right > whole.right + 1);
             const over = boxes.filter(([t, a], i) => boxes.some(([u, b], j) => i < j &&
               Math.min(a.right, b.right) - Math.max(a.left, b.left) > 1 &&
               Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top) > 4));
             return [...outside, ...over].map(([t]) => t.textContent);
           })"""
    )
    assert overlaps == []
