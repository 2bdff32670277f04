"""transformers' models, tiny and random, saved to a folder and read back: layers, heads, padding, errors."""

from __future__ import annotations

import json
import pickle
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from transferscope.adapters import Adapter, find_adapter
from transferscope.errors import SourceError, TransferScopeError, UnknownNameError
from transferscope.features.pooling import pool
from transferscope.sources import ImageInput, Source, load_source
from transferscope.sources.hooks import seeded
from transferscope.targets import Target
from transferscope.targets.arrays import from_arrays

WORDS = ["the", "a", "cat", "dog", "sat", "ran", "on", "mat", "red", "blue", "big"]
BODY = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
SEQUENCE = {
    "d_model": 16, "encoder_layers": 2, "decoder_layers": 1, "encoder_attention_heads": 2,
    "decoder_attention_heads": 2, "encoder_ffn_dim": 32, "decoder_ffn_dim": 32,
}  # fmt: skip
SPEECH = {
    "conv_dim": (16, 16), "conv_stride": (5, 4), "conv_kernel": (10, 8), "num_feat_extract_layers": 2,
    "num_conv_pos_embeddings": 8, "num_conv_pos_embedding_groups": 2, "vocab_size": 10, "num_labels": 3, **BODY,
}  # fmt: skip
PICTURE = {"image_size": 32, "patch_size": 8, "num_labels": 3, **BODY}
SWIN = {
    "image_size": 32, "patch_size": 2, "embed_dim": 8, "depths": [1, 1], "num_heads": [2, 2], "window_size": 4,
}  # fmt: skip
STAGES = {"hidden_sizes": [8, 16], "depths": [1, 1], "num_labels": 3}
PYRAMID = {
    "num_encoder_blocks": 2, "sr_ratios": [2, 1], "patch_sizes": [3, 3], "strides": [2, 2],
    "num_attention_heads": [1, 2], "mlp_ratios": [2, 2], **STAGES,
}  # fmt: skip
MARKS = {"pad_token_id": 0, "bos_token_id": 2, "eos_token_id": 3, "decoder_start_token_id": 2, "num_labels": 3}
TEXT = {"vocab_size": len(WORDS) + 4, "max_position_embeddings": 32, "num_labels": 3}
GPT = {"vocab_size": 15, "n_positions": 32, "n_embd": 16, "n_layer": 2, "n_head": 2, "num_labels": 3}
T5 = {"vocab_size": 15, "d_model": 16, "d_kv": 8, "d_ff": 32, "num_layers": 2, "num_heads": 2, **MARKS}
BART = {**TEXT, **SEQUENCE, **MARKS}
WHISPER = {
    "num_mel_bins": 8,
    "vocab_size": 60,
    "classifier_proj_size": 8,
    "max_source_positions": 50,
    **SEQUENCE,
    **MARKS,
}
HEADS = {
    "picture": "AutoModelForImageClassification", "text": "AutoModelForSequenceClassification",
    "sound": "AutoModelForAudioClassification",
}  # fmt: skip

# config class, its settings, what it reads, whether it is saved with a head
CASES = [
    ("ViTConfig", PICTURE, "picture", False),
    ("ViTConfig", PICTURE, "picture", True),
    ("DeiTConfig", PICTURE, "picture", False),
    ("ConvNextConfig", {**STAGES, "num_stages": 2}, "picture", True),
    ("ResNetConfig", {**STAGES, "embedding_size": 8, "layer_type": "basic"}, "picture", True),
    ("SwinConfig", SWIN, "picture", False),
    ("SegformerConfig", PYRAMID, "picture", False),
    ("MobileNetV2Config", {"depth_multiplier": 0.25}, "picture", False),
    ("Wav2Vec2Config", {**SPEECH, "feat_extract_norm": "layer"}, "sound", False),
    ("Wav2Vec2Config", {**SPEECH, "feat_extract_norm": "group"}, "sound", False),
    ("Wav2Vec2Config", {**SPEECH, "feat_extract_norm": "group"}, "sound", True),
    ("HubertConfig", {**SPEECH, "feat_extract_norm": "layer"}, "sound", True),
    ("ASTConfig", {**BODY, "num_mel_bins": 32, "max_length": 64, "num_labels": 3}, "sound", True),
    ("WhisperConfig", WHISPER, "sound", False),
    ("WhisperConfig", WHISPER, "sound", True),
    ("BertConfig", {**TEXT, **BODY}, "text", False),
    ("BertConfig", {**TEXT, **BODY}, "text", True),
    ("DistilBertConfig", {**TEXT, "dim": 16, "n_layers": 2, "n_heads": 2, "hidden_dim": 32}, "text", True),
    ("GPT2Config", GPT, "text", False),
    ("GPT2Config", GPT, "text", True),
    ("T5Config", T5, "text", False),
    ("T5Config", T5, "text", True),
    ("BartConfig", BART, "text", True),
]  # fmt: skip
QUICK = (  # one of each kind of layer, mask and head
    "ViT+head", "ConvNext+head", "Swin", "Segformer", "Wav2Vec2layer", "Wav2Vec2group+head", "AST+head",
    "Whisper+head", "Bert", "Bert+head", "GPT2+head", "Bart+head",
)  # fmt: skip


def named(config: str, settings: dict[str, Any], reads: str, head: bool) -> Any:
    name = f"{config.removesuffix('Config')}{settings.get('feat_extract_norm', '')}{'+head' * head}"
    return pytest.param(config, settings, reads, head, id=name, marks=[] if name in QUICK else pytest.mark.slow)


def words(pads: bool = True) -> Any:
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
    vocabulary = {word: i for i, word in enumerate([*special, *WORDS])}
    made = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    made.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    named = {"unk_token": "[UNK]", "eos_token": "[SEP]"} | ({"pad_token": "[PAD]"} if pads else {})
    return PreTrainedTokenizerFast(tokenizer_object=made, **named)


def save(folder: Path, config: str, settings: dict[str, Any], reads: str, head: bool) -> str:
    """What `save_pretrained` of a trained model would leave, as a spec."""
    import transformers

    with seeded(0):
        auto = getattr(transformers, HEADS[reads] if head else "AutoModel")
        auto.from_config(getattr(transformers, config)(**settings)).save_pretrained(folder)
    processor: Any
    if reads == "text":
        processor = words(pads=config != "GPT2Config")
    elif reads == "picture":
        processor = transformers.ViTImageProcessor(size={"height": 32, "width": 32})
    elif config == "WhisperConfig":
        processor = transformers.WhisperFeatureExtractor(feature_size=8, chunk_length=1)
    elif config == "ASTConfig":
        processor = transformers.ASTFeatureExtractor(num_mel_bins=32, max_length=64)
    else:
        processor = transformers.Wav2Vec2FeatureExtractor(return_attention_mask=False)
    processor.save_pretrained(folder)
    return f"hf:{folder}"


def target(reads: str) -> Target:
    """Four samples of unequal lengths."""
    rng = np.random.default_rng(0)
    if reads == "text":
        texts = ["the cat sat", "a big red dog ran on the blue mat", "cat", "the dog ran on a mat"]
        return from_arrays(texts, [0, 1, 0, 1], modality="text")
    if reads == "picture":
        pixels = rng.integers(0, 256, (4, 40, 50, 3), dtype=np.uint8)
        return from_arrays([Image.fromarray(p) for p in pixels], [0, 1, 0, 1], modality="image")
    waves = [(rng.normal(0, 0.1, n).astype(np.float32), 16_000) for n in (2000, 5000, 3100, 2000)]
    return from_arrays(waves, [0, 1, 0, 1], modality="audio")


def run(source: Source, adapter: Adapter, samples: list[Any]) -> tuple[dict[str, torch.Tensor], torch.Tensor | None]:
    with torch.no_grad():
        outputs = source.run(adapter.prepare(samples, Counter()), source.card.layers)
    return {layer: pool(found) for layer, found in outputs.layers.items()}, outputs.logits


@pytest.mark.parametrize(("config", "settings", "reads", "head"), [named(*case) for case in CASES])
def test_features_are_of_the_sample_alone_and_logits_where_there_is_a_head(
    tmp_path: Path, config: str, settings: dict[str, Any], reads: str, head: bool
) -> None:
    source = load_source(save(tmp_path, config, settings, reads, head))
    data = target(reads)
    adapter = find_adapter(data, source)
    samples = [data.samples[row] for row in range(4)]
    batch, logits = run(source, adapter, samples)
    alone = [run(source, adapter, [sample]) for sample in samples]
    assert list(batch) == list(source.card.layers)
    assert len(batch) >= 2
    for layer, values in batch.items():
        torch.testing.assert_close(values, torch.cat([one[0][layer] for one in alone]), rtol=1e-4, atol=1e-5)
        assert torch.isfinite(values).all()
        assert len(torch.unique(values, dim=0)) == 4
    if head and not source.model.config.is_encoder_decoder:  # an encoder alone has no head
        assert source.card.n_source_classes == 3
        assert logits is not None
        assert logits.shape == (4, 3)
        torch.testing.assert_close(logits, torch.cat([one[1] for one in alone]), rtol=1e-4, atol=1e-5)
    else:
        assert (logits, source.card.n_source_classes) == (None, None)


@pytest.mark.parametrize("case", [CASES[1], CASES[10], CASES[16]], ids=["picture", "sound", "text"])
def test_twins_have_the_layers_and_other_weights_by_their_seed(tmp_path: Path, case: Any) -> None:
    spec = save(tmp_path, *case)
    source = load_source(spec)
    torch.manual_seed(1)
    twin = load_source(f"{spec}?weights=random", seed=3)
    torch.manual_seed(2)
    again, other = (load_source(f"{spec}?weights=random", seed=seed) for seed in (3, 4))
    assert twin.card == again.card
    assert len({s.card.weights_sha256 for s in (source, twin, other)}) == 3
    assert load_source(spec).card == source.card
    assert (twin.card.is_random, twin.card.twin_of, twin.card.n_source_classes) == (True, spec, None)
    assert twin.card.layers == source.card.layers
    first, second = (run(s, find_adapter(target(case[2]), s), [target(case[2]).samples[0]])[0] for s in (twin, again))
    for layer in first:
        torch.testing.assert_close(first[layer], second[layer], rtol=0, atol=0)


def test_leading_tokens_of_pictures_are_no_content(tmp_path: Path) -> None:
    for config, skip in (("ViTConfig", 1), ("SwinConfig", 0)):
        settings = next(c[1] for c in CASES if c[0] == config)
        source = load_source(save(tmp_path / config, config, settings, "picture", False))
        with torch.no_grad():
            found = source.run({"pixel_values": torch.rand(1, 3, 32, 32)}, ["hidden.1"]).layers["hidden.1"]
        assert (found.layout, found.skip) == ("NTC", skip)


SQUARE = {"size": {"height": 24, "width": 24}}
CROPPED = {"size": {"shortest_edge": 40}, "crop_size": {"height": 32, "width": 32}, "do_center_crop": True}
HALF = (0.5,) * 3


@pytest.mark.parametrize(
    ("processor", "expected"),
    [
        (SQUARE, ((24, 24), HALF, HALF, "bilinear", 1.0)),
        ({"size": {"height": 24, "width": 48}, "resample": 3}, ((24, 48), HALF, HALF, "bicubic", 1.0)),
        ({**SQUARE, "resample": 0}, ((24, 24), HALF, HALF, "nearest", 1.0)),
        ({**SQUARE, "image_mean": [0.1, 0.2, 0.3]}, ((24, 24), (0.1, 0.2, 0.3), HALF, "bilinear", 1.0)),
        ({**SQUARE, "do_normalize": False}, ((24, 24), (0.0,) * 3, (1.0,) * 3, "bilinear", 1.0)),
        ({**CROPPED, "image_mean": [0.5] * 3, "image_std": [0.5] * 3}, ((32, 32), HALF, HALF, "bicubic", 0.8)),
        ({"size": {"shortest_edge": 99}}, ((99, 99), HALF, HALF, "bilinear", 1.0)),
    ],
    ids=["square", "wide", "nearest", "mean", "not normalised", "cropped", "short side"],
)
def test_input_of_pictures_is_the_processors_own(processor: dict[str, Any], expected: tuple[Any, ...]) -> None:
    import transformers

    from transferscope.sources.hf import image_input

    made = getattr(transformers, "CLIPImageProcessor" if "crop_size" in processor else "ViTImageProcessor")
    assert image_input(made(**processor), transformers.ViTConfig(image_size=55)) == ImageInput(*expected)


def test_longest_text_is_the_smallest_limit(tmp_path: Path) -> None:
    spec = save(tmp_path, "BertConfig", {**TEXT, **BODY}, "text", False)
    limits = [load_source(f"{spec}{option}").input.max_length for option in ("", "?max_length=9", "?max_length=99")]
    assert limits == [32, 9, 32]
    with pytest.raises(TransferScopeError, match=r"option max_length='0' is not valid \(expected a positive whole"):
        load_source(f"{spec}?max_length=0")
    with pytest.raises(UnknownNameError, match="no option of hf: named 'sise'"):
        load_source(f"{spec}?sise=9")


def test_folders_are_found_however_they_are_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save(tmp_path / "model", *CASES[15])
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    cards = [load_source(f"hf:{name}").card for name in (tmp_path / "model", "./model", "model", "~/model")]
    assert len({card.weights_sha256 for card in cards}) == 1
    for name in ("./modle", "~/modle", f"{tmp_path}/modle"):
        with pytest.raises(SourceError, match=f"there is no directory {name}; expected one holding config.json"):
            load_source(f"hf:{name}")


def test_without_a_network_the_message_names_the_local_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    message = r"hf:nobody/nothing: cannot be had from the hub \(.+\)\. Without a network, download it elsewhere"
    with pytest.raises(SourceError, match=message + " with save_pretrained and name the local directory: hf:./DIR"):
        load_source("hf:nobody/nothing")


class Bomb:
    """Runs code when it is unpickled."""

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Path]]:
        return Path.touch, (Path("exploded"),)


def drop_tensor(folder: Path) -> None:
    from safetensors.torch import load_file, save_file

    state = load_file(folder / "model.safetensors")
    del state["encoder.layer.1.output.dense.weight"]
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})


def widen(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "vocab_size": 99}))


def plant(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps({"weight": Bomb()}, protocol=2))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (drop_tensor, r"weights do not fit the architecture: 1 missing \(.*1.output.dense.weight\), 0 of another"),
        (widen, r"(0 missing \(\), 1 of another shape \(.*word_embeddings.weight\)|cannot be loaded \(.*mismatch)"),
        (plant, "the directory cannot be loaded"),
        (lambda f: (f / "model.safetensors").write_bytes(b"\x09" * 40), "the directory cannot be loaded"),
        (lambda f: (f / "model.safetensors").unlink(), r"cannot be loaded \(.*model.safetensors"),
        (lambda f: (f / "config.json").unlink(), r"be loaded .*expected what save_pretrained writes: config.json"),
        (lambda f: (f / "config.json").write_text("{"), r"cannot be loaded \(.*config.json"),
        (lambda f: (f / "config.json").write_text('{"model_type": "brt"}'), r"cannot be loaded \(.*`?brt"),
        (lambda f: [(f / n).unlink() for n in ("tokenizer.json", "tokenizer_config.json")], "knows no words"),
    ],
    ids=["tensor", "shape", "code", "damaged", "no weights", "no config", "half config", "unknown", "no tokenizer"],
)  # fmt: skip
def test_folders_that_cannot_be_loaded_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spoil: Callable[[Path], Any], message: str
) -> None:
    spec = save(tmp_path / "model", *CASES[15])
    spoil(tmp_path / "model")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SourceError, match=message):
        load_source(spec)
    assert not (tmp_path / "exploded").exists()


def test_models_of_other_inputs_are_refused(tmp_path: Path) -> None:
    import transformers

    config = transformers.TimeSeriesTransformerConfig(
        prediction_length=2, d_model=8, encoder_layers=1, decoder_layers=1, encoder_ffn_dim=8, decoder_ffn_dim=8,
        encoder_attention_heads=1, decoder_attention_heads=1,
    )  # fmt: skip
    transformers.AutoModel.from_config(config).save_pretrained(tmp_path)
    with pytest.raises(SourceError, match="takes in 'past_values'; expected input_ids, pixel_values or a waveform"):
        load_source(f"hf:{tmp_path}")


def test_loading_leaves_transformers_own_settings_alone(tmp_path: Path) -> None:
    from transformers.utils import logging

    spec = save(tmp_path, *CASES[15])
    before = logging.get_verbosity(), logging.is_progress_bar_enabled()
    load_source(spec)
    with pytest.raises(SourceError):
        load_source("hf:./nowhere")
    assert (logging.get_verbosity(), logging.is_progress_bar_enabled()) == before
