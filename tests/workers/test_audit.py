"""Every invariant, broken on purpose, is found; and nothing else is."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import Engine, insert, select, text

from gateway.adapters.redis_budgets import RedisBudgets, connect
from gateway.adapters.schema import metadata
from gateway.adapters.tables import usage_records
from gateway.core.holds import BudgetRefused
from gateway.core.usage import Usage
from gateway.workers.audit import run_audit
from gateway.workers.audit_report import AuditReport, Charge
from gateway.workers.expirer import Expirer
from gateway.workers.recorder import Recorder
from tests.adapters.redis_world import UNKNOWN, World
from tests.workers.audited import LIMIT, Deployment
from tests.workers.tampering import TAMPERED


@pytest.fixture
def deployment(world: World, engine: Engine) -> Deployment:
    return Deployment(world, engine)


def broken(report: AuditReport) -> set[str]:
    return {check.name for check in report.checks if not check.ok}


def test_an_honest_deployment_passes(deployment: Deployment) -> None:
    report = deployment.audit()
    assert report.ok, [check.differences for check in report.checks]
    assert (report.records, report.waiting, report.open_holds) == (7, 1, 1)
    assert report.cost_nano == 100 + 40 + 0 + 200 + 30
    # No intents are written, and no budget is old enough to be held against every record.
    nothing = {"intents are held", "parents = children"}
    assert {check.name for check in report.checks if not check.compared} <= nothing
    assert {check.id for check in report.checks} == {f"I{n}" for n in range(1, 11)}
    deployment.drain()
    after = deployment.audit()
    assert (after.ok, after.waiting, after.cost_nano) == (True, 0, 440)


def test_an_empty_deployment_passes(world: World, engine: Engine) -> None:
    report = run_audit(world.budgets, engine, [])
    assert report.ok
    assert report.records == 0


def test_every_tampering_is_found(world: World, engine: Engine) -> None:
    honest = Deployment(world, engine)
    # A past that budgets are old enough to be held against.
    honest.sql("UPDATE budgets SET created_at = '2026-01-01 00:00:00.000000'")
    assert honest.audit().ok
    restore = _snapshot(honest)
    alone = set()
    for name, tampering in TAMPERED.items():
        tampering.does(honest)
        before = contents(honest)
        report = honest.audit()
        assert contents(honest) == before, f"the audit changed something: {name}"
        assert broken(report) == tampering.broken, name
        if tampering.request is not None:
            assert tampering.request(honest) in named(report), name
        found = {check.id for check in report.checks if not check.ok}
        alone |= found if len(found) == 1 else set()
        restore()
    assert honest.audit().ok
    # Each can be broken without another. I1 has a test of its own below.
    assert alone == {f"I{n}" for n in range(2, 11)}


def test_a_difference_is_explained_by_request(deployment: Deployment) -> None:
    deployment.drain()
    counted_twice, (first, *_) = deployment.waiting, deployment.served
    deployment.redis.hincrby(deployment.window(deployment.daily), "spent", 70)
    deployment.redis.delete(deployment.world.budgets.keys.hold(first))
    deployment.intend("frq_sent")
    report = deployment.audit()
    said = {check.name: " ".join(map(str, check.differences)) for check in report.checks}
    spent = said["counters = records"]
    assert f"The difference is the cost of request {counted_twice}, as if" in spent
    assert "budget 'daily'" in spent
    assert "`faregate rebuild` sets the counter" in spent
    forgotten = said["repeated calls change nothing"]
    assert forgotten.startswith(f"request {first}: found None, expected closed or expired.")
    sent = said["intents are held"]
    assert sent.startswith("request frq_sent: found None, expected 200. It may have been sent")


def test_a_lost_event_is_not_rebuilt_away(deployment: Deployment) -> None:
    deployment.redis.delete(deployment.world.budgets.keys.events)
    said = [str(d) for check in deployment.audit().checks for d in check.differences]
    assert len([one for one in said if "Do not rebuild before its cost is known" in one]) == 3
    assert len([one for one in said if one.startswith(f"request {deployment.waiting}: ")]) == 1


def named(report: AuditReport) -> set[str]:
    """The requests that a report names."""
    found = {d for check in report.checks for d in check.differences}
    return {one for d in found for one in (d.request_id, *d.requests) if one is not None}


def contents(d: Deployment) -> dict[str, object]:
    """Everything in both stores."""
    found: dict[str, object] = {"redis": d.world.everything()}
    with d.engine.connect() as connection:
        for table in metadata.sorted_tables:
            rows = connection.execute(select(table)).all()
            found[table.name] = sorted(map(repr, rows))
    return found


def _snapshot(d: Deployment) -> Callable[[], None]:
    """A function that puts both stores back as they are now."""
    dumped = {name: d.redis.dump(name) for name in d.redis.scan_iter()}
    copied = (
        "usage_records hourly_usage daily_usage daily_costs daily_tags daily_latency adjustments"
        " budget_windows intents deployment prices owned_objects"
    )
    tables = copied.split()
    with d.engine.connect() as connection:
        kept = {
            table: [
                dict(row._mapping) for row in connection.execute(text(f"SELECT * FROM {table}"))
            ]
            for table in tables
        }

    def restore() -> None:
        d.redis.flushall()
        for name, value in dumped.items():
            d.redis.restore(name, 0, value)
        with d.engine.begin() as connection:
            for table, rows in kept.items():
                connection.execute(text(f"DELETE FROM {table}"))
                for row in rows:
                    names = ", ".join(row)
                    values = ", ".join(f":{name}" for name in row)
                    connection.execute(
                        text(f"INSERT INTO {table} ({names}) VALUES ({values})"), row
                    )
            # The first of each is whose traffic there was.
            connection.execute(text("UPDATE clients SET team_id = id"))
            connection.execute(text("UPDATE keys SET client_id = 1"))

    return restore


def test_a_record_written_twice_is_found(deployment: Deployment) -> None:
    with deployment.engine.begin() as connection:
        query = select(usage_records).where(usage_records.c.cost_nano == 100)
        row = dict(connection.execute(query).one()._mapping)
        # The key has the time in it, so nothing in the schema forbids this.
        row["held_at"] += timedelta(milliseconds=1)
        connection.execute(insert(usage_records).values(**row))
    assert "one ending each" in broken(deployment.audit())


def test_an_overspent_budget_is_found(deployment: Deployment) -> None:
    hold = deployment.reserve()
    deployment.settle(hold, LIMIT)
    report = deployment.audit()
    assert broken(report) == {"spent + held <= limit"}
    assert {check.id for check in report.checks if not check.ok} == {"I1"}
    (check,) = (check for check in report.checks if not check.ok)
    assert len(check.differences) == 2
    first = check.differences[0]
    assert "'total'" in first.about
    assert first.window == f"{deployment.total.id}:0"
    assert first.requests == (hold.request_id,)
    assert f"Request {hold.request_id} cost more than was held" in first.explanation


def test_overspending_by_upper_bounds_is_called_that(deployment: Deployment) -> None:
    deployment.drain()
    # As after a power loss: what Redis forgot was spent again, and is charged as unknown.
    deployment.sql("UPDATE budgets SET limit_nano = 600 WHERE enforcement = 'strict'")
    deployment.sql(
        "UPDATE usage_records SET budget_windows = replace(budget_windows, ':10000:', ':600:')"
    )
    listed = deployment.open.placed_on.replace(":10000:", ":600:")
    key = deployment.world.budgets.keys.hold(deployment.open.request_id)
    deployment.redis.hset(key, "budgets", listed)
    report = deployment.audit()
    assert {check.id for check in report.checks if not check.ok} == {"I1"}
    (check,) = (check for check in report.checks if not check.ok)
    assert {d.found for d in check.differences} == {100 + 40 + 70 + 200 + 30 + 200}
    assert all("are upper bounds" in d.explanation for d in check.differences)
    assert deployment.open.request_id in check.differences[0].requests


@pytest.mark.parametrize("ended", [False, True])
def test_a_limit_that_was_lowered_afterwards_is_no_overspending(
    deployment: Deployment, ended: bool
) -> None:
    if ended:
        deployment.settle(deployment.open, 10)
        deployment.drain()
    for name in ("total", "daily"):
        deployment.directory.change_budget(name, limit_nano=0)
    assert deployment.audit().ok
    if not ended:
        # A hold in flight or an event in the stream is witness enough.
        deployment.sql("DELETE FROM usage_records")
        assert "spent + held <= limit" not in broken(deployment.audit())


# Against the provider's own charges


def test_the_provider_s_charges_are_matched_one_by_one(deployment: Deployment) -> None:
    deployment.world.release(deployment.open)
    deployment.drain()
    first, second, third = deployment.served
    truth = [
        Charge(first, Usage(input_tokens=10), "default"),
        Charge(second, Usage(output_tokens=2), "default"),
        Charge(third, Usage(), "default"),
        Charge(deployment.waiting, Usage(input_tokens=5, output_tokens=1), "default"),
    ]
    with deployment.engine.connect() as connection:
        records = connection.execute(
            text("SELECT request_id, certainty, cost_nano, kind FROM usage_records")
        ).all()
    corrected = next(row.request_id for row in records if row.kind == "correction")
    truth.append(Charge(corrected, Usage(input_tokens=3), "default"))
    report = deployment.audit(truth)
    assert report.ok, [check.differences for check in report.checks]

    name = {"records = provider's charges"}
    assert broken(deployment.audit(truth[1:])) == name
    assert broken(deployment.audit([*truth, truth[0]])) == name
    assert broken(deployment.audit([*truth, Charge("frq_unknown", Usage(), "default")])) == name
    dearer = Charge(first, Usage(input_tokens=11), "default")
    assert broken(deployment.audit([dearer, *truth[1:]])) == name
    # An upper bound may be above the charge, and never below it.
    unknown = next(
        row.request_id
        for row in records
        if row.certainty == "unknown" and row.request_id != corrected
    )
    assert deployment.audit([*truth, Charge(unknown, Usage(input_tokens=20), "default")]).ok
    over = [*truth, Charge(unknown, Usage(input_tokens=21), "default")]
    assert broken(deployment.audit(over)) == name


# While traffic goes on


class Traffic:
    """Clients, a recorder and an expirer that go on until they are stopped."""

    def __init__(self, deployment: Deployment) -> None:
        self.deployment = deployment
        self.stop = threading.Event()
        self.failures: list[BaseException] = []
        parts = [*(lambda n=n: self.client(n) for n in range(3)), self.background]
        self.threads = [threading.Thread(target=self.guarded, args=(part,)) for part in parts]

    def __enter__(self) -> Traffic:
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop.set()
        for thread in self.threads:
            thread.join()

    def guarded(self, part: Callable[[], None]) -> None:
        try:
            part()
        except BaseException as error:
            self.failures.append(error)

    def client(self, number: int) -> None:
        world = self.deployment.world
        connection = connect(world.url, 5.0)
        budgets = RedisBudgets(connection, world.budgets.keys, 60)
        chance = random.Random(number)
        turn = 0
        while not self.stop.is_set():
            turn += 1
            # Budgets that begin while an audit looks on.
            fresh = replace(self.deployment.soft, id=100_000 * (number + 1) + turn // 5)
            wish = world.wish(*self.deployment.budgets, fresh, request_id=f"t_{number}_{turn}")
            try:
                hold = budgets.reserve(wish)
            except BudgetRefused:
                continue
            end = chance.random()
            if end < 0.2:
                budgets.release(hold, UNKNOWN)
                continue
            if end < 0.4:
                connection.zadd(budgets.keys.holds, {hold.request_id: 1}, xx=True)
                budgets.expire(hold, UNKNOWN)
            budgets.settle(hold, chance.randrange(3), 1, 1, UNKNOWN)

    def background(self) -> None:
        world = self.deployment.world
        client = connect(world.url, 5.0)
        recorder = Recorder(client, world.budgets.keys, self.deployment.engine, 50)
        while not self.stop.is_set():
            recorder.step(1)
            Expirer(world.budgets).step()


def test_no_false_alarm_while_traffic_goes_on(deployment: Deployment) -> None:
    reports: list[AuditReport] = []
    with Traffic(deployment) as traffic:
        while len(reports) < 8 and not traffic.failures:
            reports.append(deployment.audit())
    assert traffic.failures == []
    for report in reports:
        assert report.ok, [check for check in report.checks if not check.ok]
    assert reports[-1].records > reports[0].records
    deployment.drain()
    assert deployment.audit().ok
