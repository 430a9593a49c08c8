from __future__ import annotations

from typing import Any
from uuid import uuid4

import openai
import pytest
from openai import OpenAI

from gateway.simulator.truth import read_truth
from tests.simulator.conftest import PIXEL, Simulated, question


def test_a_stored_completion_is_read_changed_and_deleted_free(
    simulated: Simulated, client: OpenAI
) -> None:
    made = client.chat.completions.create(**question(store=True, metadata={"team": "a"}))
    before = len(read_truth(simulated.truth_log))
    kept = client.chat.completions.retrieve(made.id)
    assert (kept.id, kept.choices, kept.usage) == (made.id, made.choices, made.usage)
    assert kept.metadata == {"team": "a"}
    assert kept.model_extra is not None
    assert kept.model_extra["request_id"] == made._request_id
    changed = client.chat.completions.update(made.id, metadata={"team": "b"})
    assert changed.metadata == {"team": "b"}
    gone = client.chat.completions.delete(made.id)
    assert (gone.id, gone.deleted, gone.object) == (made.id, True, "chat.completion.deleted")
    for call in (client.chat.completions.retrieve, client.chat.completions.delete):
        with pytest.raises(openai.NotFoundError):
            call(made.id)
    assert len(read_truth(simulated.truth_log)) == before


def test_only_what_asks_for_it_is_stored(client: OpenAI) -> None:
    options: list[dict[str, Any]] = [{}, {"store": False}]
    for rest in options:
        made = client.chat.completions.create(**question(**rest))
        with pytest.raises(openai.NotFoundError):
            client.chat.completions.retrieve(made.id)


def test_a_streamed_completion_is_stored_at_its_end(simulated: Simulated, client: OpenAI) -> None:
    chunks: list[Any] = list(client.chat.completions.create(**question(store=True, stream=True)))
    kept = client.chat.completions.retrieve(chunks[0].id)
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
    assert kept.choices[0].message.content == text
    assert kept.object == "chat.completion"
    mark = uuid4().hex
    body = question(store=True, stream=True, metadata={"mark": mark})
    simulated.raw(body, x_sim_fault="reset-mid-stream")
    assert client.chat.completions.list(metadata={"mark": mark}).data == []


def test_the_list_is_filtered_ordered_and_in_pages(client: OpenAI) -> None:
    mark = {"mark": uuid4().hex}
    made = [
        client.chat.completions.create(
            **question(f"Number {number}", store=True, metadata={**mark, "n": str(number)})
        ).id
        for number in range(3)
    ]
    listed = client.chat.completions.list(metadata=mark, limit=2)
    assert [entry.id for entry in listed.data] == made[:2]
    assert [entry.id for entry in listed] == made
    backwards = client.chat.completions.list(metadata=mark, order="desc")
    assert [entry.id for entry in backwards] == made[::-1]
    one = client.chat.completions.list(metadata={**mark, "n": "1"}, model="gpt-4o-mini")
    assert [entry.id for entry in one] == [made[1]]
    assert client.chat.completions.list(metadata=mark, model="gpt-4o").data == []


def test_the_messages_of_the_request_are_kept(client: OpenAI) -> None:
    parts: Any = [
        {"type": "text", "text": "What is this?"},
        {"type": "image_url", "image_url": {"url": PIXEL}},
    ]
    made = client.chat.completions.create(
        model="gpt-4o",
        messages=[{"role": "system", "content": "Look."}, {"role": "user", "content": parts}],
        store=True,
    )
    system, user = client.chat.completions.messages.list(made.id)
    assert (system.id, system.content, system.content_parts) == (f"{made.id}-0", "Look.", None)
    assert user.content is None
    assert user.content_parts is not None
    assert user.content_parts[0].type == "text"


def test_usage_can_be_missing_in_a_list(simulated: Simulated, client: OpenAI) -> None:
    mark = {"mark": uuid4().hex}
    made = client.chat.completions.create(**question(store=True, metadata=mark))
    headers = {"x-sim-fault": "no-usage"}
    (entry,) = client.chat.completions.list(metadata=mark, extra_headers=headers)
    assert (entry.id, entry.usage) == (made.id, None)


def test_metadata_is_needed_for_a_change(client: OpenAI) -> None:
    made = client.chat.completions.create(**question(store=True))
    with pytest.raises(openai.BadRequestError) as refused:
        client.post(f"/chat/completions/{made.id}", body={}, cast_to=object)
    assert refused.value.code == "missing_required_parameter"
