"""torchaudio's pipelines: small bundles of every kind, built and loaded by torchaudio's own functions."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from transferscope.adapters import find_adapter
from transferscope.errors import SourceError, UnknownNameError
from transferscope.features.pooling import pool
from transferscope.sources import Source, WaveformInput, load_source
from transferscope.targets.arrays import from_arrays

SMALL = {
    "encoder_embed_dim": 16, "encoder_num_layers": 2, "encoder_num_heads": 2, "encoder_ff_interm_features": 24,
    "encoder_pos_conv_kernel": 16, "encoder_pos_conv_groups": 4,
}  # fmt: skip
CONVS = [(12, 10, 5), (12, 3, 2), (12, 3, 2), (12, 3, 2), (12, 3, 2), (12, 2, 2), (12, 2, 2)]
NAMES = ("WAV2VEC2_BASE", "HUBERT_LARGE", "WAVLM_BASE", "WAVLM_LARGE", "WAV2VEC2_ASR_BASE_960H", "MMS_FA")
WAVES = [
    (np.random.default_rng(n).normal(0, 0.05, n) + level * np.sin(np.arange(n) * pitch)).astype(np.float32)
    for n, pitch, level in ((9000, 0.05, 0.1), (16_000, 0.2, 0.3), (5000, 0.5, 0.6), (9000, 1.1, 0.9))
]


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """Every bundle of `NAMES` with its own settings but few and narrow layers; torch's cache is an empty folder."""
    from dataclasses import replace

    from torchaudio import pipelines

    for name in NAMES:
        bundle = getattr(pipelines, name)
        shrunk = replace(bundle, _params={**bundle._params, **SMALL, "extractor_conv_layer_config": CONVS})
        shrunk.__doc__ = bundle.__doc__
        monkeypatch.setattr(pipelines, name, shrunk)
    before = torch.hub.get_dir()
    torch.hub.set_dir(tmp_path)
    yield tmp_path / "checkpoints"
    torch.hub.set_dir(before)


def heard(source: Source, waves: list[np.ndarray]) -> dict[str, torch.Tensor]:
    sounds = [(wave, 16_000) for wave in waves]
    target = from_arrays([*sounds] * 4, np.repeat([0, 1], 2 * len(sounds)), modality="audio")
    inputs = find_adapter(target, source).prepare([target.samples[i] for i in range(len(sounds))], Counter())
    with torch.no_grad():
        outputs = source.run(inputs, source.card.layers)
    assert outputs.logits is None
    return {layer: pool(found) for layer, found in outputs.layers.items()}


@pytest.mark.parametrize("name", NAMES)
def test_padding_changes_no_feature(name: str, small: Path) -> None:
    source = load_source(f"torchaudio:{name}?weights=random", seed=3)
    with torch.no_grad(), torch.random.fork_rng():
        torch.manual_seed(0)
        for parameter in source.model.parameters():  # wide ones, so that sounds differ by more than the tolerance
            if parameter.ndim > 1:
                parameter.normal_(std=0.3)
    together = heard(source, WAVES)
    assert list(together) == ["conv", "layer.1", "layer.2"]
    for i, wave in enumerate(WAVES):
        for layer, alone in heard(source, [wave]).items():
            torch.testing.assert_close(alone[0], together[layer][i], rtol=1e-5, atol=1e-5)
    assert all(not torch.allclose(values[0], values[3], atol=1e-3) for values in together.values())


@pytest.mark.parametrize("name", NAMES)
def test_layers_are_what_the_bundles_own_model_extracts_from_one_sound(name: str, small: Path) -> None:
    from torchaudio import pipelines

    bundle: Any = getattr(pipelines, name)
    twin = load_source(f"torchaudio:{name}?weights=random", seed=4)
    state = dict(twin.model.state_dict())
    for key in ("aux.weight", "aux.bias"):  # get_model removes rows that fairseq's own files have beside the labels
        if key in state:
            extra = state[key].new_zeros(len(bundle._remove_aux_axis), *state[key].shape[1:])
            state[key] = torch.cat([state[key][:1], extra, state[key][1:]])
    small.mkdir()
    torch.save(state, small / Path(bundle._path).name)
    source = load_source(f"torchaudio:{name}")
    assert source.card.weights_sha256 == twin.card.weights_sha256
    theirs = bundle.get_model()
    for wave in WAVES[:2]:
        with torch.no_grad():
            expected, _ = theirs.extract_features(torch.from_numpy(wave).unsqueeze(0))
        found = heard(source, [wave])
        for i, states in enumerate(expected):
            torch.testing.assert_close(found[f"layer.{i + 1}"], states.mean(dim=1), rtol=1e-5, atol=1e-5)


def test_masks_count_the_frames_of_each_sound_alone(small: Path) -> None:
    source = load_source("torchaudio:WAV2VEC2_BASE?weights=random")
    lengths = torch.tensor([400, 719, 720, 16_000])  # windows of 400 samples, 320 apart
    mask = (torch.arange(16_000) < lengths.unsqueeze(1)).float()
    with torch.no_grad():
        found = source.run({"input_values": torch.randn(4, 16_000), "attention_mask": mask}, ["layer.1"])
    real = found.layers["layer.1"].mask
    assert real is not None
    assert real.sum(dim=1).tolist() == [1, 1, 2, 49]


def test_cards_say_what_torchaudio_documents(small: Path) -> None:
    twin = load_source("torchaudio:WAV2VEC2_BASE?weights=random", seed=1)
    assert twin.input == WaveformInput(16_000, 30.0, 0.1)
    assert (twin.card.license, twin.card.pretraining, twin.card.n_source_classes) == ("MIT", None, None)
    assert (twin.card.is_random, twin.card.twin_of) == (True, "torchaudio:WAV2VEC2_BASE")
    assert load_source("torchaudio:MMS_FA?weights=random").card.license == "CC-BY-NC 4.0"
    assert twin.card == load_source("torchaudio:WAV2VEC2_BASE?weights=random", seed=1).card
    other = load_source("torchaudio:WAV2VEC2_BASE?weights=random", seed=2).card
    assert other.weights_sha256 != twin.card.weights_sha256


def test_every_bundle_says_its_licence_and_training_data() -> None:
    from torchaudio import pipelines

    from transferscope.sources.torchaudio import _license, _pretraining

    bundles = [value for value in vars(pipelines).values() if isinstance(value, pipelines.Wav2Vec2Bundle)]
    assert len(bundles) >= 29
    for bundle in bundles:
        said = " ".join((bundle.__doc__ or "").split())
        assert _license(said) in ("MIT", "CC BY-NC 4.0", "CC-BY-NC 4.0"), bundle._path
        assert "hours" in str(_pretraining(said))
        assert not set("*`:") & set(str(_pretraining(said)))


def test_gradients_reach_the_first_convolution(small: Path) -> None:
    source = load_source("torchaudio:WAVLM_LARGE?weights=random")
    mask = torch.ones(2, 4000)
    mask[1, 3000:] = 0
    found = source.run({"input_values": torch.randn(2, 4000), "attention_mask": mask}, ["layer.2"])
    pool(found.layers["layer.2"]).sum().backward()
    gradient = next(source.model.parameters()).grad
    assert gradient is not None
    assert gradient.isfinite().all()
    assert all(parameter.grad is not None for parameter in source.model.feature_extractor.parameters())


def test_without_a_network_the_error_is_quick_and_says_where_to_put_the_file(
    small: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")  # nothing listens there
    started = time.monotonic()
    message = (
        r"torchaudio:HUBERT_LARGE: its weights cannot be had \(.+\)\. Without a network, copy hubert_fairseq_large"
    )
    with pytest.raises(SourceError, match=message):
        load_source("torchaudio:HUBERT_LARGE")
    assert time.monotonic() - started < 10


def test_unknown_bundles_and_options_are_refused() -> None:
    with pytest.raises(
        UnknownNameError, match="no torchaudio pipeline named 'WAV2VEC_BASE'. Did you mean 'WAV2VEC2_B"
    ):
        load_source("torchaudio:WAV2VEC_BASE")
    with pytest.raises(UnknownNameError, match="no torchaudio pipeline named 'SQUIM_OBJECTIVE'"):
        load_source("torchaudio:SQUIM_OBJECTIVE")
    with pytest.raises(UnknownNameError, match="no option of torchaudio: named 'layers'"):
        load_source("torchaudio:WAV2VEC2_BASE?layers=3")


@pytest.mark.slow
@pytest.mark.parametrize(("name", "millions"), [("HUBERT_BASE", 94), ("WAVLM_BASE_PLUS", 94)])
def test_bundles_are_built_at_their_full_size(name: str, millions: int) -> None:
    source = load_source(f"torchaudio:{name}?weights=random")
    assert source.card.n_parameters // 10**6 == millions
    values = heard(source, WAVES[:2])
    assert [tuple(found.shape) for found in values.values()] == [(2, 512)] + [(2, 768)] * 12
