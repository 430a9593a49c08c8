from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import gevent
import pytest
from sqlalchemy import Engine
from sqlalchemy.exc import OperationalError

from gateway.adapters import object_keeper, object_rows
from gateway.adapters.object_keeper import ObjectKeeper
from gateway.adapters.owned_objects import OwnedObjects
from gateway.adapters.redis_budgets import RedisBudgets, StoreDown, connect
from gateway.core.errors import NotFound, StoreUnavailable
from gateway.core.objects import Kind, PageWish
from gateway.core.policy import Client
from tests.adapters.redis_world import World
from tests.adapters.test_object_rows import MATE, OURS, STRANGER, owned, shared


class Outage:
    """Redis as the keeper sees it: away for as long as ``on``."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.on = False
        really_note, really_noted = OwnedObjects.note, OwnedObjects.noted

        def note(store: OwnedObjects, objects: Any) -> None:
            if self.on and objects:
                raise StoreDown("away")
            really_note(store, objects)

        def noted(store: OwnedObjects, *args: Any) -> Any:
            if self.on:
                raise StoreDown("away")
            return really_noted(store, *args)

        monkeypatch.setattr(OwnedObjects, "note", note)
        monkeypatch.setattr(OwnedObjects, "noted", noted)


@pytest.fixture
def outage(monkeypatch: pytest.MonkeyPatch) -> Outage:
    return Outage(monkeypatch)


@pytest.fixture
def keeper(world: World, engine: Engine, monkeypatch: pytest.MonkeyPatch) -> Iterator[ObjectKeeper]:
    monkeypatch.setattr(object_keeper, "_RETRY_SECONDS", 0.005)
    made = ObjectKeeper(engine, world.budgets)
    task = gevent.spawn(made.note_late)
    yield made
    assert not task.dead
    gevent.kill(task)


def is_absent(keeper: ObjectKeeper, client: Client, name: object) -> bool:
    with pytest.raises(NotFound) as error:
        keeper.find(client, Kind.FILE, name, "input_file_id")
    assert (error.value.code, error.value.param) == ("not_found", "input_file_id")
    return True


@pytest.mark.parametrize("moved", [False, True])
def test_an_object_is_found_by_those_who_may_see_it_and_no_other(
    keeper: ObjectKeeper, moved: bool
) -> None:
    one = owned("o")
    keeper.note([one])
    if moved:
        keeper.move()
    assert keeper.find(OURS, Kind.FILE, "o") == one
    assert keeper.find(shared(MATE), Kind.FILE, "o") == one
    for client in (MATE, STRANGER, shared(STRANGER)):
        assert is_absent(keeper, client, "o")
    with pytest.raises(NotFound):
        keeper.find(OURS, Kind.BATCH, "o")
    keeper.note([replace(one, deleted=True)])
    assert is_absent(keeper, OURS, "o")


@pytest.mark.parametrize("name", [None, 7, ["o"], {"id": "o"}, "", "..", "a/b", "o\n", "x" * 129])
def test_what_is_no_id_is_not_looked_for(
    keeper: ObjectKeeper, name: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(OwnedObjects, "noted")
    assert is_absent(keeper, OURS, name)


def test_absent_and_another_s_look_alike(keeper: ObjectKeeper) -> None:
    keeper.note([owned("theirs"), owned("gone", STRANGER, deleted=True)])
    said = set()
    for name in ("theirs", "gone", "never"):
        with pytest.raises(NotFound) as error:
            keeper.find(STRANGER, Kind.FILE, name)
        said.add((error.value.message.replace(name, ""), str(error.value.headers)))
    assert len(said) == 1


def test_where_redis_is_away_an_owner_is_noted_later_and_known_at_once(
    keeper: ObjectKeeper, outage: Outage, world: World, engine: Engine
) -> None:
    outage.on = True
    keeper.note([owned("o"), owned("p")])
    assert keeper.find(OURS, Kind.FILE, "o") == owned("o")
    assert is_absent(keeper, STRANGER, "o")
    with pytest.raises(StoreUnavailable):
        keeper.find(OURS, Kind.FILE, "other")
    assert not keeper.note_waiting()
    outage.on = False
    other = ObjectKeeper(engine, world.budgets)
    with gevent.Timeout(10):
        while keeper._unnoted:
            gevent.sleep(0.002)
    assert other.find(OURS, Kind.FILE, "o") == owned("o")
    assert other.find(OURS, Kind.FILE, "p") == owned("p")


def test_what_waits_never_comes_after_what_is_newer(keeper: ObjectKeeper, outage: Outage) -> None:
    outage.on = True
    keeper.note([owned("o", data={"status": "old"})])
    outage.on = False
    keeper.note([owned("o", data={"status": "new"})])
    assert keeper._unnoted == {}
    assert keeper.note_waiting()
    assert keeper.find(OURS, Kind.FILE, "o").data == {"status": "new"}


def test_what_changes_while_it_is_noted_late_waits_on(
    keeper: ObjectKeeper, outage: Outage, monkeypatch: pytest.MonkeyPatch
) -> None:
    outage.on = True
    keeper.note([owned("o")])
    newer, really = owned("o", deleted=True), keeper._store.note

    def note(objects: Any) -> None:
        # Redis takes the first, and is away again for the second.
        outage.on = False
        really(objects)
        outage.on = True
        monkeypatch.undo()
        keeper._unnoted[newer.name] = newer

    monkeypatch.setattr(keeper._store, "note", note)
    assert keeper.note_waiting()
    assert list(keeper._unnoted.values()) == [newer]


def test_where_sql_is_away_what_redis_has_is_found(
    keeper: ObjectKeeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: Any) -> None:
        raise OperationalError("SELECT", {}, Exception("locked"))

    keeper.note([owned("o")])
    for name in ("write_objects", "find_object", "page_of_objects"):
        monkeypatch.setattr(object_rows, name, away)
    keeper.move()
    assert keeper.find(OURS, Kind.FILE, "o") == owned("o")
    unavailable: list[Callable[[], Any]] = [
        lambda: keeper.find(OURS, Kind.FILE, "p"),
        lambda: keeper.page(OURS, Kind.FILE, PageWish()),
    ]
    for call in unavailable:
        with pytest.raises(StoreUnavailable) as error:
            call()
        assert error.value.headers["retry-after"] == "1"


def test_where_redis_is_away_lists_say_so(engine: Engine, world: World, free_port: int) -> None:
    gone = RedisBudgets(connect(f"redis://127.0.0.1:{free_port}", 1.0), world.budgets.keys, 60)
    keeper = ObjectKeeper(engine, gone)
    keeper.move()
    with pytest.raises(StoreUnavailable):
        keeper.page(OURS, Kind.FILE, PageWish())


def test_sql_is_asked_on_another_thread(
    keeper: ObjectKeeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads = []
    really = object_rows.find_object

    def find(*args: Any) -> Any:
        threads.append(threading.get_ident())
        return really(*args)

    monkeypatch.setattr(object_rows, "find_object", find)
    assert is_absent(keeper, OURS, "o")
    assert threads
    assert threads[0] != threading.get_ident()


GREEN = """
from gevent import monkey
monkey.patch_all()
import sys
import gevent
from gateway.adapters.object_keeper import ObjectKeeper
from gateway.core.objects import Kind, PageWish
from tests.adapters.redis_world import open_world
from tests.adapters.test_object_rows import OURS, owned
from tests.databases import open_migrated

world = open_world(sys.argv[1])
engine = open_migrated(sys.argv[2])
# As the gateway does before it serves: what SQLAlchemy does at an engine's first connection it
# does under a lock, and the patch has made that one for greenlets, not for native threads.
engine.connect().close()
keeper = ObjectKeeper(engine, world.budgets)

def busy(number):
    for turn in range(20):
        name = f"o{number}-{turn}"
        keeper.note([owned(name)])
        assert keeper.find(OURS, Kind.FILE, name).id == name
        # Redis takes its time, as a busy one does: who waits must wait in its own thread.
        world.budgets.redis.blpop("nothing", timeout=0.01)
        keeper.page(OURS, Kind.FILE, PageWish())

tasks = [gevent.spawn(busy, number) for number in range(8)]
gevent.joinall(tasks, raise_error=True)
assert len(keeper.page(OURS, Kind.FILE, PageWish(limit=1000)).objects) == 160
print("done")
"""


def test_greenlets_and_threads_do_not_share_connections(redis_url: str, sqlite_url: str) -> None:
    """As in a gateway process: with the patch, where a connection belongs to one thread."""
    run = subprocess.run(
        [sys.executable, "-c", GREEN, redis_url, sqlite_url],
        capture_output=True,
        text=True,
        timeout=100,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert run.stdout == "done\n", run.stderr
