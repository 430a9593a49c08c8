"""The audit's own file of the events that wait."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing

import pytest

from gateway.workers.audit_waiting import Waiting
from tests.adapters.redis_world import World, budget


@pytest.fixture
def waiting() -> Iterator[Waiting]:
    with closing(Waiting()) as opened:
        yield opened


@pytest.fixture
def served(world: World, waiting: Waiting) -> list[str]:
    """Three requests that wait; the last has expired and was corrected."""
    holds = [world.reserve(budget()) for _ in range(3)]
    world.settle(holds[0], 40)
    world.release(holds[1])
    world.lapse(holds[2])
    world.expire(holds[2])
    world.settle(holds[2], 30)
    waiting.add(world.events())
    return [hold.request_id for hold in holds]


def test_events_are_asked_for_by_request(waiting: Waiting, served: list[str]) -> None:
    assert len(waiting) == 4
    first, second, third = served
    assert [waiting.knows(one) for one in (*served, "frq_other")] == [True, True, True, False]
    assert waiting.knows(third, "correction")
    assert not waiting.knows(first, "correction")
    assert [(e.request_id, e.cost_nano) for e in waiting.pending()] == [
        (first, 40),
        (second, 0),
        (third, 100),
        (third, -70),
    ]
    (ends,) = waiting.pending_ends()
    assert ends[second] == [("request", "released")]
    assert sorted(ends[third]) == [("correction", "settled"), ("request", "expired")]


def test_what_is_recorded_is_not_pending(waiting: Waiting, served: list[str]) -> None:
    asked: list[Sequence[str]] = []

    def recorded(ids: Sequence[str]) -> set[tuple[str, str]]:
        asked.append(ids)
        return {(served[0], "request"), (served[2], "request"), ("frq_other", "request")}

    waiting.compare(recorded)
    assert asked == [sorted(served)]
    assert [(e.request_id, e.kind) for e in waiting.pending()] == [
        (served[1], "request"),
        (served[2], "correction"),
    ]
    assert (len(waiting), waiting.not_recorded()) == (4, 2)
    # It is still known to have waited.
    assert waiting.knows(served[0])


def test_many_are_compared_some_at_a_time(world: World, waiting: Waiting) -> None:
    world.settle(world.reserve(budget()), 1)
    (event,) = world.events()
    for number in range(1200):
        event.row["request_id"] = f"frq_{number}"
        waiting.add([event])
    sizes: list[int] = []

    def recorded(ids: Sequence[str]) -> set[tuple[str, str]]:
        sizes.append(len(ids))
        return {(one, "request") for one in ids if not one.endswith("7")}

    waiting.compare(recorded)
    assert sizes == [500, 500, 200]
    assert waiting.not_recorded() == 120
    assert sum(len(batch) for batch in waiting.pending_ends()) == 120


def test_changes_are_in_order(waiting: Waiting, world: World, served: list[str]) -> None:
    assert list(waiting.out_of_order()) == []
    newest = world.events()[-1].sequence
    assert list(waiting.later_than(newest)) == []
    assert list(waiting.later_than(newest - 1)) == [(served[2], newest)]
    # The first once more, behind all others.
    first = world.events()[0]
    waiting.add([first])
    assert list(waiting.out_of_order()) == [(served[0], first.sequence, newest)]
