from __future__ import annotations

from gateway.adapters.policy_loader import load_policy
from gateway.core.roles import Role
from tests.web.admin.asking import asker, client_asker, fresh
from tests.web.control import Control


def test_a_client_is_made_with_its_limits_and_changed(control: Control) -> None:
    admin, name = asker(control), fresh("client")
    team = control.directory.require_team(control.team())
    limits = {
        "allowed_models": ["gpt-4o*"],
        "requests_per_minute": 60,
        "tokens_per_minute": 90_000,
        "concurrent_requests": 4,
        "default_output_tokens": 512,
        "output_floor_tokens": 64,
        "clamp_output": True,
        "may_fine_tune": True,
        "outage_allowance_usd": "0.25",
    }
    made = admin.post("/clients", {"team_id": team, "name": name, **limits})
    assert made.status == 201
    assert {field: made.json[field] for field in limits} == limits
    path = f"/clients/{made.json['id']}"
    changed = admin.patch(path, {"requests_per_minute": 0, "allowed_models": []}, made.etag)
    assert (changed.json["requests_per_minute"], changed.json["allowed_models"]) == (0, [])
    assert changed.json["tokens_per_minute"] == 90_000
    stored = load_policy(control.engine).clients[made.json["id"]]
    assert (stored.outage_allowance_nano, stored.requests_per_minute) == (250_000_000, 0)
    assert admin.patch(path, {"name": f"{name} 2"}, made.etag).status == 412
    assert admin.patch(path, {"name": f"{name} 2"}).json["name"] == f"{name} 2"
    assert admin.delete(path).json == {"id": made.json["id"], "removed": True}
    assert admin.get(path).status == 404


def test_a_change_is_announced(control: Control) -> None:
    admin = asker(control)
    team = control.directory.require_team(control.team())
    before = control.budgets.policy_version()
    admin.made("/clients", {"team_id": team, "name": fresh("client")})
    assert control.budgets.policy_version() == control.directory.version() != before


def test_fields_that_are_wrong_are_named_and_not_repeated(control: Control) -> None:
    admin = asker(control)
    team = control.directory.require_team(control.team())
    good = {"team_id": team, "name": fresh("client")}
    for more, param in (
        ({"requests_per_minute": -1}, "requests_per_minute"),
        ({"requests_per_minute": "60"}, "requests_per_minute"),
        ({"requests_per_minute": True}, "requests_per_minute"),
        ({"requests_per_minute": 1.5}, "requests_per_minute"),
        ({"clamp_output": "yes"}, "clamp_output"),
        ({"allowed_models": "gpt-4o"}, "allowed_models"),
        ({"allowed_models": ["bell\x07"]}, "allowed_models.0"),
        ({"outage_allowance_usd": 0.25}, "outage_allowance_usd"),
        ({"outage_allowance_usd": "0.0000000001"}, "outage_allowance_usd"),
        ({"outage_allowance_usd": "-1"}, "outage_allowance_usd"),
        ({"outage_allowance_usd": "1e2"}, "outage_allowance_usd"),
        ({"outage_allowance_usd": "1000.01"}, "outage_allowance_usd"),
        ({"name": "-x"}, "name"),
        ({"limits": {}}, "limits"),
        ({"team_id": 0}, "team_id"),
    ):
        refused = admin.post("/clients", {**good, **more})
        assert (refused.status, refused.json["error"]["param"]) == (400, param), more
        assert refused.json["error"]["type"] == "invalid_request_error"
        assert "bell" not in refused.message
    assert admin.post("/clients", {"name": "x"}).message == "Missing field: team_id."
    assert admin.post("/clients", {**good, "limits": 1}).message == "Unknown field: limits."
    assert admin.post("/clients", {**good, "team_id": 10**9}).status == 404
    assert "at least one field" in admin.patch("/clients/1", {}).message
    assert admin.patch("/clients/1", {"name": None}).json["error"]["param"] == "name"


def test_an_owner_has_the_clients_of_the_own_team(control: Control) -> None:
    mine, other = control.team(), control.team()
    own, strange = fresh("client"), fresh("client")
    control.directory.create_client(mine, own)
    theirs = control.directory.create_client(other, strange)
    owner = asker(control, Role.OWNER, mine)
    assert [client["name"] for client in owner.get("/clients").json["data"]] == [own]
    elsewhere = control.directory.require_team(other)
    assert owner.get("/clients", team_id=elsewhere).json["data"] == []
    for reply in (
        owner.get(f"/clients/{theirs}"),
        owner.patch(f"/clients/{theirs}", {"may_fine_tune": True}),
        owner.delete(f"/clients/{theirs}"),
    ):
        assert (reply.status, reply.message) == (404, f"There is no client {theirs}.")
    foreign = owner.post("/clients", {"team_id": elsewhere, "name": fresh("client")})
    assert (foreign.status, foreign.json["error"]["param"]) == (403, "team_id")
    team = control.directory.require_team(mine)
    made = owner.made("/clients", {"team_id": team, "name": fresh("client")})
    assert owner.patch(f"/clients/{made['id']}", {"tokens_per_minute": 5}).status == 200
    assert owner.delete(f"/clients/{made['id']}").status == 200


def test_neither_finance_nor_a_clients_key_changes_anything(control: Control) -> None:
    name = fresh("client")
    client = control.directory.create_client(control.team(), name)
    finance, key = asker(control, Role.FINANCE), client_asker(control, name)
    assert finance.get(f"/clients/{client}").status == 200
    assert finance.patch(f"/clients/{client}", {"tokens_per_minute": 5}).status == 403
    assert key.get("/clients").status == key.get(f"/clients/{client}").status == 403
    assert key.delete(f"/clients/{client}").status == 403
