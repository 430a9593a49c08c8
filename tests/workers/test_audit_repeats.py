"""What is said twice counts once: found where the key that sees to it is gone."""

from __future__ import annotations

import pytest
from sqlalchemy import Engine, create_engine, text

from gateway.workers import audit_repeats
from gateway.workers.audit_report import AuditReport, Check
from tests.adapters.redis_world import World
from tests.workers.audited import Deployment


def broken(report: AuditReport) -> list[Check]:
    return [check for check in report.checks if not check.ok]


def test_records_that_would_be_taken_twice_are_found(world: World, engine: Engine) -> None:
    deployment = Deployment(world, engine)
    with engine.begin() as connection:
        # The same rows, in a table without a key.
        connection.execute(text("CREATE TABLE keyless AS SELECT * FROM usage_records"))
        connection.execute(text("DROP TABLE usage_records"))
        connection.execute(text("ALTER TABLE keyless RENAME TO usage_records"))
    (check,) = broken(deployment.audit())
    assert (check.id, check.name) == ("I7", "repeated events change nothing")
    assert {d.request_id for d in check.differences} >= {*deployment.served, deployment.expired}
    with engine.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM usage_records")).scalar_one() == 7


def test_only_the_newest_are_tried(
    world: World, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    deployment = Deployment(world, engine)
    monkeypatch.setattr(audit_repeats, "OFFERED", 3)
    monkeypatch.setattr(audit_repeats, "SAMPLE", 2)
    compared = {check.name: check.compared for check in deployment.audit().checks}
    assert compared["repeated events change nothing"] == 3
    assert compared["repeated calls change nothing"] == 2


def test_who_may_only_read_is_told_what_was_left_out(world: World, postgres_url: str) -> None:
    from tests.databases import open_migrated

    deployment = Deployment(world, open_migrated(postgres_url))
    reading = create_engine(
        deployment.engine.url, connect_args={"options": "-c default_transaction_read_only=on"}
    )
    deployment.engine.dispose()
    deployment.engine = reading
    report = deployment.audit()
    assert report.ok
    (check,) = (c for c in report.checks if c.name == "repeated events change nothing")
    assert check.compared == 0
    assert "read-only" in check.notes[0]
    reading.dispose()
