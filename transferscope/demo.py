"""The demo: real models on real data of all three modalities, from packages alone.

It calls `rank`, `confirm`, `evaluate` and `report` just as anyone would; only the lists below are its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from .confirm import Recipe
from .confirm.confirm import confirm
from .evaluate.agreement import evaluate
from .progress import Progress, silent
from .ranking.rank import rank
from .registry import Spec
from .report.publish import report
from .results import Ranking, Result, Truth, save_result
from .sources.package import RECIPES
from .targets.package import DATASETS
from .wheels import Wheel


@dataclass(frozen=True)
class Part:
    """One target of the demo.

    Attributes
    ----------
    sources : tuple of str
        Ranked and probed, each beside its random twin.
    fine_tuned : tuple of str
        Trained in full as well; small enough for two CPU cores.
    """

    name: str
    target: str
    sources: tuple[str, ...]
    fine_tuned: tuple[str, ...]
    max_samples: int

    @property
    def work(self) -> int:
        """Roughly how long it takes: a full fine-tuning costs about six times a source's features and probe."""
        return 2 * len(self.sources) + 6 * len(self.fine_tuned)


PARTS = (
    Part(
        "digits",
        "package:mnist-5k",
        (
            "package:efficientnet-lite0?size=64", "package:mobilenet-v2?size=64", "package:ocr-crnn?size=32",
            "package:minilm-l6",
        ),
        ("package:ocr-crnn?size=32", "package:ocr-crnn?size=32&weights=random", "package:mobilenet-v2?size=64"),
        400,
    ),
    Part(
        "instruments",
        "package:instrument-families",
        ("package:efficientnet-lite0?size=96", "package:mobilenet-v2?size=96", "package:resemblyzer"),
        (),
        400,
    ),
    Part(
        "swahili",
        "package:names-swahili",
        ("package:minilm-l6", "package:efficientnet-lite0?size=96", "package:ocr-crnn?size=32x256"),
        ("package:minilm-l6", "package:minilm-l6?weights=random"),
        400,
    ),
    Part("amharic", "package:names-amharic", ("package:minilm-l6", "package:e5-small"), (), 400),
)  # fmt: skip
RECIPE = Recipe(learning_rates=(1e-4, 1e-3), n_seeds=1, epochs=3, patience=3, min_steps=0)


@dataclass(frozen=True)
class Demo:
    """What the demo left behind."""

    results: tuple[Result, ...]
    report: Path

    @property
    def failed(self) -> bool:
        """Whether any source failed."""
        return any(result.failures for result in self.results if isinstance(result, Ranking | Truth))


def fetch_packages(progress: Progress = silent) -> None:
    """Fetch every package that the demo reads and that is not here yet; after that it needs no network."""
    wheels: dict[Wheel, None] = {}
    for part in PARTS:
        if (wheel := DATASETS[_location(part.target)].wheel) is not None:
            wheels[wheel] = None
        for source in part.sources:
            wheels |= dict.fromkeys(RECIPES[_location(source)].wheels)
    for done, wheel in enumerate(wheels):
        progress("fetching packages", done, len(wheels))
        wheel.path()
    progress("fetching packages", len(wheels), len(wheels))


def _location(spec: str) -> str:
    return Spec.parse(spec, kind="package", example="package:minilm-l6").location


def run_demo(out: Path, *, progress: Progress = silent, command: str = "transferscope demo") -> Demo:
    """Rank, confirm and evaluate every part, and write one report.

    Parameters
    ----------
    out : Path
        Gets ``index.html`` and one JSON file per result.
    progress : Progress
    command : str
        For the record.
    """
    fetch_packages(progress)
    results: list[Result] = []
    done, total = 0, sum(part.work for part in PARTS)
    for part in PARTS:
        progress("demo", done, total)
        results += _run_part(part, out, progress, command)
        done += part.work
    progress("demo", total, total)
    rankings = [result for result in results if isinstance(result, Ranking)]
    truths = [result for result in results if isinstance(result, Truth)]
    results.append(evaluate(rankings, truths, command=command))
    save_result(results[-1], out / "evaluation.json")
    return Demo(tuple(results), report(results, out=out / "index.html"))


def _run_part(part: Part, out: Path, progress: Progress, command: str) -> list[Ranking | Truth]:
    """Rank one target's sources, probe them all and fine-tune some; each result is saved as soon as it is there."""
    ranking = rank(  # no history: the demo is the same for everyone, and no example of anyone's own work
        part.target, part.sources, max_samples=part.max_samples, store=False, progress=progress, command=command
    )
    save_result(ranking, out / f"{part.name}-ranking.json")
    results: list[Ranking | Truth] = [ranking]
    for strategy, sources in (("linear_probe", None), ("full", part.fine_tuned)):
        if sources == ():
            continue
        truth = confirm(
            ranking, top=None, sources=sources, strategy=strategy, controls=True, recipe=RECIPE, store=False,
            progress=progress, command=command,
        )  # fmt: skip
        save_result(truth, out / f"{part.name}-{strategy}.json")
        results.append(truth)
    return results
