"""Holds a deployment's database locked, as a long migration or a backup would."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator

from sqlalchemy import create_engine, text

from tests.e2e.rig import Rig


@contextlib.contextmanager
def locked(rig: Rig, tables: str) -> Iterator[None]:
    """All of SQLite, or ``tables`` of PostgreSQL, against readers and writers alike."""
    url = rig.engine.url
    if url.get_backend_name() == "sqlite":
        other = sqlite3.connect(str(url.database), timeout=30, isolation_level=None)
        with contextlib.closing(other):
            other.execute("BEGIN EXCLUSIVE")
            yield
            other.execute("ROLLBACK")
        return
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.execute(text(f"LOCK TABLE {tables} IN ACCESS EXCLUSIVE MODE"))
        yield
    engine.dispose()
