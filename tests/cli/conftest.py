"""A deployment of its own for each test of the command."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from gateway.adapters.redis_budgets import RedisBudgets, connect
from gateway.adapters.redis_keys import RedisKeys
from tests.cli.rig import Faregate
from tests.databases import migrate


def _isolate(monkeypatch: pytest.MonkeyPatch, folder: Path, **variables: str) -> None:
    for name in ("OPENAI_API_KEY", "FAREGATE_REDIS_URL", "FAREGATE_HOST", "FAREGATE_PORT"):
        monkeypatch.delenv(name, raising=False)
    # Away from any .env file, and at the width that tables must fit.
    monkeypatch.chdir(folder)
    monkeypatch.setenv("COLUMNS", "80")
    for name, value in variables.items():
        monkeypatch.setenv(f"FAREGATE_{name}", value)


@pytest.fixture
def empty(database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Faregate:
    """The command on an empty database, its Redis not running."""
    _isolate(monkeypatch, tmp_path, DATABASE_URL=database_url, DATA_DIR=str(tmp_path / "data"))
    return Faregate(database_url)


@pytest.fixture
def faregate(empty: Faregate, redis_url: str, monkeypatch: pytest.MonkeyPatch) -> Faregate:
    """The command on a deployment with prices, one team and one client, and with Redis."""
    monkeypatch.setenv("FAREGATE_REDIS_URL", redis_url)
    _set_up(empty)
    return empty


@pytest.fixture
def sqlite_faregate(sqlite_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Faregate:
    """As ``faregate``, on SQLite alone and without Redis: for what no store decides."""
    _isolate(monkeypatch, tmp_path, DATABASE_URL=sqlite_url, DATA_DIR=str(tmp_path / "data"))
    found = Faregate(sqlite_url)
    _set_up(found)
    return found


def _set_up(faregate: Faregate) -> None:
    # `init` finds the schema there: what it does without one has tests of its own.
    migrate(faregate.engine)
    commands: Sequence[Sequence[str]] = (
        ("init", "--organization", "Acme"),
        ("team", "create", "research"),
        ("client", "create", "web", "--team", "research"),
    )
    for words in commands:
        faregate.run(*words)


@pytest.fixture
def budgets(redis_url: str) -> RedisBudgets:
    """The counters that the gateways would use."""
    return RedisBudgets(connect(redis_url, 3.0), RedisKeys("faregate"), 120.0)
