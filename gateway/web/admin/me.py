"""Self-service: what whoever asks may see of itself, with a client's own key too."""

from __future__ import annotations

from pydantic import Field

from gateway.adapters.directory_pages import budgets_page
from gateway.core.roles import Role
from gateway.web.admin.budgets import Budgets, budget_list
from gateway.web.admin.clients import Client, client_answer
from gateway.web.admin.endpoint import EVERYONE, Api, Call, NoBody, NoQuery
from gateway.web.admin.fields import Answer, Listed
from gateway.web.admin.lists import part_of
from gateway.web.admin.records import OwnRecordsQuery, Records, record_list
from gateway.web.admin.teams import Team, team_answer
from gateway.web.admin.usage import OwnUsageQuery, Usage, usage_answer

api = Api("me", "Self-service: a client's own key reads its client's limits, spend and requests.")


class Me(Answer):
    """Who asks, and what bounds it."""

    actor: str
    role: Role
    team: Team | None = Field(description="The one team that is seen; null where all are.")
    client: Client | None = Field(description="The one client that is seen.")


class OwnBudgetsQuery(Listed):
    """Which part."""


@api.endpoint("GET", "/me", answer=Me, roles=EVERYONE)
def read_me(call: Call[NoQuery, NoBody]) -> Me:
    """Say who asks, in which role, and the limits of its client."""
    who = call.principal
    team, client = who.team_scope(), who.client_scope()
    directory = call.directory
    return Me(
        actor=who.actor,
        role=who.role,
        team=None if team is None else team_answer(call.sql(directory.team, team)),
        client=None if client is None else client_answer(call.sql(directory.client, client)),
    )


@api.endpoint("GET", "/me/budgets", query=OwnBudgetsQuery, answer=Budgets, roles=EVERYONE)
def list_own_budgets(call: Call[OwnBudgetsQuery, NoBody]) -> Budgets:
    """List the budgets that one's requests can fall under: the client's, team's, organization's."""
    who, part = call.principal, part_of(call.query)
    team = who.team_scope()
    covering = None if team is None else (team, who.client_scope())
    return budget_list(
        call, call.sql(lambda: budgets_page(call.at.engine, part, covering=covering))
    )


@api.endpoint("GET", "/me/usage", query=OwnUsageQuery, answer=Usage, roles=EVERYONE)
def read_own_usage(call: Call[OwnUsageQuery, NoBody]) -> Usage:
    """Sum one's own usage and costs."""
    return usage_answer(call, call.query)


@api.endpoint("GET", "/me/requests", query=OwnRecordsQuery, answer=Records, roles=EVERYONE)
def list_own_requests(call: Call[OwnRecordsQuery, NoBody]) -> Records:
    """List one's own requests, newest first."""
    return record_list(call, call.query)
