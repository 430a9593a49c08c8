"""/v1/files: upload, list, describe, delete, download. Free, and each client sees its own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from time import time
from typing import Any

from flask import Blueprint, Response

from gateway.adapters.upstream import UpstreamError
from gateway.core.bounds import FREE
from gateway.core.meters import Reading
from gateway.core.named_objects import described, is_whole
from gateway.core.objects import Kind, OwnedObject
from gateway.core.policy import Policy
from gateway.exchange import Exchange, Gate
from gateway.relay_bytes import pass_bytes
from gateway.web.auth import authenticate
from gateway.web.current import Services, services
from gateway.web.form_body import form
from gateway.web.json_body import forwarded_headers
from gateway.web.openai.checks import check_file_purpose
from gateway.web.openai.objects import list_of, on_object
from gateway.web.serving import serve

blueprint = Blueprint("files", __name__)

LIST_MAX = 10_000


@blueprint.post("/v1/files")
def upload_file() -> Response:
    """Authenticate, read the form to disk, check; then on to the provider."""
    at = services()
    return serve(at, partial(_prepare, at))


def _prepare(at: Services, policy: Policy) -> Exchange:
    client, key = authenticate(policy, at.budgets)
    sent = form(at.gate.settings)
    check_file_purpose(sent.field("purpose"))
    sent.file("file")
    return Exchange(
        policy=policy,
        client=client,
        key=key,
        endpoint="files",
        model="",
        body={},
        bound=FREE,
        price=None,
        form=sent,
        owns=partial(described, Kind.FILE),
        headers=forwarded_headers(at.gate.settings),
    )


@blueprint.get("/v1/files")
def list_files() -> Response:
    """The client's own files, the newest first."""
    return list_of(
        services(),
        Kind.FILE,
        endpoint="files",
        render=_listed,
        limit_max=LIST_MAX,
        limit_default=LIST_MAX,
        filters=("purpose",),
    )


def _listed(gate: Gate, one: OwnedObject) -> Mapping[str, Any] | None:
    """A file as the provider describes it, who is asked once about each that it has made."""
    found = one.data
    if found is None or not is_whole(found):
        found = _asked(gate, one)
    expires = (found or {}).get("expires_at")
    return None if isinstance(expires, int) and expires <= time() else found


def _asked(gate: Gate, one: OwnedObject) -> Mapping[str, Any] | None:
    try:
        found = gate.upstream.described(f"/files/{one.id}")
    except UpstreamError:
        return None
    if found is None:
        gate.objects.note([replace(one, deleted=True)])
    elif is_whole(found):
        gate.objects.note([replace(one, data=found)])
    return found


@blueprint.get("/v1/files/<file_id>")
def retrieve_file(file_id: str) -> Response:
    """One file's description."""
    return on_object(services(), Kind.FILE, file_id, endpoint="files")


@blueprint.delete("/v1/files/<file_id>")
def delete_file(file_id: str) -> Response:
    """Delete one file."""
    return on_object(services(), Kind.FILE, file_id, endpoint="files", method="DELETE")


@blueprint.get("/v1/files/<file_id>/content")
def download_file(file_id: str) -> Response:
    """One file's content, byte by byte as it comes."""
    how = partial(pass_bytes, judge=_free)
    return on_object(services(), Kind.FILE, file_id, endpoint="files", suffix="/content", how=how)


def _free(_bytes: int, _whole: bool) -> Reading:
    return Reading(None, None)
