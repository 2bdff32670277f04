"""What can be named: sources, converters, scorers, measures; and one source described."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

SCHEMES = {
    "timm:NAME": "every pretrained image model of timm, by its name there",
    "hf:NAME_OR_DIR": "image, audio and text models of transformers, from the hub or a local directory",
    "torchaudio:NAME": "wav2vec 2.0, HuBERT and WavLM pipelines of torchaudio, such as WAV2VEC2_BASE",
    "package:NAME": "weights that a package on the package index ships (below)",
    "file:CHECKPOINT?arch=timm:NAME": "a safetensors or torch checkpoint of yours",
    "python:module:function": "a function of yours that returns a torch module; its input in code or ?input=FILE.toml",
}


def list_sources() -> list[dict[str, Any]]:
    """Schemes first, then what packages ship."""
    from ..sources.package import RECIPES

    schemes = [{"source": spec, "pretraining": text, "licence": ""} for spec, text in SCHEMES.items()]
    shipped = [
        {"source": f"package:{recipe.name}", "pretraining": recipe.pretraining, "licence": recipe.license}
        for recipe in RECIPES.values()
    ]
    return schemes + shipped


def describe_source(spec: str, trust_remote_code: bool) -> list[dict[str, Any]]:
    """Everything on one source's card, a row per field."""
    from ..sources import load_source

    card = asdict(load_source(spec, trust_remote_code=trust_remote_code).card)
    return [{"field": name, "value": _plain(value)} for name, value in card.items() if value is not None]


def list_converters() -> list[dict[str, Any]]:
    """One row per converter: what it makes, and what can be chosen for --adapter."""
    import inspect

    from ..adapters import CONVERTERS

    return [
        {
            "converter": edge.name,
            "makes": (inspect.getdoc(edge.build) or "").partition("\n")[0].replace("``", ""),
            **{f"{edge.name}?{name}=": " | ".join(values) for name, values in edge.options.items()},
            "paper": edge.reference,
        }
        for edge in CONVERTERS.values()
    ]


def list_scorers() -> list[dict[str, Any]]:
    """One row per registered scorer, and per combination of several over all sources."""
    from ..scorers.combine import COMBINATIONS, MEANING
    from ..scorers.registry import SCORERS

    return [
        {
            "scorer": spec.name,
            "meaning": spec.meaning,
            "better": "higher" if spec.higher_is_better else "lower",
            "range": spec.range,
            "needs": ", ".join(spec.needs),
            "tasks": ", ".join(spec.tasks),
            "cost": spec.cost,
            "comparable across widths": "yes" if spec.comparable_across_widths else "no",
            "misleads": spec.misleads,
            "paper": spec.reference,
        }
        for spec in SCORERS.values()
    ] + [
        {
            "scorer": name,
            "meaning": MEANING,
            "better": "higher",
            "needs": f"{', '.join(combination.parts)} of all ranked sources",
            "misleads": combination.misleads,
            "paper": combination.reference,
        }
        for name, combination in COMBINATIONS.items()
    ]


def list_measures() -> list[dict[str, Any]]:
    """One row per registered measure."""
    from ..similarity.registry import MEASURES

    return [
        {
            "measure": spec.name,
            "of": "the same rows" if spec.kind == "similarity" else "any rows" + ", labelled" * spec.needs_labels,
            "closer": "higher" if spec.higher_is_closer else "lower",
            "range": spec.range,
            "misleads": spec.misleads,
            "paper": spec.reference,
        }
        for spec in MEASURES.values()
    ]


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return ", ".join(f"{key}={item}" for key, item in value.items() if item is not None)
    return ", ".join(map(str, value)) if isinstance(value, tuple) else value


def print_entries(rows: list[dict[str, Any]]) -> None:
    """An entry per row: its name, then what is to be said of it, indented."""
    from rich.console import Console
    from rich.padding import Padding
    from rich.text import Text

    console = Console(highlight=False)
    for row in rows:
        (_, name), *facts = row.items()
        console.print(Text(str(name), style="bold"))
        for key, value in facts:
            console.print(Padding(Text(f"{key}: {value}"), (0, 0, 0, 4), expand=False))


def print_rows(rows: list[dict[str, Any]]) -> None:
    """A table, one column per key of the first row."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in rows[0]:
        table.add_column(name, overflow="fold")
    for row in rows:
        table.add_row(*(escape("" if value is None else str(value)) for value in row.values()))
    Console().print(table)
