"""GET, DELETE, cancel and input items of /v1/responses/{id}; nothing of it is billed."""

from __future__ import annotations

from dataclasses import replace
from math import ceil

from flask import Blueprint, Response, request

from gateway.core.errors import Conflict
from gateway.core.holds import Hold
from gateway.core.meters import Reading
from gateway.core.objects import Kind, WorkState
from gateway.exchange import Exchange, Gate, Reply
from gateway.relay import release
from gateway.relay_bytes import pass_bytes
from gateway.web.current import services
from gateway.web.openai.objects import described_anew, on_object

blueprint = Blueprint("stored_responses", __name__)

_RETRIEVE = ("include", "include[]", "include_obfuscation", "starting_after", "stream")
_LIST = ("after", "before", "include", "include[]", "limit", "order")


@blueprint.get("/v1/responses/<response_id>")
def retrieve_response(response_id: str) -> Response:
    """One response, or its events from any of them on; it was billed when it was made."""
    how = _pass_events if request.args.get("stream") == "true" else None
    return on_object(
        services(), Kind.RESPONSE, response_id, endpoint="responses", query=_RETRIEVE, how=how
    )


@blueprint.delete("/v1/responses/<response_id>")
def delete_response(response_id: str) -> Response:
    """Delete one, once it is known what it cost."""
    return on_object(
        services(),
        Kind.RESPONSE,
        response_id,
        endpoint="responses",
        method="DELETE",
        how=_delete_settled,
    )


@blueprint.post("/v1/responses/<response_id>/cancel")
def cancel_response(response_id: str) -> Response:
    """Cancel one that runs in the background; what it cost is settled as for any end."""
    return on_object(
        services(),
        Kind.RESPONSE,
        response_id,
        endpoint="responses",
        suffix="/cancel",
        method="POST",
    )


@blueprint.get("/v1/responses/<response_id>/input_items")
def list_input_items(response_id: str) -> Response:
    """What a response was made from."""
    return on_object(
        services(),
        Kind.RESPONSE,
        response_id,
        endpoint="responses",
        suffix="/input_items",
        query=_LIST,
    )


def _pass_events(gate: Gate, exchange: Exchange, hold: Hold) -> Reply:
    """Pass the events on as they come."""
    reply = pass_bytes(
        gate, replace(exchange, streamed=True), hold, lambda _bytes, _whole: Reading(None, None)
    )
    if isinstance(reply.body, bytes):
        return reply
    headers = {**reply.headers, "cache-control": "no-cache", "x-accel-buffering": "no"}
    return replace(reply, headers=headers)


def _delete_settled(gate: Gate, exchange: Exchange, hold: Hold) -> Reply:
    """Delete, unless what the response cost can still be learned from it alone."""
    found = exchange.target
    if found is not None and found.work_state is WorkState.OPEN:
        release(gate, exchange, hold, 409, "response_not_settled")
        raise Conflict(
            f"What response {found.id!r} costs is not known yet: it is still running, or has just"
            " ended. Cancel it if it runs, and try again shortly.",
            code="response_not_settled",
            headers={"retry-after": str(ceil(gate.settings.follow_seconds))},
        )
    return described_anew(gate, exchange, hold)
