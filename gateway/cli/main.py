"""Entry point of `faregate`: finds the subcommand and turns every failure into one sentence."""

from __future__ import annotations

import errno
from importlib import import_module

import click

from gateway import __version__

COMMANDS = {
    "init": ("gateway.cli.init:command", "Create or upgrade the database; sync prices."),
    "serve": ("gateway.cli.serve:command", "Serve the gateway, its recorder and its Redis."),
    "recorder": ("gateway.cli.recorder:command", "Write usage down from Redis to SQL."),
    "demo": ("gateway.cli.demo:command", "Try everything with a simulated provider."),
    "simulate": ("gateway.cli.simulate:command", "Run the simulated provider by itself."),
    "doctor": ("gateway.cli.doctor:command", "Check settings, stores and the provider."),
    "audit": ("gateway.cli.audit:command", "Prove that records, counters and sums agree."),
    "rebuild": ("gateway.cli.rebuild:command", "Compute the counters in Redis from the records."),
    "team": ("gateway.cli.team:command", "Create, change, remove and list teams."),
    "client": ("gateway.cli.client:command", "Create, change, remove and list clients."),
    "key": ("gateway.cli.key:command", "Create, rotate, revoke and list keys."),
    "budget": ("gateway.cli.budget:command", "Create, change, remove and list budgets."),
    "tag": ("gateway.cli.tag:command", "Allow, list and remove tags of requests."),
    "alert": ("gateway.cli.alert:command", "Say when to alert whom; show what was told."),
    "user": ("gateway.cli.user:command", "Create, change, disable and list people's accounts."),
    "token": ("gateway.cli.token:command", "Create, revoke and list admin tokens."),
    "price": ("gateway.cli.price:command", "Sync, set and show prices."),
    "reconcile": (
        "gateway.cli.reconcile:command",
        "Compare what is recorded with the provider's bill.",
    ),
    "reprice": ("gateway.cli.reprice:command", "Compute recorded costs again at today's prices."),
    "what-if": ("gateway.cli.what_if:command", "Try a budget on what was recorded."),
    "apply": ("gateway.cli.apply:command", "Make the deployment what a file says."),
    "export-config": ("gateway.cli.apply:export_command", "Write the deployment as a file."),
    "usage": ("gateway.cli.usage:command", "Show what was used and what it cost."),
}
"""Subcommands in the order of the help page: where each is, and its line of help."""


class Commands(click.Group):
    """A group that imports a subcommand only to run it.

    So the help page is quick, and a module that does not load breaks its own command alone.
    """

    def list_commands(self, _context: click.Context) -> list[str]:
        """All subcommands, in the order of the table."""
        return list(COMMANDS)

    def get_command(self, _context: click.Context, cmd_name: str) -> click.Command | None:
        """Import a subcommand."""
        if cmd_name not in COMMANDS:
            return None
        module, _, attribute = COMMANDS[cmd_name][0].partition(":")
        found = getattr(import_module(module), attribute)
        assert isinstance(found, click.Command)
        return found

    def format_commands(self, _context: click.Context, formatter: click.HelpFormatter) -> None:
        """The list on the help page, from the table alone."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])

    def invoke(self, ctx: click.Context) -> object:
        """Run the subcommand; a failure ends in one sentence and exit status 1."""
        try:
            return super().invoke(ctx)
        except (click.ClickException, click.Abort, click.exceptions.Exit):
            raise
        except Exception as error:
            if ctx.params.get("debug") or getattr(error, "errno", None) == errno.EPIPE:
                raise
            raise click.ClickException(explain(error)) from error


def explain(error: Exception) -> str:
    """One sentence for people: what is wrong and, where it is known, what to do."""
    # Imported here, so that the help page does not wait for the stores' drivers.
    from redis.exceptions import RedisError
    from sqlalchemy.exc import OperationalError, SQLAlchemyError

    from gateway.adapters.database import DatabaseError, first_line
    from gateway.adapters.directory import DirectoryError
    from gateway.adapters.embedded_redis import EmbeddedRedisError
    from gateway.adapters.provider_bill import BillUnavailable
    from gateway.adapters.reconciliation_rows import ReconciliationError
    from gateway.adapters.redis_budgets import StoreDown
    from gateway.adapters.redis_replies import CountersLost
    from gateway.adapters.stores import StoreNotRunning
    from gateway.core.bill_lines import UnreadableBill
    from gateway.core.credentials import CredentialError
    from gateway.core.money import InvalidAmount
    from gateway.core.price_overrides import InvalidOverride
    from gateway.logs import redact
    from gateway.settings import SettingsError
    from gateway.workers.repricer import RepricingError

    said = redact(first_line(error))
    if isinstance(error, OperationalError):
        return f"the database cannot be used: {said}; it is set by FAREGATE_DATABASE_URL"
    if isinstance(error, SQLAlchemyError):
        return f"the database refused: {said}"
    if isinstance(error, CountersLost):
        return "Redis may have lost counters; the recorder rebuilds them"
    if isinstance(error, StoreDown | RedisError):
        return f"Redis does not answer: {said}; it is set by FAREGATE_REDIS_URL"
    plain = (
        BillUnavailable,
        ReconciliationError,
        RepricingError,
        UnreadableBill,
        SettingsError,
        DatabaseError,
        CredentialError,
        DirectoryError,
        EmbeddedRedisError,
        InvalidAmount,
        InvalidOverride,
        StoreNotRunning,
    )
    if isinstance(error, plain):
        return redact(str(error))
    if isinstance(error, OSError):
        return said
    return f"{type(error).__name__}: {said} (FAREGATE_DEBUG=1 shows where)"


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="faregate")
@click.option(
    "--debug",
    is_flag=True,
    envvar="FAREGATE_DEBUG",
    help="Show where a failure happened (FAREGATE_DEBUG=1).",
)
def main(debug: bool) -> None:
    """Faregate: a usage-metered LLM gateway whose budgets cannot be overspent.

    A new deployment: `faregate init`, then team, client, key and budget, then `faregate serve`.
    Settings come from the environment and from .env.
    """


if __name__ == "__main__":
    main(prog_name="faregate")
