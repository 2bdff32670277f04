"""Gray pictures into colour models: the summed convolution gives what repeated channels gave."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import nn

from transferscope.errors import SourceError
from transferscope.sources import ImageInput
from transferscope.sources.channels import channel_count, to_gray
from transferscope.sources.hooks import seeded

IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
EQUAL = ((0.5,) * 3, (0.5,) * 3)
UNEQUAL_STD = ((0.5,) * 3, (0.1, 0.5, 0.9))
WILD = ((0.1, 0.5, 0.9), (0.1, 0.5, 0.9))


def given(gray: torch.Tensor, spec: ImageInput) -> torch.Tensor:
    """Pixels in 0..1 of one channel, as the model of `spec` takes them."""
    mean, std = (torch.tensor(values).view(-1, 1, 1) for values in (spec.mean, spec.std))
    return (gray.expand(-1, spec.channels, -1, -1) - mean) / std


CONVOLUTIONS = {
    "patches": {"kernel_size": 4, "stride": 4},
    "patches without a bias": {"kernel_size": 4, "stride": 4, "bias": False},
    "padded": {"kernel_size": 7, "stride": 2, "padding": 3, "bias": False},
    "padded to the same size": {"kernel_size": 3, "padding": "same"},
    "valid": {"kernel_size": 3, "padding": "valid"},
    "wide and dilated": {"kernel_size": (3, 5), "padding": (2, 0), "dilation": 2},
    "padded by reflection": {"kernel_size": 3, "padding": 1, "padding_mode": "reflect"},
}


@pytest.mark.parametrize("settings", CONVOLUTIONS.values(), ids=CONVOLUTIONS)
@pytest.mark.parametrize("recipe", [IMAGENET, EQUAL, UNEQUAL_STD, WILD], ids=["imagenet", "equal", "std", "wild"])
def test_one_channel_gives_what_three_equal_ones_gave(settings: dict[str, Any], recipe: Any) -> None:
    with seeded(0):
        model = nn.Sequential(nn.Conv2d(3, 6, **settings), nn.ReLU(), nn.Conv2d(6, 4, 3))
        gray = torch.rand(2, 1, 24, 20)
    spec = ImageInput((24, 20), *recipe, "bilinear", 0.9)
    with torch.no_grad():
        expected = model(given(gray, spec))
        small = to_gray(model, spec)
        found = model(given(gray, small))
    assert (small.channels, small.size, small.interpolation, small.crop) == (1, (24, 20), "bilinear", 0.9)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    assert to_gray(model, small) is small


def test_equal_means_leave_a_plain_convolution_of_one_channel() -> None:
    model = nn.Sequential(nn.Conv2d(3, 6, 3, padding=1, bias=False))
    weight = model[0].weight.detach().clone()
    to_gray(model, ImageInput((8, 8), *EQUAL))
    torch.testing.assert_close(model[0].weight.detach(), weight.sum(1, keepdim=True))
    assert model[0].in_channels == 1
    assert model[0].bias is None


def test_the_summed_weights_learn_and_travel() -> None:
    """The hook for padding is part of the model: copies and saved weights have it."""
    import pickle

    model = nn.Sequential(nn.Conv2d(3, 6, 3, padding=1))
    spec = to_gray(model, ImageInput((8, 8), *WILD))
    picture = given(torch.rand(1, 1, 8, 8), spec)
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        torch.testing.assert_close(other(picture), model(picture), rtol=0, atol=0)
    model(picture).sum().backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


@pytest.mark.parametrize(
    "name",
    [
        "resnet10t", "vit_tiny_patch16_224", "convnext_atto", "mobilenetv3_small_050", "repghostnet_050",
        "tf_efficientnet_lite0", "swin_tiny_patch4_window7_224", "regnetx_002",
        pytest.param("densenet121", marks=pytest.mark.slow), pytest.param("crossvit_9_240", marks=pytest.mark.slow),
        pytest.param("mixer_s32_224", marks=pytest.mark.slow), pytest.param("fastvit_t8", marks=pytest.mark.slow),
    ],
)  # fmt: skip
def test_models_of_timm_give_what_they_gave(name: str) -> None:
    """Among them those that pad by themselves, and those with several convolutions side by side on the picture."""
    import timm

    with seeded(0):
        model = timm.create_model(name).eval()
        _, height, width = timm.data.resolve_data_config({}, model=model)["input_size"]
        gray = torch.rand(1, 1, height, width)
    spec = ImageInput((height, width), *IMAGENET)
    with torch.no_grad():
        expected = model.forward_features(given(gray, spec))
        found = model.forward_features(given(gray, to_gray(model, spec)))
    for one, other in zip(*(x if isinstance(x, list | tuple) else [x] for x in (found, expected)), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4 * float(other.abs().max()))


def test_what_cannot_be_summed_is_refused() -> None:
    from timm.layers import StdConv2d

    spec = ImageInput((8, 8), *IMAGENET)
    with pytest.raises(SourceError, match="StdConv2d does not use its weights as they are"):
        to_gray(nn.Sequential(StdConv2d(3, 4, 3)), spec)
    with pytest.raises(SourceError, match="Sequential has no convolution that reads 3 channels"):
        to_gray(nn.Sequential(nn.Flatten(), nn.Linear(192, 4)), spec)
    for wrong in ("2", "0", "gray"):
        with pytest.raises(ValueError, match="expected 1 or 3"):
            channel_count(wrong)
