"""Candidates of adapter, layer and pooling: which are there, which mattered, and how sure the best one is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.io import wavfile

import transferscope as ts
from transferscope.adapters import CONVERTERS, Edge
from transferscope.choices import NOISE
from transferscope.errors import TransferScopeError, UnknownNameError
from transferscope.ranking.asked import Asked
from transferscope.ranking.effects import beats, factors, measure_alignments, measure_effects, measure_twins
from transferscope.ranking.selection import measure_selections, optimism
from transferscope.results import Candidate, Ranking, Score, SourceCard, Step, load_result
from transferscope.sources import Source

LAYERS = tuple(f"block{k}" for k in range(6))


def card(name: str, layers: Sequence[str] = LAYERS, **known: Any) -> SourceCard:
    return SourceCard(name, "net", {"kind": "image"}, tuple(layers), 10, "ab" * 32, **known)


def candidate(source: str, layer: str, blocks: Sequence[float], pooling: str = "mean", **known: Any) -> Candidate:
    """A mean over ten blocks of samples, and the means without each of them."""
    values = np.asarray(blocks, dtype=float)
    left_out = tuple((values.sum() - values) / (len(values) - 1))
    higher = known.pop("higher", True)
    score = Score("s", float(values.mean()), higher, 100, 8, 0.0, 0.05, left_out=left_out)
    return Candidate(source, layer, (), {}, pooling, 8, 1.0, {"s": score}, **known)


def marked(candidates: Sequence[Candidate], best: int) -> list[Candidate]:
    return [replace(c, is_best_layer=place == best) for place, c in enumerate(candidates)]


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ("all", range(6)), ("last", [5]), ("every:2", [1, 3, 5]), ("every:4", [1, 5]), ("every:9", [5]), (-1, [5]),
        (["0", "-2"], [0, 4]), (["block3", "last"], [3, 5]), (["last", "every:3", "block0"], [0, 2, 5]),
    ],
)  # fmt: skip
def test_layers_by_word_name_and_index(asked: Any, found: Sequence[int]) -> None:
    assert Asked.of(asked, "mean", ()).layers_of(card("a")) == tuple(LAYERS[place] for place in found)


def test_a_layers_own_name_goes_before_any_other_reading() -> None:
    odd = card("a", ["2", "last", "0"])
    assert Asked.of("2", "mean", ()).layers_of(odd) == ("2",)
    assert Asked.of("last", "mean", ()).layers_of(odd) == ("last",)


@pytest.mark.parametrize("name", ["6", "-7", "block6", "1.5", "--1"])
def test_a_layer_that_is_not_there_is_refused_with_the_list(name: str) -> None:
    with pytest.raises(UnknownNameError, match=f"no layer of a named '{name}'.*block0, block1"):
        Asked.of(name, "mean", ()).layers_of(card("a"))


@pytest.mark.parametrize(
    ("layers", "pooling", "adapters", "says"),
    [
        ("every:0", "mean", (), "expected every:N with a whole N from 1"),
        ("every:x", "mean", (), "expected every:N with a whole N from 1"),
        ([], "mean", (), "nothing to rank"),
        ("all", [], (), "nothing to rank"),
        ("all", ["mean", "max"], (), "no pooling named 'max'"),
        ("all", "mean", ["waveform->image?channels=delta"], "Did you mean 'deltas'"),
        ("all", "mean", ["all", "waveform->image"], "no converter named 'all'"),
    ],
)
def test_what_cannot_be_meant_is_refused(layers: Any, pooling: Any, adapters: Any, says: str) -> None:
    with pytest.raises(TransferScopeError, match=says):
        Asked.of(layers, pooling, adapters)


@given(st.integers(2, 12), st.integers(1, 14), st.integers(0, 2**31))
@settings(max_examples=40, deadline=None)
def test_optimism_is_that_of_the_largest_of_equals(n_candidates: int, seed: int, other: int) -> None:
    """Not below 0, not changed by order or by what is common to all; 0 where one is best in every block."""
    rng = np.random.default_rng([seed, other])
    blocks = rng.normal(size=(n_candidates, 10))
    left_out = (blocks.sum(axis=1, keepdims=True) - blocks) / 9
    found = optimism(left_out)
    assert found is not None
    assert found >= 0
    assert optimism(left_out[::-1]) == pytest.approx(found, abs=1e-12)
    assert optimism(left_out + 3.0) == pytest.approx(found, abs=1e-9)
    ahead = np.arange(n_candidates)[:, None] * 100.0
    assert optimism(left_out + ahead) == pytest.approx(0.0, abs=1e-9)


def test_optimism_is_on_average_what_choosing_adds() -> None:
    """Twelve equal candidates: the largest of twelve normal means is 1.63 standard errors too high."""
    rng = np.random.default_rng(0)
    blocks = rng.normal(size=(300, 12, 10))
    truth = blocks.mean(axis=2).max(axis=1).mean()  # all are worth 0
    left_out = (blocks.sum(axis=2, keepdims=True) - blocks) / 9
    found = np.mean([optimism(values) for values in left_out])
    assert truth == pytest.approx(1.63 / np.sqrt(10), rel=0.05)
    assert found == pytest.approx(truth, rel=0.1)


def test_tied_layers_and_how_often_each_is_best() -> None:
    rng = np.random.default_rng(1)
    common = rng.normal(0, 0.1, 10)  # hard for every layer alike
    tops = [0.2, 0.4, 0.6, 0.61, 0.6, 0.3]
    blocks = [top + common + rng.normal(0, 0.02, 10) for top in tops]
    own = [candidate("a", layer, values) for layer, values in zip(LAYERS, blocks, strict=True)]
    best = int(np.argmax([c.scores["s"].value for c in own]))
    (found,) = measure_selections(marked(own, best), [card("a")], "s")
    assert found.n_candidates == 6
    assert set(found.tied_layers) >= {LAYERS[best]}
    assert set(found.tied_layers) <= {"block2", "block3", "block4"}
    assert len(found.tied_layers) > 1
    assert sum(found.layer_shares.values()) == pytest.approx(1.0)
    assert set(found.layer_shares) <= {"block2", "block3", "block4"}
    assert measure_selections(marked(own[:1], 0), [card("a")], "s") == ()  # nothing was chosen


@pytest.mark.parametrize("higher", [True, False])
def test_effects_change_one_choice_at_a_time(higher: bool) -> None:
    sign = 1.0 if higher else -1.0
    own = [
        candidate("a", layer, sign * (np.linspace(0, 0.1, 10) + height), pooling, higher=higher)
        for layer, pooling, height in [
            ("block0", "mean", 0.1), ("block0", "last", 0.4), ("block4", "mean", 0.6), ("block4", "last", 0.9),
            ("block5", "mean", 0.8),  # a vector: its poolings are equal
        ]
    ]  # fmt: skip
    found = measure_effects(marked(own, 3), [card("a")], ("mean", "last"), "s")
    told = {(e.factor, e.best, e.other, e.default): e.gain for e in found}
    assert told == {
        ("layer", "block4", "block5", "block5"): pytest.approx(0.1),
        ("pooling", "last", "mean", "mean"): pytest.approx(0.3),
    }
    assert all(e.standard_error == pytest.approx(0.0, abs=1e-12) for e in found)  # paired: alike in every block


def test_the_default_is_compared_beside_the_next_best() -> None:
    own = [candidate("a", layer, [height] * 10) for layer, height in zip(LAYERS, [1, 5, 9, 8, 2, 3], strict=True)]
    found = measure_effects(marked(own, 2), [card("a")], ("mean",), "s")
    assert [(e.other, e.gain) for e in found] == [("block3", 1.0), ("block5", 6.0)]


@pytest.mark.parametrize(("lead", "beaten"), [(0.3, True), (0.01, False), (-0.3, False)])
def test_a_source_that_does_not_beat_its_twin_is_marked(lead: float, beaten: bool) -> None:
    noise = np.random.default_rng(2).normal(0, 0.05, 10)
    source, twin = candidate("a", "block0", 0.5 + lead + noise), candidate("a?weights=random", "block1", [0.5] * 10)
    cards = [card("a"), card("a?weights=random", is_random=True, twin_of="a")]
    (found,) = measure_twins([*marked([source], 0), *marked([twin], 0)], cards, "s")
    assert (found.source, found.twin, found.beats) == ("a", "a?weights=random", beaten)
    assert found.gain == pytest.approx(lead + noise.mean())
    assert found.standard_error == pytest.approx(noise.std(ddof=1) / np.sqrt(10))


def test_beating_takes_more_than_noise() -> None:
    assert beats(NOISE * 0.1 * 1.01, 0.1) is True
    assert beats(NOISE * 0.1 * 0.99, 0.1) is False
    assert beats(0.0, 0.0) is False
    assert beats(0.5, None) is None
    assert beats(-0.5, None) is False


def test_alignment_sets_the_distance_beside_the_score() -> None:
    def aligned(align: str, height: float) -> Candidate:
        distances = {"mmd_none": 0.41, "mmd_now": {"mmd": 0.08}.get(align, 0.41), "align": align}
        step = Step("image->tokens", distances, "x")
        choices = () if align == "moments" else (f"image->tokens?align={align}",)
        return replace(candidate("a", "block0", [height] * 10), path=(step,), choices=choices)

    own = marked([aligned("moments", 0.7), aligned("none", 0.6), aligned("mmd", 0.5)], 0)
    assert factors(own[2])["align of image->tokens"] == "mmd"
    found = {a.align: a for a in measure_alignments(own, "s")}
    assert set(found) == {"moments", "mmd"}
    assert (found["mmd"].measure, found["mmd"].before, found["mmd"].after) == ("mmd", 0.41, 0.08)
    assert found["mmd"].gain == pytest.approx(-0.1)
    (alone,) = measure_alignments(marked([aligned("mmd", 0.5)], 0), "s")
    assert alone.gain is None


@pytest.fixture
def sounds(tmp_path: Path) -> Path:
    """Two classes of twelve short sounds: a low tone and a high one, in noise."""
    rng = np.random.default_rng(0)
    time = np.arange(4000) / 16_000
    for name, hertz in (("low", 300), ("high", 2500)):
        (tmp_path / "sounds" / name).mkdir(parents=True)
        for i in range(12):
            wave = np.sin(2 * np.pi * hertz * rng.uniform(0.8, 1.25) * time) + rng.normal(0, 0.8, len(time))
            wavfile.write(tmp_path / "sounds" / name / f"{i}.wav", 16_000, (wave * 8000).astype(np.int16))
    return tmp_path / "sounds"


def test_three_channel_plans_are_candidates_of_one_source(
    sounds: Path, tiny_models: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    passes = counted(monkeypatch)
    deep = "python:tiny_models:deep"
    ranking = ts.rank(f"audiofolder:{sounds}", [deep], adapters="all", pooling=["mean", "last"])
    plans = {(), ("waveform->image?channels=deltas",), ("waveform->image?channels=windows",)}
    for name in (deep, f"{deep}?weights=random"):  # the twin goes the same ways
        own = [c for c in ranking.candidates if c.source == name]
        layers = ranking.card(name).layers
        assert {(c.choices, c.layer) for c in own} == {(plan, layer) for plan in plans for layer in layers}
        assert len(own) == 3 * len(layers)  # poolings of maps and vectors are all the mean
        assert sum(c.is_best_layer for c in own) == 1
        assert {c.path[0].settings["channels"] for c in own} == {"repeat", "deltas", "windows"}
    assert passes == {deep: 3, f"{deep}?weights=random": 3, "raw:audio": 1}
    assert {effect.factor for effect in ranking.effects} == {"layer", "channels of waveform->image"}
    (gap,) = ranking.twins
    best = {c.source: c.scores["ridge_loo"].value for c in ranking.best()}
    assert gap.gain == pytest.approx(best[deep] - best[f"{deep}?weights=random"])
    assert next(s for s in ranking.selections if s.source == deep).n_candidates == 3 * len(ranking.card(deep).layers)
    assert load_result(ranking.to_json(tmp_path / "r.json")) == ranking
    assert set(ranking.to_pandas()["choices"]) == {"; ".join(plan) for plan in plans}


def counted(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often each source is run over the target."""
    from transferscope.features.extract import Extractor

    passes: Counter[str] = Counter()
    extract = Extractor.extract

    def counting(self: Extractor, target: Any, source: Source, *rest: Any) -> Any:
        passes[source.card.name] += 1
        return extract(self, target, source, *rest)

    monkeypatch.setattr(Extractor, "extract", counting)
    return passes


class Ink:
    """Pictures as they are, or each as one shade that says nothing of its class."""

    def __init__(self, spec: Any, probe: Sequence[Any], ink: str) -> None:
        self.ink, self.size = ink, spec.size

    def settings(self) -> Mapping[str, Any]:
        return {"ink": self.ink}

    def __call__(self, samples: Sequence[Any], edits: Counter[str]) -> Mapping[str, torch.Tensor]:
        if self.ink == "broken":
            raise RuntimeError("no ink")
        pixels = [np.asarray(s.convert("RGB").resize(self.size), dtype=np.float32) / 255 for s in samples]
        if self.ink == "none":
            pixels = [np.full_like(picture, float(picture.sum()) * 997 % 1) for picture in pixels]
        return {"pixel_values": torch.from_numpy(np.stack(pixels)).permute(0, 3, 1, 2)}


@pytest.fixture
def ink(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "image->image" in CONVERTERS
    options = {"ink": ("none", "full", "broken")}
    monkeypatch.setitem(
        CONVERTERS._entries, "image->image", Edge("image->image", "image", "image", 1, "x", Ink, options)
    )


def ranked(folder: Path, **options: Any) -> Ranking:
    return ts.rank(f"imagefolder:{folder}", ["python:tiny_models:deep"], **options)


def test_the_choice_that_matters_is_found_and_a_broken_one_is_listed(
    ink: None, picture_folder: Path, tiny_models: str
) -> None:
    ranking = ranked(picture_folder, adapters="all", twins=False)
    (best,) = [c for c in ranking.best() if c.control is None]
    assert best.choices == ("image->image?ink=full",)
    (effect,) = [e for e in ranking.effects if e.factor == "ink of image->image"]
    assert (effect.best, effect.other, effect.default) == ("full", "none", "none")
    assert effect.gain > NOISE * effect.standard_error > 0
    reasons = [f.reason for f in ranking.failures if f.source == "python:tiny_models:deep"]
    assert reasons == ["image->image?ink=broken: RuntimeError: no ink"]


def test_named_adapters_are_the_only_ones(ink: None, picture_folder: Path, tiny_models: str) -> None:
    ranking = ranked(picture_folder, adapters=["image->image?ink=full", "text->image"], layers="last")
    assert {c.choices for c in ranking.candidates if c.control is None} == {("image->image?ink=full",)}
    assert ranking.effects == ()
    assert "No source here is reached by text->image: what was asked of it changes nothing." in ranking.warnings
    assert not ranking.failures


def test_old_results_have_no_choices_to_tell_of(picture_folder: Path, tiny_models: str, tmp_path: Path) -> None:
    import json

    ranking = ranked(picture_folder)
    kept = json.loads(ranking.to_json(tmp_path / "r.json").read_text())
    for name in ("effects", "selections", "twins", "alignments"):
        del kept[name]
    for one in kept["candidates"]:
        del one["choices"], one["losses"]
    (tmp_path / "old.json").write_text(json.dumps(kept))
    old = load_result(tmp_path / "old.json")
    assert isinstance(old, Ranking)
    plain = tuple(replace(c, choices=(), losses=()) for c in ranking.candidates)
    assert old == replace(ranking, candidates=plain, effects=(), selections=(), twins=(), alignments=())
