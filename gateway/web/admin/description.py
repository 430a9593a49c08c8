"""/admin/api/v1/openapi.json: the description of the admin API; no token is asked for."""

from __future__ import annotations

from functools import cache
from typing import Any

import orjson
from flask import Blueprint, Response

from gateway.web.admin import (
    admin_tokens,
    alerts,
    audit_log,
    budgets,
    clients,
    holds,
    keys,
    me,
    prices,
    records,
    tags,
    teams,
    usage,
    users,
)
from gateway.web.admin.document import document
from gateway.web.admin.endpoint import PREFIX

APIS = (
    teams.api,
    clients.api,
    keys.api,
    budgets.api,
    prices.api,
    usage.api,
    records.api,
    holds.api,
    tags.api,
    alerts.api,
    users.api,
    admin_tokens.api,
    audit_log.api,
    me.api,
)
"""Every subject of the admin API, in the order in which it is described."""

PATH = f"{PREFIX}/openapi.json"

blueprint = Blueprint("admin_description", __name__)


@blueprint.get(PATH)
def describe_admin_api() -> Response:
    """The description, made once per process."""
    return Response(_rendered(), content_type="application/json")


@cache
def described() -> dict[str, Any]:
    """The description of the whole admin API."""
    return document(APIS)


@cache
def _rendered() -> bytes:
    return orjson.dumps(described())
