from __future__ import annotations

import re

from gateway.adapters.accounts import Accounts
from gateway.adapters.admin_tokens import AdminTokens
from gateway.adapters.passwords import check_password
from gateway.core.roles import Role
from tests.web.dashboard.visitor import Site, words

PASSWORD = "correct horse battery"


def test_people_are_made_and_changed(any_site: Site) -> None:
    site, visitor = any_site, any_site.visitor()
    accounts = Accounts(site.engine)
    visitor.post(
        "/people/new", email="Bob@Acme.example", role="owner", team="blue", password=PASSWORD
    )
    found = accounts.find("bob@acme.example")
    assert found is not None
    user, stored = found
    assert (user.role, user.team_name) == (Role.OWNER, "blue")
    assert check_password(stored, PASSWORD)
    assert "bob@acme.example" in visitor.get("/people")
    path = f"/people/{user.id}/edit"
    visitor.post(path, do="role", role="finance")
    visitor.post(path, do="password", password=PASSWORD + "!")
    found = accounts.find("bob@acme.example")
    assert found is not None
    assert found[0].role is Role.FINANCE
    assert check_password(found[1], PASSWORD + "!")
    visitor.post(path, do="disable")
    assert accounts.find("bob@acme.example") is None
    visitor.post(path, do="enable")
    assert accounts.find("bob@acme.example") is not None


def test_what_is_wrong_with_an_account_is_said_and_no_password_comes_back(site: Site) -> None:
    visitor = site.visitor()
    page = visitor.post("/people/new", 422, email="nobody", role="admin", password=PASSWORD).text
    assert "is not an e-mail address" in words(page)
    assert PASSWORD not in page
    new = {"email": "b@x.example", "role": "owner"}
    page = visitor.post("/people/new", 422, **new).text
    assert 'id="team-error"' in page
    page = visitor.post(
        "/people/new", 422, email="b@x.example", role="admin", password="short"
    ).text
    assert "at least 12 characters" in words(page)
    page = visitor.post("/people/new", 422, email="admin@acme.example", role="admin").text
    assert 'id="email-error"' in page
    visitor.get("/people/99/edit", 404)


def test_nobody_disables_the_own_account(site: Site) -> None:
    visitor = site.visitor()
    me = next(u for u in Accounts(site.engine).users() if u.email == "admin@acme.example")
    path = f"/people/{me.id}/edit"
    assert "Disable the account" not in visitor.get(path)
    assert "your own account" in visitor.post(path, 422, do="disable").text
    assert "your own account" in visitor.post(path, 422, do="role", role="finance").text


def test_tokens_are_shown_once_and_revoked(site: Site) -> None:
    visitor = site.visitor()
    shown = visitor.post("/tokens/new", 200, name="export", role="finance", expires_days="90").text
    secret = re.search(r'<code id="secret">(fga-[^<]+)</code>', shown)
    assert secret is not None
    token = AdminTokens(site.engine).find(secret[1])
    assert token is not None
    assert token.role is Role.FINANCE
    page = visitor.get("/people")
    assert "export" in page
    assert secret[1] not in page
    visitor.post(f"/tokens/{token.id}/revoke")
    page = visitor.post(f"/tokens/{token.id}/revoke", 422).text
    assert "revoked already" in words(page)
    visitor.get("/tokens/99/revoke", 404)
    page = visitor.post("/tokens/new", 422, name="#", role="client").text
    assert 'id="name-error"' in page
    assert 'id="role-error"' in page


def test_tags_are_allowed_and_removed(site: Site) -> None:
    visitor = site.visitor()
    assert "No tag is allowed yet" in visitor.get("/tags")
    visitor.post("/tags", name="project")
    assert "Spend by project" in visitor.get("/tags")
    assert "allowed already" in words(visitor.post("/tags", 422, name="project").text)
    assert "cannot name a tag" in words(visitor.post("/tags", 422, name="Project X").text)
    assert visitor.ask("/tags?format=csv").text.startswith("name,created_at\r\nproject,")
    visitor.get("/tags/project/remove")
    visitor.post("/tags/project/remove")
    assert "No tag is allowed yet" in visitor.get("/tags")
    finance = site.visitor(Role.FINANCE)
    assert "Allow it" not in finance.get("/tags")
    finance.post("/tags", 403, name="x")
