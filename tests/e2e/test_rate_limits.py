"""Rate limits of a client: requests and tokens a minute, and requests at once."""

from __future__ import annotations

from tests.e2e.conftest import MakeRig
from tests.e2e.rig import Rig
from tests.e2e.traffic import at_once


def test_requests_per_minute(rig: Rig) -> None:
    tenant = rig.tenant(requests_per_minute=5)
    replies = [tenant.caller.chat(max_completion_tokens=5) for _ in range(6)]
    assert [reply.status for reply in replies[:5]] == [200] * 5
    assert [int(r.headers["x-ratelimit-remaining-requests"]) for r in replies[:3]] == [4, 3, 2]
    assert replies[0].headers["x-ratelimit-limit-requests"] == "5"
    refused = replies[5]
    assert refused.status == 429
    assert refused.error["code"] == "rate_limit_exceeded"
    assert 1 <= int(refused.headers["retry-after"]) <= 12
    assert "x-should-retry" not in refused.headers


def test_who_does_not_wait_is_refused_before_its_body_is_looked_at(make_rig: MakeRig) -> None:
    tenant = make_rig(workers=1).tenant(requests_per_minute=1)
    assert tenant.caller.post(b"{").status == 400
    assert tenant.caller.chat(max_completion_tokens=5).status == 200
    assert tenant.caller.post(b"{").status == 400
    assert tenant.caller.chat(max_completion_tokens=5).status == 429
    refused = tenant.caller.post(b"{")
    assert (refused.status, refused.error["code"]) == (429, "rate_limit_exceeded")
    assert 1 <= int(refused.headers["retry-after"]) <= 60


def test_requests_per_minute_over_all_workers(rig: Rig) -> None:
    tenant = rig.tenant(requests_per_minute=10)
    replies = at_once(40, lambda _: tenant.caller.chat(max_completion_tokens=5))
    assert sorted(reply.status for reply in replies) == [200] * 10 + [429] * 30


def test_tokens_per_minute(rig: Rig) -> None:
    tenant = rig.tenant(tokens_per_minute=600)
    # A request with a maximum is charged for it beforehand and trued up after.
    used = 0
    for _ in range(50):
        reply = tenant.caller.chat(max_completion_tokens=100, directed={"output_tokens": 100})
        if reply.status != 200:
            break
        used += reply.json["usage"]["total_tokens"]
        assert reply.headers["x-ratelimit-limit-tokens"] == "600"
    assert reply.status == 429
    assert "retry-after" in reply.headers
    assert 350 <= used <= 600
    long = tenant.caller.chat("word " * 700, max_completion_tokens=5)
    assert long.status == 429
    assert long.headers["x-should-retry"] == "false"


def test_requests_at_once(rig: Rig) -> None:
    tenant = rig.tenant(concurrent_requests=3)
    slow = {"latency_ms": 1000}
    replies = at_once(12, lambda _: tenant.caller.chat(directed=slow, max_completion_tokens=5))
    assert sorted(reply.status for reply in replies) == [200] * 3 + [429] * 9
    assert {r.headers["retry-after"] for r in replies if r.status == 429} == {"1"}
    assert tenant.caller.chat(max_completion_tokens=5).status == 200


def test_a_stream_left_early_gives_its_place_back(rig: Rig) -> None:
    tenant = rig.tenant(concurrent_requests=1)
    stream = tenant.caller.stream(directed={"token_interval_ms": 5})
    next(stream.events())
    assert tenant.caller.chat().status == 429
    stream.hang_up()
    rig.drain()
    assert tenant.caller.chat().status == 200


def test_refused_requests_take_nothing_from_the_limits(rig: Rig) -> None:
    tenant = rig.tenant(0, requests_per_minute=3)
    for _ in range(6):
        assert tenant.caller.chat().error["code"] == "insufficient_quota"
    rig.directory.change_budget(str(tenant.budget), limit_nano=10**9)
    rig.publish()
    assert [tenant.caller.chat().status for _ in range(4)] == [200, 200, 200, 429]
