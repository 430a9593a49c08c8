from __future__ import annotations

from datetime import timedelta

import pytest
import time_machine
from sqlalchemy import Engine, func, select

from gateway.adapters.accounts import Accounts, User
from gateway.adapters.control_tables import sessions
from gateway.adapters.directory import now
from gateway.adapters.sessions import LIFETIME, Sessions
from gateway.core.credentials import hash_secret
from gateway.core.roles import Principal, Role
from tests.databases import open_migrated

BY = Principal("cli:tests", Role.ADMIN)


@pytest.fixture
def engine(database_url: str) -> Engine:
    return open_migrated(database_url)


def a_user(engine: Engine, email: str = "ann@acme.example") -> User:
    accounts = Accounts(engine)
    accounts.create(BY, email, Role.ADMIN, password_hash="x")
    found = accounts.find(email)
    assert found is not None
    return found[0]


def rows(engine: Engine) -> int:
    with engine.connect() as connection:
        query = select(func.count()).select_from(sessions)
        return int(connection.execute(query).scalar_one())


def test_a_session_is_found_by_its_cookie_alone(engine: Engine) -> None:
    kept = Sessions(engine)
    user = a_user(engine)
    new = kept.begin(user, "192.0.2.1", "password")
    found = kept.find(new.cookie)
    assert found is not None
    assert (found.user, found.expires_at) == (user, new.expires_at)
    assert len(found.csrf) == 43
    assert found.csrf != new.cookie
    for cookie in ("", "x", hash_secret(new.cookie), new.cookie[:-1], new.cookie + "x"):
        assert kept.find(cookie) is None


def test_a_session_replaces_the_one_before_in_its_browser_alone(engine: Engine) -> None:
    kept = Sessions(engine)
    user = a_user(engine)
    elsewhere, old = kept.begin(user, None, "password"), kept.begin(user, None, "password")
    new = kept.begin(user, None, "password", old.cookie)
    assert kept.find(old.cookie) is None
    assert kept.find(new.cookie) is not None
    assert kept.find(elsewhere.cookie) is not None
    kept.end(new.cookie)
    kept.end(new.cookie)
    assert kept.find(new.cookie) is None
    assert kept.find(elsewhere.cookie) is not None


def test_what_is_over_is_not_found_and_swept_away(engine: Engine) -> None:
    kept = Sessions(engine)
    user = a_user(engine)
    began = now()
    with time_machine.travel(began, tick=False) as clock:
        old = kept.begin(user, None, "password")
        clock.move_to(began + LIFETIME - timedelta(seconds=1))
        assert kept.find(old.cookie) is not None
        clock.move_to(began + LIFETIME)
        assert kept.find(old.cookie) is None
        assert rows(engine) == 1
        kept.begin(user, None, "password")
        assert rows(engine) == 1
