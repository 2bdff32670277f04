"""Two dimensions of the target's features: a frozen record of `transferscope.results.Ranking`."""

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
