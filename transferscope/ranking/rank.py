"""`rank`: how well would each source transfer to this target, before any training?"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from ..errors import CacheError, CorruptSampleError, SourceError, TargetError, TransferScopeError
from ..features.cache import FeatureCache
from ..features.extract import Extractor, pick_device, pick_precision
from ..progress import Progress, silent
from ..registry import Spec
from ..results import Candidate, Failure, Ranking, Skipped, SourceCard, SplitCard
from ..scorers.score import DEFAULT_SCORERS
from ..sources import SOURCES, load_source
from ..stamp import make_stamp
from ..targets import Split, Target, load_target, split_target
from .asked import Asked
from .candidates import Plan, score_source, sort_key
from .compare import measure_discrepancy, measure_similarity
from .effects import measure_alignments, measure_effects, measure_twins
from .selection import measure_selections
from .together import add_combined, expand
from .warnings import warnings_of

log = logging.getLogger(__name__)
RAW_OF_MODALITY = {"image": "raw:image", "audio": "raw:audio", "text": "raw:text"}


@dataclass
class _Study:
    """What one ranking gathers on its way."""

    plan: Plan
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
    layers: str | int | Sequence[str | int] = "all",
    pooling: str | Sequence[str] = "mean",
    adapters: str | Sequence[str] = (),
    twins: bool = True,
    source_data: Mapping[str, str | Target] | None = None,
    max_samples: int | None = None,
    seed: int = 0,
    device: str = "auto",
    batch_size: int = 32,
    precision: str = "auto",
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
    layers : "all", "last", "every:N", or layers' names or indices, default="all"
        Of every source. An index counts from the input, from 0; a negative one from the end. "every:N" is the last
        layer and every Nth before it. Several are put together. The raw input has one layer and keeps it.
    pooling : one or several of {"mean", "first", "last"}, default="mean"
        Compared where they differ; maps and vectors have the mean only.
    adapters : "all" or sequence of str, optional
        Ways to convert that are compared, such as ``waveform->image?channels=deltas``: as of
        `transferscope.adapters.variants`. Default: each converter as it is by default.
    twins : bool, default=True
        Rank every pretrained source's random-weights twin beside it, as a control.
    source_data : mapping of source spec to target spec, optional
        Some of a source's own training data; their MMD to the target is measured in the source's features.
    max_samples : int, optional
        Use a stratified sample of the target of at most this size.
    seed : int, default=0
        Of the split and of the twins' weights.
    device, batch_size, precision, cache, strict, progress
        See `Extractor`; `cache` None is the default cache folder.
    trust_remote_code : bool, default=False
        Let hub repositories run their own code.
    command : str
        How this run was started, for the record.

    Returns
    -------
    Ranking
        Candidates (source, adapter, layer, pooling), best first, beside the controls, and which choice mattered.
        One forward pass per source and adapter gives all layers and poolings; a twin goes through the same ones.
        Sources that failed are listed in ``failures`` with their reason.

    Raises
    ------
    TransferScopeError
        If the target cannot be used, a scorer's, layer's or other name is unknown, the cache cannot be written, or no
        source could be ranked.
    """
    started = time.perf_counter()
    scorers = tuple(scorers or DEFAULT_SCORERS)
    rank_by = rank_by or (DEFAULT_SCORERS[0] if DEFAULT_SCORERS[0] in scorers else scorers[0])
    specs = _check_names(sources, scorers, rank_by)
    single, combined = expand(scorers, rank_by)
    asked = Asked.of(layers, pooling, adapters)
    target = load_target(target)
    split = split_target(target, seed=seed, max_samples=max_samples)
    device = pick_device(device)
    precision = pick_precision(precision, device)
    where = cache or FeatureCache.default()
    extractor = Extractor(where, device, batch_size, asked.poolings, strict, progress, precision)
    study = _Study(Plan(target, split, single, rank_by, asked, extractor, seed), trust_remote_code)
    paired = [twin_of(spec) for spec in specs if twins and _has_twin(spec)]
    everything = [RAW_OF_MODALITY[target.modality], *specs, *paired]
    for done, spec in enumerate(dict.fromkeys(everything)):
        progress(f"ranking for {target.name}", done, len(everything))
        _add_source(study, spec)
    progress(f"ranking for {target.name}", len(everything), len(everything))
    _require_one(study, specs)
    found = add_combined(study.candidates, combined)
    similarity = measure_similarity({name: study.best_features[name] for name in specs if name in study.best_features})
    discrepancy = measure_discrepancy(source_data or {}, found, study.best_features, extractor, seed)
    return Ranking(
        target=target.card(),
        split=card_of_split(split),
        scorers=(*single, *combined),
        rank_by=rank_by,
        sources=tuple(study.cards),
        candidates=tuple(sorted(found, key=lambda candidate: sort_key(candidate, rank_by))),
        stamp=make_stamp(command, seed=seed, device=device, seconds={"rank": time.perf_counter() - started}),
        failures=tuple(study.failures),
        skipped=study.skipped,
        similarity=similarity,
        discrepancy=discrepancy,
        warnings=warnings_of(study.plan, found, study.skipped),
        effects=measure_effects(found, study.cards, asked.poolings, rank_by),
        selections=measure_selections(found, study.cards, rank_by),
        twins=measure_twins(found, study.cards, rank_by),
        alignments=measure_alignments(found, rank_by),
    )


def twin_of(spec: str) -> str:
    """The spec of the same architecture with random weights."""
    return f"{spec}{'&' if '?' in spec else '?'}weights=random"


def _has_twin(spec: str) -> bool:
    """Not what is itself a control: a source of random weights, or the raw input."""
    parsed = Spec.parse(spec, kind="source", example="timm:resnet18")
    return parsed.options.get("weights") != "random" and spec not in RAW_OF_MODALITY.values()


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
    plan = study.plan
    try:
        source = load_source(spec, seed=plan.seed, trust_remote_code=study.trust_remote_code)
        found = score_source(plan, source)
    except (CacheError, TargetError, CorruptSampleError):
        raise  # these would hit every source alike; unreadable samples are raised only when strict
    except Exception as error:
        log.debug("%s failed", spec, exc_info=True)
        study.failures.append(Failure(spec, _reason(error)))
        study.errors[spec] = error
        return
    for choices, refusal in found.failures.items():
        study.failures.append(Failure(spec, f"{' and '.join(choices) or 'the default adapter'}: {_reason(refusal)}"))
    study.cards.append(replace(source.card, flops=found.features.flops))
    study.candidates += found.candidates
    study.best_features[source.card.name] = found.matrix
    study.skipped = found.features.skipped  # a sample is unreadable for every source alike


def _reason(error: Exception) -> str:
    return str(error) if isinstance(error, TransferScopeError) else f"{type(error).__name__}: {error}"


def _require_one(study: _Study, specs: Sequence[str]) -> None:
    """If every source failed there is nothing to rank; a single source's own error is raised as it was."""
    ranked = {card.name for card in study.cards}
    if any(spec in ranked for spec in specs):
        return
    if len(specs) == 1 and isinstance(study.errors[specs[0]], TransferScopeError):
        raise study.errors[specs[0]]
    listed = "\n".join(f"  {failure.source}: {failure.reason}" for failure in study.failures)
    raise SourceError(f"no source could be ranked for {study.plan.target.name}:\n{listed}")
