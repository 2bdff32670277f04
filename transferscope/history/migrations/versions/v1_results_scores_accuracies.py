"""Results, scores and accuracies."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision, down_revision = "1", None


def _belongs() -> list[sa.Column[object]]:
    return [
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("result", sa.Integer, sa.ForeignKey("results.id", ondelete="CASCADE"), nullable=False),
        sa.Column("target", sa.Text, nullable=False),
        sa.Column("target_key", sa.Text, nullable=False),
        sa.Column("modality", sa.String(8)),
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("is_control", sa.Boolean, nullable=False),
    ]


def upgrade() -> None:
    op.create_table(
        "results",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("digest", sa.String(64), nullable=False, unique=True),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("origin", sa.Text, nullable=False),
        sa.Column("created", sa.String(40), nullable=False),
        sa.Column("seed", sa.Integer),
        sa.Column("device", sa.Text),
        sa.Column("versions", sa.JSON),
    )
    op.create_table(
        "scores",
        *_belongs(),
        sa.Column("layer", sa.Text),
        sa.Column("pooling", sa.Text),
        sa.Column("choices", sa.Text),
        sa.Column("scorer", sa.Text, nullable=False),
        sa.Column("value", sa.Float, nullable=False),
        sa.Column("standard_error", sa.Float),
        sa.Column("higher_is_better", sa.Boolean, nullable=False),
        sa.Column("saturated", sa.Boolean, nullable=False),
        sa.Column("n_samples", sa.Integer),
        sa.Column("n_features", sa.Integer),
    )
    op.create_table(
        "accuracies",
        *_belongs(),
        sa.Column("layer", sa.Text),
        sa.Column("strategy", sa.Text, nullable=False),
        sa.Column("accuracy", sa.Float, nullable=False),
        sa.Column("spread", sa.Float),
        sa.Column("standard_error", sa.Float),
        sa.Column("n_test", sa.Integer),
    )
    op.create_index("scores_by_target", "scores", ["target_key", "source"])
    op.create_index("accuracies_by_target", "accuracies", ["target_key", "source"])
