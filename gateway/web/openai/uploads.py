"""/v1/uploads: a large file in parts, which becomes a file of the client when it is complete."""

from __future__ import annotations

from functools import partial

from flask import Blueprint, Response

from gateway.core.bounds import FREE
from gateway.core.errors import BadRequest
from gateway.core.named_objects import described, file_of_upload
from gateway.core.objects import Kind, not_found
from gateway.core.policy import Policy
from gateway.exchange import Exchange
from gateway.web.auth import authenticate
from gateway.web.current import Services, services
from gateway.web.json_body import forwarded_headers, json_object
from gateway.web.openai.checks import check_file_purpose
from gateway.web.openai.objects import on_object
from gateway.web.serving import serve

blueprint = Blueprint("uploads", __name__)


@blueprint.post("/v1/uploads")
def create_upload() -> Response:
    """Begin an upload."""
    at = services()
    return serve(at, partial(_prepare, at))


def _prepare(at: Services, policy: Policy) -> Exchange:
    client, key = authenticate(policy, at.budgets)
    body, _ = json_object(at.gate.settings)
    check_file_purpose(body.get("purpose"))
    return Exchange(
        policy=policy,
        client=client,
        key=key,
        endpoint="uploads",
        model="",
        body=body,
        bound=FREE,
        price=None,
        owns=partial(described, Kind.UPLOAD),
        headers=forwarded_headers(at.gate.settings),
    )


@blueprint.post("/v1/uploads/<upload_id>/parts")
def add_part(upload_id: str) -> Response:
    """Add one part, a form."""
    return on_object(
        services(),
        Kind.UPLOAD,
        upload_id,
        endpoint="uploads",
        suffix="/parts",
        method="POST",
        with_form=True,
        owns=partial(described, Kind.UPLOAD_PART),
    )


@blueprint.post("/v1/uploads/<upload_id>/complete")
def complete_upload(upload_id: str) -> Response:
    """Make a file of the parts, which must be parts of this very upload."""
    at = services()
    return on_object(
        at,
        Kind.UPLOAD,
        upload_id,
        endpoint="uploads",
        suffix="/complete",
        method="POST",
        owns=file_of_upload,
        check=partial(_check_parts, at, upload_id),
    )


def _check_parts(at: Services, upload_id: str, exchange: Exchange) -> None:
    parts = exchange.body.get("part_ids")
    if not isinstance(parts, list) or not parts:
        raise BadRequest("part_ids must be a non-empty list of the ids of parts.", param="part_ids")
    for part_id in dict.fromkeys(str(part) for part in parts):
        found = at.gate.objects.find(exchange.client, Kind.UPLOAD_PART, part_id, "part_ids")
        if (found.data or {}).get("upload_id") != upload_id:
            raise not_found(Kind.UPLOAD_PART, part_id, "part_ids")


@blueprint.post("/v1/uploads/<upload_id>/cancel")
def cancel_upload(upload_id: str) -> Response:
    """Give an upload up."""
    return on_object(
        services(), Kind.UPLOAD, upload_id, endpoint="uploads", suffix="/cancel", method="POST"
    )
