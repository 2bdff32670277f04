"""Linear probe: a linear classifier on frozen features, no forward pass beyond extraction."""

from __future__ import annotations

import time
from typing import Any

from numpy.typing import NDArray

from ..results import Run
from .objective import standard_error
from .probe import fit_probe, held_out_part, probe_parts
from .strategy import Trial, register_strategy


@register_strategy("linear_probe", head_at="best", trains_body=False)
def linear_probe(trial: Trial) -> tuple[Run, ...]:
    """Fit a linear head on the candidate's layer, with the kind and penalty that are best on the validation rows.

    Every fit is convex, so there is one run and no seed.

    References
    ----------
    Alain and Bengio, "Understanding intermediate layers using linear classifier probes", ICLR 2017 workshop.
    """
    return (probe_run(trial, tested=True)[0],)


def probe_run(trial: Trial, *, tested: bool) -> tuple[Run, NDArray[Any]]:
    """The run, its test rows predicted or not read at all, and what each validation row adds to the measure."""
    from .device import peak

    started = time.perf_counter()
    train, validation = probe_parts(trial)
    probe = fit_probe(train, validation, trial.objective)
    seconds = time.perf_counter() - started
    added = probe.hits(*held_out_part(trial)) if tested else None
    accuracy = None if added is None else float(added.mean())
    run = Run(
        trial.seed, None, probe.validation_accuracy, accuracy, (), seconds, settings=probe.settings,
        peak_memory=peak(trial.extractor.device),
        test_error=None if added is None else standard_error(trial.objective, added),
    )  # fmt: skip
    return run, probe.hits(*validation)
