"""`Surrogate`: what earlier targets say of every source's accuracy and training time on the next one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..errors import ResultError
from ..evaluate.table import Table
from .prior import source_effects

Array = NDArray[np.float64]
STRENGTH = 8.0  # targets' worth of belief that sources vary alike and independently
LEVEL, LEVEL_SD = 0.5, 0.25  # of an average source's accuracy, where no target tells
SCALE, SCALE_SD = 0.1, 0.7  # of accuracy per unit of the scores; its spread is of the logarithm
PACE_SD = 1.0  # of the logarithm of a target's seconds
GRID = np.linspace(-2.0, 2.0, 9)  # standard deviations of the scale's logarithm


@dataclass(frozen=True, eq=False)
class Normal:
    """A mean and a variance."""

    mean: float
    variance: float


@dataclass(frozen=True, eq=False)
class Prediction:
    """What is expected of every source, in the surrogate's order.

    Attributes
    ----------
    mean, deviation : ndarray of shape (n_sources,)
        Accuracy after training, and its standard deviation: 0 where it was observed without noise.
    seconds : ndarray of shape (n_sources,)
        Median training time. Without any recorded time, relative to other sources.
    """

    mean: Array
    deviation: Array
    seconds: Array


@dataclass(frozen=True, eq=False)
class Surrogate:
    r"""A Gaussian process over sources whose mean and covariance are those of earlier targets.

    An accuracy is :math:`y_s = b + a z_s`, with :math:`z \sim N(\mu, K)` the sources' scores and :math:`b`, :math:`a`
    the target's own level and scale, both unknown.

    Attributes
    ----------
    sources : tuple of str
    mean : ndarray of shape (n_sources,)
    covariance : ndarray of shape (n_sources, n_sources)
    level, log_scale : Normal
    log_seconds : ndarray of shape (n_sources,)
        Effects of sources.
    pace : Normal
        A target's level of the logarithm of seconds.
    jitter : float
        Variance of the logarithm of seconds beside both.
    """

    sources: tuple[str, ...]
    mean: Array
    covariance: Array
    level: Normal
    log_scale: Normal
    log_seconds: Array
    pace: Normal
    jitter: float

    @classmethod
    def fit(
        cls,
        table: Table,
        *,
        sources: Sequence[str] | None = None,
        prior: Mapping[str, float] | None = None,
        strength: float = STRENGTH,
    ) -> Surrogate:
        r"""Learn means, covariances and times from earlier targets.

        Accuracies become `savage_scores` within their target. The covariance is the posterior mean under an
        inverse-Wishart prior, :math:`(E^T E + \nu v I) / (m + \nu)` for deviations :math:`E` from the sources' means
        on :math:`m` targets: sources that were good on the same targets are expected to be so again, and those that
        vary most are the most uncertain.

        Parameters
        ----------
        table : Table
            Accuracies as shares, without the target that is asked about. None of it need be known.
        sources : sequence of str, optional
            Those to choose from; default: the table's. Ones that the table does not know are average ones.
        prior : mapping of source to float, optional
            What else is known of a source before it is trained, as a ranking's scores on this very target: added to
            its mean, in standard deviations of the sources on a target.
        strength : float
            :math:`\nu`, above 0.

        References
        ----------
        Rasmussen and Williams, "Gaussian Processes for Machine Learning", 2006; Swersky, Snoek and Adams,
        "Multi-Task Bayesian Optimization", NeurIPS 2013; Chen, "Bayesian Inference for a Normal Dispersion
        Matrix", JRSS B 1979 (the inverse-Wishart prior); Salinas, Shen and Perrone, "A Quantile-based Approach for
        Hyperparameter Transfer Learning", ICML 2020 (scores of ranks, so that targets can be pooled).
        """
        table = _arranged(table, table.sources if sources is None else tuple(sources))
        scores = savage_scores(table.accuracy)
        scores[np.isfinite(scores).sum(axis=1) < 2] = np.nan  # a source alone on a target is not first there
        mean, covariance = _moments(scores, strength)
        mean = mean + np.array([(prior or {}).get(name, 0.0) for name in table.sources])
        level, log_scale = _levels(table.accuracy, scores)
        seconds = np.full_like(table.accuracy, np.nan) if table.seconds is None else table.seconds
        return cls(table.sources, mean, covariance, level, log_scale, *_times(seconds))

    def places(self, names: Sequence[str]) -> NDArray[np.intp]:
        """Where these sources stand.

        Raises
        ------
        ResultError
            If one of them is unknown.
        """
        by_name = {name: place for place, name in enumerate(self.sources)}
        if strangers := [name for name in names if name not in by_name]:
            raise ResultError(f"{', '.join(strangers[:5])}: not among the {len(by_name)} sources to choose from.")
        return np.array([by_name[name] for name in names], dtype=np.intp)

    def predict(
        self,
        observed: Mapping[str, float] | None = None,
        seconds: Mapping[str, float] | None = None,
        noise: Mapping[str, float] | None = None,
    ) -> Prediction:
        """What is expected on this target, given what was observed on it.

        Parameters
        ----------
        observed : mapping of source to float, optional
            Accuracies as shares; NaN says nothing, as of a run that failed.
        seconds : mapping of source to float, optional
            What runs took here.
        noise : mapping of source to float, optional
            Variance of what was observed about what it stands for, in squares of the scale; default: 0.
        """
        known = {name: value for name, value in (observed or {}).items() if np.isfinite(value)}
        at, values = self.places(list(known)), np.array(list(known.values()), dtype=np.float64)
        errors = np.array([(noise or {}).get(name, 0.0) for name in known])
        chance, means, variances = self._given(at, values, errors)
        mean = chance @ means
        deviation = np.sqrt(np.maximum(chance @ (variances + np.square(means)) - np.square(mean), 0.0))
        exact = errors == 0
        mean[at[exact]], deviation[at[exact]] = values[exact], 0.0
        return Prediction(mean, deviation, self._seconds(seconds or {}))

    def _given(self, at: NDArray[np.intp], values: Array, errors: Array | float = 0.0) -> tuple[Array, Array, Array]:
        """Chances of each scale in the grid, and under it every source's mean and variance.

        The level is integrated out in closed form; for the scale there is none.
        """
        from scipy.linalg import cholesky, solve_triangular

        scale = np.exp(self.log_scale.mean + np.sqrt(self.log_scale.variance) * GRID)[:, None]
        root = cholesky(self.covariance[np.ix_(at, at)] + errors * np.eye(len(at)), lower=True)
        right = np.column_stack([np.ones(len(at)), values, self.mean[at], self.covariance[at]])
        ones, found, mean, shared = np.split(solve_triangular(root, right, lower=True), (1, 2, 3), axis=1)
        ones, found, mean = ones[:, 0], found[:, 0], mean[:, 0]
        precision = ones @ ones / scale**2 + 1 / self.level.variance
        level = ((ones @ found - scale * (ones @ mean)) / scale**2 + self.level.mean / self.level.variance) / precision
        moved = 1 - ones @ shared  # how much the level still says of each source
        means = found @ shared + scale * (self.mean - mean @ shared) + level * moved
        own = np.maximum(np.diag(self.covariance) - np.square(shared).sum(axis=0), 0.0)
        variances = scale**2 * own + moved**2 / precision
        rest = np.square(found - scale * mean).sum(axis=1, keepdims=True) / scale**2
        fit = -len(at) * np.log(scale) - (rest - level**2 * precision + np.log(precision)) / 2
        log_chance = fit[:, 0] - np.square(GRID) / 2
        chance = np.exp(log_chance - log_chance.max())
        return chance / chance.sum(), means, variances

    def _seconds(self, seconds: Mapping[str, float]) -> Array:
        known = {name: value for name, value in seconds.items() if np.isfinite(value) and value > 0}
        excess = np.log(list(known.values())) - self.log_seconds[self.places(list(known))]
        weight = 1 / self.pace.variance
        pace = (excess.sum() / self.jitter + self.pace.mean * weight) / (len(excess) / self.jitter + weight)
        return np.exp(pace + self.log_seconds)


def savage_scores(values: Array) -> Array:
    """Exponential quantiles of the ranks along the last axis, less their mean of 1; equals share their mean rank.

    The best of n gets ``log(2 n) - 1``, the worst about -1: unlike normal scores these tell first sources from second
    ones, which a search for the best is about, and bad ones hardly from worse ones. Unknown values (NaN) stay so.

    References
    ----------
    Savage, "Contributions to the Theory of Rank Order Statistics", Annals of Mathematical Statistics 1956.
    """
    from scipy.stats import rankdata

    n_known = np.maximum(np.isfinite(values).sum(axis=-1, keepdims=True), 1)
    ranks = rankdata(-values, axis=-1, nan_policy="omit") if values.size else np.empty(values.shape)
    return np.asarray(-np.log((ranks - 0.5) / n_known) - 1)


def _arranged(table: Table, sources: tuple[str, ...]) -> Table:
    """The table with these sources as its columns."""
    places = {name: place for place, name in enumerate(table.sources)}
    into = [place for place, name in enumerate(sources) if name in places]
    out_of = [places[sources[place]] for place in into]
    accuracy, seconds = (np.full((len(table.targets), len(sources)), np.nan) for _ in range(2))
    accuracy[:, into] = table.accuracy[:, out_of]
    if table.seconds is not None:
        seconds[:, into] = table.seconds[:, out_of]
    return Table(table.targets, sources, accuracy, {}, seconds)


def _moments(scores: Array, strength: float) -> tuple[Array, Array]:
    """Mean and covariance of the sources' scores on a new target."""
    known = np.isfinite(scores)
    counts = known.sum(axis=0)
    if not known.any():
        return np.zeros(scores.shape[1]), np.eye(scores.shape[1])
    effects, between, within = source_effects(np.where(known, scores, 0.0), known)
    deviations = np.where(known, scores - effects, 0.0)
    unseen = (len(scores) - counts) * within  # an unknown score deviates as others do
    covariance = deviations.T @ deviations + np.diag(unseen + strength * within)
    doubt = within * between / (within + counts * between)  # about the mean itself
    return effects, covariance / (len(scores) + strength) + np.diag(doubt)


def _levels(accuracy: Array, scores: Array) -> tuple[Normal, Normal]:
    """Of accuracies over scores, by target: intercepts, and logarithms of slopes; one target more is imagined."""
    levels, scales = [LEVEL], [np.log(SCALE)]
    for measured, score in zip(accuracy, scores, strict=True):
        known = np.isfinite(score)
        if known.any() and np.ptp(measured[known]) > 0:
            slope, level = np.polyfit(score[known], measured[known], 1)
            levels.append(level)
            scales.append(np.log(slope))
    return _normal(levels, LEVEL_SD), _normal(scales, SCALE_SD)


def _times(seconds: Array) -> tuple[Array, Normal, float]:
    """Effects of sources, the pace of targets, and what varies beside them, of logarithms."""
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = np.log(seconds)
    known = np.isfinite(logs)
    if not known.any():
        return np.zeros(seconds.shape[1]), Normal(0.0, PACE_SD**2), PACE_SD**2
    logs = np.where(known, logs, 0.0)
    effects, _, within = source_effects(logs, known)
    paces = [
        float((row - effects)[is_known].mean()) for row, is_known in zip(logs, known, strict=True) if any(is_known)
    ]
    return effects, _normal([float(np.mean(paces)), *paces], PACE_SD), within


def _normal(values: Sequence[float], spread: float) -> Normal:
    """Mean and variance, the first value being an imagined one with this spread."""
    return Normal(float(np.mean(values)), float((np.var(values) * len(values) + spread**2) / len(values)))
