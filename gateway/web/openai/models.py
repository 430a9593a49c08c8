"""/v1/models: what the client may use, as the provider describes it; its own can be deleted."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from functools import partial
from typing import Any

import orjson
from flask import Blueprint, Response

from gateway.core.bounds import FREE
from gateway.core.errors import UpstreamUnreachable
from gateway.core.objects import Kind, PageWish, not_found
from gateway.core.policy import Client, Policy
from gateway.exchange import Exchange
from gateway.relay import free
from gateway.web.admitting import admitted
from gateway.web.auth import authenticate
from gateway.web.current import Services, services
from gateway.web.openai.model_access import is_fine_tuned
from gateway.web.openai.objects import on_object
from gateway.web.replies import response

blueprint = Blueprint("models", __name__)

OWN_MAX = 10_000
"""Most fine-tuned models that are listed of one client."""


@blueprint.get("/v1/models")
def list_models() -> Response:
    """The provider's models that are priced here and allowed to the client, and its own."""
    at = services()
    exchange, hold = admitted(at, partial(_prepare, at))

    def make() -> bytes:
        found = usable(at, exchange.client, exchange.policy)
        return orjson.dumps({"object": "list", "data": found})

    return response(free(at.gate, exchange, hold, make))


@blueprint.get("/v1/models/<path:name>")
def retrieve_model(name: str) -> Response:
    """One of these models."""
    at = services()
    if is_fine_tuned(name):
        return on_object(at, Kind.MODEL, name, endpoint="models")
    exchange, hold = admitted(at, partial(_prepare, at))

    def make() -> bytes:
        for model in usable(at, exchange.client, exchange.policy):
            if model["id"] == name:
                return orjson.dumps(model)
        raise not_found(Kind.MODEL, name)

    return response(free(at.gate, exchange, hold, make))


@blueprint.delete("/v1/models/<path:name>")
def delete_model(name: str) -> Response:
    """Delete a fine-tuned model of the client."""
    return on_object(services(), Kind.MODEL, name, endpoint="models", method="DELETE")


def usable(at: Services, client: Client, policy: Policy) -> list[Mapping[str, Any]]:
    """The models that have a price and that ``client`` may use, by id.

    The provider's list has the fine-tuned models of all clients: those are left out, and the
    client's own are added, also where the list is older than they are.
    """
    provided = at.models.get()
    if provided is None:
        raise UpstreamUnreachable("The provider's list of models cannot be had. Try again shortly.")
    found: dict[str, Mapping[str, Any]] = {
        name: model.model_dump(mode="json", exclude_unset=True)
        for name, model in provided.items()
        if not is_fine_tuned(name)
    }
    for own in at.gate.objects.page(client, Kind.MODEL, PageWish(limit=OWN_MAX)).objects:
        if own.data is not None:
            found[own.id] = own.data
    now = datetime.now(UTC)
    return [
        model
        for name, model in sorted(found.items())
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
