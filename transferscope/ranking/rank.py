"""`rank`: how well would each source transfer to this target, before any training?"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np

from ..adapters import Adapter, find_adapter
from ..errors import CacheError, CorruptSampleError, SourceError, TargetError, TransferScopeError
from ..features.cache import FeatureCache
from ..features.extract import Extractor, Features, pick_device
from ..progress import Progress, silent
from ..registry import Spec
from ..results import Candidate, Failure, Ranking, Score, Skipped, SourceCard, SplitCard, make_stamp
from ..scorers.registry import SCORERS
from ..scorers.score import DEFAULT_SCORERS, score
from ..sources import SOURCES, Source, load_source
from ..targets import Split, Target, load_target, split_target
from .compare import measure_discrepancy, measure_similarity
from .together import add_combined, expand

log = logging.getLogger(__name__)
RAW_OF_MODALITY = {"image": "raw:image", "audio": "raw:audio", "text": "raw:text"}
RAW_COMPONENTS = 64  # principal components of the raw input that are scored


@dataclass
class _Study:
    """What one ranking gathers on its way: everything the loop over sources needs and fills."""

    target: Target
    split: Split
    scorers: tuple[str, ...]
    rank_by: str
    layers: str | Sequence[str]
    extractor: Extractor
    seed: int
    trust_remote_code: bool
    candidates: list[Candidate] = field(default_factory=list)
    cards: list[SourceCard] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    skipped: tuple[Skipped, ...] = ()
    best_features: dict[str, np.ndarray] = field(default_factory=dict)
    errors: dict[str, Exception] = field(default_factory=dict)


def rank(
    target: str | Target,
    sources: Sequence[str],
    *,
    scorers: Sequence[str] | None = None,
    rank_by: str | None = None,
    layers: str | Sequence[str] = "all",
    pooling: str = "mean",
    twins: bool = True,
    source_data: Mapping[str, str | Target] | None = None,
    max_samples: int | None = None,
    seed: int = 0,
    device: str = "auto",
    batch_size: int = 32,
    cache: FeatureCache | None = None,
    strict: bool = False,
    trust_remote_code: bool = False,
    progress: Progress = silent,
    command: str = "transferscope.rank",
) -> Ranking:
    """Rank sources for a target without training anything.

    Scores are computed on the training rows of the target's split alone, so that confirmation can be
    measured on rows that the scores never saw.

    Parameters
    ----------
    target : str or Target
        A spec such as ``imagefolder:photos/train``, or a `Target` built in Python.
    sources : sequence of str
        Specs such as ``timm:resnet18.a1_in1k``.
    scorers : sequence of str, optional
        Names from ``transferscope scorers``; default: `DEFAULT_SCORERS`, LEEP where there is a source head. "ncti" and
        "etran" combine their parts over the sources at their best layers.
    rank_by : str, optional
        The scorer that orders candidates and picks layers; default: ``ridge_loo`` (a leave-one-out accuracy,
        comparable across feature widths) when it is among the scorers, else the first of them.
    layers : "all", "last" or sequence of str
    pooling : {"mean", "first"}
    twins : bool, default=True
        Rank every pretrained source's random-weights twin beside it, as a control.
    source_data : mapping of source spec to target spec, optional
        Some of a source's own training data; their MMD to the target is measured in the source's features.
    max_samples : int, optional
        Use a stratified sample of the target of at most this size.
    seed : int, default=0
        Of the split and of the twins' weights.
    device, batch_size, cache, strict, progress
        See `Extractor`; `cache` None is the default cache folder.
    trust_remote_code : bool, default=False
        Let hub repositories run their own code.
    command : str
        How this run was started, for the record.

    Returns
    -------
    Ranking
        Candidates (source, adapter path, layer), best first, beside the controls. Sources that failed are
        listed in ``failures`` with their reason.

    Raises
    ------
    TransferScopeError
        If the target cannot be used, a scorer or layer name is unknown, the cache cannot be written, or no
        source could be ranked.
    """
    started = time.perf_counter()
    scorers = tuple(scorers or DEFAULT_SCORERS)
    rank_by = rank_by or (DEFAULT_SCORERS[0] if DEFAULT_SCORERS[0] in scorers else scorers[0])
    specs = _check_names(sources, scorers, rank_by)
    single, combined = expand(scorers, rank_by)
    target = load_target(target)
    split = split_target(target, seed=seed, max_samples=max_samples)
    device = pick_device(device)
    extractor = Extractor(cache or FeatureCache.default(), device, batch_size, (pooling,), strict, progress)
    study = _Study(target, split, single, rank_by, layers, extractor, seed, trust_remote_code)
    paired = [twin_of(spec) for spec in specs if twins and _has_twin(spec)]
    everything = [RAW_OF_MODALITY[target.modality], *specs, *paired]
    for done, spec in enumerate(dict.fromkeys(everything)):
        progress(f"ranking for {target.name}", done, len(everything))
        _add_source(study, spec)
    progress(f"ranking for {target.name}", len(everything), len(everything))
    _require_one(study, specs)
    study.candidates = add_combined(study.candidates, combined)
    similarity = measure_similarity({name: study.best_features[name] for name in specs if name in study.best_features})
    discrepancy = measure_discrepancy(source_data or {}, study.candidates, study.best_features, extractor, seed)
    return Ranking(
        target=target.card(),
        split=card_of_split(split),
        scorers=(*single, *combined),
        rank_by=rank_by,
        sources=tuple(study.cards),
        candidates=tuple(sorted(study.candidates, key=lambda candidate: sort_key(candidate, rank_by))),
        stamp=make_stamp(command, seed=seed, device=device, seconds={"rank": time.perf_counter() - started}),
        failures=tuple(study.failures),
        skipped=study.skipped,
        similarity=similarity,
        discrepancy=discrepancy,
        warnings=_warnings(study),
    )


def twin_of(spec: str) -> str:
    """The spec of the same architecture with random weights."""
    return f"{spec}{'&' if '?' in spec else '?'}weights=random"


def _has_twin(spec: str) -> bool:
    """Not what is itself a control: a source of random weights, or the raw input."""
    parsed = Spec.parse(spec, kind="source", example="timm:resnet18")
    return parsed.options.get("weights") != "random" and spec not in RAW_OF_MODALITY.values()


def sort_key(candidate: Candidate, rank_by: str) -> tuple[bool, float]:
    """Best first; candidates without the score, or with one that is at its bound, come last."""
    found = candidate.scores.get(rank_by)
    if found is None or found.value is None or found.saturated:
        return True, 0.0
    return False, -found.value if found.higher_is_better else found.value


def card_of_split(split: Split) -> SplitCard:
    """The record of a split."""
    sizes = (len(split.train), len(split.validation), len(split.test))
    return SplitCard(split.seed, *sizes, split.grouped, split.max_samples, split.sha256)


def _check_names(sources: Sequence[str], scorers: Sequence[str], rank_by: str) -> tuple[str, ...]:
    """Refuse what is mistyped before any work is done."""
    if isinstance(sources, str) or not sources:
        raise SourceError(f"sources is {sources!r}; expected a list with at least one spec, such as timm:resnet18.")
    if rank_by not in scorers:
        raise TransferScopeError(f"rank_by={rank_by!r} is not among the scorers asked for: {', '.join(scorers)}.")
    for spec in sources:
        SOURCES[Spec.parse(spec, kind="source", example="timm:resnet18.a1_in1k").scheme]
    return tuple(dict.fromkeys(sources))


def _add_source(study: _Study, spec: str) -> None:
    """Load, extract and score one source; whatever goes wrong with it alone is listed, not raised."""
    try:
        source = load_source(spec, seed=study.seed, trust_remote_code=study.trust_remote_code)
        adapter = find_adapter(study.target, source)
        layers = source.card.layers
        if study.layers == "last":
            layers = layers[-1:]
        elif study.layers != "all":
            layers = tuple(study.layers)
        features = study.extractor.extract(study.target, source, adapter, study.split.train, layers)
        candidates = _candidates(study, source, adapter, features)
    except (CacheError, TargetError, CorruptSampleError):
        raise  # these would hit every source alike; unreadable samples are raised only when strict
    except Exception as error:
        log.debug("%s failed", spec, exc_info=True)
        reason = str(error) if isinstance(error, TransferScopeError) else f"{type(error).__name__}: {error}"
        study.failures.append(Failure(spec, reason))
        study.errors[spec] = error
        return
    study.cards.append(replace(source.card, flops=features.flops))
    study.candidates += candidates
    study.skipped = features.skipped  # a sample is unreadable for every source alike


def _candidates(study: _Study, source: Source, adapter: Adapter, features: Features) -> list[Candidate]:
    """Score every layer of one source and mark the best."""
    labels = study.target.labels[features.rows]
    name = source.card.name
    control: Literal["random", "raw"] | None = (
        "raw" if name.startswith("raw:") else "random" if source.card.is_random else None
    )
    matrices = dict(features.layers)
    if control == "raw":
        matrices = {layer: _principal(matrix, RAW_COMPONENTS) for layer, matrix in matrices.items()}
    head = {"source_logits", "source_probs"} if features.source_logits is not None else set()
    given = {"features", "labels", *head}
    applicable = [name for name in study.scorers if not set(SCORERS[name].needs) - given]
    candidates = []
    for layer, matrix in matrices.items():
        scores = _score_layer(matrix, labels, applicable, features.source_logits, study.seed)
        candidates.append(
            Candidate(
                source=name, layer=layer, path=adapter.path, edits=features.edits, pooling=study.extractor.poolings[0],
                n_features=matrix.shape[1], seconds=features.seconds, scores=scores, control=control,
            )
        )  # fmt: skip
    best = min(candidates, key=lambda candidate: sort_key(candidate, study.rank_by))
    study.best_features[name] = matrices[best.layer]
    return [replace(candidate, is_best_layer=candidate is best) for candidate in candidates]


def _score_layer(
    matrix: np.ndarray, labels: np.ndarray, scorers: Sequence[str], logits: np.ndarray | None, seed: int
) -> dict[str, Score]:
    """All scores of one layer; a scorer that refuses these features leaves its reason, not a hole."""
    try:
        return score(matrix, labels, scorers, source_logits=logits, seed=seed)
    except TransferScopeError as error:
        n_samples, n_features = matrix.shape
        return {
            name: Score(name, None, SCORERS[name].higher_is_better, n_samples, n_features, 0.0, error=str(error))
            for name in scorers
        }


def _principal(matrix: np.ndarray, n_components: int) -> np.ndarray:
    """The leading principal components of the raw input; labels play no part."""
    from sklearn.decomposition import PCA

    return PCA(min(n_components, *matrix.shape), svd_solver="full").fit_transform(matrix)


def _require_one(study: _Study, specs: Sequence[str]) -> None:
    """If every source failed there is nothing to rank; a single source's own error is raised as it was."""
    ranked = {card.name for card in study.cards}
    if any(spec in ranked for spec in specs):
        return
    if len(specs) == 1 and isinstance(study.errors[specs[0]], TransferScopeError):
        raise study.errors[specs[0]]
    listed = "\n".join(f"  {failure.source}: {failure.reason}" for failure in study.failures)
    raise SourceError(f"no source could be ranked for {study.target.name}:\n{listed}")


def _warnings(study: _Study) -> tuple[str, ...]:
    """What a reader must know before the numbers."""
    found = []
    if study.skipped:
        found.append(f"{len(study.skipped)} unreadable samples were left out.")
    if study.split.grouped:
        found.append(
            "Samples come in groups: leave-one-out scores see the rest of a sample's own group, so they promise more "
            "than accuracy on new groups, which confirmation measures."
        )
    counts = np.bincount(study.target.labels[study.split.train])
    if counts.min() < 5:
        found.append(f"A class has only {counts.min()} training samples; every estimate is rough.")
    if counts.max() > 10 * counts.min():
        found.append(
            f"Class sizes range from {counts.min()} to {counts.max()}: accuracies favour the large classes "
            f"(always naming the largest gives {counts.max() / counts.sum():.2f})."
        )
    return tuple(found)
