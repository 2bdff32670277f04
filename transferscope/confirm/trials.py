"""From a ranked candidate to a trial: the same target, split and path, built again and checked."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace

import numpy as np

from ..adapters import Adapter, find_adapter
from ..errors import ResultError
from ..features.extract import Extractor
from ..progress import Progress
from ..results import Candidate, Confirmed, Epoch, Run
from ..sources import Source
from ..storage import write_cache
from ..targets import Split, Target
from ..tasks import share_error
from .strategy import STRATEGIES, Recipe, Trial


@dataclass(frozen=True)
class Settings:
    """What is the same for every trial."""

    target: Target
    split: Split
    recipe: Recipe
    extractor: Extractor
    seed: int
    trust_remote_code: bool
    progress: Progress
    source_data: Mapping[str, Target] = field(default_factory=dict)


def trial_of(settings: Settings, source: Source, candidate: Candidate, strategy: str) -> Trial:
    """One source to train in one way, through the path that was ranked."""
    return Trial(
        strategy=strategy,
        target=settings.target,
        split=settings.split,
        source=source,
        adapter=same_adapter(settings.target, source, candidate),
        layer=candidate.layer if STRATEGIES[strategy].head_at == "best" else source.card.layers[-1],
        recipe=settings.recipe.as_run(len(settings.split.train)),
        extractor=replace(settings.extractor, poolings=(candidate.pooling,)),
        seed=settings.seed,
        progress=settings.progress,
        source_data=settings.source_data.get(candidate.source),
    )


def confirmed_by(settings: Settings, source: str, layer: str, strategy: str, runs: tuple[Run, ...]) -> Confirmed:
    """What the runs that were tested say together."""
    accuracies = [run.test_accuracy for run in runs if run.test_accuracy is not None]
    accuracy, n_test = float(np.mean(accuracies)), len(settings.split.test)
    errors = [run.test_error for run in runs if run.test_error is not None]
    return Confirmed(
        source=source,
        layer=layer,
        strategy=strategy,
        accuracy=accuracy,
        spread=float(np.std(accuracies, ddof=1)) if len(accuracies) > 1 else None,
        standard_error=float(np.mean(errors) if errors else share_error(accuracy, n_test)),
        n_test=n_test,
        runs=runs,
        seconds=sum(run.seconds for run in runs),
        quick=settings.recipe.quick,
        metric=settings.target.metric,
    )


def same_adapter(target: Target, source: Source, candidate: Candidate) -> Adapter:
    """The adapter that was ranked, built again; it must convert as it did then."""
    adapter = find_adapter(target, source, candidate.choices)
    if adapter.path != candidate.path:
        then, now = ({(s.converter, *pair) for s in path for pair in s.settings.items()} for path in
                     (candidate.path, adapter.path))  # fmt: skip
        apart = sorted({f"{key} of {name}" for name, key, _ in then ^ now})
        raise ResultError(
            f"the path to {candidate.source} is not the one that was ranked: "
            f"{', '.join(apart) or 'a converter or its reference'} differs; rank it again with this version."
        )
    return adapter


def finished(trial: Trial) -> tuple[Run, ...] | None:
    """The runs of an earlier, finished trial."""
    path = trial.folder / "runs.json"
    if not path.exists():
        return None
    return tuple(run_from(run) for run in json.loads(path.read_text()))


def run_from(kept: Mapping) -> Run:
    """A run that was kept as JSON."""
    return Run(**{**kept, "epochs": tuple(Epoch(**epoch) for epoch in kept["epochs"])})


def finish(trial: Trial, runs: tuple[Run, ...]) -> tuple[Run, ...]:
    """Keep the outcome, and drop the weights that only an unfinished trial needs."""
    write_cache(trial.folder / "runs.json", json.dumps([asdict(run) for run in runs], indent=1).encode())
    for place in trial.folder.iterdir():
        if place.is_dir():
            shutil.rmtree(place)
    return runs
