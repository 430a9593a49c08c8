"""POST /v1/moderations: free of charge, and recorded at zero cost."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import partial
from typing import Any

from flask import Blueprint, Response

from gateway.core.bounds import FREE
from gateway.core.errors import BadRequest, Forbidden
from gateway.core.policy import Client, Policy
from gateway.exchange import Exchange
from gateway.web.auth import authenticate
from gateway.web.current import Services, services
from gateway.web.json_body import forwarded_headers, json_object
from gateway.web.openai.checks import check_fields
from gateway.web.openai.model_access import NAME_MAX
from gateway.web.serving import serve

blueprint = Blueprint("moderations", __name__)

KNOWN = frozenset(("input", "model"))
"""OpenAI API reference, "Create moderation"."""

MODEL_DEFAULT = "omni-moderation-latest"
"""The model where none is named. Source: OpenAI API reference, "Create moderation"."""


@blueprint.post("/v1/moderations")
def create_moderation() -> Response:
    """Authenticate, parse, check that it is free; then pass it on."""
    at = services()
    return serve(at, partial(prepare, at))


def prepare(at: Services, policy: Policy) -> Exchange:
    """The request, authenticated, parsed and bounded. Raises ApiError."""
    client, key = authenticate(policy, at.budgets)
    body, _ = json_object(at.gate.settings)
    check_fields(body, KNOWN, at.gate.settings)
    return Exchange(
        policy=policy,
        client=client,
        key=key,
        endpoint="moderations",
        model=_free_model(body.get("model"), client, policy),
        body=_with_input(body),
        bound=FREE,
        price=None,
        headers=forwarded_headers(at.gate.settings),
    )


def _with_input(body: dict[str, Any]) -> dict[str, Any]:
    if not isinstance(body.get("input"), str | list):
        raise BadRequest("input must be a string or a list.", param="input")
    return body


def _free_model(model: object, client: Client, policy: Policy) -> str:
    """The model's name. Raises BadRequest for one that is billed, Forbidden for one that the
    client may not use."""
    model = MODEL_DEFAULT if model is None else model
    if not isinstance(model, str) or not 0 < len(model) <= NAME_MAX:
        raise BadRequest(f"model must be a string of 1 to {NAME_MAX} characters.", param="model")
    if not client.may_use(model):
        raise Forbidden(
            f"Client {client.name!r} may not use model {model!r}; it may use"
            f" {', '.join(client.allowed_models)}. Ask a platform engineer for more.",
            param="model",
            code="model_not_allowed",
        )
    price = policy.prices.find(model, datetime.now(UTC))
    if price is not None and not price.is_free:
        raise BadRequest(
            f"Model {model!r} is billed, and moderations are not metered here because they are"
            f" free. Name a moderation model, or none for {MODEL_DEFAULT}.",
            param="model",
        )
    return model
