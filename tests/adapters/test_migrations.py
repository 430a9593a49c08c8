"""The schema that migrations make is the one that the code is written for."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Column, Engine, MetaData, Table, inspect, select, text

from gateway.adapters.database import DatabaseError, open_engine, schema_revision
from gateway.adapters.migrations import check_schema, head_revision, upgrade
from gateway.adapters.rollup_tables import daily_costs, daily_latency, daily_usage
from gateway.adapters.schema import metadata
from gateway.adapters.tables import hourly_usage, usage_records
from tests.adapters.recorded import rows
from tests.adapters.varied import fill
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


def migrate(engine: Engine, revision: str) -> None:
    """Go to one migration, up or down."""
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["engine"] = engine
    found = schema_revision(engine)
    move = command.upgrade if found is None or found < revision else command.downgrade
    move(config, revision)


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


OLD_HOUR = datetime(2026, 5, 28, 20, tzinfo=UTC)


def fill_before_0002(engine: Engine) -> None:
    """A record and its sum, as the version before 0002 wrote them."""
    record: dict[str, Any] = {
        "request_id": "old",
        "kind": "request",
        "held_at": OLD_HOUR,
        "recorded_at": OLD_HOUR,
        "streamed": False,
        "status": 200,
        "outcome": "settled",
        "image_input_tokens": 3,
        "hold_nano": 9,
        "cost_lines": "[]",
        "budget_windows": "",
    }
    both: dict[str, Any] = {
        "team_id": 1,
        "client_id": 1,
        "key_id": 1,
        "endpoint": "chat/completions",
        "model": "gpt-3.5-turbo",
        "service_tier": "default",
        "certainty": "exact",
        "input_tokens": 10,
        "cached_input_tokens": 0,
        "cache_write_tokens": 0,
        "audio_input_tokens": 0,
        "output_tokens": 5,
        "reasoning_tokens": 0,
        "audio_output_tokens": 0,
        "cost_nano": 7,
    }
    hour = {"hour": OLD_HOUR, "requests": 1, "failures": 0}
    with engine.begin() as connection:
        if engine.dialect.name == "postgresql":
            connection.execute(
                text(
                    "CREATE TABLE usage_records_2026_05 PARTITION OF usage_records"
                    " FOR VALUES FROM ('2026-05-01 00:00:00+00') TO ('2026-06-01 00:00:00+00')"
                )
            )
        for table, row in (("usage_records", record | both), ("hourly_usage", hour | both)):
            columns = [metadata.tables[table].columns[name] for name in row]
            # Only columns that the old schema had: a default must not be filled in here.
            old = Table(table, MetaData(), *(Column(c.name, c.type) for c in columns))
            connection.execute(old.insert().values(row))


def test_a_filled_database_is_upgraded_and_counts_on(engine: Engine) -> None:
    migrate(engine, "0001")
    fill_before_0002(engine)
    upgrade(engine)
    assert differences(engine) == []
    counts = {
        "images": 3,
        "image_output_tokens": 4_160,
        "audio_milliseconds": 8_470,
        "characters": 4_096,
        "trained_tokens": 10_000_000_001,
        "web_search_calls": 2,
    }
    with engine.connect() as connection:
        for table in (usage_records, hourly_usage):
            (row,) = connection.execute(select(table)).all()
            assert {row._mapping[name] for name in counts} == {0}
            assert (row.input_tokens, row.output_tokens, row.cost_nano) == (10, 5, 7)
    record_request(engine, "new", at=OLD_HOUR, usage=counts)
    with engine.connect() as connection:
        (hour,) = connection.execute(select(hourly_usage)).all()
    assert {name: hour._mapping[name] for name in counts} == counts
    assert (hour.requests, hour.input_tokens, hour.cost_nano) == (2, 20, 8)


def test_a_recorder_of_the_version_before_goes_on(engine: Engine) -> None:
    upgrade(engine)
    fill_before_0002(engine)
    with engine.connect() as connection:
        assert connection.execute(select(usage_records.c.images)).scalars().all() == [0]
        assert connection.execute(select(hourly_usage.c.trained_tokens)).scalars().all() == [0]


def test_the_counts_can_be_taken_back(engine: Engine) -> None:
    upgrade(engine)
    record_request(engine)
    migrate(engine, "0001")
    names = {column["name"] for column in inspect(engine).get_columns("usage_records")}
    assert "images" not in names
    assert "audio_output_tokens" in names
    upgrade(engine)
    assert differences(engine) == []


def test_rollups_are_made_of_the_records_that_are_there(engine: Engine) -> None:
    upgrade(engine)
    fill(engine)
    # What no record before these tables had: tags, and what a cache saved.
    with engine.begin() as connection:
        for table in (hourly_usage, daily_usage):
            connection.execute(table.update().values(cache_saved_nano=0))
    tables = (hourly_usage, daily_usage, daily_costs, daily_latency)
    before = [rows(engine, table) for table in tables]
    migrate(engine, "0005")
    upgrade(engine)
    assert [rows(engine, table) for table in tables] == before
    assert all(before)


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
