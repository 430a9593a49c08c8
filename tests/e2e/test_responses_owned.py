"""Responses belong to the client that made them: to all others they do not exist."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import openai
import pytest

from gateway.adapters.object_rows import write_objects
from gateway.core.objects import Kind, OwnedObject
from gateway.core.policy import Sharing
from tests.e2e.provider import report, until
from tests.e2e.rig import Rig, Tenant
from tests.e2e.traffic import RESPONSES, Caller, Reply, data_of, prompted


@dataclass(frozen=True)
class Owned:
    """A client, and a response of its own with an item and a file."""

    tenant: Tenant
    response_id: str
    item_id: str
    search_id: str
    file_id: str


def _make(rig: Rig) -> Owned:
    tenant = rig.tenant(10**12)
    body = prompted("Search the web.", tools=[{"type": "web_search"}])
    made = tenant.caller.post(body, RESPONSES, tool_calls=1).json
    search, message = made["output"]
    file_id = f"file-{tenant.name}"
    owner = OwnedObject(Kind.FILE, file_id, tenant_team(rig, tenant), tenant.id, 1, 0)
    write_objects(rig.engine, [owner])
    return Owned(tenant, made["id"], message["id"], search["id"], file_id)


def tenant_team(rig: Rig, tenant: Tenant) -> int:
    (row,) = [team for team in rig.directory.teams() if team.name == tenant.team]
    return int(row.id)


@pytest.fixture(scope="module")
def clients(rig: Rig) -> list[Owned]:
    return [_make(rig) for _ in range(3)]


def _paths(response_id: str) -> list[tuple[str, str]]:
    path = f"{RESPONSES}/{response_id}"
    return [
        ("GET", path),
        ("GET", f"{path}?stream=true"),
        ("GET", f"{path}/input_items"),
        ("POST", f"{path}/cancel"),
        ("DELETE", path),
    ]


def _bodies(one: Owned) -> list[dict[str, Any]]:
    """Every place of a body that names an object of ``one``."""
    reasoning = {"type": "reasoning", "summary": []}
    search = {"type": "web_search_call", "status": "completed"}
    file = {"file_id": one.file_id}
    return [
        prompted(previous_response_id=one.response_id),
        prompted(prompt_cache_options={"comparison_response_id": one.response_id}),
        prompted(input=[{"type": "item_reference", "id": one.item_id}]),
        prompted(input=[{"id": one.item_id}]),
        prompted(input=[{**reasoning, "id": one.item_id}]),
        prompted(input=[{**search, "id": one.search_id}]),
        prompted(input=[{"role": "user", "content": [{"type": "input_file", **file}]}]),
        prompted(input=[{"role": "user", "content": [{"type": "input_image", **file}]}]),
        prompted(
            input=[
                {"type": "function_call_output", "output": [{"type": "input_image", **file}]},
            ]
        ),
    ]


UNKNOWN_IDS = Owned(None, "resp_x0", "msg_x0", "ws_x0", "file-x0")  # type: ignore[arg-type]


def _told(reply: Reply, one: Owned) -> str:
    """What a refusal says, but for the id that was asked for."""
    text = json.dumps([reply.status, reply.error])
    for name in (one.response_id, one.item_id, one.search_id, one.file_id):
        text = text.replace(name, "*")
    return text


def test_anothers_is_unknown_in_every_way(rig: Rig, clients: list[Owned]) -> None:
    before = rig.provider.totals()["requests"]
    refused = 0
    for mine, theirs in itertools.permutations(clients, 2):
        caller = mine.tenant.caller
        for (method, path), (_, unknown) in zip(
            _paths(theirs.response_id), _paths(UNKNOWN_IDS.response_id), strict=True
        ):
            reply, other = caller.request(method, path), caller.request(method, unknown)
            assert reply.status == 404, (method, path, reply.body)
            assert _told(reply, theirs) == _told(other, UNKNOWN_IDS)
            refused += 1
        for place in (RESPONSES, f"{RESPONSES}/input_tokens", f"{RESPONSES}/compact"):
            for body, other_body in zip(_bodies(theirs), _bodies(UNKNOWN_IDS), strict=True):
                reply, other = caller.post(body, place), caller.post(other_body, place)
                assert reply.status in (400, 404), (place, body, reply.body)
                assert _told(reply, theirs) == _told(other, UNKNOWN_IDS)
                assert theirs.tenant.name not in reply.body.decode().replace(theirs.file_id, "")
                refused += 1
    rig.drain()
    assert rig.provider.totals()["requests"] == before, "a foreign id reached the provider"
    report(f"{refused} requests for what is another's, 0 answered")


def test_a_previous_response_is_missed_as_openai_says_it(clients: list[Owned]) -> None:
    mine, theirs = clients[:2]
    with mine.tenant.caller.sdk() as sdk, pytest.raises(openai.BadRequestError) as missed:
        sdk.responses.create(**prompted(previous_response_id=theirs.response_id))
    assert missed.value.code == "previous_response_not_found"
    assert missed.value.param == "previous_response_id"
    assert theirs.response_id in missed.value.message


def test_ones_own_is_there(clients: list[Owned]) -> None:
    mine = clients[0]
    caller = mine.tenant.caller
    with caller.sdk() as sdk:
        assert sdk.responses.retrieve(mine.response_id).id == mine.response_id
        items = list(sdk.responses.input_items.list(mine.response_id))
        assert len(items) == 1
        more = sdk.responses.create(**prompted(previous_response_id=mine.response_id))
        assert more.previous_response_id == mine.response_id
    # The simulator keeps no items by their ids, and no files: that it is asked is enough.
    for body in (_bodies(mine)[2], _bodies(mine)[6]):
        answer = caller.post(body, RESPONSES)
        assert "x-request-id" in answer.headers
    search = {"type": "web_search_call", "id": mine.search_id, "status": "completed"}
    replayed = prompted(input=[search, {"role": "user", "content": "And?"}])
    assert caller.post(replayed, RESPONSES).status == 200


def test_a_deleted_response_is_unknown(rig: Rig) -> None:
    tenant = rig.tenant(10**12)
    with tenant.caller.sdk() as sdk:
        made = sdk.responses.create(**prompted())
        sdk.responses.delete(made.id)
        with pytest.raises(openai.NotFoundError):
            sdk.responses.retrieve(made.id)
        with pytest.raises(openai.BadRequestError, match="not found"):
            sdk.responses.create(**prompted(previous_response_id=made.id))


@pytest.mark.parametrize("stream", [False, True])
def test_what_is_not_stored_has_no_owner(rig: Rig, stream: bool) -> None:
    tenant = rig.tenant(10**12)
    body = prompted(store=False)
    if stream:
        made = data_of(tenant.caller.streamed(body, RESPONSES).all())[-1]["response"]
    else:
        made = tenant.caller.post(body, RESPONSES).json
    assert tenant.caller.get(f"{RESPONSES}/{made['id']}").status == 404


def test_ids_of_a_stream_are_owned_before_they_are_seen(rig: Rig) -> None:
    tenant = rig.tenant(10**12)
    stream = tenant.caller.streamed(prompted(), RESPONSES, token_interval_ms=20, output_tokens=60)
    events = stream.events()
    created = data_of(next(events))[0]
    assert created["type"] == "response.created"
    path = f"{RESPONSES}/{created['response']['id']}"
    # Not kept by the simulator before its end; that it is asked is enough.
    assert "x-request-id" in tenant.caller.get(path).headers
    for _ in events:
        pass
    assert tenant.caller.get(path).status == 200


def test_a_team_may_share(rig: Rig) -> None:
    owner = rig.tenant(10**12)
    made = owner.caller.post(prompted(), RESPONSES).json
    name = f"mate-of-{owner.name}"
    rig.directory.create_client(owner.team, name)
    key = rig.directory.create_key(name)
    rig.publish()
    mate = Caller(rig.port, key.secret)
    path = f"{RESPONSES}/{made['id']}"
    assert mate.get(path).status == 404
    rig.directory.change_team(owner.team, Sharing.TEAM)
    rig.publish()
    # A refusal needs no budget, so nothing tells a process at once that its policy is old.
    until(lambda: mate.get(path).status == 200, 10, "the team to share")


def test_reading_is_recorded_and_free(rig: Rig, clients: list[Owned]) -> None:
    mine = clients[0]
    spent = rig.counters(mine.tenant.budget)["spent"]
    replies = [
        mine.tenant.caller.get(f"{RESPONSES}/{mine.response_id}{rest}")
        for rest in ("", "?include=message.output_text.logprobs", "/input_items?limit=1&order=asc")
    ]
    rig.drain()
    records: Mapping[str, Any] = rig.records()
    for reply in replies:
        assert reply.status == 200
        record = records[reply.request_id]
        assert (record.cost_nano, record.certainty) == (0, "exact")
    assert rig.counters(mine.tenant.budget)["spent"] == spent
