"""What it costs to write every request down in SQL before it is sent (``FAREGATE_INTENTS``)."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import psutil

from bench.report import BenchFailed, Table, ratio
from bench.stage import (
    Load,
    Served,
    Stores,
    folder,
    gateway,
    postgres,
    question,
    recorder,
    run_load,
    simulator,
    stores,
)

ROUNDS = 5
LOADS = {1: 200, 32: 800}
"""Requests of a round, by connections: alone a request waits for a commit of its own."""
OUTPUT_TOKENS = 60
WHERE = ("redis", "sql")
_DRAIN_SECONDS = 120.0


@dataclass(frozen=True)
class _Round:
    """Of one round: CPU in seconds per request, requests per second, median latency in seconds."""

    gateway_cpu: float
    recorder_cpu: float
    per_second: float
    latency: float


def measure(scale: float) -> list[Table]:
    """The same requests to two gateways on the same stores, in turn: on SQLite, on PostgreSQL."""
    rows = []
    with folder() as place, simulator(place) as provider, stores(place) as used:
        rows += _rows("SQLite", place, provider, used, scale)
    with (
        folder() as place,
        simulator(place) as provider,
        postgres() as url,
        stores(place, url) as used,
    ):
        rows += _rows("PostgreSQL", place, provider, used, scale)
    note = (
        f"One worker each, {ROUNDS} rounds of {' or '.join(map(str, LOADS.values()))} requests in"
        " turn, medians; every commit synced. A recorder runs beside them: its CPU includes"
        " deleting the intents of what it records. The CPU of the PostgreSQL server is not"
        " included."
    )
    headings = (
        "intents in SQL, connections",
        "CPU, in Redis = 1",
        "recorder's CPU, in Redis = 1",
        "requests/s, in Redis = 1",
        "latency, in Redis = 1",
        "µs per request",
        "requests/s",
        "median latency, ms",
    )
    return [Table("intents: in SQL against in Redis alone", headings, rows, [note])]


def _rows(
    name: str, place: Path, provider: Served, used: Stores, scale: float
) -> list[tuple[str, ...]]:
    with (
        gateway(place, provider, used, intents="redis") as redis,
        gateway(place, provider, used, intents="sql") as sql,
        recorder(place, provider, used) as recording,
    ):
        process = psutil.Process(recording.pid)
        return [
            _row(
                f"{name}, {connections}",
                _rounds(
                    place,
                    {"redis": redis, "sql": sql},
                    used,
                    process,
                    Load(question(OUTPUT_TOKENS), connections, max(int(requests * scale), 10)),
                ),
            )
            for connections, requests in LOADS.items()
        ]


def _row(name: str, found: Mapping[str, list[_Round]]) -> tuple[str, ...]:
    def middle(field: str, where: str = "sql") -> float:
        return float(median(getattr(one, field) for one in found[where]))

    ratios = (
        ratio(middle(field), middle(field, "redis"))
        for field in ("gateway_cpu", "recorder_cpu", "per_second", "latency")
    )
    return (
        name,
        *ratios,
        f"{middle('gateway_cpu') * 1e6:.0f}",
        f"{middle('per_second'):.0f}",
        f"{middle('latency') * 1e3:.1f}",
    )


def _rounds(
    place: Path,
    gateways: Mapping[str, Served],
    used: Stores,
    recording: psutil.Process,
    load: Load,
) -> dict[str, list[_Round]]:
    for where in WHERE:
        run_load(place, gateways[where], load).required()
    found: dict[str, list[_Round]] = {where: [] for where in WHERE}
    for _ in range(ROUNDS):
        for where in WHERE:
            _drained(used)
            before = gateways[where].cpu_seconds(), _cpu_seconds(recording)
            outcome = run_load(place, gateways[where], load).required()
            ended = gateways[where].cpu_seconds()
            _drained(used)
            found[where].append(
                _Round(
                    (ended - before[0]) / outcome.requests,
                    (_cpu_seconds(recording) - before[1]) / outcome.requests,
                    outcome.per_second,
                    median(outcome.latencies),
                )
            )
    return found


def _drained(used: Stores) -> None:
    """Return once the recorder has written everything down. Raises BenchFailed."""
    deadline = time.monotonic() + _DRAIN_SECONDS
    while used.budgets.redis.xlen(used.keys.events):
        if time.monotonic() > deadline:
            raise BenchFailed("the recorder did not come to its end")
        time.sleep(0.01)


def _cpu_seconds(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)
