"""Budgets of the admin API, each with where it stands in its current window."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import Field
from sqlalchemy import Row

from gateway.adapters.budget_state import BudgetState, counted_states, recorded_states
from gateway.adapters.directory import Directory, now
from gateway.adapters.directory_facts import budget_facts
from gateway.adapters.directory_pages import Page, budgets_page
from gateway.adapters.redis_budgets import StoreDown
from gateway.adapters.redis_replies import CountersLost
from gateway.core.budgets import FOREVER_MS, Enforcement, Scope, WindowKind
from gateway.core.errors import BadRequest, Forbidden
from gateway.core.money import LIMIT_NANO_MAX
from gateway.core.roles import Role
from gateway.core.timestamps import timestamp
from gateway.web.admin import cursors
from gateway.web.admin.clients import seen_client
from gateway.web.admin.endpoint import WRITERS, Api, Call, NoBody, NoQuery, not_found
from gateway.web.admin.fields import (
    UNSENT,
    Amount,
    AmountText,
    Answer,
    Body,
    Dollars,
    ETag,
    Id,
    Listed,
    MomentText,
    Name,
    NextCursor,
    Patch,
    Pattern,
    QueryId,
    TagPair,
    Text,
)
from gateway.web.admin.lists import part_of, tagged
from gateway.web.admin.teams import Removed

api = Api("budgets", "Limits in US dollars per window, on the organization, teams and clients.")

LimitUsd = Annotated[int, Dollars(7, LIMIT_NANO_MAX)]
WindowField = Annotated[WindowKind, Field(strict=False)]
EnforcementField = Annotated[
    Enforcement,
    Field(
        strict=False,
        description="strict: never exceeded. expected: may overrun a little. soft: never refuses.",
    ),
]
ScopeField = Annotated[Scope, Field(strict=False)]


class BudgetStateAnswer(Answer):
    """Where a budget stands in the window that is open now."""

    window_start: MomentText
    resets_at: MomentText | None = Field(description="Null for a budget in total.")
    spent_usd: Amount
    held_usd: Amount | None = Field(
        description="By requests in flight; null where Redis does not answer."
    )
    left_usd: Amount
    source: Literal["counters", "recorded"] = Field(
        description="recorded: Redis did not answer, and what is not recorded yet is not in it."
    )


class Budget(Answer):
    """A budget. Its `etag` is of what it is, and not of its state."""

    id: int
    name: str
    scope: Scope
    team_id: int | None
    team: str | None
    client_id: int | None
    client: str | None
    limit_usd: AmountText
    window: WindowKind
    time_zone: str
    enforcement: Enforcement
    model_pattern: str | None
    tag: str | None
    created_at: MomentText
    state: BudgetStateAnswer
    etag: ETag


class Budgets(Answer):
    """A page of budgets, by id."""

    data: list[Budget]
    next: NextCursor


class BudgetsQuery(Listed):
    """Which budgets. Of a team are its own, and those of its clients."""

    scope: ScopeField | None = None
    team_id: QueryId | None = None
    client_id: QueryId | None = None
    name: Text | None = None


class NewBudget(Body):
    """A budget to make: on a team, on a client, or with neither on the organization."""

    name: Name
    limit_usd: LimitUsd
    window: WindowField
    team_id: Id | None = None
    client_id: Id | None = None
    time_zone: Text = Field("UTC", description="Whose calendar the windows follow.")
    enforcement: EnforcementField = Enforcement.STRICT
    model_pattern: Pattern | None = Field(None, description="These models only.")
    tag: TagPair | None = Field(None, description="Requests with this tag only.")


class BudgetChange(Patch):
    """What to change of a budget. What it limits cannot be changed: make another one."""

    name: Name = UNSENT
    limit_usd: LimitUsd = UNSENT
    enforcement: EnforcementField = UNSENT


def budget_answers(call: Call[Any, Any], rows: Sequence[Row[Any]]) -> list[Budget]:
    """Rows of the directory as they are answered, with their state."""
    states = _states(call, rows)
    return [
        tagged(Budget, budget_facts(row), state=_state(row, state))
        for row, state in zip(rows, states, strict=True)
    ]


def budget_list(call: Call[Any, Any], page: Page) -> Budgets:
    """A page of the directory as it is answered."""
    more = None if page.after is None else cursors.written(page.after)
    return Budgets(data=budget_answers(call, page.rows), next=more)


def _states(call: Call[Any, Any], rows: Sequence[Row[Any]]) -> list[BudgetState]:
    """As Redis counts; where it cannot say, as SQL has recorded."""
    try:
        return counted_states(call.at.budgets, rows)
    except (StoreDown, CountersLost):
        return call.sql(recorded_states, call.at.engine, rows, now())


def _state(row: Row[Any], state: BudgetState) -> BudgetStateAnswer:
    end_ms = state.window.end_ms
    held = state.held_nano
    return BudgetStateAnswer(
        window_start=timestamp(_moment(state.window.start_ms)),
        resets_at=None if end_ms == FOREVER_MS else timestamp(_moment(end_ms)),
        spent_usd=state.spent_nano,
        held_usd=held,
        left_usd=row.limit_nano - state.spent_nano - (held or 0),
        source="recorded" if held is None else "counters",
    )


def _moment(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1000, tz=UTC)


def _team_of(row: Row[Any]) -> int | None:
    """The team that a budget is on, or that its client is in."""
    found: int | None = row.team_id if row.team_id is not None else row.client_team_id
    return found


def _seen(call: Call[Any, Any], budget_id: int, *, to_change: bool = False) -> Row[Any]:
    row = call.sql(call.directory.budget, budget_id)
    if not call.principal.sees_budget(_team_of(row), row.client_id):
        raise not_found("budget", budget_id)
    if to_change and not call.principal.may_change_budget(_team_of(row), row.client_id):
        raise Forbidden(
            "You may change the budgets of your team's clients; those of the team and of the"
            " organization bound you too."
        )
    return row


@api.endpoint("GET", "/budgets", query=BudgetsQuery, answer=Budgets)
def list_budgets(call: Call[BudgetsQuery, NoBody]) -> Budgets:
    """List budgets, each with what is spent, held and left.

    An owner sees those that the own team's requests can fall under.
    """
    query, part = call.query, part_of(call.query)
    own = call.principal.team_scope()
    page = call.sql(
        lambda: budgets_page(
            call.at.engine,
            part,
            name=query.name,
            scope=query.scope,
            team_ids=(query.team_id,),
            client_id=query.client_id,
            covering=None if own is None else (own, None),
        )
    )
    return budget_list(call, page)


@api.endpoint("POST", "/budgets", body=NewBudget, answer=Budget, roles=WRITERS, status=201)
def create_budget(call: Call[NoQuery, NewBudget]) -> Budget:
    """Make a budget.

    It counts what is spent from now on. An owner makes those of the own team's clients.
    """
    body = call.body
    if body.team_id is not None and body.client_id is not None:
        raise BadRequest("A budget is on a team or on a client, not both.", param="client_id")
    if body.client_id is not None:
        seen_client(call, body.client_id)
    elif call.principal.role is not Role.ADMIN:
        raise Forbidden("You may make budgets of your team's clients: name one.", param="client_id")

    def make(directory: Directory) -> Row[Any]:
        made = directory.create_budget(
            body.name,
            limit_nano=body.limit_usd,
            window=body.window,
            team=body.team_id,
            client=body.client_id,
            time_zone=body.time_zone,
            enforcement=body.enforcement,
            model_pattern=body.model_pattern,
            tag=body.tag,
        )
        return directory.budget(made)

    return budget_answers(call, [call.change(make)])[0]


@api.endpoint("GET", "/budgets/<int:budget_id>", answer=Budget)
def read_budget(call: Call[NoQuery, NoBody], budget_id: int) -> Budget:
    """Read a budget, with what is spent, held and left."""
    return budget_answers(call, [_seen(call, budget_id)])[0]


@api.endpoint("PATCH", "/budgets/<int:budget_id>", body=BudgetChange, answer=Budget, roles=WRITERS)
def change_budget(call: Call[NoQuery, BudgetChange], budget_id: int) -> Budget:
    """Change a budget's limit, enforcement or name; what is spent and held stays."""
    _seen(call, budget_id, to_change=True)
    given = call.body.given()

    def make(directory: Directory) -> Row[Any]:
        directory.change_budget(
            budget_id,
            limit_nano=given.get("limit_usd"),
            enforcement=given.get("enforcement"),
            new_name=given.get("name"),
            seen=call.seen,
        )
        return directory.budget(budget_id)

    return budget_answers(call, [call.change(make)])[0]


@api.endpoint("DELETE", "/budgets/<int:budget_id>", answer=Removed, roles=WRITERS)
def remove_budget(call: Call[NoQuery, NoBody], budget_id: int) -> Removed:
    """Stop enforcing a budget."""
    _seen(call, budget_id, to_change=True)
    call.change(lambda directory: directory.remove_budget(budget_id, seen=call.seen))
    return Removed(id=budget_id)
