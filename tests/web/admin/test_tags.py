from __future__ import annotations

import pytest

from gateway.core.roles import Role
from tests.web.admin.asking import asker, fresh
from tests.web.control import Control


def test_a_tag_is_allowed_and_forbidden(control: Control) -> None:
    admin, name = asker(control), fresh("tag")
    made = admin.post("/tags", {"name": name})
    assert (made.status, made.json["name"]) == (201, name)
    assert admin.post("/tags", {"name": name}).status == 409
    assert name in [tag["name"] for tag in admin.get("/tags").json["data"]]
    budget = {"name": fresh("b"), "limit_usd": "1", "window": "day", "tag": f"{name}=x"}
    made_budget = admin.made("/budgets", budget)
    narrowed = admin.delete(f"/tags/{name}")
    assert (narrowed.status, narrowed.code) == (409, "in_the_way")
    admin.delete(f"/budgets/{made_budget['id']}")
    assert admin.delete(f"/tags/{name}").json == {"name": name, "removed": True}
    assert admin.delete(f"/tags/{name}").status == 404
    log = admin.get("/audit-log", subject="tag", subject_id=name).json["data"]
    assert [entry["action"] for entry in log] == ["remove", "create"]


@pytest.mark.parametrize("name", ["", "Project", "a b", "image_size", "x" * 65])
def test_what_cannot_name_a_tag_is_refused(control: Control, name: str) -> None:
    assert asker(control).post("/tags", {"name": name}).status == 400


def test_admins_alone_allow_tags(control: Control) -> None:
    owner = asker(control, Role.OWNER, control.team())
    assert owner.get("/tags").status == 200
    assert owner.post("/tags", {"name": fresh("tag")}).status == 403
    assert owner.delete("/tags/x").status == 403


def test_short_lists_have_pages_too(control: Control) -> None:
    admin = asker(control)
    names = sorted(admin.made("/tags", {"name": fresh("tag")})["name"] for _ in range(3))
    seen, cursor = [], None
    while True:
        query = {"limit": 1} | ({} if cursor is None else {"cursor": cursor})
        page = admin.get("/tags", **query).json
        assert len(page["data"]) <= 1
        seen += [tag["name"] for tag in page["data"]]
        cursor = page["next"]
        if cursor is None:
            break
    assert seen == sorted(seen)
    assert set(names) <= set(seen)
    assert admin.get("/tags", cursor="strange").status == 400
