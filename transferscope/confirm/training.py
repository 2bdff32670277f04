"""The training loop: one run of one network at one learning rate and seed, resumable after any interruption."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import CacheError, CorruptSampleError, TransferScopeError
from ..features.pooling import pool
from ..results import Epoch
from ..storage import cache_errors, replacing, write_cache
from .strategy import Trial

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

State = Mapping[str, Any]


@dataclass(frozen=True)
class Trained:
    """One finished run; `weights` holds its best epoch."""

    validation_accuracy: float
    epochs: tuple[Epoch, ...]
    seconds: float
    weights: Path


class Network:
    """A source and a new linear head on the pooled features of one of its layers.

    Attributes
    ----------
    body : torch.nn.Module
        The source's own model object: training changes it.
    head : torch.nn.Linear
    """

    def __init__(self, trial: Trial, seed: int) -> None:
        import torch

        self.trial, self.device = trial, trial.extractor.device
        self.body: nn.Module = trial.source.model.to(self.device).eval()
        _, inputs = next(self.batches(trial.split.train[:8]))
        with torch.no_grad():
            width = self.features(inputs).shape[1]
        with seeded(seed, self.device):
            self.head: nn.Linear = torch.nn.Linear(width, len(trial.target.classes)).to(self.device)

    def features(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """Pooled features of the head's layer."""
        outputs = self.trial.source.run(inputs, [self.trial.layer])
        return pool(outputs.layers[self.trial.layer], self.trial.extractor.poolings[0])

    def batches(self, rows: np.ndarray) -> Iterator[tuple[np.ndarray, Mapping[str, Tensor]]]:
        """Readable rows and their model inputs, batch by batch in the given order."""
        size = self.trial.recipe.batch_size
        for start in range(0, len(rows), size):
            kept, samples = [], []
            for row in rows[start : start + size]:
                try:
                    samples.append(self.trial.target.samples[int(row)])
                    kept.append(row)
                except CorruptSampleError:
                    continue  # the ranking lists it, and scoring left it out too
            if kept:
                inputs = self.trial.adapter.prepare(samples, Counter())
                yield np.array(kept), {name: value.to(self.device) for name, value in inputs.items()}

    def state(self) -> dict[str, Any]:
        """Weights of body and head."""
        return {"body": self.body.state_dict(), "head": self.head.state_dict()}

    def load(self, state: State) -> None:
        """Take weights back."""
        self.body.load_state_dict(state["body"])
        self.head.load_state_dict(state["head"])

    def accuracy(self, rows: np.ndarray) -> float:
        """Share of readable rows whose class is predicted."""
        import torch

        self.body.eval()
        hits = []
        with torch.inference_mode():
            for kept, inputs in self.batches(rows):
                predicted = self.head(self.features(inputs)).argmax(dim=1).cpu().numpy()
                hits.append(predicted == self.trial.target.labels[kept])
        if not hits:
            raise TransferScopeError(f"{self.trial.target.name}: none of {len(rows)} held-out samples can be read.")
        return float(np.concatenate(hits).mean())


def train(trial: Trial, *, learning_rate: float, seed: int, folder: Path, task: str) -> Trained:
    """Train body and head, and keep the epoch that is best on the validation rows.

    AdamW, cross-entropy, linear warm-up then cosine decay. A checkpoint after every epoch lets an interrupted run
    go on where it was; a finished run is not trained again. The source's model is left trained: whoever
    trains it again puts its weights back first.
    """
    record, weights, checkpoint = folder / "run.json", folder / "best.pt", folder / "checkpoint.pt"
    if record.exists() and weights.exists():
        return _trained(json.loads(record.read_text()), weights)
    network = Network(trial, seed)
    optimizer, scheduler = _optimizer(network, learning_rate)
    log: dict[str, Any] = {"epochs": [], "seconds": 0.0}
    if checkpoint.exists():
        state = read_state(checkpoint)
        network.load(state["network"])
        optimizer.load_state_dict(state["optimizer"])
        scheduler.load_state_dict(state["scheduler"])
        log = state["log"]
    n_epochs = trial.recipe.epochs
    while len(log["epochs"]) < n_epochs and not _stalled(log["epochs"], trial.recipe.patience):
        started = time.perf_counter()
        trial.progress(task, len(log["epochs"]), n_epochs)
        loss = _train_epoch(network, optimizer, scheduler, seed=1000 * seed + len(log["epochs"]))
        accuracy = network.accuracy(trial.split.validation)
        if accuracy >= max((epoch["validation_accuracy"] for epoch in log["epochs"]), default=0.0):
            write_state(weights, network.state())
        log["epochs"].append(asdict(Epoch(loss, accuracy)))
        log["seconds"] += time.perf_counter() - started
        if len(log["epochs"]) < n_epochs:
            state = {"network": network.state(), "optimizer": optimizer.state_dict()}
            write_state(checkpoint, {**state, "scheduler": scheduler.state_dict(), "log": log})
    trial.progress(task, n_epochs, n_epochs)
    write_cache(record, json.dumps(log).encode())
    checkpoint.unlink(missing_ok=True)
    return _trained(log, weights)


def _train_epoch(
    network: Network, optimizer: torch.optim.Optimizer, scheduler: torch.optim.lr_scheduler.LRScheduler, *, seed: int
) -> float:
    """One pass over the training rows in an order drawn from `seed`; the mean loss."""
    import torch

    trial, device = network.trial, network.device
    kind = torch.device(device).type
    rows = np.random.default_rng(seed).permutation(trial.split.train)
    labels = torch.from_numpy(trial.target.labels)
    losses = []
    network.body.train()
    with seeded(seed, device), averaged_statistics(network.body):  # the seed is dropout's
        for kept, inputs in network.batches(rows):
            if len(kept) < 2:
                continue  # batch norm cannot use a single sample
            with torch.autocast(kind, dtype=torch.bfloat16, enabled=kind == "cuda"):
                logits = network.head(network.features(inputs))
                loss = torch.nn.functional.cross_entropy(logits.float(), labels[kept].to(device))
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_([*network.body.parameters(), *network.head.parameters()], 1.0)
            optimizer.step()
            scheduler.step()
            losses.append(loss.item())
    return float(np.mean(losses))


@contextmanager
def averaged_statistics(body: nn.Module) -> Iterator[None]:
    """Batch norms evaluate with the plain mean of this epoch's batch statistics.

    Their own running average moves by 1 to 10 % a step: after the few steps that a small target allows it still
    describes other data, and accuracy falls to chance whatever the weights have learned (Wu and Johnson,
    "Rethinking 'Batch' in BatchNorm", 2021). Training itself does not read it.
    """
    from torch.nn.modules.batchnorm import _BatchNorm

    norms = [module for module in body.modules() if isinstance(module, _BatchNorm) and module.track_running_stats]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # torch's name for a cumulative average
    try:
        yield
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum


def _optimizer(
    network: Network, learning_rate: float
) -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.LRScheduler]:
    """AdamW with a faster head, warmed up linearly and decayed by a cosine over all epochs."""
    import torch

    recipe = network.trial.recipe
    rates = [learning_rate, learning_rate * recipe.head_factor]
    groups = [
        {"params": [p for p in network.body.parameters() if p.requires_grad], "lr": rates[0]},
        {"params": list(network.head.parameters()), "lr": rates[1]},
    ]
    kept = [group for group in groups if group["params"]]
    optimizer = torch.optim.AdamW(kept, weight_decay=recipe.weight_decay, fused=True)
    steps = recipe.epochs * -(-len(network.trial.split.train) // recipe.batch_size)
    scheduler = torch.optim.lr_scheduler.OneCycleLR(
        optimizer,
        max_lr=rates[-len(optimizer.param_groups) :],
        total_steps=max(steps, 2),
        pct_start=recipe.warmup,
        anneal_strategy="cos",
        cycle_momentum=False,
    )
    return optimizer, scheduler


def _stalled(epochs: Sequence[Mapping[str, float]], patience: int) -> bool:
    """Whether the last `patience` epochs brought no better validation accuracy."""
    accuracies = [epoch["validation_accuracy"] for epoch in epochs]
    return len(accuracies) > patience and max(accuracies[-patience:]) <= max(accuracies[:-patience])


def _trained(log: Mapping[str, Any], weights: Path) -> Trained:
    epochs = tuple(Epoch(**epoch) for epoch in log["epochs"])
    return Trained(max(epoch.validation_accuracy for epoch in epochs), epochs, log["seconds"], weights)


@contextmanager
def seeded(seed: int, device: str) -> Iterator[None]:
    """Torch's generators at `seed` inside, as they were outside."""
    import torch

    with torch.random.fork_rng(devices=[torch.device(device)] if device.startswith("cuda") else []):
        torch.manual_seed(seed)
        yield


def write_state(path: Path, state: State) -> None:
    """Save tensors and plain values, all or nothing."""
    import torch

    with cache_errors(path.parent), replacing(path) as temporary:
        torch.save(dict(state), temporary)


def read_state(path: Path) -> dict[str, Any]:
    """What `write_state` wrote.

    Raises
    ------
    CacheError
        If the file is damaged.
    """
    import torch

    try:
        return torch.load(path, weights_only=True, map_location="cpu")
    except Exception as error:  # torch raises many kinds for a damaged file
        raise CacheError(f"the checkpoint {path} is damaged ({error}); delete it and run again.") from None
