"""One tiny model of every family of transformers, from its own config, tokenizer and processor: laws of features."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from transferscope.adapters import find_adapter
from transferscope.features.pooling import POOLINGS, pool
from transferscope.sources import Inputs, Source, load_source
from transferscope.sources.hooks import seeded
from transferscope.targets import Target
from transferscope.targets.arrays import from_arrays

WORDS = ["the", "a", "cat", "dog", "sat", "ran", "on", "mat", "red", "blue", "big"]
LETTERS = "abcdefghijklmnopqrstuvwxyz"
BRACKETS, ANGLES = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"), ("<s>", "<pad>", "</s>", "<unk>", "<mask>")


def pieces(*special: str) -> dict[str, Any]:
    return {"vocab": {piece: i for i, piece in enumerate([*special, *WORDS, *(f"##{c}" for c in LETTERS)])}}


def byte_level(*special: str) -> dict[str, Any]:
    from tokenizers.pre_tokenizers import ByteLevel

    return {"vocab": {piece: i for i, piece in enumerate([*special, *sorted(ByteLevel.alphabet())])}, "merges": []}


def letters(*special: str) -> dict[str, Any]:
    return {"vocab": {piece: i for i, piece in enumerate([*special, "▁", *LETTERS])}, "merges": []}


def unigrams(*special: str) -> dict[str, Any]:
    words = [(f"▁{word}", -1.0) for word in WORDS]
    return {"vocab": [*((s, 0.0) for s in special), *words, ("▁", -3.0), *((c, -5.0) for c in LETTERS)]}


def words(name: str, made: dict[str, Any]) -> Callable[[], Any]:
    import transformers

    return lambda: getattr(transformers, name)(**made)


def pixels(name: str = "ViTImageProcessor", **settings: Any) -> Callable[[], Any]:
    import transformers

    return lambda: getattr(transformers, name)(**{"size": {"height": 32, "width": 32}, **settings})


def sounds(name: str = "Wav2Vec2FeatureExtractor", **settings: Any) -> Callable[[], Any]:
    import transformers

    return lambda: getattr(transformers, name)(**settings)


def paired(processor: str, inner: str, made: Callable[[], Any], tokenizer: Callable[[], Any]) -> Callable[[], Any]:
    """What a whole two-tower checkpoint is saved with."""
    import transformers

    return lambda: getattr(transformers, processor)(**{inner: made(), "tokenizer": tokenizer()})


BODY = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
TEXT = {"vocab_size": 300, "max_position_embeddings": 64, **BODY}
PLAIN = {"hidden_dropout_prob": 0.0, "pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2}  # of RoBERTa's kin
LLAMA = {**TEXT, "num_key_value_heads": 1, "max_position_embeddings": 131_072, "pad_token_id": None}
T5 = {"vocab_size": 400, "d_model": 16, "d_kv": 8, "d_ff": 32, "num_layers": 2, "num_heads": 2}
RELATIVE = {"relative_attention": True, "position_biased_input": False, "pos_att_type": ["p2c", "c2p"]}
BART = {
    "d_model": 16, "encoder_layers": 2, "decoder_layers": 1, "encoder_attention_heads": 2,
    "decoder_attention_heads": 2, "encoder_ffn_dim": 32, "decoder_ffn_dim": 32,
}  # fmt: skip
PICTURE = {"image_size": 32, "patch_size": 8, **BODY}
SWIN = {"image_size": 32, "patch_size": 2, "embed_dim": 8, "depths": [1, 1], "num_heads": [2, 2], "window_size": 4}
TOWER_TEXT = {**TEXT, "projection_dim": 8, "bos_token_id": 0, "eos_token_id": 2, "pad_token_id": 1}
SPEECH = {
    "conv_dim": (16, 16), "conv_stride": (5, 4), "conv_kernel": (10, 8), "num_feat_extract_layers": 2,
    "num_conv_pos_embeddings": 8, "num_conv_pos_embedding_groups": 2, "vocab_size": 10, **BODY,
}  # fmt: skip
CLAP = {
    "spec_size": 64, "num_mel_bins": 16, "window_size": 4, "depths": [1, 1], "num_attention_heads": [1, 2],
    "patch_embeds_hidden_size": 8, "hidden_size": 16, "num_hidden_layers": 2, "projection_dim": 8,
}  # fmt: skip
WHISPER = {"num_mel_bins": 8, "vocab_size": 60, "max_source_positions": 50, **BART}
MARKS = {"pad_token_id": 0, "bos_token_id": 2, "eos_token_id": 3, "decoder_start_token_id": 2}
CLAP_EARS = sounds("ClapFeatureExtractor", feature_size=16, max_length_s=2, truncation="rand_trunc")
CLIP_EYES = pixels("CLIPImageProcessor", size={"shortest_edge": 36}, crop_size={"height": 32, "width": 32})
DINO_EYES = pixels("BitImageProcessor", size={"shortest_edge": 36}, crop_size={"height": 32, "width": 32})
WORD_PIECES, BYTES = words("BertTokenizer", pieces(*BRACKETS)), words("RobertaTokenizer", byte_level(*ANGLES))


@dataclass(frozen=True)
class Family:
    """How a tiny member is made, and the width of each layer that must be tapped."""

    config: str
    settings: dict[str, Any]
    processor: Callable[[], Any]
    reads: str
    widths: tuple[int, ...] = (16, 16, 16)
    skip: int = 0
    model: str | None = None  # its class, where AutoModel has none
    by_length: bool = False  # whether padding would change it, so that each length takes a pass of its own


TEXTS = {
    "BERT": Family("BertConfig", TEXT, WORD_PIECES, "text"),
    "RoBERTa": Family("RobertaConfig", {**TEXT, **PLAIN}, BYTES, "text"),
    "XLM-R": Family(
        "XLMRobertaConfig", {**TEXT, **PLAIN}, words("XLMRobertaTokenizer", unigrams(*ANGLES[:4])), "text"
    ),
    "DistilBERT": Family(
        "DistilBertConfig",
        {"vocab_size": 60, "dim": 16, "n_layers": 2, "n_heads": 2, "hidden_dim": 32},
        words("DistilBertTokenizer", pieces(*BRACKETS)),
        "text",
    ),
    "DeBERTa": Family("DebertaConfig", {**TEXT, **RELATIVE}, words("DebertaTokenizer", byte_level(*BRACKETS)), "text"),
    "DeBERTa-v2": Family(
        "DebertaV2Config",
        {**TEXT, **RELATIVE, "position_buckets": 8, "share_att_key": True, "norm_rel_ebd": "layer_norm"},
        words("DebertaV2Tokenizer", unigrams("[PAD]", "[CLS]", "[SEP]", "[UNK]")),
        "text",
    ),
    "MPNet": Family("MPNetConfig", TEXT, words("MPNetTokenizer", pieces(*ANGLES)), "text"),
    "ModernBERT": Family(
        "ModernBertConfig",
        {**TEXT, "num_hidden_layers": 3, "local_attention": 4, "max_position_embeddings": 8192, "pad_token_id": 0},
        WORD_PIECES,
        "text",
        (16,) * 4,
    ),
    "GPT-2": Family(
        "GPT2Config",
        {"vocab_size": 300, "n_positions": 64, "n_embd": 16, "n_layer": 2, "n_head": 2},
        words("GPT2Tokenizer", byte_level("<|endoftext|>")),
        "text",
    ),
    "Llama": Family("LlamaConfig", LLAMA, words("LlamaTokenizer", letters("<unk>", "<s>", "</s>")), "text"),
    "Qwen2": Family("Qwen2Config", LLAMA, words("Qwen2Tokenizer", byte_level("<|endoftext|>")), "text"),
    "Qwen3": Family(
        "Qwen3Config", {**LLAMA, "head_dim": 8}, words("Qwen2Tokenizer", byte_level("<|endoftext|>")), "text"
    ),
    "T5": Family("T5Config", T5, words("T5Tokenizer", {**unigrams("<pad>", "</s>", "<unk>"), "extra_ids": 0}), "text"),
    "BART": Family("BartConfig", {"vocab_size": 300, "max_position_embeddings": 64, **BART, **MARKS}, BYTES, "text"),
    "T5, the encoder alone": Family(
        "T5Config",
        {**T5, "feed_forward_proj": "gated-gelu"},
        words("T5Tokenizer", {**unigrams("<pad>", "</s>", "<unk>"), "extra_ids": 0}),
        "text",
        model="T5EncoderModel",
    ),
    "FNet, which has no mask": Family(
        "FNetConfig",
        {"vocab_size": 400, "hidden_size": 16, "num_hidden_layers": 2, "intermediate_size": 32},
        words("ByT5Tokenizer", {}),
        "text",
        by_length=True,
    ),
    "ByT5": Family("T5Config", {**T5, "feed_forward_proj": "gated-gelu"}, words("ByT5Tokenizer", {}), "text"),
    "CANINE": Family(
        "CanineConfig",
        {**BODY, "max_position_embeddings": 64, "num_hash_buckets": 64, "local_transformer_stride": 8},
        words("CanineTokenizer", {}),
        "text",
        (16,) * 7,  # characters, 2; then fewer positions, 3; then characters, 2
        by_length=True,
    ),
}
PICTURES = {
    "ViT": Family("ViTConfig", PICTURE, pixels(), "picture", skip=1),
    "DINOv2": Family("Dinov2Config", {**PICTURE, "mlp_ratio": 2}, DINO_EYES, "picture", skip=1),
    "DINOv2 with registers": Family(
        "Dinov2WithRegistersConfig", {**PICTURE, "num_register_tokens": 4}, DINO_EYES, "picture", skip=5
    ),
    "Swin": Family("SwinConfig", SWIN, pixels(), "picture", (8, 16, 16)),
    "CLIP's image tower": Family("CLIPVisionConfig", PICTURE, CLIP_EYES, "picture", skip=1),
    "SigLIP's image tower": Family("SiglipVisionConfig", PICTURE, pixels("SiglipImageProcessor"), "picture"),
    "all of CLIP": Family(
        "CLIPConfig",
        {"text_config": TOWER_TEXT, "vision_config": PICTURE, "projection_dim": 8},
        paired("CLIPProcessor", "image_processor", CLIP_EYES, BYTES),
        "picture",
        skip=1,
    ),
    "all of SigLIP": Family(
        "SiglipConfig",
        {"text_config": TOWER_TEXT, "vision_config": PICTURE},
        paired("SiglipProcessor", "image_processor", pixels("SiglipImageProcessor"), BYTES),
        "picture",
    ),
}
SOUNDS = {
    "wav2vec2": Family("Wav2Vec2Config", {**SPEECH, "feat_extract_norm": "layer"}, sounds(), "sound"),
    "wav2vec2 with group norm": Family(
        "Wav2Vec2Config", {**SPEECH, "feat_extract_norm": "group"}, sounds(), "sound", by_length=True
    ),
    "wav2vec2 with an adapter": Family(
        "Wav2Vec2Config", {**SPEECH, "feat_extract_norm": "layer", "add_adapter": True}, sounds(), "sound"
    ),
    "HuBERT": Family("HubertConfig", {**SPEECH, "feat_extract_norm": "layer"}, sounds(), "sound"),
    "WavLM": Family("WavLMConfig", {**SPEECH, "feat_extract_norm": "layer"}, sounds(), "sound"),
    "Whisper": Family(
        "WhisperConfig",
        {**WHISPER, **MARKS},
        sounds("WhisperFeatureExtractor", feature_size=8, chunk_length=1),
        "sound",
    ),
    "AST": Family(
        "ASTConfig",
        {**BODY, "num_mel_bins": 32, "max_length": 64},
        sounds("ASTFeatureExtractor", num_mel_bins=32, max_length=64),
        "sound",
        skip=2,
    ),
    "CLAP's audio tower": Family("ClapAudioConfig", CLAP, CLAP_EARS, "sound", (8, 16, 16), model="ClapAudioModel"),
    "all of CLAP, which draws crops at random": Family(
        "ClapConfig",
        {
            "text_config": {**TOWER_TEXT, "intermediate_size": 32},
            "audio_config": {**CLAP, "enable_fusion": True, "fusion_type": "aff_2d"},
            "projection_dim": 8,
        },
        paired(
            "ClapProcessor",
            "feature_extractor",
            sounds("ClapFeatureExtractor", feature_size=16, max_length_s=2, truncation="fusion"),
            BYTES,
        ),
        "sound",
        (8, 16, 16),
    ),
}  # fmt: skip
FAMILIES = {**TEXTS, **PICTURES, **SOUNDS}


def save(folder: Path, family: Family) -> str:
    """What `save_pretrained` of a trained model would leave, as a spec."""
    import transformers

    with seeded(0):
        config = getattr(transformers, family.config)(**family.settings)
        automatic = family.model is None
        model = (
            transformers.AutoModel.from_config(config) if automatic else getattr(transformers, family.model)(config)
        )
        for parameter in model.parameters():  # many are initialised to zeros, which hide what reaches what
            torch.nn.init.normal_(parameter, std=0.3)
        model.save_pretrained(folder)
    family.processor().save_pretrained(folder)
    return f"hf:{folder}"


def target(reads: str) -> Target:
    """Four samples of unequal lengths, one of them very short."""
    rng = np.random.default_rng(0)
    if reads == "text":
        texts = ["the cat sat", "a big red dog ran on the blue mat", "a", "the dog ran on a mat"]
        return from_arrays(texts, [0, 1, 0, 1], modality="text")
    if reads == "picture":
        shapes = [(40, 50), (32, 32), (90, 30), (20, 64)]
        images = [Image.fromarray(rng.integers(0, 256, (*shape, 3), dtype=np.uint8)) for shape in shapes]
        return from_arrays(images, [0, 1, 0, 1], modality="image")
    waves = [(rng.normal(0, 0.1, n).astype(np.float32), 16_000) for n in (2000, 7000, 3100, 900)]
    return from_arrays(waves, [0, 1, 0, 1], modality="audio")


@dataclass
class Loaded:
    """A family's member as a user loads it, and samples of its modality."""

    family: Family
    spec: str
    source: Source
    samples: list[Any]
    prepare: Callable[[list[Any]], Inputs]

    def features(self, samples: list[Any], how: str = "mean", source: Source | None = None) -> dict[str, torch.Tensor]:
        with torch.no_grad():
            outputs = (source or self.source).run(self.prepare(samples), self.source.card.layers)
        return {layer: pool(found, how) for layer, found in outputs.layers.items()}


@pytest.fixture(scope="module", params=list(FAMILIES))
def loaded(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Loaded:
    family = FAMILIES[request.param]
    spec = save(tmp_path_factory.mktemp("family"), family)
    source, data = load_source(spec), target(family.reads)
    adapter = find_adapter(data, source)
    return Loaded(
        family, spec, source, [data.samples[i] for i in range(4)], lambda samples: adapter.prepare(samples, Counter())
    )


def test_every_layer_is_tapped_in_one_forward_pass_and_is_finite_and_of_its_width(loaded: Loaded) -> None:
    calls = []
    top = loaded.source.model
    body = top.get_encoder() if top.config.is_encoder_decoder else top
    handle = body.register_forward_hook(lambda *_: calls.append(1))
    batch = loaded.features(loaded.samples)
    assert (len(calls) == 1) is not loaded.family.by_length
    calls.clear()
    features = loaded.features([loaded.samples[1]] * 2)
    handle.remove()
    assert len(calls) == 1
    assert list(features) == list(loaded.source.card.layers) == [f"hidden.{i}" for i in range(len(features))]
    assert tuple(values.shape for values in features.values()) == tuple((2, w) for w in loaded.family.widths)
    assert all(torch.isfinite(values).all() for values in features.values())
    last = batch[loaded.source.card.layers[-1]]
    assert len(torch.unique(last, dim=0)) == 4


@pytest.mark.parametrize("how", POOLINGS)
def test_padding_never_changes_a_pooled_feature(loaded: Loaded, how: str) -> None:
    batch = loaded.features(loaded.samples, how)
    alone = [loaded.features([sample], how) for sample in loaded.samples]
    pair = loaded.features(loaded.samples[2:], how)  # beside other neighbours
    for layer, values in batch.items():
        torch.testing.assert_close(values, torch.cat([one[layer] for one in alone]), rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(values[2:], pair[layer], rtol=1e-5, atol=1e-5)


def test_features_are_the_same_again_and_a_twins_are_others_by_its_seed(loaded: Loaded) -> None:
    first, again = (loaded.features(loaded.samples) for _ in range(2))
    reloaded = load_source(loaded.spec)
    assert reloaded.card == loaded.source.card
    third = loaded.features(loaded.samples, source=reloaded)
    twin, same, other = (load_source(f"{loaded.spec}?weights=random", seed=seed) for seed in (3, 3, 4))
    assert (twin.card.layers, twin.card.twin_of) == (loaded.source.card.layers, loaded.spec)
    assert twin.card.weights_sha256 == same.card.weights_sha256
    assert len({s.card.weights_sha256 for s in (loaded.source, twin, other)}) == 3
    of_twin = loaded.features(loaded.samples, source=twin)
    for layer, values in first.items():
        torch.testing.assert_close(values, again[layer], rtol=0, atol=0)
        torch.testing.assert_close(values, third[layer], rtol=0, atol=0)
        assert not torch.allclose(values, of_twin[layer], rtol=1e-3, atol=1e-3)


def test_of_a_sample_alone_every_position_is_real(loaded: Loaded) -> None:
    if loaded.family.config == "WhisperConfig":
        pytest.skip("Whisper hears 30 seconds, whatever is said")
    with torch.no_grad():
        found = loaded.source.run(loaded.prepare([loaded.samples[1]]), loaded.source.card.layers).layers
    for one in found.values():
        assert one.mask is None or (one.mask.shape == one.values.shape[:2] and bool(one.mask.all()))


def test_leading_tokens_are_no_content(loaded: Loaded) -> None:
    with torch.no_grad():
        found = loaded.source.run(loaded.prepare(loaded.samples), loaded.source.card.layers).layers
    assert {one.skip for one in found.values()} == {loaded.family.skip}
