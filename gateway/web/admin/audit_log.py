"""The audit log of the admin API."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from gateway.adapters import audit_log
from gateway.adapters.audit_log import Entry, Filters, Page
from gateway.web.admin import cursors
from gateway.web.admin.endpoint import SEE_ALL, Api, Call, NoBody
from gateway.web.admin.fields import Answer, Listed, Moment, NextCursor, Text

api = Api("audit-log", "Who changed what, from what, to what. Entries are only ever added.")


class AuditEntry(Answer):
    """One change."""

    id: int
    at: Moment
    actor: str
    role: str
    action: str
    subject: str
    subject_id: str
    subject_name: str
    before: dict[str, Any] | None = Field(description="Null where something was made.")
    after: dict[str, Any] | None = Field(description="Null where something is gone.")
    address: str | None


class AuditLog(Answer):
    """A page of changes, newest first."""

    data: list[AuditEntry]
    next: NextCursor


class AuditLogQuery(Listed):
    """Which changes."""

    since: Moment | None = None
    until: Moment | None = Field(None, description="Exclusive.")
    actor: Text | None = Field(None, description="Such as user:ann@acme.example.")
    action: Text | None = Field(None, description="Such as create, change, remove.")
    subject: Text | None = Field(None, description="Such as team, client, key, budget.")
    subject_id: Text | None = None


@api.endpoint("GET", "/audit-log", query=AuditLogQuery, answer=AuditLog, roles=SEE_ALL)
def list_changes(call: Call[AuditLogQuery, NoBody]) -> AuditLog:
    """List changes, newest first."""
    query = call.query
    place = cursors.read(query.cursor, int)
    filters = Filters(
        actor=query.actor,
        subject=query.subject,
        subject_id=query.subject_id,
        action=query.action,
        since=query.since,
        until=query.until,
    )
    page = Page(query.limit, None if place is None else place[0])
    found = call.sql(audit_log.entries, call.at.engine, filters, page)
    last = None if found.next is None else found.next.before
    return AuditLog(
        data=[_answer(entry) for entry in found.entries],
        next=None if last is None else cursors.written(last),
    )


def _answer(entry: Entry) -> AuditEntry:
    return AuditEntry.model_validate(
        {name: getattr(entry, name) for name in AuditEntry.model_fields}
    )
