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


def source_pairs(texts: list[str]) -> dict[str, str]:
    """SOURCE=TARGET; a spec may hold equals signs itself, so the split is where a target's scheme follows."""
    from ..errors import TransferScopeError
    from ..targets import TARGETS

    pairs = {}
    for text in texts:
        cuts = [at for at in range(len(text)) if text[at] == "=" and text[at + 1 :].partition(":")[0] in TARGETS]
        if not cuts:
            raise TransferScopeError(
                f"--source-data {text!r} is not SOURCE=TARGET, such as timm:resnet18=imagefolder:DIR."
            )
        pairs[text[: cuts[0]]] = text[cuts[0] + 1 :]
    return pairs


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
