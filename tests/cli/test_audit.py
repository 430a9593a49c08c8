from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.adapters.redis_budgets import RedisBudgets
from tests.cli.rig import Faregate, record_request

CHECK = {"id", "name", "says", "compared", "differences", "more", "notes"}
DIFFERENCE = {"about", "request_id", "window", "expected", "found", "explanation", "requests"}


@pytest.fixture
def charged(faregate: Faregate, budgets: RedisBudgets) -> str:
    """The key of a budget that one request was charged to, in both stores."""
    made = faregate.ask("budget", "create", "all", "--limit", "5", "--window", "total")
    windows = f"{made['id']}:0:5000:5000000000:strict"
    record_request(faregate.engine, "frq_1", cost=4000, certainty="estimated", windows=windows)
    key = budgets.keys.budget(made["id"], 0)
    budgets.redis.hset(key, mapping={"spent": 4000, "held": 0})
    budgets.redis.hset(budgets.keys.hold("frq_1"), "state", "closed")
    return key


def failed(faregate: Faregate) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(faregate.run("audit", "--json", code=1).stdout)
    return found


def test_a_deployment_in_order_exits_with_0(faregate: Faregate, charged: str) -> None:
    said = faregate.run("audit").stdout
    assert "Everything agrees." in said
    assert "1 records" in said
    report = faregate.ask("audit")
    assert report["ok"] is True
    assert {"checks", "records", "waiting", "open_holds", "cost_nano"} < set(report)
    assert [check["id"] for check in report["checks"]] == sorted(
        (check["id"] for check in report["checks"]), key=lambda number: int(number[1:])
    )
    assert {check["id"] for check in report["checks"]} == {f"I{n}" for n in range(1, 11)}
    assert all(set(check) == CHECK for check in report["checks"])


def test_a_difference_exits_with_1_and_says_which(
    faregate: Faregate, budgets: RedisBudgets, charged: str
) -> None:
    budgets.redis.hincrby(charged, "spent", 4000)
    report = failed(faregate)
    assert report["ok"] is False
    (check,) = (check for check in report["checks"] if check["differences"])
    assert (check["id"], check["name"]) == ("I5", "counters = records")
    (difference,) = check["differences"]
    assert set(difference) == DIFFERENCE
    explanation = difference.pop("explanation")
    assert difference == {
        "about": "budget 'all', in all",
        "request_id": None,
        "window": "1:0",
        "expected": 4000,
        "found": 8000,
        "requests": ["frq_1"],
    }
    assert "`faregate rebuild`" in explanation


def test_people_are_told_in_words(faregate: Faregate, budgets: RedisBudgets, charged: str) -> None:
    budgets.redis.hincrby(charged, "spent", 4000)
    said = " ".join(faregate.run("audit", code=1).stdout.split())
    assert "The audit failed." in said
    assert "1 differ" in said
    assert "I5 counters = records: budget 'all', in all: found 8000, expected 4000." in said
    assert "the cost of request frq_1" in said


def test_a_rebuild_mends_what_the_audit_found(
    faregate: Faregate, budgets: RedisBudgets, charged: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.workers.rebuilder.ROLL_CALL_SECONDS", 0.0)
    budgets.redis.hset(charged, mapping={"spent": 1, "held": 7})
    assert {c["id"] for c in failed(faregate)["checks"] if c["differences"]} == {"I5", "I6"}
    faregate.run("rebuild")
    assert faregate.ask("audit")["ok"] is True


def test_what_a_client_wrote_reaches_no_terminal(
    faregate: Faregate, budgets: RedisBudgets, charged: str
) -> None:
    budgets.redis.xadd(budgets.keys.rejected_events, {"id": "\x1b[2J[red]frq", "reason": "bad"})
    said = faregate.run("audit", code=1).stdout
    assert "\x1b[2J" not in said
    assert "[red]frq" in said
