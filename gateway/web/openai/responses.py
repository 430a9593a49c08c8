"""POST /v1/responses, whole, streamed and in the background; its input counted; compactions."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from flask import Blueprint, Response

from gateway.core.bounds import FREE
from gateway.core.catalog import facts_for
from gateway.core.errors import BadRequest, NotFound
from gateway.core.holds import Hold
from gateway.core.objects import Kind
from gateway.core.policy import Client, Policy
from gateway.core.response_bounds import bound_compaction, bound_response, rewritten_response
from gateway.core.response_fields import KNOWN, REFUSED, check_response_fields
from gateway.core.response_ids import named_objects
from gateway.core.response_meter import (
    ResponseStreamMeter,
    read_response,
    stored_response,
    unstored_response,
)
from gateway.core.response_tokens import count_response_input
from gateway.exchange import Exchange, Gate, Reply
from gateway.relay_long import begin
from gateway.relay_long_stream import begin_stream
from gateway.web.auth import authenticate
from gateway.web.current import Services, services
from gateway.web.json_body import forwarded_headers, json_object
from gateway.web.openai.checks import bound_rules, check_fields, check_stream_fields
from gateway.web.openai.counting import counted
from gateway.web.openai.model_access import priced_model
from gateway.web.serving import serve, whole_or_streamed

blueprint = Blueprint("responses", __name__)


@blueprint.post("/v1/responses")
def create_response() -> Response:
    """Authenticate, parse, check whose the ids are, bound; then the paid path."""
    at = services()
    return serve(at, partial(prepare, at), _in_the_foreground_or_not)


def prepare(at: Services, policy: Policy) -> Exchange:
    """The request, authenticated, parsed and bounded. Raises ApiError."""
    settings, tokenizer = at.gate.settings, at.gate.tokenizer
    client, key = authenticate(policy, at.budgets)
    body, size = json_object(settings)
    check_stream_fields(body)
    check_fields(body, KNOWN | REFUSED, settings)
    check_response_fields(body)
    model, price = priced_model(body.get("model"), client, policy, at.models)
    check_owned(at, client, body)
    facts = facts_for(model)
    prompt = counted(size, count_response_input, body, facts, tokenizer.counter(facts))
    bound = bound_response(body, price, facts, prompt, client, bound_rules(settings))
    # What runs in the background is kept, whatever is asked.
    stored = body.get("store") is not False or bool(body.get("background"))
    meter = ResponseStreamMeter(stored)
    return Exchange(
        policy=policy,
        client=client,
        key=key,
        endpoint="responses",
        model=model,
        body=body,
        bound=bound,
        price=price,
        facts=facts,
        streamed=bool(body.get("stream")),
        rewrite=rewritten_response,
        read=read_response,
        stream_meter=lambda: meter,
        error_event=meter.error_event,
        owns=stored_response if stored else unstored_response,
        headers=forwarded_headers(settings),
    )


def _in_the_foreground_or_not(gate: Gate, exchange: Exchange, hold: Hold) -> Reply:
    """Serve by what the request asked for."""
    if not exchange.body.get("background"):
        return whole_or_streamed(gate, exchange, hold)
    return (begin_stream if exchange.streamed else begin)(gate, exchange, hold)


@blueprint.post("/v1/responses/input_tokens")
def count_input_tokens() -> Response:
    """What the provider counts for an input; free, and with the same checks as a response."""
    at = services()
    return serve(at, partial(_prepare_count, at))


def _prepare_count(at: Services, policy: Policy) -> Exchange:
    settings = at.gate.settings
    client, key = authenticate(policy, at.budgets)
    body, size = json_object(settings)
    check_fields(body, KNOWN | REFUSED, settings)
    check_response_fields(body)
    model = ""
    if body.get("model") is not None:
        model, _ = priced_model(body["model"], client, policy, at.models)
    check_owned(at, client, body)
    # For its shape alone: the provider counts.
    counted(size, count_response_input, body, facts_for(model), lambda _text: 0)
    return Exchange(
        policy=policy,
        client=client,
        key=key,
        endpoint="responses/input_tokens",
        model=model,
        body=body,
        bound=FREE,
        price=None,
        headers=forwarded_headers(settings),
    )


@blueprint.post("/v1/responses/compact")
def compact_response() -> Response:
    """A conversation made shorter: bounded by the most that the model can answer."""
    at = services()
    return serve(at, partial(prepare_compaction, at))


def prepare_compaction(at: Services, policy: Policy) -> Exchange:
    """The request, authenticated, parsed and bounded. Raises ApiError."""
    settings, tokenizer = at.gate.settings, at.gate.tokenizer
    client, key = authenticate(policy, at.budgets)
    body, size = json_object(settings)
    check_fields(body, KNOWN | REFUSED, settings)
    check_response_fields(body)
    if body.get("stream") or body.get("background"):
        raise BadRequest("A compaction is answered whole: leave out stream and background.")
    model, price = priced_model(body.get("model"), client, policy, at.models)
    check_owned(at, client, body)
    facts = facts_for(model)
    prompt = counted(size, count_response_input, body, facts, tokenizer.counter(facts))
    return Exchange(
        policy=policy,
        client=client,
        key=key,
        endpoint="responses/compact",
        model=model,
        body=body,
        bound=bound_compaction(body, price, facts, prompt, bound_rules(settings)),
        price=price,
        facts=facts,
        rewrite=rewritten_response,
        read=read_response,
        headers=forwarded_headers(settings),
    )


def check_owned(at: Services, client: Client, body: Mapping[str, Any]) -> None:
    """Raise for an object that ``body`` names and ``client`` may not know of.

    BadRequest where it is the previous response, as the provider answers there; else NotFound.
    """
    for named in named_objects(body):
        try:
            at.gate.objects.find(client, named.kind, named.id, named.param)
        except NotFound:
            if named.kind is Kind.RESPONSE:
                raise BadRequest(
                    f"Previous response with id '{str(named.id)[:128]}' not found.",
                    param=named.param,
                    code="previous_response_not_found",
                ) from None
            raise
