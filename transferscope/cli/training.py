"""`transferscope confirm`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from ..results import Ranking
from .options import DeviceOption, JsonOption, NoStoreOption, OutOption, StoreOption, TrustOption, source_pairs
from .output import command_line, finish, load


class ConfirmCommand(TyperCommand):
    """Its help lists the registered strategies, which would cost every other command the time to look them up."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the help."""
        from ..confirm import STRATEGIES
        from ..confirm.confirm import AUTO
        from ..confirm.race import AUTO as RACE_AUTO

        (option,) = (param for param in self.params if param.name == "strategy")
        auto = f"auto: {' and '.join(AUTO)}, in a race {', '.join(RACE_AUTO)}"
        option.help = f"{', '.join(STRATEGIES)}, or {auto} (repeat)."  # type: ignore[attr-defined]
        super().format_help(ctx, formatter)


def confirm(
    ranking: Annotated[Path, typer.Argument(help="A ranking saved by `transferscope rank`.")],
    top: Annotated[int, typer.Option(min=1, help="How many sources to train, best first.")] = 3,
    source: Annotated[list[str] | None, typer.Option(help="Train just this ranked source (repeat).")] = None,
    strategy: Annotated[list[str] | None, typer.Option(help="A way to train (repeat).")] = None,
    controls: Annotated[bool, typer.Option(help="Train random twins and the raw input too.")] = False,
    learning_rate: Annotated[list[float] | None, typer.Option(help="Rates to search (repeat).")] = None,
    seeds: Annotated[int, typer.Option(min=1, help="Runs at the best rate.")] = 2,
    epochs: Annotated[
        int | None, typer.Option(min=1, help="At most; default: 10, or more where that is less than 100 steps.")
    ] = None,
    batch_size: Annotated[int, typer.Option(min=2)] = 32,
    quick: Annotated[bool, typer.Option(help="A first look: one rate, one seed, few epochs.")] = False,
    race: Annotated[
        bool | None,
        typer.Option("--race/--no-race", help="Stop early what others beat; default: where a budget is given."),
    ] = None,
    budget: Annotated[str | None, typer.Option(help="Time for this call: 20m, 2h; the same command goes on.")] = None,
    confidence: Annotated[float, typer.Option(help="Of the winner, at which a race ends.")] = 0.95,
    source_data: Annotated[
        list[str] | None, typer.Option(help="SOURCE=TARGET: a source's own data, for joint and aligned (repeat).")
    ] = None,
    device: DeviceOption = "auto",
    store: StoreOption = None,
    no_store: NoStoreOption = False,
    trust_remote_code: TrustOption = False,
    out: OutOption = Path("truth.json"),
    as_json: JsonOption = False,
) -> None:
    """Train the first sources of a ranking and measure what the scores estimated."""
    from ..confirm import Recipe
    from ..confirm.confirm import confirm as train_candidates
    from .drawing import DrawnProgress

    rates = tuple(learning_rate or Recipe.learning_rates)
    recipe = Recipe(rates, seeds, batch_size=batch_size, quick=quick)
    if epochs:
        recipe = replace(recipe, epochs=epochs, min_steps=0)
    chosen = "auto" if not strategy or strategy == ["auto"] else strategy
    with DrawnProgress() as progress:
        truth = train_candidates(
            load(ranking, Ranking), top=top, sources=source, strategy=chosen, controls=controls, recipe=recipe,
            source_data=source_pairs(source_data or []), device=device, batch_size=batch_size,
            store=False if no_store else store, trust_remote_code=trust_remote_code, race=race,
            budget=budget, confidence=confidence, progress=progress, command=command_line(),
        )  # fmt: skip
    finish(truth, out, as_json)
