"""Scores that are defined over the compared sources only: their parts, brought to one scale and added."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ..errors import ScoreError

ALIKE = 1e-12  # of a part's size: sources that differ by less differ by rounding


@dataclass(frozen=True)
class Combination:
    """A score of several sources together.

    Attributes
    ----------
    parts : mapping of scorer to +1 or -1
        The scorers that are added up, and with which sign: -1 for those that are better when lower.
    misleads, reference : str
        As of a scorer.
    """

    parts: Mapping[str, int]
    misleads: str
    reference: str


DEPENDS = "It depends on which sources are compared: adding one can reorder the others. With few, it is nearly ranks."
MEANING = "A sum of other scores, each brought to 0 to 1 over all sources."
COMBINATIONS: Mapping[str, Combination] = {
    "ncti": Combination(
        {"ncti_seli": 1, "ncti_ncc": 1, "ncti_vc": -1},
        DEPENDS,
        "Wang, Luo, Zheng, Huang and Baktashmotlagh, ICCV 2023",
    ),
    "etran": Combination({"energy": 1, "lda": 1}, DEPENDS, "Gholami, Akbari, Wang, Kamranian and Zhang, ICCV 2023"),
}


def combine(parts: Mapping[str, Sequence[float]], signs: Sequence[int]) -> dict[str, float]:
    """Sum of each source's parts, each brought to 0 .. 1 over the sources and counted with its sign.

    A part in which all sources agree ranks none before another and counts as 0 for each: so does every part of a
    single source.

    Parameters
    ----------
    parts : mapping of source to its values of the parts
    signs : sequence of +1 and -1, one per part

    Returns
    -------
    dict of source to float
        Between minus the number of negative signs and the number of positive ones; higher is better.

    Raises
    ------
    ScoreError
        If a source has other than ``len(signs)`` parts, or one that is not finite.
    """
    for source, found in parts.items():
        if len(found) != len(signs) or not np.isfinite(found).all():
            raise ScoreError(
                f"combining scores: {source} has the parts {tuple(found)}; expected {len(signs)} finite numbers. "
                "Leave it out or score it again."
            )
    if not parts:
        return {}
    columns = np.array(list(parts.values()), dtype=np.float64)
    above = columns - columns.min(axis=0)
    span = above.max(axis=0)
    differ = span > ALIKE * np.abs(columns).max(axis=0)
    totals = np.divide(above, span, out=np.zeros_like(above), where=differ) @ np.array(signs, dtype=np.float64)
    return dict(zip(parts, totals.tolist(), strict=True))
