"""What a reader of a ranking must know before its numbers."""

from __future__ import annotations

from collections.abc import Sequence

from ..adapters import parse_choice
from ..results import Candidate, Skipped
from .candidates import Plan


def warnings_of(plan: Plan, candidates: Sequence[Candidate], skipped: Sequence[Skipped]) -> tuple[str, ...]:
    """One sentence each."""
    found = []
    if skipped:
        found.append(f"{len(skipped)} unreadable samples were left out.")
    walked = {step.converter for candidate in candidates for step in candidate.path}
    named = [parse_choice(text)[0] for text in plan.asked.adapters if text != "all"]
    if idle := [name for name in dict.fromkeys(named) if name not in walked]:
        found.append(f"No source here is reached by {' or '.join(idle)}: what was asked of it changes nothing.")
    return tuple(found)
