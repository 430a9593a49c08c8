from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from gateway.adapters.redis_budgets import RedisBudgets
from gateway.core.budgets import WindowKind, window_at
from tests.cli.rig import Faregate, record_request


def the_budget(faregate: Faregate) -> dict[str, Any]:
    (found,) = faregate.ask("budget", "list")
    assert isinstance(found, dict)
    return found


def count(budgets: RedisBudgets, budget: dict[str, Any], spent: int, held: int) -> None:
    start = int(datetime.fromisoformat(budget["window_start"]).timestamp() * 1000)
    key = budgets.keys.budget(budget["id"], start)
    budgets.redis.hset(key, mapping={"spent": spent, "held": held})


def test_a_budget_stands_where_redis_counts_it(faregate: Faregate, budgets: RedisBudgets) -> None:
    faregate.run(
        *("budget", "create", "web-monthly", "--limit", "100.50", "--window", "month"),
        *("--client", "web", "--time-zone", "Europe/Berlin", "--model", "gpt-[45]*"),
    )
    fresh = the_budget(faregate)
    window = window_at(WindowKind.MONTH, "Europe/Berlin", int(datetime.now(UTC).timestamp()) * 1000)
    assert datetime.fromisoformat(fresh["resets_at"]).timestamp() * 1000 == window.end_ms
    assert (fresh["scope"], fresh["client"], fresh["enforcement"]) == ("client", "web", "strict")
    count(budgets, fresh, spent=12_345_678_901, held=1_000_000_001)

    counted = the_budget(faregate)
    assert counted["limit_usd"] == "100.500000000"
    assert counted["spent_usd"] == "12.345678901"
    assert counted["held_usd"] == "1.000000001"
    assert counted["left_usd"] == "87.154321098"
    assert counted["source"] == "counters"
    table = faregate.run("budget", "list").stdout
    # Spent and held are rounded up, what is left is rounded down.
    for amount in ("$100.50", "$12.345679", "$1.000001", "$87.154321"):
        assert amount in table
    assert "gpt-[45]*" in table
    assert max(len(line) for line in table.splitlines()) <= 80


def test_without_counters_the_recorded_spending_is_shown(
    faregate: Faregate, budgets: RedisBudgets, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = faregate.ask("budget", "create", "all", "--limit", "5", "--window", "total")
    record_request(faregate.engine, cost=250_000_000, windows=f"{made['id']}:0:1:5000000000:strict")
    count(budgets, the_budget(faregate), spent=7, held=0)

    budgets.redis.delete(budgets.keys.policy_version)
    lost = faregate.run("budget", "list")
    assert "waits for the recorder" in lost.stderr
    assert "$0.25" in lost.stdout
    monkeypatch.delenv("FAREGATE_REDIS_URL")
    assert "Redis is not running" in faregate.run("budget", "list").stderr
    recorded = the_budget(faregate)
    assert (recorded["spent_usd"], recorded["held_usd"]) == ("0.250000000", None)
    assert (recorded["left_usd"], recorded["source"]) == ("4.750000000", "recorded")
    assert recorded["resets_at"] is None


def test_a_budget_is_changed_and_removed(faregate: Faregate, budgets: RedisBudgets) -> None:
    create = ("budget", "create", "team", "--limit", "1", "--window", "day", "--team", "research")
    first = faregate.ask(*create)
    changed = faregate.ask("budget", "set", "team", "--limit", "$2.000000001")
    assert (changed["limit_usd"], changed["enforcement"]) == ("2.000000001", "strict")
    assert faregate.ask("budget", "set", "team", "--enforcement", "soft")["enforcement"] == "soft"
    faregate.run("budget", "remove", "team")
    assert "there is no budget 'team'" in faregate.refused("budget", "remove", "team")
    assert "faregate budget create" in faregate.run("budget", "list").stderr
    assert faregate.ask(*create)["id"] != first["id"]
    assert budgets.policy_version() == faregate.directory.version()


@pytest.mark.parametrize("limit", ["ten", "NaN", "-1", "0.0000000001", "1e99"])
def test_a_limit_that_is_no_amount_is_a_usage_error(sqlite_faregate: Faregate, limit: str) -> None:
    words = ("budget", "create", "b", "--window", "day", "--limit", limit)
    assert "'--limit'" in sqlite_faregate.run(*words, code=2).stderr
    assert sqlite_faregate.ask("budget", "list") == []


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("--limit", "10000000"), "counters are exact"),
        (("--limit", "1", "--time-zone", "Mars/Olympus"), "is not a time zone"),
        (("--limit", "1", "--team", "research", "--client", "web"), "not both"),
        (("--limit", "1", "--client", "wbe"), "there is no client 'wbe'"),
        (("--limit", "1", "--model", ""), "is not a model pattern"),
    ],
)
def test_a_budget_that_cannot_be_is_refused(
    sqlite_faregate: Faregate, words: tuple[str, ...], reason: str
) -> None:
    assert reason in sqlite_faregate.refused("budget", "create", "b", "--window", "day", *words)
    assert sqlite_faregate.ask("budget", "list") == []
