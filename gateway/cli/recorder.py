"""`faregate recorder`: writes usage down, resolves dead holds, rebuilds lost counters."""

from __future__ import annotations

import click

from gateway import failpoints
from gateway.adapters.migrations import check_schema
from gateway.adapters.redis_budgets import connect
from gateway.adapters.stores import redis_url_of
from gateway.app import open_budgets
from gateway.cli.deployment import naming_database, open_database
from gateway.cli.serve import stop_on_signals
from gateway.logs import log_what_nobody_logs, set_up_logs
from gateway.settings import SettingsError, load_settings
from gateway.workers.background import run_background
from gateway.workers.recorder import BLOCK_MS


@click.command()
def command() -> None:
    """Record usage until SIGTERM. Several may run; SQL takes each event once."""
    settings = load_settings()
    set_up_logs(settings)
    log_what_nobody_logs()
    failpoints.arm(settings.failpoints)
    engine = open_database(settings, pooled=True)
    with naming_database(settings):
        check_schema(engine)
    stop = stop_on_signals()
    try:
        blocking = connect(redis_url_of(settings), settings.redis_timeout_seconds + BLOCK_MS / 1000)
    except ValueError:
        # Not the driver's message: it quotes parts of the URL.
        raise SettingsError("Malformed setting: FAREGATE_REDIS_URL is not a URL.") from None
    run_background(open_budgets(settings), blocking, engine, settings, stop)
