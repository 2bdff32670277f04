"""What an accuracy is: of several labels a sample, and of numbers, it is none."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision, down_revision = "3", "2"


def upgrade() -> None:
    op.add_column("accuracies", sa.Column("metric", sa.String(16)))
