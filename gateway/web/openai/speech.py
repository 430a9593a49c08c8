"""POST /v1/audio/speech"""

from __future__ import annotations

from functools import partial

from flask import Blueprint, Response

from gateway.core.bounds import bound_of_usage
from gateway.core.holds import Hold
from gateway.core.media_fields import KNOWN
from gateway.core.policy import Policy
from gateway.core.speech_requests import (
    SoundMeter,
    most_usage,
    speech_stream_meter,
    wishes_of,
)
from gateway.exchange import Exchange, Gate, Reply
from gateway.relay_bytes import pass_metered
from gateway.relay_stream import stream
from gateway.web.auth import authenticate
from gateway.web.current import Services, services
from gateway.web.json_body import forwarded_headers, json_object
from gateway.web.openai.checks import check_fields
from gateway.web.openai.counting import tokens_of
from gateway.web.openai.model_access import priced_model
from gateway.web.serving import serve

blueprint = Blueprint("speech", __name__)


@blueprint.post("/v1/audio/speech")
def create_speech() -> Response:
    """Authenticate, parse, bound; then the paid path."""
    at = services()
    return serve(at, partial(prepare, at), _sound_or_events)


def prepare(at: Services, policy: Policy) -> Exchange:
    """The request, authenticated, parsed and bounded. Raises ApiError."""
    client, key = authenticate(policy, at.budgets)
    body, _ = json_object(at.gate.settings)
    check_fields(body, KNOWN["audio/speech"], at.gate.settings)
    wishes = wishes_of(body)
    model, price = priced_model(body.get("model"), client, policy, at.models)
    most = most_usage(price, wishes, tokens_of(at, model, [wishes.text, wishes.instructions]))
    return Exchange(
        policy=policy,
        client=client,
        key=key,
        endpoint="audio/speech",
        model=model,
        body=body,
        bound=bound_of_usage(price, most),
        price=price,
        streamed=wishes.as_events,
        stream_meter=partial(speech_stream_meter, most),
        bytes_meter=partial(SoundMeter, most, wishes.answer_format),
        headers=forwarded_headers(at.gate.settings),
    )


def _sound_or_events(gate: Gate, exchange: Exchange, hold: Hold) -> Reply:
    return (stream if exchange.streamed else pass_metered)(gate, exchange, hold)
