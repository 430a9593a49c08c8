"""The application with people in it, for tests of who may use the control plane."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from gateway.adapters.accounts import Accounts
from gateway.adapters.admin_tokens import AdminTokens
from gateway.adapters.directory import Directory
from gateway.adapters.passwords import hash_password
from gateway.adapters.policy_loader import load_policy
from gateway.adapters.redis_budgets import RedisBudgets, connect
from gateway.adapters.redis_keys import RedisKeys
from gateway.app import create_app
from gateway.core.roles import Principal, Role
from gateway.settings import Settings
from tests.databases import open_migrated

PASSWORD = "correct horse battery"
BY = Principal("cli:tests", Role.ADMIN)


class Control:
    """One deployment. Tests make people of their own, and share it."""

    def __init__(
        self, folder: Path, redis_url: str, *, database_url: str | None = None, **settings: Any
    ) -> None:
        url = database_url or f"sqlite:///{folder / f'{uuid4().hex}.db'}"
        prefix = f"control-{uuid4().hex[:8]}"
        self.engine = open_migrated(url)
        self.directory = Directory(self.engine)
        self.directory.initialise("acme")
        self.budgets = RedisBudgets(connect(redis_url, 3.0), RedisKeys(prefix), 60)
        self.budgets.publish(self.directory.version())
        self.accounts = Accounts(self.engine)
        self.tokens = AdminTokens(self.engine)
        self.settings = Settings(
            redis_url=redis_url, redis_prefix=prefix, database_url=url, **settings
        )
        self.app = create_app(self.settings)
        self._hash = hash_password(PASSWORD)

    def publish(self) -> None:
        """Have the application see what changed in the directory, as its greenlets would."""
        self.budgets.publish(self.directory.version())
        self.app.extensions["faregate"].gate.policies.current = load_policy(self.engine)

    def team(self) -> str:
        """A new team's name."""
        name = f"team-{uuid4().hex[:8]}"
        self.directory.create_team(name)
        return name

    def user(self, role: Role = Role.ADMIN, team: str | None = None) -> str:
        """A new person's e-mail address; the password is PASSWORD."""
        email = f"{uuid4().hex[:8]}@acme.example"
        self.accounts.create(BY, email, role, team=team, password_hash=self._hash)
        return email

    def browser(self, address: str = "127.0.0.1") -> Browser:
        """A browser that nobody has used yet."""
        return Browser(self.app, address)

    def signed_in(self, role: Role = Role.ADMIN, team: str | None = None) -> Browser:
        """A browser that a new person has signed in with."""
        browser = self.browser()
        assert browser.sign_in(self.user(role, team)).status_code == 303
        return browser


class Browser:
    """Keeps cookies, and fills in the sign-in form."""

    def __init__(self, app: Flask, address: str) -> None:
        self.client: FlaskClient = app.test_client()
        self._address = {"REMOTE_ADDR": address}

    def get(self, path: str, **more: Any) -> TestResponse:
        return self.client.get(path, environ_overrides=self._address, **more)

    def post(self, path: str, **more: Any) -> TestResponse:
        return self.client.post(path, environ_overrides=self._address, **more)

    def sign_in(self, email: str, password: str = PASSWORD, **fields: str) -> TestResponse:
        """Open the form and send it."""
        token = form_token(self.get("/sign-in").text)
        form = {"email": email, "password": password, "csrf_token": token, **fields}
        return self.post("/sign-in", data=form)

    def cookie(self, name: str = "faregate_session", path: str = "/") -> str | None:
        """The value of a cookie that the browser has."""
        found = self.client.get_cookie(name, path=path)
        return None if found is None else found.value


def form_token(page: str) -> str:
    """What the form of a page carries against forgery."""
    found = re.search(r'name="csrf_token" value="([^"]+)"', page)
    assert found is not None, page
    return found[1]


@contextmanager
def control(folder: Path, redis_url: str, **settings: Any) -> Iterator[Control]:
    """A deployment, ended with the context."""
    found = Control(folder, redis_url, **settings)
    yield found
    found.engine.dispose()
    found.budgets.redis.close()
