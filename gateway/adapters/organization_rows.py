"""Teams, clients, keys and admin tokens as OpenAI's organization API lists them: paged by id."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Engine, Row, Select, select

from gateway.adapters.control_tables import admin_tokens
from gateway.adapters.tables import clients, keys, teams


@dataclass(frozen=True, slots=True)
class Part:
    """At most ``limit`` rows that come after the id ``after``, where one is given."""

    limit: int
    after: int | None = None
    descending: bool = False


@dataclass(frozen=True, slots=True)
class Rows:
    """Some rows, and whether more follow."""

    rows: tuple[Row[Any], ...]
    has_more: bool


def projects(
    engine: Engine,
    part: Part,
    *,
    only: int | None = None,
    team_id: int | None = None,
    archived: bool = True,
) -> Rows:
    """Teams; ``only`` the one that may be seen, ``team_id`` the one that is asked for."""
    t = teams.c
    query = select(teams).where(*_equal((t.id, only), (t.id, team_id)))
    if not archived:
        query = query.where(t.removed_at.is_(None))
    return _rows(engine, query, t.id, part)


def users(
    engine: Engine, part: Part, *, team_id: int | None = None, client_id: int | None = None
) -> Rows:
    """Clients that were not removed."""
    c = clients.c
    query = select(clients).where(
        c.removed_at.is_(None), *_equal((c.team_id, team_id), (c.id, client_id))
    )
    return _rows(engine, query, c.id, part)


def api_keys(engine: Engine, part: Part, *, team_id: int, key_id: int | None = None) -> Rows:
    """Keys of the clients of a team, with their client."""
    query = (
        select(
            *(column for column in keys.c if column.name != "hash"),
            clients.c.name.label("client_name"),
            clients.c.created_at.label("client_created_at"),
        )
        .join(clients, keys.c.client_id == clients.c.id)
        .where(clients.c.team_id == team_id, *_equal((keys.c.id, key_id)))
    )
    return _rows(engine, query, keys.c.id, part)


def admin_keys(engine: Engine, part: Part, *, token_id: int | None = None) -> Rows:
    """Admin tokens that were not revoked."""
    a = admin_tokens.c
    query = select(*(column for column in a if column.name != "hash")).where(
        a.revoked_at.is_(None), *_equal((a.id, token_id))
    )
    return _rows(engine, query, a.id, part)


def _equal(*wanted: tuple[ColumnElement[Any], Any]) -> list[ColumnElement[bool]]:
    return [column == value for column, value in wanted if value is not None]


def _rows(engine: Engine, query: Select[Any], by: Any, part: Part) -> Rows:
    if part.after is not None:
        query = query.where(by < part.after if part.descending else by > part.after)
    query = query.order_by(by.desc() if part.descending else by).limit(part.limit + 1)
    with engine.connect() as connection:
        found = connection.execute(query).all()
    return Rows(tuple(found[: part.limit]), len(found) > part.limit)
