"""A change of a budget or a price counts on every replica at once: several gateway processes, each
with workers, changed through the admin API of one of them and by a file."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from gateway.adapters.admin_tokens import AdminTokens
from gateway.core.roles import Principal, Role
from tests.e2e.rig import Rig, Tenant
from tests.e2e.test_revocation import LISTENING
from tests.e2e.traffic import Caller, Reply, at_once
from tests.processes import Running

MODEL = "gpt-4o-mini"
CLI = Principal("cli:tests", Role.ADMIN)


@dataclass(frozen=True)
class Deployment:
    """Two gateways of two workers, and a program with an admin token at the first."""

    rig: Rig
    ports: tuple[int, int]
    admin: Caller


@pytest.fixture
def deployment(make_rig: Callable[..., Rig]) -> Iterator[Deployment]:
    """One of its own: other tests know what models cost."""
    rig = make_rig()
    token = AdminTokens(rig.engine).create(CLI, "replicas", Role.ADMIN)
    command = [sys.executable, "-m", "gateway.server"]
    with contextlib.ExitStack() as stack:
        other = Running(command, env=rig.environment, cwd=rig.folder)
        stack.callback(other.kill_group)
        port = int(other.wait_for_line(LISTENING)[1])
        yield Deployment(rig, (rig.port, port), Caller(rig.port, token.secret))


def ask(admin: Caller, method: str, path: str, body: Any = None) -> Any:
    """What the admin API answers; it must not refuse."""
    raw = None if body is None else json.dumps(body).encode()
    reply = admin.request(method, f"/admin/api/v1{path}", raw, {"if-match": "*"})
    assert reply.status in (200, 201), reply.body
    return reply.json


def by_api(at: Deployment, tenant: Tenant, limit: str, price: str) -> None:
    """Set the tenant's budget, and what a million tokens cost, through the admin API."""
    (budget,) = ask(at.admin, "GET", f"/budgets?client_id={tenant.id}")["data"]
    ask(at.admin, "PATCH", f"/budgets/{budget['id']}", {"limit_usd": limit})
    rates = {"input": price, "output": price}
    ask(at.admin, "POST", "/prices", {"model": MODEL, "rates": rates})


def by_file(at: Deployment, tenant: Tenant, limit: str, price: str) -> None:
    """The same by `faregate apply`."""
    file = at.rig.folder / "gateway.toml"
    file.write_text(
        f"""
        [budgets."{tenant.budget}"]
        limit_usd = "{limit}"
        window = "total"
        [[prices]]
        model = "{MODEL}"
        valid_from = 2026-01-01T00:00:00Z
        tiers.default = {{ input = "{price}", output = "{price}" }}
        """
    )
    command = [sys.executable, "-m", "gateway.cli.main", "apply", str(file), "--yes"]
    applying = Running(command, env=at.rig.environment, cwd=at.rig.folder)
    try:
        assert applying.process.wait(60) == 0, applying.stderr
    finally:
        applying.close()


def asked(callers: list[Caller]) -> list[Reply]:
    """Several answers of each, so that every worker of each replica is asked."""

    def call(number: int) -> Reply:
        return callers[number % len(callers)].chat("hi", model=MODEL, max_completion_tokens=5)

    return at_once(8 * len(callers), call, 4)


@pytest.mark.parametrize("change", [by_api, by_file])
def test_a_budget_and_a_price_count_on_every_replica_with_the_next_request(
    deployment: Deployment, change: Callable[[Deployment, Tenant, str, str], None]
) -> None:
    """The promise is a second. What admits a request compares the version of its policy with the
    one in force, so the very next request is decided by the change, whoever serves it."""
    tenant = deployment.rig.tenant(10**12)
    callers = [Caller(port, tenant.key.secret) for port in deployment.ports]

    def costs() -> set[str]:
        replies = asked(callers)
        assert {reply.status for reply in replies} == {200}
        return {reply.headers["x-faregate-cost-usd"] for reply in replies}

    before = costs()
    change(deployment, tenant, "500.00", "20")
    dear = costs()
    assert min(map(float, dear)) > 10 * max(map(float, before))
    change(deployment, tenant, "0.00", "40")
    replies = asked(callers)
    assert {(reply.status, reply.error["code"]) for reply in replies} == {
        (429, "insufficient_quota")
    }
    change(deployment, tenant, "500.00", "20")
    assert costs() == dear
