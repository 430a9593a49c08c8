from __future__ import annotations

import csv
import io
from datetime import UTC, datetime, timedelta

from gateway.adapters.price_gaps import full_prices
from gateway.adapters.price_rows import override_price, price_book, prices_in_force, sync_prices
from gateway.core.prices import Meter, Rate
from gateway.web.dashboard.formats import DASH
from tests.web.dashboard.visitor import Site, words

NOW = datetime.now(UTC)


def test_prices_are_shown_with_their_history_and_exported(site: Site) -> None:
    visitor = site.visitor()
    assert "There is no price yet" in visitor.get("/prices")
    sync_prices(site.engine, full_prices())
    rates = {"default": {Meter.INPUT: Rate(10**9), Meter.OUTPUT: Rate(2 * 10**9, steps=((5, 7),))}}
    old = override_price(site.engine, "m", rates, valid_from=NOW - timedelta(days=9))
    new = override_price(site.engine, "m", rates, valid_from=NOW - timedelta(days=2))
    later = override_price(site.engine, "m", rates, valid_from=NOW + timedelta(days=2))
    text = words(visitor.get("/prices?model=gpt-3.5-turbo"))
    assert f"gpt-3.5-turbo $0.50 {DASH} $1.50" in text
    own = visitor.get("/prices?own=1")
    assert f"/prices/{new}" in own
    assert "gpt-4o" not in own.partition("<tbody>")[2]
    assert "No model matches" in visitor.get("/prices?model=nothing-like-it")
    page = words(visitor.get(f"/prices/{new}"))
    assert "in force" in page
    assert "above 5 input tokens" in page
    assert "replaced" in words(visitor.get(f"/prices/{old}"))
    assert "not yet in force" in words(visitor.get(f"/prices/{later}"))
    visitor.get("/prices/999999", 404)
    rows = list(csv.DictReader(io.StringIO(visitor.ask("/prices?own=1&format=csv").text)))
    assert [(row["meter"], row["above_input_tokens"], row["rate_usd"]) for row in rows] == [
        ("input", "0", "1.000000000"),
        ("output", "0", "2.000000000"),
        ("output", "5", "0.000000007"),
    ]


def test_a_price_is_set_from_a_date_on(any_site: Site) -> None:
    site, visitor = any_site, any_site.visitor()
    sync_prices(site.engine, full_prices())
    answer = visitor.post(
        "/prices/new",
        model="gpt-4o",
        valid_from="2026-01-02T03:04",
        tier="default",
        input="$2.20",
        above="1000",
        input_above="3",
    )
    price = price_book(site.engine).find("gpt-4o", datetime.now(UTC))
    assert price is not None
    assert answer.headers["Location"] == f"/prices/{price.id}"
    assert price.valid_from == datetime(2026, 1, 2, 3, 4, tzinfo=UTC)
    assert price.rate("default", Meter.INPUT) == Rate(2_200_000_000, steps=((1000, 3_000_000_000),))
    assert price.rate("default", Meter.OUTPUT).nano == 10_000_000_000
    page = visitor.post("/prices/new", 422, model="gpt-4o", tier="default", input="0").text
    assert "tick the box below" in page
    assert 'id="input-error"' in page
    assert "This model" not in page
    page = visitor.post("/prices/new", 422, model="x", tier="flex", input="1").text
    assert "no price yet to which" in words(page)
    page = visitor.post("/prices/new", 422, model="", input="1").text
    assert 'id="model-error"' in page
    visitor.post("/prices/new", model="gpt-4o", tier="default", input="0", free="1")
    names = [price.model for price in prices_in_force(site.engine, datetime.now(UTC))]
    assert names.count("gpt-4o") == 1
