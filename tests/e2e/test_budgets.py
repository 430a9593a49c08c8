"""Budgets hold: what is refused, what is shortened, and to the nano-dollar how much is spent."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import openai
import pytest

from gateway.adapters.price_rows import override_price
from gateway.core.budgets import Enforcement, WindowKind
from gateway.core.money import display_usd, usd_from_nano
from gateway.core.prices import Meter, Rate
from tests.e2e.conftest import MakeRig
from tests.e2e.money import cost_nano
from tests.e2e.provider import report
from tests.e2e.rig import Rig, Tenant
from tests.e2e.traffic import EMBEDDINGS, MODEL, at_once

OUTPUT_NANO = 1500
"""One output token of gpt-3.5-turbo."""


def _bound_of(rig: Rig, text: str, **rest: Any) -> int:
    """What a request holds, in nano-dollars, as its record says."""
    reply = rig.tenant().caller.chat(text, **{"model": "gpt-3.5-turbo", **rest})
    assert reply.status == 200
    return int(rig.record(reply.request_id).rows[0].hold_nano)


def _room_for(rig: Rig, tokens: int, text: str) -> int:
    """A limit that affords ``text`` and ``tokens`` output tokens, and not one more."""
    return _bound_of(rig, text, max_tokens=1) + (tokens - 1) * OUTPUT_NANO


def test_room_for_300_output_tokens(rig: Rig) -> None:
    text = "Tell me all about budgets."
    tenant = rig.tenant(_room_for(rig, 300, text))
    refused = tenant.caller.chat(text, model="gpt-3.5-turbo", max_tokens=1000)
    assert refused.status == 429
    reply = tenant.caller.chat(text, model="gpt-3.5-turbo", directed={"output_tokens": 2000})
    assert reply.status == 200
    assert reply.json["choices"][0]["finish_reason"] == "length"
    assert reply.json["usage"]["completion_tokens"] == 300
    rig.drain()
    counters = rig.counters(tenant.budget)
    limit = _room_for(rig, 300, text)
    assert counters["held"] == 0
    assert counters["spent"] == rig.truth_nano(reply.request_id) <= limit


def test_a_refusal_says_all_there_is_to_say(rig: Rig) -> None:
    text = "Tell me all about budgets."
    limit = _room_for(rig, 300, text)
    tenant = rig.tenant(limit, window=WindowKind.DAY)
    refused = tenant.caller.chat(text, model="gpt-3.5-turbo", max_tokens=1000)
    assert refused.status == 429
    assert refused.headers["x-should-retry"] == "false"
    error = refused.error
    assert error["type"] == error["code"] == "insufficient_quota"
    told = error["budget"]
    assert told["name"] == tenant.budget
    assert told["limit_usd"] == usd_from_nano(limit)
    assert (told["spent_usd"], told["held_usd"]) == ("0.000000000", "0.000000000")
    assert told["estimate_usd"] == usd_from_nano(limit + 700 * OUTPUT_NANO)
    assert told["affordable_output_tokens"] == 300
    reset = datetime.fromisoformat(told["resets_at"])
    assert (reset - datetime.now(UTC)).total_seconds() <= 86_400
    for part in (tenant.budget, display_usd(limit), "300 output tokens", "resets at"):
        assert str(part) in error["message"]


def test_the_sdk_does_not_try_a_refusal_again(rig: Rig) -> None:
    tenant = rig.tenant(0)
    client = openai.OpenAI(api_key=tenant.key.secret, base_url=tenant.caller.base_url)
    with client, pytest.raises(openai.RateLimitError) as refused:
        client.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": "hi"}])
    assert refused.value.code == "insufficient_quota"
    sent = refused.value.response.request.headers
    assert sent["x-stainless-retry-count"] == "0"


def test_a_client_may_opt_in_to_clamping(rig: Rig) -> None:
    text = "Tell me all about budgets."
    tenant = rig.tenant(_room_for(rig, 300, text), clamp_output=True)
    asked: dict[str, Any] = {"model": "gpt-3.5-turbo", "max_tokens": 1000}
    reply = tenant.caller.chat(text, directed={"output_tokens": 2000}, **asked)
    assert reply.json["usage"]["completion_tokens"] == 300
    assert tenant.caller.chat(text, **asked).status == 429


@pytest.mark.parametrize(("tokens", "status"), [(255, 429), (256, 200)])
def test_the_floor_is_where_shortening_ends(rig: Rig, tokens: int, status: int) -> None:
    text = "Tell me all about budgets."
    tenant = rig.tenant(_room_for(rig, tokens, text))
    assert tenant.caller.chat(text, model="gpt-3.5-turbo").status == status


def test_200_at_once_on_a_budget_for_50(make_rig: MakeRig) -> None:
    rig = make_rig(workers=4)
    text = "Same for all"
    asked: dict[str, Any] = {"model": "gpt-3.5-turbo", "max_tokens": 100}
    hold = _bound_of(rig, text, **asked)
    # Answers take long enough that all holds are placed before the first is settled.
    tenant = rig.tenant(50 * hold + hold - 1)
    directed = {"latency_ms": 4000, "output_tokens": 500}
    replies = at_once(200, lambda _: tenant.caller.chat(text, directed=directed, **asked))
    served = [reply for reply in replies if reply.status == 200]
    refused = [reply for reply in replies if reply.status == 429]
    assert (len(served), len(refused)) == (50, 150)
    for reply in refused:
        told = reply.error["budget"]
        spent_and_held = float(told["spent_usd"]) + float(told["held_usd"])
        assert spent_and_held <= float(told["limit_usd"])
    rig.drain()
    counters = rig.counters(tenant.budget)
    truth = sum(rig.truth_nano(reply.request_id) for reply in served)
    assert counters == {"spent": truth, "held": 0}
    assert truth <= 50 * hold
    report(f"served 50 of 200, over by ${usd_from_nano(max(0, truth - 50 * hold - hold + 1))}")
    assert rig.audit()["records"] == 51


def test_a_budget_is_spent_to_its_end_and_never_past_it(rig: Rig) -> None:
    text = "Same for all"
    asked: dict[str, Any] = {"model": "gpt-3.5-turbo", "max_tokens": 100}
    hold = _bound_of(rig, text, **asked)
    limit = 20 * hold
    tenant = rig.tenant(limit)
    replies = at_once(120, lambda _: tenant.caller.chat(text, **asked), threads=12)
    rig.drain()
    counters = rig.counters(tenant.budget)
    served = [reply for reply in replies if reply.status == 200]
    assert counters["spent"] == sum(rig.truth_nano(reply.request_id) for reply in served)
    assert limit - hold < counters["spent"] <= limit
    assert len(served) >= 20


def test_every_level_counts_and_the_tightest_refuses(rig: Rig) -> None:
    tenant = rig.tenant(10**9)
    organization = f"all-{tenant.name}"
    rig.directory.create_budget(
        f"team-{tenant.name}",
        limit_nano=10**9,
        window=WindowKind.MONTH,
        time_zone="Asia/Seoul",
        team=tenant.team,
    )
    rig.directory.create_budget(organization, limit_nano=10**9, window=WindowKind.WEEK)
    rig.publish()
    try:
        reply = tenant.caller.chat(max_completion_tokens=100)
        cost = rig.truth_nano(reply.request_id)
        rig.drain()
        for name in (tenant.budget, f"team-{tenant.name}"):
            assert rig.counters(name) == {"spent": cost, "held": 0}
        assert rig.counters(organization)["spent"] >= cost
        rig.directory.change_budget(f"team-{tenant.name}", limit_nano=cost + 1)
        rig.publish()
        refused = tenant.caller.chat(max_completion_tokens=100)
        assert refused.error["budget"]["name"] == f"team-{tenant.name}"
        assert refused.error["budget"]["spent_usd"] == usd_from_nano(cost)
        assert refused.error["budget"]["scope"] == "team"
    finally:
        rig.directory.remove_budget(organization)
        rig.publish()


@pytest.mark.parametrize("window", list(WindowKind))
def test_every_window(rig: Rig, window: WindowKind) -> None:
    tenant = rig.tenant(10**9, window=window)
    reply = tenant.caller.chat(max_completion_tokens=20)
    assert reply.status == 200
    rig.drain()
    assert rig.counters(tenant.budget)["spent"] == rig.truth_nano(reply.request_id)


def test_a_soft_budget_counts_and_never_refuses(rig: Rig) -> None:
    tenant = rig.tenant(1, enforcement=Enforcement.SOFT)
    replies = [tenant.caller.chat(max_completion_tokens=20) for _ in range(3)]
    assert [reply.status for reply in replies] == [200] * 3
    rig.drain()
    spent = sum(rig.truth_nano(reply.request_id) for reply in replies)
    assert rig.counters(tenant.budget) == {"spent": spent, "held": 0, "passed": 3}


def test_an_expected_budget_holds_what_requests_have_needed(rig: Rig) -> None:
    tenant = rig.tenant(10**9, enforcement=Enforcement.EXPECTED)
    asked: dict[str, Any] = {"model": "gpt-3.5-turbo", "max_tokens": 4000}
    directed = {"output_tokens": 10}
    for _ in range(12):
        assert tenant.caller.chat("Hi", directed=directed, **asked).status == 200
    rig.drain()
    spent = rig.counters(tenant.budget)["spent"]
    # The worst case of one request is 6,000,000; ten at once hold a tenth of one.
    rig.directory.change_budget(str(tenant.budget), limit_nano=spent + 1_000_000)
    rig.publish()
    slow = {"output_tokens": 10, "latency_ms": 1500}
    replies = at_once(10, lambda _: tenant.caller.chat("Hi", directed=slow, **asked))
    assert [reply.status for reply in replies] == [200] * 10
    rig.drain()
    assert rig.counters(tenant.budget)["held"] == 0


def test_a_model_budget_covers_its_models_alone(rig: Rig) -> None:
    tenant = rig.tenant()
    rig.directory.create_budget(
        f"4o-{tenant.name}",
        limit_nano=0,
        window=WindowKind.DAY,
        client=tenant.name,
        model_pattern="gpt-4o*",
    )
    rig.publish()
    assert tenant.caller.chat(model="gpt-4o").error["budget"]["name"] == f"4o-{tenant.name}"
    assert tenant.caller.chat(model="gpt-4o-mini").status == 429
    assert tenant.caller.chat(model="gpt-3.5-turbo").status == 200


def test_a_refused_request_reaches_nobody(rig: Rig) -> None:
    tenant = rig.tenant(0)
    before = rig.provider.totals()["requests"]
    assert tenant.caller.chat().status == 429
    assert (
        tenant.caller.post(
            {"model": "text-embedding-3-small", "input": "x"}, "/v1/embeddings"
        ).status
        == 429
    )
    assert rig.provider.totals()["requests"] == before


def test_a_raised_budget_works_at_once(rig: Rig) -> None:
    tenant: Tenant = rig.tenant(0)
    assert tenant.caller.chat().status == 429
    rig.directory.change_budget(str(tenant.budget), limit_nano=10**9)
    rig.publish()
    reply = tenant.caller.chat()
    assert reply.status == 200
    (charge,) = rig.provider.charges()[reply.request_id]
    rig.drain()
    assert rig.counters(tenant.budget)["spent"] == cost_nano(charge)


def test_a_request_that_holds_nothing_is_settled(rig: Rig) -> None:
    """A hold of zero: a model that is given away, on a budget."""
    tenant = rig.tenant(10**9)
    override_price(
        rig.engine,
        f"gift-{tenant.name}",
        {"default": {Meter.INPUT: Rate(0), Meter.OUTPUT: Rate(0)}},
        valid_from=datetime(2020, 1, 1, tzinfo=UTC),
        context_window=8192,
    )
    rig.publish()
    # The provider does not know it, which is as good: a release takes the hold back too.
    assert tenant.caller.chat(model=f"gift-{tenant.name}").status == 404
    reply = tenant.caller.post({"model": "text-embedding-3-small", "input": [""]}, EMBEDDINGS)
    assert reply.status in (200, 400)
    rig.drain()
    assert rig.counters(tenant.budget)["held"] == 0
