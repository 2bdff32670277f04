"""`plan`: what a ranking would cost, without computing features."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from ..adapters import variants
from ..errors import CacheError, CorruptSampleError, TargetError, reason
from ..features.cache import FeatureCache
from ..features.extract import Extractor, pick_device, pick_precision
from ..progress import Progress, silent
from ..results import Step
from ..spending import Planned
from ..targets import Target, load_target, split_target
from .asked import Asked
from .candidates import Plan, adapter_of, layers_of
from .constraints import Constraints
from .field import Field
from .race import train_parts
from .rank import RAW_OF_MODALITY, check_names, has_twin, twin_of

log = logging.getLogger(__name__)


def plan(
    target: str | Target,
    sources: Sequence[str],
    *,
    layers: str | int | Sequence[str | int] = "all",
    pooling: str | Sequence[str] = "mean",
    adapters: str | Sequence[str] = (),
    twins: bool = True,
    constraints: Constraints | None = None,
    max_samples: int | None = None,
    seed: int = 0,
    device: str = "auto",
    batch_size: int = 32,
    precision: str = "auto",
    cache: FeatureCache | None = None,
    trust_remote_code: bool = False,
    progress: Progress = silent,
) -> tuple[Planned, ...]:
    """Predict what `rank` would spend on each source, from a few measured passes of it and from what is cached.

    Sources are loaded and measured once (that is cached too). Scoring is not counted; a race can only make it less.

    Parameters
    ----------
    As of `rank`.

    Returns
    -------
    tuple of Planned
        The raw input, sources, and their twins.

    Raises
    ------
    TransferScopeError
        If the target cannot be used or a name is unknown.
    """
    specs = check_names(sources, ("ridge_loo",), "ridge_loo")
    asked = Asked.of(layers, pooling, adapters)
    target = load_target(target)
    split = split_target(target, seed=seed, max_samples=max_samples)
    device = pick_device(device)
    extractor = Extractor(
        cache or FeatureCache.default(),
        device,
        batch_size,
        asked.poolings,
        precision=pick_precision(precision, device),
    )
    field = Field(
        Plan(target, split, train_parts(target, split), ("ridge_loo",), "ridge_loo", asked, extractor, seed),
        constraints or Constraints(), None, trust_remote_code, True,
    )  # fmt: skip
    twin_specs = [twin_of(spec) for spec in specs if twins and has_twin(spec)]
    everything = list(dict.fromkeys([RAW_OF_MODALITY[target.modality], *specs, *twin_specs]))
    found = []
    for done, spec in enumerate(everything):
        progress("measuring sources", done, len(everything))
        found.append(_planned(field, spec))
    progress("measuring sources", len(everything), len(everything))
    return tuple(found)


def _planned(field: Field, spec: str) -> Planned:
    if not field.admit([spec]):
        refused = next((one.reason for one in field.excluded if one.source == spec), "")
        failed = next((failure.reason for failure in field.failures.get(spec, [])), "")
        return Planned(spec, 0, 0, None, None, refused or failed)
    entrant, cost, plan = field.entrant(spec), field.costs[spec], field.plan
    source, n_rows = entrant.source, sum(map(len, plan.parts))
    paths: list[tuple[Step, ...]] = []  # adapters that come out equal are run once
    missing = 0
    try:
        for choices in variants(plan.target, source, plan.asked.adapters):
            adapter = adapter_of(plan, source, entrant.adapters, choices)
            if adapter.path not in paths:
                paths.append(adapter.path)
                wanted = layers_of(plan, source)
                missing += plan.extractor.n_missing(plan.target, source, adapter, plan.parts, wanted)
    except (CacheError, TargetError, CorruptSampleError):
        raise
    except Exception as error:
        log.debug("%s cannot be planned", spec, exc_info=True)
        return Planned(spec, 0, 0, None, None, reason(error))
    passes = len(paths) * n_rows
    seconds = None if cost.throughput is None else (cost.load_seconds or 0.0) + missing / cost.throughput
    return Planned(spec, passes, passes - missing, None if cost.flops is None else missing * cost.flops, seconds)
