"""One small target of each modality, and one tiny model of each kind of input."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from PIL import Image

from transferscope.sources import ImageInput, Source, TokensInput, WaveformInput
from transferscope.sources.hf import wrap_hf
from transferscope.sources.hooks import seeded
from transferscope.sources.python import wrap_module
from transferscope.targets import Target, Waveform
from transferscope.targets.arrays import from_arrays

TEXTS = ["a cat sat on the mat", "the dog", "big red dogs ran on and on and on", "no words known here"]
WORDS = ["a", "big", "cat", "dog", "mat", "no", "on", "ran", "red", "sat", "the"]


@pytest.fixture(scope="session")
def tokenizer() -> Any:
    """Whole words, with BERT's special tokens."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    special = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    vocabulary = {word: i for i, word in enumerate([*special.values(), *WORDS])}
    words = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    words.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    return PreTrainedTokenizerFast(tokenizer_object=words, model_max_length=64, **special)


@pytest.fixture(scope="session")
def source_of(tokenizer: Any) -> Callable[[str], Source]:
    """A tiny model with random weights that takes in images, waveforms or tokens.

    "image", "waveform" and "tokens-cnn" are convolutional; "tokens" is BERT; "image-vit", "waveform-wav2vec2" and
    "tokens-gpt2" are transformers too.
    """
    body = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}

    def image() -> Source:
        net = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 5, stride=4), torch.nn.ReLU(), torch.nn.Conv2d(4, 6, 3))
        return wrap_module(net, ImageInput((32, 32), (0.5,) * 3, (0.25,) * 3, "bilinear", 0.875), name="image")

    def waveform() -> Source:
        class Net(torch.nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.first, self.second = torch.nn.Conv1d(1, 4, 16, stride=8), torch.nn.Conv1d(4, 6, 4)

            def forward(self, waves: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
                return self.second(self.first(waves.unsqueeze(1)).relu())

        return wrap_module(Net(), WaveformInput(8000, max_seconds=0.5, min_seconds=0.1), name="waveform")

    def tokens() -> Source:
        from transformers import BertConfig, BertModel

        config = BertConfig(
            vocab_size=len(tokenizer), hidden_size=24, num_hidden_layers=2, num_attention_heads=2,
            intermediate_size=32, max_position_embeddings=64,
        )  # fmt: skip
        return wrap_hf(BertModel(config).eval(), "tokens", lambda auto: tokenizer)

    def image_vit() -> Source:
        from transformers import ViTConfig, ViTImageProcessor, ViTModel

        processor = ViTImageProcessor(size={"height": 32, "width": 32})
        return wrap_hf(ViTModel(ViTConfig(image_size=32, patch_size=8, **body)).eval(), "vit", lambda auto: processor)

    def waveform_wav2vec2() -> Source:
        from transformers import Wav2Vec2Config, Wav2Vec2FeatureExtractor, Wav2Vec2Model

        config = Wav2Vec2Config(
            conv_dim=(16, 16), conv_stride=(20, 16), conv_kernel=(40, 16), num_feat_extract_layers=2,
            num_conv_pos_embeddings=8, num_conv_pos_embedding_groups=2, feat_extract_norm="layer", **body,
        )  # fmt: skip
        extractor = Wav2Vec2FeatureExtractor(return_attention_mask=True)
        return wrap_hf(Wav2Vec2Model(config).eval(), "wav2vec2", lambda auto: extractor)

    def tokens_gpt2() -> Source:
        from transformers import GPT2Config, GPT2Model

        config = GPT2Config(vocab_size=len(tokenizer), n_positions=64, n_embd=24, n_layer=2, n_head=2)
        return wrap_hf(GPT2Model(config).eval(), "gpt2", lambda auto: tokenizer)

    def tokens_cnn() -> Source:
        class Net(torch.nn.Module):
            transferscope_layers: ClassVar = {"conv": "NCT"}

            def __init__(self) -> None:
                super().__init__()
                self.table, self.conv = torch.nn.Embedding(len(tokenizer), 24), torch.nn.Conv1d(24, 6, 3, padding=1)

            def forward(self, attention_mask: Any, input_ids: Any = None, inputs_embeds: Any = None) -> torch.Tensor:
                values = self.table(input_ids) if inputs_embeds is None else inputs_embeds
                return self.conv((values * attention_mask[..., None]).transpose(1, 2))

        net = Net()
        return wrap_module(net, TokensInput(tokenizer, 64, net.table), name="tokens-cnn")

    built = {
        "image": image, "image-vit": image_vit, "waveform": waveform, "waveform-wav2vec2": waveform_wav2vec2,
        "tokens": tokens, "tokens-gpt2": tokens_gpt2, "tokens-cnn": tokens_cnn,
    }  # fmt: skip

    def build(kind: str) -> Source:
        with seeded(0):
            return built[kind]()

    return build


@pytest.fixture(scope="session")
def target_of() -> Callable[[str], Target]:
    """Four samples of a modality, of unequal sizes."""

    def build(modality: str) -> Target:
        rng = np.random.default_rng(0)
        samples: dict[str, list[Any]] = {
            "image": [Image.fromarray(rng.integers(0, 256, (40 + i, 60, 3), dtype=np.uint8)) for i in range(3)]
            + [Image.new("L", (20, 90), 77)],
            "audio": [
                Waveform(rng.normal(0, 0.1, (1 + i % 2, 4000 + 3000 * i)).astype(np.float32), 16_000) for i in range(4)
            ],
            "text": TEXTS,
        }
        return from_arrays(samples[modality], [0, 1, 0, 1], modality=modality)  # type: ignore[arg-type]

    return build
