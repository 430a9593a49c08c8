"""Pages of the directory: by id, so that what is added or removed meanwhile moves nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Engine, Row, Select, and_, or_, select

from gateway.adapters import directory_budgets, directory_clients, directory_keys
from gateway.adapters.tables import budgets, clients, keys, teams
from gateway.core.budgets import Scope


@dataclass(frozen=True, slots=True)
class Slice:
    """At most ``limit`` rows after the id ``after``."""

    limit: int = 50
    after: int = 0


@dataclass(frozen=True, slots=True)
class Page:
    """Some rows, and the id to go on after; None at the end."""

    rows: Sequence[Row[Any]]
    after: int | None


def teams_page(
    engine: Engine, part: Slice, *, name: str | None = None, only: int | None = None
) -> Page:
    """Teams that were not removed; ``only`` the one of an owner."""
    t = teams.c
    query = select(teams).where(t.removed_at.is_(None), *_equal((t.name, name), (t.id, only)))
    return _page(engine, query, t.id, part)


def clients_page(
    engine: Engine, part: Slice, *, name: str | None = None, team_ids: Sequence[int | None] = ()
) -> Page:
    """Clients that were not removed; each of ``team_ids`` that is not None must be their team."""
    c = clients.c
    wanted = _equal((c.name, name), *((c.team_id, team_id) for team_id in team_ids))
    query = directory_clients.NAMED.where(c.removed_at.is_(None), *wanted)
    return _page(engine, query, c.id, part)


def keys_page(
    engine: Engine,
    part: Slice,
    *,
    team_ids: Sequence[int | None] = (),
    client_id: int | None = None,
    state: str | None = None,
    at: datetime,
) -> Page:
    """Keys of clients that were not removed; ``state`` is active, expired or revoked by ``at``."""
    k = keys.c
    wanted = _equal(
        (k.client_id, client_id), *((clients.c.team_id, team_id) for team_id in team_ids)
    )
    query = directory_keys.NAMED.where(clients.c.removed_at.is_(None), *wanted)
    if state is not None:
        query = query.where(_in_state(state, at))
    return _page(engine, query, k.id, part)


def budgets_page(
    engine: Engine,
    part: Slice,
    *,
    name: str | None = None,
    scope: Scope | None = None,
    team_ids: Sequence[int | None] = (),
    client_id: int | None = None,
    covering: tuple[int, int | None] | None = None,
) -> Page:
    """Budgets that were not removed. Of ``team_ids`` are a team's own and those of its clients.

    ``covering`` is a team and perhaps a client of it: what such requests can fall under.
    """
    b = budgets.c
    wanted = _equal(
        (b.name, name),
        (b.scope, None if scope is None else scope.value),
        (b.client_id, client_id),
    )
    for team_id in team_ids:
        if team_id is not None:
            wanted.append(or_(b.team_id == team_id, clients.c.team_id == team_id))
    if covering is not None:
        wanted.append(_covers(*covering))
    query = directory_budgets.NAMED.where(b.removed_at.is_(None), *wanted)
    return _page(engine, query, b.id, part)


def _covers(team_id: int, client_id: int | None) -> ColumnElement[bool]:
    b = budgets.c
    own = clients.c.team_id == team_id
    if client_id is not None:
        own = and_(own, b.client_id == client_id)
    return or_(b.scope == Scope.ORGANIZATION.value, b.team_id == team_id, own)


def _in_state(state: str, at: datetime) -> ColumnElement[bool]:
    k = keys.c
    if state == "revoked":
        return k.revoked_at.is_not(None)
    expired = and_(k.expires_at.is_not(None), k.expires_at <= at)
    if state == "expired":
        return and_(k.revoked_at.is_(None), expired)
    return and_(k.revoked_at.is_(None), or_(k.expires_at.is_(None), k.expires_at > at))


def _equal(*wanted: tuple[Any, Any]) -> list[ColumnElement[bool]]:
    return [column == value for column, value in wanted if value is not None]


def _page(engine: Engine, query: Select[Any], by: Any, part: Slice) -> Page:
    query = query.where(by > part.after).order_by(by).limit(part.limit + 1)
    with engine.connect() as connection:
        rows = connection.execute(query).all()
    if len(rows) <= part.limit:
        return Page(rows, None)
    return Page(rows[: part.limit], int(rows[part.limit - 1].id))
