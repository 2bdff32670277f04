"""Examples are kept with a ranking, never stand in its way, and stay out where that is asked."""

from __future__ import annotations

from pathlib import Path

import pytest

import transferscope as ts
from transferscope.adapters.image_to_image import FitImage
from transferscope.ranking import examples as module
from transferscope.results import Ranking, load_result
from transferscope.targets import load_target, split_target


def rank(folder: Path, *names: str, **options: object) -> Ranking:
    sources = [f"python:tiny_models:{name}" for name in names]
    return ts.rank(f"imagefolder:{folder}", sources, **{"store": False, "costs": False} | options)


def test_three_training_samples_of_different_classes(picture_folder: Path, tiny_models: str, tmp_path: Path) -> None:
    ranking = rank(picture_folder, "edges", "deep")
    kept = ranking.examples
    assert kept is not None
    target = load_target(f"imagefolder:{picture_folder}")
    assert {one.row for one in kept.examples} <= set(split_target(target, seed=0).train.tolist())
    assert all(target.tell(one.row) == one.label for one in kept.examples)
    assert len({one.label for one in kept.examples}) == 3
    assert {one.look.size for one in kept.examples} == {"24 × 24 pixels"}
    [seen] = kept.seen  # both are given the same; their twins and the raw input are not told of
    assert set(seen.sources) == {"python:tiny_models:edges", "python:tiny_models:deep"}
    assert [look.size for look in seen.looks] == ["16 × 16 pixels"] * 3
    assert load_result(ranking.to_json(tmp_path / "r.json")) == ranking
    assert rank(picture_folder, "edges", "deep").examples == kept
    assert rank(picture_folder, "edges", "deep", seed=1).examples != kept


def test_they_stay_out_of_the_result_where_that_is_asked(
    picture_folder: Path, tiny_models: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "look_of", None)  # nothing is looked at either
    assert rank(picture_folder, "edges", examples=False).examples is None


def test_what_cannot_be_shown_is_listed_with_the_reason_and_ranked(
    picture_folder: Path, tiny_models: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*given: object) -> None:
        raise MemoryError("the screen is full")

    monkeypatch.setattr(FitImage, "show", fail)
    ranking = rank(picture_folder, "edges")
    assert ranking.failures == ()
    assert ranking.best()[0].scores["ridge_loo"].value is not None
    assert ranking.examples is not None
    [seen] = ranking.examples.seen
    assert (seen.looks, seen.reason) == ((), "MemoryError: the screen is full")
    monkeypatch.setattr(module, "look_of", fail)  # not even as it is
    kept = rank(picture_folder, "edges").examples
    assert kept is not None
    assert (kept.examples, kept.seen[0].reason) == ((), "MemoryError: the screen is full")


def test_inputs_beyond_the_most_are_counted(
    picture_folder: Path, tiny_models: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (tmp_path / "tiny_models.py").read_text()
    more = "\n\ndef other():\n    return edges()[0], ImageInput((16, 16), (0.5,) * 3, (0.5,) * 3, 'nearest')\n"
    (tmp_path / "tiny_models.py").write_text(text + more)
    monkeypatch.setattr(module, "MOST_SEEN", 1)
    ranking = rank(picture_folder, "edges", "other")
    assert ranking.examples is not None
    assert len(ranking.examples.seen) == ranking.examples.n_more == 1
    assert ranking.examples.seen[0].sources == (ranking.standings[0].source,)


def test_sources_that_race_are_shown_too(picture_folder: Path, tiny_models: str) -> None:
    ranking = rank(picture_folder, "edges", "deep", race=True)
    assert ranking.examples is not None
    shown = {source for seen in ranking.examples.seen for source in seen.sources}
    assert shown >= {c.source for c in ranking.best() if not c.control and not c.dropped}
