"""What alerts say: as JSON for a webhook, as blocks for Slack, as lines of text for e-mail.

Amounts in JSON are decimal dollars as text, exact to the nano-dollar; times are RFC 3339 in UTC.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from gateway.core.alerts import AlertKind
from gateway.core.money import display_usd, usd_from_nano

_MICRO = 1000
TEST_FACTS: Mapping[str, Any] = {"kind": "test"}

_TYPES = {
    AlertKind.THRESHOLD: "budget.threshold",
    AlertKind.FORECAST: "budget.forecast",
    AlertKind.ANOMALY: "spend.anomaly",
}


@dataclass(frozen=True, slots=True)
class Message:
    """One alert for one channel. ``id`` is the same at every attempt to deliver it."""

    id: str
    type: str
    at: datetime
    title: str
    lines: tuple[str, ...]
    data: Mapping[str, Any]

    def as_webhook(self) -> dict[str, Any]:
        """The body for a webhook: type, timestamp, data (Standard Webhooks, "Payload")."""
        text = {"title": self.title, "text": "\n".join(self.lines)}
        return {"type": self.type, "timestamp": _rfc3339(self.at), "data": {**self.data, **text}}

    def as_slack(self) -> dict[str, Any]:
        """The body for a Slack-compatible webhook: blocks, and a text for where none are shown.

        Source: https://api.slack.com/messaging/webhooks; headers have 150 characters at most.
        """
        lines = "\n".join(_for_slack(line) for line in self.lines)
        return {
            "text": _for_slack(f"{self.title}: {self.lines[0]}"),
            "blocks": [
                {
                    "type": "header",
                    "text": {"type": "plain_text", "text": self.title[:150], "emoji": False},
                },
                {"type": "section", "text": {"type": "mrkdwn", "text": lines}},
                {
                    "type": "context",
                    "elements": [{"type": "plain_text", "text": f"Faregate, {self.id}"}],
                },
            ],
        }

    def as_text(self) -> str:
        """The body of an e-mail."""
        return "\n".join([*self.lines, "", "-- ", f"Faregate, {self.id}", ""])


def message_of(facts: Mapping[str, Any], at: datetime, event: str, channel: str) -> Message:
    """What ``facts`` of a crossing say to one channel.

    ``event`` and ``channel`` name the two within the deployment; with the moment, they make an id
    that no other message has.
    """
    digest = hashlib.sha256(f"{event}\n{channel}\n{at.isoformat()}".encode()).hexdigest()
    kind = facts["kind"]
    if kind == AlertKind.ANOMALY:
        title, lines = _anomaly(facts)
    elif kind == AlertKind.FORECAST:
        title, lines = _forecast(facts)
    elif kind == AlertKind.THRESHOLD:
        title, lines = _threshold(facts)
    else:
        title, lines = "Test of an alert channel", ["This channel works: alerts arrive here."]
    if "rule" in facts:
        lines.append(f"Rule: {facts['rule']}")
    sort = _TYPES.get(kind, "test")
    return Message(f"msg_{digest[:32]}", sort, at, title, tuple(lines), _data(facts))


def _threshold(facts: Mapping[str, Any]) -> tuple[str, list[str]]:
    spent, limit, name = facts["spent_nano"], facts["limit_nano"], facts["budget"]
    if facts["percent"] == 100 and spent < limit:
        title = f"Budget {name} refuses requests"
    elif facts["percent"] == 100:
        title = f"Budget {name} is spent"
    else:
        title = f"Budget {name} has passed {facts['percent']} % of its limit"
    lines = [_spent(facts), _about(facts)]
    if facts["refuses"]:
        lines.append("It has refused requests in this window.")
    return title, lines


def _forecast(facts: Mapping[str, Any]) -> tuple[str, list[str]]:
    of = "its limit" if facts["percent"] == 100 else f"{facts['percent']} % of its limit"
    end, rate = _usd(facts["forecast_nano"]), _usd(facts["rate_nano_per_day"])
    lines = [
        f"Expected at the window's end: {end} ({rate} a day of late).",
        _spent(facts),
        _about(facts),
    ]
    if facts["runs_out_ms"] is not None:
        lines.insert(1, f"The limit is reached about {_moment(facts['runs_out_ms'])}.")
    return f"Budget {facts['budget']} is about to pass {of}", lines


def _anomaly(facts: Mapping[str, Any]) -> tuple[str, list[str]]:
    spent, usual = facts["spent_nano"], facts["usual_nano"]
    line = f"{_usd(spent)} in the hour from {_moment(facts['start_ms'])}; usual at this hour of"
    line += f" the week: {_usd(usual)}"
    if usual:
        times, tenths = divmod(spent * 10 // usual, 10)
        line += f", so {times}.{tenths} times as much"
    return f"Unusual spending of {facts['on']}", [line + "."]


def _spent(facts: Mapping[str, Any]) -> str:
    held = f", {_usd(facts['held_nano'])} held" if facts["held_nano"] else ""
    return f"{_usd(facts['spent_nano'])} of {_usd(facts['limit_nano'])} spent{held}."


def _about(facts: Mapping[str, Any]) -> str:
    if facts["end_ms"] is None:
        return f"On {facts['on']}; it does not start again."
    return f"On {facts['on']}, from {_moment(facts['start_ms'])} to {_moment(facts['end_ms'])}."


def _data(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Facts with amounts in dollars and times in RFC 3339, under names that say so."""
    data: dict[str, Any] = {}
    for name, value in facts.items():
        if name.endswith("_nano"):
            data[name.removesuffix("_nano") + "_usd"] = usd_from_nano(value)
        elif name == "rate_nano_per_day":
            data["rate_usd_per_day"] = usd_from_nano(value)
        elif name.endswith("_ms"):
            at = None if value is None else datetime.fromtimestamp(value / 1000, UTC)
            data[name.removesuffix("_ms") + "_at"] = None if at is None else _rfc3339(at)
        else:
            data[name] = value
    return data


def _usd(nano: int) -> str:
    """Dollars to the micro-dollar, rounded down: alerts are read by people."""
    return display_usd(nano // _MICRO * _MICRO)


def _moment(at_ms: int) -> str:
    return f"{datetime.fromtimestamp(at_ms / 1000, UTC):%Y-%m-%d %H:%M} UTC"


def _rfc3339(at: datetime) -> str:
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _for_slack(text: str) -> str:
    """Source: https://api.slack.com/reference/surfaces/formatting#escaping."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
