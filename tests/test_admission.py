from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from dataclasses import replace

import gevent
import pytest

from gateway.adapters import intents as intents_module
from gateway.adapters.intents import Intents, open_intents
from gateway.adapters.usage_rows import record
from gateway.core.errors import StoreUnavailable
from tests.adapters.provider_socket import SocketProvider, Talk
from tests.paid_path import HELD_NANO, PaidPath, open_paid_path


@pytest.fixture
def path(redis_url: str, sqlite_url: str) -> Iterator[PaidPath]:
    """The paid path with intents in SQL, before a provider that must not be asked."""

    def never(talk: Talk) -> None:
        raise AssertionError(f"the provider was asked: {talk.request()!r}")

    with SocketProvider(never) as provider:
        found = open_paid_path(redis_url, sqlite_url, provider.port)
        found.gate = replace(found.gate, intents=Intents(found.engine))
        yield found


@contextlib.contextmanager
def locked(path: PaidPath) -> Iterator[None]:
    """Nobody else can write to the database."""
    database = str(path.engine.url.database)
    with contextlib.closing(sqlite3.connect(database, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        yield
        other.execute("ROLLBACK")


def test_a_request_is_written_down_before_it_is_sent(path: PaidPath) -> None:
    _, hold = path.admitted()
    (found,) = open_intents(path.engine)
    assert (found.request_id, found.amount_nano, found.epoch) == (
        hold.request_id,
        HELD_NANO,
        hold.epoch,
    )
    assert (found.placed_on, found.context) == (hold.placed_on, hold.context)
    assert path.counters() == (0, HELD_NANO)


def test_a_request_that_cannot_cost_anything_is_not(path: PaidPath) -> None:
    path.admitted(price=None)
    assert open_intents(path.engine) == []


def test_with_intents_in_redis_nothing_is_written(path: PaidPath) -> None:
    path.gate = replace(path.gate, intents=None)
    path.admitted()
    assert open_intents(path.engine) == []


def test_a_request_that_cannot_be_written_down_is_refused_and_released(
    path: PaidPath, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(intents_module, "WAIT_SECONDS", 0.05)
    with locked(path), pytest.raises(StoreUnavailable) as refused:
        path.admitted()
    assert refused.value.status == 503
    assert "nothing was sent and nothing is charged" in str(refused.value)
    assert refused.value.headers["retry-after"] == "1"
    assert refused.value.headers["x-faregate-request-id"].startswith("frq_")
    assert path.settled()
    assert path.counters() == (0, 0)
    (event,) = path.events()
    assert event.row["outcome"] == "released"
    assert path.outcome() == (0, "exact", 503, "no_intent")
    # One that came late all the same does not count, once the release is recorded.
    record(path.engine, path.events())
    assert open_intents(path.engine) == []


def test_a_request_whose_client_is_gone_before_it_was_written_is_released(path: PaidPath) -> None:
    with locked(path):
        asking = gevent.spawn(path.admitted)
        while path.counters() != (0, HELD_NANO):
            gevent.sleep(0.001)
        asking.kill(timeout=20)
    assert path.settled()
    assert path.outcome() == (0, "exact", 500, "interrupted")
