from __future__ import annotations

from gateway.core.roles import Role
from tests.web.admin.asking import asker, fresh
from tests.web.control import Control


def test_a_team_is_made_read_changed_and_removed(control: Control) -> None:
    admin, name = asker(control), fresh("team")
    made = admin.post("/teams", {"name": name, "sharing": "team"})
    assert made.status == 201
    team = made.json
    assert (team["name"], team["sharing"]) == (name, "team")
    assert made.etag == f'"{team["etag"]}"'
    path = f"/teams/{team['id']}"
    assert admin.get(path).json == team
    changed = admin.patch(path, {"name": f"{name} 2", "sharing": "client"}, made.etag)
    assert (changed.status, changed.json["name"]) == (200, f"{name} 2")
    assert changed.etag != made.etag
    # Whoever has not seen that change is told so, and what is not there is not changed.
    stale = admin.patch(path, {"name": name}, made.etag)
    assert (stale.status, stale.code) == (412, "changed_meanwhile")
    assert admin.delete(path, made.etag).status == 412
    assert admin.delete(path, changed.etag).json == {"id": team["id"], "removed": True}
    assert admin.get(path).status == admin.delete(path).status == 404


def test_a_change_must_say_what_it_was_decided_on(control: Control) -> None:
    admin = asker(control)
    team = admin.made("/teams", {"name": fresh("team")})
    path = f"/teams/{team['id']}"
    for reply in (admin.patch(path, {"sharing": "team"}, None), admin.delete(path, None)):
        assert (reply.status, reply.code) == (428, "if_match_required")
    wrong = admin.patch(path, {"sharing": "team"}, "no tag")
    assert (wrong.status, wrong.message[:9]) == (400, "If-Match:")
    assert admin.patch(path, {"sharing": "team"}, f'"other", "{team["etag"]}"').status == 200


def test_teams_are_listed_in_pages(control: Control) -> None:
    admin = asker(control)
    names = {admin.made("/teams", {"name": fresh("team")})["name"] for _ in range(5)}
    seen, cursor, pages = set(), None, 0
    while True:
        query = {"limit": 2} | ({} if cursor is None else {"cursor": cursor})
        page = admin.get("/teams", **query).json
        assert len(page["data"]) <= 2
        seen |= {team["name"] for team in page["data"]}
        pages, cursor = pages + 1, page["next"]
        if cursor is None:
            break
    assert names <= seen
    assert pages >= 3
    name = min(names)
    assert [team["name"] for team in admin.get("/teams", name=name).json["data"]] == [name]


def test_what_stands_in_the_way_is_said(control: Control) -> None:
    admin, name = asker(control), fresh("team")
    team = admin.made("/teams", {"name": name})
    again = admin.post("/teams", {"name": name})
    assert (again.status, again.code) == (409, "in_the_way")
    assert again.message == f"Team {name!r} exists already."
    admin.made("/clients", {"team_id": team["id"], "name": fresh("client")})
    kept = admin.delete(f"/teams/{team['id']}")
    assert (kept.status, kept.message) == (
        409,
        f"Team {name!r} has a client: remove them first.",
    )


def test_finance_reads_and_an_owner_sees_the_own_team(control: Control) -> None:
    mine, other = control.team(), control.team()
    ids = {name: control.directory.require_team(name) for name in (mine, other)}
    finance, owner = asker(control, Role.FINANCE), asker(control, Role.OWNER, mine)
    assert finance.get(f"/teams/{ids[other]}").status == 200
    assert [team["name"] for team in owner.get("/teams").json["data"]] == [mine]
    assert owner.get(f"/teams/{ids[mine]}").status == 200
    hidden = owner.get(f"/teams/{ids[other]}")
    assert hidden.message == f"There is no team {ids[other]}."
    assert hidden.status == 404
    for one in (finance, owner):
        for reply in (
            one.post("/teams", {"name": fresh("team")}),
            one.patch(f"/teams/{ids[mine]}", {"sharing": "team"}),
            one.delete(f"/teams/{ids[mine]}"),
        ):
            assert (reply.status, reply.code) == (403, "permission_denied")
