"""Holds in flight of the admin API: what is set aside for requests that are not settled yet."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from pydantic import Field

from gateway.adapters.open_holds import OpenHold, open_holds
from gateway.adapters.redis_budgets import StoreDown
from gateway.core.errors import StoreUnavailable
from gateway.web.admin import cursors
from gateway.web.admin.endpoint import Api, Call, NoBody
from gateway.web.admin.fields import Amount, Answer, Listed, Moment, NextCursor, QueryId, Text

api = Api("holds", "What is held of budgets for requests in flight.")


class HoldAnswer(Answer):
    """A hold. It ends settled, released, or expired and charged; its owner renews its lease."""

    request_id: str
    team_id: int
    client_id: int
    key_id: int = Field(description="0 for an outage allowance, which is of no key.")
    endpoint: str
    model: str
    amount_usd: Amount
    held_at: Moment
    expires_at: Moment
    is_long: bool = Field(description="Of work that goes on after its request: a batch, a job.")
    budget_ids: list[int]


class Holds(Answer):
    """A page of holds, newest first, and what all that fit the filters hold together."""

    data: list[HoldAnswer]
    next: NextCursor
    count: int
    total_usd: Amount


class HoldsQuery(Listed):
    """Which holds."""

    team_id: QueryId | None = None
    client_id: QueryId | None = None
    key_id: QueryId | None = None
    budget_id: QueryId | None = None
    model: Text | None = None


@api.endpoint("GET", "/holds", query=HoldsQuery, answer=Holds)
def list_holds(call: Call[HoldsQuery, NoBody]) -> Holds:
    """List the holds in flight.

    They come and go while one looks. An owner sees those of the own team.
    """
    query = call.query
    place = cursors.read(query.cursor, int, str)
    try:
        every = open_holds(call.at.budgets)
    except StoreDown:
        raise StoreUnavailable(
            "Redis, which knows the holds, does not answer. Try again shortly.",
            headers={"retry-after": "1"},
        ) from None
    found = [hold for hold in every if _fits(hold, query, call.principal.team_scope())]
    rest = found if place is None else [hold for hold in found if _place(hold) < tuple(place)]
    shown = rest[: query.limit]
    more = cursors.written(*_place(shown[-1])) if len(rest) > len(shown) else None
    return Holds(
        data=[_answer(hold) for hold in shown],
        next=more,
        count=len(found),
        total_usd=sum(hold.amount_nano for hold in found),
    )


def _fits(hold: OpenHold, query: HoldsQuery, own_team: int | None) -> bool:
    wanted: tuple[tuple[Any, Any], ...] = (
        (hold.team_id, own_team),
        (hold.team_id, query.team_id),
        (hold.client_id, query.client_id),
        (hold.key_id, query.key_id),
        (hold.model, query.model),
    )
    if any(value is not None and given != value for given, value in wanted):
        return False
    return query.budget_id is None or query.budget_id in hold.budget_ids


def _place(hold: OpenHold) -> tuple[int, str]:
    return int((hold.held_at - _EPOCH).total_seconds() * 1000), hold.request_id


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def _answer(hold: OpenHold) -> HoldAnswer:
    return HoldAnswer(
        request_id=hold.request_id,
        team_id=hold.team_id,
        client_id=hold.client_id,
        key_id=hold.key_id,
        endpoint=hold.endpoint,
        model=hold.model,
        amount_usd=hold.amount_nano,
        held_at=hold.held_at,
        expires_at=hold.expires_at,
        is_long=hold.is_long,
        budget_ids=list(hold.budget_ids),
    )
