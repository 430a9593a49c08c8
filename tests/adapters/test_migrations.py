"""The schema that migrations make is the one that the code is written for."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, inspect, text

from gateway.adapters.database import DatabaseError, open_engine, schema_revision
from gateway.adapters.migrations import check_schema, head_revision, upgrade
from gateway.adapters.tables import metadata
from tests.cli.rig import record_request

MIGRATIONS = Path(__file__).parents[2] / "migrations"


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    """An empty database."""
    engine = open_engine(database_url, pooled=False)
    yield engine
    engine.dispose()


def scripts() -> ScriptDirectory:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    return ScriptDirectory.from_config(config)


def differences(engine: Engine) -> list[Any]:
    def is_ours(item: Any, name: str | None, kind: str, _reflected: bool, _to: Any) -> bool:
        if kind != "table":
            # PostgreSQL gives each partition a copy of every index.
            return not str(getattr(item, "table", item).name).startswith("usage_records_")
        return name != "alembic_version" and not str(name).startswith("usage_records_")

    with engine.connect() as connection:
        options = {"include_object": is_ours, "compare_type": True}
        context = MigrationContext.configure(connection, opts=options)
        return list(compare_metadata(context, metadata))


def test_migrations_make_the_tables_of_the_code(engine: Engine) -> None:
    assert differences(engine), "an empty database must differ"
    upgrade(engine)
    assert differences(engine) == []
    check_schema(engine)


def test_partitions_are_no_difference(engine: Engine) -> None:
    upgrade(engine)
    record_request(engine)
    partitions = [name for name in inspect(engine).get_table_names() if "records_" in name]
    assert len(partitions) == (1 if engine.dialect.name == "postgresql" else 0)
    assert differences(engine) == []


def test_upgrading_again_changes_nothing(engine: Engine) -> None:
    upgrade(engine)
    upgrade(engine)
    assert schema_revision(engine) == head_revision()


def test_there_is_one_head_and_one_way_to_it() -> None:
    assert scripts().get_heads() == [head_revision()]
    assert len(scripts().get_bases()) == 1


def test_an_empty_database_is_told_from_an_old_and_a_new_one(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(DatabaseError, match="is empty: run `faregate init`"):
        check_schema(engine)
    upgrade(engine)
    with monkeypatch.context() as patch:
        # As if a later migration had come with this version.
        patch.setattr("gateway.adapters.migrations.head_revision", lambda: "later")
        with pytest.raises(DatabaseError, match=r"not later: run `faregate init`"):
            check_schema(engine)
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(DatabaseError, match="made by a newer Faregate"):
        check_schema(engine)
