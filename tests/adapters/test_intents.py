from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import gevent
import pytest
from sqlalchemy import Connection, Engine, event, insert, text

from gateway.adapters import intents as intents_module
from gateway.adapters.intents import IntentNotWritten, Intents, open_intents, sweep_intents
from gateway.adapters.redis_budgets import connect
from gateway.adapters.tables import intents
from gateway.adapters.usage_rows import record
from gateway.workers.rebuilder import Rebuilder
from gateway.workers.recorder import Recorder
from tests.adapters.redis_world import World, budget
from tests.databases import open_migrated
from tests.workers.rebuilding import made_budgets

ROOT = Path(__file__).parents[2]
STRICT = budget(1)


@pytest.fixture
def writer(engine: Engine) -> Intents:
    with engine.connect():
        return Intents(engine)


@pytest.fixture
def commits(engine: Engine) -> list[Connection]:
    """The connections that committed, one for each COMMIT."""
    seen: list[Connection] = []
    event.listen(engine, "commit", seen.append)
    return seen


@contextlib.contextmanager
def locked(engine: Engine) -> Iterator[None]:
    """Nobody else can write intents."""
    with engine.connect() as connection:
        if engine.dialect.name == "sqlite":
            connection.exec_driver_sql("BEGIN EXCLUSIVE")
        else:
            connection.exec_driver_sql("LOCK TABLE intents")
        yield
        connection.rollback()


def taken(writer: Intents) -> None:
    """Return once the writer has taken all that waited to the database."""
    while writer.waiting:
        gevent.sleep(0)


def ids(engine: Engine) -> list[str]:
    return sorted(hold.request_id for hold in open_intents(engine))


def rows(engine: Engine) -> int:
    with engine.connect() as connection:
        return len(connection.execute(intents.select()).all())


def drain(world: World, engine: Engine) -> None:
    Recorder(connect(world.url, 5.0), world.budgets.keys, engine, 100).drain()


def test_an_intent_is_the_hold_that_it_was_written_for(
    world: World, engine: Engine, writer: Intents
) -> None:
    hold = world.reserve(STRICT, budget(2))
    writer.write(hold)
    writer.write(hold)
    (found,) = open_intents(engine)
    fields = ("request_id", "client_id", "budget_windows", "amount_nano", "placed_on", "epoch")
    assert {name: getattr(found, name) for name in fields} == {
        name: getattr(hold, name) for name in fields
    }


def test_it_goes_with_the_record_of_its_request(
    world: World, engine: Engine, writer: Intents
) -> None:
    holds = [world.reserve(STRICT) for _ in range(4)]
    for hold in holds:
        writer.write(hold)
    settled, released, expired, running = holds
    world.settle(settled, 10)
    world.release(released)
    world.lapse(expired)
    world.expire(expired)
    drain(world, engine)
    assert ids(engine) == [running.request_id]
    assert rows(engine) == 1


def test_one_that_was_written_too_late_does_not_count_and_is_swept(
    world: World, engine: Engine, writer: Intents
) -> None:
    hold = world.reserve(STRICT)
    world.release(hold)
    drain(world, engine)
    writer.write(hold)
    assert (ids(engine), rows(engine)) == ([], 1)
    assert sweep_intents(engine) == 1
    assert rows(engine) == 0


def test_one_that_nobody_can_read_hides_no_other(
    world: World, engine: Engine, writer: Intents
) -> None:
    with engine.begin() as connection:
        connection.execute(insert(intents).values(request_id="broken", hold="{}"))
    hold = world.reserve(STRICT)
    writer.write(hold)
    assert ids(engine) == [hold.request_id]


def test_those_that_come_at_once_share_a_commit(
    world: World,
    engine: Engine,
    writer: Intents,
    commits: list[Connection],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    holds = [world.reserve(STRICT) for _ in range(40)]
    writing = [gevent.spawn(writer.write, hold) for hold in holds]
    gevent.joinall(writing, timeout=30, raise_error=True)
    assert len(commits) == 1
    assert ids(engine) == sorted(hold.request_id for hold in holds)
    # No more than some of them, so that a commit stays short.
    monkeypatch.setattr(intents_module, "AT_ONCE", 7)
    gevent.joinall([gevent.spawn(writer.write, h) for h in holds], timeout=30, raise_error=True)
    assert len(commits) == 1 + 6


def test_those_that_come_while_a_commit_runs_share_the_next(
    world: World, engine: Engine, writer: Intents, commits: list[Connection]
) -> None:
    first, *rest = [world.reserve(STRICT) for _ in range(30)]
    with locked(engine):
        writing = [gevent.spawn(writer.write, first)]
        gevent.sleep(0)
        taken(writer)
        writing += [gevent.spawn(writer.write, hold) for hold in rest]
        gevent.sleep(0)
        assert writer.waiting == len(rest)
        # The event loop is free, and nobody has gone on.
        assert not any(one.ready() for one in writing)
    gevent.joinall(writing, timeout=30, raise_error=True)
    assert len(commits) == 2
    assert len(ids(engine)) == 30


def test_a_database_that_refuses_is_told_to_all_that_waited(
    world: World, engine: Engine, writer: Intents
) -> None:
    holds = [world.reserve(STRICT) for _ in range(3)]
    writer.write(holds[0])
    with engine.begin() as connection:
        connection.execute(text("ALTER TABLE intents RENAME TO hidden"))
    writing = [gevent.spawn(writer.write, hold) for hold in holds]
    gevent.joinall(writing, timeout=30)
    assert all(isinstance(one.exception, IntentNotWritten) for one in writing)
    with engine.begin() as connection:
        connection.execute(text("ALTER TABLE hidden RENAME TO intents"))
    writer.write(holds[1])
    assert len(ids(engine)) == 2


def test_a_database_that_does_not_answer_is_not_waited_for(
    world: World, engine: Engine, writer: Intents, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(intents_module, "WAIT_SECONDS", 0.05)
    late, *never = [world.reserve(STRICT) for _ in range(4)]
    with locked(engine):
        writing = [gevent.spawn(writer.write, late)]
        gevent.sleep(0)
        taken(writer)
        # What comes behind it leaves the queue again, however long the database hangs.
        writing += [gevent.spawn(writer.write, hold) for hold in never]
        gevent.joinall(writing, timeout=30)
        assert [str(one.exception) for one in writing] == ["the database took more than 0.05 s"] * 4
        assert writer.waiting == 0
    monkeypatch.undo()
    other = world.reserve(STRICT)
    writer.write(other)
    # The one that was written after all was written for nobody, and is gone.
    assert ids(engine) == [other.request_id]


def test_a_request_that_is_stopped_while_it_waits_is_written_for_nobody(
    world: World, engine: Engine, writer: Intents
) -> None:
    first, stopped, other = [world.reserve(STRICT) for _ in range(3)]
    with locked(engine):
        writing = [gevent.spawn(writer.write, first)]
        gevent.sleep(0)
        taken(writer)
        writing += [gevent.spawn(writer.write, stopped)]
        gevent.sleep(0)
        for one in writing:
            one.kill(timeout=30)
        assert writer.waiting == 0
    writer.write(other)
    assert ids(engine) == [other.request_id]


def test_a_connection_that_was_closed_meanwhile_refuses_nobody(
    world: World, postgres_url: str
) -> None:
    engine = open_migrated(postgres_url)
    with engine.connect():
        writer = Intents(engine)
    holds = [world.reserve(STRICT) for _ in range(2)]
    writer.write(holds[0])
    with engine.connect() as connection:
        ended = connection.execute(
            text(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid != pg_backend_pid()"
            )
        ).all()
    assert len(ended) == 1
    writer.write(holds[1])
    assert len(ids(engine)) == 2
    engine.dispose()


def test_an_intent_survives_its_process(engine: Engine) -> None:
    """Killed between the intent and the request."""
    program = (
        "import os, signal, sys\n"
        "from gateway.adapters.database import open_engine\n"
        "from gateway.adapters.intents import Intents\n"
        "from tests.core.test_endings import HOLD\n"
        "engine = open_engine(sys.argv[1], pooled=False)\n"
        "engine.connect().close()\n"
        "Intents(engine).write(HOLD)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    url = engine.url.render_as_string(hide_password=False)
    ended = subprocess.run([sys.executable, "-c", program, url], cwd=ROOT, check=False)
    assert ended.returncode == -signal.SIGKILL
    assert ids(engine) == ["frq_1"]


def test_what_redis_forgot_is_held_again_and_charged_once(
    world: World, engine: Engine, writer: Intents
) -> None:
    """A request was sent; then Redis came up empty, and its gateway died."""
    budgets = made_budgets(world, engine)
    hold, settled = world.reserve(*budgets), world.reserve(*budgets)
    writer.write(hold)
    writer.write(settled)
    world.settle(settled, 30)
    drain(world, engine)
    world.budgets.redis.flushall()
    done = Rebuilder(world.budgets, engine, 60.0, roll_call_seconds=0).step()
    assert done is not None
    assert (done.kept, done.placed) == (1, 1)
    assert world.counters(budgets[2].id) == (30, 100)
    assert world.limits()["inflight"] == 1
    world.lapse(hold)
    assert world.expire(hold)
    assert world.counters(budgets[2].id) == (130, 0)
    drain(world, engine)
    assert rows(engine) == 0


def test_recording_without_intents_deletes_nothing(world: World, engine: Engine) -> None:
    world.settle(world.reserve(STRICT), 10)
    assert record(engine, world.events()) == 1
    assert rows(engine) == 0
