"""The deployment that a command works on: its settings, its database, its Redis."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from sqlalchemy import Engine, make_url
from sqlalchemy.exc import ArgumentError, OperationalError, SQLAlchemyError

from gateway.adapters.database import DatabaseError, first_line, open_engine
from gateway.adapters.directory import Directory
from gateway.adapters.migrations import check_schema
from gateway.adapters.os_user import command_line
from gateway.adapters.redis_budgets import RedisBudgets, StoreDown, connect
from gateway.adapters.redis_keys import RedisKeys
from gateway.adapters.stores import StoreNotRunning, redis_url_of
from gateway.cli.output import note
from gateway.core.roles import Principal
from gateway.settings import Settings, SettingsError, load_settings


@dataclass(frozen=True)
class Deployment:
    """Settings and an open database."""

    settings: Settings
    engine: Engine

    @cached_property
    def actor(self) -> Principal:
        """Who runs the command, as the audit log shows it: ``cli:ann``."""
        return command_line()

    @cached_property
    def directory(self) -> Directory:
        """Teams, clients, keys and budgets."""
        return Directory(self.engine, self.actor)

    @contextmanager
    def redis_budgets(self) -> Iterator[RedisBudgets]:
        """The counters in Redis. Raises SettingsError and StoreNotRunning."""
        url = redis_url_of(self.settings)
        try:
            client = connect(url, self.settings.redis_timeout_seconds)
        except ValueError:
            # Not the driver's message: it quotes parts of the URL.
            raise SettingsError("Malformed setting: FAREGATE_REDIS_URL is not a URL.") from None
        keys = RedisKeys(self.settings.redis_prefix)
        with client:
            yield RedisBudgets(client, keys, self.settings.hold_lease_seconds)

    def announce(self, *, first: bool = False) -> None:
        """Tell the gateways about a policy change, or say when they will see it.

        A Redis without a policy has lost its counters, and a version in it would open the
        gate: only the recorder, which rebuilds them, may write one there, unless this is the
        ``first`` policy of a deployment that has charged nothing yet.
        """
        version = self.directory.version()
        try:
            with self.redis_budgets() as budgets:
                if budgets.policy_version() is None and not first:
                    note("Redis is empty: this takes effect when the recorder has rebuilt it.")
                    return
                in_force = budgets.publish(version)
        except StoreNotRunning:
            note("Redis is not running: this takes effect when the gateway starts.")
            return
        except StoreDown as error:
            note(f"Redis does not answer ({error}): the gateways see this once it does.")
            return
        # Read again: another change may have been made and announced in between.
        if in_force > self.directory.version():
            note(
                f"Redis is at policy version {in_force}, ahead of the database's {version}: the"
                " database is an older copy. Nothing is admitted until `faregate init` has run."
            )

    def overtake(self) -> None:
        """Bring the policy version past the one in Redis, where SQL is behind it.

        That is so when SQL was restored from a backup: gateways would wait for a version that
        never comes.
        """
        try:
            with self.redis_budgets() as budgets:
                in_force = budgets.policy_version()
        except (StoreNotRunning, StoreDown):
            return
        if in_force is not None and in_force > self.directory.version():
            self.directory.overtake(in_force)
            note(f"The policy version was moved past {in_force}, which Redis has.")


def open_deployment() -> Deployment:
    """The configured deployment. Raises SettingsError and DatabaseError."""
    settings = load_settings()
    path = _sqlite_path(settings)
    if path is not None and not path.exists():
        # Opening would create an empty file wherever the command was run by mistake.
        raise DatabaseError(f"there is no database at {path} yet: run `faregate init`")
    engine = open_database(settings)
    with naming_database(settings):
        check_schema(engine)
    return Deployment(settings, engine)


def open_database(settings: Settings, *, pooled: bool = False) -> Engine:
    """The engine of the configured database; SQLite's folder is created.

    Raises SettingsError for a URL that is none, DatabaseError for a folder that cannot be used.
    """
    try:
        return open_engine(settings.sql_url, pooled=pooled)
    except (ArgumentError, ValueError):
        # Not the parser's message: it quotes the URL, password included.
        raise SettingsError("Malformed setting: FAREGATE_DATABASE_URL is not a URL.") from None
    except OSError as error:
        raise DatabaseError(
            f"the folder of {_sqlite_path(settings)} cannot be created: {error.strerror};"
            " FAREGATE_DATA_DIR or FAREGATE_DATABASE_URL can name another"
        ) from error


@contextmanager
def naming_database(settings: Settings) -> Iterator[None]:
    """Raise DatabaseError, with the URL but no password, where the database cannot be opened."""
    try:
        yield
    except (DatabaseError, OperationalError) as error:
        cause = error.__cause__ if isinstance(error, DatabaseError) else error
        if not isinstance(cause, SQLAlchemyError):
            raise
        url = make_url(settings.sql_url).render_as_string(hide_password=True)
        source = "FAREGATE_DATABASE_URL" if settings.database_url else "FAREGATE_DATA_DIR"
        raise DatabaseError(
            f"cannot open the database {url} ({source}): {first_line(cause)}"
        ) from error


def _sqlite_path(settings: Settings) -> Path | None:
    if not settings.sql_url.startswith("sqlite:///"):
        return None
    return Path(settings.sql_url.removeprefix("sqlite:///").partition("?")[0])
