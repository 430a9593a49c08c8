"""OpenAI's usage and costs APIs, read by the official SDK over what a deployment has recorded."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from itertools import combinations
from typing import Any

import openai
import pytest
from openai import OpenAI

from gateway.core.roles import Role
from gateway.core.usage_families import FAMILIES, Family
from tests.e2e.every_call import calls
from tests.e2e.organization import admin_sdk, admin_token, buckets, records_of, results, since
from tests.e2e.rig import Rig, Tenant
from tests.e2e.traffic import CHAT, Caller, question

COST_GROUPS = ("project_id", "user_id", "api_key_id", "line_item", "api_source")
FIGURES = {
    "completions": (
        "input_tokens",
        "output_tokens",
        "input_cached_tokens",
        "input_cache_write_tokens",
        "num_model_requests",
    ),
    "embeddings": ("input_tokens", "num_model_requests"),
    "moderations": ("input_tokens", "num_model_requests"),
    "images": ("images", "num_model_requests"),
    "audio_speeches": ("characters", "num_model_requests"),
    "audio_transcriptions": ("num_model_requests",),
}
MADE = {
    "completions": 14,
    "embeddings": 2,
    "moderations": 2,
    "images": 6,
    "audio_speeches": 4,
    "audio_transcriptions": 6,
}
"""Requests that the provider answered, of both clients. Completions of each: a chat, three
responses, a legacy completion, a batch, and a chat that did not report its usage."""


@dataclass(frozen=True)
class Spent:
    """A deployment with two teams that have sent something of everything."""

    rig: Rig
    tenants: tuple[Tenant, Tenant]
    teams: tuple[int, int]
    admin: OpenAI
    records: Any

    @property
    def projects(self) -> list[str]:
        return [f"proj_{team}" for team in self.teams]

    @property
    def total_nano(self) -> int:
        return sum(record.cost_nano for record in self.records)


@pytest.fixture(scope="module")
def spent(rig: Rig) -> Iterator[Spent]:
    tenants = (rig.tenant(10**12, may_fine_tune=True), rig.tenant(10**12, may_fine_tune=True))
    for tenant in tenants:
        with tenant.caller.sdk() as sdk:
            for _ in calls(sdk):
                pass
            # What is read again, and what was refused, is no usage of a model.
            stored = sdk.responses.create(model="gpt-4o-mini", input="Hello?", store=True)
            sdk.responses.retrieve(stored.id)
            sdk.chat.completions.list()
        assert tenant.caller.chat(directed={"status": 500}).status == 500
        assert tenant.caller.chat(directed={"fault": "no-usage"}).status == 200
        assert tenant.caller.post({**question(), "model": "no-such-model"}, CHAT).status == 404
    rig.drain()
    teams = tuple(rig.directory.require_team(tenant.team) for tenant in tenants)
    admin = admin_sdk(rig)
    yield Spent(rig, tenants, teams, admin, records_of(rig, teams))  # type: ignore[arg-type]
    admin.close()


def subsets(names: tuple[str, ...]) -> list[list[str]]:
    return [list(part) for size in range(len(names) + 1) for part in combinations(names, size)]


def test_costs_sum_to_the_records_for_every_group_by(spent: Spent) -> None:
    assert spent.total_nano > 0
    organization = spent.admin.admin.organization
    for group_by in subsets(COST_GROUPS):
        found = results(
            organization.usage.costs,
            start_time=since(),
            project_ids=spent.projects,
            group_by=group_by,
        )
        assert sum(one.amount.value_nano for one in found) == spent.total_nano, group_by
        for one in found:
            grouped = {name for name in COST_GROUPS if getattr(one, name) is not None}
            assert grouped == set(group_by)
            assert one.amount.currency == "usd"


@pytest.mark.parametrize("extension", [["model"], ["tag:image_size"], ["model", "tag:image_size"]])
def test_costs_are_grouped_by_model_and_tag_too(spent: Spent, extension: list[Any]) -> None:
    found = results(
        spent.admin.admin.organization.usage.costs,
        start_time=since(),
        project_ids=spent.projects,
        group_by=extension,
    )
    assert sum(one.amount.value_nano for one in found) == spent.total_nano
    assert len(found) > 1


def test_amounts_are_exact_decimals(spent: Spent) -> None:
    caller = Caller(spent.rig.port, admin_token(spent.rig, Role.FINANCE))
    reply = caller.get(f"/v1/organization/costs?start_time={since()}&group_by=line_item")
    assert reply.headers["cache-control"] == "no-store"
    amounts = [
        result["amount"]
        for bucket in json.loads(reply.body, parse_float=Decimal)["data"]
        for result in bucket["results"]
    ]
    assert amounts
    for one in amounts:
        assert one["value"] * 10**9 == one["value_nano"]


def test_line_items_have_quantities_and_units(spent: Spent) -> None:
    found = results(
        spent.admin.admin.organization.usage.costs,
        start_time=since(),
        project_ids=spent.projects,
        group_by=["line_item"],
    )
    units = {one.line_item: (one.quantity, one.quantity_unit) for one in found}
    cached = sum(r.cached_input_tokens for r in spent.records if r.model == "gpt-4o-mini")
    asked = sum(r.input_tokens for r in spent.records if r.model == "gpt-4o-mini")
    assert units["gpt-4o-mini, input"] == (asked - cached, "tokens")
    seconds = sum(r.audio_milliseconds for r in spent.records if r.model == "whisper-1") / 1000
    assert units["whisper-1, audio_seconds"] == (pytest.approx(seconds), "duration_seconds")
    assert units["dall-e-3, images"] == (2, "images")
    assert units["tts-1, characters"][1] == "characters"


def test_a_line_item_can_be_asked_for(spent: Spent) -> None:
    ask = spent.admin.admin.organization.usage.costs
    query: dict[str, Any] = {"start_time": since(), "project_ids": spent.projects}
    every = {one.line_item: one for one in results(ask, **query, group_by=["line_item"])}
    (one,) = results(ask, **query, line_items=["dall-e-3, images"], group_by=["line_item"])
    assert one == every["dall-e-3, images"]


COUNTED = [family for family in FAMILIES.values() if family.endpoints]


@pytest.mark.parametrize("width", ["1d", "1h", "1m"])
@pytest.mark.parametrize("family", COUNTED, ids=lambda family: family.name)
def test_usage_sums_to_the_same_for_every_group_by(
    spent: Spent, family: Family, width: str
) -> None:
    ask = getattr(spent.admin.admin.organization.usage, family.name)
    limit = {"1d": 31, "1h": 168, "1m": 1440}[width]
    names = FIGURES[family.name]
    groupings = subsets(family.group_by) if width == "1d" else [[], list(family.group_by)]
    for group_by in groupings:
        found = results(
            ask,
            start_time=since(),
            bucket_width=width,
            limit=limit,
            project_ids=spent.projects,
            group_by=group_by,
        )
        figures = {name: sum(getattr(one, name) for one in found) for name in names}
        assert figures["num_model_requests"] == MADE[family.name], group_by
        assert figures == _recorded(spent, family, names), group_by
        for one in found:
            assert one.object == f"organization.usage.{family.result}.result"
            given = {name for name in family.group_by if getattr(one, name) is not None}
            # An image of no size has none to show.
            assert given | {"size"} >= set(group_by)
            assert given <= set(group_by)


def _recorded(spent: Spent, family: Family, names: tuple[str, ...]) -> dict[str, int]:
    columns = {
        "input_cached_tokens": "cached_input_tokens",
        "input_cache_write_tokens": "cache_write_tokens",
    }
    own = [
        record
        for record in spent.records
        if (record.endpoint in family.endpoints and record.model)
        or (record.endpoint == "batches" and family.name == "completions" and record.model)
    ]
    sums = {
        name: sum(getattr(record, columns.get(name, name)) for record in own)
        for name in names
        if name != "num_model_requests"
    }
    good = sum(1 for r in own if r.kind == "request" and r.status < 400)
    return {**sums, "num_model_requests": good}


def test_groups_have_ids_that_filter(spent: Spent) -> None:
    usage = spent.admin.admin.organization.usage
    by: list[Any] = ["project_id", "user_id", "api_key_id"]
    found = results(usage.completions, start_time=since(), project_ids=spent.projects, group_by=by)
    assert {(one.project_id, one.user_id, one.api_key_id) for one in found} == {
        (f"proj_{team}", f"user_{tenant.id}", f"key_{tenant.key.id}")
        for team, tenant in zip(spent.teams, spent.tenants, strict=True)
    }
    for one in found:
        for name, value in (("user_ids", one.user_id), ("api_key_ids", one.api_key_id)):
            again: dict[str, Any] = {name: [value]}
            same = results(usage.completions, start_time=since(), **again)
            assert sum(r.input_tokens for r in same) == one.input_tokens


def test_batches_are_told_apart(spent: Spent) -> None:
    ask = spent.admin.admin.organization.usage.completions
    query: dict[str, Any] = {"start_time": since(), "project_ids": spent.projects}
    counts = {
        batch: sum(one.num_model_requests for one in results(ask, **query, batch=batch))
        for batch in (True, False)
    }
    assert counts == {True: 2, False: MADE["completions"] - 2}
    grouped = results(ask, **query, group_by=["batch"])
    assert {one.batch: one.num_model_requests for one in grouped} == counts


def test_images_have_sizes_and_sources(spent: Spent) -> None:
    ask = spent.admin.admin.organization.usage.images
    query: dict[str, Any] = {"start_time": since(), "project_ids": spent.projects}
    sources = {one.source: one.images for one in results(ask, **query, group_by=["source"])}
    assert sources == {"image.generation": 4, "image.edit": 2}
    for width in ("1d", "1h"):
        by_size = results(ask, **query, group_by=["size"], bucket_width=width)
        assert {one.size for one in by_size} == {"1024x1024"}
        small = results(ask, **query, sizes=["256x256"], bucket_width=width)
        assert small == []
    edited = results(ask, **query, sources=["image.edit"])
    assert sum(one.images for one in edited) == 2


def test_pages_are_those_of_one_range(spent: Spent) -> None:
    ask = spent.admin.admin.organization.usage.completions
    start = since() - 9 * 86_400
    whole = list(buckets(ask, start_time=start, limit=31))
    parted = list(buckets(ask, start_time=start, limit=2))
    assert [one.start_time for one in whole] == [start + 86_400 * day for day in range(11)]
    assert parted == whole
    assert all(one.end_time - one.start_time == 86_400 for one in whole)
    assert all(one.object == "bucket" for one in whole)


def test_fees_and_what_is_not_served_are_empty(spent: Spent) -> None:
    usage = spent.admin.admin.organization.usage
    for ask in (usage.vector_stores, usage.code_interpreter_sessions, usage.file_search_calls):
        found = list(buckets(ask, start_time=since(), bucket_width="1d"))
        assert len(found) == 2
        assert all(one.results == [] for one in found)


def test_an_owner_sees_one_team(spent: Spent) -> None:
    with admin_sdk(spent.rig, Role.OWNER, spent.tenants[0].team) as owner:
        usage = owner.admin.organization.usage
        found = results(usage.costs, start_time=since(), group_by=["project_id"])
        assert {one.project_id for one in found} == {spent.projects[0]}
        own = [r for r in spent.records if r.team_id == spent.teams[0]]
        assert sum(one.amount.value_nano for one in found) == sum(r.cost_nano for r in own)
        others = results(usage.costs, start_time=since(), project_ids=[spent.projects[1]])
        assert others == []


def test_a_client_and_nobody_see_nothing(spent: Spent) -> None:
    key = spent.tenants[0].key.secret
    url = f"http://127.0.0.1:{spent.rig.port}/v1"
    with (
        OpenAI(admin_api_key=key, base_url=url, max_retries=0) as client,
        pytest.raises(openai.PermissionDeniedError),
    ):
        client.admin.organization.usage.completions(start_time=since())
    with (
        OpenAI(admin_api_key="fga-nonsense", base_url=url, max_retries=0) as stranger,
        pytest.raises(openai.AuthenticationError),
    ):
        stranger.admin.organization.usage.costs(start_time=since())


@pytest.mark.parametrize(
    ("path", "param"),
    [
        ("usage/completions", "start_time"),
        ("usage/completions?start_time=x", "start_time"),
        ("usage/completions?start_time=1&start_time=2", "start_time"),
        ("usage/completions?start_time=-5", "start_time"),
        ("usage/completions?start_time=1&bucket_width=1w", "bucket_width"),
        ("costs?start_time=1&bucket_width=1h", "bucket_width"),
        ("usage/completions?start_time=1&limit=32", "limit"),
        ("usage/completions?start_time=1&bucket_width=1m&limit=1441", "limit"),
        ("costs?start_time=1&limit=181", "limit"),
        ("usage/completions?start_time=1&group_by=line_item", "group_by"),
        ("usage/embeddings?start_time=1&group_by[]=batch", "group_by"),
        ("costs?start_time=1&group_by=tag:", "group_by"),
        ("costs?start_time=1&group_by=tag:a&group_by=tag:b", "group_by"),
        ("costs?start_time=1&group_by=tag:a&group_by=line_item", "group_by"),
        ("usage/completions?start_time=1&project_ids=team", "project_ids"),
        ("usage/completions?start_time=1&user_ids[]=proj_1", "user_ids"),
        ("usage/completions?start_time=1&batch=yes", "batch"),
        ("usage/images?start_time=1&sources=image", "sources"),
        ("usage/completions?start_time=1&page=page_no", "page"),
        ("usage/completions?start_time=1&modles=gpt-4o", "modles"),
        ("usage/embeddings?start_time=1&batch=true", "batch"),
    ],
)
def test_a_query_that_is_wrong_is_named(spent: Spent, path: str, param: str) -> None:
    caller = Caller(spent.rig.port, admin_token(spent.rig))
    reply = caller.get(f"/v1/organization/{path}")
    assert (reply.status, reply.error["param"]) == (400, param)


def test_lists_are_read_in_both_forms(spent: Spent) -> None:
    caller = Caller(spent.rig.port, admin_token(spent.rig))
    path = f"/v1/organization/costs?start_time={since()}"
    brackets = caller.get(f"{path}&group_by[]=project_id&group_by[]=line_item").json
    assert brackets == caller.get(f"{path}&group_by=project_id&group_by=line_item").json


@pytest.mark.parametrize(
    "path", ["usage/decisions", "usage/web_search_calls", "invites", "certificates", "audit_logs"]
)
def test_the_rest_is_refused_clearly(spent: Spent, path: str) -> None:
    caller = Caller(spent.rig.port, admin_token(spent.rig))
    reply = caller.get(f"/v1/organization/{path}")
    assert (reply.status, reply.error["code"]) == (404, "endpoint_not_supported")
    assert "docs/usage-api.md" in reply.error["message"]
