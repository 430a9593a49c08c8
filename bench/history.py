"""Databases with long histories, made by the database itself: ten million records in minutes.

What a company of forty clients would have recorded in ninety days, with more or fewer requests per
day. Every rollup is computed from the records, as the recorder would have kept it.
"""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Engine, insert, select, text

from gateway.adapters.rollup_tables import WHO_AND_WHAT, daily_latency
from gateway.adapters.tables import SUMS, clients, keys, organizations, teams
from gateway.adapters.usage_rows import ensure_partitions
from gateway.adapters.usage_sums import upsert
from gateway.core.latency import bucket_of

TEAMS, CLIENTS = 10, 40
DAYS = 90
FIRST = datetime(2026, 3, 1, tzinfo=UTC)
LAST = FIRST + timedelta(days=DAYS)

_WHO = ", ".join(WHO_AND_WHAT)

_RECORDS = """
INSERT INTO usage_records (request_id, kind, held_at, recorded_at, team_id, client_id, key_id,
  endpoint, model, service_tier, streamed, status, outcome, certainty, input_tokens,
  cached_input_tokens, cache_write_tokens, audio_input_tokens, image_input_tokens, output_tokens,
  reasoning_tokens, audio_output_tokens, cost_nano, hold_nano, price_id, cost_lines,
  budget_windows, upstream_id, duration_ms, tags)
WITH {numbers}, drawn AS (
  SELECT i, {moment} AS at, (i * 7919) % {clients} + 1 AS client, (i * 31) % 24 AS slow,
    100 + (i * 613) % 1900 AS input, 20 + (i * 211) % 480 AS output, (i * 104729) % 2 AS other
  FROM n)
SELECT 'frq_' || {name}, 'request', at, at, (client - 1) % {teams} + 1, client, client,
  CASE WHEN client % 4 = 0 THEN 'responses' ELSE 'chat/completions' END,
  'gpt-' || ((client + other) % 8), 'default', {false},
  CASE WHEN i % 97 = 0 THEN 500 ELSE 200 END, 'settled',
  CASE WHEN i % 89 = 0 THEN 'estimated' ELSE 'exact' END, input, 0, 0, 0, 0, output, 0, 0,
  500 * input + 1500 * output, 500 * input + 1500 * 500, 1,
  '[["input",' || input || ',500000000,1000000],["output",' || output || ',1500000000,1000000]]',
  '', 'req_' || i, 100 * (slow + 1), '{{"project":"p' || (client % 5) || '"}}'
FROM drawn
"""

_HOURLY = """
INSERT INTO hourly_usage (hour, {who}, requests, failures, input_tokens, cached_input_tokens,
  cache_write_tokens, audio_input_tokens, output_tokens, reasoning_tokens, audio_output_tokens,
  duration_ms, timed, cost_nano)
SELECT {hour}, {who}, count(*), sum(CASE WHEN status >= 400 THEN 1 ELSE 0 END), sum(input_tokens),
  0, 0, 0, sum(output_tokens), 0, 0, sum(duration_ms), count(*), sum(cost_nano)
FROM usage_records GROUP BY {hour}, {who}
"""

_DAILY = """
INSERT INTO daily_usage (day, {who}, {sums})
SELECT {day}, {who}, {added} FROM hourly_usage GROUP BY {day}, {who}
"""

_COSTS = """
INSERT INTO daily_costs (day, {who}, line_item, quantity, cost_nano)
SELECT day, {who}, 'input', input_tokens, 500 * input_tokens FROM daily_usage
UNION ALL SELECT day, {who}, 'output', output_tokens, 1500 * output_tokens FROM daily_usage
"""

_TAGS = """
INSERT INTO daily_tags (day, tag, value, {who}, {sums})
SELECT day, 'project', 'p' || (client_id % 5), {who}, {sums} FROM daily_usage
"""


def make_history(engine: Engine, records: int) -> None:
    """Fill the empty database of ``engine`` with ``records`` records and their sums."""
    postgresql = engine.dialect.name == "postgresql"
    if postgresql:
        ensure_partitions(engine, [FIRST + timedelta(days=day) for day in range(DAYS + 1)])
    with engine.begin() as connection:
        if postgresql:
            connection.exec_driver_sql("SET LOCAL statement_timeout = 0")
        _tenants(connection)
        words = _words(postgresql, records)
        for statement in (_RECORDS, _HOURLY, _DAILY, _COSTS, _TAGS):
            connection.exec_driver_sql(
                statement.format(**words).replace("%", "%%" if postgresql else "%")
            )
        _latency(connection, words["day_of_record"])
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("VACUUM ANALYZE" if postgresql else "ANALYZE")


def _words(postgresql: bool, records: int) -> dict[str, Any]:
    """What the statements above say differently in the two databases."""
    start, step = int(FIRST.timestamp()), DAYS * 86400 / records
    common = {
        "who": _WHO,
        "sums": ", ".join(SUMS),
        "added": ", ".join(f"sum({name})" for name in SUMS),
        "clients": CLIENTS,
        "teams": TEAMS,
    }
    if postgresql:
        return common | {
            "numbers": f"n AS (SELECT i FROM generate_series(0::bigint, {records - 1}) AS i)",
            "moment": f"to_timestamp({start} + i * {step!r}::float8)",
            "name": "lpad(to_hex(i), 24, '0')",
            "false": "false",
            "hour": "date_trunc('hour', held_at, 'UTC')",
            "day": "date_trunc('day', hour, 'UTC')",
            "day_of_record": "date_trunc('day', held_at, 'UTC')",
        }
    return common | {
        "numbers": (
            f"RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < {records})"
        ),
        "moment": f"strftime('%Y-%m-%d %H:%M:%f000', {start} + i * {step!r}, 'unixepoch')",
        "name": "printf('%024x', i)",
        "false": "0",
        "hour": "substr(held_at, 1, 13) || ':00:00.000000'",
        "day": "substr(hour, 1, 10) || ' 00:00:00.000000'",
        "day_of_record": "substr(held_at, 1, 10) || ' 00:00:00.000000'",
    }


def _tenants(connection: Connection) -> None:
    connection.execute(insert(organizations).values(name="acme", created_at=FIRST))
    for team in range(1, TEAMS + 1):
        connection.execute(
            insert(teams).values(name=f"team-{team}", organization_id=1, created_at=FIRST)
        )
    for client in range(1, CLIENTS + 1):
        team = (client - 1) % TEAMS + 1
        connection.execute(
            insert(clients).values(name=f"client-{client}", team_id=team, created_at=FIRST)
        )
        connection.execute(
            insert(keys).values(
                client_id=client,
                hash=f"{client:064}",
                prefix="fg-test",
                last_four=f"{client:04}",
                created_at=FIRST,
            )
        )


def _latency(connection: Connection, day: str) -> None:
    counted = text(
        f"SELECT {day} AS day, team_id, client_id, model, duration_ms, count(*)"
        f" FROM usage_records GROUP BY {day}, team_id, client_id, model, duration_ms"
    ).columns(daily_latency.c.day)
    cells: Counter[tuple[Any, ...]] = Counter()
    for at, team, client, model, duration, requests in connection.execute(counted):
        cells[at, team, client, model, bucket_of(duration)] += requests
    sums = {key: {"requests": count} for key, count in cells.items()}
    upsert(
        connection,
        daily_latency,
        ("day", "team_id", "client_id", "model", "bucket"),
        ("requests",),
        sums,
    )


def newest_request(engine: Engine) -> str:
    """The id of some recorded request."""
    with engine.connect() as connection:
        return str(connection.execute(select(text("max(request_id) FROM usage_records"))).scalar())
