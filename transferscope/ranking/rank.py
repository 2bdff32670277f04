"""`rank`: how well would each source transfer to this target, before any training?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

from ..errors import SourceError, TransferScopeError
from ..features.arrays import check_task
from ..features.cache import FeatureCache
from ..features.extract import Extractor, pick_device, pick_precision
from ..history.store import Store
from ..progress import Progress, silent
from ..registry import Spec
from ..results import Candidate, Discrepancy, Ranking, SplitCard
from ..scorers.registry import SCORERS
from ..scorers.score import DEFAULT_SCORERS
from ..sources import SOURCES
from ..stamp import Stamp, Watch, call_of, make_stamp
from ..targets import Split, Target, load_target, split_target
from .alike import map_sources, measure_layers
from .asked import Asked
from .budget import Budget
from .candidates import Plan, sort_key
from .compare import measure_discrepancy, measure_similarity
from .constraints import Constraints
from .effects import measure_alignments, measure_effects, measure_twins
from .examples import Gallery
from .field import Field
from .judge import CONSENSUS, Judgement, Past, fronted, judge, place
from .race import train_parts
from .selection import measure_selections
from .together import add_combined, expand
from .views import measure_views
from .warnings import warnings_of

RACE_FROM = 8  # sources: fewer cost little, and are worth seeing to the end
RAW_OF_MODALITY = {"image": "raw:image", "audio": "raw:audio", "text": "raw:text"}


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
    race: bool | None = None,
    budget: str | Budget | None = None,
    constraints: Constraints | None = None,
    costs: bool = True,
    examples: bool = True,
    store: Store | str | Path | Literal[False] | None = None,
    source_accuracy: Mapping[str, float] | None = None,
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
        Names from ``transferscope scorers``; default: `DEFAULT_SCORERS`, as far as the task allows, LEEP where there
        is a source head. "ncti" and "etran" combine their parts over the sources at their best layers.
    rank_by : str, optional
        The scorer that orders sources and picks their layers. By default ``ridge_loo`` (a leave-one-out accuracy,
        comparable across feature widths) picks layers when it is among the scorers, else the first of them, and the
        sources are ordered by "consensus": of the ranks under all scorers that say something here, and of the history.
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
    race : bool, optional
        Score sources on growing parts of the training rows, and drop those that can no longer reach the best group.
        Default: from `RACE_FROM` sources on.
    budget : str or Budget, optional
        What may be spent on computing features, such as "10m", "5000 samples" or "2e15 flops". When it is spent,
        sources are ranked by what all of them were scored on; the next run goes on from there.
    constraints : Constraints, optional
        Sources that break one are not ranked, and listed with the reason.
    costs : bool, default=True
        Measure each source's latency and throughput, and estimate what fine-tuning it takes.
    examples : bool, default=True
        Keep three training samples in the result, as they are and as each source is given them, for the report. They
        are the target's own pictures, outlines of sounds, or texts: where nobody else may see them, take False.
    store : Store, path, URL, False or None
        The history: read for the consensus and the prior, and what is found is recorded there. None is the default
        store, False neither reads nor writes any.
    source_accuracy : mapping of source spec to float, optional
        Accuracies on the sources' own tasks: a control.
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
    call, watch = call_of(rank, locals()), Watch()
    names = tuple(scorers or DEFAULT_SCORERS)
    ordered_by = CONSENSUS if rank_by in (None, CONSENSUS) else rank_by
    if rank_by in (None, CONSENSUS):
        rank_by = DEFAULT_SCORERS[0] if DEFAULT_SCORERS[0] in names else names[0]
    specs = check_names(sources, names, rank_by)
    single, combined = expand(names, rank_by)
    asked = Asked.of(layers, pooling, adapters)
    if strangers := set(source_accuracy or {}) - set(specs):
        raise SourceError(f"source_accuracy names {', '.join(sorted(strangers))}; ranked are {', '.join(specs)}.")
    history = Store.given(store)
    spending = Budget.parse(budget) if isinstance(budget, str) else budget
    target = load_target(target)
    single = _defined(target, single, rank_by, named=scorers is not None)
    split = split_target(target, seed=seed, max_samples=max_samples)
    device = pick_device(device)
    where = cache or FeatureCache.default()
    extractor = Extractor(
        where, device, batch_size, asked.poolings, strict, progress, pick_precision(precision, device)
    )
    watch.lap("reading the target")
    plan = Plan(target, split, train_parts(target, split), single, rank_by, asked, extractor, seed)
    gallery = Gallery(target, split.train, seed) if examples else None
    field = Field(plan, constraints or Constraints(), spending, trust_remote_code, costs, gallery)
    race = len(specs) >= RACE_FROM if race is None else race
    raw = RAW_OF_MODALITY[target.modality]
    admitted = [spec for spec in field.admit(specs) if spec != raw]
    field.run(admitted, racing=race)
    watch.lap("scoring sources")
    field.add_controls(raw, {spec: twin_of(spec) for spec in admitted if twins and has_twin(spec)})
    _require_one(field, specs)
    watch.lap("scoring controls")
    found = add_combined(field.candidates, combined)
    past = Past.of(history, target, source_accuracy or {})
    judged = judge(
        found, field.cards, field.costs, past, by=rank_by, ordered_by=ordered_by, scorers=single,
        labels=target.labels[split.train], seed=seed,
    )  # fmt: skip
    discrepancy = measure_discrepancy(source_data or {}, found, field.matrices(), extractor, seed)
    watch.lap("ordering")
    stamp = make_stamp(command, seed=seed, device=device, seconds=watch.seconds, call=call)
    ranking = _assembled(field, found, judged, ordered_by, (*single, *combined), discrepancy, stamp)
    if history:
        history.keep(ranking)
    return ranking


def _assembled(
    field: Field,
    found: Sequence[Candidate],
    judged: Judgement,
    ordered_by: str,
    scorers: tuple[str, ...],
    discrepancy: tuple[Discrepancy, ...],
    stamp: Stamp,
) -> Ranking:
    """What was gathered and judged, as one record."""
    plan, by = field.plan, field.plan.rank_by
    cards = tuple(field.cards.values())
    ranked, matrices, labels = [one.source for one in judged.standings], field.matrices(), field.labels()
    best = {spec: field.found[spec].best.layer for spec in matrices}
    similarity = measure_similarity(matrices)
    in_order = (lambda c: place(judged.order, c, by)) if ordered_by == CONSENSUS else (lambda c: sort_key(c, by))
    return Ranking(
        target=plan.target.card(),
        split=card_of_split(plan.split),
        scorers=scorers,
        rank_by=by,
        sources=cards,
        candidates=tuple(sorted(found, key=in_order)),
        stamp=stamp,
        failures=field.all_failures,
        skipped=field.skipped,
        similarity=similarity,
        discrepancy=discrepancy,
        warnings=(*warnings_of(plan, found, field.skipped), *field.shortfall),
        effects=measure_effects(found, cards, plan.asked.poolings, by),
        selections=measure_selections(found, cards, by),
        twins=measure_twins(found, cards, by),
        alignments=measure_alignments(found, by),
        ordered_by=ordered_by,
        standings=judged.standings,
        separations=judged.separations,
        fusion=judged.fusion,
        controls=judged.controls,
        checks=field.checks(found),
        costs=tuple(field.costs.values()),
        pareto=fronted(judged, field.costs),
        excluded=tuple(field.excluded),
        race=field.race,
        views=measure_views(ranked, matrices, *field.groups()),
        layer_similarity=measure_layers(ranked, field.layers(), best, labels, plan.target.name),
        source_map=map_sources(similarity, matrices, field.answers()),
        examples=field.gallery.record({name: field.found[name].best.path for name in ranked})
        if field.gallery
        else None,
    )


def _defined(target: Target, scorers: Sequence[str], rank_by: str, *, named: bool) -> tuple[str, ...]:
    """The scorers that the target's task allows; one that was named and is not for it is refused."""
    for name in (*(scorers if named else ()), rank_by):
        check_task(target.task, SCORERS[name].tasks, name)
    return tuple(name for name in scorers if target.task in SCORERS[name].tasks)


def twin_of(spec: str) -> str:
    """The spec of the same architecture with random weights."""
    return f"{spec}{'&' if '?' in spec else '?'}weights=random"


def has_twin(spec: str) -> bool:
    """Not what is itself a control: a source of random weights, or the raw input."""
    parsed = Spec.parse(spec, kind="source", example="timm:resnet18")
    return parsed.options.get("weights") != "random" and spec not in RAW_OF_MODALITY.values()


def card_of_split(split: Split) -> SplitCard:
    """The record of a split."""
    sizes = (len(split.train), len(split.validation), len(split.test))
    return SplitCard(split.seed, *sizes, split.grouped, split.max_samples, split.sha256)


def check_names(sources: Sequence[str], scorers: Sequence[str], rank_by: str) -> tuple[str, ...]:
    """Refuse what is mistyped before any work is done."""
    if isinstance(sources, str) or not sources:
        raise SourceError(f"sources is {sources!r}; expected a list with at least one spec, such as timm:resnet18.")
    if rank_by not in scorers:
        raise TransferScopeError(f"rank_by={rank_by!r} is not among the scorers asked for: {', '.join(scorers)}.")
    for spec in sources:
        SOURCES[Spec.parse(spec, kind="source", example="timm:resnet18.a1_in1k").scheme]
    return tuple(dict.fromkeys(sources))


def _require_one(field: Field, specs: Sequence[str]) -> None:
    """If every source failed there is nothing to rank; a single source's own error is raised as it was."""
    if any(spec in field.found for spec in specs):
        return
    if len(specs) == 1 and isinstance(field.errors.get(specs[0]), TransferScopeError):
        raise field.errors[specs[0]]
    reasons = [(failure.source, failure.reason) for failure in field.all_failures]
    reasons += [(left.source, left.reason) for left in field.excluded]
    listed = "\n".join(f"  {source}: {reason}" for source, reason in reasons)
    raise SourceError(f"no source could be ranked for {field.plan.target.name}:\n{listed}")
