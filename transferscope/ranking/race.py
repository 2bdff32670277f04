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
DECAY = 0.6  # of a gain, from one doubling of the samples to the next; 0.5 to 0.7 in learning curves seen here
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
    first : int, default=32

    Returns
    -------
    tuple of ndarray of int
        Disjoint, ascending, together all positions; one stage where there are too few samples for two.
    """
    order = nested_order(labels, np.random.default_rng((seed, len(labels))))
    size, ends = max(first, 4 * len(np.unique(labels))), []
    while size * LAST <= len(labels):
        ends.append(size)
        size = math.ceil(size * GROWTH)
    return tuple(np.sort(part) for part in np.split(order, ends))


def nested_order(labels: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int64]:
    """Positions in an order whose every prefix has two samples of each class first, then the classes in proportion."""
    when = np.empty(len(labels))
    for code in np.unique(labels):
        rows = rng.permutation(np.flatnonzero(labels == code))
        when[rows] = (np.arange(len(rows)) + rng.random()) / len(rows)
        when[rows[:2]] -= 2.0
    return np.argsort(when, kind="stable")


def losers(
    seen: Sequence[Mapping[str, Score | None]],
    n_total: int,
    n_stages: int,
    *,
    level: float = LEVEL,
    chance: float = -math.inf,
) -> tuple[Dropped, ...]:
    r"""Sources that can no longer reach the leader, after the newest of several stages.

    A source is dropped if it would stay behind at all :math:`N` samples even with noise and growth in its favour:

    .. math:: d_n - t\,s_n \sqrt{1 - n/N + a^2} - a \max(0, g_n) > 0,\quad a = r + r^2 + \dots + r^k

    :math:`d_n` is how far it is behind the leader on n samples, and :math:`s_n` the standard error of that on the same
    samples, of which those that are in already are no chance any more. :math:`g_n` is by how much it gained on the
    leader over the last doubling. Each of the :math:`k = \log_2(N/n)` doublings to come may bring r = `DECAY` of what
    the one before it brought. The gain is as noisy as the difference, and independent of it to first order, hence
    :math:`a^2`, also where no gain was seen. Ten blocks tell an error badly where few samples decide, so its square is
    the mean of its own and the median over the sources that run, with twice the degrees of freedom. t is the quantile
    of Student's t for the share of `level` that this stage may spend. Nothing is dropped at the first stage, where no
    growth is seen, or for want of a value.

    Parameters
    ----------
    seen : sequence of mapping of source to Score or None
        By stage; the newest holds those that still run.
    n_total, n_stages : int
        N, and the number of all stages.
    level : float, default=0.95
    chance : float, default=-inf
        Where scores are accuracies, that of always naming the largest class. One below it counts as this, with the
        noise of this: in balanced classes a left-out sample's class is rarer, and no signal yet reads as 0.

    Returns
    -------
    tuple of Dropped

    References
    ----------
    Maron and Moore, "Hoeffding Races", NeurIPS 1994; Birattari et al., "A Racing Algorithm for Configuring
    Metaheuristics", GECCO 2002; Mohr and van Rijn, "Fast and Informative Model Selection Using Learning Curve
    Cross-Validation", TPAMI 2023 (what the last growth leaves in reach); Smyth, "Linear Models and Empirical Bayes
    Methods", Statistical Applications in Genetics and Molecular Biology 2004 (moderated variances).
    """
    newest = {name: score for name, score in seen[-1].items() if score and score.value is not None and score.left_out}
    if len(seen) < 2 or len(newest) < 2:
        return ()
    sign = 1.0 if next(iter(newest.values())).higher_is_better else -1.0
    leader = max(newest, key=lambda name: sign * (newest[name].value or 0.0))
    n_samples = newest[leader].n_samples
    if n_samples >= n_total:
        return ()
    rivals = {name: score for name, score in newest.items() if name != leader and score.n_samples == n_samples}
    gaps = {name: _gap(newest[leader], score, chance) for name, score in rivals.items()}
    usual = float(np.median([error**2 for _, error in gaps.values()])) if gaps else 0.0
    reach = _reach(n_total / n_samples)
    quantile = _quantile(level, n_stages, 2 * (len(newest[leader].left_out) - 1))
    found = []
    for name, (difference, error) in gaps.items():
        before, leading = seen[-2].get(name), seen[-2].get(leader)
        if before is None or leading is None:
            continue
        gap = sign * difference
        gained = (sign * _gap(leading, before, chance)[0] - gap) / math.log2(n_samples / before.n_samples)
        noise = math.sqrt((error**2 + usual) / 2 * (1 - n_samples / n_total + reach**2))
        bound = gap - quantile * noise - reach * max(0.0, gained)
        if bound > 0:
            found.append(Dropped(name, n_samples, leader, float(gap), float(bound)))
    return tuple(found)


def _gap(leader: Score, rival: Score, chance: float) -> tuple[float, float]:
    """Paired difference and its standard error, neither of the two below chance."""
    difference, error = paired_difference(leader, rival)
    for score, sign in ((leader, 1.0), (rival, -1.0)):
        if score.value is not None and score.value < chance:
            difference += sign * (chance - score.value)
            error = math.hypot(error, math.sqrt(chance * (1 - chance) / score.n_samples))
    return difference, error


def _reach(factor: float) -> float:
    """How many times the last doubling's gain may still be to come until there are `factor` times as many samples."""
    return DECAY * (1 - DECAY ** math.log2(factor)) / (1 - DECAY)


def _quantile(level: float, n_stages: int, freedom: int) -> float:
    """One-sided, for an equal share of the risk at each stage that may drop: not the first, and not the last."""
    from scipy.stats import t

    return float(t.ppf(1 - (1 - level) / max(1, n_stages - 2), freedom))


def train_parts(target: Target, split: Split) -> tuple[np.ndarray, ...]:
    """The training rows in the order in which they are computed, race or not: one finds what the other made."""
    return tuple(split.train[part] for part in stages(target.strata[split.train], split.seed))
