"""Ranking tiny real networks on small pictures, from the spec to the record."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import transferscope as ts
from transferscope.errors import CorruptSampleError, SourceError, TransferScopeError, UnknownNameError
from transferscope.ranking.candidates import sort_key
from transferscope.ranking.rank import twin_of
from transferscope.results import Ranking, load_result


def rank(folder: Path, *sources: str, **options: object) -> Ranking:
    return ts.rank(f"imagefolder:{folder}", [f"python:tiny_models:{name}" for name in sources], **options)


def test_every_source_has_its_twin_and_the_raw_input_beside_it(picture_folder: Path, tiny_models: str) -> None:
    ranking = rank(picture_folder, "edges", "deep")
    controls = {c.source: c.control for c in ranking.best()}
    assert controls == {
        "python:tiny_models:edges": None,
        "python:tiny_models:deep": None,
        "python:tiny_models:edges?weights=random": "random",
        "python:tiny_models:deep?weights=random": "random",
        "raw:image": "raw",
    }
    twin = ranking.card("python:tiny_models:deep?weights=random")
    assert twin is not None
    assert twin.is_random
    assert twin.twin_of == "python:tiny_models:deep"


def test_candidates_are_layers_with_scores_paths_and_costs(picture_folder: Path, tiny_models: str) -> None:
    ranking = rank(picture_folder, "deep", twins=False)
    deep = [c for c in ranking.candidates if c.source == "python:tiny_models:deep"]
    assert {c.layer for c in deep} == set(ranking.card("python:tiny_models:deep").layers)
    assert sum(c.is_best_layer for c in deep) == 1
    for candidate in deep:
        assert [step.converter for step in candidate.path] == ["image->image"]
        assert candidate.edits["samples"] == ranking.split.n_train == 18
        assert set(candidate.scores) == {"ridge_loo", "logme", "h_score", "knn"}
        assert candidate.seconds > 0
        for found in candidate.scores.values():
            assert found.n_samples == 18
    assert ranking.card("python:tiny_models:deep").flops > 0


def test_order_is_by_the_named_scorer(picture_folder: Path, tiny_models: str) -> None:
    for scorer in ("knn", "logme"):
        ranking = rank(picture_folder, "edges", "deep", rank_by=scorer)
        values = [c.scores[scorer].value for c in ranking.candidates]
        assert values == sorted(values, reverse=True)
        assert ranking.rank_by == scorer


def test_two_names_of_one_model_get_the_same_scores(picture_folder: Path, tiny_models: str, tmp_path: Path) -> None:
    (tmp_path / "copied.py").write_text("from tiny_models import deep\n")
    sources = ["python:tiny_models:deep", "python:copied:deep"]
    ranking = ts.rank(f"imagefolder:{picture_folder}", sources, twins=False)
    first, second = ({c.layer: c for c in ranking.candidates if c.source == name} for name in sources)
    for layer, candidate in first.items():
        for name, found in candidate.scores.items():
            assert found.value == second[layer].scores[name].value


def test_same_seed_same_ranking_and_json_round_trip(picture_folder: Path, tiny_models: str, tmp_path: Path) -> None:
    first, second = (rank(picture_folder, "edges", seed=5) for _ in range(2))
    values = [[(c.source, c.layer, s.value) for c in r.candidates for s in c.scores.values()] for r in (first, second)]
    assert values[0] == values[1]
    assert load_result(first.to_json(tmp_path / "ranking.json")) == first
    frame = first.to_pandas()
    assert len(frame) == len(first.candidates)
    assert frame["ridge_loo"].tolist() == [c.scores["ridge_loo"].value for c in first.candidates]


def test_scoring_sees_training_rows_only(picture_folder: Path, tiny_models: str) -> None:
    split = rank(picture_folder, "edges").split
    assert (split.n_train, split.n_validation, split.n_test) == (18, 6, 6)


def test_cka_between_sources_is_symmetric_with_ones(picture_folder: Path, tiny_models: str) -> None:
    (found,) = rank(picture_folder, "edges", "deep").similarity
    assert found.sources == ("python:tiny_models:edges", "python:tiny_models:deep")
    values = np.array(found.values, dtype=float)
    np.testing.assert_allclose(np.diag(values), 1)
    np.testing.assert_allclose(values, values.T)


def test_layers_and_sources_are_beside_each_other_without_another_pass(
    picture_folder: Path, tiny_models: str, tmp_path: Path
) -> None:
    ranking = rank(picture_folder, "edges", "deep")
    first, second = (standing.source for standing in ranking.standings)
    assert [found.sources for found in ranking.layer_similarity] == [(first, first), (first, second)]
    for found, other in zip(ranking.layer_similarity, (first, second), strict=True):
        assert found.n_samples == ranking.split.n_train
        assert (found.first_layers, found.second_layers) == (ranking.card(first).layers, ranking.card(other).layers)
    assert ranking.source_map is not None
    assert ranking.source_map.sources == ("python:tiny_models:edges", "python:tiny_models:deep")
    assert load_result(ranking.to_json(tmp_path / "r.json")) == ranking


def test_distance_of_source_data_is_zero_like_for_the_target_itself(picture_folder: Path, tiny_models: str) -> None:
    name, data = "python:tiny_models:edges", f"imagefolder:{picture_folder}"
    (found,) = rank(picture_folder, "edges", source_data={name: data}).discrepancy
    assert (found.source, found.source_data) == (name, data)
    assert found.p_value > 0.2  # the same pictures


def test_one_failing_source_does_not_lose_the_ranking(picture_folder: Path, tiny_models: str) -> None:
    ranking = rank(picture_folder, "broken", "edges", twins=False)
    assert [c.source for c in ranking.best() if c.control is None] == ["python:tiny_models:edges"]
    (failure,) = ranking.failures
    assert failure.source == "python:tiny_models:broken"
    assert "these weights are for another machine" in failure.reason


def test_all_sources_failing_is_an_error_that_lists_them(picture_folder: Path, tiny_models: str) -> None:
    with pytest.raises(SourceError, match="no source could be ranked.*\n.*broken.*another machine"):
        rank(picture_folder, "broken", "broken2")


def test_corrupt_picture_is_skipped_and_counted_or_refused(picture_folder: Path, tiny_models: str) -> None:
    for path in sorted((picture_folder / "top").iterdir())[:4]:
        path.write_bytes(path.read_bytes()[:60])
    ranking = rank(picture_folder, "edges")
    assert 1 <= len(ranking.skipped) <= 4
    assert "unreadable" in ranking.warnings[0]
    with pytest.raises(CorruptSampleError, match=r"top.*cannot be read"):
        rank(picture_folder, "edges", strict=True)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"scorers": ["logmee"]}, "no scorer named 'logmee'. Did you mean 'logme'"),
        ({"scorers": ["logme"], "rank_by": "knn"}, "is not among the scorers asked for: logme"),
        ({"layers": ["nowhere"]}, "no layer of python:tiny_models:edges named 'nowhere'"),
        ({"pooling": "max"}, "no pooling named 'max'"),
    ],
)
def test_mistyped_names_are_refused(picture_folder: Path, tiny_models: str, options: dict, says: str) -> None:
    with pytest.raises(TransferScopeError, match=says):
        rank(picture_folder, "edges", **options)


def test_unknown_scheme_is_refused_before_any_work(picture_folder: Path) -> None:
    with pytest.raises(UnknownNameError, match="no source loader named 'tim'. Did you mean 'timm'"):
        ts.rank(f"imagefolder:{picture_folder}", ["tim:resnet18"])
    with pytest.raises(SourceError, match="expected a list"):
        ts.rank(f"imagefolder:{picture_folder}", [])


def test_twin_spec_keeps_options() -> None:
    assert twin_of("timm:x") == "timm:x?weights=random"
    assert twin_of("timm:x?size=64") == "timm:x?size=64&weights=random"


def test_numbers_are_scored_alike_in_any_unit_and_from_any_zero(tiny_models: str) -> None:
    rng = np.random.default_rng(0)
    heights = rng.uniform(0, 1, 40)
    pictures = [np.full((16, 16, 3), 255 * height, np.uint8) for height in heights]
    found = []
    for values in (heights, 1.7e9 + heights, 1e-9 * heights):
        target = ts.targets.from_arrays(pictures, values, modality="image", task="regression")
        ranking = ts.rank(target, ["python:tiny_models:edges"], twins=False)
        found.append({c.layer: {name: s.value for name, s in c.scores.items()} for c in ranking.candidates})
    for other in found[1:]:
        for layer, scores in found[0].items():
            assert other[layer] == pytest.approx(scores, abs=1e-4)


def test_groups_and_small_classes_are_warned_of(picture_folder: Path, tiny_models: str) -> None:
    for path in sorted((picture_folder / "top").iterdir())[4:]:
        path.unlink()
    spec = f"imagefolder:{picture_folder}?group=([0-9]+).png"
    warnings = [one.text for one in ts.rank(spec, ["python:tiny_models:edges"], twins=False).checks]
    assert any(text.startswith("Samples come in groups") for text in warnings)
    assert any("training samples; every estimate is rough" in text for text in warnings)


def test_controls_have_no_twins(picture_folder: Path, tiny_models: str) -> None:
    ranking = rank(picture_folder, "edges?weights=random")
    assert {c.source: c.control for c in ranking.best()} == {
        "python:tiny_models:edges?weights=random": "random", "raw:image": "raw"
    }  # fmt: skip
    assert not ts.rank(f"imagefolder:{picture_folder}", ["raw:image", "python:tiny_models:edges"]).failures


def test_failed_scores_come_last(picture_folder: Path, tiny_models: str) -> None:
    candidate = rank(picture_folder, "edges", twins=False).candidates[0]
    assert sort_key(candidate, "ridge_loo") < sort_key(candidate, "absent")
