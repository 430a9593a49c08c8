"""The audit log: who changed what, from what, to what."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
from flask import Response, request
from sqlalchemy import Engine

from gateway.adapters import audit_log
from gateway.adapters.audit_log import Entry, Filters, Page
from gateway.adapters.table_files import Column, Kind
from gateway.adapters.threads import on_control_thread
from gateway.core.roles import Role
from gateway.web import principals
from gateway.web.current import services
from gateway.web.dashboard import exports, shell

blueprint = shell.pages("changes")

PATH = "/audit-log"
SUBJECTS = (
    "team",
    "client",
    "key",
    "budget",
    "price",
    "prices",
    "tag",
    "user",
    "token",
    "reconciliation",
    "repricing",
    "alert_rule",
    "alert_channel",
)
ACTIONS = (
    "create",
    "change",
    "remove",
    "rotate",
    "revoke",
    "sync",
    "sign_in",
    "set_password",
    "disable",
    "enable",
    "approve",
    "dismiss",
)
COLUMNS = (
    Column("id", Kind.COUNT),
    Column("at", Kind.MOMENT),
    Column("actor"),
    Column("role"),
    Column("action"),
    Column("subject"),
    Column("subject_id"),
    Column("subject_name"),
    Column("before"),
    Column("after"),
    Column("address"),
)
_PAGES = {
    "team": "/teams/{}",
    "client": "/clients/{}",
    "budget": "/budgets/{}",
    "price": "/prices/{}",
    "reconciliation": "/reconciliation/{}",
}


@blueprint.get(PATH)
def changes() -> Response:
    """The changes that the query asks for, newest first."""
    viewer = principals.principal(Role.ADMIN, Role.FINANCE)
    engine, query = services().engine, request.args
    filters, wrong = _filters(query)
    if kind := exports.wanted():
        return exports.as_file(kind, "audit-log", COLUMNS, _batches(engine, filters))
    page = Page(before=shell.before_id())
    found = on_control_thread(audit_log.entries, engine, filters, page)
    older = None if found.next is None else _path(query, before=str(found.next.before))
    return shell.render(
        "changes.html",
        viewer,
        title="Audit log",
        entries=found.entries,
        page=shell.Page(
            f"{len(found.entries)} changes, newest first",
            _path(query, before="") if page.before is not None else None,
            older,
        ),
        query=query,
        filtered=filters != Filters(),
        wrong=wrong,
        subjects=SUBJECTS,
        actions=ACTIONS,
        page_of=page_of,
    )


def page_of(entry: Entry) -> str | None:
    """Where the subject of a change is shown, if anywhere."""
    path = _PAGES.get(entry.subject)
    return path.format(entry.subject_id) if path and entry.action != "remove" else None


def _filters(query: Mapping[str, str]) -> tuple[Filters, str]:
    """What the query asks for, and what of it cannot be understood."""
    found = Filters(
        actor=query.get("actor", "").strip() or None,
        subject=query.get("subject") or None,
        subject_id=query.get("id", "").strip() or None,
        action=query.get("action") or None,
    )
    try:
        if query.get("from"):
            found = replace(found, since=_day(query["from"]))
        if query.get("to"):
            found = replace(found, until=_day(query["to"]) + timedelta(days=1))
    except (ValueError, OverflowError):
        return found, "A day is written 2026-05-31."
    return found, ""


def _day(text: str) -> datetime:
    return datetime.fromisoformat(text[:10]).replace(tzinfo=UTC)


def _path(query: Mapping[str, str], **changed: str) -> str:
    return shell.path_with(PATH, {name: [value] for name, value in {**query, **changed}.items()})


def _batches(engine: Engine, filters: Filters) -> Iterator[list[Sequence[Any]]]:
    page: Page | None = Page(rows=audit_log.PAGE_ROWS_MAX)
    while page is not None:
        found = audit_log.entries(engine, filters, page)
        yield [_cells(entry) for entry in found.entries]
        page = found.next


def _cells(entry: Entry) -> Sequence[Any]:
    sides = [
        None if side is None else orjson.dumps(side).decode()
        for side in (entry.before, entry.after)
    ]
    return (
        entry.id,
        entry.at,
        entry.actor,
        entry.role,
        entry.action,
        entry.subject,
        entry.subject_id,
        entry.subject_name,
        *sides,
        entry.address,
    )
