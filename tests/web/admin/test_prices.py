from __future__ import annotations

from typing import Any

import pytest

from gateway.core.roles import Role
from tests.web.admin.asking import asker, fresh
from tests.web.control import Control


def test_a_price_is_set_from_a_time_on_and_its_history_stays(control: Control) -> None:
    admin, model = asker(control), fresh("model")
    before = control.directory.version()
    first = admin.post(
        "/prices",
        {
            "model": model,
            "rates": {"input": "0.50", "output": "1.50"},
            "valid_from": "2026-01-01T00:00:00Z",
            "context_window": 16_385,
        },
    )
    assert first.status == 201
    assert first.json["tiers"]["default"]["input"] == {"usd": "0.50", "per": 10**6, "steps": []}
    assert control.budgets.policy_version() == before + 1
    second = admin.made(
        "/prices",
        {
            "model": model,
            "rates": {"input": "1"},
            "above": 200_000,
            "rates_above": {"input": "2.25"},
            "valid_from": "2026-02-01T00:00:00+02:00",
        },
    )
    assert second["valid_from"] == "2026-01-31T22:00:00Z"
    # What was not stated stays as it was.
    assert second["tiers"]["default"]["output"]["usd"] == "1.50"
    assert second["context_window"] == 16_385
    assert second["tiers"]["default"]["input"]["steps"] == [{"above": 200_000, "usd": "2.25"}]

    def ids(**query: Any) -> list[int]:
        return [price["id"] for price in admin.get("/prices", model=model, **query).json["data"]]

    assert ids() == [second["id"]]
    assert ids(at="2026-01-15T00:00:00Z") == [first.json["id"]]
    assert ids(at="2025-01-01T00:00:00Z") == []
    assert ids(history="true") == [first.json["id"], second["id"]]
    assert ids(history="true", is_override="false") == []
    page = admin.get("/prices", model=model, history="true", limit=1).json
    assert [price["id"] for price in page["data"]] == [first.json["id"]]
    assert ids(history="true", limit=1, cursor=page["next"]) == [second["id"]]
    assert admin.get(f"/prices/{second['id']}").json == second
    assert admin.get("/prices/987654").status == 404
    (entry,) = admin.get("/audit-log", subject="price", subject_id=second["id"]).json["data"]
    assert (entry["action"], entry["subject_name"], entry["before"]) == ("create", model, None)
    assert entry["after"]["tiers"] == second["tiers"]


def test_limits_alone_are_no_price(control: Control) -> None:
    model = fresh("model")
    refused = asker(control).post("/prices", {"model": model, "rates": {}})
    assert (refused.status, refused.json["error"]["param"]) == (400, "rates")


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"rates": {"input": 1}}, "rates.input: an amount is a string"),
        ({"rates": {"thoughts": "1"}}, "rates.thoughts"),
        ({"rates": {"input": "0"}}, '"free": true'),
        ({"above": 5}, "`above`"),
        ({"rates_above": {"input": "1"}}, "`above`"),
        ({"above": 5, "rates_above": {"images": "1"}}, "images"),
        ({"model": "m" * 129}, "model: "),
        ({"valid_from": "2026-01-01"}, "valid_from: "),
        ({"valid_from": 1767225600}, "valid_from: "),
        ({"tier": "flex tier"}, "tier: "),
    ],
)
def test_what_is_no_price_is_refused(control: Control, more: dict[str, Any], says: str) -> None:
    good = {"model": fresh("model"), "rates": {"input": "1", "images": "1"}}
    refused = asker(control).post("/prices", {**good, **more})
    assert refused.status == 400
    assert says in refused.message
    assert "--" not in refused.message


def test_admins_alone_set_prices(control: Control) -> None:
    body = {"model": fresh("model"), "rates": {"input": "1"}}
    for role, team in ((Role.FINANCE, None), (Role.OWNER, control.team())):
        one = asker(control, role, team)
        assert one.post("/prices", body).status == 403
        assert one.get("/prices").status == 200
