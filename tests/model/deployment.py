"""The deployment that is played with: gateways on one Redis, and the model beside it."""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from gateway.adapters.redis_budgets import RedisBudgets, connect
from gateway.adapters.redis_keys import RedisKeys
from gateway.core.budgets import Enforcement
from gateway.core.holds import Hold
from tests.adapters.redis_world import World, budget
from tests.model.model import Event, Life, Model, Records, same

SCALE = 100_000_000_007
"""Limits are about a million dollars: sixteen digits, of which none may be lost."""

ORGANIZATION = budget(1, 9_000 * SCALE)
TEAM = budget(2, 6_000 * SCALE)
BUDGETS = (
    ORGANIZATION,
    TEAM,
    budget(3, 4_000 * SCALE),
    budget(4, 1_500 * SCALE, Enforcement.SOFT),
    budget(5, 2_800 * SCALE, Enforcement.EXPECTED),
)
SETS = {
    1: ((BUDGETS[2], TEAM, ORGANIZATION), (TEAM, ORGANIZATION), ()),
    2: ((BUDGETS[3], BUDGETS[4], TEAM, ORGANIZATION), (BUDGETS[3], TEAM, ORGANIZATION)),
    3: ((BUDGETS[4], ORGANIZATION), (ORGANIZATION,)),
}
"""The nested budgets of each client: its own, its team's and the organization's."""
CONCURRENT = {1: 0, 2: 6, 3: 0}
"""How many requests of each client may be in flight; 0 for any number."""

GATEWAYS = 2
LEASE_SECONDS = 3600.0


class Deployment:
    """One Redis and all that is known of it."""

    def __init__(self, url: str, rng: random.Random) -> None:
        self.random = rng
        keys = RedisKeys("test")
        self.gateways = [
            RedisBudgets(connect(url, 10.0), keys, LEASE_SECONDS) for _ in range(GATEWAYS)
        ]
        self.world = World(url, self.gateways[0])
        self.redis: Any = self.gateways[0].redis
        self.keys = keys
        self.begin()

    def begin(self) -> None:
        """Leave everything behind, and begin anew."""
        self.redis.flushall()
        self.gateways[0].publish(1)
        self.model = Model()
        self.records = Records()
        self.lives: list[Life] = []
        self.waiting: list[Event] = []
        """Events that are in the stream, and not recorded."""
        self._cursor = "-"
        state = self.gateways[0].state()
        self.epoch = state.epoch
        for one in self.gateways:
            one.epoch = 0
            one.adopt(state)

    def another_gateway(self) -> None:
        """The next call comes from any of them."""
        self.world.budgets = self.random.choice(self.gateways)

    def any(self, *states: str) -> Life | None:
        """One of the requests, in one of these states."""
        found = [life for life in self.lives if not states or life.state in states]
        return self.random.choice(found) if found else None

    def hold(self, life: Life) -> Hold:
        """The hold as its owner knows it: of an allowance, with what is left of it."""
        placed = ",".join(
            f"{one.id}:0:{life.held[one.id]}:{one.limit_nano}:{one.enforcement.value}"
            for one in life.budgets
        )
        return replace(life.hold, amount_nano=life.amount, placed_on=placed)

    def record(self) -> int:
        """The recorder writes down what waits."""
        recorded = len(self.waiting)
        self.records.record(self.waiting, self.model.sequence)
        self.waiting.clear()
        self.redis.xtrim(self.keys.events, maxlen=0)
        self._cursor = "-"
        return recorded

    # What is compared

    def check(self) -> None:
        """Counters, open holds, in-flight counts, events and sequence are the model's."""
        keys, model = self.keys, self.model
        with self.redis.pipeline(transaction=False) as pipe:
            for one in BUDGETS:
                pipe.hmget(keys.budget(one.id, 0), "spent", "held")
            for client in SETS:
                pipe.hget(keys.client(client), "inflight")
                pipe.hmget(keys.need(client, "m"), "mean", "deviation")
            pipe.zcard(keys.holds)
            pipe.hget(keys.state, "sequence")
            pipe.xrange(keys.events, self._cursor)
            found = pipe.execute()
        for one, (spent, held) in zip(BUDGETS, found, strict=False):
            # I6: held is the sum of open holds; I5: spent is the sum of what was charged.
            same(
                (int(spent or 0), int(held or 0)),
                (model.spent[one.id], model.held[one.id]),
                f"budget {one.id}: spent, held",
            )
            same(int(held or 0) >= 0, True, "I6: held is not negative")
        for at, client in enumerate(SETS):
            number, need = found[len(BUDGETS) + 2 * at : len(BUDGETS) + 2 * at + 2]
            same(int(number or 0), model.in_flight[client], f"client {client} in flight")
            needed = None if need[0] is None else (int(need[0]), int(need[1]))
            same(needed, model.needs.get(client), f"what client {client} has needed")
        *_, cards, sequence, entries = found
        same(cards, sum(life.state == "open" for life in self.lives), "open holds listed")
        same(int(sequence), model.sequence, "I10: sequence")
        # I4: one ending each, at most one correction, and none that the model does not know.
        same(self.seen(entries), model.events, "events")
        self.waiting += model.events
        model.events.clear()

    def seen(self, entries: Iterable[Any]) -> list[Event]:
        """The events in entries of the stream, which are not looked at again."""
        found = []
        for entry, fields in entries:
            self._cursor = f"({entry.decode()}"
            request_id, kind, outcome = (
                fields[name].decode() for name in (b"id", b"kind", b"outcome")
            )
            found.append((request_id, kind, outcome, int(fields[b"cost"])))
        return found

    def check_records(self) -> None:
        """I5, I8 and I9: once all is recorded, SQL has what the counters have, and no less than
        was billed."""
        self.record()
        for one in BUDGETS:
            charged = sum(self.records.charged(life) for life in self.lives if one in life.budgets)
            same(charged, self.model.spent[one.id], f"I5: budget {one.id}")
        for life in self.lives:
            if life.ended is not None and (life.id, "request") in self.records.rows:
                same(self.records.charged(life) >= life.ended[1], True, f"I9: {life.id}")
