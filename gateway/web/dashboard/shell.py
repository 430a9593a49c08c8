"""The frame of every page: who looks, where they are, and where they can go.

A page is a module with ``blueprint = pages("name")``, whose routes begin with
``principals.principal(...)`` and end with ``render(...)``. Its template begins with::

    {% extends layout %}
    {% import "macros.html" as ui with context %}

and fills the blocks ``heading``, ``lead``, ``actions``, ``filters`` and ``content``. Where ``live``
is given, the browser asks for the page again every so many seconds, gets its ``content`` alone, and
morphs it in place.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import orjson
from flask import Blueprint, Response, current_app, make_response, render_template, request
from flask.blueprints import BlueprintSetupState
from flask.typing import ResponseReturnValue
from werkzeug.exceptions import HTTPException

from gateway.core.errors import ApiError, BadRequest
from gateway.core.roles import Principal, Role
from gateway.web import principals
from gateway.web.dashboard import assets, formats

LIVE_SECONDS = 5
"""How often a page whose figures move is asked for again."""

HTMX = {
    "mode": "same-origin",
    "history": False,
    "includeIndicatorCSS": False,
    # What readers open, and what scripts set, is not closed or unset by what comes.
    "morphIgnore": ["data-htmx-powered", "open", "aria-sort", "data-drawn", "data-sortable"],
    "defaultTimeout": 20_000,
}
"""No attribute of a page holds an expression, so htmx never evaluates any."""

_FLASH = "faregate_note"
_FLASH_SECONDS = 60
_ID_DIGITS_MAX = 18
"""So that databases know every id that is asked for."""
_TONES = ("good", "info", "warn", "bad")
_ROLES = {
    Role.ADMIN: "Platform engineer",
    Role.FINANCE: "Finance, reads everything",
    Role.OWNER: "Team owner",
    Role.CLIENT: "Client",
}


@dataclass(frozen=True, slots=True)
class Link:
    """An entry of the navigation; ``current`` is the value of ``aria-current``, or empty."""

    label: str
    path: str
    icon: str = ""
    current: str = ""


@dataclass(frozen=True, slots=True)
class LinkGroup:
    """Entries of the navigation under one title, which may be empty."""

    title: str
    items: tuple[Link, ...]


@dataclass(frozen=True, slots=True)
class Crumb:
    """A step of the way to a page."""

    label: str
    path: str = ""


@dataclass(frozen=True, slots=True)
class Flash:
    """What a page says once; ``tone`` is good, info, warn or bad."""

    text: str
    tone: str = "good"


@dataclass(frozen=True, slots=True)
class Sort:
    """The order of a table, kept in the query as ``sort=key`` or ``sort=-key``."""

    key: str
    descending: bool
    path: str
    query: Mapping[str, Sequence[str]]

    def link(self, key: str) -> str:
        """The page ordered by ``key``: from the top first, then the other way round."""
        turned = key == self.key and self.descending
        wanted = key if turned else f"-{key}"
        return path_with(self.path, {**self.query, "sort": [wanted]})


@dataclass(frozen=True, slots=True)
class Page:
    """Where a list stands: ``previous`` and ``next`` are paths, None at its ends."""

    text: str
    previous: str | None = None
    next: str | None = None


def path_with(path: str, query: Mapping[str, Sequence[str]]) -> str:
    """``path`` with ``query``, without what is empty."""
    pairs = [(name, value) for name, values in query.items() for value in values if value]
    return f"{path}?{urlencode(pairs)}" if pairs else path


def sorting(allowed: Sequence[str], default: str) -> Sort:
    """The order that the query asks for, if it is one of ``allowed``; else ``default``.

    ``default`` may begin with ``-`` for the largest first.
    """
    wanted = request.args.get("sort", default)
    if wanted.removeprefix("-") not in allowed:
        wanted = default
    query = {name: values for name, values in request.args.lists() if name not in ("sort", "page")}
    return Sort(wanted.removeprefix("-"), wanted.startswith("-"), request.path, query)


# Pages


def pages(name: str) -> Blueprint:
    """A blueprint of pages: its errors are pages too."""
    made = Blueprint(name, __name__)

    @made.before_request
    def _refuse_nul() -> None:
        # No name has it, and PostgreSQL takes a text with it for an error.
        if any("\0" in text for text in (request.path, *request.args, *_given())):
            raise BadRequest("An address has no NUL in it.")

    @made.errorhandler(ApiError)
    def _api_error(error: ApiError) -> ResponseReturnValue:
        return error_page(error.status, error.message)

    @made.errorhandler(HTTPException)
    def _http_error(error: HTTPException) -> ResponseReturnValue:
        if error.response is not None:
            return error
        return error_page(error.code or 500, error.description or error.name)

    return made


def _given() -> Iterator[str]:
    """Every value of the query."""
    for values in request.args.listvalues():
        yield from values


def before_id() -> int | None:
    """The id of the query's ``before``, of which older entries are shown; None for the newest.

    What is no id is left out: an address that somebody cut short still shows something.
    """
    text = request.args.get("before", "")
    is_id = text.isascii() and text.isdigit() and len(text) <= _ID_DIGITS_MAX
    return int(text) if is_id else None


def render(
    template: str,
    viewer: Principal,
    *,
    title: str,
    crumbs: Sequence[Crumb] = (),
    live: int | None = None,
    **values: Any,
) -> Response:
    """The page ``template`` for ``viewer``; ``crumbs`` lead to it, without itself.

    Asked by a live update, it is its content alone.
    """
    partial = is_update()
    flashes = [] if partial else _take_flashes()
    made = make_response(
        render_template(
            template,
            layout="partial.html" if partial else "base.html",
            title=title,
            crumbs=[*crumbs, Crumb(title)],
            live=live,
            here=_here(),
            viewer=viewer,
            who={"name": name_of(viewer), "role": _ROLES[viewer.role]},
            navigation=navigation(viewer),
            flashes=flashes,
            csrf_token=principals.csrf_token(),
            **values,
        )
    )
    _private(made)
    if flashes:
        made.delete_cookie(_FLASH, path="/", httponly=True, samesite="Lax")
    return made


def is_update() -> bool:
    """Whether a live update asks: for the content of a page alone, without its filters."""
    return request.headers.get("HX-Request") == "true"


def render_bare(template: str, *, title: str, status: int = 200, **values: Any) -> Response:
    """A page without navigation, such as the one to sign in."""
    flashes = _take_flashes()
    token = principals.csrf_token()
    body = render_template(template, title=title, flashes=flashes, csrf_token=token, **values)
    made = make_response(body, status)
    _private(made)
    if flashes:
        made.delete_cookie(_FLASH, path="/", httponly=True, samesite="Lax")
    return made


def error_page(status: int, message: str) -> Response:
    """A page that says what is wrong."""
    titles = {401: "Sign in first", 403: "Not for you to see", 404: "Nothing is here"}
    return render_bare(
        "error.html", title=titles.get(status, "That did not work"), status=status, message=message
    )


def redirect_with(path: str, text: str, tone: str = "good") -> Response:
    """Send the browser to ``path``, whose page says ``text`` once.

    The text travels in a cookie of a minute, and is text: never markup.
    """
    made = Response(status=303)
    made.headers["Location"] = path
    note = base64.urlsafe_b64encode(orjson.dumps({"text": text[:500], "tone": tone})).decode()
    secure = request.is_secure
    made.set_cookie(
        _FLASH, note, _FLASH_SECONDS, path="/", httponly=True, samesite="Lax", secure=secure
    )
    return made


def _take_flashes() -> list[Flash]:
    try:
        found = orjson.loads(base64.urlsafe_b64decode(request.cookies.get(_FLASH, "")))
        return [Flash(str(found["text"]), found["tone"] if found["tone"] in _TONES else "info")]
    except (binascii.Error, ValueError, KeyError, TypeError):
        return []


def _private(response: Response) -> None:
    response.headers["Cache-Control"] = "no-store"
    response.vary.update(("Cookie", "HX-Request"))


def _here() -> str:
    query = request.query_string.decode("utf-8", "replace")
    return f"{request.path}?{query}" if query else request.path


def name_of(viewer: Principal) -> str:
    """What people call who looks: an address, a token, a key."""
    kind, _, name = viewer.actor.partition(":")
    return f"token {name}" if kind == "token" else name or kind


# Where one can go


def navigation(viewer: Principal) -> list[LinkGroup]:
    """The pages that ``viewer`` may open, as far as this process serves them."""
    if viewer.role is Role.CLIENT:
        groups = [("", [("My usage", "/me", "chart"), ("Requests", "/requests", "list")])]
    elif viewer.role is Role.OWNER:
        groups = [
            ("", [("Overview", "/", "home"), ("Requests", "/requests", "list")]),
            ("Spend", [("Team", "/teams", "team"), ("Budgets", "/budgets", "budget")]),
            ("Reference", [("Prices", "/prices", "tag"), ("Admin API", "/api-docs", "book")]),
        ]
    else:
        groups = [
            ("", [("Overview", "/", "home"), ("Requests", "/requests", "list")]),
            (
                "Spend",
                [
                    ("Teams", "/teams", "team"),
                    ("Budgets", "/budgets", "budget"),
                    ("Tags", "/tags", "filter"),
                    ("Alerts", "/alerts", "bell"),
                ],
            ),
            (
                "Money",
                [("Prices", "/prices", "tag"), ("Reconciliation", "/reconciliation", "scales")],
            ),
            (
                "Deployment",
                [
                    *([("People", "/people", "person")] if viewer.may_administer else []),
                    ("Audit log", "/audit-log", "log"),
                    ("Health", "/health", "pulse"),
                    ("Admin API", "/api-docs", "book"),
                ],
            ),
        ]
    found = [
        LinkGroup(title, tuple(_existing([Link(*entry) for entry in entries])))
        for title, entries in groups
    ]
    return [group for group in found if group.items]


def _existing(links: Sequence[Link]) -> list[Link]:
    served = {rule.rule for rule in current_app.url_map.iter_rules()}
    return [
        Link(link.label, link.path, link.icon, _current(link.path))
        for link in links
        if link.path in served
    ]


_BENEATH = {"/teams": ("/clients", "/keys"), "/people": ("/tokens",)}
"""Pages whose way leads by an entry of the navigation, though their paths do not."""


def _current(path: str) -> str:
    if request.path == path:
        return "page"
    beneath = (path, *_BENEATH.get(path, ()))
    inside = any(request.path.startswith(f"{start}/") for start in beneath)
    return "true" if path != "/" and inside else ""


# The blueprint that brings templates and static files


def _set_up(state: BlueprintSetupState) -> None:
    environment = state.app.jinja_env
    environment.trim_blocks = environment.lstrip_blocks = True
    environment.filters.update(formats.FILTERS)
    environment.globals.update(asset=assets.asset, htmx_config=json.dumps(HTMX))


blueprint = Blueprint("dashboard", __name__, template_folder="templates")
blueprint.record_once(_set_up)
