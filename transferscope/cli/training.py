"""`transferscope confirm`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..results import Ranking
from .options import DeviceOption, JsonOption, NoStoreOption, OutOption, StoreOption, TrustOption
from .output import command_line, finish, load


def confirm(
    ranking: Annotated[Path, typer.Argument(help="A ranking saved by `transferscope rank`.")],
    top: Annotated[int, typer.Option(min=1, help="How many sources to train, best first.")] = 3,
    source: Annotated[list[str] | None, typer.Option(help="Train just this ranked source (repeat).")] = None,
    strategy: Annotated[list[str] | None, typer.Option(help="linear_probe, full, or auto: both (repeat).")] = None,
    controls: Annotated[bool, typer.Option(help="Train random twins and the raw input too.")] = False,
    learning_rate: Annotated[list[float] | None, typer.Option(help="Rates to search (repeat).")] = None,
    seeds: Annotated[int, typer.Option(min=1, help="Runs at the best rate.")] = 2,
    epochs: Annotated[int, typer.Option(min=1, help="At most.")] = 10,
    batch_size: Annotated[int, typer.Option(min=2)] = 32,
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

    recipe = Recipe(n_seeds=seeds, epochs=epochs, batch_size=batch_size)
    if learning_rate:
        recipe = Recipe(tuple(learning_rate), seeds, epochs, batch_size=batch_size)
    chosen = "auto" if not strategy or strategy == ["auto"] else strategy
    with DrawnProgress() as progress:
        truth = train_candidates(
            load(ranking, Ranking), top=top, sources=source, strategy=chosen, controls=controls, recipe=recipe,
            device=device, batch_size=batch_size, store=False if no_store else store,
            trust_remote_code=trust_remote_code, progress=progress,
            command=command_line(),
        )  # fmt: skip
    finish(truth, out, as_json)
