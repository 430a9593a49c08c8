"""A deployment with a past, to be audited."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Engine, insert, text

from gateway.adapters.directory import Directory
from gateway.adapters.epochs import note_epoch
from gateway.adapters.object_rows import write_objects
from gateway.adapters.price_rows import override_price, price_by_id
from gateway.adapters.redis_budgets import connect
from gateway.adapters.tables import intents
from gateway.core.budgets import Budget, Enforcement, Scope, WindowKind
from gateway.core.endings import hold_fields
from gateway.core.long_work import Work
from gateway.core.objects import Kind, OwnedObject, WorkState
from gateway.core.outcomes import exact
from gateway.core.prices import Meter, Rate
from gateway.core.usage import Usage
from gateway.workers.audit import run_audit
from gateway.workers.audit_report import AuditReport, Charge
from gateway.workers.recorder import Recorder
from tests.adapters.redis_world import World, bound

LIMIT = 10_000


class Deployment:
    """A deployment that has served, expired and corrected, with some of it on its way."""

    def __init__(self, world: World, engine: Engine) -> None:
        self.world, self.engine = world, engine
        directory = Directory(engine)
        directory.initialise("Acme")
        directory.create_team("team")
        directory.create_client("team", "client")
        self.directory = directory
        self.total = self.budget("total", WindowKind.TOTAL)
        self.daily = self.budget("daily", WindowKind.DAY)
        self.soft = self.budget("soft", WindowKind.TOTAL, Enforcement.SOFT, limit=10)
        self.budgets = (self.total, self.daily, self.soft)
        directory.create_team("another team")
        directory.create_client("another team", "another client")
        self.key = directory.create_key("client").id
        tiers = {"default": {Meter.INPUT: Rate(10, per=1), Meter.OUTPUT: Rate(20, per=1)}}
        self.price = override_price(engine, "m", tiers, valid_from=datetime(2026, 1, 1, tzinfo=UTC))
        world.version = directory.version()
        world.budgets.publish(world.version)
        note_epoch(engine, world.budgets.state().epoch)
        self.served = [self.serve(cost) for cost in (100, 40, 0)]
        expired, corrected = self.reserve(), self.reserve()
        for hold in (expired, corrected):
            world.lapse(hold)
            world.expire(hold)
        self.expired, self.corrected = expired.request_id, corrected.request_id
        self.settle(corrected, 30)
        world.release(self.reserve())
        self.drain()
        self.waiting = self.serve(70)
        self.open = self.reserve()

    def budget(
        self,
        name: str,
        window: WindowKind,
        enforcement: Enforcement = Enforcement.STRICT,
        limit: int = LIMIT,
    ) -> Budget:
        number = self.directory.create_budget(
            name, limit_nano=limit, window=window, client="client", enforcement=enforcement
        )
        return Budget(number, name, Scope.CLIENT, limit, window, "UTC", enforcement)

    def reserve(self) -> Any:
        return self.world.reserve(*self.budgets, bounded=bound(200), price_id=self.price)

    def serve(self, cost: int) -> str:
        hold = self.reserve()
        self.settle(hold, cost)
        return str(hold.request_id)

    def settle(self, hold: Any, cost: int) -> None:
        """Settle a hold at what the provider says that was used: whole tens of nano-dollars."""
        price = price_by_id(self.engine, self.price)
        assert price is not None
        used = Usage(input_tokens=cost // 10)
        outcome = exact(price, used, "default", 0, status=200)
        assert outcome is not None
        assert outcome.cost_nano == cost
        told = replace(outcome, duration_ms=12).as_json()
        self.world.budgets.settle(hold, cost, outcome.tokens, 0, told)

    def drain(self) -> None:
        client = connect(self.world.url, 5.0)
        Recorder(client, self.world.budgets.keys, self.engine, 100).drain()
        client.close()

    def audit(self, truth: list[Charge] | None = None) -> AuditReport:
        return run_audit(self.world.budgets, self.engine, truth)

    def sql(self, statement: str, **values: object) -> None:
        with self.engine.begin() as connection:
            assert connection.execute(text(statement), values).rowcount > 0

    def intend(self, request_id: str) -> None:
        """An intent, as a gateway writes it before it sends a request."""
        hold = replace(self.open, request_id=request_id)
        with self.engine.begin() as connection:
            text_of = json.dumps(hold_fields(hold))
            connection.execute(insert(intents).values(request_id=request_id, hold=text_of))

    def reopen(self, request_id: str) -> None:
        """Have a hold open again that has ended."""
        keys = self.world.budgets.keys
        found = self.redis.hgetall(keys.hold(self.open.request_id))
        self.redis.hset(keys.hold(request_id), mapping=found)
        self.redis.zadd(keys.holds, {request_id: self.world.now_ms() + 60_000})

    def escape(self, request_id: str) -> None:
        """Take one budget off the list of those that a record was charged to."""
        first = self.open.placed_on.split(",")[0]
        self.sql(
            "UPDATE usage_records SET budget_windows = :first WHERE request_id = :id",
            first=first,
            id=request_id,
        )

    def event(self, **changed: object) -> None:
        """A second event like the one that waits, but for what is ``changed``."""
        keys = self.world.budgets.keys
        ((_, fields),) = self.redis.xrange(keys.events)
        fresh = {name.encode(): str(value).encode() for name, value in changed.items()}
        self.redis.xadd(keys.events, {**fields, b"cost": b"0", **fresh})

    def work(self, request_id: str) -> None:
        """A batch that runs at the provider, and has handed its hold over."""
        hold = replace(self.open, request_id=request_id)
        work = Work(hold, self.price, "batch")
        one = OwnedObject(
            Kind.BATCH,
            "batch_1",
            team_id=1,
            client_id=1,
            key_id=self.key,
            created_at=1,
            model="m",
            work=work.as_fields(),
            work_state=WorkState.OPEN,
        )
        write_objects(self.engine, [one])

    def move(self, request_id: str) -> None:
        """Have a record charged to the windows of another day."""
        day = 24 * 3600 * 1000
        self.sql(
            "UPDATE usage_records SET budget_windows = :earlier WHERE request_id = :id",
            earlier=self.open.placed_on.replace(
                f"{self.daily.id}:{self.start(self.daily)}:",
                f"{self.daily.id}:{self.start(self.daily) - day}:",
            ),
            id=request_id,
        )

    @property
    def redis(self) -> Any:
        return self.world.budgets.redis

    def start(self, budget: Budget) -> int:
        return int(dict(self.open.budget_windows)[budget.id])

    def window(self, budget: Budget) -> str:
        return self.world.budgets.keys.budget(budget.id, self.start(budget))
