"""Teams of the admin API."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field
from sqlalchemy import Row

from gateway.adapters.directory import Directory
from gateway.adapters.directory_facts import team_facts
from gateway.adapters.directory_pages import teams_page
from gateway.core.policy import Sharing
from gateway.web.admin.endpoint import ADMINS, Api, Call, NoBody, NoQuery, not_found
from gateway.web.admin.fields import (
    UNSENT,
    Answer,
    Body,
    ETag,
    Listed,
    MomentText,
    Name,
    NextCursor,
    Patch,
    Text,
)
from gateway.web.admin.lists import listed, part_of, tagged

api = Api("teams", "Teams of the organization.")

SharingField = Annotated[
    Sharing,
    Field(
        strict=False,
        description="Who may use a file, batch or job: the client that made it, or its team.",
    ),
]


class Team(Answer):
    """A team."""

    id: int
    name: str
    sharing: Sharing
    created_at: MomentText
    etag: ETag


class Teams(Answer):
    """A page of teams, by id."""

    data: list[Team]
    next: NextCursor


class TeamsQuery(Listed):
    """Which teams."""

    name: Text | None = None


class NewTeam(Body):
    """A team to make."""

    name: Name
    sharing: SharingField = Sharing.CLIENT


class TeamChange(Patch):
    """What to change of a team."""

    name: Name = UNSENT
    sharing: SharingField = UNSENT


class Removed(Answer):
    """What was removed. Its usage records stay."""

    id: int
    removed: bool = True


def team_answer(row: Row[Any]) -> Team:
    """A row of the directory as it is answered."""
    return tagged(Team, team_facts(row))


@api.endpoint("GET", "/teams", query=TeamsQuery, answer=Teams)
def list_teams(call: Call[TeamsQuery, NoBody]) -> Teams:
    """List teams.

    An owner sees the own team.
    """
    part = part_of(call.query)
    only = call.principal.team_scope()
    page = call.sql(lambda: teams_page(call.at.engine, part, name=call.query.name, only=only))
    return listed(Teams, page, team_answer)


@api.endpoint("POST", "/teams", body=NewTeam, answer=Team, roles=ADMINS, status=201)
def create_team(call: Call[NoQuery, NewTeam]) -> Team:
    """Make a team."""

    def make(directory: Directory) -> Row[Any]:
        return directory.team(directory.create_team(call.body.name, call.body.sharing))

    return team_answer(call.change(make))


@api.endpoint("GET", "/teams/<int:team_id>", answer=Team)
def read_team(call: Call[NoQuery, NoBody], team_id: int) -> Team:
    """Read a team."""
    if not call.principal.sees_team(team_id):
        raise not_found("team", team_id)
    return team_answer(call.sql(call.directory.team, team_id))


@api.endpoint("PATCH", "/teams/<int:team_id>", body=TeamChange, answer=Team, roles=ADMINS)
def change_team(call: Call[NoQuery, TeamChange], team_id: int) -> Team:
    """Change a team's name, or who may use what its clients have made."""

    def make(directory: Directory) -> Row[Any]:
        directory.change_team(team_id, **call.body.given(), seen=call.seen)
        return directory.team(team_id)

    return team_answer(call.change(make))


@api.endpoint("DELETE", "/teams/<int:team_id>", answer=Removed, roles=ADMINS)
def remove_team(call: Call[NoQuery, NoBody], team_id: int) -> Removed:
    """Remove a team that has no clients any more.

    Its budgets are removed with it; its usage records stay.
    """
    call.change(lambda directory: directory.remove_team(team_id, seen=call.seen))
    return Removed(id=team_id)
