"""The converter graph: what data can be, what turns one kind into another, and the cheapest path."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, Protocol

from ..errors import AdapterError, CorruptSampleError
from ..registry import Registry
from ..results import Setting, Step
from ..sources.source import Inputs, Source
from ..targets.target import Target

Node = Literal["text", "image", "waveform", "tokens"]
Build = Callable[[Any, Sequence[Any]], "Converter"]  # the first argument is the source's own kind of InputSpec
_NODE_OF_MODALITY: Mapping[str, Node] = {"text": "text", "image": "image", "audio": "waveform"}


class Converter(Protocol):
    """Turns a batch of samples of one kind into the next kind, or into the source's inputs at the end.

    A converter never sees labels and never picks a layer: it can leak nothing and rank nothing.
    """

    def __call__(self, samples: Sequence[Any], edits: Counter[str]) -> Any:
        """Convert a batch; count in `edits` whatever is changed or lost, never silently."""

    def settings(self) -> Mapping[str, Setting]:
        """Everything that decides the values, for the record and for the cache key."""


@dataclass(frozen=True)
class Edge:
    """A registered converter.

    Attributes
    ----------
    name : str
        "waveform->image" and the like.
    start, end : Node
        Equal for a converter that fits a kind to one source's input (resize, resample); it comes last.
    cost : float
        Of the path search: 1 keeps the information, more loses some.
    reference : str
        The paper whose conversion this is.
    build : callable
        ``build(input_spec, probe) -> Converter``; `probe` is a few raw samples of kind `start`, for settings
        such as a common duration.
    """

    name: str
    start: Node
    end: Node
    cost: float
    reference: str
    build: Build


CONVERTERS: Registry[Edge] = Registry("converter", "transferscope.adapters")


def register_converter(start: Node, end: Node, *, cost: float, reference: str) -> Callable[[Build], Build]:
    """Enter a converter under ``start->end``; the decorated class or function builds it."""

    def enter(build: Build) -> Build:
        name = f"{start}->{end}"
        CONVERTERS.add(name, Edge(name, start, end, cost, reference, build))
        return build

    return enter


@dataclass(frozen=True)
class Adapter:
    """The converters from one target's samples to one source's input, in order."""

    edges: tuple[Edge, ...]
    converters: tuple[Converter, ...]

    def prepare(self, samples: Sequence[Any], edits: Counter[str]) -> Inputs:
        """Turn raw samples into one batch of model inputs; changes are counted in `edits`."""
        edits["samples"] += len(samples)
        batch: Any = samples
        for converter in self.converters:
            batch = converter(batch, edits)
        return batch

    @cached_property
    def path(self) -> tuple[Step, ...]:
        """The record of this adapter: it changes whenever `prepare` could give other values."""
        return tuple(
            Step(edge.name, dict(converter.settings()), edge.reference)
            for edge, converter in zip(self.edges, self.converters, strict=True)
        )


def find_path(start: Node, end: Node) -> tuple[Edge, ...]:
    """The cheapest converters from `start` to what a source of kind `end` takes in (Dijkstra).

    Images and waveforms end in their own fitting step (``image->image``); tokens are made fitting.
    """
    edges = CONVERTERS.values()
    queue: list[tuple[float, int, Node, tuple[Edge, ...]]] = [(0.0, 0, start, ())]
    done: set[Node] = set()
    order = 0  # breaks ties of cost in the order of names, never by comparing edges
    while queue:
        cost, _, node, path = heapq.heappop(queue)
        if node == end:
            fit = tuple(edge for edge in edges if edge.start == edge.end == end)
            return path + fit
        if node in done:
            continue
        done.add(node)
        for edge in edges:
            if edge.start == node and edge.end not in done:
                order += 1
                heapq.heappush(queue, (cost + edge.cost, order, edge.end, (*path, edge)))
    have = ", ".join(edge.name for edge in edges)
    raise AdapterError(f"no path leads from {start} to {end}; converters at hand: {have}. Add one to adapters/.")


def find_adapter(target: Target, source: Source, *, n_probe: int = 32) -> Adapter:
    """Build the adapter of one (target, source) pair.

    Parameters
    ----------
    target : Target
    source : Source
    n_probe : int, default=32
        How many samples, evenly spread, a converter may look at to choose its settings (never their labels).
    """
    edges = find_path(_NODE_OF_MODALITY[target.modality], source.input.kind)
    probe = _probe(target, n_probe)
    converters: list[Converter] = []
    for position, edge in enumerate(edges):
        converter = edge.build(source.input, probe)
        converters.append(converter)
        if position + 1 < len(edges):
            probe = converter(probe, Counter())
    return Adapter(edges, tuple(converters))


def _probe(target: Target, n_probe: int) -> list[Any]:
    """A few readable samples, evenly spread over the rows."""
    step = max(1, len(target) // n_probe)
    probe = []
    for row in range(0, len(target), step):
        try:
            probe.append(target.samples[row])
        except CorruptSampleError:
            continue  # extraction counts and reports it
    if not probe:
        raise AdapterError(f"{target.name}: none of the first samples looked at can be read.")
    return probe
