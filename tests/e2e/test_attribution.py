"""Attribution: tags from the client to records, rollups and budgets; savings; refusals counted."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any
from uuid import uuid4

import openai
import pytest
from openai import OpenAI
from sqlalchemy import select

from gateway.adapters.rollup_tables import daily_tags, hourly_refusals
from gateway.core.budgets import WindowKind
from gateway.core.tags import HEADER
from tests.e2e.every_call import calls
from tests.e2e.media import png
from tests.e2e.provider import until
from tests.e2e.rig import Rig, Tenant
from tests.e2e.traffic import CHAT, prompted, question, sim


@pytest.fixture(scope="module")
def tenant(rig: Rig) -> Tenant:
    return rig.tenant(10**12, may_fine_tune=True)


def allowed(rig: Rig, name: str) -> str:
    """A tag that no other test has, allowed from now on."""
    tag = f"{name}-{uuid4().hex[:6]}"
    rig.directory.add_tag_key(tag)
    rig.publish()
    return tag


def tags_of(rig: Rig, request_id: str) -> dict[str, str]:
    """The tags of the record of a request, and of its corrections."""
    (found,) = {row.tags for row in rig.record(request_id).rows}
    return dict(json.loads(found))


def tagged(rig: Rig, tag: str) -> dict[str, Counter[str]]:
    """What the rollups have for each value of a tag."""
    found: dict[str, Counter[str]] = {}
    with rig.engine.connect() as connection:
        for row in connection.execute(select(daily_tags).where(daily_tags.c.tag == tag)):
            sums = found.setdefault(row.value, Counter())
            sums.update(requests=row.requests, cost=row.cost_nano, saved=row.cache_saved_nano)
    return found


def asked(sdk: OpenAI, tags: str | None = None, **rest: Any) -> str:
    """The request id of a chat completion."""
    headers = {} if tags is None else {HEADER: tags}
    raw = sdk.chat.completions.with_raw_response.create(
        **question(**rest), max_completion_tokens=20, extra_headers=headers
    )
    return str(raw.headers["x-faregate-request-id"])


def test_the_sdk_sends_tags_in_a_header_in_metadata_and_as_user(rig: Rig, tenant: Tenant) -> None:
    project, env = allowed(rig, "project"), allowed(rig, "env")
    if "user" not in {row.name for row in rig.directory.tag_keys()}:
        rig.directory.add_tag_key("user")
        rig.publish()
    metadata = {project: "of metadata", env: "prod", "other": "x"}
    with tenant.caller.sdk() as sdk:
        all_three = asked(sdk, f"{project}=of header, another=x", metadata=metadata, user="ann")
        without = asked(sdk, metadata=metadata)
        nothing = asked(sdk)
    assert tags_of(rig, all_three) == {project: "of header", env: "prod", "user": "ann"}
    assert tags_of(rig, without) == {project: "of metadata", env: "prod"}
    assert tags_of(rig, nothing) == {}
    records = rig.records()
    assert tagged(rig, env) == {
        "prod": Counter(
            requests=2, cost=records[all_three].cost_nano + records[without].cost_nano, saved=0
        )
    }
    assert set(tagged(rig, project)) == {"of header", "of metadata"}
    assert tagged(rig, "other") == tagged(rig, "another") == {}


def test_every_endpoint_carries_tags_into_its_record(rig: Rig, tenant: Tenant) -> None:
    tag = allowed(rig, "every")
    with tenant.caller.sdk(default_headers={HEADER: f"{tag}=all of them"}) as sdk:
        made = {what: raw.headers["x-faregate-request-id"] for what, raw in calls(sdk)}
        streamed = sdk.chat.completions.with_raw_response.create(**question(stream=True))
        made["a stream"] = streamed.headers["x-faregate-request-id"]
        for _ in streamed.parse():
            pass
        made["a list"] = sdk.files.with_raw_response.list().headers["x-faregate-request-id"]
    rig.drain()
    records = rig.records()
    untagged = {
        what: row.tags
        for what, request_id in made.items()
        for row in records[request_id].rows
        if json.loads(row.tags).get(tag) != "all of them"
    }
    assert untagged == {}
    sums = tagged(rig, tag)["all of them"]
    # One of the calls has sent a training file first.
    assert sums["requests"] == len(made) + 1
    assert sums["cost"] == sum(records[request_id].cost_nano for request_id in made.values())


def test_values_in_any_language(rig: Rig, tenant: Tenant) -> None:
    tag = allowed(rig, "any")
    as_bytes = f"{tag}=서울".encode().decode("latin-1")
    body = json.dumps(question()).encode()
    sent = tenant.caller.request("POST", CHAT, body, {HEADER: as_bytes})
    assert tags_of(rig, sent.request_id) == {tag: "서울"}
    described = tenant.caller.chat(metadata={tag: "größer, am größten"})
    assert tags_of(rig, described.request_id) == {tag: "größer, am größten"}


def test_a_stream_that_the_client_leaves_is_recorded_with_its_tags(
    rig: Rig, tenant: Tenant
) -> None:
    tag = allowed(rig, "left")
    stream = tenant.caller.stream(metadata={tag: "yes"}, directed={"output_tokens": 200})
    next(stream.events())
    stream.hang_up()
    assert tags_of(rig, stream.request_id) == {tag: "yes"}


def test_pictures_have_their_size_as_a_tag_that_no_client_can_set(rig: Rig, tenant: Tenant) -> None:
    picture = ("a.png", png(64, 64), "image/png")
    with tenant.caller.sdk(default_headers={HEADER: "image_size=mine"}) as sdk:
        images: Any = sdk.images.with_raw_response
        wide = images.generate(model="dall-e-3", prompt="A cat.", size="1792x1024")
        unsaid = images.generate(model="dall-e-3", prompt="A cat.")
        auto = images.generate(model="gpt-image-1", prompt="A cat.", quality="low")
        edited = images.edit(
            model="gpt-image-1", image=picture, prompt="A dog.", quality="low", size="1024x1536"
        )
        chat = asked(sdk)
    sizes = [
        tags_of(rig, raw.headers["x-faregate-request-id"])["image_size"]
        for raw in (wide, unsaid, auto, edited)
    ]
    assert sizes == ["1792x1024", "1024x1024", "auto", "1024x1536"]
    assert tags_of(rig, chat) == {}
    assert "mine" not in tagged(rig, "image_size")


def test_a_malformed_header_is_refused_and_nothing_is_sent(rig: Rig, tenant: Tenant) -> None:
    before = rig.provider.totals()["requests"]
    with tenant.caller.sdk() as sdk, pytest.raises(openai.BadRequestError) as refused:
        asked(sdk, "project: alpha")
    assert refused.value.param == HEADER
    assert "'project: alpha' has no equals sign" in refused.value.message
    assert rig.provider.totals()["requests"] == before
    rig.drain()
    assert rig.counters(tenant.budget)["held"] == 0


def test_the_allow_list_changes_under_running_gateways(rig: Rig, tenant: Tenant) -> None:
    tag = f"live-{uuid4().hex[:6]}"
    with tenant.caller.sdk() as sdk:
        before = asked(sdk, f"{tag}=1")
        rig.directory.add_tag_key(tag)
        rig.publish()
        # No request is admitted under an older policy, by whichever worker.
        during = [asked(sdk, f"{tag}=1") for _ in range(8)]
        rig.directory.remove_tag_key(tag)
        rig.publish()
        after = [asked(sdk, f"{tag}=1") for _ in range(8)]
    assert tags_of(rig, before) == {}
    assert [tags_of(rig, one) for one in during] == [{tag: "1"}] * 8
    assert [tags_of(rig, one) for one in after] == [{}] * 8
    assert tagged(rig, tag)["1"]["requests"] == 8


def test_a_budget_of_a_tag_refuses_what_has_the_tag_alone(rig: Rig) -> None:
    tenant = rig.tenant(10**12)
    tag = allowed(rig, "project")
    budget = f"alpha-{tenant.name}"
    rig.directory.create_budget(
        budget, limit_nano=200_000, window=WindowKind.TOTAL, team=tenant.team, tag=f"{tag}=alpha"
    )
    rig.publish()
    served: list[str] = []

    def spend(sdk: OpenAI) -> None:
        while len(served) < 100:
            served.append(asked(sdk, f"{tag}=alpha", text="Same for all"))

    with tenant.caller.sdk() as sdk:
        with pytest.raises(openai.RateLimitError) as refused:
            spend(sdk)
        assert served
        others = [asked(sdk), asked(sdk, f"{tag}=beta"), asked(sdk, metadata={"x": "alpha"})]
        # By any source of tags.
        with pytest.raises(openai.RateLimitError):
            asked(sdk, metadata={tag: "alpha"}, text="Same for all")
    told: Any = refused.value.body
    assert told["budget"]["name"] == budget
    assert told["budget"]["tag"] == f"{tag}=alpha"
    assert f"(team, tag {tag}=alpha, " in refused.value.message
    rig.drain()
    records = rig.records()
    spent = sum(records[request_id].cost_nano for request_id in served)
    assert rig.counters(budget) == {"spent": spent, "held": 0}
    assert 0 < spent <= 200_000
    total = spent + sum(records[request_id].cost_nano for request_id in others)
    assert rig.counters(tenant.budget) == {"spent": total, "held": 0}


def test_what_caching_saved_is_recorded_to_the_nano_dollar(rig: Rig, tenant: Tenant) -> None:
    tag = allowed(rig, "cached")
    long = f"{uuid4().hex} " + "The quick brown fox jumps over the lazy dog. " * 200
    ids = []
    for _ in range(2):
        body = json.dumps(question(long, model="o4-mini", metadata={tag: "yes"})).encode()
        reply = tenant.caller.request("POST", CHAT, body)
        ids.append(reply.request_id)
    cached = reply.json["usage"]["prompt_tokens_details"]["cached_tokens"]
    assert cached >= 1024
    saved = [rig.record(request_id).rows[0].cache_saved_nano for request_id in ids]
    # Cached input costs $0.275 and other input $1.10 per million.
    assert saved == [0, cached * (1100 - 275)]
    assert tagged(rig, tag)["yes"]["saved"] == saved[1]


def test_what_caching_saves_in_a_response_is_recorded(rig: Rig, tenant: Tenant) -> None:
    long = f"{uuid4().hex} " + "The quick brown fox jumps over the lazy dog. " * 200
    for _ in range(2):
        reply = tenant.caller.post(prompted(long, model="o4-mini"), "/v1/responses")
    cached = reply.json["usage"]["input_tokens_details"]["cached_tokens"]
    assert cached >= 1024
    assert rig.record(reply.request_id).rows[0].cache_saved_nano == cached * (1100 - 275)


def test_refusals_are_written_down_by_client_budget_and_code(rig: Rig) -> None:
    poor = rig.tenant(0)
    limited = rig.tenant(requests_per_minute=1, allowed_models=("gpt-4o-mini",))
    for _ in range(3):
        assert poor.caller.chat().status == 429
    assert limited.caller.chat().status == 200
    assert limited.caller.post({"model": "gpt-4o-mini"}, CHAT).status == 400
    assert limited.caller.chat(model="gpt-4o").status == 403
    assert limited.caller.chat().status == 429
    assert limited.caller.request("POST", CHAT, b"{}", {HEADER: "x", **sim()}).status in (400, 429)
    (budget,) = [row.id for row in rig.directory.budgets() if row.name == poor.budget]

    def counted(tenant: Tenant) -> Counter[tuple[int, str]]:
        found: Counter[tuple[int, str]] = Counter()
        query = select(hourly_refusals).where(hourly_refusals.c.client_id == tenant.id)
        with rig.engine.connect() as connection:
            for row in connection.execute(query):
                found[row.budget_id, row.code] += row.requests
        return found

    assert until(lambda: counted(poor).total() == 3, 20, "the refusals to be written")
    assert counted(poor) == Counter({(budget, "insufficient_quota"): 3})
    assert until(lambda: counted(limited).total() == 4, 20, "the refusals to be written")
    found = counted(limited)
    assert found[0, "model_not_allowed"] == 1
    assert found[0, "rate_limit_exceeded"] >= 1
    assert found[0, "invalid_request_error"] >= 1
