"""What every endpoint does before and after its own work."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy.exc import OperationalError

from gateway.adapters.directory import Directory
from gateway.adapters.sessions import Sessions
from gateway.core.roles import Role
from tests.web.admin.asking import PREFIX, asker, fresh
from tests.web.control import BY, Control


def test_who_does_not_say_who_it_is_gets_nothing(control: Control) -> None:
    for rule in control.app.url_map.iter_rules():
        if not rule.rule.startswith("/admin/api") or rule.rule.endswith("openapi.json"):
            continue
        path = rule.rule.replace("<int:", "<").replace("<name>", "x").replace("<request_id>", "x")
        for argument in rule.arguments:
            path = path.replace(f"<{argument}>", "1")
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}:
            answer = control.app.test_client().open(path, method=method, json={})
            assert answer.status_code == 401, (method, path)
            assert answer.get_json()["error"]["code"] == "invalid_api_key"


def test_a_browser_reads_and_changes_with_its_token_against_forgery(control: Control) -> None:
    browser = control.signed_in(Role.ADMIN)
    assert browser.get(f"{PREFIX}/teams").status_code == 200
    body = {"name": fresh("team")}
    refused = browser.post(f"{PREFIX}/teams", json=body)
    assert (refused.status_code, refused.get_json()["error"]["code"]) == (403, "csrf_token_wrong")
    session = Sessions(control.engine).find(browser.cookie() or "")
    assert session is not None
    done = browser.post(f"{PREFIX}/teams", json=body, headers={"X-CSRF-Token": session.csrf})
    assert done.status_code == 201


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ('{"name": "a", "name": "b"}', "twice"),
        ('{"name": NaN}', "NaN"),
        ('["name"]', "must be a JSON object"),
        ("{", "parse"),
        ("", "Missing field: name."),
        ('{"name": "\\ud800"}', "surrogate"),
    ],
)
def test_bodies_are_read_strictly(control: Control, body: str, says: str) -> None:
    secret = control.tokens.create(BY, "tests", Role.ADMIN).secret
    answer = control.app.test_client().post(
        f"{PREFIX}/teams",
        data=body,
        content_type="application/json",
        headers={"Authorization": f"Bearer {secret}"},
    )
    assert answer.status_code == 400
    assert says.lower() in answer.get_json()["error"]["message"].lower()


def test_other_kinds_of_bodies_are_refused(control: Control) -> None:
    secret = control.tokens.create(BY, "tests", Role.ADMIN).secret
    client, headers = control.app.test_client(), {"Authorization": f"Bearer {secret}"}
    form = client.post(f"{PREFIX}/teams", data={"name": "x"}, headers=headers)
    assert form.status_code == 400
    packed = {**headers, "Content-Encoding": "gzip"}
    assert client.post(f"{PREFIX}/teams", json={}, headers=packed).status_code == 415


def test_ids_that_no_database_has_are_not_there(control: Control) -> None:
    admin = asker(control)
    for number in (0, 2**63, 10**40):
        assert admin.get(f"/teams/{number}").status == 404
    assert admin.get("/teams/-1").status == 404


def test_a_database_that_is_away_is_said(control: Control, monkeypatch: pytest.MonkeyPatch) -> None:
    admin = asker(control)

    def away(_self: Directory, *_args: Any) -> Any:
        raise OperationalError("SELECT", {}, Exception("gone"))

    monkeypatch.setattr(Directory, "client", away)
    refused = admin.get("/clients/1")
    assert (refused.status, refused.code) == (503, "store_unavailable")
    assert "gone" not in refused.message


def test_answers_are_not_kept_by_anybody(control: Control) -> None:
    assert asker(control).get("/teams").headers["Cache-Control"] == "no-store"
