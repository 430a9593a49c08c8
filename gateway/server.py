"""The WSGI server: gunicorn with gevent workers, one greenlet per request.

Run as ``python -m gateway.server``. The patch must come before anything else is imported, so
that sockets, locks and TLS of every library yield to other requests.
"""

from __future__ import annotations

from gevent import monkey

if __name__ == "__main__":
    monkey.patch_all()

import logging
import os
import resource
import sys
from contextlib import suppress
from typing import Any

import structlog
from gunicorn.app.base import BaseApplication
from gunicorn.glogging import Logger
from prometheus_client import multiprocess

from gateway.adapters.redis_budgets import StoreDown
from gateway.app import create_app, services_of, start_background
from gateway.logs import RedactedFormatter, log_what_nobody_logs, set_up_logs
from gateway.settings import Settings, load_settings

_OTHER_DESCRIPTORS = 1024
"""For files, stores and what is not a client or its connection to the provider."""

_log = structlog.get_logger(__name__)


class RedactedLog(Logger):  # type: ignore[misc]
    """gunicorn's own log. It quotes what it cannot parse, and that can be a key."""

    def setup(self, cfg: Any) -> None:
        """As gunicorn does it, and redacted."""
        super().setup(cfg)
        for log in (self.error_log, self.access_log):
            for sink in log.handlers:
                sink.setFormatter(RedactedFormatter(sink.formatter or logging.Formatter()))


class GatewayServer(BaseApplication):  # type: ignore[misc]
    """gunicorn, configured by our settings instead of its own command line."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        super().__init__()

    def load_config(self) -> None:
        """gunicorn's settings."""
        for name, value in gunicorn_options(self._settings).items():
            self.cfg.set(name, value)

    def load(self) -> Any:
        """The WSGI application, called once, before the fork."""
        return create_app(self._settings)


def gunicorn_options(settings: Settings) -> dict[str, Any]:
    """gunicorn's settings by name, for either way to start it."""
    return {
        "bind": f"{settings.host}:{settings.port}",
        "workers": settings.workers,
        "worker_class": "gateway.green_worker.GreenWorker",
        "worker_connections": settings.worker_connections,
        # Loaded once before the fork: vocabularies and code are shared by all workers.
        "preload_app": True,
        "timeout": 60,
        "graceful_timeout": settings.graceful_seconds,
        "keepalive": settings.keepalive_seconds,
        # No peer is believed what it says of itself: by default gunicorn takes SCRIPT_NAME from
        # a header of who calls from this machine, and so serves one path for another.
        "forwarded_allow_ips": "",
        "forwarder_headers": "",
        "backlog": 4096,
        "control_socket_disable": True,
        "proc_name": "faregate",
        "loglevel": "warning",
        "logger_class": RedactedLog,
        "on_starting": _raise_descriptor_limit,
        "post_worker_init": _start_worker,
        "worker_exit": _stop_worker,
        "child_exit": _forget_worker,
        "when_ready": _announce,
    }


def _raise_descriptor_limit(server: Any) -> None:
    """Let a worker have all the connections that its settings promise.

    Many systems allow 1,024 descriptors by default and more to who asks. Without them some
    hundred slow clients would keep everybody else out.
    """
    wanted = 2 * server.cfg.worker_connections + _OTHER_DESCRIPTORS
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return
    most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    if most < wanted:
        _log.warning("server.few_descriptors", allowed=most, wanted=wanted)


def _start_worker(worker: Any) -> None:
    log_what_nobody_logs()
    start_background(worker.app.wsgi())


def _stop_worker(_server: Any, worker: Any) -> None:
    # Requests have finished; what Redis has not taken yet gets a last chance.
    gate = services_of(worker.app.wsgi()).gate
    with suppress(StoreDown):
        gate.allowances.give_back()
    gate.keeper.drain(timeout_seconds=5)
    gate.objects.note_waiting()
    services_of(worker.app.wsgi()).refusals.flush()
    with suppress(StoreDown):
        services_of(worker.app.wsgi()).roll_call.leave()


def _forget_worker(_server: Any, worker: Any) -> None:
    if os.environ.get("PROMETHEUS_MULTIPROC_DIR"):
        multiprocess.mark_process_dead(worker.pid)  # type: ignore[no-untyped-call]


def _announce(server: Any) -> None:
    address = server.LISTENERS[0].sock.getsockname()
    sys.stdout.write(f"faregate: listening on http://{address[0]}:{address[1]}/v1\n")
    sys.stdout.flush()


def main() -> None:
    """Serve until SIGTERM."""
    settings = load_settings()
    set_up_logs(settings)
    log_what_nobody_logs()
    GatewayServer(settings).run()


if __name__ == "__main__":
    main()
