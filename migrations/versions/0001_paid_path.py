"""The paid path: policy, prices, usage records and their sums

Revision: 0001
Follows:
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from gateway.adapters.tables import Utc

BigId = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "budget_windows",
        sa.Column("budget_id", sa.BigInteger(), nullable=False),
        sa.Column("window_start", Utc(), nullable=False),
        sa.Column("spent_nano", sa.BigInteger(), nullable=False),
        sa.Column("records", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("budget_id", "window_start", name="pk_budget_windows"),
    )
    op.create_table(
        "deployment",
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("value", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_deployment"),
    )
    op.create_table(
        "hourly_usage",
        sa.Column("hour", Utc(), nullable=False),
        sa.Column("team_id", sa.BigInteger(), nullable=False),
        sa.Column("client_id", sa.BigInteger(), nullable=False),
        sa.Column("key_id", sa.BigInteger(), nullable=False),
        sa.Column("endpoint", sa.String(length=64), nullable=False),
        sa.Column("model", sa.String(length=128), nullable=False),
        sa.Column("service_tier", sa.String(length=32), nullable=False),
        sa.Column("certainty", sa.String(length=16), nullable=False),
        sa.Column("requests", sa.BigInteger(), nullable=False),
        sa.Column("failures", sa.BigInteger(), nullable=False),
        sa.Column("input_tokens", sa.BigInteger(), nullable=False),
        sa.Column("cached_input_tokens", sa.BigInteger(), nullable=False),
        sa.Column("cache_write_tokens", sa.BigInteger(), nullable=False),
        sa.Column("audio_input_tokens", sa.BigInteger(), nullable=False),
        sa.Column("output_tokens", sa.BigInteger(), nullable=False),
        sa.Column("reasoning_tokens", sa.BigInteger(), nullable=False),
        sa.Column("audio_output_tokens", sa.BigInteger(), nullable=False),
        sa.Column("cost_nano", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint(
            "hour",
            "team_id",
            "client_id",
            "key_id",
            "endpoint",
            "model",
            "service_tier",
            "certainty",
            name="pk_hourly_usage",
        ),
    )
    op.create_table(
        "organizations",
        sa.Column("id", BigId, nullable=False),
        sa.Column("name", sa.String(length=128), nullable=False),
        sa.Column("created_at", Utc(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_organizations"),
        sa.UniqueConstraint("name", name="uq_organizations_name"),
    )
    op.create_table(
        "prices",
        sa.Column("id", BigId, nullable=False),
        sa.Column("model", sa.String(length=128), nullable=False),
        sa.Column("names", sa.Text(), nullable=False),
        sa.Column("source", sa.String(length=64), nullable=False),
        sa.Column("is_override", sa.Boolean(), nullable=False),
        sa.Column("valid_from", Utc(), nullable=False),
        sa.Column("tiers", sa.Text(), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("context_window", sa.BigInteger(), nullable=True),
        sa.Column("output_tokens_max", sa.BigInteger(), nullable=True),
        sa.Column("created_at", Utc(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_prices"),
    )
    op.create_index("ix_prices_model_valid_from", "prices", ["model", "valid_from"], unique=False)
    op.create_table(
        "usage_records",
        sa.Column("request_id", sa.String(length=64), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("held_at", Utc(), nullable=False),
        sa.Column("recorded_at", Utc(), nullable=False),
        sa.Column("team_id", sa.BigInteger(), nullable=False),
        sa.Column("client_id", sa.BigInteger(), nullable=False),
        sa.Column("key_id", sa.BigInteger(), nullable=False),
        sa.Column("endpoint", sa.String(length=64), nullable=False),
        sa.Column("model", sa.String(length=128), nullable=False),
        sa.Column("service_tier", sa.String(length=32), nullable=False),
        sa.Column("streamed", sa.Boolean(), nullable=False),
        sa.Column("status", sa.Integer(), nullable=False),
        sa.Column("outcome", sa.String(length=16), nullable=False),
        sa.Column("certainty", sa.String(length=16), nullable=False),
        sa.Column("input_tokens", sa.BigInteger(), nullable=False),
        sa.Column("cached_input_tokens", sa.BigInteger(), nullable=False),
        sa.Column("cache_write_tokens", sa.BigInteger(), nullable=False),
        sa.Column("audio_input_tokens", sa.BigInteger(), nullable=False),
        sa.Column("image_input_tokens", sa.BigInteger(), nullable=False),
        sa.Column("output_tokens", sa.BigInteger(), nullable=False),
        sa.Column("reasoning_tokens", sa.BigInteger(), nullable=False),
        sa.Column("audio_output_tokens", sa.BigInteger(), nullable=False),
        sa.Column("cost_nano", sa.BigInteger(), nullable=False),
        sa.Column("hold_nano", sa.BigInteger(), nullable=False),
        sa.Column("price_id", sa.BigInteger(), nullable=True),
        sa.Column("cost_lines", sa.Text(), nullable=False),
        sa.Column("budget_windows", sa.Text(), nullable=False),
        sa.Column("upstream_id", sa.String(length=256), nullable=True),
        sa.Column("duration_ms", sa.BigInteger(), nullable=True),
        sa.Column("reason", sa.String(length=32), nullable=True),
        sa.PrimaryKeyConstraint("request_id", "kind", "held_at", name="pk_usage_records"),
        postgresql_partition_by="RANGE (held_at)",
    )
    op.create_index(
        "ix_usage_records_client_id_held_at",
        "usage_records",
        ["client_id", "held_at"],
        unique=False,
    )
    op.create_index("ix_usage_records_held_at", "usage_records", ["held_at"], unique=False)

    op.create_table(
        "teams",
        sa.Column("id", BigId, nullable=False),
        sa.Column("organization_id", BigId, nullable=False),
        sa.Column("name", sa.String(length=128), nullable=False),
        sa.Column("created_at", Utc(), nullable=False),
        sa.ForeignKeyConstraint(
            ["organization_id"], ["organizations.id"], name="fk_teams_organization_id"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_teams"),
        sa.UniqueConstraint("name", name="uq_teams_name"),
    )
    op.create_table(
        "clients",
        sa.Column("id", BigId, nullable=False),
        sa.Column("team_id", BigId, nullable=False),
        sa.Column("name", sa.String(length=128), nullable=False),
        sa.Column("allowed_models", sa.Text(), nullable=False),
        sa.Column("requests_per_minute", sa.BigInteger(), nullable=False),
        sa.Column("tokens_per_minute", sa.BigInteger(), nullable=False),
        sa.Column("concurrent_requests", sa.BigInteger(), nullable=False),
        sa.Column("default_output_tokens", sa.BigInteger(), nullable=False),
        sa.Column("output_floor_tokens", sa.BigInteger(), nullable=False),
        sa.Column("clamp_output", sa.Boolean(), nullable=False),
        sa.Column("created_at", Utc(), nullable=False),
        sa.ForeignKeyConstraint(["team_id"], ["teams.id"], name="fk_clients_team_id"),
        sa.PrimaryKeyConstraint("id", name="pk_clients"),
        sa.UniqueConstraint("name", name="uq_clients_name"),
    )
    op.create_index("ix_clients_team_id", "clients", ["team_id"], unique=False)

    op.create_table(
        "budgets",
        sa.Column("id", BigId, nullable=False),
        sa.Column("name", sa.String(length=128), nullable=False),
        sa.Column("scope", sa.String(length=16), nullable=False),
        sa.Column("team_id", BigId, nullable=True),
        sa.Column("client_id", BigId, nullable=True),
        sa.Column("limit_nano", sa.BigInteger(), nullable=False),
        sa.Column("window", sa.String(length=8), nullable=False),
        sa.Column("time_zone", sa.String(length=64), nullable=False),
        sa.Column("enforcement", sa.String(length=16), nullable=False),
        sa.Column("model_pattern", sa.String(length=128), nullable=True),
        sa.Column("removed_at", Utc(), nullable=True),
        sa.Column("created_at", Utc(), nullable=False),
        sa.CheckConstraint("limit_nano >= 0", name="ck_budgets_limit_not_negative"),
        sa.ForeignKeyConstraint(["client_id"], ["clients.id"], name="fk_budgets_client_id"),
        sa.ForeignKeyConstraint(["team_id"], ["teams.id"], name="fk_budgets_team_id"),
        sa.PrimaryKeyConstraint("id", name="pk_budgets"),
        sa.UniqueConstraint("name", name="uq_budgets_name"),
    )
    op.create_table(
        "keys",
        sa.Column("id", BigId, nullable=False),
        sa.Column("client_id", BigId, nullable=False),
        sa.Column("name", sa.String(length=128), nullable=False),
        sa.Column("hash", sa.String(length=64), nullable=False),
        sa.Column("prefix", sa.String(length=16), nullable=False),
        sa.Column("last_four", sa.String(length=4), nullable=False),
        sa.Column("expires_at", Utc(), nullable=True),
        sa.Column("revoked_at", Utc(), nullable=True),
        sa.Column("created_at", Utc(), nullable=False),
        sa.ForeignKeyConstraint(["client_id"], ["clients.id"], name="fk_keys_client_id"),
        sa.PrimaryKeyConstraint("id", name="pk_keys"),
        sa.UniqueConstraint("hash", name="uq_keys_hash"),
    )
    op.create_index("ix_keys_client_id", "keys", ["client_id"], unique=False)


def downgrade() -> None:
    op.drop_index("ix_keys_client_id", "keys")

    op.drop_table("keys")
    op.drop_table("budgets")
    op.drop_index("ix_clients_team_id", "clients")

    op.drop_table("clients")
    op.drop_table("teams")
    op.drop_index("ix_usage_records_held_at", "usage_records")
    op.drop_index("ix_usage_records_client_id_held_at", "usage_records")

    op.drop_table("usage_records")
    op.drop_table("prices")
    op.drop_table("organizations")
    op.drop_table("hourly_usage")
    op.drop_table("deployment")
    op.drop_table("budget_windows")
