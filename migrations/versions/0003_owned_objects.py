"""Whose each object at the provider is; who may fine-tune; what a team shares.

Revision ID: 0003
Revises: 0002
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "teams", sa.Column("sharing", sa.String(16), nullable=False, server_default="client")
    )
    op.add_column(
        "clients",
        sa.Column("may_fine_tune", sa.Boolean(), nullable=False, server_default=sa.false()),
    )
    op.create_table(
        "owned_objects",
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column("id", sa.String(128), nullable=False),
        sa.Column("team_id", sa.BigInteger(), nullable=False),
        sa.Column("client_id", sa.BigInteger(), nullable=False),
        sa.Column("key_id", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("model", sa.String(128), nullable=False),
        sa.Column("deleted", sa.Boolean(), nullable=False),
        sa.Column("data", sa.Text(), nullable=True),
        sa.Column("work", sa.Text(), nullable=True),
        sa.Column("work_state", sa.String(16), nullable=True),
        sa.PrimaryKeyConstraint("kind", "id", name="pk_owned_objects"),
    )
    op.create_index(
        "ix_owned_objects_team_id_kind_created_at",
        "owned_objects",
        ["team_id", "kind", "created_at"],
    )
    op.create_index("ix_owned_objects_work_state", "owned_objects", ["work_state"])


def downgrade() -> None:
    op.drop_table("owned_objects")
    op.drop_column("clients", "may_fine_tune")
    op.drop_column("teams", "sharing")
