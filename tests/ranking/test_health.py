"""Health checks: each fault raises its own, clean data none."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from transferscope.ranking.health import check_candidates, check_target
from transferscope.results import Candidate, Loss, Score
from transferscope.stamp import version_differences
from transferscope.targets import Target, load_target, split_target
from transferscope.targets.arrays import from_arrays
from transferscope.trust import Check

WORDS = ("river", "stone", "cloud", "field", "light", "bread", "winter", "paper", "glass", "horse")


def names(checks: tuple[Check, ...]) -> list[str]:
    return [check.name for check in checks]


def texts(rng: np.random.Generator, n: int) -> list[str]:
    return [" ".join(rng.choice(WORDS, 6)) + f" {rng.integers(1e6)}" for _ in range(n)]


def check(target: Target) -> tuple[Check, ...]:
    return check_target(target, split_target(target))


def of_texts(found: list[str], labels: list[Any]) -> Target:
    return from_arrays(found, labels, modality="text")


LABELS = [place % 3 for place in range(240)]


@pytest.mark.parametrize("seed", range(5))
def test_clean_texts_raise_nothing(seed: int) -> None:
    assert check(of_texts(texts(np.random.default_rng(seed), 240), LABELS)) == ()


@pytest.mark.parametrize("seed", range(3))
def test_clean_pictures_of_many_sizes_raise_nothing(seed: int) -> None:
    rng = np.random.default_rng(seed)
    pictures = [rng.integers(0, 255, (*rng.integers(8, 30, 2), 3), dtype=np.uint8) for _ in range(120)]
    assert check(from_arrays(pictures, LABELS[:120], modality="image")) == ()


def test_class_order_alone_is_no_fault() -> None:
    """Splits are shuffled: a file in class order loses nothing."""
    assert check(of_texts(texts(np.random.default_rng(0), 240), sorted(LABELS))) == ()


def test_an_id_that_runs_with_the_class_is_a_veto() -> None:
    rng = np.random.default_rng(1)
    found = [f"{place} {' '.join(rng.choice(WORDS, 6))}" for place in range(240)]
    [leak] = check(of_texts(found, sorted(LABELS)))
    assert (leak.name, leak.level) == ("leak by a number in the text", "veto")
    assert "tells the class of" in leak.text


def test_the_label_written_in_the_text_is_a_veto() -> None:
    rng = np.random.default_rng(2)
    kinds = ["apple", "pear", "plum"]
    found = [f"{text} category={kinds[label]}" for text, label in zip(texts(rng, 240), LABELS, strict=True)]
    [leak] = check(of_texts(found, LABELS))
    assert (leak.name, leak.level) == ("label in the text", "veto")
    assert "category=apple" in leak.text


def test_an_honest_word_of_each_class_is_a_caution() -> None:
    """A function word tells languages apart, and no mistake put it there."""
    rng = np.random.default_rng(2)
    articles = ["the", "der", "il"]
    found = [f"{articles[label]} {text}" for text, label in zip(texts(rng, 240), LABELS, strict=True)]
    [word] = check(of_texts(found, LABELS))
    assert (word.name, word.level) == ("a word tells the class", "caution")
    named = [f"{text} {'spam' if label else 'ham'}" for text, label in zip(texts(rng, 240), LABELS, strict=True)]
    [label] = check(of_texts(named, ["spam" if label else "ham" for label in LABELS]))
    assert (label.name, label.level) == ("label in the text", "veto")


def test_a_rare_class_does_not_hide_a_label_in_the_text() -> None:
    rng = np.random.default_rng(2)
    labels = [*LABELS[:240], 3, 3, 3, 3]
    found = [f"{text} category={label}" for text, label in zip(texts(rng, 244), labels, strict=True)]
    assert "label in the text" in names(check(of_texts(found, labels)))


def test_an_unreadable_file_does_not_hide_a_leak(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    for place in range(120):
        folder = tmp_path / "ab"[place % 2]
        folder.mkdir(exist_ok=True)
        size = (10, 20) if place % 2 else (24, 9)
        Image.fromarray(rng.integers(0, 255, (*size, 3), dtype=np.uint8)).save(folder / f"{place}.png")
    (tmp_path / "a" / "0.png").write_bytes(b"no picture")
    assert "leak by the width" in names(check(load_target(f"imagefolder:{tmp_path}")))


def test_what_the_way_in_lost_is_told_with_its_sources() -> None:
    loss = Loss("tokens dropped", 0.4, "40 % of tokens were cut: the source never sees the ends.")
    found = inspect(replace(made("a"), losses=(loss,)), replace(made("b", 0.7), losses=(loss,)), made("c", 0.6))
    assert [(one.name, one.sources) for one in found] == [("lost: tokens dropped", ("a", "b"))]


def test_a_size_that_tells_the_class_is_a_caution() -> None:
    rng = np.random.default_rng(3)
    sizes = [(10, 20), (16, 16), (24, 9)]
    pictures = [rng.integers(0, 255, (*sizes[label], 3), dtype=np.uint8) for label in LABELS[:120]]
    found = check(from_arrays(pictures, LABELS[:120], modality="image"))
    assert {one.level for one in found} == {"caution"}
    assert set(names(found)) <= {"leak by the width", "leak by the height", "leak by the shape"}
    assert found


def sized(widths: Any, labels: Any, task: str, columns: list[str]) -> tuple[Check, ...]:
    rng = np.random.default_rng(0)
    pictures = [rng.integers(0, 255, (16, width, 3), dtype=np.uint8) for width in widths]
    return check(from_arrays(pictures, labels, modality="image", task=task, columns=columns))  # type: ignore[arg-type]


@pytest.mark.parametrize("seed", range(3))
def test_a_size_that_tells_a_label_or_number_is_a_caution_and_chance_is_none(seed: int) -> None:
    rng = np.random.default_rng(seed)
    labels = np.stack([rng.random(400) < 0.5, rng.random(400) < 0.08, rng.random(400) < 0.9], axis=1).astype(int)
    assert sized(rng.integers(10, 20, 400), labels, "multilabel", ["even", "rare", "most"]) == ()
    told = sized(np.where(labels[:, 1], 15, rng.integers(10, 15, 400)), labels, "multilabel", ["even", "rare", "most"])
    assert {one.name for one in told} == {"leak by the width", "leak by the shape"}
    assert all("alone tells label 'rare' of 100 % of samples, with it and without on average" in t.text for t in told)
    widths, noise = rng.integers(10, 40, 120), rng.standard_normal(120)
    assert sized(widths, noise, "regression", ["weight"]) == ()
    told = sized(widths, 3.0 * widths + noise, "regression", ["weight"])
    assert "alone tells 9" in told[0].text
    assert "% of the variance of 'weight'" in told[0].text


def test_labels_that_few_have_or_lack_are_named() -> None:
    rng = np.random.default_rng(0)
    labels = np.stack([np.arange(100) % 2, np.arange(100) < 6, np.arange(100) >= 5], axis=1).astype(int)
    found = sized(rng.integers(10, 20, 100), labels, "multilabel", ["half", "few", "most"])
    assert [one.name for one in found] == ["few samples"]
    assert "'few' (" in found[0].text
    assert "'most' (" in found[0].text
    assert "half" not in found[0].text


def test_copies_across_splits_are_counted() -> None:
    rng = np.random.default_rng(4)
    found = texts(rng, 120) * 2
    [copies] = check(of_texts(found, LABELS[:120] * 2))
    assert (copies.name, copies.level) == ("copies across splits", "caution")


def test_the_same_sample_under_two_classes_is_a_veto_when_there_are_many() -> None:
    rng = np.random.default_rng(5)
    base = texts(rng, 120)
    many = {one.name: one for one in check(of_texts(base * 2, LABELS[:120] + [(v + 1) % 3 for v in LABELS[:120]]))}
    assert many["copies across classes"].level == "veto"
    few = texts(rng, 238)
    some = {one.name: one for one in check(of_texts([*few, few[0], few[1]], [*LABELS[:238], 1, 2]))}
    assert some["copies across classes"].level == "caution"


def test_small_and_uneven_classes_are_told() -> None:
    rng = np.random.default_rng(6)
    found = check(of_texts(texts(rng, 105), [0] * 100 + [1] * 5))
    assert {"few samples", "class imbalance"} <= set(names(found))
    assert "always naming the largest gives 0.9" in next(one.text for one in found if one.name == "class imbalance")


def made(source: str = "a", value: float | None = 0.8, width: int = 8, control: Any = None, **known: Any) -> Candidate:
    score = Score("ridge_loo", value, True, 100, width, 0.0, 0.02, **known)
    return Candidate(source, "last", (), {}, "mean", width, 1.0, {"ridge_loo": score}, True, control)


def inspect(*candidates: Candidate, matrices: Any = None, labels: Any = None, versions: Any = None) -> list[Check]:
    return list(check_candidates(candidates, matrices or {}, labels or {}, versions or {}, "ridge_loo"))


def test_sound_candidates_raise_nothing() -> None:
    rng = np.random.default_rng(0)
    matrices = {name: rng.standard_normal((300, 16)).astype(np.float32) for name in "ab"}
    labels = {name: np.arange(300) % 3 for name in "ab"}
    assert (
        inspect(made("a"), made("b", 0.7), made("raw:image", 0.5, control="raw"), matrices=matrices, labels=labels)
        == []
    )


def test_every_score_at_its_bound_is_a_veto() -> None:
    found = inspect(made("a", 1.0, saturated=True), made("b", 1.0, saturated=True))
    assert [(one.name, one.level) for one in found] == [("saturated scores", "veto")]
    assert inspect(made("a", 1.0, saturated=True), made("b", 0.9)) == []


def test_equal_scores_wide_features_and_a_better_raw_input_are_cautions() -> None:
    assert [one.name for one in inspect(made("a"), made("b"))] == ["equal scores"]
    [wide] = inspect(made("a", width=500), made("b", 0.7))
    assert (wide.name, wide.sources) == ("fewer samples than features", ("a",))
    [raw] = inspect(made("a", 0.5), made("b", 0.4), made("raw:image", 0.9, control="raw"))
    assert raw.name == "nothing above the raw input"


def test_layers_that_are_broken_or_constant_are_named() -> None:
    broken = inspect(made("a", None, error="values are not finite"), made("b"))
    assert [(one.name, one.sources) for one in broken] == [("layers that are not finite", ("a",))]
    flat = inspect(made("a", 0.3, warnings=("All rows of features are equal: there is nothing to score.",)), made("b"))
    assert [one.name for one in flat] == ["constant layers"]


@pytest.mark.parametrize("scale", [1e-4, 1.0, 1e4])
@pytest.mark.parametrize("seed", range(3))
def test_near_copies_across_classes_are_seen_at_any_scale(scale: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    matrix = (scale * (rng.standard_normal((600, 12)) + 3)).astype(np.float32)
    labels = np.arange(600) % 2
    assert inspect(made("a"), made("b", 0.7), matrices={"a": matrix}, labels={"a": labels}) == []
    matrix[1] = matrix[0]
    matrix[3] = matrix[2] * (1 + 1e-6)
    [near] = inspect(made("a"), made("b", 0.7), matrices={"a": matrix}, labels={"a": labels})
    assert near.name == "near-copies across classes"
    assert near.text.startswith("4 of 600")


def test_features_that_are_mostly_one_row_are_told() -> None:
    rng = np.random.default_rng(0)
    matrix = np.tile(rng.standard_normal(12), (240, 1)).astype(np.float32)
    matrix[:6] = rng.standard_normal((6, 12))
    [near] = inspect(made("a"), made("b", 0.7), matrices={"a": matrix}, labels={"a": np.arange(240) % 2})
    assert near.text.startswith("234 of 240")


def test_mixed_versions_are_told() -> None:
    versions = {"a": [{"torch": "2.11.0", "timm": "1.0"}, {"torch": "2.14.1", "timm": "1.0"}]}
    [mixed] = inspect(made("a"), made("b", 0.7), versions=versions)
    assert (mixed.name, mixed.sources) == ("mixed versions", ("a",))
    assert "torch 2.11.0 and 2.14.1" in mixed.text
    assert version_differences([{"torch": "1"}, {"torch": "1", "numpy": "2"}]) == ""


def test_permuting_rows_changes_no_check() -> None:
    rng = np.random.default_rng(8)
    found = [f"{place} {' '.join(rng.choice(WORDS, 6))}" for place in range(240)]
    order = rng.permutation(240)
    labels = sorted(LABELS)
    turned = of_texts([found[place] for place in order], [labels[place] for place in order])
    assert names(check(turned)) == names(check(of_texts(found, labels)))
