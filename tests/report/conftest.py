"""Results made by hand: a plain study of images, and builders for the odd ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any

import pytest

from transferscope.agreements import Estimate
from transferscope.examples import Example, Examples, Look, Picture, Piece, Seen
from transferscope.results import (
    Agreement,
    Candidate,
    Confirmed,
    Discrepancy,
    Epoch,
    Evaluation,
    Failure,
    LayerSimilarity,
    Loss,
    Ranking,
    Run,
    Score,
    Similarity,
    Skipped,
    SourceCard,
    SplitCard,
    Stamp,
    Step,
    TargetCard,
    Truth,
)
from transferscope.views import SourceMap

VERSIONS = {"python": "3.12.1", "transferscope": "0.1.0", "torch": "2.9.0", "numpy": "2.3.1"}
STAMP = Stamp(
    "2025-03-04T05:06:07+00:00", "transferscope rank -t imagefolder:photos", 0, "cpu", {"rank": 93.2}, VERSIONS
)
IMAGE_STEP = Step(
    "image->image", {"height": 224, "width": 224, "crop": 0.875, "interpolation": "bicubic"}, "He et al., CVPR 2016"
)
SOUND_STEP = Step("waveform->image", {"n_mels": 128, "hop_ms": 10.0, "duration": 2.5}, "Gong et al., Interspeech 2021")
LOSSES = (Loss("pixels cropped", 3_522_355 / 15_052_800), Loss("resized", 0.96), Loss("channels repeated", 41 / 300))
EDITS = {
    "samples": 300.0,
    "resized": 288.0,
    "channels_repeated": 41.0,
    "pixels": 15_052_800.0,
    "pixels_cropped": 3_522_355.0,
}

HOSTILE = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "</style><style>*{display:none}",
    "{{ 7 * 7 }}{% raw %}",
    "$x^2$ & &amp; \\frac",
    "]]>--><!--",
    "a" * 300,
    "日本語 ñ 🙂 \u202egpj.exe \x00\x1b[31m",
)


@dataclass(frozen=True)
class Entrant:
    """One source for `make_ranking`: (value, standard error) of the ranking scorer per layer, from input to output."""

    name: str
    layers: Sequence[tuple[float | None, float | None]]
    twin: tuple[float | None, float | None] | None = None
    license: str | None = "Apache-2.0"


def make_target(name: str = "imagefolder:photos/train", **changes: Any) -> TargetCard:
    card = TargetCard(name, "image", 500, ("cat", "dog", "fox"), (180, 170, 150), None, "ab" * 32)
    return replace(card, **changes)


SPLIT = SplitCard(0, 300, 100, 100, False, None, "cd" * 32)


def make_scores(value: float | None, error: float | None, by: str, higher: bool = True) -> Mapping[str, Score]:
    first = Score(
        by, value, higher, 300, 512, 0.02, error, error=None if value is not None else "features are constant"
    )
    if value is None:
        return {by: first}
    return {
        by: first,
        "logme": Score("logme", 2 * value - 1.9, True, 300, 512, 0.01, 0.031, ()),
        "h_score": Score("h_score", 1 + value / 2, True, 300, 512, 0.01, None, ("fewer samples than features",)),
        "rank_distance": Score("rank_distance", 1 - value, False, 300, 512, 0.01, 0.012),
    }


def _of_source(entrant: Entrant, by: str, higher: bool, control: Any = None) -> tuple[SourceCard, list[Candidate]]:
    sign = 1 if higher else -1
    known = [sign * v if v is not None else float("-inf") for v, _ in entrant.layers]
    best = known.index(max(known))
    names = tuple(f"blocks.{k}" for k in range(len(entrant.layers)))
    candidates = [
        Candidate(
            entrant.name,
            names[k],
            (IMAGE_STEP,),
            EDITS,
            "mean",
            512,
            12.3,
            make_scores(v, e, by, higher),
            k == best,
            control,
            losses=LOSSES,
        )
        for k, (v, e) in enumerate(entrant.layers)
    ]
    card = SourceCard(
        entrant.name, "resnet18", {"kind": "image", "height": 224, "width": 224}, names, 11_689_512, "ef" * 32,
        is_random=control == "random", n_source_classes=1000, flops=3.63e9, license=entrant.license,
        pretraining="ImageNet-1k",
    )  # fmt: skip
    return card, candidates


def make_ranking(
    entrants: Sequence[Entrant],
    raw: tuple[float | None, float | None] | None = (0.55, 0.028),
    by: str = "ridge_loo",
    higher: bool = True,
    **changes: Any,
) -> Ranking:
    """A ranking of `entrants`, their twins and the raw input, ordered by `by`."""
    cards, candidates = [], []
    for entrant in entrants:
        card, found = _of_source(entrant, by, higher)
        cards.append(card)
        candidates += found
        if entrant.twin:
            twin = Entrant(f"{entrant.name}?weights=random", [entrant.twin] * len(entrant.layers))
            card, found = _of_source(twin, by, higher, "random")
            cards.append(replace(card, twin_of=entrant.name))
            candidates += found
    if raw:
        card, found = _of_source(Entrant("raw:image", [raw]), by, higher, "raw")
        cards.append(replace(card, n_parameters=0, flops=None, license="none needed", pretraining="none"))
        candidates += found
    sign = -1 if higher else 1

    def key(c: Candidate) -> tuple[bool, float]:
        value = c.scores[by].value
        return value is None, sign * (value or 0.0)

    scorers = tuple(dict.fromkeys([by, "logme", "h_score", "rank_distance"]))
    ranking = Ranking(make_target(), SPLIT, scorers, by, tuple(cards), tuple(sorted(candidates, key=key)), STAMP)
    return replace(ranking, **changes)


def make_confirmed(
    source: str, strategy: str, accuracy: float, spread: float | None = 0.006, n_test: int = 100
) -> Confirmed:
    rates = (None,) if strategy == "linear_probe" else (1e-4, 1e-3)
    runs = tuple(
        Run(seed, rate, accuracy + 0.01, accuracy if rate in (None, 1e-3) else None, (Epoch(0.7, accuracy),), 4.5)
        for rate in rates
        for seed in (0, 1)
    )
    error = (accuracy * (1 - accuracy) / n_test) ** 0.5
    return Confirmed(source, "blocks.3", strategy, accuracy, spread, error, n_test, runs, 21.7)


def make_truth(*confirmed: Confirmed, **changes: Any) -> Truth:
    stamp = replace(STAMP, command="transferscope confirm ranking.json", seconds={"confirm": 401.0})
    return replace(Truth(make_target(), SPLIT, confirmed, stamp), **changes)


def make_agreement(scorer: str, tau: float | None, strategy: str = "linear_probe", **changes: Any) -> Agreement:
    e = Estimate(tau, None if tau is None else tau - 0.3, None if tau is None else min(1.0, tau + 0.2))
    if tau is None:
        e = Estimate(None, note="the order is constant")
    regret = Estimate(0.012, 0.0, 0.05)
    found = Agreement("imagefolder:photos/train", strategy, scorer, 6, e, e, e, e, regret)
    return replace(found, **changes)


def make_map(*sources: str) -> SourceMap:
    """Sources on a line, the classes beside its first."""
    n = len(sources)
    points = tuple((k / n, (k % 3) / 10) for k in range(n))
    return SourceMap(sources, points, tuple(0.8 - k / (2 * n) for k in range(n)), (0.0, 0.3), 0.8, 0.1)


A, B, C = "timm:resnet18.a1_in1k", "hf:./my-local-vit", "package:mobilenet-v2?size=64"


DOT = "iVBORw0KGgoAAAANSUhEUgAAAAIAAAACCAAAAABX3VL4AAAADklEQVR4nGP4z8DAwAAABQEBABzKickAAAAASUVORK5CYII="


def make_examples(*sources: str, text: str = "naïve 🙂", picture: str = DOT) -> Examples:
    """Three samples, each source with another kind of input, and one that cannot be shown."""
    looks = (
        Look(f"2 × 2 pixels{text}", Picture(picture, 2, 2, "png"), lost=(("pixels cropped", 0.25), ("resized", None))),
        Look("1.00 s at 16 kHz", outline=(0, 3, 100, 40) * 40),
        Look(
            "4 of 6 tokens", lost=(("tokens unknown", 0.5),),
            pieces=(Piece("[CLS]", "special"), Piece(text), Piece("[UNK]", "unknown"), Piece(text, "cut"),
                    Piece("7 more cut off", "more"), Piece("[SEP]", "special")),
        ),
    )  # fmt: skip
    original = Look("3 words, 20 letters", pieces=(Piece(text), Piece("90 more letters", "more")))
    named = ("class cat", "class dog", f"class {text}")
    seen = [Seen((name,), (looks[k % 3],) * 3) for k, name in enumerate(sources[:-1])]
    return Examples(
        tuple(Example(12 + k, named[k], look) for k, look in enumerate((looks[0], looks[1], original))),
        (*seen, Seen(sources[-1:], reason=f"no font has its letters {text}")), n_more=3,
    )  # fmt: skip


LAYERS = tuple(f"blocks.{k}" for k in range(4))
ALIKE = ((1.0, 0.9, 0.5, None), (0.9, 1.0, 0.7, None), (0.5, 0.7, 1.0, None), (None,) * 4)


@pytest.fixture
def ranking() -> Ranking:
    """Two tied leaders, one behind, one that could not be scored, twins, the raw input, failures, skipped samples."""
    entrants = [
        Entrant(A, [(0.61, 0.028), (0.70, 0.026), (0.86, 0.020), (0.84, 0.021)], (0.52, 0.029)),
        Entrant(B, [(0.60, 0.028), (0.75, 0.025), (0.84, 0.021), (0.845, 0.021)], (0.50, 0.029), None),
        Entrant(C, [(0.58, 0.028), (0.62, 0.028), (0.66, 0.027), (0.71, 0.026)], (0.57, 0.029)),
        Entrant("timm:flat", [(None, None), (None, None)]),
    ]
    return make_ranking(
        entrants,
        failures=(Failure("hf:someone/else", "no network: put the model in a folder and write hf:./folder"),),
        skipped=(Skipped("photos/train/cat/9.png", "truncated"), Skipped("photos/train/dog/1.png", "no image")),
        warnings=("2 unreadable samples were left out.",),
        similarity=(
            Similarity("cka_linear (debiased)", (A, B, C), ((1.0, 0.82, 0.4), (0.82, 1.0, None), (0.4, None, 1.0))),
        ),
        discrepancy=(Discrepancy(A, "imagefolder:imagenet-sample", "mmd (unbiased, squared)", 0.0312, 0.005),),
        layer_similarity=(
            LayerSimilarity("cka_linear", "t", 300, (A, A), LAYERS, LAYERS, ALIKE),
            LayerSimilarity("cka_linear", "t", 300, (A, B), LAYERS, LAYERS[1:], tuple(row[1:] for row in ALIKE)),
        ),
        source_map=make_map(A, B, C),
    )  # fmt: skip


@pytest.fixture
def truth() -> Truth:
    """The estimate's second choice came out best with a linear probe; only the first was trained in full."""
    return make_truth(
        make_confirmed(A, "full", 0.93),
        make_confirmed(B, "linear_probe", 0.88),
        make_confirmed(A, "linear_probe", 0.86),
        make_confirmed(C, "linear_probe", 0.70, None),
        make_confirmed(f"{A}?weights=random", "linear_probe", 0.51),
        make_confirmed("raw:image", "linear_probe", 0.56),
        failures=(Failure(B, "full: out of memory"),),
    )


@pytest.fixture
def evaluation() -> Evaluation:
    rows = (
        make_agreement("ridge_loo", 0.83),
        make_agreement("logme", 0.61),
        make_agreement("n_parameters", None),
        make_agreement("ridge_loo", 0.4, "full", n_sources=2),
    )
    return Evaluation(rows, replace(STAMP, command="transferscope evaluate r.json t.json", seconds={}))


@pytest.fixture
def large_ranking() -> Ranking:
    """40 sources of 12 layers, each with its twin."""
    entrants = [
        Entrant(
            f"timm:some_rather_long_model_name_{k:02}.with_a_long_recipe_in1k",
            [(0.3 + 0.01 * ((k * 7) % 40) + 0.02 * layer - 0.002 * layer**2 / 2, 0.02) for layer in range(12)],
            (0.3 + 0.001 * k, 0.02),
        )
        for k in range(40)
    ]
    names = tuple(entrant.name for entrant in entrants)
    values = tuple(tuple(1.0 if i == j else 0.9 - abs(i - j) / 50 for j in range(40)) for i in range(40))
    similarity = (Similarity("cka_linear (debiased)", names, values),)
    return make_ranking(entrants, similarity=similarity, source_map=make_map(*names))


@pytest.fixture
def make() -> SimpleNamespace:
    """The builders above, for studies that are unlike the plain one."""
    return SimpleNamespace(
        ranking=make_ranking,
        entrant=Entrant,
        target=make_target,
        truth=make_truth,
        confirmed=make_confirmed,
        examples=make_examples,
        agreement=make_agreement,
        sources=(A, B, C),
    )


@pytest.fixture
def hostile() -> Ranking:
    """A study whose every name is written to do harm."""
    entrants = [Entrant(name, [(0.5 - k / 50, 0.02), (0.4, 0.02)], (0.2, 0.02)) for k, name in enumerate(HOSTILE)]
    target = make_target(HOSTILE[1], classes=HOSTILE, class_counts=(10,) * len(HOSTILE))
    values = tuple(tuple(1.0 if i == j else 0.5 for j in range(len(HOSTILE))) for i in range(len(HOSTILE)))
    pair = LayerSimilarity(
        HOSTILE[0], HOSTILE[1], 9, HOSTILE[:2], HOSTILE[1:3], HOSTILE[3:5], ((0.1, 0.2), (0.3, None))
    )
    distances = tuple(Discrepancy(name, name, name, k / 9, None) for k, name in enumerate(HOSTILE))
    ranking = make_ranking(
        entrants, target=target, similarity=(Similarity(HOSTILE[0], HOSTILE, values),), layer_similarity=(pair,),
        source_map=make_map(*HOSTILE), discrepancy=distances,
    )  # fmt: skip
    steps = (Step(HOSTILE[0], {HOSTILE[1]: HOSTILE[2]}, HOSTILE[3]),)
    return replace(
        ranking,
        candidates=tuple(replace(c, path=steps, edits={HOSTILE[0]: 3.0, "samples": 5.0}) for c in ranking.candidates),
        warnings=HOSTILE,
        examples=make_examples(*HOSTILE, text="".join(HOSTILE)),
        stamp=replace(ranking.stamp, command=HOSTILE[1], versions={HOSTILE[0]: HOSTILE[2]}),
    )
