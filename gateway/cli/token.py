"""`faregate token`: credentials of programs that call the admin, usage and costs APIs."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import click

from gateway.adapters.admin_tokens import AdminTokens, Token
from gateway.adapters.directory import now
from gateway.cli.deployment import open_deployment
from gateway.cli.output import Column, json_option, moment, note, print_json, print_table, say
from gateway.cli.parameters import KEY_ID, as_lifetime
from gateway.cli.user import ROLES
from gateway.core.roles import Role


@click.group()
def command() -> None:
    """Create, revoke and list admin tokens."""


@command.command()
@click.argument("name")
@click.option("--role", type=ROLES, required=True, help="What the token may see and do.")
@click.option("--team", help="The team of an owner's token.")
@click.option(
    "--expires-in", metavar="DURATION", callback=as_lifetime, help="Such as 90d. Default: never."
)
@json_option
def create(
    name: str, role: str, team: str | None, expires_in: timedelta | None, as_json: bool
) -> None:
    """Create an admin token and show its secret, this once."""
    deployment = open_deployment()
    tokens = AdminTokens(deployment.engine)
    token = tokens.create(deployment.actor, name, Role(role), team=team, expires_in=expires_in)
    if as_json:
        print_json(
            {
                "id": token.id,
                "name": name,
                "role": role,
                "team": team,
                "token": token.secret,
                "display": token.display,
                "expires_at": token.expires_at,
            }
        )
        return
    expiry = (
        "never expires" if token.expires_at is None else f"expires {moment(token.expires_at)} UTC"
    )
    say(f"Token {token.id} ({name}, {role}), {expiry}. Shown this once:")
    say(f"\n  {token.secret}\n")
    say("Programs send it as: Authorization: Bearer fga-...")


@command.command()
@click.argument("token_id", type=KEY_ID)
@json_option
def revoke(token_id: int, as_json: bool) -> None:
    """Stop the token TOKEN_ID (see `faregate token list`) at once."""
    deployment = open_deployment()
    AdminTokens(deployment.engine).revoke(deployment.actor, token_id)
    if as_json:
        print_json({"id": token_id, "state": "revoked"})
    else:
        say(f"Revoked token {token_id}.")


@command.command("list")
@json_option
def list_tokens(as_json: bool) -> None:
    """List the tokens, without their secrets."""
    tokens = AdminTokens(open_deployment().engine).tokens()
    at = now()
    if as_json:
        print_json([{**_as_json(token), "state": token.state(at)} for token in tokens])
    elif not tokens:
        note("There is no token yet. Create one: faregate token create NAME --role admin")
    else:
        print_table(
            [
                Column("Id", number=True),
                Column("Name"),
                Column("Role"),
                Column("Token"),
                Column("State"),
                Column("Expires (UTC)"),
            ],
            [
                (
                    token.id,
                    token.name,
                    f"{token.role} of {token.team_name}" if token.team_name else token.role,
                    token.display,
                    token.state(at),
                    moment(token.expires_at),
                )
                for token in tokens
            ],
        )


def _as_json(token: Token) -> dict[str, Any]:
    return {
        "id": token.id,
        "name": token.name,
        "role": token.role,
        "team": token.team_name,
        "display": token.display,
        "expires_at": token.expires_at,
        "revoked_at": token.revoked_at,
        "created_at": token.created_at,
        "created_by": token.created_by,
    }
