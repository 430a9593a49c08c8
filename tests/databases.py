"""Databases with the schema, for tests."""

from __future__ import annotations

import tempfile
from functools import cache
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, event

from gateway.adapters.database import open_engine, schema_revision
from gateway.adapters.migrations import upgrade


@cache
def _migrated_sqlite() -> bytes:
    with tempfile.TemporaryDirectory(prefix="faregate-sqlite-") as folder:
        path = Path(folder) / "faregate.db"
        engine = open_engine(f"sqlite:///{path}", pooled=False)
        upgrade(engine)
        with engine.connect() as connection:
            connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
        engine.dispose()
        return path.read_bytes()


_postgres_statements: list[str] = []
"""What the migrations say to an empty PostgreSQL, once they have said it in this process."""


def _migrate_postgres(engine: Engine) -> None:
    if _postgres_statements:
        with engine.begin() as connection:
            # One round trip instead of eighty, and none of what Alembic computes in between.
            script = ";\n".join(_postgres_statements).replace("%", "%%")
            connection.exec_driver_sql(script)
        return
    said: list[str] = []

    def note(_c: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if not statement.lstrip().startswith(("SELECT", "WITH")):
            said.append(statement)

    event.listen(engine, "before_cursor_execute", note)
    upgrade(engine)
    event.remove(engine, "before_cursor_execute", note)
    _postgres_statements.extend(said)


def migrate(engine: Engine) -> None:
    """Bring the database of ``engine`` to the schema; for empty ones migrations run only once."""
    if engine.dialect.name == "sqlite":
        path = Path(str(engine.url.database))
        if path.exists() and path.stat().st_size:
            upgrade(engine)
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(_migrated_sqlite())
    elif schema_revision(engine) is None:
        _migrate_postgres(engine)
    else:
        upgrade(engine)


def open_migrated(url: str, *, pooled: bool = False) -> Engine:
    """An engine on the empty database of ``url``, with the schema."""
    engine = open_engine(url, pooled=pooled)
    migrate(engine)
    return engine
