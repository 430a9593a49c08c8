"""The cookies of the dashboard: all of them out of reach for scripts, and of this site alone."""

from __future__ import annotations

from flask import g, request
from werkzeug.wrappers import Response

from gateway.adapters.pending_sign_ins import LIFETIME as PENDING_LIFETIME
from gateway.adapters.sessions import LIFETIME as SESSION_LIFETIME
from gateway.core.credentials import new_secret
from gateway.web.current import services

SESSION_COOKIE = "faregate_session"
NONCE_COOKIE = "faregate_sign_in"
"""What the sign-in form must carry, so that nobody else's page can send it."""
STATE_COOKIE = "faregate_oidc"
"""The state of the sign-in that this browser began at the identity provider."""
CSRF_HEADER = "X-CSRF-Token"

_SIGN_IN_PATH = "/sign-in"
_NONCE_LENGTH = 43


def sign_in_nonce() -> str:
    """This browser's token for the sign-in form; ``keep_nonce`` sends a new one along."""
    found = request.cookies.get(NONCE_COOKIE, "")
    if len(found) != _NONCE_LENGTH:
        if "new_nonce" not in g:
            g.new_nonce = new_secret()
        found = str(g.new_nonce)
    return found


def keep_nonce(response: Response) -> None:
    """Give the browser the token that the form on this page carries."""
    if "new_nonce" in g:
        _set(response, NONCE_COOKIE, g.new_nonce, path=_SIGN_IN_PATH, same_site="Strict")


def begin_session(response: Response, cookie: str) -> None:
    """Sign the browser in; what led to it is forgotten."""
    age = int(SESSION_LIFETIME.total_seconds())
    _set(response, SESSION_COOKIE, cookie, path="/", max_age=age)
    _drop(response, NONCE_COOKIE, _SIGN_IN_PATH)
    _drop(response, STATE_COOKIE, _SIGN_IN_PATH)


def end_session(response: Response) -> None:
    """Sign the browser out."""
    _drop(response, SESSION_COOKIE, "/")


def keep_state(response: Response, state: str) -> None:
    """Note which sign-in this browser has begun."""
    age = int(PENDING_LIFETIME.total_seconds())
    _set(response, STATE_COOKIE, state, path=_SIGN_IN_PATH, max_age=age)


def _set(
    response: Response,
    name: str,
    value: str,
    *,
    path: str,
    same_site: str = "Lax",
    max_age: int | None = None,
) -> None:
    response.set_cookie(
        name,
        value,
        max_age=max_age,
        path=path,
        secure=_secure(),
        httponly=True,
        samesite=same_site,
    )


def _drop(response: Response, name: str, path: str) -> None:
    response.delete_cookie(name, path=path, secure=_secure(), httponly=True, samesite="Lax")


def _secure() -> bool:
    return request.is_secure or services().gate.settings.cookies_over_https_alone
