"""`faregate client`: the consumers of the API and their limits."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from typing import Any

import click
from sqlalchemy import Row

from gateway.cli.deployment import open_deployment
from gateway.cli.output import Column, json_option, note, print_json, print_table, say
from gateway.cli.parameters import LIMIT, as_nano
from gateway.core.money import display_usd, usd_from_nano


@click.group()
def command() -> None:
    """Create, change, remove and list clients."""


def _limit_options(function: Callable[..., None]) -> Callable[..., None]:
    options = (
        click.option(
            "--allow-model",
            "allowed_models",
            metavar="PATTERN",
            multiple=True,
            help="A model it may use, such as 'gpt-4o*'; may be repeated. Without: all models.",
        ),
        click.option("--requests-per-minute", type=LIMIT, help="0: no limit."),
        click.option("--tokens-per-minute", type=LIMIT, help="0: no limit."),
        click.option(
            "--concurrent", "concurrent_requests", type=LIMIT, help="Requests at once. 0: no limit."
        ),
        click.option(
            "--default-output-tokens",
            type=LIMIT,
            help="Output to allow where a request names no maximum. 0: the model's maximum.",
        ),
        click.option(
            "--output-floor",
            "output_floor_tokens",
            type=LIMIT,
            help="Refuse rather than shorten answers below it. 0: FAREGATE_OUTPUT_FLOOR_TOKENS.",
        ),
        click.option(
            "--clamp/--no-clamp",
            "clamp_output",
            default=None,
            help="Whether a tight budget may lower a maximum that a request names itself.",
        ),
        click.option(
            "--fine-tuning/--no-fine-tuning",
            "may_fine_tune",
            default=None,
            help="Whether it may start fine-tuning jobs. Without: it may not.",
        ),
        click.option(
            "--outage-allowance",
            "outage_allowance_nano",
            metavar="USD",
            callback=as_nano,
            help="What each gateway worker sets aside for it, held against its budgets, to be spent"
            " while Redis is away. 0: nothing is served then.",
        ),
    )
    for option in reversed(options):
        function = option(function)
    return function


@command.command()
@click.argument("name")
@click.option("--team", required=True, help="The team it belongs to.")
@_limit_options
@json_option
def create(name: str, team: str, as_json: bool, **limits: Any) -> None:
    """Create the client NAME."""
    deployment = open_deployment()
    client_id = deployment.directory.create_client(team, name, **limits)
    deployment.announce()
    if as_json:
        print_json({"id": client_id, "name": name, "team": team})
    else:
        say(f"Created client {name} of team {team}. Next: faregate key create {shlex.quote(name)}")


@command.command("set")
@click.argument("name")
@_limit_options
@click.option("--allow-all-models", is_flag=True, help="Drop the list of allowed models.")
@click.option("--name", "new_name", help="Its new name.")
@json_option
def change(
    name: str, allow_all_models: bool, new_name: str | None, as_json: bool, **limits: Any
) -> None:
    """Change limits of the client NAME. Allowed models replace the ones it had."""
    if allow_all_models and limits["allowed_models"]:
        raise click.UsageError("--allow-model and --allow-all-models contradict each other")
    if not limits["allowed_models"] and not allow_all_models:
        limits["allowed_models"] = None
    deployment = open_deployment()
    deployment.directory.change_client(name, new_name=new_name, **limits)
    deployment.announce()
    name = new_name or name
    if as_json:
        rows = deployment.directory.clients()
        print_json(next(_as_json(row) for row in rows if row.name == name))
    else:
        say(f"Changed client {name}.")


@command.command()
@click.argument("name")
@json_option
def remove(name: str, as_json: bool) -> None:
    """Remove the client NAME: its keys stop at once, its budgets go, its usage records stay."""
    deployment = open_deployment()
    deployment.directory.remove_client(name)
    deployment.announce()
    if as_json:
        print_json({"name": name, "state": "removed"})
    else:
        say(f"Removed client {name}.")


@command.command("list")
@click.option("--team", help="Of this team only.")
@json_option
def list_clients(team: str | None, as_json: bool) -> None:
    """List the clients and their limits."""
    directory = open_deployment().directory
    if team is not None:
        directory.require_team(team)
    rows = [row for row in directory.clients() if team in (None, row.team_name)]
    if as_json:
        print_json([_as_json(row) for row in rows])
    elif not rows:
        note("There is no client yet. Create one: faregate client create NAME --team TEAM")
    else:
        print_table(
            [
                Column("Client"),
                Column("Team"),
                Column("Models"),
                Column("Fine-tuning"),
                Column("Limits"),
            ],
            [
                (
                    row.name,
                    row.team_name,
                    ", ".join(json.loads(row.allowed_models)) or "all",
                    "yes" if row.may_fine_tune else "no",
                    ", ".join(_limits_of(row)) or "none",
                )
                for row in rows
            ],
        )


def _limits_of(row: Row[Any]) -> list[str]:
    counts = (
        (row.requests_per_minute, "requests/min"),
        (row.tokens_per_minute, "tokens/min"),
        (row.concurrent_requests, "at once"),
        (row.default_output_tokens, "output tokens by default"),
        (row.output_floor_tokens, "output tokens at least"),
    )
    limits = [f"{count:,} {what}" for count, what in counts if count]
    if row.outage_allowance_nano:
        limits.append(f"{display_usd(row.outage_allowance_nano)} per worker in an outage")
    return [*limits, "clamped"] if row.clamp_output else limits


def _as_json(row: Row[Any]) -> dict[str, Any]:
    return {
        "id": row.id,
        "name": row.name,
        "team": row.team_name,
        "allowed_models": json.loads(row.allowed_models),
        "requests_per_minute": row.requests_per_minute,
        "tokens_per_minute": row.tokens_per_minute,
        "concurrent_requests": row.concurrent_requests,
        "default_output_tokens": row.default_output_tokens,
        "output_floor_tokens": row.output_floor_tokens,
        "clamp_output": row.clamp_output,
        "may_fine_tune": row.may_fine_tune,
        "outage_allowance_usd": usd_from_nano(row.outage_allowance_nano),
        "created_at": row.created_at,
    }
