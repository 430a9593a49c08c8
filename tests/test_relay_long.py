"""Work that outlives its request: its hold belongs to it before the client knows of it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from typing import Any

import gevent
import pytest
from sqlalchemy.exc import OperationalError

from gateway.adapters import object_rows
from gateway.adapters.object_rows import find_object, open_work
from gateway.adapters.redis_budgets import RedisBudgets, StoreDown
from gateway.core.errors import OverBudget
from gateway.core.holds import Hold
from gateway.core.long_work import work_from
from gateway.core.objects import Found, Kind, OwnedObject, WorkState
from gateway.core.outcomes import Outcome
from gateway.core.progress import Progress
from gateway.core.usage import Certainty
from gateway.exchange import Reply
from gateway.relay_long import begin
from gateway.workers.expirer import Expirer
from gateway.workers.follower import Follower
from tests.adapters.provider_socket import SocketProvider, Talk
from tests.paid_path import HELD_NANO, PaidPath, open_paid_path

BATCH = {"id": "batch_1", "object": "batch", "created_at": 7, "error_file_id": "file-e"}


def owns(answer: Mapping[str, Any]) -> Sequence[Found]:
    """The batch, and a file that it names."""
    if answer.get("object") != "batch":
        return ()
    batch = Found(Kind.BATCH, str(answer["id"]), int(answer["created_at"]), "m", answer)
    return [batch, Found(Kind.FILE, str(answer["error_file_id"]), 8)]


@pytest.fixture
def make(redis_url: str, sqlite_url: str) -> Iterator[Callable[..., PaidPath]]:
    """Makes the paid path before a provider that gives one answer."""
    with ExitStack() as opened:

        def made(answer: Any = BATCH, status: bytes = b"200 OK") -> PaidPath:
            def play(talk: Talk) -> None:
                while talk.request():
                    body = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
                    talk.answer(body, b"Content-Type: application/json", status=status)

            provider = opened.enter_context(SocketProvider(play))
            return open_paid_path(redis_url, sqlite_url, provider.port)

        yield made


def begun(at: PaidPath, **exchange: Any) -> tuple[Reply, Hold]:
    admitted, hold = at.admitted(owns=owns, **exchange)
    return begin(at.gate, admitted, hold, lines=3), hold


def stored(at: PaidPath, kind: Kind = Kind.BATCH, name: str = "batch_1") -> OwnedObject:
    found = find_object(at.engine, kind, name)
    assert found is not None
    return found


def settle(at: PaidPath, cost: int = 40) -> int:
    """Let a recorder process find that the work has ended."""

    def follow(*_: Any) -> Progress:
        return Progress(outcome=Outcome(200, Certainty.EXACT, cost))

    client = at.gate.upstream.sdk
    return Follower(at.budgets, at.engine, client, {Kind.BATCH: follow}, 1).step()


def test_work_takes_its_hold_over(make: Callable[..., PaidPath]) -> None:
    at = make()
    reply, hold = begun(at)
    assert reply.status == 200
    assert json.loads(reply.body) == BATCH  # type: ignore[arg-type]
    assert reply.headers["x-faregate-held-usd"] == "0.000001000"
    assert "x-faregate-cost-usd" not in reply.headers
    batch = stored(at)
    assert (batch.client_id, batch.model, batch.data) == (1, "m", BATCH)
    assert batch.work is not None
    work = work_from(batch.work)
    assert (work.hold.request_id, work.hold.amount_nano) == (hold.request_id, HELD_NANO)
    assert (work.price_id, work.tier, work.details) == (1, "default", {"lines": 3})
    assert stored(at, Kind.FILE, "file-e").client_id == 1
    assert (at.counters(), at.gate.keeper.in_flight, at.events()) == ((0, HELD_NANO), 0, [])
    assert settle(at) == 1
    assert at.outcome()[:3] == (40, "exact", 200)
    assert at.counters() == (40, 0)


def test_an_answer_that_names_no_work_is_settled_as_any_other(
    make: Callable[..., PaidPath],
) -> None:
    at = make({"object": "other"})
    reply, _ = begun(at)
    assert reply.headers["x-faregate-cost-usd"] == "0.000001000"
    assert at.outcome() == (HELD_NANO, "estimated", 200, "usage_not_reported")
    assert at.settled()
    assert open_work(at.engine) == []


def test_an_error_begins_no_work(make: Callable[..., PaidPath]) -> None:
    at = make({"error": {"message": "no"}, **BATCH}, b"400 Bad Request")
    reply, _ = begun(at)
    assert reply.status == 400
    assert at.outcome()[0] == 0
    assert at.settled()
    assert open_work(at.engine) == []


class Dead(BaseException):
    """The process ends here."""


def die(*_: Any, **__: Any) -> None:
    raise Dead


def test_a_process_that_dies_before_its_work_is_noted_leaves_a_hold_that_is_charged(
    make: Callable[..., PaidPath], monkeypatch: pytest.MonkeyPatch
) -> None:
    at = make()
    monkeypatch.setattr(at.gate.objects, "note", die)
    with pytest.raises(Dead):
        begun(at)
    end_leases(at)
    assert Expirer(at.budgets).step() == 1
    assert at.outcome()[:2] == (HELD_NANO, "unknown")
    assert at.counters() == (HELD_NANO, 0)


@pytest.mark.parametrize("expires", [False, True])
@pytest.mark.parametrize("place", ["move", "hand_over"])
def test_work_that_is_noted_is_settled_though_its_process_died(
    make: Callable[..., PaidPath], monkeypatch: pytest.MonkeyPatch, place: str, expires: bool
) -> None:
    at = make()
    owner: Any = at.gate.objects if place == "move" else at.gate.keeper
    monkeypatch.setattr(owner, place, die)
    with pytest.raises(Dead):
        begun(at)
    if expires:
        end_leases(at)
        assert Expirer(at.budgets).step() == 1
    monkeypatch.undo()
    at.gate.objects.move()
    assert settle(at) == 1
    assert at.counters() == (40, 0)
    assert sum(event.row["cost_nano"] for event in at.events()) == 40


def end_leases(at: PaidPath) -> None:
    redis, name = at.budgets.redis, at.budgets.keys.holds
    for request_id in redis.zrange(name, 0, -1):
        redis.zadd(name, {request_id: 1})


def test_where_sql_is_away_the_work_waits_in_redis(
    make: Callable[..., PaidPath], monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: Any) -> None:
        raise OperationalError("INSERT", {}, Exception("locked"))

    at = make()
    with monkeypatch.context() as patch:
        patch.setattr(object_rows, "write_objects", away)
        assert begun(at)[0].status == 200
    assert find_object(at.engine, Kind.BATCH, "batch_1") is None
    at.gate.objects.move()
    assert stored(at).work_state is WorkState.OPEN
    assert settle(at) == 1
    assert at.counters() == (40, 0)


def test_where_redis_is_away_the_client_gets_its_answer_and_the_rest_comes_later(
    make: Callable[..., PaidPath], monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: Any) -> None:
        raise StoreDown("away")

    at = make()
    admitted, hold = at.admitted(owns=owns)
    store = at.gate.objects._store
    with monkeypatch.context() as patch:
        for owner, name in ((store, "note"), (store, "move"), (RedisBudgets, "hand_over")):
            patch.setattr(owner, name, away)
        assert begin(at.gate, admitted, hold).status == 200
        client = admitted.client
        assert at.gate.objects.find(client, Kind.BATCH, "batch_1").work is not None
    assert not at.gate.keeper.is_open(hold)
    late = gevent.spawn(at.gate.keeper.resolve_backlog)
    assert at.gate.objects.note_waiting()
    assert at.gate.keeper.drain(10)
    gevent.kill(late)
    assert at.gate.keeper.in_flight == 0
    at.gate.objects.move()
    assert settle(at) == 1
    assert at.counters() == (40, 0)


def test_work_that_ends_before_it_is_handed_over_is_charged_once(
    make: Callable[..., PaidPath], monkeypatch: pytest.MonkeyPatch
) -> None:
    at = make()
    really = at.gate.objects.move

    def move() -> None:
        really()
        assert settle(at) == 1

    monkeypatch.setattr(at.gate.objects, "move", move)
    assert begun(at)[0].status == 200
    assert at.counters() == (40, 0)
    assert at.gate.keeper.in_flight == 0
    assert len(at.events()) == 1


def test_a_client_may_begin_no_more_than_its_budget_holds(make: Callable[..., PaidPath]) -> None:
    at = make()
    for _ in range(10):
        begun(at)
    with pytest.raises(OverBudget):
        begun(at)
    assert at.counters() == (0, 10 * HELD_NANO)
