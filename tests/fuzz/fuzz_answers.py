"""Fuzzes what reads usage out of answers: whatever comes is priced, or not believed.

Nothing that a provider sends may fail the request that it answers, or be charged below zero.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from fractions import Fraction
from random import Random
from typing import Any

from gateway.core import usage as usages
from gateway.core.chat_meter import spoken_answers_of, stored_completion
from gateway.core.events import parse_event
from gateway.core.image_meter import read_picture_tokens, read_pictures
from gateway.core.meters import Reading, read_answer
from gateway.core.outcomes import exact
from gateway.core.prices import STANDARD_TIER, Meter, Price, Rate
from gateway.core.response_meter import read_response, stored_response, unstored_response
from gateway.core.usage import InvalidUsage, Usage
from tests.fuzz.fuzz_events import CONTEXT, FIELDS
from tests.fuzz.fuzzer import Fuzzer
from tests.fuzz.inputs import bent
from tests.fuzz.random_json import changed, dumped

PRICE = Price(
    1,
    "m",
    (),
    "test",
    datetime(2026, 1, 1, tzinfo=UTC),
    {
        STANDARD_TIER: {
            Meter.INPUT: Rate(2_500, per=1),
            Meter.CACHED_INPUT: Rate(1_250, per=1),
            Meter.OUTPUT: Rate(10_000, per=1),
        },
    },
)
DETAILS = {"cached_tokens": 1, "audio_tokens": 0, "image_tokens": 2, "text_tokens": 1}
USAGE = {
    "prompt_tokens": 9,
    "completion_tokens": 5,
    "total_tokens": 14,
    "prompt_tokens_details": DETAILS,
    "completion_tokens_details": {"reasoning_tokens": 2, "rejected_prediction_tokens": 1},
}
USAGE_2 = {
    "input_tokens": 9,
    "output_tokens": 5,
    "total_tokens": 14,
    "input_tokens_details": DETAILS,
    "output_tokens_details": {"reasoning_tokens": 2, "image_tokens": 3, "text_tokens": 2},
    "input_token_details": {"audio_tokens": 4, "text_tokens": 5},
    "type": "tokens",
    "seconds": 8.47,
}
ANSWERS: tuple[Any, ...] = (
    {
        "id": "c_1",
        "created": 5,
        "model": "m",
        "service_tier": "default",
        "choices": [{"index": 0, "message": {"content": "hi", "audio": {"id": "audio_1"}}}],
        "usage": USAGE,
    },
    {
        "id": "resp_1",
        "created_at": 5.5,
        "model": "m",
        "service_tier": "auto",
        "output": [
            {"id": "ws_1", "type": "web_search_call", "action": {"type": "search"}},
            {"id": "msg_1", "type": "message", "content": []},
        ],
        "usage": USAGE_2,
    },
    {"created": 5, "data": [{"b64_json": "AA"}, {"url": "x"}], "usage": USAGE_2},
    {"text": "hi", "usage": {"type": "duration", "seconds": 8.47}},
    {"id": "ftjob-1", "trained_tokens": 17, "usage": USAGE_2, "status": "succeeded"},
)
NAMES = tuple(
    dict.fromkeys(
        (*USAGE, *USAGE_2, *DETAILS, "id", "usage", "service_tier", "output", "data", "choices")
    )
)
TOKENS = (
    b"{",
    b"}",
    b"[",
    b"]",
    b",",
    b":",
    b'"',
    b"9" * 40,
    b"-1",
    b"NaN",
    b"1e999",
    b"null",
    b"\xff",
)


def make(rng: Random) -> bytes:
    """An answer in which one thing or several are other than they should be."""
    answer = rng.choice(ANSWERS)
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        answer = changed(rng, answer, NAMES)
    data = dumped(answer)
    return bent(rng, data, TOKENS) if rng.random() < 0.1 else data


READERS: tuple[Callable[[object], Usage | None], ...] = (
    usages.usage_from_chat,
    usages.usage_from_responses,
    usages.usage_from_images,
    usages.usage_from_transcription,
    usages.usage_from_speech,
    usages.usage_from_fine_tuning,
)


def check(data: bytes) -> bool:
    """Every reader of answers gives counts that can be priced and recorded, or none."""
    try:
        answer = json.loads(data)
    except (ValueError, RecursionError):
        return False
    readings = [
        read_answer(answer),
        read_response(answer),
        read_pictures(answer, True),
        read_picture_tokens(answer),
    ]
    for reading in readings:
        _check_reading(reading)
    report = answer.get("usage") if isinstance(answer, dict) else answer
    for read in READERS:
        try:
            found = read(answer if read is usages.usage_from_fine_tuning else report)
        except InvalidUsage:
            continue
        _check_reading(Reading(found, None))
    if isinstance(answer, dict):
        _check_found(answer)
    return any(reading.usage is not None for reading in readings)


def _check_reading(reading: Reading) -> None:
    if reading.usage is None:
        return
    counts = {name: getattr(reading.usage, name) for name in Usage.__slots__}
    assert all(type(count) is int and 0 <= count < 2**63 for count in counts.values()), counts
    assert counts["cached_input_tokens"] + counts["cache_write_tokens"] <= counts["input_tokens"]
    assert counts["audio_input_tokens"] + counts["image_input_tokens"] <= counts["input_tokens"]
    assert counts["reasoning_tokens"] <= counts["output_tokens"]
    outcome = exact(PRICE, reading.usage, reading.service_tier or "default", 0, status=200)
    if outcome is None:
        return
    exact_nano = sum(Fraction(line.count * line.nano, line.per) for line in outcome.lines)
    assert exact_nano <= outcome.cost_nano < exact_nano + 1
    event = {**FIELDS, "context": json.dumps(CONTEXT), "cost": str(outcome.cost_nano)}
    fields = {name.encode(): value.encode() for name, value in event.items()}
    row = parse_event({**fields, b"result": outcome.as_json()}).row
    assert row["cost_nano"] == outcome.cost_nano


def _check_found(answer: Mapping[str, Any]) -> None:
    """The objects that an answer names have names, whatever else it says."""
    for find in (spoken_answers_of, stored_completion, stored_response, unstored_response):
        for one in find(answer):
            assert isinstance(one.id, str)
            assert isinstance(one.created_at, int)
            assert isinstance(one.model, str)


ANSWERS_FUZZER = Fuzzer("answers", make, check, quick_inputs=5_000)
