"""`faregate key`: the credentials of clients. A secret is printed once, when it is made."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import click
from sqlalchemy import Row

from gateway.adapters.directory import NewKey, now
from gateway.cli.deployment import open_deployment
from gateway.cli.output import Column, json_option, moment, note, print_json, print_table, say
from gateway.cli.parameters import KEY_ID, as_duration, as_lifetime
from gateway.settings import Settings

_expires_in = click.option(
    "--expires-in", metavar="DURATION", callback=as_lifetime, help="Such as 90d. Default: never."
)


@click.group()
def command() -> None:
    """Create, rotate, revoke and list keys."""


@command.command()
@click.argument("client")
@click.option("--name", default="", help="What the key is for.")
@_expires_in
@json_option
def create(client: str, name: str, expires_in: timedelta | None, as_json: bool) -> None:
    """Create a key of CLIENT and show its secret, this once."""
    deployment = open_deployment()
    key = deployment.directory.create_key(client, name, expires_in)
    deployment.announce()
    _show(key, client, deployment.settings, as_json)


@command.command()
@click.argument("key_id", type=KEY_ID)
@click.option(
    "--overlap",
    metavar="DURATION",
    default="24h",
    show_default=True,
    callback=as_duration,
    help="How long the old key still works.",
)
@_expires_in
@json_option
def rotate(key_id: int, overlap: timedelta, expires_in: timedelta | None, as_json: bool) -> None:
    """Replace the key KEY_ID (see `faregate key list`) by a new one. Budgets are untouched."""
    deployment = open_deployment()
    key = deployment.directory.rotate_key(key_id, overlap, expires_in)
    deployment.announce()
    keys = deployment.directory.keys()
    old = next(row for row in keys if row.id == key_id)
    _show(key, old.client_name, deployment.settings, as_json, replaced=old)


@command.command()
@click.argument("key_id", type=KEY_ID)
@json_option
def revoke(key_id: int, as_json: bool) -> None:
    """Stop the key KEY_ID (see `faregate key list`) at once."""
    deployment = open_deployment()
    deployment.directory.revoke_key(key_id)
    deployment.announce()
    if as_json:
        print_json({"id": key_id, "state": "revoked"})
    else:
        say(f"Revoked key {key_id}.")


@command.command("list")
@click.option("--client", help="Of this client only.")
@json_option
def list_keys(client: str | None, as_json: bool) -> None:
    """List the keys, without their secrets."""
    directory = open_deployment().directory
    if client is not None:
        directory.require_client(client)
    keys = directory.keys()
    rows = [row for row in keys if client in (None, row.client_name)]
    at = now()
    if as_json:
        print_json([_as_json(row, at) for row in rows])
    elif not rows:
        note("There is no key yet. Create one: faregate key create CLIENT")
    else:
        print_table(
            [
                Column("Id", number=True),
                Column("Client"),
                Column("Key"),
                Column("State"),
                Column("Expires (UTC)"),
            ],
            [
                (
                    row.id,
                    row.client_name,
                    f"{_display(row)}\n{row.name}" if row.name else _display(row),
                    _state(row, at),
                    moment(row.expires_at),
                )
                for row in rows
            ],
        )


def _display(row: Row[Any]) -> str:
    return f"{row.prefix}...{row.last_four}"


def _state(row: Row[Any], at: datetime) -> str:
    if row.revoked_at is not None:
        return "revoked"
    return "expired" if row.expires_at is not None and row.expires_at <= at else "active"


def _as_json(row: Row[Any], at: datetime) -> dict[str, Any]:
    return {
        "id": row.id,
        "client": row.client_name,
        "name": row.name,
        "display": _display(row),
        "state": _state(row, at),
        "expires_at": row.expires_at,
        "revoked_at": row.revoked_at,
        "created_at": row.created_at,
    }


def _show(
    key: NewKey,
    client: str,
    settings: Settings,
    as_json: bool,
    replaced: Row[Any] | None = None,
) -> None:
    url = base_url(settings)
    if as_json:
        fields: dict[str, Any] = {
            "id": key.id,
            "client": client,
            "key": key.secret,
            "display": key.display,
            "expires_at": key.expires_at,
            "base_url": url,
        }
        if replaced is not None:
            fields |= {"replaced_id": replaced.id, "replaced_expires_at": replaced.expires_at}
        print_json(fields)
        return
    expiry = "never expires" if key.expires_at is None else f"expires {moment(key.expires_at)} UTC"
    say(f"Key {key.id} of client {client}, {expiry}. Shown this once:")
    say(f"\n  {key.secret}\n")
    say(f"export OPENAI_BASE_URL={url} OPENAI_API_KEY={key.secret}")
    if replaced is not None:
        say(f"\nKey {replaced.id} works until {moment(replaced.expires_at)} UTC.")


def base_url(settings: Settings) -> str:
    """The URL that clients on this machine reach the gateway by."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(settings.host, settings.host)  # noqa: S104
    return f"http://{f'[{host}]' if ':' in host else host}:{settings.port}/v1"
