"""CPU of the ways to call the provider from one process under gevent."""

from __future__ import annotations

from statistics import median

from bench.report import Table, ratio
from bench.stage import folder, run_program, simulator

CALLS = 250
ROUNDS = 5
WAYS = {
    "wire": "`Upstream.send`, then `body()`",
    "raw": "SDK, `post(cast_to=Response)`",
    "typed": "SDK, `create()`",
    "dumped": "SDK, `create()`, then `model_dump_json()`",
}


def measure(scale: float) -> list[Table]:
    """Calls to the simulated provider, the ways in turn."""
    calls = max(int(CALLS * scale), 64)
    with folder() as place, simulator(place) as provider:
        found = run_program(
            place,
            "bench.programs.calls",
            str(calls),
            str(ROUNDS),
            upstream_url=f"http://127.0.0.1:{provider.port}/v1",
        )
    micros = {name: median(found[name]) * 1e6 for name in WAYS}
    rows = [
        (label, ratio(micros[name], micros["wire"]), f"{micros[name]:.0f}")
        for name, label in WAYS.items()
    ]
    note = (
        f"32 greenlets, {ROUNDS} rounds of {calls} calls in turn, medians. The SDK's connection"
        " pool looks at every idle connection at every call, so its part grows with the calls"
        " in flight."
    )
    headings = ("way", "CPU, ours = 1", "µs per call")
    return [Table("client: CPU per call to the provider", headings, rows, [note])]
