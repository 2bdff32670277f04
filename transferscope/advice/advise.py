"""`advise`: freeze or fine-tune each of a ranking's best sources, from measurements."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace

from ..advices import Advice
from ..confirm.confirm import same_data
from ..confirm.trials import same_adapter
from ..errors import CacheError, TransferScopeError, UnknownNameError, reason
from ..features.cache import FeatureCache
from ..features.extract import Extractor, pick_device
from ..progress import Progress, silent
from ..ranking.race import train_parts
from ..results import Advised, Candidate, Failure, Ranking
from ..sources import load_source
from ..stamp import Watch, call_of, make_stamp
from ..targets import Split, Target
from ..tasks import ANSWERS
from .signals import measure_signals
from .verdict import decide

log = logging.getLogger(__name__)


def advise(
    ranking: Ranking,
    *,
    top: int | None = None,
    sources: Sequence[str] | None = None,
    target: Target | None = None,
    device: str = "auto",
    batch_size: int = 32,
    cache: FeatureCache | None = None,
    trust_remote_code: bool = False,
    progress: Progress = silent,
    command: str = "transferscope.advise",
) -> Advised:
    """Say of ranked sources whether to freeze or to fine-tune them, how, and why.

    Features come from the cache; beyond them it costs one forward and one backward pass of single samples, of at most
    400 training rows.

    Parameters
    ----------
    ranking : Ranking
    top : int, optional
        How many sources, best first; by default the best set, of it at most three.
    sources : sequence of str, optional
        Which of the ranked ones, in place of `top`.
    target : Target, optional
        Needed for a target that was built in Python; otherwise it is loaded again by its spec.
    device, batch_size, cache, progress
        See `transferscope.features.extract.Extractor`.
    trust_remote_code : bool, default=False
    command : str
        How this run was started, for the record.

    Returns
    -------
    Advised
        One `Advice` a source, in the ranking's order. Sources that failed are listed with their reason.

    Raises
    ------
    ResultError
        If the target's data are not those that were ranked.
    UnknownNameError
        If a source was not ranked.
    TransferScopeError
        If there is nothing to train: only the raw input, or no source at all.
    """
    call, watch = call_of(advise, locals()), Watch()
    if ranking.target.task != "classification":
        raise TransferScopeError(
            f"advice is calibrated on targets of classes, and {ranking.target.name} has "
            f"{ANSWERS[ranking.target.task]} to tell; "
            "train both ways with transferscope confirm: the probe takes seconds."
        )
    chosen = _choose(ranking, top, sources)
    device = pick_device(device)
    extractor = Extractor(cache or FeatureCache.default(), device, batch_size)
    data, split = same_data(ranking, target)
    found: list[Advice] = []
    failures: list[Failure] = []
    for done, candidate in enumerate(chosen):
        progress(f"advising on {data.name}", done, len(chosen))
        try:
            found.append(_advise_one(ranking, candidate, data, split, extractor, trust_remote_code))
        except CacheError:
            raise
        except Exception as error:
            log.debug("%s failed", candidate.source, exc_info=True)
            failures.append(Failure(candidate.source, reason(error)))
    progress(f"advising on {data.name}", len(chosen), len(chosen))
    if not found:
        raise TransferScopeError("; ".join(f"{failure.source}: {failure.reason}" for failure in failures))
    watch.lap("measuring")
    stamp = make_stamp(command, seed=ranking.split.seed, device=device, seconds=watch.seconds, call=call)
    return Advised(ranking.target, ranking.split, tuple(found), stamp, tuple(failures))


def _choose(ranking: Ranking, top: int | None, sources: Sequence[str] | None) -> list[Candidate]:
    best = {c.source: c for c in ranking.best() if not c.dropped}
    if sources is not None:
        for name in sources:
            if name not in best:
                raise UnknownNameError("ranked source", name, best)
        return [best[name] for name in sources]
    names = [name for name, c in best.items() if c.control is None]
    if top is None:
        held = {one.source for one in ranking.standings if one.in_best_set}
        names = [name for name in names if name in held][:3] or names[:1]
    if not names:
        raise TransferScopeError("the ranking holds no source to train, only controls; rank some sources.")
    return [best[name] for name in names[:top]]


def _advise_one(
    ranking: Ranking, candidate: Candidate, target: Target, split: Split, extractor: Extractor, trust: bool
) -> Advice:
    source = load_source(candidate.source, seed=split.seed, trust_remote_code=trust)
    if not source.card.n_parameters:
        raise TransferScopeError("has no weights to train; freezing is all there is.")
    gap = next((one.gain for one in ranking.twins if one.source == candidate.source), None)
    apart = next((one.value for one in ranking.discrepancy if one.source == candidate.source), None)
    signals, *curves = measure_signals(
        target, train_parts(target, split), source, same_adapter(target, source, candidate),
        replace(extractor, poolings=(candidate.pooling,)), layer=candidate.layer, twin_gap=gap, distance=apart,
        seed=split.seed,
    )  # fmt: skip
    return decide(candidate.source, candidate.layer, signals, (curves[0], curves[1]), seed=split.seed)
