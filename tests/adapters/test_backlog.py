"""What waits for a Redis that is away, in memory and on disk, against real stores."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import gevent
import pytest
from sqlalchemy import Engine
from sqlalchemy.exc import OperationalError

from gateway.adapters import backlog as backlog_module
from gateway.adapters.hold_keeper import HoldKeeper
from gateway.adapters.redis_budgets import connect
from gateway.adapters.spool import Spool
from gateway.adapters.threads import on_disk_thread
from gateway.adapters.usage_rows import Ended, ended
from gateway.core.holds import Hold
from gateway.workers.recorder import Recorder
from tests.adapters.redis_world import RESULT, World, budget
from tests.adapters.test_hold_keeper import FaultyBudgets
from tests.adapters.test_spool import files

ROOT = Path(__file__).parents[2]
STRICT = budget(1, 1_000)


class Database:
    """SQL, which can be away."""

    def __init__(self, engine: Engine) -> None:
        self.engine, self.away, self.asked = engine, False, 0

    def ask(self, request_ids: Sequence[str]) -> Mapping[str, Ended]:
        self.asked += 1
        if self.away:
            raise OperationalError("SELECT", {}, Exception("the database is away"))
        return ended(self.engine, request_ids)


class Process:
    """A gateway process: its budgets, its keeper with a spool, and the greenlets of both."""

    def __init__(self, world: World, database: Database, folder: Path) -> None:
        self.budgets = FaultyBudgets(connect(world.url, 5.0), world.budgets.keys, 60)
        self.budgets.adopt(self.budgets.state())
        self.spool = Spool(folder, on_disk_thread)
        self.keeper = HoldKeeper(self.budgets, 60, database.ask, self.spool)
        self.tasks = [gevent.spawn(self.keeper.resolve_backlog)]

    def adopts(self) -> None:
        self.tasks.append(gevent.spawn(self.keeper.adopt_spools))

    def stop(self) -> None:
        assert not any(task.dead for task in self.tasks)
        gevent.killall(self.tasks)
        self.spool.close()


Start = Callable[[], Process]


@pytest.fixture
def database(engine: Engine) -> Database:
    return Database(engine)


@pytest.fixture
def start(
    world: World, database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Start]:
    """Starts processes that share a folder of spools."""
    monkeypatch.setattr(backlog_module, "RETRY_SECONDS", 0.005)
    monkeypatch.setattr(backlog_module, "ADOPT_SECONDS", 0.02)
    started: list[Process] = []

    def make() -> Process:
        started.append(Process(world, database, tmp_path / "spool"))
        return started[-1]

    yield make
    for process in started:
        process.stop()


def until(true: Callable[[], object]) -> None:
    with gevent.Timeout(20):
        while not true():
            gevent.sleep(0.005)


def record_all(world: World, engine: Engine) -> None:
    Recorder(connect(world.url, 5.0), world.budgets.keys, engine, 100).drain()


def killed(world: World, engine: Engine, folder: Path, costs: Sequence[int]) -> list[Hold]:
    """Holds of a process that was killed when it had told its clients what they had cost, which
    Redis never heard of."""
    wishes = [world.wish(STRICT) for _ in costs]
    program = (
        "import os, signal, sys\n"
        "from pathlib import Path\n"
        "from sqlalchemy import create_engine\n"
        "from tests.adapters.redis_world import RESULT, World\n"
        "from tests.adapters.test_backlog import Database, Process, STRICT\n"
        "from gateway.adapters.redis_budgets import RedisBudgets, connect\n"
        "from gateway.adapters.redis_keys import RedisKeys\n"
        "url, sql, folder, version, *rest = sys.argv[1:]\n"
        "world = World(url, RedisBudgets(connect(url, 5.0), RedisKeys('test'), 60), int(version))\n"
        "process = Process(world, Database(create_engine(sql)), Path(folder))\n"
        "holds = [(process.keeper.reserve(world.wish(STRICT, request_id=one.split('=')[0])),\n"
        "    int(one.split('=')[1])) for one in rest]\n"
        "process.budgets.fault = 'before'\n"
        "for hold, cost in holds:\n"
        "    assert process.keeper.settle(hold, cost, 5, 5, RESULT) is None\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    named = [f"{wish.request_id}={cost}" for wish, cost in zip(wishes, costs, strict=True)]
    sql = engine.url.render_as_string(hide_password=False)
    arguments = [world.url, sql, str(folder), str(world.version), *named]
    run = subprocess.run(
        [sys.executable, "-c", program, *arguments],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == -signal.SIGKILL, run.stderr
    found = [world.budgets.find(wish.request_id) for wish in wishes]
    assert all(hold is not None for hold in found)
    return [hold for hold in found if hold is not None]


def test_nothing_is_written_while_redis_is_there(
    world: World, start: Start, tmp_path: Path
) -> None:
    keeper = start().keeper
    for _ in range(5):
        keeper.settle(keeper.reserve(world.wish(STRICT)), 10, 5, 5, RESULT)
    assert not (tmp_path / "spool").exists()
    assert (keeper.backlog.spooled, keeper.backlog.replayed) == (0, 0)


def test_what_waits_is_on_disk_and_is_brought_in_order(
    world: World, start: Start, tmp_path: Path
) -> None:
    process = start()
    keeper = process.keeper
    holds = [keeper.reserve(world.wish(STRICT)) for _ in range(8)]
    process.budgets.fault = "before"
    for number, hold in enumerate(holds):
        assert keeper.settle(hold, number + 1, 5, 5, RESULT) is None
    (path,) = files(tmp_path / "spool")
    assert path.read_bytes().count(b"\n") == 8
    assert (keeper.unresolved, keeper.backlog.spooled) == (8, 8)
    # It is tried the whole time, and the order is kept all the same.
    gevent.sleep(0.05)
    process.budgets.fault = ""
    until(lambda: not keeper.unresolved)
    assert [cost for *_, cost in world.costs()] == list(range(1, 9))
    assert world.counters() == (36, 0)
    until(lambda: path.stat().st_size == 0)
    assert (keeper.backlog.replayed, keeper.in_flight) == (8, 0)


def test_an_ending_that_is_brought_while_it_is_written_does_not_stay_on_disk(
    world: World, start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    process = start()
    keeper, write = process.keeper, process.spool.write
    hold = keeper.reserve(world.wish(STRICT))

    def slowly(ending: Any) -> bool:
        process.budgets.fault = ""
        until(lambda: not keeper.unresolved)
        return write(ending)

    monkeypatch.setattr(process.spool, "write", slowly)
    process.budgets.fault = "before"
    keeper.settle(hold, 10, 5, 5, RESULT)
    assert world.counters() == (10, 0)
    assert [path.stat().st_size for path in files(tmp_path / "spool")] == [0]


def test_what_a_killed_process_left_is_brought_once(
    world: World, engine: Engine, start: Start, tmp_path: Path
) -> None:
    folder = tmp_path / "spool"
    killed(world, engine, folder, [11, 22, 33])
    assert world.counters() == (0, 300)
    # Two that look for it at once.
    one, two = start(), start()
    one.adopts()
    two.adopts()
    until(lambda: not files(folder))
    assert [cost for *_, cost in world.costs()] == [11, 22, 33]
    assert world.counters() == (66, 0)
    assert one.keeper.backlog.replayed + two.keeper.backlog.replayed == 3


def test_what_a_killed_process_left_corrects_what_had_expired(
    world: World, engine: Engine, start: Start, tmp_path: Path
) -> None:
    """All processes were away for longer than a lease, and nobody could say what it had cost."""
    expired, recorded = killed(world, engine, tmp_path / "spool", [11, 22])
    for hold in (expired, recorded):
        world.lapse(hold)
        assert world.expire(hold)
    record_all(world, engine)
    # Of one of them Redis does not know even that.
    world.budgets.redis.delete(world.budgets.keys.hold(recorded.request_id))
    world.budgets.redis.hset(world.budgets.keys.state, "epoch", world.now_ms())
    start().adopts()
    until(lambda: not files(tmp_path / "spool"))
    assert world.counters() == (33, 0)
    record_all(world, engine)
    assert {i: e.charged_nano for i, e in ended(engine, [expired.request_id]).items()} == {
        expired.request_id: None
    }


def test_an_adopter_that_is_stopped_half_way_leaves_the_rest_to_the_next(
    world: World, engine: Engine, start: Start, tmp_path: Path
) -> None:
    killed(world, engine, tmp_path / "spool", [11, 22])
    first = start()
    first.budgets.broken = frozenset({"22"})
    (adopted,) = first.spool.adopt()
    first.keeper.backlog.take_on(adopted)
    until(lambda: world.counters() == (11, 100))
    second = start()
    second.adopts()
    gevent.sleep(0.05)
    assert second.keeper.unresolved == 0, "it is locked"
    gevent.killall(first.tasks)
    first.tasks = []
    os.close(adopted.descriptor)  # as its death would
    until(lambda: not files(tmp_path / "spool"))
    assert world.counters() == (33, 0)
    assert [cost for *_, cost in world.costs()] == [11, 22]


def test_a_disk_that_takes_nothing_fails_no_client(
    world: World, start: Start, tmp_path: Path
) -> None:
    (tmp_path / "spool").write_text("a file where the folder should be")
    process = start()
    keeper = process.keeper
    hold = keeper.reserve(world.wish(STRICT))
    process.budgets.fault = "before"
    assert keeper.settle(hold, 10, 5, 5, RESULT) is None
    assert (keeper.backlog.unwritten, keeper.backlog.spooled, keeper.unresolved) == (1, 0, 1)
    process.budgets.fault = ""
    until(lambda: not keeper.unresolved)
    assert world.counters() == (10, 0)


def test_the_order_within_an_adopted_file_is_kept_and_other_files_go_on(
    world: World, engine: Engine, start: Start, tmp_path: Path
) -> None:
    """An allowance is not given back before what was drawn from it is parted from it."""
    killed(world, engine, tmp_path / "spool", [11, 22])
    killed(world, engine, tmp_path / "spool", [33])
    process = start()
    process.budgets.broken = frozenset({"11"})
    process.adopts()
    until(lambda: world.counters()[0] == 33)
    gevent.sleep(0.05)
    assert [cost for *_, cost in world.costs()] == [33]
    process.budgets.broken = frozenset()
    until(lambda: not files(tmp_path / "spool"))
    assert [cost for *_, cost in world.costs()] == [33, 11, 22]


def in_another_epoch(world: World, holds: Sequence[Hold]) -> None:
    """Redis has lost these holds, and begun an epoch in which nobody knows of them."""
    redis, keys = world.budgets.redis, world.budgets.keys
    for hold in holds:
        redis.delete(keys.hold(hold.request_id))
    redis.hset(keys.state, "epoch", world.now_ms() + 1)


def test_what_redis_has_lost_waits_for_sql_and_holds_up_nothing_else(
    world: World, database: Database, start: Start
) -> None:
    process = start()
    keeper = process.keeper
    lost = [keeper.reserve(world.wish(STRICT)) for _ in range(3)]
    other = keeper.reserve(world.wish(STRICT))
    in_another_epoch(world, lost)
    database.away = True
    for hold in lost:
        assert keeper.settle(hold, 10, 5, 5, RESULT) is None
    until(lambda: database.asked > 2)
    process.budgets.fault = "before"
    assert keeper.settle(other, 7, 5, 5, RESULT) is None
    process.budgets.fault = ""
    until(lambda: keeper.unresolved == 3)
    assert world.costs() == [(other.request_id, "request", "settled", 7)]
    database.away, asked = False, database.asked
    until(lambda: not keeper.unresolved)
    assert [cost for *_, cost in world.costs()] == [7, 10, 10, 10]
    assert database.asked == asked + 1, "all are asked about at once"
    assert keeper.in_flight == 0


def test_what_sql_has_the_end_of_is_not_charged_again(
    world: World, engine: Engine, start: Start
) -> None:
    keeper = start().keeper
    hold = keeper.reserve(world.wish(STRICT))
    world.settle(hold, 10)
    record_all(world, engine)
    in_another_epoch(world, [hold])
    assert keeper.settle(hold, 10, 5, 5, RESULT) is None
    until(lambda: not keeper.unresolved)
    assert [cost for *_, cost in world.costs()] in ([], [10])
    assert world.counters()[0] == 10
    assert keeper.recent_endings() == []


def test_a_release_of_what_redis_has_lost_is_recorded_as_one(world: World, start: Start) -> None:
    keeper = start().keeper
    hold = keeper.reserve(world.wish(STRICT))
    in_another_epoch(world, [hold])
    assert keeper.release(hold, RESULT) is None
    until(lambda: not keeper.unresolved)
    assert world.costs() == [(hold.request_id, "request", "released", 0)]


def test_draining_leaves_on_disk_what_redis_did_not_take(
    world: World, start: Start, tmp_path: Path
) -> None:
    process = start()
    hold = process.keeper.reserve(world.wish(STRICT))
    process.budgets.fault = "before"
    process.keeper.settle(hold, 10, 5, 5, RESULT)
    assert not process.keeper.drain(0.02)
    (adopted,) = Spool(tmp_path / "spool", on_disk_thread).adopt()
    assert [ending.hold.request_id for ending in adopted.endings] == [hold.request_id]
    os.close(adopted.descriptor)
