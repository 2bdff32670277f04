"""The input itself as features: the control that every source must beat."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from transferscope.adapters import find_adapter
from transferscope.errors import UnknownNameError
from transferscope.sources import load_source
from transferscope.sources.raw import BUCKETS, MELS, NGRAMS, PIXELS
from transferscope.targets.arrays import from_arrays


def features(modality: str, samples: Sequence[Any]) -> torch.Tensor:
    labels = np.repeat([0, 1], len(samples))
    target = from_arrays([*samples, *samples], labels, modality=modality)  # type: ignore[arg-type]
    source = load_source(f"raw:{modality}")
    inputs = find_adapter(target, source).prepare([target.samples[i] for i in range(len(samples))], Counter())
    activation = source.run(inputs, ["input"]).layers["input"]
    assert activation.layout == "NC"
    return activation.values


def tone(hertz: float, n: int = 8000, level: float = 0.3) -> tuple[np.ndarray, int]:
    return (level * np.sin(2 * np.pi * hertz * np.arange(n) / 16_000)).astype(np.float32), 16_000


@pytest.mark.parametrize(("modality", "width"), [("image", 3 * PIXELS**2), ("audio", 2 * MELS), ("text", BUCKETS)])
def test_cards_say_that_nothing_was_trained(modality: str, width: int) -> None:
    first, second = (load_source(f"raw:{modality}", seed=seed).card for seed in (0, 1))
    assert first == second
    assert (first.n_parameters, first.layers, first.pretraining, first.is_random) == (0, ("input",), "none", False)
    samples = {"image": [Image.new("L", (9, 9))] * 2, "audio": [tone(500)] * 2, "text": ["one", "two"]}
    assert features(modality, samples[modality]).shape == (2, width)


def test_pictures_are_their_thumbnails() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (PIXELS, PIXELS, 3), dtype=np.uint8)
    gray = Image.new("L", (50, 80), 51)
    values = features("image", [Image.fromarray(pixels), gray])
    np.testing.assert_allclose(values[0].reshape(3, PIXELS, PIXELS).permute(1, 2, 0), pixels / 255, atol=1e-6)
    torch.testing.assert_close(values[1], torch.full_like(values[1], 0.2))


def test_sounds_are_the_level_and_spread_of_their_bands() -> None:
    low, high, quiet = features("audio", [tone(300), tone(5000), tone(300, level=0.03)])
    assert low[:MELS].argmax() < high[:MELS].argmax()
    loud = int(low[:MELS].argmax())
    assert (low - quiet)[loud].item() == pytest.approx(2 * np.log(10), rel=0.01)  # of the power
    assert (low[MELS:] >= 0).all()
    beating = (np.concatenate([tone(300, 4000)[0], np.zeros(4000, np.float32)]), 16_000)
    assert features("audio", [beating, tone(300)])[:, MELS + loud].diff() < -1


def test_silence_is_finite() -> None:
    values = features("audio", [(np.zeros(4000, np.float32), 16_000), tone(300, 10)])
    assert torch.isfinite(values).all()
    assert (values[0, MELS:] < 1e-3).all()


def test_texts_are_shares_of_their_ngrams() -> None:
    values = features("text", ["banana", "ananab", "banana banana", "ああ"])
    torch.testing.assert_close(values.square().sum(dim=1), torch.ones(4))
    same = (values[0] * values).sum(dim=1)  # the cosine, of root shares
    assert same[0] == pytest.approx(1, abs=1e-5)
    assert same[2] > same[1] > same[3]
    assert not torch.equal(values[0], values[1])  # order counts
    one = features("text", ["a", "b"])[0]
    assert torch.count_nonzero(one) == len(NGRAMS[:2]) + 1  # "a", the end mark, and the pair of them


@pytest.mark.parametrize(
    ("modality", "samples"),
    [
        ("image", [Image.new("L", (8 + i, 30), 40 * i) for i in range(4)]),
        ("audio", [tone(200 * (i + 1), 1600 + 1111 * i) for i in range(4)]),
        ("text", ["a", "of", "some words", "more words than the others have"]),
    ],
)
def test_features_are_of_the_sample_alone(modality: str, samples: list[Any]) -> None:
    together = features(modality, samples)
    for i, sample in enumerate(samples):
        torch.testing.assert_close(features(modality, [sample, sample])[0], together[i], rtol=1e-4, atol=1e-4)


def test_unknown_kinds_and_options_are_refused() -> None:
    with pytest.raises(UnknownNameError, match="no raw input named 'imag'. Did you mean 'image'"):
        load_source("raw:imag")
    with pytest.raises(UnknownNameError, match="no option of raw: named 'weights'"):
        load_source("raw:image?weights=random")
    with pytest.raises(UnknownNameError, match="no source loader named 'rw'. Did you mean 'raw'"):
        load_source("rw:image")
