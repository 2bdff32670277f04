"""What a model's own card says of it: licence, training data, accuracy on its own task."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def read_model_card(folder: Path | None, name: str, hub: dict[str, Any]) -> dict[str, Any]:
    """Facts from the ``README.md`` beside a checkpoint, where it has one.

    Parameters
    ----------
    folder : Path or None
        Of a local checkpoint; None for a hub name.
    name : str
    hub : dict
        ``revision`` and ``local_files_only``, as `from_pretrained` takes them.

    Returns
    -------
    dict
        ``license``, ``pretraining`` and ``source_accuracy`` (a share; the first accuracy it names), None where the
        card says nothing or there is none.
    """
    path = folder / "README.md" if folder else _from_hub(name, hub)
    if path is None or not path.is_file():
        return {"license": None, "pretraining": None, "source_accuracy": None}
    from huggingface_hub import ModelCard
    from yaml import YAMLError  # type: ignore[import-untyped]

    try:
        data: Any = ModelCard(path.read_text(encoding="utf-8"), ignore_metadata_errors=True).data
    except (ValueError, YAMLError):  # a README without, or with broken, metadata says nothing
        return {"license": None, "pretraining": None, "source_accuracy": None}
    datasets = [data.datasets] if isinstance(data.datasets, str) else data.datasets
    return {
        "license": data.license if isinstance(data.license, str) else None,
        "pretraining": ", ".join(map(str, datasets)) if datasets else None,
        "source_accuracy": _accuracy(data.eval_results or ()),
    }


def _from_hub(name: str, hub: dict[str, Any]) -> Path | None:
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError, LocalEntryNotFoundError

    where = {"revision": hub["revision"], "local_files_only": hub["local_files_only"]}
    try:
        return Path(hf_hub_download(name, "README.md", **where))
    except (EntryNotFoundError, LocalEntryNotFoundError, HfHubHTTPError):  # a card is no condition for using the model
        return None


def _accuracy(results: Any) -> float | None:
    """The first accuracy, as a share: cards give shares and per cent alike."""
    for result in results:
        value = result.metric_value
        if str(result.metric_type).lower() in ("accuracy", "acc", "top-1 accuracy") and isinstance(value, int | float):
            share = value / 100 if value > 1.5 else float(value)
            return share if 0 <= share <= 1 else None
    return None
