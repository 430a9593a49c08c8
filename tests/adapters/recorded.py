"""Usage events for tests, and what SQL made of them."""

from __future__ import annotations

import json
from typing import Any

from sqlalchemy import Engine, Table, select

from gateway.core.events import UsageEvent, parse_event

AT = 1_780_000_000_000
HOUR = 3_600_000


def event(request_id: str, cost: int = 100, *, at: int = AT, **changes: Any) -> UsageEvent:
    """An event as the scripts write it; ``changes`` go to the field that has that name."""
    context = {
        "team_id": 1,
        "client_id": 1,
        "key_id": 1,
        "endpoint": "chat/completions",
        "model": "m",
        "price_id": None,
        "tier": "default",
        "streamed": False,
        "tags": {},
    }
    result: dict[str, Any] = {"status": 200, "usage": {"input_tokens": 7, "output_tokens": 3}}
    fields: dict[str, Any] = {
        "id": request_id,
        "kind": "request",
        "outcome": "settled",
        "cost": cost,
        "hold": 500,
        "held_at": at,
        "at": at + 5,
        "budgets": "1:0:500:1000:strict",
    }
    for name, value in changes.items():
        for part in (context, fields):
            if name in part:
                part[name] = value
                break
        else:
            result[name] = value
    fields.update(context=json.dumps(context), result=json.dumps(result))
    return parse_event({name.encode(): str(value).encode() for name, value in fields.items()})


def rows(engine: Engine, table: Table) -> list[Any]:
    with engine.connect() as connection:
        return list(connection.execute(select(table).order_by(*table.primary_key.columns)))
