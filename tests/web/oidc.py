"""The way to the identity provider and back, as a browser goes it."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

from werkzeug.test import TestResponse

from gateway.adapters.accounts import User
from tests.web.control import Browser, Control
from tests.web.oidc_provider import Provider


def somebody(**claims: Any) -> dict[str, Any]:
    email = f"{uuid4().hex[:8]}@acme.example"
    return {"sub": f"sub-{email}", "email": email, "groups": ["platform"], **claims}


def begin(browser: Browser, wanted: str = "/budgets") -> str:
    """Where the browser is sent to sign in."""
    answer = browser.get("/sign-in/oidc", query_string={"next": wanted})
    assert answer.status_code == 303
    return str(answer.location)


def come_back(browser: Browser, address: str) -> TestResponse:
    split = urlsplit(address)
    assert f"{split.scheme}://{split.netloc}{split.path}" == (
        "http://localhost/sign-in/oidc/callback"
    )
    return browser.get(f"{split.path}?{split.query}")


def sign_in(control: Control, provider: Provider, person: dict[str, Any]) -> TestResponse:
    browser = control.browser()
    return come_back(browser, provider.authorize(begin(browser), **person))


def refused(answer: TestResponse, *said: str) -> None:
    assert answer.status_code == 403
    assert not any("faregate_session=" in c for c in answer.headers.getlist("Set-Cookie"))
    for text in said:
        assert text in answer.text, answer.text


def account(control: Control, email: str) -> User | None:
    return next((user for user in control.accounts.users() if user.email == email), None)
