"""Requests that one parser takes for one and another for two: the hidden one is never run.

Each carries a whole second request where a reader that frames it otherwise would find one. The
gateway answers at most once, refuses what is ambiguous, and closes the connection behind it, so
that nothing of it becomes a request of whoever uses the connection next (RFC 9112, 6.3 and 11.2).
"""

from __future__ import annotations

import contextlib
import json
import re
import socket

import pytest

from tests.e2e.rig import Rig, Tenant
from tests.e2e.traffic import CHAT, EMBEDDINGS, question

POST = f"POST {CHAT} HTTP/1.1"
CHUNKED = "transfer-encoding: chunked"


@pytest.fixture(scope="module")
def tenant(rig: Rig) -> Tenant:
    return rig.tenant(10**12)


def request(tenant: Tenant, *lines: str, body: bytes = b"", first: str = POST) -> bytes:
    """These header lines as they are, in this order, and this body."""
    head = [
        first,
        "host: gateway",
        f"authorization: Bearer {tenant.key.secret}",
        "content-type: application/json",
        *lines,
    ]
    return "\r\n".join(head).encode("latin-1") + b"\r\n\r\n" + body


def plain(tenant: Tenant, *lines: str, ask: str = "hi", first: str = POST) -> bytes:
    """A request that is served."""
    body = json.dumps(question(ask, max_completion_tokens=5)).encode()
    return request(tenant, f"content-length: {len(body)}", *lines, body=body, first=first)


def answers(reply: bytes) -> list[int]:
    """The statuses of all final answers in ``reply``."""
    found = [int(status) for status in re.findall(rb"HTTP/1\.1 (\d{3}) [A-Z]", reply)]
    return [status for status in found if status >= 200]


def charged(rig: Rig) -> int:
    """How many requests the provider has served by now."""
    rig.provider.quiet()
    found: int = rig.provider.totals()["requests"]
    return found


HIDDEN: dict[str, tuple[tuple[str, ...], bytes]] = {
    # Header lines, where {size} is the length of the hidden request and {all} that of the whole
    # body; and what stands before the hidden request.
    "a length before chunks": (("content-length: {all}", CHUNKED), b"0\r\n\r\n"),
    "chunks before a length": ((CHUNKED, "content-length: {all}"), b"0\r\n\r\n"),
    "chunks in capitals": (("content-length: {all}", "Transfer-Encoding: CHUNKED"), b"0\r\n\r\n"),
    "chunks behind spaces": (
        ("content-length: {all}", "transfer-encoding:   chunked "),
        b"0\r\n\r\n",
    ),
    "chunks behind a tab": (("content-length: {all}", "transfer-encoding:\tchunked"), b"0\r\n\r\n"),
    "chunks behind a vertical tab": (
        ("content-length: {all}", "transfer-encoding: \x0bchunked"),
        b"0\r\n\r\n",
    ),
    "chunks in quotes": (
        ("content-length: {all}", 'transfer-encoding: "chunked"'),
        b"0\r\n\r\n",
    ),
    "chunks with a space before the colon": (
        ("content-length: {all}", "transfer-encoding : chunked"),
        b"0\r\n\r\n",
    ),
    "chunks in a line behind a space": (
        ("content-length: {all}", " transfer-encoding: chunked"),
        b"0\r\n\r\n",
    ),
    "chunks in a folded line": (
        ("content-length: {all}", "x-a: b\r\n transfer-encoding: chunked"),
        b"0\r\n\r\n",
    ),
    "chunks on the next line": (
        ("content-length: {all}", "transfer-encoding:\r\n chunked"),
        b"0\r\n\r\n",
    ),
    "chunks behind a bare line feed": (
        ("content-length: {all}", "x-a: b\ntransfer-encoding: chunked"),
        b"0\r\n\r\n",
    ),
    "chunks behind a bare carriage return": (
        ("content-length: {all}", "x-a: b\rtransfer-encoding: chunked"),
        b"0\r\n\r\n",
    ),
    "chunks behind a NUL": (
        ("content-length: {all}", "x-a: b\x00transfer-encoding: chunked"),
        b"0\r\n\r\n",
    ),
    "chunks and identity": (
        ("content-length: {all}", "transfer-encoding: chunked, identity"),
        b"0\r\n\r\n",
    ),
    "chunks and identity on two lines": ((CHUNKED, "transfer-encoding: identity"), b"0\r\n\r\n"),
    "a coding of another name": (
        ("content-length: {all}", "transfer-encoding: xchunked"),
        b"0\r\n\r\n",
    ),
    "two lengths, the first of them 0": (("content-length: 0", "content-length: {size}"), b""),
    "two lengths, the last of them 0": (("content-length: {size}", "content-length: 0"), b""),
    "the same length twice": (("content-length: 0", "content-length: 0"), b""),
    "a list of lengths": (("content-length: 0, {size}",), b""),
    "a length with a sign": (("content-length: +0",), b""),
    "a length below zero": (("content-length: -{size}",), b""),
    "a length in hexadecimals": (("content-length: 0x0",), b""),
    "a length with an underscore": (("content-length: 0_0",), b""),
    "a length in other digits": (("content-length: \xb2",), b""),
    "a length with a space before the colon": (
        ("content-length : 0", "content-length: {size}"),
        b"",
    ),
    "a length behind a bare line feed": (("x-a: b\ncontent-length: 0",), b""),
    "a length in a folded line": (("content-length: {size}\r\n 0",), b""),
    "an empty name": ((": content-length", "content-length: 0"), b""),
    "a chunk size with a sign": ((CHUNKED,), b"+0\r\n\r\n"),
    "a chunk size below zero": ((CHUNKED,), b"-0\r\n\r\n"),
    "a chunk size in 0x": ((CHUNKED,), b"0x0\r\n\r\n"),
    "a chunk size with an underscore": ((CHUNKED,), b"0_0\r\n\r\n"),
    "a chunk size behind a space": ((CHUNKED,), b" 0\r\n\r\n"),
    "a chunk size that ends in a line feed": ((CHUNKED,), b"0\n\r\n"),
    "a chunk longer than its size": ((CHUNKED,), b"2\r\n{} \r\n0\r\n\r\n"),
    "a chunk without its line break": ((CHUNKED,), b"2\r\n{}0\r\n\r\n"),
    "a carriage return in a chunk's extension": ((CHUNKED,), b"0;a=\rb\r\n\r\n"),
    "a line feed in a chunk's extension": ((CHUNKED,), b"0;a=\nb\r\n\r\n"),
    "a NUL in a chunk's extension": ((CHUNKED,), b"0;a=\x00\r\n\r\n"),
    "a chunk's extension without end": ((CHUNKED,), b"0;a=" + b"a" * 200_000 + b"\r\n\r\n"),
    "a bare line feed among the trailers": ((CHUNKED,), b"0\r\na: b\nc: d\r\n\r\n"),
    "trailers without end": ((CHUNKED,), b"0\r\n" + b"a: b\r\n" * 400_000 + b"\r\n"),
    "a chunk size without end": ((CHUNKED,), b"0" * 200_000 + b"\r\n\r\n"),
}


@pytest.mark.parametrize("name", HIDDEN)
def test_a_hidden_request_is_never_run(rig: Rig, tenant: Tenant, name: str) -> None:
    lines, before = HIDDEN[name]
    hidden = plain(tenant, "connection: close")
    sizes = {"size": len(hidden), "all": len(before) + len(hidden)}
    sent = request(tenant, *(line.format(**sizes) for line in lines), body=before + hidden)
    already = charged(rig)
    reply = tenant.caller.raw(sent, half_close=True)
    assert len(answers(reply)) <= 1, reply
    assert all(400 <= status < 500 for status in answers(reply)), reply
    assert charged(rig) == already
    assert rig.gateway.process.poll() is None


def test_the_hidden_request_would_be_served_by_itself(rig: Rig, tenant: Tenant) -> None:
    """So that the test above can fail: behind an unambiguous end the second request is run."""
    first = request(tenant, CHUNKED, body=b"0\r\n\r\n")
    reply = tenant.caller.raw(first + plain(tenant, "connection: close"))
    assert answers(reply) == [400, 200]


def test_old_requests_have_no_chunks(rig: Rig, tenant: Tenant) -> None:
    """RFC 9112, 6.1: a message of HTTP/1.0 with Transfer-Encoding is framed wrongly."""
    body = b"0\r\n\r\n" + plain(tenant, "connection: close")
    already = charged(rig)
    first = f"POST {CHAT} HTTP/1.0"
    reply = tenant.caller.raw(request(tenant, CHUNKED, body=body, first=first), half_close=True)
    assert len(answers(reply)) <= 1
    assert charged(rig) == already


# What is clear is served, whatever it looks like


def test_extensions_and_trailers_of_chunks_are_read_past(rig: Rig, tenant: Tenant) -> None:
    body = json.dumps(question("hi", max_completion_tokens=5)).encode()

    def sent(trailer: bytes) -> bytes:
        chunks = b'%x;name="a;b\\"c";other\r\n%b\r\n0\r\n%b\r\n\r\n' % (len(body), body, trailer)
        return request(tenant, CHUNKED, "connection: close", body=chunks)

    assert answers(tenant.caller.raw(sent(b"x-trailer: read past"))) == [200]
    # RFC 9110, 6.5.1: what decides about a request must not come behind it.
    assert answers(tenant.caller.raw(sent(b"authorization: Bearer fg-nobody"))) == [400]


@pytest.mark.parametrize(
    "target",
    [
        f"http://gateway{CHAT}",
        f"http://evil.example{CHAT}",
        f"http://evil.example:80@gateway{CHAT}",
        f"http://gateway{CHAT}/../embeddings",
        f"//evil.example{CHAT}",
        f"http:{CHAT}",
        "http://gateway",
        "*",
        f"\\{CHAT}",
        f"{CHAT}#fragment",
        f"{CHAT}#?x=1",
        f"{CHAT}\t",
    ],
)
def test_only_a_plain_path_is_a_target(rig: Rig, tenant: Tenant, target: str) -> None:
    """Whole URLs too are refused: who reads their host and who does not would disagree."""
    already = charged(rig)
    reply = tenant.caller.raw(
        plain(tenant, "connection: close", first=f"POST {target} HTTP/1.1"), half_close=True
    )
    (status,) = answers(reply)
    assert status in (400, 404, 405), reply
    assert charged(rig) == already


@pytest.mark.parametrize(
    "line",
    [
        f"path_info: {EMBEDDINGS}",
        f"path-info: {EMBEDDINGS}",
        "script_name: /v1",
        "script-name: /v1",
        "script_name: /nowhere",
        "content_length: 3",
        "transfer_encoding: chunked",
        "http_authorization: Bearer nobody",
        "authorization_: Bearer nobody",
        "x-http-method-override: DELETE",
        f"x-original-url: {EMBEDDINGS}",
        f"x-rewrite-url: {EMBEDDINGS}",
        "x-forwarded-host: evil.example",
        "x-forwarded-proto: https",
        "x-forwarded-prefix: /v1",
        "forwarded: for=127.0.0.1;host=evil.example",
        "wsgi.input: x",
        "proxy: http://evil.example",
    ],
)
def test_no_header_takes_the_place_of_what_it_is_not(rig: Rig, tenant: Tenant, line: str) -> None:
    """WSGI names headers with underscores, and servers take some of them for their own."""
    reply = tenant.caller.raw(plain(tenant, line, "connection: close"))
    assert answers(reply) == [200], reply
    assert b'"object":"chat.completion"' in reply.replace(b" ", b"")


def test_a_prefix_cannot_be_cut_off_a_path(rig: Rig, tenant: Tenant) -> None:
    """By gunicorn's defaults who calls from the same machine names a part of the path to drop."""
    already = charged(rig)
    for name in ("script_name", "script-name", "x-script-name", "x-forwarded-prefix"):
        sent = plain(tenant, f"{name}: /x", "connection: close", first=f"POST /x{CHAT} HTTP/1.1")
        assert answers(tenant.caller.raw(sent)) == [404]
    assert charged(rig) == already


def test_a_refused_request_takes_the_rest_of_its_connection_with_it(
    rig: Rig, tenant: Tenant
) -> None:
    """What stands behind it may be a part of it."""
    already = charged(rig)
    bad = request(tenant, "content-length: 5", CHUNKED, body=b"0\r\n\r\n")
    with contextlib.closing(socket.create_connection(("127.0.0.1", rig.port), 10)) as sock:
        sock.sendall(bad)
        reply = b""
        with contextlib.suppress(ConnectionResetError):
            while more := sock.recv(65_536):
                reply += more
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            sock.sendall(plain(tenant, "connection: close"))
            reply += sock.recv(65_536)
    assert answers(reply) == [400]
    assert b"connection: close" in reply.lower()
    assert charged(rig) == already


def test_pipelined_requests_of_two_keys_stay_apart(rig: Rig, tenant: Tenant) -> None:
    """Nothing of a request outlives it on the connection: not its key, not its body."""
    nobody = plain(tenant).replace(tenant.key.secret.encode(), b"fg-nobody")
    keyless = plain(tenant).replace(f"Bearer {tenant.key.secret}".encode(), b"")
    sent = plain(tenant) + nobody + plain(tenant) + keyless + plain(tenant, "connection: close")
    already = charged(rig)
    assert answers(tenant.caller.raw(sent)) == [200, 401, 200, 401, 200]
    assert charged(rig) == already + 3
