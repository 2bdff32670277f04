"""The candidates of one source: every adapter, layer and pooling that is asked for, scored."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from ..adapters import Adapter, find_adapter, variants
from ..adapters.ledger import ledger
from ..errors import CacheError, CorruptSampleError, TargetError, TransferScopeError
from ..features.extract import Extractor, Features
from ..results import Candidate, Score, Step
from ..scorers.registry import SCORERS
from ..scorers.score import score
from ..sources import Source
from ..targets import Split, Target
from .asked import Asked
from .paired import scored

log = logging.getLogger(__name__)
RAW_COMPONENTS = 64  # principal components of the raw input that are scored


@dataclass(frozen=True)
class Plan:
    """What is the same for every source of a ranking."""

    target: Target
    split: Split
    parts: tuple[np.ndarray, ...]  # the split's training rows, in the order of a race
    scorers: tuple[str, ...]
    rank_by: str
    asked: Asked
    extractor: Extractor
    seed: int

    def answers(self, rows: np.ndarray) -> np.ndarray:
        """What these rows are scored against: labels, and numbers standardised by all training rows.

        Evidence is about zero, so that of years or kelvins would be that of their mean, and squares about zero of a
        timestamp leave no digits for what varies.
        """
        if self.target.task != "regression":
            return self.target.labels[rows]
        told = self.target.labels[self.split.train]
        return np.asarray((self.target.labels[rows] - told.mean(axis=0)) / told.std(axis=0))


@dataclass(frozen=True)
class Scored:
    """One source's candidates, the best marked, and what else was found on the way.

    Attributes
    ----------
    candidates : tuple of Candidate
    features : Features
        Under the best candidate's adapter.
    matrix : ndarray of shape (n_samples, n_features)
        The best candidate's.
    failures : mapping of adapter choices to error
        Adapters that could not be built or run.
    n_paths, n_computed : int
        Forward passes per sample, one for each adapter, and samples that were not at hand.
    """

    candidates: tuple[Candidate, ...]
    features: Features
    matrix: np.ndarray
    failures: dict[tuple[str, ...], Exception]
    n_paths: int
    n_computed: int

    @property
    def best(self) -> Candidate:
        """The candidate that stands for the source."""
        return next(candidate for candidate in self.candidates if candidate.is_best_layer)

    @property
    def every_layer(self) -> Mapping[str, np.ndarray]:
        """All layers under the best candidate's adapter and pooling."""
        return self.features.pooled[self.best.pooling]


def sort_key(candidate: Candidate, rank_by: str) -> tuple[bool, float]:
    """Best first; candidates without the score, or with one that is at its bound, come last."""
    found = scored(candidate, rank_by)
    if found is None or found.value is None:
        return True, 0.0
    return False, -found.value if found.higher_is_better else found.value


def score_source(
    plan: Plan,
    source: Source,
    made: dict[tuple[str, ...], Adapter],
    *,
    n_parts: int | None = None,
    quick: bool = False,
) -> Scored:
    """One forward pass per adapter, and a score per adapter, layer and pooling that differ.

    On the first `n_parts` parts of the training rows, or all of them; `quick` scores by `rank_by` alone. Adapters are
    taken from, and kept in, `made`: some are trained. Those that come out equal for this source, such as plans of
    three channels where it has one, count once; of poolings that give equal features, those of maps and vectors, only
    the first is a candidate.

    Raises
    ------
    Exception
        Whatever the last adapter raised, if none could be run.
    """
    is_raw = control_of(source) == "raw"
    layers = layers_of(plan, source)
    found: list[tuple[Candidate, Features]] = []
    failures: dict[tuple[str, ...], Exception] = {}
    paths: list[tuple[Step, ...]] = []
    n_computed = 0
    for choices in variants(plan.target, source, plan.asked.adapters):
        try:
            adapter = adapter_of(plan, source, made, choices)
            if adapter.path in paths:
                continue
            features = plan.extractor.extract(plan.target, source, adapter, plan.parts[:n_parts], layers)
        except (CacheError, TargetError, CorruptSampleError):
            raise  # these would hit every adapter alike
        except Exception as error:
            log.debug("%s by %s failed", source.card.name, choices, exc_info=True)
            failures[choices] = error
            continue
        paths.append(adapter.path)
        n_computed += features.n_computed
        scorers = (plan.rank_by,) if quick else plan.scorers
        found += [(candidate, features) for candidate in _score_all(plan, source, adapter, features, scorers)]
    if not found:
        raise list(failures.values())[-1]
    best, features = min(found, key=lambda pair: sort_key(pair[0], plan.rank_by))
    matrix = _matrix(features, best.layer, best.pooling, is_raw)
    marked = tuple(replace(candidate, is_best_layer=candidate is best) for candidate, _ in found)
    return Scored(marked, features, matrix, failures, len(paths), n_computed)


def layers_of(plan: Plan, source: Source) -> tuple[str, ...]:
    """The layers of a source that are asked for; the raw input has one and keeps it."""
    return source.card.layers if control_of(source) == "raw" else plan.asked.layers_of(source.card)


def adapter_of(plan: Plan, source: Source, made: dict[tuple[str, ...], Adapter], choices: tuple[str, ...]) -> Adapter:
    """Made once for a source: some are trained."""
    if choices not in made:
        made[choices] = find_adapter(plan.target, source, choices)
    return made[choices]


def control_of(source: Source) -> Literal["random", "raw"] | None:
    """Whether a source is there to be beaten."""
    if source.card.name.startswith("raw:"):
        return "raw"
    return "random" if source.card.is_random else None


def _score_all(
    plan: Plan, source: Source, adapter: Adapter, features: Features, scorers: Sequence[str]
) -> Iterator[Candidate]:
    """Every layer and pooling of one pass."""
    labels = plan.answers(features.rows)
    control = control_of(source)
    head = {"source_logits", "source_probs"} if features.source_logits is not None else set()
    given = {"features", "labels", *head}
    applicable = [name for name in scorers if not set(SCORERS[name].needs) - given]
    losses = ledger(features.edits, adapter.path)
    first, *others = features.pooled
    for layer in features.pooled[first]:
        plain = _matrix(features, layer, first, control == "raw")
        for pooling in (first, *others):
            matrix = plain if pooling == first else _matrix(features, layer, pooling, control == "raw")
            if pooling != first and np.array_equal(matrix, plain):
                continue
            scores = _score_layer(matrix, labels, applicable, features.source_logits, plan)
            yield Candidate(
                source=source.card.name, layer=layer, path=adapter.path, edits=features.edits, pooling=pooling,
                n_features=matrix.shape[1], seconds=features.seconds, scores=scores, control=control,
                choices=adapter.choices, losses=losses,
            )  # fmt: skip


def _matrix(features: Features, layer: str, pooling: str, is_raw: bool) -> np.ndarray:
    """What is scored: features as they are, and of the raw input its leading principal components."""
    matrix = features.pooled[pooling][layer]
    if not is_raw:
        return matrix
    from sklearn.decomposition import PCA  # labels play no part

    return PCA(min(RAW_COMPONENTS, *matrix.shape), svd_solver="full").fit_transform(matrix)


def _score_layer(
    matrix: np.ndarray, labels: np.ndarray, scorers: Sequence[str], logits: np.ndarray | None, plan: Plan
) -> dict[str, Score]:
    """All scores of one layer; a scorer that refuses these features leaves its reason, not a hole."""
    try:
        return score(matrix, labels, scorers, task=plan.target.task, source_logits=logits, seed=plan.seed)
    except TransferScopeError as error:
        n_samples, n_features = matrix.shape
        return {
            name: Score(name, None, SCORERS[name].higher_is_better, n_samples, n_features, 0.0, error=str(error))
            for name in scorers
        }
