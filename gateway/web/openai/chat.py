"""POST /v1/chat/completions"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from flask import Blueprint, Response

from gateway.core.bounds import bound_chat, rewritten_chat
from gateway.core.catalog import facts_for
from gateway.core.chat_fields import KNOWN
from gateway.core.chat_meter import ChatStreamMeter, spoken_answers_of, stored_completion
from gateway.core.named_objects import file_ids_in, spoken_answers_in
from gateway.core.objects import Kind
from gateway.core.policy import Policy
from gateway.core.tokens import count_chat_prompt
from gateway.exchange import Exchange
from gateway.web.auth import authenticate
from gateway.web.current import Services, services
from gateway.web.json_body import forwarded_headers, json_object
from gateway.web.openai.checks import bound_rules, check_fields, check_stream_fields
from gateway.web.openai.counting import counted
from gateway.web.openai.model_access import priced_model
from gateway.web.openai.objects import check_files
from gateway.web.serving import serve, whole_or_streamed

blueprint = Blueprint("chat", __name__)


@blueprint.post("/v1/chat/completions")
def create_chat_completion() -> Response:
    """Authenticate, parse, bound; then the paid path."""
    at = services()
    return serve(at, partial(prepare, at), whole_or_streamed)


def prepare(at: Services, policy: Policy) -> Exchange:
    """The request, authenticated, parsed and bounded. Raises ApiError."""
    settings, tokenizer = at.gate.settings, at.gate.tokenizer
    client, key = authenticate(policy, at.budgets)
    body, size = json_object(settings)
    check_fields(body, KNOWN, settings)
    check_stream_fields(body)
    check_files(at, client, file_ids_in(body))
    for name, place in spoken_answers_in(body):
        at.gate.objects.find(client, Kind.SPOKEN_ANSWER, name, place)
    model, price = priced_model(body.get("model"), client, policy, at.models)
    facts = facts_for(model)
    prompt = counted(size, count_chat_prompt, body, facts, tokenizer.counter(facts))
    bound = bound_chat(body, price, facts, prompt, client, bound_rules(settings))
    return Exchange(
        policy=policy,
        client=client,
        key=key,
        endpoint="chat/completions",
        model=model,
        body=body,
        bound=bound,
        price=price,
        facts=facts,
        streamed=bool(body.get("stream")),
        rewrite=rewritten_chat,
        stream_meter=partial(_stream_meter, body, bound.choices),
        owns=stored_completion if body.get("store") is True else spoken_answers_of,
        headers=forwarded_headers(settings),
    )


def _stream_meter(body: Mapping[str, Any], choices: int) -> ChatStreamMeter:
    options = body.get("stream_options")
    asked = isinstance(options, dict) and bool(options.get("include_usage"))
    return ChatStreamMeter(asked, choices, stored=body.get("store") is True)
