"""What a request consumed, as the provider reports it, and how sure we are of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

COUNT_MAX = 2**53 - 1
"""Largest count accepted from a provider; above it the report is not believed."""


class Certainty(StrEnum):
    """How a recorded cost relates to what the provider billed."""

    EXACT = "exact"
    """The provider reported the usage."""
    ESTIMATED = "estimated"
    """The provider answered without usable usage; the cost is an upper bound we counted."""
    UNKNOWN = "unknown"
    """We cannot know whether the provider billed; the cost is the whole hold."""


class InvalidUsage(ValueError):
    """A usage report contradicts itself or is not made of counts."""


@dataclass(frozen=True, slots=True)
class Usage:
    """Counts of one request. Totals include their parts, as in OpenAI's reports.

    ``input_tokens`` includes cached, cache-write, audio and image tokens;
    ``output_tokens`` includes reasoning, audio, image and rejected prediction tokens.

    Cached and cache-write tokens say where input was read, audio and image tokens what it is:
    the two kinds may overlap (a cached audio token is in both counts), and OpenAI's chat
    report does not say by how much. Each kind alone fits in the total; together they need not.
    """

    input_tokens: int = 0
    cached_input_tokens: int = 0
    cache_write_tokens: int = 0
    audio_input_tokens: int = 0
    image_input_tokens: int = 0
    output_tokens: int = 0
    reasoning_tokens: int = 0
    audio_output_tokens: int = 0
    image_output_tokens: int = 0
    accepted_prediction_tokens: int = 0
    rejected_prediction_tokens: int = 0
    web_search_calls: int = 0

    def __post_init__(self) -> None:
        for name in self.__slots__:
            if getattr(self, name) < 0:
                raise InvalidUsage(f"{name} is below zero")
        if self.cached_input_tokens + self.cache_write_tokens > self.input_tokens:
            raise InvalidUsage("cached and cache-write tokens exceed input tokens")
        if self.audio_input_tokens + self.image_input_tokens > self.input_tokens:
            raise InvalidUsage("audio and image input tokens exceed input tokens")
        if self.audio_output_tokens + self.image_output_tokens > self.output_tokens:
            raise InvalidUsage("audio and image output tokens exceed output tokens")
        for name in ("reasoning", "accepted_prediction", "rejected_prediction"):
            if getattr(self, f"{name}_tokens") > self.output_tokens:
                raise InvalidUsage(f"{name}_tokens exceed output tokens")

    @property
    def input_overlap(self) -> int:
        """Input tokens that are certainly in two counts, such as cached and audio."""
        parts = (
            self.cached_input_tokens
            + self.cache_write_tokens
            + self.audio_input_tokens
            + self.image_input_tokens
        )
        return max(0, parts - self.input_tokens)

    def with_web_search_calls(self, calls: int) -> Usage:
        """The same usage with ``calls`` web searches, which providers do not report as tokens."""
        return replace(self, web_search_calls=calls)


def _count(report: Mapping[str, Any], name: str) -> int | None:
    """A reported count; None where it is missing or null (missing is not zero)."""
    value = report.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int):
        raise InvalidUsage(f"{name} is not an integer")
    if not 0 <= value <= COUNT_MAX:
        raise InvalidUsage(f"{name} is out of range")
    return value


def _details(report: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = report.get(name)
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise InvalidUsage(f"{name} is not an object")
    return value


def usage_from_chat(report: object) -> Usage | None:
    """Usage from the ``usage`` object of a chat completion, its final chunk or an embedding.

    None where the provider sent no usable report: no object, no prompt count, or (when a
    total shows that there was an answer) no completion count. An explicit zero is a zero.
    Raises InvalidUsage where the report contradicts itself.
    Source: OpenAI API reference, ``CompletionUsage``.
    """
    if not isinstance(report, Mapping):
        return None
    prompt = _count(report, "prompt_tokens")
    if prompt is None:
        return None
    completion = _count(report, "completion_tokens")
    if completion is None:
        total = _count(report, "total_tokens")
        if total is None or total < prompt:
            return None
        completion = total - prompt
    into = _details(report, "prompt_tokens_details")
    out = _details(report, "completion_tokens_details")
    return Usage(
        input_tokens=prompt,
        cached_input_tokens=_count(into, "cached_tokens") or 0,
        cache_write_tokens=_count(into, "cache_write_tokens") or 0,
        audio_input_tokens=_count(into, "audio_tokens") or 0,
        image_input_tokens=_count(into, "image_tokens") or 0,
        output_tokens=completion,
        reasoning_tokens=_count(out, "reasoning_tokens") or 0,
        audio_output_tokens=_count(out, "audio_tokens") or 0,
        image_output_tokens=_count(out, "image_tokens") or 0,
        accepted_prediction_tokens=_count(out, "accepted_prediction_tokens") or 0,
        rejected_prediction_tokens=_count(out, "rejected_prediction_tokens") or 0,
    )
