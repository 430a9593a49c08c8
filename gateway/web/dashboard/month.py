"""Today and this month: what is spent, the pace, and what the month is expected to cost."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from threading import Lock

from sqlalchemy import Engine

from gateway.adapters import reports
from gateway.core.budgets import WindowKind, window_at
from gateway.core.forecast import HISTORY_MS, Basis, Forecast, forecast
from gateway.core.reports import Selection, day_of, hour_of
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
    ends_at: datetime

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
    """This month of what is selected. On the SQL thread."""
    at_ms = int(now.timestamp() * 1000)
    window = window_at(WindowKind.MONTH, "UTC", at_ms)
    start, today = month_of(now), day_of(now)
    before = (start - timedelta(days=1)).replace(day=1)

    def spent(since: datetime, until: datetime) -> int:
        return reports.totals(engine, replace(selection, since=since, until=until)).cost_nano

    month = spent(start, now)
    hours = past.hours(engine, selection, now)
    return Month(
        name=f"{now:%B}",
        today_nano=spent(today, now),
        yesterday_nano=spent(today - timedelta(days=1), today),
        spent_nano=month,
        before_nano=spent(before, start),
        forecast=forecast(window, at_ms, month, hours),
        ends_at=(hour_of(start) + timedelta(days=32)).replace(day=1),
    )
