from __future__ import annotations

from gateway.core.roles import Role
from tests.web.admin.asking import asker, client_asker, fresh
from tests.web.admin.spending import Spender
from tests.web.control import Control


def test_a_change_through_the_api_says_which_token_made_it(control: Control) -> None:
    admin = asker(control)
    me = admin.get("/me").json["actor"]
    team = admin.made("/teams", {"name": fresh("team")})
    admin.patch(f"/teams/{team['id']}", {"sharing": "team"})
    entries = admin.get("/audit-log", subject="team", subject_id=team["id"]).json["data"]
    assert [entry["action"] for entry in entries] == ["change", "create"]
    assert {(entry["actor"], entry["role"]) for entry in entries} == {(me, "admin")}
    assert me.startswith("token:")
    assert (entries[0]["before"]["sharing"], entries[0]["after"]["sharing"]) == ("client", "team")
    assert entries[1]["before"] is None
    assert admin.get("/audit-log", actor=me, action="change").json["data"] == [entries[0]]
    at = entries[0]["at"]
    assert entries[0] in admin.get("/audit-log", since=at).json["data"]
    assert entries[0] not in admin.get("/audit-log", until=at, limit=500).json["data"]


def test_changes_come_in_pages(control: Control) -> None:
    admin = asker(control)
    me = admin.get("/me").json["actor"]
    for _ in range(3):
        admin.made("/teams", {"name": fresh("team")})
    first = admin.get("/audit-log", actor=me, limit=2).json
    second = admin.get("/audit-log", actor=me, limit=2, cursor=first["next"]).json
    assert (len(first["data"]), len(second["data"]), second["next"]) == (2, 1, None)
    ids = [entry["id"] for entry in first["data"] + second["data"]]
    assert ids == sorted(ids, reverse=True)


def test_it_is_for_those_who_see_everything(control: Control) -> None:
    spender = Spender(control)
    assert asker(control, Role.FINANCE).get("/audit-log").status == 200
    assert asker(control, Role.OWNER, spender.team).get("/audit-log").status == 403
    assert client_asker(control, spender.client).get("/audit-log").status == 403
