"""The SQL engine: one place that knows how SQLite and PostgreSQL want to be opened."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sqlalchemy import Engine, create_engine, event, make_url, text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import NullPool

SQLITE_BUSY_MS = 5000


class DatabaseError(Exception):
    """The database cannot be reached or has a wrong schema; the message says what to do."""


def open_engine(url: str, *, pooled: bool = True) -> Engine:
    """An engine for ``url``, whose commits are on disk when they return.

    SQLite runs in WAL mode with FULL sync, PostgreSQL with ``synchronous_commit``, whatever the
    server has for default.
    ``pooled=False`` opens a connection per use, for callers on many threads.
    """
    parsed = make_url(url)
    if parsed.get_backend_name() == "sqlite":
        if parsed.database:
            Path(parsed.database).parent.mkdir(parents=True, exist_ok=True)
        engine = create_engine(
            url,
            poolclass=NullPool,
            connect_args={"timeout": SQLITE_BUSY_MS / 1000},
            hide_parameters=True,
        )
        event.listen(engine, "connect", _prepare_sqlite)
        return engine
    # A lock or a dead server must end in an error that the caller retries, never in a hang.
    options: dict[str, Any] = {
        # Errors quote their statement, and are logged.
        "hide_parameters": True,
        "connect_args": {
            "connect_timeout": 5,
            # A server that the network lost would else be waited for a quarter of an hour.
            "keepalives_idle": 10,
            "keepalives_interval": 5,
            "keepalives_count": 3,
            "tcp_user_timeout": 20_000,
            "options": "-c lock_timeout=10000 -c statement_timeout=60000 -c timezone=UTC"
            " -c synchronous_commit=on",
        },
    }
    if not pooled:
        return create_engine(url, poolclass=NullPool, **options)
    return create_engine(url, pool_size=4, max_overflow=4, pool_pre_ping=True, **options)


def _prepare_sqlite(connection: Any, _record: object) -> None:
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=FULL")
    cursor.execute("PRAGMA foreign_keys=ON")
    cursor.close()


def schema_revision(engine: Engine) -> str | None:
    """The migration that the database is at; None for an empty one. Raises DatabaseError."""
    try:
        with engine.connect() as connection:
            if not engine.dialect.has_table(connection, "alembic_version"):
                return None
            return connection.execute(
                text("SELECT version_num FROM alembic_version")
            ).scalar_one_or_none()
    except SQLAlchemyError as error:
        raise DatabaseError(f"cannot open the database: {first_line(error)}") from error


def first_line(error: BaseException) -> str:
    """The first line of a driver's message: enough for people, and without the statement."""
    source = getattr(error, "orig", None) or error
    lines = str(source).strip().splitlines()
    return lines[0] if lines else type(source).__name__
