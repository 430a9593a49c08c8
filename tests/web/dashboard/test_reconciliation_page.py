"""The pages of reconciliation and of alerts."""

from __future__ import annotations

import csv
import io
import json
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import insert, select

from gateway.adapters.alert_channels import AlertChannels
from gateway.adapters.alert_rules import AlertRules
from gateway.adapters.control_tables import (
    adjustments,
    alert_events,
    reconciliation_lines,
    reconciliations,
)
from gateway.adapters.usage_rows import record
from gateway.core.alerts import AlertKind, ChannelKind
from gateway.core.budgets import WindowKind
from gateway.core.roles import Role
from tests.adapters.recorded import event
from tests.web.dashboard.visitor import Site, words

DAY = datetime(2026, 5, 4, tzinfo=UTC)


def compare(site: Site, ours: int, theirs: int) -> int:
    """A comparison of which one line differs."""
    values: dict[str, Any] = {
        "since": DAY,
        "until": DAY + timedelta(days=1),
        "provider": "api.openai.com",
        "state": "open",
        "ours_nano": ours,
        "theirs_nano": theirs,
        "created_at": DAY,
        "created_by": "worker:reconciler",
    }
    line = {
        "day": DAY,
        "model": "m",
        "line_item": "input",
        "ours_nano": ours,
        "theirs_nano": theirs,
        "ours_quantity": 7,
        "theirs_quantity": 7,
        "cause": "price",
        "cause_nano": theirs - ours,
        "explanation": "=The bill has another price.",
    }
    with site.engine.begin() as connection:
        made = connection.execute(insert(reconciliations).values(values)).inserted_primary_key
        assert made is not None
        connection.execute(insert(reconciliation_lines).values(reconciliation_id=made[0], **line))
    return int(made[0])


def test_a_reconciliation_is_approved_by_finance(any_site: Site) -> None:
    site = any_site
    at = int(DAY.timestamp() * 1000) + 1000
    record(site.engine, [event("r1", 1000, at=at, lines=[["input", 1, 1000, 1]])])
    which = compare(site, 1000, 1085)
    finance = site.visitor(Role.FINANCE)
    assert "1 comparison waits for a decision." in finance.get("/reconciliation")
    page = words(finance.get(f"/reconciliation/{which}"))
    assert "Another price =The bill has another price." in page
    rows = finance.ask(f"/reconciliation/{which}?format=csv").text
    found = list(csv.DictReader(io.StringIO(rows, newline="")))
    assert found[0]["cause_amount_usd"] == "0.000000085"
    assert found[0]["explanation"] == "'=The bill has another price."
    answer = finance.post(f"/reconciliation/{which}", decision="approve")
    assert answer.headers["Location"] == f"/reconciliation/{which}"
    page = words(finance.get(f"/reconciliation/{which}"))
    assert "approved" in page
    assert "1 adjustments" in page
    assert "Approve and post" not in page
    with site.engine.connect() as connection:
        row = connection.execute(select(adjustments)).one()
    assert (row.cost_nano, row.client_id, row.posted_by) == (85, 1, "user:finance@acme.example")
    page = finance.post(f"/reconciliation/{which}", 422, decision="dismiss").text
    assert "is approved, not open" in words(page)


def test_a_comparison_is_dismissed_and_owners_do_not_see_it(site: Site) -> None:
    assert "Nothing was compared yet" in site.visitor().get("/reconciliation")
    which = compare(site, 5, 9)
    site.visitor(Role.OWNER, "blue").get(f"/reconciliation/{which}", 403)
    visitor = site.visitor()
    visitor.post(f"/reconciliation/{which}", decision="dismiss")
    assert "dismissed" in words(visitor.get(f"/reconciliation/{which}"))
    visitor.get("/reconciliation/99", 404)


def test_rules_and_channels_are_made_and_removed(site: Site) -> None:
    site.directory.create_budget("month", limit_nano=10**9, window=WindowKind.MONTH)
    visitor = site.visitor()
    assert "No alerts yet" in visitor.get("/alerts")
    shown = visitor.post(
        "/alerts/channels/new", 200, name="hook", kind="webhook", target="https://x.example/y"
    ).text
    assert '<code id="secret">whsec_' in shown
    visitor.post("/alerts/channels/new", name="mail", kind="email", target="a@x.example")
    page = visitor.post("/alerts/channels/new", 422, name="m", kind="email", target="nobody").text
    assert 'id="target-error"' in page
    rule = {"name": "all", "kind": "threshold", "on": "budget:month", "percents": "90 %, 100"}
    page = visitor.post("/alerts/rules/new", 422, **rule).text
    assert 'id="channels-error"' in page
    visitor.post("/alerts/rules/new", channels=["hook", "mail"], **rule)
    (made,) = AlertRules(site.engine).all()
    assert (made["percents"], made["budget"], made["channels"]) == (
        [90, 100],
        "month",
        ["hook", "mail"],
    )
    bad = {"name": "odd", "kind": "anomaly", "channels": ["hook"]}
    page = visitor.post("/alerts/rules/new", 422, on="budget:month", **bad).text
    assert 'id="on-error"' in page
    page = visitor.post("/alerts/rules/new", 422, on="all:", percents="x", **bad).text
    assert 'id="percents-error"' in page
    page = words(visitor.get("/alerts"))
    assert "Nothing to tell so far" in page
    assert "https://x.example/..." in page
    page = visitor.post("/alerts/channel/remove", 422, name="hook").text
    assert "uses this channel" in words(page)
    assert "Remove all?" in visitor.get("/alerts/rule/remove?name=all")
    visitor.post("/alerts/rule/remove", name="all")
    visitor.post("/alerts/channel/remove", name="hook")
    assert [item["name"] for item in AlertChannels(site.engine).all()] == ["mail"]


def test_what_was_told_is_logged(site: Site) -> None:
    AlertChannels(site.engine).create("mail", ChannelKind.EMAIL, "a@x.example")
    rule = AlertRules(site.engine).create("all", AlertKind.THRESHOLD, ["mail"])
    facts = {
        "kind": "threshold",
        "rule": "all",
        "percent": 80,
        "budget_id": 1,
        "budget": "month",
        "on": "team blue",
        "limit_nano": 10**9,
        "spent_nano": 8 * 10**8,
        "held_nano": 0,
        "refuses": False,
        "start_ms": None,
        "end_ms": None,
    }
    with site.engine.begin() as connection:
        connection.execute(
            insert(alert_events).values(
                rule_id=rule["id"],
                subject="budget:1:1000000000",
                period_start=DAY,
                percent=80,
                facts=json.dumps(facts),
                created_at=DAY,
            )
        )
    visitor = site.visitor()
    assert "80 %" in words(visitor.get("/alerts"))
    rows = visitor.ask("/alerts?format=csv").text
    assert "budget:1:1000000000,80," in rows
