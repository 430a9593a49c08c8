"""Alerts: which rules there are, when one of them is to speak, and how long it tries to be heard.

A rule speaks once for each crossing. A crossing of a budget belongs to the budget, its window, the
percentage and the limit: with another limit in the same window, each percentage can be crossed
again. Thresholds count what is spent, not what is held: holds are worst cases, most of which goes
back. A hard budget seldom reaches 100 % to the cent, since it refuses what would pass it, so 100 %
is crossed too where it has refused requests with 90 % spent.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from gateway.core.budgets import FOREVER_MS, HOUR_MS, Window
from gateway.core.forecast import DAY_MS, Forecast

PERCENT_MAX = 100_000
NEARLY_SPENT_PERCENT = 90
"""A budget that refuses with this much spent counts as spent: what is left is of no use."""

LATE_MS = 300_000
"""For how long after its end a window is still looked at, for what was spent in its last moment."""

RETRY_SECONDS_MIN, RETRY_SECONDS_MAX = 1.0, 3600.0
GIVE_UP_SECONDS = 3 * 86_400
"""A delivery that nobody has taken for three days has failed."""


class AlertKind(StrEnum):
    """What a rule watches."""

    THRESHOLD = "threshold"
    """What a budget has spent, in percent of its limit."""
    FORECAST = "forecast"
    """What a budget is expected to have spent at its window's end, in percent of its limit."""
    ANOMALY = "anomaly"
    """What an hour costs, in percent of what it usually costs."""


class ChannelKind(StrEnum):
    """Where alerts go."""

    WEBHOOK = "webhook"
    """A URL that takes signed JSON."""
    SLACK = "slack"
    """A URL that takes messages as Slack's incoming webhooks do."""
    EMAIL = "email"


PERCENTS = {
    AlertKind.THRESHOLD: (50, 80, 100),
    AlertKind.FORECAST: (100,),
    AlertKind.ANOMALY: (300,),
}
"""What a rule speaks at when nothing else is asked for."""


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule in force. Without a budget, team and client it is for all."""

    id: int
    name: str
    kind: AlertKind
    percents: tuple[int, ...]
    channel_ids: tuple[int, ...]
    created_ms: int
    budget_id: int | None = None
    team_id: int | None = None
    client_id: int | None = None

    @property
    def is_for_all(self) -> bool:
        """Whether it names neither budget nor team nor client."""
        return self.budget_id is None and self.team_id is None and self.client_id is None


@dataclass(frozen=True, slots=True)
class Watched:
    """A budget as rules see it. ``team_id`` is also that of a client's team."""

    id: int
    name: str
    on: str
    """What it is set on, for people: ``client web``."""
    limit_nano: int
    created_ms: int
    team_id: int | None = None
    client_id: int | None = None


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a budget stands in one window."""

    budget: Watched
    window: Window
    spent_nano: int
    held_nano: int
    refuses: bool = False
    """Whether it has refused requests in this window."""


@dataclass(frozen=True, slots=True)
class Crossing:
    """Something to be told once. The first four fields are its identity."""

    rule_id: int
    subject: str
    period_start_ms: int
    percent: int
    facts: Mapping[str, Any] = field(compare=False)
    """What is told, as ``core.alert_messages`` takes it."""

    @property
    def key(self) -> tuple[int, str, int, int]:
        """What makes it one and the same, however often it is found."""
        return self.rule_id, self.subject, self.period_start_ms, self.percent


def covers(rule: Rule, budget: Watched) -> bool:
    """Whether a rule about budgets is about this one."""
    if rule.budget_id is not None:
        return rule.budget_id == budget.id
    if rule.client_id is not None:
        return rule.client_id == budget.client_id
    return rule.team_id is None or rule.team_id == budget.team_id


def threshold_crossings(
    rules: Sequence[Rule], standings: Sequence[Standing], at_ms: int
) -> Iterator[Crossing]:
    """What the rules about thresholds have to say.

    Windows that ended before the rule or the budget was made are none of its business.
    """
    for standing in standings:
        budget, window = standing.budget, standing.window
        for rule in rules:
            if rule.kind is not AlertKind.THRESHOLD or not covers(rule, budget):
                continue
            if window.end_ms <= max(rule.created_ms, budget.created_ms, at_ms - LATE_MS):
                continue
            for percent in rule.percents:
                if is_passed(standing, percent):
                    facts = _facts(rule, standing, percent)
                    yield _crossing(rule, standing, percent, facts)


def is_passed(standing: Standing, percent: int) -> bool:
    """Whether a budget has spent ``percent`` of its limit, or may as well have."""
    limit, spent = standing.budget.limit_nano, standing.spent_nano
    if percent == 100 and standing.refuses and spent * 100 >= limit * NEARLY_SPENT_PERCENT:
        return True
    return limit > 0 and spent * 100 >= limit * percent


def forecast_crossings(
    rules: Sequence[Rule], standing: Standing, expected: Forecast
) -> Iterator[Crossing]:
    """What the rules about forecasts have to say of one budget.

    Nothing where the percentage is spent already, which is a threshold's to tell, and nothing
    before there has been spending for a tenth of the window, or a day.
    """
    length_ms = standing.window.end_ms - standing.window.start_ms
    limit = standing.budget.limit_nano
    if expected.end_nano is None or expected.observed_ms < min(DAY_MS, length_ms // 10):
        return
    for rule in rules:
        if rule.kind is not AlertKind.FORECAST or not covers(rule, standing.budget):
            continue
        for percent in rule.percents:
            mark = limit * percent
            if standing.spent_nano * 100 < mark <= expected.end_nano * 100:
                facts = _facts(rule, standing, percent) | {
                    "forecast_nano": expected.end_nano,
                    "rate_nano_per_day": expected.rate_nano,
                    "runs_out_ms": expected.runs_out_ms,
                    "basis": expected.basis.value,
                }
                yield _crossing(rule, standing, percent, facts)


def _crossing(rule: Rule, standing: Standing, percent: int, facts: dict[str, Any]) -> Crossing:
    subject = f"budget:{standing.budget.id}:{standing.budget.limit_nano}"
    return Crossing(rule.id, subject, standing.window.start_ms, percent, facts)


def _facts(rule: Rule, standing: Standing, percent: int) -> dict[str, Any]:
    end_ms = standing.window.end_ms
    return {
        "kind": rule.kind.value,
        "rule": rule.name,
        "percent": percent,
        "budget_id": standing.budget.id,
        "budget": standing.budget.name,
        "on": standing.budget.on,
        "limit_nano": standing.budget.limit_nano,
        "spent_nano": standing.spent_nano,
        "held_nano": standing.held_nano,
        "refuses": standing.refuses,
        "start_ms": None if end_ms == FOREVER_MS else standing.window.start_ms,
        "end_ms": None if end_ms == FOREVER_MS else end_ms,
    }


def anomaly_crossing(
    rule: Rule, subject: str, name: str, hour_ms: int, percent: int, spent: int, usual: int
) -> Crossing:
    """What a rule about anomalies has to say of one hour. ``usual`` is its median."""
    facts = {
        "kind": rule.kind.value,
        "rule": rule.name,
        "percent": percent,
        "subject": subject,
        "on": name,
        "spent_nano": spent,
        "usual_nano": usual,
        "start_ms": hour_ms,
        "end_ms": hour_ms + HOUR_MS,
    }
    return Crossing(rule.id, subject, hour_ms, percent, facts)


# Deliveries


class Verdict(StrEnum):
    """What became of an attempt to deliver."""

    SENT = "sent"
    AGAIN = "again"
    FAILED = "failed"


_WORTH_ANOTHER = frozenset({408, 425, 429})
"""Statuses below 500 that say "later" (RFC 9110, 8470, 6585)."""


def verdict_of_status(status: int) -> Verdict:
    """What a receiver's status means: 2xx is taken, most of 4xx and every 3xx never will be."""
    if 200 <= status < 300:
        return Verdict.SENT
    if status >= 500 or status in _WORTH_ANOTHER:
        return Verdict.AGAIN
    return Verdict.FAILED


def pause_seconds(attempts: int, chance: float, asked_seconds: float = 0.0) -> float:
    """How long to wait after so many attempts, 1 at least: doubled each time, up to an hour.

    ``chance``, from 0 to 1, spreads the attempts over half to one and a half of that, so that
    what failed together does not come back together. ``asked_seconds`` is what the receiver asked
    for, which is heeded up to an hour.
    """
    doubled = min(RETRY_SECONDS_MIN * 2.0 ** min(attempts - 1, 32), RETRY_SECONDS_MAX)
    return max(doubled * (0.5 + chance), min(asked_seconds, RETRY_SECONDS_MAX))
