"""Holds in flight, as Redis has them: requests under way, long-lived work, outage allowances."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import orjson
from redis.exceptions import RedisError

from gateway.adapters.redis_budgets import RedisBudgets, StoreDown

LOOKED_AT_MAX = 10_000
"""Most holds that are looked at: far more than a deployment has in flight."""

_BATCH = 500


@dataclass(frozen=True, slots=True)
class OpenHold:
    """What one request holds of its budgets until it is settled. Nano-dollars, UTC."""

    request_id: str
    team_id: int
    client_id: int
    key_id: int
    endpoint: str
    model: str
    amount_nano: int
    held_at: datetime
    expires_at: datetime
    """When its lease runs out, unless it is renewed: its owner renews it while it lives."""
    is_long: bool
    """Whether it is of work that goes on after its request: a batch, a job."""
    budget_ids: tuple[int, ...]


def open_holds(budgets: RedisBudgets) -> list[OpenHold]:
    """The open holds, newest first; of more than LOOKED_AT_MAX those that expire last.

    Raises StoreDown.
    """
    try:
        leases = budgets.redis.zrange(
            budgets.keys.holds, 0, LOOKED_AT_MAX - 1, desc=True, withscores=True
        )
        found = []
        for start in range(0, len(leases), _BATCH):
            found += _read(budgets, leases[start : start + _BATCH])
    except RedisError as error:
        raise StoreDown(str(error)) from error
    return sorted(found, key=lambda hold: (hold.held_at, hold.request_id), reverse=True)


def _read(budgets: RedisBudgets, leases: Sequence[tuple[bytes, float]]) -> list[OpenHold]:
    with budgets.redis.pipeline(transaction=False) as pipe:
        for request_id, _ in leases:
            pipe.hgetall(budgets.keys.hold(request_id.decode()))
        holds = pipe.execute()
    return [
        _hold(request_id.decode(), fields, expires_ms)
        for (request_id, expires_ms), fields in zip(leases, holds, strict=True)
        # One that has ended meanwhile has left a mark, or nothing.
        if fields.get(b"state") == b"open"
    ]


def _hold(request_id: str, fields: dict[bytes, bytes], expires_ms: float) -> OpenHold:
    context: dict[str, Any] = orjson.loads(fields[b"context"])
    windows = fields[b"budgets"].decode().split(",")
    return OpenHold(
        request_id=request_id,
        team_id=int(context.get("team_id", 0)),
        client_id=int(context["client_id"]),
        key_id=int(context.get("key_id", 0)),
        endpoint=str(context.get("endpoint", "")),
        model=str(context.get("model", "")),
        amount_nano=int(fields[b"amount"]),
        held_at=_moment(int(fields[b"at"])),
        expires_at=_moment(int(expires_ms)),
        is_long=fields.get(b"handed") == b"1",
        budget_ids=tuple(int(window.split(":")[0]) for window in windows if window),
    )


def _moment(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1000, tz=UTC)
