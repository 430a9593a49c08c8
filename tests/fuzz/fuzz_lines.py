"""Fuzzes ``gateway.core.batch_lines``: the lines of a batch are bounded one by one.

A file costs what its lines cost alone. The bodies of the lines are those of five endpoints, so this
fuzzes what reads and bounds them too.
"""

from __future__ import annotations

import io
import json
import zlib
from datetime import UTC, datetime
from random import Random

from gateway.core import batch_lines
from gateway.core.batch_lines import LINE_KINDS, BatchBound, LineRules, batch_rates
from gateway.core.bounds import BoundRules
from gateway.core.catalog import ModelFacts
from gateway.core.errors import ApiError
from gateway.core.policy import Client
from gateway.core.prices import Meter, Price, Rate
from tests.fuzz.fuzzer import Fuzzer
from tests.fuzz.inputs import bent
from tests.fuzz.random_json import changed, dumped

LINE_BYTES_MAX, DEPTH_MAX = 3_000, 16
PRICE = Price(
    1,
    "m",
    (),
    "test",
    datetime(2026, 1, 1, tzinfo=UTC),
    {
        "default": {Meter.INPUT: Rate(2, per=1), Meter.OUTPUT: Rate(8, per=1)},
        "batch": {Meter.INPUT: Rate(1, per=1), Meter.OUTPUT: Rate(4, per=1)},
    },
)
RULES = LineRules(
    "m",
    batch_rates(PRICE)[1],
    ModelFacts("m", context_window=10_000, output_tokens_max=500),
    len,
    Client(1, "client", 1, "team", default_output_tokens=7, clamp_output=True),
    BoundRules(256, "default", "max_completion_tokens"),
    unknown_pass=True,
)
_TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
_PARTS = [{"type": "text", "text": "hi"}, {"type": "image_url", "image_url": {"url": "data:,"}}]
BODIES = {
    "/v1/chat/completions": {
        "model": "m",
        "messages": [
            {"role": "system", "content": "s", "name": "x"},
            {"role": "user", "content": _PARTS},
            {"role": "assistant", "tool_calls": [{"id": "c", "type": "function", "function": {}}]},
        ],
        "tools": [_TOOL],
        "n": 1,
        "max_completion_tokens": 9,
        "max_tokens": 9,
        "stop": ["x"],
        "response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": {}}},
        "logit_bias": {"1": 2},
        "prediction": {"type": "content", "content": "x"},
        "modalities": ["text"],
        "service_tier": "auto",
    },
    "/v1/completions": {
        "model": "m",
        "prompt": ["a", "b"],
        "suffix": "s",
        "n": 2,
        "best_of": 3,
        "max_tokens": 5,
        "echo": True,
        "logprobs": 1,
    },
    "/v1/embeddings": {"model": "m", "input": ["a", [1, 2]], "dimensions": 5},
    "/v1/moderations": {"model": "m", "input": ["a"]},
    "/v1/responses": {
        "model": "m",
        "input": [
            {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "hi"}]},
            {"type": "function_call_output", "call_id": "c", "output": "x"},
            {"type": "item_reference", "id": "msg_1"},
        ],
        "instructions": "i",
        "tools": [{"type": "function", "name": "f", "parameters": {}}],
        "max_output_tokens": 20,
        "reasoning": {"effort": "low"},
        "text": {"format": {"type": "text"}},
        "include": ["x"],
    },
}
ENDPOINTS = tuple(BODIES)
NAMES = tuple(dict.fromkeys(name for kind in LINE_KINDS.values() for name in sorted(kind.known)))
TOKENS = (
    *(
        b"\n",
        b"\r\n",
        b"\r",
        b"\n\n",
        b" ",
        b"\t",
        b"\xe2\x80\xa8",
        b"\x0b",
        b"\x0c",
        b"\x85",
        b"\x1c",
    ),
    *(b"{", b"}", b"[", b"]", b",", b":", b'"', b'"n":', b'"body":{', b'"custom_id":"0"', b"\\n"),
    *(
        b'"max_tokens":',
        b"1e999",
        b"NaN",
        b"null",
        b"999999999999",
        b"-1",
        b"\xff",
        b"\0",
        b"\xef\xbb\xbf",
    ),
)


def make(rng: Random) -> bytes:
    """One byte that chooses the endpoint, and one to three lines, as they are or bent."""
    number = rng.randrange(len(ENDPOINTS))
    lines = []
    for at in range(rng.choice((1, 1, 1, 2, 3))):
        body = BODIES[ENDPOINTS[number]]
        for _ in range(rng.choice((0, 0, 0, 1, 1, 2))):
            body = changed(rng, body, NAMES)
        line = {"custom_id": str(at), "method": "POST", "url": ENDPOINTS[number], "body": body}
        if rng.random() < 0.1:
            line = changed(rng, line, ("custom_id", "method", "url", "body"))
        lines.append(dumped(line) + rng.choice((b"\n", b"\n", b"\r\n", b"\n\n", b"")))
    data = b"".join(lines)
    return bytes([number]) + (bent(rng, data, TOKENS) if rng.random() < 0.3 else data)


def bound(content: bytes, endpoint: str) -> BatchBound | str:
    """The bound of a file, or why it has none."""
    try:
        return batch_lines.bound_lines(
            io.BytesIO(content), endpoint, RULES, LINE_BYTES_MAX, DEPTH_MAX
        )
    except ApiError as error:
        assert 400 <= error.status < 500, error
        json.dumps(error.envelope()).encode()
        return error.message


def check(data: bytes) -> bool:
    """A file is refused, or costs what its lines cost one by one, each of which costs something."""
    endpoint = ENDPOINTS[data[0] % len(ENDPOINTS)] if data else ENDPOINTS[0]
    content = data[1:]
    found = bound(content, endpoint)
    first = _first_model(content)
    lines = [line for line in content.split(b"\n") if line.strip(b" \t\r\n")]
    if isinstance(found, str):
        assert found.isprintable() or found
        if len(lines) > 1 and zlib.crc32(content) % 4 == 0:
            _check_refused(lines, endpoint)
        return False
    assert first == ("m" if lines else None)
    assert found.lines == len(lines), "other lines than another reader finds"
    assert b"\r" not in content.replace(b"\r\n", b"").strip()
    alone = [bound(line, endpoint) for line in lines]
    assert all(isinstance(one, BatchBound) for one in alone)
    assert found.nano == sum(one.nano for one in alone if isinstance(one, BatchBound))
    if endpoint != "/v1/moderations":
        assert all(isinstance(one, BatchBound) and one.nano >= 0 for one in alone)
    told = [json.loads(line) for line in lines]
    for line in told:
        assert (line["method"], line["url"], line["body"]["model"]) == ("POST", endpoint, "m")
    assert len({line["custom_id"] for line in told}) == len(told), "two lines of one name"
    return True


def _first_model(content: bytes) -> object:
    try:
        return batch_lines.first_model(io.BytesIO(content), LINE_BYTES_MAX, DEPTH_MAX)[1]
    except ApiError:
        return None


def _check_refused(lines: list[bytes], endpoint: str) -> None:
    """A file is refused for one of its lines, or for two that have one name."""
    alone = [bound(line, endpoint) for line in lines]
    if all(isinstance(one, BatchBound) for one in alone):
        names = [json.loads(line)["custom_id"] for line in lines]
        assert len(set(names)) < len(names), "refused although each of its lines is not"


LINES = Fuzzer("lines", make, check, quick_inputs=6_000)
