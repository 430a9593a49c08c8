"""Any JSON at all: it is served or refused as the client's fault, and never breaks anything."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.e2e.rig import Rig, Tenant
from tests.e2e.traffic import CHAT, EMBEDDINGS, MODEL

_FIXTURES = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
_ROUNDS = settings(
    max_examples=60, deadline=None, suppress_health_check=_FIXTURES, derandomize=True
)

SCALAR = (
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.text(max_size=12)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from(["\ud800", "<|endoftext|>", "data:image/png;base64,AAAA", "auto", "flex"])
)
ANY = st.recursive(
    SCALAR,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=12,
)
PART = st.fixed_dictionaries(
    {"type": st.sampled_from(["text", "image_url", "input_audio", "file", "refusal", 7])},
    optional={"text": ANY, "image_url": ANY, "input_audio": ANY, "file": ANY, "refusal": ANY},
)
MESSAGE = st.fixed_dictionaries(
    {},
    optional={
        "role": st.sampled_from(["user", "system", "assistant", "tool", "developer"]) | ANY,
        "content": st.text(max_size=20) | st.lists(PART | ANY, max_size=3) | ANY,
        "name": ANY,
        "tool_calls": ANY,
        "function_call": ANY,
        "tool_call_id": ANY,
        "audio": ANY,
    },
)
TOOL = st.fixed_dictionaries(
    {"type": st.just("function")},
    optional={
        "function": st.fixed_dictionaries(
            {}, optional={"name": ANY, "parameters": ANY, "description": ANY, "strict": ANY}
        )
    },
)
OTHER_FIELDS = (
    "n",
    "max_tokens",
    "max_completion_tokens",
    "stream",
    "stream_options",
    "service_tier",
    "prediction",
    "modalities",
    "audio",
    "functions",
    "stop",
    "web_search_options",
    "metadata",
    "logprobs",
    "reasoning_effort",
)
CHAT_BODY = st.fixed_dictionaries(
    {"model": st.sampled_from([MODEL, "gpt-4o", "o4-mini", "gpt-3.5-turbo"])},
    optional={
        "messages": st.lists(MESSAGE | ANY, max_size=3) | ANY,
        "tools": st.lists(TOOL | ANY, max_size=2) | ANY,
        "response_format": ANY
        | st.fixed_dictionaries({"type": st.just("json_schema")}, optional={"json_schema": ANY}),
        **dict.fromkeys(OTHER_FIELDS, ANY),
    },
)


def _harmless(rig: Rig, tenant: Tenant, body: Any, path: str) -> None:
    reply = tenant.caller.post(json.dumps(body).encode(), path)
    assert reply.status < 500, (body, reply.body)
    if reply.status != 200:
        assert reply.json["error"]["message"], body


@given(body=ANY)
@_ROUNDS
def test_any_json(rig: Rig, junk_tenant: Tenant, body: Any) -> None:
    _harmless(rig, junk_tenant, body, CHAT)
    _harmless(rig, junk_tenant, body, EMBEDDINGS)


@given(body=CHAT_BODY)
@_ROUNDS
def test_a_chat_request_of_any_fields(rig: Rig, junk_tenant: Tenant, body: Any) -> None:
    _harmless(rig, junk_tenant, body, CHAT)


@given(
    body=st.fixed_dictionaries(
        {"model": st.just("text-embedding-3-small"), "input": ANY},
        optional={"dimensions": ANY, "encoding_format": ANY},
    )
)
@_ROUNDS
def test_an_embedding_request_of_any_fields(rig: Rig, junk_tenant: Tenant, body: Any) -> None:
    _harmless(rig, junk_tenant, body, EMBEDDINGS)


@given(data=st.binary(max_size=200))
@_ROUNDS
def test_any_bytes(rig: Rig, junk_tenant: Tenant, data: bytes) -> None:
    reply = junk_tenant.caller.post(data)
    assert 400 <= reply.status < 500


def test_nothing_is_left_of_it(rig: Rig, junk_tenant: Tenant) -> None:
    rig.drain()
    assert rig.counters(junk_tenant.budget)["held"] == 0
    assert "Traceback" not in rig.output()
