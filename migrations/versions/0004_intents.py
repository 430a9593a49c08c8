"""Intents: holds written down before their requests are sent; outage allowances of clients."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "intents",
        sa.Column("request_id", sa.String(64), nullable=False),
        sa.Column("hold", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("request_id", name="pk_intents"),
    )
    op.add_column(
        "clients",
        sa.Column("outage_allowance_nano", sa.BigInteger(), nullable=False, server_default="0"),
    )
    if op.get_bind().dialect.name == "postgresql":
        # A few rows that come and go all the time: dead ones are cleared soon, by their number.
        op.execute(
            "ALTER TABLE intents SET (autovacuum_vacuum_scale_factor = 0,"
            " autovacuum_vacuum_threshold = 5000)"
        )


def downgrade() -> None:
    op.drop_column("clients", "outage_allowance_nano")
    op.drop_table("intents")
