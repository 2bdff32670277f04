"""Pictures at a source's size: what is kept, what is cut, and that all of it is counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import numpy as np
import pytest
import torch
from PIL import Image
from PIL.Image import Resampling

from transferscope.adapters.image_to_image import FitImage
from transferscope.sources import ImageInput

RGB, GRAY = (0.0, 0.0, 0.0), (0.0,)
NOISE = np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8)


def fit(image: Image.Image, mean: tuple[float, ...] = RGB, edits: Counter[str] | None = None, **spec) -> torch.Tensor:
    """One picture's pixels, not normalised."""
    size = spec.pop("size", (16, 16))
    made = FitImage(ImageInput(size, mean, (1.0,) * len(mean), "bilinear", **spec), [])
    return made([image], Counter() if edits is None else edits)["pixel_values"][0]


@pytest.mark.parametrize("size", [(16, 16), (1, 1), (24, 40), (40, 24), (5, 300)])
@pytest.mark.parametrize("mean", [RGB, GRAY])
@pytest.mark.parametrize("given", [(1, 1), (1, 4000), (4000, 1), (3, 7), (16, 16), (17, 16), (500, 31)])
def test_any_picture_comes_out_at_the_sources_size(
    given: tuple[int, int], mean: tuple[float, ...], size: tuple[int, int]
) -> None:
    values = fit(Image.new("RGB", given, (255, 255, 255)), mean, size=size, crop=0.875)
    assert values.shape == (len(mean), *size)
    assert values.dtype == torch.float32
    torch.testing.assert_close(values, torch.ones_like(values))  # white stays white, with no border


def test_a_picture_of_the_exact_size_is_not_touched() -> None:
    edits: Counter[str] = Counter()
    values = fit(Image.fromarray(NOISE), size=(60, 80), crop=0.5, edits=edits)
    np.testing.assert_array_equal((values * 255).round().permute(1, 2, 0), NOISE)
    assert +edits == {"pixels": 60 * 80}


def test_short_side_is_resized_and_the_centre_kept() -> None:
    values = fit(Image.fromarray(NOISE), size=(24, 24), crop=0.8)
    resized = Image.fromarray(NOISE).resize((40, 30), Resampling.BILINEAR).crop((8, 3, 32, 27))
    np.testing.assert_array_equal((values * 255).round().permute(1, 2, 0), resized)


def test_a_slivers_centre_is_the_same_as_by_resizing_all_of_it() -> None:
    ramp = np.repeat(np.linspace(0, 255, 2000).astype(np.uint8)[None], 20, axis=0)
    values = fit(Image.fromarray(ramp), GRAY, crop=1.0)  # 1600 x 16 if resized whole
    whole = np.asarray(Image.fromarray(ramp).resize((1600, 16), Resampling.BILINEAR).crop((792, 0, 808, 16)))
    np.testing.assert_allclose(values[0] * 255, whole, atol=1.5)


def test_a_source_that_is_not_square_gets_the_whole_picture() -> None:
    half = np.zeros((60, 60), np.uint8)
    half[:, 30:] = 255
    values = fit(Image.fromarray(half), GRAY, size=(8, 32), crop=0.5)[0]
    assert values[:, :15].max() < 0.05
    assert values[:, 17:].min() > 0.95


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        (Image.fromarray(np.full((16, 16), 257 * 51, np.uint16)), 51),
        (Image.fromarray(np.full((16, 16), 65535, np.int32)), 255),
        (Image.fromarray(np.full((16, 16), 51, np.int32)), 51),
        (Image.fromarray(np.full((16, 16), 51.0, np.float32)), 51),
        (Image.new("1", (16, 16), 1), 255),
        (Image.new("LA", (16, 16), (51, 255)), 51),
        (Image.new("LA", (16, 16), (51, 0)), 255),
        (Image.new("RGBA", (16, 16), (0, 0, 0, 0)), 255),
        (Image.new("RGBA", (16, 16), (51, 51, 51, 255)), 51),
        (Image.new("RGB", (16, 16), (51, 51, 51)).convert("P"), 51),
        (Image.new("L", (16, 16), 51), 51),
    ],
    ids=["16 bits", "32 bits, high", "32 bits, low", "float", "1 bit", "LA", "clear LA", "clear", "RGBA", "P", "L"],
)
@pytest.mark.parametrize("mean", [RGB, GRAY])
def test_every_kind_of_pixel_becomes_its_gray_or_rgb(
    image: Image.Image, expected: int, mean: tuple[float, ...]
) -> None:
    values = fit(image, mean)
    torch.testing.assert_close(values, torch.full_like(values, expected / 255))


def test_a_transparent_colour_of_a_palette_falls_on_white() -> None:
    image = Image.new("RGB", (16, 16), (51, 51, 51)).convert("P")
    image.info["transparency"] = image.getpixel((0, 0))
    torch.testing.assert_close(fit(image), torch.ones(3, 16, 16))


def test_normalisation_is_per_channel() -> None:
    image = Image.new("RGB", (4, 4), (255, 51, 0))
    made = FitImage(ImageInput((4, 4), (0.5, 0.2, 0.1), (0.5, 0.1, 0.2)), [])([image], Counter())
    expected = torch.tensor([1.0, 0.0, -0.5]).view(1, 3, 1, 1).expand(1, 3, 4, 4)
    torch.testing.assert_close(made["pixel_values"], expected)


@pytest.mark.parametrize(
    ("image", "mean", "expected"),
    [
        (Image.new("L", (16, 16)), RGB, {"channels_repeated": 1, "pixels": 256}),
        (Image.new("1", (16, 16)), RGB, {"channels_repeated": 1, "pixels": 256}),
        (Image.new("L", (16, 16)), GRAY, {"pixels": 256}),
        (Image.new("RGB", (16, 16)), GRAY, {"channels_dropped": 1, "pixels": 256}),
        (Image.new("RGB", (8, 8)), RGB, {"resized": 1, "upscaled": 1, "pixels": 64}),
        (Image.new("RGB", (32, 16)), RGB, {"resized": 1, "pixels": 512, "pixels_cropped": 256}),
        (Image.new("RGB", (64, 8)), RGB, {"resized": 1, "pixels": 512, "pixels_cropped": 448}),
    ],
)
def test_every_change_is_counted(image: Image.Image, mean: tuple[float, ...], expected: Mapping[str, int]) -> None:
    edits: Counter[str] = Counter()
    fit(image, mean, edits)
    assert dict(+edits) == expected


def test_crop_of_the_source_counts_as_cropped_pixels() -> None:
    edits: Counter[str] = Counter()
    fit(Image.new("RGB", (100, 100)), crop=0.8, edits=edits)
    assert edits["pixels_cropped"] == round(100 * 100 * (1 - 0.8**2))


def test_cropped_pixels_are_a_share_of_all_pictures_pixels() -> None:
    edits: Counter[str] = Counter()
    made = FitImage(ImageInput((16, 16), RGB, (1.0,) * 3), [])
    made([Image.new("RGB", (32, 16)), Image.new("RGB", (16, 16))], edits)
    assert (edits["pixels_cropped"], edits["pixels"]) == (256, 512 + 256)
