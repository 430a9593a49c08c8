from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.timestamps import moment_of, timestamp


def test_a_moment_is_told_in_utc() -> None:
    berlin = timezone(timedelta(hours=2))
    assert timestamp(datetime(2026, 7, 1, 2, tzinfo=berlin)) == "2026-07-01T00:00:00Z"
    assert timestamp(None) is None


@given(st.datetimes(timezones=st.just(UTC)))
def test_what_was_told_is_read_back(at: datetime) -> None:
    assert moment_of(timestamp(at)) == at


@pytest.mark.parametrize(
    ("text", "hour"),
    [
        ("2026-12-01T00:00:00Z", 0),
        ("2026-12-01t01:00:00z", 1),
        ("2026-12-01T04:00:00.123456789+02:00", 2),
    ],
)
def test_every_form_of_rfc_3339_is_read(text: str, hour: int) -> None:
    found = moment_of(text)
    assert (found.hour, found.tzinfo) == (hour, UTC)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2026-12-01",
        "2026-12-01 00:00:00Z",
        "2026-12-01T00:00:00",
        "2026-13-01T00:00:00Z",
        "2026-12-01T25:00:00Z",
        "0001-01-01T00:00:00+14:00",
        "1764547200",
        "٢٠٢٦-12-01T00:00:00Z",
        "2026-12-01T00:00:00Z\n",
    ],
)
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="time"):
        moment_of(text)
