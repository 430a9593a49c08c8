"""Chat completions, legacy completions, embeddings and moderations.

What the gateway checks is described as it checks it; of what it passes on, the types and
limits are OpenAI's (API reference), and a field that has none here is anybody's guess.
"""

from __future__ import annotations

from collections.abc import Mapping

from gateway.core import completion_bounds
from gateway.core.bounds import CHOICES_MAX, OUTPUT_TOKENS_MAX, TIERS_ASKABLE
from gateway.core.chat_fields import KNOWN, KNOWN_OF_EMBEDDINGS, TOOL_TYPES, UNBOUNDED
from gateway.web.descriptions.operation import EVENT, EVENTS, JSON, PRICED, Operation
from gateway.web.descriptions.shapes import (
    Shape,
    either,
    fields,
    flag,
    integer,
    list_of,
    metadata,
    number,
    one_of,
    record,
    text,
)
from gateway.web.openai import moderations
from gateway.web.openai.model_access import NAME_MAX

MODEL = text(1, NAME_MAX)
STREAM_OPTIONS = record({}, {"include_usage": {"type": ["boolean", "null"]}})
STOP = either(text(), list_of(text(), most=4))
SAMPLING: Mapping[str, Shape] = {
    "stream": flag(),
    "stream_options": STREAM_OPTIONS,
    "temperature": number(0, 2),
    "top_p": number(0, 1),
    "service_tier": one_of(*TIERS_ASKABLE),
}
NAMES: Mapping[str, Shape] = dict.fromkeys(
    ("prompt_cache_key", "safety_identifier", "user"), text()
)
TOOL_CHOICE = either(one_of("none", "auto", "required"), record({"type": text(1)}))
PENALTIES: Mapping[str, Shape] = dict.fromkeys(
    ("presence_penalty", "frequency_penalty"), number(-2, 2)
)
TOKEN_IDS = list_of(integer(0, 2**31 - 1), least=1)


def const(value: str) -> Shape:
    """This string alone."""
    return {"const": value}


def refused_beside(known: frozenset[str]) -> Mapping[str, str]:
    """What is refused because its cost has no bound, at an endpoint with these fields."""
    found = {name: why for name, why in UNBOUNDED.items() if name not in known}
    if "service_tier" not in known:
        found["service_tier"] = "what it would cost is not known"
    return found


_PARTS = either(
    record({"type": const("text"), "text": text()}),
    record({"type": const("refusal"), "refusal": text()}),
    record(
        {
            "type": const("image_url"),
            "image_url": record({"url": text(1)}, {"detail": one_of("auto", "low", "high")}),
        }
    ),
    record(
        {
            "type": const("input_audio"),
            "input_audio": record({"data": text(1), "format": one_of("wav", "mp3")}),
        }
    ),
    record({"type": const("file"), "file": record({})}),
)
_CONTENT = either(text(), list_of(_PARTS, least=1))
_FUNCTION_CALL = record(
    {"type": const("function"), "function": record({"name": text(1), "arguments": text()})},
    {"id": text()},
)
_MESSAGE = either(
    record({"role": one_of("system", "developer", "user"), "content": _CONTENT}),
    record(
        {"role": const("assistant")},
        {
            "content": either(_CONTENT, {"type": "null"}),
            "tool_calls": list_of(_FUNCTION_CALL, least=1),
        },
    ),
    record({"role": const("tool"), "content": _CONTENT, "tool_call_id": text()}),
    record({"role": const("function"), "name": text(1)}),
)
_TOOL = record(
    {
        "type": one_of(*TOOL_TYPES),
        "function": record(
            {"name": text(pattern="^[a-zA-Z0-9_-]{1,64}$")}, {"parameters": record({})}
        ),
    }
)
_FORMAT = either(
    record({"type": one_of("text", "json_object")}),
    record({"type": const("json_schema"), "json_schema": record({"name": text(1)})}),
)
_PREDICTION = record(
    {"content": either(text(), list_of(record({"text": text()}), least=1))},
    {"type": const("content")},
)

CHAT = Operation(
    "Answer a conversation",
    {
        JSON: record({"id": text(1), "object": const("chat.completion"), "choices": list_of({})}),
        EVENTS: EVENT,
    },
    json=fields(
        KNOWN,
        {"model": MODEL, "messages": list_of(_MESSAGE, least=1)},
        {
            **SAMPLING,
            **PENALTIES,
            **NAMES,
            "n": integer(1, CHOICES_MAX),
            "max_tokens": integer(1, OUTPUT_TOKENS_MAX),
            "max_completion_tokens": integer(1, OUTPUT_TOKENS_MAX),
            "stop": STOP,
            "tools": list_of(_TOOL, least=1),
            "tool_choice": TOOL_CHOICE,
            "functions": list_of(record({"name": text(1)})),
            "response_format": _FORMAT,
            "prediction": _PREDICTION,
            "top_logprobs": integer(0, 20),
            "metadata": metadata(),
        },
        refused=refused_beside(KNOWN),
    ),
    errors=PRICED,
    costs=True,
)

_PROMPT = either(text(), list_of(text()), TOKEN_IDS, list_of(TOKEN_IDS, least=1))

COMPLETION = Operation(
    "Go on with a text (legacy)",
    {
        JSON: record({"id": text(1), "object": const("text_completion"), "choices": list_of({})}),
        EVENTS: EVENT,
    },
    json=fields(
        completion_bounds.KNOWN,
        {"model": MODEL},
        {
            **SAMPLING,
            **PENALTIES,
            "prompt": _PROMPT,
            "suffix": text(),
            "n": integer(1, CHOICES_MAX),
            "best_of": integer(1, 20),
            "max_tokens": integer(0, OUTPUT_TOKENS_MAX),
            "logprobs": integer(0, 5),
            "stop": STOP,
        },
        refused=refused_beside(completion_bounds.KNOWN),
    ),
    errors=PRICED,
    costs=True,
)

EMBEDDING = Operation(
    "Turn texts into vectors",
    {JSON: record({"object": const("list"), "data": list_of({}), "model": text()})},
    json=fields(
        KNOWN_OF_EMBEDDINGS,
        {
            "model": MODEL,
            "input": either(
                text(1), list_of(text(1), least=1), TOKEN_IDS, list_of(TOKEN_IDS, least=1)
            ),
        },
        {"dimensions": integer(1), "encoding_format": one_of("float", "base64")},
        refused=refused_beside(KNOWN_OF_EMBEDDINGS),
    ),
    errors=PRICED,
    costs=True,
)

MODERATION = Operation(
    "Judge whether texts and pictures are harmful; free",
    {JSON: record({"id": text(1), "model": text(), "results": list_of({})})},
    json=fields(
        moderations.KNOWN,
        {"input": either(text(), list_of(either(text(), record({"type": text(1)})), least=1))},
        {"model": MODEL},
        refused=refused_beside(moderations.KNOWN),
    ),
    errors=PRICED,
    costs=True,
)

OPERATIONS: Mapping[str, Operation] = {
    "chat.create_chat_completion": CHAT,
    "completions.create_completion": COMPLETION,
    "embeddings.create_embedding": EMBEDDING,
    "moderations.create_moderation": MODERATION,
}
