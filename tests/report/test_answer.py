"""The first screen answers what to use, how, how sure, at what cost, and what would make it surer."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from transferscope.report import report
from transferscope.report.answer import Answer, answer
from transferscope.report.ranked import FEW_ROWS, ranking_table
from transferscope.report.study import gather
from transferscope.report.verdict import decide
from transferscope.results import Ranking, Truth, load_result
from transferscope.trust import Check, Standing

DEMO = Path(__file__).resolve().parents[2] / "reports" / "demo"


def said(*results: object) -> tuple[Answer, dict[str, str]]:
    [study], _ = gather(results)  # type: ignore[arg-type]
    found = answer(study, decide(study.ranking, study.confirmed, study.controls))
    return found, {q: " ".join(texts).replace("\u00a0", " ") for q, texts in found.rows}


def judged(ranking: Ranking, sources: tuple[str, ...]) -> Ranking:
    standings = tuple(
        Standing(source, 1.0 - k, 0.1, (1, 2) if k < 2 else (3, 3), (0.6, 0.35, 0.05)[k], k < 2, 0.01)
        for k, source in enumerate(sources)
    )
    return replace(ranking, standings=standings, ordered_by="consensus")


def test_without_training_the_ranking_says_how(ranking: Ranking, make: SimpleNamespace) -> None:
    first, second, _ = make.sources
    _, rows = said(judged(ranking, make.sources))
    assert rows["Use"] == f"{first}."
    assert rows["Transfer it by"].startswith("A linear probe on layer blocks.2")
    assert "Cut the network there" in rows["Transfer it by"]
    assert rows["Transfer it by"].endswith("No training has confirmed this yet.")
    assert f"with 90 % probability the best is one of {first} (60 %) and {second} (35 %)" in rows["How sure"]
    assert rows["Cost"] == "11.7 M parameters; licence Apache-2.0."
    assert "transferscope confirm RANKING --top 2" in rows["To be surer"]


def test_training_has_the_last_word(ranking: Ranking, truth: Truth, make: SimpleNamespace) -> None:
    first, second, third = make.sources
    _, rows = said(ranking, truth)
    assert rows["Transfer it by"].startswith("Full fine-tuning, the new head at layer blocks.3, learning rate 0.001.")
    assert "Measured 93.0 % test accuracy (± 2.6 points on 100 test samples)." in rows["Transfer it by"]
    other = make.truth(make.confirmed(second, "lora", 0.95), make.confirmed(third, "lora", 0.5))
    _, rows = said(ranking, other)
    assert rows["Use"].startswith(f"{second}. Training measured it best; the ranking had put {first} first, which was")


def test_a_first_look_and_a_collapsed_run_decide_only_where_there_is_nothing_else(make: SimpleNamespace) -> None:
    quick = replace(make.confirmed("a", "full", 0.99), quick=True)
    _, rows = said(make.truth(quick, make.confirmed("b", "full", 0.9)))
    assert rows["Use"] == "b."
    _, rows = said(make.truth(quick))
    assert "a quick first look" in rows["Transfer it by"]


def test_vetoes_come_before_every_number(ranking: Ranking, make: SimpleNamespace, tmp_path: Path) -> None:
    wrong = replace(ranking, checks=(Check("duplicates across classes", "veto", "The same picture has two classes."),))
    found, rows = said(wrong)
    assert found.vetoes == ("The same picture has two classes.",)
    assert rows["Use"].startswith(
        "Nothing yet: mend the above and rank again. As it stands the first is timm:resnet18"
    )
    html = report(wrong, tmp_path / "r.html").read_text()
    assert html.index("The same picture has two classes.") < html.index("Nothing yet: mend") < html.index("±")


def test_nothing_to_say_is_not_said(make: SimpleNamespace) -> None:
    assert said(make.ranking([]))[0].rows == ()


def test_bands_of_the_ranking(ranking: Ranking, make: SimpleNamespace) -> None:
    marked = judged(ranking, make.sources)
    bands = dict(ranking_table(marked, decide(marked)).bodies)
    best = bands["Best set: the best is one of these with 90\u00a0% probability"]
    assert [row.cells[0] for row in best] == list(make.sources[:2])
    assert "raw:image" in {row.cells[0] for row in bands["Behind"] if row.is_control}


def test_what_a_race_dropped_has_a_band_of_its_own(ranking: Ranking, make: SimpleNamespace) -> None:
    fallen = make.sources[2]
    candidates = tuple(replace(c, dropped=c.source == fallen) for c in ranking.candidates)
    raced = replace(ranking, candidates=candidates)
    bands = dict(ranking_table(raced, decide(raced)).bodies)
    [row] = bands["Dropped by the race: scored on fewer samples"]
    assert (row.cells[0], row.place, row.tags) == (fallen, None, ("dropped",))


def test_of_too_many_rows_the_best_set_stays(large_ranking: Ranking) -> None:
    verdict = decide(large_ranking)
    short, whole = ranking_table(large_ranking, verdict, FEW_ROWS), ranking_table(large_ranking, verdict)
    shown, every = (sum(len(rows) for _, rows in table.bodies) for table in (short, whole))
    assert (shown, every) == (FEW_ROWS, len(large_ranking.best()))
    assert short.caption.endswith("41 more rows in the saved results")


@pytest.mark.parametrize("name", ["digits", "swahili", "amharic", "instruments"])
def test_the_demo_has_every_answer(name: str) -> None:
    results = [load_result(path) for path in sorted(DEMO.glob(f"{name}-*.json"))]
    _, rows = said(*results)
    assert {"Use", "Transfer it by", "How sure", "Cost", "To be surer"} == set(rows)
