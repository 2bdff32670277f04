"""A race: sources are scored on growing parts of the samples, and those that can no longer win are dropped."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from ..results import Score
from ..scorers.jackknife import paired_difference
from ..spending import Dropped
from ..targets import Split, Target

LEVEL = 0.95  # 1 minus the chance that the full-data winner is dropped
FIRST = 32  # samples of the first stage; sources are dropped from the second on, when their growth is seen
GROWTH = 2.0
LAST = 1.5  # the last stage is at least so many times the one before it


def stages(labels: NDArray[np.int64], seed: int, *, first: int = FIRST) -> tuple[NDArray[np.int64], ...]:
    """Positions of the samples that each stage adds.

    Every prefix holds two samples of every class that has them, and beyond that the classes in proportion. The first
    `first` samples, or four of each class if that is more, are doubled until all are in.

    Parameters
    ----------
    labels : ndarray of shape (n_samples,)
        Class codes.
    seed : int
    first : int, default=64

    Returns
    -------
    tuple of ndarray of int
        Disjoint, ascending, together all positions; one stage where there are too few samples for two.
    """
    rng = np.random.default_rng((seed, len(labels)))
    when = np.empty(len(labels))
    for code in np.unique(labels):
        rows = rng.permutation(np.flatnonzero(labels == code))
        when[rows] = (np.arange(len(rows)) + rng.random()) / len(rows)
        when[rows[:2]] -= 2.0
    order = np.argsort(when, kind="stable")
    size, ends = max(first, 4 * len(np.unique(labels))), []
    while size * LAST <= len(labels):
        ends.append(size)
        size = math.ceil(size * GROWTH)
    return tuple(np.sort(part) for part in np.split(order, ends))


def losers(
    seen: Sequence[Mapping[str, Score | None]], n_total: int, n_stages: int, *, level: float = LEVEL
) -> tuple[Dropped, ...]:
    r"""Sources that can no longer reach the leader, after the newest of several stages.

    A source is dropped if it would stay behind at all :math:`N` samples even with noise and growth in its favour:

    .. math:: d_n - t\,s_n \sqrt{(1 - n/N)(1 + k^2)} - k \max(0, g_n) > 0,\quad k = \log_2(N/n)

    :math:`d_n` is how far it is behind the leader on n samples, :math:`s_n` the standard error of that on the same
    samples, of which those that are in already are no chance any more. :math:`g_n` is by how much it gained on the
    leader over the last doubling: learning curves are concave in the logarithm of n, so that no later doubling brings
    more. The gain is as noisy as the difference, and independent of it to first order, hence :math:`1 + k^2`, also
    where no gain was seen. t is the quantile of Student's t for the share of `level` that this stage may spend.
    Nothing is dropped at the first stage, where no growth is seen, or for want of a value.

    Parameters
    ----------
    seen : sequence of mapping of source to Score or None
        By stage; the newest holds those that still run.
    n_total, n_stages : int
        N, and the number of all stages.
    level : float, default=0.95

    Returns
    -------
    tuple of Dropped

    References
    ----------
    Maron and Moore, "Hoeffding Races", NeurIPS 1994; Birattari et al., "A Racing Algorithm for Configuring
    Metaheuristics", GECCO 2002; Mohr and van Rijn, "Fast and Informative Model Selection Using Learning Curve
    Cross-Validation", TPAMI 2023 (the bound by concavity).
    """
    newest = {name: score for name, score in seen[-1].items() if score and score.value is not None and score.left_out}
    if len(seen) < 2 or len(newest) < 2:
        return ()
    sign = 1.0 if next(iter(newest.values())).higher_is_better else -1.0
    leader = max(newest, key=lambda name: sign * (newest[name].value or 0.0))
    n_samples = newest[leader].n_samples
    doublings = math.log2(n_total / n_samples)
    if doublings <= 0:
        return ()
    quantile = _quantile(level, n_stages, len(newest[leader].left_out))
    found = []
    for name, score in newest.items():
        before, leading = seen[-2].get(name), seen[-2].get(leader)
        if name == leader or before is None or leading is None or score.n_samples != n_samples:
            continue
        difference, error = paired_difference(newest[leader], score)
        gap = sign * difference
        gained = (sign * paired_difference(leading, before)[0] - gap) / math.log2(n_samples / before.n_samples)
        noise = error * math.sqrt((1 - n_samples / n_total) * (1 + doublings**2))
        bound = gap - quantile * noise - max(0.0, gained) * doublings
        if bound > 0:
            found.append(Dropped(name, n_samples, leader, float(gap), float(bound)))
    return tuple(found)


def _quantile(level: float, n_stages: int, n_blocks: int) -> float:
    """One-sided, for an equal share of the risk at each stage that may drop: not the first, and not the last."""
    from scipy.stats import t

    return float(t.ppf(1 - (1 - level) / max(1, n_stages - 2), n_blocks - 1))


def train_parts(target: Target, split: Split) -> tuple[np.ndarray, ...]:
    """The training rows in the order in which they are computed, race or not: one finds what the other made."""
    return tuple(split.train[part] for part in stages(target.labels[split.train], split.seed))
