"""A key is revoked on every replica at once: several gateway processes, each with workers."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator

import pytest

from tests.e2e.rig import Rig
from tests.e2e.traffic import CHAT, Caller, Reply, at_once
from tests.processes import Running

LISTENING = r"faregate: listening on http://127\.0\.0\.1:(\d+)/v1"
REPLICAS = 3


@pytest.fixture(scope="module")
def ports(rig: Rig) -> Iterator[list[int]]:
    """Of the rig's own gateway, and of others beside it; two workers each."""
    command = [sys.executable, "-m", "gateway.server"]
    with contextlib.ExitStack() as stack:
        others = [
            Running(command, env=rig.environment, cwd=rig.folder) for _ in range(REPLICAS - 1)
        ]
        for other in others:
            stack.callback(other.kill_group)
        yield [rig.port, *(int(one.wait_for_line(LISTENING)[1]) for one in others)]


def asked(callers: list[Caller], path: str) -> list[Reply]:
    """Several answers of each, so that every worker of each replica is asked."""

    def ask(number: int) -> Reply:
        caller = callers[number % len(callers)]
        return caller.chat("hi") if path == CHAT else caller.get(path)

    return at_once(8 * len(callers), ask, 6)


@pytest.mark.parametrize("path", [CHAT, "/v1/models"])
def test_a_revoked_key_stops_on_every_replica_at_once(
    rig: Rig, ports: list[int], path: str
) -> None:
    """The promise is a second. What admits a request compares the version of its policy with the
    one in force, so the very next request is refused, whoever serves it."""
    for _ in range(2):
        tenant = rig.tenant()
        callers = [Caller(port, tenant.key.secret) for port in ports]
        assert {reply.status for reply in asked(callers, path)} == {200}
        rig.directory.revoke_key(tenant.key.id)
        rig.publish()
        replies = asked(callers, path)
        assert {(reply.status, reply.error["code"]) for reply in replies} == {(401, "key_revoked")}


def test_a_new_key_works_on_every_replica_at_once(rig: Rig, ports: list[int]) -> None:
    tenant = rig.tenant()
    callers = [Caller(port, tenant.key.secret) for port in ports]
    assert {reply.status for reply in asked(callers, "/v1/models")} == {200}
