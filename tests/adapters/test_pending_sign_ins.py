from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
import time_machine
from sqlalchemy import Engine, select

from gateway.adapters.control_tables import pending_sign_ins
from gateway.adapters.directory import now
from gateway.adapters.pending_sign_ins import LIFETIME, PendingSignIns
from gateway.core.credentials import hash_secret
from tests.databases import open_migrated


@pytest.fixture
def engine(database_url: str) -> Engine:
    return open_migrated(database_url)


def states(engine: Engine) -> set[str]:
    with engine.connect() as connection:
        return set(connection.execute(select(pending_sign_ins.c.state_hash)).scalars())


def test_a_sign_in_is_taken_once(engine: Engine) -> None:
    kept = PendingSignIns(engine)
    state, pending = kept.begin("/teams?group=model")
    assert states(engine) == {hash_secret(state)}
    assert kept.take(hash_secret(state)) is None
    assert kept.take(state) == pending
    assert kept.take(state) is None
    assert states(engine) == set()


def test_of_many_who_ask_at_once_one_gets_it(engine: Engine) -> None:
    kept = PendingSignIns(engine)
    state, pending = kept.begin("/")
    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(kept.take, [state] * 8))
    assert sorted(found, key=str) == sorted([pending] + [None] * 7, key=str)


def test_a_sign_in_is_soon_over(engine: Engine) -> None:
    kept = PendingSignIns(engine)
    began = now()
    with time_machine.travel(began, tick=False) as clock:
        state, _ = kept.begin("/")
        clock.move_to(began + LIFETIME)
        assert kept.take(state) is None
        clock.move_to(began + LIFETIME + timedelta(seconds=1))
        later, _ = kept.begin("/")
        assert states(engine) == {hash_secret(later)}
