from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask

from gateway.adapters.database import open_engine
from gateway.adapters.migrations import upgrade
from gateway.app import create_app
from gateway.settings import Settings
from gateway.web.descriptions.document import document


def served(app: Flask) -> Any:
    answer = app.test_client().get("/openapi.json")
    assert (answer.status_code, answer.content_type) == (200, "application/json")
    return answer.get_json()


def test_the_description_is_served_without_a_key(make_app: Callable[[], Flask]) -> None:
    app = make_app()
    assert served(app) == document(app.url_map, unknown_pass=True)


def test_it_is_made_once(make_app: Callable[[], Flask], monkeypatch: pytest.MonkeyPatch) -> None:
    app = make_app()
    first = served(app)
    # What is registered from here on is no longer looked at.
    monkeypatch.setattr("gateway.web.openapi.document", lambda *_args, **_options: {})
    assert served(app) == first


def test_it_says_what_the_deployment_does_with_unknown_fields(
    redis_url: str, sqlite_url: str
) -> None:
    upgrade(open_engine(sqlite_url))
    settings = Settings(redis_url=redis_url, database_url=sqlite_url, unknown_fields="refuse")
    found = served(create_app(settings))
    assert found["x-faregate-unknown-fields"] == "refused"
