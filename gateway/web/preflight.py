"""POST /v1/faregate/preflight: what a request would cost, and whether it would be admitted now.

The request is prepared as its endpoint prepares it, and put to the same script that would admit
it, which looks and writes nothing. Nothing is held, sent to the provider or recorded, and nothing
counts against a rate limit. Batches and fine-tuning jobs are bounded by their input files, which
are read for it.

The body is ``{"endpoint": "chat/completions", "request": {...}}``; or it is the request itself,
JSON or a form, with its endpoint in the header ``x-faregate-endpoint``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

import orjson
from flask import Blueprint, Response, g, request

from gateway.admission import look, refusal_of
from gateway.core.errors import BadRequest
from gateway.core.policy import Policy
from gateway.core.preflight import answer
from gateway.core.strict_json import TOKEN_VALUES_MAX
from gateway.core.tags import HEADER as TAGS
from gateway.exchange import Exchange
from gateway.web.auth import authenticate
from gateway.web.current import Services, services
from gateway.web.json_body import json_object
from gateway.web.openai import (
    batches,
    chat,
    completions,
    embeddings,
    fine_tuning,
    images,
    moderations,
    responses,
    speech,
    transcriptions,
)

blueprint = Blueprint("preflight", __name__)

ENDPOINT_HEADER = "x-faregate-endpoint"

_FIELDS = frozenset(("endpoint", "request"))


def _of_endpoint(
    prepare: Callable[[Services, str, Policy], Exchange],
    endpoint: str,
    at: Services,
    policy: Policy,
) -> Exchange:
    return prepare(at, endpoint, policy)


ENDPOINTS: Mapping[str, Callable[[Services, Policy], Exchange]] = {
    "chat/completions": chat.prepare,
    "completions": completions.prepare,
    "embeddings": embeddings.prepare,
    "moderations": moderations.prepare,
    "responses": responses.prepare,
    "responses/compact": responses.prepare_compaction,
    "audio/speech": speech.prepare,
    "batches": batches.prepare,
    "fine_tuning/jobs": fine_tuning.prepare,
    **{
        name: partial(_of_endpoint, prepare, name)
        for names, prepare in (
            (("images/generations", "images/edits", "images/variations"), images.prepare),
            (("audio/transcriptions", "audio/translations"), transcriptions.prepare),
        )
        for name in names
    },
}
"""How the request of each endpoint is prepared: by the functions that the endpoints use."""


@blueprint.post("/v1/faregate/preflight")
def preflight() -> Response:
    """What would become of a request, as JSON; an error where the request itself is wrong."""
    at = services()
    exchange, found = look(at.gate, partial(_prepare, at), request.headers.get(TAGS))
    refusal = None if found.refused is None else refusal_of(exchange, found.refused)
    told = answer(
        exchange.endpoint, exchange.model, exchange.client, exchange.bound, found, refusal
    )
    return Response(orjson.dumps(told), content_type="application/json")


def _prepare(at: Services, policy: Policy) -> Exchange:
    # Before anything is read of a body that nobody may send.
    authenticate(policy, at.budgets)
    if "preflight_endpoint" not in g:
        g.preflight_endpoint = _endpoint(at)
    return ENDPOINTS[g.preflight_endpoint](at, policy)


def _endpoint(at: Services) -> str:
    """The endpoint that is asked about; the request's body is then what that endpoint reads."""
    named: object = request.headers.get(ENDPOINT_HEADER)
    if named is None:
        body, size = json_object(at.gate.settings, TOKEN_VALUES_MAX)
        named, inner = body.get("endpoint"), body.get("request")
        if unknown := sorted(body.keys() - _FIELDS):
            raise BadRequest(f"Unknown parameter: {unknown[0][:80]!r}.", param=unknown[0][:80])
        if not isinstance(inner, dict):
            raise BadRequest(
                "request must be the JSON object that the endpoint would get; a form is sent as it"
                f" is, with its endpoint in the header {ENDPOINT_HEADER}.",
                param="request",
            )
        # What the endpoint finds as its body. The envelope stays: its room in memory is its own.
        g.preflight_envelope, g.json_object = body, (inner, size)
    endpoint = str(named).removeprefix("/").removeprefix("v1/")
    if endpoint not in ENDPOINTS:
        raise BadRequest(f"endpoint must be one of {', '.join(ENDPOINTS)}.", param="endpoint")
    return endpoint
