"""`faregate init`: brings the database to this version and fills in what it must have."""

from __future__ import annotations

import click
from alembic.util import CommandError
from sqlalchemy import Engine

from gateway.adapters import migrations
from gateway.adapters.database import schema_revision
from gateway.adapters.price_gaps import full_price_list
from gateway.adapters.price_rows import sync_prices
from gateway.adapters.usage_rows import has_records
from gateway.cli.deployment import Deployment, naming_database, open_database
from gateway.cli.output import json_option, note, print_json, say
from gateway.settings import Settings, load_settings


@click.command()
@click.option("--organization", metavar="NAME", help="Name of the organization, once.")
@json_option
def command(organization: str | None, as_json: bool) -> None:
    """Create or upgrade the database and sync the price list. Safe to run again."""
    settings = load_settings()
    engine = open_database(settings)
    with naming_database(settings):
        before, after = _upgrade(engine)
    deployment = Deployment(settings, engine)
    named = deployment.directory.initialise(organization or "Default organization")
    found = full_price_list()
    synced = sync_prices(engine, found.rows)
    deployment.overtake()
    deployment.announce(first=not has_records(engine))
    if organization is not None and named != organization:
        note(f"The organization is named {named!r} already; --organization changes nothing.")
    if as_json:
        print_json(
            {
                "migration_before": before,
                "migration": after,
                "organization": named,
                "policy_version": deployment.directory.version(),
                "prices_added": synced.added,
                "prices_unchanged": synced.unchanged,
            }
        )
        return
    say(_schema_line(before, after))
    say(f"Organization: {named}.")
    say(f"Prices: {synced.added} added, {synced.unchanged} unchanged.")
    if found.warnings:
        note(f"{len(found.warnings)} prices were left out; `faregate price sync` lists them.")
    say(f"Next: {_next_step(deployment, settings)}")


def _upgrade(engine: Engine) -> tuple[str | None, str]:
    """Create or upgrade the schema; the migrations before and after."""
    before = schema_revision(engine)
    try:
        migrations.upgrade(engine)
    except CommandError:
        # A revision that this version does not have; say so in its words.
        migrations.check_schema(engine)
        raise
    return before, migrations.head_revision()


def _schema_line(before: str | None, after: str) -> str:
    if before is None:
        return f"Database: created, at migration {after}."
    if before == after:
        return f"Database: at migration {after} already."
    return f"Database: upgraded from migration {before} to {after}."


def _next_step(deployment: Deployment, settings: Settings) -> str:
    directory = deployment.directory
    if not directory.teams():
        return "faregate team create NAME"
    if not directory.clients():
        return "faregate client create NAME --team TEAM"
    if not directory.keys():
        return "faregate key create CLIENT"
    if settings.openai_api_key is None:
        return "set OPENAI_API_KEY, then faregate serve"
    return "faregate serve"
