from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import Engine

from gateway.adapters.audit_log import Filters, Page, entries, note
from gateway.core.budgets import WindowKind
from gateway.core.roles import Principal, Role
from tests.databases import open_migrated

ANN = Principal("user:ann@acme.example", Role.ADMIN, address="192.0.2.7")
TOKEN = Principal("token:3", Role.OWNER, team_id=4)


@pytest.fixture
def engine(database_url: str) -> Engine:
    return open_migrated(database_url)


def write(engine: Engine, *args: Any) -> None:
    with engine.begin() as connection:
        note(connection, *args)


def test_an_entry_says_who_did_what_from_where_and_what_was_different(engine: Engine) -> None:
    began = datetime.now(UTC)
    before = {"limit_nano": 5, "name": "web", "window": WindowKind.DAY}
    write(engine, ANN, "change", "budget", 7, "web", before, {**before, "limit_nano": 2**60})
    (found,) = entries(engine).entries
    assert (found.actor, found.role, found.address) == (ANN.actor, "admin", "192.0.2.7")
    assert (found.action, found.subject, found.subject_id) == ("change", "budget", "7")
    assert found.subject_name == "web"
    assert found.before == {"limit_nano": 5, "name": "web", "window": "day"}
    assert found.changed == {"limit_nano": (5, 2**60)}
    assert began <= found.at <= datetime.now(UTC)


def test_what_is_made_has_no_before_and_what_is_gone_no_after(engine: Engine) -> None:
    write(engine, ANN, "create", "team", 1, "search", None, {"name": "search"})
    write(engine, ANN, "remove", "team", 1, "search", {"name": "search"}, None)
    gone, made = entries(engine).entries
    assert (made.before, made.changed) == (None, {"name": (None, "search")})
    assert (gone.after, gone.changed) == (None, {"name": ("search", None)})


def test_no_secret_is_written_down(engine: Engine) -> None:
    after = {"hash": "h", "secret": "s", "password_hash": "p", "password": "w", "name": "n"}
    write(engine, ANN, "create", "key", 1, "n", None, after)
    assert entries(engine).entries[0].after == {"name": "n"}


def test_every_value_has_a_form_in_the_log(engine: Engine) -> None:
    moment = datetime(2026, 5, 4, tzinfo=UTC)
    odd = {"at": moment, "usd": Decimal("0.1"), "models": {"b", "a"}, "tags": ("x",), "n": None}
    write(engine, ANN, "create", "client", 1, "n", None, odd)
    assert entries(engine).entries[0].after == {
        "at": "2026-05-04T00:00:00+00:00",
        "usd": "0.1",
        "models": ["a", "b"],
        "tags": ["x"],
        "n": None,
    }


def test_what_is_rolled_back_is_not_in_the_log(engine: Engine) -> None:
    with engine.connect() as connection, connection.begin() as change:
        note(connection, ANN, "create", "team", 1, "search", None, {})
        change.rollback()
    assert entries(engine).entries == ()


def test_filters_narrow_and_agree(engine: Engine) -> None:
    write(engine, ANN, "create", "team", 1, "search", None, {})
    write(engine, TOKEN, "create", "client", 1, "web", None, {})
    write(engine, TOKEN, "change", "client", 2, "app", {}, {})

    def ids(**filters: Any) -> list[int]:
        return [e.id for e in reversed(entries(engine, Filters(**filters)).entries)]

    first, second, third = ids()
    assert ids(actor="token:3") == [second, third]
    assert ids(subject="client", subject_id="1") == [second]
    assert ids(action="create") == [first, second]
    assert ids(action="create", actor="token:3") == [second]
    assert ids(actor="nobody") == []
    at = entries(engine).entries[1].at
    assert ids(since=at + timedelta(seconds=60)) == []
    assert second in ids(since=at)
    assert second not in ids(until=at)
    assert ids(since=at, until=at) == []


def test_pages_follow_each_other_and_end(engine: Engine) -> None:
    for number in range(7):
        write(engine, ANN, "create", "team", number, f"team-{number}", None, {})
    page: Page | None = Page(rows=3)
    read: list[list[str]] = []
    while page is not None:
        found = entries(engine, page=page)
        read.append([entry.subject_id for entry in found.entries])
        # What is written meanwhile is newer, and moves nothing.
        write(engine, ANN, "create", "team", "later", "later", None, {})
        page = found.next
    assert read == [["6", "5", "4"], ["3", "2", "1"], ["0"]]


def test_a_page_has_bounds(engine: Engine) -> None:
    for number in range(3):
        write(engine, ANN, "create", "team", number, "t", None, {})
    assert len(entries(engine, page=Page(rows=0)).entries) == 1
    assert len(entries(engine, page=Page(rows=10**9)).entries) == 3
