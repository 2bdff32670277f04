"""Options of ``hf:``: the longest text, the size and channels of pictures; and a hub that does not answer."""

from __future__ import annotations

import http.server
import shutil
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from transferscope.adapters import find_adapter
from transferscope.errors import SourceError, TransferScopeError
from transferscope.features.pooling import pool
from transferscope.sources import Source, load_source
from transferscope.sources.hf import unreachable
from transferscope.sources.hooks import seeded
from transferscope.targets.arrays import from_arrays

BODY = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
T5 = {"d_model": 16, "d_kv": 8, "d_ff": 32, "num_layers": 1, "num_heads": 2, "vocab_size": 400}
BART = {
    "d_model": 16, "encoder_layers": 1, "decoder_layers": 1, "encoder_attention_heads": 2,
    "decoder_attention_heads": 2, "encoder_ffn_dim": 32, "decoder_ffn_dim": 32, "vocab_size": 400,
}  # fmt: skip
LETTERS = {**BODY, "vocab_size": 400}
ROTARY = {**LETTERS, "num_key_value_heads": 1, "max_position_embeddings": 131_072}
PICTURE = {"image_size": 32, "patch_size": 8, **BODY}
SWIN = {"image_size": 32, "patch_size": 2, "embed_dim": 8, "depths": [1, 1], "num_heads": [2, 2], "window_size": 4}
STAGES = {"hidden_sizes": [8, 16], "depths": [1, 1]}
IMAGENET = {"image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}


def save(folder: Path, config: str, settings: dict[str, Any], processor: str, **made: Any) -> str:
    """A tiny model whose weights are all away from zero, and its processor."""
    import transformers

    with seeded(0):
        model = transformers.AutoModel.from_config(getattr(transformers, config)(**settings))
        for parameter in model.parameters():
            torch.nn.init.normal_(parameter, std=0.2)
        model.save_pretrained(folder)
    getattr(transformers, processor)(**made).save_pretrained(folder)
    return f"hf:{folder}"


def text(folder: Path, config: str, settings: dict[str, Any]) -> str:
    return save(folder, config, settings, "ByT5Tokenizer")


def picture(folder: Path, config: str, settings: dict[str, Any], **processor: Any) -> str:
    return save(folder, config, settings, "ViTImageProcessor", **{"size": {"height": 32, "width": 32}, **processor})


def features(source: Source, samples: list[Any], modality: Any) -> dict[str, torch.Tensor]:
    data = from_arrays(samples * 4, [0, 1] * (2 * len(samples)), modality=modality)
    adapter = find_adapter(data, source)
    with torch.no_grad():
        found = source.run(adapter.prepare(samples, Counter()), source.card.layers).layers
    return {layer: pool(one) for layer, one in found.items()}


LIMITS = {  # config, settings, longest text as it is, and with 100 and 1024 asked for
    "a table": ("BertConfig", {**LETTERS, "max_position_embeddings": 64}, (64, 64, 64)),
    "a long table": ("GPT2Config", {"n_embd": 16, "n_layer": 1, "n_head": 2, "n_positions": 700}, (512, 100, 700)),
    "RoBERTa counts from its padding": ("RobertaConfig", {**LETTERS, "max_position_embeddings": 514}, (512, 100, 512)),
    "RoBERTa with another padding": (
        "RobertaConfig", {**LETTERS, "max_position_embeddings": 64, "pad_token_id": 5}, (58, 58, 58),
    ),
    "XLM-R": ("XLMRobertaConfig", {**LETTERS, "max_position_embeddings": 66}, (64, 64, 64)),
    "MPNet": ("MPNetConfig", {**LETTERS, "max_position_embeddings": 66}, (64, 64, 64)),
    "BART has two rows to spare": ("BartConfig", {**BART, "max_position_embeddings": 64}, (64, 64, 64)),
    "CANINE": ("CanineConfig", {**BODY, "max_position_embeddings": 64, "num_hash_buckets": 99}, (64, 64, 64)),
    "relative positions": ("T5Config", T5, (512, 100, 1024)),
    "relative positions of DeBERTa": (
        "DebertaV2Config", {**LETTERS, "relative_attention": True, "position_biased_input": False}, (512, 100, 1024),
    ),
    "rotary positions": ("LlamaConfig", ROTARY, (512, 100, 1024)),
    "few rotary positions": ("Qwen2Config", {**ROTARY, "max_position_embeddings": 96}, (96, 100, 1024)),
}  # fmt: skip


@pytest.mark.parametrize(("config", "settings", "limits"), LIMITS.values(), ids=LIMITS)
def test_the_longest_text_is_what_positions_allow_and_the_model_can_run_it(
    tmp_path: Path, config: str, settings: dict[str, Any], limits: tuple[int, ...]
) -> None:
    spec = text(tmp_path, config, settings)
    for option, limit in zip(("", "?max_length=100", "?max_length=1024"), limits, strict=True):
        source = load_source(f"{spec}{option}")
        assert source.input.kind == "tokens"
        assert source.input.max_length == limit
    found = features(source, ["ab" * 1000, "ab" * 3], "text")  # the last: as long as it can be
    assert all(torch.isfinite(values).all() for values in found.values())


SIZES = {
    "ViT": ("ViTConfig", PICTURE),
    "DINOv2": ("Dinov2Config", PICTURE),
    "DINOv2 with registers": ("Dinov2WithRegistersConfig", PICTURE),
    "Swin": ("SwinConfig", SWIN),
    "CLIP": ("CLIPVisionConfig", PICTURE),
    "SigLIP": ("SiglipVisionConfig", PICTURE),
    "ConvNeXt": ("ConvNextConfig", {**STAGES, "num_stages": 2}),
    "ResNet": ("ResNetConfig", {**STAGES, "embedding_size": 8, "layer_type": "basic"}),
}


@pytest.mark.parametrize(("config", "settings"), SIZES.values(), ids=SIZES)
def test_pictures_of_another_size_are_taken_in_and_their_own_size_changes_nothing(
    tmp_path: Path, config: str, settings: dict[str, Any]
) -> None:
    spec = picture(tmp_path, config, settings)
    images = [Image.fromarray(np.random.default_rng(0).integers(0, 256, (70, 90, 3), dtype=np.uint8))]
    own = features(load_source(spec), images, "image")
    for layer, values in features(load_source(f"{spec}?size=32"), images, "image").items():
        torch.testing.assert_close(values, own[layer], rtol=1e-5, atol=1e-5)
    for option, size in (("64", (64, 64)), ("16x48", (16, 48))):
        source = load_source(f"{spec}?size={option}")
        assert source.input.kind == "image"
        assert source.input.size == size
        found = features(source, images, "image")
        assert [values.shape for values in found.values()] == [values.shape for values in own.values()]
        assert all(torch.isfinite(values).all() for values in found.values())


def test_prefix_tokens_are_told_from_the_model_for_pictures_that_are_not_square(tmp_path: Path) -> None:
    for config, settings, skip in (
        ("Dinov2WithRegistersConfig", {**PICTURE, "num_register_tokens": 3}, 4),
        ("ViTConfig", PICTURE, 1),
        ("SiglipVisionConfig", PICTURE, 0),
    ):
        source = load_source(f"{picture(tmp_path / config, config, settings)}?size=16x48")
        found = source.run({"pixel_values": torch.rand(1, 3, 16, 48)}, ["hidden.1"]).layers["hidden.1"]
        assert (found.skip, found.values.shape[1]) == (skip, skip + 12)


def test_sizes_that_a_model_cannot_take_are_refused(tmp_path: Path) -> None:
    three = {"hidden_sizes": [16] * 3, "num_attention_heads": [1] * 3, "depths": [1] * 3, "key_dim": [4] * 3}
    spec = picture(tmp_path, "LevitConfig", {"image_size": 32, **three})
    load_source(spec)
    with pytest.raises(SourceError, match=r"cannot be run on size \(48, 48\) \(.+\); expected"):
        load_source(f"{spec}?size=48")


@pytest.mark.parametrize(("config", "settings"), SIZES.values(), ids=SIZES)
@pytest.mark.parametrize("processor", [{}, IMAGENET], ids=["equal", "imagenet"])
def test_a_gray_picture_gives_the_same_by_one_channel_as_by_three(
    tmp_path: Path, config: str, settings: dict[str, Any], processor: dict[str, Any]
) -> None:
    spec = picture(tmp_path, config, settings, **processor)
    images = [Image.fromarray(np.random.default_rng(i).integers(0, 256, (40, 50), dtype=np.uint8)) for i in range(2)]
    three, one = load_source(f"{spec}?channels=3"), load_source(f"{spec}?channels=1")
    assert one.input.kind == "image"
    assert one.input.channels == 1
    assert one.card.layers == three.card.layers
    found = features(one, images, "image")
    for layer, values in features(three, images, "image").items():
        torch.testing.assert_close(found[layer], values, rtol=1e-5, atol=1e-5 * max(1, float(values.abs().max())))
    twin = load_source(f"{spec}?channels=1&weights=random")
    assert twin.card.twin_of == f"{spec}?channels=1"


def test_options_of_another_kind_of_model_are_refused(tmp_path: Path) -> None:
    words = text(tmp_path / "text", "T5Config", T5)
    image = picture(tmp_path / "image", "ViTConfig", PICTURE)
    for spec in (f"{words}?size=32", f"{words}?channels=1", f"{image}?max_length=9"):
        name = spec.partition("?")[2].partition("=")[0]
        with pytest.raises(SourceError, match=f"for which there is no option {name}; leave it out"):
            load_source(spec)
    for wrong in ("size=0", "size=8xx", "channels=2"):
        with pytest.raises(TransferScopeError, match="is not valid"):
            load_source(f"{image}?{wrong}")


def test_weights_of_a_tower_that_is_not_used_may_be_missing_and_of_the_other_not(tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    towers = {"text_config": {**LETTERS, "projection_dim": 8}, "vision_config": PICTURE, "projection_dim": 8}
    spec = picture(tmp_path, "CLIPConfig", towers)
    weights = load_file(tmp_path / "model.safetensors")
    whole = load_source(spec).card
    for part in ("text_model", "vision_model"):
        kept = {key: value for key, value in weights.items() if not key.startswith(part)}
        assert len(kept) < len(weights)
        save_file(kept, tmp_path / "model.safetensors", metadata={"format": "pt"})
        if part == "text_model":
            assert load_source(spec).card == whole
            continue
        with pytest.raises(SourceError, match=r"do not fit the architecture: \d+ missing \(vision_model"):
            load_source(spec)


@contextmanager
def hub(answer: Callable[[http.server.BaseHTTPRequestHandler], None]) -> Iterator[str]:
    """A server of one's own that answers HEAD."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            answer(self)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()


def busy(request: http.server.BaseHTTPRequestHandler) -> None:
    time.sleep(1)
    request.send_response(503)
    request.end_headers()


def drop(request: http.server.BaseHTTPRequestHandler) -> None:
    request.connection.close()


@pytest.mark.parametrize("answer", [busy, drop])
def test_a_hub_that_answers_slowly_or_oddly_is_there(
    monkeypatch: pytest.MonkeyPatch, answer: Callable[[http.server.BaseHTTPRequestHandler], None]
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    with hub(answer) as address:
        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", address)
        assert unreachable() is None


def test_without_a_network_the_message_comes_in_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    with hub(busy) as address:
        pass  # a port where nobody listens any more
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", address)
    began = time.monotonic()
    with pytest.raises(SourceError, match=rf"no connection to {address}: .+ not in the local cache\)\. Without a net"):
        load_source("hf:nobody/nothing")
    assert time.monotonic() - began < 5


def test_without_a_network_what_is_in_the_cache_loads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = Path(text(tmp_path / "made", "T5Config", T5).removeprefix("hf:"))
    kept = tmp_path / "hub" / "models--someone--tiny"
    shutil.copytree(made, kept / "snapshots" / ("0" * 40))
    (kept / "refs").mkdir()
    (kept / "refs" / "main").write_text("0" * 40)
    with hub(busy) as address:
        pass
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", address)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    source = load_source("hf:someone/tiny")
    assert source.card.weights_sha256 == load_source(f"hf:{made}").card.weights_sha256
