"""GET /v1/models and /v1/models/{id}: what the client may use, as the provider describes it."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import partial

import orjson
from flask import Blueprint, Response
from openai.types import Model

from gateway.core.bounds import FREE
from gateway.core.errors import ModelNotFound, UpstreamUnreachable
from gateway.core.policy import Client, Policy
from gateway.exchange import Exchange
from gateway.relay import admit, free
from gateway.web.auth import authenticate
from gateway.web.current import Services, services
from gateway.web.replies import response

blueprint = Blueprint("models", __name__)


@blueprint.get("/v1/models")
def list_models() -> Response:
    """The provider's models that are priced here and allowed to the client."""
    at = services()
    exchange, hold = admit(at.gate, partial(_prepare, at))

    def make() -> bytes:
        found = usable(at, exchange.client, exchange.policy)
        data = [model.model_dump(mode="json", exclude_unset=True) for model in found]
        return orjson.dumps({"object": "list", "data": data})

    return response(free(at.gate, exchange, hold, make))


@blueprint.get("/v1/models/<path:name>")
def retrieve_model(name: str) -> Response:
    """One of these models."""
    at = services()
    exchange, hold = admit(at.gate, partial(_prepare, at))

    def make() -> bytes:
        for model in usable(at, exchange.client, exchange.policy):
            if model.id == name:
                return orjson.dumps(model.model_dump(mode="json", exclude_unset=True))
        raise ModelNotFound(
            f"The model {name[:128]!r} does not exist or you do not have access to it.",
            param="model",
        )

    return response(free(at.gate, exchange, hold, make))


def usable(at: Services, client: Client, policy: Policy) -> list[Model]:
    """The provider's models that have a price and that ``client`` may use, by id."""
    provided = at.models.get()
    if provided is None:
        raise UpstreamUnreachable("The provider's list of models cannot be had. Try again shortly.")
    now = datetime.now(UTC)
    return [
        model
        for name, model in sorted(provided.items())
        if client.may_use(name) and policy.prices.find(name, now) is not None
    ]


def _prepare(at: Services, policy: Policy) -> Exchange:
    client, key = authenticate(policy, at.budgets)
    return Exchange(
        policy=policy,
        client=client,
        key=key,
        endpoint="models",
        model="",
        body={},
        bound=FREE,
        price=None,
    )
