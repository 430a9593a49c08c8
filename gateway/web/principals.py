"""Who calls the control plane, and whether they may: by session, admin token or a client's key.

Every route outside the paid path begins with ``principal(...)``, or is listed as public in
tests/test_repo_rules.py, which checks that.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from datetime import UTC, datetime
from ipaddress import ip_address

from flask import Flask, g, request
from werkzeug.wrappers import Response

from gateway.adapters.admin_tokens import AdminTokens
from gateway.adapters.policies import PolicyUnavailable
from gateway.adapters.redis_counters import StoreDown
from gateway.adapters.redis_replies import CountersLost
from gateway.adapters.sessions import Session, Sessions
from gateway.adapters.threads import on_control_thread
from gateway.core.credentials import TOKEN_PREFIX
from gateway.core.errors import Forbidden, StoreUnavailable, Unauthorized
from gateway.core.holds import PolicyStale
from gateway.core.policy import Client, Key
from gateway.core.roles import Principal, Role
from gateway.web import page_rules
from gateway.web.auth import bearer, known_key
from gateway.web.cookies import CSRF_HEADER, SESSION_COOKIE, sign_in_nonce
from gateway.web.current import services
from gateway.web.page_rules import is_page, sign_in_address, to_sign_in

_SAFE_METHODS = frozenset(("GET", "HEAD", "OPTIONS"))


class SignInNeeded(Exception):
    """A page was asked for by nobody who is signed in."""


@dataclass(frozen=True, slots=True)
class _Caller:
    principal: Principal
    session: Session | None = None


def principal(*roles: Role) -> Principal:
    """Who makes the current request, if in one of ``roles``; with none named, in any.

    Raises Unauthorized and Forbidden, in OpenAI's envelope under ``/v1`` and ``/admin/api``;
    elsewhere, on pages, who is not signed in is sent to ``/sign-in`` and back. A method that
    changes something needs, by cookie, the session's CSRF token, and is never allowed by a
    client's key.
    """
    found = _caller()
    if found is None:
        if is_page():
            raise SignInNeeded
        raise Unauthorized(
            f"Say who you are: send `Authorization: Bearer {TOKEN_PREFIX}...`, an admin token that"
            " `faregate token create` makes."
        )
    if request.method not in _SAFE_METHODS:
        _check_unsafe(found)
    if roles and found.principal.role not in roles:
        raise Forbidden(
            f"This is for {_listed(roles)}; you are here as {found.principal.role}"
            f" ({found.principal.actor})."
        )
    return found.principal


def signed_in() -> Session | None:
    """The session of the browser that asks, if any; for what every page shows."""
    if "Authorization" in request.headers:
        return None
    found = _caller()
    return None if found is None else found.session


def csrf_token() -> str:
    """What a page's forms carry as ``csrf_token`` and its scripts as ``X-CSRF-Token``.

    Before anybody is signed in it is the browser's own, for the sign-in form alone. Programs
    need none.
    """
    if "Authorization" in request.headers:
        return ""
    session = signed_in()
    return sign_in_nonce() if session is None else session.csrf


def caller_address() -> str | None:
    """The network address that the request comes from.

    Proxies are believed as many entries of X-Forwarded-For, from its end, as there are proxies
    that add to it.
    """
    address = request.remote_addr
    proxies = services().gate.settings.trusted_proxies
    if proxies:
        listed = ",".join(request.headers.getlist("X-Forwarded-For")).split(",")
        forwarded = [entry.strip() for entry in listed if entry.strip()]
        address = forwarded[-proxies] if len(forwarded) >= proxies else address
    try:
        return str(ip_address(address or ""))
    except ValueError:
        return None


def install(app: Flask) -> None:
    """Send who is not signed in to the sign-in page, and set the headers of pages."""
    page_rules.install(app)

    @app.errorhandler(SignInNeeded)
    def _sign_in(_error: SignInNeeded) -> Response:
        return to_sign_in(sign_in_address(request))


def _caller() -> _Caller | None:
    """Who asks, found out once per request. What is wrong is refused, and not passed over."""
    if "caller" not in g:
        g.caller = _by_header() if "Authorization" in request.headers else _by_cookie()
    found: _Caller | None = g.caller
    return found


def _by_cookie() -> _Caller | None:
    cookie = request.cookies.get(SESSION_COOKIE)
    if not cookie:
        return None
    session = on_control_thread(Sessions(services().engine).find, cookie)
    if session is None:
        return None
    return _Caller(session.user.principal(caller_address()), session)


def _by_header() -> _Caller:
    secret = bearer()
    if not secret.startswith(TOKEN_PREFIX):
        client, key = _client(secret)
        actor = f"key:{key.display}"
        return _Caller(Principal(actor, Role.CLIENT, client.team_id, client.id, caller_address()))
    token = on_control_thread(AdminTokens(services().engine).find, secret)
    if token is None:
        raise Unauthorized("Incorrect admin token provided; `faregate token create` makes one.")
    state = token.state(datetime.now(UTC))
    if state != "active":
        raise Unauthorized(
            f"The admin token {token.display} is {state}; `faregate token create` makes another.",
            code=f"token_{state}",
        )
    return _Caller(token.principal(caller_address()))


def _client(secret: str) -> tuple[Client, Key]:
    """The client of a key, under the newest policy that is needed to know it."""
    at = services()
    policy = at.gate.policies.current
    try:
        for _ in range(8):
            try:
                return known_key(policy, at.budgets, secret)
            except PolicyStale:
                policy = at.gate.policies.catch_up(policy)
    except (StoreDown, CountersLost, PolicyUnavailable):
        pass
    raise StoreUnavailable(
        "The gateway cannot check keys at the moment. Try again shortly.",
        headers={"retry-after": "1"},
    )


def _check_unsafe(found: _Caller) -> None:
    if found.principal.role is Role.CLIENT:
        raise Forbidden("A client's key may look at what is its client's, and change nothing.")
    if found.session is None:
        return
    # Browsers say whether the page that sends is ours; a token of one's own is asked for too.
    site = request.headers.get("Sec-Fetch-Site", "same-origin")
    given = request.headers.get(CSRF_HEADER) or request.form.get("csrf_token", "")
    if site not in ("same-origin", "none") or not hmac.compare_digest(
        given.encode(), found.session.csrf.encode()
    ):
        raise Forbidden(
            "This did not come from a page of this dashboard, or that page is old: load it again.",
            code="csrf_token_wrong",
        )


def _listed(roles: tuple[Role, ...]) -> str:
    return " and ".join(dict.fromkeys(roles))
