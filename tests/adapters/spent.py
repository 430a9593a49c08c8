"""Recorded traffic of every kind, for tests of what is summed over it."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import Engine

from gateway.adapters.usage_rows import record
from gateway.core.events import USAGE_COLUMNS, UsageEvent, parse_event
from gateway.core.prices import CostLine, Meter, sum_lines
from tests.databases import open_migrated

START = int(datetime(2026, 3, 9, tzinfo=UTC).timestamp())
DAY = 86_400
DAYS = 3
END = START + DAYS * DAY

MODELS = {
    "chat/completions": ("gpt-4o-mini", "gpt-4o"),
    "completions": ("davinci-002",),
    "responses": ("gpt-4o-mini", "o4-mini"),
    "responses/compact": ("o4-mini",),
    "embeddings": ("text-embedding-3-small",),
    "moderations": ("omni-moderation-latest",),
    "images/generations": ("dall-e-3", "gpt-image-1"),
    "images/edits": ("gpt-image-1",),
    "images/variations": ("dall-e-2",),
    "audio/speech": ("tts-1",),
    "audio/transcriptions": ("whisper-1", "gpt-4o-transcribe"),
    "audio/translations": ("whisper-1",),
    "batches": ("gpt-4o-mini", "text-embedding-3-small"),
    "fine_tuning/jobs": ("gpt-4o-mini-2024-07-18",),
    "files": ("",),
}
_TIERS = ("default", "flex", "priority")
_SIZES = ("1024x1024", "1792x1024", "auto")
_KEYS = ((1, 1, 1), (1, 1, 2), (1, 2, 3), (2, 3, 4), (2, 4, 5))
"""(team, client, key)."""


def _lines(usage: dict[str, int], pick: random.Random) -> list[CostLine]:
    """What it cost, so that most lines are no whole nano-dollars."""
    lines = [
        CostLine(Meter.INPUT, usage.get("input_tokens", 0), pick.randrange(1, 10**9), 1_000_000),
        CostLine(Meter.OUTPUT, usage.get("output_tokens", 0), pick.randrange(1, 10**9), 1_000_000),
        CostLine(Meter.CACHED_INPUT, usage.get("cached_input_tokens", 0), 37_500_001, 1_000_000),
        CostLine(Meter.IMAGES, usage.get("images", 0), 40_000_000, 1),
        CostLine(Meter.AUDIO_SECONDS, usage.get("audio_milliseconds", 0), 6_000_001, 60_000),
        CostLine(Meter.CHARACTERS, usage.get("characters", 0), 15_000_007, 1_000_000),
        CostLine(Meter.CODE_INTERPRETER_SESSIONS, pick.choice((0, 0, 2)), 30_000_000, 1),
        CostLine(Meter.FILE_SEARCH_CALLS, pick.choice((0, 0, 3)), 2_500_000, 1),
    ]
    return [line for line in lines if line.count]


def _usage(endpoint: str, pick: random.Random) -> dict[str, int]:
    if endpoint.startswith("images/"):
        return {"images": pick.randrange(1, 5), "output_tokens": pick.randrange(0, 5000)}
    if endpoint == "audio/speech":
        return {"characters": pick.randrange(1, 4000)}
    if endpoint.startswith("audio/"):
        return {"audio_milliseconds": pick.randrange(1, 90_000)}
    if endpoint == "fine_tuning/jobs":
        return {"trained_tokens": pick.randrange(1, 10**6)}
    tokens = pick.randrange(1, 20_000)
    usage = {"input_tokens": tokens, "cached_input_tokens": pick.randrange(0, tokens)}
    if endpoint not in ("embeddings", "moderations"):
        usage["output_tokens"] = pick.randrange(0, 4000)
    return usage


def _event(number: int, kind: str, pick: random.Random, **given: Any) -> UsageEvent:
    fields = {"id": f"frq_{number}", "kind": kind, "budgets": "", **given}
    return parse_event(
        {
            name.encode(): (json.dumps(v) if isinstance(v, dict) else str(v)).encode()
            for name, v in fields.items()
        }
    )


def one_request(number: int, pick: random.Random) -> list[UsageEvent]:
    """The record of a request of any kind, and its correction where it has one."""
    endpoint = pick.choice(tuple(MODELS))
    team, client, key = pick.choice(_KEYS)
    tags = {"project": pick.choice(("alpha", "beta"))} if pick.random() < 0.5 else {}
    if endpoint.startswith("images/") and pick.random() < 0.8:
        tags["image_size"] = pick.choice(_SIZES)
    tier = "batch" if endpoint == "batches" else pick.choice(_TIERS)
    context = {
        "team_id": team,
        "client_id": client,
        "key_id": key,
        "endpoint": endpoint,
        "model": pick.choice(MODELS[endpoint]),
        "price_id": None,
        "tier": tier,
        "streamed": False,
        "tags": tags,
    }
    at = pick.randrange(START * 1000, END * 1000)
    usage, free = _usage(endpoint, pick), endpoint in ("files", "moderations")
    lines = [] if free else _lines(usage, pick)
    cost = sum_lines(tuple(lines)) if lines else 0
    written = [[line.meter.value, line.count, line.nano, line.per] for line in lines]
    result = {"status": 200, "tier": tier, "usage": usage, "lines": written}
    hold = cost + 10_000_019
    base: dict[str, Any] = {"held_at": at, "at": at + 900, "context": context, "hold": hold}
    end = pick.choice(("exact", "exact", "estimated", "expired", "corrected", "failed"))
    if free or end == "exact":
        return [
            _event(number, "request", pick, **base, outcome="settled", cost=cost, result=result)
        ]
    if end == "estimated":
        unsure = {**result, "certainty": "estimated"}
        return [
            _event(number, "request", pick, **base, outcome="settled", cost=cost + 7, result=unsure)
        ]
    if end == "failed":
        failed = {"status": 502, "tier": tier}
        return [_event(number, "request", pick, **base, outcome="released", cost=0, result=failed)]
    lost = {"status": 0, "certainty": "unknown", "tier": tier}
    expired = _event(number, "request", pick, **base, outcome="expired", cost=hold, result=lost)
    if end == "expired":
        return [expired]
    late = {**base, "at": at + 90_000}
    found = _event(
        number, "correction", pick, **late, outcome="settled", cost=cost - hold, result=result
    )
    return [expired, found]


def traffic(seed: int, requests: int = 400) -> list[UsageEvent]:
    """The events of many requests within DAYS days from START."""
    pick = random.Random(seed)
    return [event for number in range(requests) for event in one_request(number, pick)]


def counted(rows: list[dict[str, Any]]) -> dict[str, int]:
    """The sums of records, as they are."""
    sums = {name: sum(row[name] for row in rows) for name in USAGE_COLUMNS}
    first = [row for row in rows if row["kind"] == "request"]
    sums["requests"] = len(first)
    sums["failures"] = sum(row["status"] >= 400 for row in first)
    return sums


@contextmanager
def recorded_in(request: pytest.FixtureRequest, events: list[UsageEvent]) -> Iterator[Engine]:
    """``events`` in a database of the kind that is the parameter of a fixture of a module."""
    if request.param == "sqlite":
        folder = request.getfixturevalue("tmp_path_factory").mktemp("spent")
        engine = open_migrated(f"sqlite:///{folder / 'faregate.db'}")
        record(engine, events)
        yield engine
        engine.dispose()
        return
    with request.getfixturevalue("postgres_server").fresh_database() as url:
        engine = open_migrated(url)
        record(engine, events)
        yield engine
        engine.dispose()
