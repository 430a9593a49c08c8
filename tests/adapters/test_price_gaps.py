from __future__ import annotations

import logging
from datetime import UTC, datetime
from fractions import Fraction

import pytest
from sqlalchemy import Engine

from gateway.adapters.price_gaps import (
    PUBLISHED,
    SOURCE,
    Published,
    fill_gaps,
    full_price_list,
    full_prices,
)
from gateway.adapters.price_rows import price_book, sync_prices
from gateway.adapters.price_sources import EPOCH, PriceList, PriceRow, price_list_from_genai
from gateway.core.image_variants import image_variant
from gateway.core.prices import Meter, Price, PriceBook, Rate, Unpriced, cost_of
from gateway.core.usage import Usage

NOW = datetime(2026, 11, 25, tzinfo=UTC)
LATER = datetime(2026, 10, 14, tzinfo=UTC)


def book_of(rows: tuple[PriceRow, ...]) -> PriceBook:
    return PriceBook(
        Price(place, row.model, row.names, row.source, row.valid_from, row.tiers)
        for place, row in enumerate(rows)
    )


@pytest.fixture(scope="module")
def book() -> PriceBook:
    return book_of(full_price_list().rows)


def price_of(book: PriceBook, name: str) -> Price:
    price = book.find(name, NOW)
    assert price is not None, name
    return price


MILLION = 1_000_000
IN, OUT = Usage(input_tokens=MILLION), Usage(output_tokens=MILLION)
CACHED = Usage(input_tokens=MILLION, cached_input_tokens=MILLION)
SEEN = Usage(input_tokens=MILLION, image_input_tokens=MILLION)
DRAWN = Usage(output_tokens=MILLION, image_output_tokens=MILLION)
HEARD = Usage(input_tokens=MILLION, audio_input_tokens=MILLION)
SAID = Usage(output_tokens=MILLION, audio_output_tokens=MILLION)
SPOKEN = Usage(characters=MILLION)
MINUTE = Usage(audio_milliseconds=60_000)
TRAINED = Usage(trained_tokens=MILLION)


@pytest.mark.parametrize(
    ("name", "tier", "usage", "milli_usd"),
    [
        ("dall-e-2", "standard-256x256", Usage(images=1), 16),
        ("dall-e-2", "standard-512x512", Usage(images=1), 18),
        ("dall-e-2", "standard-1024x1024", Usage(images=10), 200),
        ("dall-e-2", "default", Usage(images=1), 20),
        ("dall-e-3", "standard-1024x1024", Usage(images=1), 40),
        ("dall-e-3", "standard-1024x1792", Usage(images=1), 80),
        ("dall-e-3", "standard-1792x1024", Usage(images=1), 80),
        ("dall-e-3", "hd-1024x1024", Usage(images=1), 80),
        ("dall-e-3", "hd-1024x1792", Usage(images=1), 120),
        ("dall-e-3", "hd-1792x1024", Usage(images=1), 120),
        ("dall-e-3", "default", Usage(images=1), 120),
        ("gpt-image-1", "default", IN, 5_000),
        ("gpt-image-1", "default", CACHED, 1_250),
        ("gpt-image-1", "default", SEEN, 10_000),
        ("gpt-image-1", "default", DRAWN, 40_000),
        ("gpt-image-1-mini", "default", IN, 2_000),
        ("gpt-image-1-mini", "default", CACHED, 200),
        ("gpt-image-1-mini", "default", SEEN, 2_500),
        ("gpt-image-1-mini", "default", DRAWN, 8_000),
        ("gpt-image-1.5", "default", SEEN, 8_000),
        ("gpt-image-1.5", "default", DRAWN, 32_000),
        ("gpt-image-1.5", "default", OUT, 10_000),
        ("whisper-1", "default", MINUTE, 6),
        ("tts-1", "default", SPOKEN, 15_000),
        ("tts-1-1106", "default", SPOKEN, 15_000),
        ("tts-1-hd", "default", SPOKEN, 30_000),
        ("tts-1-hd-1106", "default", SPOKEN, 30_000),
        ("gpt-4o-mini-tts", "default", IN, 600),
        ("gpt-4o-mini-tts", "default", SAID, 12_000),
        ("gpt-4o-mini-tts-2025-12-15", "default", SAID, 12_000),
        ("gpt-4o-transcribe", "default", HEARD, 6_000),
        ("gpt-4o-transcribe", "default", IN, 2_500),
        ("gpt-4o-transcribe", "default", OUT, 10_000),
        ("gpt-4o-mini-transcribe", "default", HEARD, 3_000),
        ("gpt-4o-mini-transcribe-2025-12-15", "default", OUT, 5_000),
        ("omni-moderation-latest", "default", IN, 0),
        ("text-moderation-stable", "batch", IN, 0),
        ("gpt-3.5-turbo-instruct", "default", OUT, 2_000),
        ("davinci-002", "default", IN, 2_000),
        ("davinci-002", "batch", OUT, 1_000),
        ("babbage-002", "batch", IN, 200),
        ("text-embedding-3-small", "batch", IN, 10),
        ("text-embedding-3-large", "batch", IN, 65),
        ("text-embedding-ada-002", "batch", IN, 50),
        ("ft:gpt-4.1-2025-04-14:acme::1", "default", CACHED, 750),
        ("ft:gpt-4.1-2025-04-14:acme::1", "batch", OUT, 6_000),
        ("ft:gpt-4.1-mini-2025-04-14:acme::1", "default", OUT, 3_200),
        ("ft:gpt-4.1-nano-2025-04-14:acme:bot:1", "default", CACHED, 50),
        ("ft:gpt-4o-2024-08-06:acme::1", "default", IN, 3_750),
        ("ft:gpt-4o-2024-08-06:acme::1", "default", CACHED, 1_875),
        ("ft:gpt-4o-mini-2024-07-18:acme::1", "default", CACHED, 150),
        ("ft:gpt-3.5-turbo-0125:acme::1", "default", OUT, 6_000),
        ("ft:davinci-002:acme::1", "default", IN, 12_000),
        ("ft:babbage-002:acme::1", "batch", IN, 800),
        ("fine-tuning/gpt-4o-2024-08-06", "default", TRAINED, 25_000),
        ("fine-tuning/gpt-4o-mini-2024-07-18", "default", TRAINED, 3_000),
        ("fine-tuning/gpt-4o-mini", "default", TRAINED, 3_000),
        ("fine-tuning/gpt-4.1-2025-04-14", "default", TRAINED, 25_000),
        ("fine-tuning/gpt-4.1-mini-2025-04-14", "default", TRAINED, 5_000),
        ("fine-tuning/gpt-4.1-nano-2025-04-14", "default", TRAINED, 1_500),
        ("fine-tuning/gpt-3.5-turbo-0125", "default", TRAINED, 8_000),
        ("fine-tuning/ft:gpt-4o-mini-2024-07-18:acme::1", "default", TRAINED, 3_000),
        ("fine-tuning/davinci-002", "default", TRAINED, 6_000),
    ],
)
def test_published_prices_come_out_exactly(
    book: PriceBook, name: str, tier: str, usage: Usage, milli_usd: int
) -> None:
    assert cost_of(price_of(book, name), usage, tier).nano == milli_usd * 1_000_000


@pytest.mark.parametrize(
    "name",
    [
        "dall-e-4",
        "ft:gpt-4.1-2025-04-14",
        "ft:gpt-5-2025-08-07:acme::1",
        "fine-tuning/gpt-5",
        "fine-tuning/o4-mini-2025-04-16",
        "fine-tuning/",
    ],
)
def test_what_has_no_published_price_has_none(book: PriceBook, name: str) -> None:
    assert book.find(name, NOW) is None


def test_a_batch_without_a_published_price_has_none(book: PriceBook) -> None:
    with pytest.raises(Unpriced, match="'batch'"):
        cost_of(price_of(book, "ft:gpt-4o-2024-08-06:acme::1"), IN, "batch")


@pytest.mark.parametrize("model", ["dall-e-2", "dall-e-3"])
def test_the_standard_tier_is_the_dearest_variant(book: PriceBook, model: str) -> None:
    tiers = price_of(book, model).tiers
    rates = {tier: Fraction(r[Meter.IMAGES].nano, r[Meter.IMAGES].per) for tier, r in tiers.items()}
    assert rates["default"] == max(rates.values())
    assert len(tiers) > 3


@pytest.mark.parametrize("model", ["dall-e-2", "dall-e-3"])
def test_every_variant_that_is_named_is_priced(book: PriceBook, model: str) -> None:
    sizes = (None, "256x256", "512x512", "1024x1024", "1024x1792", "1792x1024", "auto", "9x9")
    qualities = (None, "standard", "hd", "auto", "high")
    named = {image_variant(model, size, quality) for size in sizes for quality in qualities}
    assert named == set(price_of(book, model).tiers)


@pytest.mark.parametrize("item", PUBLISHED, ids=lambda item: item.model)
def test_the_whole_list_agrees_with_what_is_published(book: PriceBook, item: Published) -> None:
    for name in item.names:
        price = price_of(book, name.replace("*", "acme::1"))
        for tier, rates in item.rates().items():
            for meter, rate in rates.items():
                found = price.rate(tier, meter)
                assert Fraction(found.nano, found.per) == Fraction(rate.nano, rate.per), name


def test_no_rate_of_genai_prices_is_changed() -> None:
    full = {(row.model, row.valid_from): row for row in full_price_list().rows}
    for row in price_list_from_genai().rows:
        kept = full[row.model, row.valid_from]
        assert kept.names == row.names
        for tier, rates in row.tiers.items():
            assert {meter: kept.tiers[tier].get(meter) for meter in rates} == dict(rates)


def test_rows_name_their_sources_and_are_told_apart() -> None:
    found = full_price_list()
    assert len({(row.model, row.valid_from) for row in found.rows}) == len(found.rows)
    sources = {row.source for row in found.rows}
    (genai,) = {row.source for row in price_list_from_genai().rows}
    assert sources == {genai, f"{genai}, {SOURCE}", SOURCE}
    assert not [w for w in found.warnings if w.startswith("moderation")]
    assert [w for w in found.warnings if w.startswith("gpt-4o-audio-preview")]


# On lists made for it

KNOWN = PriceRow("a", ("a", "a-*"), "list", EPOCH, {"default": {Meter.INPUT: Rate(2)}})


def test_a_row_that_is_there_is_not_added_again() -> None:
    published = Published("a", ("a", "a-1"), {"default": {Meter.INPUT: "9"}})
    assert fill_gaps(PriceList((KNOWN,), ()), [published]).rows == (KNOWN,)


def test_missing_rates_are_added_to_the_newest_row_alone() -> None:
    newest = PriceRow("a", KNOWN.names, "list", LATER, KNOWN.tiers)
    published = Published(
        "a",
        ("a",),
        {
            "default": {Meter.INPUT: "9", Meter.CACHED_INPUT: "1", Meter.OUTPUT: "3"},
            "batch": {Meter.INPUT: "4"},
        },
    )
    old, new = fill_gaps(PriceList((KNOWN, newest), ()), [published]).rows
    assert old == KNOWN
    assert (new.source, new.valid_from) == ("list, published", LATER)
    assert new.tiers == {
        "default": {
            Meter.INPUT: Rate(2),
            Meter.CACHED_INPUT: Rate(1_000_000_000),
            Meter.OUTPUT: Rate(3_000_000_000),
        },
        "batch": {Meter.INPUT: Rate(4_000_000_000)},
    }


def test_a_rate_that_another_one_stands_for_is_not_added() -> None:
    published = Published("a", ("a",), {"default": {Meter.CACHED_INPUT: "0.000000002"}})
    assert fill_gaps(PriceList((KNOWN,), ()), [published]).rows == (KNOWN,)


def test_names_that_are_missing_get_a_row_of_their_own() -> None:
    published = Published("a", ("a", "b", "c"), {"default": {Meter.IMAGES: "0.02"}})
    found = fill_gaps(PriceList((KNOWN,), ("b: left out: why", "z: left out: why")), [published])
    assert found.rows[-1] == PriceRow(
        "b", ("b", "c"), SOURCE, EPOCH, {"default": {Meter.IMAGES: Rate(20_000_000, 1)}}
    )
    assert found.warnings == ("z: left out: why",)


def test_other_providers_have_no_gaps_filled() -> None:
    assert full_price_list("anthropic") == price_list_from_genai("anthropic")
    with pytest.raises(LookupError, match="no provider 'opnai'"):
        full_price_list("opnai")


def test_warnings_are_logged(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        assert full_prices() == list(full_price_list().rows)
    assert "gpt-4o-audio-preview" in caplog.text
    assert "moderation" not in caplog.text


def test_rows_come_back_from_sql_as_they_were_and_once(engine: Engine) -> None:
    rows = full_prices()
    assert sync_prices(engine, rows).added == len(rows)
    assert sync_prices(engine, rows) == type(sync_prices(engine, []))(0, len(rows))
    stored, listed = price_book(engine), book_of(tuple(rows))
    for name in ("dall-e-3", "ft:gpt-4o-2024-08-06:acme::1", "fine-tuning/gpt-4o-mini"):
        assert price_of(stored, name).tiers == price_of(listed, name).tiers
        assert price_of(stored, name).source == price_of(listed, name).source


def test_a_database_synced_before_gets_the_gaps_beside_its_rows(engine: Engine) -> None:
    before = list(price_list_from_genai().rows)
    sync_prices(engine, before)
    old = price_of(price_book(engine), "ft:gpt-4o-2024-08-06:acme::1")
    assert cost_of(old, CACHED, "default").nano == 3_750_000_000
    synced = sync_prices(engine, full_prices())
    assert synced.added == len([r for r in full_prices() if r not in before])
    new = price_of(price_book(engine), "ft:gpt-4o-2024-08-06:acme::1")
    assert new.id != old.id
    assert cost_of(new, CACHED, "default").nano == 1_875_000_000
