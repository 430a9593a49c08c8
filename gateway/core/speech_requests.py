"""What speech can cost at most, and what it did cost by the sound that came.

tts-1 models are billed by the characters of the text, which are known beforehand. gpt-4o-mini-tts
is billed by tokens of text and of sound. How long it may speak is neither a field of the request
nor published, so the bound is made of: the text of at most 4096 characters; a pace of two bytes
of text a second (usual is fifteen; single digits and letters are spoken at two to three), slower
by the ``speed`` asked for, and by half again where instructions may ask for slow speech; and a
minute for pauses. Sound beyond that would be charged by its length all the same.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from gateway.core.errors import BadRequest
from gateway.core.final_meter import FinalUsageMeter
from gateway.core.meters import Reading
from gateway.core.mpeg_frames import FrameClock
from gateway.core.prices import STANDARD_TIER, Meter, Price
from gateway.core.request_fields import needed_text_of, number_of, text_of
from gateway.core.sound_bounds import RATES
from gateway.core.usage import Usage, usage_from_speech

CHARACTERS_MAX = 4_096
"""Source: OpenAI API reference, "Create speech", ``input``."""

TEXT_SLACK_TOKENS = 32
"""How text and instructions are framed is not published."""

TOKENS_PER_MINUTE = 1_250
"""Tokens of a minute of sound: OpenAI's "$0.015 a minute" at its price of $12 per million."""

PAUSE_SECONDS = 60
BYTES_PER_SECOND = 2
BYTES_PER_SECOND_INSTRUCTED = 1

SAMPLES_BYTES_PER_SECOND = 48_000
"""24,000 samples of 16 bits, in wav and pcm. Source: OpenAI, "Text to speech"."""

_ENDS = ("speech.audio.done",)


@dataclass(frozen=True, slots=True)
class Wishes:
    """What a request for speech asks for, where it bears on the price."""

    text: str
    instructions: str
    speed: Fraction
    answer_format: str
    as_events: bool


def wishes_of(body: Mapping[str, Any]) -> Wishes:
    """What the body asks for. Raises BadRequest where it cannot be understood."""
    text = needed_text_of(body, "input")
    if len(text) > CHARACTERS_MAX:
        raise BadRequest(
            f"input has {len(text):,} characters; the limit is {CHARACTERS_MAX:,}.",
            param="input",
            code="string_above_max_length",
        )
    return Wishes(
        text=text,
        instructions=text_of(body, "instructions") or "",
        speed=Fraction(repr(number_of(body, "speed", 0.25, 4.0) or 1)),
        answer_format=text_of(body, "response_format") or "mp3",
        as_events=text_of(body, "stream_format") == "sse",
    )


def is_billed_by_character(price: Price) -> bool:
    """Whether the model's speech has a price by the character."""
    return price.rate_or_none(STANDARD_TIER, Meter.CHARACTERS) is not None


def most_usage(price: Price, wishes: Wishes, text_tokens: int) -> Usage:
    """The most that the request can use: just that where it is billed by the character."""
    if is_billed_by_character(price):
        return Usage(characters=len(wishes.text))
    pace = BYTES_PER_SECOND_INSTRUCTED if wishes.instructions else BYTES_PER_SECOND
    spoken = Fraction(len(wishes.text.encode("utf-8", "replace")), pace) / min(
        wishes.speed, Fraction(1)
    )
    return _spoken(text_tokens + TEXT_SLACK_TOKENS, _tokens(PAUSE_SECONDS + spoken))


def _tokens(seconds: Fraction | int) -> int:
    return math.ceil(seconds * TOKENS_PER_MINUTE / 60)


def _spoken(text_tokens: int, audio_tokens: int) -> Usage:
    return Usage(
        input_tokens=text_tokens, output_tokens=audio_tokens, audio_output_tokens=audio_tokens
    )


class SoundMeter:
    """Follows the bytes of one answer, which do not say what they cost."""

    def __init__(self, most: Usage, answer_format: str) -> None:
        self._most = most
        self._format = answer_format
        self._clock = FrameClock() if answer_format == "mp3" else None

    def hear(self, data: bytes) -> None:
        """Take the next bytes."""
        if self._clock is not None and not self._most.characters:
            self._clock.feed(data)

    def reading(self, size: int, whole: bool) -> Reading:
        """The usage, when ``size`` bytes have come and they were all or not."""
        if self._most.characters:
            return Reading(self._most, None)
        seconds = self._longest_seconds(size) if whole else None
        if seconds is None:
            return Reading(None, None)
        return Reading(_spoken(self._most.input_tokens, _tokens(seconds)), None, certain=False)

    def _longest_seconds(self, size: int) -> Fraction | None:
        if self._format in ("wav", "pcm"):
            return Fraction(size, SAMPLES_BYTES_PER_SECOND)
        if self._clock is not None:
            return self._clock.longest_seconds()
        if self._format not in ("opus", "aac"):
            # Silence in flac takes next to nothing, so its bytes say nothing of its length.
            return None
        seconds = Fraction(size, RATES[self._format])
        # Counted at the lowest rate, it would often be more than the bound.
        return seconds if _tokens(seconds) <= self._most.output_tokens else None


def speech_stream_meter(most: Usage) -> FinalUsageMeter:
    """Follows speech that comes as events, the last of which reports its usage."""

    def read(report: object) -> Usage | None:
        return most if most.characters else usage_from_speech(report)

    return FinalUsageMeter(_ENDS, read)
