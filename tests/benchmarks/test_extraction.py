"""Extraction beside the forward pass alone, end to end from files, and beside PyPI's transformer-ranker."""

from __future__ import annotations

import json
import pydoc_data.topics
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from transferscope.adapters import Adapter, find_adapter
from transferscope.features.cache import FeatureCache
from transferscope.features.extract import Extractor, Features
from transferscope.results import Step
from transferscope.sources import Inputs, Source, load_source
from transferscope.targets import load_target
from transferscope.targets.arrays import from_arrays

pytestmark = [pytest.mark.benchmark, pytest.mark.slow, pytest.mark.timeout(1800)]
Section = Callable[[str, Sequence[str], Sequence[Sequence[object]]], None]
Timed = Callable[..., list[float]]
BATCH = 32


@dataclass
class Recording:
    """An adapter that keeps the batches it makes."""

    adapter: Adapter
    batches: list[Inputs] = field(default_factory=list)

    @property
    def path(self) -> tuple[Step, ...]:
        return self.adapter.path

    def prepare(self, samples: Sequence[Any], edits: Counter[str]) -> Inputs:
        self.batches.append(self.adapter.prepare(samples, edits))
        return self.batches[-1]

    def lengths(self, samples: Sequence[Any]) -> Sequence[int] | None:
        return self.adapter.lengths(samples)


def pictures(folder: Path, n_samples: int) -> str:
    """Parts of the two photographs that scikit-learn ships, 500 by 375 as most of ImageNet; a quarter is PNG."""
    from sklearn.datasets import load_sample_images

    rng = np.random.default_rng(0)
    photos = load_sample_images().images
    for i in range(n_samples):
        pixels = photos[i % 2]
        top, left = rng.integers(0, [pixels.shape[0] - 375, pixels.shape[1] - 500])
        path = folder / f"class{i % 2}" / f"{i}.{'png' if i % 8 in (6, 7) else 'jpg'}"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels[top : top + 375, left : left + 500]).save(
            path, **({"quality": 90} if path.suffix == ".jpg" else {})
        )
    return f"imagefolder:{folder}"


def sounds(folder: Path, n_samples: int) -> str:
    """Notes with noise, 1 to 3 s at 16 kHz, half of them FLAC."""
    import soundfile

    rng = np.random.default_rng(0)
    for i in range(n_samples):
        t = np.arange(int(16_000 * rng.uniform(1, 3))) / 16_000
        wave = 0.3 * np.sin(2 * np.pi * rng.uniform(100, 2000) * t) + 0.05 * rng.normal(size=len(t))
        path = folder / f"class{i % 2}" / f"{i}.{'flac' if i % 4 in (2, 3) else 'wav'}"
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, wave.astype(np.float32), 16_000, subtype="PCM_16")
    return f"audiofolder:{folder}"


def paragraphs(n_samples: int) -> list[str]:
    """Of Python's own manual: 5 words or more, half of them under 41 tokens, a hundredth of over 360."""
    found = [
        " ".join(text.split()) for topic in pydoc_data.topics.topics.values() for text in re.split(r"\n\s*\n", topic)
    ]
    found = [text for text in dict.fromkeys(found) if len(text.split()) >= 5]
    return [found[i] for i in np.random.default_rng(0).permutation(len(found))[:n_samples]]


def texts(folder: Path, n_samples: int) -> str:
    folder.mkdir(parents=True, exist_ok=True)
    lines = [json.dumps({"text": text, "label": i % 2}) for i, text in enumerate(paragraphs(n_samples))]
    (folder / "texts.jsonl").write_text("\n".join(lines))
    return f"jsonl:{folder / 'texts.jsonl'}?text=text&label=label"


def speech_model(folder: Path) -> str:
    """A wav2vec 2.0 of 4 layers of 384, saved as a checkpoint."""
    from transformers import Wav2Vec2Config, Wav2Vec2FeatureExtractor, Wav2Vec2Model

    torch.manual_seed(0)
    config = Wav2Vec2Config(
        hidden_size=384, num_hidden_layers=4, num_attention_heads=6, intermediate_size=1536, conv_dim=(128,) * 7,
        feat_extract_norm="layer", do_stable_layer_norm=True,
    )  # fmt: skip
    Wav2Vec2Model(config).save_pretrained(folder)
    Wav2Vec2FeatureExtractor(return_attention_mask=True).save_pretrained(folder)
    return f"hf:{folder}"


def forward(source: Source) -> Callable[[Inputs], Any]:
    if source.input.kind == "image":
        return lambda inputs: source.model(inputs["pixel_values"])
    return lambda inputs: source.model(**inputs)


def bare(source: Source, batches: Sequence[Inputs]) -> None:
    call = forward(source)
    with torch.inference_mode():
        for inputs in batches:
            call(inputs)


@pytest.mark.parametrize(
    ("modality", "make", "spec", "n_samples"),
    [
        ("image", pictures, "timm:resnet50?weights=random", 64),
        ("image", pictures, "package:efficientnet-lite0", 128),
        ("audio", sounds, None, 64),
        ("text", texts, "package:minilm-l6", 256),
    ],
    ids=["resnet", "efficientnet-lite", "wav2vec2", "minilm"],
)
def test_extraction_runs_at_the_speed_of_the_forward_pass(
    modality: str, make: Callable[[Path, int], str], spec: str | None, n_samples: int,
    tmp_path: Path, timed: Timed, section: Section,
) -> None:  # fmt: skip
    source = load_source(spec or speech_model(tmp_path / "model"))
    where = make(tmp_path / "data", n_samples)
    target, rows = load_target(where), np.arange(n_samples)
    adapter = find_adapter(target, source)
    recording = Recording(adapter)
    Extractor(None, batch_size=BATCH).extract(target, source, recording, rows)  # type: ignore[arg-type]
    in_order = [
        adapter.prepare([target.samples[row] for row in range(start, min(start + BATCH, n_samples))], Counter())
        for start in range(0, n_samples, BATCH)
    ]
    folders: Iterator[Path] = (tmp_path / "cache" / str(i) for i in count())

    def extract() -> None:
        """From files that nothing is known of, their digests included, to a written cache."""
        Extractor(FeatureCache(next(folders)), batch_size=BATCH).extract(load_target(where), source, adapter, rows)

    channels_last = [
        {
            name: value.contiguous(memory_format=torch.channels_last) if value.ndim == 4 else value
            for name, value in x.items()
        }
        for x in recording.batches
    ]
    names = ["forward pass alone, same batches", "forward pass alone, batches in file order"]
    loops = [recording.batches, in_order]
    if modality == "image":
        names.append("forward pass alone, same batches, channels last")
        loops.append(channels_last)
    names.append("extraction: digest, decode, adapt, forward, pool all layers, write cache")
    seconds = timed(*(partial(bare, source, batches) for batches in loops), extract, turns=3)
    section(
        f"Extraction of {modality}: {source.card.architecture}, {len(source.card.layers)} layers, {n_samples} samples",
        ["", "seconds", "samples/s", *(f"throughput over {name}" for name in names[:-1])],
        [
            [name, mine, n_samples / mine, *(other / mine for other in seconds[:-1])]
            for name, mine in zip(names, seconds, strict=True)
        ],
    )


def test_texts_are_embedded_faster_than_by_transformer_ranker(timed: Timed, section: Section) -> None:
    from transformer_ranker.embedder import Embedder

    source = load_source("package:minilm-l6")
    n_samples = 1024
    written = paragraphs(n_samples)
    target = from_arrays(written, [i % 2 for i in range(n_samples)], modality="text")
    adapter, rows = find_adapter(target, source), np.arange(n_samples)
    theirs = Embedder(source.model, source.input.tokenizer, sentence_pooling="mean", layer_ids="all", device="cpu")

    def extract(precision: str) -> Features:
        extractor = Extractor(None, batch_size=BATCH, precision=precision)
        return extractor.extract(target, source, adapter, rows, source.card.layers[1:])

    calls = {
        "transformer-ranker 0.2.0, Embedder, float32": lambda: theirs.embed(written, BATCH, show_progress=False),
        "extraction, float32 (the default on a CPU)": lambda: extract("float32"),
        "extraction, bfloat16": lambda: extract("bfloat16"),
    }
    other, ours, rough = timed(*calls.values(), turns=3)
    section(
        f"All layers of MiniLM on {n_samples} texts",
        ["", "seconds", "texts/s", "times transformer-ranker"],
        [
            [name, seconds, n_samples / seconds, other / seconds]
            for name, seconds in zip(calls, (other, ours, rough), strict=True)
        ],
    )


def test_the_mean_over_words_is_transformer_rankers() -> None:
    """Theirs leaves special tokens out and weighs words, not tokens: alike where each word is one token."""
    from transformer_ranker.embedder import Embedder

    source = load_source("package:minilm-l6")
    words = ["the", "of", "house", "river", "music", "seven", "green", "people", "water", "school"]
    rng = np.random.default_rng(0)
    written = [" ".join(rng.choice(words, size=rng.integers(3, 30))) for _ in range(40)]
    target = from_arrays(written, [i % 2 for i in range(len(written))], modality="text")
    extractor = Extractor(None, batch_size=BATCH, poolings=("mean", "first", "last"))
    found = extractor.extract(target, source, find_adapter(target, source), np.arange(len(written)))
    embedder = Embedder(source.model, source.input.tokenizer, sentence_pooling="mean", layer_ids="all", device="cpu")
    theirs = torch.stack(embedder.embed(written, show_progress=False)).numpy()
    lengths = np.array([len(text.split()) for text in written])[:, None]
    for i, layer in enumerate(source.card.layers[1:]):
        mean, first, last = (found.pooled[how][layer] for how in extractor.poolings)
        np.testing.assert_allclose((mean * (lengths + 2) - first - last) / lengths, theirs[:, i], atol=2e-5)
