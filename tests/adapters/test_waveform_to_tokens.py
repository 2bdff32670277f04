"""Sounds in a language model's embedding space: a token each 160 ms, masks that tell sound from padding."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch
from torch import nn

from transferscope.adapters.waveform_to_tokens import MAX_SECONDS, N_MELS, RATE, STRIDE, EmbedFrames
from transferscope.errors import AdapterError
from transferscope.sources import TokensInput
from transferscope.targets import Waveform

SECONDS = STRIDE / RATE


def noise(seconds: float, seed: int = 0, rate: int = RATE, channels: int = 1) -> Waveform:
    """Noise whose loudness and colour wander."""
    rng = np.random.default_rng(seed)
    n = round(seconds * rate)
    slow = np.interp(
        np.arange(n), np.arange(0, n + rate // 10, rate // 10), rng.normal(size=-(-n // (rate // 10)) + 1)
    )
    white = rng.normal(size=n)
    coloured = white + np.tanh(slow) * np.roll(white, 1)
    return Waveform(np.tile(0.1 * coloured * 10 ** (slow / 2), (channels, 1)).astype(np.float32), rate)


@pytest.fixture(scope="module")
def sounds() -> list[Waveform]:
    return [noise(1 + i % 3, seed=i) for i in range(60)]


def spec(width: int = 24, max_length: int = 64) -> TokensInput:
    rng = np.random.default_rng(0)
    turn, _ = np.linalg.qr(rng.normal(size=(width, width)))
    table = nn.Embedding(300, width)
    table.weight.data = torch.from_numpy(
        rng.normal(size=(300, width)) * np.geomspace(3, 0.3, width) @ turn + rng.normal(size=width)
    ).float()
    return TokensInput(None, max_length, table)


def test_a_token_is_a_sixth_of_a_second_and_the_mask_ends_with_the_sound(sounds: list[Waveform]) -> None:
    made = EmbedFrames(spec(), sounds)
    lengths = [1e-4, SECONDS, SECONDS + 1e-4, 1.0, 2.0]
    inputs = made([noise(seconds) for seconds in lengths], Counter())
    assert inputs["attention_mask"].sum(dim=1).tolist() == [1, 1, 2, 7, 13]
    assert inputs["inputs_embeds"].shape == (5, 13, 24)
    assert inputs["inputs_embeds"].dtype == torch.float32
    assert not inputs["inputs_embeds"][inputs["attention_mask"] == 0].any()


def test_a_sound_gives_the_same_tokens_whatever_follows_it_in_the_batch(sounds: list[Waveform]) -> None:
    made = EmbedFrames(spec(), sounds)
    for seconds in (0.03, SECONDS, 0.47, 0.9999):
        alone = made([noise(seconds)], Counter())["inputs_embeds"][0]
        beside = made([noise(seconds), noise(3.0)], Counter())["inputs_embeds"][0, : len(alone)]
        torch.testing.assert_close(beside, alone, rtol=0, atol=1e-5)


def test_embedded_frames_have_the_tables_mean_and_leading_variances(sounds: list[Waveform]) -> None:
    source = spec()
    inputs = EmbedFrames(source, sounds)(sounds, Counter())
    rows = inputs["inputs_embeds"][inputs["attention_mask"] == 1].double().numpy()
    table = source.embedding.get_parameter("weight").detach().double().numpy()
    np.testing.assert_allclose(rows.mean(axis=0), table.mean(axis=0), atol=1e-4)
    ours, theirs = (np.linalg.eigvalsh(np.cov(part, rowvar=False))[::-1] for part in (rows, table))
    np.testing.assert_allclose(ours[:12], theirs[:12], rtol=0.05)  # small ones are shrunk by the whitening's floor


def test_loudness_does_not_change_the_tokens_and_silence_is_one_point(sounds: list[Waveform]) -> None:
    made = EmbedFrames(spec(), sounds)
    plain, quiet = made([sounds[0], Waveform(sounds[0].samples * 0.1, RATE)], Counter())["inputs_embeds"]
    torch.testing.assert_close(plain, quiet, rtol=0, atol=1e-3)
    silent = made([Waveform(np.zeros((1, RATE), np.float32), RATE)], Counter())["inputs_embeds"][0]
    assert torch.isfinite(silent).all()
    torch.testing.assert_close(silent, silent[:1].expand_as(silent))


def test_tokens_follow_time_and_pitch() -> None:
    click, low, high = np.zeros((3, 1, RATE), np.float32)
    click[0, 3 * STRIDE + 1000] = 1
    time = np.arange(RATE) / RATE
    low[0], high[0] = np.sin(2 * np.pi * 300 * time), np.sin(2 * np.pi * 3000 * time)
    made = EmbedFrames(spec(), [Waveform(wave, RATE) for wave in (click, low, high)])
    levels, counts = made._tokens([Waveform(wave, RATE) for wave in (click, low, high)], Counter())
    assert counts == [7, 7, 7]
    assert np.flatnonzero(levels[0].any(axis=1)).tolist() == [3]
    bands = levels.reshape(3, 7, -1, N_MELS).mean(axis=(1, 2)).argmax(axis=1)
    assert 0 < bands[1] < bands[2] < N_MELS


@pytest.mark.parametrize(("max_length", "seconds"), [(1, SECONDS), (5, 5 * SECONDS), (512, MAX_SECONDS)])
def test_no_more_tokens_than_the_source_takes(sounds: list[Waveform], max_length: int, seconds: float) -> None:
    made = EmbedFrames(spec(max_length=max_length), sounds)
    edits: Counter[str] = Counter()
    inputs = made([noise(31.0), noise(0.1)], edits)
    assert inputs["attention_mask"].sum(dim=1).tolist() == [-(-round(seconds * RATE) // STRIDE), 1]
    assert inputs["attention_mask"].shape[1] <= max_length
    assert edits["seconds"] == pytest.approx(31.1)
    assert edits["seconds_dropped"] == pytest.approx(31.0 - seconds, abs=1e-3)
    assert made.settings()["max_seconds"] == pytest.approx(seconds)


def test_changes_are_counted(sounds: list[Waveform]) -> None:
    edits: Counter[str] = Counter()
    EmbedFrames(spec(), sounds)([noise(0.5, rate=44_100, channels=2), noise(0.5, rate=8000), noise(0.5)], edits)
    assert (edits["mixed_to_mono"], edits["resampled"], edits["band_lost"]) == (1, 2, 1)


def test_a_source_without_a_table_is_refused(sounds: list[Waveform]) -> None:
    message = r"waveform->tokens: Identity is no table of token embeddings .*raw:audio"
    with pytest.raises(AdapterError, match=message):
        EmbedFrames(TokensInput(None, 64, nn.Identity()), sounds)


def test_the_same_probe_gives_the_same_tokens_and_record(sounds: list[Waveform]) -> None:
    first, second = (EmbedFrames(spec(), sounds) for _ in range(2))
    assert first.settings() == second.settings()
    assert torch.equal(first(sounds[:3], Counter())["inputs_embeds"], second(sounds[:3], Counter())["inputs_embeds"])
    assert EmbedFrames(spec(), sounds[:30]).settings() != first.settings()
    assert EmbedFrames(spec(), sounds, "none").settings() != first.settings()
