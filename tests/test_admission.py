from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from functools import partial

import gevent
import pytest

from gateway.adapters import intents as intents_module
from gateway.adapters.directory import Directory
from gateway.adapters.forms import Form
from gateway.adapters.intents import Intents, open_intents
from gateway.adapters.usage_rows import record
from gateway.admission import admit
from gateway.core.budgets import WindowKind
from gateway.core.errors import OverBudget, StoreUnavailable
from gateway.core.outcomes import Outcome
from gateway.core.usage import Certainty
from gateway.relay import release
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


# Tags


def allow(path: PaidPath, *names: str) -> Directory:
    directory = Directory(path.engine)
    for name in names:
        directory.add_tag_key(name)
    path.budgets.publish(directory.version())
    return directory


def recorded_tags(path: PaidPath) -> list[str]:
    return [event.row["tags"] for event in path.events()]


def test_a_record_has_the_tags_however_its_hold_ends(path: PaidPath) -> None:
    allow(path, "project", "env", "user")
    body = {"metadata": {"env": "prod", "secret": "x"}, "user": "ann"}
    for end in ("settled", "released", "expired"):
        prepare = partial(path.exchange, body=body)
        exchange, hold = admit(path.gate, prepare, "project=alpha, other=x")
        if end == "settled":
            path.gate.keeper.settle(hold, 5, 1, 1, Outcome(200, Certainty.EXACT, 5).as_json())
        elif end == "released":
            release(path.gate, exchange, hold, 502, "not_sent")
        else:
            path.budgets.redis.zadd(path.budgets.keys.holds, {hold.request_id: 1}, xx=True)
            assert path.budgets.expire(hold, Outcome(0, Certainty.UNKNOWN, 0).as_json())
    tags = '{"env":"prod","project":"alpha","user":"ann"}'
    assert [event.row["outcome"] for event in path.events()] == ["settled", "released", "expired"]
    assert recorded_tags(path) == [tags] * 3


def test_fields_of_a_form_count_as_those_of_a_body(path: PaidPath) -> None:
    allow(path, "user", "project")
    form = Form(fields=(("prompt", "a cat"), ("user", "ann")), files=())
    prepare = partial(path.exchange, body={"model": "m"}, form=form)
    exchange, hold = admit(path.gate, prepare, "project=alpha")
    release(path.gate, exchange, hold, 502, "not_sent")
    assert recorded_tags(path) == ['{"project":"alpha","user":"ann"}']


def test_the_gateways_own_tags_need_not_be_allowed(path: PaidPath) -> None:
    own = {"image_size": "1024x1024"}
    prepare = partial(path.exchange, own_tags=own, body={"metadata": {"image_size": "1x1"}})
    for header in (None, "image_size=1x1"):
        exchange, hold = admit(path.gate, prepare, header)
        release(path.gate, exchange, hold, 502, "not_sent")
    assert recorded_tags(path) == ['{"image_size":"1024x1024"}'] * 2


def test_without_tags_the_hold_says_nothing_of_them(path: PaidPath) -> None:
    _, hold = admit(path.gate, path.exchange)
    assert b"tags" not in hold.context


def test_a_budget_of_a_tag_counts_what_has_the_tag_and_refuses_it(path: PaidPath) -> None:
    directory = allow(path, "project")
    directory.create_budget(
        "alpha", limit_nano=HELD_NANO, window=WindowKind.TOTAL, tag="project=alpha"
    )
    path.budgets.publish(directory.version())
    _, hold = admit(path.gate, path.exchange, "project=alpha")
    assert [number for number, _ in hold.budget_windows] == [1, 2]
    with pytest.raises(OverBudget) as refused:
        admit(path.gate, path.exchange, "project=alpha")
    assert "Budget 'alpha' (organization, tag project=alpha, " in refused.value.message
    for header in (None, "project=beta"):
        _, hold = admit(path.gate, path.exchange, header)
        assert [number for number, _ in hold.budget_windows] == [1]
