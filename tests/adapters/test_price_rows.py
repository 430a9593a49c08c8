from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Engine

from gateway.adapters.directory import Directory
from gateway.adapters.price_rows import (
    override_price,
    price_book,
    price_by_id,
    prices_in_force,
    stored_prices,
    sync_prices,
)
from gateway.adapters.price_sources import PriceRow
from gateway.core.price_overrides import InvalidOverride
from gateway.core.prices import Meter, Price, Rate

START = datetime(2026, 1, 1, tzinfo=UTC)
LATER = START + timedelta(days=90)


def row(model: str = "m", nano: int = 100, start: datetime = START, **facts: int) -> PriceRow:
    rates = {Meter.INPUT: Rate(nano, steps=((272_000, nano * 2),)), Meter.OUTPUT: Rate(nano * 4)}
    return PriceRow(model, (model, f"{model}-*"), "list 1", start, {"default": rates}, **facts)


@pytest.fixture
def directory(engine: Engine) -> Directory:
    made = Directory(engine)
    made.initialise("Acme")
    return made


def stored(engine: Engine) -> list[Price]:
    with engine.connect() as connection:
        return stored_prices(connection)


def test_a_row_comes_back_as_it_was(engine: Engine, directory: Directory) -> None:
    report = sync_prices(engine, [row(context_window=128_000, output_tokens_max=4_096)])
    assert (report.added, report.unchanged) == (1, 0)
    (price,) = stored(engine)
    expected = row(context_window=128_000, output_tokens_max=4_096)
    assert (price.model, price.names, price.source) == ("m", ("m", "m-*"), "list 1")
    assert (price.valid_from, price.tiers) == (START, expected.tiers)
    assert (price.context_window, price.output_tokens_max) == (128_000, 4_096)
    assert not price.is_override
    assert price_by_id(engine, price.id) == price
    assert price_by_id(engine, price.id + 1) is None


def test_a_sync_adds_what_changed_and_edits_nothing(engine: Engine, directory: Directory) -> None:
    sync_prices(engine, [row(), row("other")])
    before, version = stored(engine), directory.version()
    assert sync_prices(engine, [row(), row("other")]).added == 0
    assert directory.version() == version
    changes = [row(nano=150), replace(row("other"), names=("other",)), row(start=LATER)]
    assert sync_prices(engine, changes).added == 3
    assert directory.version() == version + 1
    after = stored(engine)
    assert after[: len(before)] == before
    book = price_book(engine)
    for at, nano in ((START, 150), (LATER, 100)):
        found = book.find("m", at)
        assert found is not None
        assert found.rate("default", Meter.INPUT).nano == nano
    # Back to the first price: a row of its own, which wins again.
    assert sync_prices(engine, [row()]).added == 1
    assert sync_prices(engine, [row()]).added == 0
    found = price_book(engine).find("m", START)
    assert found is not None
    assert found.rate("default", Meter.INPUT).nano == 100


def test_an_override_wins_over_every_synced_row(engine: Engine, directory: Directory) -> None:
    version = directory.version()
    tiers = {"default": {Meter.INPUT: Rate(7), Meter.OUTPUT: Rate(8)}}
    made = override_price(engine, "m", tiers, valid_from=START, context_window=9)
    assert directory.version() == version + 1
    sync_prices(engine, [row(start=LATER)])
    found = price_book(engine).find("m", LATER + timedelta(days=1))
    assert found is not None
    assert (found.id, found.is_override, found.context_window) == (made, True, 9)
    assert [price.id for price in prices_in_force(engine, LATER)] == [made]
    # A sync neither sees an override as its own row nor touches it.
    assert sync_prices(engine, [row()]).added == 1


def test_a_name_that_cannot_be_stored_is_refused(engine: Engine, directory: Directory) -> None:
    version = directory.version()
    tiers = {"default": {Meter.INPUT: Rate(7)}}
    for model in ("", "x" * 129, "a\nb", "a\0b", "a\ud800"):
        with pytest.raises(InvalidOverride):
            override_price(engine, model, tiers, valid_from=START)
    assert (stored(engine), directory.version()) == ([], version)


def test_prices_in_force_are_those_that_have_begun(engine: Engine, directory: Directory) -> None:
    sync_prices(engine, [row(), row(nano=5, start=LATER), row("new", start=LATER)])

    def in_force(at: datetime) -> list[tuple[str, int]]:
        found = prices_in_force(engine, at)
        return [(price.model, price.rate("default", Meter.INPUT).nano) for price in found]

    assert in_force(START - timedelta(seconds=1)) == []
    assert in_force(START) == [("m", 100)]
    assert in_force(LATER) == [("m", 5), ("new", 100)]
