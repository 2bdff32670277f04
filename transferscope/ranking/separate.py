"""What would tell tied sources apart: more labels, or training both."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from ..choices import NOISE
from ..results import Candidate
from ..scorers.registry import SCORERS
from ..spending import Cost
from ..trust import Separation, Standing
from .paired import gain, scored

MOST = 5  # rivals of the first that are told
SENSIBLE = 100  # times the samples at hand: more labels than that are no advice
EPOCHS = (3 + 1) * 10  # of one confirmation: three learning rates and a second seed at the best, of at most ten each


def separations(
    best: Mapping[str, Candidate],
    standings: Sequence[Standing],
    costs: Mapping[str, Cost],
    *,
    by: str,
    shares: bool = True,
) -> tuple[Separation, ...]:
    r"""The first of the best set beside the others in it.

    A difference stands out at `NOISE` of its standard errors, which shrink with :math:`1/\sqrt n`: with :math:`n`
    samples scored, :math:`n (1.645\,s/|d|)^2` are needed. Both :math:`d` and :math:`s` are estimates, so that the
    number is good to a factor of two or worse; if the sources are equal no number is enough.

    Training both shows a difference of accuracies :math:`d` on :math:`(1.645/d)^2 \cdot 2 p (1 - p)` test samples,
    were their errors independent; they mostly agree, so that this is cautious. Only told of scores that are
    accuracies.

    Parameters
    ----------
    best : mapping of source to Candidate
        Each at its best.
    standings : sequence of Standing
        Best first.
    costs : mapping of source to Cost
    by : str
        The scorer in whose units they differ.
    shares : bool, default=True
        Whether accuracies are shares of right answers, from which the test samples needed follow.
    """
    held = [one.source for one in standings if one.in_best_set]
    if len(held) < 2:
        return ()
    found = []
    for rival in held[1 : MOST + 1]:
        first, second = best[held[0]], best[rival]
        measured, score = gain(first, second, by), scored(first, by)
        if measured is None or measured[1] is None or score is None:
            continue
        difference, error = measured[0], measured[1]
        found.append(
            Separation(
                held[0],
                rival,
                difference,
                error,
                score.n_samples,
                _samples(score.n_samples, difference, error),
                _test_samples(best, held[0], rival, by, difference) if shares else None,
                _seconds(costs.get(held[0]), costs.get(rival)),
            )
        )
    return tuple(found)


def _samples(n_samples: int, difference: float, error: float) -> int | None:
    if difference == 0 or NOISE * error > math.sqrt(SENSIBLE) * abs(difference):
        return None
    return max(n_samples, math.ceil(n_samples * (NOISE * error / difference) ** 2))


def _test_samples(best: Mapping[str, Candidate], first: str, second: str, by: str, difference: float) -> int | None:
    if by not in SCORERS or not SCORERS[by].is_accuracy or difference == 0:
        return None
    values = [score.value for name in (first, second) if (score := scored(best[name], by)) and score.value is not None]
    middle = min(max(sum(values) / len(values), 0.05), 0.95)
    needed = math.ceil(2 * middle * (1 - middle) * (NOISE / difference) ** 2)
    return needed if needed <= 1_000_000 else None


def _seconds(first: Cost | None, second: Cost | None) -> float | None:
    if first is None or second is None or first.tuning_seconds is None or second.tuning_seconds is None:
        return None
    return EPOCHS * (first.tuning_seconds + second.tuning_seconds)
