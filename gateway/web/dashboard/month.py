"""Today and this month: what is spent, the pace, and what the month is expected to cost."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from threading import Lock

from sqlalchemy import Engine

from gateway.adapters import reports
from gateway.core.budgets import WindowKind, window_at
from gateway.core.forecast import HISTORY_MS, Basis, Forecast, forecast
from gateway.core.reports import Selection, day_of
from gateway.web.dashboard.charts import Chart, curve
from gateway.web.dashboard.formats import short_day, usd
from gateway.web.dashboard.ranges import month_of

_REREAD = timedelta(minutes=10)
_FRESH = timedelta(hours=2)
_KNOWN_MAX = 256


@dataclass(frozen=True, slots=True)
class Month:
    """Amounts in nano-dollars. ``before_nano`` is all of the month before."""

    name: str
    today_nano: int
    yesterday_nano: int
    spent_nano: int
    before_nano: int
    forecast: Forecast
    now: datetime
    days: tuple[int, ...]
    """Spent by the end of each day of this month so far, the last as far as it has come."""
    days_before: tuple[int, ...]
    """The same of the month before."""

    @property
    def ends_at(self) -> datetime:
        """The start of the next month."""
        return (month_of(self.now) + timedelta(days=32)).replace(day=1)

    @property
    def expected_nano(self) -> int:
        """What the month is expected to cost in the end."""
        assert self.forecast.end_nano is not None
        return self.forecast.end_nano

    @property
    def is_forecast(self) -> bool:
        """Whether there is anything to forecast by."""
        return self.forecast.basis is not Basis.NOTHING


class PastHours:
    """What was spent hour by hour, of which only the newest is read each time."""

    def __init__(self) -> None:
        self._known: dict[Selection, tuple[datetime, dict[int, int]]] = {}
        self._lock = Lock()

    def hours(self, engine: Engine, selection: Selection, now: datetime) -> dict[int, int]:
        """By the start of the hour in milliseconds since 1970, as far back as forecasts look."""
        name = replace(selection, since=_EPOCH, until=_EPOCH)
        with self._lock:
            read_at, hours = self._known.get(name, (now - _REREAD, {}))
        if now - read_at >= _REREAD:
            since = now - timedelta(milliseconds=HISTORY_MS)
            hours = _hours(engine, replace(selection, since=since, until=now))
            with self._lock:
                if len(self._known) >= _KNOWN_MAX:
                    self._known.clear()
                self._known[name] = now, hours
            return hours
        return hours | _hours(engine, replace(selection, since=now - _FRESH, until=now))


_EPOCH = datetime.fromisoformat("1970-01-01T00:00:00+00:00")


def _hours(engine: Engine, selection: Selection) -> dict[int, int]:
    points = reports.series(engine, selection, "hour")
    return {
        int(point.at.timestamp() * 1000): point.sums.cost_nano - point.sums.adjusted_nano
        for point in points
    }


def read_month(engine: Engine, selection: Selection, past: PastHours, now: datetime) -> Month:
    """This month of what is selected. Asks the database."""
    at_ms = int(now.timestamp() * 1000)
    window = window_at(WindowKind.MONTH, "UTC", at_ms)
    start, today = month_of(now), day_of(now)
    before = (start - timedelta(days=1)).replace(day=1)
    points = reports.series(engine, replace(selection, since=before, until=now), "day")
    by_day = {point.at: point.sums.cost_nano for point in points}
    days = _running(by_day, start, today + timedelta(days=1))
    days_before = _running(by_day, before, start)
    hours = past.hours(engine, selection, now)
    return Month(
        name=f"{now:%B}",
        today_nano=by_day.get(today, 0),
        yesterday_nano=by_day.get(today - timedelta(days=1), 0),
        spent_nano=days[-1],
        before_nano=days_before[-1],
        forecast=forecast(window, at_ms, days[-1], hours),
        now=now,
        days=days,
        days_before=days_before,
    )


def _running(by_day: Mapping[datetime, int], start: datetime, end: datetime) -> tuple[int, ...]:
    found, total = [], 0
    while start < end:
        total += by_day.get(start, 0)
        found.append(total)
        start += timedelta(days=1)
    return tuple(found)


def month_chart(month: Month) -> Chart | None:
    """This month against the last, day by day, and on to what is expected."""
    if not any(month.days) and not any(month.days_before):
        return None
    start = month_of(month.now)
    length = (month.ends_at - start).days
    so_far, place = len(month.days), len(month.days) - 1
    expected: list[int | None] = [None] * length
    if month.is_forecast:
        rest = month.expected_nano - month.spent_nano
        for day in range(place, length):
            expected[day] = month.spent_nano + rest * (day - place) // max(1, length - 1 - place)
    spent: list[int | None] = [*month.days, *[None] * (length - so_far)]
    last: list[int | None] = list(month.days_before[:length])
    last += [None] * (length - len(last))
    days = [start + timedelta(days=day) for day in range(length)]
    return curve(
        f"Spent in {month.name}",
        [short_day(at) for at in days],
        [short_day(at) for at in days],
        (
            (month.name, "1", spent, False),
            ("Expected", "1", expected, True),
            ("Last month", "line", last, True),
        ),
        summary=f"Spent in {month.name}: {usd(month.spent_nano)} so far.",
    )
