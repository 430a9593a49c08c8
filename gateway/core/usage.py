"""What a request consumed, as the provider reports it, and how sure we are of it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from fractions import Fraction
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

    Every count is an integer from zero up; a report has counts up to ``COUNT_MAX``.
    ``input_tokens`` includes cached, cache-write, audio and image tokens;
    ``output_tokens`` includes reasoning, audio, image and rejected prediction tokens.

    Cached and cache-write tokens say where input was read, audio and image tokens what it is:
    the two kinds may overlap (a cached audio token is in both counts), and OpenAI's chat
    report does not say by how much. Each kind alone fits in the total; together they need not.

    The other counts are part of no total:

    - ``web_search_calls``, ``file_search_calls`` and ``code_interpreter_sessions``: fees beside
      the tokens;
    - ``images`` made, ``audio_milliseconds`` of sound read, ``characters`` (Unicode code
      points) spoken: what a request did. They are billed where the model is priced by them
      (dall-e-3, whisper-1, tts-1), and else kept for reports (gateway.core.prices.cost_of);
    - ``trained_tokens``: tokens of all epochs of a fine-tuning job.
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
    file_search_calls: int = 0
    code_interpreter_sessions: int = 0
    images: int = 0
    audio_milliseconds: int = 0
    characters: int = 0
    trained_tokens: int = 0

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


def _tokens_in_and_out(
    report: Mapping[str, Any], input_name: str, output_name: str
) -> tuple[int, int] | None:
    """Both totals; an output that is missing is what ``total_tokens`` leaves, if that is given."""
    tokens_in = _count(report, input_name)
    if tokens_in is None:
        return None
    tokens_out = _count(report, output_name)
    if tokens_out is None:
        total = _count(report, "total_tokens")
        if total is None or total < tokens_in:
            return None
        tokens_out = total - tokens_in
    return tokens_in, tokens_out


def _input_and_output(report: object) -> tuple[Mapping[str, Any], int, int] | None:
    """``report`` with its ``input_tokens`` and ``output_tokens``.

    Raises InvalidUsage where ``total_tokens`` is not their sum: which of the three is wrong
    cannot be known, and a bill from two of them might be too low.
    """
    if not isinstance(report, Mapping):
        return None
    totals = _tokens_in_and_out(report, "input_tokens", "output_tokens")
    if totals is None:
        return None
    total = _count(report, "total_tokens")
    if total is not None and total != sum(totals):
        raise InvalidUsage("total_tokens is not the sum of input_tokens and output_tokens")
    return report, *totals


def _dearer_part(details: Mapping[str, Any], dearer: str, total: int) -> int:
    """The tokens of ``dearer`` (audio, image) in a ``total`` that is it and text alone.

    What a report does not say to be text is ``dearer``, so that no missing detail lowers a
    bill. Raises InvalidUsage where the two parts do not sum to the total.
    """
    part, text = _count(details, dearer), _count(details, "text_tokens")
    if part is None:
        part = total - (text or 0)
    if part < 0 or part > total or (text is not None and part + text != total):
        raise InvalidUsage(f"{dearer} and text_tokens do not sum to their total")
    return part


def usage_from_chat(report: object) -> Usage | None:
    """Usage from the ``usage`` of a chat or legacy completion, its last chunk, or an embedding.

    None where the provider sent no usable report: no object, no prompt count, or (when a
    total shows that there was an answer) no completion count. An explicit zero is a zero.
    Raises InvalidUsage where the report contradicts itself.
    Source: OpenAI API reference, ``CompletionUsage``.
    """
    if not isinstance(report, Mapping):
        return None
    totals = _tokens_in_and_out(report, "prompt_tokens", "completion_tokens")
    if totals is None:
        return None
    into = _details(report, "prompt_tokens_details")
    out = _details(report, "completion_tokens_details")
    return Usage(
        input_tokens=totals[0],
        cached_input_tokens=_count(into, "cached_tokens") or 0,
        cache_write_tokens=_count(into, "cache_write_tokens") or 0,
        audio_input_tokens=_count(into, "audio_tokens") or 0,
        image_input_tokens=_count(into, "image_tokens") or 0,
        output_tokens=totals[1],
        reasoning_tokens=_count(out, "reasoning_tokens") or 0,
        audio_output_tokens=_count(out, "audio_tokens") or 0,
        image_output_tokens=_count(out, "image_tokens") or 0,
        accepted_prediction_tokens=_count(out, "accepted_prediction_tokens") or 0,
        rejected_prediction_tokens=_count(out, "rejected_prediction_tokens") or 0,
    )


def usage_from_responses(report: object) -> Usage | None:
    """Usage from the ``usage`` object of a response, as answered or in the stream's last event.

    None where there is no report or it lacks a total: a response that is queued, running or
    failed early has none. Calls of tools are not in it: they are counted in the ``output``.
    Raises InvalidUsage where the report contradicts itself.
    Source: OpenAI API reference, ``ResponseUsage``.
    """
    found = _input_and_output(report)
    if found is None:
        return None
    fields, tokens_in, tokens_out = found
    into = _details(fields, "input_tokens_details")
    out = _details(fields, "output_tokens_details")
    return Usage(
        input_tokens=tokens_in,
        cached_input_tokens=_count(into, "cached_tokens") or 0,
        cache_write_tokens=_count(into, "cache_write_tokens") or 0,
        output_tokens=tokens_out,
        reasoning_tokens=_count(out, "reasoning_tokens") or 0,
    )


def usage_from_batch(report: object) -> Usage | None:
    """Usage from the ``usage`` of a batch: the sum over its requests.

    None where there is none, as in batches made before September 7, 2025. A batch that has
    not ended reports what it has used so far, zeros at first, so its ``status`` comes first.
    The report does not tell text from image tokens, nor cache writes: for models that price
    these apart, the usage of each line of the output file is exact, and this is not.
    Raises InvalidUsage where the report contradicts itself.
    Source: OpenAI API reference, ``BatchUsage``.
    """
    return usage_from_responses(report)


def usage_from_images(report: object) -> Usage | None:
    """Usage from the ``usage`` object of generated or edited images of a GPT image model.

    None where there is none: other models report none, and are billed by the image. Output
    is image tokens but for what ``output_tokens_details`` says to be text; input without
    details is counted as image tokens, the dearer kind. SVG authoring is reported apart, in
    ``svg_usage`` with a model of its own, and is not in this usage.
    Raises InvalidUsage where the report contradicts itself.
    Source: OpenAI API reference, ``ImagesResponse.usage``, ``ImageGenCompletedEvent.usage``.
    """
    found = _input_and_output(report)
    if found is None:
        return None
    fields, tokens_in, tokens_out = found
    into = _details(fields, "input_tokens_details")
    out = _details(fields, "output_tokens_details")
    return Usage(
        input_tokens=tokens_in,
        image_input_tokens=_dearer_part(into, "image_tokens", tokens_in),
        output_tokens=tokens_out,
        image_output_tokens=_dearer_part(out, "image_tokens", tokens_out),
    )


def usage_from_transcription(report: object) -> Usage | None:
    """Usage from the ``usage`` object of a transcription, in either of its two forms.

    ``duration`` counts seconds, whole or not, and is kept in milliseconds, rounded up.
    ``tokens`` counts audio and text; input without details is counted as audio, the dearer
    kind. None where there is no report, it lacks its count, or its type is another.
    Raises InvalidUsage where the report contradicts itself.
    Source: OpenAI API reference, ``Transcription.usage``, ``TranscriptionTextDoneEvent.usage``
    (``UsageDuration``, ``UsageTokens``).
    """
    if not isinstance(report, Mapping):
        return None
    kind = report.get("type", "duration" if "seconds" in report else "tokens")
    if kind == "duration":
        milliseconds = _milliseconds(report, "seconds")
        return None if milliseconds is None else Usage(audio_milliseconds=milliseconds)
    found = _input_and_output(report) if kind == "tokens" else None
    if found is None:
        return None
    fields, tokens_in, tokens_out = found
    into = _details(fields, "input_token_details")
    return Usage(
        input_tokens=tokens_in,
        audio_input_tokens=_dearer_part(into, "audio_tokens", tokens_in),
        output_tokens=tokens_out,
    )


def _milliseconds(report: Mapping[str, Any], name: str) -> int | None:
    """Seconds as whole milliseconds, rounded up; None where they are missing or null.

    A float is taken for the decimal that was written: 8.47 is 8470 ms, not one more.
    """
    value = report.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InvalidUsage(f"{name} is not a number")
    if not 0 <= value <= COUNT_MAX // 1000:
        # NaN is in no range.
        raise InvalidUsage(f"{name} is out of range")
    return math.ceil(Fraction(repr(value)) * 1000)


def usage_from_speech(report: object) -> Usage | None:
    """Usage from the ``usage`` of the event that ends streamed speech; all output is audio.

    None where there is none: speech in bytes reports nothing, and models such as tts-1 are
    billed by the characters of the ``input``. Raises InvalidUsage as the others do.
    Source: OpenAI API reference, ``speech.audio.done`` event.
    """
    found = _input_and_output(report)
    if found is None:
        return None
    _, tokens_in, tokens_out = found
    return Usage(input_tokens=tokens_in, output_tokens=tokens_out, audio_output_tokens=tokens_out)


def usage_from_fine_tuning(job: object) -> Usage | None:
    """Usage from a fine-tuning job: ``trained_tokens``, null until the job has ended well.

    Raises InvalidUsage where it is not a count. Source: OpenAI API reference, ``FineTuningJob``.
    """
    trained = _count(job, "trained_tokens") if isinstance(job, Mapping) else None
    return None if trained is None else Usage(trained_tokens=trained)
