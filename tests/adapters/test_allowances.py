"""Outage allowances against a real Redis and SQL: never overspent, whoever dies."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from time import monotonic
from typing import Any, Literal

import gevent
import pytest
from gevent.event import Event
from sqlalchemy import Engine

from gateway.adapters import allowances as allowances_module
from gateway.adapters.allowances import Allowances
from gateway.adapters.hold_keeper import HoldKeeper
from gateway.adapters.redis_budgets import RedisBudgets, StoreDown, connect
from gateway.adapters.roll_call import RollCall
from gateway.adapters.spool import Spool
from gateway.adapters.usage_rows import ended, records_of
from gateway.core.budgets import Budget
from gateway.core.endings import Ending
from gateway.core.holds import BudgetRefused, Hold
from gateway.core.policy import Client, Policy
from gateway.core.prices import PriceBook
from gateway.core.tags import NO_TAGS
from gateway.workers.rebuilder import Rebuilder
from gateway.workers.recorder import Recorder
from tests.adapters.redis_world import RESULT, World, bound
from tests.workers.rebuilding import made_budgets

ALLOWANCE = 400


def at_once(call: Any, *args: Any) -> Any:
    return call(*args)


class Switched(RedisBudgets):
    """Real budgets that can be out of reach."""

    away = False

    def _run(self, script: Any, keys: Any, args: Any) -> Any:
        if self.away:
            raise StoreDown("out of reach")
        return super()._run(script, keys, args)


class Worker:
    """A gateway worker with one client that has an allowance of 400 of a budget of 1,000."""

    def __init__(self, world: World, engine: Engine, folder: Path, budgets: list[Budget]) -> None:
        self.world, self.engine, self.folder = world, engine, folder
        self.total = budgets[2].id
        self.budgets = Switched(connect(world.url, 5.0), world.budgets.keys, 60.0)
        self.spool, self.drawn = Spool(folder, at_once), Spool(folder, at_once)
        self.keeper = HoldKeeper(self.budgets, 60.0, partial(ended, engine), self.spool, self.drawn)
        self.client = replace(world.client, outage_allowance_nano=ALLOWANCE)
        self.policy = self.with_client(self.client, tuple(budgets))
        self.allowances = Allowances(
            self.budgets, self.keeper, self.drawn, lambda: self.policy, 900.0
        )
        self.roll_call = RollCall(self.budgets, self.keeper)
        self.tasks = [gevent.spawn(self.keeper.resolve_backlog)]

    def with_client(self, client: Client, budgets: tuple[Budget, ...]) -> Policy:
        return Policy(
            self.world.version,
            PriceBook(()),
            clients={client.id: client},
            budgets={client.id: budgets},
        )

    def draw(
        self, fixed: int = 100, tags: Mapping[str, str] = NO_TAGS, **bounded: int
    ) -> Hold | None:
        asked = bound(fixed, **bounded)
        context = self.world.wish().context
        covering = self.policy.budgets_for(self.client, "m", tags)
        return self.allowances.draw(self.client, "m", asked, covering, context)

    def drew(self, fixed: int = 100) -> Hold:
        hold = self.draw(fixed)
        assert hold is not None
        return hold

    def settle(self, hold: Hold, cost: int) -> None:
        self.keeper.settle(hold, cost, 5, 5, RESULT)

    def die(self) -> None:
        """As by kill -9: what it had in memory and its locks are gone."""
        gevent.killall(self.tasks)
        for spool in (self.spool, self.drawn):
            if spool._file is not None:
                os.close(spool._file[1])
                spool._file = None

    def counters(self) -> tuple[int, int]:
        return self.world.counters(self.total)

    def recorded(self, hold: Hold) -> list[tuple[str, int, str]]:
        Recorder(connect(self.world.url, 5.0), self.budgets.keys, self.engine, 100).drain()
        found = records_of(self.engine, hold.request_id)
        return [(row.kind, row.cost_nano, row.certainty) for row in found]


@pytest.fixture
def worker(world: World, engine: Engine, tmp_path: Path) -> Iterator[Worker]:
    made = Worker(world, engine, tmp_path, made_budgets(world, engine))
    made.allowances.look()
    yield made
    made.die()


def another(worker: Worker) -> Worker:
    budgets = worker.policy.budgets[worker.client.id]
    return Worker(worker.world, worker.engine, worker.folder, list(budgets))


def test_an_allowance_is_held_beforehand(worker: Worker) -> None:
    assert worker.counters() == (0, ALLOWANCE)
    assert worker.world.limits().get("inflight", 0) == 0
    with pytest.raises(BudgetRefused):
        worker.world.reserve(*worker.policy.budgets[1], bounded=bound(601))
    worker.allowances.look()
    assert worker.counters() == (0, ALLOWANCE), "looking again changes nothing"


def test_what_is_drawn_is_parted_when_redis_is_back_and_never_beside_it(worker: Worker) -> None:
    worker.budgets.away = True
    first, second = worker.drew(150), worker.drew(250)
    assert worker.draw(1) is None, "there is no more"
    worker.settle(first, 40)
    assert worker.keeper.unresolved == 1
    # Others go on meanwhile, and see what is held.
    with pytest.raises(BudgetRefused):
        worker.world.reserve(*worker.policy.budgets[1], bounded=bound(601))
    worker.budgets.away = False
    assert worker.keeper.drain(10)
    assert worker.counters() == (40, 250)
    worker.allowances.look()
    assert worker.counters() == (40, 250), "one is still on its way"
    worker.settle(second, 250)
    assert worker.counters() == (290, 0)
    assert worker.recorded(first) == [("request", 40, "exact")]
    assert worker.recorded(second) == [("request", 250, "exact")]
    # Then it is set aside anew.
    worker.allowances.look()
    assert worker.counters() == (290, ALLOWANCE)
    assert worker.world.limits()["inflight"] == 0


def test_output_is_granted_as_far_as_the_allowance_goes(worker: Worker) -> None:
    hold = worker.draw(100, per_token=10, wanted=100, floor=5)
    assert hold is not None
    assert (hold.granted_output_tokens, hold.amount_nano) == (30, 400)
    assert worker.draw(0, per_token=10, wanted=100, floor=1) is None


def test_without_an_allowance_nothing_is_drawn(worker: Worker) -> None:
    stranger = replace(worker.client, id=2)
    context = worker.world.wish().context
    assert worker.allowances.draw(stranger, "m", bound(1), (), context) is None


def test_it_lapses_before_its_lease_does(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    later = monotonic() + 721
    monkeypatch.setattr(allowances_module, "monotonic", lambda: later)
    assert worker.draw() is None
    lease_end = worker.budgets.redis.zrange(worker.budgets.keys.holds, 0, 0, withscores=True)
    assert lease_end[0][1] > worker.world.now_ms() + 800_000


def test_a_budget_that_it_is_not_held_against_is_not_drawn_on(worker: Worker) -> None:
    added = replace(worker.policy.budgets[1][0], id=99)
    worker.policy = worker.with_client(worker.client, (*worker.policy.budgets[1], added))
    assert worker.draw() is None


def test_budgets_of_a_tag_are_left_out_and_what_has_the_tag_is_not_served(worker: Worker) -> None:
    (budget, *_) = worker.policy.budgets[1]
    # Were it held against this one too, it would have no room.
    narrow = replace(budget, id=99, tag="project=alpha", limit_nano=1)
    worker.policy = worker.with_client(worker.client, (*worker.policy.budgets[1], narrow))
    worker.allowances.look()
    assert worker.counters() == (0, ALLOWANCE)
    assert worker.draw(tags={"project": "alpha"}) is None
    assert worker.draw(tags={"project": "beta"}) is not None


@pytest.mark.parametrize("amount", [0, 700])
def test_a_change_gives_it_back_and_sets_it_aside_anew(worker: Worker, amount: int) -> None:
    client = replace(worker.client, outage_allowance_nano=amount)
    worker.policy = worker.with_client(client, worker.policy.budgets[1])
    worker.allowances.look()
    assert worker.counters() == (0, amount)


def test_one_that_a_budget_has_no_room_for_is_asked_for_later(
    worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker.allowances.give_back()
    taken = worker.world.reserve(*worker.policy.budgets[1], bounded=bound(700))
    worker.allowances.look()
    assert worker.counters() == (0, 700)
    worker.world.release(taken)
    worker.allowances.look()
    assert worker.counters() == (0, 0), "not at once"
    monkeypatch.setattr(allowances_module, "REFUSED_SECONDS", 0)
    later = monotonic() + 11
    monkeypatch.setattr(allowances_module, "monotonic", lambda: later)
    worker.allowances.look()
    assert worker.counters() == (0, ALLOWANCE)


def test_a_worker_that_stops_gives_it_back(worker: Worker) -> None:
    worker.allowances.give_back()
    assert worker.counters() == (0, 0)
    assert list(worker.folder.glob("*.spool")) == []


Death = Literal["idle", "sent", "answered", "settled"]


@pytest.mark.parametrize("death", ["idle", "sent", "answered", "settled"])
def test_a_worker_that_is_killed_is_settled_by_another(worker: Worker, death: Death) -> None:
    hold = None
    if death != "idle":
        worker.budgets.away = True
        hold = worker.drew(150)
    if hold and death != "sent":
        worker.settle(hold, 40)
    if death == "settled":
        worker.budgets.away = False
        assert worker.keeper.backlog._empty.wait(10)
    worker.die()
    other = another(worker)
    adopted = other.spool.adopt()
    assert len(adopted) == 1 if death == "idle" else adopted
    for file in adopted:
        other.keeper.backlog.take_on(file)
    assert other.keeper.drain(10)
    spent = {"idle": 0, "sent": 150, "answered": 40, "settled": 40}[death]
    assert other.counters() == (spent, 0)
    assert list(worker.folder.glob("*.spool")) == []
    if hold:
        certainty = "unknown" if death == "sent" else "exact"
        assert other.recorded(hold) == [("request", spent, certainty)]
    assert worker.world.limits().get("inflight", 0) == 0
    other.die()


def test_a_lease_that_ran_out_is_charged_and_corrected(worker: Worker) -> None:
    """Its folder was lost with its machine, and comes back later."""
    worker.budgets.away = True
    hold = worker.drew(150)
    worker.settle(hold, 40)
    worker.die()
    (lease,) = worker.budgets.redis.zrange(worker.budgets.keys.holds, 0, -1)
    whole = worker.world.budgets.find(lease.decode())
    assert whole is not None
    worker.world.lapse(whole)
    assert worker.world.expire(whole)
    assert worker.counters() == (ALLOWANCE, 0), "never less than may have been spent"
    other = another(worker)
    for file in other.spool.adopt():
        other.keeper.backlog.take_on(file)
    assert other.keeper.drain(10)
    assert other.counters() == (40, 0)
    assert [row[:2] for row in other.recorded(whole)] == [("request", 400), ("correction", -400)]
    other.die()


def test_it_is_presented_to_a_redis_that_has_lost_it(worker: Worker) -> None:
    worker.budgets.away = True
    hold = worker.drew(150)
    worker.budgets.redis.flushall()
    worker.budgets.away = False
    worker.world.budgets.suspend("empty")
    worker.roll_call.answer()
    assert Rebuilder(worker.world.budgets, worker.engine, 60.0, 0.0).step() is not None
    assert worker.counters() == (0, ALLOWANCE)
    worker.settle(hold, 40)
    assert worker.keeper.drain(10)
    worker.roll_call.answer()
    worker.allowances.look()
    worker.allowances.look()
    assert worker.counters() == (40, ALLOWANCE)
    assert worker.recorded(hold) == [("request", 40, "exact")]


def test_a_disk_that_takes_nothing_lets_nothing_be_drawn(
    worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker.drawn, "write", lambda _ending: False)
    worker.budgets.away = True
    assert worker.draw() is None
    monkeypatch.undo()
    assert worker.drew(ALLOWANCE).amount_nano == ALLOWANCE


def test_its_record_says_what_it_was(worker: Worker) -> None:
    worker.allowances.give_back()
    (event,) = worker.world.events()
    assert (event.row["endpoint"], event.row["reason"]) == (
        "outage-allowance",
        "allowance_returned",
    )
    assert event.row["cost_nano"] == 0
    assert json.loads(event.row["cost_lines"]) == []


def test_an_allowance_is_not_given_back_while_a_draw_is_being_written_down(
    worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    really, writing, go = worker.drawn.write, Event(), Event()

    def slowly(ending: Ending) -> bool:
        if ending.hold.drawn_from:
            writing.set()
            go.wait()
        return really(ending)

    monkeypatch.setattr(worker.drawn, "write", slowly)
    worker.budgets.away = True
    drawing = gevent.spawn(worker.draw, 100)
    writing.wait(10)
    # Redis is back, and somebody has taken the allowance away from the client.
    worker.budgets.away = False
    policy = worker.policy
    nothing = replace(worker.client, outage_allowance_nano=0)
    worker.policy = worker.with_client(nothing, policy.budgets[1])
    worker.allowances.look()
    worker.policy = policy
    go.set()
    drawing.join(10)
    assert drawing.value is not None
    assert worker.counters() == (0, ALLOWANCE), "what is sent is held"
    worker.settle(drawing.value, 40)
    assert worker.counters() == (40, ALLOWANCE - 100)
    assert worker.recorded(drawing.value) == [("request", 40, "exact")]


def test_what_could_not_be_written_down_was_not_drawn(
    worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker.drawn, "write", lambda _ending: False)
    worker.budgets.away = True
    assert worker.draw() is None
    assert worker.keeper.in_flight == 0
    worker.budgets.away = False
    worker.allowances.give_back()
    assert worker.counters() == (0, 0)
