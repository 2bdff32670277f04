"""The tables of the history, as the newest migration leaves them."""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
)

metadata = MetaData()

results = Table(
    "results",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("digest", String(64), nullable=False, unique=True),  # of its content: the same result is kept once
    Column("kind", String(16), nullable=False),  # ranking, truth or import
    Column("origin", Text, nullable=False),  # the command, or the file's name
    Column("created", String(40), nullable=False),
    Column("seed", Integer),
    Column("device", Text),
    Column("versions", JSON),
)


def _belongs() -> list[Column[object]]:
    """What scores, accuracies and costs are of."""
    return [
        Column("id", Integer, primary_key=True),
        Column("result", Integer, ForeignKey("results.id", ondelete="CASCADE"), nullable=False),
        Column("target", Text, nullable=False),
        Column("target_key", Text, nullable=False),  # hash of its content, or the file's and the target's name
        Column("modality", String(8)),
        Column("source", Text, nullable=False),
        Column("is_control", Boolean, nullable=False),
    ]


scores = Table(
    "scores",
    metadata,
    *_belongs(),
    Column("layer", Text),
    Column("pooling", Text),
    Column("choices", Text),
    Column("scorer", Text, nullable=False),
    Column("value", Float, nullable=False),
    Column("standard_error", Float),
    Column("higher_is_better", Boolean, nullable=False),
    Column("saturated", Boolean, nullable=False),
    Column("n_samples", Integer),
    Column("n_features", Integer),
)
accuracies = Table(
    "accuracies",
    metadata,
    *_belongs(),
    Column("layer", Text),
    Column("strategy", Text, nullable=False),
    Column("accuracy", Float, nullable=False),
    Column("metric", String(16)),  # what it is; NULL: accuracy, or not known
    Column("spread", Float),
    Column("standard_error", Float),
    Column("n_test", Integer),
    Column("seconds", Float),
)
costs = Table(
    "costs",
    metadata,
    *_belongs(),
    Column("device", Text, nullable=False),
    Column("license", Text),
    Column("n_parameters", BigInteger, nullable=False),
    Column("flops", Float),
    Column("latency", Float),
    Column("throughput", Float),
    Column("tuning_bytes", Float),
    Column("tuning_seconds", Float),
)
Index("scores_by_target", scores.c.target_key, scores.c.source)
Index("accuracies_by_target", accuracies.c.target_key, accuracies.c.source)
