from __future__ import annotations

import random
from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

import genai_prices
import pytest
from genai_prices.data_snapshot import get_snapshot
from genai_prices.types import (
    ClauseContains,
    ClauseEquals,
    ClauseOr,
    ClauseRegex,
    ConditionalPrice,
    ModelInfo,
    ModelPrice,
    PriceVariant,
    Provider,
    StartDateConstraint,
    Tier,
    TieredPrices,
    TimeOfDateConstraint,
)

from gateway.adapters.price_sources import (
    EPOCH,
    PriceList,
    PriceRow,
    price_list,
    price_list_from_genai,
    prices_from_genai,
)
from gateway.core.prices import Meter, Price, PriceBook, Rate, cost_of
from gateway.core.usage import Usage

NOW = datetime(2026, 11, 1, tzinfo=UTC)
O3_CHANGE = datetime(2025, 6, 10, tzinfo=UTC)


@pytest.fixture(scope="module")
def rows() -> list[PriceRow]:
    return prices_from_genai()


@pytest.fixture(scope="module")
def book(rows: list[PriceRow]) -> PriceBook:
    return PriceBook(
        Price(
            number,
            row.model,
            row.names,
            row.source,
            row.valid_from,
            row.tiers,
            row.context_window,
            row.output_tokens_max,
        )
        for number, row in enumerate(rows)
    )


def cost(
    book: PriceBook, name: str, usage: Usage, tier: str = "default", at: datetime = NOW
) -> int:
    price = book.find(name, at)
    assert price is not None, name
    return cost_of(price, usage, tier).nano


MILLION_IN = Usage(input_tokens=1_000_000)
SHORT_IN = Usage(input_tokens=1000)
SHORT_OUT = Usage(output_tokens=1000)


@pytest.mark.parametrize(
    ("name", "tier", "usage", "nano"),
    [
        ("gpt-3.5-turbo", "default", Usage(input_tokens=27, output_tokens=1000), 1_513_500),
        ("gpt-3.5-turbo", "default", MILLION_IN, 500_000_000),
        ("gpt-3.5-turbo", "default", Usage(output_tokens=1_000_000), 1_500_000_000),
        ("gpt-3.5-turbo-0125", "batch", MILLION_IN, 250_000_000),
        ("gpt-4o", "default", MILLION_IN, 2_500_000_000),
        ("gpt-4o-2024-08-06", "default", MILLION_IN, 2_500_000_000),
        ("gpt-4o-2024-05-13", "default", MILLION_IN, 5_000_000_000),
        ("gpt-4o-2024-05-13", "priority", MILLION_IN, 8_750_000_000),
        ("gpt-4o", "default", Usage(input_tokens=1000, cached_input_tokens=1000), 1_250_000),
        # Batch names no cached rate for gpt-4o: the standard one.
        ("gpt-4o", "batch", Usage(input_tokens=1000, cached_input_tokens=1000), 1_250_000),
        ("gpt-4o", "default", Usage(web_search_calls=1), 10_000_000),
        ("gpt-5", "default", SHORT_OUT, 10_000_000),
        ("gpt-5", "flex", SHORT_OUT, 5_000_000),
        ("gpt-5", "priority", SHORT_OUT, 20_000_000),
        ("gpt-5", "fast", SHORT_OUT, 20_000_000),
        ("gpt-5", "batch", SHORT_OUT, 5_000_000),
        ("gpt-5.4", "default", Usage(input_tokens=272_000), 680_000_000),
        ("gpt-5.4", "default", Usage(input_tokens=272_001), 1_360_005_000),
        ("gpt-5.4", "priority", Usage(input_tokens=272_001), 1_360_005_000),
        ("gpt-6-luna", "flex", Usage(input_tokens=1000, cache_write_tokens=1000), 62_500),
        ("gpt-audio", "default", Usage(input_tokens=10, audio_input_tokens=10), 320_000),
        ("gpt-audio", "default", Usage(output_tokens=10, audio_output_tokens=10), 640_000),
        ("text-embedding-3-small", "default", MILLION_IN, 20_000_000),
        ("ft:gpt-4o-mini-2024-07-18:acme::id", "default", MILLION_IN, 300_000_000),
        ("gpt-5.6-terra-2026-10-01", "default", SHORT_IN, 2_000_000),
    ],
)
def test_published_prices_come_out_exactly(
    book: PriceBook, name: str, tier: str, usage: Usage, nano: int
) -> None:
    assert cost(book, name, usage, tier) == nano


@pytest.mark.parametrize(
    ("name", "meter", "rate"),
    [
        ("whisper-1", Meter.AUDIO_SECONDS, Rate(360_000_000, 3600)),
        ("gpt-transcribe", Meter.AUDIO_SECONDS, Rate(270_000_000, 3600)),
        ("tts-1", Meter.CHARACTERS, Rate(15_000_000_000, 1_000_000)),
        ("gpt-4.1", Meter.FILE_SEARCH_CALLS, Rate(2_500_000_000, 1000)),
        ("gpt-image-1", Meter.IMAGE_CACHED_INPUT, Rate(2_500_000_000)),
        ("gpt-realtime-mini", Meter.AUDIO_CACHED_INPUT, Rate(300_000_000)),
        ("gpt-image-1.5", Meter.IMAGE_OUTPUT, Rate(32_000_000_000)),
    ],
)
def test_units_other_than_text_tokens(book: PriceBook, name: str, meter: Meter, rate: Rate) -> None:
    price = book.find(name, NOW)
    assert price is not None
    assert price.rate("default", meter) == rate


@pytest.mark.parametrize(
    ("at", "nano"),
    [
        (EPOCH, 10_000_000),
        (O3_CHANGE - timedelta(microseconds=1), 10_000_000),
        (O3_CHANGE, 2_000_000),
        (NOW, 2_000_000),
    ],
)
def test_o3_became_cheaper_at_midnight_utc(book: PriceBook, at: datetime, nano: int) -> None:
    assert cost(book, "o3", SHORT_IN, at=at) == nano


def test_tiers_appear_on_the_day_they_are_priced_from(rows: list[PriceRow]) -> None:
    found = {
        row.valid_from.date().isoformat(): sorted(row.tiers) for row in rows if row.model == "o3"
    }
    assert found == {
        "1970-01-01": ["default"],
        "2025-06-10": ["default"],
        "2026-10-12": ["default", "fast", "flex", "priority"],
        "2026-10-14": ["batch", "default", "fast", "flex", "priority"],
    }


@pytest.mark.parametrize(
    "name",
    [
        "gpt-7",
        "gpt-4o-2027-01-01",
        "gpt-4o-mini-2027-01-01",
        "ft:gpt-4.1-2025-04-14:acme",
        "ft:gpt-4o",
        "GPT-4o",
        "dall-e-3",
        "omni-moderation-latest",
        "text-moderation-stable",
        "gpt-4o-audio-preview",
        "gpt-5.6-terra-2026-10-01-preview",
        "gpt-5x6-terra-2026-10-01",
        "",
    ],
)
def test_unknown_names_have_no_price(book: PriceBook, name: str) -> None:
    assert book.find(name, NOW) is None


def test_what_is_left_out_is_reported() -> None:
    found = price_list_from_genai()
    assert {warning.partition(":")[0] for warning in found.warnings} == {
        "gpt-4o-audio-preview",
        "gpt-4o-mini-audio-preview",
        "moderation",
    }
    assert "moderation: left out: it has no prices" in found.warnings


def test_warnings_are_logged(caplog: pytest.LogCaptureFixture) -> None:
    prices_from_genai()
    assert "moderation: left out" in caplog.text


def test_rows_name_their_source_and_stand_alone(rows: list[PriceRow]) -> None:
    assert {row.source for row in rows} == {f"genai-prices {genai_prices.__version__}"}
    assert len({(row.model, row.valid_from) for row in rows}) == len(rows)
    for row in rows:
        assert row.valid_from.utcoffset() == timedelta(0)
        for tier, rates in row.tiers.items():
            assert set(rates) == set(row.tiers["default"]), (row.model, tier)


def test_every_exact_name_is_the_model_that_the_source_finds(rows: list[PriceRow]) -> None:
    provider = next(p for p in get_snapshot().providers if p.id == "openai")
    for row in rows:
        for name in row.names:
            sample = name.replace("YYYY-MM-DD", "2026-10-01").replace("*", "x")
            model = provider.find_model(sample)
            assert model is not None, sample
            assert model.id == row.model, sample


def test_disjoint_parts_are_an_upper_bound_at_every_published_price(book: PriceBook) -> None:
    """Caching takes no less off an audio or image token than off a text token."""
    for name in book.names():
        price = book.find(name, NOW)
        assert price is not None
        for tier in price.tiers:
            if Meter.INPUT not in price.tiers[tier]:
                continue
            off_text = discount(price, tier, Meter.INPUT, Meter.CACHED_INPUT)
            for kind in ("AUDIO", "IMAGE"):
                off = discount(price, tier, Meter[f"{kind}_INPUT"], Meter[f"{kind}_CACHED_INPUT"])
                assert off >= off_text, (name, tier)


def discount(price: Price, tier: str, full: Meter, cached: Meter) -> int:
    return price.rate(tier, full).nano - price.rate(tier, cached).nano


TOKEN_USAGE = {
    "input_tokens": "input_tokens",
    "cached_input_tokens": "cache_read_tokens",
    "cache_write_tokens": "cache_write_tokens",
    "audio_input_tokens": "input_audio_tokens",
    "image_input_tokens": "input_image_tokens",
    "output_tokens": "output_tokens",
    "audio_output_tokens": "output_audio_tokens",
    "image_output_tokens": "output_image_tokens",
    "web_search_calls": "web_searches",
}


def random_usage(source: random.Random, rates: Mapping[Meter, Rate]) -> Usage:
    limit = source.choice([3, 5_000, 400_000, 10**10])
    parts = [source.randrange(limit) for _ in range(4)]
    outs = [source.randrange(limit) * (Meter.OUTPUT in rates) for _ in range(3)]
    return Usage(
        input_tokens=sum(parts) + source.randrange(limit),
        cached_input_tokens=parts[0],
        cache_write_tokens=parts[1],
        audio_input_tokens=parts[2],
        image_input_tokens=parts[3],
        output_tokens=sum(outs),
        audio_output_tokens=outs[1],
        image_output_tokens=outs[2],
        web_search_calls=source.randrange(9) * (Meter.WEB_SEARCH_CALLS in rates),
    )


@pytest.mark.parametrize("tier", ["default", "flex", "priority", "batch"])
def test_costs_agree_with_the_sources_own_calculation(rows: list[PriceRow], tier: str) -> None:
    source = random.Random(20261101)
    context = {"processing": "batch"} if tier == "batch" else {"service_tier": tier}
    compared = 0
    for number, row in enumerate(rows):
        if tier not in row.tiers or Meter.INPUT not in row.tiers[tier]:
            continue
        price = Price(number, row.model, row.names, row.source, row.valid_from, row.tiers)
        model = next(
            model
            for provider in get_snapshot().providers
            if provider.id == "openai"
            for model in provider.models
            if model.id == row.model
        )
        for _ in range(5):
            usage = random_usage(source, row.tiers[tier])
            theirs = model.get_prices(row.valid_from, context).calc_price(
                genai_prices.Usage(
                    **{name: getattr(usage, ours) for ours, name in TOKEN_USAGE.items()},
                    cache_audio_read_tokens=0,
                    cache_image_read_tokens=0,
                )
            )
            difference = cost_of(price, usage, tier).nano - theirs["total_price"] * 10**9
            assert 0 <= difference < 1, (row.model, row.valid_from, usage)
            compared += 1
    assert compared > 100


def one_model(prices: Any, **fields: Any) -> PriceList:
    fields.setdefault("match", ClauseEquals("m"))
    model = ModelInfo(id="m", prices=prices, **fields)
    return price_list(Provider("p", "P", "", models=[model]), "test 1")


def test_prices_by_time_of_day_are_left_out_with_a_warning() -> None:
    night = TimeOfDateConstraint(time(0), time(6))
    found = one_model(
        [
            ConditionalPrice(prices=ModelPrice(input_mtok=Decimal(2))),
            ConditionalPrice(night, prices=ModelPrice(input_mtok=Decimal(1))),
        ],
        price_variants=[
            PriceVariant({"service_tier": "flex"}, ModelPrice(input_mtok=Decimal(1)), night)
        ],
    )
    assert [row.tiers for row in found.rows] == [{"default": {Meter.INPUT: Rate(2_000_000_000)}}]
    assert found.warnings == ("m: prices by time of day left out",)
    only = one_model([ConditionalPrice(night, prices=ModelPrice(input_mtok=Decimal(1)))])
    assert not only.rows
    assert only.warnings == ("m: left out: it has prices by time of day only",)


@pytest.mark.parametrize(
    "extra",
    [
        {"output_reasoning_mtok": Decimal(9)},
        {"requests_kcount": Decimal(5)},
        {"input_audio_hours": Decimal(1), "audio_hours": Decimal(2)},
        {"output_mtok": Decimal("0.0000000001")},
        {"output_mtok": Decimal(-1)},
        {"output_mtok": Decimal("NaN")},
        {"output_mtok": 0.5},
    ],
)
def test_a_model_that_would_be_priced_wrong_is_not_priced(extra: dict[str, Any]) -> None:
    found = one_model(ModelPrice(input_mtok=Decimal(2), **extra))
    assert not found.rows
    assert len(found.warnings) == 1
    assert found.warnings[0].startswith("m: left out")


def test_fees_of_tools_without_a_meter_leave_the_tokens_priced() -> None:
    found = one_model(ModelPrice(input_mtok=Decimal(2), code_executions_kcount=Decimal(30)))
    assert [row.tiers for row in found.rows] == [{"default": {Meter.INPUT: Rate(2_000_000_000)}}]
    assert found.warnings == ("m: no meter for code_executions_kcount: these calls are not priced",)


def test_a_tier_is_completed_from_the_base_of_its_own_row() -> None:
    change = StartDateConstraint(date(2026, 5, 1))
    steps = TieredPrices(Decimal("0.5"), [Tier(272_000, Decimal(1))])
    found = one_model(
        [
            ConditionalPrice(prices=ModelPrice(input_mtok=Decimal(2), output_mtok=Decimal(8))),
            ConditionalPrice(
                change, prices=ModelPrice(input_mtok=Decimal(1), output_mtok=Decimal(4))
            ),
        ],
        price_variants=[
            PriceVariant({"service_tier": "flex"}, ModelPrice(input_mtok=steps)),
            PriceVariant({"service_tier": "flex", "region": "eu"}, ModelPrice()),
        ],
        context_window=1000,
    )
    flex_input = Rate(500_000_000, 1_000_000, ((272_000, 1_000_000_000),))
    assert found.warnings == ("m: prices left out: {'service_tier': 'flex', 'region': 'eu'}",)
    assert found.rows == (
        PriceRow(
            "m",
            ("m",),
            "test 1",
            EPOCH,
            {
                "default": {Meter.INPUT: Rate(2_000_000_000), Meter.OUTPUT: Rate(8_000_000_000)},
                "flex": {Meter.INPUT: flex_input, Meter.OUTPUT: Rate(8_000_000_000)},
            },
            1000,
        ),
        PriceRow(
            "m",
            ("m",),
            "test 1",
            datetime(2026, 5, 1, tzinfo=UTC),
            {
                "default": {Meter.INPUT: Rate(1_000_000_000), Meter.OUTPUT: Rate(4_000_000_000)},
                "flex": {Meter.INPUT: flex_input, Meter.OUTPUT: Rate(4_000_000_000)},
            },
            1000,
        ),
    )


def test_names_that_cannot_be_looked_up_exactly_are_left_out() -> None:
    match = ClauseOr([ClauseEquals("a"), ClauseContains("b"), ClauseRegex("^c-[0-9]+$")])
    found = one_model(ModelPrice(input_mtok=Decimal(1)), match=match)
    assert [row.names for row in found.rows] == [("a",)]
    assert len(found.warnings) == 2


def test_an_unknown_provider_is_an_error() -> None:
    with pytest.raises(LookupError, match="nobody"):
        prices_from_genai("nobody")
