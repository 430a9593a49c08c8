"""Canaries: what must never be written down is looked for wherever anything is."""

from __future__ import annotations

import os
import signal
import sqlite3
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from gateway.adapters.embedded_redis import EmbeddedRedis
from tests.e2e.conftest import MakeRig
from tests.e2e.provider import until
from tests.e2e.rig import PROVIDER_KEY, Rig
from tests.e2e.traffic import CHAT, Caller, Reply, question


def _redis_dump(rig: Rig) -> bytes:
    """Every key and value of the rig, events that wait included."""
    found = []
    client = rig.redis()
    for name in client.scan_iter(match=f"{{{rig.prefix}}}*", count=1000):
        kind = client.type(name)
        value: Any
        if kind == b"hash":
            value = client.hgetall(name)
        elif kind == b"zset":
            value = client.zrange(name, 0, -1)
        elif kind == b"stream":
            value = client.xrange(name)
        else:
            value = client.get(name)
        found.append(name + repr(value).encode())
    assert found
    return b"\n".join(found)


def _sql_dump(rig: Rig) -> bytes:
    """Every byte of the database files, and every row as text."""
    path = Path(str(rig.engine.url.database))
    files = b"".join(p.read_bytes() for p in path.parent.glob(path.name + "*"))
    with sqlite3.connect(path) as connection:
        return files + "\n".join(connection.iterdump()).encode()


def _said(reply: Reply) -> bytes:
    return repr(dict(reply.headers)).encode() + reply.body


def test_no_secret_is_written_down(make_rig: MakeRig) -> None:
    # The recorder comes late, so that usage events wait in Redis and can be looked into.
    rig = make_rig(workers=1, recorder="none", log_level="debug")
    tenant = rig.tenant(10**9)
    prompt, unknown = f"canary-prompt-{uuid4().hex}", f"fg-canary-{uuid4().hex}"
    caller = tenant.caller
    errors = [
        caller.chat(prompt, model="gpt-99"),
        caller.chat(prompt, n=0),
        caller.chat(prompt, max_completion_tokens=10_000_000, model="gpt-4o"),
        caller.chat(prompt, directed={"status": 401}),
        caller.chat(prompt, directed={"fault": "reset-before-headers"}),
        caller.post(f'{{"model": "gpt-4o-mini", "{prompt}": NaN}}'.encode()),
        caller.request("POST", f"{CHAT}?key={tenant.key.secret}", b"{}"),
        caller.request("GET", f"/v1/{tenant.key.secret}?key={tenant.key.secret}"),
        Caller(rig.port, unknown).chat(prompt),
        Caller(rig.port, "").request("GET", "/v1/models", None, {"authorization": unknown}),
    ]
    assert all(reply.status >= 400 for reply in errors)
    answers = [caller.chat(prompt), caller.chat(prompt, user=prompt, metadata={"a": prompt})]
    assert [reply.status for reply in answers] == [200, 200]
    streamed = caller.stream(prompt, directed={"fault": "reset-mid-stream"}).all()
    answer_text = answers[0].json["choices"][0]["message"]["content"].encode()

    places = {"redis": _redis_dump(rig)}
    rig.finish_recording()
    places |= {
        "logs": rig.output().encode(),
        "redis, recorded": _redis_dump(rig),
        "sql": _sql_dump(rig),
        "metrics": caller.get("/metrics").body,
    }
    assert b"frq_" in places["redis"]
    assert b"frq_" in places["sql"]
    assert b"frq_" in places["logs"]
    secrets = [tenant.key.secret.encode(), unknown.encode(), PROVIDER_KEY.encode(), prompt.encode()]
    for place, content in places.items():
        for secret in [*secrets, answer_text]:
            assert secret not in content, f"{secret!r} stands in {place}"
    for reply in errors:
        said = _said(reply).replace(f"/v1/{tenant.key.secret}".encode(), b"")
        for secret in secrets:
            assert secret not in said.replace(b"'" + prompt.encode() + b"'", b""), said
    assert PROVIDER_KEY.encode() not in streamed


def test_a_key_can_not_be_had_back_from_sql(rig: Rig) -> None:
    tenant = rig.tenant()
    dump = _sql_dump(rig)
    assert tenant.key.secret.encode() not in dump
    assert tenant.key.secret[7:-4].encode() not in dump


@pytest.mark.timeout(120)
def test_no_file_of_a_gateway_has_a_secret(make_own_rig: MakeRig, tmp_path: Path) -> None:
    """Not even while Redis is away, when what ends is written to a file."""
    with EmbeddedRedis(tmp_path / "redis") as server:
        rig = make_own_rig(
            server.url,
            workers=1,
            log_level="debug",
            redis_timeout_seconds=0.5,
            body_bytes_max=2_000_000,
        )
        tenant = rig.tenant(10**9)
        canary = f"canary-prompt-{uuid4().hex}"
        slow = tenant.caller.stream(
            canary, max_completion_tokens=20, directed={"token_interval_ms": 100}
        )
        assert slow.status == 200
        pid = server.pid  # it asks Redis
        os.kill(pid, signal.SIGSTOP)
        try:
            answer = slow.all()
            spooled = until(
                lambda: [
                    path
                    for path in (rig.folder / "spool").glob("*.spool")
                    if slow.request_id.encode() in path.read_bytes()
                ],
                30,
                "the ending to be spooled",
            )
            assert spooled
            # A large body and a file are on their way through the gateway's folders as well.
            tenant.caller.post(question(canary + "x" * 1_000_000))
            files = _files_of(rig.folder)
        finally:
            os.kill(pid, signal.SIGCONT)
        said = answer[answer.index(b'"content":"') :][:60]
        for secret in (canary.encode(), tenant.key.secret.encode(), PROVIDER_KEY.encode(), said):
            assert secret not in files
            assert secret not in rig.output().encode()
        rig.drain()


def _files_of(folder: Path) -> bytes:
    """Every byte of every file below ``folder``."""
    found = [path for path in folder.rglob("*") if path.is_file()]
    assert len(found) > 3
    return b"\n".join(path.read_bytes() for path in found)
