"""`confirm`: train some of a ranking's candidates and measure what the scores only estimated."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

from ..errors import CacheError, ResultError, TransferScopeError, UnknownNameError, reason
from ..features.cache import FeatureCache
from ..features.extract import Extractor, pick_device
from ..history.store import Store
from ..progress import Progress, silent
from ..results import Candidate, Confirmed, Failure, Ranking, Truth
from ..sources import Source, load_source
from ..stamp import Watch, call_of, make_stamp
from ..targets import Split, Target, load_target, split_target
from .race import AUTO as RACE_AUTO
from .race import CONFIDENCE, entrants, race_sources, seconds_of
from .steer import Steering
from .strategy import STRATEGIES, Recipe
from .trials import Settings, confirmed_by, finish, finished, trial_of

log = logging.getLogger(__name__)
AUTO = ("linear_probe", "full")


def confirm(
    ranking: Ranking,
    *,
    top: int | None = 3,
    sources: Sequence[str] | None = None,
    strategy: str | Sequence[str] = "auto",
    controls: bool = False,
    recipe: Recipe | None = None,
    target: Target | None = None,
    source_data: Mapping[str, Target | str] | None = None,
    device: str = "auto",
    batch_size: int = 32,
    cache: FeatureCache | None = None,
    store: Store | str | Path | Literal[False] | None = None,
    trust_remote_code: bool = False,
    race: bool | None = None,
    budget: str | float | None = None,
    confidence: float = CONFIDENCE,
    progress: Progress = silent,
    command: str = "transferscope.confirm",
) -> Truth:
    """Train candidates of a ranking, on the rows it scored, and measure them on rows that it never saw.

    Each source is trained with its best candidate's adapter and pooling, built again from the record and checked.

    Parameters
    ----------
    ranking : Ranking
    top : int or None, default=3
        How many sources, best first; None is all. Ignored when `sources` are named.
    sources : sequence of str, optional
        Which of the ranked sources to train, controls included.
    strategy : "auto", str or sequence of str
        ``linear_probe``, ``full``, ``lora`` ... as in `STRATEGIES`; "auto" is the first two.
    controls : bool, default=False
        Count random twins and the raw input among the `top` too. They spread the measured accuracies, which
        tells more of the scores' worth. A race has none but those that are named in `sources`.
    recipe : Recipe, optional
        Learning rates, seeds, epochs; ``Recipe(quick=True)`` for a first look.
    target : Target, optional
        Needed for a target that was built in Python; otherwise it is loaded again by its spec.
    source_data : mapping of source to Target or spec, optional
        Data of the sources' own, such as those they were pretrained on, for ``joint`` and ``aligned``.
    device, batch_size, cache, progress
        See `transferscope.features.extract.Extractor`.
    store : Store, path, URL, False or None
        The history that keeps what is measured; None is the default store, False keeps nothing.
    trust_remote_code : bool, default=False
    race : bool, optional
        Whether to stop early what others beat, among the best set, the history's favourite, one source at random, and
        up to `top` that the history would add as results come in; see `race_sources`. Default: if a budget is given.
        "auto" strategies then are linear_probe, lp_ft and full.
    budget : str or float, optional
        Time for this call, such as ``20m``, or in seconds.
    confidence : float, default=0.95
        Of the winner, at which a race ends.
    command : str
        How this run was started, for the record.

    Returns
    -------
    Truth
        Test accuracy per source and strategy. Sources that failed are listed with their reason.

    Raises
    ------
    ResultError
        If the target's data are not those that were ranked.
    UnknownNameError
        If a source was not ranked, or a strategy is unknown.
    TransferScopeError
        If a strategy needs source data that are not given, or the budget was spent before anything was measured.
    """
    call, started, watch = call_of(confirm, locals()), time.perf_counter(), Watch()
    limit, racing = seconds_of(budget), _races(race, budget, confidence)
    auto = RACE_AUTO if racing else AUTO
    names = auto if strategy == "auto" else (strategy,) if isinstance(strategy, str) else tuple(strategy)
    chosen = _choose(ranking, top, sources, controls)
    history = Store.given(store)
    steering = Steering.learned(ranking, history) if racing and sources is None else None
    running = entrants(ranking, chosen if sources is not None else None, top, steering) if racing else ()
    if not (running or chosen):
        raise TransferScopeError(
            "the ranking holds no source to train, only controls; rank some, or name which with sources."
        )
    if racing:
        chosen = [next(c for c in ranking.best() if c.source == one.source) for one in running]
    own = _source_data(ranking, names, chosen, source_data or {})
    device = pick_device(device)
    extractor = Extractor(cache or FeatureCache.default(), device, batch_size, progress=progress)
    data, split = same_data(ranking, target)
    recipe, seed = recipe or Recipe(), ranking.split.seed
    watch.lap("reading the target")
    settings = Settings(data, split, recipe, extractor, seed, trust_remote_code, progress, own)
    if racing:
        found = race_sources(
            ranking, running, names, settings, budget=limit, confidence=confidence, started=started,
            steering=steering, top=top,
        )  # fmt: skip
    else:
        found = (*_train_all(settings, chosen, names), None)
    confirmed, failures, record = found
    watch.lap("training")
    stamp = make_stamp(command, seed=ranking.split.seed, device=device, seconds=watch.seconds, call=call)
    truth = Truth(ranking.target, ranking.split, confirmed, stamp, failures, record)
    if history and (record is None or record.finished):  # half-trained accuracies would mislead the prior
        history.keep(truth)
    return truth


def _races(race: bool | None, budget: str | float | None, confidence: float) -> bool:
    """Whether to race: as asked, or because of a budget."""
    if race is False and budget is not None:
        raise TransferScopeError("a budget ends a race early; without a race give no budget, but fewer sources (top).")
    if not 0 < confidence < 1:
        raise TransferScopeError(f"confidence={confidence}; expected a share between 0 and 1, such as 0.95.")
    return bool(race) or budget is not None


def _train_all(
    settings: Settings, chosen: Sequence[Candidate], strategies: Sequence[str]
) -> tuple[tuple[Confirmed, ...], tuple[Failure, ...]]:
    """Every source under every strategy, best first."""
    confirmed: list[Confirmed] = []
    failures: list[Failure] = []
    task = f"confirming on {settings.target.name}"
    for done, candidate in enumerate(chosen):
        settings.progress(task, done, len(chosen))
        _add_candidate(settings, candidate, strategies, confirmed, failures)
    settings.progress(task, len(chosen), len(chosen))
    return tuple(sorted(confirmed, key=lambda found: -found.accuracy)), tuple(failures)


def _choose(ranking: Ranking, top: int | None, sources: Sequence[str] | None, controls: bool) -> list[Candidate]:
    """The best candidate of each source to train."""
    best = {candidate.source: candidate for candidate in ranking.best()}
    if sources is not None:
        for name in sources:
            if name not in best:
                raise UnknownNameError("ranked source", name, best)
        return [best[name] for name in sources]
    eligible = [candidate for candidate in best.values() if controls or candidate.control is None]
    if top is not None and top < 1:
        raise TransferScopeError(f"top={top}; expected a number of sources from 1 to {len(eligible)}.")
    return eligible[:top]


def _source_data(
    ranking: Ranking, strategies: Sequence[str], chosen: Sequence[Candidate], given: Mapping[str, Target | str]
) -> dict[str, Target]:
    """Data by source, loaded; refused if a strategy needs some that are not there."""
    ranked = [candidate.source for candidate in ranking.best()]
    for name in given:
        if name not in ranked:
            raise UnknownNameError("ranked source", name, ranked)
    needy = [name for name in strategies if STRATEGIES[name].needs_source_data]
    lacking = [candidate.source for candidate in chosen if candidate.source not in given]
    lacking = [name for name in lacking if not name.startswith("raw:")]  # has no weights to train at all
    if needy and lacking:
        raise TransferScopeError(
            f"{' and '.join(needy)}: no data of the source's own for {', '.join(lacking)}; give a labelled data set "
            f"that it was pretrained on: --source-data {lacking[0]}=imagefolder:DIR, or in Python "
            f'source_data={{"{lacking[0]}": "imagefolder:DIR"}}.'
        )
    return {name: load_target(data) if isinstance(data, str) else data for name, data in given.items()}


def same_data(ranking: Ranking, target: Target | None) -> tuple[Target, Split]:
    """The ranked target and its split, rebuilt and checked by content."""
    target = target or load_target(ranking.target.name)
    if target.content_sha256 != ranking.target.content_sha256:
        raise ResultError(
            f"{target.name}: its content has changed since it was ranked "
            f"({ranking.target.n_samples} samples then, {len(target)} now); rank it again."
        )
    split = split_target(target, seed=ranking.split.seed, max_samples=ranking.split.max_samples)
    if split.sha256 != ranking.split.sha256:
        raise ResultError(f"{target.name}: the split differs from the ranking's; rank it again with this version.")
    of = {"classification": "per class", "multilabel": "with each label"}.get(target.task, "samples")
    for name, rows in (("validation", split.validation), ("test", split.test)):
        if not len(rows):
            raise ResultError(f"{target.name}: too few samples for a {name} set; give at least 5 {of}.")
    return target, split


def _add_candidate(
    settings: Settings,
    candidate: Candidate,
    strategies: Sequence[str],
    confirmed: list[Confirmed],
    failures: list[Failure],
) -> None:
    """Train one source under every strategy; its own failure is listed, not raised."""
    source = None
    for name in strategies:
        try:
            source = source or load_source(
                candidate.source, seed=settings.seed, trust_remote_code=settings.trust_remote_code
            )
            if STRATEGIES[name].trains_body and not source.card.n_parameters:
                continue  # the raw input has nothing to fine-tune
            confirmed.append(_measure(settings, source, candidate, name))
        except CacheError:
            raise
        except Exception as error:
            log.debug("%s failed", candidate.source, exc_info=True)
            failures.append(Failure(candidate.source, f"{name}: {reason(error)}"))


def _measure(settings: Settings, source: Source, candidate: Candidate, strategy: str) -> Confirmed:
    """Run one strategy, unless an earlier call finished it."""
    trial = trial_of(settings, source, candidate, strategy)
    runs = finished(trial) or finish(trial, STRATEGIES[strategy].fit(trial))
    return confirmed_by(settings, source.card.name, trial.layer, strategy, runs)
