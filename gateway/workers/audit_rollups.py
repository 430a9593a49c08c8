"""What the audit finds in the hourly sums that every report is made from (I8).

The database itself adds the records up and compares: what comes back is only what differs.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from sqlalchemy import (
    Connection,
    Select,
    String,
    Subquery,
    and_,
    case,
    func,
    literal,
    or_,
    select,
    type_coerce,
    union_all,
)

from gateway.adapters.control_tables import adjustments
from gateway.adapters.tables import SUMS, Utc, clients, hourly_usage, keys, usage_records
from gateway.core.usage import Certainty
from gateway.workers.audit_records import pages
from gateway.workers.audit_report import Check, Difference, Found, check

_CELL = ("hour", "team_id", "client_id", "key_id", "endpoint", "model", "service_tier", "certainty")
"""What the hourly sums are kept by."""

_ADJUSTED = "adjusted"
_FURTHER = tuple(
    name for name in SUMS if name not in ("requests", "failures", "timed", "cost_nano")
)
_SUMS = ("requests", "failures", *_FURTHER, "timed", "cost_nano")

_EXPLAINED = 20
"""Cells that are explained by their requests."""

_NAMED = 3


def rollups(connection: Connection) -> Check:
    """The hourly sums of teams, clients and keys are those of their records and adjustments."""
    found = Found()
    for number, row in enumerate(pages(connection, _differing(connection))):
        found.add(_differs(connection, row, explained=number < _EXPLAINED))
    stored = connection.execute(select(func.count()).select_from(hourly_usage)).scalar_one()
    says = "the hourly sums of teams, clients and keys are those of their records and adjustments"
    return check("I8", "rollups = records", says, int(stored), found)


def owners(connection: Connection) -> Check:
    """What is summed for a client belongs to its team, and what for a key to its client."""
    h = hourly_usage.c
    # An adjustment may be of a client that nobody knows.
    known = select(h.team_id, h.client_id, h.key_id).where(h.certainty != _ADJUSTED)
    summed = known.distinct().subquery()
    s = summed.c
    query = select(
        s.team_id, s.client_id, s.key_id, clients.c.team_id, keys.c.client_id
    ).select_from(
        summed.outerjoin(clients, clients.c.id == s.client_id).outerjoin(
            keys, keys.c.id == s.key_id
        )
    )
    found, compared = Found(), 0
    for team_id, client_id, key_id, its_team, its_client in pages(connection, query):
        compared += 1
        if its_team != team_id:
            found.add(
                Difference(
                    f"team of client {client_id}",
                    its_team,
                    team_id,
                    "Its usage is summed for another team than its own: the reports of both are"
                    " wrong. The client's row is right where no record was changed by hand.",
                )
            )
        if its_client not in (None, client_id):
            found.add(
                Difference(
                    f"client of key {key_id}",
                    its_client,
                    client_id,
                    "Its usage is summed for another client than its own. The key's row is right"
                    " where no record was changed by hand.",
                )
            )
    says = "what is summed for a client is of its team, and what for a key of its client"
    return check("I8", "teams = clients = keys", says, compared, found)


def _differing(connection: Connection) -> Select[Any]:
    """The cells in which the stored sums are not those of the records, with both."""
    c = usage_records.c
    hour = _hour(connection)
    cell = (hour, *(c[name] for name in _CELL[1:]))
    failed = case((c.status >= 400, 1), else_=0)
    nothing = [literal(0) for _ in _SUMS]
    counts: list[Any] = [func.coalesce(c[name], 0) for name in _FURTHER]
    counts.append(case((c.duration_ms.is_not(None), 1), else_=0))
    requests = [literal(1), failed, *counts, c.cost_nano]
    corrected = [literal(0), literal(0), *counts, c.hold_nano + c.cost_nano]
    # A correction moves the hold that was charged as unknown to what it is known to be.
    guessed = [*nothing[:-1], -c.hold_nano]
    a = adjustments.c
    posted = (a.day, *(a[name] for name in _CELL[1:-1]), literal(_ADJUSTED))
    h = hourly_usage.c
    stored = [h[name] for name in _SUMS]
    parts = [
        _part(cell, requests, nothing).where(c.kind == "request"),
        _part(cell, corrected, nothing).where(c.kind != "request"),
        _part((*cell[:-1], literal(Certainty.UNKNOWN.value)), guessed, nothing).where(
            c.kind != "request"
        ),
        _part(posted, [*nothing[:-1], a.cost_nano], nothing),
        _part(tuple(h[name] for name in _CELL), nothing, stored),
    ]
    both = union_all(*parts).subquery()
    return _unequal(both)


def _part(cell: tuple[Any, ...], expected: list[Any], stored: list[Any]) -> Select[Any]:
    named = [column.label(name) for name, column in zip(_CELL, cell, strict=True)]
    sums = [column.label(f"expected_{name}") for name, column in zip(_SUMS, expected, strict=True)]
    sums += [column.label(f"stored_{name}") for name, column in zip(_SUMS, stored, strict=True)]
    return select(*named, *sums)


def _unequal(both: Subquery) -> Select[Any]:
    b = both.c
    key = [b[name] for name in _CELL]
    pairs = [(func.sum(b[f"expected_{n}"]), func.sum(b[f"stored_{n}"])) for n in _SUMS]
    columns = [
        column.label(f"{which}_{name}")
        for name, pair in zip(_SUMS, pairs, strict=True)
        for which, column in zip(("expected", "stored"), pair, strict=True)
    ]
    unequal = or_(*(expected != stored for expected, stored in pairs))
    return select(*key, *columns).group_by(*key).having(unequal).order_by(*key)


def _hour(connection: Connection) -> Any:
    """The hour that a record is summed in."""
    held_at = usage_records.c.held_at
    if connection.dialect.name == "postgresql":
        return func.date_trunc("hour", held_at, "UTC", type_=Utc)
    # As SQLAlchemy writes times into SQLite.
    return type_coerce(func.substr(held_at, 1, 13, type_=String) + ":00:00.000000", Utc)


def _differs(connection: Connection, row: Any, explained: bool) -> Difference:
    fields = row._mapping
    differ = [n for n in _SUMS if fields[f"expected_{n}"] != fields[f"stored_{n}"]]

    def listed(which: str) -> str:
        return ", ".join(f"{name} {int(fields[f'{which}_{name}'])}" for name in differ)

    explanation = (
        "The records are right where I4 and I9 hold: this hour of hourly_usage was changed by"
        " hand, or records of it were deleted."
    )
    requests: tuple[str, ...] = ()
    if explained:
        wanted = abs(int(fields["expected_cost_nano"]) - int(fields["stored_cost_nano"]))
        if not any(fields[f"stored_{name}"] for name in _SUMS):
            wanted = 0  # All of it is missing: no request of it more than another.
        number, requests, exactly = _requests_of(connection, fields, wanted)
        if exactly:
            explanation += f" The difference is the cost of request {' or '.join(requests)}."
        elif requests:
            explanation += f" It has {number} records, of requests {', '.join(requests)}" + (
                "." if number <= _NAMED else " and others."
            )
        else:
            explanation += " It has no record at all."
    return Difference(
        f"hour {fields['hour']:%Y-%m-%d %H}:00 UTC of team {fields['team_id']}, client"
        f" {fields['client_id']}, key {fields['key_id']}, {fields['endpoint']}, {fields['model']},"
        f" {fields['service_tier']}, {fields['certainty']}",
        listed("expected"),
        listed("stored"),
        explanation,
        requests=requests,
    )


def _requests_of(
    connection: Connection, cell: Any, wanted: int
) -> tuple[int, tuple[str, ...], bool]:
    """How many records a cell has, some of their requests, and whether these cost ``wanted``."""
    c = usage_records.c
    in_cell = and_(
        c.held_at >= cell["hour"],
        c.held_at < cell["hour"] + timedelta(hours=1),
        *(c[name] == cell[name] for name in _CELL[1:]),
    )
    number = connection.execute(select(func.count()).where(in_cell)).scalar_one()
    some = select(c.request_id).where(in_cell).order_by(c.request_id).limit(_NAMED)
    if wanted:
        exactly = connection.execute(some.where(func.abs(c.cost_nano) == wanted)).scalars().all()
        if exactly:
            return int(number), tuple(exactly), True
    return int(number), tuple(connection.execute(some).scalars()), False
