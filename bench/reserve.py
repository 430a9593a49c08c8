"""CPU of reserving and settling in a gateway process, and how many pairs a second that makes."""

from __future__ import annotations

from statistics import median

from bench.report import Table, ratio
from bench.stage import folder, run_program, stores

PAIRS = 1_000
ROUNDS = 5
WAYS = {"pipeline": "`RedisPipeline`, one connection", "pool": "redis-py's connection pool"}


def measure(scale: float) -> list[Table]:
    """Pairs of scripts against an embedded Redis that syncs every write, the ways in turn."""
    pairs = max(int(PAIRS * scale), 128)
    with folder() as place, stores(place) as used:
        found = run_program(
            place,
            "bench.programs.holds",
            used.redis_url,
            used.database_url,
            str(pairs),
            str(ROUNDS),
        )
    cpu = {name: median(cpu for cpu, _ in found[name]) for name in WAYS}
    elapsed = {name: median(seconds for _, seconds in found[name]) for name in WAYS}
    rows = [
        (
            label,
            ratio(cpu[name], cpu["pipeline"]),
            ratio(elapsed["pipeline"], elapsed[name]),
            f"{cpu[name] * 1e6:.0f}",
            f"{1 / elapsed[name]:.0f}",
        )
        for name, label in WAYS.items()
    ]
    note = (
        f"64 greenlets, {ROUNDS} rounds of {pairs} pairs in turn, medians. Three budgets and two"
        " rate limits per reserve; the append-only file is synced before every answer."
    )
    headings = ("way", "CPU, ours = 1", "pairs/s, ours = 1", "µs per pair", "pairs/s")
    title = "reserve: reserving and settling, in the gateway's process"
    return [Table(title, headings, rows, [note])]
