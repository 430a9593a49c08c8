"""What all endpoints of objects share: reading one, deleting one, listing one's own.

An object is only ever reached through its owner's note, and the path to the provider is built
from the id in that note.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any
from urllib.parse import urlencode

import orjson
from flask import Response, request

from gateway.core.bounds import FREE
from gateway.core.errors import BadRequest
from gateway.core.holds import Hold
from gateway.core.objects import Kind, OwnedObject, PageWish
from gateway.core.policy import Policy
from gateway.exchange import Exchange, Gate, Reply
from gateway.relay import admit, complete, free, parsed
from gateway.web.auth import authenticate
from gateway.web.current import Services
from gateway.web.json_body import forwarded_headers, json_object
from gateway.web.replies import response
from gateway.web.serving import Serve, serve

DESCRIBED = frozenset((Kind.FILE, Kind.BATCH, Kind.FINE_TUNING_JOB))
"""Kinds whose description is kept for lists: it is no prompt and no answer."""


def on_object(
    at: Services,
    kind: Kind,
    object_id: str,
    *,
    endpoint: str,
    suffix: str = "",
    method: str = "GET",
    query: Iterable[str] = (),
    how: Serve | None = None,
) -> Response:
    """Pass a request about one object of the client on: free, recorded, and only the owner's.

    ``suffix`` follows the id in the path to the provider; ``query`` are the arguments that may
    go along. A body is passed on where ``method`` is POST and one came.
    """
    prepare = partial(_prepare, at, kind, object_id, endpoint, suffix, method, tuple(query))
    return serve(at, prepare, how or described_anew)


def _prepare(
    at: Services,
    kind: Kind,
    object_id: str,
    endpoint: str,
    suffix: str,
    method: str,
    query: tuple[str, ...],
    policy: Policy,
) -> Exchange:
    client, key = authenticate(policy, at.budgets)
    found = at.gate.objects.find(client, kind, object_id)
    body: Mapping[str, Any] = {}
    if method == "POST" and request.content_length != 0 and request.mimetype:
        body, _ = json_object(at.gate.settings)
    return Exchange(
        policy=policy,
        client=client,
        key=key,
        endpoint=endpoint,
        model=found.model,
        body=body,
        bound=FREE,
        price=None,
        method=method,
        path=f"/{endpoint}/{found.id}{suffix}{passed_query(query)}",
        target=found,
        headers=forwarded_headers(at.gate.settings),
    )


def passed_query(allowed: Iterable[str]) -> str:
    """The arguments of the current request that may go to the provider, with their "?"."""
    pairs = [(name, value) for name in allowed for value in request.args.getlist(name)]
    return f"?{urlencode(pairs)}" if pairs else ""


def described_anew(gate: Gate, exchange: Exchange, hold: Hold) -> Reply:
    """Serve, and keep how the provider describes the object now, or that it is deleted."""
    reply = complete(gate, exchange, hold)
    found = exchange.target
    if found is None or reply.status != 200 or not isinstance(reply.body, bytes):
        return reply
    payload = parsed(reply.body)
    if isinstance(payload, dict) and payload.get("id") == found.id:
        if payload.get("deleted") is True:
            gate.objects.note([replace(found, deleted=True)])
        elif found.kind in DESCRIBED and payload.get("object") == found.kind.value:
            gate.objects.note([replace(found, data=payload)])
    return reply


Render = Callable[[Gate, OwnedObject], Mapping[str, Any] | None]
"""The entry of a list for one object; None leaves it out."""


def as_described(_gate: Gate, one: OwnedObject) -> Mapping[str, Any] | None:
    """The object as the provider last described it."""
    return one.data


def list_of(
    at: Services,
    kind: Kind,
    *,
    endpoint: str,
    render: Render = as_described,
    limit_max: int = 100,
    limit_default: int = 20,
    filters: Iterable[str] = (),
) -> Response:
    """One page of the client's own objects, in the shape of OpenAI's lists."""
    exchange, hold = admit(at.gate, partial(_prepare_list, at, endpoint))

    def make() -> bytes:
        wish = page_wish(limit_max, limit_default, filters)
        page = at.gate.objects.page(exchange.client, kind, wish)
        data = [entry for one in page.objects if (entry := render(at.gate, one)) is not None]
        found: dict[str, Any] = {"object": "list", "data": data, "has_more": page.has_more}
        found["first_id"] = page.objects[0].id if page.objects else None
        found["last_id"] = page.objects[-1].id if page.objects else None
        return orjson.dumps(found)

    return response(free(at.gate, exchange, hold, make))


def _prepare_list(at: Services, endpoint: str, policy: Policy) -> Exchange:
    client, key = authenticate(policy, at.budgets)
    return Exchange(
        policy=policy,
        client=client,
        key=key,
        endpoint=endpoint,
        model="",
        body={},
        bound=FREE,
        price=None,
    )


def page_wish(limit_max: int, limit_default: int, filters: Iterable[str] = ()) -> PageWish:
    """The page that the current request's arguments ask for. Raises BadRequest."""
    given = request.args.get("limit", str(limit_default))
    digits = given.isascii() and given.isdecimal() and len(given) < 10
    if not (digits and 1 <= int(given) <= limit_max):
        raise BadRequest(f"limit must be an integer from 1 to {limit_max}.", param="limit")
    order = request.args.get("order", "desc")
    if order not in ("asc", "desc"):
        raise BadRequest("order must be asc or desc.", param="order")
    return PageWish(
        limit=int(given),
        after=request.args.get("after") or None,
        before=request.args.get("before") or None,
        ascending=order == "asc",
        filters={name: request.args[name] for name in filters if name in request.args},
    )
