"""What a fine-tuning strategy gets and gives; one strategy a file, registered by name."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from ..adapters import Adapter
from ..errors import UnknownNameError
from ..features.extract import Extractor
from ..progress import Progress
from ..registry import Registry
from ..results import Run
from ..sources import Source
from ..storage import cache_dir
from ..targets import Split, Target
from .objective import Objective, objective_of

if TYPE_CHECKING:
    from .tuning import Tuning

FORMAT = 4  # of a trial; a change of how training or evaluation computes must raise it
QUICK_EPOCHS, QUICK_STEPS = 3, 30
ALIGNMENTS = ("coral", "mmd")


@dataclass(frozen=True)
class Recipe:
    """How to train; the same for every candidate, so that they are compared fairly.

    Attributes
    ----------
    learning_rates : tuple of float
        Of the body; the head's is ten times as high. The best on the validation rows is kept.
    n_seeds : int
        Runs at the best rate; the first is part of the search.
    epochs : int
        At most; training stops after `patience` epochs without a better validation accuracy.
    min_steps : int
        Where few samples make short epochs, both are raised until `epochs` are so many steps: a head that has seen
        a dozen batches has not learned, whatever the source.
    batch_size : int
        Of one step; where memory is short it is put together of smaller parts.
    weight_decay : float
        Of matrices; biases and norms have none.
    layer_decay : float or None
        Each layer further from the head learns this many times as fast; None is 0.8 for transformers, else 1
        (Clark et al., "ELECTRA", ICLR 2020; Bao et al., "BEiT", ICLR 2022).
    n_blocks : int
        That train under ``partial``.
    lora_rank : int
    alpha, beta : float
        Pull of the body towards its pretrained weights, and of the head towards 0, under ``l2_sp``.
    source_weights : tuple of float
        Of the source data's term under ``joint`` and ``aligned``; the best on the validation rows is kept.
    alignment : {"coral", "mmd"}
        The term of ``aligned``.
    quick : bool
        One rate, one source weight, one seed, and at most `QUICK_EPOCHS` epochs or `QUICK_STEPS` steps: a first look.
    """

    learning_rates: tuple[float, ...] = (3e-5, 1e-4, 1e-3)
    n_seeds: int = 2
    epochs: int = 10
    patience: int = 3
    min_steps: int = 100
    batch_size: int = 32
    weight_decay: float = 0.01
    warmup: float = 0.1  # share of all steps
    head_factor: float = 10.0
    layer_decay: float | None = None
    n_blocks: int = 2
    lora_rank: int = 8
    alpha: float = 0.1
    beta: float = 0.01
    source_weights: tuple[float, ...] = (0.1, 1.0)
    alignment: Literal["coral", "mmd"] = "coral"
    quick: bool = False

    def __post_init__(self) -> None:
        if self.alignment not in ALIGNMENTS:
            raise UnknownNameError("alignment", self.alignment, ALIGNMENTS)

    def as_run(self, n_train: int) -> Recipe:
        """What is trained on so many samples: itself or its quick version, with epochs enough."""
        recipe = self
        if self.quick:
            rate = self.learning_rates[len(self.learning_rates) // 2]
            recipe = replace(
                self, learning_rates=(rate,), n_seeds=1, epochs=min(self.epochs, QUICK_EPOCHS),
                min_steps=min(self.min_steps, QUICK_STEPS), source_weights=self.source_weights[-1:],
            )  # fmt: skip
        per_epoch = math.ceil(n_train / recipe.batch_size)
        epochs = max(recipe.epochs, math.ceil(recipe.min_steps / per_epoch))
        return replace(recipe, epochs=epochs, patience=math.ceil(recipe.patience * epochs / recipe.epochs))


@dataclass(frozen=True)
class Trial:
    """One source to train in one way.

    Attributes
    ----------
    strategy : str
    layer : str
        Where the new head sits.
    source_data : Target or None
        Data of the source's own, where they were given.
    """

    strategy: str
    target: Target
    split: Split
    source: Source
    adapter: Adapter
    layer: str
    recipe: Recipe
    extractor: Extractor
    seed: int
    progress: Progress
    source_data: Target | None = None

    @cached_property
    def objective(self) -> Objective:
        """What is minimised and measured."""
        return objective_of(self.target, self.split.train)

    @property
    def folder(self) -> Path:
        """Where this trial's checkpoints live: named by the hash of everything that decides its outcome."""
        card = self.source.card
        key = {
            "format": FORMAT,
            "strategy": self.strategy,
            "layer": self.layer,
            "recipe": asdict(self.recipe),
            "seed": self.seed,
            "architecture": card.architecture,
            "weights_sha256": card.weights_sha256,
            "input": dict(card.input),
            "path": [asdict(step) for step in self.adapter.path],
            "pooling": self.extractor.poolings[0],
            "target": self.target.content_sha256,
            "split": self.split.sha256,
            "device": self.extractor.device,
            "source_data": self.source_data.content_sha256 if self.source_data and self.needs_source_data else None,
        }
        name = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:24]
        return cache_dir() / "runs" / name

    @property
    def needs_source_data(self) -> bool:
        """Whether the strategy reads `source_data`."""
        return STRATEGIES[self.strategy].needs_source_data


@dataclass(frozen=True)
class Strategy:
    """A way to train.

    Attributes
    ----------
    fit : callable
        ``fit(trial) -> tuple of Run``; the runs chosen on validation carry a test accuracy.
    head_at : {"best", "last"}
        Where the new head sits: on the layer the ranking found best, or on the source's last.
    trains_body : bool
        A source without weights of its own cannot be trained this way.
    needs_source_data : bool
        Whether it trains on data of the source's own too, which must be given.
    tuning : callable or None
        ``tuning(trial) -> Tuning``, what fine-tuning changes, so that a race can train it by stages; None: a strategy
        without epochs.
    """

    name: str
    fit: Callable[[Trial], tuple[Run, ...]]
    head_at: Literal["best", "last"]
    trains_body: bool
    needs_source_data: bool = False
    tuning: Callable[[Trial], Tuning] | None = None


STRATEGIES: Registry[Strategy] = Registry("strategy", "transferscope.confirm")
Fit = Callable[[Trial], tuple[Run, ...]]


def register_strategy(
    name: str, *, head_at: Literal["best", "last"], trains_body: bool, needs_source_data: bool = False
) -> Callable[[Fit], Fit]:
    """Enter the decorated function as a strategy."""

    def enter(fit: Fit) -> Fit:
        STRATEGIES.add(name, Strategy(name, fit, head_at, trains_body, needs_source_data))
        return fit

    return enter
