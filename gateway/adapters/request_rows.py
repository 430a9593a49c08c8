"""The requests explorer: usage records by what people filter by, newest first.

Its work is bounded however many records there are. The time range and one of client, team and model
are found by an index. Everything else is looked for among at most ``EXAMINED`` records from the
cursor on; where these do not fill a page, the page says how far back it has looked.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, Engine, Row, Select, and_, func, or_, select

from gateway.adapters.rollup_tables import daily_usage
from gateway.adapters.tables import clients, keys, teams, usage_records
from gateway.core.reports import day_of

EXAMINED = 20_000
"""Records that one page looks through for what no index finds."""

STATUSES = {"ok": (0, 400), "4xx": (400, 500), "5xx": (500, 1000), "failed": (400, 1000)}
"""Classes of status, each from a status up to below another; 0 where nothing was answered."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Filters:
    """What to find. ``until`` is exclusive, amounts are nano-dollars.

    ``scope_team_id`` and ``scope_client_id`` are what the reader may see, whatever is asked for.
    """

    since: datetime
    until: datetime
    team_id: int | None = None
    client_id: int | None = None
    key_id: int | None = None
    model: str | None = None
    endpoint: str | None = None
    status: str | None = None
    certainty: str | None = None
    tag: tuple[str, str] | None = None
    cost_at_least_nano: int | None = None
    request_id: str | None = None
    upstream_id: str | None = None
    scope_team_id: int | None = None
    scope_client_id: int | None = None


@dataclass(frozen=True, slots=True)
class Cursor:
    """A place between two records, from where older ones follow.

    Without a ``request_id`` it is before all records of its moment.
    """

    at: datetime
    request_id: str = ""
    kind: str = ""

    def __str__(self) -> str:
        """The cursor as it stands in an address."""
        return ".".join((str((self.at - _EPOCH) // _MICROSECOND), self.request_id, self.kind))

    @classmethod
    def parse(cls, text: str) -> Cursor:
        """The cursor that ``str`` wrote. Raises ValueError."""
        micros, first, rest = text.partition(".")
        request_id, _, kind = rest.rpartition(".")
        if not first or not micros.isascii() or not micros.isdigit():
            raise ValueError(f"{text[:80]!r} is not a place in the list of requests")
        try:
            return cls(_EPOCH + int(micros) * _MICROSECOND, request_id, kind)
        except OverflowError as error:
            raise ValueError("the place in the list of requests is out of range") from error


@dataclass(frozen=True, slots=True)
class Page:
    """Some records, newest first."""

    rows: Sequence[Row[Any]]
    after: Cursor | None
    """Where to go on; None where there are no more."""
    looked_back_to: datetime | None = None
    """Set where the page is not full because enough was looked through."""


def page(
    engine: Engine,
    filters: Filters,
    *,
    after: Cursor | None = None,
    limit: int = 50,
    examined: int = EXAMINED,
) -> Page:
    """The newest ``limit`` records that ``filters`` let through, from ``after`` on."""
    led_by, others = _conditions(engine.dialect.name, filters)
    c = usage_records.c
    with engine.connect() as connection:
        bound: datetime | None = None
        if others and filters.request_id is None:
            bound = _bound(connection, filters, led_by, after, examined)
        query = _named().where(*led_by, *others, *_before(filters.until, after))
        query = query.where(c.held_at >= (filters.since if bound is None else bound))
        query = query.order_by(c.held_at.desc(), c.request_id.desc(), c.kind.desc())
        rows = connection.execute(query.limit(limit + 1)).all()
    if len(rows) > limit:
        last = rows[limit - 1]
        return Page(rows[:limit], Cursor(last.held_at, last.request_id, last.kind))
    if bound is None:
        return Page(rows, None)
    return Page(rows, Cursor(bound), bound)


def pages(engine: Engine, filters: Filters, size: int = 5000) -> Iterator[Sequence[Row[Any]]]:
    """All records that ``filters`` let through, in batches. Each is a query of its own, so that
    neither a transaction nor memory grows with them."""
    after: Cursor | None = None
    while True:
        found = page(engine, filters, after=after, limit=size, examined=20 * size)
        if found.rows:
            yield found.rows
        after = found.after
        if after is None:
            return


_ID_DIGITS_MAX = 18
_NAMED = {"team": teams, "client": clients, "key": keys}


def id_by_name(
    engine: Engine,
    what: str,
    text: str,
    scope_team_id: int | None = None,
    scope_client_id: int | None = None,
) -> tuple[int, str] | None:
    """Id and name of the ``team``, ``client`` or ``key`` that people call ``text``; else None.

    Digits alone are an id. Keys have no name of their own and are named by their id. What is not
    of ``scope_team_id`` and ``scope_client_id``, where they are given, is not there.
    """
    table = _NAMED[what]
    if text.isascii() and text.isdigit():
        # More digits than any id has are not turned into a number.
        named = table.c.id == (int(text) if len(text) <= _ID_DIGITS_MAX else 0)
    elif what == "key":
        return None
    else:
        named = table.c.name == text
    query = select(table.c.id, table.c.name).where(named)
    if scope_team_id is not None:
        team_of = {"team": teams.c.id, "client": clients.c.team_id, "key": clients.c.team_id}
        if what == "key":
            query = query.join(clients, keys.c.client_id == clients.c.id)
        query = query.where(team_of[what] == scope_team_id)
    if scope_client_id is not None and what != "team":
        client = clients.c.id if what == "client" else keys.c.client_id
        query = query.where(client == scope_client_id)
    with engine.connect() as connection:
        row = connection.execute(query).one_or_none()
    return None if row is None else (int(row.id), str(row.name))


def is_recorded(engine: Engine, request_id: str) -> bool:
    """Whether there is a record of the request."""
    query = select(usage_records.c.kind).where(usage_records.c.request_id == request_id).limit(1)
    with engine.connect() as connection:
        return connection.execute(query).first() is not None


def names_within(
    engine: Engine,
    what: str,
    team_id: int | None,
    client_id: int | None = None,
    limit: int = 500,
) -> list[str]:
    """Names of teams or clients to choose from, of one team or client alone where given."""
    table = _NAMED[what]
    query = select(table.c.name).where(table.c.removed_at.is_(None))
    if team_id is not None:
        query = query.where((table.c.id if what == "team" else table.c.team_id) == team_id)
    if client_id is not None and what == "client":
        query = query.where(table.c.id == client_id)
    with engine.connect() as connection:
        return list(connection.execute(query.order_by(table.c.name).limit(limit)).scalars())


def models_used(
    engine: Engine,
    since: datetime,
    until: datetime,
    team_id: int | None = None,
    client_id: int | None = None,
) -> list[str]:
    """The models that there are sums of in a time range, by name; of one team or client alone
    where given."""
    d = daily_usage.c
    query = select(d.model).where(d.day >= day_of(since), d.day < until, d.model != "").distinct()
    if team_id is not None:
        query = query.where(d.team_id == team_id)
    if client_id is not None:
        query = query.where(d.client_id == client_id)
    with engine.connect() as connection:
        return list(connection.execute(query.order_by(d.model)).scalars())


def _named() -> Select[Any]:
    c = usage_records.c
    return (
        select(
            usage_records,
            func.coalesce(teams.c.name, "").label("team_name"),
            func.coalesce(clients.c.name, "").label("client_name"),
        )
        .join(teams, c.team_id == teams.c.id, isouter=True)
        .join(clients, c.client_id == clients.c.id, isouter=True)
    )


_Conditions = list[ColumnElement[bool]]


def _conditions(dialect: str, f: Filters) -> tuple[_Conditions, _Conditions]:
    """The condition that an index leads to, and all others."""
    c = usage_records.c
    owner = select(keys.c.client_id).where(keys.c.id == f.key_id).scalar_subquery()
    by_index: tuple[tuple[ColumnElement[Any], Any], ...] = (
        (c.request_id, f.request_id),
        (c.client_id, f.client_id),
        (c.client_id, f.scope_client_id),
        (c.client_id, None if f.key_id is None else owner),
        (c.model, f.model),
        (c.team_id, f.team_id),
        (c.team_id, f.scope_team_id),
    )
    asked = [(column, value) for column, value in by_index if value is not None]
    leading = [column == value for column, value in asked[:1]]
    # Written so that no index is chosen for them: what is examined was counted along the first.
    others = [func.coalesce(column, column) == value for column, value in asked[1:]]
    return leading, [*others, *_further(dialect, f)]


def _further(dialect: str, f: Filters) -> _Conditions:
    c = usage_records.c
    found: _Conditions = []
    if f.key_id is not None:
        found.append(c.key_id == f.key_id)
    if f.endpoint is not None:
        found.append(c.endpoint == f.endpoint)
    if f.status is not None:
        least, below = STATUSES[f.status]
        found.append(and_(c.status >= least, c.status < below))
    if f.certainty is not None:
        found.append(c.certainty == f.certainty)
    if f.tag is not None:
        # As events write them: both are in quotes, and quotes inside them are escaped.
        pair = ":".join(json.dumps(part, ensure_ascii=False) for part in f.tag)
        place = func.strpos if dialect == "postgresql" else func.instr
        found.append(place(c.tags, pair) > 0)
    if f.cost_at_least_nano is not None:
        found.append(c.cost_nano >= f.cost_at_least_nano)
    if f.upstream_id is not None:
        found.append(c.upstream_id == f.upstream_id)
    return found


def _bound(
    connection: Connection,
    filters: Filters,
    led_by: _Conditions,
    after: Cursor | None,
    examined: int,
) -> datetime | None:
    """The moment down to which ``examined`` records lie; None where there are no more of them.

    An index has all that this asks for, so it is quick.
    """
    c = usage_records.c
    newest = _before(filters.until, after)[:1]
    query = select(c.held_at).where(*led_by, c.held_at >= filters.since, *newest)
    query = query.order_by(c.held_at.desc()).offset(examined).limit(1)
    found = connection.execute(query).scalar_one_or_none()
    # The statement's type is that of the column.
    assert found is None or isinstance(found, datetime)
    return found


def _before(until: datetime, after: Cursor | None) -> _Conditions:
    """Where the records begin that are wanted: at ``until``, or at the cursor where that is older.

    Only the first is a bound of time: of two, SQLite takes either for its index, and would walk
    from ``until`` to the cursor.
    """
    c = usage_records.c
    if after is None or after.at >= until:
        return [c.held_at < until]
    if not after.request_id:
        return [c.held_at < after.at]
    before = and_(c.request_id == after.request_id, c.kind < after.kind)
    return [
        c.held_at <= after.at,
        or_(c.held_at != after.at, c.request_id < after.request_id, before),
    ]
