"""Tiny sources of every family on tiny data of every modality, ready to be trained in any way."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from transferscope.adapters import find_adapter
from transferscope.confirm import Recipe
from transferscope.confirm.strategy import STRATEGIES, Trial
from transferscope.features.extract import Extractor
from transferscope.progress import silent
from transferscope.sources import ImageInput, Source, load_source
from transferscope.sources.hf import wrap_hf
from transferscope.sources.hooks import seeded
from transferscope.sources.python import wrap_module
from transferscope.targets import Target, split_target
from transferscope.targets.arrays import from_arrays

BODY = {"hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 32}
WORDS = ["good", "fine", "bad", "poor", "film", "book", "very", "quite"]
RECIPE = Recipe(learning_rates=(3e-3,), n_seeds=1, epochs=3, batch_size=8, min_steps=0)


def cnn() -> Source:
    net = torch.nn.Sequential(
        torch.nn.Conv2d(3, 8, 3, stride=2), torch.nn.BatchNorm2d(8), torch.nn.ReLU(), torch.nn.Dropout(0.1),
        torch.nn.Conv2d(8, 16, 3, stride=2), torch.nn.BatchNorm2d(16), torch.nn.ReLU(),
    )  # fmt: skip
    return wrap_module(net, ImageInput((16, 16), (0.5,) * 3, (0.5,) * 3, "bilinear"), name="cnn")


def vit() -> Source:
    from transformers import ViTConfig, ViTImageProcessor, ViTModel

    processor = ViTImageProcessor(size={"height": 16, "width": 16})
    return wrap_hf(ViTModel(ViTConfig(image_size=16, patch_size=4, **BODY)), "vit", lambda auto: processor)


def wav2vec2() -> Source:
    from transformers import Wav2Vec2Config, Wav2Vec2FeatureExtractor, Wav2Vec2Model

    config = Wav2Vec2Config(
        conv_dim=(16, 16), conv_stride=(20, 16), conv_kernel=(40, 16), num_feat_extract_layers=2,
        num_conv_pos_embeddings=8, num_conv_pos_embedding_groups=2, feat_extract_norm="layer", **BODY,
    )  # fmt: skip
    extractor = Wav2Vec2FeatureExtractor(return_attention_mask=True)
    return wrap_hf(Wav2Vec2Model(config), "wav2vec2", lambda auto: extractor)


def bert() -> Source:
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    vocabulary = {word: i for i, word in enumerate(["[PAD]", "[UNK]", *WORDS])}
    made = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=made, unk_token="[UNK]", pad_token="[PAD]")
    config = BertConfig(vocab_size=len(vocabulary), max_position_embeddings=16, **BODY)
    return wrap_hf(BertModel(config), "bert", lambda auto: tokenizer)


def gpt2() -> Source:
    from transformers import GPT2Config, GPT2Model

    tokenizer = bert().input.tokenizer  # type: ignore[union-attr]
    ends = {"bos_token_id": 0, "eos_token_id": 0}
    config = GPT2Config(vocab_size=len(tokenizer), n_positions=32, n_embd=16, n_layer=3, n_head=2, **ends)
    return wrap_hf(GPT2Model(config), "gpt2", lambda auto: tokenizer)


def whisper() -> Source:
    from transformers import WhisperConfig, WhisperFeatureExtractor, WhisperModel

    config = WhisperConfig(
        num_mel_bins=8, vocab_size=60, max_source_positions=50, d_model=16, encoder_layers=3, decoder_layers=1,
        encoder_attention_heads=2, decoder_attention_heads=2, encoder_ffn_dim=32, decoder_ffn_dim=32,
        pad_token_id=0, bos_token_id=2, eos_token_id=3, decoder_start_token_id=2,
    )  # fmt: skip
    extractor = WhisperFeatureExtractor(feature_size=8, chunk_length=1)
    return wrap_hf(WhisperModel(config), "whisper", lambda auto: extractor)


SOURCES: dict[str, tuple[Any, str]] = {
    "cnn": (cnn, "image"), "vit": (vit, "image"), "wav2vec2": (wav2vec2, "audio"), "bert": (bert, "text"),
    "gpt2": (gpt2, "text"), "whisper": (whisper, "audio"),
    "timm-vit": (lambda: load_source("timm:test_vit?weights=random&size=32"), "image"),
    "timm-resnet": (lambda: load_source("timm:test_resnet?weights=random&size=64"), "image"),
}  # fmt: skip


def data(modality: str, n: int = 30, seed: int = 0) -> Target:
    """Three classes of pictures, or two of sounds or texts, that differ plainly."""
    rng = np.random.default_rng(seed)
    if modality == "image":
        pixels = rng.integers(0, 120, (n, 24, 24, 3), dtype=np.uint8)
        for i, half in enumerate([np.s_[:12], np.s_[12:], np.s_[:, :12]] * (n // 3)):
            pixels[i][half] += 110
        return from_arrays(pixels, [i % 3 for i in range(n)], modality="image")
    if modality == "audio":
        times = np.arange(1600) / 16_000
        waves = [np.sin(2 * np.pi * (300, 2000)[i % 2] * times + rng.uniform(0, 6)) for i in range(n)]
        return from_arrays(
            [wave.astype(np.float32) for wave in waves],
            [i % 2 for i in range(n)],
            modality="audio",
            sample_rate=16_000,
        )
    texts = [
        " ".join([*rng.permutation(WORDS[4:])[: 1 + i % 3], WORDS[rng.integers(2) + 2 * (i % 2)]]) for i in range(n)
    ]
    return from_arrays(texts, [i % 2 for i in range(n)], modality="text")


@pytest.fixture
def trial_of() -> Callable[..., Trial]:
    """``trial_of(source, strategy, recipe, ...)``."""

    def build(kind: str, strategy: str, recipe: Recipe = RECIPE, **changed: Any) -> Trial:
        make, modality = SOURCES[kind]
        with seeded(0):
            source = make()
        source.model.eval()
        target = data(modality)
        layers = source.card.layers
        settings = {
            "strategy": strategy, "target": target, "split": split_target(target, seed=0), "source": source,
            "adapter": find_adapter(target, source), "layer": layers[-1], "recipe": recipe,
            "extractor": Extractor(), "seed": 0, "progress": silent,
            "source_data": data(modality, 24, seed=7) if STRATEGIES[strategy].needs_source_data else None,
        }  # fmt: skip
        return Trial(**settings | changed)

    return build


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Time that passes by a second an epoch only; the first item is now."""
    import sys

    from transferscope.confirm import training

    now, train_epoch = [0.0, 0.0], training._train_epoch

    def counting(*args: Any, **kwargs: Any) -> float:
        now[0] += 1.0
        now[1] += 1.0
        return train_epoch(*args, **kwargs)

    monkeypatch.setattr(training, "_train_epoch", counting)
    for name in ("race", "confirm"):
        module = sys.modules[f"transferscope.confirm.{name}"]
        monkeypatch.setattr(module, "time", type("Clock", (), {"perf_counter": staticmethod(lambda: now[0])}))
    return now
