"""A source with a new head: batches, features, predictions, and its weights put back afterwards."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..adapters import Adapter
from ..errors import TransferScopeError
from ..features.pooling import pool
from ..targets import Target
from .device import make_accelerator, peak
from .objective import Objective
from .strategy import Trial

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

State = Mapping[str, Any]
DISTURBANCES = ("apply_spec_augment", "layerdrop", "encoder_layerdrop", "layer_drop")  # transformers', torchaudio's


@dataclass(frozen=True)
class Batch:
    """Model inputs and encoded labels of some samples.

    Attributes
    ----------
    inputs : mapping of str to Tensor, first axis n_samples
    labels : Tensor of shape (n_samples,) or (n_samples, n_columns)
    """

    inputs: Mapping[str, Tensor]
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)

    def part(self, rows: np.ndarray, device: str) -> Batch:
        """Some of its samples, on a device; padded as the whole is."""
        inputs = {name: value[rows].to(device) for name, value in self.inputs.items()}
        return Batch(inputs, self.labels[rows].to(device))


@dataclass(frozen=True)
class Data:
    """A target, the way from its samples to model inputs, and what is learned of it."""

    target: Target
    adapter: Adapter
    objective: Objective

    def batch(self, rows: np.ndarray) -> Batch | None:
        """The readable ones of `rows`, on the CPU; None if there are none."""
        import torch

        pairs = list(self.target.readable(rows))  # `rows` may name one twice
        if not pairs:
            return None
        kept, samples = zip(*pairs, strict=True)
        labels = torch.from_numpy(self.objective.encode(self.target.labels[list(kept)]))
        return Batch(self.adapter.prepare(list(samples), Counter()), labels)


class Network:
    """A source and a new linear head on the pooled features of one of its layers.

    Attributes
    ----------
    body : torch.nn.Module
        The source's own model object: training changes it.
    heads : torch.nn.ModuleDict
        "target", and whatever a strategy adds.
    accelerator : accelerate.Accelerator
    seed : int
    strength : float or None
        What a strategy searches beside the learning rate.
    part : int
        Samples that are in memory at once; at most the batch size.
    checkpointed : bool
        Whether activations are computed again in the backward pass, to save memory.
    peak : int
        Most bytes of memory that a step needed.
    """

    def __init__(self, trial: Trial, seed: int, strength: float | None = None) -> None:
        import torch

        self.trial, self.seed, self.strength, self.device = trial, seed, strength, trial.extractor.device
        self.accelerator = make_accelerator(self.device)
        self.data = Data(trial.target, trial.adapter, trial.objective)
        self.body: nn.Module = trial.source.model.eval()
        self.part, self.checkpointed, self.peak = trial.recipe.batch_size, False, 0
        with torch.no_grad():
            self.width = self.features(first_inputs(trial)).shape[1]
        self.heads = torch.nn.ModuleDict({"target": self.new_head(trial.objective.n_outputs)})

    @property
    def head(self) -> nn.Linear:
        """The target's head."""
        return self.heads["target"]  # type: ignore[return-value]

    def new_head(self, n_outputs: int) -> nn.Linear:
        """A linear layer on the features, with weights drawn from the seed."""
        import torch

        with seeded(self.seed, self.device):
            return torch.nn.Linear(self.width, n_outputs).to(self.device)

    def features(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """Pooled features of the head's layer."""
        outputs = self.trial.source.run(inputs, [self.trial.layer])
        return pool(outputs.layers[self.trial.layer], self.trial.extractor.poolings[0])

    def state(self) -> dict[str, Any]:
        """What training can change: weights that train, buffers, and heads."""
        names = {name for name, value in self.body.named_parameters() if value.requires_grad}
        names |= {name for name, _ in self.body.named_buffers()}
        body = {name: value for name, value in self.body.state_dict().items() if name in names}
        return {"body": body, "heads": self.heads.state_dict()}

    def load(self, state: State) -> None:
        """Take back what `state` gave; the rest is as it was."""
        self.body.load_state_dict(state["body"], strict=False)
        self.heads.load_state_dict(state["heads"])

    def parameters(self) -> list[nn.Parameter]:
        """All that train."""
        return [value for value in [*self.body.parameters(), *self.heads.parameters()] if value.requires_grad]

    def backward(self, loss: Tensor) -> None:
        """Add the gradients of `loss`."""
        self.peak = peak(self.device, self.peak)  # all activations are in memory now
        self.accelerator.backward(loss)

    def judge(self, rows: np.ndarray) -> tuple[np.ndarray, int]:
        """What each readable row adds to the measure, and how many different answers are given: `Objective.judge`."""
        import torch

        self.body.eval()
        outputs, labels = [], []
        with torch.inference_mode():
            for start in range(0, len(rows), self.part):
                batch = self.data.batch(rows[start : start + self.part])
                if batch is None:
                    continue
                batch = batch.part(np.arange(len(batch)), self.device)
                outputs.append(self.head(self.features(batch.inputs)).float().cpu().numpy())
                labels.append(batch.labels.cpu().numpy())
        if not outputs:
            raise TransferScopeError(f"{self.trial.target.name}: none of {len(rows)} held-out samples can be read.")
        return self.trial.objective.judge(np.concatenate(outputs), np.concatenate(labels))


def first_inputs(trial: Trial) -> Mapping[str, Tensor]:
    """Model inputs of the first readable training samples: enough to see what the source makes of them."""
    for start in range(0, len(trial.split.train), 2):
        batch = Data(trial.target, trial.adapter, trial.objective).batch(trial.split.train[start : start + 2])
        if batch is not None:
            return batch.part(np.arange(len(batch)), trial.extractor.device).inputs
    raise TransferScopeError(f"{trial.target.name}: none of {len(trial.split.train)} training samples can be read.")


@contextmanager
def restored(model: nn.Module) -> Iterator[None]:
    """Every tensor, gradient switch and mode of a model is after the block what it was before."""
    import torch

    tensors = [*model.named_parameters(), *model.named_buffers()]
    before = {name: value.detach().clone() for name, value in tensors}
    switches = {name: value.requires_grad for name, value in model.named_parameters()}
    modes = [(module, module.training) for module in model.modules()]
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode
        with torch.no_grad():
            for name, value in [*model.named_parameters(), *model.named_buffers()]:
                value.requires_grad_(switches.get(name, False))
                value.grad = None
                value.copy_(before[name])


@contextmanager
def undisturbed(model: nn.Module) -> Iterator[None]:
    """Speech models neither blank out stretches of sound inside, nor leave out whole layers.

    No other source does; short sounds cannot be masked, and a layer that is left out has no activation to tap.
    """
    holders = {
        id(holder): holder for module in model.modules() for holder in (module, getattr(module, "config", None))
    }
    before = [
        (holder, name, getattr(holder, name))
        for holder in holders.values()
        for name in DISTURBANCES
        if isinstance(getattr(holder, name, None), int | float)
    ]
    for holder, name, value in before:
        setattr(holder, name, type(value)(0))
    try:
        yield
    finally:
        for holder, name, value in before:
            setattr(holder, name, value)


@contextmanager
def seeded(seed: int, device: str) -> Iterator[None]:
    """Torch's and NumPy's generators at `seed` inside, as they were outside."""
    import torch

    before = np.random.get_state()
    with torch.random.fork_rng(devices=[torch.device(device)] if device.startswith("cuda") else []):
        torch.manual_seed(seed)
        np.random.seed(seed)
        try:
            yield
        finally:
            np.random.set_state(before)


def batch_norms(body: nn.Module) -> list[torch.nn.modules.batchnorm._BatchNorm]:
    """Batch norms that learn statistics now."""
    from torch.nn.modules.batchnorm import _BatchNorm

    norms = [module for module in body.modules() if isinstance(module, _BatchNorm)]
    return [norm for norm in norms if norm.training and norm.track_running_stats]


@contextmanager
def averaged_statistics(body: nn.Module) -> Iterator[None]:
    """Batch norms that train evaluate with the plain mean of this epoch's batch statistics.

    Their own running average moves by 1 to 10 % a step: after the few steps that a small target allows it still
    describes other data, and accuracy falls to chance whatever the weights have learned (Wu and Johnson,
    "Rethinking 'Batch' in BatchNorm", 2021). Training itself does not read it.
    """
    norms = batch_norms(body)
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # torch's name for a cumulative average
    try:
        yield
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum


@contextmanager
def untracked(body: nn.Module) -> Iterator[None]:
    """Batch norms do not count what they see inside: other data than those they will be evaluated on."""
    norms = batch_norms(body)
    for norm in norms:
        norm.track_running_stats = False
    try:
        yield
    finally:
        for norm in norms:
            norm.track_running_stats = True
