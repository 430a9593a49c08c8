"""Long-lived work is settled to its end once, whatever dies or is away on the way."""

from __future__ import annotations

import threading
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import Engine
from sqlalchemy.exc import OperationalError
from structlog.testing import capture_logs

from gateway.adapters.directory import Directory
from gateway.adapters.object_rows import find_object, open_work, write_objects
from gateway.adapters.price_rows import prices_in_force, sync_prices
from gateway.adapters.price_sources import price_list_from_genai
from gateway.adapters.redis_budgets import StoreDown
from gateway.adapters.usage_rows import records_of
from gateway.core.long_work import Work
from gateway.core.objects import Kind, OwnedObject, WorkState
from gateway.core.progress import Asking, PriceOf, Progress
from gateway.workers import follower as follower_module
from gateway.workers.expirer import Expirer
from gateway.workers.follower import Follower
from gateway.workers.rebuilder import Rebuilder
from tests.adapters.redis_world import World
from tests.workers.long_work import STRICT, begin, drain, ended, following, made, state


@pytest.fixture
def directory(world: World, engine: Engine) -> Directory:
    """The organization, team and client that records name, and no budget in SQL."""
    found = Directory(engine)
    found.initialise("Acme")
    found.create_team("team")
    found.create_client("team", "client")
    world.version = found.version()
    world.budgets.publish(world.version)
    return found


# From beginning to end


def test_work_is_held_until_it_ends_and_then_costs_what_it_did(
    world: World, engine: Engine, directory: Directory
) -> None:
    hold = begin(world, engine)
    going = Progress(data={"id": "b1", "status": "in_progress"})
    one = following(world, engine, Progress(), going, ended())
    assert [one.step(), one.step()] == [0, 0]
    found = find_object(engine, Kind.BATCH, "b1")
    assert found is not None
    assert (found.data, found.work_state) == (going.data, WorkState.OPEN)
    assert world.counters() == (0, 100)
    end = world.budgets.redis.zscore(world.budgets.keys.holds, hold.request_id)
    assert end > world.now_ms() + 29 * 24 * 3600 * 1000
    assert [one.step(), one.step()] == [1, 0]
    assert world.counters() == (40, 0)
    assert state(engine) is WorkState.SETTLED
    assert world.costs() == [(hold.request_id, "request", "settled", 40)]
    drain(world, engine)
    (record,) = records_of(engine, hold.request_id)
    assert (record.cost_nano, record.certainty, record.service_tier) == (40, "exact", "batch")
    assert (record.input_tokens, record.output_tokens) == (20, 30)
    assert (record.client_name, record.key_id) == ("client", 1)


def test_what_work_makes_is_its_owner_s_before_it_is_settled(
    world: World, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin(world, engine)
    batch = find_object(engine, Kind.BATCH, "b1")
    assert batch is not None
    # A batch that its owner has deleted meanwhile: its files are there all the same.
    write_objects(engine, [replace(batch, deleted=True)])
    monkeypatch.delattr(Follower, "_settle")
    following(world, engine, ended()).step()
    file = find_object(engine, Kind.FILE, "file-out")
    assert file == OwnedObject(Kind.FILE, "file-out", 1, 1, 1, 9, data={"id": "file-out"})
    found = find_object(engine, Kind.BATCH, "b1")
    assert found is not None
    assert found.data == {"id": "b1", "status": "completed"}
    assert (found.deleted, found.work_state) == (True, WorkState.OPEN)


def test_the_price_in_force_at_the_start_is_found_by_its_number(
    world: World, engine: Engine, directory: Directory
) -> None:
    asked: list[Any] = []

    def follow(_asking: Asking, _one: OwnedObject, work: Work, price: PriceOf) -> Progress:
        asked.extend([price(first.id), price(99), price(None), work.details])
        return Progress()

    begin(world, engine)
    sync_prices(engine, price_list_from_genai().rows[:1])
    (first,) = prices_in_force(engine, datetime.now(UTC))
    made(world, engine, follow).step()
    assert asked == [first, None, None, {"lines": 2}]


def test_kinds_that_are_not_followed_are_left_alone(world: World, engine: Engine) -> None:
    begin(world, engine, "resp_1", Kind.RESPONSE)
    assert following(world, engine, ended()).step() == 0
    assert len(open_work(engine)) == 1


def test_without_a_key_of_the_provider_owners_are_moved_and_nothing_is_asked(
    world: World, engine: Engine
) -> None:
    begin(world, engine)
    follower = Follower(world.budgets, engine, None, {Kind.BATCH: lambda *_: ended()}, 0.001)
    assert follower.step() == 0
    assert world.counters() == (0, 100)


# Once, whatever happens


class Killed(BaseException):
    """The process ends here."""


@pytest.mark.parametrize(
    ("recorded", "forgotten"),
    # Redis remembers ends for thirty days, and events until they are recorded.
    [
        (True, "nothing"),
        (True, "the end"),
        (True, "everything"),
        (False, "nothing"),
        (False, "everything"),
    ],
)
def test_work_is_charged_once_though_its_follower_died_before_it_said_so(
    world: World,
    engine: Engine,
    directory: Directory,
    monkeypatch: pytest.MonkeyPatch,
    recorded: bool,
    forgotten: str,
) -> None:
    hold = begin(world, engine)
    directory.create_budget("b", limit_nano=10_000, window=STRICT.window, client="client")
    world.budgets.publish(directory.version())
    with monkeypatch.context() as patch:
        patch.setattr(follower_module, "settle_work", kill)
        with pytest.raises(Killed):
            following(world, engine, ended()).step()
    assert state(engine) is WorkState.OPEN
    if recorded:
        drain(world, engine)
    if forgotten == "the end":
        world.budgets.redis.delete(world.budgets.keys.hold(hold.request_id))
    elif forgotten == "everything":
        world.budgets.redis.flushall()
        assert Rebuilder(world.budgets, engine, 60.0, roll_call_seconds=0).step()
    assert following(world, engine, ended()).step() == 1
    assert state(engine) is WorkState.SETTLED
    assert world.counters() == (40, 0)
    drain(world, engine)
    assert [row.cost_nano for row in records_of(engine, hold.request_id)] == [40]


def kill(*_: Any, **__: Any) -> None:
    raise Killed


@pytest.mark.parametrize("place", ["note", "move", "settle"])
def test_it_may_die_anywhere(
    world: World, engine: Engine, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    begin(world, engine)
    first = following(world, engine, ended())
    owner: Any = world.budgets if place == "settle" else first._objects
    with monkeypatch.context() as patch:
        patch.setattr(owner, place, kill)
        with pytest.raises(Killed):
            first.step()
    assert following(world, engine, ended()).step() == 1
    assert world.counters() == (40, 0)
    assert len(world.costs()) == 1
    assert find_object(engine, Kind.FILE, "file-out") is not None


def test_many_followers_settle_once(world: World, engine: Engine) -> None:
    for number in range(10):
        begin(world, engine, f"b{number}")
    start = threading.Barrier(4)

    def run() -> None:
        one = following(world, engine, ended())
        start.wait()
        one.step()

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert world.counters() == (400, 0)
    assert len(world.costs()) == 10
    assert open_work(engine) == []


def test_a_hold_that_has_expired_is_corrected(
    world: World, engine: Engine, directory: Directory
) -> None:
    hold = begin(world, engine)
    world.lapse(hold)
    assert Expirer(world.budgets).step() == 1
    assert world.counters() == (100, 0)
    drain(world, engine)
    assert following(world, engine, ended()).step() == 1
    assert world.counters() == (40, 0)
    drain(world, engine)
    rows = records_of(engine, hold.request_id)
    assert [(row.kind, row.cost_nano) for row in rows] == [("request", 100), ("correction", -60)]


def test_more_than_was_held_is_charged_in_full_and_told(world: World, engine: Engine) -> None:
    begin(world, engine)
    with capture_logs() as logs:
        following(world, engine, ended(130)).step()
    assert world.counters() == (130, 0)
    assert [log["event"] for log in logs if log["log_level"] == "error"] == ["hold.overrun"]


# What goes wrong stays with what it is about


def test_one_that_cannot_be_followed_does_not_stop_the_others(world: World, engine: Engine) -> None:
    for name in ("b1", "b2", "b3"):
        begin(world, engine, name)
    broken = find_object(engine, Kind.BATCH, "b1")
    assert broken is not None
    write_objects(engine, [replace(broken, work={"request_id": "frq_x"})])

    def follow(_asking: Asking, one: OwnedObject, _work: Work, _price: PriceOf) -> Progress:
        if one.id == "b2":
            raise ZeroDivisionError
        return ended()

    with capture_logs() as logs:
        assert made(world, engine, follow).step() == 1
    assert [log["object"] for log in logs if log["event"] == "follower.failed"] == [
        "batch/b1",
        "batch/b2",
    ]
    assert [one.id for one in open_work(engine)] == ["b1", "b2"]
    assert world.counters() == (40, 200)


def test_a_hold_that_is_not_as_it_was_written_down_stops_nothing(
    world: World, engine: Engine
) -> None:
    begin(world, engine)
    batch = find_object(engine, Kind.BATCH, "b1")
    assert batch is not None
    assert batch.work is not None
    write_objects(engine, [replace(batch, work={**batch.work, "windows": [[9, 0]]})])
    begin(world, engine, "b2")
    assert following(world, engine, ended()).step() == 1
    assert world.counters() == (40, 100)


@pytest.mark.parametrize("error", [StoreDown("away"), OperationalError("", {}, Exception("x"))])
def test_it_runs_through_outages_until_it_is_stopped(
    world: World, engine: Engine, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    monkeypatch.setattr(follower_module, "MOVE_SECONDS", 0.001)
    begin(world, engine)
    stop, failures = threading.Event(), [error, error]
    one = following(world, engine, ended())
    really = one.step

    def step() -> int:
        if failures:
            raise failures.pop()
        done = really()
        stop.set()
        return done

    monkeypatch.setattr(one, "step", step)
    one.run(stop)
    assert world.counters() == (40, 0)
