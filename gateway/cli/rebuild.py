"""`faregate rebuild`: computes the counters in Redis anew, from the records, by hand."""

from __future__ import annotations

import json
from dataclasses import asdict
from time import monotonic, sleep

import click

from gateway.adapters.migrations import check_schema
from gateway.app import open_budgets
from gateway.cli.deployment import naming_database, open_database
from gateway.cli.output import json_option
from gateway.logs import set_up_logs
from gateway.settings import load_settings
from gateway.workers.rebuilder import Rebuilder, Rebuilt

PATIENCE_SECONDS = 60.0


@click.command()
@click.option(
    "--reason", default="by hand", show_default=True, help="Why; it is logged and shown meanwhile."
)
@json_option
def command(reason: str, as_json: bool) -> None:
    """Stop admission, compute all counters anew from the records, and admit again.

    The recorder does this by itself where Redis has lost something. By hand it is for counters
    that `faregate audit` finds wrong. Requests in flight go on; new ones get 503 for a second or
    two.
    """
    settings = load_settings()
    set_up_logs(settings)
    engine = open_database(settings)
    with naming_database(settings):
        check_schema(engine)
    until = monotonic() + PATIENCE_SECONDS

    def wait(seconds: float) -> None:
        if monotonic() > until:
            raise click.ClickException(
                f"not rebuilt within {PATIENCE_SECONDS:.0f} seconds: the log of the recorder says"
                " who else is rebuilding. Admission stays suspended until it is done."
            )
        sleep(seconds)

    budgets = open_budgets(settings)
    done = Rebuilder(budgets, engine, settings.hold_lease_seconds).rebuild(reason, wait)
    if as_json:
        click.echo(json.dumps(asdict(done)))
    else:
        show(done)


def show(done: Rebuilt) -> None:
    """Print what was done for people."""
    click.echo(f"The counters are rebuilt, and requests are admitted again (epoch {done.epoch}).")
    click.echo(f"  reason           {done.why}")
    click.echo(f"  budget windows   {done.windows:,} set to what the records say")
    click.echo(f"  usage events     {done.recorded:,} recorded that waited")
    click.echo(
        f"  holds            {done.kept:,} stay open, of which Redis had lost {done.placed:,};"
        f" {done.closed:,} closed that had ended"
    )
