"""Sums of usage records, which reports read in place of the records: their cost stays flat.

All are written in the transaction that inserts the records (``usage_rows.record``), and the audit
computes them again. ``certainty`` is that of the records, or ``adjusted`` for what was posted later
(``control_tables.adjustments``). Days are days in UTC.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, Integer, PrimaryKeyConstraint, String, Table

from gateway.adapters.tables import SUMS, Utc, metadata

WHO_AND_WHAT = ("team_id", "client_id", "key_id", "endpoint", "model", "service_tier", "certainty")
"""What every sum is kept apart by, besides its time."""


def _who_and_what() -> list[Column[int] | Column[str]]:
    return [
        Column("team_id", BigInteger, nullable=False),
        Column("client_id", BigInteger, nullable=False),
        Column("key_id", BigInteger, nullable=False),
        Column("endpoint", String(64), nullable=False),
        Column("model", String(128), nullable=False),
        Column("service_tier", String(32), nullable=False),
        Column("certainty", String(16), nullable=False),
    ]


def _sums() -> list[Column[int]]:
    return [Column(name, BigInteger, nullable=False, server_default="0") for name in SUMS]


daily_usage = Table(
    "daily_usage",
    metadata,
    Column("day", Utc, nullable=False),
    *_who_and_what(),
    *_sums(),
    PrimaryKeyConstraint("day", *WHO_AND_WHAT),
)
"""``hourly_usage`` by day: long ranges read these."""

daily_costs = Table(
    "daily_costs",
    metadata,
    Column("day", Utc, nullable=False),
    *_who_and_what(),
    Column("line_item", String(64), nullable=False),
    Column("quantity", BigInteger, nullable=False),
    Column("cost_nano", BigInteger, nullable=False),
    PrimaryKeyConstraint("day", *WHO_AND_WHAT, "line_item"),
)
"""What each meter cost: the costs of a record's lines sum to its cost (``core.line_items``)."""

daily_tags = Table(
    "daily_tags",
    metadata,
    Column("day", Utc, nullable=False),
    Column("tag", String(64), nullable=False),
    Column("value", String(128), nullable=False),
    *_who_and_what(),
    *_sums(),
    PrimaryKeyConstraint("day", "tag", "value", *WHO_AND_WHAT),
    Index("ix_daily_tags_tag_day", "tag", "day"),
)
"""``daily_usage`` of the records that carry a tag. A record with two tags is in two rows; what has
no value for a tag is the difference to ``daily_usage``."""

daily_latency = Table(
    "daily_latency",
    metadata,
    Column("day", Utc, nullable=False),
    Column("team_id", BigInteger, nullable=False),
    Column("client_id", BigInteger, nullable=False),
    Column("model", String(128), nullable=False),
    Column("bucket", Integer, nullable=False),
    Column("requests", BigInteger, nullable=False),
    PrimaryKeyConstraint("day", "team_id", "client_id", "model", "bucket"),
)
"""How long requests took, in the buckets of ``core.latency``."""

hourly_refusals = Table(
    "hourly_refusals",
    metadata,
    Column("hour", Utc, nullable=False),
    Column("team_id", BigInteger, nullable=False),
    Column("client_id", BigInteger, nullable=False),
    Column("budget_id", BigInteger, nullable=False),
    Column("code", String(64), nullable=False),
    Column("requests", BigInteger, nullable=False),
    PrimaryKeyConstraint("hour", "team_id", "client_id", "budget_id", "code"),
)
"""Requests that were refused before anything was sent; ``budget_id`` is 0 where no budget refused.
Written by the gateway processes every few seconds; a process that dies loses its last ones."""
