"""What can be measured of a source on a target before any training, to tell freezing from fine-tuning."""

from __future__ import annotations

import time

import numpy as np
from numpy.typing import NDArray

from ..adapters import Adapter
from ..advices import CurvePoint, Signals
from ..features.extract import Extractor
from ..ranking.race import nested_order
from ..sources import Source
from ..targets import Target
from .curve import Curve, learning_curves, linear_kernel
from .tangent import tangent_sketch

MOST_ROWS = 400  # training rows whose gradients are computed, one pass of one sample each


def measure_signals(
    target: Target,
    rows: tuple[NDArray[np.int64], ...],
    source: Source,
    adapter: Adapter,
    extractor: Extractor,
    *,
    layer: str,
    twin_gap: float | None = None,
    distance: float | None = None,
    seed: int = 0,
) -> tuple[Signals, Curve, Curve]:
    """Learning curves of frozen features and of the tangent kernel, on the same rows.

    Parameters
    ----------
    target : Target
    rows : tuple of ndarray of int
        The training rows, in the parts in which their features were computed.
    source : Source
    adapter : Adapter
    extractor : Extractor
        Its first pooling is that of the features.
    layer : str
        Of the frozen features: the source's best.
    twin_gap, distance : float, optional
        From the ranking, for the record.
    seed : int, default=0
        Of the subset, the folds and the sketch.

    Returns
    -------
    signals : Signals
    frozen, tuned : Curve
        On at most 400 of the rows.
    """
    started = time.perf_counter()
    last, pooling = source.card.layers[-1], extractor.poolings[0]
    features = extractor.extract(target, source, adapter, rows, tuple(dict.fromkeys((layer, last))))
    labels = target.labels[features.rows]
    chosen = np.sort(nested_order(labels, np.random.default_rng((seed, len(labels))))[:MOST_ROWS])
    sketch = tangent_sketch(
        target, source, adapter, features.rows[chosen], layer=last, pooling=pooling, device=extractor.device, seed=seed
    )
    kernels = {name: linear_kernel(features.layers[name][chosen]) for name in dict.fromkeys((layer, last))}
    kernels["tangent"] = linear_kernel(sketch)
    curves = learning_curves(kernels, labels[chosen], seed=seed)
    frozen, tuned = curves[layer], curves["tangent"]
    gap = tuned.hits[-1] - frozen.hits[-1]
    layers = source.card.layers
    signals = Signals(
        n_train=len(labels),
        n_classes=len(target.classes),
        curve=tuple(
            CurvePoint(int(n), *map(float, point))
            for n, *point in zip(
                frozen.sizes, frozen.accuracy, frozen.standard_error, tuned.accuracy, tuned.standard_error, strict=True
            )
        ),
        last_layer=float(curves[last].accuracy[-1]),
        tangent_error=float(gap.std() / np.sqrt(len(gap))),
        depth=layers.index(layer) / max(len(layers) - 1, 1),
        twin_gap=twin_gap,
        distance=distance,
        seconds=time.perf_counter() - started,
    )
    return signals, frozen, tuned
