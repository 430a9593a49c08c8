"""What the audit keeps in memory does not grow with what was recorded or waits."""

from __future__ import annotations

import tracemalloc
from dataclasses import replace

import pytest
from sqlalchemy import Engine

from gateway.adapters.usage_rows import record
from gateway.core.events import UsageEvent
from gateway.workers import audit_records
from tests.adapters.redis_world import World
from tests.databases import open_migrated
from tests.workers.audited import Deployment

FEW, MANY = 1_000, 6_000


@pytest.fixture
def engine(sqlite_url: str) -> Engine:
    return open_migrated(sqlite_url)


def copies(event: UsageEvent, name: str, number: int) -> list[UsageEvent]:
    """As many requests like this one."""
    rows = ({**event.row, "request_id": f"frq_{name}_{n:08}"} for n in range(number))
    return [replace(event, row=row) for row in rows]


def peak(deployment: Deployment) -> int:
    """The most bytes that Python had in use during an audit of all this."""
    tracemalloc.start()
    report = deployment.audit()
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    # What was copied into SQL alone is in no counter and in no hold.
    assert {c.name for c in report.checks if not c.ok} == {
        "counters = records",
        "repeated calls change nothing",
    }
    return most


def test_records_are_never_in_memory_together(
    world: World, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit_records, "_PAGE", 100)
    deployment = Deployment(world, engine)
    (event,) = world.events()
    deployment.drain()
    record(engine, copies(event, "few", FEW))
    few = peak(deployment)
    record(engine, copies(event, "many", MANY))
    many = peak(deployment)
    # Seven times the records: a thousand of them alone are a megabyte and more.
    assert many < few * 1.25


def test_events_that_wait_are_never_in_memory_together(world: World, engine: Engine) -> None:
    deployment = Deployment(world, engine)
    keys = world.budgets.keys
    ((_, fields),) = deployment.redis.xrange(keys.events)
    peaks, waiting = [], 0
    for number in (FEW, MANY):
        with deployment.redis.pipeline(transaction=False) as pipe:
            for n in range(waiting, waiting + number):
                changed = {b"id": b"frq_waits_%08d" % n, b"sequence": b"0", b"cost": b"0"}
                pipe.xadd(keys.events, {**fields, **changed})
            pipe.execute()
        waiting += number
        tracemalloc.start()
        report = deployment.audit()
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert report.waiting == waiting + 1
        assert report.ok, [c for c in report.checks if not c.ok]
    assert peaks[1] < peaks[0] * 1.25
