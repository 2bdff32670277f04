"""How sure a source's best candidate is: layers tied with it, and what choosing the best of many adds to its value."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import combinations

import numpy as np

from ..choices import Selection
from ..results import Candidate, SourceCard
from .paired import gain, is_tied, scored

FEWEST_BLOCKS = 4  # of which halves can be chosen on and read on


def measure_selections(candidates: Sequence[Candidate], cards: Iterable[SourceCard], by: str) -> tuple[Selection, ...]:
    """Every source of more than one candidate with a value, twins among them."""
    found = []
    for card in cards:
        own = [c for c in candidates if c.source == card.name and scored(c, by)]
        best = next((c for c in own if c.is_best_layer), None)
        if best is None or len(own) < 2:
            continue
        order = {layer: place for place, layer in enumerate(card.layers)}
        curve = sorted(
            (c for c in own if (c.choices, c.pooling) == (best.choices, best.pooling) or _alone(c, best, own)),
            key=lambda c: order[c.layer],
        )
        tied = tuple(c.layer for c in curve if c is best or is_tied(gain(best, c, by)))
        found.append(Selection(card.name, len(own), tied, _shares(curve, by), optimism(left_out(own, by))))
    return tuple(found)


def _alone(candidate: Candidate, best: Candidate, own: Sequence[Candidate]) -> bool:
    """Whether this is its layer's only pooling under the best candidate's adapter: all of them are equal there."""
    same = [c for c in own if (c.choices, c.layer) == (best.choices, candidate.layer)]
    return same == [candidate]


def left_out(candidates: Sequence[Candidate], by: str) -> np.ndarray | None:
    """Values without each block, higher is better, shape (n_candidates, n_blocks); None where one has none."""
    rows = [(s.left_out, 1.0 if s.higher_is_better else -1.0) for c in candidates if (s := scored(c, by))]
    if len({len(values) for values, _ in rows}) != 1 or not rows[0][0]:
        return None
    return np.array([sign * np.array(values) for values, sign in rows])


def _shares(curve: Sequence[Candidate], by: str) -> dict[str, float]:
    values = left_out(curve, by)
    if values is None:
        return {}
    wins = Counter(int(place) for place in values.argmax(axis=0))
    return {curve[place].layer: wins[place] / values.shape[1] for place in sorted(wins)}


def optimism(values: np.ndarray | None) -> float | None:
    r"""By how much the largest of several estimates exceeds, on average, what it is worth on other samples.

    The best is chosen on one half of the blocks and read on the other, over all ways to halve them; the gap is divided
    by :math:`\sqrt 2`, since the noise of all samples is that much smaller than that of half of them. Where candidates
    truly differ, halves choose worse than the whole does, so that it errs on the large side.

    Parameters
    ----------
    values : ndarray of shape (n_candidates, n_blocks) or None
        Each candidate's value without each block; the value on a block follows as for a mean over samples,
        to first order for other scores.

    Returns
    -------
    float or None
        At least 0; None for want of blocks.

    References
    ----------
    Cawley and Talbot, "On Over-fitting in Model Selection", JMLR 11, 2010 (the bias); Efron, "The Jackknife, the
    Bootstrap and Other Resampling Plans", 1982 (pseudo-values).
    """
    if values is None or values.shape[1] < FEWEST_BLOCKS:
        return None
    n_blocks = values.shape[1]
    on_block = n_blocks * values.mean(axis=1, keepdims=True) - (n_blocks - 1) * values
    size = n_blocks // 2
    chosen = list(combinations(range(n_blocks), size))
    halves = np.zeros((n_blocks, len(chosen)))
    for column, blocks in enumerate(chosen):
        halves[list(blocks), column] = 1.0
    inside = on_block @ halves / size
    outside = on_block @ (1 - halves) / (n_blocks - size)
    winners = inside.argmax(axis=0)
    columns = np.arange(len(chosen))
    gaps = inside[winners, columns] - outside[winners, columns]
    return max(0.0, float(gaps.mean()) / np.sqrt(2))
