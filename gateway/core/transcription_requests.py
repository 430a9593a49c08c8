"""What a transcription or translation can cost at most, and what its answer says it did.

whisper-1 and gpt-transcribe are billed by the time of the recording; the gpt-4o models by tokens
of sound, of prompt and of text. No field of a request limits the text, so its bound is the most
that the model writes at once, or what can be spoken in the time.
"""

from __future__ import annotations

import math
from dataclasses import replace
from fractions import Fraction

from gateway.core.bounds import Bound, bound_of_usage
from gateway.core.catalog import ModelFacts
from gateway.core.errors import BadRequest
from gateway.core.final_meter import FinalUsageMeter
from gateway.core.meters import Reading
from gateway.core.prices import STANDARD_TIER, Meter, Price
from gateway.core.tokens import AUDIO_TOKENS_PER_SECOND
from gateway.core.usage import InvalidUsage, Usage, usage_from_transcription

FILE_BYTES_MAX = 25 * 1024 * 1024
"""Source: OpenAI, "Speech to text": files are limited to 25 MB."""

AUDIO_SLACK_TOKENS = 10
"""A second more than the sound has: encoders pad it, and counts are rounded up."""

PROMPT_SLACK_TOKENS = 32
"""How a prompt is framed is not published."""

OUTPUT_TOKENS_PER_SECOND = 20
"""Three times as much as is spoken fast in English; other scripts take more tokens a word."""

REFERENCE_SECONDS = 10
"""The most that a sample of a known speaker may play. Source: API reference."""

ANSWER_FORMATS = ("json", "text", "srt", "verbose_json", "vtt", "diarized_json")
_WITH_USAGE = (None, "json", "verbose_json", "diarized_json")


def is_billed_by_time(price: Price) -> bool:
    """Whether the model's recordings have a price by the second."""
    return price.rate_or_none(STANDARD_TIER, Meter.AUDIO_SECONDS) is not None


def bound_transcription(
    price: Price, facts: ModelFacts, seconds: Fraction, prompt_tokens: int
) -> Bound:
    """The bound for sound of at most ``seconds``. Raises BadRequest, ModelUnpriced."""
    if is_billed_by_time(price):
        return bound_of_usage(price, Usage(audio_milliseconds=1_000 * math.ceil(seconds)))
    most = price.output_tokens_max or facts.output_tokens_max
    if most is None:
        raise BadRequest(
            f"The most that {price.model} can write is not known, so the cost of this request"
            " cannot be bounded. A platform engineer can set it: faregate price set"
            f" {price.model} --help.",
            param="model",
        )
    audio = math.ceil(seconds * AUDIO_TOKENS_PER_SECOND) + AUDIO_SLACK_TOKENS
    usage = Usage(
        input_tokens=audio + prompt_tokens + PROMPT_SLACK_TOKENS,
        audio_input_tokens=audio,
        output_tokens=max(most, math.ceil(seconds * OUTPUT_TOKENS_PER_SECOND)),
    )
    # A report without details leaves open what is sound and what is text.
    return bound_of_usage(price, usage, replace(usage, audio_input_tokens=usage.input_tokens))


def read_transcription(payload: object, answer_format: str | None, by_time: bool) -> Reading:
    """The reading of an answer in the format that was asked for.

    Text that happens to look like JSON is never read for usage: who speaks decides what is
    written. An answer without usage that states the duration of the sound is billed by begun
    seconds where the model is billed by time.
    """
    if answer_format not in _WITH_USAGE or not isinstance(payload, dict):
        return Reading(None, None)
    try:
        usage = usage_from_transcription(payload.get("usage"))
    except InvalidUsage:
        return Reading(None, None)
    if usage is None and by_time:
        duration = payload.get("duration")
        if not isinstance(duration, bool) and isinstance(duration, int | float):
            usage = _begun_seconds(duration)
    return Reading(usage, None)


def _begun_seconds(duration: float) -> Usage | None:
    if not 0 <= duration < 10**9:
        return None
    return Usage(audio_milliseconds=1_000 * math.ceil(duration))


def transcript_meter() -> FinalUsageMeter:
    """Follows a streamed transcription. Source: ``TranscriptionTextDoneEvent``."""
    return FinalUsageMeter(("transcript.text.done",), usage_from_transcription)
