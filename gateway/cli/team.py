"""`faregate team`: the teams of the organization."""

from __future__ import annotations

import shlex
from collections import Counter
from typing import Any

import click
from sqlalchemy import Row

from gateway.adapters.directory import Directory
from gateway.cli.deployment import open_deployment
from gateway.cli.output import Column, json_option, moment, note, print_json, print_table, say
from gateway.core.policy import Sharing

_SHARING = click.Choice([sharing.value for sharing in Sharing])
_SHARED_BY = {Sharing.CLIENT.value: "each client its own", Sharing.TEAM.value: "the whole team"}


@click.group()
def command() -> None:
    """Create, change, remove and list teams."""


@command.command()
@click.argument("name")
@click.option(
    "--sharing",
    type=_SHARING,
    default=Sharing.CLIENT.value,
    show_default=True,
    help="Who may use a file, batch or job: the client that made it, or its whole team.",
)
@json_option
def create(name: str, sharing: str, as_json: bool) -> None:
    """Create the team NAME."""
    deployment = open_deployment()
    team_id = deployment.directory.create_team(name, Sharing(sharing))
    deployment.announce()
    if as_json:
        print_json({"id": team_id, "name": name, "sharing": sharing})
    else:
        say(f"Created team {name}. Next: faregate client create NAME --team {shlex.quote(name)}")


@command.command("set")
@click.argument("name")
@click.option(
    "--sharing",
    type=_SHARING,
    help="Who may use a file, batch or job, also one made before: its client, or the team.",
)
@click.option("--name", "new_name", help="Its new name.")
@json_option
def change(name: str, sharing: str | None, new_name: str | None, as_json: bool) -> None:
    """Change the team NAME. It takes effect with the next request."""
    if sharing is None and new_name is None:
        raise click.UsageError("nothing to change: give --sharing, --name or both")
    deployment = open_deployment()
    shared = None if sharing is None else Sharing(sharing)
    deployment.directory.change_team(name, shared, name=new_name)
    deployment.announce()
    name = new_name or name
    if as_json:
        directory = deployment.directory
        members = _members(directory)
        print_json(next(_as_json(row, members) for row in directory.teams() if row.name == name))
    else:
        say(f"Changed team {name}.")


@command.command()
@click.argument("name")
@json_option
def remove(name: str, as_json: bool) -> None:
    """Remove the team NAME, which has no clients any more. Its usage records stay."""
    deployment = open_deployment()
    deployment.directory.remove_team(name)
    deployment.announce()
    if as_json:
        print_json({"name": name, "state": "removed"})
    else:
        say(f"Removed team {name}.")


@command.command("list")
@json_option
def list_teams(as_json: bool) -> None:
    """List the teams."""
    directory = open_deployment().directory
    teams = directory.teams()
    members = _members(directory)
    if as_json:
        print_json([_as_json(team, members) for team in teams])
    elif not teams:
        note("There is no team yet. Create one: faregate team create NAME")
    else:
        print_table(
            [
                Column("Team"),
                Column("Clients", number=True),
                Column("Objects are used by"),
                Column("Created (UTC)"),
            ],
            [
                (t.name, members.get(t.id, 0), _SHARED_BY[t.sharing], moment(t.created_at))
                for t in teams
            ],
        )


def _members(directory: Directory) -> dict[int, int]:
    """How many clients each team has, by team id."""
    return Counter(client.team_id for client in directory.clients())


def _as_json(team: Row[Any], members: dict[int, int]) -> dict[str, Any]:
    return {
        "id": team.id,
        "name": team.name,
        "clients": members.get(team.id, 0),
        "sharing": team.sharing,
        "created_at": team.created_at,
    }
