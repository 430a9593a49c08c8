"""`faregate team`: the teams of the organization."""

from __future__ import annotations

import shlex

import click

from gateway.cli.deployment import open_deployment
from gateway.cli.output import Column, json_option, moment, note, print_json, print_table, say


@click.group()
def command() -> None:
    """Create and list teams."""


@command.command()
@click.argument("name")
@json_option
def create(name: str, as_json: bool) -> None:
    """Create the team NAME."""
    deployment = open_deployment()
    team_id = deployment.directory.create_team(name)
    deployment.announce()
    if as_json:
        print_json({"id": team_id, "name": name})
    else:
        say(f"Created team {name}. Next: faregate client create NAME --team {shlex.quote(name)}")


@command.command("list")
@json_option
def list_teams(as_json: bool) -> None:
    """List the teams."""
    directory = open_deployment().directory
    teams = directory.teams()
    members: dict[int, int] = {}
    for client in directory.clients():
        members[client.team_id] = members.get(client.team_id, 0) + 1
    if as_json:
        print_json(
            [
                {
                    "id": team.id,
                    "name": team.name,
                    "clients": members.get(team.id, 0),
                    "created_at": team.created_at,
                }
                for team in teams
            ]
        )
    elif not teams:
        note("There is no team yet. Create one: faregate team create NAME")
    else:
        print_table(
            [Column("Team"), Column("Clients", number=True), Column("Created (UTC)")],
            [(t.name, members.get(t.id, 0), moment(t.created_at)) for t in teams],
        )
