from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from gateway.core.alert_messages import TEST_FACTS, message_of

AT = datetime(2026, 6, 17, 12, 30, tzinfo=UTC)
START_MS = int(datetime(2026, 6, 1, tzinfo=UTC).timestamp()) * 1000
END_MS = int(datetime(2026, 7, 1, tzinfo=UTC).timestamp()) * 1000
USD = 1_000_000_000

THRESHOLD = {
    "kind": "threshold",
    "rule": "all budgets",
    "percent": 80,
    "budget_id": 7,
    "budget": "web <prod>",
    "on": "client web & co",
    "limit_nano": 100 * USD,
    "spent_nano": 80_123_456_789,
    "held_nano": USD,
    "refuses": False,
    "start_ms": START_MS,
    "end_ms": END_MS,
}
FORECAST = THRESHOLD | {
    "kind": "forecast",
    "percent": 100,
    "forecast_nano": 150 * USD,
    "rate_nano_per_day": 5 * USD,
    "runs_out_ms": START_MS + 20 * 86_400_000,
    "basis": "weeks",
}
ANOMALY = {
    "kind": "anomaly",
    "rule": "odd hours",
    "percent": 300,
    "subject": "team:1",
    "on": "team research",
    "spent_nano": 25 * USD,
    "usual_nano": 2 * USD,
    "start_ms": START_MS,
    "end_ms": START_MS + 3_600_000,
}


def said(facts: dict[str, Any]) -> tuple[str, str]:
    message = message_of(facts, AT, "1", "2")
    return message.title, "\n".join(message.lines)


def test_a_threshold_says_what_was_spent_of_what_and_until_when() -> None:
    title, text = said(THRESHOLD)
    assert title == "Budget web <prod> has passed 80 % of its limit"
    assert text.splitlines() == [
        "$80.123456 of $100.00 spent, $1.00 held.",
        "On client web & co, from 2026-06-01 00:00 UTC to 2026-07-01 00:00 UTC.",
        "Rule: all budgets",
    ]


def test_a_spent_budget_is_called_spent_and_one_that_refuses_that() -> None:
    spent = THRESHOLD | {"percent": 100, "spent_nano": 100 * USD, "held_nano": 0}
    assert said(spent)[0] == "Budget web <prod> is spent"
    title, text = said(THRESHOLD | {"percent": 100, "refuses": True})
    assert title == "Budget web <prod> refuses requests"
    assert "It has refused requests in this window." in text


def test_a_budget_without_an_end_does_not_start_again() -> None:
    assert "it does not start again" in said(THRESHOLD | {"start_ms": None, "end_ms": None})[1]


def test_a_forecast_says_when() -> None:
    title, text = said(FORECAST)
    assert title == "Budget web <prod> is about to pass its limit"
    assert "Expected at the window's end: $150.00 ($5.00 a day of late)." in text
    assert "The limit is reached about 2026-06-21 00:00 UTC." in text
    assert said(FORECAST | {"percent": 120})[0].endswith("120 % of its limit")
    assert "reached about" not in said(FORECAST | {"runs_out_ms": None})[1]


def test_an_anomaly_says_what_is_usual() -> None:
    title, text = said(ANOMALY)
    assert title == "Unusual spending of team research"
    assert "$25.00 in the hour from 2026-06-01 00:00 UTC" in text
    assert "usual at this hour of the week: $2.00, so 12.5 times as much." in text
    assert "times" not in said(ANOMALY | {"usual_nano": 0})[1]


def test_the_body_of_a_webhook() -> None:
    body = message_of(FORECAST, AT, "1", "2").as_webhook()
    assert body["type"] == "budget.forecast"
    assert body["timestamp"] == "2026-06-17T12:30:00Z"
    data = body["data"]
    assert data["spent_usd"] == "80.123456789", "exact, though the text is rounded"
    assert data["limit_usd"] == "100.000000000"
    assert data["rate_usd_per_day"] == "5.000000000"
    assert (data["start_at"], data["end_at"]) == ("2026-06-01T00:00:00Z", "2026-07-01T00:00:00Z")
    assert data["runs_out_at"] == "2026-06-21T00:00:00Z"
    assert data["title"].startswith("Budget web")
    assert data["percent"] == 100
    assert not [name for name in data if name.endswith(("_nano", "_ms"))]


def test_slack_gets_blocks_a_text_and_no_markup_of_ours() -> None:
    body = message_of(THRESHOLD, AT, "1", "2").as_slack()
    assert body["text"].startswith("Budget web &lt;prod&gt; has passed")
    header, section, context = body["blocks"]
    # Plain text is shown as it is; mrkdwn would take < > & for its own.
    assert header["text"] == {
        "type": "plain_text",
        "text": "Budget web <prod> has passed 80 % of its limit",
        "emoji": False,
    }
    assert "client web &amp; co" in section["text"]["text"]
    assert context["elements"][0]["text"].startswith("Faregate, msg_")
    long = message_of(THRESHOLD | {"budget": "b" * 200}, AT, "1", "2").as_slack()
    assert len(long["blocks"][0]["text"]["text"]) == 150


def test_ids_are_the_same_again_and_no_others() -> None:
    first = message_of(THRESHOLD, AT, "1", "2").id
    assert first == message_of(THRESHOLD, AT, "1", "2").id
    others = {
        message_of(THRESHOLD, AT, "1", "3").id,
        message_of(THRESHOLD, AT, "12", "").id,
        message_of(THRESHOLD, AT, "", "12").id,
        message_of(THRESHOLD, AT.replace(microsecond=1), "1", "2").id,
    }
    assert len(others | {first}) == 5


@pytest.mark.parametrize("facts", [THRESHOLD, FORECAST, ANOMALY, dict(TEST_FACTS)])
def test_an_email_is_text_that_ends_in_its_id(facts: dict[str, Any]) -> None:
    message = message_of(facts, AT, "1", "2")
    assert message.as_text().splitlines()[0] == message.lines[0]
    assert message.as_text().endswith(f"-- \nFaregate, {message.id}\n")
