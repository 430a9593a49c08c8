from __future__ import annotations

import pytest

from gateway.adapters.redis_budgets import RedisBudgets
from gateway.workers import rebuilder
from tests.cli.rig import Faregate, record_request


@pytest.fixture(autouse=True)
def _no_gateway_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rebuilder, "ROLL_CALL_SECONDS", 0.0)


def spoil(faregate: Faregate, budgets: RedisBudgets) -> str:
    """A budget that was charged $0.25 and whose counter says otherwise; returns its key."""
    made = faregate.ask("budget", "create", "all", "--limit", "5", "--window", "total")
    windows = f"{made['id']}:0:1:5000000000:strict"
    record_request(faregate.engine, cost=250_000_000, windows=windows)
    key = budgets.keys.budget(made["id"], 0)
    budgets.redis.hset(key, mapping={"spent": 7, "held": 5})
    return key


def test_counters_become_what_the_records_say(faregate: Faregate, budgets: RedisBudgets) -> None:
    key = spoil(faregate, budgets)
    before = budgets.state()
    done = faregate.ask("rebuild", "--reason", "the audit says so")
    assert budgets.redis.hgetall(key) == {b"spent": b"250000000", b"held": b"0"}
    after = budgets.state()
    assert after.admits
    assert after.epoch == done.pop("epoch") > before.epoch
    assert done == {
        "why": "the audit says so",
        "windows": 1,
        "recorded": 0,
        "kept": 0,
        "placed": 0,
        "closed": 0,
    }


def test_it_says_what_it_did(faregate: Faregate, budgets: RedisBudgets) -> None:
    spoil(faregate, budgets)
    said = faregate.run("rebuild").stdout
    assert "requests are admitted again" in said
    assert "by hand" in said
    assert "1 set to what the records say" in said


def test_it_gives_up_where_another_rebuild_holds_the_counters(
    faregate: Faregate, budgets: RedisBudgets, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.cli.rebuild.PATIENCE_SECONDS", 0.0)
    spoil(faregate, budgets)
    budgets.redis.hset(
        budgets.keys.state,
        mapping={"frozen_until": budgets.state().now_ms + 60_000, "frozen_by": "another"},
    )
    assert "not rebuilt within" in faregate.refused("rebuild")
    assert not budgets.state().admits
