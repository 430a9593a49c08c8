"""The audit log: who changed what, from what, to what. Rows are only ever added."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import orjson
from sqlalchemy import Connection, Engine, Row, Select, insert, select

from gateway.adapters.control_tables import audit_log
from gateway.core.roles import Principal

PAGE_ROWS = 50
PAGE_ROWS_MAX = 500

_SECRET = frozenset({"hash", "password", "password_hash", "secret", "csrf", "key", "token"})
"""Fields that are never written down, whatever a caller passes."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One change. ``before`` is None where something was made, ``after`` where it is gone."""

    id: int
    at: datetime
    actor: str
    role: str
    action: str
    subject: str
    subject_id: str
    subject_name: str
    before: dict[str, Any] | None
    after: dict[str, Any] | None
    address: str | None

    @property
    def changed(self) -> dict[str, tuple[Any, Any]]:
        """The fields that differ, each with its value before and after; None where it is not."""
        before, after = self.before or {}, self.after or {}
        return {
            name: (before.get(name), after.get(name))
            for name in sorted(before.keys() | after.keys())
            if before.get(name) != after.get(name)
        }


@dataclass(frozen=True, slots=True)
class Filters:
    """Which entries are wanted: all that agree with every one given. ``until`` is exclusive."""

    actor: str | None = None
    subject: str | None = None
    subject_id: str | None = None
    action: str | None = None
    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """A part of the entries, newest first: those before the entry ``before``, at most ``rows``."""

    rows: int = PAGE_ROWS
    before: int | None = None


@dataclass(frozen=True, slots=True)
class Entries:
    """A page of entries; ``next`` is the page after it, or None at the end."""

    entries: tuple[Entry, ...]
    next: Page | None


def note(
    connection: Connection,
    principal: Principal,
    action: str,
    subject: str,
    subject_id: int | str,
    subject_name: str,
    before: Mapping[str, Any] | None,
    after: Mapping[str, Any] | None,
) -> None:
    """Write one change down, in the transaction that makes it.

    ``action`` is a verb such as create, change, remove, rotate, revoke; ``subject`` a kind such
    as team, client, key, budget. Fields whose names are those of secrets are left out.
    """
    connection.execute(
        insert(audit_log).values(
            at=datetime.now(UTC),
            actor=principal.actor,
            role=principal.role.value,
            action=action,
            subject=subject,
            subject_id=str(subject_id),
            subject_name=subject_name[:256],
            before=_as_json(before),
            after=_as_json(after),
            address=principal.address,
        )
    )


def entries(engine: Engine, filters: Filters | None = None, page: Page | None = None) -> Entries:
    """The entries that ``filters`` let through, newest first."""
    page = page or Page()
    rows = min(max(page.rows, 1), PAGE_ROWS_MAX)
    query = _filtered(filters or Filters()).order_by(audit_log.c.id.desc()).limit(rows + 1)
    if page.before is not None:
        query = query.where(audit_log.c.id < page.before)
    with engine.connect() as connection:
        found = [_entry(row) for row in connection.execute(query)]
    further = Page(rows, found[rows - 1].id) if len(found) > rows else None
    return Entries(tuple(found[:rows]), further)


def _filtered(filters: Filters) -> Select[Any]:
    query = select(audit_log)
    for name in ("actor", "subject", "subject_id", "action"):
        wanted = getattr(filters, name)
        if wanted is not None:
            query = query.where(audit_log.c[name] == wanted)
    if filters.since is not None:
        query = query.where(audit_log.c.at >= filters.since)
    if filters.until is not None:
        query = query.where(audit_log.c.at < filters.until)
    return query


def _entry(row: Row[Any]) -> Entry:
    values = dict(row._mapping)
    for side in ("before", "after"):
        values[side] = orjson.loads(values[side]) if values[side] is not None else None
    return Entry(**values)


def _as_json(values: Mapping[str, Any] | None) -> str | None:
    if values is None:
        return None
    told = {name: value for name, value in values.items() if name not in _SECRET}
    return orjson.dumps(told, default=_plain, option=orjson.OPT_SORT_KEYS).decode()


def _plain(value: object) -> object:
    """What JSON has no form for. orjson writes moments, enumerations and dataclasses itself."""
    return sorted(value) if isinstance(value, set | frozenset) else str(value)
