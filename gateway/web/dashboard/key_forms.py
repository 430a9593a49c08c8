"""Forms of keys: create, rotate with overlap, rename, revoke. A secret is shown once."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from flask import Response, request
from sqlalchemy import Row

from gateway.adapters.directory import Directory, NewKey
from gateway.adapters.directory_facts import key_facts
from gateway.adapters.directory_values import NotThere, checked_name
from gateway.adapters.threads import on_control_thread
from gateway.core.errors import NotFound
from gateway.core.etags import etag_of
from gateway.core.roles import Principal, Role
from gateway.web import principals
from gateway.web.current import services
from gateway.web.dashboard import forms, shell
from gateway.web.dashboard.client_forms import changeable, crumbs_of
from gateway.web.dashboard.forms import Form

blueprint = shell.pages("key_forms")

OVERLAPS = {
    "0": ("None: the old key stops at once", timedelta(0)),
    "1h": ("1 hour", timedelta(hours=1)),
    "24h": ("24 hours", timedelta(hours=24)),
    "7d": ("7 days", timedelta(days=7)),
    "30d": ("30 days", timedelta(days=30)),
}
_DEFAULT_OVERLAP = "24h"


@blueprint.route("/clients/<int:client_id>/keys/new", methods=["GET", "POST"])
def create(client_id: int) -> Response:
    """Make a key of a client."""
    viewer = principals.principal(Role.ADMIN, Role.OWNER)
    client = changeable(viewer, client_id)
    form = Form()
    if request.method == "POST":
        form = Form.sent()
        name, expires_in = form.optional("name", checked_name) or "", form.days("expires_days")
        made = forms.attempt(
            viewer,
            form,
            lambda: forms.change(viewer, lambda to: to.create_key(client_id, name, expires_in)),
        )
        if made is not None:
            return _shown(viewer, client, made, "A new key")
    return forms.render(
        "key_form.html",
        viewer,
        form,
        title=f"New key of {client.name}",
        crumbs=crumbs_of(client),
        client=client,
    )


@blueprint.route("/keys/<int:key_id>/rotate", methods=["GET", "POST"])
def rotate(key_id: int) -> Response:
    """Make a key in place of another, which works on for a while."""
    viewer = principals.principal(Role.ADMIN, Role.OWNER)
    key, client = _changeable(viewer, key_id)
    form = Form({"overlap": _DEFAULT_OVERLAP, forms.ETAG: etag_of(key_facts(key))})
    if request.method == "POST":
        form = Form.sent()
        if form.values.get("overlap") not in OVERLAPS:
            form.fail("overlap", "choose how long the old key works on")
        overlap = OVERLAPS.get(form.values.get("overlap", ""), OVERLAPS["0"])[1]
        expires_in = form.days("expires_days")

        def make(to: Directory) -> NewKey:
            return to.rotate_key(key_id, overlap, expires_in, seen=form.seen)

        made = forms.attempt(
            viewer, form, lambda: forms.change(viewer, make), subject=("key", key_id)
        )
        if made is not None:
            return _shown(viewer, client, made, "The key that takes its place")
        form.values[forms.ETAG] = etag_of(key_facts(key))
    return forms.render(
        "key_rotate.html",
        viewer,
        form,
        title=f"Rotate {key.prefix}...{key.last_four}",
        crumbs=crumbs_of(client),
        client=client,
        overlaps=[(name, text) for name, (text, _) in OVERLAPS.items()],
    )


@blueprint.route("/keys/<int:key_id>/edit", methods=["GET", "POST"])
def rename(key_id: int) -> Response:
    """Say anew what a key is for."""
    viewer = principals.principal(Role.ADMIN, Role.OWNER)
    key, client = _changeable(viewer, key_id)
    etag = etag_of(key_facts(key))
    form = Form({"name": key.name, forms.ETAG: etag})
    if request.method == "POST":
        form = Form.sent()
        name = form.optional("name", checked_name) or ""

        def make(to: Directory) -> bool:
            to.rename_key(key_id, name, seen=form.seen)
            return True

        subject = "key", key_id
        if forms.attempt(viewer, form, lambda: forms.change(viewer, make), subject=subject):
            return forms.done(f"/clients/{client.id}", "The key is renamed.")
        form.values[forms.ETAG] = etag
    return forms.render(
        "key_rename.html",
        viewer,
        form,
        title=f"Rename {key.prefix}...{key.last_four}",
        crumbs=crumbs_of(client),
        client=client,
    )


@blueprint.route("/keys/<int:key_id>/revoke", methods=["GET", "POST"])
def revoke(key_id: int) -> Response:
    """Stop a key, after a page that asks whether to."""
    viewer = principals.principal(Role.ADMIN, Role.OWNER)
    key, client = _changeable(viewer, key_id)
    display = f"{key.prefix}...{key.last_four}"
    form = Form({forms.ETAG: etag_of(key_facts(key))})
    if request.method == "POST":
        form = Form.sent()

        def make(to: Directory) -> bool:
            to.revoke_key(key_id, seen=form.seen)
            return True

        subject = "key", key_id
        if forms.attempt(viewer, form, lambda: forms.change(viewer, make), subject=subject):
            return forms.done(f"/clients/{client.id}", f"The key {display} is revoked.")
        form.values[forms.ETAG] = etag_of(key_facts(key))
    return forms.render(
        "confirm.html",
        viewer,
        form,
        title=f"Revoke {display}?",
        crumbs=crumbs_of(client),
        verb="Revoke the key",
        back=f"/clients/{client.id}",
        consequences=[
            "Whoever uses it is refused from the next request on, on every gateway.",
            "A revoked key cannot be brought back. To replace it without a gap, rotate it.",
            "The budgets of its client are untouched.",
        ],
    )


def _changeable(viewer: Principal, key_id: int) -> tuple[Row[Any], Row[Any]]:
    """A key that still works, and its client. Raises NotFound and Forbidden."""
    try:
        key = on_control_thread(Directory(services().engine, viewer).key, key_id)
    except NotThere as error:
        raise NotFound(f"There is no key {key_id}.") from error
    client = changeable(viewer, key.client_id)
    if key.revoked_at is not None:
        raise NotFound(f"The key {key.prefix}...{key.last_four} is revoked already.")
    return key, client


def _shown(viewer: Principal, client: Row[Any], made: NewKey, title: str) -> Response:
    """The secret, this once: it is in this answer and nowhere else."""
    return shell.render(
        "secret.html",
        viewer,
        title=title,
        crumbs=crumbs_of(client),
        made=made,
        back=f"/clients/{client.id}",
        back_label=f"Back to {client.name}",
        base_url=f"{request.host_url}v1",
        for_requests=True,
    )
