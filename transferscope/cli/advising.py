"""`transferscope advise`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..results import Ranking
from .options import DeviceOption, JsonOption, OutOption, TrustOption
from .output import command_line, finish, load


def advise(
    ranking: Annotated[Path, typer.Argument(help="A ranking saved by `transferscope rank`.")],
    top: Annotated[int | None, typer.Option(min=1, help="How many sources; default: the best set, at most 3.")] = None,
    source: Annotated[list[str] | None, typer.Option(help="Advise on just this ranked source (repeat).")] = None,
    batch_size: Annotated[int, typer.Option(min=1)] = 32,
    device: DeviceOption = "auto",
    trust_remote_code: TrustOption = False,
    out: OutOption = Path("advice.json"),
    as_json: JsonOption = False,
) -> None:
    """Freeze or fine-tune? How, why, and from how many labels on: measured, before any training."""
    from ..advice.advise import advise as find_advice
    from .drawing import DrawnProgress

    with DrawnProgress() as progress:
        found = find_advice(
            load(ranking, Ranking), top=top, sources=source, device=device, batch_size=batch_size,
            trust_remote_code=trust_remote_code, progress=progress, command=command_line(),
        )  # fmt: skip
    finish(found, out, as_json)
