"""CPU of a gateway process per request, against proxies that only forward."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from statistics import median

from bench.report import Table, ratio
from bench.stage import Load, Served, folder, gateway, proxy, question, run_load, simulator, stores

CONNECTIONS = 32
ROUNDS = 5
SHARES = {"gateway": 1, "bare proxy": 1, "proxy by the SDK": 4}
"""By how many its requests are divided."""
OUTPUT_TOKENS = 60
STREAM_TOKENS = 18
"""About 20 events: the tokens, the one that opens the answer and the one that ends it."""


def measure(scale: float) -> list[Table]:
    """Rounds of requests in turn to the gateway and to the proxies: whole answers, streams."""
    with (
        folder() as place,
        simulator(place) as provider,
        stores(place) as used,
        gateway(place, provider, used) as ours,
        proxy(place, provider, "bare") as bare,
        proxy(place, provider, "sdk") as sdk,
    ):
        targets = {"gateway": ours, "bare proxy": bare, "proxy by the SDK": sdk}
        whole = question(OUTPUT_TOKENS)
        streamed = question(STREAM_TOKENS, stream=True)
        return [
            _table(
                "cpu: CPU per request, whole answers",
                place,
                targets,
                Load(whole, CONNECTIONS, int(800 * scale)),
            ),
            _table(
                "cpu: CPU per request, streams of about 20 events",
                place,
                targets,
                Load(streamed, CONNECTIONS, int(400 * scale)),
            ),
        ]


def _table(title: str, place: Path, targets: Mapping[str, Served], load: Load) -> Table:
    micros: dict[str, list[float]] = {name: [] for name in targets}
    rates: dict[str, list[float]] = {name: [] for name in targets}
    # The slowest gets fewer, which is enough to measure it by.
    loads = {name: replace(load, requests=load.requests // SHARES[name]) for name in targets}
    for name, target in targets.items():
        run_load(place, target, loads[name]).required()
    for _ in range(ROUNDS):
        for name, target in targets.items():
            before = target.cpu_seconds()
            outcome = run_load(place, target, loads[name]).required()
            micros[name].append((target.cpu_seconds() - before) * 1e6 / outcome.requests)
            rates[name].append(outcome.per_second)
    base = median(micros["bare proxy"])
    rows = [
        (
            name,
            ratio(median(micros[name]), base),
            f"{median(micros[name]):.0f}",
            f"{median(rates[name]):.0f}",
        )
        for name in targets
    ]
    note = (
        f"One worker each, {CONNECTIONS} connections, {ROUNDS} rounds of {load.requests} requests"
        f" in turn (by the SDK {loads['proxy by the SDK'].requests}), medians. The gateway checks"
        " three budgets and two rate limits per request."
    )
    headings = ("process", "CPU, bare proxy = 1", "µs per request", "requests/s")
    return Table(title, headings, rows, [note])
