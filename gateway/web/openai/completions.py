"""POST /v1/completions, the older form of text generation"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from flask import Blueprint, Response

from gateway.core.catalog import facts_for
from gateway.core.chat_meter import ChatStreamMeter
from gateway.core.completion_bounds import (
    KNOWN,
    bound_completion,
    count_prompts,
    rewritten_completion,
)
from gateway.core.policy import Policy
from gateway.core.strict_json import TOKEN_VALUES_MAX
from gateway.exchange import Exchange
from gateway.web.auth import authenticate
from gateway.web.current import Services, services
from gateway.web.json_body import forwarded_headers, json_object
from gateway.web.openai.checks import bound_rules, check_fields, check_stream_fields
from gateway.web.openai.counting import counted
from gateway.web.openai.model_access import priced_model
from gateway.web.serving import serve, whole_or_streamed

blueprint = Blueprint("completions", __name__)


@blueprint.post("/v1/completions")
def create_completion() -> Response:
    """Authenticate, parse, bound; then the paid path."""
    at = services()
    return serve(at, partial(prepare, at), whole_or_streamed)


def prepare(at: Services, policy: Policy) -> Exchange:
    """The request, authenticated, parsed and bounded. Raises ApiError."""
    settings, tokenizer = at.gate.settings, at.gate.tokenizer
    client, key = authenticate(policy, at.budgets)
    body, size = json_object(settings, TOKEN_VALUES_MAX)
    check_fields(body, KNOWN, settings)
    check_stream_fields(body)
    model, price = priced_model(body.get("model"), client, policy, at.models)
    facts = facts_for(model)
    prompts = counted(size, count_prompts, body, facts, tokenizer.counter(facts))
    bound = bound_completion(body, price, prompts, client, bound_rules(settings))
    return Exchange(
        policy=policy,
        client=client,
        key=key,
        endpoint="completions",
        model=model,
        body=body,
        bound=bound,
        price=price,
        facts=facts,
        streamed=bool(body.get("stream")),
        rewrite=rewritten_completion,
        stream_meter=partial(_stream_meter, body, bound.choices),
        headers=forwarded_headers(settings),
    )


def _stream_meter(body: Mapping[str, Any], choices: int) -> ChatStreamMeter:
    options = body.get("stream_options")
    asked = isinstance(options, dict) and bool(options.get("include_usage"))
    return ChatStreamMeter(asked, choices)
