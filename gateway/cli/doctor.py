"""`faregate doctor`: checks everything that serving needs, and says how to mend it."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from time import time

import click
import openai
import redis
from redis.exceptions import RedisError
from rich.console import Console
from rich.table import Table
from sqlalchemy.exc import SQLAlchemyError

from gateway.adapters.database import DatabaseError, first_line
from gateway.adapters.directory import Directory
from gateway.adapters.migrations import check_schema
from gateway.adapters.policy_loader import load_policy
from gateway.adapters.redis_budgets import RedisBudgets, StoreDown, connect
from gateway.adapters.redis_folder import EmbeddedRedisError, find_server_binary
from gateway.adapters.redis_keys import RedisKeys
from gateway.adapters.stores import StoreNotRunning, redis_url_of
from gateway.adapters.tokenizer import Tokenizer, VocabularyError
from gateway.adapters.upstream import Upstream
from gateway.cli.deployment import open_database
from gateway.logs import redact
from gateway.settings import Settings, SettingsError, load_settings

CLOCK_SKEW_SECONDS_MAX = 5.0


@dataclass(frozen=True, slots=True)
class Finding:
    """One check. ``state`` is ``ok``, ``warn`` or ``fail``; ``mend`` says what to do."""

    check: str
    state: str
    found: str
    mend: str = ""


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--offline", is_flag=True, help="Do not call the provider.")
def command(as_json: bool, offline: bool) -> None:
    """Check settings, stores, vocabularies and the provider; exit 1 where something fails."""
    findings = examine(offline=offline)
    if as_json:
        click.echo(json.dumps([asdict(finding) for finding in findings], indent=2))
    else:
        _show(findings)
    sys.exit(1 if any(finding.state == "fail" for finding in findings) else 0)


def examine(*, offline: bool = False) -> list[Finding]:
    """All findings, in the order in which one would mend them."""
    try:
        settings = load_settings()
    except SettingsError as error:
        return [Finding("settings", "fail", str(error), "Correct it in the environment or .env.")]
    findings = [Finding("settings", "ok", "all well-formed")]
    checks: list[Callable[[Settings], Finding]] = [
        _data_folder,
        _spool_folder,
        _vocabularies,
        _database,
        _redis,
        _durability,
        _key,
    ]
    if not offline:
        checks.append(_provider)
    for check in checks:
        findings.append(check(settings))
    return findings


def _data_folder(settings: Settings) -> Finding:
    name = "data folder"
    if settings.redis_url and settings.database_url:
        return Finding(name, "ok", "not used: both stores are configured")
    return _writable(name, settings.data_dir.absolute(), "Set FAREGATE_DATA_DIR.")


def _spool_folder(settings: Settings) -> Finding:
    mend = "Set FAREGATE_SPOOL_DIR to a folder on a disk that outlives the process."
    return _writable("spool folder", settings.spool_folder, mend)


def _writable(name: str, folder: Path, mend: str) -> Finding:
    """Whether ``folder`` can be written, or made."""
    nearest = folder
    while not nearest.exists():
        nearest = nearest.parent
    if not nearest.is_dir():
        return Finding(name, "fail", f"{nearest} is not a folder", mend)
    if not os.access(nearest, os.W_OK):
        return Finding(name, "fail", f"{folder} cannot be written", mend)
    return Finding(name, "ok", str(folder))


def _vocabularies(_settings: Settings) -> Finding:
    try:
        Tokenizer().preload()
    except VocabularyError as error:
        return Finding("vocabularies", "fail", str(error), "Install the package again.")
    return Finding("vocabularies", "ok", "cl100k_base and o200k_base verified by SHA-256")


def _database(settings: Settings) -> Finding:
    try:
        engine = open_database(settings)
    except (SettingsError, DatabaseError) as error:
        return Finding("database", "fail", str(error), "Set FAREGATE_DATABASE_URL.")
    kind = engine.dialect.name
    try:
        check_schema(engine)
        policy = load_policy(engine)
    except DatabaseError as error:
        return Finding("database", "fail", redact(str(error)), "Run `faregate init`.")
    except SQLAlchemyError as error:
        return Finding("database", "fail", redact(first_line(error)), "Set FAREGATE_DATABASE_URL.")
    if not policy.prices.names():
        return Finding("database", "warn", f"{kind}, no prices", "Run `faregate price sync`.")
    if not policy.keys:
        return Finding(
            "database", "warn", f"{kind}, no keys yet", "`faregate client create`, `key create`."
        )
    found = f"{kind}; clients: {len(policy.clients)}, priced models: {len(policy.prices.names())}"
    return Finding("database", "ok", found)


def _redis(settings: Settings) -> Finding:
    try:
        client = connect(redis_url_of(settings), settings.redis_timeout_seconds)
        info = client.info("server")
        seconds, micros = client.time()
    except StoreNotRunning:
        try:
            binary = find_server_binary()
        except EmbeddedRedisError as error:
            return Finding("redis", "fail", str(error), "Set FAREGATE_REDIS_URL.")
        return Finding("redis", "ok", f"embedded, starts with `faregate serve` ({binary.name})")
    except (RedisError, ValueError) as error:
        return Finding("redis", "fail", redact(first_line(error)), "Set FAREGATE_REDIS_URL.")
    behind = _behind(settings, client)
    if behind is not None:
        return behind
    skew = abs(time() - (seconds + micros / 1e6))
    version = info.get("valkey_version") or info.get("redis_version")
    if skew > CLOCK_SKEW_SECONDS_MAX:
        return Finding(
            "redis", "warn", f"{version}, its clock differs by {skew:.0f} s", "Run NTP on both."
        )
    return Finding("redis", "ok", f"version {version}")


def _behind(settings: Settings, client: redis.Redis) -> Finding | None:
    """SQL restored from a backup is behind the policy version that Redis has."""
    keys = RedisKeys(settings.redis_prefix)
    try:
        budgets = RedisBudgets(client, keys, settings.hold_lease_seconds)
        in_force, state = budgets.policy_version(), budgets.state()
        version = Directory(open_database(settings)).version()
    except (StoreDown, SQLAlchemyError, SettingsError, DatabaseError):
        return None  # another check says so
    if in_force is None:
        return Finding("redis", "fail", "it has lost its counters", "Start `faregate recorder`.")
    if not state.admits:
        found = f"nothing is admitted: {state.why or 'it has lost its counters'}"
        return Finding("redis", "fail", found, "Start `faregate recorder`, which rebuilds them.")
    if in_force > version:
        found = f"policy version {in_force}, the database has {version}: an older copy"
        return Finding("redis", "fail", found, "Run `faregate init`.")
    return None


def _durability(settings: Settings) -> Finding:
    name = "redis durability"
    try:
        client = connect(redis_url_of(settings), settings.redis_timeout_seconds)
        values = {
            option: client.config_get(option).get(option)
            for option in ("appendonly", "appendfsync", "maxmemory-policy")
        }
    except StoreNotRunning:
        return Finding(name, "ok", "append-only file, synced before every answer")
    except (RedisError, ValueError):
        return Finding(
            name,
            "warn",
            "cannot be asked (CONFIG is not allowed)",
            "Make sure of appendonly yes, appendfsync always, maxmemory-policy noeviction.",
        )
    wanted = {"appendonly": "yes", "appendfsync": "always", "maxmemory-policy": "noeviction"}
    wrong = [
        f"{option} is {values[option]}" for option in wanted if values[option] != wanted[option]
    ]
    if wrong:
        mend = "Set " + ", ".join(f"{option} {value}" for option, value in wanted.items()) + "."
        return Finding(name, "warn", "; ".join(wrong) + ": a crash can lose charges", mend)
    return Finding(name, "ok", "append-only file, synced before every answer")


def _key(settings: Settings) -> Finding:
    if settings.openai_api_key is None:
        return Finding("provider key", "fail", "OPENAI_API_KEY is not set", "Set OPENAI_API_KEY.")
    return Finding("provider key", "ok", "OPENAI_API_KEY is set")


def _provider(settings: Settings) -> Finding:
    if settings.openai_api_key is None:
        return Finding("provider", "warn", "not asked without a key", "Set OPENAI_API_KEY.")
    try:
        models = Upstream(settings).sdk.models.list()
    except SettingsError as error:
        return Finding("provider", "fail", str(error), "Correct the environment.")
    except openai.AuthenticationError:
        return Finding(
            "provider", "fail", f"{settings.upstream_url} refuses the key", "Check OPENAI_API_KEY."
        )
    except openai.OpenAIError as error:
        said = redact(first_line(error))
        return Finding(
            "provider",
            "fail",
            f"{settings.upstream_url}: {said}",
            "Check FAREGATE_UPSTREAM_URL (it ends in /v1 as a rule), and that the provider runs.",
        )
    return Finding("provider", "ok", f"{settings.upstream_url}, {len(models.data)} models")


def _show(findings: list[Finding]) -> None:
    console = Console()
    table = Table(show_edge=False, pad_edge=False)
    for column in ("Check", "", "Found", "To mend it"):
        table.add_column(column, overflow="fold")
    marks = {"ok": "[green]ok[/]", "warn": "[yellow]warn[/]", "fail": "[red]fail[/]"}
    for finding in findings:
        table.add_row(finding.check, marks[finding.state], finding.found, finding.mend)
    console.print(table)
