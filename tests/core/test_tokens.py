"""The prompt bounds against counts the API has returned and against the published rules."""

from __future__ import annotations

import base64
import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.adapters.tokenizer import Tokenizer
from gateway.core.catalog import facts_for
from gateway.core.errors import BadRequest
from gateway.core.tokens import (
    REPLY_TOKENS,
    SLACK_TOKENS,
    UNKNOWN_TEMPLATE_TOKENS,
    PromptBound,
    count_chat_prompt,
    count_embedding_input,
)

CORPUS: list[dict[str, Any]] = json.loads(
    (Path(__file__).parent.parent / "corpus" / "prompts.json").read_text("utf-8")
)
TOKENIZER = Tokenizer()


def counter(model: str) -> Callable[[str], int]:
    encoding = facts_for(model).encoding
    return lambda text: TOKENIZER.count(text, encoding)


def bound(body: dict[str, Any], model: str = "gpt-4o") -> PromptBound:
    return count_chat_prompt(body, facts_for(model), counter(model))


def user(content: object) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": content}]}


def cookbook_tokens(messages: list[dict[str, str]], count: Callable[[str], int]) -> int:
    """The Cookbook's rule, written out independently: 3 a message, 1 a name, 3 for the reply."""
    return 3 + sum(
        3 + sum(count(value) for value in message.values()) + ("name" in message)
        for message in messages
    )


def typescript(schema: dict[str, Any], indent: int = 0) -> str:
    """A schema as OpenAI declares parameters in the prompt, found by hmarr/openai-chat-tokens."""
    if "enum" in schema:
        return " | ".join(json.dumps(value, ensure_ascii=False) for value in schema["enum"])
    kind = schema.get("type")
    if kind == "array":
        return typescript(schema["items"], indent) + "[]"
    if kind != "object":
        return "number" if kind == "integer" else str(kind)
    lines = []
    for name, inner in schema["properties"].items():
        lines += [f"// {line}" for line in inner.get("description", "").split("\n") if line]
        mark = "" if name in schema.get("required", ()) else "?"
        lines.append(f"{name}{mark}: {typescript(inner, indent + 2)},")
    return "\n".join(["{", *(" " * indent + line for line in lines), "}"])


def declaration(function: dict[str, Any]) -> str:
    comment = f"// {function['description']}\n" if "description" in function else ""
    return (
        "namespace functions {\n\n"
        f"{comment}type {function['name']} = (_: {typescript(function['parameters'])}) => any;\n\n"
        "} // namespace functions"
    )


@pytest.mark.parametrize(
    "case", [case for case in CORPUS if "provider_tokens" in case], ids=lambda case: case["name"]
)
def test_bound_is_at_least_what_the_api_counted(case: dict[str, Any]) -> None:
    found = bound(case["body"], case["model"]).tokens
    truth = case["provider_tokens"]
    assert found >= truth
    if case["text_only"]:
        assert found <= max(truth * 1.1, truth + 12)
    else:
        assert found <= truth * 2


@pytest.mark.parametrize(
    "case", [case for case in CORPUS if case["text_only"]], ids=lambda case: case["name"]
)
def test_plain_text_is_close_to_the_published_rule(case: dict[str, Any]) -> None:
    count = counter(case["model"])
    expected = cookbook_tokens(case["body"]["messages"], count)
    found = bound(case["body"], case["model"])
    assert expected <= found.tokens <= max(expected * 1.1, expected + 12)
    assert not found.hidden


def test_corpus_is_large_and_valid() -> None:
    assert len(CORPUS) >= 40
    for case in CORPUS:
        found = bound(case["body"], case["model"])
        assert found.tokens > 0
        assert not found.hidden, case["name"]


names = st.from_regex(r"[a-z_]{1,20}", fullmatch=True)
texts = st.text(st.characters(codec="utf-8", exclude_characters="\r"), min_size=1, max_size=40)
leaves: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {"type": st.sampled_from(["string", "number", "integer", "boolean"])},
    optional={"description": texts},
) | st.fixed_dictionaries(
    {"type": st.just("string"), "enum": st.lists(texts, min_size=1, max_size=9, unique=True)}
)


def containers(inner: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({"type": st.just("array"), "items": inner}) | objects(inner)


def objects(inner: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries(
        {"type": st.just("object"), "properties": st.dictionaries(names, inner, max_size=4)}
    )


@settings(max_examples=150, deadline=None)
@given(
    function=st.fixed_dictionaries(
        {"name": names, "parameters": objects(st.recursive(leaves, containers, max_leaves=8))},
        optional={"description": texts},
    ),
    model=st.sampled_from(["gpt-4o", "gpt-3.5-turbo"]),
)
def test_tools_are_above_their_declaration(function: dict[str, Any], model: str) -> None:
    plain = bound(user("hello"), model).tokens
    tools = bound({**user("hello"), "tools": [{"type": "function", "function": function}]}, model)
    # 9 tokens beside the declaration: hmarr/openai-chat-tokens
    assert tools.tokens - plain >= counter(model)(declaration(function)) + 9


def test_results_of_parallel_calls_are_counted_escaped() -> None:
    """community.openai.com/t/1375117: three results of a Korean word, 1,000 times each, were
    billed 39,235 tokens, all but 232 of them for their escaped text; one result 1,121."""

    def conversation(calls: int) -> dict[str, Any]:
        made = [
            {"id": str(n), "type": "function", "function": {"name": "f", "arguments": "{}"}}
            for n in range(calls)
        ]
        results = [
            {"role": "tool", "tool_call_id": str(n), "content": "테스트 " * 1000}
            for n in range(calls)
        ]
        return {"messages": [{"role": "assistant", "tool_calls": made}, *results]}

    assert 1_000 <= bound(conversation(1), "gpt-4.1").tokens <= 1_121
    assert 39_235 - 232 <= bound(conversation(3), "gpt-4.1").tokens <= 39_235
    later = conversation(3)
    later["messages"].append({"role": "user", "content": "테스트 " * 1000})
    grown = bound(later, "gpt-4.1").tokens - bound(conversation(3), "gpt-4.1").tokens
    assert grown <= 1_010


def test_second_function_brings_the_parallel_wrapper_unless_switched_off() -> None:
    tool = {"type": "function", "function": {"name": "f", "parameters": {}}}
    one = bound({**user("x"), "tools": [tool]}).tokens
    two = bound({**user("x"), "tools": [tool, tool]}).tokens
    serial = bound({**user("x"), "tools": [tool, tool], "parallel_tool_calls": False}).tokens
    assert two - serial >= 195
    assert serial - one < 40


def test_referenced_definitions_count_wherever_they_may_be_written_out() -> None:
    def schema(levels: int) -> dict[str, Any]:
        doubling: dict[str, Any] = {
            f"d{n}": {
                "type": "object",
                "properties": {side: {"$ref": f"#/$defs/d{n + 1}"} for side in "ab"},
            }
            for n in range(levels)
        }
        doubling[f"d{levels}"] = {"type": "string"}
        return {"type": "object", "properties": {"x": {"$ref": "#/$defs/d0"}}, "$defs": doubling}

    def tokens(levels: int) -> int:
        function = {"name": "f", "parameters": schema(levels)}
        return bound({**user("x"), "tools": [{"type": "function", "function": function}]}).tokens

    assert tokens(3) > 2**3 * 10
    assert tokens(12) > 2**12 * 10
    assert 10_000_000 <= tokens(60) < 11_000_000
    loop = {"$ref": "#/$defs/node", "$defs": {"node": {"items": {"$ref": "#/$defs/node"}}}}
    body = {**user("x"), "response_format": {"type": "json_schema", "json_schema": loop}}
    assert bound(body).tokens < 200


def test_images_count_into_the_prompt_and_on_their_own() -> None:
    low = {"type": "image_url", "image_url": {"url": "https://example.com/a", "detail": "low"}}
    high = {"type": "image_url", "image_url": {"url": "https://example.com/a"}}
    assert bound(user([low])).image_tokens == 85
    found = bound(user([low, high]))
    assert found.image_tokens == 85 + 85 + 8 * 170
    assert found.tokens > found.image_tokens


@pytest.mark.parametrize(
    ("content", "model", "reason"),
    [
        ([{"type": "file", "file": {"file_id": "file-1"}}], "gpt-4o", "a file"),
        ([{"type": "hologram", "x": 1}], "gpt-4o", "a part of type 'hologram'"),
        ([{"type": "image_url", "image_url": {"url": "u"}}], "gpt-3.5-turbo", "an image"),
        (
            [{"type": "input_audio", "input_audio": {"data": "", "format": "flac"}}],
            "gpt-audio",
            "a recording",
        ),
    ],
)
def test_what_cannot_be_counted_is_named(
    content: list[dict[str, Any]], model: str, reason: str
) -> None:
    (hidden,) = bound(user(content), model).hidden
    assert hidden.startswith(f"messages[0].content[0]: {reason}") or reason in hidden


def test_earlier_spoken_answer_is_hidden() -> None:
    message = {"role": "assistant", "audio": {"id": "audio_1"}}
    assert bound({"messages": [message]}, "gpt-audio").hidden == (
        "messages[0].audio: an earlier spoken answer",
    )


def wav(seconds: int, rate: int = 8_000, codec: int = 1) -> str:
    fields = struct.pack("<IHHIIHH", 16, codec, 1, rate, 999_999_999, 2, 16)
    samples = bytes(seconds * rate * 2)
    riff = b"WAVEfmt " + fields + b"data" + struct.pack("<I", len(samples)) + samples
    return base64.b64encode(b"RIFF" + struct.pack("<I", len(riff)) + riff).decode()


def test_recordings_are_bounded_by_the_longest_time_they_can_play() -> None:
    def audio(data: str, kind: str) -> PromptBound:
        part = {"type": "input_audio", "input_audio": {"data": data, "format": kind}}
        return bound(user([part]), "gpt-audio")

    assert 30 <= audio(wav(3), "wav").audio_tokens <= 45
    assert audio(wav(3), "wav").tokens > audio(wav(3), "wav").audio_tokens
    assert audio(wav(3, codec=85), "wav").hidden  # compressed: its time cannot be told
    assert audio("AAAA", "wav").hidden
    # ten seconds at the lowest bit rate of MP3
    assert audio(base64.b64encode(bytes(10_000)).decode(), "mp3").audio_tokens >= 100


def test_prediction_is_counted_apart() -> None:
    text = "class User: pass"
    plain = bound(user("hello"))
    predicted = bound({**user("hello"), "prediction": {"type": "content", "content": text}})
    assert predicted.tokens == plain.tokens
    assert predicted.predicted_tokens == counter("gpt-4o")(text)
    parts = {"content": [{"type": "text", "text": text}]}
    assert bound({**user("hello"), "prediction": parts}).predicted_tokens >= counter("gpt-4o")(text)


def test_unknown_message_fields_count_as_text() -> None:
    plain = bound(user("hello")).tokens
    body = user("hello")
    body["messages"][0]["reasoning_content"] = "a thought of several words"
    body["messages"][0]["annotations"] = [{"title": "another thought"}]
    assert bound(body).tokens >= plain + 8


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({}, "messages"),
        ({"messages": []}, "messages"),
        ({"messages": {"role": "user"}}, "messages"),
        ({"messages": ["hi"]}, "messages[0]"),
        ({"messages": [{"content": "hi"}]}, "messages[0].role"),
        (user(7), "messages[0].content"),
        (user({"text": "x"}), "messages[0].content"),
        (user(["x"]), "messages[0].content[0]"),
        (user([{"type": "text", "text": 3}]), "messages[0].content[0].text"),
        (user([{"type": "image_url"}]), "messages[0].content[0].image_url"),
        (user([{"type": "input_audio"}]), "messages[0].content[0].input_audio"),
        ({"messages": [{"role": "assistant", "tool_calls": {}}]}, "messages[0].tool_calls"),
        ({"messages": [{"role": "assistant", "tool_calls": [1]}]}, "messages[0].tool_calls[0]"),
        ({**user("x"), "tools": {}}, "tools"),
        ({**user("x"), "tools": ["f"]}, "tools[0]"),
        ({**user("x"), "functions": [None]}, "functions[0]"),
        ({**user("x"), "response_format": "json"}, "response_format"),
        ({**user("x"), "prediction": "x"}, "prediction.content"),
    ],
)
def test_malformed_requests_name_the_place(body: dict[str, Any], param: str) -> None:
    with pytest.raises(BadRequest) as raised:
        bound(body)
    assert raised.value.param == param


def test_endless_nesting_is_a_bad_request() -> None:
    deep: dict[str, Any] = {}
    for _ in range(100_000):
        deep = {"items": deep}
    with pytest.raises(BadRequest):
        bound({**user("x"), "tools": [{"type": "function", "function": deep}]})


json_values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=6,
)
FIELDS = [
    "messages", "role", "content", "name", "tool_calls", "function_call", "audio", "type", "text",
    "image_url", "url", "detail", "input_audio", "data", "format", "tools", "functions",
    "tool_choice", "response_format", "prediction", "json_schema", "$ref", "$defs", "enum",
    "web_search_options", "parallel_tool_calls", "refusal",
]  # fmt: skip
bodies = st.recursive(
    json_values,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(FIELDS), inner, max_size=5)
    ),
    max_leaves=12,
)


@settings(max_examples=300, deadline=None)
@given(st.dictionaries(st.sampled_from(FIELDS), bodies, max_size=6))
def test_any_json_is_bounded_or_refused(body: dict[str, Any]) -> None:
    body.setdefault("messages", [{"role": "user", "content": "x"}])
    try:
        found = bound(body)
    except BadRequest as error:
        refused_at = error.param
    else:
        refused_at = None
    if refused_at is not None:
        assert refused_at.split("[")[0].split(".")[0] in body
        return
    assert found.tokens >= REPLY_TOKENS + SLACK_TOKENS
    assert found.audio_tokens + found.image_tokens <= found.tokens


def test_embedding_inputs() -> None:
    count = counter("text-embedding-3-small")
    assert count_embedding_input("hello world", count) == [2]
    assert count_embedding_input(["hello", "hello world"], count) == [1, 2]
    assert count_embedding_input([1, 2, 3], count) == [3]
    assert count_embedding_input([[1, 2], [3]], count) == [2, 1]


@pytest.mark.parametrize(
    ("value", "param"),
    [
        (None, "input"),
        (7, "input"),
        ({}, "input"),
        ([], "input"),
        ([True], "input"),
        ([1, "a"], "input"),
        ([1, -1], "input"),
        (["a", 1], "input[1]"),
        ([[1], []], "input[1]"),
        ([[1], "a"], "input[1]"),
        ([["a"]], "input[0]"),
        ([None], "input[0]"),
    ],
)
def test_malformed_embedding_inputs_name_the_place(value: object, param: str) -> None:
    with pytest.raises(BadRequest) as raised:
        count_embedding_input(value, len)
    assert raised.value.param == param


def test_the_template_of_an_open_model_is_counted() -> None:
    body = {"messages": [{"role": "user", "content": "hello"}]}
    unknown = count_chat_prompt(body, facts_for("some-model"), len)
    harmony = count_chat_prompt(body, facts_for("gpt-oss-20b"), len)
    assert harmony.tokens == unknown.tokens - UNKNOWN_TEMPLATE_TOKENS + 128
