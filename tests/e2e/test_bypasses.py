"""Every known way around a budget: bounded, or refused with a status of 4xx. What decides the
price: how many, how long, by which model and in which tier. The others are in the files beside.

Bounded: what was held is no less than what the provider charged, and what is recorded is that
charge, or above it and labelled so. In the end every dollar of the provider's log is recorded.
"""

from __future__ import annotations

from typing import Any

import pytest

from gateway.core.price_overrides import InvalidOverride, parse_override
from gateway.core.prices import Meter
from tests.e2e.bypasses import RICH, begun, bounded, every_dollar_is_recorded, refused, served
from tests.e2e.jsonl import CHAT, chat_line, examples
from tests.e2e.provider import until
from tests.e2e.rig import Rig, Tenant
from tests.e2e.traffic import EMBEDDINGS, RESPONSES, prompted, question, sim

COMPLETIONS = "/v1/completions"
JOBS = "/v1/fine_tuning/jobs"
INSTRUCT = {"model": "gpt-3.5-turbo-instruct", "prompt": "Once upon a time"}
BASE = "gpt-4o-mini-2024-07-18"


@pytest.fixture(scope="module")
def rig(apart_rig: Rig) -> Rig:
    return apart_rig


@pytest.fixture(scope="module")
def tenant(rig: Rig) -> Tenant:
    return rig.tenant(RICH, may_fine_tune=True)


# How many, and how long


def test_n(rig: Rig, tenant: Tenant) -> None:
    served(rig, tenant.caller.chat(n=5, max_completion_tokens=200))
    served(rig, tenant.caller.chat(n=3))
    served(rig, tenant.caller.post({**INSTRUCT, "n": 3, "max_tokens": 30}, COMPLETIONS))
    for n in (0, -1, 129, 10**18, 2.5, "2", True, [3]):
        refused(rig, tenant.caller.chat(n=n), "n")
    refused(rig, tenant.caller.post(prompted(n=2), RESPONSES), "n")
    one = rig.tenant(20_000 + 100 * 600)
    assert one.caller.chat(max_completion_tokens=100).status == 200
    refused(rig, one.caller.chat(n=8, max_completion_tokens=100))


def test_best_of(rig: Rig, tenant: Tenant) -> None:
    body = {**INSTRUCT, "max_tokens": 30}
    one = served(rig, tenant.caller.post({**body, "best_of": 1}, COMPLETIONS))
    many = served(rig, tenant.caller.post({**body, "best_of": 5}, COMPLETIONS))
    assert many.rows[0].hold_nano > 4 * one.rows[0].hold_nano
    assert many.cost_nano > 2 * one.cost_nano
    refused(rig, tenant.caller.post({**body, "best_of": 10**6}, COMPLETIONS), "best_of")
    refused(rig, tenant.caller.chat(best_of=5), "best_of")
    refused(rig, tenant.caller.post(prompted(best_of=5), RESPONSES), "best_of")


@pytest.mark.parametrize(
    ("path", "body"), [(CHAT, question()), (RESPONSES, prompted()), (COMPLETIONS, INSTRUCT)]
)
@pytest.mark.parametrize("stream", [False, True])
def test_missing_max_tokens(rig: Rig, path: str, body: dict[str, Any], stream: bool) -> None:
    tenant = rig.tenant(800_000)
    reply = tenant.caller.post({**body, "stream": stream}, path, output_tokens=15_000)
    record = served(rig, reply)
    assert record.rows[0].hold_nano <= 800_000
    assert rig.counters(tenant.budget)["spent"] == record.cost_nano


# What else the price depends on


@pytest.mark.parametrize(
    "name",
    [
        *("gpt-99", "", "GPT-4o-mini", " gpt-4o-mini", "gpt-4o-mini ", "gpt-4o-mini\n"),
        *("openai/gpt-4o-mini", "models/gpt-4o-mini", "gpt-4o-mini@latest", "gpt-4o-mini?x=1"),
        *("../models/gpt-4o", "gpt-4o-mini-2030-01-01", "sim-unpriced-1", "g" * 200, None, 4),
        *("ft:gpt-4o-mini-2024-07-18:acme::abc", "ft:gpt-4o-mini", "ft:", "gpt-4o-mini.ft-abc"),
    ],
)
def test_unknown_model_names(rig: Rig, tenant: Tenant, name: Any) -> None:
    charged = rig.provider.totals()["requests"]
    for path, body in (
        (CHAT, question(model=name)),
        (RESPONSES, prompted(model=name)),
        (COMPLETIONS, {**INSTRUCT, "model": name}),
        (EMBEDDINGS, {"model": name, "input": "a"}),
        ("/v1/audio/speech", {"model": name, "input": "a", "voice": "alloy"}),
        ("/v1/images/generations", {"model": name or "x", "prompt": "a"}),
    ):
        refused(rig, tenant.caller.post(body, path))
    refused(rig, begun(tenant.caller, chat_line(0, model=name)))
    assert rig.provider.totals()["requests"] == charged


def test_alias_and_dated_model_names(rig: Rig, tenant: Tenant) -> None:
    text = "What does an alias cost?"
    records = [
        served(rig, tenant.caller.chat(text, model=name, seed=1, max_completion_tokens=50))
        for name in ("gpt-4o-mini", BASE)
    ]
    assert records[0].cost_nano == records[1].cost_nano


def test_ft_model_names_and_fine_tuning(rig: Rig, tenant: Tenant) -> None:
    with tenant.caller.sdk() as sdk:
        made = sdk.fine_tuning.jobs.with_raw_response.create(
            model=BASE,
            training_file=sdk.files.create(
                file=("train.jsonl", examples(10)), purpose="fine-tune"
            ).id,
            hyperparameters={"n_epochs": "auto"},
            extra_headers=sim(job_ms=200),
        )
        job_id = made.parse().id
        until(lambda: sdk.fine_tuning.jobs.retrieve(job_id).fine_tuned_model, 30, "a model")
        name = sdk.fine_tuning.jobs.retrieve(job_id).fine_tuned_model
    bounded(rig, made.headers["x-faregate-request-id"])
    assert name is not None
    plain = served(rig, tenant.caller.chat("Hello", max_completion_tokens=20, seed=2))
    tuned = served(rig, tenant.caller.chat("Hello", model=name, max_completion_tokens=20, seed=2))
    assert tuned.rows[0].hold_nano == 2 * plain.rows[0].hold_nano
    refused(rig, rig.tenant(RICH).caller.chat(model=name), "model")


def test_fine_tuning_without_permission_and_huge_epochs(rig: Rig, tenant: Tenant) -> None:
    other = rig.tenant(RICH)
    poor = rig.tenant(100_000, may_fine_tune=True)
    for who, epochs in (
        (other, 1),
        (other, "auto"),
        (poor, "auto"),
        (poor, 50),
        *((tenant, wrong) for wrong in (51, 10**9, 10**30, 0, -3, 1.5, "many", True, [1])),
    ):
        with who.caller.sdk() as sdk:
            name = sdk.files.create(file=("t.jsonl", examples(10)), purpose="fine-tune").id
        body = {"model": BASE, "training_file": name}
        methods = {"type": "supervised", "supervised": {"hyperparameters": {"n_epochs": epochs}}}
        refused(rig, who.caller.post({**body, "hyperparameters": {"n_epochs": epochs}}, JOBS))
        refused(rig, who.caller.post({**body, "method": methods}, JOBS))


@pytest.mark.parametrize("asked", ["auto", "default", "priority", "flex", None])
@pytest.mark.parametrize("path", [CHAT, RESPONSES])
def test_service_tiers(rig: Rig, tenant: Tenant, path: str, asked: str | None) -> None:
    body = {**question(), **prompted(), "model": "o4-mini", "service_tier": asked}
    del body["input" if path == CHAT else "messages"]
    body["max_completion_tokens" if path == CHAT else "max_output_tokens"] = 300
    for answered in {asked, "default"} & {"default", "priority", "flex"}:
        record = served(rig, tenant.caller.post(body, path, service_tier=answered))
        assert record.rows[0].service_tier == answered
    # Nobody told the provider which: the gateway did.
    record = served(rig, tenant.caller.post(body, path))
    assert record.rows[0].service_tier == (asked if asked in ("priority", "flex") else "default")


@pytest.mark.parametrize("tier", ["scale", "batch", "fast", "PRIORITY", "", 1, {}])
def test_service_tiers_that_are_not_priced(rig: Rig, tenant: Tenant, tier: Any) -> None:
    refused(rig, tenant.caller.chat(service_tier=tier), "service_tier")
    refused(rig, tenant.caller.post(prompted(service_tier=tier), RESPONSES), "service_tier")
    refused(rig, tenant.caller.chat(model="gpt-3.5-turbo", service_tier="flex"), "service_tier")


@pytest.mark.parametrize("tier", ["priority", "flex", "scale"])
def test_service_tiers_in_batches(rig: Rig, tenant: Tenant, tier: str) -> None:
    refused(
        rig, begun(tenant.caller, chat_line(0), chat_line(1, service_tier=tier)), "input_file_id"
    )
    body = {"service_tier": tier, "input_file_id": "file-x", "endpoint": CHAT}
    refused(rig, tenant.caller.post({**body, "completion_window": "24h"}, "/v1/batches"))


def test_negative_and_zero_prices() -> None:
    for amount in ("-1", "-0.000000001", "0", "0.0", "-0"):
        for meter in (Meter.INPUT, Meter.OUTPUT, Meter.CACHED_INPUT, Meter.WEB_SEARCH_CALLS):
            with pytest.raises(InvalidOverride, match=f"the {meter.value} price"):
                parse_override({Meter.INPUT: "1", meter: amount})


def test_cache_writes(rig: Rig, tenant: Tenant) -> None:
    text = "A long beginning that is worth keeping. " * 300
    for certain in ("written", "read"):
        reply = tenant.caller.chat(text, model="gpt-5.6-sol", max_completion_tokens=100)
        record = served(rig, reply)
        (charge,) = rig.provider.charges()[reply.request_id]
        kept = charge.cache_write_tokens if certain == "written" else charge.cached_tokens
        assert kept > 1_024
        # The whole prompt is held for at the rate of writing, and the answer besides.
        assert record.rows[0].hold_nano >= charge.prompt_tokens * 5_000 + 100 * 20_000


def test_all_of_it_is_recorded(rig: Rig) -> None:
    every_dollar_is_recorded(rig)
