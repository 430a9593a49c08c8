"""Programs that ask the admin API, each in a role of its own."""

from __future__ import annotations

import json
from typing import Any
from uuid import uuid4

from werkzeug.test import TestResponse

from gateway.core.roles import Role
from tests.web.control import BY, Control

PREFIX = "/admin/api/v1"


class Reply:
    """What was answered."""

    def __init__(self, answer: TestResponse) -> None:
        self.status = answer.status_code
        self.headers = answer.headers
        self.json: Any = answer.get_json()

    @property
    def etag(self) -> str:
        """The ETag header, as If-Match takes it."""
        return self.headers["ETag"]

    @property
    def code(self) -> str:
        """The code of an error."""
        return str(self.json["error"]["code"])

    @property
    def message(self) -> str:
        """What an error says."""
        return str(self.json["error"]["message"])


class Asker:
    """A program with a credential."""

    def __init__(self, control: Control, secret: str) -> None:
        self._client = control.app.test_client()
        self._headers = {"Authorization": f"Bearer {secret}"}

    def ask(
        self, method: str, path: str, body: Any = None, *, seen: str | None = None, **query: Any
    ) -> Reply:
        headers = dict(self._headers) if seen is None else {**self._headers, "If-Match": seen}
        data = None if body is None else json.dumps(body)
        return Reply(
            self._client.open(
                PREFIX + path,
                method=method,
                data=data,
                content_type=None if data is None else "application/json",
                headers=headers,
                query_string=query,
            )
        )

    def get(self, path: str, **query: Any) -> Reply:
        return self.ask("GET", path, **query)

    def post(self, path: str, body: Any = None, seen: str | None = None) -> Reply:
        return self.ask("POST", path, body, seen=seen)

    def patch(self, path: str, body: Any, seen: str | None = "*") -> Reply:
        return self.ask("PATCH", path, body, seen=seen)

    def delete(self, path: str, seen: str | None = "*") -> Reply:
        return self.ask("DELETE", path, seen=seen)

    def made(self, path: str, body: Any) -> Any:
        """What was made; it must be."""
        reply = self.post(path, body)
        assert reply.status == 201, reply.json
        return reply.json


def asker(control: Control, role: Role = Role.ADMIN, team: str | None = None) -> Asker:
    """A program with a new admin token of a role."""
    return Asker(control, control.tokens.create(BY, "tests", role, team=team).secret)


def client_asker(control: Control, client: str) -> Asker:
    """A program with a new key of a client."""
    made = control.directory.create_key(client)
    control.publish()
    return Asker(control, made.secret)


def fresh(what: str) -> str:
    """A name that nothing has yet."""
    return f"{what}-{uuid4().hex[:8]}"
