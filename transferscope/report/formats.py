"""How numbers and names are written, in the report and in the terminal alike."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping

from ..results import Loss, Score

MISSING = "\u2013"  # an en dash
NBSP = "\u00a0"  # keeps a value, its error and its unit on one line
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")  # bidi overrides too


def clean(text: str) -> str:
    """`text` without characters that steer a terminal, break XML or turn the line around."""
    return _CONTROL.sub("\ufffd", text)


def shorten(text: str, width: int) -> str:
    """`text` of at most `width` characters, its middle cut out: both ends of a spec tell it apart."""
    text = clean(text)
    if len(text) <= width:
        return text
    tail = (width - 1) // 2
    return f"{text[: width - 1 - tail]}…{text[len(text) - tail :]}"


def capital(text: str) -> str:
    """With a large first letter, the others as they are."""
    return text[:1].upper() + text[1:]


def number(value: float | None) -> str:
    """Few digits: three decimals below a hundred, four significant digits above; a true minus sign."""
    if value is None or not math.isfinite(value):
        return MISSING
    if value and abs(value) < 0.0005:
        text = f"{value:.1e}"
    elif abs(value) < 100:
        text = f"{value:.3f}"
    else:
        text = f"{value:.0f}" if abs(value) < 1e6 else f"{value:.3g}"
    return text.replace("-", "\u2212")


def with_error(value: float | None, error: float | None) -> str:
    """Value ± standard error."""
    if value is None or error is None:
        return number(value)
    return f"{number(value)}{NBSP}±{NBSP}{number(error)}"


def score_text(score: Score | None) -> str:
    """A score's value and error; a value at its bound says nothing, and that is said instead."""
    if score is None:
        return MISSING
    return "saturated" if score.saturated else with_error(score.value, score.standard_error)


def percent(share: float | None) -> str:
    """A share as a percentage with one decimal."""
    return MISSING if share is None else f"{hundredths(share)}{NBSP}%"


def hundredths(share: float) -> str:
    """A share in hundredths; R squared has no lower bound, and far below zero its power of ten is all there is."""
    text = f"{100 * share:.1f}" if abs(share) < 1000 else f"{100 * share:.1e}"
    return text.replace("-", "\u2212")


def points(difference: float) -> str:
    """A difference of accuracies in percentage points."""
    return f"{hundredths(difference)}{NBSP}points"


def large(value: float | None) -> str:
    """A count in thousands, millions, billions ... with three significant digits."""
    if value is None:
        return MISSING
    for size, unit in ((1e12, " T"), (1e9, " G"), (1e6, " M"), (1e3, " k")):
        if abs(value) >= size:
            return f"{value / size:.3g}{unit}"
    return f"{value:.0f}"


def count(value: float) -> str:
    """A count in full, thousands apart."""
    text = f"{value:,.0f}" if float(value).is_integer() else f"{value:,.1f}"
    return text.replace(",", "\u202f")


def duration(seconds: float | None) -> str:
    """Seconds, minutes or hours."""
    if seconds is None:
        return MISSING
    if seconds < 99.95:
        return f"{seconds:.1f} s"
    if seconds < 5400:
        return f"{seconds / 60:.1f} min"
    return f"{seconds / 3600:.1f} h"


def arrows(converter: str) -> str:
    """A converter's name as it is read: ``image → tokens``."""
    return clean(converter).replace("->", f"{NBSP}→{NBSP}")


def route(converters: Iterable[str]) -> str:
    """The kinds of data on the way; a step that only fits a kind to the source is not named beside others."""
    kinds = [kind for name in converters for kind in name.split("->")]
    way = [kind for place, kind in enumerate(kinds) if not place or kind != kinds[place - 1]]
    return arrows("->".join(way)) or MISSING


def noun(n: int, name: str) -> str:
    """``1 sample``, ``2 samples``."""
    return f"{count(n)} {name}{'' if n == 1 else 's'}"


def listed(names: list[str] | tuple[str, ...], most: int = 6) -> str:
    """``a, b and c``; the tail of a long list is counted."""
    if len(names) > most:
        return f"{', '.join(names[:most])} and {len(names) - most} more"
    return f"{', '.join(names[:-1])} and {names[-1]}" if len(names) > 1 else "".join(names)


def written_edits(edits: Mapping[str, float], losses: Iterable[Loss] = ()) -> list[str]:
    """What a path changed: counts, and shares where it is known of what.

    A count is of the longest count that its name begins with: ``tokens_dropped`` of ``tokens``. Which of the others
    are shares of the samples, only `losses` can tell.
    """
    shares = {loss.name: loss.share for loss in losses}
    totals = {"samples"} | {name for name in edits for other in edits if other.startswith(f"{name}_")}
    lines = []
    for key, value in edits.items():
        name = key.replace("_", " ")
        base = max((total for total in totals if key.startswith(f"{total}_")), key=len, default="samples")
        if key in totals or (base == "samples" and not value):
            continue  # its parts name it; what happened to no sample is no change, that no token was lost is worth it
        line = f"{clean(name)}: {count(value)}"
        if (total := edits.get(base)) and (base != "samples" or name in shares):
            share = shares.get(name, min(1.0, value / total))
            line += f" of {count(total)} {clean(base).replace('_', ' ')} ({percent(share)})"
        lines.append(line)
    return lines
