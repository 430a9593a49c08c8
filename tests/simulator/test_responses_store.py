from __future__ import annotations

from typing import Any

import openai
import pytest
from openai import OpenAI

from gateway.simulator.truth import read_truth
from tests.simulator.conftest import Simulated
from tests.simulator.test_responses import MODEL


def test_a_response_is_read_again_free(simulated: Simulated, client: OpenAI) -> None:
    answer = client.responses.create(model=MODEL, input="Hello")
    before = len(read_truth(simulated.truth_log))
    assert client.responses.retrieve(answer.id).model_dump() == answer.model_dump()
    assert len(read_truth(simulated.truth_log)) == before


def test_a_streamed_response_is_kept_at_its_end(client: OpenAI) -> None:
    events: list[Any] = list(client.responses.create(model=MODEL, input="Hello", stream=True))
    final = events[-1].response
    kept = client.responses.retrieve(final.id)
    assert (kept.status, kept.usage, kept.output) == (final.status, final.usage, final.output)


def test_what_is_not_stored_or_deleted_is_not_found(client: OpenAI) -> None:
    unstored = client.responses.create(model=MODEL, input="Hello", store=False)
    assert unstored.model_extra == {"store": False}
    stored = client.responses.create(model=MODEL, input="Hello")
    reply = client.responses.with_raw_response.delete(stored.id)
    assert reply.http_response.json() == {"id": stored.id, "object": "response", "deleted": True}
    for identity in (unstored.id, stored.id, "resp_nothing"):
        with pytest.raises(openai.NotFoundError) as refused:
            client.responses.retrieve(identity)
        assert refused.value.body == {
            "message": f"Response with id '{identity}' not found.",
            "type": "invalid_request_error",
            "param": None,
            "code": None,
        }
    for call in (client.responses.delete, client.responses.cancel):
        with pytest.raises(openai.NotFoundError):
            call(stored.id)


def test_input_items_come_in_pages_in_both_orders(client: OpenAI) -> None:
    items: Any = [{"role": "user", "content": f"Part {number}"} for number in range(5)]
    first = client.responses.create(model=MODEL, input=items)
    page = client.responses.input_items.list(first.id, limit=2)
    everything: list[Any] = list(page)
    assert [item.content[0].text for item in everything] == [
        f"Part {number}" for number in (4, 3, 2, 1, 0)
    ]
    assert len(page.data) == 2
    assert page.has_more
    ascending: list[Any] = list(client.responses.input_items.list(first.id, order="asc"))
    assert ascending == list(reversed(everything))
    second = client.responses.create(model=MODEL, input="More", previous_response_id=first.id)
    roles = [item.role for item in _all(client, second.id)]
    assert roles == ["user"] * 5 + ["assistant", "user"]


def _all(client: OpenAI, identity: str) -> list[Any]:
    return list(client.responses.input_items.list(identity, order="asc", limit=100))
