"""What a reader of a ranking must know before its numbers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..adapters import parse_choice
from ..results import Candidate, Skipped
from .candidates import Plan


def warnings_of(plan: Plan, candidates: Sequence[Candidate], skipped: Sequence[Skipped]) -> tuple[str, ...]:
    """One sentence each."""
    found = []
    if skipped:
        found.append(f"{len(skipped)} unreadable samples were left out.")
    if plan.split.grouped:
        found.append(
            "Samples come in groups: leave-one-out scores see the rest of a sample's own group, so they promise more "
            "than accuracy on new groups, which confirmation measures."
        )
    counts = np.bincount(plan.target.labels[plan.split.train])
    if counts.min() < 5:
        found.append(f"A class has only {counts.min()} training samples; every estimate is rough.")
    if counts.max() > 10 * counts.min():
        found.append(
            f"Class sizes range from {counts.min()} to {counts.max()}: accuracies favour the large classes "
            f"(always naming the largest gives {counts.max() / counts.sum():.2f})."
        )
    walked = {step.converter for candidate in candidates for step in candidate.path}
    named = [parse_choice(text)[0] for text in plan.asked.adapters if text != "all"]
    if idle := [name for name in dict.fromkeys(named) if name not in walked]:
        found.append(f"No source here is reached by {' or '.join(idle)}: what was asked of it changes nothing.")
    return tuple(found)
