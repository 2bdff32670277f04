"""The training loop: one run of one network at one learning rate and seed, resumable after any interruption."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..errors import CacheError
from ..results import Epoch, Setting
from ..storage import cache_errors, replacing, write_cache
from .device import start_peak
from .memory import recompute, relieved
from .network import Network, State, averaged_statistics, seeded
from .optimizer import make_optimizer
from .strategy import Trial
from .tuning import Tuning

if TYPE_CHECKING:
    import torch
    from torch import nn

PART = "part.json"  # the log of a run that a stage stopped, or whose weights were dropped


@dataclass(frozen=True)
class Trained:
    """One run, finished or stopped between two epochs.

    Attributes
    ----------
    weights : Path or None
        Of its best epoch; None if it had none.
    collapsed : bool
        See `results.Run`.
    over : bool
        Whether nothing is left to train: False for a run that a stage stopped.
    hits : ndarray or None
        What each readable validation row adds to the measure at its best epoch, for classes whether it is told right;
        None: it was trained before this was kept.
    """

    validation_accuracy: float
    epochs: tuple[Epoch, ...]
    seconds: float
    weights: Path | None
    collapsed: bool
    note: str | None
    settings: Mapping[str, Setting]
    peak_memory: int | None
    over: bool = True
    hits: NDArray[Any] | None = None


@dataclass(frozen=True)
class Plan:
    """One run to train.

    Attributes
    ----------
    strength : float or None
        See `Tuning.strengths`.
    folder : Path
        Where its checkpoint and outcome live.
    task : str
        What it is called in progress.
    until : int or None
        Epochs of the schedule after which to stop for now; None: all.
    stop : callable or None
        Asked after every epoch whether to stop there.
    """

    trial: Trial
    tuning: Tuning
    learning_rate: float
    seed: int
    strength: float | None
    folder: Path
    task: str
    until: int | None = None
    stop: Callable[[], bool] | None = None

    @property
    def last(self) -> int:
        """The epoch to train until."""
        return self.trial.recipe.epochs if self.until is None else self.until


def train(plan: Plan) -> Trained:
    """Train what the tuning leaves free, and keep the epoch that is best on the validation rows.

    AdamW, linear warm-up then cosine decay. A checkpoint after every epoch lets an interrupted run go on where it
    was; a finished run is not trained again. The source's model is as it was before. A run that stops at `until` goes
    on in the next call, as if it had not stopped: rates follow the whole schedule.
    """
    record, weights, checkpoint = (plan.folder / name for name in ("run.json", "best.pt", "checkpoint.pt"))
    before = _known_log(plan)
    if before and (record.exists() or _reached(before, plan)):
        return _trained(_cut(before, plan.until), plan)
    with plan.tuning.opened(plan.trial, plan.seed, plan.strength) as network:
        try:
            log = _train(plan, network, weights, checkpoint)
        finally:
            if network.checkpointed:
                recompute(network.body, False)
    plan.trial.progress(plan.task, plan.last, plan.last)
    if _goes_on(log, plan.trial.recipe):
        write_cache(plan.folder / PART, json.dumps(log).encode())
        return _trained(_cut(log, plan.until), plan)
    write_cache(record, json.dumps(log).encode())
    for left in (checkpoint, plan.folder / PART):
        left.unlink(missing_ok=True)
    return _trained(_cut(log, plan.until), plan)


def _known_log(plan: Plan) -> dict[str, Any] | None:
    """All that earlier calls logged of a run; None if nothing."""
    for name in ("run.json", PART):
        if (plan.folder / name).exists():
            return json.loads((plan.folder / name).read_text())
    return None


def known(plan: Plan) -> Trained | None:
    """A run as earlier calls left it, at most `plan.until` epochs of it; None if it was never begun."""
    log = _known_log(plan)
    return None if log is None else _trained(_cut(log, plan.until), plan)


def shed(folder: Path) -> None:
    """Drop the weights of a run that is not trained any further, which are large, and keep what it measured."""
    if (folder / "run.json").exists():
        (folder / "run.json").replace(folder / PART)  # finished, but not to be taken up: its weights are gone
    for name in ("best.pt", "checkpoint.pt"):
        (folder / name).unlink(missing_ok=True)


def _train(plan: Plan, network: Network, weights: Path, checkpoint: Path) -> dict[str, Any]:
    """All epochs that are left; what happened in all of them."""
    trial, tuning = plan.trial, plan.tuning
    optimizer, scheduler = make_optimizer(network, tuning, plan.learning_rate)
    start_peak(network.device)
    if checkpoint.exists():
        log = _resume(network, optimizer, scheduler, checkpoint)
    else:
        log = {"epochs": [], "kept": None, "finite": True, "seconds": 0.0, "settings": dict(tuning.settings(network))}
        log["judged"] = []
        if tuning.keeps_start:
            _keep_if_better(log, network, weights)
    while _goes_on(log, trial.recipe) and not _reached(log, plan):
        started = time.perf_counter()
        trial.progress(plan.task, len(log["epochs"]), plan.last)
        loss = _train_epoch(network, tuning, optimizer, scheduler, seed=1000 * plan.seed + len(log["epochs"]))
        accuracy = _keep_if_better(log, network, weights) if math.isfinite(loss) else math.nan
        log["finite"] = math.isfinite(accuracy)
        if log["finite"]:
            log["epochs"].append(asdict(Epoch(loss, accuracy, dict(tuning.measures(network)))))
        log["seconds"] += time.perf_counter() - started
        log |= {"part": network.part, "checkpointed": network.checkpointed}
        log["peak_memory"] = max(network.peak, log.get("peak_memory", 0))
        if _goes_on(log, trial.recipe):
            state = {"network": network.state(), "optimizer": optimizer.state_dict()}
            write_state(checkpoint, {**state, "scheduler": scheduler.state_dict(), "log": log})
        if plan.stop and plan.stop():
            break
    log["batch_size"] = trial.recipe.batch_size
    return log


def _goes_on(log: Mapping[str, Any], recipe: Any) -> bool:
    return log["finite"] and len(log["epochs"]) < recipe.epochs and not _stalled(log["epochs"], recipe.patience)


def _keep_if_better(log: dict[str, Any], network: Network, weights: Path) -> float:
    """Accuracy on the validation rows; the weights are kept if none before were better.

    Not finite where numbers or the order of labels are told by outputs that are not.
    """
    hits, n_predicted = relieved(network, lambda: network.judge(network.trial.split.validation))
    accuracy = float(hits.mean())
    if not math.isfinite(accuracy):
        return accuracy
    found = {
        "accuracy": accuracy,
        "n_predicted": n_predicted,
        "rows": len(hits),
        "hits": (np.packbits(hits) if hits.dtype == bool else hits.astype("<f8")).tobytes().hex(),
    }
    log.setdefault("judged", []).append(found)
    if log["kept"] is None or accuracy >= log["kept"]["accuracy"]:
        write_state(weights, network.state())
        log["kept"] = found
    return accuracy


def _resume(
    network: Network,
    optimizer: torch.optim.Optimizer,
    scheduler: torch.optim.lr_scheduler.LRScheduler,
    checkpoint: Path,
) -> dict[str, Any]:
    """Go on where an interrupted run was."""
    state = read_state(checkpoint)
    network.load(state["network"])
    optimizer.load_state_dict(state["optimizer"])
    scheduler.load_state_dict(state["scheduler"])
    log = state["log"]
    network.part = log["part"]
    if log["checkpointed"]:
        network.checkpointed = recompute(network.body, True)
    return log


def _train_epoch(
    network: Network,
    tuning: Tuning,
    optimizer: torch.optim.Optimizer,
    scheduler: torch.optim.lr_scheduler.LRScheduler,
    *,
    seed: int,
) -> float:
    """One pass over the training rows in an order drawn from `seed`; the mean loss, as far as it is finite."""
    size = network.trial.recipe.batch_size
    rng = np.random.default_rng(seed)
    rows = rng.permutation(network.trial.split.train)
    losses: list[float] = []
    set_modes(network.body, keep_statistics=tuning.keeps_statistics)
    with seeded(seed, network.device), averaged_statistics(network.body):  # the seed is dropout's
        for start in range(0, len(rows), size):
            batch = network.data.batch(rows[start : start + size])
            if batch is None or len(batch) < 2:
                continue  # batch norm cannot use a single sample
            other = tuning.companion(network, len(batch), rng)

            def attempt(batch: Any = batch, other: Any = other) -> float:
                optimizer.zero_grad(set_to_none=True)
                total = 0.0
                for part in np.array_split(np.arange(len(batch)), -(-len(batch) // network.part)):
                    share = len(part) / len(batch)
                    beside = other and other.part(part[part < len(other)], network.device)
                    total += share * tuning.backward(network, batch.part(part, network.device), beside, share)
                return total

            losses.append(relieved(network, attempt))
            if not math.isfinite(losses[-1]):
                break
            network.accelerator.clip_grad_norm_(network.parameters(), 1.0)
            optimizer.step()
            scheduler.step()
    return float(np.mean(losses))


def set_modes(body: nn.Module, *, keep_statistics: bool) -> None:
    """Train, but for modules that hold something and train nothing: those compute as they were made to."""
    from torch.nn.modules.batchnorm import _BatchNorm

    body.train()
    some_are_frozen = not all(value.requires_grad for value in body.parameters())
    for module in body.modules():
        holds = [*module.parameters(), *module.buffers()]
        frozen = some_are_frozen and holds and not any(value.requires_grad for value in holds)
        if frozen or (keep_statistics and isinstance(module, _BatchNorm)):
            module.eval()


def _stalled(epochs: Sequence[Mapping[str, float]], patience: int) -> bool:
    """Whether the last `patience` epochs brought no better validation accuracy."""
    accuracies = [epoch["validation_accuracy"] for epoch in epochs]
    return len(accuracies) > patience and max(accuracies[-patience:]) <= max(accuracies[:-patience])


def _reached(log: Mapping[str, Any], plan: Plan) -> bool:
    """Whether a stage has what it wants."""
    return plan.until is not None and (len(log["epochs"]) >= plan.until or not _goes_on(log, plan.trial.recipe))


def _cut(log: dict[str, Any], until: int | None) -> dict[str, Any]:
    """The log as it was after `until` epochs, whatever came later: a race that is repeated sees the same again."""
    n, judged = len(log["epochs"]), log.get("judged", [])
    if until is None or n < until or (n == until and log["finite"]) or len(judged) < n:
        return log
    seen = judged[: len(judged) - n + until]
    kept = max(reversed(seen), key=lambda one: one["accuracy"])
    share = until / max(n, 1)
    return {**log, "epochs": log["epochs"][:until], "kept": kept, "finite": True, "seconds": share * log["seconds"]}


def _trained(log: Mapping[str, Any], plan: Plan) -> Trained:
    kept, weights = log["kept"], plan.folder / "best.pt"
    notes = []
    if log["part"] < log["batch_size"]:
        notes.append(f"memory was short: batches of {log['batch_size']} in parts of {log['part']}")
    if log["checkpointed"]:
        notes.append("activations computed twice")
    return Trained(
        validation_accuracy=kept["accuracy"] if kept else 0.0,
        epochs=tuple(Epoch(**epoch) for epoch in log["epochs"]),
        seconds=log["seconds"],
        weights=weights if kept else None,
        collapsed=not log["finite"] or kept["n_predicted"] == 1,
        note=", ".join(notes) or None,
        settings=log["settings"],
        peak_memory=log["peak_memory"],
        over=not _goes_on(log, plan.trial.recipe),
        hits=_hits(kept),
    )


def _hits(kept: Mapping[str, Any] | None) -> NDArray[Any] | None:
    """What validation rows add, unpacked: a bit each, or eight bytes."""
    if not kept or "hits" not in kept:
        return None
    packed, n = bytes.fromhex(kept["hits"]), kept["rows"]
    if len(packed) == 8 * n:
        return np.frombuffer(packed, "<f8")
    return np.unpackbits(np.frombuffer(packed, np.uint8), count=n).astype(bool)


def write_state(path: Path, state: State) -> None:
    """Save tensors and plain values, all or nothing."""
    import torch

    with cache_errors(path.parent), replacing(path) as temporary:
        torch.save(dict(state), temporary)


def read_state(path: Path) -> dict[str, Any]:
    """What `write_state` wrote.

    Raises
    ------
    CacheError
        If the file is damaged.
    """
    import torch

    try:
        return torch.load(path, weights_only=True, map_location="cpu")
    except Exception as error:  # torch raises many kinds for a damaged file
        raise CacheError(f"the checkpoint {path} is damaged ({error}); delete it and run again.") from None
