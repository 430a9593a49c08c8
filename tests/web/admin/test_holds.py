from __future__ import annotations

from typing import Any

import orjson
import pytest

from gateway.adapters.open_holds import open_holds
from gateway.adapters.redis_budgets import RedisBudgets
from gateway.core.bounds import FREE
from gateway.core.holds import Hold, HoldRequest
from gateway.core.policy import Client
from gateway.core.roles import Role
from tests.web.admin.asking import asker, fresh
from tests.web.admin.spending import Spender
from tests.web.control import Control


def hold(control: Control, spender: Spender, model: str = "gpt-4o") -> Hold:
    """A hold as the paid path places it."""
    control.publish()
    context = {
        "team_id": spender.team_id,
        "client_id": spender.client_id,
        "key_id": spender.key_id,
        "endpoint": "chat/completions",
        "model": model,
    }
    client = Client(spender.client_id, spender.client, spender.team_id, spender.team)
    version = control.directory.version()
    return control.budgets.reserve(
        HoldRequest(fresh("req"), client, model, FREE, (), version, orjson.dumps(context))
    )


def test_holds_in_flight_are_listed_and_gone_once_settled(control: Control) -> None:
    admin, spender = asker(control), Spender(control)
    placed = [hold(control, spender) for _ in range(3)]

    def found(**query: Any) -> Any:
        return admin.get("/holds", client_id=spender.client_id, **query).json

    every = found()
    assert {one["request_id"] for one in every["data"]} == {one.request_id for one in placed}
    assert (every["count"], every["total_usd"], every["next"]) == (3, "0.00", None)
    one = every["data"][0]
    assert (one["model"], one["endpoint"], one["is_long"]) == ("gpt-4o", "chat/completions", False)
    assert one["held_at"] < one["expires_at"]
    page = found(limit=2)
    rest = found(limit=2, cursor=page["next"])
    listed = [one["request_id"] for one in page["data"] + rest["data"]]
    assert listed == [one["request_id"] for one in every["data"]]
    assert found(model="o3")["count"] == 0
    assert found(budget_id=1)["count"] == 0
    for one in placed:
        control.budgets.settle(one, 0, 0, 0, b"{}")
    assert found()["count"] == 0


def test_an_owner_sees_the_own_teams_holds(control: Control) -> None:
    mine, other = Spender(control), Spender(control)
    own = hold(control, mine)
    hold(control, other)
    owner = asker(control, Role.OWNER, mine.team)
    assert [one["request_id"] for one in owner.get("/holds").json["data"]] == [own.request_id]
    assert owner.get("/holds", team_id=other.team_id).json["count"] == 0


def test_without_redis_nobody_knows_what_is_held(
    control: Control, monkeypatch: pytest.MonkeyPatch
) -> None:
    def down(budgets: RedisBudgets) -> Any:
        monkeypatch.undo()
        budgets.redis.connection_pool.disconnect()
        from gateway.adapters.redis_budgets import StoreDown

        raise StoreDown("gone")

    monkeypatch.setattr("gateway.web.admin.holds.open_holds", down)
    refused = asker(control).get("/holds")
    assert (refused.status, refused.code) == (503, "store_unavailable")
    assert refused.headers["retry-after"] == "1"
    assert isinstance(open_holds(control.budgets), list)
