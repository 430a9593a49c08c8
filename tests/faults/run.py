"""One run: start a deployment, break it under load, let it come to rest, and judge."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import redis
from sqlalchemy import func, select
from sqlalchemy.exc import SQLAlchemyError

from gateway.adapters.embedded_redis import EmbeddedRedis
from gateway.adapters.object_rows import open_work
from gateway.adapters.tables import usage_records
from gateway.workers.audit import run_audit
from tests.e2e.provider import SimulatedProvider, until
from tests.faults.breaking import Breaking, Watch
from tests.faults.deployment import Deployment
from tests.faults.plan import failpoints, rates, schedule
from tests.faults.proxy import Mode
from tests.faults.traffic import Traffic
from tests.faults.verdict import Found, Limit, Row, Verdict, judge
from tests.stores import shared_postgres

REPLACE_SECONDS = 4.0
QUIET_SECONDS = 120.0


@dataclass(frozen=True)
class Options:
    """What to run."""

    seed: str
    seconds: float
    database: str = "sqlite"
    power_loss: bool = False
    intents: str = "redis"
    factor: float = 1.0
    """How much more often than usual everything breaks."""


@dataclass
class Result:
    """What happened in a run, and what came of it."""

    options: Options
    verdict: Verdict
    kills: Counter[str]
    other: Counter[str]
    traffic: Counter[str]
    looks: int
    seconds: float
    errors: list[str] = field(default_factory=list)
    """What went wrong in the rig itself."""

    @property
    def killed(self) -> int:
        """All kills."""
        return sum(self.kills.values())

    @property
    def ok(self) -> bool:
        """Whether the deployment kept its promise, and the rig worked."""
        return self.verdict.ok and not self.errors


@contextlib.contextmanager
def _database(kind: str, folder: Path) -> Iterator[str]:
    if kind == "sqlite":
        yield f"sqlite:///{folder / 'faregate.db'}"
        return
    with shared_postgres(f"faults-{os.getpid()}") as server, server.fresh_database() as url:
        yield url


@contextlib.contextmanager
def running(options: Options, folder: Path, database_url: str) -> Iterator[Deployment]:
    """A deployment that dies at failpoints, ended with the context."""
    apart = folder / "provider"
    apart.mkdir()
    points = failpoints(options.seed, factor=options.factor)
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(EmbeddedRedis(folder / "redis"))
        provider = SimulatedProvider(apart)
        stack.callback(provider.process.kill_group)
        deployment = Deployment(
            folder,
            provider,
            server,
            database_url,
            seed=options.seed,
            failpoints=points,
            intents=options.intents,
        )
        stack.callback(deployment.close)
        yield deployment


def run(options: Options, keep: Path | None = None) -> Result:
    """Run, and clean up; where the result is bad, or ``keep`` names a folder, all logs stay."""
    folder = keep or Path(tempfile.mkdtemp(prefix="faregate-faults-"))
    with (
        _database(options.database, folder) as database_url,
        running(options, folder, database_url) as deployment,
    ):
        result = break_it(deployment, options)
    if result.ok and keep is None:
        shutil.rmtree(folder, ignore_errors=True)
    elif not result.ok:
        result.errors.append(f"logs and stores of this run are in {folder}")
    return result


def break_it(deployment: Deployment, options: Options) -> Result:
    """Break a deployment under load, let it come to rest, and judge."""
    begun = time.monotonic()
    often = rates(options.database, power_loss=options.power_loss)
    steps = schedule(options.seed, options.seconds, often, factor=options.factor)
    traffic, breaking = Traffic(deployment, options.seed), Breaking(deployment)
    watch = Watch(deployment)
    traffic.start()
    replacing = _Again(traffic)
    breaking.run(steps)
    left = options.seconds - (time.monotonic() - begun)
    if left > 0:
        time.sleep(left)
    replacing.end()
    traffic.end()
    errors = list(breaking.errors)
    waiting = _come_to_rest(deployment, errors)
    over = watch.end()
    verdict = judge(found(deployment, over, waiting, options.power_loss))
    kills = breaking.kills.copy()
    for what, times in deployment.says.items():
        if what.startswith("kill "):
            kills[f"at {what.removeprefix('kill ')}"] += times
    return Result(
        options,
        verdict,
        kills,
        breaking.other,
        traffic.counts,
        watch.looks,
        time.monotonic() - begun,
        errors,
    )


class _Again:
    """Gives exhausted clients' places to new ones, now and then."""

    def __init__(self, traffic: Traffic) -> None:
        self._traffic = traffic
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._stop.wait(REPLACE_SECONDS):
            with contextlib.suppress(redis.RedisError, SQLAlchemyError, Exception):
                self._traffic.replace_exhausted()

    def end(self) -> None:
        self._stop.set()
        self._thread.join(60)


def _come_to_rest(deployment: Deployment, errors: list[str]) -> int:
    """Start everything again, unbroken, and wait until nothing is open; what still waits."""
    for proxy in filter(
        None, (deployment.redis_proxy, deployment.provider_proxy, deployment.sql_proxy)
    ):
        proxy.set(Mode.PASS)
    deployment.calm()
    deployment.provider.quiet()

    def at_rest() -> bool:
        with contextlib.suppress(redis.RedisError, SQLAlchemyError):
            server, keys = deployment.redis(), deployment.keys
            if server.zcard(keys.holds) == 0:
                # Events that killed recorders had read are else left to them for a while.
                deployment.finish_recording()
            return (
                server.zcard(keys.holds) == 0
                and server.xlen(keys.events) == 0
                and deployment.spooled() == 0
                and not open_work(deployment.engine)
            )
        return False

    try:
        until(at_rest, QUIET_SECONDS, "the deployment to come to rest")
    except AssertionError as error:
        errors.append(str(error))
    return int(deployment.redis().xlen(deployment.keys.events)) + deployment.spooled()


def found(deployment: Deployment, over: list[str], waiting: int, power_lost: bool = False) -> Found:
    """Everything that a verdict is about, read past the proxies."""
    server, keys = deployment.redis(), deployment.keys
    spent, held = {}, {}
    for name in server.scan_iter(match=keys.budget_pattern(), count=1000):
        _, budget_id, start = name.decode().rsplit(":", 2)
        values = server.hmget(name, "spent", "held")
        window = int(budget_id), int(start)
        spent[window], held[window] = (int(value or 0) for value in values)
    limits = {
        row.id: Limit(row.name, row.limit_nano)
        for row in deployment.directory.budgets(removed=True)
        if row.enforcement == "strict"
    }
    report = run_audit(deployment.budgets, deployment.engine)
    differ = [
        (check.id, f"{check.name}: {d}") for check in report.checks for d in check.differences
    ]
    # I1 counts labelled upper bounds too: after a power loss the provider's charges decide.
    over += [said for number, said in differ if number == "I1"]
    return Found(
        charges=deployment.provider.charges(),
        rows=_rows(deployment),
        limits=limits,
        spent=spent,
        held=held,
        open_holds=int(server.zcard(keys.holds)),
        waiting=waiting,
        over_seen=over,
        audit=[said for number, said in differ if number != "I1"],
        power_lost=power_lost,
    )


def _rows(deployment: Deployment) -> list[Row]:
    c = usage_records.c
    columns = (c.request_id, c.kind, c.cost_nano, c.hold_nano, c.certainty, c.endpoint)
    with deployment.engine.connect() as connection:
        assert connection.execute(select(func.count()).select_from(usage_records)).scalar_one()
        return [
            Row(*row[:-1], windows=_windows(row[-1]))
            for row in connection.execute(select(*columns, c.budget_windows))
        ]


def _windows(listed: str) -> tuple[tuple[int, int], ...]:
    parts = (part.split(":") for part in listed.split(",") if part)
    return tuple((int(part[0]), int(part[1])) for part in parts)
