"""What sources cost, and how long training took."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision, down_revision = "2", "1"


def upgrade() -> None:
    op.add_column("accuracies", sa.Column("seconds", sa.Float))
    op.create_table(
        "costs",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("result", sa.Integer, sa.ForeignKey("results.id", ondelete="CASCADE"), nullable=False),
        sa.Column("target", sa.Text, nullable=False),
        sa.Column("target_key", sa.Text, nullable=False),
        sa.Column("modality", sa.String(8)),
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("is_control", sa.Boolean, nullable=False),
        sa.Column("device", sa.Text, nullable=False),
        sa.Column("license", sa.Text),
        sa.Column("n_parameters", sa.BigInteger, nullable=False),
        sa.Column("flops", sa.Float),
        sa.Column("latency", sa.Float),
        sa.Column("throughput", sa.Float),
        sa.Column("tuning_bytes", sa.Float),
        sa.Column("tuning_seconds", sa.Float),
    )
