"""Bodies made to be small on the wire and large in memory, or dear to read: memory has a bound.

Several of each at once, in one worker, while another client is served.
"""

from __future__ import annotations

import gzip
import json
import threading
import zlib
from collections import Counter
from collections.abc import Iterator

import psutil
import pytest

from tests.e2e.conftest import MakeRig
from tests.e2e.media import BOUNDARY, form_headers
from tests.e2e.provider import report
from tests.e2e.rig import Rig, Tenant
from tests.e2e.traffic import CHAT, Caller, Reply, at_once, question

MEGABYTE = 1024 * 1024
AT_ONCE = 8
ROOM = 64 * MEGABYTE
GROWTH_MAX = 320 * MEGABYTE
"""Room for large bodies three times over, and something for what is being read."""


@pytest.fixture(scope="module")
def rig(long_lived_rig: MakeRig) -> Rig:
    return long_lived_rig(workers=1, large_bodies_bytes_max=ROOM)


@pytest.fixture(scope="module")
def tenant(rig: Rig) -> Tenant:
    return rig.tenant(10**12)


class Peak:
    """The most memory that a process has while the context lasts, above what it had before."""

    def __init__(self, rig: Rig) -> None:
        (self._worker,) = psutil.Process(rig.gateway.pid).children()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._before = self._most = 0

    @property
    def growth(self) -> int:
        return self._most - self._before

    def __enter__(self) -> Peak:
        self._before = self._most = self._worker.memory_info().rss
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._ended.wait(0.01):
            self._most = max(self._most, self._worker.memory_info().rss)


def sent_at_once(caller: Caller, body: bytes, **headers: str) -> list[Reply]:
    return at_once(AT_ONCE, lambda _: caller.request("POST", CHAT, body, headers))


BOMBS: dict[str, bytes] = {
    "lists in lists": b"[" * 30_000_000,
    "lists in lists, closed": b"[" * 15_000_000 + b"]" * 15_000_000,
    "objects in objects": b'{"a":' * 6_000_000,
    "many values": b'{"model":"gpt-4o-mini","messages":[' + b"1," * 15_000_000 + b"1]}",
    "many strings": b'{"a":[' + b'"",' * 10_000_000 + b'""]}',
    "many names": b"{" + b'"a":1,' * 5_000_000 + b'"b":1}',
    "a number of many digits": b'{"a":' + b"9" * 30_000_000 + b"}",
    "a fraction of many digits": b'{"a":0.' + b"9" * 30_000_000 + b"}",
    "white space": b" " * 30_000_000,
    "escapes": b'{"a":"' + b"\\u0041" * 5_000_000 + b'"}',
    "halves of characters": b'{"a":"' + b"\\ud800" * 5_000_000 + b'"}',
    "no text": b"\xff" * 30_000_000,
    "a string without end": b'{"a":"' + b"x" * 30_000_000,
}


@pytest.mark.parametrize("name", BOMBS)
def test_json_that_is_dear_to_read(rig: Rig, tenant: Tenant, name: str) -> None:
    before = rig.provider.totals()["requests"]
    with Peak(rig) as peak:
        replies = sent_at_once(tenant.caller, BOMBS[name])
    seen = Counter((reply.status, reply.error["code"]) for reply in replies)
    assert seen.keys() <= {(400, None), (400, "model_not_found"), (503, "server_busy")}, seen
    assert seen[(400, None)] > 0
    assert all(reply.headers["retry-after"] for reply in replies if reply.status == 503)
    assert peak.growth < GROWTH_MAX, f"{peak.growth / MEGABYTE:.0f} MB"
    assert rig.provider.totals()["requests"] == before
    # What was refused has given its room back.
    large = json.dumps(question("hi", metadata={"a": "x" * 200_000})).encode()
    assert tenant.caller.post(large).status == 200
    report(f"{name}: {peak.growth / MEGABYTE:.0f} MB, {dict(seen)}")


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "zstd", "gzip, gzip", "x-gzip"])
def test_compressed_bodies_are_not_even_read(rig: Rig, tenant: Tenant, encoding: str) -> None:
    packed = gzip.compress(b" " * 100 * MEGABYTE, 1)
    if encoding == "deflate":
        packed = zlib.compress(b" " * 100 * MEGABYTE, 1)
    with Peak(rig) as peak:
        replies = [
            *sent_at_once(tenant.caller, packed, **{"content-encoding": encoding}),
            tenant.caller.request(
                "POST",
                "/v1/files",
                packed,
                {**form_headers(), "content-encoding": encoding},
            ),
        ]
    for reply in replies:
        assert (reply.status, reply.error["code"]) == (415, "unsupported_content_encoding")
    assert peak.growth < 50 * MEGABYTE


def _forms() -> Iterator[tuple[str, bytes]]:
    part = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="%s"%s\r\n\r\n'
    end = f"--{BOUNDARY}--\r\n".encode()

    def parts(count: int, value: bytes, more: str = "") -> bytes:
        return b"".join(
            (part % (f"f{number}", more)).encode() + value + b"\r\n" for number in range(count)
        )

    yield "many fields", parts(200_000, b"x") + end
    yield "many files", parts(100_000, b"x", '; filename="a"') + end
    yield "a large field", parts(1, b"x" * 100 * MEGABYTE) + end
    yield "many middling fields", parts(60, b"x" * MEGABYTE) + end
    yield "a head without end", f"--{BOUNDARY}\r\nx-a: ".encode() + b"x" * 50 * MEGABYTE
    yield "many heads", f"--{BOUNDARY}\r\n".encode() + b"x-a: b\r\n" * 5_000_000
    yield "line breaks", b"\r\n" * 25_000_000
    yield "half boundaries", f"\r\n--{BOUNDARY[:-1]}".encode() * 1_000_000
    name = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="'.encode()
    yield "a long name", name + b"x" * 50 * MEGABYTE + b'"\r\n\r\n\r\n' + end
    yield "files that just stay in memory", parts(64, b"x" * 256_000, '; filename="a"') + end


FORMS = dict(_forms())


@pytest.mark.parametrize("name", FORMS)
def test_forms_that_are_dear_to_read(rig: Rig, tenant: Tenant, name: str) -> None:
    def send(_: int) -> Reply:
        return tenant.caller.request("POST", "/v1/files", FORMS[name], form_headers())

    with Peak(rig) as peak:
        replies = at_once(AT_ONCE, send)
    assert {reply.status for reply in replies} == {400}
    assert peak.growth < GROWTH_MAX, f"{peak.growth / MEGABYTE:.0f} MB"
    assert tenant.caller.chat("hi").status == 200
    report(f"{name}: {peak.growth / MEGABYTE:.0f} MB")


def test_a_large_file_goes_to_disk(rig: Rig, tenant: Tenant) -> None:
    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
    body = head.encode() + b"x" * 100 * MEGABYTE + f"\r\n--{BOUNDARY}--\r\n".encode()
    with Peak(rig) as peak:
        replies = at_once(
            3, lambda _: tenant.caller.request("POST", "/v1/files", body, form_headers())
        )
    # The purpose is missing, which is seen when all has been read.
    assert {(reply.status, reply.error["param"]) for reply in replies} == {(400, "purpose")}
    assert peak.growth < 100 * MEGABYTE, f"{peak.growth / MEGABYTE:.0f} MB"


@pytest.mark.parametrize("path", [CHAT, "/v1/files"])
def test_who_has_no_key_is_not_read_at_all(rig: Rig, path: str) -> None:
    nobody = Caller(rig.port, "fg-nobody")
    headers = form_headers() if path == "/v1/files" else {}
    with Peak(rig) as peak:
        replies = at_once(
            AT_ONCE, lambda _: nobody.request("POST", path, b"[" * 30_000_000, headers)
        )
    assert {(reply.status, reply.error["code"]) for reply in replies} == {(401, "invalid_api_key")}
    assert peak.growth < 50 * MEGABYTE, f"{peak.growth / MEGABYTE:.0f} MB"
