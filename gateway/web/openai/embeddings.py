"""POST /v1/embeddings"""

from __future__ import annotations

from functools import partial

from flask import Blueprint, Response

from gateway.core.bounds import bound_embedding
from gateway.core.catalog import facts_for
from gateway.core.chat_fields import KNOWN_OF_EMBEDDINGS
from gateway.core.policy import Policy
from gateway.core.strict_json import TOKEN_VALUES_MAX
from gateway.core.tokens import count_embedding_input
from gateway.exchange import Exchange
from gateway.web.auth import authenticate
from gateway.web.current import Services, services
from gateway.web.json_body import forwarded_headers, json_object
from gateway.web.openai.checks import check_fields
from gateway.web.openai.counting import counted
from gateway.web.openai.model_access import priced_model
from gateway.web.serving import serve

blueprint = Blueprint("embeddings", __name__)


@blueprint.post("/v1/embeddings")
def create_embedding() -> Response:
    """Authenticate, parse, bound; then the paid path."""
    at = services()
    return serve(at, partial(prepare, at))


def prepare(at: Services, policy: Policy) -> Exchange:
    """The request, authenticated, parsed and bounded. Raises ApiError."""
    client, key = authenticate(policy, at.budgets)
    body, size = json_object(at.gate.settings, TOKEN_VALUES_MAX)
    check_fields(body, KNOWN_OF_EMBEDDINGS, at.gate.settings)
    model, price = priced_model(body.get("model"), client, policy, at.models)
    facts = facts_for(model)
    count = at.gate.tokenizer.counter(facts)
    counts = counted(size, count_embedding_input, body.get("input"), count)
    return Exchange(
        policy=policy,
        client=client,
        key=key,
        endpoint="embeddings",
        model=model,
        body=body,
        bound=bound_embedding(price, counts, facts),
        price=price,
        facts=facts,
        headers=forwarded_headers(at.gate.settings),
    )
