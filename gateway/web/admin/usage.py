"""Rollups of the admin API: sums by whatever one asks for, however many requests there were."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints

from gateway.adapters import reports
from gateway.core.errors import BadRequest
from gateway.core.reports import DIMENSIONS, Group, Point, Selection, Sums
from gateway.web.admin import cursors
from gateway.web.admin.endpoint import Api, Call, NoBody
from gateway.web.admin.fields import (
    Amount,
    Answer,
    Listed,
    Moment,
    NextCursor,
    QueryIds,
    QueryTexts,
    TagPair,
)
from gateway.web.admin.records import DEFAULT_DAYS, time_range

api = Api("usage", "Sums of usage and costs, adjustments included, from the rollups.")

HOURS_MAX = timedelta(days=62)
"""The longest range that is answered by the hour."""
MANY_HOURS_MAX = timedelta(days=31)
"""The same by client or key: every hour of every one of them is in memory at once."""
DAYS_MAX = timedelta(days=3660)

GroupBy = Annotated[
    str,
    StringConstraints(pattern=rf"^({'|'.join(DIMENSIONS)}|tag:[a-z0-9_.-]{{1,64}})$"),
    Field(description="What to sum by; tag:NAME for a tag."),
]


class SumsAnswer(Answer):
    """Sums over requests. Costs have adjustments in them; `cost_usd` is the sum of its parts."""

    requests: int
    failures: int
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
    duration_ms: int
    timed: int = Field(description="How many requests `duration_ms` is the sum of.")
    cost_usd: Amount
    exact_usd: Amount
    estimated_usd: Amount
    unknown_usd: Amount
    adjusted_usd: Amount
    cache_saved_usd: Amount


class UsageRow(Answer):
    """The sums of one group, of one hour or day, or of one group in one of them."""

    at: Moment | None = Field(description="Where an hour or day begins; null without a step.")
    key: str = Field(description="An id, or the value itself; empty without grouping.")
    name: str
    sums: SumsAnswer


class Usage(Answer):
    """Sums of a range of time. Hours, and with a tag days, count whole."""

    since: Moment
    until: Moment
    total: SumsAnswer
    data: list[UsageRow] = Field(description="Dearest first; with a step in order of time.")
    next: NextCursor


class OwnUsageQuery(Listed):
    """Sums of what, and how."""

    since: Moment | None = Field(None, description=f"Default: {DEFAULT_DAYS} days before `until`.")
    until: Moment | None = Field(None, description="Default: now.")
    group_by: GroupBy | None = None
    step: Literal["hour", "day"] | None = None
    key_id: QueryIds = ()
    model: QueryTexts = ()
    endpoint: QueryTexts = ()
    tier: QueryTexts = ()
    tag: TagPair | None = None


class UsageQuery(OwnUsageQuery):
    """Sums of what, and how. Filters that may be given several times select any of their values."""

    team_id: QueryIds = ()
    client_id: QueryIds = ()


def usage_answer(call: Call[Any, Any], query: OwnUsageQuery) -> Usage:
    """The sums that a query asks for and the caller may see."""
    selection = _selection(call, query)
    _check(query, selection)
    place = cursors.read(query.cursor, int)
    start = 0 if place is None else place[0]
    engine = call.at.engine
    total = call.report(reports.totals, engine, selection)
    rows: list[UsageRow] = []
    if query.step is not None:
        points = call.report(reports.series, engine, selection, query.step, query.group_by)
        rows = [_row(point) for point in points]
    elif query.group_by is not None:
        rows = [
            _row(group) for group in call.report(reports.grouped, engine, selection, query.group_by)
        ]
    shown = rows[start : start + query.limit]
    more = start + query.limit
    return Usage(
        since=selection.hours[0] if query.tag is None else selection.days[0],
        until=selection.hours[1] if query.tag is None else selection.days[1],
        total=_sums(total),
        data=shown,
        next=cursors.written(more) if more < len(rows) else None,
    )


def _selection(call: Call[Any, Any], query: OwnUsageQuery) -> Selection:
    since, until = time_range(query.since, query.until, DEFAULT_DAYS)
    teams: tuple[int, ...] = getattr(query, "team_id", ())
    clients: tuple[int, ...] = getattr(query, "client_id", ())
    tag = None
    if query.tag is not None:
        name, _, value = query.tag.partition("=")
        tag = (name, value)
    return Selection(
        since,
        until,
        team_ids=_within(teams, call.principal.team_scope()),
        client_ids=_within(clients, call.principal.client_scope()),
        key_ids=query.key_id,
        models=query.model,
        endpoints=query.endpoint,
        tiers=query.tier,
        tag=tag,
    )


def _within(wanted: tuple[int, ...], own: int | None) -> tuple[int, ...]:
    """The ids that are asked for, as far as they may be seen; an id of nobody where none is."""
    if own is None:
        return wanted
    return (own,) if not wanted or own in wanted else (-1,)


def _check(query: OwnUsageQuery, selection: Selection) -> None:
    longest = HOURS_MAX if query.step == "hour" else DAYS_MAX
    if query.step == "hour" and query.group_by in ("client", "key"):
        longest = MANY_HOURS_MAX
    if selection.until - selection.since > longest:
        raise BadRequest(
            f"since: the range is longer than the {longest.days} days that are answered at once.",
            param="since",
        )
    group = (query.group_by or "").partition("tag:")[2]
    if query.step == "hour" and (group or query.tag is not None):
        raise BadRequest("step: what has a tag is summed by days.", param="step")
    if group and query.tag is not None and group != query.tag.partition("=")[0]:
        raise BadRequest(
            "tag: what has two tags at once is not summed; filter by the tag of the group.",
            param="tag",
        )


def _row(found: Group | Point) -> UsageRow:
    at = found.at if isinstance(found, Point) else None
    return UsageRow(at=at, key=found.key, name=found.name, sums=_sums(found.sums))


def _sums(sums: Sums) -> SumsAnswer:
    plain = {
        name: getattr(sums, name) for name in SumsAnswer.model_fields if not name.endswith("_usd")
    }
    amounts = {
        name: getattr(sums, f"{name.removesuffix('_usd')}_nano")
        for name in SumsAnswer.model_fields
        if name.endswith("_usd")
    }
    return SumsAnswer.model_validate({**plain, **amounts})


@api.endpoint("GET", "/usage", query=UsageQuery, answer=Usage)
def read_usage(call: Call[UsageQuery, NoBody]) -> Usage:
    """Sum usage and costs, by group, by hour or day, or both.

    An owner sees the own team's.
    """
    return usage_answer(call, call.query)
