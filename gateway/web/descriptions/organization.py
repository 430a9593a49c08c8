"""The organization: usage and costs, from our own records."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from gateway.core.errors import Conflict, NotFound
from gateway.core.spend_terms import CENTS_MAX, RECIPIENTS_MAX
from gateway.core.tags import NAME_MAX
from gateway.core.time_buckets import COST_WIDTHS, MOMENT_MAX, USAGE_WIDTHS, Width
from gateway.core.usage_families import FAMILIES, SOURCES, Family
from gateway.web.descriptions.operation import JSON, Operation, Query
from gateway.web.descriptions.shapes import (
    Shape,
    flag,
    integer,
    list_of,
    nullable,
    number,
    one_of,
    record,
    text,
)
from gateway.web.descriptions.text import const
from gateway.web.openai.organization_costs import FILTERS, GROUPS
from gateway.web.openai.organization_lists import LIMIT_MAX
from gateway.web.openai.organization_query import TAG

_ID_LISTS: Mapping[str, str] = {"project_ids": "proj", "user_ids": "user", "api_key_ids": "key"}

_SUMMARIES: Mapping[str, str] = {
    "completions": "Tokens of chat and legacy completions, responses and batches",
    "embeddings": "Tokens of embeddings",
    "moderations": "Moderations",
    "images": "Images made, edited and varied",
    "audio_speeches": "Characters spoken",
    "audio_transcriptions": "Seconds transcribed and translated",
    "vector_stores": "Bytes stored, which are none here",
    "code_interpreter_sessions": "Sessions of the code interpreter",
    "file_search_calls": "File searches",
}


def _values(name: str) -> Shape:
    if name in _ID_LISTS:
        return list_of(text(pattern=f"^{_ID_LISTS[name]}_[1-9][0-9]{{0,17}}$"))
    if name == "sources":
        return list_of(one_of(*SOURCES.values()))
    return flag() if name == "batch" else list_of(text())


def _query(
    widths: Mapping[str, Width], filters: Iterable[str], group_by: Iterable[str]
) -> tuple[Query, ...]:
    most = max(width.most for width in widths.values())
    named = [name for name in group_by if name != TAG]
    # Any tag's name is as good: what nothing carries is a group of its own.
    group: Shape = one_of(*named)
    if TAG in group_by:
        group = {"anyOf": [group, text(pattern=f"^{TAG}[a-z0-9_.-]{{1,{NAME_MAX}}}$")]}
    return (
        Query(
            "start_time",
            integer(0, MOMENT_MAX),
            "Seconds since 1970; the bucket that it is in is the first.",
            needed=True,
        ),
        Query("end_time", integer(0, MOMENT_MAX), "Seconds since 1970, exclusive; now, if left."),
        Query("bucket_width", one_of(*widths)),
        Query("limit", integer(1, most), "Buckets of one page."),
        Query("page", text(), "The `next_page` of the page before."),
        *(Query(name, _values(name)) for name in filters),
        Query("group_by", list_of(group)),
    )


def _page(result: Shape) -> Mapping[str, Shape]:
    bucket = record(
        {
            "object": const("bucket"),
            "start_time": integer(0),
            "end_time": integer(0),
            "results": list_of(result),
        }
    )
    return {
        JSON: record(
            {
                "object": const("page"),
                "data": list_of(bucket),
                "has_more": flag(),
                "next_page": nullable(text()),
            }
        )
    }


def _usage(family: Family) -> Operation:
    return Operation(
        _SUMMARIES[family.name],
        _page(record({"object": const(f"organization.usage.{family.result}.result")})),
        query=_query(USAGE_WIDTHS, family.filters, family.group_by),
        asks_provider=False,
        by_admin_token=True,
    )


_AMOUNT = record({"value": number(), "currency": const("usd"), "value_nano": integer()})

_ORGANIZATION_PAGE = (
    Query("limit", integer(1, LIMIT_MAX)),
    Query("after", text(), "The `last_id` of the page before."),
)
_ORDER = Query("order", one_of("asc", "desc"))
_LIST: Mapping[str, Shape] = {
    JSON: record({"object": const("list"), "data": list_of({}), "has_more": flag()})
}
_THRESHOLD: Mapping[str, Shape] = {
    "currency": const("USD"),
    "interval": const("month"),
    "threshold_amount": integer(1, CENTS_MAX),
}
_CHANNEL = record(
    {"type": const("email"), "recipients": list_of(text(), 1, RECIPIENTS_MAX)},
    {"subject_prefix": {"enum": [None, ""]}},
)


def _control(summary: str, answers: Mapping[str, Shape], **given: Any) -> Operation:
    return Operation(
        summary, answers, asks_provider=False, by_admin_token=True, unknown_pass=False, **given
    )


def _object(kind: str) -> Mapping[str, Shape]:
    return {JSON: record({"object": text(pattern=f"^[a-z.]*{kind}$")})}


_LIMIT, _ALERT = _object("spend_limit"), _object("spend_alert")
_LIMIT_BODY = record(_THRESHOLD)
_ALERT_BODY = record({**_THRESHOLD, "notification_channel": _CHANNEL})

_SPEND: Mapping[str, Operation] = {
    "retrieve_spend_limit": _control("The hard limit of a month", _LIMIT, errors=(NotFound,)),
    "update_spend_limit": _control(
        "Set the hard limit of a month", _LIMIT, json=_LIMIT_BODY, errors=(Conflict,)
    ),
    "delete_spend_limit": _control(
        "Remove the hard limit of a month", _object("spend_limit.deleted"), errors=(NotFound,)
    ),
    "list_spend_alerts": _control(
        "List spend alerts",
        _LIST,
        query=(*_ORGANIZATION_PAGE, _ORDER, Query("before", text())),
    ),
    "create_spend_alert": _control(
        "Be told when a month's spending reaches an amount",
        _ALERT,
        json=_ALERT_BODY,
        errors=(Conflict,),
    ),
    "retrieve_spend_alert": _control("A spend alert", _ALERT),
    "update_spend_alert": _control(
        "Change a spend alert", _ALERT, json=_ALERT_BODY, errors=(Conflict,)
    ),
    "delete_spend_alert": _control("Remove a spend alert", _object("spend_alert.deleted")),
}

SPEND: Mapping[str, Operation] = {
    f"organization_spend.{place}": operation
    for name, operation in _SPEND.items()
    for place in (name, name.replace("_", "_project_", 1))
}
"""Of the organization, and of a project."""

DIRECTORY: Mapping[str, Operation] = {
    f"organization_directory.{name}": operation
    for name, operation in {
        "list_projects": _control(
            "List teams", _LIST, query=(*_ORGANIZATION_PAGE, Query("include_archived", flag()))
        ),
        "retrieve_project": _control("A team", _object("project")),
        "list_project_users": _control("List a team's clients", _LIST, query=_ORGANIZATION_PAGE),
        "retrieve_project_user": _control("A client of a team", _object("project.user")),
        "list_project_api_keys": _control("List a team's keys", _LIST, query=_ORGANIZATION_PAGE),
        "retrieve_project_api_key": _control("A key of a team", _object("project.api_key")),
        "list_users": _control(
            "List clients", _LIST, query=(*_ORGANIZATION_PAGE, Query("emails", list_of(text())))
        ),
        "retrieve_user": _control("A client", _object("user")),
        "list_admin_api_keys": _control(
            "List admin tokens", _LIST, query=(*_ORGANIZATION_PAGE, _ORDER)
        ),
        "retrieve_admin_api_key": _control("An admin token", _object("admin_api_key")),
    }.items()
}

OPERATIONS: Mapping[str, Operation] = {
    **SPEND,
    **DIRECTORY,
    **{f"organization_usage.{name}": _usage(family) for name, family in FAMILIES.items()},
    "organization_costs.costs": Operation(
        "What was spent by day, exact to the nano-dollar",
        _page(record({"object": const("organization.costs.result"), "amount": _AMOUNT})),
        query=_query(COST_WIDTHS, FILTERS, GROUPS),
        asks_provider=False,
        by_admin_token=True,
    ),
}
