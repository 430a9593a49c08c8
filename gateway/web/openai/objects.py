"""What all endpoints of objects share: reading one, deleting one, listing one's own.

An object is only ever reached through its owner's note, and the path to the provider is built
from the id in that note.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import IO, Any
from urllib.parse import urlencode

import orjson
from flask import Response, g, request

from gateway.core.bounds import FREE
from gateway.core.errors import BadRequest
from gateway.core.holds import Hold
from gateway.core.objects import Kind, OwnedObject, PageWish
from gateway.core.policy import Client, Policy
from gateway.exchange import Exchange, Gate, Owns, Reply, owns_nothing
from gateway.relay import complete, free, parsed
from gateway.web.admitting import admitted
from gateway.web.auth import authenticate
from gateway.web.current import Services
from gateway.web.form_body import form
from gateway.web.json_body import forwarded_headers, json_object
from gateway.web.replies import response
from gateway.web.serving import Serve, serve

DESCRIBED = frozenset((Kind.FILE, Kind.BATCH, Kind.FINE_TUNING_JOB))
"""Kinds whose description is kept for lists: it is no prompt and no answer."""


Checks = Callable[[Exchange], None]
"""Raises ApiError where the request may not go on, such as for another's id in its body."""


@dataclass(frozen=True)
class _Request:
    """What one endpoint passes on about one object."""

    kind: Kind
    object_id: str
    endpoint: str
    suffix: str
    method: str
    query: tuple[str, ...]
    with_form: bool
    owns: Owns
    check: Checks | None


def on_object(
    at: Services,
    kind: Kind,
    object_id: str,
    *,
    endpoint: str,
    suffix: str = "",
    method: str = "GET",
    query: Iterable[str] = (),
    with_form: bool = False,
    owns: Owns = owns_nothing,
    check: Checks | None = None,
    how: Serve | None = None,
) -> Response:
    """Pass a request about one object of the client on: free, recorded, and only the owner's.

    ``suffix`` follows the id in the path to the provider; ``query`` are the arguments that may
    go along. A body is passed on where ``method`` is POST and one came, ``with_form`` as a
    form. ``owns`` finds what the answer names; it belongs to the owner of the object.
    """
    asked = _Request(
        kind, object_id, endpoint, suffix, method, tuple(query), with_form, owns, check
    )
    return serve(at, partial(_prepare, at, asked), how or described_anew)


def _prepare(at: Services, asked: _Request, policy: Policy) -> Exchange:
    client, key = authenticate(policy, at.budgets)
    found = at.gate.objects.find(client, asked.kind, asked.object_id)
    body: Mapping[str, Any] = {}
    if asked.method == "POST" and not asked.with_form and _has_body():
        body, _ = json_object(at.gate.settings)
    exchange = Exchange(
        policy=policy,
        client=client,
        key=key,
        # Not the endpoint that makes such objects: reading an answer again is no use of a model.
        endpoint=f"{asked.endpoint}/{{id}}{asked.suffix}",
        model=found.model,
        body=body,
        bound=FREE,
        price=None,
        method=asked.method,
        path=f"/{asked.endpoint}/{found.id}{asked.suffix}{passed_query(asked.query)}",
        form=form(at.gate.settings) if asked.with_form else None,
        owns=asked.owns,
        target=found,
        headers=forwarded_headers(at.gate.settings),
    )
    if asked.check is not None:
        asked.check(exchange)
    return exchange


def _has_body() -> bool:
    return bool(request.content_length) or "Transfer-Encoding" in request.headers


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
    exchange, hold = admitted(at, partial(_prepare_list, at, endpoint))

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
        filters=_filters(frozenset(filters)),
    )


def _filters(allowed: frozenset[str]) -> dict[str, str]:
    """The filters among the current request's arguments; ``metadata[k]`` is one of metadata."""
    return {
        name: value for name, value in request.args.items() if name.partition("[")[0] in allowed
    }


def check_files(at: Services, client: Client, named: Iterable[tuple[str, str]]) -> None:
    """Raise NotFound unless every file of ``named`` (id and place) is one ``client`` may see."""
    for file_id, place in named:
        at.gate.objects.find(client, Kind.FILE, file_id, place)


def content_of(
    at: Services, client: Client, file_id: object, param: str, bytes_max: int
) -> IO[bytes]:
    """The content of a file of ``client`` that the request names, downloaded once per request.

    Raises NotFound, BadRequest where it is larger than ``bytes_max``, and UpstreamUnreachable.
    """
    found = at.gate.objects.find(client, Kind.FILE, file_id, param)
    if "contents" not in g:
        g.contents = {}
    contents: dict[str, IO[bytes]] = g.contents
    if found.id not in contents:
        contents[found.id] = at.contents.download(found.id, bytes_max, param)
    return contents[found.id]
