"""Stored chat completions: GET /v1/chat/completions, and one of them; nothing is billed.

Which are the client's is known here; what they say is not stored here, so each is read from the
provider when it is asked for.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import gevent.pool
import orjson
from flask import Blueprint, Response, request

from gateway.adapters.upstream import UpstreamError
from gateway.core.bounds import FREE
from gateway.core.errors import UpstreamInvalid, UpstreamUnreachable
from gateway.core.objects import Kind, OwnedObject, PageWish
from gateway.core.policy import Policy
from gateway.core.stored_filters import CompletionFilter, completion_filter
from gateway.exchange import Exchange, Gate
from gateway.relay import free, is_providers_error, parsed
from gateway.web.admitting import admitted
from gateway.web.auth import authenticate
from gateway.web.current import Services, services
from gateway.web.openai.objects import on_object, page_wish
from gateway.web.replies import response

blueprint = Blueprint("stored_completions", __name__)

READ_AT_ONCE = 16
"""Completions of one list that are read from the provider at the same time."""

READ_MAX = 1_000
"""Completions that one list reads to find those that it filters for; it then ends early, and
says that there are more."""

_ENDPOINT = "chat/completions"


@blueprint.get("/v1/chat/completions")
def list_completions() -> Response:
    """One page of the client's own stored completions."""
    at = services()
    exchange, hold = admitted(at, partial(_prepare_list, at))

    def make() -> bytes:
        wish = page_wish(100, 20)
        # Unlike other lists, this one begins with the oldest.
        wish = replace(wish, ascending=request.args.get("order", "asc") == "asc")
        wanted = completion_filter(request.args.items(multi=True))
        return orjson.dumps(_page(at.gate, exchange, wish, wanted))

    return response(free(at.gate, exchange, hold, make))


def _prepare_list(at: Services, policy: Policy) -> Exchange:
    client, key = authenticate(policy, at.budgets)
    return Exchange(
        policy=policy,
        client=client,
        key=key,
        endpoint=_ENDPOINT,
        model="",
        body={},
        bound=FREE,
        price=None,
    )


def _page(
    gate: Gate, exchange: Exchange, wish: PageWish, wanted: CompletionFilter
) -> dict[str, Any]:
    data: list[Mapping[str, Any]] = []
    has_more = False
    for completion in _matching(gate, exchange, wish, wanted):
        if completion is None or len(data) == wish.limit:
            has_more = True
            break
        data.append(completion)
    return {
        "object": "list",
        "data": data,
        "first_id": data[0]["id"] if data else None,
        "last_id": data[-1]["id"] if data else None,
        "has_more": has_more,
    }


def _matching(
    gate: Gate, exchange: Exchange, wish: PageWish, wanted: CompletionFilter
) -> Iterator[Mapping[str, Any] | None]:
    """The completions that pass the filter, in order; None where it was not looked further."""
    readers = gevent.pool.Pool(READ_AT_ONCE)
    read = 0
    after = wish.after
    while True:
        page = gate.objects.page(
            exchange.client, Kind.COMPLETION, replace(wish, limit=wish.limit + 1, after=after)
        )
        likely = [one for one in page.objects if wanted.allows_model(one.model)]
        for completion in readers.map(partial(_read, gate, exchange), likely):
            if completion is not None and wanted.allows(completion):
                yield completion
        if not page.has_more:
            return
        read += len(likely)
        if read >= READ_MAX:
            yield None
        after = page.objects[-1].id


def _read(gate: Gate, exchange: Exchange, one: OwnedObject) -> Mapping[str, Any] | None:
    """A completion as the provider has it; None where it has it no more.

    Raises UpstreamUnreachable or UpstreamInvalid.
    """
    try:
        answer = gate.upstream.send(
            f"/{_ENDPOINT}/{one.id}", None, exchange.request_id, {}, method="GET"
        )
        body = answer.body(gate.upstream.read_seconds)
    except UpstreamError:
        raise UpstreamUnreachable(
            "The provider, which keeps the completions, cannot be reached. Try again shortly."
        ) from None
    found = parsed(body)
    if answer.status == 404 and is_providers_error(found):
        gate.objects.note([replace(one, deleted=True)])
        return None
    if answer.status != 200 or not isinstance(found, dict) or found.get("id") != one.id:
        raise UpstreamInvalid(
            f"The provider, which keeps the completions, answered with status {answer.status}"
            f" when it was asked for {one.id!r}. Try again shortly."
        )
    return found


@blueprint.get("/v1/chat/completions/<completion_id>")
def retrieve_completion(completion_id: str) -> Response:
    """One stored completion."""
    return on_object(services(), Kind.COMPLETION, completion_id, endpoint=_ENDPOINT)


@blueprint.post("/v1/chat/completions/<completion_id>")
def update_completion(completion_id: str) -> Response:
    """Change the metadata of one."""
    return on_object(services(), Kind.COMPLETION, completion_id, endpoint=_ENDPOINT, method="POST")


@blueprint.delete("/v1/chat/completions/<completion_id>")
def delete_completion(completion_id: str) -> Response:
    """Delete one."""
    return on_object(
        services(), Kind.COMPLETION, completion_id, endpoint=_ENDPOINT, method="DELETE"
    )


@blueprint.get("/v1/chat/completions/<completion_id>/messages")
def list_completion_messages(completion_id: str) -> Response:
    """The messages of the request that one answered."""
    return on_object(
        services(),
        Kind.COMPLETION,
        completion_id,
        endpoint=_ENDPOINT,
        suffix="/messages",
        query=("after", "limit", "order"),
    )
