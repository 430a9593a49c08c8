"""POST /v1/chat/completions"""

from __future__ import annotations

from functools import partial

import gevent
from flask import Blueprint, Response

from gateway.adapters.tokenizer import LONG_TEXT_CHARACTERS
from gateway.core.bounds import bound_chat, rewritten_chat
from gateway.core.catalog import facts_for
from gateway.core.policy import Policy
from gateway.core.tokens import count_chat_prompt
from gateway.exchange import Exchange
from gateway.relay import admit, complete
from gateway.relay_stream import stream
from gateway.web.auth import authenticate
from gateway.web.current import Services, services
from gateway.web.json_body import forwarded_headers, json_object
from gateway.web.openai.checks import bound_rules, check_stream_fields
from gateway.web.openai.model_access import priced_model
from gateway.web.replies import response

blueprint = Blueprint("chat", __name__)


@blueprint.post("/v1/chat/completions")
def create_chat_completion() -> Response:
    """Authenticate, parse, bound; then the paid path."""
    at = services()
    exchange, hold = admit(at.gate, partial(_prepare, at))
    serve = stream if exchange.streamed else complete
    return response(serve(at.gate, exchange, hold))


def _prepare(at: Services, policy: Policy) -> Exchange:
    settings, tokenizer = at.gate.settings, at.gate.tokenizer
    client, key = authenticate(policy, at.budgets)
    body, size = json_object(settings)
    check_stream_fields(body)
    model, price = priced_model(body.get("model"), client, policy, at.models)
    facts = facts_for(model)
    count = tokenizer.counter(facts)
    if size > LONG_TEXT_CHARACTERS:
        # A long count in a native thread, where other requests do not wait for it.
        prompt = gevent.get_hub().threadpool.apply(count_chat_prompt, (body, facts, count))
    else:
        prompt = count_chat_prompt(body, facts, count)
    return Exchange(
        policy=policy,
        client=client,
        key=key,
        endpoint="chat/completions",
        model=model,
        body=body,
        bound=bound_chat(body, price, facts, prompt, client, bound_rules(settings)),
        price=price,
        facts=facts,
        streamed=bool(body.get("stream")),
        rewrite=rewritten_chat,
        headers=forwarded_headers(settings),
    )
