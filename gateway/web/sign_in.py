"""/sign-in and /sign-out: by e-mail and password, or by an OpenID Connect provider."""

from __future__ import annotations

import hmac

import structlog
from flask import Blueprint, g, redirect, request
from werkzeug.wrappers import Response

from gateway.adapters.accounts import Accounts, User
from gateway.adapters.external_accounts import NotAdmitted, admit
from gateway.adapters.identity_provider import Identity, IdentityProvider, SignInFailed
from gateway.adapters.passwords import check_password
from gateway.adapters.pending_sign_ins import PendingSignIns
from gateway.adapters.redis_counters import StoreDown
from gateway.adapters.sessions import Sessions
from gateway.adapters.sign_in_limits import SignInLimits, TooManyTries
from gateway.adapters.threads import on_control_thread, on_password_thread
from gateway.core.credentials import PASSWORD_LENGTH_MAX
from gateway.core.errors import NotFound
from gateway.core.roles import role_of_groups
from gateway.web.cookies import (
    NONCE_COOKIE,
    SESSION_COOKIE,
    STATE_COOKIE,
    begin_session,
    end_session,
    keep_nonce,
    keep_state,
)
from gateway.web.current import services
from gateway.web.dashboard.shell import render_bare
from gateway.web.page_rules import SIGN_IN, SIGN_OUT, safe_next
from gateway.web.principals import caller_address, principal, signed_in

FORM_BYTES_MAX = 16 * 1024
"""Of a form that anybody may send."""
CALLBACK = f"{SIGN_IN}/oidc/callback"

_WRONG = "The e-mail address or the password is wrong."
_OLD_FORM = "This form was open for too long, or cookies are off. Please try once more."

blueprint = Blueprint("sign_in", __name__)
_log = structlog.get_logger(__name__)


@blueprint.get(SIGN_IN)
def show() -> Response:
    """The sign-in form; who is signed in goes on."""
    if signed_in() is not None:
        return redirect(safe_next(request.args.get("next")), 303)
    return _form(request.args.get("next"))


@blueprint.post(SIGN_IN)
def sign_in() -> Response:
    """Check an e-mail address and a password, and begin a session."""
    request.max_content_length = FORM_BYTES_MAX
    form = request.form
    wanted = form.get("next")
    email, password = form.get("email", "").strip(), form.get("password", "")
    nonce = request.cookies.get(NONCE_COOKIE, "")
    given = form.get("csrf_token", "")
    if not nonce or not hmac.compare_digest(nonce.encode(), given.encode()):
        return _form(wanted, email, _OLD_FORM, 403)
    address = caller_address()
    limits = SignInLimits(services().budgets)
    try:
        limits.count(address, email)
        user = _checked(email, password)
        if user is None:
            _log.warning("sign_in.refused", address=address)
            return _form(wanted, email, _WRONG, 401)
        limits.forgive(address, email)
    except TooManyTries as error:
        _log.warning("sign_in.too_many_tries", of=error.of, address=address)
        return _too_many(wanted, email, error)
    except StoreDown:
        return _form(wanted, email, _NOT_COUNTED, 503)
    return _begin(user, "password", wanted)


@blueprint.post(SIGN_OUT)
def sign_out() -> Response:
    """End the session."""
    principal()
    on_control_thread(Sessions(services().engine).end, request.cookies.get(SESSION_COOKIE, ""))
    response = redirect(SIGN_IN, 303)
    end_session(response)
    return response


@blueprint.get(f"{SIGN_IN}/oidc")
def begin_oidc() -> Response:
    """Send the browser to the identity provider."""
    provider = _provider()
    at = services()
    wanted = safe_next(request.args.get("next"))
    try:
        SignInLimits(at.budgets).count(caller_address())
        state, pending = on_control_thread(PendingSignIns(at.engine).begin, wanted)
        address = provider.address(state, pending, _redirect_uri())
    except TooManyTries as error:
        return _too_many(wanted, "", error)
    except StoreDown:
        return _form(wanted, "", _NOT_COUNTED, 503)
    except SignInFailed as error:
        return _failed(error)
    response = redirect(address, 303)
    keep_state(response, state)
    return response


@blueprint.get(CALLBACK)
def finish_oidc() -> Response:
    """Learn from the identity provider who has come back, and begin a session."""
    provider = _provider()
    at = services()
    state, code = request.args.get("state", ""), request.args.get("code", "")
    begun = request.cookies.get(STATE_COOKIE, "")
    # The sign-in must be this browser's own: else somebody is signed in as who sent the link.
    if not begun or not hmac.compare_digest(begun.encode(), state.encode()):
        return _failed(SignInFailed("this sign-in was not begun in this browser, or is over"))
    pending = on_control_thread(PendingSignIns(at.engine).take, state)
    if pending is None:
        return _failed(SignInFailed("this sign-in is over, or was finished before"))
    if not code:
        refused = request.args.get("error", "it sent no code")[:100]
        _log.warning("sign_in.oidc_refused", error=refused)
        return _failed(SignInFailed("the identity provider did not sign you in"))
    try:
        identity = provider.identify(code, pending, _redirect_uri())
        user = _admitted(identity)
    except NotAdmitted as error:
        _log.warning("sign_in.oidc_not_admitted", address=caller_address())
        return _form(pending.next, "", str(error), 403)
    except SignInFailed as error:
        return _failed(error)
    return _begin(user, "oidc", pending.next)


_NOT_COUNTED = (
    "Nobody can be signed in at the moment: Redis, which counts the tries, does not answer."
)


def _checked(email: str, password: str) -> User | None:
    """The user of an e-mail address and a password, after the same work for anybody."""
    found = on_control_thread(Accounts(services().engine).find, email)
    stored = None if found is None else found[1]
    right = on_password_thread(check_password, stored, password[: PASSWORD_LENGTH_MAX + 1])
    return found[0] if found is not None and right else None


def _admitted(identity: Identity) -> User:
    settings = services().gate.settings
    role = role_of_groups(
        identity.groups,
        frozenset(settings.oidc_admin_groups),
        frozenset(settings.oidc_finance_groups),
    )
    return on_control_thread(admit, services().engine, identity, role, caller_address())


def _begin(user: User, how: str, wanted: str | None) -> Response:
    """A new session, in place of the one that the browser had."""
    old = request.cookies.get(SESSION_COOKIE, "")
    sessions = Sessions(services().engine)
    new = on_control_thread(sessions.begin, user, caller_address(), how, old)
    response = redirect(safe_next(wanted), 303)
    begin_session(response, new.cookie)
    return response


def _provider() -> IdentityProvider:
    found = services().identity_provider
    if found is None:
        raise NotFound("No OpenID Connect provider is set up here (FAREGATE_OIDC_ISSUER).")
    return found


def _redirect_uri() -> str:
    base = services().gate.settings.public_url or request.host_url.rstrip("/")
    return base + CALLBACK


def _form(
    wanted: str | None, email: str = "", problem: str | None = None, status: int = 200
) -> Response:
    provider = services().identity_provider
    # Nobody is signed in where this is shown, whatever cookie came along.
    g.caller = None
    response = render_bare(
        "sign_in.html",
        title="Sign in",
        status=status,
        next=safe_next(wanted),
        email=email[:200],
        problem=problem,
        provider=None if provider is None else provider.host,
    )
    keep_nonce(response)
    return response


def _too_many(wanted: str | None, email: str, error: TooManyTries) -> Response:
    minutes = -(-error.wait_seconds // 60)
    response = _form(
        wanted,
        email,
        f"Too many tries to sign in with this {error.of}. Try again in {minutes}"
        f" {'minute' if minutes == 1 else 'minutes'}.",
        429,
    )
    response.headers["Retry-After"] = str(error.wait_seconds)
    return response


def _failed(error: SignInFailed) -> Response:
    _log.warning("sign_in.oidc_failed", reason=str(error), address=caller_address())
    return _form(None, "", f"You could not be signed in: {error}.", 403)
