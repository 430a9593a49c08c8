"""Plain ``curl``: chat, responses, completions, embeddings, moderations and models."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from tests.compat import material
from tests.compat.curl import Curl, CurlCall
from tests.compat.material import CHAT_MODEL, PERSON, WEATHER
from tests.e2e.traffic import data_of

CHAT = "/chat/completions"
TOOL = {"type": "function", "function": WEATHER}
FLAT_TOOL = {"type": "function", **WEATHER}
SCHEMA = {"name": "person", "strict": True, "schema": PERSON}
COMPLETION = {"model": "gpt-3.5-turbo-instruct", "prompt": "Budgets limit", "max_tokens": 20}


def chat(curl: Curl) -> None:
    answer = curl.post(CHAT, material.chat())
    assert answer["choices"][0]["message"]["content"]
    assert answer["usage"]["completion_tokens"] > 0


def chat_stream(curl: Curl) -> None:
    options = {"include_usage": True}
    reply = curl.send(CHAT, material.chat(stream=True, stream_options=options))
    assert reply.headers["content-type"].startswith("text/event-stream")
    assert b"data: [DONE]" in reply.body
    *chunks, last = data_of(reply.body)
    assert "".join(c["choices"][0]["delta"].get("content") or "" for c in chunks)
    assert last["usage"]["completion_tokens"] > 0


def chat_tools(curl: Curl) -> None:
    asked = material.chat(material.TOOL_QUESTION, tools=[TOOL])
    message = curl.post(CHAT, asked)["choices"][0]["message"]
    (call,) = message["tool_calls"]
    assert json.loads(call["function"]["arguments"])["city"]
    told = {"role": "tool", "tool_call_id": call["id"], "content": "It rains."}
    asked["messages"] += [message, told]
    assert curl.post(CHAT, asked)["choices"][0]["message"]["content"]


def chat_schema(curl: Curl) -> None:
    form = {"type": "json_schema", "json_schema": SCHEMA}
    answer = curl.post(CHAT, material.chat(response_format=form))
    content = json.loads(answer["choices"][0]["message"]["content"])
    assert content.keys() == {"name", "age"}


def stored_chat(curl: Curl) -> None:
    made = curl.post(CHAT, material.chat(store=True, metadata={"topic": "budgets"}))
    one = f"{CHAT}/{made['id']}"
    assert curl.read(one)["id"] == made["id"]
    assert made["id"] in {found["id"] for found in curl.read(CHAT)["data"]}
    changed = curl.post(one, {"metadata": {"topic": "windows"}})
    assert changed["metadata"] == {"topic": "windows"}
    assert curl.read(f"{one}/messages")["data"][0]["content"]
    assert curl.delete(one)["deleted"]
    assert curl.get(one).status == 404


def completions(curl: Curl) -> None:
    answer = curl.post("/completions", COMPLETION)
    assert answer["choices"][0]["text"]
    assert answer["usage"]["completion_tokens"] > 0


def completions_stream(curl: Curl) -> None:
    chunks = data_of(curl.send("/completions", {**COMPLETION, "stream": True}).body)
    assert "".join(chunk["choices"][0]["text"] for chunk in chunks if chunk["choices"])


def embeddings(curl: Curl) -> None:
    asked = {"model": "text-embedding-3-small", "input": ["one", "two words"]}
    answer = curl.post("/embeddings", asked)
    assert [len(entry["embedding"]) for entry in answer["data"]] == [1536, 1536]


def moderations(curl: Curl) -> None:
    answer = curl.post("/moderations", {"input": "Budgets limit."})
    assert answer["results"][0]["flagged"] is False


def models(curl: Curl) -> None:
    names = {model["id"] for model in curl.read("/models")["data"]}
    assert {"gpt-4o", CHAT_MODEL, "text-embedding-3-small"} <= names
    assert curl.read("/models/gpt-4o")["id"] == "gpt-4o"


def _text_of(answer: Mapping[str, Any]) -> str:
    messages = [item for item in answer["output"] if item["type"] == "message"]
    return "".join(part["text"] for message in messages for part in message["content"])


def responses(curl: Curl) -> None:
    asked = {"model": CHAT_MODEL, "input": "What do budgets limit?"}
    answer = curl.post("/responses", asked)
    assert answer["status"] == "completed"
    assert _text_of(answer)
    following = {**asked, "previous_response_id": answer["id"]}
    after = curl.post("/responses", following)
    assert after["usage"]["input_tokens"] > answer["usage"]["input_tokens"]


def responses_stream(curl: Curl) -> None:
    asked = {"model": CHAT_MODEL, "input": "What do budgets limit?", "stream": True}
    body = curl.send("/responses", asked).body
    data = [line[6:] for line in body.split(b"\n") if line.startswith(b"data: ")]
    events = [json.loads(line) for line in data]
    assert events[0]["type"] == "response.created"
    assert events[-1]["type"] == "response.completed"
    deltas = [e["delta"] for e in events if e["type"] == "response.output_text.delta"]
    assert "".join(deltas) == _text_of(events[-1]["response"])


def responses_tools(curl: Curl) -> None:
    asked = {"model": CHAT_MODEL, "tools": [FLAT_TOOL]}
    answer = curl.post("/responses", {**asked, "input": material.TOOL_QUESTION})
    (call,) = [item for item in answer["output"] if item["type"] == "function_call"]
    assert json.loads(call["arguments"])["city"]
    told = {"type": "function_call_output", "call_id": call["call_id"], "output": "It rains."}
    following = {**asked, "previous_response_id": answer["id"], "input": [told]}
    assert _text_of(curl.post("/responses", following))


def responses_schema(curl: Curl) -> None:
    form = {"format": {"type": "json_schema", **SCHEMA}}
    answer = curl.post("/responses", {"model": CHAT_MODEL, "input": "Who is Ada?", "text": form})
    assert json.loads(_text_of(answer)).keys() == {"name", "age"}


def responses_background(curl: Curl) -> None:
    asked = {"model": CHAT_MODEL, "input": "Take your time.", "background": True}
    made = curl.post("/responses", {**asked, "metadata": material.QUICK_RESPONSE})
    assert made["status"] in ("queued", "in_progress")
    assert _text_of(curl.until(f"/responses/{made['id']}", "completed", "failed"))
    slow = curl.post("/responses", {**asked, "metadata": material.LONG_RESPONSE})
    assert curl.post(f"/responses/{slow['id']}/cancel")["status"] == "cancelled"


def stored_responses(curl: Curl) -> None:
    asked = {"model": CHAT_MODEL, "input": "What do budgets limit?"}
    made = curl.post("/responses", asked)
    one = f"/responses/{made['id']}"
    assert _text_of(curl.read(one)) == _text_of(made)
    items = curl.read(f"{one}/input_items")["data"]
    assert items[0]["content"][0]["text"] == "What do budgets limit?"
    curl.delete(one)
    assert curl.get(one).status == 404


def responses_count(curl: Curl) -> None:
    asked = {"model": CHAT_MODEL, "input": "How many?"}
    assert curl.post("/responses/input_tokens", asked)["input_tokens"] > 0


def responses_compact(curl: Curl) -> None:
    said = [{"role": "user", "content": "What do budgets limit?"}]
    answer = curl.post("/responses/compact", {"model": CHAT_MODEL, "input": said})
    assert answer["object"] == "response.compaction"


CALLS: Mapping[str, CurlCall] = {
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
