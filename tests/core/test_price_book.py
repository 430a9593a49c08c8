"""Which price row a request name and a time find."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.prices import Meter, Price, PriceBook, Rate

START = datetime(2026, 1, 1, tzinfo=UTC)


def row(
    number: int,
    *names: str,
    start: datetime = START,
    override: bool = False,
) -> Price:
    rates = {"default": {Meter.INPUT: Rate(number)}}
    return Price(number, names[0], names, "test", start, rates, is_override=override)


def found(book: PriceBook, name: str, at: datetime = START) -> int | None:
    price = book.find(name, at)
    return price.id if price else None


def test_a_price_change_takes_effect_at_midnight_utc() -> None:
    change = datetime(2026, 3, 1, tzinfo=UTC)
    book = PriceBook([row(1, "m"), row(2, "m", start=change)])
    assert found(book, "m", change - timedelta(microseconds=1)) == 1
    assert found(book, "m", change) == 2
    assert found(book, "m", START - timedelta(microseconds=1)) is None


def test_of_rows_that_start_together_the_later_written_wins() -> None:
    assert found(PriceBook([row(2, "m"), row(3, "m"), row(1, "m")]), "m") == 3


def test_overrides_lie_above_newer_synced_rows_once_in_force() -> None:
    later = START + timedelta(days=30)
    book = PriceBook(
        [
            row(1, "m"),
            row(2, "m", start=START + timedelta(days=60)),
            row(3, "m", start=later, override=True),
        ]
    )
    assert found(book, "m", START) == 1
    assert found(book, "m", later - timedelta(seconds=1)) == 1
    assert found(book, "m", later) == 3
    assert found(book, "m", START + timedelta(days=90)) == 3


@pytest.mark.parametrize(
    ("name", "number"),
    [
        ("gpt-4o", 1),
        ("gpt-4o-2024-08-06", 1),
        ("gpt-4o-2024-05-13", 2),
        ("gpt-4o-2024-11-21", None),
        ("gpt-4o-audio", None),
        ("GPT-4o", None),
        ("gpt-4", None),
        ("", None),
        ("gpt-6-sol", 3),
        ("gpt-6-sol-2026-10-01", 3),
        ("gpt-6-sol-2026-09-09", 4),
        ("gpt-6-sol-YYYY-MM-DD", None),
        ("gpt-6-sol-2026-10-01-x", None),
        ("gpt-6-sol-2026-10-0\uff11", None),
        ("gpt-6-sol-2026-10-01\n", None),
        ("gpt-6-sol-mini-2026-10-01", None),
        ("ft:gpt-4o-2024-08-06:acme", 5),
        ("ft:gpt-4o-2024-08-06:acme:v2:x", 6),
        ("ft:gpt-4.1-2025-04-14:acme", None),
    ],
)
def test_names_find_their_own_row_or_none(name: str, number: int | None) -> None:
    book = PriceBook(
        [
            row(1, "gpt-4o", "gpt-4o-2024-08-06"),
            row(2, "gpt-4o-2024-05-13"),
            row(3, "gpt-6-sol", "gpt-6-sol-YYYY-MM-DD"),
            row(4, "gpt-6-sol-2026-09-09"),
            row(5, "ft:gpt-4o-2024-*"),
            row(6, "ft:gpt-4o-2024-08-06:acme:v2*"),
        ]
    )
    assert found(book, name) == number


def test_a_row_that_is_not_yet_in_force_leaves_the_pattern_to_price_the_name() -> None:
    later = START + timedelta(days=1)
    book = PriceBook([row(1, "ft:m*"), row(2, "ft:m:acme", start=later, override=True)])
    assert found(book, "ft:m:acme", START) == 1
    assert found(book, "ft:m:acme", later) == 2


def test_a_row_without_names_prices_its_model() -> None:
    assert found(PriceBook([replace(row(1, "m"), names=())]), "m") == 1


def test_names_lists_full_names_only() -> None:
    book = PriceBook([row(1, "b", "b-YYYY-MM-DD", "b:*"), row(2, "a")])
    assert book.names() == ["a", "b"]


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["m", "m-2026-01-01", "m*", "m-YYYY-MM-DD", "*"]),
            st.integers(-400, 400),
            st.booleans(),
        )
    ),
    st.sampled_from(["m", "m-2026-01-01", "m-2027-01-01", "mm", "x"]),
    st.integers(-400, 400),
)
def test_no_row_from_the_future_is_found(
    specs: list[tuple[str, int, bool]], name: str, day: int
) -> None:
    rows = [
        row(number, pattern, start=START + timedelta(days=start), override=override)
        for number, (pattern, start, override) in enumerate(specs)
    ]
    at = START + timedelta(days=day)
    price = PriceBook(rows).find(name, at)
    assert price is None or price.valid_from <= at
    if any(r.valid_from <= at and r.names == ("*",) for r in rows):
        assert price is not None
