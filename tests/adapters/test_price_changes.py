from __future__ import annotations

from datetime import UTC, datetime

import pytest
from sqlalchemy import Engine

from gateway.adapters.price_changes import Override, add_price, set_price
from gateway.adapters.price_rows import all_prices
from gateway.core.price_overrides import InvalidOverride
from gateway.core.prices import Meter, Rate
from tests.adapters.directories import ANN, noted, small_directory

AT = datetime(2026, 1, 1, tzinfo=UTC)


def test_what_is_not_stated_is_completed_from_what_is_in_force(engine: Engine) -> None:
    small_directory(engine)
    whole = Override("m", AT, {Meter.INPUT: "1", Meter.OUTPUT: "2"}, context_window=1000)
    first = set_price(engine, whole, ANN)
    second = set_price(engine, Override("m", AT, {Meter.OUTPUT: "3"}, output_tokens_max=50), ANN)
    assert second.tiers["default"] == {
        Meter.INPUT: Rate(1_000_000_000),
        Meter.OUTPUT: Rate(3_000_000_000),
    }
    assert (second.context_window, second.output_tokens_max) == (1000, 50)
    limits_alone = set_price(engine, Override("m", AT, context_window=2000), ANN)
    assert (limits_alone.tiers, limits_alone.context_window) == (second.tiers, 2000)
    assert [price.id for price in all_prices(engine)] == [first.id, second.id, limits_alone.id]
    assert [entry[:3] for entry in noted(engine)] == [("create", "price", "m")] * 3


def test_a_price_that_cannot_be_charged_changes_nothing(engine: Engine) -> None:
    directory = small_directory(engine)
    before = directory.version()
    for override in (
        Override("m", AT),
        Override("m", AT, context_window=5),
        Override("m", AT, {Meter.INPUT: "0"}),
        Override("m" * 129, AT, {Meter.INPUT: "1"}),
        Override("m", AT, {Meter.INPUT: "1"}, tier="batch"),
    ):
        with pytest.raises(InvalidOverride):
            set_price(engine, override, ANN)
    assert directory.version() == before
    assert all_prices(engine) == []


def test_prices_are_part_of_a_change_of_more(engine: Engine) -> None:
    directory = small_directory(engine)
    before = directory.version()
    with directory.change() as change:
        add_price(change, Override("m", AT, {Meter.INPUT: "1"}))
        # Of what the same change has added.
        add_price(change, Override("m", AT, {Meter.OUTPUT: "2"}))
    assert directory.version() == before + 1
    assert set(all_prices(engine)[-1].tiers["default"]) == {Meter.INPUT, Meter.OUTPUT}
