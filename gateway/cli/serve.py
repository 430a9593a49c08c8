"""`faregate serve`: the gateway, its recorder and (unless configured) its Redis."""

from __future__ import annotations

import signal
import socket
import threading

import click
import structlog
from redis.exceptions import RedisError
from sqlalchemy.exc import SQLAlchemyError

from gateway.adapters.accounts import Accounts
from gateway.adapters.database import DatabaseError, first_line
from gateway.adapters.embedded_redis import EmbeddedRedisError
from gateway.adapters.identity_provider import IdentityProvider
from gateway.adapters.migrations import check_schema
from gateway.adapters.redis_budgets import connect
from gateway.adapters.tokenizer import Tokenizer, VocabularyError
from gateway.adapters.upstream import Upstream
from gateway.cli.deployment import open_database
from gateway.logs import redact, set_up_logs
from gateway.settings import Settings, SettingsError, load_settings
from gateway.supervisor import ChildFailed, Supervisor

_log = structlog.get_logger(__name__)


class CannotServe(click.ClickException):
    """Something that serving needs is missing; the message says what to set."""


@click.command()
@click.option("--host", help="Address to listen on (FAREGATE_HOST).")
@click.option("--port", type=click.IntRange(0, 65535), help="Port to listen on (FAREGATE_PORT).")
@click.option("--workers", type=click.IntRange(1, 256), help="Worker processes (FAREGATE_WORKERS).")
@click.option("--no-recorder", is_flag=True, help="A recorder runs elsewhere.")
def command(host: str | None, port: int | None, workers: int | None, no_recorder: bool) -> None:
    """Serve the gateway until SIGTERM or Ctrl-C."""
    given = {"host": host, "port": port, "workers": workers}
    settings = load_settings(**{name: value for name, value in given.items() if value is not None})
    set_up_logs(settings)
    check_settings(settings)
    check_address(settings)
    serve(settings, with_recorder=not no_recorder)


def check_settings(settings: Settings) -> None:
    """Raise CannotServe unless the settings and the stores allow serving."""
    if settings.openai_api_key is None:
        raise CannotServe(
            "OPENAI_API_KEY is not set. Set it to the provider's API key, in the environment or"
            " in .env. (To look around without an account: faregate demo.)"
        )
    try:
        check_schema(open_database(settings))
    except SettingsError as error:
        raise CannotServe(str(error)) from None
    except (DatabaseError, SQLAlchemyError) as error:
        said = str(error) if isinstance(error, DatabaseError) else first_line(error)
        source = "set" if settings.database_url else "not set: SQLite in FAREGATE_DATA_DIR"
        raise CannotServe(
            f"The database cannot be used: {redact(said).rstrip('.')}."
            f" It is set by FAREGATE_DATABASE_URL ({source})."
        ) from None
    try:
        Tokenizer().preload()
        Upstream(settings)
        if settings.signs_in_by_oidc:
            IdentityProvider(settings)
    except (VocabularyError, SettingsError) as error:
        raise CannotServe(str(error)) from None


def say_how_to_sign_in(settings: Settings) -> None:
    """Log what to do where there is nobody who could sign in to the dashboard."""
    if not settings.signs_in_by_oidc and not Accounts(open_database(settings)).any():
        _log.warning("dashboard.nobody_can_sign_in", do="faregate user create EMAIL --role admin")


def check_redis(url: str, timeout_seconds: float) -> None:
    """Raise CannotServe unless the Redis at ``url`` answers."""
    try:
        client = connect(url, timeout_seconds)
        client.ping()
        client.close()
    except ValueError:
        # Not the driver's message: it quotes parts of the URL.
        raise CannotServe("Malformed setting: FAREGATE_REDIS_URL is not a URL.") from None
    except RedisError as error:
        raise CannotServe(
            f"Redis cannot be reached: {redact(first_line(error)).rstrip('.')}."
            " It is set by FAREGATE_REDIS_URL."
        ) from None


def check_address(settings: Settings) -> None:
    """Raise CannotServe unless the gateway can listen on its address."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((settings.host, settings.port))
        except OSError as error:
            raise CannotServe(
                f"Cannot listen on {settings.host} port {settings.port}: {error.strerror}."
                " Set FAREGATE_HOST and FAREGATE_PORT, or stop what listens there."
            ) from None


def serve(settings: Settings, *, with_recorder: bool) -> None:
    """Run everything until a signal says stop."""
    stop = stop_on_signals()
    supervisor = Supervisor(settings)
    try:
        try:
            check_redis(supervisor.start_redis(), settings.redis_timeout_seconds)
        except EmbeddedRedisError as error:
            raise CannotServe(str(error)) from None
        say_how_to_sign_in(settings)
        start_gateway(supervisor, settings, with_recorder=with_recorder)
        supervisor.run(stop)
    except ChildFailed as error:
        raise CannotServe(str(error)) from None
    finally:
        supervisor.stop()


def start_gateway(supervisor: Supervisor, settings: Settings, *, with_recorder: bool) -> None:
    """Start the server and the recorder under ``supervisor``."""
    environment = {
        "FAREGATE_HOST": settings.host,
        "FAREGATE_PORT": str(settings.port),
        "FAREGATE_WORKERS": str(settings.workers),
    }
    supervisor.add(
        "gateway",
        ["gateway.server"],
        stop_seconds=settings.graceful_seconds + 10,
        environment=environment,
    )
    if with_recorder:
        # Stopped after the gateway, so that the last events are written down.
        supervisor.add("recorder", ["gateway.cli.main", "recorder"], stop_seconds=20)


def stop_on_signals() -> threading.Event:
    """An event that SIGTERM and Ctrl-C set."""
    stop = threading.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, lambda *_: stop.set())
    return stop
