"""Starts the processes of one machine, starts again what dies, and stops them in order."""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from time import monotonic

import structlog

from gateway.adapters.embedded_redis import EmbeddedRedis
from gateway.adapters.stores import embedded_folder
from gateway.settings import Settings

RESTART_PAUSE_SECONDS = 1.0
HEALTHY_SECONDS = 10.0
QUICK_DEATHS_MAX = 5
_PR_SET_PDEATHSIG = 1

_log = structlog.get_logger(__name__)


class ChildFailed(Exception):
    """A process keeps dying right after its start."""


@dataclass
class Child:
    """One supervised process."""

    name: str
    module: Sequence[str]
    stop_seconds: float
    process: subprocess.Popen[bytes] | None = None
    started_at: float = 0.0
    quick_deaths: int = 0
    environment: dict[str, str] = field(default_factory=dict)


def _die_with_parent() -> None:
    """Ask the kernel to stop this child when its supervisor is killed (Linux)."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


class Supervisor:
    """The embedded Redis (unless one is configured) and the children given to ``add``."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._redis: EmbeddedRedis | None = None
        self._children: list[Child] = []
        self._metrics_folder = tempfile.mkdtemp(prefix="faregate-metrics-")
        self.environment = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": self._metrics_folder}

    def start_redis(self) -> str:
        """The URL of the configured Redis, or of the embedded one, started here.

        Raises EmbeddedRedisError.
        """
        if self._settings.redis_url is None:
            self._redis = EmbeddedRedis(embedded_folder(self._settings))
            self._redis.start()
            self.environment["FAREGATE_REDIS_URL"] = self._redis.url
            return self._redis.url
        return self._settings.redis_url

    def add(
        self,
        name: str,
        module: Sequence[str],
        *,
        stop_seconds: float,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """Start ``python -m MODULE...`` and keep it running."""
        child = Child(name, module, stop_seconds, environment=dict(environment or {}))
        self._children.append(child)
        self._launch(child)

    def run(self, stop: threading.Event) -> None:
        """Keep everything running until ``stop`` is set. Raises ChildFailed."""
        while not stop.wait(0.25):
            if self._redis is not None:
                self._redis.ensure_running()
            for child in self._children:
                self._look_after(child, stop)

    def stop(self) -> None:
        """Stop the children in the order of their start, each in good order, then Redis."""
        for child in self._children:
            if child.process is None:
                continue
            child.process.terminate()
            try:
                child.process.wait(child.stop_seconds)
            except subprocess.TimeoutExpired:
                _log.warning("supervisor.killed", child=child.name)
                self._kill_group(child.process)
        if self._redis is not None:
            self._redis.stop()
        shutil.rmtree(self._metrics_folder, ignore_errors=True)

    def _look_after(self, child: Child, stop: threading.Event) -> None:
        if child.process is None or child.process.poll() is None:
            return
        lived = monotonic() - child.started_at
        child.quick_deaths = 0 if lived > HEALTHY_SECONDS else child.quick_deaths + 1
        if child.quick_deaths >= QUICK_DEATHS_MAX:
            raise ChildFailed(
                f"the {child.name} process stops right after its start (exit code"
                f" {child.process.returncode}); its messages above say why"
            )
        _log.warning("supervisor.restarting", child=child.name, exit_code=child.process.returncode)
        self._kill_group(child.process)
        if not stop.wait(RESTART_PAUSE_SECONDS):
            self._launch(child)

    def _launch(self, child: Child) -> None:
        child.started_at = monotonic()
        # A session of its own: Ctrl-C in a terminal reaches the supervisor alone, which stops
        # its children in order.
        child.process = subprocess.Popen(
            [sys.executable, "-m", *child.module],
            env={**self.environment, **child.environment},
            start_new_session=True,
            preexec_fn=_die_with_parent if sys.platform == "linux" else None,
        )

    @staticmethod
    def _kill_group(process: subprocess.Popen[bytes]) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
