"""Every way in which the audit's invariants are broken on purpose."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.workers.audited import Deployment


def _set(field: str, change: int) -> Callable[[Deployment], None]:
    return lambda d: d.redis.hincrby(d.window(d.daily), field, change)


def _sql(statement: str) -> Callable[[Deployment], None]:
    return lambda d: d.sql(statement)


TAMPERED: dict[str, tuple[Callable[[Deployment], Any], set[str]]] = {
    "spent raised": (_set("spent", 1), {"counters = records"}),
    "spent lowered": (_set("spent", -1), {"counters = records"}),
    "held raised": (_set("held", 1), {"held = open holds"}),
    "held below zero": (_set("held", -500), {"held = open holds"}),
    "counters lost": (
        lambda d: d.redis.delete(d.window(d.daily)),
        {"counters = records", "held = open holds"},
    ),
    "an event lost": (
        lambda d: d.redis.xtrim(d.world.budgets.keys.events, maxlen=0, approximate=False),
        {"counters = records"},
    ),
    "an open hold lost": (
        lambda d: d.redis.delete(d.world.budgets.keys.hold(d.open.request_id)),
        {"held = open holds"},
    ),
    "an event that cannot be read": (
        lambda d: d.redis.xadd(d.world.budgets.keys.events, {"id": "x"}),
        {"every event is recorded"},
    ),
    "an event set aside": (
        lambda d: d.redis.xadd(d.world.budgets.keys.rejected_events, {"id": "x"}),
        {"every event is recorded"},
    ),
    "a record's cost changed": (
        _sql("UPDATE usage_records SET cost_nano = cost_nano + 1 WHERE cost_nano = 100"),
        {"counters = records", "budget sums = records", "rollups = records", "labels are true"},
    ),
    "a record deleted": (
        _sql("DELETE FROM usage_records WHERE cost_nano = 40"),
        {"counters = records", "budget sums = records", "rollups = records"},
    ),
    "the request of a correction deleted": (
        _sql(
            "DELETE FROM usage_records WHERE kind = 'request' AND request_id IN"
            " (SELECT request_id FROM usage_records WHERE kind = 'correction')"
        ),
        {
            "counters = records",
            "budget sums = records",
            "rollups = records",
            "one ending each",
        },
    ),
    "an expired charge called exact": (
        _sql(
            "UPDATE usage_records SET certainty = 'exact'"
            " WHERE outcome = 'expired' AND kind = 'request'"
        ),
        {"labels are true", "rollups = records"},
    ),
    "a rollup's cost changed": (
        _sql("UPDATE hourly_usage SET cost_nano = cost_nano + 1 WHERE certainty = 'exact'"),
        {"rollups = records"},
    ),
    "a rollup's tokens changed": (
        _sql("UPDATE hourly_usage SET output_tokens = output_tokens + 1"),
        {"rollups = records"},
    ),
    "a rollup deleted": (_sql("DELETE FROM hourly_usage"), {"rollups = records"}),
    "money moved between clients": (
        _sql("UPDATE hourly_usage SET client_id = client_id + 1 WHERE certainty = 'exact'"),
        {"rollups = records"},
    ),
    "a budget's sum changed": (
        _sql("UPDATE budget_windows SET spent_nano = spent_nano - 1"),
        {"budget sums = records"},
    ),
    "a budget's sum deleted": (_sql("DELETE FROM budget_windows"), {"budget sums = records"}),
    "a request in flight more": (
        lambda d: d.redis.hincrby(d.world.budgets.keys.client(1), "inflight", 1),
        {"held = open holds"},
    ),
    "a hold that costs more than it held": (
        _sql("UPDATE usage_records SET hold_nano = 99 WHERE cost_nano = 100"),
        {"cost <= hold"},
    ),
    "an expired request charged less than its hold": (
        _sql(
            "UPDATE usage_records SET hold_nano = 201 WHERE outcome = 'expired'"
            " AND request_id NOT IN"
            " (SELECT request_id FROM usage_records WHERE kind = 'correction')"
        ),
        {"labels are true"},
    ),
    "the lines of a cost changed": (
        _sql("UPDATE usage_records SET cost_lines = '[]' WHERE cost_nano = 100"),
        {"labels are true"},
    ),
    "an intent that nothing is held for": (
        lambda d: d.intend("frq_sent"),
        {"intents are held"},
    ),
    "a hold that is open beyond its end": (
        lambda d: d.reopen(d.served[0]),
        {"held = open holds", "one ending each", "a repetition changes nothing"},
    ),
    "an end that is forgotten": (
        lambda d: d.redis.delete(d.world.budgets.keys.hold(d.served[0])),
        {"a repetition changes nothing"},
    ),
    "a correction of what had not expired": (
        _sql(
            "UPDATE usage_records SET outcome = 'settled', certainty = 'unknown'"
            " WHERE kind = 'request' AND request_id IN"
            " (SELECT request_id FROM usage_records WHERE kind = 'correction')"
        ),
        {"one ending each"},
    ),
    "a request that escaped a budget": (
        lambda d: d.escape(d.served[0]),
        {"parents = children", "counters = records", "budget sums = records"},
    ),
    "a sequence that went back": (
        lambda d: d.redis.hset(d.world.budgets.keys.state, "sequence", 1),
        {"the sequence never goes back"},
    ),
    "another epoch": (
        _sql("UPDATE deployment SET value = value + 1 WHERE name = 'epoch'"),
        {"the sequence never goes back"},
    ),
    "events in another order": (
        lambda d: d.disorder(),
        {"the sequence never goes back"},
    ),
}
"""How each invariant is broken, and the names of the checks that must say so."""
