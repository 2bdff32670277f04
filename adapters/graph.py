"""The converter graph: what data can be, what turns one kind into another, and the cheapest path."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import product
from typing import Any, Literal, Protocol, runtime_checkable
from urllib.parse import parse_qsl, urlencode

from ..errors import AdapterError, CorruptSampleError, UnknownNameError
from ..examples import Look
from ..registry import Registry
from ..results import Setting, Step
from ..sources.source import Inputs, Source
from ..targets.target import Target
from .ledger import ledger, total_of

Node = Literal["text", "image", "waveform", "tokens"]
# the first argument is the source's own kind of InputSpec, the second a probe of samples, then options by name
Build = Callable[..., "Converter"]
_NODE_OF_MODALITY: Mapping[str, Node] = {"text": "text", "image": "image", "audio": "waveform"}


class Converter(Protocol):
    """Turns a batch of samples of one kind into the next kind, or into the source's inputs at the end.

    A converter never sees labels and never picks a layer: it can leak nothing and rank nothing.
    """

    def __call__(self, samples: Sequence[Any], edits: Counter[str]) -> Any:
        """Convert a batch; count in `edits` whatever is changed or lost, never silently."""

    def settings(self) -> Mapping[str, Setting]:
        """Everything that decides the values, for the record and for the cache key."""


@runtime_checkable
class Measuring(Protocol):
    """A converter that can tell ahead how long its results will be, so that samples of like length go together."""

    def lengths(self, samples: Sequence[Any]) -> Sequence[int]:
        """Positions along the time axis of each sample, once it is converted."""


@runtime_checkable
class Showing(Protocol):
    """A last converter that can show a person what it gives to the source."""

    def show(self, sample: Any, made: Inputs) -> Look:
        """One sample as it came to this converter, and the batch of one that it made of it."""


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
        ``build(input_spec, probe, **options) -> Converter``; `probe` is a few raw samples of kind `start`, for
        settings such as a common duration.
    options : mapping of str to tuple of str
        Ways to convert that people may choose between: the values of each option, the default first.
    """

    name: str
    start: Node
    end: Node
    cost: float
    reference: str
    build: Build
    options: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def choice(self, chosen: Mapping[str, str]) -> str:
        """The text of a choice, by which it can be asked for again; defaults are left out."""
        named = {key: chosen[key] for key, values in self.options.items() if chosen.get(key, values[0]) != values[0]}
        return f"{self.name}?{urlencode(named)}" if named else self.name


CONVERTERS: Registry[Edge] = Registry("converter", "transferscope.adapters")


def register_converter(
    start: Node, end: Node, *, cost: float, reference: str, options: Mapping[str, tuple[str, ...]] | None = None
) -> Callable[[Build], Build]:
    """Enter a converter under ``start->end``; the decorated class or function builds it.

    It takes each of `options` as a keyword argument of that name, always one of the values.
    """

    def enter(build: Build) -> Build:
        name = f"{start}->{end}"
        CONVERTERS.add(name, Edge(name, start, end, cost, reference, build, options or {}))
        return build

    return enter


@dataclass(frozen=True)
class Adapter:
    """The converters from one target's samples to one source's input, in order.

    Attributes
    ----------
    edges : tuple of Edge
    converters : tuple of Converter
        What each edge built.
    choices : tuple of str
        The options that differ from the defaults, such as ``waveform->image?channels=deltas``; `find_adapter` builds
        the same adapter from them.
    """

    edges: tuple[Edge, ...]
    converters: tuple[Converter, ...]
    choices: tuple[str, ...] = ()

    def prepare(self, samples: Sequence[Any], edits: Counter[str]) -> Inputs:
        """Turn raw samples into one batch of model inputs; changes are counted in `edits`."""
        edits["samples"] += len(samples)
        batch: Any = samples
        for converter in self.converters:
            batch = converter(batch, edits)
        return batch

    def look(self, sample: Any) -> Look:
        """One raw sample as the source is given it, with what the way there did to it.

        Raises
        ------
        AdapterError
            If the last converter has no ``show``.
        """
        edits: Counter[str] = Counter(samples=1)
        batch: Any = [sample]
        for converter in self.converters:
            before, batch = batch, converter(batch, edits)
        if not isinstance(converter, Showing):
            raise AdapterError(f"{self.edges[-1].name} does not say how what it makes is shown.")
        counts = {count.replace("_", " "): total_of(count, edits) for count in edits}
        lost = tuple((loss.name, None if counts[loss.name] == "samples" else loss.share) for loss in ledger(edits))
        return replace(converter.show(before[0], batch), lost=lost)

    def lengths(self, samples: Sequence[Any]) -> Sequence[int] | None:
        """How long each sample will be as model input; None where that is not known ahead."""
        first = self.converters[0]
        return first.lengths(samples) if isinstance(first, Measuring) else None

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


def find_adapter(target: Target, source: Source, choices: Sequence[str] = (), *, n_probe: int = 32) -> Adapter:
    """Build the adapter of one (target, source) pair.

    Parameters
    ----------
    target : Target
    source : Source
    choices : sequence of str
        At most one per converter on the path, such as ``waveform->image?channels=deltas``; the rest is as by default.
    n_probe : int, default=32
        How many samples, evenly spread, a converter may look at to choose its settings (never their labels).

    Raises
    ------
    AdapterError
        If there is no path, no sample can be read, or a converter cannot be built for this source.
    UnknownNameError
        If a choice names no converter, option or value.
    """
    edges = find_path(_NODE_OF_MODALITY[target.modality], source.input.kind)
    chosen = dict(map(parse_choice, choices))
    probe = _probe(target, n_probe)
    converters: list[Converter] = []
    for position, edge in enumerate(edges):
        defaults = {key: values[0] for key, values in edge.options.items()}
        converter = edge.build(source.input, probe, **defaults | chosen.get(edge.name, {}))
        converters.append(converter)
        if position + 1 < len(edges):
            probe = converter(probe, Counter())
    named = tuple(edge.choice(chosen.get(edge.name, {})) for edge in edges)
    kept = tuple(text for text, edge in zip(named, edges, strict=True) if text != edge.name)
    return Adapter(edges, tuple(converters), kept)


def parse_choice(text: str) -> tuple[str, dict[str, str]]:
    """A converter's name and the options chosen for it, out of ``NAME?option=value&...``."""
    name, _, query = text.partition("?")
    edge = CONVERTERS[name]
    chosen = dict(parse_qsl(query, keep_blank_values=True))
    for option, value in chosen.items():
        if option not in edge.options:
            raise UnknownNameError(f"option of {name}", option, edge.options)
        if value not in edge.options[option]:
            raise UnknownNameError(f"{option} of {name}", value, edge.options[option])
    return name, chosen


def variants(target: Target, source: Source, adapters: Sequence[str]) -> list[tuple[str, ...]]:
    """The choices of every adapter of a pair that is asked for, each fit for `find_adapter`.

    Parameters
    ----------
    adapters : sequence of str
        Choices: of those that name one converter each stands for an adapter of its own, and those of several
        converters are combined. A converter of the path that none names is as by default. ``("all",)`` is the
        default and every value of every option in turn. Choices of converters that this pair does not need are
        passed over.
    """
    edges = find_path(_NODE_OF_MODALITY[target.modality], source.input.kind)
    if tuple(adapters) == ("all",):
        single = [
            (edge.choice({option: value}),)
            for edge in edges
            for option, values in edge.options.items()
            for value in values[1:]
        ]
        return [(), *single]
    asked = [edge.choice(chosen) for name, chosen in map(parse_choice, adapters) for edge in [CONVERTERS[name]]]
    of_edge = [[text for text in asked if text.partition("?")[0] == edge.name] or [edge.name] for edge in edges]
    combined = [tuple(text for text in combination if "?" in text) for combination in product(*of_edge)]
    return list(dict.fromkeys(combined))


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
