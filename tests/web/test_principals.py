from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from flask import jsonify
from sqlalchemy import update

from gateway.adapters.control_tables import admin_tokens
from gateway.adapters.directory import now
from gateway.adapters.tables import teams
from gateway.core.roles import Role
from gateway.web.principals import caller_address, csrf_token, principal
from tests.web.control import BY, Browser, Control
from tests.web.control import control as deployment

SEES = ("GET", "HEAD")
CHANGES = ("POST", "PUT", "PATCH", "DELETE")


@pytest.fixture(scope="module")
def control(shared_redis_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Control]:
    """A deployment with a page and two routes for programs that say who asks."""
    folder = tmp_path_factory.mktemp("control")
    with deployment(folder, shared_redis_url, trusted_proxies=1) as found:

        def who() -> Any:
            seen = principal()
            return jsonify(
                actor=seen.actor,
                role=seen.role,
                team_id=seen.team_id,
                client_id=seen.client_id,
                address=seen.address,
                csrf=csrf_token(),
            )

        def for_admins() -> Any:
            return jsonify(actor=principal(Role.ADMIN).actor)

        for path in ("/test/who", "/admin/api/v1/test/who", "/v1/test/who"):
            found.app.add_url_rule(path, path, who, methods=["GET", *CHANGES])
        for path in ("/test/admins", "/admin/api/v1/test/admins"):
            found.app.add_url_rule(path, path, for_admins, methods=["GET", *CHANGES])
        yield found


API = "/admin/api/v1/test/who"


def bearer(secret: str) -> dict[str, Any]:
    return {"headers": {"Authorization": f"Bearer {secret}"}}


def a_client(control: Control) -> tuple[int, int, str]:
    """Team, client and key of a new client."""
    team = control.team()
    name = f"client-of-{team}"
    client_id = control.directory.create_client(team, name)
    key = control.directory.create_key(name)
    control.publish()
    return control.directory.require_team(team), client_id, key.secret


# By session


def test_a_session_is_its_user_as_of_now(control: Control) -> None:
    browser, email = control.browser(), control.user(Role.ADMIN)
    browser.sign_in(email)
    assert browser.get("/test/who").get_json()["actor"] == f"user:{email}"
    team = control.team()
    control.accounts.change_role(BY, email, Role.OWNER, team)
    seen = browser.get("/test/who").get_json()
    assert (seen["role"], seen["team_id"]) == ("owner", control.directory.require_team(team))
    assert browser.get("/test/admins").status_code == 403


def test_who_is_not_signed_in_is_sent_to_sign_in_and_back(control: Control) -> None:
    answer = control.browser().get("/test/who?since=2026-05-01&group=model")
    assert answer.status_code == 303
    assert answer.location == "/sign-in?next=%2Ftest%2Fwho%3Fsince%3D2026-05-01%26group%3Dmodel"
    # What changes something cannot be asked again.
    assert control.browser().post("/test/who").location == "/sign-in"


def test_a_part_of_a_page_sends_the_whole_page_to_sign_in(control: Control) -> None:
    headers = {"HX-Request": "true", "HX-Current-URL": "http://localhost/teams/3?group=key"}
    answer = control.browser().get("/test/who", headers=headers)
    assert answer.status_code == 401
    assert answer.headers["HX-Redirect"] == "/sign-in?next=%2Fteams%2F3%3Fgroup%3Dkey"


@pytest.mark.parametrize("path", [API, "/v1/test/who"])
def test_programs_get_an_error_and_no_page(control: Control, path: str) -> None:
    answer = control.browser().get(path)
    assert answer.status_code == 401
    assert answer.get_json()["error"]["code"] == "invalid_api_key"


def test_a_session_ends_after_twelve_hours(control: Control) -> None:
    began = now()
    with time_machine.travel(began, tick=False) as clock:
        browser = control.signed_in()
        clock.move_to(began + timedelta(hours=11, minutes=59))
        assert browser.get("/test/who").status_code == 200
        clock.move_to(began + timedelta(hours=12))
        assert browser.get("/test/who").status_code == 303


def test_disabling_a_user_and_a_new_password_end_sessions_at_once(control: Control) -> None:
    email, browsers = control.user(), [control.browser() for _ in range(2)]
    other = control.signed_in()
    for browser in browsers:
        browser.sign_in(email)
    control.accounts.set_password(BY, email, "scrypt:unusable")
    assert [b.get("/test/who").status_code for b in browsers] == [303, 303]
    email = control.user()
    browsers[0].sign_in(email)
    control.accounts.disable(BY, email)
    assert browsers[0].get("/test/who").status_code == 303
    # Enabling brings no session back.
    control.accounts.enable(BY, email)
    assert browsers[0].get("/test/who").status_code == 303
    assert other.get("/test/who").status_code == 200


def test_nobody_owns_a_team_that_is_gone(control: Control) -> None:
    team = control.team()
    browser = control.signed_in(Role.OWNER, team)
    token = control.tokens.create(BY, "ci", Role.OWNER, team=team).secret
    assert browser.get("/test/who").status_code == 200
    assert control.browser().get(API, **bearer(token)).status_code == 200
    with control.engine.begin() as connection:
        chosen = update(teams).where(teams.c.name == team)
        connection.execute(chosen.values(removed_at=now(), name=f"{team} (removed)"))
    assert browser.get("/test/who").status_code == 303
    assert control.browser().get(API, **bearer(token)).status_code == 401


# Forged requests


def csrf_of(browser: Browser) -> str:
    token: str = browser.get("/test/who").get_json()["csrf"]
    return token


@pytest.mark.parametrize("method", CHANGES)
@pytest.mark.parametrize("path", ["/test/who", API])
def test_by_cookie_nothing_changes_without_the_sessions_token(
    control: Control, method: str, path: str
) -> None:
    browser, other = control.signed_in(), control.signed_in()

    def ask(**more: Any) -> tuple[int, str | None]:
        answer = browser.client.open(path, method=method, **more)
        body = answer.get_json(silent=True) or {}
        return answer.status_code, body.get("error", {}).get("code")

    refused = (403, "csrf_token_wrong")
    assert ask() == refused
    assert ask(headers={"X-CSRF-Token": ""}) == refused
    assert ask(headers={"X-CSRF-Token": csrf_of(other)}) == refused
    assert ask(data={"csrf_token": "x\u00e4"}) == refused
    assert ask(headers={"X-CSRF-Token": csrf_of(browser)}) == (200, None)
    assert ask(data={"csrf_token": csrf_of(browser)}) == (200, None)
    # In an address it would be in logs.
    assert ask(query_string={"csrf_token": csrf_of(browser)}) == refused


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_a_page_of_another_site_changes_nothing_even_with_the_token(
    control: Control, site: str
) -> None:
    browser = control.signed_in()
    headers = {"X-CSRF-Token": csrf_of(browser), "Sec-Fetch-Site": site}
    assert browser.post("/test/who", headers=headers).status_code == 403
    assert browser.get("/test/who", headers={"Sec-Fetch-Site": site}).status_code == 200


# By admin token


def test_a_token_is_its_role_and_needs_no_csrf_token(control: Control) -> None:
    team = control.team()
    token = control.tokens.create(BY, "ci", Role.OWNER, team=team)
    for method in ("GET", *CHANGES):
        seen = control.app.test_client().open(API, method=method, **bearer(token.secret))
        assert seen.status_code == 200
    seen = control.browser().get(API, **bearer(token.secret)).get_json()
    assert (seen["actor"], seen["role"]) == (f"token:{token.id}", "owner")
    assert (seen["team_id"], seen["csrf"]) == (control.directory.require_team(team), "")
    refused = control.browser().get("/admin/api/v1/test/admins", **bearer(token.secret))
    assert (refused.status_code, refused.get_json()["error"]["code"]) == (403, "permission_denied")


def test_a_revoked_an_expired_and_an_unknown_token_are_refused(control: Control) -> None:
    token = control.tokens.create(BY, "ci", Role.ADMIN, expires_in=timedelta(days=1))

    def refusal(secret: str) -> str | None:
        answer = control.browser().get(API, **bearer(secret))
        error = answer.get_json().get("error") or {"code": None}
        assert (answer.status_code == 200) == (error["code"] is None)
        code: str | None = error["code"]
        return code

    assert refusal(token.secret) is None
    assert refusal(token.secret[:-1]) == "invalid_api_key"
    assert refusal("fga-") == "invalid_api_key"
    with control.engine.begin() as connection:
        chosen = update(admin_tokens).where(admin_tokens.c.id == token.id)
        connection.execute(chosen.values(expires_at=now()))
    assert refusal(token.secret) == "token_expired"
    control.tokens.revoke(BY, token.id)
    assert refusal(token.secret) == "token_revoked"


def test_the_hash_of_a_token_is_no_token(control: Control) -> None:
    control.tokens.create(BY, "ci", Role.ADMIN)
    with control.engine.connect() as connection:
        for (stored,) in connection.execute(
            admin_tokens.select().with_only_columns(admin_tokens.c.hash)
        ):
            for secret in (stored, f"fga-{stored}"):
                assert control.browser().get(API, **bearer(secret)).status_code == 401


def test_a_bad_header_is_not_made_good_by_a_session(control: Control) -> None:
    browser = control.signed_in()
    assert browser.get(API).status_code == 200
    for value in ("Bearer fga-wrong", "Basic YTpi", "Bearer ", "fga-x"):
        assert browser.get(API, headers={"Authorization": value}).status_code == 401


# By a client's key


def test_a_key_is_its_client_and_reads_alone(control: Control) -> None:
    team_id, client_id, secret = a_client(control)
    seen = control.browser().get(API, **bearer(secret)).get_json()
    assert seen["actor"].startswith("key:fg-")
    assert secret not in str(seen)
    assert (seen["role"], seen["team_id"], seen["client_id"]) == ("client", team_id, client_id)
    for method in CHANGES:
        answer = control.app.test_client().open(API, method=method, **bearer(secret))
        assert answer.status_code == 403, method
    assert control.browser().get("/test/admins", **bearer(secret)).status_code == 403


def test_a_revoked_key_reads_nothing(control: Control) -> None:
    _, _, secret = a_client(control)
    assert control.browser().get(API, **bearer(secret)).status_code == 200
    keys = control.directory.keys()
    (key,) = [key for key in keys if secret.endswith(key.last_four)]
    control.directory.revoke_key(key.id)
    control.publish()
    answer = control.browser().get(API, **bearer(secret))
    assert (answer.status_code, answer.get_json()["error"]["code"]) == (401, "key_revoked")


def test_an_admin_token_is_no_key_and_pays_for_nothing(control: Control) -> None:
    token = control.tokens.create(BY, "ci", Role.ADMIN).secret
    answer = control.browser().get("/v1/models", **bearer(token))
    assert answer.status_code == 401
    assert control.signed_in().get("/v1/models").status_code == 401


# Addresses


@pytest.mark.parametrize(
    ("forwarded", "seen"),
    [
        (None, "192.0.2.1"),
        ("198.51.100.7", "198.51.100.7"),
        ("10.0.0.1, 198.51.100.7", "198.51.100.7"),
        ("2001:db8::1", "2001:db8::1"),
        ("nonsense", None),
        ("", "192.0.2.1"),
    ],
)
def test_as_many_proxies_are_believed_as_there_are(
    control: Control, forwarded: str | None, seen: str | None
) -> None:
    headers = {} if forwarded is None else {"X-Forwarded-For": forwarded}
    where = {"REMOTE_ADDR": "192.0.2.1"}
    with control.app.test_request_context("/", headers=headers, environ_overrides=where):
        assert caller_address() == seen


def test_without_proxies_nobody_says_where_they_are(make_app: Any) -> None:
    app = make_app()
    where = {"REMOTE_ADDR": "192.0.2.1"}
    headers = {"X-Forwarded-For": "198.51.100.7"}
    with app.test_request_context("/", headers=headers, environ_overrides=where):
        assert caller_address() == "192.0.2.1"
