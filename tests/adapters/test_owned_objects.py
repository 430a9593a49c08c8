"""Owners between Redis and SQL: whatever happens on the way, they are in one or the other."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, delete
from sqlalchemy.exc import OperationalError

from gateway.adapters import object_rows, owned_objects, tables
from gateway.adapters.object_rows import as_json, find_object, write_objects
from gateway.adapters.owned_objects import OwnedObjects
from gateway.adapters.redis_budgets import RedisBudgets, StoreDown, connect
from gateway.core.objects import Kind, OwnedObject, PageWish, WorkState
from tests.adapters.redis_world import World
from tests.adapters.test_object_rows import CHANGES, FIRST, MATE, OURS, STRANGER, WORK, owned


@pytest.fixture
def store(world: World, engine: Engine) -> OwnedObjects:
    return OwnedObjects(engine, world.budgets)


def waiting(world: World) -> dict[bytes, bytes]:
    found: dict[bytes, bytes] = world.budgets.redis.hgetall(world.budgets.keys.objects_waiting)
    return found


def test_an_owner_is_known_at_once_and_stays_known(store: OwnedObjects, world: World) -> None:
    one = owned("o", data={"a": 1}, work=WORK, work_state=WorkState.OPEN)
    assert store.noted(Kind.FILE, "o") is None
    store.note([one])
    store.note([])
    assert store.noted(Kind.FILE, "o") == one
    assert store.stored(Kind.FILE, "o") is None
    assert [store.move(), store.move()] == [1, 0]
    assert waiting(world) == {}
    assert store.noted(Kind.FILE, "o") is None
    assert store.stored(Kind.FILE, "o") == one


def test_a_page_has_the_newest(store: OwnedObjects) -> None:
    store.note([owned(f"{n}", at=n) for n in range(3)])
    assert [o.id for o in store.page(OURS, Kind.FILE, PageWish()).objects] == ["2", "1", "0"]
    assert store.page(STRANGER, Kind.FILE, PageWish()).objects == ()


def test_many_are_moved(store: OwnedObjects, monkeypatch: pytest.MonkeyPatch, world: World) -> None:
    monkeypatch.setattr(owned_objects, "_MOVE_BATCH", 7)
    # More than fit into a listing that Redis gives whole.
    store.note([owned(f"o{n}", at=n) for n in range(1200)])
    assert store.move() == 1200
    assert waiting(world) == {}
    assert len(store.page(OURS, Kind.FILE, PageWish(limit=10_000)).objects) == 1200


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    changes=st.lists(
        st.sampled_from(["noted", "described", "silent", "deleted", "began", "move"]),
        max_size=9,
    )
)
def test_it_makes_no_difference_when_changes_are_moved(
    world: World, sqlite_engine: Engine, changes: Sequence[str]
) -> None:
    """SQL ends as if every change had been written there at once.

    Not so for a stranger's note (which makes nobody an owner, below): while one waits it can
    keep out what the owner says next. The provider gives each id once, so there is none.
    """
    engine = sqlite_engine
    world.budgets.redis.flushall()
    store = OwnedObjects(engine, world.budgets)
    found = []
    for write in (lambda _, objects: store.note(objects), write_objects):
        with engine.begin() as connection:
            connection.execute(delete(tables.owned_objects))
        with pytest.MonkeyPatch.context() as patch:
            # The very changes of the other test, by either way.
            patch.setattr("tests.adapters.test_object_rows.write_objects", write)
            write(engine, [FIRST])
            for change in changes:
                store.move() if change == "move" else CHANGES[change](engine)
        store.move()
        found.append(find_object(engine, Kind.FILE, "o"))
    assert found[0] == found[1]


@pytest.fixture
def sqlite_engine(sqlite_url: str) -> Any:
    from tests.databases import open_migrated

    opened = open_migrated(sqlite_url)
    yield opened
    opened.dispose()


def during_move(monkeypatch: pytest.MonkeyPatch, act: Callable[[], None]) -> None:
    """``act`` once, after objects are written to SQL and before they leave Redis."""
    really, pending = object_rows.write_objects, [act]

    def write(engine: Engine, objects: Sequence[OwnedObject]) -> None:
        really(engine, objects)
        if pending:
            pending.pop()()

    monkeypatch.setattr(object_rows, "write_objects", write)


def test_a_change_during_the_move_is_moved_too(
    store: OwnedObjects, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.note([owned("o"), owned("p")])
    during_move(monkeypatch, lambda: store.note([owned("o", deleted=True)]))
    assert store.move() == 1
    assert list(waiting(world)) == [b"file/o"]
    assert store.move() == 1
    found = store.stored(Kind.FILE, "o")
    assert found is not None
    assert found.deleted


def test_a_process_that_dies_between_the_stores_loses_nothing(
    store: OwnedObjects, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die() -> None:
        raise KeyboardInterrupt

    store.note([owned("o")])
    during_move(monkeypatch, die)
    with pytest.raises(KeyboardInterrupt):
        store.move()
    assert store.noted(Kind.FILE, "o") == store.stored(Kind.FILE, "o") == owned("o")
    assert [store.move(), store.move()] == [1, 0]


def test_several_move_at_once(store: OwnedObjects, engine: Engine, world: World) -> None:
    store.note([owned(f"o{n}") for n in range(300)])
    start = threading.Barrier(4)

    def move(_: int) -> int:
        mine = RedisBudgets(connect(world.url, 5.0), world.budgets.keys, 60)
        start.wait()
        return OwnedObjects(engine, mine).move()

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(move, range(4))) == 300
    assert len(store.page(OURS, Kind.FILE, PageWish(limit=1000)).objects) == 300


def test_the_first_owner_stays_while_it_waits(store: OwnedObjects) -> None:
    store.note([owned("o", data={"a": 1})])
    for other in (owned("o", STRANGER, deleted=True), owned("o", MATE, data={"b": 2})):
        store.note([other])
        assert store.noted(Kind.FILE, "o") == owned("o", data={"a": 1})


def test_a_note_that_knows_less_takes_nothing_away(store: OwnedObjects) -> None:
    """A reader that looked before a deletion, and before the work began, notes after them."""
    early = owned("o", data={"status": "a"})
    store.note([replace(early, work=WORK, work_state=WorkState.OPEN)])
    store.note([replace(early, work_state=WorkState.SETTLED, deleted=True)])
    store.note([replace(early, data={"status": "b"}, work_state=WorkState.OPEN)])
    found = store.noted(Kind.FILE, "o")
    settled = WorkState.SETTLED
    expected = replace(early, data={"status": "b"}, work=WORK, work_state=settled, deleted=True)
    assert found == expected


def test_an_id_that_no_request_can_name_is_not_noted(store: OwnedObjects, world: World) -> None:
    store.note([owned("../x"), owned("x" * 129), owned(""), owned("fine")])
    assert list(waiting(world)) == [b"file/fine"]


@pytest.mark.parametrize("text", [b"{}", b"no JSON", as_json(owned("o")).replace(b"file", b"new")])
def test_what_a_newer_release_wrote_stays_and_holds_up_nothing(
    store: OwnedObjects, world: World, text: bytes
) -> None:
    world.budgets.redis.hset(world.budgets.keys.objects_waiting, "new/o", text)
    store.note([owned("p")])
    assert store.move() == 1
    assert waiting(world) == {b"new/o": text}
    assert store.stored(Kind.FILE, "p") == owned("p")


def test_where_sql_is_away_owners_wait(
    store: OwnedObjects, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: Any) -> None:
        raise OperationalError("INSERT", {}, Exception("locked"))

    store.note([owned("o")])
    with monkeypatch.context() as patch:
        patch.setattr(object_rows, "write_objects", away)
        with pytest.raises(OperationalError):
            store.move()
    assert store.noted(Kind.FILE, "o") == owned("o")
    assert store.move() == 1


def test_where_redis_is_away_it_is_told(engine: Engine, free_port: int, world: World) -> None:
    gone = connect(f"redis://127.0.0.1:{free_port}", 1.0)
    store = OwnedObjects(engine, RedisBudgets(gone, world.budgets.keys, 60))
    calls: list[Callable[[], Any]] = [
        lambda: store.note([owned("o")]),
        lambda: store.noted(Kind.FILE, "o"),
        store.move,
        lambda: store.page(OURS, Kind.FILE, PageWish()),
    ]
    for call in calls:
        with pytest.raises(StoreDown):
            call()


def test_sql_is_asked_where_it_holds_up_nobody(world: World, engine: Engine) -> None:
    asked = []

    def off_loop(call: Callable[[], Any]) -> Any:
        with ThreadPoolExecutor(1) as pool:
            asked.append(1)
            return pool.submit(call).result()

    store = OwnedObjects(engine, world.budgets, off_loop)
    store.note([owned("o")])
    assert store.move() == 1
    assert store.stored(Kind.FILE, "o") == owned("o")
    assert store.page(OURS, Kind.FILE, PageWish()).objects == (owned("o"),)
    assert len(asked) == 3
