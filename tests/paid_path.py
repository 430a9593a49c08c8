"""The paid path of one gateway process in this process, before a provider of bare sockets.

The stores are real and hold one client with a budget and a key; no server runs, so a test can
take an answer byte by byte, or leave it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy import Engine

from gateway.adapters.allowances import Allowances
from gateway.adapters.directory import Directory
from gateway.adapters.hold_keeper import HoldKeeper
from gateway.adapters.metrics import Metrics
from gateway.adapters.object_keeper import ObjectKeeper
from gateway.adapters.policies import Policies
from gateway.adapters.redis_budgets import RedisBudgets
from gateway.adapters.spool import Spool
from gateway.adapters.tokenizer import Tokenizer
from gateway.adapters.upstream import Upstream
from gateway.adapters.usage_rows import ended
from gateway.adapters.watermarks import Watermarks
from gateway.admission import admit
from gateway.app import open_budgets
from gateway.core.bounds import Bound
from gateway.core.budgets import WindowKind
from gateway.core.events import UsageEvent, parse_event
from gateway.core.holds import Hold
from gateway.core.policy import Policy
from gateway.core.prices import Meter, Price, Rate
from gateway.exchange import Exchange, Gate
from gateway.settings import Settings
from tests.databases import open_migrated

HELD_NANO = 1_000
LIMIT_NANO = 10_000
PRICE = Price(
    id=1,
    model="m",
    names=(),
    source="test",
    valid_from=datetime(2020, 1, 1, tzinfo=UTC),
    tiers={"default": {Meter.INPUT: Rate(1, 1), Meter.OUTPUT: Rate(2, 1)}},
)
"""A nano-dollar for each token that goes in, two for each that comes out."""


@dataclass
class PaidPath:
    """One gateway process without its server."""

    gate: Gate
    budgets: RedisBudgets
    engine: Engine
    secret: str
    """Of the client's key."""

    def exchange(self, policy: Policy, **given: Any) -> Exchange:
        """A request of the one client that costs HELD_NANO at most; ``given`` go before that."""
        (client,) = policy.clients.values()
        (key,) = policy.keys.values()
        values: dict[str, Any] = {
            "endpoint": "things",
            "model": "m",
            "body": {"a": 1},
            "bound": Bound(input_tokens=1, fixed_nano=HELD_NANO),
            "price": PRICE,
            **given,
        }
        return Exchange(policy=policy, client=client, key=key, **values)

    def admitted(self, **given: Any) -> tuple[Exchange, Hold]:
        """Such a request with its hold."""
        return admit(self.gate, partial(self.exchange, **given))

    def counters(self) -> tuple[int, int]:
        """Spent and held of the one budget."""
        budgets = self.budgets
        found = budgets.redis.hmget(budgets.keys.budget(1, 0), "spent", "held")
        return int(found[0] or 0), int(found[1] or 0)

    def events(self) -> list[UsageEvent]:
        budgets = self.budgets
        return [parse_event(fields) for _, fields in budgets.redis.xrange(budgets.keys.events)]

    def outcome(self) -> tuple[int, str, int, str | None]:
        """Cost, certainty, status and reason of the one record there is."""
        (event,) = self.events()
        row = event.row
        return row["cost_nano"], row["certainty"], row["status"], row.get("reason")

    def settled(self) -> bool:
        """Whether nothing is held, in flight or owned any more."""
        return self.counters()[1] == 0 and self.gate.keeper.in_flight == 0


def open_paid_path(redis_url: str, sqlite_url: str, provider_port: int) -> PaidPath:
    """A deployment with one client, whose provider listens on ``provider_port``."""
    engine = open_migrated(sqlite_url)
    directory = Directory(engine)
    directory.initialise("Acme")
    directory.create_team("team")
    directory.create_client("team", "client")
    directory.create_budget("b", limit_nano=LIMIT_NANO, window=WindowKind.TOTAL, client="client")
    secret = directory.create_key("client").secret
    settings = Settings(
        redis_url=redis_url,
        openai_api_key="sk-provider",  # type: ignore[arg-type]
        upstream_url=f"http://127.0.0.1:{provider_port}/v1",
        upstream_read_timeout_seconds=10,
    )
    # Over plain connections: the pipeline of a server's process needs its patched sockets.
    budgets = open_budgets(settings)
    budgets.publish(directory.version())
    policies = Policies(engine, budgets)
    keeper = HoldKeeper(budgets, settings.hold_lease_seconds, partial(ended, engine))
    # Nothing is drawn here: what would be could be written nowhere.
    spool = Spool(Path("/dev/null"), lambda call, *args: call(*args))
    gate = Gate(
        settings=settings,
        policies=policies,
        keeper=keeper,
        allowances=Allowances(budgets, keeper, spool, lambda: policies.current, 900.0),
        objects=ObjectKeeper(engine, budgets),
        upstream=Upstream(settings),
        tokenizer=Tokenizer(),
        metrics=Metrics(),
        watermarks=Watermarks(budgets, settings.events_max, settings.redis_memory_percent),
    )
    return PaidPath(gate, budgets, engine, secret)
