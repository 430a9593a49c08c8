"""Alembic's entry point; ``faregate init`` runs it with the engine to use."""

from __future__ import annotations

from typing import Any

from alembic import context
from sqlalchemy import text

from gateway.adapters.database import open_engine
from gateway.adapters.schema import metadata
from gateway.settings import load_settings


def include_name(name: str | None, type_: str, _parents: Any) -> bool:
    """Monthly partitions belong to usage_records, not to the model."""
    return not (type_ == "table" and name is not None and name.startswith("usage_records_"))


def run() -> None:
    """Apply the wanted migrations in one transaction."""
    engine = context.config.attributes.get("engine") or open_engine(load_settings().sql_url)
    with engine.connect() as connection:
        context.configure(
            connection=connection,
            target_metadata=metadata,
            include_name=include_name,
            render_as_batch=connection.dialect.name == "sqlite",
        )
        with context.begin_transaction():
            if connection.dialect.name == "postgresql":
                # Two at once would create the same tables: the second waits, and finds them.
                connection.execute(text("SELECT pg_advisory_xact_lock(7262838)"))
            context.run_migrations()
        connection.commit()


run()
