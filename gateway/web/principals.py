"""Who calls the control plane, and whether they may: by session, admin token or a client's key.

Every route outside the paid path begins with ``principal(...)``; tests/test_repo_rules.py checks
that it does.
"""

from __future__ import annotations

from flask import Flask, request

from gateway.core.errors import Unauthorized
from gateway.core.roles import Principal, Role


def principal(*roles: Role) -> Principal:
    """Who makes the current request, if in one of ``roles``; with none named, in any.

    Raises Unauthorized and Forbidden, in OpenAI's envelope under ``/v1`` and ``/admin/api``;
    elsewhere, on pages, who is not signed in is sent to ``/sign-in`` and back.
    """
    wanted = ", ".join(roles or Role)
    raise Unauthorized(f"{request.path} is for {wanted}, and asks who you are.")


def csrf_token() -> str:
    """What a page's forms carry as ``csrf_token`` and its scripts as ``X-CSRF-Token``."""
    return ""


def install(app: Flask) -> None:
    """Send who is not signed in to the sign-in page, and set the headers of pages."""
