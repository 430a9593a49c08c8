"""POST /v1/audio/transcriptions and /v1/audio/translations"""

from __future__ import annotations

from fractions import Fraction
from functools import partial

from flask import Blueprint, Response, request

from gateway.adapters.forms import Form
from gateway.adapters.threads import on_counting_thread
from gateway.core.catalog import facts_for
from gateway.core.errors import BadRequest, BodyTooLarge
from gateway.core.media_fields import KNOWN, names_in
from gateway.core.policy import Policy
from gateway.core.sound_bounds import longest_seconds
from gateway.core.transcription_requests import (
    ANSWER_FORMATS,
    FILE_BYTES_MAX,
    REFERENCE_SECONDS,
    bound_transcription,
    is_billed_by_time,
    read_transcription,
    transcript_meter,
)
from gateway.exchange import Exchange
from gateway.web.auth import authenticate
from gateway.web.current import Services, services
from gateway.web.form_body import form
from gateway.web.json_body import forwarded_headers
from gateway.web.openai.checks import check_fields
from gateway.web.openai.counting import tokens_of
from gateway.web.openai.form_fields import fields_of
from gateway.web.openai.model_access import priced_model
from gateway.web.serving import serve, whole_or_streamed

blueprint = Blueprint("transcriptions", __name__)

_TEXTS = ("model", "prompt", "language", "response_format", "temperature")
_REFERENCES = "known_speaker_references"
_FORM_BYTES = 8 * 1024 * 1024
"""Room for samples of speakers and other fields beside the file."""


@blueprint.post("/v1/audio/transcriptions")
def create_transcription() -> Response:
    """Authenticate, parse, bound; then the paid path."""
    at = services()
    return serve(at, partial(prepare, at, "audio/transcriptions"), whole_or_streamed)


@blueprint.post("/v1/audio/translations")
def create_translation() -> Response:
    """As ``create_transcription``; never streamed."""
    at = services()
    return serve(at, partial(prepare, at, "audio/translations"), whole_or_streamed)


def prepare(at: Services, endpoint: str, policy: Policy) -> Exchange:
    """The request, authenticated, parsed and bounded. Raises ApiError."""
    client, key = authenticate(policy, at.budgets)
    _refuse_larger(request.content_length or 0, FILE_BYTES_MAX + _FORM_BYTES)
    sent = form(at.gate.settings)
    fields = fields_of(sent, texts=_TEXTS, flags=("stream",), files=("file",))
    names = names_in(name for name, _ in sent.fields)
    check_fields(names, KNOWN[endpoint], at.gate.settings)
    _refuse_larger(sent.file("file").size, FILE_BYTES_MAX)
    model, price = priced_model(fields.get("model"), client, policy, at.models)
    facts = facts_for(model)
    answer_format = fields.get("response_format")
    if answer_format is not None and answer_format not in ANSWER_FORMATS:
        known = ", ".join(ANSWER_FORMATS)
        raise BadRequest(f"response_format must be one of {known}.", param="response_format")
    prompt_tokens = tokens_of(at, model, _texts(sent))
    bound = bound_transcription(price, facts, _longest(sent), prompt_tokens)
    # whisper-1 ignores the wish for a stream. Source: API reference, "Create transcription".
    streams = endpoint == "audio/transcriptions" and not model.startswith("whisper-")
    return Exchange(
        policy=policy,
        client=client,
        key=key,
        endpoint=endpoint,
        model=model,
        body={},
        form=sent,
        bound=bound,
        price=price,
        streamed=streams and fields.get("stream", False),
        read=partial(
            read_transcription, answer_format=answer_format, by_time=is_billed_by_time(price)
        ),
        stream_meter=transcript_meter,
        headers=forwarded_headers(at.gate.settings),
    )


def _refuse_larger(size: int, most: int) -> None:
    if size > most:
        raise BodyTooLarge(
            f"Maximum content size limit ({FILE_BYTES_MAX:,} bytes of sound) exceeded: {size:,}"
            " bytes came. Use a compressed format or send the recording in parts.",
            param="file",
        )


def _texts(sent: Form) -> list[str]:
    """All that may be part of the prompt."""
    return [value for name, value in sent.fields if not name.startswith(_REFERENCES)]


def _longest(sent: Form) -> Fraction:
    """The most seconds of sound in the request."""
    file = sent.file("file")
    measured = on_counting_thread(longest_seconds, file.content, file.size, file.filename)
    references = [name for name, _ in sent.fields if name.startswith(_REFERENCES)]
    return measured + REFERENCE_SECONDS * len(references)
