from __future__ import annotations

from typing import Any

import pytest

from gateway.core.roles import Role
from tests.web.admin.asking import asker
from tests.web.admin.spending import Spender
from tests.web.control import Control


def test_sums_are_grouped_dearest_first(control: Control) -> None:
    admin, spender = asker(control), Spender(control)
    spender.spend(100, model="a")
    spender.spend(300, model="b", certainty="estimated", status=500)
    spender.spend(50, model="b")

    def usage(**query: Any) -> Any:
        reply = admin.get("/usage", client_id=spender.client_id, **query)
        assert reply.status == 200, reply.json
        return reply.json

    found = usage(group_by="model")
    assert [(row["key"], row["sums"]["cost_usd"]) for row in found["data"]] == [
        ("b", "0.00000035"),
        ("a", "0.0000001"),
    ]
    total = found["total"]
    assert (total["requests"], total["failures"], total["input_tokens"]) == (3, 1, 21)
    assert (total["exact_usd"], total["estimated_usd"]) == ("0.00000015", "0.0000003")
    assert usage()["data"] == []
    assert usage()["total"] == total
    (row,) = usage(group_by="client")["data"]
    assert (row["key"], row["name"]) == (str(spender.client_id), spender.client)
    assert [row["key"] for row in usage(group_by="certainty")["data"]] == ["estimated", "exact"]
    assert usage(model=["a", "none"])["total"]["requests"] == 1
    assert usage(model="b", tier="flex")["total"]["requests"] == 0
    first = usage(group_by="model", limit=1)
    assert [row["key"] for row in first["data"]] == ["b"]
    second = usage(group_by="model", limit=1, cursor=first["next"])
    assert ([row["key"] for row in second["data"]], second["next"]) == (["a"], None)


def test_sums_by_the_hour_come_in_order_of_time(control: Control) -> None:
    admin, spender = asker(control), Spender(control)
    spender.spend(1, hours_ago=5)
    spender.spend(2, hours_ago=3)
    found = admin.get("/usage", client_id=spender.client_id, step="hour", group_by="client").json
    costs = [row["sums"]["cost_usd"] for row in found["data"]]
    assert costs == ["0.000000001", "0.000000002"]
    first, second = (row["at"] for row in found["data"])
    assert first < second
    assert first.endswith(":00:00Z")


def test_sums_by_tag(control: Control) -> None:
    admin, spender = asker(control), Spender(control)
    spender.spend(5, tags={"project": "alpha"})
    spender.spend(7)
    scope = {"client_id": spender.client_id}
    found = admin.get("/usage", group_by="tag:project", **scope).json
    assert [(row["key"], row["sums"]["requests"]) for row in found["data"]] == [
        ("", 1),
        ("alpha", 1),
    ]
    narrowed = admin.get("/usage", tag="project=alpha", group_by="model", **scope).json
    assert narrowed["total"]["cost_usd"] == "0.000000005"
    assert narrowed["since"].endswith("T00:00:00Z")


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ({"group_by": "colour"}, "group_by"),
        ({"step": "week"}, "step"),
        ({"step": "hour", "since": "2025-01-01T00:00:00Z"}, "since"),
        ({"since": "1990-01-01T00:00:00Z"}, "since"),
        ({"step": "hour", "group_by": "tag:project"}, "step"),
        ({"tag": "env=prod", "group_by": "tag:project"}, "tag"),
        ({"client_id": ["1", "x"]}, "client_id.1"),
        ({"client_id": "9" * 19}, "client_id.0"),
    ],
)
def test_what_is_not_summed_is_refused(control: Control, query: dict[str, Any], param: str) -> None:
    refused = asker(control).get("/usage", **query)
    assert (refused.status, refused.json["error"]["param"]) == (400, param)


def test_an_owner_sums_the_own_team(control: Control) -> None:
    mine, other = Spender(control), Spender(control)
    mine.spend(1)
    other.spend(1)
    owner = asker(control, Role.OWNER, mine.team)
    assert [row["name"] for row in owner.get("/usage", group_by="team").json["data"]] == [mine.team]
    assert owner.get("/usage", team_id=other.team_id).json["total"]["requests"] == 0
    assert owner.get("/usage", client_id=other.client_id).json["total"]["requests"] == 0
