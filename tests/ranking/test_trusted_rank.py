"""A whole ranking: consensus and standings, controls, race, budget, constraints, costs, history."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import transferscope as ts
from transferscope.errors import SourceError
from transferscope.history.store import Store
from transferscope.ranking.constraints import Constraints
from transferscope.ranking.dry_run import plan
from transferscope.report.verdict import decide
from transferscope.results import Ranking, load_result

EDGES, DEEP = "python:tiny_models:edges", "python:tiny_models:deep"


@pytest.fixture
def many_pictures(tmp_path: Path) -> Path:
    """Two easy classes of 150: enough for a race."""
    rng = np.random.default_rng(0)
    for kind in range(2):
        folder = tmp_path / "many" / str(kind)
        folder.mkdir(parents=True)
        for number in range(150):
            pixels = rng.integers(0, 120, (16, 16, 3)).astype(np.uint8)
            pixels[: 8 if kind else 16, 8 * kind :] += 100
            Image.fromarray(pixels).save(folder / f"{number}.png")
    return tmp_path / "many"


@pytest.fixture
def pool(tiny_models: str, tmp_path: Path) -> list[str]:
    """Fourteen sources: most of them see next to nothing."""
    (tmp_path / "pool.py").write_text(
        """
import torch
from transferscope.sources import ImageInput

SPEC = ImageInput((16, 16), (0.5,) * 3, (0.5,) * 3, "bilinear")

def build(number):
    net = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 4, stride=4), torch.nn.Flatten(), torch.nn.Linear(64, 6))
    with torch.random.fork_rng():
        torch.manual_seed(number)
        for parameter in net.parameters():
            torch.nn.init.normal_(parameter, std=0.4)
        if number >= 3:  # sees the corner that is bright in both classes
            seen = torch.zeros(4, 4, 4)
            seen[:, :2, 2:] = 1
            net[2].weight.data *= seen.flatten()
    return net, SPEC
"""
        + "".join(f"\ndef s{number}():\n    return build({number})\n" for number in range(14))
    )
    return [f"python:pool:s{number}" for number in range(14)]


def test_the_default_order_is_a_consensus_that_says_what_it_is_made_of(picture_folder: Path, tiny_models: str) -> None:
    ranking = ts.rank(f"imagefolder:{picture_folder}", [EDGES, DEEP])
    assert (ranking.ordered_by, ranking.rank_by) == ("consensus", "ridge_loo")
    assert ranking.fusion is not None
    assert sum(ranking.fusion.weights.values()) == pytest.approx(1.0)
    assert not set(ranking.fusion.weights) & set(ranking.fusion.left_out)
    assert ranking.fusion.n_targets == 0
    assert [one.source for one in ranking.standings] == [c.source for c in ranking.best() if not c.control]
    assert sum(one.p_best for one in ranking.standings) == pytest.approx(1.0)
    assert {control.name for control in ranking.controls} >= {"n_parameters", "flops", "raw", "twin"}
    assert {cost.source for cost in ranking.costs} == {EDGES, DEEP}
    assert all(cost.latency and cost.throughput and cost.tuning_bytes for cost in ranking.costs)
    assert ranking.pareto
    assert decide(ranking).leader is not None


def test_a_named_scorer_orders_alone(picture_folder: Path, tiny_models: str) -> None:
    ranking = ts.rank(f"imagefolder:{picture_folder}", [EDGES, DEEP], rank_by="knn")
    assert (ranking.ordered_by, ranking.rank_by, ranking.fusion) == ("knn", "knn", None)
    values = [one.value for one in ranking.standings]
    assert values == sorted(values, reverse=True)


def test_a_race_drops_blind_sources_and_says_so(many_pictures: Path, pool: list[str], tmp_path: Path) -> None:
    target = f"imagefolder:{many_pictures}"
    raced = ts.rank(target, pool, race=True, costs=False, layers="last")
    full = ts.rank(target, pool, race=False, costs=False, layers="last")
    assert raced.race is not None
    out = {one.source for one in raced.race.dropped}
    assert len(out) >= 7
    assert raced.race.passes <= raced.race.full_passes / 2
    assert full.standings[0].source in {one.source for one in raced.standings}
    assert {c.source for c in raced.candidates if c.dropped} == out
    assert not any(f"{source}?weights=random" in {c.source for c in raced.candidates} for source in out)
    assert all(c.dropped for c in raced.best()[-len(out) :])
    for source in {one.source for one in raced.standings}:  # to the end, and as without a race
        first, second = (next(c for c in r.best() if c.source == source) for r in (raced, full))
        assert first.scores["ridge_loo"].value == second.scores["ridge_loo"].value
    assert load_result(raced.to_json(tmp_path / "r.json")) == raced
    assert "forward passes were saved" in " ".join(decide(raced).details)


def test_a_race_reuses_what_it_computed(many_pictures: Path, pool: list[str]) -> None:
    target = f"imagefolder:{many_pictures}"
    ts.rank(target, pool[:8], race=True, costs=False, twins=False)
    planned = {one.source: one for one in plan(target, pool[:3], twins=False)}
    assert all(planned[source].cached == planned[source].passes == 180 for source in pool[:3])


def test_a_spent_budget_ranks_what_it_has_and_goes_on_later(many_pictures: Path, pool: list[str]) -> None:
    target = f"imagefolder:{many_pictures}"
    first = ts.rank(target, pool[:4], budget="300 samples", twins=False, costs=False)
    n_rows = {c.scores["ridge_loo"].n_samples for c in first.best()}
    assert len(n_rows) == 1
    assert max(n_rows) < 180
    assert any("The budget was spent after" in text for text in first.warnings)
    again = [ts.rank(target, pool[:4], budget="300 samples", twins=False, costs=False) for _ in range(3)][-1]
    assert {c.scores["ridge_loo"].n_samples for c in again.best()} == {180}


def test_a_budget_too_small_for_all_leaves_the_rest_out(many_pictures: Path, pool: list[str]) -> None:
    ranking = ts.rank(f"imagefolder:{many_pictures}", pool[:4], budget="1 sample", twins=False, costs=False)
    assert [one.source for one in ranking.standings] == [pool[0]]
    assert {one.source for one in ranking.excluded} == set(pool[1:4])
    assert all("budget" in one.reason for one in ranking.excluded)


def test_constraints_leave_sources_out_with_the_reason(picture_folder: Path, tiny_models: str) -> None:
    target = f"imagefolder:{picture_folder}"
    small = ts.rank(target, [EDGES, DEEP], constraints=Constraints(max_params=1000), twins=False)
    assert [one.source for one in small.standings] == [EDGES]
    [left] = small.excluded
    assert left.source == DEEP
    assert "at most 1,000" in left.reason
    with pytest.raises(SourceError, match="states no licence"):
        ts.rank(target, [EDGES], constraints=Constraints(licenses=("mit",)))


def test_the_history_is_written_read_and_left_alone_when_asked(
    picture_folder: Path, tiny_models: str, tmp_path: Path
) -> None:
    target, where = f"imagefolder:{picture_folder}", tmp_path / "h.db"
    ts.rank(target, [EDGES, DEEP], store=False)
    assert not where.exists()
    published = tmp_path / "published.csv"
    rng = np.random.default_rng(0)
    lines = [
        f"t{t},{s},{0.6 + 0.1 * (s == DEEP) + 0.01 * rng.random()}" for t in range(12) for s in (EDGES, DEEP, "other")
    ]
    published.write_text("target,source,accuracy\n" + "\n".join(lines) + "\n")
    from transferscope.evaluate.read import read_table

    store = Store.open(where)
    store.import_table(read_table(published), "published.csv")
    ranking = ts.rank(target, [EDGES, DEEP], store=where)
    history = next(control for control in ranking.controls if control.name == "history")
    assert history.first == DEEP
    assert ranking.fusion is not None
    assert ranking.fusion.weights["history"] > 0
    assert {row["source"] for row in store.scores()} >= {EDGES, DEEP}
    truth = ts.confirm(ranking, strategy="linear_probe", store=where)
    assert {row["source"] for row in store.rows(target=ranking.target.name)} == {row.source for row in truth.confirmed}


def test_known_accuracies_of_the_sources_are_a_control(picture_folder: Path, tiny_models: str) -> None:
    ranking = ts.rank(
        f"imagefolder:{picture_folder}", [EDGES, DEEP], twins=False, source_accuracy={EDGES: 0.9, DEEP: 0.2}
    )
    control = next(one for one in ranking.controls if one.name == "source_accuracy")
    assert control.first == EDGES
    assert control.tau in (-1.0, 1.0)
    leader = ranking.standings[0].source
    gain = {c.source: c.scores["ridge_loo"].value or 0.0 for c in ranking.best()}
    assert control.lift == pytest.approx(gain[leader] - gain[EDGES])


def test_the_same_seed_gives_the_same_judgement(picture_folder: Path, tiny_models: str) -> None:
    first, second = (ts.rank(f"imagefolder:{picture_folder}", [EDGES, DEEP], store=False) for _ in range(2))
    assert first.standings == second.standings
    assert first.controls == second.controls
    assert first.fusion == second.fusion
    assert [cost.latency for cost in first.costs] == [cost.latency for cost in second.costs]  # measured once


def test_a_dry_run_computes_nothing_and_knows_what_is_there(picture_folder: Path, tiny_models: str) -> None:
    target = f"imagefolder:{picture_folder}"
    before = {one.source: one for one in plan(target, [EDGES, "python:tiny_models:broken"])}
    assert (before[EDGES].passes, before[EDGES].cached) == (18, 0)
    assert before[EDGES].seconds is not None
    assert before[f"{EDGES}?weights=random"].passes == 18
    assert "another machine" in before["python:tiny_models:broken"].note
    ranking: Ranking = ts.rank(target, [EDGES])
    assert ranking.standings
    after = {one.source: one for one in plan(target, [EDGES])}
    assert after[EDGES].cached == 18


@pytest.mark.parametrize("scorer", ["lfc", "transrate"])
def test_a_scorer_that_would_have_no_say_orders_where_it_is_the_only_one(
    scorer: str, picture_folder: Path, tiny_models: str
) -> None:
    """Its values are not comparable across these widths, and that is all there is."""
    ranking = ts.rank(f"imagefolder:{picture_folder}", [EDGES, DEEP], scorers=[scorer], layers="last", store=False)
    assert ranking.fusion is not None
    assert ranking.fusion.weights == {scorer: 1.0}
    values = [c.scores[scorer].value for c in ranking.best()]
    assert values == sorted(values, reverse=True)


def test_an_accuracy_of_a_source_that_is_not_ranked_is_refused(picture_folder: Path, tiny_models: str) -> None:
    with pytest.raises(SourceError, match="source_accuracy names python:tiny_models:deep; ranked are"):
        ts.rank(f"imagefolder:{picture_folder}", [EDGES], source_accuracy={DEEP: 0.4})


def test_a_dry_run_takes_named_layers_that_the_raw_input_lacks(picture_folder: Path, tiny_models: str) -> None:
    found = {one.source: one for one in plan(f"imagefolder:{picture_folder}", [DEEP], layers=["0"], twins=False)}
    assert not any(one.note for one in found.values())
    assert found["raw:image"].passes == found[DEEP].passes == 18


def test_the_time_of_training_both_is_that_of_a_whole_confirmation() -> None:
    from transferscope.confirm import Recipe
    from transferscope.ranking.separate import EPOCHS

    recipe = Recipe()
    assert (len(recipe.learning_rates) + recipe.n_seeds - 1) * recipe.epochs == EPOCHS
