"""A change is told to Redis, also where that does not answer at the moment."""

from __future__ import annotations

import pytest
from gevent.event import AsyncResult

from gateway.adapters.redis_budgets import RedisBudgets, StoreDown
from gateway.web.admin import announcing
from tests.web.admin.asking import asker, fresh
from tests.web.control import Control


def test_it_is_told_as_soon_as_redis_answers(
    control: Control, monkeypatch: pytest.MonkeyPatch
) -> None:
    admin = asker(control)
    failures = iter([StoreDown("gone"), StoreDown("gone")])
    told: AsyncResult[int] = AsyncResult()
    real = RedisBudgets.announce

    def announce(budgets: RedisBudgets, version: int) -> int:
        if (error := next(failures, None)) is not None:
            raise error
        done = real(budgets, version)
        told.set(version)
        return done

    monkeypatch.setattr(RedisBudgets, "announce", announce)
    monkeypatch.setattr(announcing, "AGAIN_SECONDS", 0.01)
    before = control.budgets.policy_version()
    made = admin.post("/teams", {"name": fresh("team")})
    # The change is made; a failure to tell does not undo it.
    assert made.status == 201
    assert control.budgets.policy_version() == before
    assert told.get(timeout=30) == control.directory.version()
    assert control.budgets.policy_version() == control.directory.version()


def test_a_redis_without_a_policy_is_left_to_the_recorder(
    control: Control, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def announce(_budgets: RedisBudgets, version: int) -> int:
        asked.append(version)
        return 0

    monkeypatch.setattr(RedisBudgets, "announce", announce)
    assert asker(control).post("/teams", {"name": fresh("team")}).status == 201
    assert asked == [control.directory.version()]
