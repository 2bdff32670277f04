"""How alike layers are, and sources: the best source's layers beside others', and all sources on one map."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..results import LayerSimilarity, Similarity
from ..similarity.cka_linear import cka_linear
from ..similarity.layer_cka import cka_layers
from ..similarity.paired import FEWEST
from ..views import SourceMap
from .compare import MOST_ROWS, compared_rows
from .race import nested_order

MOST_LAYERS = 16  # of a source, evenly spaced; the best one among them

Layers = Mapping[str, NDArray[np.float32]]


def measure_layers(
    ranked: Sequence[str],
    layers: Mapping[str, Layers],
    best: Mapping[str, str],
    labels: Mapping[str, NDArray[np.int64]],
    target: str,
) -> tuple[LayerSimilarity, ...]:
    """Debiased CKA of the layers of the first source with each other, and with those of the second.

    All rows are one batch: rows come class by class, so that a batch of them would hold some classes alone.

    Layers are read from the cache, where they are since they were scored: nothing goes through a model again.

    Parameters
    ----------
    ranked : sequence of str
        Sources, best first; controls are not among them.
    layers : mapping of source to mapping of layer to ndarray of shape (n_samples, n_features)
        Under the adapter and pooling that are best; each is asked for once.
    best : mapping of source to layer
    labels : mapping of source to ndarray of shape (n_samples,)
    target : str
        Its name, for the record.
    """
    first, *others = [name for name in ranked if name in layers] or [""]
    if len(layers.get(first, ())) < 2 or len(labels[first]) < FEWEST:
        return ()
    rows = np.sort(nested_order(labels[first], np.random.default_rng(len(labels[first])))[:MOST_ROWS])
    own = _read(layers[first], best[first], rows)
    found = [_compared(target, (first, first), own, own, len(rows))] if len(own) > 1 else []
    for second in others[:1] if own else ():
        if len(theirs := _read(layers[second], best[second], rows)) > 1:
            found.append(_compared(target, (first, second), own, theirs, len(rows)))
    return tuple(found)


def _read(layers: Layers, best: str, rows: NDArray[np.int64]) -> dict[str, NDArray[np.float32]]:
    """Some rows of some layers, from input to output, without those that are not finite."""
    names = list(layers)
    spaced = {
        names[place] for place in np.linspace(0, len(names) - 1, min(MOST_LAYERS, len(names))).round().astype(int)
    }
    if best not in spaced:  # it stands for its neighbour
        spaced.discard(min(spaced, key=lambda name: abs(names.index(name) - names.index(best))))
        spaced.add(best)
    read = {name: np.asarray(layers[name])[rows] for name in names if name in spaced}
    return {name: values for name, values in read.items() if np.isfinite(values).all()}


def _compared(target: str, names: tuple[str, str], a: Layers, b: Layers, n_rows: int) -> LayerSimilarity:
    found, first, second = cka_layers(a, b, batch_size=n_rows)
    values = tuple(tuple(round(float(v), 4) if np.isfinite(v) else None for v in row) for row in found)
    return LayerSimilarity("cka_linear (debiased)", target, n_rows, names, first, second, values)


def map_sources(
    similarity: Sequence[Similarity],
    matrices: Mapping[str, NDArray[np.float64]],
    labels: Mapping[str, NDArray[Any]],
) -> SourceMap | None:
    r"""Classical scaling of sources, and of the target's classes, to two dimensions; None for fewer than three.

    The squared distance is :math:`1 - \mathrm{CKA}`: of centred Gram matrices brought to the same length it is half
    the Euclidean one. The classes are their one-hot codes, as if a source told samples apart by class alone; columns
    of several labels or numbers stand for themselves, each with the same spread.

    References
    ----------
    Torgerson, "Multidimensional scaling: I. Theory and method", Psychometrika 1952; Cristianini et al., "On
    Kernel-Target Alignment", NeurIPS 2001.
    """
    if not similarity:
        return None
    alike = np.array([[np.nan if v is None else v for v in row] for row in similarity[0].values], dtype=np.float64)
    kept = np.arange(len(alike))
    while (holes := np.isnan(alike[np.ix_(kept, kept)]).sum(axis=0)).any():
        kept = np.delete(kept, holes.argmax())
    names = [similarity[0].sources[k] for k in kept]
    alike = alike[np.ix_(kept, kept)]
    to_classes = [_with_classes(matrices[name], labels[name]) for name in names]
    if to_classes and all(value is not None for value in to_classes):
        column = np.array(to_classes, dtype=np.float64)
        alike = np.block([[alike, column[:, None]], [column[None, :], np.ones((1, 1))]])
    if len(alike) < 3:
        return None
    points, held, stress = _scaled(np.clip(1.0 - alike, 0.0, None))
    spots = [(float(x), float(y)) for x, y in points]
    classes = spots[len(names)] if len(spots) > len(names) else None
    return SourceMap(
        tuple(names), tuple(spots[: len(names)]), tuple(to_classes), classes, round(held, 4), round(stress, 4)
    )


def _with_classes(matrix: NDArray[np.float64], labels: NDArray[Any]) -> float | None:
    if labels.ndim == 1:
        codes = (labels[:, None] == np.unique(labels)).astype(np.float64)
    else:
        codes = labels / np.where(labels.std(axis=0) > 0, labels.std(axis=0), 1.0)
    if len(matrix) < FEWEST:
        return None
    rows = compared_rows(len(matrix))
    value = cka_linear(matrix[rows], codes[rows], debiased=True)
    return round(value, 4) if np.isfinite(value) else None


def _scaled(squared: NDArray[np.float64]) -> tuple[NDArray[np.float64], float, float]:
    """Points, the share of the spread that they hold, and Kruskal's stress."""
    np.fill_diagonal(squared, 0.0)
    middle = np.eye(len(squared)) - 1.0 / len(squared)
    sizes, axes = np.linalg.eigh(-0.5 * middle @ squared @ middle)
    first = np.argsort(-sizes)[:2]
    points = axes[:, first] * np.sqrt(np.clip(sizes[first], 0.0, None))
    points *= np.where(points[np.abs(points).argmax(axis=0), [0, 1]] < 0, -1.0, 1.0)  # the sign is anybody's choice
    points = np.round(points, 4) + 0.0
    apart = np.sqrt(np.square(points[:, None] - points[None, :]).sum(axis=2))
    total = float(squared.sum())
    stress = float(np.sqrt(np.square(apart - np.sqrt(squared)).sum() / total)) if total > 0 else 0.0
    everything = float(np.abs(sizes).sum())
    held = float(np.clip(sizes[first], 0.0, None).sum()) / everything if everything > 0 else 1.0
    return points, held, stress
