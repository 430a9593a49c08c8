from __future__ import annotations

from typing import Any

import pytest

from gateway.core.roles import Role
from tests.web.admin.asking import asker, client_asker
from tests.web.admin.spending import Spender
from tests.web.control import Control


def test_a_record_says_what_was_used_and_how_its_cost_came_about(control: Control) -> None:
    spender = Spender(control)
    request_id = spender.spend(
        1_234,
        model="gpt-4o",
        tags={"project": "alpha"},
        lines=[["input", 10, 2_500_000_000, 1_000_000]],
        certainty="exact",
    )
    (found,) = asker(control).get("/records", client_id=spender.client_id).json["data"]
    assert found["request_id"] == request_id
    assert (found["team"], found["client"]) == (spender.team, spender.client)
    assert found["cost_usd"] == "0.000001234"
    assert found["tags"] == {"project": "alpha"}
    assert found["cost_lines"] == [
        {"meter": "input", "count": 10, "rate_usd": "2.50", "per": 1_000_000}
    ]
    assert found["held_at"].endswith("Z")
    one = asker(control).get(f"/records/{request_id}").json
    assert (one["charged_usd"], one["adjusted_usd"], one["adjustments"]) == (
        "0.000001234",
        "0.00",
        [],
    )
    assert one["records"] == [found]


def test_records_are_filtered_and_paged(control: Control) -> None:
    admin, spender = asker(control), Spender(control)
    failed = spender.spend(1, status=500, hours_ago=3, model="gpt-4o")
    guessed = spender.spend(2, certainty="estimated", hours_ago=2, endpoint="embeddings")
    tagged = spender.spend(3, tags={"env": "prod"}, hours_ago=1)

    def found(**query: Any) -> list[str]:
        reply = admin.get("/records", client_id=spender.client_id, **query)
        assert reply.status == 200, reply.json
        return [record["request_id"] for record in reply.json["data"]]

    assert found() == [tagged, guessed, failed]
    assert found(status="5xx") == found(status="failed", model="gpt-4o") == [failed]
    assert found(certainty="estimated") == found(endpoint="embeddings") == [guessed]
    assert found(tag="env=prod") == found(cost_at_least_usd="0.000000003") == [tagged]
    assert found(request_id=guessed) == [guessed]
    assert found(team_id=spender.team_id, key_id=spender.key_id) == [tagged, guessed, failed]
    assert found(key_id=spender.key_id + 1000) == []
    first = admin.get("/records", client_id=spender.client_id, limit=2).json
    assert [record["request_id"] for record in first["data"]] == [tagged, guessed]
    assert found(limit=2, cursor=first["next"]) == [failed]
    at = first["data"][1]["held_at"]
    assert found(since=at) == [tagged, guessed]
    assert found(until=at) == [failed]


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ({"status": "200"}, "status"),
        ({"certainty": "sure"}, "certainty"),
        ({"since": "yesterday"}, "since"),
        ({"since": "2026-02-01T00:00:00Z", "until": "2026-01-01T00:00:00Z"}, "since"),
        ({"until": "9999-12-31T23:59:59Z"}, "until"),
        ({"tag": "prod"}, "tag"),
        ({"cost_at_least_usd": "-1"}, "cost_at_least_usd"),
        ({"cursor": "nowhere"}, "cursor"),
        ({"limit": "0"}, "limit"),
        ({"limit": "501"}, "limit"),
        ({"limit": " 5"}, "limit"),
        ({"limit": ["1", "2"]}, "limit"),
        ({"model": "a\0b"}, "model"),
        ({"page": "2"}, "page"),
    ],
)
def test_what_a_query_cannot_say_is_refused(
    control: Control, query: dict[str, Any], param: str
) -> None:
    refused = asker(control).get("/records", **query)
    assert (refused.status, refused.json["error"]["param"]) == (400, param)


def test_what_may_not_be_seen_is_not_there(control: Control) -> None:
    mine, other = Spender(control), Spender(control)
    own, strange = mine.spend(1), other.spend(1)
    owner = asker(control, Role.OWNER, mine.team)
    key = client_asker(control, mine.client)
    assert [one["request_id"] for one in owner.get("/records").json["data"]] == [own]
    assert owner.get("/records", client_id=other.client_id).json["data"] == []
    assert owner.get("/records", request_id=strange).json["data"] == []
    for one in (owner, key):
        assert one.get(f"/records/{own}").status == 200
        hidden, absent = one.get(f"/records/{strange}"), one.get("/records/req_none")
        assert hidden.status == absent.status == 404
        assert hidden.message.replace(strange, "req_none") == absent.message
    assert key.get("/records").status == 403
