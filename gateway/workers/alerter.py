"""Finds what alerts have to tell, and writes each crossing down once.

Thresholds are looked at every second, in the counters in Redis; forecasts and hours out of the
ordinary every minute, in the rollups. Nothing here keeps the recorder waiting: it is a thread
of its own that asks a few short questions, and none while there are no rules.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from time import monotonic

import structlog
from redis.exceptions import RedisError
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from gateway.adapters.alert_events import announce
from gateway.adapters.alert_rules import rules_in_force
from gateway.adapters.alert_subjects import (
    WatchedRow,
    milliseconds,
    names_of_subjects,
    standings,
    watched_budgets,
)
from gateway.adapters.database import first_line
from gateway.adapters.redis_budgets import RedisBudgets, StoreDown
from gateway.adapters.redis_replies import CountersLost
from gateway.adapters.spend_history import (
    SpendHistory,
    first_days,
    refusing_hours,
    same_hours,
)
from gateway.core.alerts import (
    NEARLY_SPENT_PERCENT,
    AlertKind,
    Crossing,
    Rule,
    Standing,
    anomaly_crossing,
    covers,
    forecast_crossings,
    threshold_crossings,
)
from gateway.core.anomalies import ORGANIZATION, WEEKS, Hour, Subject, usual
from gateway.core.forecast import forecast
from gateway.core.reports import hour_of

PAUSE_SECONDS = 1.0
LOOK_AHEAD_SECONDS = 60.0
REFUSALS_SECONDS = 7200
"""How far back refusals are looked for each second; older ones were seen before."""

_KNOWN_MAX = 100_000
_HOUR, _WEEK = timedelta(hours=1), timedelta(days=7)

_log = structlog.get_logger(__name__)


class Alerter:
    """Any number may run: SQL takes each crossing once."""

    def __init__(
        self, counters: RedisBudgets, engine: Engine, pause_seconds: float | None = None
    ) -> None:
        self._counters = counters
        self._engine = engine
        self._pause_seconds = PAUSE_SECONDS if pause_seconds is None else pause_seconds
        self._history = SpendHistory(engine)
        self._known: set[tuple[int, str, int, int]] = set()
        self._first_days: tuple[datetime, dict[Subject, datetime]] | None = None

    def run(self, stop: threading.Event) -> None:
        """Look until ``stop`` is set, through failures of either store."""
        looked_ahead = float("-inf")
        while not stop.wait(self._pause_seconds):
            try:
                self.step()
                if monotonic() - looked_ahead >= LOOK_AHEAD_SECONDS:
                    looked_ahead = monotonic()
                    self.look_ahead(datetime.now(UTC))
            except CountersLost:
                pass  # The rebuilder says so, and sets them again.
            except (StoreDown, RedisError) as error:
                _log.warning("alerter.redis_unreachable", reason=first_line(error))
            except SQLAlchemyError as error:
                _log.warning("alerter.database_refuses", reason=first_line(error))
            except Exception:
                # Alerts are worth less than records: what breaks them must not end the process.
                _log.exception("alerter.failed")

    def step(self) -> int:
        """Look at the thresholds of all budgets; returns how many crossings were new.

        Raises the stores' errors, and CountersLost.
        """
        rules = [one for one in rules_in_force(self._engine) if one.kind is AlertKind.THRESHOLD]
        watched = self._watched(rules)
        if not watched:
            return 0
        now_ms = milliseconds(datetime.now(UTC))
        found = self._with_refusals(rules, standings(self._counters, watched, ended=True), now_ms)
        return self._announce(rules, threshold_crossings(rules, found, now_ms))

    def look_ahead(self, now: datetime) -> int:
        """Look at forecasts and at the present hour; returns how many crossings were new.

        Raises the stores' errors, and CountersLost.
        """
        rules = rules_in_force(self._engine)
        ahead = [one for one in rules if one.kind is AlertKind.FORECAST]
        odd = [one for one in rules if one.kind is AlertKind.ANOMALY]
        new = self._announce(odd, self._anomalies(odd, now)) if odd else 0
        watched = self._watched(ahead)
        if not watched:
            return new
        return new + self._announce(ahead, self._forecasts(ahead, watched, now))

    def _watched(self, rules: Sequence[Rule]) -> list[WatchedRow]:
        """The budgets that any of ``rules`` is about."""
        if not rules:
            return []
        return [
            one
            for one in watched_budgets(self._engine)
            if any(covers(rule, one.budget) for rule in rules)
        ]

    def _with_refusals(
        self, rules: Sequence[Rule], found: list[Standing], now_ms: int
    ) -> list[Standing]:
        """``found`` with what has refused; asked only of what is nearly spent, and not beyond."""
        if not any(100 in rule.percents for rule in rules):
            return found
        nearly = {
            one.budget.id
            for one in found
            if NEARLY_SPENT_PERCENT * one.budget.limit_nano <= 100 * one.spent_nano
            and one.spent_nano < max(one.budget.limit_nano, 1)
        }
        if not nearly:
            return found
        since = datetime.fromtimestamp(now_ms / 1000 - REFUSALS_SECONDS, UTC)
        refusing = refusing_hours(self._engine, since)
        return [
            replace(one, refuses=True)
            if one.budget.id in nearly
            and any(
                one.window.contains(milliseconds(hour)) for hour in refusing.get(one.budget.id, ())
            )
            else one
            for one in found
        ]

    def _forecasts(
        self, rules: Sequence[Rule], watched: Sequence[WatchedRow], now: datetime
    ) -> Iterator[Crossing]:
        for one, standing in zip(watched, standings(self._counters, watched), strict=True):
            hours = self._history.hours(one.row, now)
            limit = standing.budget.limit_nano
            expected = forecast(
                standing.window, milliseconds(now), standing.spent_nano, hours, limit
            )
            yield from forecast_crossings(rules, standing, expected)

    def _anomalies(self, rules: Sequence[Rule], now: datetime) -> Iterator[Crossing]:
        """Crossings in this hour and, for what was recorded late, in the one before.

        An hour that follows one out of the ordinary is none: the crossing was told then.
        """
        this = hour_of(now)
        hours = self._hours([this - n * _HOUR for n in range(3)], now)
        names = names_of_subjects(self._engine)
        for rule in rules:
            for percent in rule.percents:
                for at in (this - _HOUR, this):
                    for subject in _odd(rule, hours[at], percent, names):
                        if subject in _odd(rule, hours[at - _HOUR], percent, names):
                            continue
                        yield anomaly_crossing(
                            rule,
                            _subject_text(subject),
                            names.get(subject, _subject_text(subject)),
                            milliseconds(at),
                            percent,
                            hours[at].spent[subject],
                            hours[at].usual[subject].median_nano,
                        )

    def _hours(self, wanted: Sequence[datetime], now: datetime) -> dict[datetime, Hour]:
        """What was spent in the hours ``wanted``, and what is usual in them."""
        if self._first_days is None or now - self._first_days[0] >= _HOUR:
            self._first_days = now, first_days(self._engine)
        first = self._first_days[1]
        weeks = range(1, WEEKS + 1)
        every = [hour - n * _WEEK for hour in wanted for n in (0, *weeks)]
        spent = same_hours(self._engine, every)
        found: dict[datetime, Hour] = {}
        for hour in wanted:
            present = {who: sums[hour] for who, sums in spent.items() if hour in sums}
            known = {}
            for who in present:
                past = [hour - n * _WEEK for n in weeks if hour - n * _WEEK >= first.get(who, now)]
                one = usual([spent[who].get(week, 0) for week in past])
                if one is not None:
                    known[who] = one
            found[hour] = Hour(present, known)
        return found

    def _announce(self, rules: Iterable[Rule], crossings: Iterable[Crossing]) -> int:
        by_id = {rule.id: rule for rule in rules}
        new = 0
        for crossing in crossings:
            if crossing.key in self._known:
                continue
            rule = by_id[crossing.rule_id]
            if announce(self._engine, rule, crossing, datetime.now(UTC)):
                new += 1
                _log.info(
                    "alert.crossed",
                    rule=rule.name,
                    subject=crossing.subject,
                    percent=crossing.percent,
                )
            if len(self._known) >= _KNOWN_MAX:
                # What is forgotten is offered again, and SQL knows it.
                self._known.clear()
            self._known.add(crossing.key)
        return new


def _odd(rule: Rule, hour: Hour, percent: int, names: dict[Subject, str]) -> list[Subject]:
    """Who spent out of the ordinary, of those whom a rule is about."""
    if rule.is_for_all:
        return sorted(hour.odd(percent))
    if rule.team_id is not None:
        about = [(rule.team_id, 0)]
    else:
        about = [who for who in names if who[1] == rule.client_id]
    return [who for who in about if hour.is_odd(who, percent)]


def _subject_text(subject: Subject) -> str:
    if subject == ORGANIZATION:
        return "organization"
    return f"client:{subject[1]}" if subject[1] else f"team:{subject[0]}"
