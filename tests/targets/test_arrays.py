"""Data in memory: what is taken, what is refused, and with which row."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from transferscope.errors import TargetError, UnknownNameError
from transferscope.targets import Target, Waveform, from_arrays

RNG = np.random.default_rng(0)
GRAY = RNG.integers(0, 255, (4, 5, 6), dtype=np.uint8)
COLOR = RNG.integers(0, 255, (4, 5, 6, 3), dtype=np.uint8)
WAVES = [RNG.uniform(-0.5, 0.5, 100) for _ in range(4)]
LABELS = [0, 0, 1, 1]


def pictures(samples: Any) -> Target:
    return from_arrays(samples, LABELS, modality="image")


def sounds(samples: Any, rate: int | None = None) -> Target:
    return from_arrays(samples, LABELS, modality="audio", sample_rate=rate)


@pytest.mark.parametrize(
    ("samples", "mode", "pixels"),
    [
        (GRAY, "L", GRAY),
        (GRAY[..., None], "L", GRAY),
        (COLOR, "RGB", COLOR),
        (GRAY / 255, "L", GRAY),
        ((COLOR / 255).astype(np.float16), "RGB", COLOR),
        (GRAY > 99, "L", (GRAY > 99) * 255),
        (torch.from_numpy(COLOR), "RGB", COLOR),
        (torch.from_numpy(COLOR).permute(0, 3, 1, 2), "RGB", COLOR),
        (torch.from_numpy(GRAY)[:, None], "L", GRAY),
        ((torch.from_numpy(COLOR).permute(0, 3, 1, 2) / 255).requires_grad_(), "RGB", COLOR),
        (list(COLOR), "RGB", COLOR),
        ([Image.fromarray(row) for row in GRAY], "L", GRAY),
    ],
)
def test_pictures(samples: Any, mode: str, pixels: np.ndarray) -> None:
    target = pictures(samples)
    assert len(target) == 4
    for row in range(4):
        assert target.samples[row].mode == mode
        np.testing.assert_array_equal(np.asarray(target.samples[row]), pixels[row])


def test_bfloat16_tensors_are_taken() -> None:
    target = pictures(torch.full((4, 3, 5, 5), 0.5, dtype=torch.bfloat16))
    assert target.samples[0].getpixel((0, 0)) == (128, 128, 128)


def test_opacity_is_laid_on_white() -> None:
    clear = np.zeros((4, 5, 6, 4), np.uint8)
    assert pictures(clear).samples[0].getpixel((0, 0)) == (255, 255, 255)


def test_pictures_of_different_sizes() -> None:
    target = pictures([GRAY[0], COLOR[0][:2], GRAY[0][:3], Image.new("RGB", (9, 9))])
    assert [target.samples[row].size for row in range(4)] == [(6, 5), (6, 2), (6, 3), (9, 9)]


def with_hole(samples: np.ndarray, value: float) -> np.ndarray:
    holed = samples.astype(float)
    holed[2, ..., 0] = value
    return holed


@pytest.mark.parametrize(
    ("samples", "message"),
    [
        (with_hole(GRAY / 255, np.nan), "row 2: holds 5 NaN or infinite values"),
        (with_hole(GRAY / 255, np.inf), "row 2: holds 5 NaN or infinite values"),
        (with_hole(GRAY / 255, -2.0), r"row 2: ranges from -2 to .*; expected float in 0..1, not normalised"),
        (GRAY.astype(float), "row 0: ranges from .*; expected float in 0..1"),
        (GRAY.astype(int), "row 0: is int64; expected uint8 in 0..255"),
        (GRAY.astype(complex), "row 0: is an array of complex128; expected numbers"),
        (np.moveaxis(COLOR, -1, 1), r"row 0: has shape \(3, 5, 6\), channels first; move them last"),
        (COLOR[..., :2], r"row 0: has shape \(5, 6, 2\); expected \(height, width\)"),
        (GRAY[:, 0], r"row 0: has shape \(6,\)"),
        (GRAY[:, :0], r"row 0: has shape \(0, 6\)"),
        (torch.zeros(4, 3, 7, 3), r"row 0: has shape \(3, 7, 3\), whose channels may be first or last"),
        ([*COLOR[:3], "x.png"], "row 3: is of type str; expected an array"),
        ([*COLOR[:3], None], "row 3: is of type NoneType"),
    ],
)
def test_pictures_that_cannot_be_used_are_refused_with_their_row(samples: Any, message: str) -> None:
    with pytest.raises(TargetError, match="arrays: " + message):
        pictures(samples)


def test_a_lazy_pillow_image_that_is_truncated_is_refused(tmp_path) -> None:
    Image.fromarray(COLOR[0]).save(tmp_path / "a.png")
    (tmp_path / "a.png").write_bytes((tmp_path / "a.png").read_bytes()[:80])
    with pytest.raises(TargetError, match="row 3: "):
        pictures([*COLOR[:3], Image.open(tmp_path / "a.png")])


@pytest.mark.parametrize(
    ("samples", "rate"),
    [
        (WAVES, 8000),
        (np.stack(WAVES), 8000),
        (torch.from_numpy(np.stack(WAVES)), 8000),
        ([(wave, 8000) for wave in WAVES], None),
        ([(wave, np.int64(8000)) for wave in WAVES], 8000),
        ([Waveform(wave[None].astype(np.float32), 8000) for wave in WAVES], None),
        ([torch.from_numpy(wave)[None] for wave in WAVES], 8000),
    ],
)
def test_sounds(samples: Any, rate: int | None) -> None:
    target = sounds(samples, rate)
    for row in range(4):
        sample = target.samples[row]
        assert sample.rate == 8000
        assert sample.samples.dtype == np.float32
        np.testing.assert_allclose(sample.samples, WAVES[row][None], rtol=1e-6)


def test_sounds_of_different_lengths_rates_and_channels() -> None:
    target = sounds([(WAVES[0][:30], 8000), (np.stack(WAVES), 16_000), (WAVES[1], 8000), (WAVES[2], 44_100)])
    assert [(target.samples[row].samples.shape, target.samples[row].rate) for row in range(4)] == [
        ((1, 30), 8000), ((4, 100), 16_000), ((1, 100), 8000), ((1, 100), 44_100),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("samples", "rate", "message"),
    [
        (WAVES, None, "row 0: has no sample rate; give sample_rate="),
        (WAVES, 0, "sample_rate=0; expected a positive whole number"),
        (WAVES, 8000.5, "sample_rate=8000.5; expected a positive whole number"),
        ([(wave, -1) for wave in WAVES], None, "row 0: comes with rate -1"),
        ([(wave, 8000) for wave in WAVES], 16_000, "row 0: brings its own rate 8000, but sample_rate=16000"),
        ([wave.reshape(50, 2) for wave in WAVES], 8000, r"row 0: has shape \(50, 2\); expected \(n_frames,\)"),
        ([*WAVES[:3], WAVES[3][:0]], 8000, r"row 3: has shape \(1, 0\)"),
        ([(wave * 32768).astype(np.int16) for wave in WAVES], 8000, "row 0: is int16; .*divide int16 by 32768"),
        ([wave * 32768 for wave in WAVES], 8000, "row 0: reaches .*; expected full scale"),
        ([*WAVES[:2], WAVES[2] * np.nan, WAVES[3]], 8000, "row 2: holds 100 NaN"),
    ],
)
def test_sounds_that_cannot_be_used_are_refused(samples: Any, rate: Any, message: str) -> None:
    with pytest.raises(TargetError, match=message):
        sounds(samples, rate)


@pytest.mark.parametrize(
    ("samples", "message"),
    [
        (["a", "", "c", "d"], "row 1: the text is empty; drop the row"),
        (["a", "b", " \n", "d"], "row 2: the text is empty"),
        (["a", None, "c", "d"], "row 1: is of type NoneType; expected a string"),
        (["a", "\ud83d", "c", "d"], "row 1: the text holds half a surrogate pair"),
        ("abcd", "samples is of type str; expected a sequence of text samples"),
        ({"a": 1}, "samples is of type dict"),
        (None, "samples is of type NoneType"),
    ],
)
def test_texts_that_cannot_be_used_are_refused(samples: Any, message: str) -> None:
    with pytest.raises(TargetError, match=message):
        from_arrays(samples, LABELS, modality="text")


def test_texts_from_any_iterable() -> None:
    whole = from_arrays(list("abcd"), LABELS, modality="text")
    for same in (iter("abcd"), np.array(list("abcd")), tuple("abcd")):
        assert from_arrays(same, LABELS, modality="text").content_sha256 == whole.content_sha256


def test_unknown_modality() -> None:
    with pytest.raises(UnknownNameError, match="no modality named 'video'. Known: audio, image, text"):
        from_arrays(["a"], ["b"], modality="video")  # type: ignore[arg-type]


def test_content_hash_is_of_content_not_of_container() -> None:
    same = [pictures(COLOR), pictures(COLOR / 255), pictures([Image.fromarray(row) for row in COLOR])]
    assert len({target.content_sha256 for target in same}) == 1
    changed = COLOR.copy()
    changed[3, 0, 0, 0] ^= 1
    reshaped = COLOR.reshape(4, 6, 5, 3)
    others = {pictures(changed).content_sha256, pictures(reshaped).content_sha256}
    assert len(others - {same[0].content_sha256}) == 2
    assert sounds(WAVES, 8000).content_sha256 != sounds(WAVES, 16_000).content_sha256
    assert sounds(WAVES, 8000).samples.describe(3) == "row 3"
