"""Somebody who looks at the pages, and the deployment that they are of."""

from __future__ import annotations

import html
import re
from dataclasses import dataclass
from typing import Any

from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import Engine
from werkzeug.test import TestResponse

from gateway.adapters.accounts import Accounts
from gateway.adapters.directory import Directory
from gateway.adapters.sessions import Sessions
from gateway.app import create_app
from gateway.core.roles import Principal, Role
from gateway.settings import Settings
from gateway.web.cookies import SESSION_COOKIE
from tests.databases import open_migrated

CLI = Principal("cli:root", Role.ADMIN)


class Visitor:
    """A signed-in browser without scripts."""

    def __init__(self, client: FlaskClient, csrf: str) -> None:
        self.client = client
        self.csrf = csrf

    def get(self, path: str, status: int = 200) -> str:
        """The page at ``path``, as text."""
        answer = self.client.get(path)
        assert answer.status_code == status, answer.text
        return answer.text

    def ask(self, path: str, **options: Any) -> TestResponse:
        """Whatever ``path`` answers."""
        return self.client.get(path, **options)

    def post(self, path: str, status: int = 303, /, **fields: Any) -> TestResponse:
        """Send a form as a page of the dashboard does."""
        answer = self.client.post(path, data={"csrf_token": self.csrf, **fields})
        assert answer.status_code == status, answer.text
        return answer

    def post_bare(self, path: str, **fields: Any) -> TestResponse:
        """Send a form that has no token."""
        return self.client.post(path, data=fields)

    def follow(self, answer: TestResponse) -> str:
        """The page that an answer sends to."""
        return self.get(answer.headers["Location"])

    def field(self, path: str, name: str) -> str:
        """The value of the hidden field or input ``name`` on the page at ``path``."""
        return value_of(self.get(path), name)


def value_of(page: str, name: str) -> str:
    """The value of the input ``name`` in the text of a page."""
    for tag in re.findall(r"<input[^>]*>", page):
        if f'name="{name}"' in tag:
            found = re.search(r'value="([^"]*)"', tag)
            return html.unescape(found[1]) if found else ""
    raise AssertionError(f"no input {name}")


def words(page: str) -> str:
    """The text of a page without its tags, single-spaced."""
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", page)).split())


@dataclass
class Site:
    """A deployment: teams blue and red, with clients blue-web and red-web and a key each."""

    app: Flask
    engine: Engine
    directory: Directory
    secrets: dict[str, str]
    """A key of each client, by its name."""

    def visitor(self, role: Role = Role.ADMIN, team: str | None = None) -> Visitor:
        """Somebody signed in as ``role``."""
        accounts, sessions = Accounts(self.engine), Sessions(self.engine)
        email = f"{role}@{team or 'acme'}.example"
        if accounts.find(email) is None:
            accounts.create(CLI, email, role, team=team)
        found = accounts.find(email)
        assert found is not None
        begun = sessions.begin(found[0], "127.0.0.1", "password")
        session = sessions.find(begun.cookie)
        assert session is not None
        client = self.app.test_client()
        client.set_cookie(SESSION_COOKIE, begun.cookie)
        return Visitor(client, session.csrf)


def open_site(redis_url: str, database_url: str) -> Site:
    """A fresh deployment over empty stores."""
    engine = open_migrated(database_url)
    directory = Directory(engine, CLI)
    directory.initialise("acme")
    secrets: dict[str, str] = {}
    for team in ("blue", "red"):
        directory.create_team(team)
        directory.create_client(team, f"{team}-web")
        secrets[f"{team}-web"] = directory.create_key(f"{team}-web", "first").secret
    app = create_app(Settings(redis_url=redis_url, database_url=database_url))
    return Site(app, engine, directory, secrets)
