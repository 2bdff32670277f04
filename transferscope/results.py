"""What a run leaves behind: frozen records that round-trip through JSON.

The command line, the report and pipelines all read these; nothing is recomputed to be displayed.
``None`` means "not known" or "not defined"; a ``warnings`` or ``error`` text beside it says why.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from .advices import Advice
from .agreements import Agreement, Comparison, OrderScore
from .choices import Alignment, Effect, Selection, TwinGap
from .errors import ResultError
from .examples import Examples
from .spending import Cost, Excluded, Race, TrainingRace
from .stamp import Stamp
from .storage import write_atomically
from .tasks import METRICS, Task
from .trust import Check, Control, Fusion, Separation, Standing
from .views import SourceMap, View

if TYPE_CHECKING:
    import pandas

Modality = Literal["image", "audio", "text"]
Setting = str | int | float | bool | None
_STRICT: Any = {"extra": "forbid"}  # pydantic's own name for "refuse unknown fields"


@dataclass(frozen=True)
class Skipped:
    """A sample that could not be read and was left out."""

    sample: str
    reason: str


@dataclass(frozen=True)
class TargetCard:
    """What is known of a target data set."""

    name: str
    modality: Modality
    n_samples: int
    classes: tuple[str, ...]  # or the names of the labels that a sample may have, or of the numbers to predict
    class_counts: tuple[int, ...]  # samples of each; empty for numbers
    n_groups: int | None  # None: no group column was given
    content_sha256: str
    task: Task = "classification"
    ranges: tuple[tuple[float, float], ...] = ()  # least and greatest of each number to predict

    @property
    def metric(self) -> str:
        """What `accuracy` of a trained model means here."""
        return METRICS[self.task]


@dataclass(frozen=True)
class SplitCard:
    """How rows were divided; scoring and training see train rows only."""

    seed: int
    n_train: int
    n_validation: int
    n_test: int
    grouped: bool
    max_samples: int | None
    sha256: str  # of the three row lists


@dataclass(frozen=True)
class SourceCard:
    """What is known of a source model."""

    name: str
    architecture: str
    input: Mapping[str, Setting]  # kind, size, mean/std, sample rate, tokenizer ...: read from its own config
    layers: tuple[str, ...]  # tappable, from input to output
    n_parameters: int
    weights_sha256: str
    is_random: bool = False
    n_source_classes: int | None = None  # None: no source head
    flops: float | None = None  # multiply-adds x 2 of one sample's forward pass, through its adapter
    license: str | None = None
    pretraining: str | None = None  # data it was trained on
    source_accuracy: float | None = None  # on its own task, as a share, where its card says so
    twin_of: str | None = None  # for random weights: the pretrained source of the same architecture


@dataclass(frozen=True)
class Step:
    """One converter on the way from a target's samples to a source's input."""

    converter: str
    settings: Mapping[str, Setting]
    reference: str  # the paper the conversion follows


@dataclass(frozen=True)
class Loss:
    """What a path did to a share of the data, and a warning where that is more than it should be."""

    name: str  # "tokens dropped", "resampled" ...
    share: float  # 0 to 1, of what `name` is about
    warning: str | None = None


@dataclass(frozen=True)
class Score:
    """One scorer's value for one candidate."""

    name: str
    value: float | None
    higher_is_better: bool
    n_samples: int
    n_features: int
    seconds: float
    standard_error: float | None = None
    warnings: tuple[str, ...] = ()
    error: str | None = None
    saturated: bool = False  # at a bound whatever the labels, so that it says nothing; a warning says why
    left_out: tuple[float, ...] = ()  # the value without each block of samples, the same blocks for every source


@dataclass(frozen=True)
class Candidate:
    """One (source, adapter, layer, pooling) for one target, with everything measured of it."""

    source: str
    layer: str
    path: tuple[Step, ...]
    edits: Mapping[str, float]  # what the path changed, in counts: samples, resized, tokens, tokens_dropped ...
    pooling: str
    n_features: int
    seconds: float  # extraction of all layers of this source; the same number on each of its layers
    scores: Mapping[str, Score]
    is_best_layer: bool = False  # and the best adapter and pooling of its source
    control: Literal["random", "raw"] | None = None
    choices: tuple[str, ...] = ()  # of the adapter, where they differ from the defaults
    losses: tuple[Loss, ...] = ()
    dropped: bool = False  # by a race: its scores are of fewer samples than the others', and rank it behind them


@dataclass(frozen=True)
class Failure:
    """A source that could not be ranked or trained, and why."""

    source: str
    reason: str


@dataclass(frozen=True)
class Similarity:
    """A symmetric matrix of one measure between sources, each at its best layer."""

    measure: str
    sources: tuple[str, ...]
    values: tuple[tuple[float | None, ...], ...]


@dataclass(frozen=True)
class LayerSimilarity:
    """One measure between every layer of one source and every layer of another."""

    measure: str
    target: str
    n_samples: int
    sources: tuple[str, ...]  # two
    first_layers: tuple[str, ...]
    second_layers: tuple[str, ...]
    values: tuple[tuple[float | None, ...], ...]  # a row per layer of the first


@dataclass(frozen=True)
class Discrepancy:
    """How far a source's own training data lie from the target, in that source's features."""

    source: str
    source_data: str
    measure: str
    value: float
    p_value: float | None


class _Saved:
    """What every result can do."""

    def to_json(self, path: str | Path) -> Path:
        """Write this result to `path`; `load_result` reads it back equal."""
        return save_result(self, path)  # type: ignore[arg-type]


@dataclass(frozen=True)
class Ranking(_Saved):
    """Sources ranked for one target, before any training."""

    target: TargetCard
    split: SplitCard
    scorers: tuple[str, ...]
    rank_by: str
    sources: tuple[SourceCard, ...]
    candidates: tuple[Candidate, ...]  # best first by `rank_by`; failed scores last
    stamp: Stamp
    failures: tuple[Failure, ...] = ()
    skipped: tuple[Skipped, ...] = ()
    similarity: tuple[Similarity, ...] = ()
    discrepancy: tuple[Discrepancy, ...] = ()
    warnings: tuple[str, ...] = ()
    effects: tuple[Effect, ...] = ()
    selections: tuple[Selection, ...] = ()
    twins: tuple[TwinGap, ...] = ()
    alignments: tuple[Alignment, ...] = ()
    ordered_by: str | None = None  # "consensus" or a scorer: what orders `standings`; None: `rank_by`
    standings: tuple[Standing, ...] = ()  # best first
    separations: tuple[Separation, ...] = ()
    fusion: Fusion | None = None
    controls: tuple[Control, ...] = ()
    checks: tuple[Check, ...] = ()
    costs: tuple[Cost, ...] = ()
    pareto: tuple[str, ...] = ()  # sources that no other one beats in both score and cost, cheapest first
    excluded: tuple[Excluded, ...] = ()
    race: Race | None = None
    views: tuple[View, ...] = ()  # of the best and the worst source
    examples: Examples | None = None  # None: not asked for
    layer_similarity: tuple[LayerSimilarity, ...] = ()  # of the best source, with itself and with the second
    source_map: SourceMap | None = None
    kind: Literal["ranking"] = "ranking"
    format: Literal[1] = 1
    __pydantic_config__ = _STRICT

    def best(self) -> tuple[Candidate, ...]:
        """Each source at its best adapter, layer and pooling, best source first."""
        return tuple(c for c in self.candidates if c.is_best_layer)

    def card(self, source: str) -> SourceCard | None:
        """The card of `source`; None for the raw-input control."""
        return next((card for card in self.sources if card.name == source), None)

    def to_pandas(self) -> pandas.DataFrame:
        """One row per candidate, one column per scorer. Needs ``pip install "transferscope[pandas]"``."""
        import pandas

        rows = [
            {"source": c.source, "layer": c.layer, "path": " > ".join(s.converter for s in c.path),
             "choices": "; ".join(c.choices), "pooling": c.pooling, "control": c.control,
             "is_best_layer": c.is_best_layer, "n_features": c.n_features, "seconds": c.seconds,
             **{name: score.value for name, score in c.scores.items()}}
            for c in self.candidates
        ]  # fmt: skip
        return pandas.DataFrame(rows)


@dataclass(frozen=True)
class Epoch:
    """One pass over the training rows."""

    train_loss: float
    validation_accuracy: float
    measures: Mapping[str, float] = field(default_factory=dict)  # what its strategy logs: "gradient_cosine" ...


@dataclass(frozen=True)
class Run:
    """One training run: one candidate, strategy, learning rate and seed."""

    seed: int
    learning_rate: float | None  # None: closed form or L-BFGS
    validation_accuracy: float
    test_accuracy: float | None  # None: not chosen on validation, so the test rows were not touched
    epochs: tuple[Epoch, ...]
    seconds: float
    settings: Mapping[str, Setting] = field(default_factory=dict)  # what else was chosen: a penalty, a weight ...
    collapsed: bool = False  # one class was predicted for all validation rows, or the loss was not finite
    note: str | None = None  # what departs from the recipe, and why: a lower rate, smaller batches
    peak_memory: int | None = None  # bytes: allocated on CUDA, or the process's resident set
    test_error: float | None = None  # standard error over test rows; None for a share of right answers


@dataclass(frozen=True)
class Confirmed:
    """Measured accuracy of one source under one strategy: the best learning rate on validation, over seeds.

    Of several labels a sample it is the area under the ROC curve, and of numbers R squared, averaged over columns.
    """

    source: str
    layer: str  # where the new head sits
    strategy: str
    accuracy: float  # on the test rows, mean over seeds
    spread: float | None  # standard deviation over seeds; None for one seed
    standard_error: float  # what the test rows alone can tell; of classes as `tasks.share_error` has it
    n_test: int
    runs: tuple[Run, ...]
    seconds: float
    quick: bool = False  # one rate, one seed and few epochs: a first look
    metric: str = METRICS["classification"]  # what `accuracy` is


@dataclass(frozen=True)
class Truth(_Saved):
    """What training measured for the candidates of one ranking."""

    target: TargetCard
    split: SplitCard
    confirmed: tuple[Confirmed, ...]
    stamp: Stamp
    failures: tuple[Failure, ...] = ()
    race: TrainingRace | None = None
    kind: Literal["truth"] = "truth"
    format: Literal[1] = 1
    __pydantic_config__ = _STRICT


@dataclass(frozen=True)
class Evaluation(_Saved):
    """Agreement of every scorer with every strategy's measured accuracy."""

    agreements: tuple[Agreement, ...]
    stamp: Stamp
    level: float = 0.9  # of the intervals
    orders: tuple[OrderScore, ...] = ()  # of every order on every target, and on average
    comparisons: tuple[Comparison, ...] = ()
    notes: tuple[str, ...] = ()
    kind: Literal["evaluation"] = "evaluation"
    format: Literal[1] = 1
    __pydantic_config__ = _STRICT


@dataclass(frozen=True)
class Advised(_Saved):
    """Freeze or fine-tune, of some of a ranking's sources."""

    target: TargetCard
    split: SplitCard
    advice: tuple[Advice, ...]  # in the ranking's order
    stamp: Stamp
    failures: tuple[Failure, ...] = ()
    kind: Literal["advice"] = "advice"
    format: Literal[1] = 1
    __pydantic_config__ = _STRICT


Result = Ranking | Truth | Evaluation | Advised
_KINDS: dict[str, type[Result]] = {
    "ranking": Ranking, "truth": Truth, "evaluation": Evaluation, "advice": Advised,
}  # fmt: skip
R = TypeVar("R", Ranking, Truth, Evaluation, Advised)


def is_control(source: str) -> bool:
    """Whether a name alone tells a source to be a control: the raw input, or random weights."""
    return source.startswith("raw:") or "weights=random" in source


def dump_result(result: Result) -> str:
    """The JSON text of a result; NaN and infinities are refused, since JSON has none."""
    from pydantic import TypeAdapter

    return TypeAdapter(type(result)).dump_json(result, indent=1).decode()


def save_result(result: Result, path: str | Path) -> Path:
    """Write `result` as JSON to `path`."""
    try:
        return write_atomically(Path(path), dump_result(result).encode())
    except OSError as error:
        raise ResultError(f"{path}: the result cannot be written ({error.strerror}); choose another --out.") from None


def load_result(path: str | Path) -> Result:
    """Read a ranking, truth, evaluation or advice back from JSON.

    Raises
    ------
    ResultError
        If the file is missing, is not JSON, or has fields that this version does not know.
    """
    import json

    from pydantic import TypeAdapter, ValidationError

    try:
        text = Path(path).read_text()
        kind = json.loads(text).get("kind")
    except (OSError, ValueError, AttributeError) as error:
        raise ResultError(f"{path}: not a saved result ({error}); expected the JSON that --out wrote.") from None
    if kind not in _KINDS:
        raise ResultError(f"{path}: holds kind {kind!r}; expected one of {', '.join(_KINDS)}.")
    try:
        return TypeAdapter(_KINDS[kind]).validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise ResultError(f"{path}: {where}: {first['msg']}; was it written by another version?") from None
