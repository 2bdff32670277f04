"""TransferScope: which pretrained model should I start from, and how should I transfer it?

Importing this module loads neither torch nor timm nor transformers; each name below loads what it needs.
"""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "0.1.0"

_HOMES = {
    "score": ".scorers.score",
    "rank": ".ranking.rank",
    "confirm": ".confirm",
    "advise": ".advice.advise",
    "evaluate": ".evaluate",
    "similarity": ".similarity",
    "discrepancy": ".similarity",
    "report": ".report",
    "load_target": ".targets",
    "load_source": ".sources",
    "load_result": ".results",
    "Ranking": ".results",
    "Truth": ".results",
    "Evaluation": ".results",
    "TransferScopeError": ".errors",
}
__all__ = [*_HOMES, "__version__"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'transferscope' has no attribute {name!r}")
    home = importlib.import_module(_HOMES[name], __name__)
    # confirm, evaluate, similarity and report name a folder and a function: the folder's module is callable
    return home if home.__name__ == f"{__name__}.{name}" else getattr(home, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
