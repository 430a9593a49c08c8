"""Whether reports stay flat: their queries at a hundred thousand and at ten million records."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from time import perf_counter

from sqlalchemy import Engine

from bench.history import LAST, make_history, newest_request
from bench.report import Table, quantile, ratio
from bench.stage import folder, postgres
from gateway.adapters import reports
from gateway.adapters.database import open_engine
from gateway.adapters.migrations import upgrade
from gateway.adapters.request_rows import Filters, page
from gateway.core.reports import Selection

SIZES = (100_000, 1_000_000, 10_000_000)
ROUNDS = 60

MONTH = Selection(LAST - timedelta(days=30), LAST)
BEFORE = Selection(LAST - timedelta(days=60), LAST - timedelta(days=30))
QUARTER = Selection(LAST - timedelta(days=90), LAST)
NOW = Selection(LAST - timedelta(hours=31), LAST - timedelta(hours=3))
ONE_TEAM = Selection(MONTH.since, MONTH.until, team_ids=(3,))
ONE_CLIENT = Selection(MONTH.since, MONTH.until, client_ids=(7,))
TAGGED = Selection(MONTH.since, MONTH.until, tag=("project", "p2"))

EXPLORED = Filters(since=QUARTER.since, until=QUARTER.until)

Query = Callable[[Engine], object]

QUERIES: dict[str, Query] = {
    "totals of 30 days": lambda e: reports.totals(e, MONTH),
    "totals of the 30 days before": lambda e: reports.totals(e, BEFORE),
    "totals of 28 hours": lambda e: reports.totals(e, NOW),
    "30 days by team": lambda e: reports.grouped(e, MONTH, "team"),
    "30 days by client": lambda e: reports.grouped(e, MONTH, "client"),
    "30 days by model": lambda e: reports.grouped(e, MONTH, "model"),
    "30 days by key": lambda e: reports.grouped(e, MONTH, "key"),
    "30 days by endpoint": lambda e: reports.grouped(e, MONTH, "endpoint"),
    "30 days by certainty": lambda e: reports.grouped(e, MONTH, "certainty"),
    "30 days by tag": lambda e: reports.grouped(e, MONTH, "tag:project"),
    "90 days, each by team": lambda e: reports.series(e, QUARTER, "day", "team"),
    "28 hours, each by model": lambda e: reports.series(e, NOW, "hour", "model"),
    "a team's 30 days by client": lambda e: reports.grouped(e, ONE_TEAM, "client"),
    "a client's days by model": lambda e: reports.series(e, ONE_CLIENT, "day", "model"),
    "a tag's 30 days": lambda e: reports.totals(e, TAGGED),
    "line items of 30 days": lambda e: reports.items(e, MONTH, "model"),
    "latency of 30 days": lambda e: reports.latency(e, MONTH),
    "refusals of 30 days": lambda e: reports.refusals(e, MONTH),
    "newest requests": lambda e: page(e, EXPLORED),
    "a client's requests": lambda e: page(e, replace(EXPLORED, client_id=7)),
    "a model's requests": lambda e: page(e, replace(EXPLORED, model="gpt-3")),
    "a team's failed requests": lambda e: page(e, replace(EXPLORED, team_id=3, status="5xx")),
    "requests with a tag": lambda e: page(e, replace(EXPLORED, tag=("project", "p2"))),
    "requests that nobody made": lambda e: page(e, replace(EXPLORED, tag=("project", "none"))),
    "requests of a month ago": lambda e: page(e, replace(EXPLORED, until=MONTH.since)),
}


def measure(scale: float) -> list[Table]:
    """The same queries on databases of three sizes, in turn, on PostgreSQL and on SQLite."""
    sizes = [max(int(size * scale), 1000) for size in SIZES]
    with folder() as place:
        urls = [f"sqlite:///{place / f'{size}.db'}" for size in sizes]
        tables = [_table("SQLite", sizes, urls)]
    with postgres() as first, postgres() as second, postgres() as third:
        tables.append(_table("PostgreSQL", sizes, [first, second, third]))
    return tables


def _table(database: str, sizes: list[int], urls: list[str]) -> Table:
    engines = []
    for size, url in zip(sizes, urls, strict=True):
        engine = open_engine(url)
        upgrade(engine)
        make_history(engine, size)
        engines.append(engine)
    request = [newest_request(engine) for engine in engines]
    assert all(request)
    rows = []
    for name, query in QUERIES.items():
        p95 = _p95(query, engines)
        rows.append((name, "1.00", *(ratio(value, p95[0]) for value in p95[1:])))
    for engine in engines:
        engine.dispose()
    return Table(
        f"Reports on {database}: 95th percentile, as a multiple of that at {sizes[0]:,} records",
        ("Query", *(f"{size:,}" for size in sizes)),
        rows,
        (f"{ROUNDS} rounds; the databases take turns in each of them.",),
    )


def _p95(query: Query, engines: list[Engine]) -> list[float]:
    """The 95th percentile of the time that ``query`` takes on each of ``engines``."""
    took: list[list[float]] = [[] for _ in engines]
    for turn in range(ROUNDS + 3):
        for engine, times in zip(engines, took, strict=True):
            begun = perf_counter()
            query(engine)
            if turn >= 3:  # The first of them warm caches up.
                times.append(perf_counter() - begun)
    return [quantile(times, 0.95) for times in took]
