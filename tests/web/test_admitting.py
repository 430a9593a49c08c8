from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from flask import Flask
from sqlalchemy import select
from werkzeug.exceptions import RequestEntityTooLarge

import gateway.web
from gateway.adapters.directory import Directory
from gateway.adapters.refusal_counts import RefusalCounts
from gateway.adapters.rollup_tables import hourly_refusals
from gateway.core.bounds import Bound
from gateway.core.errors import ApiError, BadRequest, Forbidden, OverBudget, Unauthorized
from gateway.core.policy import Policy
from gateway.exchange import Exchange
from gateway.web.admitting import admitted
from gateway.web.current import Services
from tests.adapters.provider_socket import SocketProvider, Talk
from tests.paid_path import LIMIT_NANO, PaidPath, open_paid_path


@pytest.fixture
def path(redis_url: str, sqlite_url: str) -> Iterator[PaidPath]:
    def never(talk: Talk) -> None:
        raise AssertionError(f"the provider was asked: {talk.request()!r}")

    with SocketProvider(never) as provider:
        yield open_paid_path(redis_url, sqlite_url, provider.port)


class Asked:
    """Requests of the one client, and what is counted of them."""

    def __init__(self, path: PaidPath) -> None:
        self.path = path
        self.refusals = RefusalCounts(path.engine)
        self.at = cast(Services, SimpleNamespace(gate=path.gate, refusals=self.refusals))

    def admit(self, prepare: Any, secret: str | None = None, **headers: str) -> Any:
        headers["Authorization"] = f"Bearer {secret or self.path.secret}"
        app = Flask("test")
        app.config["MAX_CONTENT_LENGTH"] = 1000
        with app.test_request_context(method="POST", headers=headers):
            return admitted(self.at, prepare)

    def counted(self) -> list[tuple[int, int, int, str, int]]:
        self.refusals.flush()
        table = hourly_refusals.c
        columns = (table.team_id, table.client_id, table.budget_id, table.code, table.requests)
        with self.path.engine.connect() as connection:
            return [tuple(row) for row in connection.execute(select(*columns))]


@pytest.fixture
def asked(path: PaidPath) -> Asked:
    return Asked(path)


def raising(error: Exception) -> Any:
    def prepare(_policy: Policy) -> Exchange:
        raise error

    return prepare


def test_what_is_admitted_is_not_counted_and_has_its_tags(asked: Asked) -> None:
    Directory(asked.path.engine).add_tag_key("project")
    asked.path.budgets.publish(Directory(asked.path.engine).version())
    _, hold = asked.admit(asked.path.exchange, **{"X-Faregate-Tags": "project=alpha, env=prod"})
    assert b'"tags":{"project":"alpha"}' in hold.context
    assert asked.counted() == []


def test_a_budget_that_refuses_is_counted_by_its_id(asked: Asked) -> None:
    def dear(policy: Policy) -> Exchange:
        return asked.path.exchange(policy, bound=Bound(input_tokens=1, fixed_nano=LIMIT_NANO + 1))

    for _ in range(2):
        with pytest.raises(OverBudget):
            asked.admit(dear)
    assert asked.counted() == [(1, 1, 1, "insufficient_quota", 2)]


def test_what_is_refused_before_it_is_bounded_is_counted(asked: Asked) -> None:
    error = Forbidden("no", code="model_not_allowed")
    with pytest.raises(Forbidden) as refused:
        asked.admit(raising(error))
    assert refused.value is error
    assert asked.counted() == [(1, 1, 0, "model_not_allowed", 1)]


def test_a_malformed_header_is_a_refusal(asked: Asked) -> None:
    with pytest.raises(BadRequest, match="x-faregate-tags cannot be read"):
        asked.admit(asked.path.exchange, **{"X-Faregate-Tags": "project"})
    assert asked.counted() == [(1, 1, 0, "invalid_request_error", 1)]
    assert asked.path.counters() == (0, 0)
    assert asked.path.settled()


def test_a_body_that_is_too_large_is_counted_too(asked: Asked) -> None:
    with pytest.raises(RequestEntityTooLarge):
        asked.admit(raising(RequestEntityTooLarge()))
    assert asked.counted() == [(1, 1, 0, "request_too_large", 1)]


@pytest.mark.parametrize(
    ("error", "secret"),
    [(Unauthorized("no", code="key_revoked"), None), (ApiError("no"), "fg-unknown")],
)
def test_whoever_has_no_good_key_is_nobody_to_count(
    asked: Asked, error: ApiError, secret: str | None
) -> None:
    with pytest.raises(type(error)):
        asked.admit(raising(error), secret)
    assert asked.counted() == []


def test_no_route_is_admitted_elsewhere() -> None:
    """Its tags would be lost, and its refusals not counted."""
    for file in Path(gateway.web.__path__[0]).rglob("*.py"):
        imported = {
            alias.name
            for node in ast.walk(ast.parse(file.read_text()))
            if isinstance(node, ast.ImportFrom) and node.module == "gateway.admission"
            for alias in node.names
        }
        assert "admit" not in imported or file.name == "admitting.py", file
