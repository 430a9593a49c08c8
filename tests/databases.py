"""Databases with the schema, for tests."""

from __future__ import annotations

import tempfile
from functools import cache
from pathlib import Path

from sqlalchemy import Engine, make_url

from gateway.adapters.database import open_engine
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


def open_migrated(url: str) -> Engine:
    """An engine on the empty database of ``url``, with the schema; SQLite migrates only once."""
    engine = open_engine(url, pooled=False)
    if engine.dialect.name == "sqlite":
        Path(str(make_url(url).database)).write_bytes(_migrated_sqlite())
    else:
        upgrade(engine)
    return engine
