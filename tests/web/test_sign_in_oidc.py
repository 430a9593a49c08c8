"""Signing in by an identity provider, against a real one; and what attackers would try."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
import time_machine
from sqlalchemy import func, select

from gateway.adapters.audit_log import Filters, entries
from gateway.adapters.control_tables import pending_sign_ins, sessions
from gateway.adapters.directory import now
from gateway.core.roles import Role
from tests.web.control import BY, PASSWORD, Control
from tests.web.control import control as deployment
from tests.web.oidc import account, begin, come_back, refused, sign_in, somebody
from tests.web.oidc_provider import Provider


def count_of(oidc_control: Control, table: Any) -> int:
    with oidc_control.engine.connect() as connection:
        query = select(func.count()).select_from(table)
        return int(connection.execute(query).scalar_one())


# How it should go


def test_the_form_offers_the_provider(oidc_control: Control, provider: Provider) -> None:
    page = oidc_control.browser().get("/sign-in?next=/teams/3").text
    assert 'href="/sign-in/oidc?next=%2Fteams%2F3"' in page
    assert "Sign in with 127.0.0.1" in page


@pytest.mark.parametrize(
    ("groups", "role"),
    [
        (["platform"], Role.ADMIN),
        (["staff", "auditors"], Role.FINANCE),
        (["money", "platform"], Role.ADMIN),
        ("money", Role.FINANCE),
    ],
)
def test_the_first_sign_in_makes_an_account_with_the_role_of_the_groups(
    oidc_control: Control, provider: Provider, groups: object, role: Role
) -> None:
    person = somebody(name="Ann Example", groups=groups)
    browser = oidc_control.browser()
    answer = come_back(browser, provider.authorize(begin(browser, "/teams?x=1"), **person))
    assert (answer.status_code, answer.location) == (303, "/teams?x=1")
    user = account(oidc_control, person["email"])
    assert user is not None
    assert (user.role, user.name, user.from_provider) == (role, "Ann Example", True)
    assert not user.has_password
    assert browser.get("/sign-in").status_code == 303
    written = entries(oidc_control.engine, Filters(actor=f"user:{person['email']}")).entries
    assert [(entry.action, entry.role) for entry in written] == [
        ("sign_in", role),
        ("create", role),
    ]


def test_one_comes_back_as_the_same_person_and_with_the_groups_of_today(
    oidc_control: Control, provider: Provider
) -> None:
    person = somebody()
    assert sign_in(oidc_control, provider, person).status_code == 303
    first = account(oidc_control, person["email"])
    # The address at the provider may change: who somebody is does not hang on it.
    assert sign_in(oidc_control, provider, {**person, "groups": ["money"]}).status_code == 303
    again = account(oidc_control, person["email"])
    assert first is not None
    assert again is not None
    assert (again.id, again.role) == (first.id, Role.FINANCE)
    assert sign_in(oidc_control, provider, {**person, "groups": []}).status_code == 403


def test_the_client_proves_itself_in_the_way_that_the_provider_takes(
    oidc_control: Control, provider: Provider
) -> None:
    assert sign_in(oidc_control, provider, somebody()).status_code == 303
    assert "authorization" in provider.asked[-1][2]
    provider.discovery = {"token_endpoint_auth_methods_supported": ["client_secret_post"]}
    assert sign_in(oidc_control, provider, somebody()).status_code == 303
    assert "authorization" not in provider.asked[-1][2]


def test_an_owner_is_invited_by_hand_and_needs_no_group(
    oidc_control: Control, provider: Provider
) -> None:
    team, person = oidc_control.team(), somebody(groups=[])
    oidc_control.accounts.create(BY, person["email"], Role.OWNER, team=team)
    assert sign_in(oidc_control, provider, person).status_code == 303
    user = account(oidc_control, person["email"])
    assert user is not None
    assert (user.role, user.team_name, user.from_provider) == (Role.OWNER, team, True)
    assert sign_in(oidc_control, provider, person).status_code == 303


# Who is not let in


@pytest.mark.parametrize("groups", [[], ["staff"], "platforms", None, 7, {"platform": True}])
def test_who_is_in_no_group_gets_no_account(
    oidc_control: Control, provider: Provider, groups: object
) -> None:
    person = somebody(groups=groups)
    refused(sign_in(oidc_control, provider, person), "None of your groups", "FAREGATE_OIDC_ADMIN")
    assert account(oidc_control, person["email"]) is None


def test_a_disabled_account_stays_out(oidc_control: Control, provider: Provider) -> None:
    person = somebody()
    assert sign_in(oidc_control, provider, person).status_code == 303
    oidc_control.accounts.disable(BY, person["email"])
    refused(sign_in(oidc_control, provider, person), "Your account is disabled")


def test_an_address_alone_takes_over_no_account(oidc_control: Control, provider: Provider) -> None:
    local = oidc_control.user(Role.FINANCE)
    refused(sign_in(oidc_control, provider, somebody(email=local)), "is another one")
    first = somebody()
    assert sign_in(oidc_control, provider, first).status_code == 303
    refused(sign_in(oidc_control, provider, {**first, "sub": "somebody-else"}), "is another one")
    assert oidc_control.browser().sign_in(local, PASSWORD).status_code == 303


@pytest.mark.parametrize("verified", [False, None, "true", 1, "yes"])
def test_an_address_must_be_verified(
    oidc_control: Control, provider: Provider, verified: object
) -> None:
    person = somebody(email_verified=verified)
    refused(sign_in(oidc_control, provider, person), "verified")
    assert account(oidc_control, person["email"]) is None


@pytest.mark.parametrize("email", ["", "none", None, 5, "a@b@c", "x" * 200 + "@acme.example"])
def test_an_address_must_be_one(oidc_control: Control, provider: Provider, email: object) -> None:
    refused(sign_in(oidc_control, provider, somebody(email=email)), "address")


# Answers that are not right


def test_a_sign_in_is_answered_once(oidc_control: Control, provider: Provider) -> None:
    browser = oidc_control.browser()
    address = provider.authorize(begin(browser), **somebody())
    cookie = browser.cookie("faregate_oidc", "/sign-in")
    assert come_back(browser, address).status_code == 303
    before = count_of(oidc_control, sessions)
    # As who kept both the address and the cookie would.
    browser = oidc_control.browser()
    browser.client.set_cookie("faregate_oidc", cookie or "", path="/sign-in")
    refused(come_back(browser, address), "over, or was finished before")
    assert count_of(oidc_control, sessions) == before


def test_a_failed_answer_uses_the_sign_in_up(oidc_control: Control, provider: Provider) -> None:
    browser = oidc_control.browser()
    address = provider.authorize(begin(browser), **somebody())
    refused(come_back(browser, address.replace("code=", "code=wrong")), "status 400")
    refused(come_back(browser, address), "over, or was finished before")


def test_a_sign_in_that_another_browser_began(oidc_control: Control, provider: Provider) -> None:
    """Else whoever sends a link signs its reader in, as somebody of the sender's choice."""
    attacker, reader = oidc_control.browser(), oidc_control.browser()
    address = provider.authorize(begin(attacker), **somebody())
    refused(come_back(reader, address), "not begun in this browser")
    begin(reader)
    refused(come_back(reader, address), "not begun in this browser")


@pytest.mark.parametrize("query", ["", "?code=x", "?state=x&code=x", "?error=access_denied"])
def test_answers_to_nothing(oidc_control: Control, provider: Provider, query: str) -> None:
    refused(oidc_control.browser().get(f"/sign-in/oidc/callback{query}"), "not begun")


def test_the_provider_says_no(oidc_control: Control, provider: Provider) -> None:
    browser = oidc_control.browser()
    asked = dict(parse_qsl(urlsplit(begin(browser)).query))
    evil = "%3Cscript%3E"
    answer = browser.get(f"/sign-in/oidc/callback?error={evil}&state={asked['state']}")
    refused(answer, "did not sign you in")
    assert "<script>" not in answer.text


def test_a_sign_in_waits_ten_minutes(oidc_control: Control, provider: Provider) -> None:
    began = now()
    with time_machine.travel(began, tick=False) as clock:
        browser = oidc_control.browser()
        address = provider.authorize(begin(browser), **somebody())
        clock.move_to(began + timedelta(minutes=10))
        refused(come_back(browser, address), "over")
        begin(browser)
        # What is over is swept away by who comes next.
        assert count_of(oidc_control, pending_sign_ins) == 1


def test_states_nonces_and_verifiers_are_never_the_same(
    oidc_control: Control, provider: Provider
) -> None:
    browser = oidc_control.browser()
    asked = [dict(parse_qsl(urlsplit(begin(browser)).query)) for _ in range(5)]
    for name in ("state", "nonce", "code_challenge"):
        assert len({one[name] for one in asked}) == 5
        assert all(len(one[name]) >= 43 for one in asked)


@pytest.mark.parametrize("wanted", ["//evil.example", "https://evil.example", "/\\evil.example"])
def test_one_does_not_come_back_to_another_site(
    oidc_control: Control, provider: Provider, wanted: str
) -> None:
    browser = oidc_control.browser()
    answer = come_back(browser, provider.authorize(begin(browser, wanted), **somebody()))
    assert (answer.status_code, answer.location) == (303, "/")


def test_beginning_is_limited(
    oidc_control: Control, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.adapters.sign_in_limits.ADDRESS_TRIES", 2)
    for _ in range(2):
        begin(oidc_control.browser("203.0.113.77"))
    assert oidc_control.browser("203.0.113.77").get("/sign-in/oidc").status_code == 429


# Providers that do not answer as one should


@pytest.mark.parametrize(
    ("discovery", "said"),
    [
        ({"issuer": "https://evil.example"}, "FAREGATE_OIDC_ISSUER"),
        ({"authorization_endpoint": None}, "authorization_endpoint"),
        ({"authorization_endpoint": "javascript:alert(1)"}, "authorization_endpoint"),
        ({"authorization_endpoint": "file:///etc/passwd"}, "authorization_endpoint"),
    ],
)
def test_a_description_that_is_not_right(
    oidc_control: Control, provider: Provider, discovery: dict[str, Any], said: str
) -> None:
    provider.discovery = discovery
    refused(oidc_control.browser().get("/sign-in/oidc"), said)


@pytest.mark.parametrize(
    "answer",
    [
        (200, b"{}"),
        (200, b"[]"),
        (200, b"not json"),
        (200, b'{"id_token": 5}'),
        (200, b'{"id_token": "a.b"}'),
        (200, b'{"id_token": ""}'),
        (200, b'{"id_token": "' + b"x" * 2_000_000 + b'"}'),
        (500, b"{}"),
        (302, b"{}"),
    ],
    ids=lambda answer: f"{answer[0]}-{answer[1][:20]!r}",
)
def test_a_token_endpoint_that_answers_otherwise(
    oidc_control: Control, provider: Provider, answer: tuple[int, bytes]
) -> None:
    provider.token_answer = lambda _token: answer
    refused(sign_in(oidc_control, provider, somebody()), "You could not be signed in")


def test_a_provider_that_is_away(
    shared_redis_url: str, tmp_path_factory: pytest.TempPathFactory, free_port: int
) -> None:
    settings = {"oidc_issuer": f"http://127.0.0.1:{free_port}", "oidc_client_id": "x"}
    folder = tmp_path_factory.mktemp("control")
    with deployment(folder, shared_redis_url, **settings) as control:
        refused(control.browser().get("/sign-in/oidc"), "cannot be asked")
        # Passwords do as before.
        assert control.browser().sign_in(control.user()).status_code == 303
