"""What will have been spent at the end of a window, and when a budget runs out: integers alone.

The rest of a window is expected hour by hour:

- Where more than eight days are known, an hour is expected to cost the mean of the same hour of
  the week in up to four weeks (a night, a weekend, a weekly job are what they were), times the
  level of today: what the last 24 whole hours cost by what those weeks say of them. Where that
  level is beyond 4 or below 1/4, the past is no guide, and the next case holds.
- Else it is expected at the pace of the last 24 hours, or since the first spending where that is
  nearer, taken as an hour at least: two minutes of spending are no month. The window's own pace
  has a say that grows with the part of the window that has passed, so that a short window follows
  what happens in it.
- Inside a window of an hour the profile has no more to say than one number; its own pace has its
  say there too.

So the first minutes of a window continue what was before it, and the first minutes of a deployment
forecast little rather than a fortune. Hours are hours of UTC: for the week in which a zone changes
its clock, the profile is an hour off.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum

from gateway.core.budgets import FOREVER_MS, HOUR_MS, Window

DAY_MS = 24 * HOUR_MS
WEEK_HOURS = 168
PROFILE_WEEKS = 4

HISTORY_MS = (PROFILE_WEEKS * WEEK_HOURS + 25) * HOUR_MS
"""How far back hours are of use; what is older is not looked at."""

HORIZON_MS = 366 * DAY_MS
"""A budget without an end that lasts longer than this never runs out, as far as can be said."""

LEVEL_MAX = 4

Hours = Mapping[int, int]
"""What was spent, in nano-dollars, by the start of the hour in milliseconds since 1970. An hour
that is not there cost nothing; nothing is known of what is before the first."""


class Basis(StrEnum):
    """What a forecast goes by."""

    WEEKS = "weeks"
    """The same hours of past weeks, at the level of the last day."""
    PACE = "pace"
    """What was spent of late."""
    NOTHING = "nothing"
    """Nothing was spent yet."""


@dataclass(frozen=True, slots=True)
class Forecast:
    """What is expected of a window."""

    rate_nano: int
    """What was spent of late, per day."""
    end_nano: int | None
    """Spent at the window's end; None where it has no end."""
    runs_out_ms: int | None
    """When the limit is reached, in milliseconds since 1970: now, where it has been; None where
    that is not expected in this window, or there is no limit."""
    basis: Basis
    observed_ms: int
    """For how long there has been spending, at most 24 hours: how much the forecast rests on."""


def run_rate(hours: Hours, at_ms: int) -> int:
    """Nano-dollars per day: what the last 24 hours cost, or all since the first spending.

    An hour at least is counted, so that the first minutes are not taken for the whole.
    """
    spent, span_ms = _recent(hours, at_ms)
    return spent * DAY_MS // span_ms


def forecast(
    window: Window, at_ms: int, spent_nano: int, hours: Hours, limit_nano: int | None = None
) -> Forecast:
    """What is expected of ``window``, of which ``spent_nano`` are spent at ``at_ms``.

    ``hours`` are those of what the budget covers, back to ``HISTORY_MS`` before ``at_ms``, the
    present one included as far as it has come.
    """
    since_ms = at_ms - HISTORY_MS
    known = {hour: max(nano, 0) for hour, nano in hours.items() if since_ms <= hour <= at_ms}
    basis, cost = _expected(window, at_ms, spent_nano, known)
    runs_out = at_ms if limit_nano is not None and spent_nano >= limit_nano else None
    total = spent_nano
    for start_ms, length_ms in _rest(window, at_ms):
        nano = cost(start_ms, length_ms)
        if limit_nano is not None and runs_out is None and total + nano >= limit_nano:
            runs_out = start_ms + length_ms * (limit_nano - total) // nano
        total += nano
    first = min(known, default=at_ms)
    return Forecast(
        rate_nano=run_rate(known, at_ms),
        end_nano=None if window.end_ms == FOREVER_MS else total,
        runs_out_ms=runs_out,
        basis=basis,
        observed_ms=min(max(at_ms - first, 0), DAY_MS),
    )


_Cost = Callable[[int, int], int]
"""What is expected to be spent from a moment on, for so many milliseconds of its hour."""


def _rest(window: Window, at_ms: int) -> Iterator[tuple[int, int]]:
    """What is left of the window, cut at whole hours: starts and lengths in milliseconds."""
    end_ms = min(window.end_ms, at_ms + HORIZON_MS)
    while at_ms < end_ms:
        until_ms = min(at_ms // HOUR_MS * HOUR_MS + HOUR_MS, end_ms)
        yield at_ms, until_ms - at_ms
        at_ms = until_ms


def _expected(window: Window, at_ms: int, spent_nano: int, hours: Hours) -> tuple[Basis, _Cost]:
    weeks = _by_weeks(hours, at_ms)
    length_ms = window.end_ms - window.start_ms
    if weeks is not None and length_ms > HOUR_MS:
        return Basis.WEEKS, weeks
    first = min(hours, default=at_ms)
    recent, recent_ms = _recent(hours, at_ms)
    own_ms = max(at_ms - max(window.start_ms, first), min(HOUR_MS, length_ms // 10), 1)
    passed_ms = (
        0 if window.end_ms == FOREVER_MS else min(max(at_ms - window.start_ms, 0), length_ms)
    )

    def blended(start_ms: int, for_ms: int) -> int:
        before = recent * for_ms // recent_ms if weeks is None else weeks(start_ms, for_ms)
        own = spent_nano * for_ms // own_ms
        return (own * passed_ms + before * (length_ms - passed_ms)) // length_ms

    if weeks is not None:
        return Basis.WEEKS, blended
    return (Basis.PACE if recent or spent_nano else Basis.NOTHING), blended


def _by_weeks(hours: Hours, at_ms: int) -> _Cost | None:
    """The same hours of past weeks at the level of the last day; None where they say nothing."""
    # The last day is compared with the weeks, so it is no part of them.
    day_ms = at_ms // HOUR_MS * HOUR_MS - DAY_MS
    if not hours or min(hours) > day_ms - WEEK_HOURS * HOUR_MS:
        return None
    first = max(min(hours), day_ms - PROFILE_WEEKS * WEEK_HOURS * HOUR_MS)
    sums, seen = [0] * WEEK_HOURS, [0] * WEEK_HOURS
    for hour_ms in range(first, day_ms, HOUR_MS):
        slot = hour_ms // HOUR_MS % WEEK_HOURS
        sums[slot] += hours.get(hour_ms, 0)
        seen[slot] += 1
    usual = [total // number for total, number in zip(sums, seen, strict=True)]
    last_day = range(day_ms, day_ms + DAY_MS, HOUR_MS)
    was = sum(usual[hour_ms // HOUR_MS % WEEK_HOURS] for hour_ms in last_day)
    now = sum(hours.get(hour_ms, 0) for hour_ms in last_day)
    if now > was * LEVEL_MAX or now * LEVEL_MAX < was:
        return None
    # A day on which nothing is usual, and nothing came, says nothing of the others.
    above, below = (now, was) if was else (1, 1)

    def cost(start_ms: int, for_ms: int) -> int:
        return usual[start_ms // HOUR_MS % WEEK_HOURS] * above * for_ms // (below * HOUR_MS)

    return cost


def _recent(hours: Hours, at_ms: int) -> tuple[int, int]:
    """What the last 24 hours cost, and how many milliseconds that was spent in."""
    since_ms = (at_ms - DAY_MS) // HOUR_MS * HOUR_MS + HOUR_MS
    begun_ms = max(since_ms, min(hours, default=at_ms))
    spent = sum(max(nano, 0) for hour, nano in hours.items() if since_ms <= hour <= at_ms)
    return spent, max(at_ms - begun_ms, HOUR_MS)
