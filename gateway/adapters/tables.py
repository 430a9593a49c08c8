"""The SQL schema, on SQLite and PostgreSQL alike. Amounts are nano-dollars in BIGINT columns.

Migrations under ``migrations/`` create it; a test keeps the two equal.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    Text,
    TypeDecorator,
    false,
)
from sqlalchemy.engine import Dialect

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)

SUMS = (
    "requests",
    "failures",
    "input_tokens",
    "cached_input_tokens",
    "cache_write_tokens",
    "audio_input_tokens",
    "image_input_tokens",
    "output_tokens",
    "reasoning_tokens",
    "audio_output_tokens",
    "image_output_tokens",
    "images",
    "audio_milliseconds",
    "characters",
    "trained_tokens",
    "web_search_calls",
    "duration_ms",
    "timed",
    "cache_saved_nano",
    "cost_nano",
)
"""What is summed over usage records: ``timed`` is how many of them have a duration."""

BigId = BigInteger().with_variant(Integer, "sqlite")
"""SQLite numbers rows by itself only for a column declared INTEGER; its integers are 64-bit."""


class Utc(TypeDecorator[datetime]):
    """A moment in UTC. PostgreSQL keeps the zone; SQLite stores the UTC clock time."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> Any:
        """Refuse local times, which mean nothing in a record."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a stored time must carry its zone")
        moment = value.astimezone(UTC)
        return moment.replace(tzinfo=None) if dialect.name == "sqlite" else moment

    def process_result_value(self, value: datetime | None, _dialect: Dialect) -> datetime | None:
        """Every time read back is aware and in UTC."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def _created() -> Column[datetime]:
    return Column("created_at", Utc, nullable=False)


def _further_counts() -> list[Column[int]]:
    """Counts with a default in the database, which rows older than the columns have."""
    return [
        Column(name, BigInteger, nullable=False, server_default="0")
        for name in (
            "image_output_tokens",
            "images",
            "audio_milliseconds",
            "characters",
            "trained_tokens",
            "web_search_calls",
        )
    ]


deployment = Table(
    "deployment",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("value", BigInteger, nullable=False),
)
"""Counters of the deployment itself; ``policy_version`` moves with every policy change."""

organizations = Table(
    "organizations",
    metadata,
    Column("id", BigId, primary_key=True),
    Column("name", String(128), nullable=False, unique=True),
    _created(),
)

teams = Table(
    "teams",
    metadata,
    Column("id", BigId, primary_key=True),
    Column("organization_id", BigId, ForeignKey("organizations.id"), nullable=False),
    Column("name", String(128), nullable=False, unique=True),
    Column("sharing", String(16), nullable=False, default="client", server_default="client"),
    Column("removed_at", Utc),
    _created(),
)

clients = Table(
    "clients",
    metadata,
    Column("id", BigId, primary_key=True),
    Column("team_id", BigId, ForeignKey("teams.id"), nullable=False),
    Column("name", String(128), nullable=False, unique=True),
    Column("allowed_models", Text, nullable=False, default="[]"),
    Column("requests_per_minute", BigInteger, nullable=False, default=0),
    Column("tokens_per_minute", BigInteger, nullable=False, default=0),
    Column("concurrent_requests", BigInteger, nullable=False, default=0),
    Column("default_output_tokens", BigInteger, nullable=False, default=0),
    Column("output_floor_tokens", BigInteger, nullable=False, default=0),
    Column("clamp_output", Boolean, nullable=False, default=False),
    Column("may_fine_tune", Boolean, nullable=False, default=False, server_default=false()),
    Column("outage_allowance_nano", BigInteger, nullable=False, default=0, server_default="0"),
    Column("removed_at", Utc),
    _created(),
    Index(None, "team_id"),
)

keys = Table(
    "keys",
    metadata,
    Column("id", BigId, primary_key=True),
    Column("client_id", BigId, ForeignKey("clients.id"), nullable=False),
    Column("name", String(128), nullable=False, default=""),
    Column("hash", String(64), nullable=False, unique=True),
    Column("prefix", String(16), nullable=False),
    Column("last_four", String(4), nullable=False),
    Column("expires_at", Utc),
    Column("revoked_at", Utc),
    _created(),
    Index(None, "client_id"),
)

budgets = Table(
    "budgets",
    metadata,
    Column("id", BigId, primary_key=True),
    Column("name", String(128), nullable=False, unique=True),
    Column("scope", String(16), nullable=False),
    Column("team_id", BigId, ForeignKey("teams.id")),
    Column("client_id", BigId, ForeignKey("clients.id")),
    Column("limit_nano", BigInteger, nullable=False),
    Column("window", String(8), nullable=False),
    Column("time_zone", String(64), nullable=False, default="UTC"),
    Column("enforcement", String(16), nullable=False, default="strict"),
    Column("model_pattern", String(128)),
    Column("tag", String(193)),
    Column("removed_at", Utc),
    _created(),
    CheckConstraint("limit_nano >= 0", name="limit_not_negative"),
)

prices = Table(
    "prices",
    metadata,
    Column("id", BigId, primary_key=True),
    Column("model", String(128), nullable=False),
    Column("names", Text, nullable=False),
    Column("source", String(64), nullable=False),
    Column("is_override", Boolean, nullable=False, default=False),
    Column("valid_from", Utc, nullable=False),
    Column("tiers", Text, nullable=False),
    Column("digest", String(64), nullable=False),
    Column("context_window", BigInteger),
    Column("output_tokens_max", BigInteger),
    _created(),
    Index(None, "model", "valid_from"),
)
"""Immutable: a row is only ever added. Usage records point at the row that priced them."""

usage_records = Table(
    "usage_records",
    metadata,
    Column("request_id", String(64), nullable=False),
    Column("kind", String(16), nullable=False),
    Column("held_at", Utc, nullable=False),
    Column("recorded_at", Utc, nullable=False),
    Column("team_id", BigInteger, nullable=False),
    Column("client_id", BigInteger, nullable=False),
    Column("key_id", BigInteger, nullable=False),
    Column("endpoint", String(64), nullable=False),
    Column("model", String(128), nullable=False),
    Column("service_tier", String(32), nullable=False),
    Column("streamed", Boolean, nullable=False),
    Column("status", Integer, nullable=False),
    Column("outcome", String(16), nullable=False),
    Column("certainty", String(16), nullable=False),
    Column("input_tokens", BigInteger, nullable=False),
    Column("cached_input_tokens", BigInteger, nullable=False),
    Column("cache_write_tokens", BigInteger, nullable=False),
    Column("audio_input_tokens", BigInteger, nullable=False),
    Column("image_input_tokens", BigInteger, nullable=False),
    Column("output_tokens", BigInteger, nullable=False),
    Column("reasoning_tokens", BigInteger, nullable=False),
    Column("audio_output_tokens", BigInteger, nullable=False),
    *_further_counts(),
    Column("cost_nano", BigInteger, nullable=False),
    Column("hold_nano", BigInteger, nullable=False),
    Column("price_id", BigInteger),
    Column("cost_lines", Text, nullable=False),
    Column("budget_windows", Text, nullable=False),
    Column("upstream_id", String(256)),
    Column("duration_ms", BigInteger),
    Column("reason", String(32)),
    Column("tags", Text, nullable=False, server_default="{}"),
    Column("cache_saved_nano", BigInteger, nullable=False, server_default="0"),
    PrimaryKeyConstraint("request_id", "kind", "held_at"),
    Index("ix_usage_records_held_at", "held_at"),
    Index("ix_usage_records_client_id_held_at", "client_id", "held_at"),
    Index("ix_usage_records_team_id_held_at", "team_id", "held_at"),
    Index("ix_usage_records_model_held_at", "model", "held_at"),
    postgresql_partition_by="RANGE (held_at)",
)
"""One immutable row per request, and one per correction. ``held_at`` is fixed by the hold, so
(request, kind) is unique although PostgreSQL wants the partition key in the primary key."""

hourly_usage = Table(
    "hourly_usage",
    metadata,
    Column("hour", Utc, nullable=False),
    Column("team_id", BigInteger, nullable=False),
    Column("client_id", BigInteger, nullable=False),
    Column("key_id", BigInteger, nullable=False),
    Column("endpoint", String(64), nullable=False),
    Column("model", String(128), nullable=False),
    Column("service_tier", String(32), nullable=False),
    Column("certainty", String(16), nullable=False),
    Column("requests", BigInteger, nullable=False),
    Column("failures", BigInteger, nullable=False),
    Column("input_tokens", BigInteger, nullable=False),
    Column("cached_input_tokens", BigInteger, nullable=False),
    Column("cache_write_tokens", BigInteger, nullable=False),
    Column("audio_input_tokens", BigInteger, nullable=False),
    Column("output_tokens", BigInteger, nullable=False),
    Column("reasoning_tokens", BigInteger, nullable=False),
    Column("audio_output_tokens", BigInteger, nullable=False),
    *_further_counts(),
    *(
        Column(name, BigInteger, nullable=False, server_default="0")
        for name in ("image_input_tokens", "duration_ms", "timed", "cache_saved_nano")
    ),
    Column("cost_nano", BigInteger, nullable=False),
    PrimaryKeyConstraint(
        "hour", "team_id", "client_id", "key_id", "endpoint", "model", "service_tier", "certainty"
    ),
)
"""Sums of usage records by hour, written in the transaction that inserts the records."""

budget_windows = Table(
    "budget_windows",
    metadata,
    Column("budget_id", BigInteger, nullable=False),
    Column("window_start", Utc, nullable=False),
    Column("spent_nano", BigInteger, nullable=False),
    Column("records", BigInteger, nullable=False),
    PrimaryKeyConstraint("budget_id", "window_start"),
)
"""What each budget window has been charged in recorded usage; equals Redis once drained."""

owned_objects = Table(
    "owned_objects",
    metadata,
    Column("kind", String(32), nullable=False),
    Column("id", String(128), nullable=False),
    Column("team_id", BigInteger, nullable=False),
    Column("client_id", BigInteger, nullable=False),
    Column("key_id", BigInteger, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("model", String(128), nullable=False),
    Column("deleted", Boolean, nullable=False),
    Column("data", Text),
    Column("work", Text),
    Column("work_state", String(16)),
    PrimaryKeyConstraint("kind", "id"),
    Index("ix_owned_objects_team_id_kind_created_at", "team_id", "kind", "created_at"),
    Index("ix_owned_objects_work_state", "work_state"),
)
"""Whose each object at the provider is: see ``gateway.core.objects``."""

intents = Table(
    "intents",
    metadata,
    Column("request_id", String(64), nullable=False),
    Column("hold", Text, nullable=False),
    PrimaryKeyConstraint("request_id"),
)
"""Holds of requests that may have been sent, until they have a record: see ``intents``."""
