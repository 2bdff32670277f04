"""Which source is best, and how sure that is: draws of what each is worth, and what follows from them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..trust import BEST_SET, Standing

Array = NDArray[np.float64]
N_DRAWS = 4000
SPREADS = np.concatenate([[0.0], np.geomspace(0.05, 200.0, 40)])  # of true values, in standard errors of a difference
TYPICAL = 3.0  # where the prior on that spread has half of its mass


@dataclass(frozen=True, eq=False)
class Measured:
    """One scorer's values of several sources on the same samples; higher is better.

    Attributes
    ----------
    values : ndarray of shape (n_sources,)
        NaN where it says nothing.
    left_out : ndarray of shape (n_sources, n_blocks)
        Values without each block of samples, the same blocks for all; NaN, or no columns, where they are not known.
    standard_errors : ndarray of shape (n_sources,)
        NaN where they are not known.
    """

    values: Array
    left_out: Array
    standard_errors: Array

    @property
    def known(self) -> NDArray[np.bool_]:
        """Sources with a value and its noise."""
        return np.isfinite(self.values) & np.isfinite(self.standard_errors)

    def at_least(self, chance: float, n_samples: Array) -> Measured:
        r"""Accuracies with those below chance at chance, known as well as n samples tell: :math:`\sqrt{p(1-p)/n}`.

        Leave-one-out accuracies far below chance say nothing but that there is no signal: a left-out sample's own
        class is rarer among the others.
        """
        values = np.maximum(self.values, chance)
        floor = np.sqrt(values * (1 - values) / n_samples)
        return Measured(values, self.left_out, np.maximum(self.standard_errors, floor))

    def covariance(self) -> tuple[Array, float]:
        r"""Of the noise of the known sources, and its degrees of freedom.

        Variances are the squared standard errors, each drawn towards those of the other sources (`moderated`).
        Correlations come from the blocks (pseudo-values of the jackknife), shrunk towards their mean by as much as
        their scatter is that of chance: with ten blocks a correlation is known to about :math:`(1 - \rho^2)/3`, and
        the matrix of more sources than blocks would be singular.
        """
        rows, errors = self.left_out[self.known], self.standard_errors[self.known]
        n, n_blocks = rows.shape
        identity = np.eye(n)
        if n_blocks < 3 or not np.isfinite(rows).all() or n < 2:
            return identity * errors**2, np.inf
        errors = moderated(errors, n_blocks - 1)
        centred = rows - rows.mean(axis=1, keepdims=True)
        size = np.linalg.norm(centred, axis=1, keepdims=True)
        units = np.divide(centred, size, out=np.zeros_like(centred), where=size > 0)
        found = units @ units.T
        pairs = found[np.triu_indices(n, 1)]
        middle = float(np.clip(pairs.mean(), 0.0, 0.999))
        noise = (1 - middle**2) ** 2 / (n_blocks - 1)
        scatter = float(np.mean((pairs - middle) ** 2))
        keep = max(0.0, 1 - noise / scatter) if n > 2 and scatter > 0 else float(n == 2)
        shrunk = keep * found + (1 - keep) * middle
        np.fill_diagonal(shrunk, 1.0)
        return shrunk * np.outer(errors, errors), n_blocks - 1


def moderated(standard_errors: Array, freedom: int) -> Array:
    r"""Standard errors known from few blocks, drawn towards what is usual among the sources.

    Variances are taken as :math:`\sigma_i^2 \sim d_0 s_0^2 / \chi^2_{d_0}` over sources; :math:`s_0` and :math:`d_0`
    are fitted to the mean and variance of their logarithms. Where these scatter as chance alone would have it, all
    get the same. Else the luckiest source, whose error happens to look small, would be taken for surely the best.

    Parameters
    ----------
    standard_errors : ndarray of shape (n_sources,)
    freedom : int
        Degrees of freedom of each.

    Returns
    -------
    ndarray of shape (n_sources,)
        As given where one is 0: such a score is not noisy.

    References
    ----------
    Smyth, "Linear Models and Empirical Bayes Methods for Assessing Differential Expression", Statistical Applications
    in Genetics and Molecular Biology 2004.
    """
    from scipy.optimize import brentq
    from scipy.special import digamma, polygamma

    if len(standard_errors) < 2 or not (standard_errors > 0).all():
        return standard_errors
    half = freedom / 2
    logs = 2 * np.log(standard_errors) - digamma(half) + np.log(half)
    excess = float(logs.var(ddof=1) - polygamma(1, half))
    if excess <= polygamma(1, 1e6):
        return np.full(len(logs), np.exp(logs.mean() / 2))
    prior = float(brentq(lambda x: polygamma(1, x) - excess, 1e-6, 1e6))  # half of d_0
    usual = np.exp(logs.mean() + digamma(prior) - np.log(prior))
    return np.asarray(np.sqrt((prior * usual + half * standard_errors**2) / (prior + half)))


def draw_together(measured: Mapping[str, Measured], *, seed: int, n_draws: int = N_DRAWS) -> dict[str, Array]:
    r"""Draws of what each source is truly worth, given what was measured of all of them.

    True values are taken as scattered about a common mean with an unknown spread, :math:`\theta_i \sim N(\mu,
    \tau^2)`, and measured values as :math:`v \sim N(\theta, \Sigma)`, where :math:`\Sigma` holds that all were
    measured on the same samples. The draws are from the posterior, :math:`\tau` included (half-Cauchy prior): the
    first of many near-equal sources owes its place partly to luck, and is pulled back by as much as the values show.
    Noise has Student's t tails for the few blocks it is known from. Scorers share the noise of their samples: draw
    number 5 of one belongs to draw number 5 of another.

    Parameters
    ----------
    measured : mapping of scorer to Measured
        Of the same sources in the same order.
    seed : int
    n_draws : int, default=4000

    Returns
    -------
    dict of scorer to ndarray of shape (n_draws, n_sources)
        In units of the scorer. A source without noise keeps its value in all draws, one without a value is NaN.

    References
    ----------
    Efron and Morris, "Stein's Estimation Rule and Its Competitors", JASA 1973; Goldstein and Spiegelhalter, "League
    Tables and Their Limitations", JRSS A 1996; Gelman, "Prior distributions for variance parameters", Bayesian
    Analysis 2006.
    """
    rng = np.random.default_rng(seed)
    n_sources = len(next(iter(measured.values())).values)
    levels, normal = rng.random(n_draws), rng.standard_normal((n_draws, n_sources))
    chi = rng.chisquare(9, n_draws) / 9
    return {name: _draw(one, levels, normal, chi) for name, one in measured.items()}


def _draw(one: Measured, levels: Array, normal: Array, chi: Array) -> Array:
    drawn = np.tile(one.values, (len(levels), 1))
    known = one.known
    if known.sum() < 2:
        drawn[:, known] += one.standard_errors[known] * normal[:, known]
        return drawn
    values = one.values[known]
    covariance, freedom = one.covariance()
    n = len(values)
    centre = np.eye(n) - 1 / n  # only differences tell which is best
    noise, basis = np.linalg.eigh(centre @ covariance @ centre)
    noise, basis = np.maximum(noise[1:], 0.0), basis[:, 1:]  # without the common shift
    scale = float(noise.mean())
    if scale <= 0:
        return drawn
    away = basis.T @ values
    spreads = SPREADS * np.sqrt(scale)
    total = noise + spreads[:, None] ** 2
    floor = 1e-9 * scale
    likelihood = -0.5 * (np.log(total + floor) + away**2 / (total + floor)).sum(axis=1)
    # a half-Cauchy prior over a grid that is even in the logarithm, zero standing for all below it
    width = np.gradient(np.concatenate([[SPREADS[1] / 2], SPREADS[1:]]))
    prior = np.log(width / (1 + (SPREADS / TYPICAL) ** 2))
    weights = np.exp(likelihood + prior - (likelihood + prior).max())
    which = np.searchsorted(np.cumsum(weights / weights.sum()), levels).clip(max=len(SPREADS) - 1)
    tail = np.ones(len(levels)) if np.isinf(freedom) else 1 / np.sqrt(chi)
    moved = normal[:, known] @ basis
    for place in np.unique(which):
        rows = which == place
        pull = spreads[place] ** 2 / (total[place] + floor)
        drawn_rows = values.mean() + (pull * away + np.sqrt(pull * noise) * moved[rows] * tail[rows, None]) @ basis.T
        drawn[np.ix_(rows, known)] = drawn_rows
    return drawn


def standings(
    draws: Array,
    names: Sequence[str],
    values: Array,
    standard_errors: Array,
    *,
    regret_draws: Array | None = None,
    level: float = BEST_SET,
) -> tuple[Standing, ...]:
    """Where each source stands, best first by its value.

    Parameters
    ----------
    draws : ndarray of shape (n_draws, n_sources)
        Of what orders the sources; NaN for one without a value.
    names : sequence of str
    values, standard_errors : ndarrays of shape (n_sources,)
    regret_draws : ndarray of shape (n_draws, n_sources), optional
        In the units in which regret is told; default: `draws`.
    level : float, default=0.9

    Returns
    -------
    tuple of Standing
        Chances of being the best add up to 1; equals in a draw share it. The best set is the smallest one whose
        chances add up to `level`. Sources without a value come last, without a chance.
    """
    known = np.flatnonzero(np.isfinite(values) & np.isfinite(draws).all(axis=0))
    chances = np.zeros(len(names))
    low, high = np.full(len(names), len(names)), np.full(len(names), len(names))
    regrets: list[float | None] = [None] * len(names)
    if known.size:
        drawn = draws[:, known]
        top = drawn == drawn.max(axis=1, keepdims=True)
        chances[known] = (top / top.sum(axis=1, keepdims=True)).mean(axis=0)
        better = (drawn[:, None, :] > drawn[:, :, None]).sum(axis=2)
        equal = (drawn[:, None, :] == drawn[:, :, None]).sum(axis=2) - 1
        tail = (1 - level) / 2
        low[known] = np.quantile(better + 1, tail, axis=0, method="inverted_cdf")
        high[known] = np.quantile(better + equal + 1, 1 - tail, axis=0, method="inverted_cdf")
        told = (draws if regret_draws is None else regret_draws)[:, known]
        lost = (told.max(axis=1, keepdims=True) - told).mean(axis=0)
        for place, loss in zip(known, lost, strict=True):
            regrets[place] = float(loss) if np.isfinite(loss) else None
    held = _smallest(chances, level)
    order = sorted(range(len(names)), key=lambda i: (i not in known, -values[i] if i in known else 0.0, names[i]))
    return tuple(
        Standing(
            names[i],
            float(values[i]) if np.isfinite(values[i]) else None,
            float(standard_errors[i]) if np.isfinite(standard_errors[i]) else None,
            (int(low[i]), int(high[i])),
            float(chances[i]),
            i in held,
            regrets[i],
        )
        for i in order
    )


def _smallest(chances: Array, level: float) -> set[int]:
    """The fewest sources whose chances add up to the level."""
    held: set[int] = set()
    total = 0.0
    for place in np.argsort(-chances, kind="stable"):
        if total >= level - 1e-12 or chances[place] <= 0:
            break
        held.add(int(place))
        total += float(chances[place])
    return held
