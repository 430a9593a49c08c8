"""Reads usage out of chat completion answers, whole or streamed.

The stream meter passes events on as they came. It touches only what the gateway itself added
by asking for usage: the extra usage chunk, and the ``"usage":null`` of the other chunks.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Set
from dataclasses import dataclass, field
from typing import Any

from gateway.core.meters import read_answer
from gateway.core.objects import Found, Kind
from gateway.core.sse import DONE, data_event, event_data
from gateway.core.usage import Usage

KEPT_BYTES_MAX = 4 * 1024 * 1024
"""Streamed bytes kept for counting in case the usage never comes; beyond, the hold is charged."""

OUTPUT_AHEAD_TOKENS = 256
"""Added per choice to a count of what arrived of a broken stream: a provider generates ahead
of what it has sent, and stops only when it notices that nobody reads."""


@dataclass
class ChatStreamMeter:
    """Follows one streamed chat completion.

    ``show_usage`` is whether the client asked for usage itself, ``choices`` how many answers
    it asked for.
    """

    show_usage: bool
    choices: int = 1
    usage: Usage | None = None
    service_tier: str | None = None
    done: bool = False
    complete: bool = False
    """Whether the usage is of the whole answer; some providers report it as they go."""
    failed: bool = False
    kept: list[bytes] = field(default_factory=list)
    kept_bytes: int = 0
    stored: bool = False
    """Whether the provider keeps the answer, so that its id is an object with an owner."""
    found: list[Found] = field(default_factory=list)
    spoken: set[str] = field(default_factory=set)
    """Ids of spoken answers that are found already, which more than one piece may bear."""

    def take(self, event: bytes) -> bytes:
        """What to pass on of ``event``: itself, a part of it, or nothing."""
        if self.stored or b'"audio"' in event:
            self._find(event)
        if b'"usage"' in event or b'"error"' in event:
            return self._inspect(event)
        if DONE in event and event_data(event) == DONE:
            self.done = self.complete = True
            return event
        self._keep(event)
        return event

    def _find(self, event: bytes) -> None:
        try:
            chunk = json.loads(event_data(event))
        except (ValueError, RecursionError):
            return
        if not isinstance(chunk, dict):
            return
        if self.stored and (found := completions_of(chunk)):
            self.found += found
            self.stored = False
        spoken = spoken_answers_of(chunk, self.spoken)
        self.found += spoken
        self.spoken.update(one.id for one in spoken)

    def _keep(self, event: bytes) -> None:
        if self.kept_bytes <= KEPT_BYTES_MAX:
            self.kept.append(event)
        self.kept_bytes += len(event)

    def _inspect(self, event: bytes) -> bytes:
        # A quote inside a JSON string is escaped, so this sequence is a field, never content;
        # and a field that only one brace closes is one of the chunk itself, not of a part. In an
        # event of one line it is in no comment either.
        told = event.rstrip(b"\r\n")
        one_line = b"\n" not in told and b"\r" not in told
        if one_line and event.count(b'"usage"') == 1 and b'"error"' not in event:
            for nothing in (b',"usage":null', b', "usage": null'):
                before, found, after = event.partition(nothing)
                if found and after.count(b"}") == 1:
                    self._keep(event)
                    return event if self.show_usage else before + after
        try:
            chunk = json.loads(event_data(event))
        except (ValueError, RecursionError):
            self._keep(event)
            return event
        if not isinstance(chunk, dict):
            self._keep(event)
            return event
        return self._chunk(event, chunk)

    def _chunk(self, event: bytes, chunk: dict[str, Any]) -> bytes:
        if chunk.get("error") is not None:
            self.failed = True
        reading = read_answer(chunk)
        if reading.service_tier is not None:
            self.service_tier = reading.service_tier
        if reading.usage is not None:
            self.usage = reading.usage
            self.complete = not chunk.get("choices")
        if "usage" not in chunk or self.show_usage:
            self._keep(event)
            return event
        if chunk.pop("usage") is not None and not chunk.get("choices"):
            return b""
        self._keep(event)
        # In ASCII: text that providers cut inside a surrogate pair has no other encoding.
        return data_event(json.dumps(chunk, separators=(",", ":")).encode())

    def output_tokens_counted(self, count: Callable[[str], int]) -> int | None:
        """An upper bound of the output generated so far; None where it cannot be counted."""
        if self.kept_bytes > KEPT_BYTES_MAX:
            return None
        texts: dict[tuple[int, str], list[str]] = {}
        for event in self.kept:
            try:
                chunk = json.loads(event_data(event) or b"null")
            except (ValueError, RecursionError):
                return None
            for key, text in _generated(chunk):
                texts.setdefault(key, []).append(text)
        choices = max(self.choices, *(key[0] + 1 for key in texts), 1)
        # Text is counted joined, as the provider counted it, with a token a piece for what the
        # rendering of tool calls and of the message's end costs.
        counted = sum(count("".join(parts)) + 8 for parts in texts.values())
        return counted + choices * OUTPUT_AHEAD_TOKENS


def completions_of(answer: Mapping[str, Any]) -> list[Found]:
    """The object that a stored chat completion, or a chunk of one, is."""
    name, created = answer.get("id"), answer.get("created")
    if not isinstance(name, str):
        return []
    at = created if isinstance(created, int) else 0
    return [Found(Kind.COMPLETION, name, at, str(answer.get("model", "")))]


def spoken_answers_of(answer: Mapping[str, Any], known: Set[str] = frozenset()) -> list[Found]:
    """The spoken answers in a chat completion, or in a chunk of one, that are not ``known``.

    The provider keeps their sound for a while, also where the completion is not stored, and
    takes it into a later conversation by its id. Source: OpenAI API reference, "Create chat
    completion", ``messages[].audio.id``.
    """
    choices, created = answer.get("choices"), answer.get("created")
    found: dict[str, Found] = {}
    for choice in choices if isinstance(choices, list) else []:
        for part in ("message", "delta"):
            said = choice.get(part) if isinstance(choice, dict) else None
            audio = said.get("audio") if isinstance(said, dict) else None
            name = audio.get("id") if isinstance(audio, dict) else None
            if isinstance(name, str) and name not in known:
                at = created if isinstance(created, int) else 0
                found[name] = Found(Kind.SPOKEN_ANSWER, name, at, str(answer.get("model", "")))
    return list(found.values())


def stored_completion(answer: Mapping[str, Any]) -> list[Found]:
    """The objects of a chat completion that the provider keeps."""
    return [*completions_of(answer), *spoken_answers_of(answer)]


def _generated(chunk: object) -> Iterator[tuple[tuple[int, str], str]]:
    """Every generated text of a chunk, keyed by choice and place."""
    choices = chunk.get("choices") if isinstance(chunk, dict) else None
    for choice in choices if isinstance(choices, list) else []:
        if not isinstance(choice, dict):
            continue
        # A legacy completion has its text in place of a delta.
        delta = choice.get("delta", {"text": choice.get("text")})
        if not isinstance(delta, dict):
            continue
        index = choice.get("index")
        number = index if isinstance(index, int) else 0
        yield from (((number, place), text) for place, text in _texts(delta, ""))


def _texts(value: object, place: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, str):
        yield place, value
    elif isinstance(value, dict):
        for name, item in value.items():
            yield from _texts(item, f"{place}.{name}")
    elif isinstance(value, list):
        for position, item in enumerate(value):
            number = item.get("index", position) if isinstance(item, dict) else position
            yield from _texts(item, f"{place}[{number}]")
