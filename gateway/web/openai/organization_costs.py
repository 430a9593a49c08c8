"""GET /v1/organization/costs: what was spent by day, in OpenAI's form and to the nano-dollar.

Beyond OpenAI's it groups by ``model`` and by one tag (``tag:NAME``), filters by user and model, and
each amount has ``value_nano``, whole nano-dollars beside the decimal ``value``. Both are exact;
what a program makes of a JSON number with a fraction is often not.
"""

from __future__ import annotations

from typing import Any

import orjson
from flask import Blueprint

from gateway.adapters.cost_buckets import Costs, cost_buckets
from gateway.core.errors import BadRequest
from gateway.core.money import usd_from_nano
from gateway.core.organization_ids import KEY, PROJECT, USER, shown
from gateway.core.time_buckets import COST_WIDTHS
from gateway.core.usage_families import API_SOURCE
from gateway.core.usage_results import is_counted, line_item_name, quantity_of
from gateway.web.current import services
from gateway.web.openai.organization_pages import Answer, from_reports, page
from gateway.web.openai.organization_query import TAG, Query, query_of, reader

blueprint = Blueprint("organization_costs", __name__)

GROUPS = ("project_id", "user_id", "api_key_id", "line_item", "api_source", "model", TAG)
FILTERS = ("project_ids", "user_ids", "api_key_ids", "models", "line_items")


@blueprint.get("/v1/organization/costs")
def costs() -> Answer:
    """Costs by day, summed over what is not grouped by."""
    query = query_of(reader(), COST_WIDTHS, FILTERS, GROUPS)
    tag = _tag(query)
    by = [name for name in query.by if name != "api_source" and not name.startswith(TAG)]
    found = from_reports(cost_buckets, services().engine, query.page, query.only, by, tag)
    return page(query.page, ((one.start, _result(query, by, tag, one)) for one in found))


def _tag(query: Query) -> str | None:
    """The tag that costs are grouped by, if any. Raises BadRequest for what is not summed."""
    tags = [name.removeprefix(TAG) for name in query.by if name.startswith(TAG)]
    if not tags:
        return None
    if len(tags) > 1:
        raise BadRequest("Costs can be grouped by one tag at a time.", param="group_by")
    if "line_item" in query.by or query.only.line_items is not None:
        raise BadRequest(
            "Costs by line item are not kept by tag: group by one or the other, and filter by"
            " line item only without a tag.",
            param="group_by",
        )
    return tags[0]


def _result(query: Query, by: list[str], tag: str | None, found: Costs) -> dict[str, Any]:
    keys = dict(zip(by, found.group, strict=False))
    result: dict[str, Any] = {
        "object": "organization.costs.result",
        "amount": amount(found.cost_nano),
        "line_item": None,
        "project_id": shown(PROJECT, keys.get("project_id")),
        "user_id": shown(USER, keys.get("user_id")),
        "api_key_id": shown(KEY, keys.get("api_key_id")),
        "api_source": API_SOURCE if "api_source" in query.by else None,
        "quantity": None,
        "quantity_unit": None,
        "model": keys.get("model"),
    }
    if "line_item" in keys:
        model, item = keys["line_item"]
        result["line_item"] = line_item_name(model, item)
        if found.quantity is not None and is_counted(item):
            whole, thousandths, result["quantity_unit"] = quantity_of(item, found.quantity)
            result["quantity"] = (
                whole if thousandths is None else orjson.Fragment(f"{whole}.{thousandths:03d}")
            )
    if tag is not None:
        result["tags"] = {tag: found.group[-1]}
    return result


def amount(nano: int) -> dict[str, Any]:
    """Money as the costs API writes it; ``value`` has the nine digits of the nano-dollars."""
    return {
        "value": orjson.Fragment(usd_from_nano(nano)),
        "currency": "usd",
        "value_nano": nano,
    }
