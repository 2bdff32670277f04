"""Which source to train next on a new target, while each result comes in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .surrogate import Surrogate

Array = NDArray[np.float64]
PRICE = 0.01  # of a run as long as the mean: a hundredth of how far sources lie apart on a target
HALVINGS = 40


@dataclass(frozen=True)
class Choice:
    """The next source.

    Attributes
    ----------
    source : str
    gain : float
        Expected improvement on `over`.
    over : float
        The best accuracy so far; before there is one, an average source's.
    seconds : float
        That training is expected to take.
    is_worth_it : bool
        Whether more is to be expected of it than its seconds are priced at: where not, no other source is.
    """

    source: str
    gain: float
    over: float
    seconds: float
    is_worth_it: bool


def next_source(
    surrogate: Surrogate,
    observed: Mapping[str, float],
    seconds: Mapping[str, float] | None = None,
    *,
    noise: Mapping[str, float] | None = None,
    left: float = np.inf,
    price: float = PRICE,
) -> Choice | None:
    r"""The source to train next: the one with the highest reservation value.

    That of a source is the accuracy :math:`g` at which trying it would just pay, :math:`E[(y - g)^+] = \lambda c` with
    :math:`c` its seconds. Opening boxes in this order until the best content exceeds all values left is optimal where
    boxes are independent; here values are those given all results so far.

    Parameters
    ----------
    surrogate : Surrogate
    observed : mapping of source to float
        Accuracy of everything tried, as a share; NaN if it failed. None of them is chosen again.
    seconds : mapping of source to float, optional
        What those runs took.
    noise : mapping of source to float, optional
        See `Surrogate.predict`: the best so far is then the best expected of those that were observed.
    left : float
        Of the budget, in seconds: sources expected to take longer are passed over.
    price : float
        Of a run of mean length, in units of the surrogate's scale: the higher, the more quick sources are preferred.

    Returns
    -------
    Choice or None
        None where nothing is left that fits. Among equals the first of the surrogate's sources.

    References
    ----------
    Weitzman, "Optimal Search for the Best Alternative", Econometrica 1979; Xie, Astudillo, Frazier, Scully and
    Terenin, "Cost-aware Bayesian Optimization via the Pandora's Box Gittins Index", NeurIPS 2024; Jones, Schonlau and
    Welch, "Efficient Global Optimization of Expensive Black-Box Functions", 1998 (expected improvement).
    """
    found = surrogate.predict(observed, seconds, noise)
    is_open = (found.seconds <= left) & np.array([name not in observed for name in surrogate.sources], dtype=bool)
    if not is_open.any():
        return None
    charge = price * np.exp(surrogate.log_scale.mean) * found.seconds / found.seconds.mean()
    deviation = np.maximum(found.deviation, 1e-9)
    values = found.mean + deviation * _reservation(charge / deviation)
    place = int(np.argmax(np.where(is_open, values, -np.inf)))
    known = surrogate.places([name for name, value in observed.items() if np.isfinite(value)])
    best = max(found.mean[known], default=None)
    over = surrogate.level.mean if best is None else best
    edges = np.array([over, 1.0])  # an accuracy above 1 is none to hope for
    gain, beyond = deviation[place] * _excess((edges - found.mean[place]) / deviation[place])
    return Choice(
        surrogate.sources[place],
        float(gain - beyond),
        float(over),
        float(found.seconds[place]),
        best is None or bool(gain - beyond > charge[place]),
    )


def _excess(at: Array) -> Array:
    """Of a standard normal variable, the expected part above these values."""
    from scipy.special import ndtr

    return np.asarray(np.exp(-np.square(at) / 2) / np.sqrt(2 * np.pi) - at * ndtr(-at))


def _reservation(charge: Array) -> Array:
    """Where `_excess` is this charge; halving, for it falls steadily and has no inverse in closed form."""
    low, high = -charge - 1, np.full_like(charge, 9.0)
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        pays = _excess(middle) > charge
        low, high = np.where(pays, middle, low), np.where(pays, high, middle)
    return (low + high) / 2
