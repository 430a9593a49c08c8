"""The demo's processes: started step by step, watched, and ended in order."""

from __future__ import annotations

import contextlib
import http.client
import os
import shutil
import tempfile
import threading
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from time import monotonic
from typing import Any

import orjson
from pydantic import SecretStr
from sqlalchemy import Engine

from gateway.adapters.directory import Directory
from gateway.adapters.redis_budgets import RedisBudgets, connect
from gateway.adapters.redis_keys import RedisKeys
from gateway.adapters.usage_rows import has_records
from gateway.demo.calls import FINISH_SECONDS, Plan
from gateway.demo.ports import free_port
from gateway.demo.real_model import SLOTS
from gateway.demo.seed import seed, seed_admin
from gateway.settings import Settings, environment_name
from gateway.supervisor import ChildFailed, Supervisor

START_SECONDS = 60.0
POLL_SECONDS = 0.05
"""A port tells nobody that it begins to answer, so it is asked this often."""

GRACEFUL_SECONDS = 20
HOLD_LEASE_SECONDS = 20.0
SETTLED_SECONDS = HOLD_LEASE_SECONDS + 10
"""By then even a hold whose process died is resolved and written down."""

TOKEN_INTERVAL_MS = 15
"""Pause of the simulation between two events of a stream: a lively model's pace."""


class DemoFailed(Exception):
    """The demo cannot go on; the message says why."""


class Interrupted(Exception):
    """A stop was asked for while something was waited for."""


@dataclass(frozen=True, slots=True)
class Options:
    """What the demo was asked for."""

    port: int
    data_dir: Path
    real: bool


@contextlib.contextmanager
def data_folder(kept: Path | None) -> Iterator[Path]:
    """The folder of the demo's data: ``kept``, or a fresh one that goes with the demo."""
    if kept is not None:
        kept.mkdir(parents=True, exist_ok=True, mode=0o700)
        yield kept.absolute()
        return
    folder = Path(tempfile.mkdtemp(prefix="faregate-demo-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def demo_settings(options: Options, upstream_port: int) -> Settings:
    """Settings in which neither the environment nor a .env file has a say."""
    values: dict[str, Any] = {
        name: field.get_default(call_default_factory=True)
        for name, field in Settings.model_fields.items()
        if name != "openai_api_key"
    }
    folder = options.data_dir / ("real-model" if options.real else "simulation")
    folder.mkdir(exist_ok=True, mode=0o700)
    values.update(
        # By its alias: the name in the environment would win over the field's own.
        OPENAI_API_KEY=SecretStr("sk-demo-not-a-key"),
        openai_admin_key=SecretStr("sk-admin-demo"),
        upstream_url=f"http://127.0.0.1:{upstream_port}/v1",
        data_dir=folder,
        spool_dir=folder / "spool",
        redis_url=None,
        database_url=f"sqlite:///{folder / 'faregate.db'}",
        port=options.port,
        graceful_seconds=GRACEFUL_SECONDS,
        drain_seconds=GRACEFUL_SECONDS,
        hold_lease_seconds=HOLD_LEASE_SECONDS,
        forward_header_prefixes=("x-sim-",),
        log_level="warning",
    )
    return Settings(**values)


def environment_of(settings: Settings, redis_url: str) -> dict[str, str]:
    """The environment of the demo's processes: every setting stated, nothing inherited."""
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("FAREGATE_", "OPENAI_"))
    }
    for name in Settings.model_fields:
        value = getattr(settings, name)
        if isinstance(value, tuple):
            value = ",".join(value)
        if isinstance(value, SecretStr):
            value = value.get_secret_value()
        if value is not None:
            environment[environment_name(name)] = str(value)
    environment["FAREGATE_REDIS_URL"] = redis_url
    # Proxies are for the world outside.
    environment["NO_PROXY"] = environment["no_proxy"] = "127.0.0.1"
    return environment


class Stage:
    """Everything that runs. ``close`` ends it, however far it came."""

    def __init__(self, options: Options, stop: threading.Event) -> None:
        self._options = options
        self._stop = stop
        self.upstream_port = free_port()
        self.settings = demo_settings(options, self.upstream_port)
        self.truth_log = self.settings.data_dir / "truth.jsonl"
        self.report_path = self.settings.data_dir / "clients.json"
        self._plan_path = self.settings.data_dir / "plan.json"
        self._troupes: list[_Troupe] = []
        self._back = self._troupe()
        self._front = self._troupe()
        self._crowd = self._troupe()
        self._environment: dict[str, str] = {}
        self.keys: dict[str, str] = {}
        self.password = ""
        """Of the account that signs in to the dashboard."""
        self._engine: Engine | None = None
        self._budgets: RedisBudgets | None = None

    @property
    def base_url(self) -> str:
        """Where the gateway answers."""
        return f"http://127.0.0.1:{self._options.port}/v1"

    @property
    def dashboard_url(self) -> str:
        """Where people look at it."""
        return f"http://127.0.0.1:{self._options.port}/"

    @property
    def engine(self) -> Engine:
        """The database, once there is one."""
        assert self._engine is not None
        return self._engine

    @property
    def budgets(self) -> RedisBudgets:
        """The counters, once there are any."""
        assert self._budgets is not None
        return self._budgets

    # The steps of the start, in their order. Each raises Interrupted where a stop was asked for.

    def start_stores(self) -> None:
        """Redis and the seeded database. Raises EmbeddedRedisError."""
        redis_url = self._back.supervisor.start_redis()
        self._environment = environment_of(self.settings, redis_url)
        for troupe in self._troupes:
            metrics = troupe.supervisor.environment["PROMETHEUS_MULTIPROC_DIR"]
            troupe.supervisor.environment = {
                **self._environment,
                "PROMETHEUS_MULTIPROC_DIR": metrics,
            }
        self._check()
        client = connect(redis_url, self.settings.redis_timeout_seconds)
        keys = RedisKeys(self.settings.redis_prefix)
        self._budgets = RedisBudgets(client, keys, self.settings.hold_lease_seconds)

    def start_provider(self) -> None:
        """The simulation, or the real model; it is not waited for yet."""
        if self._options.real:
            module = ["gateway.demo.real_model", str(self.upstream_port)]
        else:
            module = [
                *("gateway.simulator", "--quiet", "--port", str(self.upstream_port)),
                *("--truth-log", str(self.truth_log)),
                *("--token-interval-ms", str(TOKEN_INTERVAL_MS)),
            ]
        self._back.supervisor.add("provider", module, stop_seconds=10)

    def start_recorder(self) -> None:
        """Teams, keys, budgets and prices; then the recorder."""
        self._engine, self.keys = seed(self.settings, real=self._options.real)
        self.password = seed_admin(self._engine)
        self._check()
        if self.budgets.policy_version() is not None or not has_records(self._engine):
            # Else Redis came up empty: the recorder publishes the policy with the counters.
            self.budgets.publish(Directory(self._engine).version())
        self._back.supervisor.add("recorder", ["gateway.cli.main", "recorder"], stop_seconds=20)
        self._back.start()

    def start_gateway(self) -> None:
        """The gateway; returns once it and the provider answer. Raises DemoFailed."""
        self._front.supervisor.add(
            "gateway", ["gateway.server"], stop_seconds=GRACEFUL_SECONDS + 10
        )
        self._front.start()
        self._wait_until_answers("provider", self.upstream_port, "/v1/models")
        self._wait_until_answers("gateway", self._options.port, "/readyz")

    def start_traffic(self) -> None:
        """The clients."""
        if self._options.real:
            plan = Plan(self.base_url, self.keys, True, per_second=3, in_flight_max=SLOTS + 1)
        else:
            plan = Plan(self.base_url, self.keys, False, per_second=15, in_flight_max=60)
        self._plan_path.unlink(missing_ok=True)
        self._plan_path.touch(mode=0o600)
        self._plan_path.write_bytes(orjson.dumps(asdict(plan)))
        self._crowd.supervisor.add(
            "traffic",
            ["gateway.demo.traffic", str(self._plan_path), str(self.report_path)],
            stop_seconds=FINISH_SECONDS + 5,
        )
        self._crowd.start()

    # The steps of the end

    def end_traffic(self) -> None:
        """Stop the clients, once they have their answers."""
        self._crowd.end()

    def end_gateway(self) -> None:
        """Stop the gateway, once it has served what it took."""
        self._front.end()

    def wait_until_recorded(self, hurry: threading.Event) -> bool:
        """Wait until no hold is open and no event waits; False where that takes too long."""
        deadline = monotonic() + SETTLED_SECONDS
        while monotonic() < deadline:
            holds = self.budgets.redis.zcard(self.budgets.keys.holds)
            if not holds and not self.budgets.events_waiting():
                return True
            if hurry.wait(POLL_SECONDS):
                return False
        return False

    def close(self) -> None:
        """End whatever still runs; never raises."""
        for troupe in reversed(self._troupes):
            troupe.end()
        self._plan_path.unlink(missing_ok=True)

    def failure(self) -> Exception | None:
        """Why a process could not be kept running, if one could not."""
        return next((t.failure for t in self._troupes if t.failure is not None), None)

    def _troupe(self) -> _Troupe:
        troupe = _Troupe(Supervisor(self.settings), self._stop)
        self._troupes.append(troupe)
        return troupe

    def _check(self) -> None:
        if (failed := self.failure()) is not None:
            raise DemoFailed(str(failed))
        if self._stop.is_set():
            raise Interrupted

    def _wait_until_answers(self, name: str, port: int, path: str) -> None:
        deadline = monotonic() + START_SECONDS
        key = self._environment["OPENAI_API_KEY"]
        while not _answers(port, path, {"Authorization": f"Bearer {key}"}):
            self._stop.wait(POLL_SECONDS)
            self._check()
            if monotonic() > deadline:
                raise DemoFailed(f"the {name} does not answer after {START_SECONDS:.0f} s")


class _Troupe:
    """One supervisor and the thread that keeps its processes running."""

    def __init__(self, supervisor: Supervisor, stop_all: threading.Event) -> None:
        self.supervisor = supervisor
        self.failure: Exception | None = None
        self._stop_all = stop_all
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._ended = False

    def start(self) -> None:
        """Restart what dies, from now on."""
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def end(self) -> None:
        """Stop the processes in order; once."""
        if self._ended:
            return
        self._ended = True
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
        with contextlib.suppress(OSError):
            self.supervisor.stop()

    def _watch(self) -> None:
        try:
            self.supervisor.run(self._stop)
        except Exception as error:
            known = isinstance(error, ChildFailed)
            self.failure = error if known else DemoFailed(f"{type(error).__name__}: {error}")
            self._stop_all.set()


def _answers(port: int, path: str, headers: Mapping[str, str]) -> bool:
    """Whether a page on loopback answers with 200."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", path, headers=dict(headers))
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
