"""A short run of every fuzzer, all that ever broke one, and readers with planted faults, which
they must find."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from fractions import Fraction
from typing import Any

import pytest
from flask import request

from gateway.adapters import forms
from gateway.core import (
    batch_lines,
    chat_meter,
    events,
    flac_frames,
    meters,
    mpeg_frames,
    response_meter,
    sse,
    strict_json,
)
from gateway.core.errors import BadRequest, Unauthorized
from gateway.core.events import InvalidEvent
from gateway.core.usage import Usage
from gateway.web import auth, paths
from tests.fuzz import fuzz_auth, fuzz_paths
from tests.fuzz.every import FUZZERS
from tests.fuzz.fuzzer import Fuzzer, kept, run, unlogged

SEED = 20_261_125
BY_NAME = pytest.mark.parametrize("fuzzer", FUZZERS.values(), ids=FUZZERS)


@pytest.fixture(autouse=True)
def _fresh_routes() -> Iterator[None]:
    """Applications are made once; one with a planted fault must not serve another test."""
    for made in (fuzz_auth.app, fuzz_paths.app):
        made.cache_clear()
    yield
    for made in (fuzz_auth.app, fuzz_paths.app):
        made.cache_clear()


@BY_NAME
def test_a_short_run_breaks_nothing(fuzzer: Fuzzer) -> None:
    done = run(fuzzer, fuzzer.quick_inputs, SEED)
    assert [crash.error for crash in done.crashes] == []
    # A fuzzer whose inputs are all refused, or all accepted, looks at half of what there is.
    assert 2 < done.accepted_percent < 99.5


@BY_NAME
def test_what_broke_something_once_does_so_no_more(fuzzer: Fuzzer) -> None:
    with unlogged():
        for path in kept(fuzzer):
            fuzzer.check(path.read_bytes())


@BY_NAME
def test_inputs_follow_from_the_seed(fuzzer: Fuzzer) -> None:
    def some(seed: int) -> list[bytes]:
        return [fuzzer.input(seed, number) for number in range(20)]

    assert some(1) == some(1) != some(2)


def test_a_run_ends_where_everything_breaks(tmp_path: Any) -> None:
    def broken(_data: bytes) -> bool:
        raise AssertionError("always")

    done = run(Fuzzer("broken", lambda rng: rng.randbytes(2), broken), 1_000, 1)
    assert done.inputs == len(done.crashes) < 1_000
    assert "always" in done.crashes[0].error


# Planted faults

Plant = Callable[[pytest.MonkeyPatch], None]


def _set(where: Any, name: str, wrong: Any) -> Plant:
    return lambda patch: patch.setattr(where, name, wrong)


def _plain_json(body: bytes, _depth: int, _values: int = 0) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        raise BadRequest("no JSON") from None


def _without_check_of_depth(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(strict_json, "_depth", lambda _value: 0)


class _SplitterWithoutMemory(sse.EventSplitter):
    """Looks for boundaries in the newest chunk alone."""

    def feed(self, chunk: bytes) -> list[bytes]:
        self._scanned = len(self._rest) + 3
        return super().feed(chunk)


class _AnyKey(dict[str, Any]):
    """Finds a key by how it begins."""

    def get(self, _hash: str, _default: Any = None) -> Any:
        return next(iter(self.values()))


def _any_key(patch: pytest.MonkeyPatch) -> None:
    policy = fuzz_auth._policy()
    patch.setattr(fuzz_auth, "_policy", lambda: replace(policy, keys=_AnyKey(policy.keys)))


def _quoting_bearer() -> str:
    header = request.headers.get("Authorization", "")
    if not header.startswith("Bearer "):
        raise Unauthorized(f"{header} is no key.")
    return header[7:].strip()


def _usage_lost(payload: object) -> Any:
    found = meters.read_answer(payload)
    return (
        replace(found, usage=found.usage and replace(found.usage, cached_input_tokens=0))
        if (isinstance(payload, dict) and payload.get("choices"))
        else meters.Reading(None, None)
    )


def _raw_event(fields: Any) -> Any:
    try:
        return events.UsageEvent(
            {**json.loads(fields[b"context"]), "cost_nano": int(fields[b"cost"])}
        )
    except (KeyError, ValueError, TypeError) as error:
        raise InvalidEvent(str(error)) from error


PLANTS: dict[str, tuple[str, Plant]] = {
    "duplicate names": ("json", _set(strict_json, "parse_object", _plain_json)),
    "depth": ("json", _without_check_of_depth),
    "half characters": ("json", _set(strict_json, "_refuse_half_characters", lambda _value: None)),
    "boundaries across chunks": ("sse", _set(sse, "EventSplitter", _SplitterWithoutMemory)),
    "data of one line": ("sse", _set(sse, "event_data", lambda event: event[6:].strip())),
    "usage shown": (
        "sse",
        _set(chat_meter.ChatStreamMeter, "_chunk", lambda _self, event, _chunk: event),
    ),
    "usage lost": ("sse", _set(chat_meter, "read_answer", _usage_lost)),
    "ends unseen": ("sse", _set(response_meter, "ENDS", frozenset(("response.completed",)))),
    "encoded paths": ("paths", _set(paths, "_AMBIGUOUS", ("//",))),
    "paths unchecked": ("paths", _set(paths, "install", lambda _app: None)),
    "any key": ("auth", _any_key),
    "keys in errors": ("auth", _set(auth, "bearer", _quoting_bearer)),
    "names in forms": ("forms", _set(forms, "_quoted", lambda text: text)),
    "lines uncounted": ("lines", _set(batch_lines, "_check_frame", lambda *_: None)),
    "usage that contradicts itself": ("answers", _set(Usage, "__post_init__", lambda _self: None)),
    "rows as they come": ("events", _set(events, "parse_event", _raw_event)),
    "text uncut": ("events", _set(events, "_text", lambda value, _characters: str(value))),
    "MPEG frames short": (
        "sound",
        _set(mpeg_frames.FrameClock, "longest_seconds", lambda _self: Fraction(0)),
    ),
    "FLAC heads overlooked": ("sound", _set(flac_frames, "_HEAD_BYTES_MAX", 6)),
}


@pytest.mark.parametrize("name", PLANTS)
def test_a_planted_fault_is_found(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    fuzzer, plant = PLANTS[name]
    plant(monkeypatch)
    for first in range(0, 40_000, 500):
        if run(FUZZERS[fuzzer], 500, SEED, first).crashes:
            return
    pytest.fail(f"{fuzzer} does not find: {name}")
