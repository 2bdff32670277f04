"""What a fine-tuning strategy gets and gives; one strategy a file, registered by name."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from ..adapters import Adapter
from ..features.extract import Extractor
from ..progress import Progress
from ..registry import Registry
from ..results import Run
from ..sources import Source
from ..storage import cache_dir
from ..targets import Split, Target

FORMAT = 2  # of a trial; a change of how training or evaluation computes must raise it


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
    """

    learning_rates: tuple[float, ...] = (3e-5, 1e-4, 1e-3)
    n_seeds: int = 2
    epochs: int = 10
    patience: int = 3
    batch_size: int = 32
    weight_decay: float = 0.01
    warmup: float = 0.1  # share of all steps
    head_factor: float = 10.0


@dataclass(frozen=True)
class Trial:
    """One source to train in one way.

    Attributes
    ----------
    strategy : str
    layer : str
        Where the new head sits.
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
        }
        name = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:24]
        return cache_dir() / "runs" / name


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
    """

    name: str
    fit: Callable[[Trial], tuple[Run, ...]]
    head_at: Literal["best", "last"]
    trains_body: bool


STRATEGIES: Registry[Strategy] = Registry("strategy", "transferscope.confirm")
Fit = Callable[[Trial], tuple[Run, ...]]


def register_strategy(name: str, *, head_at: Literal["best", "last"], trains_body: bool) -> Callable[[Fit], Fit]:
    """Enter the decorated function as a strategy."""

    def enter(fit: Fit) -> Fit:
        STRATEGIES.add(name, Strategy(name, fit, head_at, trains_body))
        return fit

    return enter
