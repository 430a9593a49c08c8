"""A deployment to break: several gateways, a recorder, Redis, SQL and a provider, with a proxy
before each thing that is reached over a network."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import sqlite3
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from uuid import uuid4

import orjson
import psutil
from sqlalchemy import create_engine, make_url, text

from gateway.adapters.embedded_redis import EmbeddedRedis
from tests.e2e.provider import SimulatedProvider, until
from tests.e2e.rig import Rig
from tests.faults import fork_recorder
from tests.faults.proxy import FaultProxy, Target
from tests.processes import ProcessFailed, Running

LEASE_SECONDS = 3.0
SETTINGS = {
    "hold_lease_seconds": LEASE_SECONDS,
    "redis_timeout_seconds": 1.5,
    "upstream_read_timeout_seconds": 4,
    "upstream_connect_timeout_seconds": 2,
    "heartbeat_seconds": 0.5,
    "drain_seconds": 3,
    "graceful_seconds": 8,
    "follow_seconds": 0.3,
    "recorder_batch": 50,
    "log_level": "warning",
}
WORKERS = 3


class Master:
    """One gateway: a master process, its workers, and the port they listen on."""

    def __init__(self, running: Running, port: int) -> None:
        self.running, self.port = running, port

    @property
    def alive(self) -> bool:
        """Whether the master runs."""
        return self.running.process.poll() is None

    def workers(self) -> list[int]:
        """The process ids of its workers."""
        with contextlib.suppress(psutil.Error):
            children = psutil.Process(self.running.pid).children()
            return sorted(one.pid for one in children if one.status() != psutil.STATUS_ZOMBIE)
        return []


class Deployment(Rig):
    """A rig whose processes reach everything through proxies, and die at failpoints."""

    def __init__(
        self,
        folder: Path,
        provider: SimulatedProvider,
        redis: EmbeddedRedis,
        database_url: str,
        *,
        seed: str,
        failpoints: str = "",
        intents: str = "redis",
        masters: int = 2,
    ) -> None:
        """``failpoints`` and ``intents`` are settings of all processes; the former until ``calm``
        is called."""
        self.server = redis
        self.seed, self._failpoints = seed, failpoints
        self.redis_proxy = FaultProxy(str(redis.socket_path))
        self.provider_proxy = FaultProxy(("127.0.0.1", provider.port))
        self.sql_proxy: FaultProxy | None = None
        self._proxied = {
            "FAREGATE_REDIS_URL": f"redis://127.0.0.1:{self.redis_proxy.port}",
            "FAREGATE_UPSTREAM_URL": f"http://127.0.0.1:{self.provider_proxy.port}/v1",
        }
        if (target := _postgres_socket(database_url)) is not None:
            self.sql_proxy = FaultProxy(target)
            url = make_url(database_url).set(host="127.0.0.1", port=self.sql_proxy.port, query={})
            self._proxied["FAREGATE_DATABASE_URL"] = url.render_as_string(hide_password=False)
        self._starts = 0
        self._lock = threading.Lock()
        self._pid_path = folder / "recorder.pid"
        self.masters: dict[int, Master] = {}
        self.says: Counter[str] = Counter()
        """How often processes that have ended did something to themselves, by what and where."""
        settings = {**SETTINGS, "intents": intents}
        super().__init__(
            folder, provider, redis.url, database_url=database_url, recorder="none", **settings
        )
        self.masters[0] = Master(self.gateway, self.port)
        with ThreadPoolExecutor(masters) as pool:
            list(pool.map(self.start_master, range(1, masters)))
        self.recorders = self._start_recorders()

    # Processes

    def _environment(self) -> dict[str, str | None]:
        with self._lock:
            self._starts += 1
            seed = f"{self.seed}-{self._starts}"
        points = f"{self._failpoints},seed={seed}" if self._failpoints else None
        own = {"FAREGATE_FAILPOINTS": points, "FAREGATE_WORKERS": str(WORKERS)}
        return {**self.environment, **self._proxied, **own}

    def _start_gateway(self) -> Running:
        running, self.port = self._launch()
        return running

    def _launch(self) -> tuple[Running, int]:
        metrics = self.folder / f"metrics-{uuid4().hex[:8]}"
        metrics.mkdir()
        environment = {**self._environment(), "PROMETHEUS_MULTIPROC_DIR": str(metrics)}
        command = [sys.executable, "-m", "gateway.server"]
        running = Running(command, env=environment, cwd=self.folder)
        line = r"faregate: listening on http://127\.0\.0\.1:(\d+)/v1"
        return running, int(running.wait_for_line(line)[1])

    def start_master(self, number: int) -> None:
        """Start gateway ``number``, however often its start fails under what is broken."""
        for _ in range(20):
            with contextlib.suppress(ProcessFailed):
                self.masters[number] = Master(*self._launch())
                return
        raise AssertionError(f"gateway {number} does not start")

    def _start_recorders(self) -> Running:
        command = [sys.executable, "-m", fork_recorder.__name__, str(self._pid_path)]
        running = Running(command, env=self._environment(), cwd=self.folder)
        until(self.recorder_pid, 30, "a recorder to start")
        return running

    def recorder_pid(self) -> int | None:
        """The recorder that runs, or ran until just now."""
        with contextlib.suppress(OSError, ValueError):
            return int(self._pid_path.read_text())
        return None

    def open_ports(self) -> list[int]:
        """The ports of the gateways that run."""
        return [master.port for master in list(self.masters.values()) if master.alive]

    def a_worker(self, pick: float) -> int | None:
        """The process id of one of all workers; ``pick`` is a fraction of their number."""
        workers = [pid for master in list(self.masters.values()) for pid in master.workers()]
        return workers[int(pick * len(workers))] if workers else None

    def replace_master(self, pick: float, *, alone: bool) -> bool:
        """Kill one gateway, or its master process alone, and start another in its place."""
        with self._lock:
            running = [number for number, master in self.masters.items() if master.alive]
            if not running:
                return False
            number = running[int(pick * len(running))]
            dead = self.masters[number].running
            dead.process.kill()
        if alone:
            dead.kill()
        else:
            dead.kill_group()
        self.start_master(number)
        self._bury(dead)
        return True

    def _bury(self, dead: Running) -> None:
        """Keep what a gateway has said, once the last of its workers has gone."""
        with contextlib.suppress(AssertionError):
            until(lambda: not _group_lives(dead.pid), 15, "orphaned workers to end")
        dead.kill_group()
        self._note_said(dead)

    def _note_said(self, running: Running) -> None:
        said = running.stderr
        with self._lock:
            path = self.folder / f"log-{running.pid}.txt"
            path.write_text(running.stdout + said)
            self.says.update(failpoints_in(said))

    # What can be broken

    def restart_redis(self) -> None:
        """Start Redis again where it does not run."""
        self.server.ensure_running()

    @contextlib.contextmanager
    def sql_locked(self) -> Iterator[None]:
        """Nothing can be written to SQL meanwhile."""
        if self.engine.dialect.name == "sqlite":
            path = str(self.engine.url.database)
            with contextlib.closing(sqlite3.connect(path, timeout=30, isolation_level=None)) as db:
                db.execute("BEGIN EXCLUSIVE")
                yield
                db.execute("ROLLBACK")
            return
        engine = create_engine(self.engine.url)
        with engine.begin() as connection:
            connection.execute(text("LOCK TABLE usage_records, hourly_usage IN EXCLUSIVE MODE"))
            yield
        engine.dispose()

    # The end

    def calm(self) -> None:
        """Nothing breaks any more: processes end in order, and start without failpoints."""
        self.restart_redis()
        self._failpoints = ""
        old = list(self.masters.values())
        with ThreadPoolExecutor(len(old)) as pool:
            list(pool.map(self._end_master, old))
        self.gateway, self.port = self._launch()
        self.masters = {0: Master(self.gateway, self.port)}
        with contextlib.suppress(ProcessFailed):
            self.recorders.stop(10)
        self.recorders.kill_group()
        self._note_said(self.recorders)
        self._pid_path.unlink(missing_ok=True)
        self.recorders = self._start_recorders()

    def _end_master(self, master: Master) -> None:
        with contextlib.suppress(ProcessFailed):
            master.running.stop(30)
        self._bury(master.running)

    def spooled(self) -> int:
        """Bytes of endings that wait on disk."""
        folder = self.folder / "spool"
        return sum(path.stat().st_size for path in folder.glob("*")) if folder.exists() else 0

    def close(self) -> None:
        """End everything at once."""
        with contextlib.ExitStack() as stack:
            for proxy in filter(None, (self.redis_proxy, self.provider_proxy, self.sql_proxy)):
                stack.callback(proxy.close)
            stack.callback(self.engine.dispose)
            if hasattr(self, "recorders"):
                stack.callback(self.recorders.kill_group)
            for master in list(self.masters.values()):
                stack.callback(master.running.kill_group)


def failpoints_in(said: str) -> Counter[str]:
    """What processes did to themselves, by action and point, from what they said."""
    found: Counter[str] = Counter()
    for line in said.splitlines():
        if '"failpoint.' in line:
            with contextlib.suppress(orjson.JSONDecodeError, KeyError):
                row = orjson.loads(line)
                found[f"{row['event'].removeprefix('failpoint.')} {row['point']}"] += 1
    return found


def _group_lives(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except (ProcessLookupError, PermissionError):
        return False
    return True


def _postgres_socket(url: str) -> Target | None:
    parsed = make_url(url)
    if parsed.get_backend_name() != "postgresql":
        return None
    host = parsed.query.get("host") or parsed.host
    folder = host if isinstance(host, str) else str(host)
    if folder.startswith("/"):
        return f"{folder}/.s.PGSQL.{parsed.port or 5432}"
    return (folder, parsed.port or 5432)


def signal_to(pid: int | None, number: signal.Signals) -> bool:
    """Send a signal; whether there was somebody to get it."""
    if pid is None:
        return False
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)
        return True
    return False


def seeded(seed: str, what: str) -> random.Random:
    """Chance of its own for each part of a run."""
    return random.Random(f"{seed}/{what}")
