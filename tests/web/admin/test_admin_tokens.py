from __future__ import annotations

import json

from gateway.core.roles import Role
from tests.web.admin.asking import Asker, asker, fresh
from tests.web.control import Control


def test_a_token_is_made_works_and_is_revoked(control: Control) -> None:
    admin, team = asker(control), control.team()
    body = {
        "name": fresh("token"),
        "role": "owner",
        "team_id": control.directory.require_team(team),
        "expires_in_seconds": 3600,
    }
    made = admin.post("/admin-tokens", body)
    assert (made.status, made.json["state"], made.json["team"]) == (201, "active", team)
    assert made.json["created_by"] == admin.get("/me").json["actor"]
    used = Asker(control, made.json["secret"])
    assert used.get("/me").json["role"] == "owner"
    path = f"/admin-tokens/{made.json['id']}"
    assert made.json["secret"] not in json.dumps(admin.get(path).json)
    assert made.json["secret"] not in json.dumps(admin.get("/admin-tokens", limit=500).json)
    assert admin.delete(path, '"other"').status == 412
    assert admin.delete(path, made.etag).json["state"] == "revoked"
    assert (used.get("/me").status, used.get("/me").code) == (401, "token_revoked")
    assert admin.delete(path).status == 409
    assert admin.delete("/admin-tokens/99999").status == 404


def test_admins_alone_see_tokens(control: Control) -> None:
    for one in (asker(control, Role.FINANCE), asker(control, Role.OWNER, control.team())):
        assert one.get("/admin-tokens").status == 403
        assert one.post("/admin-tokens", {"name": "x", "role": "admin"}).status == 403
    refused = asker(control).post("/admin-tokens", {"name": "x", "role": "client"})
    assert refused.status == 400
