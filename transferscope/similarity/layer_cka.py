"""Linear centred kernel alignment of every layer of one model with every layer of another, in one pass."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..errors import ScoreError
from ..features.arrays import Array, as_float64
from ..features.moments import EPS
from .cka_minibatch import batches
from .paired import FEWEST, centred

Layers = Mapping[str, Any] | Sequence[Any]


def cka_layers(
    a_layers: Layers, b_layers: Layers, *, batch_size: int = 256
) -> tuple[Array, tuple[str, ...], tuple[str, ...]]:
    """`cka_minibatch` of every layer of one model with every layer of another.

    Parameters
    ----------
    a_layers, b_layers : mappings of names, or sequences, of arrays or tensors of shape (n_samples, n_features)
        Layers may differ in width; row i of all of them is the same sample. Give one model twice to compare its layers
        with each other.
    batch_size : int, default=256
        A last batch of fewer rows weighs as much as the others; of fewer than 4, it is left out. The Gram matrices of
        one batch, batch_size**2 numbers per layer, are in memory at a time.

    Returns
    -------
    values : ndarray of shape (n_a_layers, n_b_layers)
        Higher is more alike; NaN where a layer is constant within every batch, or its unbiased norm is not positive.
    names_a, names_b : tuples of str
        Names of its rows and columns: keys of the mappings, or positions.

    Raises
    ------
    ScoreError
        If row counts differ, values are not finite, there are no layers, or there are fewer than 4 rows or rows per
        batch.

    References
    ----------
    Nguyen, Raghu and Kornblith, "Do Wide and Deep Networks Learn the Same Things?", ICLR 2021.
    """
    a, b = _checked(a_layers, b_layers, "cka_layers")
    n = len(next(iter(a.values())))
    if n < FEWEST:
        raise ScoreError(f"cka_layers: {n} rows; the debiased form is defined from {FEWEST} on.")
    found = LayerCKA()
    for batch in batches(n, batch_size, caller="cka_layers"):
        found._add(*({name: rows[batch] for name, rows in side.items()} for side in (a, b)))
    return found.value, found.names_a, found.names_b


class LayerCKA:
    """`cka_layers` of a stream of batches, so that features of no layer are ever held all.

    ``x + y`` is that of the batches of both, wherever each was made.

    Attributes
    ----------
    names_a, names_b : tuples of str
        Layers in the order of the first batch; keys of the mappings, or positions.
    n_batches : int
        Batches counted; those of fewer than 4 rows are not.
    """

    def __init__(self) -> None:
        self.names_a: tuple[str, ...] = ()
        self.names_b: tuple[str, ...] = ()
        self.n_batches = 0
        self._cross: Array | float = 0.0
        self._within_a: Array | float = 0.0
        self._within_b: Array | float = 0.0

    def update(self, a: Layers, b: Layers) -> None:
        """Count one batch: mappings of names, or sequences, of arrays or tensors of shape (n_rows, n_features).

        Raises
        ------
        ScoreError
            If row counts differ, values are not finite, or layers are others than before. A batch of fewer than 4
            rows is left out.
        """
        self._add(*_checked(a, b, "LayerCKA"))

    def _add(self, a: Mapping[str, Array], b: Mapping[str, Array]) -> None:
        self._expect(tuple(a), tuple(b))
        n = len(a[self.names_a[0]])
        if n < FEWEST:
            return
        grams_a = np.stack([_centred_gram(a[name]) for name in self.names_a])
        grams_b = np.stack([_centred_gram(b[name]) for name in self.names_b])
        pairs = n * (n - 3)
        self._cross = self._cross + grams_a @ grams_b.T / pairs
        self._within_a = self._within_a + np.square(grams_a).sum(axis=1) / pairs
        self._within_b = self._within_b + np.square(grams_b).sum(axis=1) / pairs
        self.n_batches += 1

    @property
    def value(self) -> Array:
        """As `cka_layers`, of shape (n_a_layers, n_b_layers).

        Raises
        ------
        ScoreError
            If no batch was counted.
        """
        if not self.n_batches:
            raise ScoreError(f"LayerCKA: no batch of at least {FEWEST} rows was given; update it with some.")
        norms = np.outer(np.sqrt(self._within_a), np.sqrt(self._within_b))
        return np.divide(self._cross, norms, out=np.full(norms.shape, np.nan), where=norms > 0)

    def __add__(self, other: LayerCKA) -> LayerCKA:
        found = LayerCKA()
        for part in (self, other):
            if part.names_a:
                found._expect(part.names_a, part.names_b)
        found.n_batches = self.n_batches + other.n_batches
        found._cross = self._cross + other._cross
        found._within_a = self._within_a + other._within_a
        found._within_b = self._within_b + other._within_b
        return found

    def _expect(self, a: tuple[str, ...], b: tuple[str, ...]) -> None:
        """Refuse layers other than those of the first batch, which these may be."""
        if not self.names_a:
            self.names_a, self.names_b = a, b
        for side, known, names in (("a", self.names_a, a), ("b", self.names_b, b)):
            if names != known:
                others = ", ".join(sorted({*names} ^ {*known})) or "in another order"
                raise ScoreError(
                    f"LayerCKA: layers of {side} are others than in the first batch ({others}); give the same ones, "
                    "in the same order, with every batch."
                )


def _centred_gram(rows: Array) -> Array:
    """Gram matrix without its diagonal, rows and columns centred over what is left of them, and made flat.

    The unbiased HSIC of two representations is the inner product of these, over n (n - 3) (Szekely and Rizzo, The
    Annals of Statistics 2014), so that one product of matrices gives it for all pairs of layers.
    """
    x = centred(rows)
    gram = x @ x.T
    n, noise = len(gram), len(gram) * EPS * float(np.linalg.norm(gram))
    np.fill_diagonal(gram, 0.0)
    sums = gram.sum(axis=0)
    gram += sums.sum() / ((n - 1) * (n - 2)) - (sums[:, None] + sums) / (n - 2)
    np.fill_diagonal(gram, 0.0)
    return gram.ravel() if float(np.linalg.norm(gram)) > noise else np.zeros(n * n)


def _checked(a: Layers, b: Layers, caller: str) -> tuple[dict[str, Array], dict[str, Array]]:
    """Layers of both by name, as float64, once it is known that they are of the same rows."""
    sides = _named(a, "a", caller), _named(b, "b", caller)
    counts = [
        (f"{name} of {side}", len(rows))
        for side, layers in zip("ab", sides, strict=True)
        for name, rows in layers.items()
    ]
    first, n = counts[0]
    for layer, count in counts:
        if count != n:
            raise ScoreError(
                f"{caller}: layer {first} has {n} rows and layer {layer} {count}; give the same samples to all."
            )
    return sides


def _named(layers: Layers, side: str, caller: str) -> dict[str, Array]:
    if not isinstance(layers, Mapping | list | tuple):
        raise ScoreError(
            f"{caller}: layers of {side} are a {type(layers).__name__}; expected a mapping of names to arrays, or a "
            "list of arrays."
        )
    if not layers:
        raise ScoreError(f"{caller}: there are no layers of {side}; give at least one.")
    named = layers.items() if isinstance(layers, Mapping) else enumerate(layers)
    return {
        str(name): as_float64(rows, name=f"values of layer {name} of {side}", caller=caller) for name, rows in named
    }
