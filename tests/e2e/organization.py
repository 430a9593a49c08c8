"""The official SDK with an admin token, and what our own records say of the same usage."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from openai import OpenAI
from sqlalchemy import select

from gateway.adapters.admin_tokens import AdminTokens
from gateway.adapters.tables import usage_records
from gateway.core.roles import Principal, Role
from tests.e2e.rig import Rig

CLI = Principal("cli:test", Role.ADMIN)
DAY = 86_400


def admin_token(rig: Rig, role: Role = Role.ADMIN, team: str | None = None) -> str:
    """The secret of a new admin token."""
    return AdminTokens(rig.engine).create(CLI, f"a token of {role}", role, team=team).secret


def admin_sdk(rig: Rig, role: Role = Role.ADMIN, team: str | None = None) -> OpenAI:
    """The SDK, unchanged, as an administrator of the organization."""
    return OpenAI(
        admin_api_key=admin_token(rig, role, team),
        base_url=f"http://127.0.0.1:{rig.port}/v1",
        max_retries=0,
        timeout=30,
    )


def since() -> int:
    """Yesterday, so that a test around midnight sees all of what it did."""
    return int(time.time()) // DAY * DAY - DAY


def results(ask: Callable[..., Any], **query: Any) -> list[Any]:
    """Every result of every bucket of every page."""
    return [result for bucket in buckets(ask, **query) for result in bucket.results]


def buckets(ask: Callable[..., Any], **query: Any) -> Iterator[Any]:
    """Every bucket of every page."""
    page = ask(**query)
    yield from page.data
    while page.has_more:
        page = ask(**query, page=page.next_page)
        yield from page.data


def records_of(rig: Rig, teams: Iterable[int]) -> Sequence[Any]:
    """Every usage record of ``teams``."""
    query = select(usage_records).where(usage_records.c.team_id.in_(list(teams)))
    with rig.engine.connect() as connection:
        return connection.execute(query).all()
