"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def check_out(out: Path) -> Path:
    """Refuse before any work what could not be saved after it."""
    from ..errors import ResultError
    from ..storage import writable

    if not writable(out):
        found = "is a folder" if out.is_dir() else "cannot be written"
        raise ResultError(f"{out}: {found}; name a file in a folder of yours with --out.")
    return out


TargetOption = Annotated[
    str,
    typer.Option("--target", "-t", help="imagefolder:DIR, audiofolder:DIR, csv:FILE?text=COL&label=COL, jsonl:..."),
]
SourcesOption = Annotated[
    list[str],
    typer.Option("--source", "-s", help="timm:NAME, hf:NAME_OR_DIR, package:NAME, file:..., python:... (repeat)"),
]
ScorersOption = Annotated[
    list[str] | None, typer.Option("--scorer", help="A name from `transferscope scorers` (repeat).")
]
DeviceOption = Annotated[str, typer.Option(help="cpu, cuda, mps, or auto: the fastest at hand.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print the result as JSON instead of a table.")]
TrustOption = Annotated[bool, typer.Option("--trust-remote-code", help="Let hub repositories run their own code.")]
OutOption = Annotated[Path, typer.Option("--out", "-o", callback=check_out, help="Where the result is saved.")]
SeedOption = Annotated[int, typer.Option(help="Of splits and random weights.")]
NoStoreOption = Annotated[bool, typer.Option("--no-store", help="Neither read nor write a history.")]
StoreOption = Annotated[
    str | None,
    typer.Option("--store", help="The history: a file or a database URL; default: a file in your data folder."),
]
