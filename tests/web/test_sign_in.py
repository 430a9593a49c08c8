from __future__ import annotations

import re

import pytest
from sqlalchemy import select
from werkzeug.security import check_password_hash

from gateway.adapters.audit_log import Filters, entries
from gateway.adapters.control_tables import sessions
from gateway.adapters.passwords import METHOD
from gateway.core.credentials import hash_secret
from gateway.core.roles import Role
from tests.web.control import BY, PASSWORD, Control, form_token


def hashes(control: Control) -> set[str]:
    with control.engine.connect() as connection:
        return set(connection.execute(select(sessions.c.hash)).scalars())


def test_who_knows_the_password_is_signed_in_and_goes_where_they_wanted(control: Control) -> None:
    email, browser = control.user(), control.browser()
    answer = browser.sign_in(email.upper(), next="/teams/3?group=model")
    assert (answer.status_code, answer.location) == (303, "/teams/3?group=model")
    again = browser.get("/sign-in?next=/budgets")
    assert (again.status_code, again.location) == (303, "/budgets")


def test_the_cookie_is_out_of_reach_for_scripts_and_other_sites(control: Control) -> None:
    answer = control.browser().sign_in(control.user())
    (cookie,) = [c for c in answer.headers.getlist("Set-Cookie") if "faregate_session=" in c]
    assert "HttpOnly" in cookie
    assert "SameSite=Lax" in cookie
    assert "Path=/;" in f"{cookie};"
    assert "Max-Age=43200" in cookie
    assert "Secure" not in cookie


def test_over_https_cookies_are_for_https_alone(control: Control) -> None:
    client, at = control.app.test_client(), {"base_url": "https://faregate.example"}
    page = client.get("/sign-in", **at)
    form = {"email": control.user(), "password": PASSWORD, "csrf_token": form_token(page.text)}
    answer = client.post("/sign-in", data=form, **at)
    for made in (page, answer):
        cookies = made.headers.getlist("Set-Cookie")
        assert cookies
        assert all("Secure" in cookie for cookie in cookies)


def test_a_session_is_stored_as_its_hash_alone(control: Control) -> None:
    browser = control.signed_in()
    cookie = browser.cookie()
    assert cookie is not None
    assert len(cookie) >= 43
    assert hash_secret(cookie) in hashes(control)
    assert cookie not in hashes(control)


def test_a_session_is_another_one_after_each_sign_in(control: Control) -> None:
    email, browser = control.user(), control.browser()
    browser.client.set_cookie("faregate_session", "chosen-by-somebody-else")
    browser.sign_in(email)
    first = browser.cookie()
    assert first not in (None, "chosen-by-somebody-else")
    browser.get("/sign-in")
    # The form is for who is not signed in: as when another person takes over the browser.
    other = control.browser()
    other.client.set_cookie("faregate_session", first or "")
    token = form_token(control.browser().get("/sign-in").text)
    other.client.set_cookie("faregate_sign_in", token, path="/sign-in")
    other.post("/sign-in", data={"email": email, "password": PASSWORD, "csrf_token": token})
    assert other.cookie() not in (None, first)
    assert hash_secret(first or "") not in hashes(control)


def test_signing_out_ends_the_session_for_whoever_has_the_cookie(control: Control) -> None:
    browser = control.signed_in()
    cookie = browser.cookie() or ""
    # Without the token it is somebody else's page that asks.
    assert browser.post("/sign-out").status_code == 403
    assert hash_secret(cookie) in hashes(control)
    with control.engine.connect() as connection:
        csrf = connection.execute(
            select(sessions.c.csrf).where(sessions.c.hash == hash_secret(cookie))
        ).scalar_one()
    answer = browser.post("/sign-out", data={"csrf_token": csrf})
    assert (answer.status_code, answer.location) == (303, "/sign-in")
    assert browser.cookie() is None
    assert hash_secret(cookie) not in hashes(control)
    thief = control.browser()
    thief.client.set_cookie("faregate_session", cookie)
    assert thief.get("/sign-in").status_code == 200


@pytest.mark.parametrize("email", ["nobody@acme.example", "no address", "", "x" * 5000])
def test_nobody_in_particular_and_a_wrong_password_look_alike(control: Control, email: str) -> None:
    known = control.browser().sign_in(control.user(), "wrong horse battery")
    unknown = control.browser().sign_in(email, "wrong horse battery")
    assert known.status_code == unknown.status_code == 401
    said = re.compile(r'role="alert"><div>([^<]+)')
    assert said.findall(known.text) == said.findall(unknown.text)
    assert "is wrong" in said.findall(known.text)[0]


def test_who_has_no_account_costs_the_same_hash(
    control: Control, monkeypatch: pytest.MonkeyPatch
) -> None:
    hashed: list[str] = []

    def check(stored: str, given: str) -> bool:
        hashed.append(stored.split("$")[0])
        return check_password_hash(stored, given)

    monkeypatch.setattr("gateway.adapters.passwords.check_password_hash", check)
    control.browser().sign_in("nobody@acme.example")
    control.browser().sign_in(control.user(), "wrong horse battery")
    assert hashed == [METHOD] * 2


def test_a_disabled_account_and_one_of_a_team_that_is_gone_do_not_sign_in(
    control: Control,
) -> None:
    email = control.user()
    control.accounts.disable(BY, email)
    assert control.browser().sign_in(email).status_code == 401
    control.accounts.enable(BY, email)
    assert control.browser().sign_in(email).status_code == 303


def test_an_account_without_a_password_has_none_that_fits(control: Control) -> None:
    control.accounts.create(BY, "sso@acme.example", Role.ADMIN)
    for password in ("", "None", PASSWORD):
        assert control.browser().sign_in("sso@acme.example", password).status_code == 401


@pytest.mark.parametrize("token", [None, "", "x", "other browser's"])
def test_a_form_of_another_page_signs_nobody_in(control: Control, token: str | None) -> None:
    email, browser = control.user(), control.browser()
    browser.get("/sign-in")
    if token == "other browser's":
        token = form_token(control.browser().get("/sign-in").text)
    form = {"email": email, "password": PASSWORD}
    answer = browser.post("/sign-in", data=form if token is None else {**form, "csrf_token": token})
    assert answer.status_code == 403
    assert browser.cookie() is None


def test_a_browser_without_cookies_is_told(control: Control) -> None:
    token = form_token(control.browser().get("/sign-in").text)
    form = {"email": control.user(), "password": PASSWORD, "csrf_token": token}
    answer = control.browser().post("/sign-in", data=form)
    assert answer.status_code == 403
    assert "cookies are off" in answer.text


def test_an_address_is_tried_ten_times(control: Control) -> None:
    email = control.user()
    for number in range(10):
        tried = control.browser(f"192.0.2.{number}").sign_in(email, "wrong horse battery")
        assert tried.status_code == 401
    # The right password does not help now, nor another network; another account is untouched.
    refused = control.browser("192.0.2.99").sign_in(email.upper())
    assert refused.status_code == 429
    assert 0 < int(refused.headers["Retry-After"]) <= 900
    assert "Too many tries to sign in with this e-mail address" in refused.text
    assert "Try again in 15 minutes" in refused.text
    assert control.browser("192.0.2.99").sign_in(control.user()).status_code == 303


def test_success_starts_the_count_again(control: Control) -> None:
    email = control.user()
    for _ in range(3):
        for _ in range(6):
            control.browser("198.51.100.1").sign_in(email, "wrong horse battery")
        assert control.browser("198.51.100.1").sign_in(email).status_code == 303


def test_a_network_address_is_tried_a_hundred_times(
    control: Control, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.adapters.sign_in_limits.ADDRESS_TRIES", 3)
    for number in range(3):
        control.browser("203.0.113.5").sign_in(f"{number}@acme.example")
    refused = control.browser("203.0.113.5").sign_in(control.user())
    assert refused.status_code == 429
    assert "this address" in refused.text
    assert control.browser("203.0.113.6").sign_in(control.user()).status_code == 303


def test_nothing_is_tried_that_cannot_be_counted(
    control: Control, monkeypatch: pytest.MonkeyPatch
) -> None:
    email, browser = control.user(), control.browser()
    page = browser.get("/sign-in")
    from gateway.adapters.redis_counters import StoreDown
    from gateway.adapters.sign_in_limits import SignInLimits

    def down(*_: object) -> None:
        raise StoreDown("gone")

    monkeypatch.setattr(SignInLimits, "count", down)
    form = {"email": email, "password": PASSWORD, "csrf_token": form_token(page.text)}
    answer = browser.post("/sign-in", data=form)
    assert answer.status_code == 503
    assert "Redis" in answer.text


def test_what_was_typed_is_text_on_the_page_and_the_password_is_not_there(
    control: Control,
) -> None:
    answer = control.browser().sign_in('"><script>x</script>', "wrong-horse-battery")
    assert "<script>" not in answer.text
    assert "&lt;script&gt;" in answer.text
    assert "wrong-horse-battery" not in answer.text


def test_a_form_that_anybody_may_send_is_small(control: Control) -> None:
    answer = control.browser().post("/sign-in", data={"email": "x" * 20_000})
    assert answer.status_code == 413


def test_signing_in_is_in_the_audit_log(control: Control) -> None:
    email = control.user(Role.FINANCE)
    control.browser("192.0.2.44").sign_in(email)
    (entry,) = entries(control.engine, Filters(actor=f"user:{email}", action="sign_in")).entries
    assert (entry.role, entry.address) == ("finance", "192.0.2.44")
    assert entry.after == {"how": "password"}


def test_without_a_provider_there_is_none_to_sign_in_by(control: Control) -> None:
    assert "/sign-in/oidc" not in control.browser().get("/sign-in").text
    for path in ("/sign-in/oidc", "/sign-in/oidc/callback"):
        assert control.browser().get(path).status_code == 404
