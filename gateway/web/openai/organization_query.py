"""What the usage and costs APIs are asked: their query, read strictly.

Lists come as the SDK writes them (``group_by[]=model&group_by[]=batch``) or with the name repeated
(``group_by=model&group_by=batch``). A parameter that is not known is an error: a filter with a slip
in its name would else show more than was asked for.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from time import time

from flask import request

from gateway.core.errors import BadRequest
from gateway.core.organization_ids import KEY, PROJECT, USER, number_of
from gateway.core.roles import Principal, Role
from gateway.core.tags import is_name
from gateway.core.time_buckets import Page, Width, page_of
from gateway.core.usage_families import SOURCES, Only
from gateway.core.usage_results import line_item_of
from gateway.web.principals import principal

TAG = "tag:"
"""What the name of a tag follows where costs are grouped by it."""

GROUPS_MAX = 8
VALUES_MAX = 1_000
"""Most values of one filter."""

_PAGING = frozenset(("start_time", "end_time", "bucket_width", "limit", "page"))
_IDS: Mapping[str, str] = {"project_ids": PROJECT, "user_ids": USER, "api_key_ids": KEY}


def reader() -> Principal:
    """Who asks: whoever may read what was spent."""
    return principal(Role.ADMIN, Role.FINANCE, Role.OWNER)


@dataclass(frozen=True, slots=True)
class Query:
    """A query, understood."""

    page: Page
    only: Only
    by: tuple[str, ...]


def query_of(
    asks: Principal, widths: Mapping[str, Width], filters: Iterable[str], groups: Iterable[str]
) -> Query:
    """The current request's query, with what ``asks`` may not see left out.

    ``filters`` and ``groups`` are the names that this API has; TAG stands for any tag.
    Raises BadRequest.
    """
    allowed = frozenset(filters)
    given = {name.removesuffix("[]") for name in request.args}
    if unknown := sorted(given - allowed - _PAGING - {"group_by"}):
        known = ", ".join(sorted(allowed | _PAGING | {"group_by"}))
        raise BadRequest(
            f"Unknown query parameter: {unknown[0][:80]!r}. There are {known}.",
            param=unknown[0][:80],
        )
    return Query(_page(widths), _only(asks), _groups(tuple(groups)))


def _page(widths: Mapping[str, Width]) -> Page:
    name = _one("bucket_width") or "1d"
    if name not in widths:
        raise BadRequest(
            f"'bucket_width' must be one of {', '.join(widths)}.", param="bucket_width"
        )
    start = _integer("start_time")
    if start is None:
        raise BadRequest(
            "Missing required parameter: 'start_time', in seconds since 1970.", param="start_time"
        )
    end, limit = _integer("end_time"), _integer("limit")
    return page_of(widths[name], start, end, limit, _one("page"), int(time()))


def _groups(allowed: tuple[str, ...]) -> tuple[str, ...]:
    found = tuple(dict.fromkeys(_many("group_by") or ()))
    for name in found:
        tag = name.removeprefix(TAG)
        if tag == name and name in allowed:
            continue
        if tag != name and TAG in allowed and is_name(tag):
            continue
        shown = ", ".join(f"{one}NAME" if one == TAG else one for one in allowed)
        raise BadRequest(f"'group_by' must be of {shown}, not {name[:80]!r}.", param="group_by")
    if len(found) > GROUPS_MAX:
        raise BadRequest(f"'group_by' may have {GROUPS_MAX} names.", param="group_by")
    return found


def _only(asks: Principal) -> Only:
    teams = _numbers("project_ids")
    own = asks.team_scope()
    if own is not None:
        teams = (own,) if teams is None else tuple(team for team in teams if team == own)
    items = _many("line_items")
    return Only(
        team_ids=teams,
        client_ids=_numbers("user_ids"),
        key_ids=_numbers("api_key_ids"),
        models=_many("models"),
        batch=_flag("batch"),
        sizes=_many("sizes"),
        endpoints=_endpoints(),
        line_items=None if items is None else tuple(map(line_item_of, items)),
    )


def _endpoints() -> tuple[str, ...] | None:
    sources = _many("sources")
    if sources is None:
        return None
    if strange := sorted(set(sources) - set(SOURCES.values())):
        raise BadRequest(
            f"'sources' must be of {', '.join(SOURCES.values())}, not {strange[0][:80]!r}.",
            param="sources",
        )
    return tuple(endpoint for endpoint, source in SOURCES.items() if source in sources)


def _numbers(name: str) -> tuple[int, ...] | None:
    """The numbers in a list of ids; None where there is none."""
    given = _many(name)
    if given is None:
        return None
    prefix = _IDS[name]
    found = []
    for one in given:
        number = number_of(prefix, one)
        if number is None:
            raise BadRequest(
                f"'{name}' must be ids such as {prefix}1, not {one[:80]!r}.", param=name
            )
        found.append(number)
    return tuple(found)


def _many(name: str) -> tuple[str, ...] | None:
    """The values of a list in either way of writing it; None where there is none."""
    found = request.args.getlist(f"{name}[]") + request.args.getlist(name)
    if len(found) > VALUES_MAX:
        raise BadRequest(f"'{name}' may have {VALUES_MAX} values.", param=name)
    if not all(value.isprintable() for value in found):
        raise BadRequest(f"'{name}' has characters that nothing is called by.", param=name)
    return tuple(found) or None


def _one(name: str) -> str | None:
    found = _many(name)
    if found is None:
        return None
    if len(found) > 1:
        raise BadRequest(f"'{name}' may be given once.", param=name)
    return found[0]


def _integer(name: str) -> int | None:
    found = _one(name)
    if found is None:
        return None
    if not found.isascii() or not found.isdecimal() or len(found) > 15:
        raise BadRequest(f"'{name}' must be a whole number, not {found[:40]!r}.", param=name)
    return int(found)


def _flag(name: str) -> bool | None:
    found = _one(name)
    if found not in (None, "true", "false"):
        raise BadRequest(f"'{name}' must be true or false.", param=name)
    return None if found is None else found == "true"
