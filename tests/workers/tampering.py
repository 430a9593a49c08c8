"""Every way in which the audit's invariants are broken on purpose."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.workers.audited import Deployment


@dataclass(frozen=True)
class Tampering:
    """How a deployment is broken, the checks that must say so, and the request they must name."""

    does: Callable[[Deployment], Any]
    broken: frozenset[str]
    request: Callable[[Deployment], str] | None = None


def _set(field: str, change: int) -> Callable[[Deployment], Any]:
    return lambda d: d.redis.hincrby(d.window(d.daily), field, change)


def _sql(statement: str) -> Callable[[Deployment], Any]:
    return lambda d: d.sql(statement)


def _of(
    does: Callable[[Deployment], Any],
    *broken: str,
    names: Callable[[Deployment], str] | str | None = None,
) -> Tampering:
    request = (lambda _: names) if isinstance(names, str) else names
    return Tampering(does, frozenset(broken), request)


def _first(d: Deployment) -> str:
    """The request that cost 100."""
    return d.served[0]


_CORRECTED = "(SELECT request_id FROM usage_records WHERE kind = 'correction')"
_DEARER = (
    '{"default":{"input":{"nano":11,"per":1,"steps":[]},"output":{"nano":20,"per":1,"steps":[]}}}'
)

COUNTERS: dict[str, Tampering] = {
    "spent raised": _of(_set("spent", 1), "counters = records"),
    "spent lowered": _of(_set("spent", -1), "counters = records"),
    "charged twice": _of(_set("spent", 70), "counters = records", names=lambda d: d.waiting),
    "recorded and not charged": _of(_set("spent", -100), "counters = records", names=_first),
    "held raised": _of(_set("held", 1), "held = open holds"),
    "held twice": _of(
        _set("held", 200), "held = open holds", names=lambda d: str(d.open.request_id)
    ),
    "held below zero": _of(_set("held", -500), "held = open holds"),
    "counters lost": _of(
        lambda d: d.redis.delete(d.window(d.daily)), "counters = records", "held = open holds"
    ),
    "an event lost": _of(
        lambda d: d.redis.xtrim(d.world.budgets.keys.events, maxlen=0, approximate=False),
        "counters = records",
        "ends are recorded",
        names=lambda d: d.waiting,
    ),
    "an open hold lost": _of(
        lambda d: d.redis.delete(d.world.budgets.keys.hold(d.open.request_id)), "held = open holds"
    ),
    "an event that cannot be read": _of(
        lambda d: d.redis.xadd(d.world.budgets.keys.events, {"id": "frq_x"}),
        "every event is recorded",
        names="frq_x",
    ),
    "an event set aside": _of(
        lambda d: d.redis.xadd(d.world.budgets.keys.rejected_events, {"id": "frq_x"}),
        "every event is recorded",
        names="frq_x",
    ),
    "a request in flight more": _of(
        lambda d: d.redis.hincrby(d.world.budgets.keys.client(1), "inflight", 1),
        "held = open holds",
        names=lambda d: str(d.open.request_id),
    ),
    "a hold that is open beyond its end": _of(
        lambda d: d.reopen(d.served[0]),
        "held = open holds",
        "one ending each",
        "repeated calls change nothing",
        names=_first,
    ),
    "an end that is forgotten": _of(
        lambda d: d.redis.delete(d.world.budgets.keys.hold(d.served[0])),
        "repeated calls change nothing",
        names=_first,
    ),
    "a sequence that went back": _of(
        lambda d: d.redis.hset(d.world.budgets.keys.state, "sequence", 1),
        "the sequence never goes back",
        names=lambda d: d.waiting,
    ),
    "another epoch": _of(
        _sql("UPDATE deployment SET value = value + 1 WHERE name = 'epoch'"),
        "the sequence never goes back",
    ),
    "usage that came after a rebuild": _of(
        _sql(
            "INSERT INTO deployment (name, value)"
            " SELECT 'late', value FROM deployment WHERE name = 'epoch'"
        ),
        "the sequence never goes back",
    ),
    "admission suspended": _of(
        lambda d: d.world.budgets.suspend("a test"), "the sequence never goes back"
    ),
    "events in another order": _of(
        lambda d: d.event(id="frq_older", sequence=1),
        "the sequence never goes back",
        names="frq_older",
    ),
    "an event of what was recorded before": _of(
        lambda d: d.event(id=d.served[0], kind="correction", sequence=0),
        "one ending each",
        names=_first,
    ),
    "an event of what is in flight": _of(
        lambda d: d.event(id=d.open.request_id, sequence=0),
        "one ending each",
        names=lambda d: str(d.open.request_id),
    ),
}

RECORDS: dict[str, Tampering] = {
    "a record's cost changed": _of(
        _sql("UPDATE usage_records SET cost_nano = cost_nano + 1 WHERE cost_nano = 100"),
        "counters = records",
        "budget sums = records",
        "rollups = records",
        "labels are true",
        "daily_costs = records",
        "daily_tags = records",
        names=_first,
    ),
    "a record deleted": _of(
        _sql("DELETE FROM usage_records WHERE cost_nano = 40"),
        "counters = records",
        "ends are recorded",
        "budget sums = records",
        "rollups = records",
        "daily_costs = records",
        "daily_tags = records",
        "daily_latency = records",
        names=lambda d: d.served[1],
    ),
    "the request of a correction deleted": _of(
        _sql(f"DELETE FROM usage_records WHERE kind = 'request' AND request_id IN {_CORRECTED}"),
        "counters = records",
        "budget sums = records",
        "rollups = records",
        "one ending each",
        "daily_costs = records",
        "daily_tags = records",
        names=lambda d: d.corrected,
    ),
    "an expired charge called exact": _of(
        _sql(
            "UPDATE usage_records SET certainty = 'exact'"
            " WHERE outcome = 'expired' AND kind = 'request'"
        ),
        "labels are true",
        "rollups = records",
        "daily_costs = records",
        names=lambda d: d.expired,
    ),
    "a hold that costs more than it held": _of(
        _sql("UPDATE usage_records SET hold_nano = 99 WHERE cost_nano = 100"),
        "cost <= hold",
        names=_first,
    ),
    "an expired request charged less than its hold": _of(
        _sql(
            "UPDATE usage_records SET hold_nano = 201 WHERE outcome = 'expired'"
            f" AND request_id NOT IN {_CORRECTED}"
        ),
        "labels are true",
        names=lambda d: d.expired,
    ),
    "the price of a cost forgotten": _of(
        _sql("UPDATE usage_records SET price_id = NULL WHERE cost_nano = 100"),
        "labels are true",
        names=_first,
    ),
    "the lines of a cost changed": _of(
        _sql("UPDATE usage_records SET cost_lines = '[[\"input\",9,10,1]]' WHERE cost_nano = 100"),
        "labels are true",
        "daily_costs = records",
        names=_first,
    ),
    "the lines of a cost spoiled": _of(
        _sql("UPDATE usage_records SET cost_lines = '{' WHERE cost_nano = 100"),
        "labels are true",
        "daily_costs = records",
        names=_first,
    ),
    "a price row changed": _of(
        lambda d: d.sql(
            "UPDATE prices SET tiers = :dearer WHERE id = :id", dearer=_DEARER, id=d.price
        ),
        "labels are true",
        names=_first,
    ),
    "a price row deleted": _of(
        lambda d: d.sql("DELETE FROM prices WHERE id = :id", id=d.price),
        "labels are true",
        names=_first,
    ),
    "a correction of what had not expired": _of(
        _sql(
            "UPDATE usage_records SET outcome = 'settled', certainty = 'unknown'"
            f" WHERE kind = 'request' AND request_id IN {_CORRECTED}"
        ),
        "one ending each",
        names=lambda d: d.corrected,
    ),
    "an intent that nothing is held for": _of(
        lambda d: d.intend("frq_sent"), "intents are held", names="frq_sent"
    ),
    "an intent that cannot be read": _of(
        lambda d: d.sql("INSERT INTO intents (request_id, hold) VALUES ('frq_sent', '{')"),
        "intents are held",
        names="frq_sent",
    ),
    "work that nothing is held for": _of(
        lambda d: d.work("frq_batch"), "intents are held", names="frq_batch"
    ),
}

SUMS: dict[str, Tampering] = {
    "a rollup's cost changed": _of(
        _sql("UPDATE hourly_usage SET cost_nano = cost_nano + 100 WHERE certainty = 'exact'"),
        "rollups = records",
        "days = hours",
        names=_first,
    ),
    "a rollup's tokens changed": _of(
        _sql(
            "UPDATE hourly_usage SET output_tokens = output_tokens + 1 WHERE certainty = 'unknown'"
        ),
        "rollups = records",
        "days = hours",
        names=lambda d: d.expired,
    ),
    "a rollup's failures changed": _of(
        _sql("UPDATE hourly_usage SET failures = failures + 1"), "rollups = records", "days = hours"
    ),
    "a rollup deleted": _of(
        _sql("DELETE FROM hourly_usage"), "rollups = records", "days = hours", names=_first
    ),
    "a rollup of nothing": _of(
        _sql("UPDATE hourly_usage SET model = 'another'"),
        "rollups = records",
        "days = hours",
        names=_first,
    ),
    "money moved between clients": _of(
        _sql("UPDATE hourly_usage SET client_id = client_id + 1 WHERE certainty = 'exact'"),
        "rollups = records",
        "days = hours",
        "teams = clients = keys",
    ),
    "a day's cost changed": _of(
        _sql("UPDATE daily_usage SET cost_nano = cost_nano + 1"), "days = hours"
    ),
    "a day deleted": _of(_sql("DELETE FROM daily_usage"), "days = hours"),
    "a line item's cost changed": _of(
        _sql("UPDATE daily_costs SET cost_nano = cost_nano - 1 WHERE line_item = 'input'"),
        "daily_costs = records",
    ),
    "the line items deleted": _of(_sql("DELETE FROM daily_costs"), "daily_costs = records"),
    "a tag's cost changed": _of(
        _sql("UPDATE daily_tags SET cost_nano = cost_nano + 1 WHERE certainty = 'exact'"),
        "daily_tags = records",
    ),
    "a tag of nothing": _of(_sql("UPDATE daily_tags SET value = 'beta'"), "daily_tags = records"),
    "durations lost": _of(_sql("DELETE FROM daily_latency"), "daily_latency = records"),
    "an adjustment that no sum has": _of(
        _sql(
            "INSERT INTO adjustments (day, team_id, client_id, key_id, endpoint, model,"
            " service_tier, line_item, cost_nano, reason, source, source_id, note, posted_at,"
            " posted_by) VALUES ('2026-01-05 00:00:00.000000', 0, 0, 0, '', 'm', 'default',"
            " 'input', 5, 'price', 'repricing', 1, '', '2026-01-05 00:00:00.000000', 'x')"
        ),
        "rollups = records",
        "daily_costs = records",
    ),
    "a client of another team": _of(
        _sql("UPDATE clients SET team_id = (SELECT max(id) FROM teams)"),
        "teams = clients = keys",
    ),
    "a key of another client": _of(
        _sql("UPDATE keys SET client_id = (SELECT max(id) FROM clients)"),
        "teams = clients = keys",
    ),
    "a budget's sum changed": _of(
        _sql("UPDATE budget_windows SET spent_nano = spent_nano - 1"), "budget sums = records"
    ),
    "a budget's sum deleted": _of(_sql("DELETE FROM budget_windows"), "budget sums = records"),
    "a request that escaped a budget": _of(
        lambda d: d.escape(d.served[0]),
        "parents = children",
        "counters = records",
        "budget sums = records",
        names=_first,
    ),
    "a request that escaped a budget and cost nothing": _of(
        lambda d: d.escape(d.served[2]), "parents = children", names=lambda d: d.served[2]
    ),
    "a request charged to another day": _of(
        lambda d: d.move(d.served[2]), "parents = children", names=lambda d: d.served[2]
    ),
}

TAMPERED = {**COUNTERS, **RECORDS, **SUMS}
"""How each invariant is broken, and what must be said about it."""
