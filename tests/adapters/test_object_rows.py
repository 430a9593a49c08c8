"""Owned objects in SQL: what no order of changes can undo, and pages as a plain list has them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import count
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, delete

from gateway.adapters import object_rows
from gateway.adapters.object_rows import (
    as_json,
    find_object,
    from_json,
    open_work,
    page_of_objects,
    settle_work,
    write_objects,
)
from gateway.adapters.tables import owned_objects
from gateway.core.objects import Kind, OwnedObject, Page, PageWish, WorkState
from gateway.core.policy import Client, Sharing

QUICK = settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
OURS = Client(10, "ours", 1, "team")
MATE = Client(11, "mate", 1, "team")
STRANGER = Client(20, "stranger", 2, "other")


def shared(client: Client) -> Client:
    return replace(client, sharing=Sharing.TEAM)


def owned(name: str, owner: Client = OURS, at: int = 0, **more: Any) -> OwnedObject:
    return OwnedObject(more.pop("kind", Kind.FILE), name, owner.team_id, owner.id, 1, at, **more)


def empty(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(delete(owned_objects))


# Changes in any order

WORK = {"request_id": "frq_1", "details": {"a": [1, "\u2028", "\x00"]}}
FIRST = owned("o", at=7, model="m", data={"status": "new"})
CHANGES: dict[str, Any] = {
    "noted": lambda e: write_objects(e, [FIRST]),
    "described": lambda e: write_objects(e, [replace(FIRST, data={"status": "old"})]),
    "silent": lambda e: write_objects(e, [replace(FIRST, data=None)]),
    "deleted": lambda e: write_objects(e, [replace(FIRST, deleted=True)]),
    "began": lambda e: write_objects(e, [replace(FIRST, work=WORK, work_state=WorkState.OPEN)]),
    "settled": lambda e: settle_work(e, Kind.FILE, "o"),
    "foreign": lambda e: write_objects(e, [owned("o", STRANGER, 9, data={"x": 1}, deleted=True)]),
}


@QUICK
@given(changes=st.lists(st.sampled_from(sorted(CHANGES)), max_size=9))
def test_no_order_of_changes_gives_an_object_away_or_brings_it_back(
    engine: Engine, changes: Sequence[str]
) -> None:
    empty(engine)
    write_objects(engine, [FIRST])
    for change in changes:
        CHANGES[change](engine)
    found = find_object(engine, Kind.FILE, "o")
    assert found is not None
    assert (found.team_id, found.client_id, found.created_at, found.model) == (1, 10, 7, "m")
    assert found.deleted is ("deleted" in changes)
    state = WorkState.OPEN if "began" in changes else None
    assert found.work_state is (WorkState.SETTLED if "settled" in changes else state)
    assert found.work == (WORK if "began" in changes else None)
    # Of descriptions the last is in force, and none takes one away.
    said = {"noted": "new", "deleted": "new", "began": "new", "described": "old"}
    last = next((c for c in reversed(changes) if c in said), "noted")
    assert found.data == {"status": said[last]}
    assert [one.id for one in open_work(engine)] == (
        ["o"] if found.work_state is WorkState.OPEN else []
    )


def test_kinds_with_the_same_id_are_different_objects(engine: Engine) -> None:
    write_objects(engine, [owned("o"), owned("o", STRANGER, kind=Kind.BATCH)])
    file, batch = (find_object(engine, kind, "o") for kind in (Kind.FILE, Kind.BATCH))
    assert file is not None
    assert batch is not None
    assert (file.client_id, batch.client_id) == (10, 20)
    settle_work(engine, Kind.BATCH, "o")
    assert find_object(engine, Kind.FILE, "o") == file
    assert find_object(engine, Kind.UPLOAD, "o") is None
    write_objects(engine, [])


def test_open_work_comes_oldest_first(engine: Engine) -> None:
    begun = [
        owned(f"o{at}", at=at, kind=Kind.BATCH, work=WORK, work_state=WorkState.OPEN)
        for at in (3, 1, 2)
    ]
    write_objects(engine, [*begun, owned("file")])
    settle_work(engine, Kind.BATCH, "o2")
    assert [one.id for one in open_work(engine)] == ["o1", "o3"]
    assert open_work(engine)[0].work == WORK


# What waits in Redis can be written down

STRANGE = st.text(max_size=150)
JSON = st.recursive(st.none() | st.booleans() | st.integers() | STRANGE, st.lists, max_leaves=5)


@QUICK
@given(
    model=STRANGE,
    at=st.integers(),
    data=st.none() | st.dictionaries(STRANGE, JSON, max_size=3),
)
def test_no_answer_of_a_provider_makes_an_object_that_sql_refuses(
    engine: Engine, model: str, at: int, data: Any
) -> None:
    empty(engine)
    wild = owned("o", at=at, model=model + "\ud800\x00", data=data)
    waiting = from_json(as_json(wild))
    write_objects(engine, [waiting])
    found = find_object(engine, Kind.FILE, "o")
    assert found == waiting
    assert found.data == data
    assert found.created_at == (at if 0 <= at <= 10**12 else 0)


def test_an_object_survives_waiting() -> None:
    whole = owned(
        *("o", MATE, 5),
        model="ft:x",
        data={"a": {"b": None}},
        deleted=True,
        work=WORK,
        work_state=WorkState.OPEN,
    )
    assert from_json(as_json(whole)) == whole
    assert from_json(as_json(owned("o"))) == owned("o")


# Pages


def model_page(everything: Sequence[OwnedObject], client: Client, wish: PageWish) -> Page:
    """The page as a plain list gives it."""

    def key(one: OwnedObject) -> tuple[int, str]:
        return one.created_at, one.id

    mine = [one for one in everything if one.kind is Kind.FILE and one.was_visible_to(client)]
    rows = sorted(mine, key=key, reverse=not wish.ascending)
    names = [one.id for one in rows]
    cursor, backwards = wish.after or wish.before, not wish.after and wish.before is not None
    if cursor is not None:
        if cursor not in names:
            return Page((), False)
        at = names.index(cursor)
        rows = rows[:at] if backwards else rows[at + 1 :]
    rows = [
        one
        for one in rows
        if not one.deleted
        and all((one.data or {}).get(name) == value for name, value in wish.filters.items())
    ]
    page = rows[-wish.limit :] if backwards else rows[: wish.limit]
    return Page(tuple(page), len(rows) > wish.limit)


@st.composite
def objects(draw: st.DrawFn) -> list[OwnedObject]:
    numbers = count(1)
    return [
        owned(
            f"{next(numbers) * 7919 % 1009:04d}",
            draw(st.sampled_from([OURS, MATE, STRANGER])),
            draw(st.integers(0, 3)),
            kind=draw(st.sampled_from([Kind.FILE, Kind.FILE, Kind.BATCH])),
            data=draw(st.sampled_from([None, {"purpose": "batch"}, {"purpose": "vision"}])),
            deleted=draw(st.integers(0, 4)) == 0,
        )
        for _ in range(draw(st.integers(0, 14)))
    ]


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(object_rows, "_CHUNK", 3)


@QUICK
@given(data=st.data(), everything=objects())
@pytest.mark.usefixtures("small_chunks")
def test_pages_are_those_of_a_plain_list(
    engine: Engine, data: st.DataObject, everything: list[OwnedObject]
) -> None:
    empty(engine)
    write_objects(engine, everything)
    cursors = st.sampled_from([None, "absent", *(one.id for one in everything)])
    for _ in range(5):
        client = data.draw(st.sampled_from([OURS, shared(OURS), shared(MATE), STRANGER]))
        wish = PageWish(
            limit=data.draw(st.integers(1, 5)),
            after=data.draw(cursors),
            before=data.draw(cursors),
            ascending=data.draw(st.booleans()),
            filters=data.draw(st.sampled_from([{}, {"purpose": "batch"}, {"purpose": "x"}])),
        )
        assert page_of_objects(engine, client, Kind.FILE, wish) == model_page(
            everything, client, wish
        )


def pages(engine: Engine, client: Client, limit: int, **wish: Any) -> Iterator[list[str]]:
    """All pages, one after the other, as the SDK turns them."""
    after = None
    while True:
        page = page_of_objects(engine, client, Kind.FILE, PageWish(limit, after=after, **wish))
        yield [one.id for one in page.objects]
        if not page.has_more:
            return
        after = page.objects[-1].id


@pytest.mark.parametrize("ascending", [True, False])
@pytest.mark.usefixtures("small_chunks")
def test_turning_pages_shows_each_object_once(engine: Engine, ascending: bool) -> None:
    write_objects(engine, [owned(f"{n:02d}", at=n // 4) for n in range(10)])
    expected = [f"{n:02d}" for n in range(10)]
    found = list(pages(engine, OURS, 3, ascending=ascending))
    assert [len(page) for page in found] == [3, 3, 3, 1]
    assert [name for page in found for name in page] == (expected if ascending else expected[::-1])


def test_who_deletes_page_by_page_comes_to_the_end(engine: Engine) -> None:
    write_objects(engine, [owned(f"{n:02d}") for n in range(10)])
    seen = []
    for page in pages(engine, OURS, 3):
        seen += page
        write_objects(engine, [owned(name, deleted=True) for name in page])
    assert len(seen) == 10
    assert page_of_objects(engine, OURS, Kind.FILE, PageWish()) == Page((), False)


def test_a_cursor_of_another_tells_nothing(engine: Engine) -> None:
    write_objects(engine, [owned("1"), owned("2", STRANGER), owned("3", MATE)])
    for cursor in ("2", "3", "absent"):
        for wish in (PageWish(after=cursor), PageWish(before=cursor)):
            assert page_of_objects(engine, OURS, Kind.FILE, wish) == Page((), False)
    wish = PageWish(after="3")
    assert [o.id for o in page_of_objects(engine, shared(OURS), Kind.FILE, wish).objects] == ["1"]
