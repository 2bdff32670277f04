"""What is drawn in two dimensions, samples or sources: frozen records of `transferscope.results.Ranking`."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class View:
    """Some training rows under one source, on the first two principal components of its best layer."""

    source: str
    points: tuple[tuple[float, float], ...]  # the largest coordinate is 1
    labels: tuple[int, ...]  # class codes, in the target card's order, or places in `groups`
    explained: float  # share of the features' variance that the two components hold
    between: float  # share of the variance in these two dimensions that lies between classes
    groups: tuple[str, ...] = ()  # what colours stand for where samples have no class


@dataclass(frozen=True)
class SourceMap:
    """Sources as they see the target, each at its best layer; the squared distance of two is 1 minus their CKA."""

    sources: tuple[str, ...]
    points: tuple[tuple[float, float], ...]
    alignment: tuple[float | None, ...]  # CKA of each with the classes: 1 where nothing else tells samples apart
    classes: tuple[float, float] | None  # where the target's classes lie on the map, as if they were a source
    held: float  # share of the spread that the two dimensions hold
    stress: float  # root of the squared errors of the distances on the map, over the squared distances
