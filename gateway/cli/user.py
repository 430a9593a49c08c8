"""`faregate user`: the accounts of people who use the dashboard."""

from __future__ import annotations

import secrets
import sys
from typing import Any

import click

from gateway.adapters.accounts import Accounts, User
from gateway.adapters.passwords import hash_password
from gateway.cli.deployment import open_deployment
from gateway.cli.output import Column, json_option, moment, note, print_json, print_table, say
from gateway.core.credentials import checked_email, checked_password
from gateway.core.roles import Role

ROLES = click.Choice([role.value for role in (Role.ADMIN, Role.FINANCE, Role.OWNER)])


def _password(command: Any) -> Any:
    """Options that say where a password comes from."""
    piped = click.option(
        "--password-stdin", is_flag=True, help="Read the password from standard input."
    )
    made = click.option(
        "--generate", is_flag=True, help="Make a password up and print it, this once."
    )
    return made(piped(command))


@click.group()
def command() -> None:
    """Create, change, disable and list accounts of the dashboard."""


@command.command()
@click.argument("email")
@click.option("--role", type=ROLES, required=True, help="What the person may see and do.")
@click.option("--team", help="The team of an owner.")
@click.option("--name", default="", help="The person's name.")
@_password
@click.option(
    "--no-password", is_flag=True, help="The person signs in by the identity provider alone."
)
@json_option
def create(
    email: str,
    role: str,
    team: str | None,
    name: str,
    generate: bool,
    password_stdin: bool,
    no_password: bool,
    as_json: bool,
) -> None:
    """Create an account for EMAIL. Its password is asked for."""
    if no_password and (generate or password_stdin):
        raise click.UsageError("--no-password goes with no other password")
    deployment = open_deployment()
    accounts = Accounts(deployment.engine)
    password = None if no_password else _chosen(email, generate, password_stdin)
    user_id = accounts.create(
        deployment.actor,
        email,
        Role(role),
        name=name,
        team=team,
        password_hash=None if password is None else hash_password(password),
    )
    if as_json:
        shown = {"password": password} if generate else {}
        print_json({"id": user_id, "email": checked_email(email), "role": role, **shown})
        return
    say(f"Created the account {checked_email(email)} ({role}).")
    _show(password if generate else None)


@command.command()
@click.argument("email")
@_password
@json_option
def password(email: str, generate: bool, password_stdin: bool, as_json: bool) -> None:
    """Set another password for EMAIL, and sign the account out everywhere."""
    deployment = open_deployment()
    accounts = Accounts(deployment.engine)
    chosen = _chosen(email, generate, password_stdin)
    accounts.set_password(deployment.actor, email, hash_password(chosen))
    if as_json:
        print_json({"email": checked_email(email), **({"password": chosen} if generate else {})})
        return
    say(f"Set the password of {checked_email(email)}.")
    _show(chosen if generate else None)


@command.command()
@click.argument("email")
@click.option("--role", type=ROLES, required=True, help="What the person may see and do.")
@click.option("--team", help="The team of an owner.")
@json_option
def change(email: str, role: str, team: str | None, as_json: bool) -> None:
    """Give EMAIL another role, from the next request on."""
    deployment = open_deployment()
    Accounts(deployment.engine).change_role(deployment.actor, email, Role(role), team)
    _done(email, {"role": role}, f"{checked_email(email)} is {role} now.", as_json)


@command.command()
@click.argument("email")
@json_option
def disable(email: str, as_json: bool) -> None:
    """Sign EMAIL out everywhere, and let nobody sign in by the account."""
    deployment = open_deployment()
    Accounts(deployment.engine).disable(deployment.actor, email)
    said = f"Disabled {checked_email(email)}: signed out everywhere."
    _done(email, {"state": "disabled"}, said, as_json)


@command.command()
@click.argument("email")
@json_option
def enable(email: str, as_json: bool) -> None:
    """Let EMAIL sign in again."""
    deployment = open_deployment()
    Accounts(deployment.engine).enable(deployment.actor, email)
    _done(email, {"state": "active"}, f"Enabled {checked_email(email)}.", as_json)


@command.command("list")
@json_option
def list_users(as_json: bool) -> None:
    """List the accounts."""
    users = Accounts(open_deployment().engine).users()
    if as_json:
        print_json([_as_json(user) for user in users])
    elif not users:
        note(NO_ACCOUNT)
    else:
        print_table(
            [Column("E-mail"), Column("Role"), Column("Signs in by"), Column("State")],
            [
                (
                    f"{user.email}\n{user.name}",
                    f"{user.role} of {user.team_name}" if user.team_name else user.role,
                    _signs_in_by(user),
                    "active"
                    if user.disabled_at is None
                    else f"disabled {moment(user.disabled_at)}",
                )
                for user in users
            ],
        )


NO_ACCOUNT = (
    "Nobody can sign in to the dashboard yet. Create an account:"
    " faregate user create EMAIL --role admin"
)


def _chosen(email: str, generate: bool, from_stdin: bool) -> str:
    """The password that was typed, piped in or made up. Raises CredentialError."""
    if generate and from_stdin:
        raise click.UsageError("--generate and --password-stdin do not go together")
    if generate:
        return secrets.token_urlsafe(15)
    if from_stdin:
        found = sys.stdin.readline().rstrip("\r\n")
    else:
        found = click.prompt("Password", hide_input=True, confirmation_prompt=True, err=True)
    return checked_password(found, checked_email(email))


def _show(made_up: str | None) -> None:
    if made_up is not None:
        say(f"Its password, shown this once:\n\n  {made_up}\n")


def _done(email: str, fields: dict[str, str], said: str, as_json: bool) -> None:
    if as_json:
        print_json({"email": checked_email(email), **fields})
    else:
        say(said)


def _signs_in_by(user: User) -> str:
    if user.has_password:
        return "password"
    return "provider" if user.from_provider else "provider, not yet"


def _as_json(user: User) -> dict[str, Any]:
    return {
        "id": user.id,
        "email": user.email,
        "name": user.name,
        "role": user.role,
        "team": user.team_name,
        "has_password": user.has_password,
        "from_provider": user.from_provider,
        "state": "active" if user.disabled_at is None else "disabled",
        "disabled_at": user.disabled_at,
        "created_at": user.created_at,
    }
