from __future__ import annotations

import json

from gateway.core.roles import Role
from tests.web.admin.asking import asker, fresh
from tests.web.control import Control


def test_an_account_is_made_changed_disabled_and_enabled(control: Control) -> None:
    admin, team = asker(control), control.team()
    team_id = control.directory.require_team(team)
    email = f"{fresh('ann')}@acme.example"
    password = "a long enough phrase"
    made = admin.post("/users", {"email": email.upper(), "role": "admin", "password": password})
    assert made.status == 201
    user = made.json
    assert (user["email"], user["role"], user["has_password"]) == (email, "admin", True)
    browser = control.browser()
    assert browser.sign_in(email, password).status_code == 303
    path = f"/users/{user['id']}"
    owned = admin.patch(path, {"role": "owner", "team_id": team_id}, made.etag)
    assert (owned.json["role"], owned.json["team"]) == ("owner", team)
    assert admin.patch(path, {"disabled": True}, made.etag).status == 412
    disabled = admin.patch(path, {"disabled": True}, owned.etag)
    assert disabled.json["disabled_at"] is not None
    assert control.browser().sign_in(email, password).status_code != 303
    assert admin.patch(path, {"disabled": True}).status == 409
    assert admin.patch(path, {"disabled": False}).json["disabled_at"] is None
    log = admin.get("/audit-log", subject="user", subject_id=user["id"]).json["data"]
    assert {"create", "change", "disable", "enable"} <= {entry["action"] for entry in log}
    assert password not in json.dumps(log)


def test_accounts_are_listed_in_pages(control: Control) -> None:
    admin = asker(control)
    made = [control.user(Role.FINANCE) for _ in range(3)]
    seen, cursor = [], None
    while True:
        query = {"limit": 2} | ({} if cursor is None else {"cursor": cursor})
        page = admin.get("/users", **query).json
        seen += [user["email"] for user in page["data"]]
        cursor = page["next"]
        if cursor is None:
            break
    assert set(made) <= set(seen)
    assert len(seen) == len(set(seen))
    assert admin.get("/users/99999").status == 404


def test_what_cannot_be_an_account_is_refused(control: Control) -> None:
    admin = asker(control)
    good = {"email": f"{fresh('ann')}@acme.example", "role": "finance"}
    team_id = control.directory.require_team(control.team())
    for more in (
        {"email": "ann"},
        {"role": "client"},
        {"role": "owner"},
        {"team_id": team_id},
        {"password": "short"},
        {"password": "aaaaaaaaaaaaaaaa"},
    ):
        refused = admin.post("/users", {**good, **more})
        assert refused.status == 400, more
        assert "aaaa" not in refused.message
    made = admin.made("/users", good)
    assert admin.post("/users", good).status == 409
    for body in ({"role": "admin", "disabled": True}, {"team_id": team_id}):
        assert admin.patch(f"/users/{made['id']}", body).status == 400


def test_finance_reads_accounts_and_an_owner_does_not(control: Control) -> None:
    finance = asker(control, Role.FINANCE)
    assert finance.get("/users").status == 200
    assert finance.post("/users", {"email": "a@b.example", "role": "admin"}).status == 403
    assert asker(control, Role.OWNER, control.team()).get("/users").status == 403
