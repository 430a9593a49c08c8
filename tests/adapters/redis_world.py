"""Budgets in a real Redis for tests: clients, budgets, wishes, and what Redis holds."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from itertools import count
from typing import Any

from gateway.adapters.redis_budgets import RedisBudgets, connect
from gateway.adapters.redis_keys import RedisKeys
from gateway.core.bounds import Bound
from gateway.core.budgets import Budget, Enforcement, Scope, WindowKind
from gateway.core.events import UsageEvent, parse_event
from gateway.core.holds import Hold, HoldRequest
from gateway.core.policy import Client

LEASE_SECONDS = 60.0
RESULT = b'{"status":200}'
UNKNOWN = b'{"status":0,"certainty":"unknown"}'


def budget(
    number: int = 1,
    limit_nano: int = 1_000_000,
    enforcement: Enforcement = Enforcement.STRICT,
    window: WindowKind = WindowKind.TOTAL,
    time_zone: str = "UTC",
) -> Budget:
    return Budget(
        number, f"budget {number}", Scope.CLIENT, limit_nano, window, time_zone, enforcement
    )


def bound(
    fixed: int = 0, per_token: int = 0, wanted: int = 0, floor: int = 0, choices: int = 1
) -> Bound:
    return Bound(
        input_tokens=10,
        fixed_nano=fixed,
        output_token_nano=per_token,
        choices=choices,
        wanted_output_tokens=wanted,
        floor_output_tokens=floor,
    )


@dataclass
class World:
    """One deployment's counters."""

    url: str
    budgets: RedisBudgets
    version: int = 1
    client: Client = field(default_factory=lambda: Client(1, "client", 1, "team"))
    ids: Any = field(default_factory=lambda: count(1))

    def wish(
        self,
        *budgets: Budget,
        bounded: Bound | None = None,
        request_id: str | None = None,
        model: str = "m",
        price_id: int | None = None,
        **limits: int,
    ) -> HoldRequest:
        client = replace(self.client, **limits)  # type: ignore[arg-type]
        context = {
            "team_id": client.team_id,
            "client_id": client.id,
            "key_id": 1,
            "endpoint": "chat/completions",
            "model": model,
            "price_id": price_id,
            "tier": "default",
            "streamed": False,
            "tags": {"project": "alpha"},
        }
        return HoldRequest(
            request_id or f"frq_{next(self.ids)}",
            client,
            model,
            bounded or bound(100),
            budgets,
            self.version,
            json.dumps(context).encode(),
        )

    def reserve(self, *budgets: Budget, **wish: Any) -> Hold:
        return self.budgets.reserve(self.wish(*budgets, **wish))

    def settle(self, hold: Hold, cost: int, tokens: int = -1, output: int = -1) -> str:
        result = {"status": 200, "lines": [["input", cost, 1, 1]] if cost else []}
        return self.budgets.settle(hold, cost, tokens, output, json.dumps(result).encode()).outcome

    def release(self, hold: Hold) -> str:
        return self.budgets.release(hold, RESULT).outcome

    def lapse(self, hold: Hold) -> None:
        """End the lease of a hold, as time would."""
        self.budgets.redis.zadd(self.budgets.keys.holds, {hold.request_id: 1}, xx=True)

    def expire(self, hold: Hold) -> bool:
        return self.budgets.expire(hold, UNKNOWN)

    def counters(self, number: int = 1, start_ms: int = 0) -> tuple[int, int]:
        """Spent and held."""
        found = self.budgets.redis.hmget(
            self.budgets.keys.budget(number, start_ms), "spent", "held"
        )
        return int(found[0] or 0), int(found[1] or 0)

    def limits(self, client_id: int = 1) -> dict[str, float]:
        found = self.budgets.redis.hgetall(self.budgets.keys.client(client_id))
        return {name.decode(): float(value) for name, value in found.items()}

    def events(self) -> list[UsageEvent]:
        entries = self.budgets.redis.xrange(self.budgets.keys.events)
        return [parse_event(fields) for _, fields in entries]

    def costs(self) -> list[tuple[str, str, str, int]]:
        return [
            (e.row["request_id"], e.row["kind"], e.row["outcome"], e.row["cost_nano"])
            for e in self.events()
        ]

    def now_ms(self) -> int:
        seconds, micros = self.budgets.redis.time()
        return int(seconds) * 1000 + int(micros) // 1000

    def everything(self) -> dict[bytes, Any]:
        """All that Redis has, but for times to live."""
        client = self.budgets.redis
        names = client.keys()
        with client.pipeline(transaction=False) as pipe:
            for name in names:
                pipe.type(name)
            kinds = pipe.execute()
            for name, kind in zip(names, kinds, strict=True):
                {
                    b"hash": pipe.hgetall,
                    b"zset": lambda key: pipe.zrange(key, 0, -1, withscores=True),
                    b"stream": pipe.xrange,
                    b"string": pipe.get,
                }[kind](name)
            return dict(zip(names, pipe.execute(), strict=True))


def open_world(url: str, lease_seconds: float = LEASE_SECONDS) -> World:
    budgets = RedisBudgets(connect(url, 5.0), RedisKeys("test"), lease_seconds)
    world = World(url, budgets)
    budgets.publish(world.version)
    return world
