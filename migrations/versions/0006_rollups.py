"""Sums by day, line item, tag and latency, made of the records that are there

Revision: 0006
Follows: 0005
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import orjson
import sqlalchemy as sa
from alembic import op

from gateway.core.latency import bucket_of
from gateway.core.line_items import HOLD, LineItem, line_items
from gateway.core.prices import CostLine, Meter

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

WHO = ("team_id", "client_id", "key_id", "endpoint", "model", "service_tier", "certainty")
READ = (
    *("held_at", "kind", "image_input_tokens", "duration_ms"),
    *("cost_lines", "cost_nano", "hold_nano"),
)
NEW = ("image_input_tokens", "duration_ms", "timed")
SUMS = (
    *("requests", "failures", "input_tokens", "cached_input_tokens", "cache_write_tokens"),
    *("audio_input_tokens", "image_input_tokens", "output_tokens", "reasoning_tokens"),
    *("audio_output_tokens", "image_output_tokens", "images", "audio_milliseconds"),
    *("characters", "trained_tokens", "web_search_calls", "duration_ms", "timed"),
    *("cache_saved_nano", "cost_nano"),
)


def upgrade() -> None:
    op.create_table(
        "daily_costs",
        sa.Column("day", sa.DateTime(timezone=True), nullable=False),
        sa.Column("team_id", sa.BigInteger(), nullable=False),
        sa.Column("client_id", sa.BigInteger(), nullable=False),
        sa.Column("key_id", sa.BigInteger(), nullable=False),
        sa.Column("endpoint", sa.String(64), nullable=False),
        sa.Column("model", sa.String(128), nullable=False),
        sa.Column("service_tier", sa.String(32), nullable=False),
        sa.Column("certainty", sa.String(16), nullable=False),
        sa.Column("line_item", sa.String(64), nullable=False),
        sa.Column("quantity", sa.BigInteger(), nullable=False),
        sa.Column("cost_nano", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint(
            "day",
            "team_id",
            "client_id",
            "key_id",
            "endpoint",
            "model",
            "service_tier",
            "certainty",
            "line_item",
            name="pk_daily_costs",
        ),
    )
    op.create_table(
        "daily_tags",
        sa.Column("day", sa.DateTime(timezone=True), nullable=False),
        sa.Column("tag", sa.String(64), nullable=False),
        sa.Column("value", sa.String(128), nullable=False),
        sa.Column("team_id", sa.BigInteger(), nullable=False),
        sa.Column("client_id", sa.BigInteger(), nullable=False),
        sa.Column("key_id", sa.BigInteger(), nullable=False),
        sa.Column("endpoint", sa.String(64), nullable=False),
        sa.Column("model", sa.String(128), nullable=False),
        sa.Column("service_tier", sa.String(32), nullable=False),
        sa.Column("certainty", sa.String(16), nullable=False),
        sa.Column("requests", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("failures", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("input_tokens", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("cached_input_tokens", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("cache_write_tokens", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("audio_input_tokens", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("image_input_tokens", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("output_tokens", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("reasoning_tokens", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("audio_output_tokens", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("image_output_tokens", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("images", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("audio_milliseconds", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("characters", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("trained_tokens", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("web_search_calls", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("duration_ms", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("timed", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("cache_saved_nano", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("cost_nano", sa.BigInteger(), server_default="0", nullable=False),
        sa.PrimaryKeyConstraint(
            "day",
            "tag",
            "value",
            "team_id",
            "client_id",
            "key_id",
            "endpoint",
            "model",
            "service_tier",
            "certainty",
            name="pk_daily_tags",
        ),
    )
    op.create_index("ix_daily_tags_tag_day", "daily_tags", ["tag", "day"])

    op.create_table(
        "daily_usage",
        sa.Column("day", sa.DateTime(timezone=True), nullable=False),
        sa.Column("team_id", sa.BigInteger(), nullable=False),
        sa.Column("client_id", sa.BigInteger(), nullable=False),
        sa.Column("key_id", sa.BigInteger(), nullable=False),
        sa.Column("endpoint", sa.String(64), nullable=False),
        sa.Column("model", sa.String(128), nullable=False),
        sa.Column("service_tier", sa.String(32), nullable=False),
        sa.Column("certainty", sa.String(16), nullable=False),
        sa.Column("requests", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("failures", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("input_tokens", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("cached_input_tokens", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("cache_write_tokens", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("audio_input_tokens", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("image_input_tokens", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("output_tokens", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("reasoning_tokens", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("audio_output_tokens", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("image_output_tokens", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("images", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("audio_milliseconds", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("characters", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("trained_tokens", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("web_search_calls", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("duration_ms", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("timed", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("cache_saved_nano", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("cost_nano", sa.BigInteger(), server_default="0", nullable=False),
        sa.PrimaryKeyConstraint(
            "day",
            "team_id",
            "client_id",
            "key_id",
            "endpoint",
            "model",
            "service_tier",
            "certainty",
            name="pk_daily_usage",
        ),
    )
    op.create_table(
        "daily_latency",
        sa.Column("day", sa.DateTime(timezone=True), nullable=False),
        sa.Column("team_id", sa.BigInteger(), nullable=False),
        sa.Column("client_id", sa.BigInteger(), nullable=False),
        sa.Column("model", sa.String(128), nullable=False),
        sa.Column("bucket", sa.Integer(), nullable=False),
        sa.Column("requests", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint(
            "day", "team_id", "client_id", "model", "bucket", name="pk_daily_latency"
        ),
    )
    op.create_table(
        "hourly_refusals",
        sa.Column("hour", sa.DateTime(timezone=True), nullable=False),
        sa.Column("team_id", sa.BigInteger(), nullable=False),
        sa.Column("client_id", sa.BigInteger(), nullable=False),
        sa.Column("budget_id", sa.BigInteger(), nullable=False),
        sa.Column("code", sa.String(64), nullable=False),
        sa.Column("requests", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint(
            "hour", "team_id", "client_id", "budget_id", "code", name="pk_hourly_refusals"
        ),
    )
    op.add_column(
        "hourly_usage",
        sa.Column("image_input_tokens", sa.BigInteger(), server_default="0", nullable=False),
    )
    op.add_column(
        "hourly_usage",
        sa.Column("duration_ms", sa.BigInteger(), server_default="0", nullable=False),
    )
    op.add_column(
        "hourly_usage", sa.Column("timed", sa.BigInteger(), server_default="0", nullable=False)
    )
    op.add_column(
        "hourly_usage",
        sa.Column("cache_saved_nano", sa.BigInteger(), server_default="0", nullable=False),
    )

    op.add_column(
        "usage_records", sa.Column("tags", sa.Text(), server_default="{}", nullable=False)
    )
    op.add_column(
        "usage_records",
        sa.Column("cache_saved_nano", sa.BigInteger(), server_default="0", nullable=False),
    )
    op.create_index("ix_usage_records_model_held_at", "usage_records", ["model", "held_at"])
    op.create_index("ix_usage_records_team_id_held_at", "usage_records", ["team_id", "held_at"])
    _backfill(op.get_bind())


def _backfill(connection: sa.Connection) -> None:
    """Sum what was recorded before these tables were there, read once in small portions."""
    hours = sa.table("hourly_usage", *(sa.column(name) for name in ("hour", *WHO, *NEW)))
    further: Counter[tuple[Any, ...]] = Counter()
    costs: Counter[tuple[Any, ...]] = Counter()
    latency: Counter[tuple[Any, ...]] = Counter()
    columns = ", ".join((*WHO, *READ))
    query = sa.text(f"SELECT {columns} FROM usage_records").columns(  # noqa: S608 - our own names
        held_at=sa.DateTime(timezone=True)
    )
    for row in connection.execution_options(yield_per=5000).execute(query):
        hour = row.held_at.replace(minute=0, second=0, microsecond=0)
        who = tuple(getattr(row, name) for name in WHO)
        further[hour, who, "image_input_tokens"] += row.image_input_tokens
        if row.duration_ms is not None:
            further[hour, who, "duration_ms"] += row.duration_ms
            further[hour, who, "timed"] += 1
            latency[
                hour.replace(hour=0),
                row.team_id,
                row.client_id,
                row.model,
                bucket_of(row.duration_ms),
            ] += 1
        for certainty, item in _items(row):
            key = (hour.replace(hour=0), *who[:-1], certainty, item.name)
            costs[key, "quantity"] += item.quantity
            costs[key, "cost_nano"] += item.nano
    connection.execution_options(yield_per=None)
    _insert(connection, "daily_costs", ("day", *WHO, "line_item"), costs)
    names = ("day", "team_id", "client_id", "model", "bucket")
    _insert(
        connection, "daily_latency", names, {(key, "requests"): n for key, n in latency.items()}
    )
    for (hour, who, name), count in further.items():
        if count:
            same = [hours.c[column] == value for column, value in zip(WHO, who, strict=True)]
            moment = sa.literal(hour, sa.DateTime(timezone=True))
            connection.execute(
                hours.update().where(hours.c.hour == moment, *same).values({name: count})
            )
    _sum_days(connection)


def _items(row: sa.Row[Any]) -> list[tuple[str, LineItem]]:
    """What a record adds to the costs by line item, with the certainty that it adds it to."""
    lines = [CostLine(Meter(name), *rest) for name, *rest in orjson.loads(row.cost_lines)]
    corrects = row.kind != "request"
    cost = row.cost_nano + (row.hold_nano if corrects else 0)
    found = [(row.certainty, item) for item in line_items(lines, cost, row.certainty)]
    return [*found, ("unknown", LineItem(HOLD, 0, -row.hold_nano))] if corrects else found


def _insert(
    connection: sa.Connection, table: str, names: tuple[str, ...], sums: dict[Any, int]
) -> None:
    """Insert ``sums``, which are by (key, column)."""
    rows: dict[tuple[Any, ...], dict[str, Any]] = {}
    for (key, column), value in sums.items():
        rows.setdefault(key, dict(zip(names, key, strict=True)))[column] = value
    if rows:
        columns = [
            sa.column(name, sa.DateTime(timezone=True) if name in ("day", "hour") else None)
            for name in next(iter(rows.values()))
        ]
        connection.execute(sa.table(table, *columns).insert(), list(rows.values()))


def _sum_days(connection: sa.Connection) -> None:
    if connection.dialect.name == "postgresql":
        day = "date_trunc('day', hour, 'UTC')"
    else:
        day = "strftime('%Y-%m-%d 00:00:00.000000', hour)"
    who = ", ".join(WHO)
    sums = ", ".join(f"SUM({name})" for name in SUMS)
    connection.execute(
        sa.text(
            f"INSERT INTO daily_usage (day, {who}, {', '.join(SUMS)})"  # noqa: S608 - our names
            f" SELECT {day}, {who}, {sums} FROM hourly_usage GROUP BY {day}, {who}"
        )
    )


def downgrade() -> None:
    op.drop_index("ix_usage_records_team_id_held_at", "usage_records")
    op.drop_index("ix_usage_records_model_held_at", "usage_records")
    op.drop_column("usage_records", "cache_saved_nano")
    op.drop_column("usage_records", "tags")
    op.drop_column("hourly_usage", "cache_saved_nano")
    op.drop_column("hourly_usage", "timed")
    op.drop_column("hourly_usage", "duration_ms")
    op.drop_column("hourly_usage", "image_input_tokens")
    op.drop_table("hourly_refusals")
    op.drop_table("daily_latency")
    op.drop_table("daily_usage")
    op.drop_table("daily_tags")
    op.drop_table("daily_costs")
