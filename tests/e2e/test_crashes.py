"""What breaks in the middle of a request says where, and not what the request was.

A gateway in which the code of one step fails with the client's own words in its error, as errors
of parsers and of tables do: in a request, in a greenlet and in a thread.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from uuid import uuid4

import pytest

from tests.e2e.provider import until
from tests.e2e.rig import PROVIDER_KEY, Rig, Tenant
from tests.e2e.traffic import Caller
from tests.processes import Running

BROKEN_GATEWAY = """
from gevent import monkey
monkey.patch_all()
import threading
import gevent
import gateway.server
from gateway.adapters.tokenizer import Tokenizer
from gateway.adapters.upstream import Upstream

count, send = Tokenizer.count, Upstream.send

def broken_count(self, text, *rest, **named):
    if "break-counting" in text:
        raise KeyError(text)
    if "break-a-greenlet" in text:
        gevent.spawn(fail, text)
    if "break-a-thread" in text:
        monkey.get_original("threading", "Thread")(target=fail, args=(text,)).start()
    return count(self, text, *rest, **named)

def fail(text):
    raise ValueError(text)

def broken_send(self, path, body, *rest, **named):
    if b"break-sending" in (body or b""):
        raise RuntimeError(body, self._head)
    return send(self, path, body, *rest, **named)

Tokenizer.count, Upstream.send = broken_count, broken_send
gateway.server.main()
"""


@pytest.fixture(scope="module")
def broken(rig: Rig) -> Iterator[tuple[Running, int]]:
    """A gateway process of the rig's deployment, and its port."""
    environment = {**rig.environment, "FAREGATE_LOG_LEVEL": "debug", "FAREGATE_WORKERS": "1"}
    with contextlib.closing(
        Running([sys.executable, "-c", BROKEN_GATEWAY], env=environment, cwd=rig.folder)
    ) as found:
        line = found.wait_for_line(r"faregate: listening on http://127\.0\.0\.1:(\d+)/v1")
        yield found, int(line[1])


@pytest.fixture(scope="module")
def tenant(rig: Rig) -> Tenant:
    return rig.tenant(10**12)


@pytest.mark.parametrize(
    ("breaks", "event", "named"),
    [
        ("break-counting", "request.failed", "KeyError"),
        ("break-sending", "request.failed", "RuntimeError"),
        ("break-a-greenlet", "greenlet.failed", "ValueError"),
        ("break-a-thread", "thread.failed", "ValueError"),
    ],
)
def test_a_traceback_has_nothing_of_the_request(
    broken: tuple[Running, int], tenant: Tenant, breaks: str, event: str, named: str
) -> None:
    gateway, port = broken
    canary = f"canary-{uuid4().hex}"
    already = len(gateway.stderr)
    caller = Caller(port, tenant.key.secret)
    reply = caller.chat(f"{canary} {breaks} {tenant.key.secret}", metadata={"a": canary})
    assert reply.status == (500 if event == "request.failed" else 200)
    until(lambda: event in gateway.stderr[already:], 10, f"{event} to be logged")
    written = gateway.stdout + gateway.stderr
    assert named in gateway.stderr[already:]
    for secret in (canary, tenant.key.secret, PROVIDER_KEY):
        assert secret not in written
        assert reply.status == 200 or secret.encode() not in reply.body


def test_what_no_http_is_made_of_is_not_written_down(
    broken: tuple[Running, int], tenant: Tenant
) -> None:
    """A body longer than its announced length: the rest of it is read as the next request."""
    gateway, port = broken
    canary = f"canary-{uuid4().hex}"
    body = f'{{"model": "gpt-99"}}   {canary} is what I ask\r\n\r\n'
    head = (
        "POST /v1/chat/completions HTTP/1.1\r\nhost: gateway\r\n"
        f"authorization: Bearer {tenant.key.secret}\r\ncontent-type: application/json\r\n"
        f"content-length: 19\r\n\r\n"
    )
    caller = Caller(port, tenant.key.secret)
    reply = caller.raw((head + body).encode())
    assert b"HTTP/1.1 400 " in reply
    for line in (f"x-{canary}\r\n", f"x-a: {canary}\x00\r\n", f"{canary} /x HTTP/9\r\n"):
        assert caller.raw(f"GET /v1/models HTTP/1.1\r\n{line}\r\n".encode())
    assert "client.sends_no_http" in gateway.stderr
    assert canary not in gateway.stdout + gateway.stderr
