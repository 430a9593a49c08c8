"""The Python SDK: chat, responses, completions, embeddings, moderations and models."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from tests.compat import material
from tests.compat.material import CHAT_MODEL, WEATHER
from tests.compat.program import Call, Program, every, final, gone, until

TOOL = {"type": "function", "function": WEATHER}
FLAT_TOOL = {"type": "function", **WEATHER}


class Person(BaseModel):
    """A person."""

    name: str
    age: int


def chat(sdk: Any) -> Program:
    answer = yield sdk.chat.completions.create(**material.chat())
    assert answer.choices[0].message.content
    assert answer.usage.completion_tokens > 0
    assert answer._request_id


def chat_stream(sdk: Any) -> Program:
    asked = material.chat(stream=True, stream_options={"include_usage": True})
    chunks = yield every((yield sdk.chat.completions.create(**asked)))
    assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    assert chunks[-1].usage.completion_tokens > 0
    manager = sdk.chat.completions.stream(**material.chat())
    whole = yield final(manager, "get_final_completion")
    assert whole.choices[0].message.content


def chat_tools(sdk: Any) -> Program:
    asked = material.chat(material.TOOL_QUESTION, tools=[TOOL])
    answer = yield sdk.chat.completions.create(**asked)
    (call,) = answer.choices[0].message.tool_calls
    assert json.loads(call.function.arguments)["city"]
    asked["messages"] += [
        answer.choices[0].message.to_dict(),
        {"role": "tool", "tool_call_id": call.id, "content": "It rains."},
    ]
    answer = yield sdk.chat.completions.create(**asked)
    assert answer.choices[0].message.content


def chat_schema(sdk: Any) -> Program:
    answer = yield sdk.chat.completions.parse(**material.chat(), response_format=Person)
    assert isinstance(answer.choices[0].message.parsed, Person)


def stored_chat(sdk: Any) -> Program:
    asked = material.chat(store=True, metadata={"topic": "budgets"})
    made = yield sdk.chat.completions.create(**asked)
    stored = sdk.chat.completions
    assert (yield stored.retrieve(made.id)).id == made.id
    assert made.id in {found.id for found in (yield every(stored.list()))}
    changed = yield stored.update(made.id, metadata={"topic": "windows"})
    assert changed.metadata == {"topic": "windows"}
    messages = yield every(stored.messages.list(made.id))
    assert messages[0].content == asked["messages"][0]["content"]
    assert (yield stored.delete(made.id)).deleted
    yield from gone(lambda: stored.retrieve(made.id))


def completions(sdk: Any) -> Program:
    answer = yield sdk.completions.create(
        model="gpt-3.5-turbo-instruct", prompt="Budgets limit", max_tokens=20
    )
    assert answer.choices[0].text
    assert answer.usage.completion_tokens > 0


def completions_stream(sdk: Any) -> Program:
    stream = yield sdk.completions.create(
        model="gpt-3.5-turbo-instruct", prompt="Budgets limit", max_tokens=20, stream=True
    )
    chunks = yield every(stream)
    assert "".join(chunk.choices[0].text for chunk in chunks if chunk.choices)


def embeddings(sdk: Any) -> Program:
    model = "text-embedding-3-small"
    answer = yield sdk.embeddings.create(model=model, input=["one", "two words"])
    assert [len(entry.embedding) for entry in answer.data] == [1536, 1536]
    answer = yield sdk.embeddings.create(model=model, input="one", encoding_format="base64")
    assert len(base64.b64decode(answer.data[0].embedding)) == 4 * 1536


def moderations(sdk: Any) -> Program:
    answer = yield sdk.moderations.create(input="Budgets limit.")
    assert answer.results[0].flagged is False


def models(sdk: Any) -> Program:
    names = {model.id for model in (yield every(sdk.models.list()))}
    assert {"gpt-4o", CHAT_MODEL, "text-embedding-3-small"} <= names
    assert (yield sdk.models.retrieve("gpt-4o")).id == "gpt-4o"


def responses(sdk: Any) -> Program:
    answer = yield sdk.responses.create(model=CHAT_MODEL, input="What do budgets limit?")
    assert answer.status == "completed"
    assert answer.output_text
    assert answer.usage.output_tokens > 0
    following = yield sdk.responses.create(
        model=CHAT_MODEL, input="And windows?", previous_response_id=answer.id
    )
    assert following.usage.input_tokens > answer.usage.input_tokens


def responses_stream(sdk: Any) -> Program:
    asked: dict[str, Any] = {"model": CHAT_MODEL, "input": "What do budgets limit?"}
    events = yield every((yield sdk.responses.create(**asked, stream=True)))
    assert events[0].type == "response.created"
    assert events[-1].type == "response.completed"
    text = "".join(e.delta for e in events if e.type == "response.output_text.delta")
    assert text == events[-1].response.output_text
    whole = yield final(sdk.responses.stream(**asked), "get_final_response")
    assert whole.output_text


def responses_tools(sdk: Any) -> Program:
    asked: dict[str, Any] = {"model": CHAT_MODEL, "tools": [FLAT_TOOL]}
    answer = yield sdk.responses.create(**asked, input=material.TOOL_QUESTION)
    (call,) = [item for item in answer.output if item.type == "function_call"]
    assert json.loads(call.arguments)["city"]
    told = {"type": "function_call_output", "call_id": call.call_id, "output": "It rains."}
    after = yield sdk.responses.create(**asked, previous_response_id=answer.id, input=[told])
    assert after.output_text


def responses_schema(sdk: Any) -> Program:
    answer = yield sdk.responses.parse(model=CHAT_MODEL, input="Who is Ada?", text_format=Person)
    assert isinstance(answer.output_parsed, Person)


def responses_background(sdk: Any) -> Program:
    def begin(metadata: Mapping[str, str]) -> Any:
        return sdk.responses.create(
            model=CHAT_MODEL, input="Take your time.", background=True, metadata=metadata
        )

    made = yield begin(material.QUICK_RESPONSE)
    assert made.status in ("queued", "in_progress")
    done = yield from until(sdk, lambda: sdk.responses.retrieve(made.id), "completed", "failed")
    assert done.output_text
    slow = yield begin(material.LONG_RESPONSE)
    stopped = yield sdk.responses.cancel(slow.id)
    assert stopped.status == "cancelled"


def stored_responses(sdk: Any) -> Program:
    made = yield sdk.responses.create(model=CHAT_MODEL, input="What do budgets limit?")
    assert (yield sdk.responses.retrieve(made.id)).output_text == made.output_text
    items = yield every(sdk.responses.input_items.list(made.id))
    assert items[0].content[0].text == "What do budgets limit?"
    yield sdk.responses.delete(made.id)
    yield from gone(lambda: sdk.responses.retrieve(made.id))


def responses_count(sdk: Any) -> Program:
    counted = yield sdk.responses.input_tokens.count(model=CHAT_MODEL, input="How many?")
    assert counted.input_tokens > 0


def responses_compact(sdk: Any) -> Program:
    said = [{"role": "user", "content": "What do budgets limit?"}]
    compacted = yield sdk.responses.compact(model=CHAT_MODEL, input=said)
    assert compacted.object == "response.compaction"
    assert compacted.output


CALLS: Mapping[str, Call] = {
    "chat": chat,
    "chat_stream": chat_stream,
    "chat_tools": chat_tools,
    "chat_schema": chat_schema,
    "stored_chat": stored_chat,
    "responses": responses,
    "responses_stream": responses_stream,
    "responses_tools": responses_tools,
    "responses_schema": responses_schema,
    "responses_background": responses_background,
    "stored_responses": stored_responses,
    "responses_count": responses_count,
    "responses_compact": responses_compact,
    "completions": completions,
    "completions_stream": completions_stream,
    "embeddings": embeddings,
    "moderations": moderations,
    "models": models,
}
