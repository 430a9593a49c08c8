"""The whole paid path in real processes: simulator, gateway, recorder, Redis and SQL.

A rig is one deployment. Rigs of one test process share a simulator and a Redis server, where
each has a key prefix of its own, unless a test is about killing one of them.
"""

from __future__ import annotations

import contextlib
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any
from uuid import uuid4

import redis
from sqlalchemy import Engine, func, select

from gateway.adapters.directory import Directory, NewKey
from gateway.adapters.price_gaps import full_prices
from gateway.adapters.price_rows import sync_prices
from gateway.adapters.redis_budgets import RedisBudgets, connect
from gateway.adapters.redis_keys import RedisKeys
from gateway.adapters.tables import budget_windows, hourly_usage, usage_records
from gateway.core.budgets import Enforcement, WindowKind
from gateway.core.policy import Sharing
from gateway.settings import load_settings
from gateway.workers import recorder as recorder_module
from gateway.workers.background import run_background
from gateway.workers.recorder import Recorder
from tests.databases import open_migrated
from tests.e2e.money import cost_nano
from tests.e2e.provider import SimulatedProvider, clean_environment, until
from tests.e2e.traffic import Caller
from tests.processes import Running

PROVIDER_KEY = "sk-canary-provider-key-of-the-rig"
_RECORDER = "from gateway.cli.recorder import command; command()"


@dataclass(frozen=True)
class Tenant:
    """A client made for one test, with a team of its own."""

    id: int
    name: str
    team: str
    key: NewKey
    budget: str | None
    caller: Caller


@dataclass(frozen=True)
class Recorded:
    """What SQL says of one request: the sum of its record and its corrections."""

    cost_nano: int
    certainty: str
    status: int
    outcome: str
    rows: tuple[Any, ...]


class Rig:
    """One deployment, running."""

    GATEWAY = ("-m", "gateway.server")
    """What its interpreter runs."""

    def __init__(
        self,
        folder: Path,
        provider: SimulatedProvider,
        redis_url: str,
        *,
        database_url: str | None = None,
        recorder: str = "inside",
        **settings: object,
    ) -> None:
        """``recorder`` runs ``inside`` this process, as a ``process`` of its own, or ``none``."""
        self.folder, self.provider = folder, provider
        self.prefix = f"rig-{uuid4().hex[:8]}"
        database_url = database_url or f"sqlite:///{folder / 'faregate.db'}"
        values = {
            "data_dir": folder,
            "port": 0,
            "workers": 2,
            "redis_url": redis_url,
            "redis_prefix": self.prefix,
            "database_url": database_url,
            "upstream_url": provider.url,
            "forward_header_prefixes": "x-sim-",
            "hold_lease_seconds": 30,
            "follow_seconds": 0.1,
            **settings,
        }
        self.environment = clean_environment(
            OPENAI_API_KEY=PROVIDER_KEY,
            **{f"FAREGATE_{name.upper()}": value for name, value in values.items()},
        )
        self.engine: Engine = open_migrated(database_url, pooled=True)
        self.directory = Directory(self.engine)
        self.directory.initialise("acme")
        sync_prices(self.engine, full_prices())
        self.keys = RedisKeys(self.prefix)
        lease = float(str(values["hold_lease_seconds"]))
        self._lease_seconds = lease
        self._follow_seconds = float(str(values["follow_seconds"]))
        self.budgets = RedisBudgets(connect(redis_url, 3.0), self.keys, lease)
        self._blocking = connect(redis_url, 5.0)
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._names = count(1)
        self.publish()
        self.recorder: Running | None = None
        if recorder == "inside":
            self._start_inside()
        elif recorder == "process":
            self.start_recorder()
        self.past_output: list[str] = []
        self.gateway = self._start_gateway()

    # Processes

    def _start_gateway(self) -> Running:
        metrics = self.folder / f"metrics-{uuid4().hex[:8]}"
        metrics.mkdir()
        environment = {**self.environment, "PROMETHEUS_MULTIPROC_DIR": str(metrics)}
        process = Running([sys.executable, *self.GATEWAY], env=environment, cwd=self.folder)
        found = process.wait_for_line(r"faregate: listening on http://127\.0\.0\.1:(\d+)/v1")
        self.port = int(found[1])
        return process

    def restart_gateway(self) -> None:
        """A new gateway after the old one has ended; callers made before point nowhere."""
        self.past_output += [self.gateway.stdout, self.gateway.stderr]
        self.gateway.close()
        self.gateway = self._start_gateway()

    def start_recorder(self) -> Running:
        """The recorder process, as the command line starts it."""
        if self.recorder is not None:
            self.past_output += [self.recorder.stdout, self.recorder.stderr]
            self.recorder.close()
        self.recorder = Running(
            [sys.executable, "-c", _RECORDER], env=self.environment, cwd=self.folder
        )
        return self.recorder

    def _start_inside(self) -> None:
        # Straight to the provider, whatever lies between it and the gateway.
        own = load_settings(
            openai_api_key=PROVIDER_KEY,
            upstream_url=self.provider.url,
            follow_seconds=self._follow_seconds,
            hold_lease_seconds=self._lease_seconds,
        )
        arguments = (self.budgets, self._blocking, self.engine, own, self._stop)
        self._thread = threading.Thread(target=run_background, args=arguments, daemon=True)
        self._thread.start()

    def close(self) -> None:
        with contextlib.ExitStack() as stack:
            stack.callback(self.engine.dispose)
            stack.callback(self._stop_inside)
            if self.recorder is not None:
                stack.callback(self.recorder.kill_group)
            # Not in order: how that goes has a test of its own, and takes seconds.
            stack.callback(self.gateway.kill_group)

    def _stop_inside(self) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join(10)

    def check_alive(self) -> None:
        """Fail, with what it wrote, where the gateway has ended by itself."""
        if self.gateway.process.poll() is not None:
            raise AssertionError(f"the gateway ended: {self.output()[-8000:]}")

    def output(self) -> str:
        """All that the gateway and the recorder process have written."""
        running = [self.gateway] + ([self.recorder] if self.recorder else [])
        return "".join([*self.past_output, *(p.stdout + p.stderr for p in running)])

    # Who may call

    def publish(self) -> None:
        """Announce what changed in the directory."""
        self.budgets.publish(self.directory.version())

    def tenant(
        self,
        budget_nano: int | None = None,
        *,
        window: WindowKind = WindowKind.TOTAL,
        enforcement: Enforcement = Enforcement.STRICT,
        **limits: Any,
    ) -> Tenant:
        """A new team and client with a key, and a budget of the client where one is given."""
        name = f"client-{next(self._names)}-{uuid4().hex[:6]}"
        self.directory.create_team(f"team-{name}")
        client_id = self.directory.create_client(f"team-{name}", name, **limits)
        key = self.directory.create_key(name)
        budget = None
        if budget_nano is not None:
            budget = f"budget-{name}"
            self.directory.create_budget(
                budget, limit_nano=budget_nano, window=window, client=name, enforcement=enforcement
            )
        self.publish()
        caller = Caller(self.port, key.secret)
        return Tenant(client_id, name, f"team-{name}", key, budget, caller)

    def mate(self, tenant: Tenant, **limits: Any) -> Tenant:
        """Another client of the tenant's team."""
        name = f"client-{next(self._names)}-{uuid4().hex[:6]}"
        client_id = self.directory.create_client(tenant.team, name, **limits)
        key = self.directory.create_key(name)
        self.publish()
        return Tenant(client_id, name, tenant.team, key, None, Caller(self.port, key.secret))

    def share(self, tenant: Tenant, sharing: Sharing) -> None:
        """Change what the clients of the tenant's team share."""
        self.directory.change_team(tenant.team, sharing)
        self.publish()

    def again(self, tenant: Tenant) -> Caller:
        """The tenant's caller at the gateway that runs now."""
        return Caller(self.port, tenant.key.secret)

    # What the stores say

    def redis(self) -> redis.Redis:
        client: redis.Redis = self.budgets.redis
        return client

    def drain(self, seconds: float = 30.0) -> None:
        """Return once no hold is open and every usage event is in SQL."""

        def done() -> bool:
            with contextlib.suppress(redis.RedisError):
                holds = self.redis().zcard(self.keys.holds)
                return holds == 0 and self.redis().xlen(self.keys.events) == 0
            return False

        until(done, seconds, "holds and usage events to be resolved and recorded")

    def counters(self, budget: str | None) -> dict[str, int]:
        """``spent`` and ``held`` of the one window that ``budget`` has had, from Redis."""
        (row,) = [b for b in self.directory.budgets(removed=True) if b.name == budget]
        pattern = self.keys.budget_pattern().replace("*", f"{row.id}:*")
        found = list(self.redis().scan_iter(match=pattern, count=1000))
        if not found:
            return {"spent": 0, "held": 0}
        (name,) = found
        fields: Any = self.redis().hgetall(name)
        counters = {field.decode(): int(value) for field, value in fields.items()}
        return {"spent": 0, "held": 0, **counters}

    def records(self) -> dict[str, Recorded]:
        """What SQL says of every request, by request id."""
        found: dict[str, list[Any]] = {}
        query = select(usage_records).order_by(usage_records.c.recorded_at, usage_records.c.kind)
        with self.engine.connect() as connection:
            for row in connection.execute(query):
                found.setdefault(row.request_id, []).append(row)
        return {request_id: _recorded(rows) for request_id, rows in found.items()}

    def rows(self) -> int:
        """How many usage records SQL has."""
        with self.engine.connect() as connection:
            query = select(func.count()).select_from(usage_records)
            return int(connection.execute(query).scalar_one())

    def record(self, request_id: str) -> Recorded:
        """What SQL says of one request, once it is recorded."""
        self.drain()
        return self.records()[request_id]

    def truth_nano(self, request_id: str) -> int:
        """What the provider charged for one request; at most one attempt may have reached it."""
        self.provider.quiet()
        charges = self.provider.charges().get(request_id, [])
        assert len(charges) <= 1, "a request was sent to the provider more than once"
        return sum(cost_nano(charge) for charge in charges)

    def audit(self) -> dict[str, int]:
        """Check that every total agrees with every other; returns what was compared."""
        self.drain()
        with self.engine.connect() as connection:
            rows = connection.execute(select(usage_records)).all()
            hours = connection.execute(select(hourly_usage)).all()
            sums = connection.execute(select(budget_windows)).all()
        recorded = sum(row.cost_nano for row in rows)
        assert recorded == sum(hour.cost_nano for hour in hours), "rollups differ from records"
        requests = sum(1 for row in rows if row.kind == "request")
        assert requests == sum(hour.requests for hour in hours)
        assert len({(row.request_id, row.kind) for row in rows}) == len(rows), "recorded twice"
        by_budget: Counter[int] = Counter()
        for row in rows:
            for part in filter(None, row.budget_windows.split(",")):
                by_budget[int(part.split(":")[0])] += row.cost_nano
        in_sql: Counter[int] = Counter()
        for row in sums:
            in_sql[row.budget_id] += row.spent_nano
        in_redis: Counter[int] = Counter()
        for name in self.redis().scan_iter(match=self.keys.budget_pattern(), count=1000):
            fields: Any = self.redis().hgetall(name)
            held = int(fields.get(b"held", 0))
            assert held == 0, f"{name!r} still holds {held}"
            in_redis[int(name.decode().rsplit(":", 2)[1])] += int(fields.get(b"spent", 0))
        assert +by_budget == +in_sql == +in_redis, "records, sums and counters differ"
        for name in self.redis().scan_iter(match=self.keys.client(0)[:-1] + "*", count=1000):
            assert int(self.redis().hget(name, "inflight") or 0) == 0, name
        assert self.redis().xlen(self.keys.rejected_events) == 0
        return {"records": len(rows), "recorded_nano": recorded, "budgets": len(in_sql)}

    def finish_recording(self) -> None:
        """Record what a killed recorder left behind, without the minute it is given to return."""
        patience = recorder_module.CLAIM_IDLE_MS
        recorder_module.CLAIM_IDLE_MS = 0
        try:
            Recorder(self._blocking, self.keys, self.engine, 500).drain()
        finally:
            recorder_module.CLAIM_IDLE_MS = patience


def _recorded(rows: list[Any]) -> Recorded:
    kinds = Counter(row.kind for row in rows)
    assert kinds["request"] == 1, f"{rows[0].request_id}: {kinds}"
    assert kinds["correction"] <= 1, f"{rows[0].request_id}: {kinds}"
    last = max(rows, key=lambda row: (row.kind == "correction", row.recorded_at))
    cost = sum(row.cost_nano for row in rows)
    return Recorded(cost, last.certainty, last.status, last.outcome, tuple(rows))


@contextlib.contextmanager
def running(rig: Rig) -> Iterator[Rig]:
    """``rig``, ended with the context."""
    try:
        yield rig
    finally:
        rig.close()
