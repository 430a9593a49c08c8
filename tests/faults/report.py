"""What a run prints: one table for people, and what is wrong."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from tests.faults.run import Result

_SHOWN = 15


def lines(result: Result) -> Iterator[str]:
    """The table, line by line."""
    options, verdict = result.options, result.verdict
    points = Counter({k: n for k, n in result.kills.items() if k.startswith("at ")})
    by_rig = Counter({k: n for k, n in result.kills.items() if not k.startswith("at ")})
    charged = verdict.charged or 1
    yield f"seed                  {options.seed}"
    yield f"database              {options.database}{', power loss' if options.power_loss else ''}"
    yield f"intents               {options.intents}"
    yield f"minutes               {options.seconds / 60:g}"
    yield f"kills                 {result.killed}"
    for what, times in by_rig.most_common():
        yield f"  {what:<19} {times}"
    yield f"  at failpoints       {points.total()} at {len(points)} points"
    for what, times in sorted(points.items()):
        yield f"    {what:<25} {times}"
    yield f"other faults          {result.other.total()}"
    for what, times in sorted(result.other.items()):
        yield f"  {what:<50} {times}"
    yield f"requests              {result.traffic['requests']}"
    for what, times in sorted(result.traffic.items()):
        if what != "requests":
            yield f"  {what:<19} {times}"
    yield f"recorded              {verdict.requests}"
    yield f"charged by provider   {verdict.charged}"
    yield f"lost                  {len(verdict.lost)}"
    yield f"doubled               {len(verdict.doubled)}"
    yield f"over budget           {len(verdict.over_budget)} (looked {result.looks} times)"
    if options.power_loss:
        yield f"  by labels alone     {len(verdict.above_by_labels)}"
    yield f"exact                 {100 * verdict.exact / charged:.2f} %"
    yield f"labelled upper bound  {100 * verdict.labelled / charged:.2f} %"
    yield f"neither               {len(verdict.unlabelled)}"
    for what, items in verdict.wrong.items():
        yield f"{what.upper()}: {len(items)}"
        yield from (f"  {item}" for item in items[:_SHOWN])
    yield from result.errors
    yield "The promise held." if result.ok else "THE PROMISE WAS BROKEN, or the rig was."
