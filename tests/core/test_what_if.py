from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from gateway.core.budgets import WindowKind
from gateway.core.what_if import Played, Proposal, Replay, Use

HOUR = 3_600_000
START = 1_777_593_600_000
"""2026-05-01 00:00 UTC."""


def played(limit: int, *uses: Use, window: WindowKind = WindowKind.DAY) -> list[Played]:
    replay = Replay(Proposal(limit, window))
    for use in uses:
        replay.add(use)
    return replay.finish()


def use(at: int, hold: int, cost: int, lasts: int = 10, name: str = "r", **more: Any) -> Use:
    return Use(name, START + at, START + at + lasts, hold, cost, **more)


def test_a_request_whose_hold_does_not_fit_is_refused() -> None:
    (day,) = played(100, use(0, 60, 40), use(20, 60, 50), use(40, 11, 9), use(60, 10, 10))
    assert (day.requests, day.refused) == (4, 1)
    assert (day.spent_nano, day.refused_nano, day.recorded_nano) == (100, 9, 109)
    assert day.exhausted_ms == START + 40
    assert day.held_nano == 0


def test_what_is_in_flight_is_held() -> None:
    (day,) = played(100, use(0, 60, 1, lasts=1_000), use(10, 60, 1), use(1_000, 60, 1))
    assert (day.refused, day.spent_nano) == (1, 2)


def test_every_window_begins_at_zero_and_keeps_its_own() -> None:
    first, second = played(
        100,
        use(23 * HOUR, 100, 80, lasts=3 * HOUR),
        use(24 * HOUR, 100, 70),
        use(25 * HOUR, 31, 1),
    )
    assert (first.requests, first.refused, first.spent_nano) == (1, 0, 80)
    assert (second.requests, second.refused, second.spent_nano) == (2, 1, 70)
    assert second.window.start_ms == START + 24 * HOUR


def test_what_is_free_is_never_refused() -> None:
    (day,) = played(0, use(0, 0, 0), use(1, 1, 1), window=WindowKind.TOTAL)
    assert (day.requests, day.refused) == (2, 1)


def test_a_correction_follows_its_request() -> None:
    expired = use(0, 90, 90, name="a", may_be_corrected=True)
    refused = use(20, 90, 90, name="b", may_be_corrected=True)
    corrections = [use(at, 90, -80, name=name, corrects=True) for at, name in ((0, "a"), (20, "b"))]
    (day,) = played(100, expired, refused, *corrections)
    assert (day.spent_nano, day.refused_nano, day.recorded_nano) == (10, 10, 20)


USES = st.lists(
    st.tuples(st.integers(0, 50), st.integers(0, 60), st.integers(0, 60), st.integers(0, 9)),
    max_size=30,
)


@given(USES, st.integers(0, 200))
def test_a_limit_is_kept_however_requests_overlap(
    drawn: list[tuple[int, int, int, int]], limit: int
) -> None:
    uses = [
        use(at, max(hold, cost), cost, lasts, f"r{n}")
        for n, (at, hold, cost, lasts) in enumerate(sorted(drawn))
    ]
    windows = played(limit, *uses, window=WindowKind.TOTAL)
    admitted: list[Use] = []
    refused = 0
    for one in uses:
        taken = sum(
            other.cost_nano if other.ended_ms <= one.held_ms else other.hold_nano
            for other in admitted
        )
        if one.hold_nano and taken + one.hold_nano > limit:
            refused += 1
        else:
            admitted.append(one)
    if uses:
        (whole,) = windows
        assert whole.spent_nano == sum(one.cost_nano for one in admitted) <= limit
        assert whole.refused == refused
        assert whole.refused_nano == whole.recorded_nano - whole.spent_nano
