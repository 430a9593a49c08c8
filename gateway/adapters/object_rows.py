"""Owned objects in SQL: whose each object at the provider is."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from sqlalchemy import Engine, Row, Select, and_, case, func, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite

from gateway.adapters.tables import owned_objects
from gateway.core.objects import Kind, OwnedObject, Page, PageWish, WorkState
from gateway.core.policy import Client, Sharing

_CHUNK = 500
_TIME_MAX = 10**12


def write_objects(engine: Engine, objects: Sequence[OwnedObject]) -> None:
    """Write objects down; one that is there already takes over what is new about it.

    The owner never changes and is the only one to change anything, a deleted object stays
    deleted, and settled work stays settled, in whatever order changes come. Raises
    SQLAlchemy's errors.
    """
    if not objects:
        return
    module = postgresql if engine.dialect.name == "postgresql" else sqlite
    t, statement = owned_objects.c, module.insert(owned_objects)
    new = statement.excluded
    settled = case(
        (t.work_state == WorkState.SETTLED.value, t.work_state),
        else_=func.coalesce(new.work_state, t.work_state),
    )
    statement = statement.on_conflict_do_update(
        index_elements=["kind", "id"],
        set_={
            "data": func.coalesce(new.data, t.data),
            "deleted": or_(t.deleted, new.deleted),
            "work": func.coalesce(new.work, t.work),
            "work_state": settled,
        },
        where=t.client_id == new.client_id,
    )
    # In one order everywhere, so that two writers cannot lock each other out.
    rows = sorted((_row(o) for o in objects), key=lambda row: (row["kind"], row["id"]))
    with engine.begin() as connection:
        connection.execute(statement, rows)


def find_object(engine: Engine, kind: Kind, object_id: str) -> OwnedObject | None:
    """The object, deleted or not; None where SQL knows none. Raises SQLAlchemy's errors."""
    t = owned_objects.c
    query = select(owned_objects).where(t.kind == kind.value, t.id == object_id)
    with engine.connect() as connection:
        row = connection.execute(query).first()
    return None if row is None else _object(row)


def page_of_objects(engine: Engine, client: Client, kind: Kind, wish: PageWish) -> Page:
    """One page of what ``client`` may see of ``kind``. Raises SQLAlchemy's errors.

    A cursor may be deleted: who deletes page by page goes on from there. One that is unknown
    or another's gives an empty page; of two cursors ``after`` is the one.
    """
    cursor = wish.after or wish.before
    backwards = not wish.after and wish.before is not None
    at: OwnedObject | None = None
    if cursor is not None:
        at = find_object(engine, kind, cursor)
        if at is None or not at.was_visible_to(client):
            return Page((), False)
    # Going back from `before` reads the other way round.
    ascending = wish.ascending != backwards
    found: list[OwnedObject] = []
    for one in _matching(engine, client, kind, at, ascending):
        if wish.wants(one):
            found.append(one)
            if len(found) > wish.limit:
                break
    page = found[: wish.limit]
    if backwards:
        page.reverse()
    return Page(tuple(page), len(found) > wish.limit)


def _matching(
    engine: Engine, client: Client, kind: Kind, at: OwnedObject | None, ascending: bool
) -> Iterator[OwnedObject]:
    """All that ``client`` may see of ``kind`` beyond ``at``, read in chunks."""
    while True:
        with engine.connect() as connection:
            rows = connection.execute(_chunk_query(client, kind, at, ascending)).all()
        for row in rows:
            at = _object(row)
            yield at
        if len(rows) < _CHUNK:
            return


def _chunk_query(
    client: Client, kind: Kind, at: OwnedObject | None, ascending: bool
) -> Select[Any]:
    t = owned_objects.c
    query = select(owned_objects).where(
        t.team_id == client.team_id, t.kind == kind.value, t.deleted.is_(False)
    )
    if client.sharing is not Sharing.TEAM:
        query = query.where(t.client_id == client.id)
    if at is not None:
        later, same = t.created_at > at.created_at, t.created_at == at.created_at
        if ascending:
            query = query.where(or_(later, and_(same, t.id > at.id)))
        else:
            query = query.where(or_(t.created_at < at.created_at, and_(same, t.id < at.id)))
    order = (t.created_at, t.id) if ascending else (t.created_at.desc(), t.id.desc())
    return query.order_by(*order).limit(_CHUNK)


def open_work(engine: Engine) -> list[OwnedObject]:
    """Every object whose work still holds a part of a budget. Raises SQLAlchemy's errors."""
    t = owned_objects.c
    query = (
        select(owned_objects)
        .where(t.work_state == WorkState.OPEN.value)
        .order_by(t.created_at, t.id)
    )
    with engine.connect() as connection:
        return [_object(row) for row in connection.execute(query)]


def settle_work(engine: Engine, kind: Kind, object_id: str) -> None:
    """Note that an object's work is settled. Raises SQLAlchemy's errors."""
    t = owned_objects.c
    with engine.begin() as connection:
        connection.execute(
            update(owned_objects)
            .where(t.kind == kind.value, t.id == object_id)
            .values(work_state=WorkState.SETTLED.value)
        )


def as_json(one: OwnedObject) -> bytes:
    """An object as it waits in Redis. No part of it is such that SQL could refuse it later."""
    return json.dumps(_row(one), separators=(",", ":")).encode()


def from_json(text: bytes) -> OwnedObject:
    """The object that ``as_json`` wrote. Raises ValueError, KeyError or TypeError."""
    return _made(json.loads(text))


def _row(one: OwnedObject) -> dict[str, Any]:
    return {
        "kind": one.kind.value,
        "id": one.id,
        "team_id": one.team_id,
        "client_id": one.client_id,
        "key_id": one.key_id,
        "created_at": int(one.created_at) if 0 <= one.created_at <= _TIME_MAX else 0,
        "model": _storable(one.model)[:128],
        "deleted": one.deleted,
        "data": None if one.data is None else json.dumps(one.data),
        "work": None if one.work is None else json.dumps(one.work),
        "work_state": None if one.work_state is None else one.work_state.value,
    }


def _storable(text: str) -> str:
    """``text`` without what databases do not take: halves of characters, and zeros."""
    return text.encode("utf-8", "replace").decode().replace("\0", "?")


def _object(row: Row[Any]) -> OwnedObject:
    return _made(row._mapping)


def _made(values: Any) -> OwnedObject:
    data, work, state = values["data"], values["work"], values["work_state"]
    return OwnedObject(
        kind=Kind(values["kind"]),
        id=values["id"],
        team_id=values["team_id"],
        client_id=values["client_id"],
        key_id=values["key_id"],
        created_at=values["created_at"],
        model=values["model"],
        deleted=bool(values["deleted"]),
        data=None if data is None else json.loads(data),
        work=None if work is None else json.loads(work),
        work_state=None if state is None else WorkState(state),
    )


def named(objects: Iterable[OwnedObject]) -> dict[str, bytes]:
    """Objects by name, as they wait in Redis."""
    return {one.name: as_json(one) for one in objects}
