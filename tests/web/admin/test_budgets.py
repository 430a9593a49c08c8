from __future__ import annotations

from typing import Any

import pytest

from gateway.adapters.redis_budgets import RedisBudgets, StoreDown
from gateway.core.budgets import Window, WindowKind, window_at
from gateway.core.roles import Role
from tests.web.admin.asking import asker, fresh
from tests.web.control import Control


def spend(control: Control, budget: dict[str, Any], spent: int, held: int) -> None:
    """Have a budget's counters say so."""
    window: Window = window_at(
        WindowKind(budget["window"]), budget["time_zone"], control.budgets.now_ms()
    )
    key = control.budgets.keys.budget(budget["id"], window.start_ms)
    control.budgets.redis.hset(key, mapping={"spent": spent, "held": held})


def test_a_budget_says_where_it_stands(control: Control) -> None:
    admin, team = asker(control), control.directory.require_team(control.team())
    made = admin.post(
        "/budgets",
        {
            "name": fresh("budget"),
            "team_id": team,
            "limit_usd": "500.00",
            "window": "month",
            "time_zone": "Europe/Berlin",
            "enforcement": "expected",
            "model_pattern": "gpt-*",
        },
    )
    assert made.status == 201
    budget = made.json
    assert (budget["scope"], budget["limit_usd"]) == ("team", "500.00")
    assert budget["state"]["spent_usd"] == "0.00"
    spend(control, budget, 1_500, 2_000_000_000)
    read = admin.get(f"/budgets/{budget['id']}")
    state = read.json["state"]
    assert (state["spent_usd"], state["held_usd"]) == ("0.0000015", "2.00")
    assert (state["left_usd"], state["source"]) == ("497.9999985", "counters")
    assert state["window_start"] < state["resets_at"]
    # What is spent is no change of the budget.
    assert read.etag == made.etag


def test_a_budget_is_changed_and_removed(control: Control) -> None:
    admin, name = asker(control), fresh("budget")
    made = admin.post("/budgets", {"name": name, "limit_usd": "1", "window": "total"})
    path = f"/budgets/{made.json['id']}"
    assert (made.json["scope"], made.json["state"]["resets_at"]) == ("organization", None)
    changed = admin.patch(path, {"limit_usd": "2.5", "enforcement": "soft"}, made.etag)
    assert (changed.json["limit_usd"], changed.json["enforcement"]) == ("2.50", "soft")
    assert admin.patch(path, {"limit_usd": "9"}, made.etag).status == 412
    assert admin.delete(path, made.etag).status == 412
    assert admin.delete(path, changed.etag).status == 200
    assert admin.get(path).status == 404
    log = admin.get("/audit-log", subject="budget", subject_id=made.json["id"]).json["data"]
    assert [entry["action"] for entry in log] == ["remove", "change", "create"]
    assert log[1]["before"]["limit_usd"] == "1.00"
    assert log[1]["after"]["limit_usd"] == "2.50"


def test_without_redis_a_budget_says_what_is_recorded(
    control: Control, monkeypatch: pytest.MonkeyPatch
) -> None:
    admin = asker(control)
    budget = admin.made("/budgets", {"name": fresh("budget"), "limit_usd": "1", "window": "day"})

    def down(_self: RedisBudgets, *_args: Any) -> Any:
        raise StoreDown("gone")

    monkeypatch.setattr(RedisBudgets, "state", down)
    state = admin.get(f"/budgets/{budget['id']}").json["state"]
    assert (state["source"], state["held_usd"], state["left_usd"]) == ("recorded", None, "1.00")


@pytest.mark.parametrize(
    ("more", "param"),
    [
        ({"limit_usd": 500}, "limit_usd"),
        ({"limit_usd": "9007199.254740992"}, "limit_usd"),
        ({"window": "year"}, "window"),
        ({"enforcement": "hard"}, "enforcement"),
        ({"team_id": 1, "client_id": 1}, "client_id"),
        ({"tag": "project"}, "tag"),
        ({"time_zone": "Mars/Olympus"}, None),
        ({"tag": "unheard=of"}, None),
    ],
)
def test_what_cannot_be_a_budget_is_refused(
    control: Control, more: dict[str, Any], param: str | None
) -> None:
    good = {"name": fresh("budget"), "limit_usd": "1", "window": "day"}
    refused = asker(control).post("/budgets", {**good, **more})
    assert (refused.status, refused.json["error"]["param"]) == (400, param)


def test_an_owner_sees_what_bounds_the_team_and_changes_the_clients_budgets(
    control: Control,
) -> None:
    mine, other = control.team(), control.team()
    own = control.directory.create_client(mine, fresh("client"))
    strange = control.directory.create_client(other, fresh("client"))
    admin, owner = asker(control), asker(control, Role.OWNER, mine)
    terms = {"limit_usd": "1", "window": "day"}
    ids = {
        place: admin.made("/budgets", {"name": fresh(place), **terms, **on})["id"]
        for place, on in {
            "organization": {},
            "team": {"team_id": control.directory.require_team(mine)},
            "own": {"client_id": own},
            "other": {"team_id": control.directory.require_team(other)},
            "strange": {"client_id": strange},
        }.items()
    }
    seen = {budget["id"] for budget in owner.get("/budgets", limit=500).json["data"]}
    assert seen & set(ids.values()) == {ids["organization"], ids["team"], ids["own"]}
    for place in ("organization", "team"):
        assert owner.get(f"/budgets/{ids[place]}").status == 200
        assert owner.patch(f"/budgets/{ids[place]}", {"limit_usd": "2"}).status == 403
        assert owner.delete(f"/budgets/{ids[place]}").status == 403
    for place in ("other", "strange"):
        assert owner.get(f"/budgets/{ids[place]}").status == 404
        assert owner.patch(f"/budgets/{ids[place]}", {"limit_usd": "2"}).status == 404
    assert owner.patch(f"/budgets/{ids['own']}", {"limit_usd": "2"}).status == 200
    assert owner.delete(f"/budgets/{ids['own']}").status == 200
    team = control.directory.require_team(mine)
    for on, status in (
        ({"client_id": own}, 201),
        ({"client_id": strange}, 404),
        ({"team_id": team}, 403),
        ({}, 403),
    ):
        assert owner.post("/budgets", {"name": fresh("b"), **terms, **on}).status == status


def test_budgets_are_filtered(control: Control) -> None:
    admin, team = asker(control), control.directory.require_team(control.team())
    name = fresh("client")
    client = control.directory.create_client(team, name)
    terms = {"limit_usd": "1", "window": "day"}
    one = admin.made("/budgets", {"name": fresh("b"), "team_id": team, **terms})
    two = admin.made("/budgets", {"name": fresh("b"), "client_id": client, **terms})

    def found(**query: Any) -> list[int]:
        return [budget["id"] for budget in admin.get("/budgets", **query).json["data"]]

    assert found(team_id=team) == [one["id"], two["id"]]
    assert found(team_id=team, scope="client") == found(client_id=client) == [two["id"]]
    assert found(name=one["name"]) == [one["id"]]
    assert admin.get("/budgets", scope="planet").json["error"]["param"] == "scope"
