"""Usage records and their sums count images, audio, characters, training and searches

Revision: 0002
Follows: 0001
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

TABLES = ("usage_records", "hourly_usage")
COLUMNS = (
    "image_output_tokens",
    "images",
    "audio_milliseconds",
    "characters",
    "trained_tokens",
    "web_search_calls",
)


def upgrade() -> None:
    # A constant default fills the rows that are there without rewriting them, and lets a
    # recorder of the version before go on until it is restarted.
    for table in TABLES:
        for column in COLUMNS:
            op.add_column(
                table, sa.Column(column, sa.BigInteger(), nullable=False, server_default="0")
            )


def downgrade() -> None:
    for table in TABLES:
        for column in reversed(COLUMNS):
            op.drop_column(table, column)
