"""Usage records of the admin API: what each request used, and how its cost came about."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import Any, Literal

from pydantic import Field
from sqlalchemy import Row

from gateway.adapters.directory import now
from gateway.adapters.explained_requests import ExplainedRequest, explained
from gateway.adapters.request_rows import Cursor, Filters
from gateway.adapters.request_rows import page as records_page
from gateway.core.errors import BadRequest
from gateway.core.explanations import charged_windows, stored_lines
from gateway.core.prices import Meter
from gateway.core.roles import Role
from gateway.web.admin.endpoint import Api, Call, NoBody, NoQuery, not_found
from gateway.web.admin.fields import (
    Amount,
    Answer,
    Listed,
    Moment,
    NextCursor,
    QueryId,
    TagPair,
    Text,
    Usd,
)

api = Api("records", "What each request used and cost. Records are never changed.")

DEFAULT_DAYS = 30
Certainty = Literal["exact", "estimated", "unknown"]


class CostLineAnswer(Answer):
    """One line of a bill: so many of a meter at a rate. Lines are summed, then rounded up once."""

    meter: Meter
    count: int
    rate_usd: Amount
    per: int = Field(description="How many the rate is for; audio is counted in milliseconds.")


class Record(Answer):
    """A usage record: of a request, or a correction of one that states the true cost and charges
    the difference."""

    request_id: str
    kind: Literal["request", "correction"]
    held_at: Moment
    recorded_at: Moment
    team_id: int
    team: str
    client_id: int
    client: str
    key_id: int
    endpoint: str
    model: str
    service_tier: str
    streamed: bool
    status: int
    outcome: str
    certainty: Certainty
    reason: str | None
    input_tokens: int
    cached_input_tokens: int
    cache_write_tokens: int
    audio_input_tokens: int
    image_input_tokens: int
    output_tokens: int
    reasoning_tokens: int
    audio_output_tokens: int
    image_output_tokens: int
    images: int
    audio_milliseconds: int
    characters: int
    trained_tokens: int
    web_search_calls: int
    duration_ms: int | None
    tags: dict[str, str]
    cost_usd: Amount
    held_usd: Amount
    cache_saved_usd: Amount
    cost_lines: list[CostLineAnswer]
    price_id: int | None
    budget_ids: list[int]
    upstream_id: str | None


class Records(Answer):
    """A page of records, newest first."""

    data: list[Record]
    next: NextCursor
    looked_back_to: Moment | None = Field(
        description=(
            "Set where a page is short because enough records were looked through: go on with"
            " `next` to look further back."
        )
    )


class AdjustmentAnswer(Answer):
    """A correction that was posted later. Budgets were not charged for it."""

    id: int
    day: Moment
    line_item: str
    cost_usd: Amount
    reason: str
    note: str
    source: str
    posted_at: Moment
    posted_by: str


class ExplainedAnswer(Answer):
    """Everything that is known of how a request was charged."""

    request_id: str
    charged_usd: Amount = Field(description="What its budgets were charged.")
    adjusted_usd: Amount = Field(description="What was posted later.")
    records: list[Record]
    adjustments: list[AdjustmentAnswer]


class OwnRecordsQuery(Listed):
    """Which records. They are newest first."""

    since: Moment | None = Field(None, description=f"Default: {DEFAULT_DAYS} days before `until`.")
    until: Moment | None = Field(None, description="Exclusive. Default: now.")
    key_id: QueryId | None = None
    model: Text | None = None
    endpoint: Text | None = None
    status: Literal["ok", "4xx", "5xx", "failed"] | None = None
    certainty: Certainty | None = None
    tag: TagPair | None = None
    cost_at_least_usd: Usd | None = None
    request_id: Text | None = None


class RecordsQuery(OwnRecordsQuery):
    """Which records. They are newest first."""

    team_id: QueryId | None = None
    client_id: QueryId | None = None
    upstream_id: Text | None = Field(None, description="The provider's own id of the request.")


def record_answer(row: Row[Any]) -> Record:
    """A row of the records as it is answered."""
    facts = {name: getattr(row, name) for name in Record.model_fields if name in row._fields}
    lines = [
        CostLineAnswer(meter=line.meter, count=line.count, rate_usd=line.nano, per=line.per)
        for line in stored_lines(row.cost_lines)
    ]
    return Record.model_validate(
        {
            **facts,
            "team": row.team_name,
            "client": row.client_name,
            "tags": json.loads(row.tags),
            "cost_usd": row.cost_nano,
            "held_usd": row.hold_nano,
            "cache_saved_usd": row.cache_saved_nano,
            "cost_lines": lines,
            "budget_ids": [window.budget_id for window in charged_windows(row.budget_windows)],
        }
    )


def record_list(call: Call[Any, Any], query: OwnRecordsQuery) -> Records:
    """The records that a query asks for and the caller may see."""
    since, until = time_range(query.since, query.until, DEFAULT_DAYS)
    tag = None
    if query.tag is not None:
        name, _, value = query.tag.partition("=")
        tag = (name, value)
    filters = Filters(
        since=since,
        until=until,
        team_id=getattr(query, "team_id", None),
        client_id=getattr(query, "client_id", None),
        key_id=query.key_id,
        model=query.model,
        endpoint=query.endpoint,
        status=query.status,
        certainty=query.certainty,
        tag=tag,
        cost_at_least_nano=query.cost_at_least_usd,
        request_id=query.request_id,
        upstream_id=getattr(query, "upstream_id", None),
        scope_team_id=call.principal.team_scope(),
        scope_client_id=call.principal.client_scope(),
    )
    after = _after(query.cursor)
    page = call.report(
        lambda: records_page(call.at.engine, filters, after=after, limit=query.limit)
    )
    return Records(
        data=[record_answer(row) for row in page.rows],
        next=None if page.after is None else str(page.after),
        looked_back_to=page.looked_back_to,
    )


def time_range(
    since: datetime | None, until: datetime | None, days: int
) -> tuple[datetime, datetime]:
    """A range of time, by default the last ``days`` before its end. Raises BadRequest."""
    last = until or now()
    try:
        first = since or last - timedelta(days=days)
    except OverflowError:
        raise BadRequest("until: out of range.", param="until") from None
    if first >= last:
        raise BadRequest("since: it must be before `until`.", param="since")
    return first, last


def _after(cursor: str | None) -> Cursor | None:
    if cursor is None:
        return None
    try:
        return Cursor.parse(cursor)
    except ValueError:
        raise BadRequest("cursor: not one that this list gave.", param="cursor") from None


@api.endpoint("GET", "/records", query=RecordsQuery, answer=Records)
def list_records(call: Call[RecordsQuery, NoBody]) -> Records:
    """List usage records.

    A page looks through so many records at most: where few of them fit the filters, it may be short
    and still have a `next`. An owner sees those of the own team.
    """
    return record_list(call, call.query)


@api.endpoint("GET", "/records/<request_id>", answer=ExplainedAnswer, roles=tuple(Role))
def read_record(call: Call[NoQuery, NoBody], request_id: str) -> ExplainedAnswer:
    """Read how a request was charged: its record, corrections and adjustments.

    A client's key sees those of its client.
    """
    found = call.report(explained, call.at.engine, request_id)
    if found is None or not _is_seen(call, found.first):
        raise not_found("record", request_id[:64])
    return _explained(found, request_id)


def _is_seen(call: Call[Any, Any], row: Row[Any]) -> bool:
    return call.principal.sees_client(row.team_id, row.client_id)


def _explained(found: ExplainedRequest, request_id: str) -> ExplainedAnswer:
    adjusted = [
        AdjustmentAnswer(
            id=item.id,
            day=item.day,
            line_item=item.line_item,
            cost_usd=item.cost_nano,
            reason=item.reason,
            note=item.note,
            source=item.source,
            posted_at=item.posted_at,
            posted_by=item.posted_by,
        )
        for item in found.adjustments
    ]
    return ExplainedAnswer(
        request_id=request_id,
        charged_usd=found.charged_nano,
        adjusted_usd=found.adjusted_nano,
        records=[record_answer(record.row) for record in found.records],
        adjustments=adjusted,
    )
