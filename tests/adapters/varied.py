"""Varied usage for tests of sums and reports, the same for the same seed."""

from __future__ import annotations

import random
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Engine, insert

from gateway.adapters.tables import clients, keys, organizations, teams
from gateway.adapters.usage_rows import record
from gateway.core.events import UsageEvent
from gateway.core.prices import CostLine, Meter, sum_lines
from tests.adapters.recorded import event

FIRST = datetime(2026, 3, 1, tzinfo=UTC)
DAYS = 5


def make_tenants(engine: Engine) -> None:
    """Two teams with two clients each, and a key for each client; ids count from 1."""
    now = FIRST
    with engine.begin() as connection:
        connection.execute(insert(organizations).values(name="acme", created_at=now))
        for team in (1, 2):
            connection.execute(
                insert(teams).values(name=f"team-{team}", organization_id=1, created_at=now)
            )
        for client in (1, 2, 3, 4):
            connection.execute(
                insert(clients).values(
                    name=f"client-{client}", team_id=(client + 1) // 2, created_at=now
                )
            )
            connection.execute(
                insert(keys).values(
                    client_id=client,
                    hash=f"{client:064}",
                    prefix="fg-test",
                    last_four=f"{client:04}",
                    created_at=now,
                )
            )


def usage_events(seed: int, count: int) -> list[UsageEvent]:
    """Requests of every kind of end, some of them corrected later, over DAYS days."""
    chance = random.Random(seed)
    events = []
    for number in range(count):
        request_id = f"frq_{seed}_{number}"
        facts = _facts(chance)
        kind = chance.random()
        if kind < 0.1:
            events.append(_expired(request_id, facts))
            if kind < 0.05:
                final = _settled(request_id, chance, facts)
                changes = {**final, "kind": "correction", "cost": final["cost"] - 500_000}
                events.append(event(request_id, **changes))
        else:
            events.append(event(request_id, **_settled(request_id, chance, facts)))
    return events


def fill(engine: Engine, seed: int = 1, count: int = 300) -> list[UsageEvent]:
    """Tenants and recorded usage; returns the events."""
    make_tenants(engine)
    events = usage_events(seed, count)
    for start in range(0, len(events), 50):
        record(engine, events[start : start + 50])
    return events


def _facts(chance: random.Random) -> dict[str, Any]:
    client = chance.randint(1, 4)
    tags = {}
    if chance.random() < 0.6:
        tags["project"] = chance.choice(["alpha", "beta"])
    if chance.random() < 0.3:
        tags["env"] = chance.choice(["prod", "dev"])
    return {
        "team_id": (client + 1) // 2,
        "client_id": client,
        "key_id": client,
        "endpoint": chance.choice(["chat/completions", "embeddings", "responses"]),
        "model": chance.choice(["gpt-4o", "gpt-4o-mini", "o3"]),
        "tier": chance.choice(["default", "flex"]),
        "at": int(FIRST.timestamp() * 1000) + chance.randrange(DAYS * 86_400_000),
        "tags": tags,
        "hold": 500_000,
        "budgets": f"1:{int(FIRST.timestamp() * 1000)}:500000:1000:strict",
    }


def _expired(request_id: str, facts: dict[str, Any]) -> UsageEvent:
    changes = {"outcome": "expired", "certainty": "unknown", "status": 0, "usage": {}}
    return event(request_id, **{"cost": 500_000, **facts, **changes})


def _settled(request_id: str, chance: random.Random, facts: dict[str, Any]) -> dict[str, Any]:
    lines = [
        CostLine(Meter.INPUT, chance.randint(0, 900), 123_457, 1_000_000),
        CostLine(Meter.CACHED_INPUT, chance.randint(0, 90), 61_111, 1_000_000),
        CostLine(Meter.OUTPUT, chance.randint(0, 300), 1_333_333, 1_000_000),
    ]
    certainty = chance.choice(["exact", "exact", "exact", "estimated"])
    more = 17 if certainty == "estimated" else 0
    return {
        **facts,
        "cost": sum_lines(lines) + more,
        "certainty": certainty,
        "status": chance.choice([200, 200, 200, 500]),
        "duration_ms": chance.choice([None, chance.randint(1, 60_000)]),
        "saved": chance.randint(0, 50),
        "lines": [[line.meter.value, line.count, line.nano, line.per] for line in lines],
        "usage": {
            "input_tokens": lines[0].count + lines[1].count,
            "cached_input_tokens": lines[1].count,
            "output_tokens": lines[2].count,
        },
    }
