"""`transferscope rank`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .options import (
    DeviceOption,
    JsonOption,
    NoStoreOption,
    OutOption,
    ScorersOption,
    SeedOption,
    SourcesOption,
    StoreOption,
    TargetOption,
    TrustOption,
    source_pairs,
)
from .output import command_line, finish, print_json


def rank(
    target: TargetOption,
    source: SourcesOption,
    scorer: ScorersOption = None,
    rank_by: Annotated[
        str | None, typer.Option(help="The scorer that orders; default: layers by ridge_loo, sources by consensus.")
    ] = None,
    layers: Annotated[
        list[str] | None,
        typer.Option("--layers", "--layer", help="all, last, every:N, or a layer's name or index (repeat)."),
    ] = None,
    pooling: Annotated[list[str] | None, typer.Option(help="mean, first or last (repeat to compare).")] = None,
    adapter: Annotated[
        list[str] | None,
        typer.Option(help="CONVERTER?OPTION=VALUE as of `transferscope converters`, or all (repeat to compare)."),
    ] = None,
    twins: Annotated[bool, typer.Option(help="Rank each source's random-weights twin beside it.")] = True,
    race: Annotated[
        bool | None,
        typer.Option("--race/--no-race", help="Drop sources that cannot win any more; default: from 8 sources on."),
    ] = None,
    budget: Annotated[
        str | None, typer.Option(help="What features may cost: 10m, 5000 samples, 2e15 flops; go on later.")
    ] = None,
    examples: Annotated[
        bool, typer.Option(help="Keep 3 training samples in the result, as they are and as each source gets them.")
    ] = True,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Predict what it would cost, and stop.")] = False,
    max_params: Annotated[str | None, typer.Option(help="At most so many parameters: 25M.")] = None,
    max_latency: Annotated[str | None, typer.Option(help="At most so long for one sample here: 20ms.")] = None,
    license: Annotated[
        list[str] | None, typer.Option(help="Licences to allow: apache-2.0, bsd-*, permissive, unknown (repeat).")
    ] = None,
    source_accuracy: Annotated[
        list[str] | None, typer.Option(help="SOURCE=VALUE: known accuracy on its own task, a control (repeat).")
    ] = None,
    source_data: Annotated[
        list[str] | None, typer.Option(help="SOURCE=TARGET: a source's own data, for its distance to the target.")
    ] = None,
    store: StoreOption = None,
    no_store: NoStoreOption = False,
    max_samples: Annotated[int | None, typer.Option(min=10, help="Use a stratified sample of this size.")] = None,
    seed: SeedOption = 0,
    device: DeviceOption = "auto",
    batch_size: Annotated[int, typer.Option(min=1)] = 32,
    precision: Annotated[str, typer.Option(help="float32, bfloat16, or auto: bfloat16 on CUDA only.")] = "auto",
    strict: Annotated[bool, typer.Option(help="Fail at the first unreadable sample instead of skipping it.")] = False,
    trust_remote_code: TrustOption = False,
    out: OutOption = Path("ranking.json"),
    as_json: JsonOption = False,
) -> None:
    """Rank sources for a target without training anything."""
    from ..ranking.constraints import Constraints
    from ..ranking.rank import rank as rank_sources
    from .drawing import DrawnProgress

    constraints = Constraints.parse(max_params=max_params, max_latency=max_latency, licenses=license or ())
    if dry_run:
        from ..ranking.dry_run import plan
        from ..report.plan import print_plan

        with DrawnProgress() as progress:
            planned = plan(
                target, source, layers=layers or "all", pooling=pooling or "mean", adapters=adapter or (), twins=twins,
                constraints=constraints, max_samples=max_samples, seed=seed, device=device, batch_size=batch_size,
                precision=precision, trust_remote_code=trust_remote_code, progress=progress,
            )  # fmt: skip
        print_json(planned) if as_json else print_plan(planned)
        return
    with DrawnProgress() as progress:
        ranking = rank_sources(
            target, source, scorers=scorer, rank_by=rank_by, layers=layers or "all", pooling=pooling or "mean",
            adapters=adapter or (), twins=twins, race=race, budget=budget, constraints=constraints,
            examples=examples, store=False if no_store else store, source_accuracy=_accuracies(source_accuracy or []),
            source_data=source_pairs(source_data or []), max_samples=max_samples, seed=seed, device=device,
            batch_size=batch_size, precision=precision, strict=strict, trust_remote_code=trust_remote_code,
            progress=progress, command=command_line(),
        )  # fmt: skip
    finish(ranking, out, as_json)


def _accuracies(texts: list[str]) -> dict[str, float]:
    """SOURCE=VALUE; a spec may hold equals signs itself, so the last one counts."""
    from ..errors import TransferScopeError

    found = {}
    for text in texts:
        name, _, value = text.rpartition("=")
        try:
            found[name] = float(value)
        except ValueError:
            name = ""
        if not name:
            raise TransferScopeError(f"--source-accuracy {text!r} is not SOURCE=VALUE, such as timm:resnet18=0.697.")
    return found
