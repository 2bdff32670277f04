"""A source with a new head, and the data that go through it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..adapters import Adapter
from ..errors import CacheError, CorruptSampleError, TransferScopeError
from ..features.pooling import pool
from ..sources import Source
from ..sources.source import ImageInput
from ..storage import cache_errors, replacing
from ..targets import Target, Waveform
from .body import blocks_of, set_mode, untracked
from .objective import objective_of
from .strategy import Trial

if TYPE_CHECKING:
    from torch import Tensor, nn

State = Mapping[str, Any]
Items = Sequence[tuple[int, Any]]  # rows with their samples, or with their model inputs where these have one size
KEEP = 2**30  # bytes of samples that are held, so that they are decoded once and not once an epoch


class Feeder:
    """Samples of one data set as model inputs; unreadable ones are left out, as scoring left them out."""

    def __init__(self, target: Target, adapter: Adapter, source: Source, device: str) -> None:
        self.target, self.adapter, self.device = target, adapter, device
        self.one_size = isinstance(source.input, ImageInput)
        self._held: dict[int, Any] = {}
        self._bytes = 0

    def load(self, rows: NDArray[np.int64]) -> Items:
        """The readable ones of `rows`."""
        items = []
        for row in map(int, rows):
            if row not in self._held:
                try:
                    sample = self.target.samples[row]
                except CorruptSampleError:
                    continue
                item = dict(self.adapter.prepare([sample], Counter())) if self.one_size else sample
                self._bytes += (size := _bytes(item))
                if self._bytes > KEEP:
                    self._bytes -= size
                    items.append((row, item))
                    continue
                self._held[row] = item
            items.append((row, self._held[row]))
        return items

    def batch(self, items: Items) -> tuple[Mapping[str, Tensor], Tensor]:
        """Inputs and labels on the device."""
        import torch

        samples = [item for _, item in items]
        if self.one_size:
            inputs = {name: torch.cat([item[name] for item in samples]) for name in samples[0]}
        else:
            inputs = dict(self.adapter.prepare(samples, Counter()))
        labels = torch.from_numpy(self.target.labels[[row for row, _ in items]])
        return {name: value.to(self.device) for name, value in inputs.items()}, labels.to(self.device)


def _bytes(item: Any) -> int:
    if isinstance(item, dict):
        return sum(value.nbytes for value in item.values())
    if isinstance(item, Waveform):
        return item.samples.nbytes
    return len(item) if isinstance(item, str) else int(np.prod(item.size)) * len(item.getbands())


class Network:
    """A source and new linear heads on the pooled features of one of its layers.

    Attributes
    ----------
    body : torch.nn.Module
        The source's own model object: training changes it.
    heads : torch.nn.ModuleDict
        "target", and what a strategy adds.
    """

    def __init__(self, trial: Trial, seed: int, feeder: Feeder) -> None:
        import torch

        self.trial, self.seed, self.feeder, self.device = trial, seed, feeder, trial.extractor.device
        self.objective = objective_of(trial.target)
        self.body: nn.Module = trial.source.model.to(self.device).eval()
        self.heads = torch.nn.ModuleDict()
        self.add_head("target", self.objective.n_outputs)

    @cached_property
    def width(self) -> int:
        """Features of the head's layer."""
        import torch

        with torch.no_grad():
            return int(self.features(self.few_inputs()).shape[1])

    def few_inputs(self) -> Mapping[str, Tensor]:
        """A small batch, to see shapes and where gradients reach."""
        items = self.feeder.load(self.trial.split.train[:8])
        if not items:
            raise TransferScopeError(f"{self.trial.target.name}: none of its first 8 training samples can be read.")
        return self.feeder.batch(items[:2])[0]

    def add_head(self, name: str, n_outputs: int) -> None:
        """A new linear head with weights drawn from the run's seed."""
        import torch

        width = self.width
        with seeded(self.seed, self.device):
            self.heads[name] = torch.nn.Linear(width, n_outputs).to(self.device)

    @property
    def head(self) -> nn.Linear:
        """The target's."""
        head: Any = self.heads["target"]
        return head

    def features(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """Pooled features of the head's layer."""
        outputs = self.trial.source.run(inputs, [self.trial.layer])
        return pool(outputs.layers[self.trial.layer], self.trial.extractor.poolings[0])

    @cached_property
    def reached(self) -> frozenset[str]:
        """Parameters of the source that the head's layer depends on, and that the source itself does not freeze."""
        import torch

        parameters = dict(self.body.named_parameters())
        set_mode(self.body)
        with torch.enable_grad(), untracked(self.body), seeded(self.seed, self.device):
            features = self.features(self.few_inputs())
            learned = [name for name, parameter in parameters.items() if parameter.requires_grad]
            found: Sequence[Tensor | None] = ()
            if features.requires_grad:
                found = torch.autograd.grad(features.sum(), [parameters[n] for n in learned], allow_unused=True)
        self.body.eval()
        return frozenset(name for name, gradient in zip(learned, found, strict=False) if gradient is not None)

    @cached_property
    def blocks(self) -> list[list[str]]:
        """The stem and then the blocks, from input to output, of the parameters that are reached."""
        stem, *blocks = [[name for name in group if name in self.reached] for group in blocks_of(self.body)]
        return [stem, *(block for block in blocks if block)]

    def train_only(self, names: Sequence[str] | frozenset[str] | set[str]) -> None:
        """Freeze every weight of the source but these."""
        wanted = set(names) & self.reached
        for name, parameter in self.body.named_parameters():
            parameter.requires_grad_(name in wanted)

    def trained(self) -> dict[str, nn.Parameter]:
        """The weights of the source that training moves."""
        return {name: p for name, p in self.body.named_parameters() if p.requires_grad}

    def state(self) -> dict[str, Any]:
        """What training moves: trained weights, statistics, heads."""
        frozen = {name for name, parameter in self.body.named_parameters() if not parameter.requires_grad}
        body = {name: value for name, value in self.body.state_dict().items() if name not in frozen}
        return {"body": body, "heads": self.heads.state_dict()}

    def load(self, state: State) -> None:
        """Take weights back; the frozen ones are the source's own."""
        lost = self.body.load_state_dict(state["body"], strict=False)
        assert not lost.unexpected_keys, lost.unexpected_keys
        self.heads.load_state_dict(state["heads"])

    def outputs(self, rows: NDArray[np.int64], size: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """What the head says of the readable rows, `size` at a time, and their labels."""
        import torch

        self.body.eval()
        said, labels = [], []
        with torch.inference_mode():
            for start in range(0, len(rows), size):
                if items := self.feeder.load(rows[start : start + size]):
                    inputs, wanted = self.feeder.batch(items)
                    said.append(self.head(self.features(inputs)).float().cpu().numpy())
                    labels.append(wanted.cpu().numpy())
        if not said:
            raise TransferScopeError(f"{self.trial.target.name}: none of {len(rows)} held-out samples can be read.")
        return np.concatenate(said), np.concatenate(labels)


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
